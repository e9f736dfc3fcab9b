"""Who is asked first: the cheapest that may serve, and somebody to escalate to behind it."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from tests.policy.test_route import ids, order

from afterbay.core.decision import Decision, Target
from afterbay.core.usage import Price
from afterbay.policy.cascade import Cascading, accepted, escalated, is_checked, led_by_cheapest
from afterbay.policy.facts import Facts
from afterbay.policy.names import Found
from afterbay.policy.plan import Route
from afterbay.policy.route import World
from afterbay.testing.memory_gateway import alias, snapshot, target

FACTS = Facts(10.0)


def price(dollars: float) -> Price:
    each = int(dollars * 1_000_000)
    return Price(input=each, output=2 * each, cached_input=each, cache_write=each)


PRICES = {"small": price(0.1), "middle": price(1), "big": price(10), "odd": None}


def decide(route: dict[str, Any], *, prices: dict[str, Price | None] = PRICES, **fields: Any) -> Decision:
    names = list(prices)
    plan = snapshot(*(alias(name, target(f"p/{name}", price=prices[name], **fields.pop(name, {}))) for name in names))
    made = Route("auto", **{"candidates": tuple(names), "cascade": Cascading()} | route)
    asked = {"facts": FACTS, "input_tokens": 10, "features": frozenset()} | fields
    return order(plan, Found(route=made), made, requested="auto", **asked)


@pytest.mark.parametrize(
    ("route", "asked", "cheap"),
    [
        ({"complexity": {"low": "big"}}, ["p/small", "p/big"], ("p/small",)),
        ({"complexity": {"low": "middle"}, "fallback": ("big",)}, ["p/small", "p/middle", "p/big"], ("p/small",)),
        ({"complexity": {"low": "small", "high": "big"}}, ["p/small", "p/big"], ("p/small",)),
        ({"complexity": {"low": "small"}, "fallback": ("middle",)}, ["p/small", "p/middle"], ("p/small",)),
        ({"complexity": {"low": "small"}}, ["p/small"], ()),
        ({"complexity": {"low": "odd"}}, ["p/small", "p/odd"], ("p/small",)),
        ({"complexity": {"low": "big"}, "candidates": ("big", "odd")}, ["p/big"], ()),
        (
            {"complexity": {"low": "small"}, "fallback": ("odd", "middle")},
            ["p/small", "p/odd", "p/middle"],
            ("p/small",),
        ),
        ({"complexity": {"low": "small", "high": "odd"}}, ["p/small", "p/odd"], ("p/small",)),
        ({"complexity": {"low": "big"}, "cascade": None}, ["p/big"], ()),
        ({"complexity": {"low": "big"}, "fallback": ("small",)}, ["p/small", "p/big"], ("p/small",)),
    ],
)
def test_the_cheapest_is_asked_first_and_somebody_stronger_behind_it(
    route: dict[str, Any], asked: list[str], cheap: tuple[str, ...]
) -> None:
    decision = decide(route)
    assert ids(decision) == asked
    assert decision.cheap == cheap
    assert decision.reason == "complexity:low"


def test_a_filter_that_removes_the_cheapest_leaves_the_next_one() -> None:
    decision = decide(
        {"complexity": {"low": "big"}}, small={"context_tokens": 5}, input_tokens=100, features=frozenset()
    )
    assert decision.cheap == ("p/middle",)


def test_equal_prices_leave_the_pick_where_it_is() -> None:
    prices = {"big": price(1), "small": price(1)}
    decision = decide({"complexity": {"low": "big"}}, prices=prices)
    assert (ids(decision), decision.cheap) == (["p/big"], ())


def test_who_is_ill_is_not_asked_first() -> None:
    decision = decide({"complexity": {"low": "big"}}, world=World({"p/small": 200.0}))
    assert ids(decision) == ["p/big", "p/small"]
    assert not is_checked(decision, decision.targets[1]), "behind it nobody is left who could do better"


def test_a_model_that_is_asked_for_by_name_is_the_one() -> None:
    plan = snapshot(
        alias("big", target("p/big", price=price(10)), fallback=("small",)),
        alias("small", target("p/small", price=price(1))),
    )
    route = Route("defaults", cascade=Cascading())
    decision = order(plan, Found(alias=plan.aliases["big"]), route, facts=FACTS)
    assert (ids(decision), decision.cheap) == (["p/big", "p/small"], ())


def test_a_long_prompt_may_change_who_is_cheapest() -> None:
    reads = Price(input=1, output=1_000_000, cached_input=1, cache_write=1)
    writes = Price(input=1_000_000, output=1, cached_input=1, cache_write=1)
    prices = {"big": price(100), "reads": reads, "writes": writes}
    route = {"complexity": {"low": "big"}}
    assert decide(route, prices=prices, input_tokens=10, features=frozenset()).cheap == ("p/writes",)
    assert decide(route, prices=prices, input_tokens=9000, features=frozenset()).cheap == ("p/reads",)


def test_an_alias_costs_what_its_dearest_deployment_does() -> None:
    costs = {"a/x": 1, "b/x": 100, "c/y": 50, "d/z": 70}
    x, more, y, z = (target(name, alias=name[2:]) for name in costs)
    led = led_by_cheapest([z], [x, more, y, z], [], lambda one: costs[one.id])
    assert (led.targets, led.cheap) == ((y, z), ("c/y",))


def test_a_price_that_nobody_knows_is_no_sign_of_strength() -> None:
    costs = {"a/small": 1, "b/odd": None, "c/big": 9}
    small, odd, big = (target(name, alias=name[2:]) for name in costs)
    led = led_by_cheapest([small, odd, big], [small], [], lambda one: costs[one.id])
    assert led.targets == (small, big, odd), "who is known to cost more is escalated to"
    assert led_by_cheapest([small, odd], [small], [], lambda one: costs[one.id]).cheap == ()
    named = led_by_cheapest([small, odd, big], [small], [odd], lambda one: costs[one.id])
    assert (named.targets, named.cheap) == ((small, odd, big), ("a/small",)), "but the route's word is one"


def test_what_came_of_it_is_said_before_the_rule() -> None:
    decision = decide({"complexity": {"low": "big"}})
    assert accepted(decision).reason == "cascade: accepted; complexity:low"
    assert escalated(decision, ("arithmetic", "final")).reason == "cascade: arithmetic, final failed; complexity:low"
    assert is_checked(decision, decision.targets[0])
    assert not is_checked(decision, decision.targets[1])
    assert not is_checked(decision, target("p/unheard"))


ALL = [target(f"{provider}/{name}", alias=name) for name in "xyz" for provider in "ab"]
SOME = st.lists(st.sampled_from(ALL), max_size=6, unique_by=lambda one: one.id)


@given(SOME, SOME, SOME, st.dictionaries(st.sampled_from([one.id for one in ALL]), st.none() | st.integers(0, 5)))
def test_nobody_is_lost_or_asked_twice_and_what_is_cheap_costs_least(
    order_: list[Target], candidates: list[Target], strongest: list[Target], costs: dict[str, int | None]
) -> None:
    led = led_by_cheapest(order_, candidates, strongest, lambda one: costs.get(one.id))
    names = [one.id for one in led.targets]
    assert len(set(names)) == len(names)
    assert {one.id for one in order_} <= set(names) <= {one.id for one in (*order_, *candidates, *strongest)}
    if led.cheap:
        assert tuple(names[: len(led.cheap)]) == led.cheap
        assert len(names) > len(led.cheap), "somebody is there to escalate to"
        top = max(costs[one] or 0 for one in led.cheap)
        assert all(costs[one] is not None for one in led.cheap)
        every = (*order_, *candidates, *strongest)
        pick = [costs.get(one.id) for one in every if one.alias == order_[0].alias]
        assert None in pick or top <= max(one or 0 for one in pick)
    else:
        assert led.targets == tuple(order_)
