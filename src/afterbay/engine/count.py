"""Counting tokens without asking for an answer: by the provider itself where it can, else by estimate."""

from __future__ import annotations

import asyncio

import msgspec

from afterbay.core.decision import Target
from afterbay.core.errors import Capacity
from afterbay.engine.attempt import SHUTTING_DOWN
from afterbay.engine.close import close
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.delivery import Delivery, answer_headers, base_headers
from afterbay.engine.outbound import addressed, forwarded, query_of, relayed_body
from afterbay.engine.pipeline import check_name, fail
from afterbay.engine.responses import check_continued
from afterbay.engine.routing import choose
from afterbay.ports import ClientGone, Reply, TransportError
from afterbay.wire.decoding import not_json
from afterbay.wire.registry import COUNTERS

ANSWER_BYTES = 1 << 20


async def serve_count(context: Context, call: Call, reply: Reply) -> None:
    """Serves one request for a count, in the protocol of its client.

    A target that counts is asked, in its own dialect; for all others the count is an estimate, and a warning says so.
    """
    turn = Turn(context, call, "count_tokens")
    delivery = Delivery(turn, reply)
    counter = COUNTERS[call.dialect.name]
    try:
        try:
            turn.adopt(counter.parse_request(call.body, call.path_model))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise not_json(error) from None
        check_name(turn)
        await check_continued(context, call)
        turn.decision = choose(turn)
        target = turn.decision.targets[0]
        tokens = await _ask(turn, target)
        headers = answer_headers(turn, target, 1) if tokens is not None else base_headers(turn)
        if tokens is None:
            tokens = turn.measure()
            headers["x-afterbay-warnings"] = "estimated: this model's provider does not count tokens"
        headers["content-type"] = "application/json"
        turn.record.outcome = "ok"
        await delivery.send_whole(200, headers, counter.render_answer(tokens))
    except (ClientGone, asyncio.CancelledError):
        turn.record.outcome = "client_closed"
        if reply.gone or reply.started:
            raise
        await fail(turn, delivery, None, Capacity(SHUTTING_DOWN, code="shutting_down"))
    except Exception as error:  # the root of the request: whatever it is, the client is told
        await fail(turn, delivery, None, error)
    finally:
        close(turn, None)


async def _ask(turn: Turn, target: Target) -> int | None:
    """The provider's own count; None if it has none, or did not give one in time."""
    call, limits = turn.call, turn.route.limits
    spoken = target.dialect_for(call.dialect.name)
    counter = COUNTERS.get(spoken)
    if counter is None:
        return None
    if spoken == call.dialect.name:
        path = counter.relay_path(call.path, target.name) + query_of(call.query)
        body, headers = relayed_body(turn, target), forwarded(call, spoken)
    else:
        try:
            built = counter.build_request(turn.request, target.name)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise not_json(error) from None
        path, body, headers = built.path, built.body, built.headers
    now = turn.context.clock.monotonic()
    try:
        async with asyncio.timeout(min(limits.first_token_s, turn.deadline_s - now)):
            upstream = turn.fleet.upstream(target)
            path, body = addressed(turn, target, path, body)
            response = await upstream.post(path, body, headers, limits.connect_s)
            try:
                answer = await response.read_all(ANSWER_BYTES)
            finally:
                response.close()
        return counter.parse_answer(answer) if response.status == 200 else None
    except (TransportError, TimeoutError, ValueError, RecursionError):
        return None
