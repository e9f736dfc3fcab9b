"""The measures of a router, on cases small enough to reckon by hand."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from afterbay.evals.curve import apgr, auc, cpt, curve, saved_at

WEAK = np.array([1.0, 1.0, 0.0, 0.0])
STRONG = np.array([1.0, 1.0, 1.0, 1.0])
BEST = np.array([0.0, 0.0, 1.0, 1.0])


def test_the_curve_goes_from_the_weak_models_level_to_the_strong_ones() -> None:
    line = curve(BEST, WEAK, STRONG)
    assert line.share.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert line.quality.tolist() == [0.5, 0.75, 1, 1, 1]


def test_a_perfect_router_recovers_more_of_the_gap_than_the_worst_one() -> None:
    assert apgr(BEST, WEAK, STRONG) == pytest.approx(0.75)
    assert apgr(-BEST, WEAK, STRONG) == pytest.approx(0.25)


def test_chance_recovers_half_of_the_gap() -> None:
    draw = np.random.default_rng(0)
    weak, strong = draw.integers(0, 2, 4000).astype(float), np.ones(4000)
    assert apgr(np.zeros(4000), weak, strong) == pytest.approx(0.5, abs=0.02)
    assert cpt(np.zeros(4000), weak, strong, 0.5) == pytest.approx(0.5, abs=0.03)


def test_models_that_are_equally_good_have_no_gap() -> None:
    assert math.isnan(apgr(BEST, WEAK, WEAK))


def test_the_least_share_that_recovers_some_of_the_gap() -> None:
    assert cpt(BEST, WEAK, STRONG, 0.5) == 0.25
    assert cpt(BEST, WEAK, STRONG, 1.0) == 0.5
    assert cpt(-BEST, WEAK, STRONG, 0.5) == 0.75


def test_what_is_saved_counts_the_weak_calls() -> None:
    """Half of the calls go to the strong model; a cascade pays the weak one for those, too."""
    costs = {"strong_cost": 10.0, "weak_cost": 1.0}
    assert saved_at(BEST, WEAK, STRONG, 1.0, **costs) == pytest.approx(1 - (0.5 + 0.05))
    assert saved_at(BEST, WEAK, STRONG, 1.0, **costs, is_cascade=True) == pytest.approx(1 - (0.5 + 0.1))
    assert saved_at(BEST, WEAK, STRONG, 0.5, **costs, is_cascade=True) == pytest.approx(0.9)


def test_the_area_is_the_chance_of_the_right_order() -> None:
    positive = BEST > 0
    assert auc(BEST, positive) == 1
    assert auc(-BEST, positive) == 0
    assert auc(np.zeros(4), positive) == 0.5
    assert auc(np.array([1.0, 3.0, 2.0, 4.0]), positive) == 0.75
    assert math.isnan(auc(BEST, np.ones(4, bool)))


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_no_scores_make_a_curve_that_does_not_end_at_the_strong_models_level(
    rows: list[tuple[int, bool, bool]],
) -> None:
    scores, weak, strong = (np.array(column, float) for column in zip(*rows, strict=True))
    line = curve(scores, weak, strong)
    assert line.quality[0] == pytest.approx(weak.mean())
    assert line.quality[-1] == pytest.approx(strong.mean())
    assert 0 <= cpt(scores, weak, strong, 0.5) <= 1
