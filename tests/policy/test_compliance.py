"""The one filter: facts, their ends and sources, residency, and policies that only add up."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.core.decision import Fact, Target
from afterbay.policy.compliance import HEADER, beside, common, gap, holding, last_day, lasting, meets, met_by
from afterbay.policy.plan import Compliance
from afterbay.testing.memory_gateway import target

DAY_S = 86400.0
NAMES = ("soc2", "zdr", "gdpr")
REGIONS = (None, "eu", "us")
ENDED = "compliance: its soc2 ended with 1970-01-10 (set)"
BARE = "compliance: nothing vouches for its soc2 (set)"


def one(*names: str, facts: tuple[Fact, ...] = (), region: str | None = None) -> Target:
    return target("p/m", compliance=frozenset(names), facts=facts, region=region)


def want(*names: str, **fields: Any) -> Compliance:
    return Compliance(frozenset(names), name="set", **fields)


@pytest.mark.parametrize(
    ("given_", "policy", "reason"),
    [
        (one("soc2"), want("soc2"), None),
        (one(), want(), None),
        (one(), want("zdr", "soc2"), "compliance: it lacks soc2, zdr (set)"),
        (one("soc2"), want(residency="eu"), "residency: eu required, the target is in an unknown region (set)"),
        (one("soc2", region="us"), want(residency="eu"), "residency: eu required, the target is in us (set)"),
        (one(region="eu-west-1"), want(residency="eu"), "residency: eu required, the target is in eu-west-1 (set)"),
        (one(region="eu"), want(residency="eu"), None),
        (one("soc2", facts=(Fact("soc2", "", 10 * DAY_S),)), want("soc2"), ENDED),
        (one("soc2", facts=(Fact("soc2", "", 10 * DAY_S + 0.1),)), want("soc2"), None),
        (one("soc2", "zdr", facts=(Fact("zdr", "", 0.0),)), want("soc2"), None),
        (one("soc2"), want("soc2", sourced=True), BARE),
        (one("soc2", facts=(Fact("soc2", "", 1e12),)), want("soc2", sourced=True), BARE),
        (one("soc2", facts=(Fact("soc2", "contract"),)), want("soc2", sourced=True), None),
        (one("soc2"), Compliance(name="gone", is_unknown=True), "compliance: there is no set 'gone'"),
        (one("soc2", region="us"), *beside({}, (), "eu"), "residency: eu asked, the target is in us"),
    ],
)
def test_each_way_to_fail_says_why(given_: Target, policy: Compliance, reason: str | None) -> None:
    assert gap(given_, (policy,), 10 * DAY_S) == reason
    assert meets(given_, (policy,), 10 * DAY_S) == (reason is None)


def test_without_facts_every_requirement_fails() -> None:
    for name in NAMES:
        assert gap(one(), (want(name),), 0.0)
    assert gap(one(), (want(residency="eu"),), 0.0)


def test_the_sets_of_a_key_that_nobody_configured_are_met_by_nobody() -> None:
    known = want("soc2")
    assert beside({"set": known}, ("set", "typo")) == (known, Compliance(name="typo", is_unknown=True))
    assert gap(one("soc2"), beside({"set": known}, ("set",)), 0.0) is None
    assert gap(one("soc2"), beside({"set": known}, ("set", "typo")), 0.0) == "compliance: there is no set 'typo'"
    assert beside({}, (), None) == ()
    assert gap(one(region="eu"), beside({}, (), ""), 0.0) is not None, "an empty header is met by no region"


def test_the_proof_names_policies_once_and_the_facts_that_met_them() -> None:
    facts = (Fact("soc2", "https://t.test", 10 * DAY_S), Fact("zdr", "contract 7"))
    policies = (want("soc2"), want("zdr", "gdpr", residency="eu"), *beside({}, (), "eu"))
    assert holding(policies) == f"held: set, {HEADER}: eu"
    proof = met_by(one("soc2", "zdr", "gdpr", "other", facts=facts, region="eu"), policies)
    assert proof == "p/m: gdpr, soc2 (https://t.test, until 1970-01-10), zdr (contract 7), region eu"
    assert met_by(one(), (want(),)) == "p/m: nothing is required"
    assert holding((Compliance(),)) == "held: unnamed"


def test_a_fact_holds_through_its_last_day() -> None:
    assert last_day(DAY_S) == "1970-01-01"


facts = st.builds(Fact, st.sampled_from(NAMES), st.sampled_from(["", "x", "y"]), st.none() | st.floats(0, 100))
targets = st.builds(
    lambda names, told, region: one(
        *names,
        facts=tuple({fact.name: fact for fact in told if fact.name in names}.values()),
        region=region,
    ),
    st.frozensets(st.sampled_from(NAMES)),
    st.lists(facts, max_size=3),
    st.sampled_from(REGIONS),
)
policies_ = st.lists(
    st.builds(
        Compliance,
        st.frozensets(st.sampled_from(NAMES), max_size=2),
        st.sampled_from(REGIONS),
        st.just("n"),
        st.booleans(),
    ),
    max_size=3,
)


@given(targets, policies_, policies_, st.floats(0, 120))
def test_policies_add_up_and_none_widens_another(
    each: Target, some: list[Compliance], more: list[Compliance], at: float
) -> None:
    assert meets(each, (*some, *more), at) == (meets(each, some, at) and meets(each, more, at))


@given(targets, policies_, st.floats(0, 120), st.floats(0, 120))
def test_time_only_takes_facts_away(each: Target, some: list[Compliance], early: float, later: float) -> None:
    if meets(each, some, max(early, later)):
        assert meets(each, some, min(early, later))


@given(targets, st.lists(targets, max_size=3), policies_, st.floats(0, 120))
def test_what_all_have_in_common_meets_no_more_than_each(
    whole: Target, others: list[Target], some: list[Compliance], at: float
) -> None:
    both = common(others, whole)
    if meets(both, some, at):
        assert meets(whole, some, at)
        assert all(meets(each, some, at) for each in others)


def test_a_fact_lasts_to_the_end_of_its_last_day() -> None:
    some = one("soc2", "zdr", facts=(Fact("soc2", "", 10 * DAY_S),))
    assert lasting(some, 10 * DAY_S - 1) == {"soc2", "zdr"}
    assert lasting(some, 10 * DAY_S) == {"zdr"}
