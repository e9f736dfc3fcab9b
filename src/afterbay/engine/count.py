"""Counting tokens without asking for an answer: by the provider itself where it can, else by estimate."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from afterbay.core.decision import Target
from afterbay.engine.clearance import upstream_of
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.credential import judge
from afterbay.engine.delivery import answer_headers, base_headers
from afterbay.engine.outbound import addressed, forwarded, query_of, relayed_body
from afterbay.engine.pipeline import answering, check_name
from afterbay.engine.responses import check_continued
from afterbay.engine.routing import choose
from afterbay.ports import Reply, TransportError
from afterbay.wire.decoding import not_json
from afterbay.wire.registry import COUNTERS, DIALECTS

ANSWER_BYTES = 1 << 20
KEYS_TRIED = 3
"""So many keys of a provider are asked, one after another: a count is not worth more."""


async def serve_count(context: Context, call: Call, reply: Reply) -> None:
    """Serves one request for a count, in the protocol of its client.

    A target that counts is asked, in its own dialect; for all others the count is an estimate, and a warning says so.
    """
    turn = Turn(context, call, "count_tokens")
    counter = COUNTERS[call.dialect.name]
    async with answering(turn, reply) as delivery:
        try:
            turn.adopt(counter.parse_request(call.body, call.path_model))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise not_json(error, call.body) from None
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
            raise not_json(error, call.body) from None
        path, body, headers = built.path, built.body, built.headers
    now = turn.context.clock.monotonic()
    path, body = addressed(turn, target, path, body)
    try:
        async with asyncio.timeout(min(limits.first_token_s, turn.deadline_s - now)):
            for _ in range(KEYS_TRIED):
                answer = await _answer(turn, target, path, body, headers)
                if answer is not None:
                    return counter.parse_answer(answer)
    except (TransportError, TimeoutError, ValueError, RecursionError):
        pass
    return None


async def _answer(turn: Turn, target: Target, path: str, body: bytes, headers: Mapping[str, str]) -> bytes | None:
    """The provider's answer; None: it would not count for this key, and there is another one.

    Raises:
        ValueError, RecursionError: it would not count.
        TransportError: no connection, or it broke.
    """
    response = await upstream_of(turn, target).post(path, body, headers, turn.route.limits.connect_s)
    try:
        answer = await response.read_all(ANSWER_BYTES)
    finally:
        response.close()
    if response.status == 200:
        return answer
    spoken = DIALECTS[target.dialect_for(turn.call.dialect.name)]
    error = spoken.parse_error(response.status, response.headers, answer)
    judged = judge(error, response.credential, float(turn.snapshot.limits.retry_after))
    if not judged.another_key:
        raise ValueError(error.message)
    return None
