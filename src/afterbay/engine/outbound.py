"""What is sent to a target: the client's own bytes where the dialects match, else the request built anew."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_plus

import msgspec

from afterbay.core.decision import Target
from afterbay.core.request import ChatRequest
from afterbay.engine.context import Call, Turn
from afterbay.policy.filters import SOFT, lacks
from afterbay.policy.room import Shrunk
from afterbay.wire import openai_chat, openai_responses
from afterbay.wire.anthropic_messages import count
from afterbay.wire.anthropic_messages.build import PATH as MESSAGES_PATH
from afterbay.wire.anthropic_messages.vertex import for_vertex
from afterbay.wire.cap import capped, limit_of
from afterbay.wire.decoding import not_json
from afterbay.wire.features import strip
from afterbay.wire.openai_chat.accent import NEUTRAL
from afterbay.wire.openai_chat.accents import ACCENTS
from afterbay.wire.openai_chat.relay import ask_for_usage
from afterbay.wire.proofs import admitted, without_foreign
from afterbay.wire.registry import DIALECTS
from afterbay.wire.splice import rename_model, replace_model
from afterbay.wire.toolcalls.names import renamed as rename

FORWARDED = {
    "anthropic.messages": ("anthropic-version", "anthropic-beta"),
    "openai.chat": ("openai-beta",),
    "openai.responses": ("openai-beta",),
}
"""Client headers that a relay passes on verbatim, by dialect. No other header of a client ever goes upstream."""


class Outbound(msgspec.Struct, frozen=True):
    """A request to a provider, without address and credentials.

    `hides_usage`: the stream will tell its usage, and the client did not ask for it. `names`: tools that were renamed
    for the target, as sent -> the client's name. `losses` names what was left out or set. `relays`: the answer may
    pass as it comes, if the dialects match. `input_tokens`: an estimate, where it is not what the client sent.
    """

    path: str
    body: bytes
    headers: dict[str, str]
    hides_usage: bool = False
    names: Mapping[str, str] = {}
    losses: tuple[str, ...] = ()
    relays: bool = True
    input_tokens: int | None = None


def prepare(turn: Turn, target: Target) -> Outbound:
    """The request for this target. Hints that are dropped on the way become warnings.

    One that is too long for its window is built anew where the route allows it, and is no relay then.
    """
    call = turn.call
    shrunk = turn.fitting.of(target) if turn.fitting is not None else None
    if shrunk is not None:
        return _shrunk(turn, target, shrunk)
    lacking = _lacking(turn, target)
    spoken = target.dialect_for(call.dialect.name)
    if spoken == call.dialect.name and not lacking:
        body, took = without_foreign(relayed_body(turn, target), target.maker, turn.context.makers)
        if took:
            turn.warnings.append(_warning("signatures of another maker"))
        asking = (
            ask_for_usage(body)
            if turn.stream and turn.route.ask_usage and call.dialect is openai_chat.DIALECT
            else None
        )
        path = call.dialect.relay_path(call.path, target.name) + query_of(call.query)
        path, body = addressed(turn, target, path, _within_means(turn, target, asking or body))
        return Outbound(path, body, forwarded(call, spoken), asking is not None)
    outbound = rebuild(turn, target, turn.request)
    _name_losses(turn, outbound, lacking)
    return outbound


def _shrunk(turn: Turn, target: Target, shrunk: Shrunk) -> Outbound:
    call, spoken = turn.call, target.dialect_for(turn.call.dialect.name)
    outbound = rebuild(turn, target, shrunk.request)
    turn.warnings.append(f"too long for {target.id}: {shrunk.told}")
    _name_losses(turn, outbound, _lacking(turn, target) | {*shrunk.request.foreign})
    hides_usage = turn.stream and spoken == openai_chat.DIALECT.name and not shrunk.request.include_usage
    headers = outbound.headers | (forwarded(call, spoken) if spoken == call.dialect.name else {})
    return msgspec.structs.replace(outbound, headers=headers, hides_usage=hides_usage, input_tokens=shrunk.tokens)


def _name_losses(turn: Turn, outbound: Outbound, lacking: frozenset[str]) -> None:
    turn.warnings += [f"dropped: {name}" if name in lacking else _warning(name) for name in outbound.losses]


def rebuild(turn: Turn, target: Target, request: ChatRequest) -> Outbound:
    """A request built anew for this target, without what it lacks, its tools by names that its dialect takes.

    That calls come one at a time is no loss where the target cannot be told: `afterbay.engine.calls` sees to it. An
    answer of Responses to it is no relay: the provider keeps none, and calls functions for the client's custom tools.

    Raises:
        ClientMistake: a schema, or arguments of a call, are not JSON.
    """
    cap = turn.purse.cap(target, request, translated=True) if turn.purse is not None else None
    outbound = _rebuilt(turn, target, request, cap)
    if cap is not None and (limit_of(target.dialect_for(turn.call.dialect.name), outbound.body) or 0) > cap:
        # Thinking that some protocols grant beside the answer would cost more than there is.
        plain = _rebuilt(turn, target, msgspec.structs.replace(request, reasoning=None), cap)
        return msgspec.structs.replace(plain, losses=(*plain.losses, "reasoning"))
    return outbound


def _rebuilt(turn: Turn, target: Target, request: ChatRequest, cap: int | None) -> Outbound:
    lacking, client = _lacking(turn, target), turn.call.dialect.name
    dialect = DIALECTS[target.dialect_for(client)]
    stripped = strip(request, lacking) if lacking else request
    if cap is not None:
        sampling = msgspec.structs.replace(stripped.sampling, max_output_tokens=cap)
        stripped = msgspec.structs.replace(stripped, sampling=sampling)
    seen, left_out = admitted(stripped, client, target.maker)
    renamed, names = rename(seen, dialect.tool_name) if seen.tools else (seen, {})
    try:
        built = dialect.build_for(target.vendor, renamed, target.name)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # schemas and arguments stay as they came until here
        raise not_json(error, turn.call.body) from None
    kept = request.tools and request.parallel_tool_calls is False
    losses = (*sorted(lacking), *left_out, *built.losses)
    losses = tuple(name for name in losses if not (kept and name == "parallel_tool_calls"))
    path, body = addressed(turn, target, built.path, built.body, streams=turn.stream and request.stream)
    relays = dialect is not openai_responses.DIALECT
    return Outbound(path, body, built.headers, names=names, losses=losses, relays=relays)


def _within_means(turn: Turn, target: Target, body: bytes) -> bytes:
    """A relayed body that asks for no longer an answer than the request's money buys; nearly always as it is."""
    cap = turn.purse.cap(target) if turn.purse is not None else None
    if cap is None:
        return body
    spoken = turn.call.dialect.name
    name = ACCENTS.get(target.vendor, NEUTRAL).limit_field(target.name) if spoken == openai_chat.DIALECT.name else None
    try:
        return capped(spoken, body, cap, name)
    except msgspec.DecodeError as error:
        raise not_json(error, body) from None


def addressed(turn: Turn, target: Target, path: str, body: bytes, *, streams: bool | None = None) -> tuple[str, bytes]:
    """Path and body as the target's provider wants them: a dialect knows the path of its inventor.

    `streams` None: as the client asked.

    Raises:
        ClientMistake: the model's name cannot stand in the provider's address.
    """
    provider = turn.snapshot.providers[target.provider]
    if provider.kind == "vertex" and path.startswith(MESSAGES_PATH):
        body = for_vertex(body, counts=path.startswith(count.PATH))
    return provider.path_of(path, target.name, stream=turn.stream if streams is None else streams), body


def relayed_body(turn: Turn, target: Target) -> bytes:
    """The client's own body under the target's name."""
    call = turn.call
    if target.name == turn.model:
        return call.body
    if call.path_model is None:
        return replace_model(call.body, target.name)
    return call.body if turn.record.operation == "chat" else rename_model(call.body, turn.model, target.name)


def forwarded(call: Call, dialect: str) -> dict[str, str]:
    """The headers of a client that a target of its own dialect gets."""
    return {name: call.headers[name] for name in FORWARDED.get(dialect, ()) if name in call.headers}


def _warning(loss: str) -> str:
    """What a client is told: a field was left out, or (`field=value`) set to what the target's protocol demands."""
    return f"set: {loss}" if "=" in loss else f"dropped: {loss}"


def query_of(raw: str) -> str:
    """The client's query as it came, without `key`: that is where Gemini's clients show the gateway's own key."""
    kept = [pair for pair in raw.split("&") if pair and unquote_plus(pair.partition("=")[0]) != "key"]
    return f"?{'&'.join(kept)}" if kept else ""


def _lacking(turn: Turn, target: Target) -> frozenset[str]:
    """Features that must be taken out for this target: those to be dropped, and wishes that it cannot have."""
    if not target.cannot and not turn.drops:
        return frozenset()
    if turn.unreadable() is not None:
        return frozenset()
    lacking = turn.features & target.cannot & SOFT
    if turn.drops:
        client = turn.call.dialect.name
        lacking |= lacks(turn.features, client, target, DIALECTS[target.dialect_for(client)].cannot)
    return lacking
