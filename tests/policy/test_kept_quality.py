"""The cheap model answers what a certificate covers, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.usage import Price
from afterbay.policy.kept_quality import (
    LENGTH,
    Duel,
    Explored,
    Kept,
    Standing,
    duel_of,
    explored,
    kept,
    length_gain,
    length_thresholds,
)
from afterbay.policy.plan import Exploring, Route, Shadowing
from afterbay.testing.memory_gateway import alias, snapshot, target

DUEL = Duel("small", "large")
CERTIFIED = Standing("small", "large", threshold=4.0, pairs=500, keep=0.95, confidence=0.9, why="")


def ask(standing: Standing | None, gain: float = 3.0, scorer: str = LENGTH) -> Kept:
    return kept(DUEL, standing, gain, scorer)


@pytest.mark.parametrize(
    ("standing", "rule"),
    [
        (None, "keep: 0 labels, strongest until certified"),
        (Standing("small", "large", pairs=12), "keep: 12 labels, strongest until certified"),
        (Standing("small", "large", pairs=1, needed=90), "keep: 1 label of about 90, strongest until certified"),
        (
            Standing("small", "large", pairs=3, withdrawn_at=1.0),
            "keep: certificate withdrawn, 3 labels since, strongest until certified",
        ),
        (msgspec.structs.replace(CERTIFIED, cheap="tiny"), "keep: 0 labels, strongest until certified"),
        (
            msgspec.structs.replace(CERTIFIED, scorer="ridge@1"),
            "keep: another predictor, strongest until certified",
        ),
    ],
)
def test_without_a_certificate_the_strongest_serves_and_the_rule_says_why(standing: Standing | None, rule: str) -> None:
    found = ask(standing)
    assert (found.alias, found.rule, found.is_cheap) == ("large", rule, False)


@pytest.mark.parametrize(("gain", "taken"), [(3.0, "small"), (4.0, "small"), (4.0001, "large")])
def test_the_threshold_is_the_last_gain_that_goes_to_the_cheap_model(gain: float, taken: str) -> None:
    found = ask(CERTIFIED, gain)
    assert found.alias == taken
    assert found.is_cheap == (taken == "small")
    assert found.rule == ("keep:0.95@0.9 certified" if taken == "small" else "keep: above the certified threshold")
    assert (found.gain, found.threshold) == (gain, 4.0)


@given(st.text(max_size=50), st.text(max_size=50))
def test_longer_texts_are_expected_to_need_the_strong_model_more(one: str, other: str) -> None:
    assert (length_gain(one) < length_gain(other)) == (len(one) < len(other))


def test_thresholds_of_lengths_ascend_and_cover_prompts_of_all_usual_lengths() -> None:
    found = length_thresholds()
    assert list(found) == sorted(set(found))
    assert found[0] < length_gain("Hi") + 0.1
    assert found[-1] > length_gain("x" * 50_000)


def price(dollars: float) -> Price:
    million = int(dollars * 1_000_000)
    return Price(input=million, output=4 * million, cached_input=million, cache_write=million)


def plan(**fields: Any) -> Any:
    models = [
        alias("large", target("a/large", price=price(3))),
        alias("middle", target("a/middle", price=price(1))),
        alias("small", target("a/small", price=price(0.1)), target("b/small", price=price(0.3))),
        alias("free", target("a/free", price=None)),
        alias("vectors", target("a/vectors", price=price(0.01), embeds=True)),
    ]
    return snapshot(*models)


@pytest.mark.parametrize(
    ("candidates", "strongest", "found"),
    [
        (("large", "middle", "small", "free"), "large", Duel("small", "large")),
        (("large", "middle"), "large", Duel("middle", "large")),
        ((), "large", Duel("small", "large")),
        (("large", "free"), "large", None),
        (("large",), "large", None),
        (("small", "large"), "small", None),
        (("large", "small"), None, None),
        (("large", "small"), "gone", None),
        (("free", "small"), "free", Duel("small", "free")),
    ],
)
def test_the_two_are_the_strongest_and_the_cheapest_of_known_price(
    candidates: tuple[str, ...], strongest: str | None, found: Duel | None
) -> None:
    duel = duel_of(plan(), Route("auto", candidates=candidates), strongest)
    assert (duel and (duel.cheap, duel.strong)) == (found and (found.cheap, found.strong))


def judged_by(judge: str, *aliases: Any) -> Duel:
    route = Route("auto", candidates=("small", "large"), shadow=Shadowing(0.1, judge))
    duel = duel_of(snapshot(*aliases), route, "large")
    assert duel is not None
    return duel


LARGE, SMALL = alias("large", target("a/large", price=price(3))), alias("small", target("a/small", price=price(1)))
JUDGE, OTHER = alias("judge", target("a/judge")), alias("other", target("a/judge"))


@pytest.mark.parametrize(
    "other",
    [
        judged_by("judge", LARGE, alias("small", target("a/smaller", price=price(1))), JUDGE),
        judged_by("judge", LARGE, alias("small", target("b/small", price=price(1))), JUDGE),
        judged_by("judge", alias("large", target("a/larger", price=price(3))), SMALL, JUDGE),
        judged_by("judge", LARGE, SMALL, alias("judge", target("a/another"))),
        judged_by("other", LARGE, SMALL, OTHER),
        judged_by("", LARGE, SMALL, JUDGE),
    ],
)
def test_what_is_certified_of_other_models_behind_the_same_names_does_not_count(other: Duel) -> None:
    duel = judged_by("judge", LARGE, SMALL, JUDGE)
    assert (other.cheap, other.strong) == (duel.cheap, duel.strong)
    known = msgspec.structs.replace(CERTIFIED, digest=duel.digest)
    assert kept(duel, known, 1.0, LENGTH).is_cheap
    found = kept(other, known, 1.0, LENGTH)
    assert (found.alias, found.rule) == ("large", "keep: 0 labels, strongest until certified")


def test_prices_the_order_of_deployments_and_other_aliases_do_not_make_other_models() -> None:
    one, two = target("a/small", price=price(1)), target("b/small", price=price(0.5))
    first = judged_by("judge", LARGE, alias("small", one, two), JUDGE)
    assert judged_by("judge", JUDGE, OTHER, alias("small", two, one), LARGE) == first
    dearer = alias("small", one, target("b/small", price=price(0.7)))
    assert judged_by("judge", LARGE, dearer, JUDGE) == first


COSTS = {"a": 100, "b": 50, "c": 400, "d": None}


def explore(drawn: float, share: float = 0.3, left: int = 10_000) -> Explored:
    return explored(Exploring(share), "a", ["a", "b", "c", "d"], lambda _: drawn, COSTS, left)


@pytest.mark.parametrize(
    ("drawn", "found"),
    [
        (0.05, Explored("b", 0.1, 0)),
        (0.15, Explored("c", 0.1, 300)),
        (0.25, Explored("a", 0.8)),
        (0.9, Explored("a", 0.8)),
    ],
)
def test_each_of_the_others_has_its_small_part_and_an_unknown_price_none(drawn: float, found: Explored) -> None:
    got = explore(drawn)
    assert (got.alias, got.extra_picousd) == (found.alias, found.extra_picousd)
    assert got.propensity == pytest.approx(found.propensity)


def test_what_costs_more_than_is_left_for_today_is_not_explored() -> None:
    assert explore(0.15, left=299).alias == "a"
    assert explore(0.15, left=299).propensity == pytest.approx(0.9)
    assert explore(0.05, left=0).alias == "b"


def test_nothing_is_explored_where_nobody_asked_for_it() -> None:
    assert explored(None, "a", ["a", "b"], lambda _: 0.0, COSTS, 10) == Explored("a", 1.0)
    assert explore(0.0, share=0.0) == Explored("a", 1.0)
    assert explored(Exploring(0.5), "a", ["a"], lambda _: 0.0, COSTS, 10) == Explored("a", 1.0)


@given(st.floats(0.01, 1.0), st.integers(0, 500))
def test_propensities_add_up_to_one(share: float, left: int) -> None:
    grid = [explore((step + 0.5) / 3000, share, left) for step in range(3000)]
    outcomes = {one.alias: one.propensity for one in grid}
    assert sum(outcomes.values()) == pytest.approx(1.0)
    for name, propensity in outcomes.items():
        assert sum(one.alias == name for one in grid) / len(grid) == pytest.approx(propensity, abs=0.01)


def test_a_standing_without_a_threshold_is_no_certificate() -> None:
    assert not Standing().is_certified
    assert Standing().threshold == -math.inf
    assert CERTIFIED.is_certified
