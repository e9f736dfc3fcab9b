"""One client's connection, with bounds on the head of a request, and its change into a WebSocket.

uvicorn bounds neither how large a request's head may grow nor how long it may take, and httptools joins the pieces of a
header anew for each read: one stranger without a key could fill the memory, keep a core busy, and hold any number of
connections open without ever asking anything.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import uvicorn.server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

HEAD_BYTES: Final = 64 * 1024
"""Longest head of a request: its line and its headers."""
HEAD_S: Final = 10.0
"""So long a head may take, from the connection's start or from its own first byte."""

SOCKET_HEADERS: Final = 128
SOCKET_LINE_BYTES: Final = 8 * 1024
"""Most headers, and the longest line, of a request for a WebSocket: what the library behind it takes."""

_TOO_LARGE: Final = b"The head of the request is larger than %d bytes." % HEAD_BYTES


class ServerState(uvicorn.server.ServerState):
    """What the connections of a server share; `is_leaving`: each answer is the last one of its connection."""

    is_leaving = False


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which answers 431 to a head that is too large and hangs up on one that is too slow.

    A connection that lies idle between two requests is uvicorn's business (keep-alive); here only heads count.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._head_bytes = self._read_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """The client connected: its first head may take its time from now on."""
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came. While a head is unfinished the parser holds them all, and joins them anew at each read."""
        if self._in_head:
            if self._head_bytes > HEAD_BYTES:
                self._refuse()
                return
            self._head_bytes += len(data)
        self._read_bytes = len(data)
        super().data_received(data)
        if self._in_head and self._head_timer is None and not self.transport.is_closing():
            self._arm()

    def on_message_begin(self) -> None:
        """A request begins. What else is in this read counts for its head until the head is there."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._read_bytes

    def on_headers_complete(self) -> None:
        """The head is there.

        Raises:
            OverflowError: it is too large; httptools makes a parser's error of it, and uvicorn ends the connection.
        """
        self._in_head = False
        self._disarm()
        if self._head_bytes > HEAD_BYTES:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > HEAD_BYTES:
                self._head_bytes = size
                raise OverflowError
        super().on_headers_complete()
        if getattr(self.server_state, "is_leaving", False):
            self.end_after_answer()

    def end_after_answer(self) -> None:
        """The answer that is to be given, or the last of those that wait, ends the connection, and says so.

        One that has begun has said otherwise: its client may ask again before it sees that nobody is there.
        """
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    @property
    def is_idle(self) -> bool:
        """Whether it lies between two requests. One that is new is not idle: its first request is on the way."""
        return not self._in_head and self.cycle is not None and self.cycle.response_complete

    def end_if_idle(self) -> None:
        """Hangs up, unless a request is being answered or read."""
        if self.is_idle:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP, or too much of it."""
        if self._head_bytes > HEAD_BYTES:
            self._refuse()
        else:
            super().send_400_response(msg)

    def handle_websocket_upgrade(self) -> None:
        """Hands the connection to the WebSocket protocol, unless that would leave it without an answer for ever.

        Another request that is still being answered would never learn that its client left; and of a head that it
        refuses to read, the library behind the WebSocket protocol says nothing.
        """
        method, lines = self.scope["method"], [self.url, *(value for _, value in self.headers)]
        names = {name for name, _ in self.headers}
        if self.cycle is not None and not self.cycle.response_complete:
            self._answer(b"400 Bad Request", b"A WebSocket cannot be asked for while a request is being answered.")
        elif len(lines) > SOCKET_HEADERS or max(map(len, lines)) > SOCKET_LINE_BYTES - 200:
            self._answer(b"431 Request Header Fields Too Large", b"The head of the request is too large.")
        elif method != "GET" or names & {b"content-length", b"transfer-encoding"}:
            self._answer(b"400 Bad Request", b"A WebSocket is asked for by a GET without a body.")
        else:
            super().handle_websocket_upgrade()

    def _answer(self, status: bytes, text: bytes) -> None:
        head = b"HTTP/1.1 %s\r\ncontent-type: text/plain; charset=utf-8\r\n" % status
        head += b"content-length: %d\r\nconnection: close\r\n\r\n" % len(text)
        if not self.transport.is_closing():
            self.transport.write(head + text)
            self.transport.close()

    def _refuse(self) -> None:
        self._answer(b"431 Request Header Fields Too Large", _TOO_LARGE)

    def _arm(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._late)

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _late(self) -> None:
        """The head is not there in time. While another request is being answered, its client may hold the next one."""
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._arm()
        elif not self.transport.is_closing():
            self.transport.close()


_quiet = logging.getLogger("uvicorn.error.websocket")
_quiet.setLevel(logging.ERROR)
"""uvicorn writes the query of every WebSocket to its log, and there may be a key in it."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which may go on while the gateway drains, as any answer may. Then its task is cancelled."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _quiet

    def shutdown(self) -> None:
        """The server begins to stop. A WebSocket that is not open yet is refused."""
        if not self.handshake_complete or self.close_sent:
            super().shutdown()

    def end_after_answer(self) -> None:
        """It ends by itself."""

    def end_if_idle(self) -> None:
        """Nor is an open one idle."""

    async def send(self, message: Any) -> None:
        """As uvicorn's; it would take an answer other than a WebSocket for none."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True
