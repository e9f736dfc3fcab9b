"""Waits for the disk, for many requests at once: one thread calls `fsync` for whoever has come during the last one."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Final

QUIET_S: Final = 0.05
"""As long it waits for an answer before it goes there for nobody's sake."""
WAIT_S: Final = 5.0
"""As long an answer waits for a disk that does not come back."""

_log = logging.getLogger(__name__)


class GroupSync:
    """Calls `sync` on a thread of its own. `failed` counts how often it raised."""

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._waiting: list[asyncio.Future[None]] = []
        self._lock = threading.Lock()
        self._wake, self._answer = threading.Event(), threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="afterbay-journal-sync", daemon=True)
        self.failed = 0

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def hurry(self) -> None:
        """Lets the thread go to the disk soon; nobody waits for that, and no answer shall wait for it."""
        self._wake.set()

    async def synced(self) -> None:
        """Returns when all that was written before is on the disk, or when that took too long: the log says so then."""
        future = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.append(future)
        self._answer.set()
        self._wake.set()
        try:
            async with asyncio.timeout(WAIT_S):
                await future
        except TimeoutError:
            self.failed += 1
            _log.error("the disk did not take the journal within %g s; the answer goes out all the same", WAIT_S)

    def close(self, timeout_s: float = 10.0) -> None:
        """Goes to the disk once more and ends the thread."""
        self._closing = True
        self._answer.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait()
            self._answer.wait(QUIET_S)
            self._wake.clear()
            self._answer.clear()
            with self._lock:
                waiting, self._waiting = self._waiting, []
            try:
                self._sync()
            except OSError as trouble:
                self.failed += 1
                _log.error("the disk does not take the journal: %s", trouble)
            for loop in {future.get_loop() for future in waiting}:
                own = [future for future in waiting if future.get_loop() is loop]
                try:
                    loop.call_soon_threadsafe(_resolve, own)
                except RuntimeError:  # the loop has ended: nobody waits
                    continue


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
