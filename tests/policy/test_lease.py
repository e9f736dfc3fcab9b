"""Slices: what all processes together set aside and use never passes the limit, whatever comes in whatever order."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from afterbay.policy.lease import Slice, Standing, excess, granted
from afterbay.policy.window import WINDOW_S, Window

HOLDERS = 3
LIMIT = 1000


class Holder:
    """One process: its slice, the worst cases it has set aside, and what it settled that is not written yet."""

    def __init__(self, window: Window | None = None) -> None:
        self.slice = Slice(LIMIT, window)
        self.open: list[tuple[int, int]] = []
        self.unwritten = 0
        self.has_asked = False


class Day(RuleBasedStateMachine):
    """Processes that lease, use, write, return and die, over the table that the store keeps in SQLite."""

    def __init__(self) -> None:
        super().__init__()
        self.limit, self.spent = LIMIT, 0
        self.rows = [0] * HOLDERS
        self.holders = [Holder() for _ in range(HOLDERS)]
        self.used = self.overdrawn = 0
        self.was_lowered = False

    def standing(self, number: int) -> Standing:
        others = [max(0, row) for place, row in enumerate(self.rows) if place != number]
        return Standing(self.limit, self.spent, self.rows[number], sum(others), 1 + sum(map(bool, others)))

    def exchange(self, number: int, give: int, need: int | None) -> None:
        one = self.holders[number].slice
        self.holders[number].has_asked = True
        one.leased -= give
        self.rows[number] -= give
        more = 0 if need is None else granted(self.standing(number), one.free(0), need)
        self.rows[number] += more
        assert one.learn(self.standing(number), more, 0) == 0, "a process never believes to have more than the table"

    @rule(number=st.integers(0, HOLDERS - 1), need=st.integers(0, LIMIT))
    def lease(self, number: int, need: int) -> None:
        lowered = self.limit < self.holders[number].slice.limit
        self.exchange(number, max(0, self.holders[number].slice.free(0)) if lowered else 0, need)

    @rule(number=st.integers(0, HOLDERS - 1), amount=st.integers(0, LIMIT // 2))
    def set_aside(self, number: int, amount: int) -> None:
        holder = self.holders[number]
        if holder.slice.free(0) >= amount:
            holder.open.append((holder.slice.take(amount, 0), amount))

    @precondition(lambda self: any(holder.open for holder in self.holders))
    @rule(share=st.floats(0, 1), over=st.sampled_from([0, 0, 0, 7]), number=st.integers(0, HOLDERS - 1))
    def settle(self, share: float, over: int, number: int) -> None:
        holder = self.holders[number]
        if holder.open:
            cell, taken = holder.open.pop()
            used = int(taken * share) + over
            holder.slice.settle(cell, taken, used, 0)
            holder.unwritten += used
            self.used += used
            self.overdrawn += max(0, used - taken)

    @rule(number=st.integers(0, HOLDERS - 1), share=st.floats(0, 1))
    def write(self, number: int, share: float) -> None:
        part = round(self.holders[number].unwritten * share)
        self.holders[number].unwritten -= part
        self.spent += part
        self.rows[number] -= part

    @rule(number=st.integers(0, HOLDERS - 1), share=st.floats(0, 1))
    def give_back(self, number: int, share: float) -> None:
        self.exchange(number, int(max(0, self.holders[number].slice.free(0)) * share), None)

    @rule(number=st.integers(0, HOLDERS - 1))
    def die(self, number: int) -> None:
        """The journal is read: what is open is charged with its worst case. Then the lease ends."""
        holder = self.holders[number]
        self.used += sum(taken for _, taken in holder.open)
        self.spent += holder.unwritten + sum(taken for _, taken in holder.open)
        self.rows[number] = 0
        self.holders[number] = Holder()
        self.holders[number].slice.limit = self.limit

    @rule(limit=st.integers(LIMIT // 4, LIMIT))
    def change_the_limit(self, limit: int) -> None:
        self.was_lowered = self.was_lowered or limit < self.limit
        self.limit = limit

    @invariant()
    def nothing_is_above_the_limit(self) -> None:
        reserved = sum(holder.slice.reserved for holder in self.holders)
        assert self.used + reserved <= LIMIT + self.overdrawn
        if not self.was_lowered and not self.overdrawn:
            assert self.spent + sum(self.rows) <= self.limit

    @invariant()
    def a_slice_is_what_the_table_says_without_what_is_not_written(self) -> None:
        for row, holder in zip(self.rows, self.holders, strict=True):
            assert row - holder.unwritten == holder.slice.leased

    @invariant()
    def nobody_is_told_of_less_than_there_is(self) -> None:
        there_is = self.limit - self.used - sum(holder.slice.reserved for holder in self.holders)
        for holder in self.holders:
            assert not holder.has_asked or holder.slice.left(self.limit, 0) >= there_is


TestDay = Day.TestCase
TestDay.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, HOLDERS - 1), st.floats(0, 20, width=32), st.integers(0, 60), st.sampled_from("takelg")
        ),
        max_size=120,
    )
)
def test_a_minute_shared_by_several_never_holds_more_than_the_limit(steps: list[tuple[int, float, int, str]]) -> None:
    limit, now_s = 100, 0.0
    rows, slices = [0] * HOLDERS, [Slice(100, Window()) for _ in range(HOLDERS)]
    used: list[tuple[float, int]] = []
    for number, pause_s, amount, what in steps:
        now_s += pause_s
        one = slices[number]
        if what == "g":
            give = min(amount, max(0, one.free(now_s)))
            one.leased -= give
            rows[number] -= give
        elif what == "l":
            others = [row for place, row in enumerate(rows) if place != number]
            standing = Standing(limit, 0, rows[number], sum(others), 1 + sum(map(bool, others)))
            more = granted(standing, one.free(now_s), amount)
            rows[number] += more
            after = Standing(limit, 0, rows[number], sum(others), standing.holders)
            assert one.learn(after, more, now_s) == 0
        elif one.free(now_s) >= amount:
            one.take(amount, now_s)
            used.append((now_s, amount))
        assert sum(rows) <= limit
    for start_s, _ in used:
        assert sum(amount for at_s, amount in used if start_s <= at_s <= start_s + WINDOW_S) <= limit


@pytest.mark.parametrize(
    ("standing", "have", "need", "more"),
    [
        (Standing(1000, 0, 0, 0, 1), 0, 100, 100 + 450),  # alone: half of the rest ahead
        (Standing(1000, 0, 0, 500, 2), 0, 100, 100 + 100),  # of two: a quarter of the rest
        (Standing(1000, 0, 550, 0, 1), 550, 100, 0),  # enough already
        (Standing(1000, 990, 0, 0, 1), 0, 100, 10),  # all there is, where it is not enough
        (Standing(1000, 1000, 0, 0, 1), 0, 1, 0),
        (Standing(500, 800, 0, 0, 1), 0, 1, 0),  # the limit was lowered
        (Standing(1000, 500, -20, 0, 1), -20, 100, 120 + 200),  # what was used beyond the lease is made good
        (Standing(1000, 0, 1000, 0, 1), 1000, 100, 0),
    ],
)
def test_what_is_needed_is_leased_and_some_ahead(standing: Standing, have: int, need: int, more: int) -> None:
    assert granted(standing, have, need) == more


@given(
    st.builds(
        Standing,
        st.integers(0, 1000),
        st.integers(0, 1200),
        st.integers(-50, 1000),
        st.integers(0, 1000),
        st.integers(1, 9),
    ),
    st.integers(-100, 1000),
    st.integers(0, 1000),
)
def test_no_lease_is_granted_beyond_what_is_left(standing: Standing, have: int, need: int) -> None:
    more = granted(standing, have, need)
    assert 0 <= more <= max(0, standing.unleased)
    assert more == max(0, standing.unleased) or have + more >= need


@pytest.mark.parametrize(
    ("standing", "free", "back"),
    [
        (Standing(1000, 0, 600, 0, 1), 600, 0),  # nobody else is there
        (Standing(1000, 0, 600, 100, 2), 600, 350),  # a quarter of what is left may stay
        (Standing(1000, 800, 100, 50, 2), 100, 50),
        (Standing(1000, 1000, 10, 50, 2), 10, 10),
        (Standing(1000, 0, 200, 100, 2), 200, 0),
    ],
)
def test_what_lies_idle_beyond_a_fair_part_goes_back(standing: Standing, free: int, back: int) -> None:
    assert excess(standing, free) == back


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 5_000), st.integers(1, 8), st.integers(0, 3_000))
def test_what_was_just_leased_does_not_go_back(spent: int, limit: int, others: int, holders: int, need: int) -> None:
    standing = Standing(limit, spent, 0, others, holders)
    more = granted(standing, 0, need)
    assert excess(Standing(limit, spent, more, others, holders), max(0, more - need)) == 0


def test_a_process_alone_asks_seldom() -> None:
    one, spent, own, asked = Slice(1_000_000), 0, 0, 0
    while True:
        if one.free(0) < 100:
            asked += 1
            more = granted(Standing(1_000_000, spent, own, 0, 1), one.free(0), 100)
            own += more
            one.learn(Standing(1_000_000, spent, own, 0, 1), more, 0)
            if one.free(0) < 100:
                break
        one.settle(one.take(100, 0), 100, 100, 0)
        spent += 100
        own -= 100
    assert spent == 1_000_000
    assert asked < 30


def test_what_the_table_does_not_know_of_is_not_used() -> None:
    one = Slice(100)
    one.leased = 50
    assert one.learn(Standing(100, 0, 40, 0, 1), 0, 0) == 10
    assert one.free(0) == 40


def test_left_counts_what_others_may_return_and_obtainable_does_not() -> None:
    one = Slice(100)
    one.learn(Standing(100, 20, 30, 40, 2), 30, 0)
    one.take(10, 0)
    assert (one.left(100, 0), one.obtainable(100, 0)) == (70, 30)
    assert (one.left(90, 0), one.obtainable(90, 0)) == (60, 20)
    assert one.left(130, 0) == 100
