"""OpenAI's Responses: a chat with a memory. The memory is `ports.Responses`.

Whoever answers a request keeps it, unless the client says `store: false`: a provider of this protocol keeps its own
(and only its name is noted here), every other answer is kept by the gateway. A request that continues a response of
the gateway's gets the turns so far in front of its own, and any target can answer it. One that continues a provider's
goes to that provider; one that continues a response unknown here may still be known to a provider.
"""

from __future__ import annotations

import logging

import msgspec

from afterbay.core.decision import Target
from afterbay.core.errors import ClientMistake
from afterbay.engine import pipeline
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.exchange import Exchange
from afterbay.engine.failure import not_found
from afterbay.ports import KeptResponse, Reply
from afterbay.wire.openai_responses.history import expand, input_items, previous_response_id

TURNS = 1000
"""Longest chain of responses that is followed."""

_ESCAPED = b"\\u00"
"""How a letter of a field's name begins where it is escaped: whoever decodes it reads the same name."""

logger = logging.getLogger("afterbay.engine")


class _Wish(msgspec.Struct):
    store: bool | None = None


class _Output(msgspec.Struct):
    output: list[msgspec.Raw]


_wish = msgspec.json.Decoder(_Wish).decode
_output = msgspec.json.Decoder(_Output).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


async def serve_responses(context: Context, call: Call, reply: Reply) -> None:
    """Serves one request for a response. See `afterbay.engine.pipeline.serve`."""
    await pipeline.serve(Turn(context, call, "chat"), reply, Exchange, prepare)


async def prepare(turn: Turn) -> None:
    """Finds out which model is asked for, and puts what the request continues in front of it.

    Raises:
        ClientMistake: the body is not right, or what it continues is not there any more.
    """
    pipeline.prepare(turn)
    body = turn.call.body
    previous = _previous(body)
    if previous is not None:
        kept = await _continued(turn.context, turn.call, previous)
        if kept is None:
            turn.continues_unknown = previous
        elif kept.provider:
            turn.kept_by = kept.provider
        else:
            history = await _history(turn, kept)
            turn.call = msgspec.structs.replace(turn.call, body=expand(body, history))
    if _keeps(body):

        async def keep(target: Target, response_id: str, answer: bytes) -> None:
            await _keep(turn, target, response_id, answer, previous)

        turn.keep = keep


async def owned(context: Context, call: Call, response_id: str) -> KeptResponse | None:
    """A kept response of the one who asks; None: there is none."""
    kept = await context.responses.get(response_id)
    key_id = call.key.id if call.key is not None else None
    return kept if kept is not None and kept.key_id == key_id else None


def _previous(body: bytes) -> str | None:
    """The response that a body continues. Most name none, and are not decoded for it."""
    return previous_response_id(body) if b"previous_response_id" in body or _ESCAPED in body else None


async def _continued(context: Context, call: Call, previous: str) -> KeptResponse | None:
    """The kept response that a request continues; None: a provider may know it.

    Raises:
        ClientMistake: another key's. Providers see one account only, and would go on with whosoever's it is.
    """
    kept = await context.responses.get(previous)
    if kept is not None and kept.key_id != (call.key.id if call.key is not None else None):
        raise not_found(previous)
    return kept


async def check_continued(context: Context, call: Call) -> None:
    """Lets a body that is only relayed continue nothing of another key's.

    Raises:
        ClientMistake: it does.
    """
    previous = _previous(call.body)
    if previous is not None:
        await _continued(context, call, previous)


def _keeps(body: bytes) -> bool:
    try:
        return _wish(body).store is not False
    except msgspec.ValidationError:
        return False  # the target will say what is wrong with it


async def _history(turn: Turn, last: KeptResponse) -> list[bytes]:
    """The items of a chain of responses, oldest first.

    Raises:
        ClientMistake: a link is missing, or it is too long.
    """
    pieces: list[list[msgspec.Raw]] = []
    size, link = 0, last
    for _ in range(TURNS):
        pieces.append([*_items(link.input), *_output(link.answer).output])
        size += len(link.input) + len(link.answer)
        if size > turn.snapshot.limits.body_bytes:
            break
        if link.previous_id is None:
            return [bytes(item) for piece in reversed(pieces) for item in piece]
        before = await owned(turn.context, turn.call, link.previous_id)
        if before is None or before.provider:
            raise not_found(link.previous_id)
        link = before
    raise ClientMistake(
        f"The conversation behind '{last.id}' is too long: over {TURNS} turns, or over limits.body_bytes.",
        code="context_length_exceeded",
        param="previous_response_id",
        remedy="Begin a new one with a summary of it.",
    )


async def _keep(turn: Turn, target: Target, response_id: str, answer: bytes, previous: str | None) -> None:
    """Keeps an answer. One that cannot be kept is answered all the same, and the record says so."""
    call = turn.call
    key_id = call.key.id if call.key is not None else None
    if turn.shown_id and turn.kept_by:
        turn.warnings.append("the response was resumed, but its provider keeps its beginning only")
        return
    kept = KeptResponse(response_id, key_id, turn.context.clock.utc(), target.provider, turn.model)
    if answer:
        own = turn.shown_id or f"resp_{call.id.removeprefix('req_')}"
        seen = _encode(input_items(turn.asked))
        kept = msgspec.structs.replace(kept, id=own, provider="", previous_id=previous, input=seen, answer=answer)
    if not kept.id:
        return
    try:
        await turn.context.responses.put(kept)
    except Exception:
        logger.exception("the response %s could not be kept", kept.id)
        turn.warnings.append("the response could not be kept: it cannot be continued by its id")
