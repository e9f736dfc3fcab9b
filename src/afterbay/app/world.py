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
    """Implements `ports.Entropy` with the system's source."""

    def __init__(self) -> None:
        self.bits = secrets.randbits
