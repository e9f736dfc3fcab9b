"""Which requests the two models of a route that keeps quality can both answer, so that a pair may come of them.

A certificate is made of pairs, and says nothing of requests that can never become one. So the same word decides which
are drawn for a shadow and which may go to the cheaper model: what is not comparable goes to the strongest. Pure.
"""

from __future__ import annotations

from typing import Final

from afterbay.core.request import ChatRequest
from afterbay.policy.filters import Ask
from afterbay.policy.kept_quality import Duel
from afterbay.policy.plan import Plan

LARGEST_BODY: Final = 1 << 20
"""Bytes of a body that is asked a second time at most: it is held until then."""


def is_plain(request: ChatRequest, body_bytes: int) -> bool:
    """Whether any model may be asked the same for one answer: no field of one protocol alone (`foreign`), one choice,
    and a body that is not too large to be kept."""
    return not request.foreign and request.sampling.n in (None, 1) and body_bytes <= LARGEST_BODY


def is_comparable(ask: Ask, duel: Duel, plan: Plan) -> bool:
    """Whether both models get the whole of a plain request: one that is trimmed for either is another question.

    All deployments of the two count, whatever else keeps some of them from serving: any of them may be asked.
    """
    fitting = ask.fitting
    if not ask.is_plain or fitting is None:
        return ask.is_plain
    targets = [target for name in (duel.cheap, duel.strong) for target in plan.aliases[name].targets]
    return all(fitting.of(target) is None for target in targets)
