"""`/passthrough/{provider}/…`: who asks, for what, and the two kinds of connection that it may be asked over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from afterbay.core.errors import ClientMistake, GatewayError
from afterbay.engine.context import Call, Context
from afterbay.engine.delivery import error_headers
from afterbay.engine.passthrough import Raw, serve_passthrough
from afterbay.engine.tunnel import serve_tunnel
from afterbay.http.body import StreamedBody, check_length
from afterbay.http.identity import Client, identify, secret_of
from afterbay.http.reply import AsgiReply, Receive, Send
from afterbay.http.socket import AsgiSocket
from afterbay.policy.passage import PREFIX, split
from afterbay.ports import ClientGone, Keys
from afterbay.wire import openai_chat
from afterbay.wire.dialect import Dialect
from afterbay.wire.registry import DIALECTS

KEY_SUBPROTOCOL = "openai-insecure-api-key."
"""How clients in browsers, which cannot set headers, show their key. Source: OpenAI, "Realtime API with WebSockets",
November 2026."""
SECRET_CHARS = 8
"""Shorter keys, which an open gateway takes, are not looked for in what goes upstream: they are in other words too."""


def is_raw(scope: Mapping[str, Any]) -> bool:
    """Whether a path is for this module. It is looked at as it came: an encoded slash is no slash."""
    raw: bytes = scope.get("raw_path") or b""
    return raw.startswith(PREFIX.encode())


class _Asked(msgspec.Struct, frozen=True):
    """A request as it came, before anybody knows who asks."""

    call: Call
    raw: Raw


class RawEndpoints:
    """Serves raw requests. One call is one request, or one WebSocket."""

    def __init__(self, context: Context, keys: Keys) -> None:
        self._context = context
        self._keys = keys

    async def http(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One HTTP request."""
        asked = self._read(scope, scope["method"], {})
        reply = AsgiReply(receive, send)
        try:
            asked = self._identify(asked, scope)
            limits = self._context.fleet.snapshot.limits
            check_length(asked.call.headers, limits.body_bytes)
            body = StreamedBody(receive, limits.body_bytes, float(limits.body_timeout), reply.watch)
            await serve_passthrough(self._context, asked.call, asked.raw, body, reply)
        except ClientGone:
            pass
        except GatewayError as error:
            headers, told = _refusal(error, asked.call)
            await reply.start(error.status, {**headers, "content-length": str(len(told)), "connection": "close"})
            await reply.end(told)
        except asyncio.CancelledError:
            if not reply.gone:
                raise
        finally:
            reply.close()

    async def socket(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One WebSocket."""
        subprotocols: Sequence[str] = scope.get("subprotocols") or ()
        keys = [one.removeprefix(KEY_SUBPROTOCOL) for one in subprotocols if one.startswith(KEY_SUBPROTOCOL)]
        asked = self._read(scope, "GET", {"authorization": f"Bearer {keys[0]}"} if keys else {})
        client = AsgiSocket(scope, receive, send)
        await receive()  # the request for it, which the scope has told of already
        try:
            if not is_raw(scope):
                raise _no_socket(scope["path"])
            asked = self._identify(asked, scope)
        except GatewayError as error:
            await client.refuse(error.status, *_refusal(error, asked.call))
            return
        offered = [one for one in subprotocols if not one.startswith(KEY_SUBPROTOCOL)]
        await serve_tunnel(self._context, asked.call, asked.raw, offered, client)

    def _read(self, scope: Mapping[str, Any], method: str, otherwise: Mapping[str, str]) -> _Asked:
        """What came. `otherwise`: the key that counts where neither a header nor the query shows one."""
        clock = self._context.clock
        received_s, received_at = clock.monotonic(), clock.utc()
        call_id = self._context.new_id(received_at)
        headers = _joined(scope["headers"])
        query: str = scope["query_string"].decode("latin-1")
        if secret_of(headers, query) is None:
            headers |= otherwise
        path: str = (scope.get("raw_path") or b"").decode("latin-1")
        provider, rest = split(path)
        dialect = self._dialect(provider, headers)
        call = Call(call_id, dialect, b"", headers, received_s, received_at, query=query, path=path)
        shown = secret_of(headers, query)
        return _Asked(call, Raw(method, provider, rest, shown if shown and len(shown) >= SECRET_CHARS else None))

    def _identify(self, asked: _Asked, scope: Mapping[str, Any]) -> _Asked:
        """The request with the key that asks.

        Raises:
            GatewayError: 401, 403.
        """
        client = Client.of(scope, asked.call.received_at)
        key = identify(self._keys, client, asked.call.headers, asked.call.query)
        return msgspec.structs.replace(asked, call=msgspec.structs.replace(asked.call, key=key))

    def _dialect(self, provider: str, headers: Mapping[str, str]) -> Dialect:
        """Whose clients understand the errors: the provider's, else those that the headers look like."""
        known = self._context.fleet.snapshot.providers.get(provider)
        if known is not None:
            return DIALECTS.get(known.chat_dialect or "", openai_chat.DIALECT)
        if "anthropic-version" in headers:
            return DIALECTS["anthropic.messages"]
        return DIALECTS["gemini" if "x-goog-api-key" in headers else "openai.chat"]


def _joined(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; those that came several times as one list (RFC 9110 5.3), so that none is lost."""
    headers: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1"), value_bytes.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _no_socket(path: str) -> ClientMistake:
    return ClientMistake(
        f"There is no WebSocket at {path[:200]}.",
        status=404,
        kind="not_found",
        code="unknown_endpoint",
        remedy="A provider's own are at /passthrough/{provider}/..., such as /passthrough/openai/v1/realtime.",
    )


def _refusal(error: GatewayError, call: Call) -> tuple[dict[str, str], bytes]:
    """Headers and body for a request that never became one of the engine's."""
    headers = {"x-request-id": call.id, "content-type": "application/json", **error_headers(error)}
    return headers, call.dialect.render_error(error, call.id)
