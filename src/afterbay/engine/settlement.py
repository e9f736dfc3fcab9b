"""What the log knows of a request while it runs: its intent before the first attempt, its outcome before the last byte.

    begin    the record as it is to be if the process ends while the request runs
    settle   the record as it is when the answer is whole: outcome, usage and cost; before the last bytes go out
    close    the record, once (`afterbay.engine.close`)

`settle` may come more than once: a relayed stream says how it stopped before it says what it used. What only `close`
knows (the last moment of the duration and of the bytes, a client that left with the last byte) is in the record that it
hands to the log; after a crash in that moment the log has what `settle` said.
"""

from __future__ import annotations

import msgspec

from afterbay.core.decision import Attempt, Record
from afterbay.engine.close import fill
from afterbay.engine.context import Turn
from afterbay.engine.held import may_use
from afterbay.policy.charge import UNKNOWN


def begin(turn: Turn) -> None:
    """Notes the request before it costs anything.

    Raises:
        Capacity: 503 `journal_full`.
    """
    fill(turn, None)
    picousd, usage = may_use(turn)
    turn.context.log.begin(_copy(turn.record, outcome=UNKNOWN, charged_picousd=picousd, usage=usage))


async def settle(turn: Turn, outcome: str = "ok") -> None:
    """Notes what has come of the request: its last bytes may go out after this. Waits only for a disk, if at all.

    `outcome` is what it is if nothing else was said yet.
    """
    record = turn.record
    fill(turn, turn.driver)
    said = record.outcome or outcome
    attempts = [_ended(one, said, record) for one in record.attempts]
    waits = turn.context.log.settle(_copy(record, outcome=said, attempts=attempts))
    if waits is not None:
        await waits


def _copy(record: Record, **changes: object) -> Record:
    """The log takes what it is given to itself, and redacts it; the request goes on with its own."""
    if "attempts" not in changes:
        changes["attempts"] = [msgspec.structs.replace(one) for one in record.attempts]
    return msgspec.structs.replace(record, **changes)


def _ended(attempt: Attempt, outcome: str, record: Record) -> Attempt:
    """A copy of an attempt; the one whose answer is passed on is taken for ended, since nothing of it is to come."""
    if attempt.outcome is not None:
        return msgspec.structs.replace(attempt)
    refused = attempt.status is not None and attempt.status >= 400
    if outcome != "ok" and not refused:
        return msgspec.structs.replace(attempt)
    return msgspec.structs.replace(attempt, outcome="error" if refused else "ok", ended_s=record.duration_s)
