"""The cascade: the cheapest candidate is asked first, and its answer is given only if the free checks let it pass.

Theory of operation
    The order that the rules made stays; one alias moves before it: the one of the route's candidates that is expected
    to cost least for this request, if it costs less than the pick. Its deployments are "cheap" in the decision. Where
    the pick itself is the cheapest, the strongest candidate is put behind it, so that there is somebody to escalate to.
    An answer of a cheap target is checked (`afterbay.policy.checks`) as long as a target that is not cheap comes after
    it; what fails is kept as a spare, and the next target that is not cheap is asked.

    A price that is not known never counts as cheap. Targets come here after the hard filters, so the order can only
    hold those that may serve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from afterbay.core.decision import Decision, Target

EXPECTED_OUTPUT: Final = 400
"""Tokens of a usual answer: what compares prices needs some length, and none is known before."""


class Cascading(msgspec.Struct, frozen=True):
    """How a route's cheap answers are come by. `samples`: answers of the cheap model that must agree; 1: nothing has
    to agree."""

    samples: int = 1


class Ranked(msgspec.Struct, frozen=True):
    """Aliases in the order in which they are to be asked, and which of them is cheap; None: none is."""

    names: tuple[str, ...]
    cheap: str | None = None


def expected_cost(target: Target, input_tokens: int | None, at: float) -> int | None:
    """What a target is expected to cost for a request (1e-12 USD); None: its price is not known."""
    price = target.price
    if price is None:
        return None
    if price.dates or price.hours:
        price = price.at(at)
    tokens = input_tokens or 0
    tier = price.tier(tokens)
    return tokens * tier.input + EXPECTED_OUTPUT * tier.output


def ranked(
    pick: str,
    chain: Sequence[str],
    candidates: Iterable[str],
    strongest: str | None,
    targets: Callable[[str], Sequence[Target]],
    cost: Callable[[Target], int | None],
) -> Ranked:
    """The order of aliases with the cheapest first.

    `chain`: the fallbacks after the pick. `targets(alias)`: those that pass the hard filters; `cost(target)`: what one
    is expected to cost, None where that is not known.
    """

    def dearest_of(name: str) -> int | None:
        """What an alias costs at the dearest of its deployments: any of them may answer."""
        costs = [cost(target) for target in targets(name)]
        known = [one for one in costs if one is not None]
        return max(known) if known and len(known) == len(costs) else None

    costs = {name: dearest_of(name) for name in dict.fromkeys((pick, *candidates))}
    known = {name: one for name, one in costs.items() if one is not None}
    order = (pick, *chain)
    if not known:
        return Ranked(order)
    cheapest = min(known, key=lambda name: (known[name], name != pick))
    picked = costs[pick]
    if cheapest != pick and (picked is None or known[cheapest] < picked):
        return Ranked(tuple(dict.fromkeys((cheapest, *order))), cheapest)
    if picked is None:
        return Ranked(order)
    dearer = [name for name in dict.fromkeys((*((strongest,) if strongest else ()), *chain)) if name != pick]
    able = [name for name in dearer if targets(name) and (costs.get(name, dearest_of(name)) or picked + 1) > picked]
    return Ranked(tuple(dict.fromkeys((pick, *able[:1], *chain))), pick) if able else Ranked(order)


def is_checked(decision: Decision, target: Target) -> bool:
    """Whether an answer of this target has to pass the checks: it is cheap, and another that is not comes after it."""
    if target.id not in decision.cheap:
        return False
    ids = [one.id for one in decision.targets]
    rest = ids[ids.index(target.id) + 1 :] if target.id in ids else []
    return any(one not in decision.cheap for one in rest)


def accepted(decision: Decision) -> Decision:
    """The decision that says that a cheap answer passed its checks."""
    return msgspec.structs.replace(decision, cascade="cascade: accepted")


def escalated(decision: Decision, failed: Sequence[str]) -> Decision:
    """The decision that says which checks a cheap answer failed."""
    return msgspec.structs.replace(decision, cascade=f"cascade: {', '.join(failed)} failed")
