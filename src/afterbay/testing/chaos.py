"""A TCP proxy that breaks connections on purpose: what Toxiproxy does, TLS and HTTP framing added, without a program.

    async with ChaosProxy("127.0.0.1", 9701, ResetPeer(after_bytes=2000)) as proxy:
        ...                                    # clients use proxy.url
        await proxy.use(Latency(0.2), Slicer(1))
    assert proxy.open == 0

What can go wrong is in `afterbay.testing.toxics`; toxics of one connection add up. `spare` connections come through
whole before the first bad one, and after `hits` bad ones all is well again. Draws depend on the seed, the number of the
connection and the number of the piece: the same run waits as long.

Theory of operation
    Each connection has one task, which ends with its two directions; the proxy owns all of them and ends them when it
    ends. Nothing is read before the piece before it was written and taken (a transport's buffer holds one piece), so a
    slow reader holds its sender back, and at most `CONNECTIONS` times two pieces are in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import tempfile
from collections import Counter
from pathlib import Path
from types import TracebackType

from afterbay.testing.certificates import server_context, write_authority
from afterbay.testing.misframing import Misframer
from afterbay.testing.toxics import (
    AnyToxic,
    BadFraming,
    BlackHole,
    Direction,
    Down,
    Gate,
    LimitData,
    Pace,
    ResetPeer,
    ResetReused,
    SlowClose,
    Timeout,
    Tls,
    name_of,
)

PIECE_BYTES = 16 * 1024
CONNECTIONS = 1024
"""More at once are refused."""
CONNECT_S = 10.0
"""A provider that takes longer to connect is none."""
LONGEST_S = 4 * 3600.0
"""No connection lives longer, whatever its toxics say."""
_RESET = struct.pack("ii", 1, 0)
_TAKEN_S = 0.02
_FILL = 64


class _Over(Exception):
    """The connection ends here; `reset`: with a TCP reset."""

    def __init__(self, *, reset: bool) -> None:
        self.reset = reset


class ChaosProxy:
    """A proxy on a port of its own in front of `host:port`, as an async context.

    `open` counts connections that stand now, `connections` all there were, `fired` the toxics that showed, by name.
    `authority` is the PEM file to trust where `Tls` is among the toxics; it is there while the proxy runs.
    """

    def __init__(
        self, host: str, port: int, *toxics: AnyToxic, seed: int = 0, spare: int = 0, hits: int | None = None
    ) -> None:
        self.connections = 0
        self.fired: Counter[str] = Counter()
        self._to = (host, port)
        self._seed, self._spare, self._hits = seed, spare, hits
        self._toxics = toxics
        self._listener: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._fillers: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="afterbay-chaos-")
        self._problems: list[BaseException] = []
        self._port = 0

    @property
    def open(self) -> int:
        """Connections that stand now."""
        return len(self._tasks)

    @property
    def port(self) -> int:
        """The proxy's own port on 127.0.0.1."""
        return self._port

    @property
    def url(self) -> str:
        """The proxy's address as a base URL, without a path."""
        tls = any(isinstance(one, Tls) for one in self._toxics)
        return f"{'https' if tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def authority(self) -> Path:
        """A PEM file with the authority behind the certificates of `Tls`."""
        return write_authority(Path(self._folder.name))

    async def __aenter__(self) -> ChaosProxy:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def use(self, *toxics: AnyToxic, spare: int = 0, hits: int | None = None) -> None:
        """Breaks new connections in this way from now on; `Down` and `BlackHole` end those that stand, too.

        The counts of `spare` and `hits` begin anew.
        """
        was = {type(one) for one in self._toxics} & {Down, BlackHole, Tls}
        self._toxics, self._spare, self._hits = toxics, spare, hits
        if was or any(isinstance(one, Down | BlackHole | Tls) for one in toxics):
            await self._end()
            await self._listen()

    async def close(self) -> None:
        """Ends the proxy and all its connections.

        Raises:
            Exception: a connection ended in a mistake of the proxy's own.
        """
        await self._end()
        self._folder.cleanup()
        if self._problems:
            raise self._problems[0]

    async def _listen(self) -> None:
        """Binds the port, and listens unless connections are to be refused."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        self._listener = listener
        if any(isinstance(one, Down) for one in self._toxics):
            self.fired["down"] += 1
        elif any(isinstance(one, BlackHole) for one in self._toxics):
            self.fired["black_hole"] += 1
            listener.listen(0)
            self._fill(listener.getsockname())
        else:
            self._server = await asyncio.start_server(
                self._accept, sock=listener, ssl=self._context(), limit=PIECE_BYTES, ssl_handshake_timeout=None
            )

    def _fill(self, address: tuple[str, int]) -> None:
        """Fills the queue of connections that nobody accepts: Linux then drops every further SYN."""
        for _ in range(_FILL):
            filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            filler.setblocking(False)
            self._fillers.append(filler)
            filler.connect_ex(address)

    def _context(self) -> ssl.SSLContext | None:
        for one in self._toxics:
            if isinstance(one, Tls) and one.fault != "plain":
                self.fired["tls"] += 1
                return server_context("good" if one.fault == "none" else one.fault, Path(self._folder.name))
        return None

    async def _end(self) -> None:
        """Stops listening, and ends the connections that stand."""
        server, self._server = self._server, None
        listener, self._listener = self._listener, None
        if server is not None:
            server.close()
        if listener is not None:
            listener.close()
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        if len(self._tasks) >= CONNECTIONS:
            writer.transport.abort()
            return
        self._spare, is_spared = max(self._spare - 1, 0), self._spare > 0
        if self._hits is not None and not is_spared:
            self._hits, is_spared = max(self._hits - 1, 0), self._hits == 0
        toxics = () if is_spared else self._toxics
        line = _Connection(self._to, reader, writer, toxics, self._seed, number, self.fired)
        task = asyncio.create_task(line.run(), name=f"chaos connection {number}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        problem = None if task.cancelled() else task.exception()
        if problem is not None:
            self._problems.append(problem)


class _Connection:
    """One connection of a client, and the one to the provider that it stands for."""

    def __init__(
        self,
        to: tuple[str, int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        toxics: tuple[AnyToxic, ...],
        seed: int,
        number: int,
        fired: Counter[str],
    ) -> None:
        self._to, self._reader, self._writer = to, reader, writer
        self._toxics, self._seed, self._number, self._fired = toxics, seed, number, fired
        self._gate = Gate(toxics)
        framings = [one for one in toxics if isinstance(one, BadFraming)]
        self._misframer = Misframer(framings[0]) if framings else None
        self._resets_reused = any(isinstance(one, ResetReused) for one in toxics)
        self._has_answered = False

    async def run(self) -> None:
        """Until one of the two ends, or the toxics say so."""
        upstream: asyncio.StreamWriter | None = None
        reset = False
        try:
            async with asyncio.timeout(LONGEST_S):
                async with asyncio.timeout(CONNECT_S):
                    answers, upstream = await asyncio.open_connection(*self._to, limit=PIECE_BYTES)
                reset = await self._both(answers, upstream)
        except (OSError, TimeoutError, ssl.SSLError):
            pass
        finally:
            _shut(self._writer, reset=reset)
            if upstream is not None:
                _shut(upstream, reset=False)

    async def _both(self, answers: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> bool:
        """Carries bytes both ways; whether the end is a reset."""
        for writer in (self._writer, upstream):
            writer.transport.set_write_buffer_limits(high=0)
        up = asyncio.create_task(self._carry(self._reader, upstream, "up"), name="chaos up")
        down = asyncio.create_task(self._carry(answers, self._writer, "down"), name="chaos down")
        reset = False
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = [one for one in (up, down) if one.done()]
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
        for task in ended:
            problem = task.exception() if not task.cancelled() else None
            if isinstance(problem, _Over):
                reset = reset or problem.reset
            elif problem is not None and not isinstance(problem, OSError):
                raise problem
        return reset

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        pace = Pace(self._toxics, direction, self._seed, self._number)
        while data := await reader.read(PIECE_BYTES):
            if direction == "up":
                self._see_request()
            delay_s = pace.delay_s()
            if delay_s:
                self._fired["latency"] += 1
                await asyncio.sleep(delay_s)
            data, end = self._passing(data, direction)
            for piece in pace.slices(data):
                writer.write(piece)
                await writer.drain()
                busy_s = pace.after_s(len(piece))
                if busy_s or len(piece) < len(data):
                    await asyncio.sleep(busy_s)
            if end is not None:
                await self._stop(end)
        if direction == "down":
            await self._close_slowly()

    def _see_request(self) -> None:
        """A request comes, or more of one.

        Raises:
            _Over: it is the second one, and that is to break.
        """
        if self._resets_reused and self._has_answered:
            self._fired["reset_reused"] += 1
            raise _Over(reset=True)

    def _passing(self, data: bytes, direction: Direction) -> tuple[bytes, AnyToxic | None]:
        if direction == "up":
            return data, None
        self._has_answered = True
        framing: AnyToxic | None = None
        if self._misframer is not None:
            data = self._misframer.feed(data)
            framing = BadFraming("half_headers") if self._misframer.is_over else None
        data, end = self._gate.take(data)
        return data, end or framing

    async def _stop(self, end: AnyToxic) -> None:
        """Ends the connection as `end` says.

        Raises:
            _Over: always; a time-out of no end waits for the other side to leave.
        """
        self._fired[name_of(end)] += 1
        match end:
            case Timeout():
                await asyncio.sleep(end.seconds or LONGEST_S)
            case ResetPeer() if end.after_bytes:
                await asyncio.sleep(_TAKEN_S)  # the client's kernel may forget what it has not read when a reset comes
            case LimitData() | BadFraming():
                await self._close_slowly()
        raise _Over(reset=isinstance(end, ResetPeer))

    async def _close_slowly(self) -> None:
        for one in self._toxics:
            if isinstance(one, SlowClose):
                self._fired["slow_close"] += 1
                await asyncio.sleep(one.seconds)


def _shut(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """Closes a connection, with a reset where asked for."""
    raw: socket.socket | None = writer.get_extra_info("socket")
    if reset and raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
        return
    writer.close()
