"""Preferences and aims in a configuration: what they come to, and what is said of those that can have no effect."""

from __future__ import annotations

import msgspec
import pytest
from tests.config.test_config_describe import loaded

from afterbay.config.aims import idle_aims
from afterbay.config.problem import ConfigError
from afterbay.policy.rights import Preference
from afterbay.testing.memory_gateway import alias, snapshot, target

BASE = """
providers:
  p: {kind: openai, base_url: 'http://h/v1', price: {input: 1, output: 2}}
  q: {kind: openai, base_url: 'http://h/v1', price: {input: 1, output: 2}}
models:
  one: {provider: p, name: x}
  two: {provider: q, name: y}
"""


def said(routes: str, base: str = BASE) -> list[str]:
    from afterbay.config.describe import never_matching

    return never_matching(loaded(f"{base}routes:\n  r: {routes}\n", {}))


@pytest.mark.parametrize(
    ("route", "told"),
    [
        ("{tasks: {code: one}, slo: {ttft_p95: 200ms}}", "r.slo: there is one deployment (p/x)"),
        ("{slo: {ttft_p95: 90s}}", "r.slo.ttft_p95: 90 s is never missed"),
        ("{slo: {ttft_p95: 1s}, optimize: quality}", "r.optimize: changes nothing beside `slo`"),
        ("{tasks: {code: one}, optimize: cost}", "r.optimize: there is one deployment (p/x)"),
        ("{tasks: {chat: one, code: two}, optimize: cost}", "tasks.chat sends the rest to `one`"),
        ("{complexity: {low: one, high: two}, optimize: cost}", "`complexity` decides on every request"),
        ("{min_score: {humaneval: 0.9}}", "no candidate has 0.9 (none is known), so every request is refused"),
    ],
)
def test_an_aim_without_effect_is_told_of(route: str, told: str) -> None:
    (line,) = said(route)
    assert line.startswith("routes.r.")
    assert told in line


@pytest.mark.parametrize(
    "route",
    [
        "{optimize: cost}",
        "{slo: {ttft_p95: 200ms}}",
        "{tasks: {code: one}, fallback: [two], optimize: latency}",
        "{complexity: {low: one}, fallback: [two], optimize: cost}",
    ],
)
def test_an_aim_that_has_something_to_choose_is_not(route: str) -> None:
    assert said(route) == []


DUEL = """
providers:
  p: {kind: openai, base_url: 'http://h/v1'}
models:
  small: {provider: p, name: s, price: {input: 1, output: 2}}
  large: {provider: p, name: l, price: {input: 10, output: 20}}
  again: {provider: p, name: l, price: {input: 10, output: 20}}
  third: {provider: p, name: t, price: {input: 5, output: 9}}
"""


def warned(routes: str, defaults: str = "") -> list[str]:
    """What is said at loading, of a route and of defaults."""
    return list(loaded(f"{DUEL}{defaults}{routes and f'routes: {{r: {routes}}}'}\n", {}).snapshot.warnings)


TWO = "complexity: {low: small, high: large}"


@pytest.mark.parametrize(
    ("route", "told"),
    [
        ("keep: 0.9, shadow: {share: 0.1}, explore: {share: 0.1}", "r.explore: nothing is explored beside `keep`"),
        ("shadow: {share: 0.1}", "r.shadow: no request is asked twice without `keep`"),
        ("keep: 0.9", "r.keep: without `shadow` there are no labels"),
        ("keep: 0.9, shadow: {share: 0}", "r.keep: without `shadow` there are no labels"),
        ("keep: 0.9, shadow: {judge: large}", "r.shadow.judge: `large` would compare answers of `large`"),
        ("keep: 0.9, shadow: {judge: small}", "r.shadow.judge: `small` would compare answers of `small`"),
        ("keep: 0.9, shadow: {judge: again}", "r.shadow.judge: `again` would compare answers of `large`"),
    ],
)
def test_what_is_learned_for_nothing_or_judged_by_itself_is_told_of(route: str, told: str) -> None:
    (line,) = warned(f"{{{TWO}, {route}}}")
    assert line.startswith("routes.r.")
    assert told in line


@pytest.mark.parametrize(
    "route",
    [
        "keep: 0.9, shadow: {judge: third}",
        "keep: 0.9, shadow: {share: 0.1}",
        "explore: {share: 0.1}",
        "keep: 0.9, shadow: {share: 0.1}, explore: {share: 0}",
        "cascade: true",
    ],
)
def test_what_is_learned_for_something_is_not(route: str) -> None:
    assert warned(f"{{{TWO}, {route}}}") == []


def test_defaults_that_no_model_follows_are_told_of_where_no_route_is_written() -> None:
    defaults = "defaults: {keep: 0.9, shadow: {share: 0.1}, cascade: true}\n"
    lines = warned("", defaults)
    assert [line.partition(":")[0] for line in lines] == ["defaults.keep", "defaults.cascade"]
    assert all("a client that names a model gets that model" in line for line in lines)
    assert warned(f"{{{TWO}}}", defaults) == []


def test_unknown_prices_leave_nothing_to_order_by() -> None:
    bare = BASE.replace(", price: {input: 1, output: 2}", "")
    assert said("{optimize: cost}", bare) == [
        "routes.r.optimize: no candidate's price is known, so the order stays as it is."
    ]


def test_a_score_that_somebody_has_is_no_dead_end() -> None:
    good = target("a/x", scores={"humaneval": 0.95})
    plan = snapshot(alias("m", good), alias("n", target("b/x", scores={"humaneval": 0.4})))
    route = msgspec.structs.replace(plan.defaults, candidates=("m", "n"), min_score={"humaneval": 0.9})
    assert idle_aims(plan, "routes.r", route) == []
    (line,) = idle_aims(plan, "routes.r", msgspec.structs.replace(route, candidates=("n",)))
    assert "the best is 0.4" in line


def test_preferences_are_looked_up() -> None:
    text = BASE + (
        "policies: {preferences: {users: {ada: {preferred_provider: p, allowed_providers: [p, q]}},\n"
        "  agents: {bot: {bound_model: two}, raw: {bound_model: p/any}}}}\n"
    )
    found = loaded(text, {}).snapshot.preferences
    assert found is not None
    assert found.users == {"ada": Preference("p", frozenset({"p", "q"}))}
    assert found.agents == {"bot": Preference(bound_model="two"), "raw": Preference(bound_model="p/any")}
    assert loaded(BASE, {}).snapshot.preferences is None
    assert loaded(text, {}).snapshot.hash != loaded(BASE, {}).snapshot.hash


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("{preferred_provider: pp}", "users.ada.preferred_provider: there is no provider `pp`"),
        ("{allowed_providers: [p, z]}", r"users.ada.allowed_providers\[1\]: there is no provider `z`"),
        ("{bound_model: three}", "users.ada.bound_model: there is no model or route `three`"),
        ("{bound_model: z/three}", "there is no model or route `z/three`"),
        ("{agents: {}}", "agents"),
    ],
)
def test_a_preference_for_what_is_not_there_is_refused(wanted: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        loaded(f"{BASE}policies: {{preferences: {{users: {{ada: {wanted}}}}}}}", {})
