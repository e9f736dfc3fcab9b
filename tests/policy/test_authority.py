"""No way of asking leads to a target that key, compliance or residency forbids: no name, no order, no failure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.config.snapshot import Snapshot
from afterbay.core.decision import Decision, Target
from afterbay.core.errors import ClientMistake, PolicyRefusal
from afterbay.policy.compliance import beside
from afterbay.policy.facts import Facts
from afterbay.policy.filters import Ask
from afterbay.policy.names import look_up
from afterbay.policy.plan import Alias, Compliance, Route
from afterbay.policy.rights import Preference, Rights
from afterbay.policy.route import World, decide, route_of
from afterbay.testing.memory_gateway import alias, snapshot, target
from afterbay.wire.registry import DIALECTS

CANNOT = {name: dialect.cannot for name, dialect in DIALECTS.items()}
ALIASES = ("a", "b", "c", "d")
FACTS = ("soc2", "zdr")
REGIONS = (None, "eu", "us")
FEATURES = ("tools", "n", "top_k", "web_search_options", "logit_bias")

targets = st.builds(
    lambda provider, name, dialect, region, compliance, cannot, priority: target(
        f"{provider}/{name}",
        dialect,
        region=region,
        compliance=compliance,
        cannot=cannot,
        priority=priority,
    ),
    st.sampled_from(["p", "q", "r"]),
    st.sampled_from(["m1", "m2", "m3"]),
    st.sampled_from(sorted(DIALECTS)),
    st.sampled_from(REGIONS),
    st.frozensets(st.sampled_from(FACTS)),
    st.frozensets(st.sampled_from(FEATURES), max_size=2),
    st.sampled_from([None, 1, 2]),
)
compliances = st.builds(Compliance, st.frozensets(st.sampled_from(FACTS), max_size=1), st.sampled_from(REGIONS))


def routes(name: str) -> st.SearchStrategy[Route]:
    return st.builds(
        lambda fallback, chat, low, candidates, rules: Route(
            name,
            fallback=fallback,
            tasks={"chat": chat},
            complexity={"low": low},
            candidates=candidates,
            compliance=rules,
        ),
        st.none() | st.lists(st.sampled_from(ALIASES), max_size=3).map(tuple),
        st.sampled_from(ALIASES),
        st.sampled_from(ALIASES),
        st.lists(st.sampled_from(ALIASES), max_size=3).map(tuple),
        st.lists(compliances, max_size=2).map(tuple),
    )


@st.composite
def plans(draw: st.DrawFn) -> Snapshot:
    named: list[Alias] = []
    for name in ALIASES:
        fallback = tuple(draw(st.lists(st.sampled_from(ALIASES), max_size=2)))
        named.append(alias(name, *draw(st.lists(targets, min_size=1, max_size=3)), fallback=fallback))
    plan = snapshot(
        *named,
        routes=(draw(routes("auto")), draw(routes("safe"))),
        defaults=draw(routes("defaults")),
        unknown_model=draw(st.sampled_from(["error", "a", "auto", "safe"])),
    )
    return msgspec.structs.replace(
        plan, by_upstream_name={one.name: each.name for each in named for one in each.targets}
    )


asked = st.sampled_from([*ALIASES, "auto", "safe", "defaults", "p/m1", "q/m2", "r/other", "m1", "m3", "unknown", ""])
allowed_names = st.frozensets(st.sampled_from([*ALIASES, "auto", "safe", "p/m1", "m1", "unknown"]), max_size=3)
some = st.frozensets(st.sampled_from("pqr"), min_size=1)
rights_ = st.builds(
    Rights,
    st.none() | allowed_names,
    st.none() | st.frozensets(st.sampled_from(["auto", "safe"])),
    st.none() | some,
)
demanded = st.lists(st.tuples(st.just("set"), st.none() | compliances), max_size=1).map(tuple)


def reachable(plan: Snapshot, model: str, decision: Decision) -> Iterator[tuple[Target, set[str]]]:
    """Each target of the decision, and the names by which a key may be allowed to use it."""
    for one in decision.targets:
        holders = {each.name for each in plan.aliases.values() if any(its.id == one.id for its in each.targets)}
        yield one, {model, one.id, *holders}


@given(
    plans(),
    asked,
    rights_,
    st.builds(Preference, st.none() | st.sampled_from("pqr"), st.none() | some),
    demanded,
    st.sampled_from(REGIONS),
    st.none() | st.frozensets(st.sampled_from(FEATURES), max_size=2),
    st.sampled_from([None, "chat"]),
    st.lists(st.sampled_from(["p/m1", "q/m2", "r/m3"]), max_size=3),
)
@settings(max_examples=150, deadline=None)
def test_every_target_passes_every_filter(
    plan: Snapshot,
    model: str,
    rights: Rights,
    wish: Preference,
    demands: tuple[tuple[str, Compliance | None], ...],
    residency: str | None,
    features: frozenset[str] | None,
    task: str | None,
    cooling: list[str],
) -> None:
    def direct(provider: str, name: str) -> Target | None:
        return target(f"{provider}/{name}", region="us") if provider in plan.providers else None

    with contextlib.suppress(ClientMistake, PolicyRefusal):
        found = look_up(plan, model, direct)
        route = route_of(plan, found, plan.defaults)
        for wanted in (features, frozenset[str]()):  # the second is how `unsupported: drop` asks again
            sets = {name: one for name, one in demands if one is not None}
            own = beside(sets, (name for name, _ in demands), residency)
            ask = Ask(model, found, "openai.chat", wanted, None, 5, False, Facts(3.0), task, rights, own, wish=wish)
            world = World(dict.fromkeys(cooling, 100.0))
            decision = decide(ask, plan, route, CANNOT, world, 0.0, lambda purpose: 0.5)
            assert decision.targets
            for one, names in reachable(plan, model, decision):
                assert rights.models is None or rights.models & (names | {route.name}), f"{one.id} by {model}"
                assert rights.routes is None or found.route is None or found.route.name in rights.routes
                assert rights.providers is None or one.provider in rights.providers
                assert wish.allowed_providers is None or one.provider in wish.allowed_providers
                for _, demand in demands:
                    assert demand is not None, "a set that is not there lets nobody through"
                    assert demand.require <= one.compliance
                    assert demand.residency in (None, one.region)
                assert residency is None or one.region == residency
                for rule in route.compliance:
                    assert rule.require <= one.compliance
                    assert rule.residency is None or one.region == rule.residency
                if wanted:
                    assert not wanted & one.cannot
                    assert one.dialect == "openai.chat" or not wanted & CANNOT[one.dialect].keys()
