"""What is expected of candidates, and the order that a route's aim makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from afterbay.core.decision import Decision, Target
from afterbay.core.errors import ClientMistake, PolicyRefusal
from afterbay.core.usage import Price
from afterbay.policy.balance import Here
from afterbay.policy.condition import Condition
from afterbay.policy.facts import Facts
from afterbay.policy.filters import Ask
from afterbay.policy.names import Found
from afterbay.policy.pick import MEASURED, ranked
from afterbay.policy.pinning import Pinned
from afterbay.policy.plan import HealthRules, Plan, Route
from afterbay.policy.report import consider, counterfactual, in_reach, reasons_of
from afterbay.policy.rights import Preference
from afterbay.policy.route import World, decide
from afterbay.policy.scores import expected_cost, qualities
from afterbay.testing.memory_gateway import alias, snapshot, target

NOW = 1000.0


def price(usd: float) -> Price:
    """So many dollars a million tokens read, four times as much written."""
    rate = int(usd * 1_000_000)
    return Price(rate, 4 * rate, rate // 10, rate)


def timed(seconds: float) -> Condition:
    """A target of which it is known that its first output takes so long."""
    one = Condition(HealthRules(window_s=1.0), NOW - 500, lambda _: 0.5)
    for at in range(100):
        one.began(NOW - 400 + at * 2).answered(NOW - 400 + at * 2 + seconds)
    return one


def ask(route: Route, **fields: Any) -> Ask:
    plain: dict[str, Any] = {"requested": "auto", "found": Found(route=route), "dialect": "openai.chat"}
    return Ask(**plain | {"input_tokens": 1000} | fields)


def order(plan: Plan, route: Route, *, world: World | None = None, draw: float = 0.5, **fields: Any) -> Decision:
    return decide(ask(route, **fields), plan, route, {}, world or World({}), NOW, lambda _: draw)


def ids(decision: Decision) -> list[str]:
    return [one.id for one in decision.targets]


DEAR = target("dear/x", price=price(10))
CHEAP = target("cheap/x", price=price(1))
UNPRICED = target("unpriced/x", price=None)
PLAN = snapshot(alias("dear", DEAR), alias("unpriced", UNPRICED), alias("cheap", CHEAP))
NAMES = ("dear", "unpriced", "cheap")


def route(**fields: Any) -> Route:
    return Route("auto", candidates=NAMES, **fields)


# --- optimize


def test_the_cheapest_is_picked_and_a_price_that_nobody_knows_is_not_nothing() -> None:
    decision = order(PLAN, route(optimize="cost"))
    assert (ids(decision), decision.rule) == (["cheap/x", "dear/x", "unpriced/x"], "optimize:cost")


def test_without_an_aim_the_first_candidate_answers() -> None:
    decision = order(PLAN, route())
    assert (ids(decision), decision.rule) == (["dear/x"], "first candidate")


def test_the_length_of_the_expected_answer_can_turn_the_order() -> None:
    reads = target("reads/x", price=Price(1_000_000, 20_000_000, 0, 0))
    writes = target("writes/x", price=Price(5_000_000, 5_000_000, 0, 0))
    plan = snapshot(alias("reads", reads), alias("writes", writes))
    cost = Route("auto", candidates=("reads", "writes"), optimize="cost")
    assert ids(order(plan, cost, output_tokens=10)) == ["reads/x", "writes/x"]
    assert ids(order(plan, cost, output_tokens=900, task="reasoning")) == ["writes/x", "reads/x"]


def test_a_rule_that_decides_goes_before_the_aim() -> None:
    decision = order(PLAN, route(optimize="cost", tasks={"code": "dear"}), facts=Facts(5.0, frozenset({"code"})))
    assert (ids(decision), decision.rule) == (["dear/x"], "rule:code")
    decision = order(PLAN, route(optimize="cost", tasks={"code": "dear"}), facts=Facts(5.0))
    assert decision.rule == "optimize:cost"


def test_where_a_rule_decides_the_aim_orders_the_deployments_of_its_alias() -> None:
    plan = snapshot(alias("m", DEAR, CHEAP), alias("n", UNPRICED))
    decision = order(plan, Route("auto", candidates=("m", "n"), tasks={"chat": "m"}, optimize="cost"), facts=Facts(5.0))
    assert (ids(decision), decision.rule) == (["cheap/x", "dear/x"], "task:chat")


def test_a_fallback_list_follows_the_best_in_its_own_order() -> None:
    decision = order(PLAN, route(optimize="cost", fallback=("unpriced", "dear")))
    assert ids(decision) == ["cheap/x", "unpriced/x", "dear/x"]


def test_defaults_with_an_aim_order_the_deployments_of_an_alias() -> None:
    plan = snapshot(alias("m", DEAR, CHEAP))
    aims = Route("defaults", optimize="cost")
    by_alias = Ask("m", Found(alias=plan.aliases["m"]), "openai.chat", input_tokens=100)
    decision = decide(by_alias, plan, aims, {}, World({}), NOW, lambda _: 0.5)
    assert (ids(decision), decision.rule) == (["cheap/x", "dear/x"], "alias")


def test_the_quickest_is_picked_and_times_that_are_alike_are_left_to_the_balancer() -> None:
    conditions = {"dear/x": timed(2.0), "cheap/x": timed(0.1)}
    assert ids(order(PLAN, route(optimize="latency"), world=World({}, conditions)))[0] == "cheap/x"
    alike = {"dear/x": timed(0.100), "cheap/x": timed(0.101)}
    assert ids(order(PLAN, route(optimize="latency"), world=World({}, alike)))[:2] == ["dear/x", "cheap/x"]


def test_the_best_is_picked_by_a_predictor_or_by_benchmarks_that_all_have() -> None:
    assert ids(order(PLAN, route(optimize="quality"), qualities={"cheap": 0.9, "dear": 0.7})) == [
        "cheap/x",
        "dear/x",
        "unpriced/x",
    ]
    one = msgspec.structs.replace(CHEAP, scores={"mmlu": 0.8, "easy": 0.99})
    two = msgspec.structs.replace(DEAR, scores={"mmlu": 0.9, "hard": 0.2})
    plan = snapshot(alias("dear", two), alias("cheap", one))
    best = Route("auto", candidates=("cheap", "dear"), optimize="quality")
    assert ids(order(plan, best)) == ["dear/x", "cheap/x"], "only what both have is compared"


def test_where_no_quality_is_known_the_routes_strongest_is_the_best() -> None:
    best = route(optimize="quality", fallback=("unpriced", "cheap", "dear"))
    assert ids(order(PLAN, best))[0] == "unpriced/x"
    assert ids(order(PLAN, route(optimize="quality")))[0] == "dear/x", "else the dearest is taken for it"


def test_the_provider_that_somebody_prefers_goes_first() -> None:
    wish = Preference(preferred_provider="dear")
    assert ids(order(PLAN, route(optimize="cost"), wish=wish)) == ["dear/x", "cheap/x", "unpriced/x"]


# --- slo


def test_the_cheapest_that_holds_the_slo_is_picked_and_a_sure_miss_comes_last() -> None:
    third = target("third/x", price=price(0.1))
    plan = snapshot(alias("dear", DEAR), alias("unpriced", UNPRICED), alias("cheap", CHEAP), alias("third", third))
    holds = Route("auto", candidates=(*NAMES, "third"), slo_ttft_p95_s=0.2)
    conditions = {"dear/x": timed(0.05), "cheap/x": timed(0.1), "third/x": timed(3.0)}
    decision = order(plan, holds, world=World({}, conditions))
    assert ids(decision) == ["cheap/x", "dear/x", "unpriced/x", "third/x"]
    assert (decision.rule, decision.warnings) == ("slo:ttft_p95", ())


def test_where_all_miss_the_fastest_answers_and_a_warning_says_so() -> None:
    conditions = {"dear/x": timed(2.0), "cheap/x": timed(5.0), "unpriced/x": timed(9.0)}
    decision = order(PLAN, route(slo_ttft_p95_s=0.2), world=World({}, conditions))
    assert ids(decision) == ["dear/x", "cheap/x", "unpriced/x"]
    assert decision.warnings[0].startswith("slo: no target holds ttft_p95 200 ms, the fastest is expected at 2")


def test_of_equals_the_nearest_holds_the_slo_first() -> None:
    far, near = target("far/x", region="us-east-1"), target("near/x", region="eu-west-1")
    plan = snapshot(alias("m", far), alias("n", near))
    conditions = {"far/x": timed(0.1), "near/x": timed(0.1)}
    holds = Route("auto", candidates=("m", "n"), slo_ttft_p95_s=0.5)
    assert ids(order(plan, holds, world=World({}, conditions, Here("eu-west-1"))))[0] == "near/x"
    assert ids(order(plan, holds, world=World({}, conditions, Here("us-east-1"))))[0] == "far/x"


def test_one_in_fifty_begins_with_a_target_that_nobody_measured_if_it_is_no_dearer() -> None:
    holds = Route("auto", candidates=("dear", "cheap"), slo_ttft_p95_s=0.5)
    dear_known, cheap_known = World({}, {"dear/x": timed(0.1)}), World({}, {"cheap/x": timed(0.1)})
    decision = order(PLAN, holds, world=dear_known, draw=MEASURED / 2)
    assert (ids(decision)[0], decision.propensity) == ("cheap/x", MEASURED)
    decision = order(PLAN, holds, world=dear_known, draw=MEASURED)
    assert (ids(decision)[0], decision.propensity) == ("dear/x", 1 - MEASURED)
    decision = order(PLAN, holds, world=cheap_known, draw=0.0)
    assert (ids(decision)[0], decision.propensity) == ("cheap/x", 1.0), "a dearer one is not tried out"


# --- filters


def test_a_benchmark_that_is_demanded_removes_what_is_below_it_and_what_is_not_known() -> None:
    good = msgspec.structs.replace(DEAR, scores={"humaneval": 0.95})
    poor = msgspec.structs.replace(CHEAP, scores={"humaneval": 0.5})
    plan = snapshot(alias("cheap", poor), alias("unpriced", UNPRICED), alias("dear", good))
    demands = Route("auto", candidates=("cheap", "unpriced", "dear"), min_score={"humaneval": 0.9})
    decision = order(plan, demands)
    assert ids(decision) == ["dear/x"]
    assert [one.reason for one in decision.rejected] == [
        "score: its humaneval is 0.5, 0.9 is demanded",
        "score: its humaneval is not known, 0.9 is demanded",
    ]
    with pytest.raises(PolicyRefusal, match="humaneval is not known"):
        order(PLAN, msgspec.structs.replace(demands, candidates=NAMES))


@pytest.mark.parametrize(
    ("read", "asked", "longest", "fits"),
    [
        (1000, None, 500, True),
        (1001, None, 500, False),
        (900, 100, 500, True),
        (900, 101, 500, False),
        (900, 9000, 50, True),
        (800, 9000, None, False),
        (744, 9000, None, True),
        (995, 5, None, True),
    ],
)
def test_the_answer_has_its_place_in_the_window(read: int, asked: int | None, longest: int | None, fits: bool) -> None:
    plan = snapshot(alias("dear", target("dear/x", context_tokens=1000, max_output=longest)))
    only = Route("auto", candidates=("dear",))
    if fits:
        assert ids(order(plan, only, input_tokens=read, output_tokens=asked)) == ["dear/x"]
        return
    with pytest.raises(ClientMistake, match="its window is 1000") as caught:
        order(plan, only, input_tokens=read, output_tokens=asked)
    assert caught.value.code == "context_length_exceeded"


def test_the_largest_window_among_those_that_are_too_small_is_told() -> None:
    windows = {"a": 1000, "b": 32_000, "c": 9000}
    plan = snapshot(*(alias(name, target(f"{name}/x", context_tokens=window)) for name, window in windows.items()))
    with pytest.raises(ClientMistake, match="its window is 32000") as caught:
        order(plan, Route("auto", candidates=("a", "b", "c")), input_tokens=50_000)
    assert caught.value.code == "context_length_exceeded"


def test_the_classifier_decides_by_task_and_by_complexity() -> None:
    tables = route(tasks={"code": "cheap"}, complexity={"low": "cheap", "high": "dear"})
    assert order(PLAN, tables, facts=Facts(5.0, task="code", complexity=0.9)).rule == "task:code"
    for complexity, picked in ((0.1, "cheap/x"), (0.5, "dear/x"), (0.9, "dear/x")):
        decision = order(PLAN, tables, facts=Facts(2000.0, frozenset({"code"}), complexity=complexity))
        assert ids(decision)[0] == picked, "words have no say where the classifier runs"
    assert order(PLAN, tables, facts=Facts(5.0, complexity=0.5)).rule == "complexity:medium"


def test_an_agent_that_is_stuck_gets_the_strongest() -> None:
    tables = route(complexity={"low": "cheap", "high": "dear"}, tasks={"code": "cheap"})
    stuck = Facts(5.0, stalled=True)
    decision = order(PLAN, tables, facts=stuck, task="code")
    assert (ids(decision)[0], decision.rule) == ("dear/x", "escalate:stalled")
    off = msgspec.structs.replace(tables, escalates=False)
    assert order(PLAN, off, facts=stuck).rule == "complexity:low"
    fallback = route(fallback=("cheap", "dear"))
    assert ids(order(PLAN, fallback, facts=stuck))[0] == "cheap/x"


# --- scores and the report


def test_tiers_and_caches_count_in_the_expected_cost() -> None:
    tiered = target("t/x", price=Price(1_000_000, 0, 100_000, 0, tiers=((2000, Price(2_000_000, 0, 200_000, 0)),)))
    short, long = ask(route(), input_tokens=1000), ask(route(), input_tokens=3000)
    assert expected_cost(short, tiered, 0, None) == 1000 * 1_000_000
    assert expected_cost(long, tiered, 0, None) == 3000 * 2_000_000
    assert expected_cost(short, tiered, 600, None) == 400 * 1_000_000 + 600 * 100_000
    assert expected_cost(short, UNPRICED, 0, None) is None
    assert expected_cost(ask(route(), input_tokens=None), tiered, 0, None) is None


def test_a_translation_is_about_as_long_as_what_is_translated() -> None:
    free_to_read = target("t/x", price=Price(0, 1, 0, 0))
    assert expected_cost(ask(route(), input_tokens=5000), free_to_read, 0, "translate") == 5000
    assert expected_cost(ask(route(), input_tokens=5000, output_tokens=70), free_to_read, 0, "translate") == 70
    bounded = msgspec.structs.replace(free_to_read, max_output=64)
    assert expected_cost(ask(route(), input_tokens=5000), bounded, 0, "translate") == 64


def test_a_predictors_word_is_not_mixed_with_benchmarks() -> None:
    scored = msgspec.structs.replace(DEAR, alias="dear", scores={"mmlu": 0.9})
    plain = msgspec.structs.replace(CHEAP, alias="cheap")
    assert qualities(ask(route()), (scored, plain)) == {"dear/x": 0.9}
    assert qualities(ask(route(), qualities={"cheap": 0.4}), (scored, plain)) == {"cheap/x": 0.4}


def test_every_candidate_is_in_the_report_with_what_removed_it() -> None:
    plan = snapshot(alias("dear", DEAR), alias("cheap", CHEAP), alias("small", target("s/x", context_tokens=10)))
    cost = Route("auto", candidates=("dear", "cheap", "small"), optimize="cost", complexity={"high": "dear"})
    asked = ask(cost, task="qa")
    decision = decide(asked, plan, cost, {}, World({}), NOW, lambda _: 0.5)
    assert decision.rule == "optimize:cost"
    found = consider(asked, cost, in_reach(asked, plan, cost), {}, World({}), decision)
    assert [(one.target, one.rank) for one in found] == [("cheap/x", 1), ("dear/x", 2), ("s/x", None)]
    assert found[2].removed is not None
    assert found[2].removed.startswith("context: ")
    assert found[0].scores.cost_picousd == 1000 * 1_000_000 + 250 * 4_000_000
    strong = counterfactual(asked, plan, cost, found)
    assert strong is not None
    assert strong.target == "dear/x"
    kept = reasons_of(asked, decision, found)
    assert [one["target"] for one in kept["candidates"]] == ["cheap/x", "dear/x"]
    assert (kept["pick"], kept["rule"], kept["facts"]["task_said"]) == ("cheap/x", "optimize:cost", "qa")
    assert len(msgspec.json.encode(kept)) < 400


def test_the_log_keeps_facts_as_numbers_and_no_more_than_sixteen_candidates() -> None:
    many = [alias(f"m{at}", target(f"p{at}/x", price=price(at + 1))) for at in range(20)]
    plan = snapshot(*many)
    cost = Route("auto", candidates=tuple(one.name for one in many), optimize="cost")
    facts = Facts(12.4, frozenset({"code"}), task="code", complexity=0.31234, stalled=True)
    asked = ask(cost, facts=facts, output_tokens=9, pinned=Pinned("p3/x", "m3", 61.7, 2000))
    decision = decide(asked, plan, cost, {}, World({}, {"p0/x": timed(0.1)}), NOW, lambda _: 0.5)
    found = consider(asked, cost, in_reach(asked, plan, cost), {}, World({}, {"p3/x": timed(0.1)}), decision)
    kept = reasons_of(asked, decision, found)
    assert (len(kept["candidates"]), kept["more_candidates"]) == (16, 4)
    assert kept["facts"] == {
        "input_tokens": 1000,
        "output_tokens": 9,
        "words": 12.4,
        "mentions": ["code"],
        "task": "code",
        "complexity": 0.312,
        "stalled": True,
        "pinned": {"target": "p3/x", "tokens": 2000, "age_s": 62},
    }
    pinned = next(one for one in kept["candidates"] if one["target"] == "p3/x")
    assert pinned["warm_tokens"] == 1000
    assert pinned["ttft_p95_s"] == pytest.approx(0.1, rel=0.25)


def test_by_an_alias_the_alias_itself_is_the_strongest() -> None:
    plan = snapshot(alias("dear", DEAR, fallback=("cheap", "gone")), alias("cheap", CHEAP))
    asked = Ask("dear", Found(alias=plan.aliases["dear"]), "openai.chat", input_tokens=10)
    assert [one.id for one in in_reach(asked, plan, plan.defaults)] == ["dear/x", "cheap/x"]
    found = consider(asked, plan.defaults, in_reach(asked, plan, plan.defaults), {}, World({}), None)
    strong = counterfactual(asked, plan, plan.defaults, found)
    assert strong is not None
    assert strong.target == "dear/x"
    assert counterfactual(asked, plan, plan.defaults, []) is None


PRICES = st.sampled_from([None, 0.0, 1.0, 3.0])
TIMES: Mapping[str, float | None] = {"none": None, "quick": 0.05, "slow": 4.0}
SHARED = {name: timed(took) for name, took in TIMES.items() if took is not None}


@given(
    prices=st.lists(PRICES, min_size=1, max_size=5),
    times=st.lists(st.sampled_from(sorted(TIMES)), min_size=5, max_size=5),
    aim=st.sampled_from(["cost", "latency", "quality", "slo"]),
    drawn=st.floats(0, 0.999),
)
@settings(max_examples=200, deadline=None)
def test_an_aim_orders_all_and_removes_nobody(prices: Any, times: Any, aim: Any, drawn: float) -> None:
    targets: list[Target] = [
        target(f"p{at}/x", price=price(one) if one is not None else None, alias=f"m{at}")
        for at, one in enumerate(prices)
    ]
    conditions = {one.id: SHARED[times[at]] for at, one in enumerate(targets) if times[at] in SHARED}
    wanted = Route("auto", slo_ttft_p95_s=0.5) if aim == "slo" else Route("auto", optimize=aim)
    found = ranked(ask(wanted), wanted, targets, conditions, "m0", None, lambda _: drawn)
    assert sorted(one.id for one in found.targets) == sorted(one.id for one in targets)
    if aim == "cost":
        costs = [found.scores[one.id].cost_picousd for one in found.targets]
        known = [cost for cost in costs if cost is not None]
        assert costs == sorted(known) + [None] * (len(costs) - len(known))
    if aim == "slo" and drawn >= MEASURED:
        states = [times[int(one.id[1])] for one in found.targets]
        assert states == sorted(states, key=["quick", "none", "slow"].index)
