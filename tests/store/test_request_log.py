"""The request log under trouble: locks, full disks, kills, other writers, odd records."""

from __future__ import annotations

import logging
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from afterbay.core.decision import Record
from afterbay.store.database import Database, open_database
from afterbay.store.holder import hold
from afterbay.store.journal import Journal
from afterbay.store.lookup import one_request
from afterbay.store.reading import SqliteReading
from afterbay.store.request_log import Durable, LogLimits, Sink, SqliteRequestLog
from afterbay.store.rows import utc_seconds
from afterbay.store.writer import Writer
from afterbay.testing.stores import T0, a_record

QUICK = LogLimits(flush_s=0.01, busy_s=0.01, slice_pause_s=0.0)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(f"sqlite:///{tmp_path}/state.db")


def opened(
    database: Database, limits: LogLimits = QUICK, sinks: Sequence[Sink] = (), durable: Durable = "process"
) -> SqliteRequestLog:
    log = SqliteRequestLog(database, retention_s=1e10, limits=limits, sinks=sinks, durable=durable)
    log.start()
    return log


def segments(database: Database) -> list[Path]:
    """The files of all journals beside the database, but their locks and what was made ahead."""
    return sorted(one for one in database.path.parent.glob("*.journal-*") if not one.name.endswith((".lock", "-0")))


def nothing_is_left(database: Database) -> bool:
    return not list(database.path.parent.glob("*.journal-*"))


def leave_behind(database: Database, records: Sequence[Record]) -> str:
    """A journal as a process leaves it that was killed with all this unwritten; the holder's name."""
    holder = hold(database.path)
    journal = Journal(holder, 1 << 30)
    for record in records:
        journal.finish(record)
    holder.let_go()
    return holder.name


def count(database: Database, table: str = "requests") -> int:
    with closing(database.connect()) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


class Full(Database):
    """A database on a full disk: SQLite itself answers `database or disk is full`."""

    full = True

    def connect(self, busy_s: float = 1.0) -> sqlite3.Connection:
        connection = super().connect(busy_s)
        if self.full:
            connection.execute("PRAGMA max_page_count = 1")
        return connection


def test_closing_writes_what_waits(database: Database) -> None:
    log = opened(database, LogLimits(flush_s=60.0))
    for number in range(100):
        log.put(a_record(number))
    log.close()
    assert (count(database), count(database, "attempts"), log.written, log.depth) == (100, 200, 100, 0)


def test_a_record_is_written_without_anyone_asking(database: Database) -> None:
    told = threading.Event()
    log = opened(database, sinks=[lambda records: told.set()])
    log.put(a_record())
    assert told.wait(5)
    assert log.flush()
    assert count(database) == 1
    log.close()


def test_a_full_queue_is_written_before_its_time(database: Database) -> None:
    told = threading.Event()
    log = opened(database, LogLimits(flush_s=3600.0, hurry_records=10), sinks=[lambda records: told.set()])
    for number in range(12):
        log.put(a_record(number))
    assert told.wait(5)
    log.close()


def test_sinks_get_every_record_once_and_in_order_whatever_one_of_them_does(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Record] = []

    def broken(records: Sequence[Record]) -> None:
        raise RuntimeError("boom")

    log = opened(database, sinks=[broken, got.extend])
    for number in range(200):
        log.put(a_record(number))
    log.close()
    assert [record.id for record in got] == [a_record(number).id for number in range(200)]
    assert "subscriber" in caplog.text


def test_a_locked_database_costs_nothing_but_time(database: Database) -> None:
    log = opened(database)
    assert log.flush()
    with closing(database.connect()) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(50):
            log.put(a_record(number))
        assert not log.flush(0.2)
        assert log.depth == 50
        other.execute("ROLLBACK")
    assert log.flush()
    assert (count(database), log.dropped, log.spilled) == (50, 0, 0)
    log.close()


@pytest.mark.parametrize("durable", ["process", "machine", "off"])
def test_what_does_not_fit_in_memory_is_left_to_the_journal_and_comes_back(
    database: Database, durable: Durable
) -> None:
    log = opened(database, msgspec.structs.replace(QUICK, spill_records=20), durable=durable)
    assert log.flush()
    with closing(database.connect()) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(100):
            log.put(a_record(number))
        log.flush(0.2)
        (segment,) = segments(database)
        assert segment.stat().st_mode & 0o777 == 0o600
        assert log.spilled >= 20
        assert log.depth < 100
        other.execute("ROLLBACK")
    assert log.flush()
    assert (count(database), count(database, "attempts"), log.dropped) == (100, 200, 0)
    log.close()
    assert nothing_is_left(database)


@pytest.mark.parametrize("durable", ["process", "machine", "off"])
def test_a_full_disk_leaves_the_records_in_the_journal_for_the_next_start(database: Database, durable: Durable) -> None:
    log = opened(Full(database.path), durable=durable)
    for number in range(30):
        log.put(a_record(number))
    log.close()
    assert (count(database), log.spilled, log.dropped) == (0, 30, 0)
    again = opened(database)
    assert again.flush()
    again.close()
    assert (count(database), count(database, "attempts")) == (30, 60)
    assert one_request(database, a_record(7).id) == a_record(7)
    assert nothing_is_left(database)


def test_a_disk_that_is_no_longer_full_is_written_to_again(database: Database) -> None:
    full = Full(database.path)
    log = opened(full)
    for number in range(30):
        log.put(a_record(number))
    assert not log.flush(0.2)
    full.full = False
    assert log.flush()
    assert (count(database), log.spilled) == (30, 0)
    log.close()


def test_when_nothing_takes_records_memory_stays_bounded_and_the_loss_is_told(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    limits = msgspec.structs.replace(QUICK, spill_records=10, memory_records=50, journal_bytes=0)
    log = opened(Full(database.path), limits)
    for number in range(500):
        log.put(a_record(number))
        if number % 40 == 0:
            log.flush(0.02)
    log.flush(0.1)
    assert log.depth <= 100
    log.close(5)
    assert log.dropped + log.written == 500
    assert log.written < 50
    assert "journal takes no records either" in caplog.text
    assert "lost" in caplog.text


def test_put_after_close_is_counted_as_lost_where_there_is_no_journal(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    log = opened(database, durable="off")
    log.close()
    log.put(a_record())
    assert log.dropped == 1
    assert "lost 1 records so far: the log is closed" in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [("outcome", "a\ud800b", "a?b"), ("cost_picousd", 2**70, 2**63 - 1), ("finish", 7, "7")],
)
def test_an_odd_value_cannot_keep_a_request_out_of_the_log(
    database: Database, name: str, value: object, stored: object
) -> None:
    log = opened(database)
    for record in (a_record(1), a_record(2, **{name: value}), a_record(3)):
        log.put(record)
    assert log.flush()
    found = one_request(database, a_record(2).id)
    assert count(database) == 3
    assert found is not None
    assert getattr(found, name) == stored
    log.close()


def test_a_record_that_nothing_can_store_does_not_take_its_batch_along(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    log = opened(database)
    for record in (a_record(1), a_record(2, received_at=float("nan")), a_record(3, outcome=None), a_record(4)):
        log.put(record)
    assert log.flush()
    assert (count(database), log.written, log.dropped) == (2, 2, 2)
    assert f"request {a_record(2).id} cannot be stored" in caplog.text
    log.close()


def test_rows_older_than_the_retention_go_with_their_attempts(database: Database) -> None:
    log = opened(database)
    for number in range(50):
        log.put(a_record(number))
    log.close()
    limits = msgspec.structs.replace(QUICK, sweep_rows=7)
    sweeper = SqliteRequestLog(database, retention_s=10.0, limits=limits, now=lambda: T0 + 40)
    sweeper.start()
    assert wait_for(lambda: count(database) == 20)
    sweeper.close()
    assert count(database, "attempts") == 40
    with closing(database.connect()) as connection:
        oldest = connection.execute("SELECT min(received_at) FROM requests").fetchone()[0]
    assert utc_seconds(oldest) == T0 + 30


def test_reading_back_waits_without_spinning_while_the_database_is_full(database: Database) -> None:
    leave_behind(database, [a_record(number) for number in range(30)])
    full = Full(database.path)
    opens: list[int] = []
    connect = full.connect
    full.connect = lambda busy_s=1.0: opens.append(1) or connect(busy_s)  # type: ignore[method-assign, func-returns-value]
    log = opened(full)
    threading.Event().wait(0.3)
    assert 1 <= len(opens) <= 5
    full.full = False
    assert log.flush()
    assert count(database) == 30
    log.close()


def test_a_log_that_never_started_leaves_its_records_for_the_next_one(database: Database) -> None:
    log = SqliteRequestLog(database, retention_s=1.0)
    log.put(a_record())
    log.close()
    assert (log.dropped, log.spilled) == (0, 1)
    again = opened(database)
    assert again.flush()
    again.close()
    assert count(database) == 1


def test_a_log_without_a_journal_that_never_started_does_so_too(database: Database) -> None:
    log = SqliteRequestLog(database, retention_s=1.0, durable="off")
    log.put(a_record())
    log.close()
    again = opened(database)
    assert again.flush()
    again.close()
    assert (log.dropped, count(database)) == (0, 1)


WRITING = """
import itertools, sys
from afterbay.store.database import open_database
from afterbay.store.request_log import LogLimits, SqliteRequestLog
from afterbay.testing.stores import a_record
start, count = int(sys.argv[2]), int(sys.argv[3])
log = SqliteRequestLog(open_database(sys.argv[1]), retention_s=1e10, limits=LogLimits(flush_s=0.005))
log.start()
for number in range(start, start + count) if count else itertools.count(start):
    log.put(a_record(number))
    if number % 50 == 0:
        log.flush(30)
        print(number, flush=True)
log.close(30)
sys.exit(1 if log.dropped or log.depth else 0)
"""


def writing(database: Database, start: int, number: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITING, f"sqlite:///{database.path}", str(start), str(number)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_process_leaves_a_whole_database_with_all_that_was_flushed(database: Database) -> None:
    process = writing(database, 0, 0)
    assert process.stdout is not None
    flushed = 0
    for line in process.stdout:
        flushed = int(line)
        if flushed >= 500:
            break
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    with closing(database.connect()) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    requests = count(database)
    assert requests >= flushed + 1
    assert count(database, "attempts") == 2 * requests
    assert one_request(database, a_record(flushed).id) == a_record(flushed)


def test_two_processes_write_one_database(database: Database) -> None:
    processes = [writing(database, start, 600) for start in (0, 1000)]
    for process in processes:
        process.communicate(timeout=25)
    assert [process.returncode for process in processes] == [0, 0]
    assert (count(database), count(database, "attempts")) == (1200, 2400)
    cursors = [row.cursor for row in SqliteReading(database).after(0, limit=2000)]
    assert cursors == sorted(set(cursors))


def test_a_batch_takes_few_statements_because_each_one_waits_for_the_interpreter(database: Database) -> None:
    seen: list[str] = []

    class Traced(Database):
        def connect(self, busy_s: float = 1.0) -> sqlite3.Connection:
            connection = super().connect(busy_s)
            connection.set_trace_callback(seen.append)
            return connection

    writer = Writer(Traced(database.path), 1.0)
    assert writer.insert([a_record(number) for number in range(999)], 100, lambda: None) == 0
    writer.close()
    assert (count(database), count(database, "attempts")) == (999, 1998)
    assert len([sql for sql in seen if sql.startswith("INSERT")]) < 25


def test_a_reader_does_not_hold_up_the_writer(database: Database) -> None:
    log = opened(database)
    log.put(a_record(1))
    assert log.flush()
    with closing(database.connect()) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM requests").fetchone()[0] == 1
        log.put(a_record(2))
        assert log.flush()
        assert reader.execute("SELECT count(*) FROM requests").fetchone()[0] == 1
    log.close()


def test_the_dying_words_of_the_writer_are_loud(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afterbay.store.recovery.Orphans.step", lambda self, insert: 1 / 0)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    opened(database).close()
    assert any(record.levelno == logging.CRITICAL for record in caplog.records)


def wait_for(holds: Callable[[], bool]) -> bool:
    pause = threading.Event()
    return any(holds() or pause.wait(0.01) for _ in range(500))


def test_a_quiet_gateway_keeps_no_journal_of_what_is_in_the_database(database: Database) -> None:
    log = opened(database, msgspec.structs.replace(QUICK, orphans_s=0.05))
    log.put(a_record(1))
    assert log.flush()
    assert wait_for(lambda: segments(database) == [])
    log.begin(a_record(2))
    log.put(a_record(3))
    assert log.flush()
    assert len(segments(database)) == 1, "a request that runs keeps its segment"
    log.put(a_record(2))
    assert wait_for(lambda: segments(database) == [])
    assert count(database) == 3
    log.close()
