"""Counting tokens without asking for an answer: by the provider itself where it can, else by estimate."""

from __future__ import annotations

import asyncio

from afterbay.core.decision import Target
from afterbay.engine.close import close
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.delivery import Delivery, answer_headers, base_headers
from afterbay.engine.outbound import relayed_body
from afterbay.engine.pipeline import check_name, fail
from afterbay.engine.routing import choose
from afterbay.ports import ClientGone, Reply, TransportError
from afterbay.wire.anthropic_messages import count


async def serve_count(context: Context, call: Call, reply: Reply) -> None:
    """Serves Anthropic's count_tokens: relayed to an Anthropic target, estimated for all others (with a warning)."""
    turn = Turn(context, call, "count_tokens")
    delivery = Delivery(turn, reply)
    try:
        turn.adopt(count.parse_count_request(call.body))
        check_name(turn)
        turn.decision = choose(turn)
        target = turn.decision.targets[0]
        tokens = await _ask(turn, target) if target.dialect == "anthropic.messages" else None
        headers = answer_headers(turn, target, 1) if tokens is not None else base_headers(turn)
        if tokens is None:
            tokens = turn.measure()
            headers["x-afterbay-warnings"] = "estimated: this model's provider does not count tokens"
        headers["content-type"] = "application/json"
        turn.record.outcome = "ok"
        await delivery.send_whole(200, headers, count.render_count_answer(tokens))
    except (ClientGone, asyncio.CancelledError):
        turn.record.outcome = "client_closed"
        raise
    except Exception as error:  # the root of the request: whatever it is, the client is told
        await fail(turn, delivery, None, error)
    finally:
        close(turn, None)


async def _ask(turn: Turn, target: Target) -> int | None:
    """The provider's own count; None if it did not give one in time."""
    headers = {name: turn.call.headers[name] for name in ("anthropic-beta",) if name in turn.call.headers}
    limits = turn.route.limits
    try:
        async with asyncio.timeout(limits.first_token_s):
            upstream = turn.fleet.upstream(target)
            response = await upstream.post(count.PATH, relayed_body(turn, target), headers, limits.connect_s)
            try:
                answer = await response.read_all(1 << 20)
            finally:
                response.close()
        return count.parse_count_answer(answer) if response.status == 200 else None
    except (TransportError, TimeoutError, ValueError, RecursionError):
        return None
