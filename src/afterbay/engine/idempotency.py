"""A request that is sent again with the same `idempotency-key` gets the first one's answer, and is not paid for again.

The first one is the original. It outlasts its client's connection, since who lost that comes back with the same key.
What it answers is kept if it is whole and good; an error frees the key, and whoever tries again is served anew. Of a
process that was killed nobody knows how far it came, so its keys stay taken, and who repeats such a request is told.

Sources: draft-ietf-httpapi-idempotency-key-header-07 (2.6, 2.7: 409 while the first runs, 422 for another payload);
docs.stripe.com/api/idempotent_requests, November 2026 (`idempotent-replayed`, 24 hours, 255 characters); openai 3.57
and anthropic 2.13, `_base_client.py` (one key for all tries of a call; 408, 409, 429 and 5xx are tried again).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from itertools import chain, repeat
from typing import TypeAlias
from urllib.parse import parse_qsl, urlencode

import msgspec

from afterbay.core.errors import Capacity, ClientMistake, GatewayError
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.delivery import Delivery, base_headers
from afterbay.engine.pipeline import answering, prepare
from afterbay.engine.routing import shortened
from afterbay.engine.shared import OWN_HEADERS, Reader, SharedAnswer
from afterbay.ports import Claim, ClientGone, Originals, OriginalsUnavailable, Repeatable, Reply

IDEMPOTENCY_KEY = "idempotency-key"
REPLAYED = "idempotent-replayed"
ORIGINAL = "x-afterbay-original-request"
KEY_CHARS = 255
"""Longest idempotency key."""

REPEATABLE = frozenset({"chat", "responses", "embeddings", "moderations", "compaction"})
"""Operations that are paid for. All others may be repeated as they are."""

POLL_S = (0.05, 0.1, 0.2, 0.4, 0.8)
"""How long a repeat waits before it asks anew for an original of another process: these, and the last one again."""
READ_S = 600.0
"""So long a client may take to read what is left of its answer once it is complete."""

_JOINED_HEADERS = OWN_HEADERS | {"content-length", "retry-after", "retry-after-ms", "x-should-retry"}
"""What a repeat is told of an answer that is being made; it may become an error."""

Serve: TypeAlias = Callable[[Context, Call, Reply], Awaitable[None]]


async def serve_once(context: Context, call: Call, reply: Reply, serve: Serve) -> None:
    """Serves a request with an idempotency key, or repeats the answer that it has had. Every error is told.

    Raises:
        ClientGone, asyncio.CancelledError: nobody listens any more.
    """
    if context.originals is None:
        await serve(context, call, reply)
        return
    request = _request(call)
    wrong = _mistake(request.key)
    if wrong is not None:
        await _refuse(context, call, reply, wrong)
        return
    known = context.answers.find((request.owner, request.key))
    if known is None:
        known = SharedAnswer(request, context.originals, context.answers)
        context.answers.add(known)
        if await _is_original(known):
            await _serve(context, call, reply, serve, known)
            return
        context.answers.remove(known)
    turn = Turn(context, call, "replay")
    async with answering(turn, reply) as delivery:
        with contextlib.suppress(GatewayError):  # the original was told what is wrong with it
            prepare(turn)
        try:
            await _repeat(turn, delivery, request, known, context.originals)
        except OriginalsUnavailable:
            raise _unavailable() from None


async def _refuse(context: Context, call: Call, reply: Reply, error: GatewayError) -> None:
    async with answering(Turn(context, call, "replay"), reply):
        raise error


async def _is_original(known: SharedAnswer) -> bool:
    """Whether the request has become the original of its key. What else is known of it, its claim says.

    Raises:
        asyncio.CancelledError: its client left, or the gateway ends; it is withdrawn.
    """
    try:
        claim = await asyncio.shield(known.claim)
    except OriginalsUnavailable:
        return False
    except BaseException:
        with contextlib.suppress(Exception):
            known.is_settled = (await asyncio.shield(known.claim)).state != "new"
        await known.close()
        raise
    return claim.state == "new"


async def _serve(context: Context, call: Call, reply: Reply, serve: Serve, answer: SharedAnswer) -> None:
    """Serves the original. Its client is one of those who read; the request goes on without it.

    Raises:
        ClientGone: the request was ended by who had asked for it.
    """
    answer.own()
    reader = answer.join()
    reading = asyncio.get_running_loop().create_task(_read_out(answer, reader, reply), name=f"reader {call.id}")

    def left() -> None:
        answer.note("the client left")
        reading.cancel()

    reply.survive(left)
    try:
        await serve(context, msgspec.structs.replace(call, shared=answer), answer)
    except asyncio.CancelledError:
        if not answer.gone:
            raise
        raise ClientGone from None  # it was cancelled from within: nobody else waits for that
    finally:
        await answer.close()
        try:
            await asyncio.wait((reading,), timeout=READ_S)
        finally:
            reading.cancel()


async def _read_out(answer: SharedAnswer, reader: Reader, reply: Reply) -> None:
    """Takes the answer to the connection of the original's client, for as long as it is there."""
    try:
        if await answer.begun(reader):
            await reply.start(answer.status, answer.headers)
            await answer.read(reader, reply)
    except (ClientGone, OSError):
        pass
    finally:
        answer.leave(reader)


async def _repeat(
    turn: Turn, delivery: Delivery, request: Repeatable, known: SharedAnswer, originals: Originals
) -> None:
    """Answers a request whose idempotency key is taken.

    Raises:
        GatewayError: it cannot be answered as the original was.
        OriginalsUnavailable: nobody knows.
        ClientGone: the client hung up, or the answer was cut.
    """
    if known.request.content != request.content:
        raise _different(known.request.request_id)
    claim = await asyncio.shield(known.claim)
    if claim.state == "new" and not known.is_over:
        if not known.is_joinable:
            raise _gone(claim)
        await _join(turn, delivery.reply, known)
        return
    if claim.state in ("new", "running"):
        claim = await _ended(turn, request, originals)
    if claim.state == "different":
        raise _different(claim.request_id)
    if claim.state == "gone":
        raise _gone(claim)
    if claim.state == "unknown" or claim.answer is None:
        raise _unknown(claim)
    headers = _headers(turn, claim.request_id, claim.answer.headers, OWN_HEADERS)
    await delivery.send_whole(claim.answer.status, headers, claim.answer.body)
    turn.record.outcome = "ok"


async def _join(turn: Turn, reply: Reply, answer: SharedAnswer) -> None:
    """Reads an answer that is being made, from its start.

    Raises:
        Capacity, ClientMistake: it does not begin in time, or ended before it began.
        ClientGone: the client hung up, or the answer was cut.
    """
    request_id, reader = answer.request.request_id, answer.join()
    answer.note(f"repeated by {turn.call.id}")
    try:
        async with asyncio.timeout(_left_s(turn)):
            if not await answer.begun(reader):
                raise _failed(request_id)
            turn.record.status = answer.status
            await reply.start(answer.status, _headers(turn, request_id, answer.headers, _JOINED_HEADERS))
            is_whole = await answer.read(reader, reply)
    except TimeoutError:
        if not answer.started:
            raise _running(request_id) from None
        is_whole = False
    finally:
        turn.response_bytes = reader.sent
        answer.leave(reader)
    if not is_whole:
        raise ClientGone
    turn.record.outcome = "ok" if answer.status == 200 else "original_failed"


async def _ended(turn: Turn, request: Repeatable, originals: Originals) -> Claim:
    """Waits for an original of another process.

    Raises:
        Capacity, ClientMistake: it does not end in time, or has failed.
        OriginalsUnavailable: nobody knows.
    """
    request_id = request.request_id
    try:
        async with asyncio.timeout(_left_s(turn)):
            for pause_s in chain(POLL_S, repeat(POLL_S[-1])):
                claim = await originals.find(request)
                if claim is None:
                    break
                request_id = claim.request_id
                if claim.state != "running":
                    return claim
                await asyncio.sleep(pause_s)
    except TimeoutError:
        raise _running(request_id) from None
    raise _failed(request_id)


def _left_s(turn: Turn) -> float:
    """How long a repeat may wait.

    Raises:
        ClientMistake: the client's own limit is not right.
    """
    total_s = shortened(turn.snapshot.defaults, turn).limits.total_s
    return total_s - (turn.context.clock.monotonic() - turn.call.received_s)


def _headers(turn: Turn, request_id: str, of_answer: Mapping[str, str], those: frozenset[str]) -> dict[str, str]:
    own = {name: value for name, value in of_answer.items() if name in those}
    headers = {**base_headers(turn), **own, REPLAYED: "true", ORIGINAL: request_id}
    turn.warnings.append(f"repeats {request_id}")
    return headers


def _request(call: Call) -> Repeatable:
    """What makes a request the same as another one. The virtual key may stand in the query, and may have changed."""
    key = call.key
    query = urlencode([pair for pair in parse_qsl(call.query, keep_blank_values=True) if pair[0] != "key"])
    owner, user = (key.id, key.user.name if key.user is not None else None) if key is not None else ("", None)
    content = (call.path.encode(), query.encode(), call.body)
    return Repeatable(owner, call.headers[IDEMPOTENCY_KEY], content, call.id, user)


def _mistake(key: str) -> ClientMistake | None:
    if 0 < len(key) <= KEY_CHARS and key.isascii() and key.isprintable():
        return None
    return ClientMistake(
        f"The header {IDEMPOTENCY_KEY} has {len(key)} characters, or some that cannot be printed.",
        code="invalid_value",
        param=IDEMPOTENCY_KEY,
        remedy=f"Give 1 to {KEY_CHARS} printable ASCII characters, such as a UUID.",
    )


def _different(request_id: str) -> ClientMistake:
    return ClientMistake(
        f"This idempotency key belongs to another request of yours ({request_id}): path, query or body differ.",
        status=422,
        code="idempotency_key_reused",
        param=IDEMPOTENCY_KEY,
        remedy="Take a new key for each request, and send the same bytes with the same key.",
    )


def _running(request_id: str) -> Capacity:
    return Capacity(
        f"The request with this idempotency key ({request_id}) is still being answered.",
        status=409,
        code="idempotency_in_progress",
        param=IDEMPOTENCY_KEY,
        retry_after_s=1.0,
        remedy="Send it again in a moment: the answer will be that of the first.",
    )


def _failed(request_id: str) -> Capacity:
    return Capacity(
        f"The request with this idempotency key ({request_id}) failed while this one waited for it.",
        status=409,
        code="idempotency_original_failed",
        param=IDEMPOTENCY_KEY,
        retry_after_s=1.0,
        remedy="Send it again: it will be served anew.",
    )


def _gone(claim: Claim) -> ClientMistake:
    return ClientMistake(
        f"The request with this idempotency key ({claim.request_id}) was answered, and the answer is not kept: it was "
        "too large, or made room for others.",
        status=409,
        code="idempotency_answer_gone",
        param=IDEMPOTENCY_KEY,
        remedy="Ask anew with another key; that is paid for once more.",
    )


def _unknown(claim: Claim) -> ClientMistake:
    return ClientMistake(
        f"The gateway ended while it served the request with this idempotency key ({claim.request_id}): it may have "
        "been answered and paid for.",
        status=409,
        code="idempotency_outcome_unknown",
        param=IDEMPOTENCY_KEY,
        remedy="Ask anew with another key if that may be paid for twice.",
    )


def _unavailable() -> Capacity:
    return Capacity(
        "Whether this request was sent before cannot be told: the database does not answer.",
        code="idempotency_unavailable",
        param=IDEMPOTENCY_KEY,
        retry_after_s=2.0,
        remedy="Send it again in a moment, or without an idempotency key.",
    )
