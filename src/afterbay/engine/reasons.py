"""What the log keeps of a pick: the candidates with their scores, and what the strongest would have cost."""

from __future__ import annotations

from typing import Any

from afterbay.core.decision import Decision
from afterbay.core.usage import Usage
from afterbay.engine.context import Turn
from afterbay.policy.filters import Ask
from afterbay.policy.report import consider, counterfactual, in_reach, reasons_of
from afterbay.wire.registry import DIALECTS

_CANNOT = {name: dialect.cannot for name, dialect in DIALECTS.items()}


def reasons(turn: Turn, ask: Ask, decision: Decision) -> dict[str, Any] | None:
    """See `afterbay.policy.report.reasons_of`; None: there was nothing to choose from.

    What the strongest candidate would have cost is told for what was used in the end, as soon as that is known.
    """
    if turn.considered is None:
        targets = in_reach(ask, turn.snapshot, turn.route)
        world = turn.fleet.world()
        turn.considered = tuple(consider(ask, turn.route, targets, _CANNOT, world, decision))
    if len(turn.considered) < 2:
        return None
    found = reasons_of(ask, decision, turn.considered)
    strong = counterfactual(ask, turn.snapshot, turn.route, turn.considered)
    if strong is not None:
        found["strongest"] = strong.target
        found["counterfactual_picousd"] = _cost(turn, strong.target, strong.scores.cost_picousd)
    return found


def _cost(turn: Turn, strongest: str, expected: int | None) -> int | None:
    """What the same use would have cost at the strongest; before it is known, what was expected."""
    usage = turn.record.usage
    if usage is None or len(turn.record.attempts) != 1:
        return expected
    targets = (one for alias in turn.snapshot.aliases.values() for one in alias.targets if one.id == strongest)
    target = next(targets, None)
    plain = Usage(*usage.buckets)
    return target.cost_picousd(plain, turn.call.received_at) if target is not None else expected
