"""A run: processes over one database, killed at random and restarted, the database taken away and given back."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec

from afterbay.policy.charge import UNKNOWN
from afterbay.store.database import open_database
from afterbay.store.leases import retire
from afterbay.store.writer import Writer
from budgets.history import Verdict, judge, read
from budgets.process import limits_of, record_of

_TESTS = Path(__file__).parent.parent
_SOURCES = _TESTS.parent / "src"


class Size(msgspec.Struct, frozen=True):
    """How large a run is. `kills` and `outages`: how many, at random times of `seconds`."""

    seconds: float
    processes: int = 4
    accounts: int = 250
    burst: int = 100
    kills: int = 2
    outages: int = 1
    outage_s: float = 2.0
    scale: int = 1000
    seed: int = 1


class Run:
    """The control process: starts, kills, reads what dead ones left, retires them, starts others."""

    def __init__(self, folder: Path, size: Size) -> None:
        self._folder, self._size = folder, size
        self._database = open_database(f"sqlite:///{folder}/state.db")
        self._writer = Writer(self._database, 1.0)
        self._random = random.Random(size.seed)
        self._at_s = time.time()
        self._started = 0
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._dead: list[str] = []
        self._outages: list[threading.Thread] = []

    def go(self) -> Verdict:
        """All of it, to the verdict."""
        size, begin_s = self._size, time.monotonic()
        try:
            for _ in range(size.processes):
                self._start()
            events = [(self._random.uniform(0.15, 0.85) * size.seconds, self._kill) for _ in range(size.kills)]
            events += [(self._random.uniform(0.1, 0.8) * size.seconds, self._outage) for _ in range(size.outages)]
            for at_s, act in sorted(events, key=lambda event: event[0]):
                time.sleep(max(0.0, begin_s + at_s - time.monotonic()))
                act()
            time.sleep(max(0.0, begin_s + size.seconds - time.monotonic()))
            for outage in self._outages:
                outage.join()
            self._stop()
        finally:
            for process in self._running.values():
                process.kill()
            self._writer.close()
        lines = read(sorted(self._folder.glob("*.lines")))
        return judge(lines, limits_of(size.accounts, size.scale), self._spent(), self._leased())

    def _start(self) -> None:
        self._started += 1
        size, holder = self._size, f"w{self._started}"
        numbers = (size.seed * 1000 + self._started, size.accounts, size.burst, self._at_s, size.scale)
        command = [sys.executable, "-m", "budgets.process", self._database.path, self._lines(holder), holder]
        self._running[holder] = subprocess.Popen(
            [*map(str, command), *map(str, numbers)],
            env={**os.environ, "PYTHONPATH": f"{_SOURCES}{os.pathsep}{_TESTS}"},
        )

    def _kill(self) -> None:
        """One dies; a while later its lines are read as a journal would be, and another takes its place."""
        holder = self._random.choice(sorted(self._running))
        process = self._running.pop(holder)
        process.kill()
        process.wait()
        self._dead.append(holder)
        time.sleep(self._random.random())
        self._bury()
        self._start()

    def _bury(self) -> None:
        """Charges what dead processes had open or not written, then ends their leases. The database has to be there."""
        for holder in self._dead:
            lines = read([self._lines(holder)])
            used = {line.id: line for line in lines if line.what == "used"}
            records = [
                record_of(used.get(line.id, line), self._at_s, holder, "ok" if line.id in used else UNKNOWN)
                for line in lines
                if line.what == "admitted"
            ]
            _persist(partial(self._writer.insert, records, 256, lambda: None))
            _persist(partial(retire, self._database, holder, time.time()))
        self._dead.clear()

    def _outage(self) -> None:
        """Somebody takes the write lock and keeps it, whatever else happens meanwhile."""
        self._outages.append(threading.Thread(target=self._hold_the_lock))
        self._outages[-1].start()

    def _hold_the_lock(self) -> None:
        with closing(self._database.connect()) as connection:
            _persist(lambda: connection.execute("BEGIN IMMEDIATE"))
            time.sleep(self._size.outage_s)
            connection.execute("ROLLBACK")

    def _stop(self) -> None:
        for holder, process in self._running.items():
            while not (self._lines(holder).exists() and self._lines(holder).stat().st_size):
                assert process.poll() is None, f"{holder} did not start"
                time.sleep(0.05)
            process.terminate()
        for holder, process in self._running.items():
            assert process.wait(60) == 0, f"{holder} did not end well"
        self._running.clear()

    def _lines(self, holder: str) -> Path:
        return self._folder / f"{holder}.lines"

    def _spent(self) -> dict[str, tuple[int, int]]:
        with closing(self._database.connect()) as connection:
            rows = connection.execute("SELECT account, SUM(picousd), SUM(requests) FROM spending GROUP BY account")
            return {row[0]: (row[1], row[2]) for row in rows}

    def _leased(self) -> dict[str, int]:
        with closing(self._database.connect()) as connection:
            rows = connection.execute("SELECT holder, SUM(amount) FROM leases WHERE until_s IS NULL GROUP BY holder")
            return dict(rows.fetchall())


def _persist(act: Callable[[], object]) -> None:
    """Until the database takes it."""
    for _ in range(100):
        try:
            act()
        except sqlite3.Error:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the database did not come back")


def summary(size: Size, verdict: Verdict) -> str:
    """A run in a few lines."""
    about = f"{size.processes} processes, {size.accounts} accounts, bursts of {size.burst}, {size.seconds:g} s"
    return "\n".join(
        [
            f"{about}, {size.kills} kills, {size.outages} outages of {size.outage_s:g} s, seed {size.seed}",
            f"  admitted {verdict.admitted}, settled {verdict.settled}, cut off by a kill {verdict.unknown}",
            f"  refused {verdict.exceeded}, of these too early {verdict.too_early}; unavailable {verdict.unavailable}",
            f"  accounts used up {verdict.used_up}; highest above a limit {max(0.0, verdict.most_over):.4%}",
            f"  slowest admission {verdict.slowest_s * 1e3:.0f} ms",
            *(f"  FAULT: {fault}" for fault in verdict.faults[:20]),
        ]
    )
