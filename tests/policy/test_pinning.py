"""A conversation stays where its prompt is cached, while that is worth more than a change, and no longer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.policy.test_pick import NOW, ask, ids, price, timed

from afterbay.core.decision import Decision
from afterbay.policy.condition import Condition
from afterbay.policy.facts import Facts
from afterbay.policy.pinning import LONGEST_S, SURE_S, Conversations, Pinned, is_worth_staying, warm_share, warm_tokens
from afterbay.policy.plan import Compliance, HealthRules, Route
from afterbay.policy.rights import Rights
from afterbay.policy.route import World, decide
from afterbay.testing.memory_gateway import alias, snapshot, target

STRONG, CHEAP = target("strong/x", price=price(3)), target("cheap/x", price=price(2))
PLAN = snapshot(alias("strong", STRONG), alias("cheap", CHEAP))
ROUTE = Route("auto", candidates=("cheap", "strong"), complexity={"low": "cheap", "high": "strong"})
SHORT, LONG = Facts(5.0), Facts(2000.0)


def at(where: str = "strong", **fields: Any) -> Pinned:
    return Pinned(f"{where}/x", where, **{"age_s": 30.0, "tokens": 9000} | fields)


def decided(
    pinned: Pinned | None, facts: Facts = SHORT, route: Route = ROUTE, world: World | None = None, **fields: Any
) -> Decision:
    asked = ask(route, **{"input_tokens": 10_000, "facts": facts, "pinned": pinned} | fields)
    return decide(asked, PLAN, route, {}, world or World({}), NOW, lambda _: 0.5)


def test_a_warm_cache_that_is_worth_more_than_the_change_keeps_the_conversation() -> None:
    decision = decided(at())
    assert (ids(decision)[0], decision.rule) == ("strong/x", "pin")
    assert "cheap/x" in ids(decision), "what would have been picked is the next"


def test_a_cache_that_has_gone_cold_keeps_nothing() -> None:
    assert decided(at(age_s=2000.0)).rule == "complexity:low"
    assert decided(at(tokens=1000)).rule == "complexity:low", "so short a prompt is in no cache"
    assert decided(None).rule == "complexity:low"


def test_a_large_gain_is_worth_more_than_the_cache() -> None:
    assert decided(at(tokens=1500), input_tokens=50_000).rule == "complexity:low"


def test_nothing_is_held_back_from_a_stronger_model() -> None:
    assert decided(at("cheap"), LONG).rule == "rule:long"
    assert ids(decided(at("cheap"), LONG))[0] == "strong/x"


def test_predicted_quality_decides_where_it_is_known() -> None:
    even = {"strong": 0.80, "cheap": 0.801}
    assert decided(at("cheap"), LONG, qualities=even).rule == "pin", "dearer, and known to be no better"
    better = {"strong": 0.6, "cheap": 0.9}
    assert decided(at(), SHORT, qualities=better).rule == "complexity:low"


def test_pins_can_be_switched_off() -> None:
    assert decided(at(), route=msgspec.structs.replace(ROUTE, pins=False)).rule == "complexity:low"


def test_no_filter_gives_way_to_a_pin() -> None:
    assert decided(at(), rights=Rights(providers=frozenset({"cheap"}))).rule == "complexity:low"
    eu = Compliance(residency="eu")
    plan = snapshot(alias("strong", STRONG), alias("cheap", msgspec.structs.replace(CHEAP, region="eu")))
    asked = ask(ROUTE, input_tokens=10_000, facts=SHORT, pinned=at(), policies=(eu,))
    assert ids(decide(asked, plan, ROUTE, {}, World({}), NOW, lambda _: 0.5)) == ["cheap/x"]


def test_a_target_that_is_ill_or_left_alone_or_no_candidate_any_more_keeps_nothing() -> None:
    ill = Condition(HealthRules(), NOW - 10, lambda _: 0.5)
    for _ in range(5):
        ill.began(NOW - 1).ended(NOW - 1, "failed")
    assert decided(at(), world=World({}, {"strong/x": ill})).rule == "complexity:low"
    assert decided(at(), world=World({"strong/x": NOW + 5})).rule == "complexity:low"
    assert decided(at(), world=World({}, {"strong/x": timed(0.1)})).rule == "pin"
    assert decided(at(), route=msgspec.structs.replace(ROUTE, candidates=("cheap",))).rule == "complexity:low"


def test_no_cache_is_worth_a_missed_slo() -> None:
    slo = msgspec.structs.replace(ROUTE, slo_ttft_p95_s=0.5)
    assert decided(at(), route=slo, world=World({}, {"strong/x": timed(0.1)})).rule == "pin"
    assert decided(at(), route=slo, world=World({}, {"strong/x": timed(2.0)})).rule == "complexity:low"


def test_an_escalation_holds_for_the_later_turns() -> None:
    decision = decided(at(tokens=0, escalated=True))
    assert (ids(decision)[0], decision.rule) == ("strong/x", "escalate:held")
    assert decided(at("cheap", escalated=True)).rule == "escalate:held", "and no pin undoes it"


@pytest.mark.parametrize(
    ("value", "gain", "better", "stays"),
    [
        (0, -5, 0.0, False),
        (10, None, 0.0, False),
        (10, 10, None, True),
        (10, 11, None, False),
        (10, -5, None, False),
        (10, 0, None, True),
        (10, -5, 0.0, True),
        (10, 5, 0.02, False),
        (10, 5, 0.005, True),
        (10, 5, -0.4, True),
    ],
)
def test_staying_is_a_matter_of_value_gain_and_quality(
    value: int, gain: int | None, better: float | None, stays: bool
) -> None:
    assert is_worth_staying(value, gain, better) is stays


def test_warmth_wears_off_and_never_grows() -> None:
    shares = [warm_share(age) for age in (0.0, SURE_S, SURE_S + 300, SURE_S + 600, LONGEST_S - 1, LONGEST_S)]
    assert shares[:4] == [1.0, 1.0, 0.5, 0.25]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0.0
    assert warm_tokens(at(tokens=9000, age_s=1.0), 4000) == 4000, "no more than the prompt has"


def test_conversations_are_found_again_and_the_oldest_are_forgotten() -> None:
    kept = Conversations(most=2)
    kept.note(b"a", "p/x", "m", 10.0, 5000, escalated=False)
    kept.note(b"b", "q/x", "n", 11.0, 0, escalated=True)
    assert kept.find(b"a", 40.0) == Pinned("p/x", "m", 30.0, 5000)
    kept.note(b"a", "q/x", "n", 50.0, 6000, escalated=False)
    kept.note(b"c", "p/x", "m", 60.0, 5000, escalated=False)
    assert kept.find(b"b", 60.0) is None, "nobody heard of it for longest"
    assert len(kept) == 2
    assert kept.find(b"a", 50.0 + LONGEST_S) is None
    assert len(kept) == 1
