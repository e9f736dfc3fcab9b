"""Takes a database away for a while, as a process of its own: python -m tenants.outage DATABASE HOW SECONDS

SQLite is no server that could be stopped, so what stands for it: `unwritable`, somebody keeps the lock of writers;
`stopped`, somebody keeps all eight locks of the write-ahead log, so nobody can read, write or open it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
import time
from contextlib import closing

_FIRST_LOCK, _LOCKS = 120, 8
"""Where SQLite's locks are in the file `-shm` (sqlite.org/walformat.html#wal_locks, November 2026)."""


def make_unwritable(database: str, seconds: float) -> None:
    """Keeps the lock of writers for so long."""
    with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")


def stop(database: str, seconds: float) -> None:
    """Keeps all locks for so long. One after the other is waited for: others only ever try theirs."""
    file = os.open(f"{database}-shm", os.O_RDWR)
    try:
        for lock in range(_FIRST_LOCK, _FIRST_LOCK + _LOCKS):
            fcntl.lockf(file, fcntl.LOCK_EX, 1, lock)
        time.sleep(seconds)
    finally:
        os.close(file)


if __name__ == "__main__":
    {"unwritable": make_unwritable, "stopped": stop}[sys.argv[2]](sys.argv[1], float(sys.argv[3]))
