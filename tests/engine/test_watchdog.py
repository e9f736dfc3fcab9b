"""The timer that interrupts a request, on the loop that serves and on the plain one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from afterbay.engine.watchdog import Watchdog


@pytest.mark.parametrize("make", [uvloop.new_event_loop, asyncio.SelectorEventLoop])
@pytest.mark.parametrize("first_s", [-1.0, 0.0, 0.0002, 0.01])
def test_a_deadline_that_is_now_or_past_can_be_moved(
    make: Callable[[], asyncio.AbstractEventLoop], first_s: float
) -> None:
    async def watched() -> bool:
        loop = asyncio.get_running_loop()
        with Watchdog(loop) as dog:
            dog.set(loop.time() + first_s)
            dog.set(loop.time() + 0.02)
            dog.set(loop.time() + 0.01)
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                return dog.calm()
        return False

    with asyncio.Runner(loop_factory=make) as runner:
        assert runner.run(watched())
