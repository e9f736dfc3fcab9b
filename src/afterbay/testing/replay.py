"""A provider that answers with given bytes, for tests of gateways and clients over real sockets.

    with ReplayServer(lambda request: Answer(body=b'{"ok":true}')) as upstream:
        ...  # upstream.url, upstream.received

It speaks HTTP/1.1 itself, so that a test decides what a library would hide: where the body is cut into pieces, and
how the answer stops (see `Answer.then`). `ReplayProcess` is the same in a child process that can be killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Literal

import msgspec

START_S = 10.0
_MEAN_PIECE = 40
_PHRASE = "Replayed"


class Answer(msgspec.Struct, frozen=True):
    """What is sent. `seed` None: the body in one piece; a number: cut at random places that depend on it alone.

    then     what happens after the body: `end` is HTTP's proper end, `close` ends the connection without it, `reset`
             sends a TCP reset, `hang` is silence until the client leaves
    headed   False: `then` happens before status and headers
    pause_s  between two pieces
    """

    status: int = 200
    headers: Mapping[str, str] = msgspec.field(default_factory=lambda: {"content-type": "application/json"})
    body: bytes = b""
    seed: int | None = None
    then: Literal["end", "close", "reset", "hang"] = "end"
    headed: bool = True
    pause_s: float = 0.0


class Received:
    """A request that came in. `gone_s` is the monotonic time at which its client left early; `sent`: body bytes so far.

    `ended` is set when its answer is over, whichever way.
    """

    def __init__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.sent = 0
        self.gone_s: float | None = None
        self.ended = threading.Event()


Handler = Callable[[Received], Answer]


def pieces(body: bytes, seed: int | None) -> list[bytes]:
    """The body cut at seeded random places: inside lines, between CR and LF, inside UTF-8 sequences."""
    if seed is None or len(body) < 2:
        return [body] if body else []
    rng = random.Random(seed)  # noqa: S311  # reproducible, not secret
    cuts = sorted(rng.sample(range(1, len(body)), min(len(body) - 1, 1 + len(body) // _MEAN_PIECE)))
    return [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]


class _Connection(asyncio.Protocol):
    """One client's connection; its requests are answered one after another."""

    def __init__(self, handler: Handler, received: list[Received]) -> None:
        self._handler, self._received = handler, received
        self._buffer = bytearray()
        self._news = asyncio.Event()
        self._lost = False
        self._current: Received | None = None
        self._transport: asyncio.Transport | None = None
        self._work: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to wait for requests."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport
        self._work = asyncio.get_running_loop().create_task(self._serve(transport))

    def data_received(self, data: bytes) -> None:
        """Keeps what came."""
        self._buffer += data
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notes when a client left before its answer was over."""
        self._lost = True
        self._news.set()
        if self._current is not None and not self._current.ended.is_set():
            self._current.gone_s = time.monotonic()
            self._current.ended.set()

    async def _serve(self, transport: asyncio.Transport) -> None:
        try:
            while (request := await self._next()) is not None:
                self._current = request
                self._received.append(request)
                answer = self._handler(request)
                if not await self._answer(transport, request, answer) or self._lost:
                    return
        finally:
            transport.close()

    async def _next(self) -> Received | None:
        """The next request; None: the client left."""
        head = await self._until(lambda: self._buffer.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in self._buffer else None)
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        size = int(headers.get("content-length", "0"))
        body = await self._until(lambda: size if len(self._buffer) >= size else None)
        return None if body is None else Received(method, path, headers, body)

    async def _until(self, size: Callable[[], int | None]) -> bytes | None:
        while (end := size()) is None:
            if self._lost:
                return None
            self._news.clear()
            await self._news.wait()
        taken = bytes(self._buffer[:end])
        del self._buffer[:end]
        return taken

    async def _answer(self, transport: asyncio.Transport, request: Received, answer: Answer) -> bool:
        """Sends the answer; whether the connection can take another request."""
        if answer.headed:
            transport.write(_head(answer))
            for piece in pieces(answer.body, answer.seed):
                if self._lost:
                    return False
                transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                request.sent += len(piece)
                await asyncio.sleep(answer.pause_s)
        if answer.then == "hang":
            while not self._lost:
                self._news.clear()
                await self._news.wait()
            return False
        request.ended.set()
        if answer.then == "end":
            transport.write(b"0\r\n\r\n")
            return True
        if answer.then == "reset":
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        return False


def _head(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {_PHRASE}", "transfer-encoding: chunked"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class ReplayServer:
    """Answers in a thread of its own, as a context manager. `received` grows with every request."""

    def __init__(self, handler: Handler) -> None:
        self.received: list[Received] = []
        self.url = ""
        self._handler = handler
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self.serve(self._announce))

    def _announce(self, url: str) -> None:
        self.url = url
        self._ready.set()

    async def serve(self, announce: Callable[[str], None]) -> None:
        """Serves until it is stopped."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self._handler, self.received), "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        announce(f"http://{host}:{port}")
        await self._stop.wait()
        server.close()

    def __enter__(self) -> ReplayServer:
        self._thread.start()
        if not self._ready.wait(START_S):
            raise RuntimeError("the replay server did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)


class ReplayProcess:
    """A replay server in a child process that gives everybody the same answer, and can be killed."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> ReplayProcess:
        self._process = subprocess.Popen(  # our own module
            [sys.executable, "-m", "afterbay.testing.replay"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
        )
        assert self._process.stdin is not None  # noqa: S101  # asked for above
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(msgspec.json.encode(self._answer) + b"\n")
        self._process.stdin.flush()
        self.url = self._process.stdout.readline().decode().strip()
        return self

    def kill(self) -> None:
        """Ends it as a crash would: no goodbye on any connection."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(START_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()


def main() -> None:
    """The child's own program: an answer on its input, its address on its output, until the input ends."""
    answer = msgspec.json.decode(sys.stdin.buffer.readline(), type=Answer)
    server = ReplayServer(lambda request: answer)
    with server:
        print(server.url, flush=True)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
