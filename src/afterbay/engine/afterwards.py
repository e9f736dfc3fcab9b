"""Work that is done for a request after its client has the answer: bounded, owned, and dropped when there is no room.

Nothing of it delays a client: what is offered waits in a queue, a few workers take it, each piece has a deadline, and
all of it ends with the gateway.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

Job: TypeAlias = Callable[[], Awaitable[str]]
"""Does the work, and says in a word what became of it: for the metrics."""

AT_ONCE: Final = 4
MOST_WAITING: Final = 32
WORDS: Final = 32
"""Most different words that are counted."""

logger = logging.getLogger("afterbay.engine")


class Afterwards:
    """Offer it work; somebody has to `run` it. `counts`: what became of it, by word."""

    def __init__(self, at_once: int = AT_ONCE, most_waiting: int = MOST_WAITING) -> None:
        self._at_once, self._most_waiting = at_once, most_waiting
        self._waiting: asyncio.Queue[tuple[Job, float]] | None = None
        self.counts: Counter[str] = Counter()

    @property
    def has_room(self) -> bool:
        """Whether more would be taken now; never where nobody runs it."""
        return self._waiting is not None and not self._waiting.full()

    async def settle(self) -> None:
        """Waits until all that was offered is done, or was given up."""
        if self._waiting is not None:
            await self._waiting.join()

    def offer(self, job: Job, within_s: float) -> bool:
        """Takes a piece of work, unless there is no room: whether it did."""
        if self._waiting is None:
            return False
        try:
            self._waiting.put_nowait((job, within_s))
        except asyncio.QueueFull:
            self.count("dropped")
            return False
        return True

    def count(self, word: str) -> None:
        """Notes what became of a piece of work."""
        known = word in self.counts or len(self.counts) < WORDS
        self.counts[word if known else "other"] += 1

    async def run(self) -> None:
        """Works until it is cancelled; what waits then is dropped."""
        self._waiting = asyncio.Queue(self._most_waiting)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._at_once):
                    group.create_task(self._work(self._waiting), name=f"afterwards {number}")
        finally:
            self._waiting = None

    async def _work(self, waiting: asyncio.Queue[tuple[Job, float]]) -> None:
        own = asyncio.current_task()
        while own is None or not own.cancelling():  # one may have answered its end in place of passing it on
            job, within_s = await waiting.get()
            try:
                async with asyncio.timeout(within_s):
                    word = await job()
            except TimeoutError:
                word = "late"
            except Exception:  # one of many pieces: whatever it is, the others go on
                logger.exception("work after a request failed")
                word = "failed"
            self.count(word)
            waiting.task_done()
