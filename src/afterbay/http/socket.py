"""A client's WebSocket over ASGI."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from afterbay.http.reply import Receive, Send
from afterbay.ports import ClientGone, Closed, Message, TransportError

REFUSED = 1008
NO_CODE, ABNORMAL = 1005, 1006


class AsgiSocket:
    """See `afterbay.ports.ClientSocket`."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        self._can_answer = "websocket.http.response" in (scope.get("extensions") or {})
        self._receive, self._send = receive, send
        self._is_open = True
        """Whether the client still listens, as far as one knows."""

    async def accept(self, subprotocol: str | None, headers: Mapping[str, str]) -> None:
        """Opens it."""
        try:
            await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": _raw(headers)})
        except OSError as error:  # how ASGI servers say that nobody listens
            raise ClientGone from error

    async def refuse(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answers with a status, or closes where the server has no way to say one."""
        self._is_open = False
        sent = _raw({**headers, "content-length": str(len(body))})
        with contextlib.suppress(OSError):
            if not self._can_answer:
                await self._send({"type": "websocket.close", "code": REFUSED, "reason": ""})
                return
            await self._send({"type": "websocket.http.response.start", "status": status, "headers": sent})
            await self._send({"type": "websocket.http.response.body", "body": body, "more_body": False})

    async def receive(self) -> Message | Closed:
        """The next message, or the end."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._is_open = False
                # uvicorn says 1005 as well of a connection that broke, but then without any reason
                code = message.get("code") or NO_CODE
                lost = code == NO_CODE and message.get("reason") is None
                return Closed(ABNORMAL if lost else code, message.get("reason") or "")
            if message["type"] == "websocket.receive":
                text: str | None = message.get("text")
                data: bytes | None = message.get("bytes")
                return text if text is not None else data or b""

    async def send(self, message: Message) -> None:
        """Sends a message."""
        kind = "text" if isinstance(message, str) else "bytes"
        try:
            await self._send({"type": "websocket.send", kind: message})
        except OSError as error:
            raise TransportError("the client hung up", connected=True) from error

    async def close(self, code: int, reason: str) -> None:
        """Says goodbye."""
        if not self._is_open:
            return
        self._is_open = False
        with contextlib.suppress(OSError, RuntimeError):  # it is closed already
            await self._send({"type": "websocket.close", "code": code, "reason": reason})


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
