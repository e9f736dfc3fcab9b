"""At most so much in any 60 seconds: a window that slides in cells of one second. Pure.

A cell counts until the last moment of it is more than 60 seconds ago, so for up to a second longer than it had to: what
is taken never passes the limit in any 60 seconds, and a limit that is always reached lets through a sixtieth less than
it could. (A minute of the clock lets through twice the limit around its turn, and so does a bucket that starts full.)
"""

from __future__ import annotations

import math
from collections import deque

WINDOW_S = 60
COUNTS_S = WINDOW_S + 1
"""So long what is taken counts, from the beginning of its cell."""


class Window:
    """What was taken lately. Times are seconds of one clock that never goes back; at most 61 cells are kept."""

    __slots__ = ("_cells", "total")

    def __init__(self) -> None:
        self.total = 0
        """Taken in the window, as of the last `move`."""
        self._cells: deque[list[int]] = deque()

    def move(self, now_s: float) -> None:
        """Forgets what is too old to count."""
        cells = self._cells
        while cells and cells[0][0] + COUNTS_S <= now_s:
            self.total -= cells.popleft()[1]

    def take(self, amount: int, now_s: float) -> int:
        """Takes so much, whatever the limit. Returns the cell, for `settle`."""
        cell = math.floor(now_s)
        cells = self._cells
        if cells and cells[-1][0] >= cell:
            cells[-1][1] += amount
        else:
            cells.append([cell, amount])
        self.total += amount
        return cells[-1][0]

    def settle(self, cell: int, taken: int, used: int, now_s: float) -> None:
        """What was taken turned out as another amount: less is given back where it was taken, more is taken now."""
        self.move(now_s)
        if used > taken:
            self.take(used - taken, now_s)
            return
        for one in reversed(self._cells):
            if one[0] == cell:
                one[1] -= taken - used
                self.total -= taken - used
                return

    def wait_s(self, amount: int, limit: int, now_s: float) -> float:
        """Until so much may be taken, if nothing else is before; 0: now. Infinite: it is more than the limit."""
        if amount > limit:
            return math.inf
        self.move(now_s)
        over, wait_s = self.total + amount - limit, 0.0
        for cell, taken in self._cells:
            if over <= 0:
                break
            over -= taken
            wait_s = cell + COUNTS_S - now_s
        return wait_s
