"""A bounded channel from a blocking thread to the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """Items from one thread to one coroutine, at most `bound` underway: a slow reader slows the writer.

    The reader's wish to stop (`close`) reaches the writer at its next `put`, also one that is waiting for room.
    """

    def __init__(self, bound: int) -> None:
        self._bound, self._items = bound, deque[T]()
        self._room = threading.Condition()
        self._closed = self._ended = False
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()

    def put(self, item: T) -> bool:
        """From the thread: hands an item over, waiting for room. True: the reader has gone, stop."""
        with self._room:
            self._room.wait_for(lambda: self._closed or len(self._items) < self._bound)
            if self._closed:
                return True
            self._items.append(item)
        self._wake()
        return False

    def end(self) -> None:
        """From the thread: nothing more comes."""
        with self._room:
            self._ended = True
        self._wake()

    async def get(self) -> T | None:
        """From the loop: the next item, or None at the end. The deadline is the caller's."""
        while True:
            with self._room:
                if self._items:
                    self._room.notify()
                    return self._items.popleft()
                if self._ended or self._closed:
                    return None
                self._news.clear()
            await self._news.wait()

    def close(self) -> None:
        """From the loop: the reader has gone. What is underway is dropped."""
        with self._room:
            self._closed = True
            self._items.clear()
            self._room.notify_all()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the loop is closed: nobody reads
            self.close()
