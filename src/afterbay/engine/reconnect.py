"""A client comes back to its own stream: by request id and last event, or as Responses has it.

`GET /v1/requests/{id}/stream` with `last-event-id: N` (or `?starting_after=N`) gives what follows event N, and goes on
as the stream does; `DELETE` ends it, since hanging up does not. `GET /v1/responses/{id}?stream=true&starting_after=N`
counts as that protocol does (`afterbay.engine.kept` asks here first).

Source: WHATWG HTML 9.2.3 and 9.2.4 (`Last-Event-ID`; 204 tells an event source not to come back).
"""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.engine.backlog import Forgotten, NotSent
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.delivery import RECONNECT, base_headers
from afterbay.engine.lasting import LastingReply
from afterbay.engine.pipeline import answering
from afterbay.ports import ClientGone, Reply
from afterbay.wire.openai_responses.marks import sequence_number

PREFIX, SUFFIX = "/v1/requests/", "/stream"
LAST_EVENT, AFTER = "last-event-id", "starting_after"

_encode = msgspec.json.Encoder().encode


async def serve_reconnect(context: Context, call: Call, reply: Reply) -> None:
    """Serves one request about a stream that its client may come back to. Every error is told to the client.

    Raises:
        ClientGone, asyncio.CancelledError: nobody listens any more; the record is written all the same.
    """
    turn = Turn(context, call, "reconnect")
    async with answering(turn, reply) as delivery:
        request_id = call.path.removeprefix(PREFIX).removesuffix(SUFFIX)
        key_id = call.key.id if call.key is not None else None
        stream = context.streams.find(request_id, key_id)
        keyed = context.answers.of_request(request_id, key_id or "") if call.method == "DELETE" else None
        if stream is None and keyed is None:
            raise _not_found(request_id)
        if call.method == "DELETE":
            cancelled = [one.cancel() for one in (stream, keyed) if one is not None]
            body = _encode({"id": request_id, "object": "stream", "cancelled": any(cancelled)})
            await delivery.send_whole(200, {**base_headers(turn), "content-type": "application/json"}, body)
            turn.record.outcome = "ok"
            return
        assert stream is not None, "who reads on reads a stream"  # noqa: S101
        number = last_event(call)
        try:
            position = stream.backlog.position_after(number)
        except Forgotten as forgotten:
            raise _forgotten(forgotten) from None
        except NotSent:
            raise _not_sent(number, stream.backlog.count) from None
        if stream.is_complete and position == stream.backlog.end:
            stream.confirm()
            turn.record.status, turn.record.outcome = 204, "ok"
            await delivery.settle_first()
            await reply.start(204, base_headers(turn))
            await reply.end()
            return
        await read_on(turn, stream, position, reply)


async def read_response(turn: Turn, stream: LastingReply, reply: Reply) -> None:
    """Gives a client of Responses what follows the event that it numbers, or the whole stream.

    Raises:
        ClientMistake: it cannot be gone on there.
        ClientGone, asyncio.CancelledError: nobody listens any more.
    """
    said = parse_qs(turn.call.query).get(AFTER, [None])[-1]
    position = stream.backlog.first
    try:
        number = 0 if said is None else stream.backlog.number_of(_number(said, AFTER), sequence_number)
        position = stream.backlog.position_after(number)
    except Forgotten as forgotten:
        raise _forgotten(forgotten) from None
    except NotSent:
        raise _not_sent(said, None) from None
    await read_on(turn, stream, position, reply)


async def read_on(turn: Turn, stream: LastingReply, position: int, reply: Reply) -> None:
    """Sends a stream from a position on.

    Raises:
        ClientGone, asyncio.CancelledError: nobody listens any more.
    """
    turn.model, turn.stream, turn.record.status = stream.model, True, 200
    turn.record.protocol = stream.dialect.name
    headers = {
        **base_headers(turn),
        "content-type": stream.dialect.stream_type,
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
        RECONNECT: f"{stream.lasts_s:g}",
    }
    turn.warnings.append(f"reconnected to {stream.id} after event {stream.backlog.number_before(position)}")
    reader = stream.attach(reply, position)
    try:
        async with asyncio.timeout(turn.snapshot.defaults.limits.total_s):
            await reply.start(200, headers)
            ended = await stream.deliver(reader)
    except TimeoutError:
        ended = "broken_off"
    finally:
        stream.detach(reader)
        turn.response_bytes = reader.sent
    if ended == "broken_off":
        raise ClientGone
    turn.record.outcome = "ok" if ended == "whole" else "stream_taken_over"


def last_event(call: Call) -> int:
    """The number of the last event that the client has got; 0: none.

    Raises:
        ClientMistake: it is no number.
    """
    header = call.headers.get(LAST_EVENT)
    if header:
        return _number(header, LAST_EVENT)
    said = parse_qs(call.query).get(AFTER, [None])[-1]
    return 0 if said is None else _number(said, AFTER)


def _number(said: str, where: str) -> int:
    if said.isascii() and said.isdigit() and len(said) <= 12:
        return int(said)
    raise ClientMistake(
        f"'{said[:40]}' is no number of an event.",
        code="invalid_value",
        param=where,
        remedy="Give the `id` of the last event that you have; without any the stream is sent from its start.",
    )


def _not_found(request_id: str) -> ClientMistake:
    return ClientMistake(
        f"There is no stream of a request '{request_id[:60]}' of yours.",
        status=404,
        kind="not_found",
        code="unknown_stream",
        remedy="A stream can be read again while it runs and for as long as `reconnect` of its route says, at the "
        "gateway process that serves it; ask anew.",
    )


def _forgotten(forgotten: Forgotten) -> ClientMistake:
    return ClientMistake(
        f"The stream is kept from event {forgotten.first} on: it cannot be gone on with before.",
        status=410,
        kind="not_found",
        code="stream_events_forgotten",
        param=LAST_EVENT,
        remedy="Ask anew.",
    )


def _not_sent(number: object, count: int | None) -> ClientMistake:
    return ClientMistake(
        f"There is no event {number} yet" + (f": there are {count}." if count is not None else "."),
        code="invalid_value",
        param=LAST_EVENT,
        remedy="Give the number of the last event that you have.",
    )
