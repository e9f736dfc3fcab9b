"""Kept responses of OpenAI's protocol: to be read again, forgotten, cancelled, and the items that they were asked with.

What the gateway keeps it answers itself; what a provider keeps is asked of that provider, under the same path.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, quote

import msgspec

from afterbay.core.errors import ClientMistake, PolicyRefusal, Upstream, kind_of_status
from afterbay.engine.clearance import hold_for_model, passage_of
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.delivery import Delivery, base_headers, header_text
from afterbay.engine.outbound import query_of
from afterbay.engine.pipeline import answering
from afterbay.engine.reconnect import read_response
from afterbay.engine.responses import owned
from afterbay.policy.filters import provider_gap
from afterbay.ports import KeptResponse, Passage, Reply, TransportError, UpstreamResponse

PREFIX = "/v1/responses/"
PAGE = 20
MOST = 100
"""Items on a page of input items, unless the client says otherwise, and at most. Source: OpenAI API reference."""

_items = msgspec.json.Decoder(list[dict[str, Any]]).decode
_encode = msgspec.json.Encoder().encode


async def serve_kept(context: Context, call: Call, reply: Reply) -> None:
    """Serves one request about a kept response. Every error is told to the client.

    Raises:
        ClientGone, asyncio.CancelledError: nobody listens any more; the record is written all the same.
    """
    turn = Turn(context, call, "response")
    async with answering(turn, reply) as delivery:
        response_id, _, part = call.path.partition(PREFIX)[2].partition("/")
        if not part and call.method == "GET" and parse_qs(call.query).get("stream") == ["true"]:
            stream = context.streams.of_response(response_id, call.key.id if call.key is not None else None)
            if stream is not None:
                await read_response(turn, stream, reply)
                return
        kept = await owned(context, call, response_id)
        if kept is None:
            raise _not_found(response_id)
        turn.model = kept.model
        if kept.provider:
            _check_provider(turn, kept.provider)
            status = await _ask_keeper(turn, delivery, kept, part)
            turn.record.outcome = "ok" if status < 400 else kind_of_status(status)
        else:
            body = await _own(context, call, kept, part)
            await delivery.send_whole(200, {**base_headers(turn), "content-type": "application/json"}, body)
            turn.record.outcome = "ok"


def _check_provider(turn: Turn, provider: str) -> None:
    """Whether the key may still ask the provider that keeps its response.

    Raises:
        PolicyRefusal: 403.
    """
    gap = provider_gap(turn.call.key.rights, turn.wish, provider, turn.wishers) if turn.call.key is not None else None
    if gap is not None:
        raise PolicyRefusal(f"What keeps this response may not be asked ({gap}).", code="policy_no_candidate")


def _not_found(response_id: str) -> ClientMistake:
    return ClientMistake(
        f"Response with id '{response_id[:80]}' not found.",
        status=404,
        kind="not_found",
        code="response_not_found",
        remedy="One that was asked for with `store: false`, by another key, or long ago is not kept; one that a "
        "provider made for somebody else is at /passthrough/{provider}/v1/responses/{id}.",
    )


async def _own(context: Context, call: Call, kept: KeptResponse, part: str) -> bytes:
    """The answer to a request about a response that the gateway keeps.

    Raises:
        ClientMistake: it is over, so there is nothing to cancel or to stream.
    """
    query = {name: values[-1] for name, values in parse_qs(call.query).items()}
    if part == "input_items":
        return _page(_items(kept.input), query)
    if part == "cancel":
        raise ClientMistake(
            "Cannot cancel a synchronous response.",
            code="not_in_background",
            remedy="Only a response with `background: true` can be cancelled; hang up to end any other one.",
        )
    if call.method == "DELETE":
        await context.responses.delete(kept.id)
        return _encode({"id": kept.id, "object": "response", "deleted": True})
    if query.get("stream") == "true":
        raise ClientMistake(
            "This response was not made in the background, and its stream is over: it cannot be streamed again.",
            code="not_in_background",
            param="stream",
            remedy="Leave out `stream`. A stream can be read again for as long as `reconnect` of its route says.",
        )
    return kept.answer


def _page(items: list[dict[str, Any]], query: dict[str, str]) -> bytes:
    """A page of the items, the newest first unless the client says otherwise.

    Raises:
        ClientMistake: `limit`, `order` or `after` is not right.
    """
    order, limit, after = query.get("order", "desc"), query.get("limit", str(PAGE)), query.get("after")
    if order not in ("asc", "desc"):
        raise ClientMistake("The field 'order' is neither 'asc' nor 'desc'.", code="invalid_value", param="order")
    if not limit.isascii() or not limit.isdigit() or len(limit) > 9 or not 1 <= int(limit) <= MOST:
        raise ClientMistake(f"The field 'limit' is none of 1 to {MOST}.", code="invalid_value", param="limit")
    ordered = items if order == "asc" else items[::-1]
    if after is not None:
        place = next((index for index, item in enumerate(ordered) if item.get("id") == after), None)
        if place is None:
            raise ClientMistake(f"There is no item '{after[:80]}'.", code="invalid_value", param="after")
        ordered = ordered[place + 1 :]
    shown = ordered[: int(limit)]
    first, last = (shown[0].get("id"), shown[-1].get("id")) if shown else (None, None)
    return _encode(
        {"object": "list", "data": shown, "first_id": first, "last_id": last, "has_more": len(ordered) > len(shown)}
    )


async def _ask_keeper(turn: Turn, delivery: Delivery, kept: KeptResponse, part: str) -> int:
    """Asks the provider that keeps it, and passes on what it answers. The status that it answered.

    Raises:
        Upstream: it is not there any more, or does not answer in time.
        PolicyRefusal: a policy keeps requests from it.
        ClientGone: the client hung up.
    """
    call, limits = turn.call, turn.snapshot.defaults.limits
    turn.record.provider = kept.provider
    path = f"/responses/{quote(kept.id, safe='')}" + (f"/{part}" if part else "") + query_of(call.query)
    try:
        passage, path = _passage(turn, kept, path)
        async with asyncio.timeout(limits.first_token_s):
            response = await passage.send(call.method, path, {}, b"", limits.connect_s)
        try:
            if response.status < 300 and call.method == "DELETE":
                await turn.context.responses.delete(kept.id)
            await _pass_on(turn, delivery, kept, response)
            return response.status
        finally:
            response.close()
    except (TransportError, TimeoutError) as error:
        text = f"{kept.provider}: {error or 'no answer in time'}"
        raise Upstream(text, kind="connection", code="keeper_unreachable", remedy="Try again later.") from error


def _passage(turn: Turn, kept: KeptResponse, path: str) -> tuple[Passage, str]:
    provider = turn.snapshot.providers.get(kept.provider)
    hold_for_model(turn, kept.model)
    passage = passage_of(turn, provider, kept.model) if provider is not None else None
    if provider is None or passage is None:
        raise TransportError("it keeps the response, and is not configured any more", connected=False)
    return passage, provider.path_of(path, kept.model)


def _kind_of(response: UpstreamResponse) -> str:
    """Its content type; a page of a provider's is none of this gateway's."""
    kind = response.headers.get("content-type", "application/json")
    return kind if kind.startswith(("application/json", "text/event-stream")) else "application/json"


async def _pass_on(turn: Turn, delivery: Delivery, kept: KeptResponse, response: UpstreamResponse) -> None:
    headers = {
        **base_headers(turn),
        "x-afterbay-provider": header_text(kept.provider),
        "content-type": _kind_of(response),
    }
    turn.record.status = response.status
    wait_s = turn.snapshot.defaults.limits.between_tokens_s
    async with asyncio.timeout(wait_s):
        data = await response.read()
    await delivery.reply.start(response.status, headers)
    while data:
        await delivery.write(data)
        async with asyncio.timeout(wait_s):
            data = await response.read()
    await delivery.settle_first("ok" if response.status < 400 else kind_of_status(response.status))
    await delivery.reply.end()
