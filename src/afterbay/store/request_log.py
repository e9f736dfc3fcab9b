"""The request log on SQLite: the event loop appends, one thread writes.

    begin, settle ──> journal (one write each, before anything is paid for, before the last byte goes out)
    put ──> journal ──> queue ──> writer thread ──> sinks (metrics, spans, tail), once a batch
                                      │
                                      ├──> one transaction a batch ──> requests, attempts ──> the journal's segment goes
                                      └──> nothing, while the database takes nothing: the journal is read back later
                                      └──> now and then: sums by the hour (`rollup.py`), then what is too old goes

The writer sleeps until the first record, waits `flush_s` for company, then writes what has come. So a quiet gateway
wakes once a request, a busy one a few times a second. It works in slices and pauses between them, because every
microsecond it computes is one in which the event loop cannot (one interpreter lock). Every `orphans_s` it looks whether
another process has died, and takes over what that one's journal holds (`recovery.py`).

What can be lost depends on `durable`; docs/operations.md has the table. With `off` the journal takes records only while
the database takes none. A record that is neither in the database nor in the journal is counted in `dropped`, a write
that the journal did not take in `unjournaled`; the log says so.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from afterbay.core.decision import Record
from afterbay.core.errors import Capacity
from afterbay.core.redaction import redact_record
from afterbay.store.database import Database
from afterbay.store.group_sync import GroupSync
from afterbay.store.holder import Holder, hold
from afterbay.store.journal import Journal, sync_path
from afterbay.store.leases import retire
from afterbay.store.recovery import Orphans, ReadBack, keep_unread, retire_strays
from afterbay.store.writer import Writer

Sink: TypeAlias = Callable[[Sequence[Record]], None]
"""Takes a batch on the writer's thread. It may not block; what it raises is logged and stops nobody else."""

Durable: TypeAlias = Literal["process", "machine", "off"]
"""What the record of a request survives once its client has the last byte: the end of the process, also that of the
machine, neither."""

_FIRST_RETRY_S: Final = 0.05
_LAST_RETRY_S: Final = 2.0
_SAY_AGAIN_S: Final = 10.0
_COME_BACK_S: Final = 5.0
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
    """So many that the database did not take leave the memory: the journal has them."""
    memory_records: int = 16384
    """Most records in memory, waiting or refused."""
    journal_bytes: int = 1 << 30
    """Most bytes of the journal."""
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
    orphans_s: float = 15.0
    """Between two looks for journals whose process has ended; infinite: it is left to others."""


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
        durable: Durable = "process",
        refuses_when_full: bool = False,
        holder: Holder | None = None,
    ) -> None:
        """`refuses_when_full`: requests that the journal does not take are refused, not served without it;
        `holder`: whose journal it is; whoever gives it ends it after this log. None: the log has one of its own.

        Raises:
            OSError: no lock can be made beside the database.
        """
        self._limits = limits or LogLimits()
        self._retention_s, self._sinks, self._now = retention_s, tuple(sinks), now
        self._database = database
        self._queue: deque[tuple[Record, int]] = deque()
        self._pending: list[Record] = []
        self._places: list[int] = []
        """The segments that hold what is pending; 0: none does."""
        self._writer = Writer(database, self._limits.busy_s)
        self._owns_holder, self._holder = holder is None, holder or hold(database.path)
        self._journal = Journal(self._holder, self._limits.journal_bytes)
        self._is_durable, self._refuses = durable != "off", refuses_when_full
        self._sync = GroupSync(self._journal.sync) if durable == "machine" else None
        self._journal.keeps_for_sync = self._sync is not None
        self._orphans = Orphans(database.path, lambda name: retire(database, name, now()))
        self._left_behind: Counter[int] = Counter()
        """Records that only the journal has, by segment."""
        self._left_lock = threading.Lock()
        self._own: tuple[ReadBack, Iterator[list[Record]], Counter[int]] | None = None
        self._looks = self._limits.orphans_s < math.inf
        self._strays = self._looks
        self._retry_s, self._next_sweep_s, self._next_rollup_s = 0.0, 0.0, 0.0
        self._next_spare_s = 0.0
        self._next_look_s = 0.0 if self._looks else math.inf
        self._quiet_until_s: dict[str, float] = {}
        self._closing = False
        self._wake, self._hurry, self._done = threading.Event(), threading.Event(), threading.Event()
        self._round_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="afterbay-request-log", daemon=True)
        self._memory_records, self._hurry_records = self._limits.memory_records, self._limits.hurry_records
        self.written = self._written_before = 0
        """Records in the database."""
        self.spilled = 0
        """Records that left the memory before the database took them: the journal had them."""
        self.dropped = 0
        """Records that nothing could take. Anything but 0 is a fault to look into."""
        self.unjournaled = 0
        """Writes that the journal did not take. Their requests were served, or refused, as it is configured."""

    @property
    def holder(self) -> str:
        """The name of this life of the process: whose journal it is, and whose leases."""
        return self._holder.name

    @property
    def recovered(self) -> int:
        """Records that were read back from journals of processes that have ended."""
        return self._orphans.recovered

    def start(self) -> None:
        """Starts the writer."""
        if self._sync is not None:
            self._prepare()
            self._sync.start()
        self._thread.start()

    def begin(self, record: Record) -> None:
        """Notes a request that is about to cost something: one write. See `ports.RequestLog`.

        Raises:
            Capacity: 503 `journal_full`: the journal does not take it, and such requests are refused.
        """
        if not self._is_durable:
            return
        self._mark(record)
        redact_record(record)
        try:
            self._journal.begin(record)
        except OSError as trouble:
            self._miss(trouble)
            if self._refuses:
                raise Capacity(
                    "The gateway cannot note what this request is about to cost: its journal takes nothing.",
                    code="journal_full",
                    retry_after_s=_COME_BACK_S,
                ) from None
        else:
            if self._sync is not None:
                self._sync.hurry()

    def settle(self, record: Record) -> Awaitable[None] | None:
        """Notes what has come of a request before its last bytes go out: one write. See `ports.RequestLog`."""
        if not self._is_durable:
            return None
        self._mark(record)
        redact_record(record)
        try:
            self._journal.settle(record)
        except OSError as trouble:
            self._miss(trouble)
            return None
        return self._sync.synced() if self._sync is not None else None

    def _mark(self, record: Record) -> None:
        """Notes whose leases pay for a request, if anybody's do."""
        if record.accounts:
            record.charged_by = self._holder.name

    def put(self, record: Record) -> None:
        """Takes a record: one write, or none if the journal has it already. It must not be changed afterwards."""
        place = 0
        self._mark(record)
        if self._is_durable:
            redact_record(record)
            try:
                place = self._journal.finish(record)
            except OSError as trouble:
                self._miss(trouble)
        queue = self._queue
        waiting = len(queue)
        if waiting >= self._memory_records or self._closing:
            if place:
                self._leave([place])
            else:
                self._drop(1, "the log is closed" if self._closing else "its writer does not follow")
            return
        queue.append((record, place))
        if not self._wake.is_set():
            self._wake.set()
        if waiting == self._hurry_records:
            self._hurry.set()

    @property
    def depth(self) -> int:
        """Records in memory, not yet in the database."""
        return len(self._queue) + len(self._pending)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until all that was put is in the database; False: it is not, after `timeout_s`. Blocks its thread."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            self._done.clear()
            self._poke()
            self._done.wait(left)
            with self._round_lock:
                if not (self._queue or self._pending or self._reads):
                    return True
        return False

    def close(self, timeout_s: float = 10.0) -> None:
        """Writes what waits, leaves in the journal what the database does not take, and ends the thread. Blocks."""
        self._closing = True
        self._poke()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            _log.error("the request log did not end within %s s: %d records may be lost", timeout_s, self.depth)
            return
        if self._queue:
            self._take()
            self._spill()
            self._lose("its writer had ended")
        if self._sync is not None:
            self._sync.close()
        files = self._journal.close()
        if files is not None and not self._left_behind:  # else whoever comes next reads it back
            self._remove(files)
        if self._owns_holder:
            self._holder.end()

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
                self._lose("it ended while neither the database nor the journal took any")
                self._orphans.abandon()
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
        elif not self._reads:
            due_s = min(self._next_sweep_s, self._next_look_s)
            self._wake.wait(max(0.0, due_s - time.monotonic()))
            if self._queue:
                self._hurry.wait(self._limits.flush_s)

    @property
    def _reads(self) -> bool:
        """Whether there is, or may be, something to read back."""
        return self._looks or bool(self._left_behind) or self._own is not None

    def _round(self) -> None:
        self._wake.clear()
        self._hurry.clear()
        if self._sync is not None and time.monotonic() >= self._next_spare_s:
            self._prepare()
        self._take()
        if not self._store():
            if len(self._pending) >= self._limits.spill_records:
                self._spill()
            return
        self._looks = self._looks or time.monotonic() >= self._next_look_s
        if self._left_behind or self._own is not None:
            self._read_own()
        elif self._looks:
            self._read_orphans()
        elif time.monotonic() >= self._next_sweep_s:
            self._sweep()
        elif time.monotonic() >= self._next_rollup_s:
            self._roll_up()

    def _prepare(self) -> None:
        """Sees to it that the journal's next segment is on the disk before it is needed."""
        try:
            self._journal.prepare()
        except OSError as trouble:
            self._next_spare_s = time.monotonic() + _SAY_AGAIN_S
            self._say("the journal's next segment cannot be made ahead (%s): answers wait for the disk longer", trouble)

    def _take(self) -> None:
        """Moves the queue to `_pending` and tells the sinks, in slices."""
        left = len(self._queue)
        longest = self._slice(left)
        while left:
            size = min(left, longest)
            taken = [self._queue.popleft() for _ in range(size)]
            part = [record for record, _ in taken]
            if not self._is_durable:  # else it was done before the journal got them
                for record in part:
                    redact_record(record)
            self._pending += part
            self._places += [place for _, place in taken]
            for sink in self._sinks:
                try:
                    sink(part)
                except Exception:
                    _log.exception("a subscriber of the request log failed")
            left -= size
            if left:
                self._pause()
        if (over := len(self._pending) - self._memory_records) > 0:
            del self._pending[-over:], self._places[-over:]
            self._drop(over, "neither the database nor the journal takes any")

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
            places = self._places[: len(part)]
            del self._pending[: len(part)], self._places[: len(part)]
            self._release(places)
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

    def _release(self, segments: Iterable[int]) -> None:
        """What these segments held is in the database now."""
        files = self._journal.committed(segments)
        if files:
            self._remove(files)

    def _remove(self, files: Sequence[Path]) -> None:
        """Removes segments. Under `machine` the database goes to the disk before what it was copied from goes away."""
        try:
            if self._sync is not None:
                sync_path(self._database.path.with_name(self._database.path.name + "-wal"))
        except FileNotFoundError:
            pass  # it was checkpointed, and synced with that
        except OSError as trouble:
            _log.error("the disk does not take the database: %s; the journal's files %s stay", trouble, files)
            return
        for file in files:
            file.unlink(missing_ok=True)

    def _spill(self) -> None:
        """Lets go of `_pending`, which the journal has, or takes now; where that fails too, they stay."""
        left: list[Record] = []
        for record, known in zip(self._pending, self._places, strict=True):
            try:
                place = known or self._journal.finish(record)
            except OSError as trouble:
                self._say("the journal takes no records either (%s); %d wait in memory", trouble, self.depth)
                left.append(record)
                continue
            self._leave([place])
        if len(left) < len(self._pending):
            self._say("%d records are left to the journal, to be read back later", len(self._pending) - len(left))
        self._pending, self._places = left, [0] * len(left)

    def _leave(self, places: Sequence[int]) -> None:
        """Only the journal has these records now."""
        with self._left_lock:
            self._left_behind.update(places)
        self.spilled += len(places)

    def _lose(self, why: str) -> None:
        """Nothing took what is pending."""
        if self._pending:
            self._drop(len(self._pending), why)
            self._pending, self._places = [], []

    def _read_own(self) -> None:
        """One chunk of what only the journal has. After a failure it begins anew: inserting ignores twins."""
        try:
            if self._own is None:
                with self._left_lock:
                    left_behind, self._left_behind = self._left_behind, Counter()
                sealed = self._journal.sealed()
                read_back = ReadBack(sealed.files, sealed.running, intents=False)
                self._own = read_back, iter(read_back), left_behind
            read_back, chunks, left_behind = self._own
            records = next(chunks, None)
            if records is None:
                self._own = None
                if read_back.unread:
                    keep_unread(self._database.path, self._holder.prefix, read_back.unread)
                self._release(left_behind.elements())
                _log.info("all that was left to the journal is in the database now")
            elif not self._insert(records):
                self._read_later()
        except OSError as trouble:
            self._read_later()
            self._retry_s = _LAST_RETRY_S
            self._say("the journal cannot be read back: %s; it is tried again", trouble)

    def _read_later(self) -> None:
        if self._own is not None:
            with self._left_lock:
                self._left_behind.update(self._own[2])
            self._own = None

    def _read_orphans(self) -> None:
        """One chunk of what processes have left that are gone."""
        try:
            self._looks = self._orphans.step(self._insert) or bool(self._retry_s)
            if self._strays and not self._looks:
                retire_strays(self._database, self._now())
                self._strays = False
        except (OSError, sqlite3.Error) as trouble:
            self._looks = False
            self._say("a journal cannot be read back: %s; it is tried again later", trouble)
        if not self._looks:
            self._next_look_s = time.monotonic() + self._limits.orphans_s
            if self.written == self._written_before:
                self._end_segment()
            self._written_before = self.written

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
        self._end_segment()
        more = False
        now_s, rows = self._now(), self._limits.sweep_rows
        try:
            more = self._writer.remove_old(now_s - self._retention_s, rows)
            more = self._writer.remove_old_rollups(now_s - self._limits.rollup_retention_s, rows) or more
        except sqlite3.Error as trouble:
            self._writer.close()
            _log.warning("old rows could not be removed: %s; tried again in %s s", trouble, self._limits.sweep_s)
        self._next_sweep_s = time.monotonic() + (0.0 if more else self._limits.sweep_s)

    def _end_segment(self) -> None:
        """Ends the journal's segment: in a quiet gateway it would outlast the rows that it was copied to, and have the
        names of who is erased."""
        self._journal.seal()
        self._release(())

    def _miss(self, trouble: OSError) -> None:
        self.unjournaled += 1
        self._say("the journal takes nothing (%s); so far %d writes were not", trouble, self.unjournaled)

    def _drop(self, count: int, why: str) -> None:
        self.dropped += count
        self._say("the request log lost %d records so far: %s", self.dropped, why)

    def _say(self, message: str, *args: object) -> None:
        """An error, each at most every ten seconds: a full disk must not fill the other one too."""
        if (now_s := time.monotonic()) >= self._quiet_until_s.get(message, 0.0):
            self._quiet_until_s[message] = now_s + _SAY_AGAIN_S
            _log.error(message, *args)
