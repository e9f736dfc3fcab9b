"""The way back to one client over ASGI, and the watch over its connection.

uvicorn drops what is sent after a disconnect without a word and never cancels the handler (`docs/adr`), so `receive`
is watched from the first await on: when the client hangs up, the request's task is cancelled, and with it whatever
runs upstream. A request that outlasts its client's connection says so (`survive`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class AsgiReply:
    """See `afterbay.ports.Reply`."""

    __slots__ = ("_ended", "_left", "_owner", "_receive", "_send", "_watch", "gone", "started")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._owner: asyncio.Task[object] | None = asyncio.current_task()
        self._watch: asyncio.Task[None] | None = None
        self._left: Callable[[], None] | None = None
        self._ended = False
        self.started = False
        self.gone = False

    def watch(self) -> None:
        """Begins to watch the connection. Call it once the request's body was read."""
        self._watch = asyncio.get_running_loop().create_task(self._wait_for_disconnect(), name="disconnect watch")

    async def _wait_for_disconnect(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                break
        if not self._ended:
            self.gone = True
            if self._left is not None:
                self._left()
            elif self._owner is not None:
                self._owner.cancel()

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Sends status and headers."""
        self.started = True
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes) -> None:
        """Sends bytes, and waits while the client reads too slowly."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Ends the body properly, after the last bytes of it."""
        self._ended = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    def survive(self, left: Callable[[], None]) -> bool:
        """Calls `left` in place of cancelling the request."""
        if self.gone:
            left()
        self._left = left
        return True

    def close(self) -> None:
        """Ends the watch. Call it last, whatever happened."""
        self._owner = self._left = None
        if self._watch is not None and not self._ended:
            self._watch.cancel()
