"""Trouble at every point of a coroutine, one point after the other.

A coroutine gives up control at each await that really waits. `Interrupted` runs one and makes trouble at the n-th of
these points; a sweep counts them and tries all. What must hold afterwards, holds then for every interleaving of that
one trouble with that one program, not only for the ones that somebody thought of.

    for at in range(1, await_points(lambda: one_case(None)) + 1):
        one_case(at)
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Literal, TypeAlias

How: TypeAlias = Literal["cancel", "cancel late", "fail"]
"""`cancel`: the task is cancelled while it waits. `cancel late`: at the very moment when what it waits for has come,
so that the wake-up and the cancellation meet. `fail`: the await raises."""


class Interrupted(Coroutine[Any, Any, Any]):
    """Runs `inner` as a task of its own (see `start`) and makes trouble at its await number `at` (from 1; 0: never).

    `points` counts the awaits that really waited, `done` says that the trouble was made.
    """

    def __init__(
        self, inner: Coroutine[Any, Any, Any], at: int, how: How = "cancel", error: Exception | None = None
    ) -> None:
        self.points = 0
        self.done = False
        self._inner = inner
        self._at = at
        self._how = how
        self._error = error if error is not None else OSError("broken on purpose")
        self._task: asyncio.Task[Any] | None = None

    def start(self) -> asyncio.Task[Any]:
        """The task that runs it."""
        self._task = asyncio.get_running_loop().create_task(self, name="interrupted")
        return self._task

    def send(self, value: Any) -> Any:
        """One step of the inner coroutine."""
        if self._how == "fail" and self.points == self._at and not self.done and self._at:
            self.done = True
            return self._noted(self._inner.throw(self._error))
        return self._noted(self._inner.send(value))

    def throw(self, *error: Any) -> Any:
        """An exception enters the inner coroutine."""
        if self._how == "fail" and self.points == self._at and not self.done:
            self.done = True  # an await that is cancelled may end in another error, and libraries do so
            error = (self._error,)
        return self._noted(self._inner.throw(*error))

    def close(self) -> None:
        """Ends it."""
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        """For completeness: a coroutine can be awaited."""
        return self._inner.__await__()

    def _noted(self, waits_for: Any) -> Any:
        self.points += 1
        if self.points == self._at and self._how != "fail" and self._task is not None:
            self.done = True
            cancel = self._task.cancel
            if self._how == "cancel" or waits_for is None:
                asyncio.get_running_loop().call_soon(cancel)
            else:
                waits_for.add_done_callback(lambda _: cancel())
        return waits_for
