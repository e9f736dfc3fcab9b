"""The measures of a router, on cases small enough to reckon by hand."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from afterbay.evals.ranking import MEASURES, Column, Costs, auc, ranked

WEAK = np.array([1.0, 1.0, 0.0, 0.0])
STRONG = np.array([1.0, 1.0, 1.0, 1.0])
BEST = np.array([0.0, 0.0, 1.0, 1.0])


def measured(scores: Column, weak: Column, strong: Column, costs: Costs = Costs()) -> dict[str, float]:  # noqa: B008
    order = ranked(np.arange(len(scores)), scores, strong, weak)
    return dict(zip(MEASURES, order.measured(costs).tolist(), strict=True))


def test_a_perfect_router_recovers_more_of_the_gap_than_the_worst_one() -> None:
    assert measured(BEST, WEAK, STRONG)["apgr"] == pytest.approx(0.75)
    assert measured(-BEST, WEAK, STRONG)["apgr"] == pytest.approx(0.25)


def test_chance_recovers_half_of_the_gap() -> None:
    draw = np.random.default_rng(0)
    weak, strong = draw.integers(0, 2, 4000).astype(float), np.ones(4000)
    found = measured(np.zeros(4000), weak, strong)
    assert found["apgr"] == pytest.approx(0.5, abs=0.02)
    assert found["cpt50"] == pytest.approx(50, abs=3)


def test_the_least_share_that_recovers_some_of_the_gap() -> None:
    assert measured(BEST, WEAK, STRONG)["cpt50"] == 25
    assert measured(BEST, WEAK, STRONG)["cpt80"] == 50
    assert measured(-BEST, WEAK, STRONG)["cpt50"] == 75


def test_what_is_saved_counts_the_weak_calls() -> None:
    """Half of the calls go to the strong model; a cascade pays the weak one for those, too."""
    found = measured(BEST, WEAK, STRONG, Costs(10.0, 1.0))
    assert found["saved_at_95"] == found["saved_at_98"] == pytest.approx(1 - (0.5 + 0.05))
    found = measured(BEST, WEAK, STRONG, Costs(10.0, 1.0, weak_always=True))
    assert found["saved_at_95"] == found["saved_at_98"] == pytest.approx(1 - (0.5 + 0.1))


def test_a_weak_model_that_is_good_enough_saves_all_but_its_own_price() -> None:
    weak, strong = np.array([1.0] * 99 + [0.0]), np.ones(100)
    for weak_always in (False, True):
        costs = Costs(10.0, 1.0, weak_always=weak_always)
        assert measured(strong - weak, weak, strong, costs)["saved_at_98"] == pytest.approx(0.9)


def test_the_area_is_the_chance_of_the_right_order() -> None:
    positive = BEST > 0
    assert auc(BEST, positive) == 1
    assert auc(-BEST, positive) == 0
    assert auc(np.zeros(4), positive) == 0.5
    assert auc(np.array([1.0, 3.0, 2.0, 4.0]), positive) == 0.75
    assert np.isnan(auc(BEST, np.ones(4, bool)))


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_any_scores_have_shares_for_measures_or_there_is_no_gap(rows: list[tuple[int, bool, bool]]) -> None:
    scores, weak, strong = (np.array(column, float) for column in zip(*rows, strict=True))
    found = measured(scores, weak, strong)
    if strong.mean() <= weak.mean():
        assert all(np.isnan(one) for one in found.values())
        return
    assert 0 <= found["cpt50"] <= found["cpt80"] <= 100
    assert found["saved_at_98"] <= found["saved_at_95"] <= 1
