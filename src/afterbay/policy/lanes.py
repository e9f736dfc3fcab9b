"""Places at something that takes only so many at once, and a short queue before it, by priority. Pure.

The queue is as long as there are places, at least 8: a longer one only makes everybody late. Who has the higher
priority goes first, among equals who came first. When it is full a newcomer takes the place of the last one of the
lowest priority under its own; without one it is turned away. So low priority is shed first, and high priority last.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Literal, TypeAlias, TypeVar

Priority: TypeAlias = Literal["low", "normal", "high"]
PRIORITIES: tuple[Priority, ...] = ("low", "normal", "high")

SHORTEST = 8

T = TypeVar("T")


class Lanes(Generic[T]):
    """Who is in and who waits. `T` is what the owner knows a waiting one by."""

    def __init__(self, places: int) -> None:
        self.taken = 0
        self._places = places
        self._size = max(places, SHORTEST)
        self._waiting: dict[Priority, deque[T]] = {priority: deque() for priority in PRIORITIES}

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def has_room(self) -> bool:
        """Whether a place is free and nobody waits."""
        return self.taken < self._places and not self.waiting

    def take(self) -> bool:
        """Takes a place, if one is free and nobody waits."""
        if not self.has_room:
            return False
        self.taken += 1
        return True

    def is_full(self, priority: Priority) -> bool:
        """Whether somebody who comes now would be turned away."""
        return self.taken >= self._places and self.waiting >= self._size and self._lowest_under(priority) is None

    def queue(self, priority: Priority, one: T) -> T | None:
        """Lets one wait, for whom `is_full` was false. Returns who had to go for it, if anybody."""
        gone: T | None = None
        lower = self._lowest_under(priority)
        if self.waiting >= self._size and lower is not None:
            gone = self._waiting[lower].pop()
        self._waiting[priority].append(one)
        return gone

    def give_up(self, priority: Priority, one: T) -> None:
        """Somebody waits no more."""
        if one in self._waiting[priority]:
            self._waiting[priority].remove(one)

    def leave(self) -> T | None:
        """A place is free again. Returns who has it now, if anybody waited."""
        for priority in reversed(PRIORITIES):
            if self._waiting[priority]:
                return self._waiting[priority].popleft()
        self.taken -= 1
        return None

    def _lowest_under(self, priority: Priority) -> Priority | None:
        for lower in PRIORITIES[: PRIORITIES.index(priority)]:
            if self._waiting[lower]:
                return lower
        return None
