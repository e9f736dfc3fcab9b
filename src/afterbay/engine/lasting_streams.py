"""The streams that a client may come back to: found by request or response, bounded in bytes all together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from afterbay.engine.lasting import LastingReply

ALL_BYTES = 256 * 1024 * 1024
"""As much is kept of all streams together."""


class LastingStreams:
    """All streams that a client may come back to, in the order of their beginning."""

    def __init__(self, all_bytes: int = ALL_BYTES) -> None:
        self._all_bytes = all_bytes
        self._streams: dict[str, LastingReply] = {}
        self._by_response: dict[str, LastingReply] = {}
        self._weights: dict[str, int] = {}
        self._waiting: set[LastingReply] = set()
        self._over: dict[str, LastingReply] = {}
        self.size = 0
        """Bytes that are kept of all of them."""

    def __iter__(self) -> Iterator[LastingReply]:
        return iter(self._streams.values())

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def detached(self) -> int:
        """How many go on without a client."""
        return sum(one.is_detached for one in self)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more."""
        return self.size > self._all_bytes

    def find(self, request_id: str, key_id: str | None) -> LastingReply | None:
        """The stream of a request of this key's; None: there is none."""
        found = self._streams.get(request_id)
        return found if found is not None and found.key_id == key_id else None

    def of_response(self, response: str, key_id: str | None) -> LastingReply | None:
        """The stream that a client knows by its response's id."""
        found = self._by_response.get(response)
        return found if found is not None and found.key_id == key_id else None

    def has_response(self, response: str) -> bool:
        """Whether a client, whoever it is, may come back to the stream of this response here."""
        return response in self._by_response

    def add(self, stream: LastingReply) -> None:
        """Its headers went out: a client may come back to it."""
        self._streams[stream.id] = stream

    def name(self, stream: LastingReply) -> None:
        """Its response's id is known."""
        self._by_response[stream.response_id] = stream

    def weigh(self, stream: LastingReply) -> None:
        """A stream has become larger or smaller. Makes room by streams that are over, the oldest first."""
        if stream.id not in self._streams:
            return
        now, before = stream.backlog.size, self._weights.get(stream.id, 0)
        self.size += now - before
        self._weights[stream.id] = now
        if now < before:
            self._stir()
        while self._over and self.is_full:
            self.remove(next(iter(self._over.values())))

    def rest(self, stream: LastingReply) -> None:
        """It is over, and nobody reads it: it is the first to be forgotten."""
        if stream.id in self._streams:
            self._over[stream.id] = stream

    def wake(self, stream: LastingReply) -> None:
        """Somebody reads it."""
        self._over.pop(stream.id, None)

    def room(self, stream: LastingReply) -> None:
        """A stream waits for room, or for its reader."""
        if self.is_full:
            self._waiting.add(stream)

    def remove(self, stream: LastingReply) -> None:
        """Nobody can come back to it any more."""
        if self._streams.get(stream.id) is stream:
            del self._streams[stream.id]
            self._over.pop(stream.id, None)
            if self._by_response.get(stream.response_id) is stream:
                del self._by_response[stream.response_id]
            self.size -= self._weights.pop(stream.id, 0)
            self._stir()

    def _stir(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for one in waiting:
            one.stir()
