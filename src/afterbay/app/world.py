"""The real clock and the real randomness."""

from __future__ import annotations

import asyncio
import secrets
import time


class LoopClock:
    """Implements `ports.Clock`. Monotonic time is the event loop's, so that a virtual loop owns it in tests."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.monotonic = loop.time
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
