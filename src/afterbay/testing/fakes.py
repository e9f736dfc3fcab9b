"""Doubles of the two ends of a gateway: providers that follow a script, and clients that remember what they got.

    quick = ScriptedUpstream(Script(steps=(b"data: 1\\n\\n", Wait(2.0), b"data: 2\\n\\n")))
    broken = ScriptedUpstream(Script(steps=(b"data: 1\\n\\n", Cut())))
    silent = ScriptedUpstream(Script(steps=(HANG,)))

Delays are the event loop's: on `afterbay.testing.virtual_loop` they take no time. Both ends are strict: what a real
provider or server would punish (a second start, bytes after the end, two writers at once) is an `AssertionError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import msgspec

from afterbay.ports import Credential, TransportError
from afterbay.providers.keys import ProviderKeys


class Wait(msgspec.Struct, frozen=True):
    """The provider is silent for so long."""

    seconds: float


class Cut(msgspec.Struct, frozen=True):
    """The connection breaks."""

    message: str = "the connection broke while reading: reset by peer"


class Hang(msgspec.Struct, frozen=True):
    """Nothing comes any more, and the connection stays open."""


HANG: Final = Hang()
EVENT_STREAM: Final[Mapping[str, str]] = MappingProxyType({"content-type": "text/event-stream"})
Step: TypeAlias = bytes | Wait | Cut | Hang


class Script(msgspec.Struct, frozen=True):
    """One answer of a provider.

    connect_takes_s   until the connection stands; longer than the caller's `connect_s`: it fails after that time
    refused           no connection: the message of the failure
    headers_take_s    from the connection to status and headers
    dies_before_headers   the connection stood, and broke: the message of the failure
    code              the word for the failure, as `ports.TransportError` has it
    starting_s        the failure says that the target is on its way and takes about so long (a local model)
    steps             the body, piece by piece; it ends properly after the last one
    """

    steps: tuple[Step, ...] = ()
    status: int = 200
    headers: Mapping[str, str] = EVENT_STREAM
    connect_takes_s: float = 0.0
    refused: str | None = None
    headers_take_s: float = 0.0
    dies_before_headers: str | None = None
    starting_s: float | None = None
    code: str | None = None


class Sent(msgspec.Struct):
    """A request that a provider got, and what became of its answer. Times are the loop's."""

    at_s: float
    path: str
    body: bytes
    headers: dict[str, str]
    connect_s: float
    closed_at_s: float | None = None
    read_bytes: int = 0
    is_read_up: bool = False
    key: int | None = None

    @property
    def json(self) -> dict[str, object]:
        """The body decoded."""
        decoded: dict[str, object] = msgspec.json.decode(self.body)
        return decoded


class ScriptedResponse:
    """Implements `ports.UpstreamResponse` by a script."""

    def __init__(self, script: Script, sent: Sent, credential: Credential | None = None) -> None:
        self.credential = credential
        self.status = script.status
        self.headers: Mapping[str, str] = script.headers
        self._steps = list(script.steps)
        self._sent = sent

    async def read(self) -> bytes:
        """The next bytes of the script."""
        assert self._sent.closed_at_s is None, "a closed answer is not read"  # noqa: S101
        await asyncio.sleep(0)
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Cut):
                raise TransportError(step.message, connected=True)
            elif isinstance(step, Hang):
                await asyncio.get_running_loop().create_future()
            elif step:
                self._sent.read_bytes += len(step)
                return step
        self._sent.is_read_up = True
        return b""

    async def read_all(self, limit_bytes: int) -> bytes:
        """All bytes of the script."""
        pieces: list[bytes] = []
        while data := await self.read():
            pieces.append(data)
            if sum(map(len, pieces)) > limit_bytes:
                text = f"an answer of over {limit_bytes} bytes"
                raise TransportError(text, connected=True, code="answer_too_large")
        return b"".join(pieces)

    def close(self) -> None:
        """Notes when it was closed."""
        if self._sent.closed_at_s is None:
            self._sent.closed_at_s = asyncio.get_running_loop().time()


class ScriptedUpstream:
    """Implements `ports.Upstream`: the first request gets the first script, and so on; `sent` remembers them.

    keys   how many keys it has; `sent` has the place of each request's, from 1. Without keys nothing is told of any
    """

    def __init__(self, *scripts: Script, keys: int = 0) -> None:
        self.keys = ProviderKeys("scripted", keys) if keys else None
        self.sent: list[Sent] = []
        self.is_closed = False
        self._scripts = list(scripts)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> ScriptedResponse:
        """Answers by the next script."""
        assert self._scripts, f"request {len(self.sent) + 1} was not expected"  # noqa: S101
        script = self._scripts.pop(0)
        sent = Sent(asyncio.get_running_loop().time(), path, body, dict(headers), connect_s)
        self.sent.append(sent)
        place = self.keys.choose() if self.keys is not None else None
        sent.key = place + 1 if place is not None else None
        await asyncio.sleep(min(script.connect_takes_s, connect_s))
        if script.connect_takes_s > connect_s:
            text = f"no connection within connect = {connect_s:g} s"
            raise TransportError(text, connected=False, code="connect_timeout")
        if script.refused is not None:
            raise TransportError(script.refused, connected=False, retry_after_s=script.starting_s, code=script.code)
        await asyncio.sleep(script.headers_take_s)
        if script.dies_before_headers is not None:
            raise TransportError(script.dies_before_headers, connected=True)
        if self.keys is None or place is None:
            return ScriptedResponse(script, sent)
        if script.status not in (401, 403):
            self.keys.served(place)
        return ScriptedResponse(script, sent, self.keys.leases[place])

    async def close(self) -> None:
        """Ends all connections."""
        self.is_closed = True

    @property
    def open(self) -> int:
        """Answers that were begun to be read and never closed."""
        return sum(one.closed_at_s is None and one.read_bytes > 0 for one in self.sent)


class MemoryReply:
    """Implements `ports.Reply` and remembers all of it.

    write_s   how long each write takes: a slow reader; a list: the first write, the second, ..., then 0
    stuck     no write ever returns after so many bytes: a reader that stopped reading
    gone      what a cancelled request means: its client hung up, or (False) the gateway ends
    """

    def __init__(self, write_s: float | list[float] = 0.0, stuck: int | None = None, *, gone: bool = True) -> None:
        self.started = False
        self.gone = gone
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[tuple[float, bytes]] = []
        self.started_at_s: float | None = None
        self.ended_at_s: float | None = None
        self._write_s = write_s
        self._stuck = stuck
        self._is_writing = False
        self._left: Callable[[], None] | None = None

    def survive(self, left: Callable[[], None]) -> bool:
        """Calls `left` when its client hangs up (`hang_up`)."""
        self._left = left
        return True

    def hang_up(self, task: asyncio.Task[Any]) -> None:
        """The client leaves: the request survives it, or its task is cancelled."""
        self.gone = True
        if self._left is not None:
            self._left()
        else:
            task.cancel()

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Takes status and headers."""
        assert not self.started, "the status line goes out once"  # noqa: S101
        assert all(name == name.lower() for name in headers), "header names are in lower case"  # noqa: S101
        self.started, self.status, self.headers = True, status, dict(headers)
        self.started_at_s = asyncio.get_running_loop().time()
        await asyncio.sleep(0)

    async def write(self, data: bytes) -> None:
        """Takes bytes of the body, as slowly as this reader is."""
        assert self.started, "no body before the status line"  # noqa: S101
        assert self.ended_at_s is None, "no body after its end"  # noqa: S101
        assert not self._is_writing, "one writer at a time"  # noqa: S101
        self._is_writing = True
        try:
            self.pieces.append((asyncio.get_running_loop().time(), data))
            if self._stuck is not None and len(self.body) > self._stuck:
                await asyncio.get_running_loop().create_future()
            await asyncio.sleep(self._delay())
        finally:
            self._is_writing = False

    async def end(self, data: bytes = b"") -> None:
        """Takes the last bytes and ends the body."""
        if data:
            await self.write(data)
        assert self.started, "no end before the status line"  # noqa: S101
        assert self.ended_at_s is None, "a body ends once"  # noqa: S101
        self.ended_at_s = asyncio.get_running_loop().time()
        await asyncio.sleep(0)

    @property
    def body(self) -> bytes:
        """All bytes so far."""
        return b"".join(data for _, data in self.pieces)

    @property
    def json(self) -> dict[str, object]:
        """The body decoded."""
        decoded: dict[str, object] = msgspec.json.decode(self.body)
        return decoded

    def _delay(self) -> float:
        if isinstance(self._write_s, float):
            return self._write_s
        return self._write_s.pop(0) if self._write_s else 0.0
