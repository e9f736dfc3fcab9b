"""The virtual loop: time jumps, stays exact, and a program that waits for nothing is told so."""

from __future__ import annotations

import asyncio
import time

import pytest

from afterbay.app.world import LoopClock
from afterbay.testing.sweeps import Interrupted
from afterbay.testing.virtual_loop import Deadlock, TaskLeak, VirtualLoop, run


async def _sleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return asyncio.get_running_loop().time()


def test_a_day_passes_at_once() -> None:
    began = time.monotonic()
    assert run(_sleep(86_400)) == 86_400.0
    assert time.monotonic() - began < 1


def test_time_is_the_timers_own_deadline_and_never_a_sum() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        rang: list[float] = []
        deadlines = [0.1 * n for n in range(1, 200)]
        for at in deadlines:
            loop.call_at(at, lambda: rang.append(loop.time()))
        await asyncio.sleep(30)
        assert rang == deadlines
        return rang

    assert run(main()) == run(main())


def test_timers_of_one_instant_ring_in_the_order_of_their_making() -> None:
    async def main() -> list[int]:
        loop, rang = asyncio.get_running_loop(), list[int]()
        for number in range(5):
            loop.call_at(7.0, rang.append, number)
        await asyncio.sleep(8)
        return rang

    assert run(main()) == [0, 1, 2, 3, 4]


def test_a_timer_is_due_late_in_a_long_run() -> None:
    assert run(_sleep(0.001), start_s=4_000_000.0) == 4_000_000.001


def test_the_loops_clock_is_the_gateways_clock() -> None:
    async def main() -> tuple[float, float]:
        clock = LoopClock(asyncio.get_running_loop())
        before = clock.monotonic()
        await asyncio.sleep(5)
        return before, clock.monotonic()

    assert run(main(), start_s=2.0) == (2.0, 7.0)


def test_waiting_for_nothing_is_a_deadlock_that_names_the_waiting_tasks() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_task(asyncio.Event().wait(), name="the lost one")

    with pytest.raises(Deadlock, match="the lost one"):
        run(main())


def test_a_task_left_behind_is_an_error() -> None:
    async def main() -> None:
        asyncio.get_running_loop().create_task(asyncio.sleep(10), name="the orphan")

    with pytest.raises(TaskLeak, match="the orphan"):
        run(main())


def test_exceptions_come_out_as_they_are() -> None:
    async def main() -> None:
        await asyncio.sleep(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(main())


def test_the_loop_reads_the_deadline_of_the_next_timer() -> None:
    loop = VirtualLoop()
    try:
        loop.call_at(9.5, lambda: None)
        loop.call_at(3.25, lambda: None)
        loop.jump()
        assert loop.time() == 3.25
    finally:
        loop.close()


@pytest.mark.parametrize("how", ["cancel", "cancel late", "fail"])
def test_a_sweep_makes_trouble_at_each_await_once(how: str) -> None:
    async def work(log: list[str]) -> None:
        for step in range(3):
            await asyncio.sleep(step)
            log.append(f"did {step}")

    async def main(at: int) -> list[str]:
        log: list[str] = []
        one = Interrupted(work(log), at, how)  # type: ignore[arg-type]
        await asyncio.wait([task := one.start()])
        log.append("cancelled" if task.cancelled() else type(task.exception()).__name__)
        return log

    end = "OSError" if how == "fail" else "cancelled"
    assert run(main(0)) == ["did 0", "did 1", "did 2", "NoneType"]
    assert [run(main(at)) for at in (1, 2, 3)] == [[end], ["did 0", end], ["did 0", "did 1", end]]
