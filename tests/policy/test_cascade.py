"""Who is asked first: the cheapest that may serve, and somebody to escalate to behind it."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from tests.policy.test_route import ids, order

from afterbay.core.decision import Decision, Target
from afterbay.core.usage import Price
from afterbay.policy.cascade import Cascading, accepted, escalated, expected_cost, is_checked, ranked
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
    return order(plan, Found(route=made), made, requested="auto", facts=FACTS, **fields)


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


def test_what_a_request_is_expected_to_cost_grows_with_its_length() -> None:
    one = target("p/m", price=price(1))
    assert expected_cost(one, None, 0.0) == 400 * 2_000_000
    assert expected_cost(one, 1000, 0.0) == 400 * 2_000_000 + 1000 * 1_000_000
    assert expected_cost(target("p/m", price=None), 1000, 0.0) is None


def test_a_long_prompt_may_change_who_is_cheapest() -> None:
    reads = Price(input=1, output=1_000_000, cached_input=1, cache_write=1)
    writes = Price(input=1_000_000, output=1, cached_input=1, cache_write=1)
    prices = {"big": price(100), "reads": reads, "writes": writes}
    route = {"complexity": {"low": "big"}}
    assert decide(route, prices=prices, input_tokens=10, features=frozenset()).cheap == ("p/writes",)
    assert decide(route, prices=prices, input_tokens=9000, features=frozenset()).cheap == ("p/reads",)


def test_an_alias_costs_what_its_dearest_deployment_does() -> None:
    costs = {"a/x": 1, "b/x": 100, "c/y": 50, "d/z": 70}
    targets = {"x": ["a/x", "b/x"], "y": ["c/y"], "z": ["d/z"]}

    def of(name: str) -> list[Target]:
        return [target(one) for one in targets[name]]

    found = ranked("z", (), ("x", "y", "z"), None, of, lambda one: costs[one.id])
    assert found.names == ("y", "z")


def test_what_came_of_it_is_said_before_the_rule() -> None:
    decision = decide({"complexity": {"low": "big"}})
    assert accepted(decision).reason == "cascade: accepted; complexity:low"
    assert escalated(decision, ("arithmetic", "final")).reason == "cascade: arithmetic, final failed; complexity:low"
    assert is_checked(decision, decision.targets[0])
    assert not is_checked(decision, decision.targets[1])
    assert not is_checked(decision, target("p/unheard"))


NAMES = st.sampled_from(["a", "b", "c", "d"])


@given(
    NAMES,
    st.lists(NAMES, max_size=3),
    st.lists(NAMES, max_size=4),
    st.none() | NAMES,
    st.dictionaries(NAMES, st.none() | st.integers(0, 5)),
    st.sets(NAMES),
)
def test_nobody_is_lost_and_nobody_forbidden_is_cheap(
    pick: str,
    chain: list[str],
    candidates: list[str],
    strongest: str | None,
    costs: dict[str, int | None],
    gone: set[str],
) -> None:
    def of(name: str) -> list[Target]:
        return [] if name in gone else [target(f"p/{name}")]

    found = ranked(pick, chain, candidates, strongest, of, lambda one: costs.get(one.name))
    assert {pick, *chain} <= set(found.names)
    if found.cheap is not None:
        assert found.names[0] == found.cheap
        assert found.cheap not in gone
        assert costs[found.cheap] is not None
        assert any(name != found.cheap for name in found.names)
