"""What a request may have while a budget empties: the ladders, and what holds for all of them."""

from __future__ import annotations

from itertools import combinations_with_replacement

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.config.schema import BudgetConfig
from afterbay.policy.budget import LADDERS, STEPS, Candidate, Ladder, Ladders, OnExceeded, Spend, spend
from afterbay.policy.lanes import PRIORITIES, Priority

HUNDRED = 100_000
STRONG, MIDDLE, SMALL = Candidate("strong", 1_000), Candidate("middle", 200), Candidate("small", 10)
ALL = (STRONG, MIDDLE, SMALL)
WORDS: tuple[OnExceeded, ...] = ("refuse", "downgrade", "cache", "defer")


def of(left: int, priority: Priority = "normal", on: OnExceeded = "refuse", *candidates: Candidate) -> Spend:
    return spend(candidates or ALL, left, HUNDRED, priority, on)


@pytest.mark.parametrize(
    ("left", "low", "normal", "high"),
    [
        (100_000, ("free", "strong middle small"), ("free", "strong middle small"), ("free", "strong middle small")),
        (99_000, ("thrifty", "small middle"), ("free", "strong middle small"), ("free", "strong middle small")),
        (40_000, ("cheapest", "small"), ("free", "strong middle small"), ("free", "strong middle small")),
        (20_000, ("cheapest", "small"), ("thrifty", "small middle strong"), ("free", "strong middle small")),
        (15_000, ("cache", ""), ("thrifty", "small middle strong"), ("free", "strong middle small")),
        (9_000, ("defer", ""), ("cheapest", "small"), ("free", "strong middle small")),
        (900, ("defer", ""), ("cheapest", "small"), ("free", "middle small")),
        (9, ("refuse", ""), ("refuse", ""), ("refuse", "")),
    ],
)
def test_each_priority_steps_down_its_own_ladder(
    left: int, low: tuple[str, str], normal: tuple[str, str], high: tuple[str, str]
) -> None:
    got = {p: of(left, p) for p in PRIORITIES}
    assert {p: (one.step, " ".join(one.targets)) for p, one in got.items()} == {
        "low": low,
        "normal": normal,
        "high": high,
    }


@pytest.mark.parametrize(
    ("on", "step", "targets"),
    [
        ("refuse", "refuse", ()),
        ("downgrade", "cheapest", ("small",)),
        ("cache", "cache", ()),
        ("defer", "defer", ()),
    ],
)
@pytest.mark.parametrize("left", [0, -500])
def test_the_budgets_own_word_holds_when_nothing_is_left(
    on: OnExceeded, step: str, targets: tuple[str, ...], left: int
) -> None:
    for priority in ("normal", "high"):
        got = of(left, priority, on)
        assert (got.step, got.targets) == (step, targets)
        assert on in got.why


def test_low_priority_stays_on_its_lower_step_when_nothing_is_left() -> None:
    assert of(0, "low", "downgrade").step == "defer"
    assert of(0, "low", "refuse").step == "refuse"


def test_every_word_of_the_configuration_is_one_of_the_policy() -> None:
    for word in WORDS:
        assert BudgetConfig(usd=1, on_exceeded=word).on_exceeded == word
        assert of(0, "normal", word).step in STEPS


@pytest.mark.parametrize("priority", PRIORITIES)
@pytest.mark.parametrize("on", WORDS)
def test_what_costs_nothing_is_asked_whatever_is_left(priority: Priority, on: OnExceeded) -> None:
    got = of(-1, priority, on, STRONG, Candidate("local", 0))
    assert got.targets == ("local",)


@pytest.mark.parametrize("left", [0, 1_000])
def test_an_unknown_price_counts_as_the_dearest_and_never_as_nothing(left: int) -> None:
    unknown = Candidate("new", None)
    assert of(left, "normal", "refuse", unknown, Candidate("local", 0)).targets == ("local",)
    assert of(0, "high", "refuse", unknown).step == "refuse"
    assert of(50_000, "normal", "refuse", unknown).targets == ("new",)
    assert of(500, "high", "refuse", unknown, STRONG, SMALL).targets == ("small",)


def test_a_full_budget_says_nothing_and_an_emptying_one_says_why() -> None:
    assert of(HUNDRED).why == ""
    assert of(20_000).why == "budget: 20% is left, normal priority: the cheapest target first"


def test_a_budget_of_nothing_is_used_up() -> None:
    assert spend(ALL, 0, 0, "high", "refuse").step == "refuse"


def test_without_candidates_there_is_nothing_to_order() -> None:
    assert spend((), HUNDRED, HUNDRED, "high", "refuse") == Spend("free", ())


@pytest.mark.parametrize("wrong", [{"cache": 0.5}, {"thrifty": 1.1}, {"takes": 0.0}, {"defer": -0.1}, {"takes": 1.1}])
def test_a_ladder_only_goes_down(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a ladder goes down"):
        Ladder(**wrong)


def test_no_priority_may_step_down_before_a_lower_one() -> None:
    with pytest.raises(ValueError, match="before a lower one"):
        Ladders(high=Ladder(thrifty=0.9))
    with pytest.raises(ValueError, match="before a lower one"):
        Ladders(low=Ladder(thrifty=1, cheapest=0.5, cache=0.2, defer=0.1, takes=0.5))


def rungs(shares: list[float], takes: float) -> Ladder:
    defer, cache, cheapest, thrifty = sorted(shares)
    return Ladder(thrifty, cheapest, cache, defer, takes)


@st.composite
def ladders(draw: st.DrawFn) -> Ladders:
    """Three ladders of which none steps down before a lower one."""
    share = st.integers(0, 100).map(lambda percent: percent / 100)
    lists = [sorted(draw(st.lists(share, min_size=4, max_size=4))) for _ in PRIORITIES]
    takes = sorted(draw(st.lists(st.integers(1, 100), min_size=3, max_size=3)))
    low, normal, high = ([sorted(of, reverse=True)[at] for of in zip(*lists, strict=True)] for at in range(3))
    return Ladders(rungs(low, takes[0] / 100), rungs(normal, takes[1] / 100), rungs(high, takes[2] / 100))


COSTS = st.lists(st.one_of(st.integers(0, 2_000), st.none()), min_size=1, max_size=6)
MONEY = st.integers(-100, HUNDRED)


def candidates(costs: list[int | None]) -> tuple[Candidate, ...]:
    return tuple(Candidate(f"t{at}", cost) for at, cost in enumerate(costs))


def cost_of(costs: list[int | None]) -> dict[str, int]:
    dearest = max(1, *(cost or 0 for cost in costs), 0)
    return {f"t{at}": dearest if cost is None else cost for at, cost in enumerate(costs)}


@given(COSTS, MONEY, MONEY, st.sampled_from(PRIORITIES), st.sampled_from(WORDS), ladders())
def test_less_money_never_gives_a_dearer_plan(
    costs: list[int | None], one: int, other: int, priority: Priority, on: OnExceeded, rules: Ladders
) -> None:
    little, much = (spend(candidates(costs), left, HUNDRED, priority, on, rules) for left in sorted((one, other)))
    known = cost_of(costs)
    assert STEPS.index(little.step) >= STEPS.index(much.step)
    assert set(little.targets) <= set(much.targets)
    if little.targets:
        assert known[little.targets[0]] <= known[much.targets[0]]


@given(COSTS, MONEY, st.sampled_from(WORDS), ladders())
def test_no_priority_is_served_worse_than_a_lower_one(
    costs: list[int | None], left: int, on: OnExceeded, rules: Ladders
) -> None:
    got = [spend(candidates(costs), left, HUNDRED, priority, on, rules) for priority in PRIORITIES]
    for worse, better in combinations_with_replacement(got, 2):
        assert STEPS.index(worse.step) >= STEPS.index(better.step)
        assert set(worse.targets) <= set(better.targets)


@given(COSTS, MONEY, st.sampled_from(PRIORITIES), st.sampled_from(WORDS), ladders())
def test_no_target_costs_more_than_is_left_but_by_the_operators_word(
    costs: list[int | None], left: int, priority: Priority, on: OnExceeded, rules: Ladders
) -> None:
    got, known = spend(candidates(costs), left, HUNDRED, priority, on, rules), cost_of(costs)
    assert all(known[name] <= max(0, left) for name in got.targets) or on == "downgrade"
    assert bool(got.targets) == (got.step in ("free", "thrifty", "cheapest"))


def test_the_default_ladders_are_ladders() -> None:
    assert [LADDERS.of(priority) for priority in PRIORITIES] == [LADDERS.low, LADDERS.normal, LADDERS.high]
