"""What is sent to a target: the client's own bytes where the dialects match, else the request built anew."""

from __future__ import annotations

from urllib.parse import unquote_plus

import msgspec

from afterbay.core.decision import Target
from afterbay.engine.context import Turn
from afterbay.policy.route import SOFT, lacks
from afterbay.wire import openai_chat
from afterbay.wire.features import strip
from afterbay.wire.openai_chat.relay import ask_for_usage
from afterbay.wire.registry import DIALECTS
from afterbay.wire.splice import replace_model

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
    if target.dialect == call.dialect.name and not lacking:
        headers = {name: call.headers[name] for name in FORWARDED.get(target.dialect, ()) if name in call.headers}
        body = relayed_body(turn, target)
        asking = (
            ask_for_usage(body)
            if turn.stream and turn.route.ask_usage and call.dialect is openai_chat.DIALECT
            else None
        )
        return Outbound(call.dialect.endpoint + _query(call.query), asking or body, headers, asking is not None)
    request = strip(turn.request, lacking) if lacking else turn.request
    built = DIALECTS[target.dialect].build_request(request, target.name)
    turn.warnings += [_warning(name) for name in (*sorted(lacking), *built.losses)]
    return Outbound(built.path, built.body, built.headers)


def relayed_body(turn: Turn, target: Target) -> bytes:
    """The client's own body under the target's name."""
    body = turn.call.body
    return body if target.name == turn.model else replace_model(body, target.name)


def _warning(loss: str) -> str:
    """What a client is told: a field was left out, or (`field=value`) set to what the target's protocol demands."""
    return f"set: {loss}" if "=" in loss else f"dropped: {loss}"


def _query(raw: str) -> str:
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
        lacking |= lacks(turn.features, turn.call.dialect.name, target, DIALECTS[target.dialect].cannot)
    return lacking
