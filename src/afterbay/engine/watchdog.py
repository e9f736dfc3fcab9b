"""A lazy timer that interrupts the task it watches.

Why not `asyncio.timeout`: its deadline is moved by cancelling and making a timer, for every chunk of every stream.
Here moving the deadline is one assignment; the timer looks, when it rings, whether it is too early.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Watchdog:
    """Cancels the task that entered it once `due_s` (event loop time) has passed. Use as a context manager.

    `barked` tells the owner that the `CancelledError` it sees is the watchdog's, not somebody else's wish.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.due_s = float("inf")
        self.barked = False
        self._loop = loop
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.Handle | None = None
        self._rings_s = 0.0  # not asked of the timer: uvloop's has no time where it is due at once

    def set(self, due_s: float) -> None:
        """Moves the deadline, earlier or later."""
        self.due_s = due_s
        if self._timer is None or due_s < self._rings_s:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_s = self.due_s
        self._timer = self._loop.call_at(self.due_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._loop.time() < self.due_s:
            self._arm()
        elif self._task is not None and not self.barked:
            self.barked = True
            self._task.cancel()

    def calm(self) -> bool:
        """After a `CancelledError`: takes the watchdog's bark back; False if somebody else cancelled the task too."""
        if not self.barked:
            return False
        self.barked = False
        return self._task is not None and self._task.uncancel() == 0

    def __enter__(self) -> Watchdog:
        self._task = asyncio.current_task()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
