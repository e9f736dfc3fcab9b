"""An emulated provider without sockets, for the engine in simulated time: every fault of the emulator, and of the wire.

    emulator = Emulator(ProfileFile(), VirtualClock())
    upstream = EmulatedUpstream(emulator, "openai-a", ResetPeer(after_bytes=2000))

It implements `ports.Upstream` by calling the emulator's application itself. Toxics (`afterbay.testing.toxics`) act as
they would show through an HTTP client: as a `TransportError`, a delay, other pieces. What an HTTP client hides
(a connection that breaks when it is used again) is not there, and of TLS only that it failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from typing import Any

from afterbay.emulate.line import TRANSPORT
from afterbay.emulate.server import Emulator
from afterbay.ports import Credential, TransportError
from afterbay.providers.keys import ProviderKeys
from afterbay.testing.toxics import (
    AnyToxic,
    BadFraming,
    BlackHole,
    Down,
    Gate,
    LimitData,
    Pace,
    ResetPeer,
    SlowClose,
    Timeout,
    Tls,
)

HEAD_BYTES = 300
"""An answer's headers count as so many, where toxics count bytes."""
BUFFER_BYTES = 1 << 16
"""The emulator waits while so much is not read."""
_BROKEN_HEADS = frozenset({"half_headers", "bad_status", "endless_headers", "two_lengths"})
_BROKEN_ENDS = frozenset({"bad_chunk_size", "no_last_chunk", "long_length"})


class EmulatedUpstream:
    """One provider of an emulator. `requests` counts those that it saw, `open` the answers that nobody closed."""

    def __init__(self, emulator: Emulator, provider: str, *toxics: AnyToxic, seed: int = 0) -> None:
        self.requests = 0
        self._emulator = emulator
        self._base = f"/{provider}" + ("/v1" if provider.startswith("openai") else "")
        self._toxics, self._seed = toxics, seed
        self._keys = ProviderKeys(provider, 1)
        self._answers: list[EmulatedAnswer] = []

    @property
    def open(self) -> int:
        """Answers that were begun and neither closed nor read to their end."""
        return sum(not one.is_closed and not one.is_over for one in self._answers)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> EmulatedAnswer:
        """Sends a request. See `afterbay.ports.Upstream.post`."""
        key = self._keys.choose()
        await self._connect(connect_s)
        self.requests += 1
        request = _Request(self._emulator, self._base + path, body, headers)
        answer = EmulatedAnswer(request, self._toxics, self._seed, self.requests, self._keys.leases[key])
        self._answers.append(answer)
        try:
            await answer.begin()
        except BaseException:
            answer.close()
            raise
        if answer.status not in (401, 403):
            self._keys.served(key)
        return answer

    async def _connect(self, connect_s: float) -> None:
        for toxic in self._toxics:
            match toxic:
                case Down():
                    raise TransportError("no connection: refused", connected=False, code="connect_refused")
                case BlackHole():
                    await asyncio.sleep(connect_s)
                    text = f"no connection within connect = {connect_s:g} s"
                    raise TransportError(text, connected=False, code="connect_timeout")
                case Tls(fault) if fault != "none":
                    raise TransportError("no connection: TLS: failed", connected=False, code="tls_failed")

    async def close(self) -> None:
        """Ends all answers, and waits until the emulator has seen it."""
        for one in self._answers:
            one.close()
        await asyncio.gather(*(one.task for one in self._answers), return_exceptions=True)


class _Request:
    """One call of the emulator's application: its messages in, its messages out, its transport."""

    def __init__(self, emulator: Emulator, target: str, body: bytes, headers: Mapping[str, str]) -> None:
        path, _, query = target.partition("?")
        self.scope: MutableMapping[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(b"authorization", b"Bearer any"), *((k.encode(), v.encode()) for k, v in headers.items())],
            "extensions": {TRANSPORT: {"transport": self}},
        }
        self.emulator = emulator
        self.status, self.headers = 0, dict[str, str]()
        self.has_started, self.has_ended, self.is_broken = asyncio.Event(), False, False
        self.waiting = bytearray()
        self.changed = asyncio.Event()
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.is_gone = asyncio.Event()
        self._body: bytes | None = body

    async def receive(self) -> MutableMapping[str, Any]:
        """The body, then nothing until the client left."""
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        await self.is_gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Takes a part of the answer, once there is room for it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
        else:
            self.has_started.set()  # as a server does: headers go out with the first bytes of the body
            self.waiting += message["body"]
            self.has_ended = self.has_ended or not message["more_body"]
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            self.has_started.set()
        self.changed.set()
        if len(self.waiting) > BUFFER_BYTES:
            self.has_room.clear()
        await self.has_room.wait()

    def get_extra_info(self, name: str) -> _Request:
        """As a transport has it; the socket is this object, too."""
        return self

    def setsockopt(self, *option: object) -> None:
        """Takes any option."""

    def close(self) -> None:
        """The emulator breaks the connection."""
        self.is_broken = True
        self.is_gone.set()
        self.has_started.set()
        self.changed.set()

    abort = close


class EmulatedAnswer:
    """Implements `ports.UpstreamResponse`. `task` is the emulator at work on it."""

    def __init__(
        self, request: _Request, toxics: tuple[AnyToxic, ...], seed: int, number: int, credential: Credential | None
    ) -> None:
        self.credential = credential
        self.is_closed = self.is_over = False
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._request = request
        self._gate = Gate(toxics)
        self._pace = Pace(toxics, "down", seed, number)
        self._framing = next((one for one in toxics if isinstance(one, BadFraming)), None)
        self._closes_late_s = sum(one.seconds for one in toxics if isinstance(one, SlowClose))
        self._body_bytes = 0
        self._pieces: list[bytes] = []
        self._end: Timeout | ResetPeer | LimitData | None = None
        self.task = asyncio.create_task(
            request.emulator(request.scope, request.receive, request.send), name="emulated answer"
        )

    async def begin(self) -> None:
        """Waits for status and headers.

        Raises:
            TransportError: the connection broke before.
        """
        await self._request.has_started.wait()
        if self._request.is_broken and not self._request.status:
            raise TransportError("the connection broke: reset by peer", connected=True, code="connection_broken")
        await asyncio.sleep(self._pace.delay_s())
        _, self._end = self._gate.take(bytes(HEAD_BYTES))
        if self._end is not None:
            await self._stop(self._end)
        if self._framing is not None and self._framing.fault in _BROKEN_HEADS:
            raise TransportError(
                "the connection broke: its headers cannot be read", connected=True, code="connection_broken"
            )
        self.status, self.headers = self._request.status, self._request.headers

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        assert not self.is_closed, "a closed answer is not read"  # noqa: S101
        if self.is_over:
            return b""
        if not self._pieces:
            if self._end is not None:
                await self._stop(self._end)
            data = await self._next()
            if not data:
                return await self._ended()
            await asyncio.sleep(self._pace.delay_s())
            data, self._end = self._gate.take(data)
            if self._framing is not None and self._framing.fault in ("bad_chunk_size", "short_length"):
                data = data[: max(self._framing.after_bytes - self._body_bytes, 0)]
            self._body_bytes += len(data)
            self._pieces = self._pace.slices(data)
        if not self._pieces:
            return await self.read() if self._end is not None else await self._ended()
        piece = self._pieces.pop(0)
        await asyncio.sleep(self._pace.after_s(len(piece)))
        return piece

    async def read_all(self, limit_bytes: int) -> bytes:
        """The whole body, at most `limit_bytes`."""
        body = b""
        while data := await self.read():
            body += data
            if len(body) > limit_bytes:
                raise TransportError(f"an answer of over {limit_bytes} bytes", connected=True, code="connection_broken")
        return body

    def close(self) -> None:
        """The client leaves."""
        self.is_closed = True
        self._request.is_gone.set()
        self._request.has_room.set()

    async def _next(self) -> bytes:
        """What has come from the emulator; empty at the body's end."""
        request = self._request
        while not request.waiting and not request.has_ended and not request.is_broken:
            request.changed.clear()
            await request.changed.wait()
        data = bytes(request.waiting)
        request.waiting.clear()
        request.has_room.set()
        return data

    async def _ended(self) -> bytes:
        """The body's end, or what became of it.

        Raises:
            TransportError: the connection broke.
        """
        if self.headers.get("content-length") != str(self._body_bytes):  # else the end is known without a close
            await asyncio.sleep(self._closes_late_s)
        if self._request.is_broken or (self._framing is not None and self._framing.fault in _BROKEN_ENDS):
            raise TransportError(
                "the connection broke while reading: the body ended before its end",
                connected=True,
                code="connection_broken",
            )
        self.is_over = True
        self._request.is_gone.set()
        return b""

    async def _stop(self, end: Timeout | ResetPeer | LimitData) -> None:
        """The connection ends as a toxic says.

        Raises:
            TransportError: always, or it never returns.
        """
        if isinstance(end, Timeout):
            if not end.seconds:
                await asyncio.get_running_loop().create_future()
            await asyncio.sleep(end.seconds)
        raise TransportError(
            "the connection broke while reading: reset by peer", connected=True, code="connection_broken"
        )
