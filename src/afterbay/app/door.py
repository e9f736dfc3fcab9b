"""How workers share one listening socket: all take connections from the one queue, whoever has fewest goes first.

One queue, and not one for each worker (SO_REUSEPORT): what waits in a queue is lost with its process. But a process
that takes all that waits whenever it is woken, as event loops do, leaves the others idle: clients keep their
connections, so an unequal start stays. Here a worker takes one connection at a time, and lets the others have it for a
moment while it has more of them than another one. The numbers stand in a small file that all of them map.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import mmap
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

logger = logging.getLogger("afterbay.app")

YIELD_S: Final = 0.002
"""So long somebody with fewer connections has time to take the next one. Who is too busy for that is not waited for."""
FULL_S: Final = 0.5
"""After this it is tried again to take connections, when the system had no room for more."""

_WIDTH: Final = 4


class Counts:
    """How many connections each worker has, in a file that all of them map. Each writes its own place alone.

    A place is four bytes, aligned, which are read and written whole: 0, nobody takes connections there; else one more
    than there are.
    """

    def __init__(self, file: Path, places: int) -> None:
        number = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(number, places * _WIDTH)
            self._map = mmap.mmap(number, places * _WIDTH)
        finally:
            os.close(number)
        self._numbers = memoryview(self._map).cast("i")

    def put(self, place: int, connections: int) -> None:
        """Who has this place has so many connections, and takes more."""
        self._numbers[place] = connections + 1

    def clear(self, place: int) -> None:
        """Who has this place takes no more."""
        self._numbers[place] = 0

    @property
    def least(self) -> int:
        """The smallest number of those who take more; 0 if nobody does."""
        return min((number for number in self._numbers if number), default=1) - 1

    def close(self) -> None:
        """Gives the map back."""
        self._numbers.release()
        self._map.close()


class Connections(set[Any]):
    """The connections of a worker, as uvicorn keeps them; their number is told to the others."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._changed = changed

    def add(self, one: Any) -> None:
        """A connection begins."""
        super().add(one)
        self._changed()

    def discard(self, one: Any) -> None:
        """A connection ends."""
        super().discard(one)
        self._changed()


class Door:
    """Takes connections from a socket that others take from too. Belongs to one event loop."""

    def __init__(self, sock: socket.socket, counts: Counts, place: int) -> None:
        self._sock, self._counts, self._place = sock, counts, place
        self._loop = asyncio.get_running_loop()
        self._protocol: Callable[[], asyncio.Protocol] | None = None
        self._entering: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._has_turn_until_s = 0.0
        self.connections = Connections(self._tell)

    def open(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Takes connections from now on."""
        self._protocol = protocol
        self._tell()
        self._loop.add_reader(self._sock, self._look)

    def close(self) -> None:
        """Takes no more; the socket stays open, and the others go on."""
        if self._protocol is None:
            return
        self._protocol = None
        self._counts.clear(self._place)
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._loop.remove_reader(self._sock)

    @property
    def _size(self) -> int:
        return len(self.connections) + len(self._entering)

    def _tell(self) -> None:
        if self._protocol is not None:
            self._counts.put(self._place, self._size)

    def _look(self) -> None:
        """Somebody waits: takes one, or leaves that to the others for a moment."""
        if self._protocol is None:
            return
        if self._size > self._counts.least and self._loop.time() > self._has_turn_until_s:
            self._rest(YIELD_S)
            return
        self._has_turn_until_s = 0.0
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # somebody else took it, or it went
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            logger.error("no connection can be taken now: %s; they wait", error)
            self._rest(FULL_S)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._enter(connection, self._protocol), name="connection")
        self._entering.add(task)
        task.add_done_callback(self._entered)
        self._tell()

    async def _enter(self, connection: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        try:
            await self._loop.connect_accepted_socket(protocol, connection)
        except OSError:
            connection.close()

    def _entered(self, task: asyncio.Task[None]) -> None:
        self._entering.discard(task)
        self._tell()

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._sock)
        self._pause = self._loop.call_later(seconds, self._again)

    def _again(self) -> None:
        self._pause = None
        self._has_turn_until_s = self._loop.time() + YIELD_S
        self._loop.add_reader(self._sock, self._look)
