"""Which targets may serve and in which order: no failure and no fallback leads to a target that a policy forbids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from afterbay.core.chance import draw
from afterbay.core.decision import Decision, Target
from afterbay.core.errors import ClientMistake, PolicyRefusal
from afterbay.core.request import FEATURES
from afterbay.policy.compliance import beside
from afterbay.policy.facts import Facts, read_facts
from afterbay.policy.filters import SOFT, Ask, lacks
from afterbay.policy.names import Found
from afterbay.policy.plan import Alias, Compliance, Plan, Route, Rules
from afterbay.policy.rights import Rights
from afterbay.policy.route import World, decide
from afterbay.testing.memory_gateway import alias, snapshot, target

NO_WORLD = World({})
CANNOT: Mapping[str, Mapping[str, str]] = {"gemini": {"logit_bias": "no"}, "openai.chat": {"top_k": "no"}}


def order(plan: Plan, found: Found, route: Route | None = None, *, world: World = NO_WORLD, **fields: Any) -> Decision:
    draws = fields.pop("draw", lambda purpose: draw(1, purpose, "req_1"))
    needs: dict[str, Any] = {"requested": "m", "found": found, "dialect": "openai.chat"} | fields
    needs["policies"] = beside({}, residency=needs.pop("residency", None))
    ask = Ask(**needs)
    return decide(ask, plan, route or Route("defaults"), CANNOT, world, 100.0, draws)


def ids(decision: Decision) -> list[str]:
    return [one.id for one in decision.targets]


def by_alias(plan: Plan, name: str = "m") -> Found:
    return Found(alias=plan.aliases[name])


REGIONS = st.sampled_from([None, "us", "eu"])
MARKS = st.frozensets(st.sampled_from(["soc2", "zdr", "hipaa_baa"]), max_size=3)
NEEDS = st.frozensets(st.sampled_from(["tools", "n", "logit_bias", "top_k", "reasoning", "web_search"]), max_size=3)


@st.composite
def targets(draw_: st.DrawFn, name: str) -> Target:
    return target(
        name,
        draw_(st.sampled_from(["openai.chat", "gemini"])),
        region=draw_(REGIONS),
        compliance=draw_(MARKS),
        cannot=draw_(st.frozensets(st.sampled_from(["tools", "n", "reasoning"]), max_size=2)),
        context_tokens=draw_(st.sampled_from([None, 100, 1000])),
        embeds=draw_(st.sampled_from([False, False, False, True])),
        priority=draw_(st.sampled_from([None, 0, 1])),
        weight=draw_(st.sampled_from([0.1, 1.0, 5.0])),
    )


@st.composite
def plans(draw_: st.DrawFn) -> Plan:
    aliases = []
    for name in ("m", "n", "o"):
        owned = [draw_(targets(f"{name}{at}/x")) for at in range(draw_(st.integers(1, 3)))]
        aliases.append(alias(name, *owned, fallback=draw_(st.sampled_from([(), ("n",), ("o", "n"), ("missing", "o")]))))
    return snapshot(*aliases)


def forbidden(one: Target, fields: Mapping[str, Any], route: Route) -> bool:
    """The filters once more, in other words."""
    needs = (fields["features"] or frozenset()) - SOFT
    other = one.dialect != "openai.chat"
    return (
        any(wanted.require - one.compliance for wanted in route.compliance)
        or any(wanted.residency not in (None, one.region) for wanted in route.compliance)
        or (fields["residency"] is not None and fields["residency"] != one.region)
        or bool(needs & one.cannot)
        or (other and any(name not in FEATURES or name in CANNOT.get(one.dialect, {}) for name in needs))
        or (one.context_tokens is not None and (fields["input_tokens"] or 0) > one.context_tokens)
        or one.embeds
        or (fields["rights"].models is not None and not fields["rights"].models & {one.alias, "m", one.id, route.name})
    )


@given(
    plan=plans(),
    by_route=st.booleans(),
    route_fallback=st.sampled_from([None, (), ("o",), ("n", "o")]),
    compliance=st.lists(st.builds(Compliance, MARKS, REGIONS), max_size=2).map(tuple),
    fields=st.fixed_dictionaries(
        {
            "features": st.none() | NEEDS,
            "input_tokens": st.none() | st.integers(0, 2000),
            "residency": REGIONS,
            "rights": st.builds(Rights, st.none() | st.frozensets(st.sampled_from(["n", "o", "n0/x"]), max_size=2)),
        }
    ),
    cooling=st.dictionaries(st.sampled_from(["m0/x", "n0/x", "o0/x"]), st.floats(0, 300), max_size=3),
)
@settings(max_examples=500, deadline=None)
def test_no_forbidden_target_is_ever_let_through_and_none_is_removed_in_silence(
    plan: Plan, by_route: bool, route_fallback: Any, compliance: Any, fields: dict[str, Any], cooling: dict[str, float]
) -> None:
    route = Route("r", fallback=route_fallback, compliance=compliance, candidates=("m", "n"))
    found = Found(route=route) if by_route else by_alias(plan)
    fields["facts"] = Facts(5.0) if by_route else None
    world = World(cooling)
    decision, refusal = None, ""
    try:
        decision = order(plan, found, route, world=world, **fields)
    except (ClientMistake, PolicyRefusal) as error:
        refusal = error.message
    if decision is None:
        reachable = {"m", "n"} if by_route else {"m", *(plan.aliases["m"].fallback)}
        left = [one for name in reachable if name in plan.aliases for one in plan.aliases[name].targets]
        assert all(forbidden(one, fields, route) for one in left), refusal
        return
    assert not [one.id for one in decision.targets if forbidden(one, fields, route)]
    assert len(set(ids(decision))) == len(decision.targets)
    waits = [max(cooling.get(name, 0.0) - 100.0, 0.0) for name in ids(decision)]
    assert waits == sorted(waits), "cooling targets come last, the first that is free again first"
    assert set(ids(decision)) == set(ids(order(plan, found, route, **fields))), "cooling removes nobody"
    assert not {one.target for one in decision.rejected if one.reason != "not configured"} & set(ids(decision))


def test_priority_orders_before_weight() -> None:
    plan = snapshot(
        alias("m", target("a/x", weight=9.0), target("b/x", priority=2), target("c/x", priority=1, weight=0.1))
    )
    for request in range(50):
        chance = lambda purpose, request=request: draw(1, purpose, str(request))  # noqa: E731
        assert ids(order(plan, by_alias(plan), draw=chance)) == ["c/x", "b/x", "a/x"]


def test_equals_are_tried_in_the_proportion_of_their_weights() -> None:
    plan = snapshot(alias("m", target("a/x", weight=1.0), target("b/x", weight=3.0), target("c/x", weight=6.0)))
    first: dict[str, int] = dict.fromkeys(("a/x", "b/x", "c/x"), 0)
    total = 6000
    for request in range(total):
        chance = lambda purpose, request=request: draw(1, purpose, str(request))  # noqa: E731
        first[ids(order(plan, by_alias(plan), draw=chance))[0]] += 1
    for name, share in (("a/x", 0.1), ("b/x", 0.3), ("c/x", 0.6)):
        assert abs(first[name] / total - share) < 0.02


def test_the_order_depends_on_the_draw_alone() -> None:
    one, two, three = target("a/x"), target("b/x"), target("c/x")
    plan, turned = snapshot(alias("m", one, two, three)), snapshot(alias("m", three, one, two))
    for request in range(30):
        chance = lambda purpose, request=request: draw(7, purpose, str(request))  # noqa: E731
        assert ids(order(plan, by_alias(plan), draw=chance)) == ids(order(turned, by_alias(turned), draw=chance))


@pytest.mark.parametrize("drawn", [0.0, 1e-300, 0.999999999])
def test_no_draw_breaks_the_order(drawn: float) -> None:
    plan = snapshot(alias("m", target("a/x", weight=1e-9), target("b/x", weight=1e9)))
    assert sorted(ids(order(plan, by_alias(plan), draw=lambda _: drawn))) == ["a/x", "b/x"]


def test_a_fallbacks_own_list_is_not_followed_and_duplicates_are_removed() -> None:
    plan = snapshot(
        alias("m", target("m/x"), fallback=("n", "m", "n")),
        alias("n", target("n/x"), fallback=("o",)),
        alias("o", target("o/x")),
    )
    assert ids(order(plan, by_alias(plan))) == ["m/x", "n/x"]


def test_a_target_of_two_aliases_is_tried_once() -> None:
    plan = snapshot(alias("m", target("m/x"), fallback=("n",)), alias("n", target("m/x"), target("n/x")))
    assert sorted(ids(order(plan, by_alias(plan)))) == ["m/x", "n/x"]


def test_a_direct_target_passes_the_same_filters() -> None:
    plan = snapshot(alias("m", target("m/x")))
    direct = target("p/gpt", region="us")
    assert ids(order(plan, Found(target=direct))) == ["p/gpt"]
    with pytest.raises(PolicyRefusal, match="residency: eu asked"):
        order(plan, Found(target=direct), residency="eu")


@pytest.mark.parametrize(
    ("fields", "kind", "code", "says"),
    [
        ({"features": frozenset({"n"})}, ClientMistake, "unsupported_field", "'n'"),
        (
            {"features": frozenset({"web_search"}), "dialect": "anthropic.messages"},
            ClientMistake,
            "unsupported_field",
            "web_search",
        ),
        (
            {"unreadable": ClientMistake("messages[0] is odd", code="invalid_type"), "dialect": "anthropic.messages"},
            ClientMistake,
            "invalid_type",
            "is odd",
        ),
        ({"embeds": True}, ClientMistake, "wrong_operation", "cannot make embeddings"),
        (
            {"features": frozenset({"compaction"}), "dialect": "openai.responses"},
            ClientMistake,
            "wrong_operation",
            "cannot compact a conversation",
        ),
        ({"kept_by": "b"}, ClientMistake, "previous_response_not_found", "is kept by b"),
        ({"kept_by": "b", "rights": Rights(frozenset({"z"}))}, PolicyRefusal, "policy_no_candidate", "this key"),
        ({"residency": "eu"}, PolicyRefusal, "policy_no_candidate", "residency"),
        ({"rights": Rights(frozenset({"z"}))}, PolicyRefusal, "policy_no_candidate", "this key may not use"),
        ({"input_tokens": 5000}, ClientMistake, "context_length_exceeded", "its window is 1000"),
        ({"residency": "eu", "features": frozenset({"n"})}, PolicyRefusal, "policy_no_candidate", "residency"),
    ],
)
def test_the_error_says_what_would_help(fields: dict[str, Any], kind: type[Exception], code: str, says: str) -> None:
    plan = snapshot(alias("m", target("m/x", cannot=frozenset({"n"}), context_tokens=1000)))
    with pytest.raises(kind, match=says) as caught:
        order(plan, by_alias(plan), **fields)
    assert caught.value.code == code  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("missing", "says", "param"),
    [
        ({"images", "image_urls"}, "The field 'images' is not", "images"),
        ({"image_urls"}, "The field 'image_urls' is not", "image_urls"),
        ({"tools", "tools[2].type=web_search"}, "The field 'tools' is not", "tools"),
        ({"n", "seed"}, "The fields 'n', 'seed' are not", "n"),
    ],
)
def test_fields_that_nobody_has_are_named_once_each(missing: set[str], says: str, param: str) -> None:
    plan = snapshot(alias("m", target("m/x", cannot=frozenset(missing))))
    with pytest.raises(ClientMistake, match=says) as caught:
        order(plan, by_alias(plan), features=frozenset(missing))
    assert caught.value.param == param


@pytest.mark.parametrize(("dialect", "param"), [("openai.chat", "messages"), ("openai.responses", "input")])
def test_a_prompt_that_is_too_long_is_called_as_the_client_calls_it(dialect: str, param: str) -> None:
    plan = snapshot(alias("m", target("m/x", context_tokens=1000)))
    with pytest.raises(ClientMistake) as caught:
        order(plan, by_alias(plan), input_tokens=5000, dialect=dialect)
    assert caught.value.param == param


def test_an_alias_that_embeds_cannot_chat() -> None:
    plan = snapshot(alias("m", target("m/x", embeds=True)))
    with pytest.raises(ClientMistake, match="cannot chat"):
        order(plan, by_alias(plan))


# --- the simple rules of `auto`


def auto(**fields: Any) -> tuple[Plan, Route]:
    names = ("fast", "strong", "coder", "talk", "sum", "one")
    route = Route("auto", candidates=("one",), **fields)
    tags = {"fast": "fast", "strong": "reasoning", "coder": "code"}
    aliases = [alias(n, target(f"{n}/x"), tags=frozenset({tags[n]} if n in tags else ())) for n in names]
    return snapshot(*aliases, routes=(route,)), route


def picked(text: str, task: str | None = None, **fields: Any) -> tuple[str, str]:
    """The alias that is tried first, and why."""
    plan, route = auto(**fields)
    decision = order(plan, Found(route=route), route, facts=read_facts(text, route.rules), task=task, requested="auto")
    return decision.targets[0].alias, decision.rule


TASKS = {"chat": "talk", "summarize": "sum"}
LEVELS = {"low": "fast", "medium": "talk", "high": "strong"}


@pytest.mark.parametrize(
    ("text", "pick"),
    [
        ("Extract the names", ("fast", "rule:extract")),
        ("请提取名字", ("fast", "rule:extract")),
        ("extract " + "word " * 98, ("fast", "rule:extract")),
        ("extract " + "word " * 99, ("talk", "task:chat")),
        ("提取" + "字" * 197, ("fast", "rule:extract")),
        ("提取" + "字" * 198, ("talk", "task:chat")),
        ("word " * 1000, ("talk", "task:chat")),
        ("word " * 1001, ("strong", "rule:long")),
        ("字" * 2000, ("talk", "task:chat")),
        ("字" * 2001, ("strong", "rule:long")),
        ("show your REASONING", ("strong", "rule:reasoning")),
        ("逻辑推理题", ("strong", "rule:reasoning")),
        ("write code", ("coder", "rule:code")),
        ("写代码", ("coder", "rule:code")),
        ("extract the code", ("fast", "rule:extract")),
        ("reasoning about code", ("strong", "rule:reasoning")),
        ("extract by reasoning", ("fast", "rule:extract")),
        ("summarize this", ("sum", "task:summarize")),
        ("请总结", ("sum", "task:summarize")),
        ("hello", ("talk", "task:chat")),
        ("extraction encodes codes, unreasoning", ("talk", "task:chat")),
    ],
)
def test_the_rules_hold_in_their_order(text: str, pick: tuple[str, str]) -> None:
    assert picked(text, tasks=TASKS) == pick


def test_the_configs_own_entries_come_before_tags() -> None:
    own = {"extract": "sum", "reasoning": "talk", "code": "one"}
    assert picked("extract", tasks=own)[0] == "sum"
    assert picked("reasoning", tasks=own)[0] == "talk"
    assert picked("code", tasks=own)[0] == "one"
    assert picked("extract", complexity={"low": "talk"})[0] == "talk"
    assert picked("reasoning", complexity={"high": "talk"})[0] == "talk"


@pytest.mark.parametrize(("words", "pick"), [(5, "fast"), (500, "talk"), (1001, "strong")])
def test_without_a_task_length_decides_the_level(words: int, pick: str) -> None:
    assert picked("word " * words, complexity=LEVELS)[0] == pick


def test_a_missing_level_uses_the_next_higher() -> None:
    assert picked("hello", complexity={"high": "strong"}) == ("strong", "complexity:low")
    assert picked("word " * 500, complexity={"low": "fast"}) == ("one", "first candidate")


def test_a_task_that_the_client_names_comes_first() -> None:
    assert picked("write code", task="summarize", tasks=TASKS) == ("sum", "task:summarize (said by the client)")
    assert picked("write code", task="creative", tasks=TASKS)[0] == "coder", "one without an entry decides nothing"


def test_thresholds_and_words_are_the_configs() -> None:
    rules = Rules(short_words=3, long_words=6, cjk_chars_per_word=1.0, extract=("pull",), code=())
    assert picked("pull it", rules=rules, tasks=TASKS)[1] == "rule:extract"
    assert picked("pull it now", rules=rules, tasks=TASKS)[1] == "task:chat"
    assert picked("字" * 7, rules=rules, tasks=TASKS)[1] == "rule:long"
    assert picked("code", rules=rules, tasks=TASKS)[1] == "task:chat"


def test_without_rules_or_candidates_the_first_by_priority_that_may_serve_answers() -> None:
    plan = snapshot(
        alias("m", target("m/x")), alias("n", target("n/x", priority=1)), alias("e", target("e/x", embeds=True))
    )
    route = Route("auto")
    found = Found(route=route)
    assert ids(order(plan, found, route)) == ["n/x"]
    assert ids(order(plan, found, route, embeds=True)) == ["e/x"]
    with pytest.raises(PolicyRefusal, match="no target is configured"):
        order(snapshot(), found, route)


def test_a_routes_order_is_the_pick_and_then_its_fallback() -> None:
    plan, route = auto(tasks=TASKS, fallback=("strong",))
    decision = order(plan, Found(route=route), route, facts=Facts(5.0, frozenset({"summarize"})))
    assert ids(decision) == ["sum/x", "strong/x"]
    assert (decision.route, decision.rule) == ("auto", "task:summarize")


def test_a_pick_that_may_not_serve_is_noted_and_the_next_rule_decides() -> None:
    plan, route = auto(tasks={"chat": "gone", "summarize": "sum"})
    decision = order(plan, Found(route=route), route, facts=Facts(5.0))
    assert ids(decision) == ["one/x"]
    assert [(one.target, one.reason) for one in decision.rejected] == [("gone", "not configured")]
    route = msgspec.structs.replace(route, compliance=(Compliance(residency="eu"),))
    with pytest.raises(PolicyRefusal, match="residency"):
        order(plan, Found(route=route), route, facts=Facts(5.0))


def test_the_alias_a_client_meant_is_said_as_a_warning() -> None:
    plan = snapshot(alias("m", target("m/x")))
    found = msgspec.structs.replace(Found(alias=Alias("m", plan.aliases["m"].targets)), warning="not that one")
    assert order(plan, found).warnings == ("not that one",)


def test_a_provider_may_have_more_than_its_dialect_and_less() -> None:
    cannot = {"top_k": "no field"}
    plain, more = target("p/x"), target("q/x", can=frozenset({"top_k"}))
    less = target("r/x", unsaid=frozenset({"document_files"}))
    wanted = frozenset({"top_k", "document_files"})
    assert lacks(wanted, "anthropic.messages", plain, cannot) == {"top_k"}
    assert lacks(wanted, "anthropic.messages", more, cannot) == frozenset()
    assert lacks(wanted, "anthropic.messages", less, cannot) == {"top_k", "document_files"}
    assert lacks(wanted, "openai.chat", less, cannot) == frozenset()
