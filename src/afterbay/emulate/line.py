"""One HTTP exchange as the emulator needs it: a bounded body, writes with a deadline, and ways to break it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from afterbay.core.errors import ClientMistake

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_BYTES = 32 * 1024 * 1024
"""Larger requests are refused."""
BODY_S = 60.0
"""A request's body must be there by then."""
WRITE_S = 60.0
"""A client that takes no bytes for so long is given up."""

TRANSPORT = "afterbay.emulate.transport"
_LINGER_NOT = struct.pack("ii", 1, 0)


class BreakableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which shows the application its transport, so that it can break the connection."""

    def on_message_begin(self) -> None:
        """Begins a request's scope."""
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


class Gone(Exception):
    """The client hung up, or the connection was broken on purpose: there is nobody to write to."""


class Line:
    """One request and the way back. `started`: the status line went out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self.started = False
        self.ended = False
        self.broken = False

    async def read_body(self) -> bytes:
        """The request's body.

        Raises:
            ClientMistake: it is larger than `BODY_BYTES`, or not there after `BODY_S` seconds.
            Gone: the client hung up first.
        """
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_S):
                while True:
                    message = await self._receive()
                    if message["type"] != "http.request":
                        raise Gone
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > BODY_BYTES:
                        raise ClientMistake(
                            f"The body is larger than {BODY_BYTES} bytes.", status=413, kind="too_large"
                        )
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise ClientMistake("The body did not arrive in time.", status=408, kind="timeout") from None

    async def wait_gone(self) -> None:
        """Returns when the client hangs up. Only after the body was read; no deadline: its caller's task has one."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Sends status and headers.

        Raises:
            Gone: the client does not read.
        """
        self.started = True
        raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self._out({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes) -> None:
        """Sends bytes of the body, as they are; nothing for no bytes.

        Raises:
            Gone: the client does not read.
        """
        if data:
            await self._out({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """Ends the body properly."""
        self.ended = True
        await self._out({"type": "http.response.body", "body": b"", "more_body": False})

    async def _out(self, message: MutableMapping[str, Any]) -> None:
        try:
            async with asyncio.timeout(WRITE_S):
                await self._send(message)
        except TimeoutError:
            self._shut(reset=True)
            raise Gone from None

    async def shatter(self, *, reset: bool) -> None:
        """Breaks the connection: with a TCP reset, or by closing it where bytes are still owed.

        Raises:
            Gone: always; the exchange is over.
        """
        self._shut(reset=reset)
        raise Gone

    def _shut(self, *, reset: bool) -> None:
        self.broken = True
        transport: asyncio.Transport = self._scope["extensions"][TRANSPORT]["transport"]
        if reset:
            raw: socket.socket = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            transport.abort()
        else:
            transport.close()
