"""The events of one stream, kept for a client that comes back. Whole events only; what is forgotten is known."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

from afterbay.wire import numbering

ENTRY_BYTES = 96
"""What keeping an event costs beside its bytes: the object, its place in three lists."""


class Forgotten(Exception):
    """The events after the given one are not kept any more. `first`: the number of the first that is."""

    def __init__(self, first: int) -> None:
        super().__init__(f"kept from event {first} on")
        self.first = first


class NotSent(Exception):
    """There is no such event yet."""


class Backlog:
    """Events by number, from 1. `count` is the last one's number, `forgotten` that of the last one not kept any more.

    says_numbers   each event gets its number as an SSE `id`; else the client counts for itself

    What is no event (a comment, a ping) has its place behind the event before it. Positions (`first`, `end`) count all
    blocks ever added; sizes include `ENTRY_BYTES` for each.
    """

    def __init__(self, *, says_numbers: bool) -> None:
        self.count = self.forgotten = 0
        self.first = 0
        self._says_numbers = says_numbers
        self._blocks: list[bytes] = []
        self._keys: list[int] = []  # twice the number of an event; one more for what follows it and is none
        self._ends: list[int] = []  # size of everything up to here
        self._before = 0

    @property
    def end(self) -> int:
        """The position after the last block."""
        return self.first + len(self._blocks)

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._size_at(self.end) - self._before

    def size_after(self, position: int) -> int:
        """Bytes from a position on."""
        return self._size_at(self.end) - self._size_at(position)

    def _size_at(self, position: int) -> int:
        at = position - self.first
        return self._ends[at - 1] if at > 0 else self._before

    def add(self, data: bytes) -> None:
        """Adds bytes that hold whole events."""
        for block in numbering.cut(data):
            if numbering.is_event(block):
                self.count += 1
                self._keys.append(2 * self.count)
                if self._says_numbers:
                    block = numbering.numbered(block, self.count)
            else:
                self._keys.append(2 * self.count + 1)
            self._ends.append(self._size_at(self.end) + len(block) + ENTRY_BYTES)
            self._blocks.append(block)

    def read(self, position: int, most_bytes: int) -> tuple[bytes, int]:
        """Blocks from a position on, about `most_bytes` of them and at least one; and the position after them."""
        at = position - self.first
        to = bisect_right(self._ends, self._size_at(position) + most_bytes)
        to = min(max(to, at + 1), len(self._blocks))
        return b"".join(self._blocks[at:to]), self.first + to

    def forget(self, before: int, to_bytes: int) -> None:
        """Forgets the oldest blocks before a position until `to_bytes` are left, and no more than needed."""
        surplus = self.size - to_bytes
        if surplus <= 0:
            return
        drop = min(bisect_left(self._ends, self._before + surplus) + 1, before - self.first)
        if drop > 0:
            self.forgotten, self._before = self._keys[drop - 1] // 2, self._ends[drop - 1]
            self.first += drop
            del self._blocks[:drop], self._keys[:drop], self._ends[:drop]

    def number_before(self, position: int) -> int:
        """The number of the last event before a position."""
        at = position - self.first
        return self._keys[at - 1] // 2 if at > 0 else self.forgotten

    def position_after(self, number: int) -> int:
        """Where to go on for who has got this event; 0: nothing yet.

        Raises:
            Forgotten, NotSent: it cannot be gone on there.
        """
        if number > self.count:
            raise NotSent
        if number < self.forgotten:
            raise Forgotten(self.forgotten + 1)
        return self.first + bisect_right(self._keys, 2 * number)

    def number_of(self, mark: int, mark_of: Callable[[bytes], int | None]) -> int:
        """The number of the last event whose own mark, a number that grows, is at most `mark`; 0: there is none.

        Raises:
            Forgotten, NotSent: no event can be told to be that one.
        """

        def mark_at(at: int) -> int:
            while at >= 0:
                found = mark_of(self._blocks[at])
                if found is not None:
                    return found
                at -= 1
            return -1

        at = bisect_right(range(len(self._blocks)), mark, key=mark_at)
        if mark_at(at - 1) >= 0:
            if at == len(self._blocks) and mark_at(at - 1) < mark:
                raise NotSent
            return self._keys[at - 1] // 2
        if at == len(self._blocks):
            raise NotSent
        if self.forgotten and mark_at(at) != mark + 1:  # the events before the first that has a mark are not known
            raise Forgotten(self.forgotten + 1)
        return self.number_before(self.first + at) if self.forgotten else 0
