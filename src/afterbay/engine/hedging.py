"""A request's part in hedging: from its route's wish to `afterbay.policy.hedge`, and the cost of who was called off."""

from __future__ import annotations

from afterbay.core.decision import Attempt, Decision, Target
from afterbay.core.errors import ClientMistake
from afterbay.core.usage import Usage
from afterbay.engine.context import Turn
from afterbay.policy.hedge import Hedge
from afterbay.policy.kept_quality import duel_of, racers
from afterbay.policy.route import strongest

WRITES_S = 250
"""Tokens a second that a fast model writes: most do less."""

CALLED_OFF = "estimated: an attempt was given up, and its provider may count its prompt"

_GIVEN_UP = frozenset({"cancelled", "cut", "timeout", "client_closed", "empty"})
"""Outcomes after which a provider that told no usage may have read the prompt all the same."""


def hedge_of(turn: Turn) -> Hedge | None:
    """The request's part; None: its route does not hedge, or there is nobody else to ask."""
    rules, decision = turn.route.hedge, turn.decision
    if rules is None or decision is None or turn.record.operation != "chat":
        return None
    fleet, clock = turn.fleet, turn.context.clock
    ledger = turn.context.hedges.ledger(turn.route.name)
    ledger.began(clock.monotonic())
    if len(decision.targets) < 2:
        return None

    certified = _certified(turn, decision)

    def is_well(target: Target) -> bool:
        if certified is not None and target.alias not in certified:
            return False
        gate = fleet.gate(target)
        return fleet.world().is_well(target.id, clock.monotonic()) and (gate is None or gate.has_room)

    return Hedge(rules, ledger, turn.context.hedges, turn.stream, is_well)


def _certified(turn: Turn, decision: Decision) -> frozenset[str] | None:
    """The aliases that may be asked beside a silent one, on a route that keeps quality; None: any.

    The route's other fallbacks are for failures: to be asked for haste, they would have to be certified.
    """
    route, plan = turn.route, turn.snapshot
    if route.keep is None or not turn.is_picked:
        return None
    duel = duel_of(plan, route, next(iter(strongest(plan, route)), None))
    if duel is None or ("keep" not in decision.because and all(one.alias != duel.strong for one in decision.targets)):
        return None  # nothing is kept: there are no two, or the strongest may not serve
    return racers(duel, decision.targets[0].alias)


def assumed_usage(turn: Turn, attempt: Attempt) -> Usage | None:
    """What an attempt used that was given up before it said anything: its prompt was sent, and providers count it.

    A whole answer is written unseen: of one that its client left counts what a fast model writes in that time. Else
    whoever leaves in time would spend without a limit.
    """
    if attempt.outcome not in _GIVEN_UP or turn.record.operation != "chat":
        return None
    try:
        tokens = turn.measure()
    except ClientMistake:  # relayed unread
        return None
    turn.warnings.append(CALLED_OFF)
    wrote = _written(turn, attempt) if attempt.outcome == "client_closed" and not turn.stream else 0
    return Usage(input_tokens=tokens, output_tokens=wrote, estimated=True)


def _written(turn: Turn, attempt: Attempt) -> int:
    """About how much of an answer was written that nobody saw."""
    ended_s = turn.record.duration_s if attempt.ended_s is None else attempt.ended_s
    written = int((ended_s - attempt.started_s) * WRITES_S)
    bounds = (turn.asked_output, turn.purse.capped(attempt.number) if turn.purse is not None else None)
    return min([written, *(one for one in bounds if one is not None)])
