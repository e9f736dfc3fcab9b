"""Several processes, one database: what they lease, what is charged, what an outage and a death leave behind."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from afterbay.core.decision import Record
from afterbay.core.usage import Usage
from afterbay.policy.allowance import Allowance
from afterbay.policy.charge import UNKNOWN, charge_of
from afterbay.policy.lease import Standing
from afterbay.policy.period import OLDEST_DAY
from afterbay.policy.window import COUNTS_S
from afterbay.ports import Exceeded, Hold, LedgerUnavailable
from afterbay.store import statements
from afterbay.store.database import Database, open_database
from afterbay.store.held import HeldSlice
from afterbay.store.leases import Ask, Part, SqliteLeases, holders, retire
from afterbay.store.ledger import LeasedLedger, LedgerLimits
from afterbay.store.writer import Writer
from afterbay.testing.ledgers import DAY_S, SetClock, an_allowance
from afterbay.testing.stores import T0

FAST = LedgerLimits(poll_s=0.01, again_s=0.01)
WAIT_S = 10.0
TODAY = "2026-02-02"


class Process:
    """A ledger and the log's writer, as one process has them."""

    def __init__(self, database: Database, name: str, clock: SetClock, limits: LedgerLimits = FAST) -> None:
        self.name, self.clock = name, clock
        self.ledger = LeasedLedger(SqliteLeases(database, name, busy_s=0.05), clock, limits=limits)
        self.ledger.start()
        self.writer = Writer(database, 1.0)

    async def take(self, *wants: tuple[Allowance, int]) -> Hold:
        return await self.ledger.reserve(wants, WAIT_S)

    def write(self, *records: Record) -> None:
        for record in records:
            record.charged_by = self.name
        assert self.writer.insert(records, 100, lambda: None) == 0

    async def use(self, number: int, used: int, *allowances: Allowance) -> Record:
        """One whole request that costs what was set aside for it."""
        record = a_request(number, used, *(one.account for one in allowances))
        hold = await self.take(*((one, used) for one in allowances))
        self.ledger.settle(hold, [used] * len(allowances))
        self.write(record)
        return record


def a_request(number: int, picousd: int, *accounts: str, at_s: float = T0) -> Record:
    record = Record(f"req_{number:026d}", at_s, "chat", "openai_chat", outcome="ok")
    record.accounts, record.charged_picousd = accounts, picousd
    return record


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(f"sqlite:///{tmp_path}/state.db")


@asynccontextmanager
async def processes(database: Database, count: int, limits: LedgerLimits = FAST) -> AsyncIterator[list[Process]]:
    clock = SetClock()
    started = [Process(database, f"w{number}", clock, limits) for number in range(1, count + 1)]
    yield started
    for one in started:
        await one.ledger.close()
        one.writer.close()
        assert one.ledger.corrected == 0


@contextmanager
def unavailable(database: Database) -> Iterator[None]:
    """Somebody else holds the write lock and does not let go."""
    with closing(database.connect()) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def spending(database: Database) -> dict[tuple[str, str], tuple[int, int, int]]:
    with closing(database.connect()) as connection:
        return {tuple(row[:2]): tuple(row[2:]) for row in connection.execute("SELECT * FROM spending")}


def leases(database: Database) -> dict[str, int]:
    with closing(database.connect()) as connection:
        return dict(connection.execute("SELECT holder, SUM(amount) FROM leases GROUP BY holder").fetchall())


def together(database: Database, account: str = "key:1") -> int:
    """What is spent and leased of money."""
    with closing(database.connect()) as connection:
        leased = connection.execute("SELECT COALESCE(SUM(MAX(amount, 0)), 0) FROM leases WHERE unit = 'picousd'")
        return int(leased.fetchone()[0]) + spending(database).get((account, TODAY), (0, 0, 0))[0]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 - it is another thread that changes it
            await asyncio.sleep(0.001)


# Charging


async def test_a_request_is_charged_once_however_often_it_is_written(database: Database) -> None:
    day = an_allowance(100)
    async with processes(database, 1) as (one,):
        record = await one.use(1, 30, day)
        one.ledger.settle(await one.take((day, 0)), [7])
        one.write(record)
        one.write(record, record, a_request(2, 7, "key:1"), a_request(2, 7, "key:1"))
        assert spending(database) == {("key:1", TODAY): (37, 2, 0)}
        assert together(database) <= 100


def test_all_accounts_and_all_units_are_charged_on_the_day_of_the_request(database: Database) -> None:
    record = a_request(1, 5, "key:1", "team:1", "team:1", "tag:a=\ud800")
    record.usage = Usage(input_tokens=10, output_tokens=3)
    later = a_request(2, 1, "key:1", at_s=T0 + DAY_S)
    with closing(Writer(database, 1.0)) as writer:
        assert writer.insert([record, later, a_request(3, 0)], 100, lambda: None) == 0
    assert spending(database) == {
        ("key:1", TODAY): (5, 1, 13),
        ("team:1", TODAY): (5, 1, 13),
        ("tag:a=?", TODAY): (5, 1, 13),
        ("key:1", "2026-02-03"): (1, 1, 0),
    }


def test_a_row_that_cannot_be_stored_as_it_is_is_charged_once(database: Database) -> None:
    broken, fine = a_request(1, 5, "key:1"), a_request(2, 7, "key:1")
    broken.task = "\ud800"
    with closing(Writer(database, 1.0)) as writer:
        assert writer.insert([fine, broken], 100, lambda: None) == 0
        assert writer.insert([fine, broken], 100, lambda: None) == 0
    assert spending(database) == {("key:1", TODAY): (12, 2, 0)}


def test_what_is_not_written_is_not_charged(database: Database) -> None:
    with closing(database.connect()) as connection:
        connection.execute(
            "CREATE TRIGGER no_room BEFORE INSERT ON requests BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    with closing(Writer(database, 1.0)) as writer:
        assert writer.insert([a_request(1, 5, "key:1")], 100, lambda: None) == 1
    assert spending(database) == {}


def test_a_batch_of_many_accounts_is_charged_whole(database: Database) -> None:
    records = [a_request(number, 1, *(f"tag:n={number % 7 + 7 * one}" for one in range(60))) for number in range(700)]
    with closing(Writer(database, 1.0)) as writer:
        assert writer.insert(records, 100, lambda: None) == 0
    charged = spending(database)
    assert len(charged) == 420
    assert set(charged.values()) == {(100, 100, 0)}


async def test_a_charge_lowers_the_lease_that_it_was_taken_from_and_no_other(database: Database) -> None:
    day, month = an_allowance(1000), an_allowance(1000, "month", "requests")
    async with processes(database, 2) as (one, two):
        await one.use(1, 100, day)
        two.ledger.release(await two.take((day, 10), (month, 1)))
        before = leases(database)
        two.ledger.settle(await two.take((day, 0), (month, 0)), [7, 1])
        two.write(a_request(2, 7, "key:1"))
        after = leases(database)
        assert after["w1"] == before["w1"]
        assert after["w2"] == before["w2"] - 7 - 1
        await one.ledger.close()


# Several processes


async def test_processes_together_never_set_aside_more_than_the_limit(database: Database) -> None:
    day = an_allowance(1000)
    async with processes(database, 4) as all_of_them:

        async def ask(one: Process) -> bool:
            try:
                await one.take((day, 30))
            except Exceeded:
                return False
            return True

        took = await asyncio.gather(*(ask(one) for one in all_of_them for _ in range(50)))
        assert sum(took) == 33
        assert together(database) <= 1000


async def test_what_one_has_and_does_not_need_finds_the_one_who_needs_it(database: Database) -> None:
    day = an_allowance(1000)
    async with processes(database, 3) as (one, two, three):
        for process in (one, two):
            process.ledger.release(await process.take((day, 100)))
        assert leases(database)["w1"] >= 300
        await three.take((day, 1000))
        with pytest.raises(Exceeded) as over:
            await one.take((day, 1))
        assert over.value.left == 0


async def test_what_is_in_use_elsewhere_is_refused_without_waiting_for_the_end_of_time(database: Database) -> None:
    day = an_allowance(1000)
    async with processes(database, 2) as (one, two):
        hold = await one.take((day, 900))
        began_s = time.monotonic()
        with pytest.raises(Exceeded) as over:
            await two.take((day, 500))
        assert time.monotonic() - began_s < WAIT_S / 2
        assert over.value.left == 100
        one.ledger.release(hold)
        two.clock.passed_s += FAST.refuse_s
        await two.take((day, 500))


async def test_who_waits_is_told_that_it_is_used_up_where_a_dead_process_holds_it(database: Database) -> None:
    day, clock = an_allowance(1000), SetClock()
    dead = SqliteLeases(database, "dead")
    async with processes(database, 1) as (one,):
        dead.exchange([Ask(Part("key:1", "picousd", "day", TODAY), 1000, need=600)], clock.utc())
        dead.close()
        assert holders(database) == ["dead"]
        with pytest.raises(Exceeded):
            await one.ledger.reserve([(day, 900)], 0.2)
        with closing(one.writer):
            unknown = a_request(1, 50, "key:1")
            unknown.outcome, unknown.charged_by = UNKNOWN, "dead"
            one.writer.insert([unknown], 100, lambda: None)
        retire(database, "dead", clock.utc())
        retire(database, "dead", clock.utc())
        assert "dead" not in holders(database)
        one.clock.passed_s += FAST.refuse_s
        await one.take((day, 950))


async def test_all_leases_come_back_when_all_is_written(database: Database) -> None:
    day, month = an_allowance(1000), an_allowance(10, "month", "requests", "team:1")
    async with processes(database, 3) as all_of_them:
        for number, one in enumerate(all_of_them):
            await one.use(number, 20, day)
            one.ledger.release(await one.take((month, 1)))
        assert sum(leases(database).values()) > 0
    assert leases(database) == {}
    assert spending(database) == {("key:1", TODAY): (60, 3, 0)}


async def test_what_is_settled_and_not_written_stays_leased(database: Database) -> None:
    day = an_allowance(1000)
    async with processes(database, 2) as (one, two):
        one.ledger.settle(await one.take((day, 400)), [300])
        await one.ledger.close()
        assert leases(database)["w1"] == 300
        with pytest.raises(Exceeded) as over:
            await two.ledger.reserve([(day, 701)], 0.2)
        assert over.value.left == 700
        one.write(a_request(1, 300, "key:1"))
        retire(database, "w1", T0)
        two.clock.passed_s += FAST.refuse_s
        assert together(database) <= 1000
        await two.take((day, 700))


async def test_what_was_spent_before_an_allowance_was_made_counts(database: Database) -> None:
    async with processes(database, 1) as (one,):
        one.write(a_request(1, 400, "key:1"), a_request(2, 500, "key:1", at_s=T0 - DAY_S))
        with pytest.raises(Exceeded) as over:
            await one.take((an_allowance(500), 101))
        assert over.value.left == 100
        with pytest.raises(Exceeded) as over:
            await one.take((an_allowance(1000, "month"), 200))
        assert over.value.left == 100


async def test_a_lowered_limit_holds_for_what_others_leased_under_the_old_one(database: Database) -> None:
    async with processes(database, 2) as (one, two):
        one.ledger.release(await one.take((an_allowance(1000), 600)))
        hold = await two.take((an_allowance(1000), 100))
        with pytest.raises(Exceeded):
            await two.take((an_allowance(150), 51))
        two.ledger.release(hold)
        two.clock.passed_s += FAST.refuse_s
        await two.take((an_allowance(150), 150))
        with pytest.raises(Exceeded):
            await one.take((an_allowance(150), 1))


async def test_one_minute_is_shared_by_all(database: Database) -> None:
    minute = an_allowance(100, "minute", "requests")
    async with processes(database, 2) as (one, two):
        for _ in range(40):
            await one.take((minute, 1))
            await two.take((minute, 1))
        await one.take((minute, 20))
        with pytest.raises(Exceeded) as over:
            await two.take((minute, 1))
        assert 0 < over.value.back_s <= COUNTS_S
        one.clock.passed_s += COUNTS_S
        await two.take((minute, 100))
        with pytest.raises(Exceeded):
            await one.take((minute, 1))


async def test_the_minute_of_a_process_that_is_gone_counts_to_its_end(database: Database) -> None:
    minute = an_allowance(100, "minute", "requests")
    async with processes(database, 2) as (one, two):
        await one.take((minute, 60))
        await one.ledger.close()
        await two.take((minute, 40))
        with pytest.raises(Exceeded):
            await two.take((minute, 1))
        two.clock.passed_s += COUNTS_S
        await two.take((minute, 100))


async def test_what_lies_idle_goes_back_by_itself(database: Database) -> None:
    day = an_allowance(1000)
    async with processes(database, 2) as (one, two):
        one.ledger.release(await one.take((day, 500)))
        await two.take((day, 100))
        await until(lambda: leases(database)["w1"] <= 250)
        one.clock.passed_s += FAST.idle_s + 1
        await until(lambda: leases(database)["w1"] == 0)


async def test_a_slice_is_filled_before_it_is_empty(database: Database) -> None:
    day = an_allowance(100_000)
    async with processes(database, 1) as (one,):
        await one.take((day, 1))
        first = leases(database)["w1"]
        for _ in range(first * 9 // 10 // 100):
            await one.take((day, 100))
        await until(lambda: leases(database)["w1"] > first)


# Outages


async def test_slices_last_through_an_outage_and_then_it_is_said(database: Database) -> None:
    day = an_allowance(1000)
    async with processes(database, 1) as (one,):
        one.ledger.release(await one.take((day, 100)))
        leased = leases(database)["w1"]
        with unavailable(database):
            hold = await one.take((day, leased - 10))
            with pytest.raises(LedgerUnavailable) as trouble:
                await one.take((day, 100))
            assert trouble.value.allowance == day
            assert trouble.value.retry_s > 0
            began_s = time.monotonic()
            with pytest.raises(LedgerUnavailable):
                await one.take((day, 100))
            assert time.monotonic() - began_s < 0.04, "it is not asked again at once"
            with pytest.raises(Exceeded):
                await one.take((day, 1001))
            one.ledger.settle(hold, [10])
            await one.take((day, leased - 20))
        one.clock.passed_s += FAST.last_retry_s
        await one.take((day, 100))


async def test_nothing_is_known_during_an_outage_and_nothing_is_admitted(database: Database) -> None:
    async with processes(database, 1) as (one,):
        with unavailable(database):
            assert one.ledger.left(an_allowance(1000)) is None
            with pytest.raises(LedgerUnavailable):
                await one.take((an_allowance(1000), 1))


async def test_a_database_that_is_slow_is_waited_for_no_longer_than_said(database: Database) -> None:
    clock = SetClock()
    ledger = LeasedLedger(SqliteLeases(database, "w1", busy_s=0.5), clock, limits=FAST)
    ledger.start()
    with unavailable(database), pytest.raises(LedgerUnavailable, match="in time"):
        await ledger.reserve([(an_allowance(1000), 1)], 0.01)
    await ledger.close()


def test_what_is_on_its_way_back_to_the_table_is_left_all_the_same() -> None:
    one = HeldSlice(Part("key:1", "picousd", "day", "2026-02-02"), 1000, 0.0, DAY_S)
    one.learn(Standing(1000, 0, 750, 137, 2), 750, 0.0)
    ask = one.returned(500)
    assert (one.free(0.0), one.left(1000, 0.0)) == (250, 1000)
    one.heard_back(ask.give)
    assert (one.free(0.0), one.left(1000, 0.0), one.is_asked) == (750, 1000, False)


async def kept(one: Process, want: tuple[Allowance, int]) -> None:
    """Takes what is there, though it may still be on its way to the table and back."""
    for _ in range(100):
        try:
            await one.take(want)
        except LedgerUnavailable:
            await asyncio.sleep(0.02)
        else:
            return
    raise AssertionError("it does not come back")


async def test_what_could_not_be_returned_is_kept(database: Database) -> None:
    day = an_allowance(1000)
    async with processes(database, 2) as (one, two):
        one.ledger.release(await one.take((day, 500)))
        await two.take((day, 100))
        with unavailable(database):
            one.clock.passed_s += FAST.idle_s + 1
            await asyncio.sleep(0)
            await kept(one, (day, 200))
        one.clock.passed_s += FAST.last_retry_s
        await one.take((day, 700))
        assert together(database) <= 1000


async def test_a_request_that_is_given_up_while_it_waits_leaves_nothing_behind(database: Database) -> None:
    day = an_allowance(1000)
    async with processes(database, 1) as (one,):
        waiting = asyncio.create_task(one.take((day, 1000)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await one.take((day, 1000))


async def test_a_ledger_that_is_closed_admits_nothing_new(database: Database) -> None:
    async with processes(database, 1) as (one,):
        await one.ledger.close()
        with pytest.raises(LedgerUnavailable, match="stopping"):
            await one.take((an_allowance(10), 1))


async def test_only_so_many_accounts_are_held_at_once(database: Database) -> None:
    async with processes(database, 1, LedgerLimits(slices=2)) as (one,):
        for account in ("key:1", "key:2"):
            await one.take((an_allowance(10, account=account), 1))
        with pytest.raises(LedgerUnavailable, match="too many accounts"):
            await one.take((an_allowance(10, account="key:3"), 1))


async def test_leases_of_days_that_are_over_end_by_themselves(database: Database) -> None:
    async with processes(database, 1) as (one,):
        await one.take((an_allowance(10), 1), (an_allowance(10, "month"), 1))
        one.clock.passed_s += 70 * DAY_S
        await one.take((an_allowance(10), 1))
        with closing(database.connect()) as connection:
            assert connection.execute("SELECT begin_day FROM leases").fetchall() == [("2026-04-13",)]


async def test_four_allowances_are_set_aside_in_microseconds_and_without_the_database(database: Database) -> None:
    wants = [
        (an_allowance(10**15), 10**6),
        (an_allowance(10**15, "month", account="team:1"), 10**6),
        (an_allowance(10**9, "day", "requests"), 1),
        (an_allowance(10**9, "minute", "tokens"), 1000),
    ]
    async with processes(database, 1) as (one,):
        one.ledger.release(await one.take(*wants))
        best_s = float("inf")
        with unavailable(database):
            for _ in range(20):
                began_s = time.perf_counter()
                for _ in range(500):
                    one.ledger.settle(await one.ledger.reserve(wants, 0.0), (1, 1, 1, 1))
                best_s = min(best_s, (time.perf_counter() - began_s) / 500)
        print(f"reserve and settle of four allowances: {best_s * 1e6:.1f} us")
        assert best_s < 20e-6


def test_a_charge_and_what_is_settled_are_the_same(database: Database) -> None:
    record = a_request(1, 5, "key:1")
    record.usage = Usage(input_tokens=10, output_tokens=3)
    with closing(Writer(database, 1.0)) as writer:
        writer.insert([record], 100, lambda: None)
    charge = charge_of(record)
    assert spending(database)["key:1", TODAY] == (charge.picousd, charge.requests, charge.tokens)


def test_the_table_is_whole_after_a_failed_exchange(database: Database) -> None:
    one = SqliteLeases(database, "w1", busy_s=0.01)
    part = Part("key:1", "picousd", "day", TODAY)
    with unavailable(database), pytest.raises(sqlite3.OperationalError):
        one.exchange([Ask(part, 1000, need=600)], T0)
    assert leases(database) == {}
    assert one.exchange([Ask(part, 1000, need=600)], T0)[0].more == 800
    assert one.look([(part, 1000)], T0)[0].own == 800
    one.close()


def sums(database: Database) -> dict[tuple[str, str], int]:
    with closing(database.connect()) as connection:
        return {(row[0], row[1]): row[2] for row in connection.execute(statements.SPENDING)}


async def test_what_keys_spent_long_ago_counts_in_total_and_only_there(database: Database) -> None:
    accounts = ("key:1", "team:t", "tag:a=b", "model:m")
    async with processes(database, 1) as (one,):
        one.write(*(a_request(number, 10, *accounts, at_s=T0 + number * DAY_S) for number in range(3)))
        one.clock.passed_s = 500 * DAY_S
        one.ledger.settle(await one.take((an_allowance(100), 5)), [5])  # a new day: old ones are folded
        assert {day for _, day in sums(database)} == {OLDEST_DAY}
        assert {account: spent for (account, _), spent in sums(database).items()} == {"key:1": 30, "team:t": 30}
        with pytest.raises(Exceeded) as over:
            await one.take((an_allowance(100, "total"), 71))
        assert over.value.left == 70
        late = a_request(9, 10, "key:1", at_s=T0 + 3 * DAY_S)  # out of the journal of a process that is gone
        late.charged_by = "gone"
        assert one.writer.insert([late], 100, lambda: None) == 0
    async with processes(database, 1) as (two,):
        two.clock.passed_s = 502 * DAY_S
        await two.take((an_allowance(100), 1))
        assert sums(database)["key:1", OLDEST_DAY] == 40
        with pytest.raises(Exceeded) as over:
            await two.take((an_allowance(100, "total"), 61))
        assert over.value.left == 60


async def test_several_processes_share_a_total(database: Database) -> None:
    total = an_allowance(1000, "total")
    async with processes(database, 2) as (one, two):
        await one.use(1, 600, total)
        one.clock.passed_s += 40 * DAY_S
        await two.use(2, 400, total)
        for each in (one, two):
            with pytest.raises(Exceeded):
                await each.take((total, 1))
    async with processes(database, 1) as (later,):
        with pytest.raises(Exceeded) as over:
            await later.take((total, 1))
        assert over.value.left == 0


async def test_a_lease_of_a_total_that_was_given_back_is_forgotten(database: Database) -> None:
    async with processes(database, 1) as (one,):
        leases = SqliteLeases(database, "other")
        part = Part("key:9", "picousd", "total", OLDEST_DAY)
        assert leases.exchange([Ask(part, 1000, need=600)], T0)[0].more >= 600
        held = leases.look([(part, 1000)], T0)[0].own
        leases.exchange([Ask(part, 1000, give=held, grows=False)], T0)
        await one.take((an_allowance(100), 1))
        one.clock.passed_s += 2 * DAY_S
        await one.take((an_allowance(100), 1))
        with closing(database.connect()) as connection:
            left = connection.execute("SELECT count(*) FROM leases WHERE account = 'key:9'").fetchone()[0]
        assert left == 0
        leases.close()
