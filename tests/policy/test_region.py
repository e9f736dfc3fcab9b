"""Regions: how near two are by their names, and how much nearness counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tests.policy.test_condition import attempt, down, fresh, slow
from tests.policy.test_order import NOW, prompt, quick

from afterbay.core.chance import draw
from afterbay.core.decision import Target
from afterbay.policy.balance import DEARER, UNSEEN_S, Here, balanced
from afterbay.policy.condition import Condition
from afterbay.policy.order import arrange
from afterbay.policy.region import area_of, distance
from afterbay.testing.memory_gateway import target

A = target("a/m", region="eu-west-1")
B = target("b/m", region="europe-west4")
C = target("c/m", region="us-east-1")
D = target("d/m")
EU = Here("eu-west-1")

NAMES = ["eu", "eu-west-1", "europe-west4", "westeurope", "us", "us-east-1", "eastus2", "ap-southeast-2", "frankfurt-2"]


# Names


@pytest.mark.parametrize(
    ("area", "names"),
    [
        (
            "eu",
            "eu EU europe eu-west-1 europe-west4 westeurope northeurope swedencentral germanywestcentral uksouth de",
        ),
        (
            "us",
            "us usa us-east-1 us-gov-west-1 us-central1 eastus2 southcentralus usgovvirginia northamerica-northeast1",
        ),
        ("us", "canadacentral ca-central-1 United-States"),
        ("sa", "sa-east-1 southamerica-east1 brazilsouth"),
        ("ap", "ap-southeast-2 asia-east2 australia-southeast1 southeastasia japaneast koreacentral centralindia"),
        ("me", "me-central1 uaenorth il-central-1"),
        ("af", "af-south-1 africa-south1 southafricanorth"),
        ("cn", "cn-north-1 chinaeast2"),
        ("frankfurt", "frankfurt frankfurt-2"),
    ],
)
def test_regions_of_all_clouds_are_in_their_areas(area: str, names: str) -> None:
    assert {name: area_of(name) for name in names.split()} == dict.fromkeys(names.split(), area)


@pytest.mark.parametrize(
    ("home", "region", "told"),
    [
        ("eu-west-1", "eu-west-1", "here"),
        ("eu-west-1", " EU_West_1 ", "here"),
        ("eu-west-1", "eu-west-1b", "here"),
        ("europe-west4-c", "europe-west4", "here"),
        ("eu-west-1", "europe-west1", "near"),
        ("eu-west-1", "eu", "near"),
        ("eu", "eu-west-1", "here"),
        ("Europe", "westeurope", "here"),
        ("germanywestcentral", "eu", "near"),
        ("frankfurt-2", "frankfurt-1", "near"),
        ("frankfurt-2", "eu-central-1", "far"),
        ("eu-west-1", "us-west-1", "far"),
        ("eu-west-1", "eu-west-10", "near"),
        ("us-east-1", "global", "near"),
        ("global", "global", "here"),
        ("eu-west-1", None, "far"),
        ("eu-west-1", "  ", "far"),
        ("123", "123", "here"),
        ("123", "456", "far"),
    ],
)
def test_how_near_regions_are(home: str, region: str | None, told: str) -> None:
    assert distance(home, region) == told


@given(st.text(max_size=30), st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_region_and_nearness_is_mutual_but_for_whole_areas(one: str, other: str) -> None:
    there, back = distance(one, other), distance(other, one)
    if one.strip() and other.strip() and "global" not in (one.strip().casefold(), other.strip().casefold()):
        assert (there == "far") == (back == "far")
    if one.strip():
        assert distance(one, one) == "here"


# Order


def shares(
    targets: tuple[Target, ...],
    conditions: Mapping[str, Condition],
    here: Here | None = EU,
    prefix: bytes = b"",
    n: int = 2000,
) -> dict[str, float]:
    first: Counter[str] = Counter()
    for number in range(n):
        order = balanced(targets, conditions, NOW, lambda purpose, n=number: draw(1, purpose, str(n)), prefix, here)
        assert sorted(one.id for one in order) == sorted(one.id for one in targets)
        first[order[0].id[0]] += 1
    return {name: count / n for name, count in first.items()}


def seen(seconds: float) -> Condition:
    """As `quick`, and asked just now."""
    one = quick(seconds)
    one.began(NOW)
    return one


KINDS = st.sampled_from(["none", "quick", "slower", "failing", "down", "slow"])


def made(kind: str) -> Condition | None:
    if kind == "none":
        return None
    if kind in ("down", "slow"):
        return down(100.0) if kind == "down" else slow()
    one = quick(0.3 if kind != "slower" else 3.0)
    if kind == "failing":
        for number in range(100):
            attempt(one, NOW, "failed" if number % 25 == 0 else "ok")
    return one


FLEETS = st.lists(st.tuples(KINDS, st.sampled_from([*NAMES, None]), st.floats(0.1, 8)), min_size=1, max_size=6)


@given(FLEETS, st.sampled_from(NAMES), st.integers(0, 1000), st.booleans(), st.sets(st.integers(0, 5)))
@settings(max_examples=150, deadline=None)
def test_nobody_vanishes_and_one_distance_alone_changes_nothing(
    fleet: list[tuple[str, str | None, float]], home: str, seed: int, long: bool, full: set[int]
) -> None:
    targets = [target(f"{at}/m", region=region, weight=weight) for at, (_, region, weight) in enumerate(fleet)]
    conditions = {t.id: one for t, (kind, _, _) in zip(targets, fleet, strict=True) if (one := made(kind)) is not None}
    prefix = prompt(seed) if long else b""

    def order(those: list[Target], here: Here | None) -> list[str]:
        said = balanced(those, conditions, NOW, lambda purpose: draw(seed, purpose, "x"), prefix, here)
        return [one.id for one in said]

    here = Here(home, frozenset(str(at) for at in full))
    assert sorted(order(targets, here)) == sorted(one.id for one in targets)
    plain = [target(one.id, weight=one.weight) for one in targets]
    assert order(plain, here) == order(plain, None) == order(targets, None)


def test_the_nearest_is_asked_first_and_the_others_follow_by_distance() -> None:
    conditions = {"a/m": seen(0.3), "b/m": seen(0.3), "c/m": seen(0.3), "d/m": seen(0.3)}
    assert shares((D, C, B, A), conditions) == {"a": 1.0}
    order = balanced((D, C, B, A), conditions, NOW, lambda purpose: draw(2, purpose, "x"), b"", EU)
    assert [one.id[0] for one in order[:2]] == ["a", "b"]
    assert shares((D, C, B), conditions) == {"b": 1.0}
    assert shares((D, C, B, A), {}) == pytest.approx({"a": 0.95, "b": 0.05}, abs=0.02), "nobody knows the others yet"


def test_inside_a_region_weights_and_load_decide_as_ever() -> None:
    heavy = target("b/m", region="eu-west-1", weight=3.0)
    alike = {"a/m": quick(0.3), "b/m": quick(0.3), "c/m": seen(0.2)}
    found = shares((A, heavy, C), alike)
    assert found["b"] == pytest.approx(0.75, abs=0.04)
    assert "c" not in found
    found = shares((A, heavy, C), {"a/m": seen(0.3), "b/m": seen(3.0), "c/m": seen(0.3)})
    assert found["a"] > 0.9


@pytest.mark.parametrize(
    ("took", "least", "most"),
    [(0.74, 1.0, 1.0), (0.78, 0.85, 0.99), (1.5, 0.2, 0.3), (30.0, 0.03, 0.07)],
)
def test_traffic_moves_over_by_degrees_as_the_region_slows(took: float, least: float, most: float) -> None:
    """A far one at 0.3 s counts as 0.75 s."""
    assert DEARER["far"] * 0.3 == pytest.approx(0.75)
    assert least <= shares((A, C), {"a/m": seen(took), "c/m": seen(0.3)}).get("a", 0.0) <= most


def test_one_slow_answer_or_many_requests_send_nobody_away() -> None:
    once = seen(0.3)
    trial = once.began(NOW - 3)
    trial.answered(NOW)
    busy = quick(0.3, busy=200)
    for one in (once, busy):
        assert shares((A, C), {"a/m": one, "c/m": seen(0.3)}) == {"a": 1.0}


def test_a_region_whose_places_are_taken_lets_others_help() -> None:
    conditions = {"a/m": seen(0.3), "b/m": seen(0.3), "c/m": seen(0.3)}
    assert shares((A, B, C), conditions, Here("eu-west-1", frozenset({"a"}))) == {"b": 1.0}
    assert shares((A, C), conditions, Here("eu-west-1", frozenset({"a", "c"}))) == {"a": 1.0}


def test_a_region_that_is_out_is_left_at_once() -> None:
    conditions = {"a/m": down(100.0), "b/m": down(100.0), "c/m": seen(3.0)}
    assert shares((A, B, C), conditions) == {"c": 1.0}
    conditions["c/m"] = down(100.0)
    assert shares((A, C), conditions) == {"a": 1.0}, "nobody is well: as near as possible"


def test_a_farther_one_that_nobody_asked_is_asked_now_and_then_and_not_again_for_a_minute() -> None:
    unseen = quick(0.3)
    unseen.began(NOW - UNSEEN_S)
    assert 0.03 < shares((A, C), {"a/m": seen(0.3), "c/m": unseen})["c"] < 0.07
    assert "c" not in shares((A, C), {"a/m": seen(0.3), "c/m": seen(0.3)})


def test_a_long_prompt_stays_in_the_region_and_its_conversation_is_not_torn() -> None:
    near = target("b/m", region="eu-west-1")
    conditions = {"a/m": seen(0.3), "b/m": seen(0.3), "c/m": seen(0.3)}
    found = [shares((A, near, C), conditions, prefix=prompt(number), n=5) for number in range(60)]
    assert {len(one) for one in found} == {1}
    assert {name for one in found for name in one} == {"a", "b"}
    conditions = {"a/m": seen(1.2), "c/m": seen(0.3)}
    found = [shares((A, C), conditions, prefix=prompt(number), n=5) for number in range(200)]
    assert {len(one) for one in found} == {1}, "a part of the conversations goes over, each as a whole"
    assert 0.25 < sum("a" in one for one in found) / 200 < 0.55


# In time


def course(seconds: float, rate: float, took: Mapping[str, object], home: str = "eu-west-1") -> list[tuple[float, str]]:
    """Who answered when. `took(name, now)`: how long it takes; None: it fails at once, and the next one is asked."""
    conditions: dict[str, Condition] = {}
    ends: list[tuple[float, Condition, object]] = []
    served: list[tuple[float, str]] = []
    for number in range(int(seconds * rate)):
        now = number / rate
        for end in sorted((one for one in ends if one[0] <= now), key=lambda one: one[0]):
            end[2].answered(end[0])  # type: ignore[attr-defined]
            end[2].ended(end[0], "ok")  # type: ignore[attr-defined]
        ends = [one for one in ends if one[0] > now]
        say = lambda purpose, n=number: draw(7, purpose, str(n))  # noqa: E731
        order = balanced((A, C), conditions, now, say, b"", Here(home))
        for one in arrange(order, {}, conditions, now).targets:
            if one.id not in conditions:
                conditions[one.id] = fresh()
            trial = conditions[one.id].began(now)
            seconds_ = took[one.id[0]](now)  # type: ignore[operator]
            if seconds_ is None:
                trial.ended(now, "failed")
                continue
            ends.append((now + seconds_, conditions[one.id], trial))
            served.append((now, one.id[0]))
            break
    return served


def share_of(served: list[tuple[float, str]], name: str, start: float, end: float) -> float:
    inside = [who for at, who in served if start <= at < end]
    return inside.count(name) / len(inside)


@pytest.mark.parametrize("rate", [2.0, 50.0])
def test_a_lost_region_sends_all_to_the_other_and_has_it_back_after_recovery(rate: float) -> None:
    def local(now: float) -> float | None:
        return None if 120 <= now < 420 else 0.3

    served = course(900, rate, {"a": local, "c": lambda now: 0.4})
    assert len(served) == 900 * rate, "no request was lost"
    assert share_of(served, "a", 0, 120) > 0.97
    assert share_of(served, "c", 120 + 10 / rate, 420) == 1.0
    back = next(at for at, who in served if at >= 420 and who == "a")
    assert back < 420 + 300, "an ejection lasts no longer"
    assert share_of(served, "a", back + 30, 900) > 0.97
    turns = sum(one[1] != other[1] for one, other in pairwise(served))
    assert turns <= 0.02 * len(served) + 10, "nobody is sent back and forth"


def test_a_region_that_slows_with_its_traffic_finds_a_balance_and_does_not_swing() -> None:
    """A local engine that takes 30 requests a second, and is offered 60: it slows until the rest goes elsewhere."""
    recent: list[float] = []

    def local(now: float) -> float:
        recent.append(now)
        last = sum(at > now - 2 for at in recent[-200:]) / 2
        return 0.3 + 0.08 * max(last - 30, 0)

    served = course(600, 60, {"a": local, "c": lambda now: 0.4})
    by_ten = [share_of(served, "a", at, at + 10) for at in range(120, 600, 10)]
    assert max(by_ten) - min(by_ten) < 0.35
    assert 0.4 < sum(by_ten) / len(by_ten) < 0.9
