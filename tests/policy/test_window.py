"""A minute's limit: never above it in any 60 seconds, whatever the order of things, and little below."""

from __future__ import annotations

import math

import hypothesis.strategies as st
from hypothesis import given, settings

from afterbay.policy.window import COUNTS_S, WINDOW_S, Window

LIMIT = 100
steps = st.lists(
    st.tuples(st.floats(0, 25, width=32), st.integers(0, 40), st.floats(0, 1, width=16), st.integers(0, 3)), max_size=80
)


@settings(max_examples=300)
@given(steps)
def test_no_sixty_seconds_ever_hold_more_than_the_limit(steps: list[tuple[float, int, float, int]]) -> None:
    window, now_s = Window(), 1000.0
    used: list[list[float]] = []
    open_ones: list[tuple[int, int, list[float]]] = []
    for pause_s, amount, share, settled in steps:
        now_s += pause_s
        if window.wait_s(amount, LIMIT, now_s) == 0.0:
            entry = [now_s, float(amount)]
            used.append(entry)
            open_ones.append((window.take(amount, now_s), amount, entry))
        for _ in range(min(settled, len(open_ones))):
            cell, taken, entry = open_ones.pop(0)
            entry[1] = float(int(taken * share))
            window.settle(cell, taken, int(taken * share), now_s)
        for start_s, _ in used:
            assert sum(amount for at_s, amount in used if start_s <= at_s <= start_s + WINDOW_S) <= LIMIT


@given(steps, st.integers(1, LIMIT))
def test_it_tells_when_to_come_again_to_the_moment(steps: list[tuple[float, int, float, int]], wanted: int) -> None:
    window, now_s = Window(), 1000.0
    for pause_s, amount, _, _ in steps:
        now_s += pause_s
        if window.wait_s(amount, LIMIT, now_s) == 0.0:
            window.take(amount, now_s)
    wait_s = window.wait_s(wanted, LIMIT, now_s)
    assert 0 <= wait_s <= COUNTS_S
    if wait_s:
        assert window.wait_s(wanted, LIMIT, now_s + wait_s * 0.999) > 0
    assert window.wait_s(wanted, LIMIT, math.nextafter(now_s + wait_s, math.inf)) == 0


def test_more_than_the_limit_never_comes() -> None:
    assert Window().wait_s(LIMIT + 1, LIMIT, 0.0) == math.inf


def test_a_limit_that_is_always_reached_loses_a_sixtieth() -> None:
    window, taken = Window(), 0
    for tenth in range(36_000):
        now_s = tenth / 10
        while window.wait_s(1, 600, now_s) == 0.0:
            window.take(1, now_s)
            taken += 1
    assert 0.983 * 36_000 <= taken <= 36_600


def test_only_a_minute_of_cells_is_kept() -> None:
    window = Window()
    for second in range(1000):
        window.move(second)
        window.take(1, second)
    assert window.total == COUNTS_S


def test_more_than_was_taken_counts_from_when_it_is_known() -> None:
    window = Window()
    cell = window.take(10, 0.0)
    window.settle(cell, 10, 15, 30.0)
    window.move(COUNTS_S)
    assert window.total == 5
    window.settle(cell, 10, 3, COUNTS_S)
    assert window.total == 5
