"""Percentiles that add up: near the exact ones whatever the distribution, equal however they were cut."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.policy.sketch import BOUNDS, FIRST_S, LAST_S, Sketch, added, step_of

DURATIONS = st.lists(st.floats(0.0002, 50_000.0), min_size=1, max_size=200)


def sketch(durations: list[float]) -> Sketch:
    found = Sketch()
    for one in durations:
        found.note(one)
    return found


@settings(deadline=None)
@given(DURATIONS, st.floats(0.01, 1.0))
def test_a_quantile_is_within_one_percent_of_the_exact_one(durations: list[float], share: float) -> None:
    exact = sorted(durations)[max(1, math.ceil(share * len(durations))) - 1]
    assert sketch(durations).quantile(share) == pytest.approx(exact, rel=0.0101)


@settings(deadline=None)
@given(DURATIONS, DURATIONS)
def test_adding_two_is_having_noted_all_in_one(some: list[float], others: list[float]) -> None:
    both = added([sketch(some), sketch(others)])
    whole = sketch(some + others)
    assert both.counts == whole.counts
    assert both.total == whole.total == len(some) + len(others)


@settings(deadline=None)
@given(DURATIONS)
def test_what_was_kept_comes_back(durations: list[float]) -> None:
    kept = sketch(durations)
    assert Sketch(kept.counts.items()).counts == kept.counts


def test_a_step_given_twice_is_added() -> None:
    assert Sketch([(5, 2), (5, 3)]).counts == {5: 5}


def test_without_a_duration_there_is_no_quantile() -> None:
    assert Sketch().quantile(0.5) is None


@pytest.mark.parametrize("seconds", [0.0, -1.0, FIRST_S])
def test_what_is_shorter_than_the_first_step_is_in_it(seconds: float) -> None:
    assert step_of(seconds) == 0
    assert sketch([seconds]).quantile(0.5) == FIRST_S


def test_what_is_longer_than_the_last_step_is_in_it() -> None:
    assert step_of(1e12) == len(BOUNDS) - 1
    assert sketch([1e12]).quantile(1.0) == pytest.approx(LAST_S, rel=0.03)


def test_a_bound_belongs_to_the_step_that_it_ends() -> None:
    assert [step_of(BOUNDS[7]), step_of(math.nextafter(BOUNDS[7], 1.0))] == [7, 8]
