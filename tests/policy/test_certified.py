"""What a route's pairs certify, and when they do not any more."""

from __future__ import annotations

import random

import pytest

from afterbay.policy.certified import Judged, certified
from afterbay.policy.kept_quality import LENGTH, Duel, Standing, length_thresholds

DUEL = Duel("small", "large")


def pairs(count: int, seed: int = 1, *, good: float = 0.99, from_s: float = 1.0) -> list[Judged]:
    """Requests of all lengths: up to a gain of 6 the cheap answer is as good in `good` of them, beyond in half."""
    draws = random.Random(seed)
    found = []
    for number in range(count):
        gain = draws.uniform(2.0, 9.0)
        is_good = draws.random() < (good if gain < 6 else 0.5)
        found.append(Judged(from_s + number, gain, float(is_good), 1.0, 1, 100))
    return found


def standing(some: list[Judged], withdrawn_at: float = 0.0, keep: float = 0.9) -> Standing:
    return certified(DUEL, keep, 0.9, LENGTH, length_thresholds(), some, withdrawn_at)


def test_without_pairs_nothing_is_certified() -> None:
    found = standing([])
    assert (found.is_certified, found.pairs, found.made_at) == (False, 0, 0.0)
    assert "no labels yet" in found.why


def test_with_enough_pairs_as_much_is_certified_as_the_cheap_model_is_good_for() -> None:
    few, many = standing(pairs(20)), standing(pairs(600))
    assert not few.is_certified
    assert few.needed is not None
    assert few.needed > 20
    assert many.is_certified
    assert 5.0 < many.threshold < 8.0
    assert many.floor >= 0.9
    assert (many.cheap, many.strong, many.scorer, many.pairs) == ("small", "large", LENGTH, 600)
    assert 0.4 < many.routed < 0.8
    assert many.saved == pytest.approx(many.routed * 0.99)


def test_the_same_pairs_give_the_same_standing() -> None:
    assert standing(pairs(300)) == standing(pairs(300))


def test_pairs_from_before_a_withdrawal_do_not_count() -> None:
    assert standing(pairs(600), withdrawn_at=590.0).pairs == 10
    assert not standing(pairs(600), withdrawn_at=590.0).is_certified


def test_pairs_that_turn_bad_withdraw_it_and_those_after_begin_anew() -> None:
    good, bad = pairs(500), pairs(150, seed=2, good=0.2, from_s=501.0)
    found = standing(good + bad)
    assert 501.0 < found.withdrawn_at < 600.0
    assert found.pairs == 650 - int(found.withdrawn_at)
    assert found.why.startswith("withdrawn: ")
    assert found.threshold < standing(good).threshold - 2
    again = standing(good + bad + pairs(700, seed=3, from_s=651.0))
    assert again.withdrawn_at == found.withdrawn_at
    assert again.threshold > found.threshold


def test_a_cheap_model_that_is_hardly_ever_good_gets_no_more_than_quality_allows() -> None:
    found = standing(pairs(800, good=0.3))
    assert found.routed < 0.15


def test_what_is_never_asked_for_is_no_certificate() -> None:
    same = [Judged(float(number), 5.0, 0.0, 1.0) for number in range(1, 400)]
    found = standing(same)
    assert not found.is_certified
    assert found.floor == 1.0


@pytest.mark.parametrize("keep", [1.0, 0.9999999, 0.9999994, 0.95, 1e-9])
def test_every_share_that_a_route_may_keep_can_be_worked_out(keep: float) -> None:
    assert keep <= standing(pairs(300), keep=keep).floor <= 1.0


def test_all_of_the_quality_is_kept_where_the_cheap_model_is_the_better_one() -> None:
    draws = random.Random(3)
    better = [Judged(float(n), 1.0, 1.0, float(draws.random() < 0.6), 1, 100) for n in range(400)]
    found = standing(better, keep=1.0)
    assert (found.is_certified, found.floor) == (True, 1.0)
