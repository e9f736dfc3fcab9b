"""What every ledger must do, as tests to inherit; see `afterbay.testing.stores` for how contracts are used.

class TestMine(LedgerContract):
    @asynccontextmanager
    async def opened_ledger(self) -> AsyncIterator[OpenedLedger]:
        clock = SetClock()
        yield OpenedLedger(MyLedger(clock), clock)
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import msgspec

from afterbay.policy.allowance import Allowance, Period, Unit
from afterbay.policy.window import COUNTS_S
from afterbay.ports import Exceeded, Hold, Ledger
from afterbay.testing.stores import T0

WAIT_S = 5.0
"""How long a case lets a ledger wait: long enough for any machine, never waited for in full."""
DAY_S = 86_400.0


class SetClock:
    """Implements `ports.Clock`: a time that is set. It begins at `T0`, which is some time in a day."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def monotonic(self) -> float:
        """Seconds since it was made, and a thousand."""
        return 1000.0 + self.passed_s

    def utc(self) -> float:
        """UTC seconds."""
        return T0 + self.passed_s


class OpenedLedger(msgspec.Struct, frozen=True):
    """A ledger under test, and the clock that it goes by."""

    ledger: Ledger
    clock: SetClock


def an_allowance(
    limit: int, period: Period = "day", unit: Unit = "picousd", account: str = "key:1", name: str = ""
) -> Allowance:
    """An allowance of one account."""
    return Allowance(account, unit, period, limit, name=name)


class LedgerContract:
    """What holds for any ledger."""

    def opened_ledger(self) -> AbstractAsyncContextManager[OpenedLedger]:
        """An empty ledger, closed when the block ends. To be written by the subclass."""
        raise NotImplementedError

    async def test_what_is_set_aside_is_not_there_for_others(self) -> None:
        day = an_allowance(100)
        async with self.opened_ledger() as opened:
            await _take(opened, (day, 60))
            await _expect_exceeded(opened, (day, 41), left=40)
            await _take(opened, (day, 40))
            await _expect_exceeded(opened, (day, 1), left=0)

    async def test_what_was_not_used_is_free_at_once(self) -> None:
        day = an_allowance(100)
        async with self.opened_ledger() as opened:
            hold = await _take(opened, (day, 100))
            opened.ledger.settle(hold, [30])
            _expect(not hold.is_open, "a settled hold is not open")
            await _expect_exceeded(opened, (day, 71), left=70)
            await _take(opened, (day, 70))

    async def test_more_may_be_used_than_was_set_aside(self) -> None:
        day = an_allowance(100)
        async with self.opened_ledger() as opened:
            opened.ledger.settle(await _take(opened, (day, 90)), [130])
            _expect(opened.ledger.left(day) == -30, "what is left goes below 0")
            await _expect_exceeded(opened, (day, 1), left=0)

    async def test_nothing_of_an_allowance_is_never_refused(self) -> None:
        day = an_allowance(100)
        async with self.opened_ledger() as opened:
            opened.ledger.settle(await _take(opened, (day, 0)), [130])
            opened.ledger.settle(await _take(opened, (day, 0), (an_allowance(5, account="key:2"), 5)), [10, 5])
            await _expect_exceeded(opened, (day, 1), left=0)
            _expect(opened.ledger.left(day) == -40, "what was used of it counts")

    async def test_what_is_released_was_not_used(self) -> None:
        day = an_allowance(100)
        async with self.opened_ledger() as opened:
            hold = await _take(opened, (day, 100))
            opened.ledger.release(hold)
            opened.ledger.release(hold)
            opened.ledger.settle(hold, [100])
            await _take(opened, (day, 100))
            await _expect_exceeded(opened, (day, 1), left=0)

    async def test_several_allowances_are_set_aside_together_or_not_at_all(self) -> None:
        team, key = an_allowance(1000, account="team:1"), an_allowance(10)
        async with self.opened_ledger() as opened:
            await _expect_exceeded(opened, (team, 900), (key, 11), left=10, of=key)
            await _expect_exceeded(opened, (key, 10), (team, 1001), left=1000, of=team)
            await _take(opened, (team, 1000), (key, 10))

    async def test_while_there_is_plenty_it_is_taken_at_once_and_else_nothing_is(self) -> None:
        day, team = an_allowance(10_000), an_allowance(10_000, account="team:1")
        async with self.opened_ledger() as opened:
            ledger = opened.ledger
            for hold in [await _take(opened, (day, 1), (team, 1)) for _ in range(2)]:
                ledger.release(hold)
            taken = ledger.at_once([(day, 10), (team, 20)], opened.clock.utc())
            _expect(taken is not None and taken.is_open, "there is plenty of both")
            _expect((ledger.left(day), ledger.left(team)) == (9_990, 9_980), "it is set aside")
            _expect(ledger.at_once([(day, 10), (team, 700)], opened.clock.utc()) is None, "much of one is no plenty")
            _expect((ledger.left(day), ledger.left(team)) == (9_990, 9_980), "then nothing of the other is taken")
            await _take(opened, (day, 7_500))
            _expect(ledger.at_once([(day, 1)], opened.clock.utc()) is None, "less than a fourth of the limit is left")
            if taken is not None:
                ledger.settle(taken, [3, 4])
            _expect((ledger.left(day), ledger.left(team)) == (2_497, 9_996), "what was used counts")

    async def test_units_and_accounts_do_not_mix(self) -> None:
        async with self.opened_ledger() as opened:
            for account in ("key:1", "key:2", "tag:a=b"):
                for unit in ("picousd", "requests", "tokens"):
                    await _take(opened, (an_allowance(5, unit=unit, account=account), 5))

    async def test_two_rules_for_one_account_count_once_and_the_tighter_one_holds(self) -> None:
        wide, tight = an_allowance(100, name="wide"), an_allowance(50, name="tight")
        async with self.opened_ledger() as opened:
            hold = await _take(opened, (wide, 40), (tight, 40))
            await _expect_exceeded(opened, (wide, 11), (tight, 11), left=10)
            opened.ledger.settle(hold, [45, 45])
            await _take(opened, (wide, 5), (tight, 5))
            await _expect_exceeded(opened, (wide, 1), (tight, 1), left=0)

    async def test_nothing_is_wanted_and_nothing_is_refused(self) -> None:
        async with self.opened_ledger() as opened:
            opened.ledger.settle(await _take(opened), [])
            opened.ledger.settle(await _take(opened, (an_allowance(0), 0)), [0])
            await _expect_exceeded(opened, (an_allowance(0), 1), left=0, back_s=math.inf)

    async def test_a_burst_is_admitted_as_far_as_it_goes(self) -> None:
        day = an_allowance(1000)
        async with self.opened_ledger() as opened:
            took = await asyncio.gather(*(_try(opened, (day, 30)) for _ in range(100)))
            _expect(sum(hold is not None for hold in took) == 33, "33 times 30 fit into 1000, and no more")

    async def test_a_limit_may_be_changed_while_it_is_in_use(self) -> None:
        async with self.opened_ledger() as opened:
            first = await _take(opened, (an_allowance(100), 60))
            await _expect_exceeded(opened, (an_allowance(70), 11), left=10)
            await _expect_exceeded(opened, (an_allowance(50), 1), left=0)
            await _take(opened, (an_allowance(200), 140))
            opened.ledger.settle(first, [60])
            await _expect_exceeded(opened, (an_allowance(200), 1), left=0)

    async def test_left_says_what_is_left(self) -> None:
        day = an_allowance(100)
        async with self.opened_ledger() as opened:
            _expect(opened.ledger.left(day) in (100, None), "all, or not known yet")
            hold = await _take(opened, (day, 30))
            _expect(opened.ledger.left(day) == 70, "what is set aside is taken off")
            opened.ledger.settle(hold, [10])
            _expect(opened.ledger.left(day) == 90, "what was used is taken off")
            _expect(opened.ledger.left(an_allowance(60)) == 50, "of another limit for the same account too")

    async def test_a_new_day_begins_with_all_of_it(self) -> None:
        day = an_allowance(100)
        async with self.opened_ledger() as opened:
            hold = await _take(opened, (day, 100))
            over = await _expect_exceeded(opened, (day, 1), left=0)
            _expect(0 < over.back_s <= DAY_S, "it is back when the day is over")
            opened.clock.passed_s += over.back_s - 1
            await _expect_exceeded(opened, (day, 1), left=0, back_s=1.0)
            opened.clock.passed_s += 1
            await _take(opened, (day, 100))
            opened.ledger.settle(hold, [100])
            await _expect_exceeded(opened, (day, 1), left=0)

    async def test_a_total_never_begins_anew(self) -> None:
        total, day = an_allowance(100, "total"), an_allowance(60)
        async with self.opened_ledger() as opened:
            opened.ledger.settle(await _take(opened, (total, 60), (day, 60)), [60, 60])
            opened.clock.passed_s += 800 * DAY_S
            await _expect_exceeded(opened, (total, 41), (day, 41), left=40, of=total, back_s=math.inf)
            await _take(opened, (total, 40), (day, 40))
            await _expect_exceeded(opened, (total, 1), left=0)

    async def test_a_month_lasts_longer_than_a_day(self) -> None:
        month = an_allowance(100, "month")
        async with self.opened_ledger() as opened:
            await _take(opened, (month, 100))
            opened.clock.passed_s += DAY_S
            over = await _expect_exceeded(opened, (month, 1), left=0)
            opened.clock.passed_s += over.back_s
            await _take(opened, (month, 100))

    async def test_a_request_belongs_to_the_day_in_which_it_was_received(self) -> None:
        day = an_allowance(100)
        async with self.opened_ledger() as opened:
            over = await _expect_exceeded(opened, (day, 101), left=100)
            _expect(over.back_s == math.inf, "more than the limit never comes")
            await _take(opened, (day, 90))
            before_s = opened.clock.utc()
            opened.clock.passed_s += DAY_S
            await _take(opened, (day, 100))
            await _expect_exceeded(opened, (day, 11), left=10, at_s=before_s)
            await _take(opened, (day, 10), at_s=before_s)

    async def test_a_minute_is_any_sixty_seconds(self) -> None:
        minute = an_allowance(10, "minute", "requests")
        async with self.opened_ledger() as opened:
            for _ in range(10):
                await _take(opened, (minute, 1))
                opened.clock.passed_s += 1
            over = await _expect_exceeded(opened, (minute, 1), left=0)
            _expect(50 <= over.back_s <= 51, "the first is back a minute after it was taken, or a second later")
            opened.clock.passed_s += over.back_s
            await _take(opened, (minute, 1))
            await _expect_exceeded(opened, (minute, 1), left=0)

    async def test_what_a_minute_did_not_use_is_free_at_once(self) -> None:
        minute = an_allowance(100, "minute", "tokens")
        async with self.opened_ledger() as opened:
            hold = await _take(opened, (minute, 100))
            opened.clock.passed_s += 5
            opened.ledger.settle(hold, [40])
            _expect(opened.ledger.left(minute) == 60, "60 were given back")
            opened.ledger.settle(await _take(opened, (minute, 60)), [90])
            _expect(opened.ledger.left(minute) == -30, "30 more than was set aside")
            opened.clock.passed_s += COUNTS_S
            _expect(opened.ledger.left(minute) == 100, "all of it is back")
            await _take(opened, (minute, 100))

    async def test_a_request_may_last_longer_than_its_minute(self) -> None:
        minute = an_allowance(100, "minute", "tokens")
        async with self.opened_ledger() as opened:
            hold = await _take(opened, (minute, 100))
            opened.clock.passed_s += 2 * COUNTS_S
            opened.ledger.settle(hold, [40])
            _expect(opened.ledger.left(minute) == 100, "what it did not use had come back already")


async def _take(opened: OpenedLedger, *wants: tuple[Allowance, int], at_s: float | None = None) -> Hold:
    hold = await opened.ledger.reserve(wants, WAIT_S, at_s)
    _expect(hold.is_open, "a new hold is open")
    return hold


async def _try(opened: OpenedLedger, *wants: tuple[Allowance, int]) -> Hold | None:
    try:
        return await opened.ledger.reserve(wants, WAIT_S)
    except Exceeded:
        return None


async def _expect_exceeded(
    opened: OpenedLedger,
    *wants: tuple[Allowance, int],
    left: int,
    of: Allowance | None = None,
    back_s: float | None = None,
    at_s: float | None = None,
) -> Exceeded:
    try:
        await opened.ledger.reserve(wants, WAIT_S, at_s)
    except Exceeded as over:
        _expect(over.left == left, f"{left} is left, and it says {over.left}")
        _expect(of is None or over.allowance == of, "it names the allowance that has too little")
        _expect(over.back_s > 0, "it says when to come again")
        _expect(
            back_s is None or math.isclose(over.back_s, back_s, abs_tol=1e-3),
            f"it is back in {back_s} s, not in {over.back_s}",
        )
        return over
    raise AssertionError(f"broken promise: {_told(wants)} is refused")


def _told(wants: Sequence[tuple[Allowance, int]]) -> str:
    return ", ".join(f"{amount} of {allowance.limit} for {allowance.account}" for allowance, amount in wants)


def _expect(holds: bool, promise: str) -> None:
    if not holds:
        raise AssertionError(f"broken promise: {promise}")
