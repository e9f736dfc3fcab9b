"""The real clock and the real randomness."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable


class LoopClock:
    """Implements `ports.Clock`. Monotonic time is the event loop's, so that a virtual loop owns it in tests.

    uvloop's own time stands still within a turn of the loop and counts whole milliseconds; the system's clock has the
    same zero and does not.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        is_coarse = type(loop).__module__.partition(".")[0] == "uvloop"
        self.monotonic: Callable[[], float] = time.monotonic if is_coarse else loop.time
        self.utc = time.time


class SystemEntropy:
    """Implements `ports.Entropy` with the system's source, asked for 4 KB at a time: a system call costs 5 µs."""

    def __init__(self) -> None:
        self._pool = b""

    def bits(self, count: int) -> int:
        """An integer of `count` random bits; none of them is given out twice."""
        size = (count + 7) // 8
        if len(self._pool) < size:
            self._pool = secrets.token_bytes(max(4096, size))
        drawn, self._pool = self._pool[:size], self._pool[size:]
        return int.from_bytes(drawn, "big") >> (size * 8 - count)
