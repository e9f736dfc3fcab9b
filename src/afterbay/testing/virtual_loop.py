"""An asyncio event loop on virtual time: whole days pass in no time, and the same program gives the same run.

    async def slow() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run(slow()) == 3600.0

Theory of operation
    asyncio has no hook for its clock. The loop asks its selector to wait until the next timer; here the selector does
    not wait but moves the clock to that timer's own deadline. It reads the deadline instead of adding up the waits it
    was asked for, since sums of floats drift and two runs would no longer be identical to the last bit.

    A loop that is asked to wait without a timer would wait for ever: nothing can happen any more. That is reported as
    a `Deadlock` with the tasks that wait, so every test is a test for lost wake-ups too.

Limits
    Threads and sockets live in real time: what waits for one of them is a deadlock here. The clock's resolution is
    1 ns and must stay above one step of the float that holds the time, or a timer would be due but never rung: good
    for runs of about 48 days. The private names of asyncio that are used (`_scheduled`, of the loop and
    of a timer) are tested.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

RESOLUTION_S = 1e-9


class Deadlock(RuntimeError):
    """Every task waits, and no timer is set that could wake one."""


class TaskLeak(AssertionError):
    """The program ended and left tasks behind that nobody waits for."""


class _JumpingSelector(selectors.BaseSelector):
    """Never waits: it looks, and where nothing came moves the clock to the next timer."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.loop: VirtualLoop | None = None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if not ready and self.loop is not None:
            if timeout is None:
                raise Deadlock(self.loop.who_waits())
            if timeout > 0:
                self.loop.jump()
        return ready

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()


class _Timer(asyncio.TimerHandle):
    """A timer that knows its place among those of the same instant; asyncio's own ring in the order of a heap."""

    number = 0

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, _Timer):
            return NotImplemented
        return (self.when(), self.number) < (other.when(), other.number)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time` only moves when every task waits. It starts at `start_s`."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s
        self._timers_made = 0
        selector = _JumpingSelector()
        super().__init__(selector)
        selector.loop = self
        self._clock_resolution = RESOLUTION_S

    def time(self) -> float:
        """Virtual seconds."""
        return self._now_s

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As every loop's; timers of one instant ring in the order of their making."""
        timer = _Timer(when, callback, args, self, context)
        self._timers_made += 1
        timer.number = self._timers_made
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]  # so that the loop counts it when it is cancelled
        return timer

    def jump(self) -> None:
        """Moves the clock to the deadline of the next timer."""
        self._now_s = max(self._now_s, self._scheduled[0].when())  # type: ignore[attr-defined]

    def who_waits(self) -> str:
        """The tasks that wait, for the message of a deadlock."""
        names = sorted(task.get_name() for task in asyncio.all_tasks(self))
        return f"nothing can happen any more at {self._now_s:g} s; waiting: {', '.join(names) or 'no task at all'}"


def run(main: Coroutine[Any, Any, T], *, start_s: float = 0.0) -> T:
    """Runs a coroutine to its end on a virtual loop of its own.

    Raises:
        Deadlock: it waits for something that cannot happen.
        TaskLeak: it ended, and tasks that it began still run.
    """

    async def watched() -> T:
        result = await main
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            raise TaskLeak("left behind: " + ", ".join(sorted(task.get_name() for task in left)))
        return result

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start_s)) as runner:
        return runner.run(watched())
