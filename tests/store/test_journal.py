"""The journal: frames, holders, segments, and that whatever was noted before a crash is read back once."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.core.decision import Record
from afterbay.core.errors import Capacity
from afterbay.policy.period import begin_of, day_of
from afterbay.store.database import Database, open_database
from afterbay.store.frames import INTENT, OUTCOME, frame, read_frames
from afterbay.store.group_sync import GroupSync
from afterbay.store.holder import gone, has_lock, hold
from afterbay.store.journal import SEGMENT_BYTES, Journal, JournalFull, encoded
from afterbay.store.leases import Ask, Part, SqliteLeases, holders
from afterbay.store.lookup import one_request
from afterbay.store.recovery import Orphans, ReadBack
from afterbay.store.request_log import LogLimits, SqliteRequestLog
from afterbay.testing.stores import T0, a_record

QUICK = LogLimits(flush_s=0.01, busy_s=0.01, slice_pause_s=0.0)
GiB = 1 << 30


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(f"sqlite:///{tmp_path}/state.db")


def begun(number: int, **changes: object) -> Record:
    """The record of a request that is about to be sent."""
    return Record(
        id=a_record(number).id,
        received_at=a_record(number).received_at,
        operation="chat",
        protocol="openai.chat",
        requested_model="m",
        **{"accounts": ("key:k", "team:t"), "charged_picousd": 1000 + number} | changes,  # type: ignore[arg-type]
    )


def read_all(files: Sequence[Path]) -> dict[str, Record]:
    """What is read back, each request once."""
    found: dict[str, Record] = {}
    for chunk in ReadBack([(path, None) for path in files], (), intents=True):
        for record in chunk:
            assert record.id not in found
            found[record.id] = record
    return found


def until_full(write: Callable[[int], object]) -> int:
    """How often it can be written to."""
    for number in range(10_000):
        try:
            write(number)
        except JournalFull:
            return number
    raise AssertionError("it is never full")


def finish(orphans: Orphans, rows: list[Record] | None = None) -> None:
    def insert(records: Sequence[Record]) -> bool:
        if rows is not None:
            rows.extend(records)
        return True

    while orphans.step(insert):
        pass


# Frames


@given(st.lists(st.tuples(st.sampled_from([INTENT, OUTCOME]), st.binary(max_size=60)), max_size=8), st.data())
def test_frames_come_back_as_they_were_and_a_torn_one_is_kept_apart(
    frames: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    whole = [frame(*one) for one in frames]
    cut = data.draw(st.integers(0, len(whole[-1]) - 1)) if whole else 0
    unread: list[bytes] = []
    torn = whole[-1][:cut] if whole else b""
    assert list(read_frames(b"".join(whole[:-1]) + torn, unread)) == frames[:-1]
    assert b"".join(unread) == torn.rstrip(b"\0")


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=3, max_size=6), st.data())
def test_a_spoilt_frame_costs_only_itself(payloads: list[bytes], data: st.DataObject) -> None:
    whole = [frame(OUTCOME, one) for one in payloads]
    spoilt = data.draw(st.integers(0, len(whole) - 1))
    at = data.draw(st.integers(0, len(whole[spoilt]) - 1))
    bad = bytearray(whole[spoilt])
    bad[at] ^= data.draw(st.integers(1, 255))
    unread: list[bytes] = []
    read = list(read_frames(b"".join([*whole[:spoilt], bytes(bad), *whole[spoilt + 1 :]]), unread))
    assert [payload for _, payload in read] == payloads[:spoilt] + payloads[spoilt + 1 :]
    assert b"".join(unread) == bytes(bad).rstrip(b"\0")


def test_zeros_at_the_end_are_what_a_crash_of_the_machine_leaves() -> None:
    unread: list[bytes] = []
    assert list(read_frames(frame(OUTCOME, b"{}") + bytes(4096), unread)) == [(OUTCOME, b"{}")]
    assert unread == []


@given(st.lists(st.binary(max_size=90), min_size=1, max_size=6), st.data())
def test_blocks_that_a_crash_left_as_zeros_cost_only_their_frames(payloads: list[bytes], data: st.DataObject) -> None:
    """Any blocks of a file that was zeros may have come to the disk, in any order, when the machine ends."""
    whole = [frame(OUTCOME, one) for one in payloads]
    left = bytearray(b"".join(whole) + bytes(300))
    lost = data.draw(st.sets(st.integers(0, len(left) // 32)))
    for block in lost:
        left[block * 32 : block * 32 + 32] = bytes(len(left[block * 32 : block * 32 + 32]))
    at, expected = 0, []
    for one, payload in zip(whole, payloads, strict=True):
        if left[at : at + len(one)] == one:
            expected.append((OUTCOME, payload))
        at += len(one)
    unread: list[bytes] = []
    assert list(read_frames(bytes(left), unread)) == expected
    assert all(one.strip(b"\0") for one in unread)
    assert sum(map(len, unread)) <= sum(map(len, whole))


# Holders


def test_a_holder_is_gone_when_it_lets_go_and_not_before(tmp_path: Path) -> None:
    database = tmp_path / "state.db"
    first, second = hold(database), hold(database)
    assert first.name != second.name
    assert list(gone(database)) == []
    first.let_go()
    (found,) = gone(database)
    assert found.name == first.name
    assert list(gone(database)) == []  # whoever found it has it now
    found.retire()
    assert [path.name for path in tmp_path.iterdir()] == [f"state.db.journal-{second.name}.lock"]


def test_a_holder_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    database = tmp_path / "state.db"
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        hold(database)
        os.write(write, b"!")
        os.close(write)
        os.kill(os.getpid(), 9)
    os.close(write)
    os.read(read, 1)
    os.close(read)
    os.waitpid(child, 0)
    (found,) = gone(database)
    assert found.name.startswith(f"{child}-")
    found.let_go()


def test_files_that_are_no_locks_of_ours_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other.db.journal-1-a.lock"
    other.touch()
    assert list(gone(tmp_path / "state.db")) == []
    assert other.exists()


# The journal


def test_a_request_is_in_the_journal_from_its_begin_to_its_commit(tmp_path: Path) -> None:
    holder = hold(tmp_path / "state.db")
    journal = Journal(holder, GiB)
    journal.begin(begun(1))
    (segment,) = [path for _, path in holder.files()]
    assert segment.stat().st_mode & 0o777 == 0o600
    assert read_all([segment])[begun(1).id].outcome == "unknown"
    journal.settle(a_record(1, duration_s=1.0))
    assert read_all([segment])[begun(1).id] == a_record(1, duration_s=1.0)
    place = journal.finish(a_record(1, outcome="client_closed"))
    assert read_all([segment])[begun(1).id].outcome == "client_closed"
    assert journal.close() is None
    assert journal.committed([place]) == [segment]


def test_what_only_times_tell_apart_is_not_written_twice(tmp_path: Path) -> None:
    journal = Journal(hold(tmp_path / "state.db"), GiB)
    journal.begin(begun(1))
    journal.settle(a_record(1))
    size = journal.size
    journal.settle(a_record(1, duration_s=9.0))
    assert journal.finish(a_record(1, duration_s=9.5, response_bytes=9)) == 1
    assert journal.size == size


def test_a_segment_goes_when_all_its_records_are_committed_and_all_before_it_are_gone(tmp_path: Path) -> None:
    holder = hold(tmp_path / "state.db")
    journal = Journal(holder, GiB, segment_bytes=1)  # a frame a segment
    first, second, third = (journal.finish(a_record(number)) for number in range(3))
    assert (first, second, third) == (1, 2, 3)
    assert journal.committed([second]) == []
    assert [path.name[-2:] for path in journal.committed([first])] == ["-1", "-2"]
    assert journal.committed([third]) == []  # it is still written to
    journal.seal()
    assert [path.name[-2:] for path in journal.committed([])] == ["-3"]
    assert journal.size == 0


def test_a_request_that_runs_for_long_does_not_keep_what_came_after_it(tmp_path: Path) -> None:
    holder = hold(tmp_path / "state.db")
    journal = Journal(holder, GiB, segment_bytes=4000)
    journal.begin(begun(0))
    journal.settle(a_record(0, outcome="ok"))
    for number in range(1, 200):
        journal.begin(begun(number))
        for path in journal.committed([journal.finish(a_record(number))]):
            path.unlink()
    files = [path for _, path in holder.files()]
    assert len(files) <= 3
    assert journal.size < 5 * 4000
    assert read_all(files)[begun(0).id] == a_record(0, outcome="ok")


def test_a_full_journal_takes_no_intents_but_outcomes_of_what_was_begun(tmp_path: Path) -> None:
    journal = Journal(hold(tmp_path / "state.db"), 64_000)
    begins = until_full(lambda number: journal.begin(begun(number)))
    assert begins > 10
    assert journal.finish(a_record(0)) == 1
    assert journal.size > 60_000
    ends = until_full(lambda number: journal.finish(a_record(1000 + number)))
    assert ends < 5
    assert journal.size <= 64_000


def test_half_a_write_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = hold(tmp_path / "state.db")
    journal = Journal(holder, GiB)
    journal.finish(a_record(1))
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:10]))
    with pytest.raises(OSError, match="full"):
        journal.finish(a_record(2))
    monkeypatch.setattr(os, "write", write)
    journal.finish(a_record(3))
    assert list(read_all([path for _, path in holder.files()])) == [a_record(1).id, a_record(3).id]


def test_a_request_that_was_begun_stays_in_the_journal_though_its_end_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(hold(tmp_path / "state.db"), GiB)
    journal.begin(begun(1))
    monkeypatch.setattr(os, "write", lambda file, data: 0)
    assert journal.finish(a_record(1)) == 1
    assert "not how it ended" in caplog.text


@pytest.mark.parametrize("changes", [{"outcome": "a\ud800b"}, {"cost_picousd": 2**70}, {"tags": {"\ud800": "x"}}])
def test_an_odd_value_cannot_keep_a_request_out_of_the_journal(changes: dict[str, object]) -> None:
    record = msgspec.json.decode(encoded(a_record(1, **changes)), type=Record)
    assert record.id == a_record(1).id
    assert len(record.attempts) == len(a_record(1).attempts)


def test_what_was_written_is_on_the_disk_after_sync_and_old_segments_are_closed_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino))
    monkeypatch.setattr("afterbay.store.journal._fdatasync", os.fsync)
    holder = hold(tmp_path / "state.db")
    journal = Journal(holder, GiB, segment_bytes=1)
    journal.keeps_for_sync = True
    for number in range(3):
        journal.finish(a_record(number))
    journal.sync()
    assert synced == [path.stat().st_ino for _, path in holder.files()] + [tmp_path.stat().st_ino]
    synced.clear()
    journal.sync()
    assert len(synced) == 1


def test_a_segment_that_was_prepared_has_its_length_and_zeros_where_nothing_was_written(tmp_path: Path) -> None:
    holder = hold(tmp_path / "state.db")
    journal = Journal(holder, GiB, segment_bytes=10_000)
    journal.prepare()
    assert [path.stat().st_size for _, path in holder.files()] == [10_000]
    assert read_all([path for _, path in holder.files()]) == {}
    place = journal.finish(a_record(1))
    ((number, segment),) = holder.files()
    assert (place, number, segment.stat().st_size, segment.stat().st_mode & 0o777) == (1, 1, 10_000, 0o600)
    assert 0 < journal.size < 5000
    assert read_all([segment]) == {a_record(1).id: a_record(1)}
    assert segment.read_bytes()[journal.size :] == bytes(10_000 - journal.size)


def test_a_frame_may_go_over_the_end_of_what_was_prepared_and_the_next_one_has_the_next_file(tmp_path: Path) -> None:
    holder = hold(tmp_path / "state.db")
    journal = Journal(holder, GiB, segment_bytes=100)
    for number in range(3):
        journal.prepare()
        journal.prepare()  # there is one
        assert journal.finish(a_record(number)) == number + 1
    assert journal.finish(a_record(3)) == 4  # nobody has prepared it: it grows
    assert [number for number, _ in holder.files()] == [1, 2, 3, 4]
    assert sorted(read_all([path for _, path in holder.files()])) == sorted(a_record(number).id for number in range(4))
    assert journal.size == sum(path.stat().st_size for _, path in holder.files())


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_wherever_a_crash_cuts_a_prepared_segment_what_is_before_comes_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    holder = hold(tmp_path_factory.mktemp("journal") / "state.db")
    journal = Journal(holder, GiB, segment_bytes=20_000)
    journal.prepare()
    ends: list[int] = []
    for number in range(5):
        journal.finish(a_record(number))
        ends.append(journal.size)
    ((_, segment),) = holder.files()
    cut = data.draw(st.integers(0, ends[-1]))
    segment.write_bytes(segment.read_bytes()[:cut] + bytes(20_000 - cut))
    read_back = ReadBack([(segment, None)], (), intents=True)
    back = [record.id for chunk in read_back for record in chunk]
    assert back == [a_record(number).id for number in range(5) if ends[number] <= cut]
    assert sum(map(len, read_back.unread)) <= cut
    assert bool(read_back.unread) == (cut not in {0, *ends})
    holder.let_go()


def test_half_a_write_into_a_prepared_segment_is_taken_back_and_the_next_one_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = hold(tmp_path / "state.db")
    journal = Journal(holder, GiB)
    journal.prepare()
    journal.finish(a_record(1))
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:10]))
    with pytest.raises(OSError, match="full"):
        journal.finish(a_record(2))
    monkeypatch.setattr(os, "write", write)
    journal.finish(a_record(3))
    ((_, segment),) = holder.files()
    read_back = ReadBack([(segment, None)], (), intents=True)
    assert [record.id for chunk in read_back for record in chunk] == [a_record(1).id, a_record(3).id]
    assert read_back.unread == []


@pytest.mark.parametrize("taken", [0, 10, None])
def test_a_disk_that_has_no_room_for_a_segment_ahead_leaves_nothing_and_the_next_one_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int | None
) -> None:
    write = os.write

    def full(file: int, data: bytes) -> int:
        if taken is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:taken])

    holder = hold(tmp_path / "state.db")
    journal = Journal(holder, GiB)
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError) as trouble:
        journal.prepare()
    assert trouble.value.errno == errno.ENOSPC
    assert holder.files() == []
    monkeypatch.setattr(os, "write", write)
    journal.finish(a_record(1))
    ((number, segment),) = holder.files()
    assert (number, segment.stat().st_size) == (1, journal.size)


def test_no_segment_is_made_ahead_that_the_journal_may_not_have(tmp_path: Path) -> None:
    holder = hold(tmp_path / "state.db")
    Journal(holder, 9999, segment_bytes=10_000).prepare()
    assert holder.files() == []


def test_a_prepared_file_that_somebody_has_removed_is_done_without(tmp_path: Path) -> None:
    holder = hold(tmp_path / "state.db")
    journal = Journal(holder, GiB)
    journal.prepare()
    holder.segment(0).unlink()
    assert journal.finish(a_record(1)) == 1
    assert read_all([path for _, path in holder.files()]) == {a_record(1).id: a_record(1)}


STEPS = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from(["begin", "settle", "put", "commit", "prepare"])), max_size=60
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(1, 6000))
def test_whenever_a_process_dies_each_request_is_in_the_database_or_comes_back_as_it_last_was(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]], segment_bytes: int
) -> None:
    """The model: where a request stands. After any steps, what is read back is all that was noted and not committed;
    of what was committed nothing comes back as an unknown outcome."""
    holder = hold(tmp_path_factory.mktemp("journal") / "state.db")
    journal = Journal(holder, GiB, segment_bytes)
    stands: dict[int, Record] = {}
    running: set[int] = set()
    waiting: dict[int, int] = {}
    committed: set[int] = set()
    for number, step in steps:
        is_new = number not in stands
        if step == "begin" and is_new:
            journal.begin(begun(number))
            stands[number] = begun(number, outcome="unknown")
            running.add(number)
        elif step == "settle" and (is_new or number in running):
            journal.settle(a_record(number))
            stands[number] = a_record(number)
            running.add(number)
        elif step == "put" and (is_new or number in running):
            waiting[number] = journal.finish(a_record(number, outcome="late"))
            stands[number] = a_record(number, outcome="late")
            running.discard(number)
        elif step == "prepare":
            journal.prepare()
        elif step == "commit" and waiting:
            for path in journal.committed(waiting.values()):
                path.unlink()
            committed |= waiting.keys()
            waiting.clear()
    holder.let_go()
    back = read_all([path for _, path in holder.files()])
    for number, record in stands.items():
        found = back.get(record.id)
        if number in committed:
            assert found is None or found.outcome == "late"
        else:
            assert found is not None
            assert found.outcome == record.outcome
    assert len(back) <= len(stands)


# What a process leaves, and who takes it over


def died_with(database: Database, *, begun_: Sequence[Record] = (), ended: Sequence[Record] = ()) -> Path:
    """A journal whose process was killed; its last segment."""
    holder = hold(database.path)
    journal = Journal(holder, GiB)
    for record in begun_:
        journal.begin(record)
    for record in ended:
        journal.settle(record)
    holder.let_go()
    return holder.files()[-1][1]


def opened(database: Database, **options: object) -> SqliteRequestLog:
    log = SqliteRequestLog(database, retention_s=1e10, limits=QUICK, **options)  # type: ignore[arg-type]
    log.start()
    return log


def count(database: Database) -> int:
    with closing(database.connect()) as connection:
        return int(connection.execute("SELECT count(*) FROM requests").fetchone()[0])


def test_after_a_kill_outcomes_are_inserted_and_what_ran_is_unknown(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    died_with(database, begun_=[begun(1), begun(2), begun(3)], ended=[a_record(2)])
    log = opened(database)
    assert log.flush()
    assert (count(database), log.recovered) == (3, 3)
    assert one_request(database, a_record(2).id) == a_record(2)
    unknown = one_request(database, begun(1).id)
    assert unknown is not None
    assert (unknown.outcome, unknown.requested_model) == ("unknown", "m")
    assert unknown.error is not None
    assert "ended while this request ran" in unknown.error
    assert "2 requests that ran" in caplog.text
    log.close()
    assert not list(database.path.parent.glob("*.journal-*"))


def test_an_unknown_outcome_is_charged_with_what_was_set_aside(database: Database) -> None:
    segment = died_with(database, begun_=[begun(7)])
    (record,) = read_all([segment]).values()
    assert (record.accounts, record.charged_picousd) == (("key:k", "team:t"), 1007)


def charged(database: Database) -> dict[str, tuple[int, int]]:
    with closing(database.connect()) as connection:
        rows = connection.execute("SELECT account, sum(picousd), sum(requests) FROM spending GROUP BY account")
        return {account: (picousd, requests) for account, picousd, requests in rows}


def test_accounts_of_a_dead_process_are_charged_once_then_its_leases_end(database: Database) -> None:
    log = opened(database)
    log.put(a_record(5, accounts=("key:k",), charged_picousd=40))
    assert log.flush()
    dead = hold(database.path)
    lease = SqliteLeases(database, dead.name)
    lease.exchange([Ask(Part("key:k", "picousd", "month", begin_of("month", day_of(T0))), 1 << 40, need=5000)], T0)
    lease.close()
    journal = Journal(dead, GiB)
    for number in (1, 5):  # 5 was written before it died
        journal.begin(begun(number, accounts=("key:k",), charged_by=dead.name))
    journal.settle(a_record(5, accounts=("key:k",), charged_picousd=40, charged_by=dead.name))
    dead.let_go()
    assert holders(database) == [dead.name]
    log.close()
    again = opened(database)
    assert again.flush()
    again.close()
    assert charged(database) == {"key:k": (40 + 1001, 2)}
    assert holders(database) == []


def test_leases_of_somebody_who_left_nothing_else_end_and_of_nobody_else(database: Database) -> None:
    alive = hold(database.path, "alive")
    for name in ("alive", "lost"):
        lease = SqliteLeases(database, name)
        lease.exchange([Ask(Part("key:k", "picousd", "month", begin_of("month", day_of(T0))), 1 << 40, need=5000)], T0)
        lease.close()
    log = opened(database)
    assert log.flush()
    log.close()
    assert holders(database) == ["alive"]
    alive.end()


def test_a_database_that_does_not_answer_stops_nobody_from_looking_again(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    died_with(database, begun_=[begun(1)])
    left = [1]

    def fail_once(*given: object) -> None:
        if left.pop():
            left.append(0)
            raise sqlite3.OperationalError("database is locked")
        left.append(0)

    monkeypatch.setattr("afterbay.store.request_log.retire", fail_once)
    log = SqliteRequestLog(database, retention_s=1e10, limits=msgspec.structs.replace(QUICK, orphans_s=0.01))
    log.start()
    for _ in range(500):
        if not [name for name in gone_names(database) if name != log.holder]:
            break
        log.flush(0.01)
    log.close()
    assert "database is locked" in caplog.text
    assert not list(database.path.parent.glob("*.journal-*"))


def gone_names(database: Database) -> list[str]:
    prefix = f"{database.path.name}.journal-"
    names = [path.name for path in database.path.parent.glob(f"{prefix}*.lock")]
    return [name.removeprefix(prefix).removesuffix(".lock") for name in names]


def test_a_log_may_leave_the_dead_to_others(database: Database) -> None:
    died_with(database, begun_=[begun(1)])
    log = SqliteRequestLog(database, retention_s=1e10, limits=msgspec.structs.replace(QUICK, orphans_s=math.inf))
    log.start()
    log.put(a_record(2))
    assert log.flush()
    log.close()
    assert count(database) == 1


def test_a_holder_that_was_given_is_ended_by_whoever_gave_it(database: Database) -> None:
    holder = hold(database.path, "w1")
    with pytest.raises(FileExistsError):
        hold(database.path, "w1")
    log = opened(database, holder=holder)
    log.put(a_record(1))
    log.close()
    assert not list(gone(database.path))
    assert has_lock(database.path, "w1")
    holder.end()
    assert not has_lock(database.path, "w1")


def test_what_is_in_the_database_already_is_not_doubled(database: Database) -> None:
    log = opened(database)
    log.put(a_record(1))
    assert log.flush()
    died_with(database, begun_=[begun(1), begun(2)], ended=[a_record(1, outcome="other")])
    log.close()
    again = opened(database)
    assert again.flush()
    again.close()
    assert count(database) == 2
    assert one_request(database, a_record(1).id) == a_record(1)


def test_the_journal_of_a_living_process_is_left_alone(database: Database) -> None:
    alive = hold(database.path)
    Journal(alive, GiB).begin(begun(1))
    log = opened(database)
    assert log.flush()
    log.close()
    assert count(database) == 0
    assert len(alive.files()) == 1
    alive.let_go()


def test_whoever_runs_takes_over_what_dies_later(database: Database) -> None:
    log = SqliteRequestLog(database, retention_s=1e10, limits=msgspec.structs.replace(QUICK, orphans_s=0.01))
    log.start()
    assert log.flush()
    died_with(database, begun_=[begun(1)])
    for _ in range(500):
        if log.recovered:
            break
        log.flush(0.01)
    log.close()
    assert count(database) == 1


def test_a_frame_cut_by_a_crash_is_kept_apart_and_the_others_come_back(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    segment = died_with(database, ended=[a_record(1)])
    cut = frame(OUTCOME, encoded(a_record(2)))[:70]
    with segment.open("ab") as file:
        file.write(cut)
    log = opened(database)
    assert log.flush()
    log.close()
    unread = database.path.with_name("state.db.unread")
    assert (count(database), unread.read_bytes(), unread.stat().st_mode & 0o777) == (1, cut, 0o600)
    assert "no records" in caplog.text


def test_a_payload_that_is_no_record_is_kept_apart_too(database: Database) -> None:
    segment = died_with(database, ended=[a_record(1)])
    with segment.open("ab") as file:
        file.write(frame(OUTCOME, b"{}") + frame(OUTCOME, b'{"id":"x"}'))
    log = opened(database)
    assert log.flush()
    log.close()
    assert count(database) == 1
    assert database.path.with_name("state.db.unread").read_bytes() == b'{}{"id":"x"}'


def test_a_database_that_takes_nothing_leaves_a_dead_journal_for_later(database: Database) -> None:
    died_with(database, begun_=[begun(1)])
    retired: list[str] = []
    orphans = Orphans(database.path, retired.append)
    assert not orphans.step(lambda records: False) or not orphans.step(lambda records: False)
    assert retired == []
    rows: list[Record] = []
    finish(orphans, rows)
    assert ([row.id for row in rows], len(retired), orphans.unfinished) == ([begun(1).id], 1, 1)


def test_a_journal_that_cannot_be_read_keeps_no_other_one_waiting(database: Database) -> None:
    spoilt = min(died_with(database, ended=[a_record(number)]) for number in range(1, 5))  # it is read first
    content = spoilt.read_bytes()
    spoilt.unlink()
    spoilt.mkdir()
    rows: list[Record] = []
    retired: list[str] = []
    orphans = Orphans(database.path, retired.append)
    for _ in range(2):
        with pytest.raises(OSError, match="directory"):
            finish(orphans, rows)
        assert (len(rows), len(retired)) == (3, 3)
    spoilt.rmdir()
    spoilt.write_bytes(content)
    finish(orphans, rows)
    assert sorted(row.id for row in rows) == sorted(a_record(number).id for number in range(1, 5))
    assert len(retired) == 4


@pytest.mark.parametrize("name", ["state[1].db", "st*te?.db", "[!a].db"])
def test_the_name_of_a_database_is_no_pattern(tmp_path: Path, name: str) -> None:
    database = Database(tmp_path / name)
    database.prepare()
    died_with(database, ended=[a_record(1)])
    rows: list[Record] = []
    finish(Orphans(database.path, lambda gone: None), rows)
    assert [row.id for row in rows] == [a_record(1).id]
    assert not [path for path in tmp_path.iterdir() if "journal" in path.name]


def test_a_crash_between_retiring_and_removing_tells_of_it_twice_rather_than_never(database: Database) -> None:
    died_with(database, begun_=[begun(1)])

    def fail(name: str) -> None:
        raise OSError("no")

    failing = Orphans(database.path, fail)
    with pytest.raises(OSError, match="no"):
        finish(failing)
    retired: list[str] = []
    finish(Orphans(database.path, retired.append))
    assert len(retired) == 1


# The log's part


def test_requests_that_the_journal_does_not_take_are_served_and_counted(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    log = SqliteRequestLog(database, retention_s=1e10, limits=msgspec.structs.replace(QUICK, journal_bytes=0))
    log.start()
    log.begin(begun(1))
    assert log.settle(a_record(1)) is None
    log.put(a_record(1))
    assert log.flush()
    log.close()
    assert (count(database), log.unjournaled) == (1, 3)
    assert "the journal takes nothing" in caplog.text


def test_or_refused_where_nothing_may_go_unnoted(database: Database) -> None:
    limits = msgspec.structs.replace(QUICK, journal_bytes=0)
    log = SqliteRequestLog(database, retention_s=1e10, limits=limits, refuses_when_full=True)
    with pytest.raises(Capacity, match="journal takes nothing") as refused:
        log.begin(begun(1))
    assert (refused.value.status, refused.value.code) == (503, "journal_full")
    log.close()


def test_nothing_that_looks_like_a_key_gets_into_the_journal(database: Database) -> None:
    log = SqliteRequestLog(database, retention_s=1e10)
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz"
    log.begin(begun(1, error=None, tags={"k": secret}))
    log.settle(a_record(1, error=f"bad key {secret}"))
    log.put(a_record(2, requested_model=secret))
    (segment,) = (one for one in database.path.parent.glob("*.journal-*") if one.suffix != ".lock")
    assert secret.encode() not in segment.read_bytes()
    log.close()


def test_without_durability_nothing_is_written_for_a_request(database: Database) -> None:
    log = opened(database, durable="off")
    log.begin(begun(1))
    assert log.settle(a_record(1)) is None
    log.put(a_record(1))
    assert log.flush()
    assert not [one for one in database.path.parent.glob("*.journal-*") if one.suffix != ".lock"]
    log.close()
    assert count(database) == 1


def test_for_the_machine_an_answer_waits_for_the_disk_and_the_database_goes_there_before_a_segment_is_removed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noted(file: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{file}").rpartition("/")[2])
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr("afterbay.store.journal._fdatasync", noted)
    log = opened(database, durable="machine")

    async def serve() -> None:
        log.begin(begun(1))
        waits = log.settle(a_record(1))
        assert waits is not None
        await waits

    asyncio.run(serve())
    assert any(".journal-" in name for name in synced)
    log.put(a_record(1))
    assert log.flush()
    synced.clear()
    with closing(database.connect()) as reader:  # the last connection would empty the write-ahead log
        reader.execute("SELECT count(*) FROM requests").fetchone()
        log.close()
    assert synced[-1] == "state.db-wal"
    assert count(database) == 1


def test_for_the_machine_there_is_always_a_segment_ahead_while_the_log_runs(database: Database) -> None:
    log = opened(database, durable="machine")
    spare = database.path.with_name(f"state.db.journal-{log.holder}-0")
    assert spare.stat().st_size == SEGMENT_BYTES
    log.put(a_record(1))
    assert log.flush()
    log.flush()
    assert spare.stat().st_size == SEGMENT_BYTES
    log.close()
    assert not list(database.path.parent.glob("*.journal-*"))
    assert count(database) == 1


def test_a_segment_ahead_of_a_dead_process_goes_with_its_journal(database: Database) -> None:
    dead = hold(database.path)
    journal = Journal(dead, GiB)
    journal.prepare()
    journal.settle(a_record(1))
    journal.prepare()
    dead.let_go()
    log = opened(database)
    assert log.flush()
    log.close()
    assert count(database) == 1
    assert [path.name for path in database.path.parent.iterdir() if "journal" in path.name] == []
    assert not database.path.with_name("state.db.unread").exists()


def test_without_room_for_a_segment_ahead_requests_are_noted_as_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(journal: Journal) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Journal, "prepare", full)
    log = opened(database, durable="machine")
    log.begin(begun(1))
    log.put(a_record(1))
    assert log.flush()
    log.close()
    assert (count(database), log.unjournaled) == (1, 0)
    assert caplog.text.count("cannot be made ahead") == 1


def test_a_disk_that_does_not_come_back_delays_an_answer_but_does_not_stop_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise OSError("io error")

    sync = GroupSync(broken)
    sync.start()
    asyncio.run(sync.synced())
    sync.close()
    assert sync.failed >= 1
    assert "io error" in caplog.text
    monkeypatch.setattr("afterbay.store.group_sync.WAIT_S", 0.01)
    stuck = GroupSync(lambda: None)  # not started: nobody goes to the disk
    asyncio.run(stuck.synced())
    assert "the answer goes out all the same" in caplog.text


def test_sync_gathers_who_comes_together() -> None:
    calls: list[int] = []
    sync = GroupSync(lambda: calls.append(1))

    async def many() -> None:
        waits = [sync.synced() for _ in range(50)]
        gathered = asyncio.gather(*waits)
        await asyncio.sleep(0)
        sync.start()
        await gathered

    asyncio.run(many())
    sync.close()
    assert len(calls) <= 3
