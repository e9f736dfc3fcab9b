"""Doubles for raw requests: a provider that takes any of them, a client's body that comes in pieces, WebSockets.

    provider = ScriptedPassage(Script(steps=(b"sound",)), sockets=[ScriptedSocket("hello", Closed(1000))])

Delays are the event loop's, as in `afterbay.testing.fakes`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TypeAlias

from afterbay.ports import Closed, Message, SocketRefused, TransportError
from afterbay.testing.fakes import Hang, Script, ScriptedResponse, ScriptedUpstream, Wait

SocketStep: TypeAlias = Message | Wait | Hang | Closed


class ScriptedBody:
    """Implements `ports.RequestBody`: pieces, pauses, and an exception that ends it."""

    def __init__(self, *steps: bytes | Wait | Exception) -> None:
        self.is_over = not steps
        self._steps = list(steps)

    async def read(self) -> bytes:
        """The next piece."""
        await asyncio.sleep(0)
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Exception):
                raise step
            else:
                self.is_over = not self._steps
                return step
        self.is_over = True
        return b""


class ScriptedSocket:
    """Implements both ends of `ports.Socket`: says its steps, and remembers what it was told.

    send_s   how long each message takes to be sent to it: a slow reader
    stuck    no message is ever taken after so many
    """

    def __init__(self, *steps: SocketStep, send_s: float = 0.0, stuck: int | None = None) -> None:
        self.got: list[Message] = []
        self.subprotocol: str | None = None
        self.accepted: tuple[str | None, dict[str, str]] | None = None
        self.refused: tuple[int, dict[str, str], bytes] | None = None
        self.told: Closed | None = None
        self.ended_at_s: float | None = None
        self._steps = list(steps)
        self._send_s, self._stuck = send_s, stuck
        self._is_over = False

    async def receive(self) -> Message | Closed:
        """The next step; after its last one it says nothing more."""
        assert not self._is_over, "nothing follows the end"  # noqa: S101
        await asyncio.sleep(0)
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Closed):
                self._is_over = True
                return step
            elif not isinstance(step, Hang):
                return step
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nothing ends this wait")

    async def send(self, message: Message) -> None:
        """Takes a message, as slowly as this one is."""
        assert self.told is None, "nothing is sent after the goodbye"  # noqa: S101
        if self._is_over:
            raise TransportError("the connection is gone", connected=True)
        if self._stuck is not None and len(self.got) >= self._stuck:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(self._send_s)
        self.got.append(message)

    async def close(self, code: int, reason: str) -> None:
        """Takes the goodbye."""
        if self.told is None:
            self.told, self.ended_at_s = Closed(code, reason), asyncio.get_running_loop().time()
        await asyncio.sleep(0)

    async def accept(self, subprotocol: str | None, headers: Mapping[str, str]) -> None:
        """Is let in."""
        assert self.accepted is None, "a client is let in once"  # noqa: S101
        assert self.refused is None, "a refused client is not let in"  # noqa: S101
        self.accepted = (subprotocol, dict(headers))
        await asyncio.sleep(0)

    async def refuse(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Is not let in."""
        assert self.accepted is None, "who was let in is not refused"  # noqa: S101
        self.refused = (status, dict(headers), body)
        await asyncio.sleep(0)


class ScriptedPassage(ScriptedUpstream):
    """Implements `ports.Passage` too. `methods` and `offered` remember what was asked for beside `sent`."""

    def __init__(
        self, *scripts: Script, sockets: Sequence[ScriptedSocket | SocketRefused | TransportError | Wait] = ()
    ) -> None:
        super().__init__(*scripts)
        self.methods: list[str] = []
        self.offered: list[tuple[str, ...]] = []
        self._sockets = list(sockets)

    async def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes],
        connect_s: float,
    ) -> ScriptedResponse:
        """Answers by the next script, once it has the whole body."""
        self.methods.append(method)
        whole = body if isinstance(body, bytes) else b""
        if not isinstance(body, bytes):
            try:
                async for piece in body:
                    whole += piece
            except Exception as error:  # as aiohttp does: its writer makes one error of all errors
                raise TransportError("the connection broke", connected=True) from error
        return await self.post(path, whole, headers, connect_s)

    async def connect(
        self, path: str, headers: Mapping[str, str], subprotocols: Sequence[str], message_bytes: int, connect_s: float
    ) -> ScriptedSocket:
        """The next socket, or its refusal; a wait takes time first."""
        self.offered.append(tuple(subprotocols))
        step = self._sockets.pop(0)
        await asyncio.sleep(step.seconds if isinstance(step, Wait) else 0)
        if isinstance(step, Wait):
            return await self.connect(path, headers, subprotocols, message_bytes, connect_s)
        if not isinstance(step, ScriptedSocket):
            raise step
        return step
