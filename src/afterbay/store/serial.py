"""One connection that worker threads use in turns, for stores whose calls come from the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from typing import TypeVar

from afterbay.store.database import BUSY_S, Database

T = TypeVar("T")


class SerialConnection:
    """Opened when first needed, and again after trouble. `busy_s`: how long another one's lock is waited for."""

    def __init__(self, database: Database, busy_s: float = BUSY_S) -> None:
        self._database, self._busy_s = database, busy_s
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    async def do(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """What `act` gives, in a worker thread.

        Raises:
            sqlite3.Error: the database does not do it; the next call opens another connection.
        """
        return await asyncio.to_thread(self._act, act)

    def close(self) -> None:
        """Closes the connection; a later call opens another."""
        with self._lock:
            self._forget()

    def _act(self, act: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._database.connect(self._busy_s)
                return act(self._connection)
            except sqlite3.Error:
                self._forget()
                raise

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
