"""Keeps what a client is sent, for requests whose answer is compared with another one. Bounded in bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from afterbay.core.event import Event, Reply, fold
from afterbay.ports import Reply as Way
from afterbay.wire.dialect import Dialect
from afterbay.wire.framing import splitter_for

MOST_BYTES: Final = 256 * 1024
"""A longer answer is not compared."""


class Witness:
    """Implements `ports.Reply` in front of another one, and keeps a copy of what passes.

    `to` None: nobody else reads it. `is_over`: the answer was ended properly.
    """

    def __init__(self, to: Way | None, most_bytes: int = MOST_BYTES) -> None:
        self._to, self._most_bytes = to, most_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._started = False
        self.status = 0
        self.kind = ""
        self.is_over = False

    @property
    def started(self) -> bool:
        """See `ports.Reply`."""
        return self._to.started if self._to is not None else self._started

    @property
    def gone(self) -> bool:
        """See `ports.Reply`."""
        return self._to.gone if self._to is not None else False

    @property
    def is_too_large(self) -> bool:
        """Whether more came than is kept."""
        return self._size > self._most_bytes

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """See `ports.Reply`."""
        self._started, self.status, self.kind = True, status, headers.get("content-type", "")
        if self._to is not None:
            await self._to.start(status, headers)

    async def write(self, data: bytes) -> None:
        """See `ports.Reply`."""
        self._keep(data)
        if self._to is not None:
            await self._to.write(data)

    async def end(self, data: bytes = b"") -> None:
        """See `ports.Reply`."""
        self._keep(data)
        if self._to is not None:
            await self._to.end(data)
        self.is_over = True

    def survive(self, left: Callable[[], None]) -> bool:
        """See `ports.Reply`."""
        return self._to.survive(left) if self._to is not None else False

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self.is_too_large:
            self._pieces.clear()
        elif data:
            self._pieces.append(data)

    def answer(self, dialect: Dialect, seed: str, *, streams: bool) -> Reply | None:
        """The whole answer in a client's dialect, which it `streams` or not; None: too large, or not to be read."""
        if self.is_too_large or self.status != 200:
            return None
        data = b"".join(self._pieces)
        try:
            if not streams:
                return fold(dialect.parse_answer(data, seed))
            return fold(self._events(data, dialect, seed))
        except (ValueError, RecursionError):
            return None

    def _events(self, data: bytes, dialect: Dialect, seed: str) -> list[Event]:
        found: list[Event] = []
        splitter, parser = splitter_for(self.kind, self._most_bytes), dialect.stream_parser(seed)
        for _, events in (splitter.feed(data), splitter.rest()):
            for name, one in events:
                parser.push(name, one, found)
        return found
