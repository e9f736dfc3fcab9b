"""The last stage: usage and cost are settled and the one record is written. Exactly once, whatever happened."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from afterbay.core.decision import Attempt, Target
from afterbay.core.usage import Usage
from afterbay.engine.circumstances import circumstances_of
from afterbay.engine.clearance import prove
from afterbay.engine.context import Turn
from afterbay.engine.conversation import remember
from afterbay.engine.hedging import assumed_usage
from afterbay.engine.held import charge, give_back
from afterbay.engine.reasons import note_reasons

if TYPE_CHECKING:
    from afterbay.engine.attempt import Driver


def close(turn: Turn, driver: Driver | None) -> None:
    """Fills the record from what happened and hands it to the log."""
    record = turn.record
    fill(turn, driver)
    give_back(turn)
    if driver is not None and driver.hedge is not None:
        driver.hedge.learn(turn.context.clock.monotonic(), driver.machine.attempts)
    went_well = record.outcome == "ok" and (len(record.attempts) < 2 or _only_escalated(turn))
    if (not went_well or turn.sights) and not turn.is_own:
        record.circumstances = circumstances_of(turn, with_shape=not went_well)
    if turn.is_picked and driver is not None and driver.exchanges and record.outcome == "ok":
        target, usage = _winner(driver)
        remember(turn, target, usage)
    turn.context.open_streams -= turn.streams
    turn.context.log.put(record)
    turn.fleet.leave()


def _only_escalated(turn: Turn) -> bool:
    """Whether more than one attempt was made because a cascade means it so, and not because anything went wrong."""
    is_cascade = turn.decision is not None and turn.decision.cascade != ""
    return is_cascade and all(one.outcome in ("ok", "invalid") for one in turn.record.attempts)


def fill(turn: Turn, driver: Driver | None) -> None:
    """Fills the record from what has happened so far. It may be called again: nothing is counted twice."""
    record = turn.record
    record.duration_s = turn.context.clock.monotonic() - turn.call.received_s
    record.requested_model, record.stream = turn.model, turn.stream
    record.response_bytes = turn.response_bytes
    if turn.decision is not None:
        record.route, record.rule = turn.decision.route, turn.decision.reason
        record.rejected = list(turn.decision.rejected)
        if record.task is None and turn.decision.rule.startswith("task:"):
            record.task = turn.decision.rule.removeprefix("task:")
    told = _settle(turn, driver) if driver is not None else []
    if turn.is_picked and turn.ask is not None and turn.decision is not None:
        answered = driver.machine.attempts[_winning(driver)] if driver is not None and driver.exchanges else None
        note_reasons(turn, turn.ask, turn.decision, answered)
    charge(turn)
    prove(turn)
    decided = turn.decision.warnings if turn.decision is not None else ()
    record.warnings = list(dict.fromkeys([*turn.warnings, *decided, *told]))
    if turn.is_own:  # what providers say may quote what they were asked
        record.warnings, record.error = [], None
        for attempt in record.attempts:
            attempt.error = None


def _settle(turn: Turn, driver: Driver) -> list[str]:
    """Usage and cost of the attempts; what the record has to say of them beside."""
    record, attempts = turn.record, driver.machine.attempts
    record.attempts = attempts
    ttft_s: float | None = None
    for number, exchange in driver.exchanges.items():
        attempt = attempts[number]
        attempt.usage = exchange.target.marked(exchange.usage() or assumed_usage(turn, attempt))
        attempt.cost_picousd = exchange.target.cost_picousd(attempt.usage, turn.call.received_at)
        if attempt.usage is None and attempt.outcome in ("error", "rate_limit", "connection"):
            attempt.cost_picousd = 0  # providers do not bill an error
        if ttft_s is None and attempt.why != "resume":
            ttft_s = attempt.first_token_s
    if not driver.exchanges:
        return []
    winner = driver.exchanges[_winning(driver)]
    target = winner.target
    record.model, record.provider, record.upstream_model = target.alias, target.provider, target.name
    record.finish = winner.finish()
    record.usage, record.cost_picousd = _sums(attempts, driver.exchanges)
    record.ttft_s = ttft_s
    return turn.purse.told(record.cost_picousd) if turn.purse is not None else []


def _winning(driver: Driver) -> int:
    """The number of the attempt whose answer was given, or of the last one."""
    return driver.machine.current.number if driver.delivered is None else driver.delivered


def _winner(driver: Driver) -> tuple[Target, Usage | None]:
    """Who gave the answer, and what that used."""
    number = _winning(driver)
    return driver.exchanges[number].target, driver.machine.attempts[number].usage


def _sums(attempts: Sequence[Attempt], sent: Container[int]) -> tuple[Usage | None, int | None]:
    """Usage and cost of all attempts together. The cost is not known where that of one is not which was `sent`, or is a
    repair (those have their usage already)."""
    used, cost, known = [], 0, True
    for attempt in attempts:
        if attempt.usage is not None:
            used.append(attempt.usage)
        if attempt.cost_picousd is not None:
            cost += attempt.cost_picousd
        elif attempt.number in sent or attempt.why in ("repair", "sample"):
            known = False
    return _sum(used), cost if known else None


def _sum(found: list[Usage]) -> Usage | None:
    """Usage of all attempts together; estimated if any part is."""
    if len(found) < 2:
        return found[0] if found else None
    return Usage(
        sum(one.input_tokens for one in found),
        sum(one.cached_input_tokens for one in found),
        sum(one.cache_write_tokens for one in found),
        sum(one.output_tokens for one in found),
        sum(one.reasoning_tokens for one in found),
        any(one.estimated for one in found),
    )
