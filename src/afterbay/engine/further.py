"""A further request to a target that has answered already: for better tool calls, or for a second opinion of its own.

It is an attempt in the log, with its own time, usage and cost; it changes nothing about the answer that it is about
until its asker has looked at what came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from afterbay.core.decision import Attempt, Outcome, Target
from afterbay.core.event import Event
from afterbay.core.request import ChatRequest
from afterbay.engine.clearance import upstream_of
from afterbay.engine.context import Turn
from afterbay.engine.credential import judge, place_of
from afterbay.engine.meter import Meter
from afterbay.engine.outbound import rebuild
from afterbay.ports import TransportError, UpstreamResponse
from afterbay.wire.dialect import Dialect

SPARE_S = 1.0
"""So long before the request's deadline a further question is given up: the answer itself must still get out."""


class Answer(msgspec.Struct, frozen=True):
    """What came of it. `names`: tools that were renamed for the target, as sent -> the client's name."""

    events: list[Event]
    names: Mapping[str, str]


async def ask_again(
    turn: Turn, target: Target, dialect: Dialect, attempt: Attempt, request: ChatRequest, within_s: float
) -> Answer | None:
    """Asks the target once more, whole and not as a stream. `attempt` is closed, whatever happens; None: it says why.

    `within_s` is a bound beside the request's own deadline.
    """
    clock = turn.context.clock
    left_s = turn.deadline_s - clock.monotonic() - SPARE_S
    attempt.outcome = "cancelled"
    try:
        async with asyncio.timeout(max(0.0, min(within_s, left_s))):
            answer = await _exchange(turn, target, dialect, attempt, request)
        attempt.outcome = "ok"
    except TimeoutError:
        _failed(attempt, "timeout", "no answer in time")
    except TransportError as broken:
        _failed(attempt, "connection", str(broken))
    except (ValueError, RecursionError) as error:
        _failed(attempt, "error", str(error))
    else:
        return answer
    finally:
        attempt.ended_s = clock.monotonic() - turn.call.received_s
    return None


def _failed(attempt: Attempt, outcome: Outcome, why: str) -> None:
    attempt.outcome, attempt.error = outcome, why[:500]
    if attempt.usage is None and outcome in ("connection", "error"):
        attempt.cost_picousd = 0  # providers do not bill an error


async def _exchange(turn: Turn, target: Target, dialect: Dialect, attempt: Attempt, request: ChatRequest) -> Answer:
    """Asks, reads, counts.

    Raises:
        ValueError, RecursionError: the answer is an error, or none of the dialect.
        TransportError: no connection, or it broke.
    """
    asked = msgspec.structs.replace(request, stream=False, include_usage=False)
    outbound = rebuild(turn, target, asked)
    connect_s = turn.route.limits.connect_s
    response = await upstream_of(turn, target).post(outbound.path, outbound.body, outbound.headers, connect_s)
    try:
        return Answer(await _read(turn, target, dialect, attempt, response), outbound.names)
    finally:
        response.close()


async def _read(
    turn: Turn, target: Target, dialect: Dialect, attempt: Attempt, response: UpstreamResponse
) -> list[Event]:
    clock, received_s = turn.context.clock, turn.call.received_s
    attempt.headers_s, attempt.status = clock.monotonic() - received_s, response.status
    body = await response.read_all(turn.snapshot.limits.answer_bytes)
    attempt.key = place_of(response.credential)
    if response.status != 200:
        error = dialect.parse_error(response.status, response.headers, body)
        judge(error, response.credential, float(turn.snapshot.limits.retry_after))
        raise ValueError(f"it answered with status {response.status}")
    events = dialect.parse_answer(body, turn.call.id.removeprefix("req_"))
    attempt.first_token_s = clock.monotonic() - received_s
    meter = Meter()
    meter.see(events)
    attempt.usage = target.marked(meter.usage or meter.estimate(turn.input_tokens))
    attempt.cost_picousd = target.cost_picousd(attempt.usage, turn.call.received_at)
    return events
