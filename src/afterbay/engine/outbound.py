"""What is sent to a target: the client's own bytes where the dialects match, else the request built anew."""

from __future__ import annotations

from urllib.parse import unquote_plus

import msgspec

from afterbay.core.decision import Target
from afterbay.engine.context import Call, Turn
from afterbay.policy.route import SOFT, lacks
from afterbay.wire import openai_chat
from afterbay.wire.anthropic_messages import count
from afterbay.wire.anthropic_messages.build import PATH as MESSAGES_PATH
from afterbay.wire.anthropic_messages.vertex import for_vertex
from afterbay.wire.features import strip
from afterbay.wire.openai_chat.relay import ask_for_usage
from afterbay.wire.proofs import admitted, without_foreign
from afterbay.wire.registry import DIALECTS
from afterbay.wire.splice import rename_model, replace_model

FORWARDED = {"anthropic.messages": ("anthropic-version", "anthropic-beta")}
"""Client headers that a relay passes on verbatim, by dialect. No other header of a client ever goes upstream."""


class Outbound(msgspec.Struct, frozen=True):
    """A request to a provider, without address and credentials.

    `hides_usage`: the stream will tell its usage, and the client did not ask for it.
    """

    path: str
    body: bytes
    headers: dict[str, str]
    hides_usage: bool = False


def prepare(turn: Turn, target: Target) -> Outbound:
    """The request for this target. Hints that are dropped on the way become warnings."""
    call = turn.call
    lacking = _lacking(turn, target)
    spoken = target.dialect_for(call.dialect.name)
    if spoken == call.dialect.name and not lacking:
        body, took = without_foreign(relayed_body(turn, target), target.maker)
        if took:
            turn.warnings.append(_warning("signatures of another maker"))
        asking = (
            ask_for_usage(body)
            if turn.stream and turn.route.ask_usage and call.dialect is openai_chat.DIALECT
            else None
        )
        path = call.dialect.relay_path(call.path, target.name) + query_of(call.query)
        path, body = addressed(turn, target, path, asking or body)
        return Outbound(path, body, forwarded(call, spoken), asking is not None)
    request = strip(turn.request, lacking) if lacking else turn.request
    request, left_out = admitted(request, call.dialect.name, target.maker)
    built = DIALECTS[spoken].build_request(request, target.name)
    turn.warnings += [_warning(name) for name in (*sorted(lacking), *left_out, *built.losses)]
    path, body = addressed(turn, target, built.path, built.body)
    return Outbound(path, body, built.headers)


def addressed(turn: Turn, target: Target, path: str, body: bytes) -> tuple[str, bytes]:
    """Path and body as the target's provider wants them: a dialect knows the path of its inventor.

    Raises:
        ClientMistake: the model's name cannot stand in the provider's address.
    """
    provider = turn.snapshot.providers[target.provider]
    if provider.kind == "vertex" and path.startswith(MESSAGES_PATH):
        body = for_vertex(body, counts=path.startswith(count.PATH))
    return provider.path_of(path, target.name, stream=turn.stream), body


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
