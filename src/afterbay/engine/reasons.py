"""What the log keeps of a pick: the candidates with their scores, and what the strongest would have cost."""

from __future__ import annotations

from afterbay.core.decision import Attempt, Decision
from afterbay.core.usage import Usage
from afterbay.engine.context import Turn
from afterbay.policy.filters import Ask
from afterbay.policy.report import consider, counterfactual, in_reach, reasons_of
from afterbay.wire.registry import DIALECTS

_CANNOT = {name: dialect.cannot for name, dialect in DIALECTS.items()}


def note_reasons(turn: Turn, ask: Ask, decision: Decision, answered: Attempt | None) -> None:
    """Puts into the record what `afterbay.policy.report.reasons_of` says, once; nothing where there was no choice.

    What the strongest candidate would have cost is told anew each time: of what `answered`, the attempt whose answer
    was given, used in the end. What others used (rejected, broken off, sampled) a gateway that always asks the
    strongest would not have bought.
    """
    record = turn.record
    if turn.considered is None:
        targets = in_reach(ask, turn.snapshot, turn.route)
        found = turn.considered = tuple(consider(ask, turn.route, targets, _CANNOT, turn.fleet.world(), decision))
        if len(found) < 2:
            return
        record.reasons = reasons_of(ask, decision, found)
        strong = counterfactual(ask, turn.snapshot, turn.route, found)
        if strong is not None:
            record.reasons["strongest"] = strong.target
            record.reasons["counterfactual_picousd"] = strong.scores.cost_picousd
    if record.reasons is not None and answered is not None and answered.usage is not None:
        strongest = record.reasons.get("strongest")
        own = answered.cost_picousd if answered.target == strongest else None
        cost = own if own is not None else _cost(turn, answered.usage, strongest)
        if cost is not None:
            record.reasons["counterfactual_picousd"] = cost


def _cost(turn: Turn, usage: Usage, strongest: str | None) -> int | None:
    """What the same use would have cost at the strongest; None: nobody knows."""
    targets = (one for alias in turn.snapshot.aliases.values() for one in alias.targets if one.id == strongest)
    target = next(targets, None)
    return target.cost_picousd(Usage(*usage.buckets), turn.call.received_at) if target is not None else None
