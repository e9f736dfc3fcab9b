"""The request log on SQLite: the event loop appends, one thread writes.

    put ──> queue ──> writer thread ──> sinks (metrics, spans, tail), once a batch
                          │
                          ├──> one transaction a batch ──> requests, attempts
                          ├──> spool file, while the database takes nothing ──> read back later
                          └──> now and then: sums by the hour (`rollup.py`), then what is too old goes

The writer sleeps until the first record, waits `flush_s` for company, then writes what has come. So a quiet gateway
wakes once a request, a busy one a few times a second. It works in slices and pauses between them, because every
microsecond it computes is one in which the event loop cannot (one interpreter lock).

What can be lost: a process that is killed (SIGKILL, out of memory) loses the records of the last `flush_s` or so, which
were in memory only; the database stays whole, each request with all its attempts. (A later release writes intent rows.)
A crash of the machine may also lose the last commits (see `database.py`). Short of that a record is lost only when
neither the database nor the spool takes anything and `memory_records` are waiting: then the new ones are counted in
`dropped`, and the log says so.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from afterbay.core.decision import Record
from afterbay.core.redaction import redact_record
from afterbay.store.database import Database
from afterbay.store.spool import Spool
from afterbay.store.writer import Writer

Sink: TypeAlias = Callable[[Sequence[Record]], None]
"""Takes a batch on the writer's thread. It may not block; what it raises is logged and stops nobody else."""

_FIRST_RETRY_S: Final = 0.05
_LAST_RETRY_S: Final = 2.0
_SAY_AGAIN_S: Final = 10.0
_SLICES: Final = 8
"""Into how many slices a large batch is cut. Not more: a busy event loop gives the interpreter back only after 5 ms."""

_log = logging.getLogger(__name__)


class LogLimits(msgspec.Struct, frozen=True):
    """Bounds of the request log. Records are about 2 kB each in memory."""

    flush_s: float = 0.2
    """Longest wait of a record in memory while all is well."""
    hurry_records: int = 1000
    """So many waiting records are written at once, without waiting for `flush_s`."""
    transaction_records: int = 4096
    """Most records in one transaction."""
    slice_records: int = 64
    """Records handled before the writer lets go of the interpreter; more when many wait, see `_SLICES`."""
    slice_pause_s: float = 0.0005
    """For how long it lets go."""
    spill_records: int = 4096
    """So many that the database did not take go to the spool."""
    memory_records: int = 16384
    """Most records in memory, waiting or refused."""
    spool_bytes: int = 1 << 30
    """Largest spool file."""
    busy_s: float = 0.25
    """How long to wait for another process's write lock before looking after the queue again."""
    sweep_s: float = 3600.0
    """Between two removals of old rows."""
    sweep_rows: int = 500
    """Rows removed in one transaction."""
    rollup_s: float = 30.0
    """Between two roll-ups while requests come; what a report finds to sum is not older."""
    rollup_rows: int = 2048
    """Rows summed in one transaction: some 30 ms, in which records wait."""
    rollup_retention_s: float = 400 * 86400.0
    """How long roll-ups are kept: a month, and the same one of the year before."""


class SqliteRequestLog:
    """Implements `ports.RequestLog`. Owns its thread from `start` to `close`."""

    def __init__(
        self,
        database: Database,
        *,
        retention_s: float,
        sinks: Sequence[Sink] = (),
        limits: LogLimits | None = None,
        now: Callable[[], float] = time.time,
        holder: str = "",
    ) -> None:
        """`holder`: the name of this process in the ledger; empty: it leases nothing."""
        self._limits = limits or LogLimits()
        self._retention_s, self._sinks, self._now = retention_s, tuple(sinks), now
        self._holder = holder
        self._queue: deque[Record] = deque()
        self._pending: list[Record] = []
        self._writer = Writer(database, self._limits.busy_s)
        self._spool = Spool(database.path, self._limits.spool_bytes)
        self._reading: tuple[Path, Iterator[list[Record]]] | None = None
        self._spool_waits = True
        self._retry_s, self._next_sweep_s, self._next_rollup_s = 0.0, 0.0, 0.0
        self._quiet_until_s: dict[str, float] = {}
        self._closing = False
        self._wake, self._hurry, self._done = threading.Event(), threading.Event(), threading.Event()
        self._round_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="afterbay-request-log", daemon=True)
        self._memory_records, self._hurry_records = self._limits.memory_records, self._limits.hurry_records
        self.written = 0
        """Records in the database."""
        self.spilled = 0
        """Records that went to the spool."""
        self.dropped = 0
        """Records that nothing could take. Anything but 0 is a fault to look into."""

    def start(self) -> None:
        """Starts the writer."""
        self._thread.start()

    def put(self, record: Record) -> None:
        """Takes a record: under a microsecond, no I/O. The record must not be changed afterwards."""
        queue = self._queue
        waiting = len(queue)
        if waiting >= self._memory_records or self._closing:
            self._drop(1, "the log is closed" if self._closing else "its writer does not follow")
            return
        record.charged_by = self._holder
        queue.append(record)
        if not self._wake.is_set():
            self._wake.set()
        if waiting == self._hurry_records:
            self._hurry.set()

    @property
    def depth(self) -> int:
        """Records in memory, not yet in the database or the spool."""
        return len(self._queue) + len(self._pending)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until all that was put is in the database; False: it is not, after `timeout_s`. Blocks its thread."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            self._done.clear()
            self._poke()
            self._done.wait(left)
            with self._round_lock:
                if not (self._queue or self._pending or self._spool_waits):
                    return True
        return False

    def close(self, timeout_s: float = 10.0) -> None:
        """Writes what waits, to the spool if the database takes nothing, and ends the thread. Blocks its caller."""
        self._closing = True
        self._poke()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            _log.error("the request log did not end within %s s: %d records may be lost", timeout_s, self.depth)
        elif self._queue:
            self._drop(len(self._queue), "its writer had ended")
            self._queue.clear()

    def _poke(self) -> None:
        self._wake.set()
        self._hurry.set()

    def _run(self) -> None:
        """The writer: one round a batch, until closed and empty."""
        try:
            while not self._closing:
                self._wait()
                with self._round_lock:
                    self._round()
                self._done.set()
            with self._round_lock:
                self._take()
                if not self._store():
                    self._spill()
                lost = len(self._pending)
                self._pending.clear()
                if lost:
                    self._drop(lost, "it ended while neither the database nor the spool took any")
        except Exception:
            # Without this thread the queue only fills up, and put then counts what is lost.
            _log.critical("the request log's writer died: requests are no longer logged", exc_info=True)
            raise
        finally:
            self._writer.close()

    def _wait(self) -> None:
        """Sleeps until there is something to do, then gathers company for it."""
        if self._retry_s:
            self._hurry.wait(self._retry_s)
        elif not self._spool_waits:
            self._wake.wait(max(0.0, self._next_sweep_s - time.monotonic()))
            if self._queue:
                self._hurry.wait(self._limits.flush_s)

    def _round(self) -> None:
        self._wake.clear()
        self._hurry.clear()
        self._take()
        if not self._store():
            if len(self._pending) >= self._limits.spill_records:
                self._spill()
        elif self._spool_waits:
            self._read_back()
        elif time.monotonic() >= self._next_sweep_s:
            self._sweep()
        elif time.monotonic() >= self._next_rollup_s:
            self._roll_up()

    def _take(self) -> None:
        """Moves the queue to `_pending` and tells the sinks, in slices."""
        left = len(self._queue)
        longest = self._slice(left)
        while left:
            size = min(left, longest)
            part = [self._queue.popleft() for _ in range(size)]
            for record in part:
                redact_record(record)
            self._pending += part
            for sink in self._sinks:
                try:
                    sink(part)
                except Exception:
                    _log.exception("a subscriber of the request log failed")
            left -= size
            if left:
                self._pause()
        if (over := len(self._pending) - self._memory_records) > 0:
            del self._pending[-over:]
            self._drop(over, "neither the database nor the spool takes any")

    def _slice(self, records: int) -> int:
        return max(self._limits.slice_records, -(-records // _SLICES))

    def _pause(self) -> None:
        """Lets the event loop have the interpreter: a thread that only computes is made to let go after 5 ms."""
        time.sleep(self._limits.slice_pause_s)

    def _store(self) -> bool:
        """Writes `_pending`. False: the database takes nothing now, and they wait."""
        while self._pending:
            part = self._pending[: self._limits.transaction_records]
            if not self._insert(part):
                return False
            del self._pending[: len(part)]
        return True

    def _insert(self, records: Sequence[Record]) -> bool:
        try:
            lost = self._writer.insert(records, self._slice(len(records)), self._pause)
        except sqlite3.Error as trouble:
            self._writer.close()
            self._retry_s = min(_LAST_RETRY_S, max(_FIRST_RETRY_S, self._retry_s * 2))
            self._say("the database takes no records now (%s); they wait, %d so far", trouble, self.depth)
            return False
        if self._retry_s:
            _log.info("the database takes records again")
        self._retry_s = 0.0
        self._quiet_until_s.clear()
        self.written += len(records) - lost
        self.dropped += lost
        return True

    def _spill(self) -> None:
        """Moves `_pending` to the spool; where that fails too, they stay."""
        try:
            self._spool.append(self._pending)
        except OSError as trouble:
            self._say("the spool takes no records either (%s); %d wait in memory", trouble, self.depth)
            return
        self._say("%d records went to the spool beside the database, to be read back later", len(self._pending))
        self.spilled += len(self._pending)
        self._pending.clear()
        self._spool_waits = True

    def _read_back(self) -> None:
        """One chunk from the spools. After a failure the file is read again from its start: inserting ignores twins."""
        try:
            if self._reading is None:
                files = self._spool.waiting()
                if not files:
                    self._spool_waits = False
                    return
                self._reading = files[0], self._spool.read(files[0])
            file, chunks = self._reading
            records = next(chunks, None)
            if records is None:
                self._reading = None
                file.unlink(missing_ok=True)
                _log.info("the spool %s is in the database now", file)
            elif not self._insert(records):
                self._reading = None
        except OSError as trouble:
            self._reading, self._spool_waits = None, False
            _log.error("a spool cannot be read back: %s; it is tried again at the next start", trouble)

    def _roll_up(self) -> bool:
        """Sums a chunk of rows by the hour; the next one in the next round, then a pause. Whether more may be left.

        A quiet gateway is not woken for the last rows: the next request, sweep or report sums them.
        """
        try:
            more = self._writer.roll_up(self._limits.rollup_rows)
        except sqlite3.Error as trouble:
            self._writer.close()
            more = False
            self._say("the log could not be summed for reports (%s); tried again later", trouble)
        self._next_rollup_s = time.monotonic() + (0.0 if more else self._limits.rollup_s)
        if more:
            self._wake.set()
            self._hurry.set()
        return more

    def _sweep(self) -> None:
        """Removes a chunk of rows older than the retention; the next one in the next round, then a long pause."""
        if self._roll_up():
            return
        more = False
        now_s, rows = self._now(), self._limits.sweep_rows
        try:
            more = self._writer.remove_old(now_s - self._retention_s, rows)
            more = self._writer.remove_old_rollups(now_s - self._limits.rollup_retention_s, rows) or more
        except sqlite3.Error as trouble:
            self._writer.close()
            _log.warning("old rows could not be removed: %s; tried again in %s s", trouble, self._limits.sweep_s)
        self._next_sweep_s = time.monotonic() + (0.0 if more else self._limits.sweep_s)

    def _drop(self, count: int, why: str) -> None:
        self.dropped += count
        self._say("the request log lost %d records so far: %s", self.dropped, why)

    def _say(self, message: str, *args: object) -> None:
        """An error, each at most every ten seconds: a full disk must not fill the other one too."""
        if (now_s := time.monotonic()) >= self._quiet_until_s.get(message, 0.0):
            self._quiet_until_s[message] = now_s + _SAY_AGAIN_S
            _log.error(message, *args)
