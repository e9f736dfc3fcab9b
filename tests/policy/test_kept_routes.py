"""Routes that keep quality, and routes that explore, decide among candidates that the filters let through."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from afterbay.core.decision import Decision
from afterbay.core.message import Message, Text
from afterbay.core.request import ChatRequest
from afterbay.core.usage import Price
from afterbay.policy.cascade import Cascading
from afterbay.policy.facts import Facts
from afterbay.policy.filters import Ask
from afterbay.policy.kept_quality import LENGTH, NOT_COMPARABLE, UNREAD, Standing, as_led, duel_of
from afterbay.policy.names import Found
from afterbay.policy.pinning import Pinned
from afterbay.policy.plan import Exploring, Overflow, Route
from afterbay.policy.rights import Rights
from afterbay.policy.room import Fitting
from afterbay.policy.route import World, decide, strongest
from afterbay.testing.memory_gateway import alias, snapshot, target

CERTIFIED = Standing("small", "large", 5.0, 400, keep=0.95, confidence=0.9)
KEEPING = Route(
    "auto",
    candidates=("small", "middle", "large"),
    complexity={"low": "middle", "high": "large"},
    fallback=("middle",),
    keep=0.95,
)


def price(millions: int) -> Price:
    return Price(input=millions, output=millions, cached_input=millions, cache_write=millions)


PLAN = snapshot(
    alias("small", target("a/small", price=price(1))),
    alias("middle", target("b/middle", price=price(5))),
    alias("large", target("c/large", price=price(50))),
)


def choose(route: Route = KEEPING, standing: Standing | None = CERTIFIED, drawn: float = 0.0, **asked: Any) -> Decision:
    left, cooling = asked.pop("left", 10**9), asked.pop("cooling", {})
    plain: dict[str, Any] = {"gain": 3.0, "scorer": LENGTH, "facts": Facts(5.0), "input_tokens": 100}
    plan = asked.pop("plan", PLAN)
    ask = Ask(requested="auto", found=Found(route=route), dialect="openai.chat", **plain | asked)
    duel = duel_of(plan, route, next(iter(strongest(plan, route)), None))
    if standing is not None and duel is not None:
        standing = msgspec.structs.replace(standing, digest=duel.digest)
    world = World(cooling, standings={"auto": standing} if standing else {}, explorable={"auto": left})
    return decide(ask, plan, route, {}, world, 0.0, lambda _: drawn)


def order(found: Decision) -> list[str]:
    return [one.alias for one in found.targets]


def test_what_is_certified_goes_to_the_cheapest_and_its_failures_to_the_strongest() -> None:
    found = choose()
    assert order(found) == ["small", "large", "middle"]
    assert found.rule == "keep:0.95@0.9 certified"
    assert found.because == {"keep": {"gain": 3.0, "scorer": LENGTH, "threshold": 5.0, "cheap": "small"}}


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        ({"gain": 5.1}, "keep: above the certified threshold"),
        ({"standing": None}, "keep: 0 labels, strongest until certified"),
        ({"gain": None}, UNREAD),
        ({"is_plain": False}, NOT_COMPARABLE),
        ({"scorer": "gain@7"}, "keep: another predictor, strongest until certified"),
        ({"rights": Rights(providers=frozenset({"b", "c"}))}, "keep: the cheapest may not serve this one"),
    ],
)
def test_everything_else_goes_to_the_strongest(asked: dict[str, Any], rule: str) -> None:
    found = choose(**asked)
    assert (order(found)[0], found.rule) == ("large", rule)


@pytest.mark.parametrize("rule", ["keep:0.95@0.9 certified", "keep: 12 labels, strongest until certified", "task:qa"])
def test_the_rule_says_where_the_certified_one_is_not_asked_first(rule: str) -> None:
    small, large = (PLAN.aliases[name].targets[0] for name in ("small", "large"))
    led = Decision((small, large), "auto", rule, because={"keep": {"cheap": "small"}})
    assert as_led(led) == led
    displaced = msgspec.structs.replace(led, targets=(large, small))
    expected = f"{rule}, not usable now" if rule == "keep:0.95@0.9 certified" else rule
    assert as_led(displaced).rule == as_led(as_led(displaced)).rule == expected


def test_a_certified_one_that_asked_to_be_left_alone_is_not_said_to_answer() -> None:
    found = choose(cooling={"a/small": 30.0})
    assert (order(found)[0], found.rule) == ("large", "keep:0.95@0.9 certified, not usable now")


def test_where_the_strongest_may_not_serve_the_rules_of_the_route_decide() -> None:
    found = choose(rights=Rights(providers=frozenset({"a", "b"})))
    assert (order(found)[0], found.rule) == ("middle", "keep: strongest may not serve, complexity:low")


def test_where_the_strongest_may_not_serve_a_conversation_stays_as_on_any_route() -> None:
    warm = Pinned("b/middle", "middle", 1.0, 5000)
    route = msgspec.structs.replace(KEEPING, complexity={"low": "small", "high": "large"})
    cached = Price(input=5, output=5, cached_input=1, cache_write=5)
    plan = snapshot(
        alias("small", target("a/small", price=price(4))),
        alias("middle", target("b/middle", price=cached)),
        alias("large", target("c/large", price=price(50))),
    )
    bound = Rights(providers=frozenset({"a", "b"}))
    found = choose(route, plan=plan, rights=bound, pinned=warm, input_tokens=5100)
    assert (order(found)[0], found.rule) == ("middle", "pin")


def test_an_agent_that_is_stuck_is_told_so_even_where_the_strongest_may_not_serve() -> None:
    stuck = Pinned("a/small", "small", 1.0, 0, escalated=True)
    found = choose(pinned=stuck, rights=Rights(providers=frozenset({"a", "b"})))
    assert (order(found)[0], found.rule) == ("middle", "escalate:held")


TALK = ChatRequest("auto", tuple(Message(role, (Text("word " * 500),)) for role in ("user", "assistant") * 5)[:-1])
"""About 5,000 tokens, in turns that may go one by one, with a question at the end."""


@pytest.mark.parametrize("narrow", ["small", "large"])
@pytest.mark.parametrize(("mode", "first"), [("trim_oldest", "large"), ("middle_out", "large"), ("reject", None)])
def test_what_is_trimmed_for_one_of_the_two_goes_to_the_strongest(
    narrow: str, mode: Overflow, first: str | None
) -> None:
    windows = {narrow: 4_000}
    plan = snapshot(
        *(
            alias(name, target(f"p/{name}", price=price(at), context_tokens=windows.get(name, 100_000)))
            for at, name in ((1, "small"), (5, "middle"), (50, "large"))
        )
    )
    route = msgspec.structs.replace(KEEPING, overflow=mode)
    found = choose(route, plan=plan, fitting=Fitting(TALK, mode), input_tokens=None)
    if first is None:  # it is not trimmed, and whoever has no room for it may not serve
        assert order(found)[0] == ("large" if narrow == "small" else "middle")
    else:
        assert (order(found)[0], found.rule, found.because) == (first, NOT_COMPARABLE, {})
    short = ChatRequest("auto", TALK.messages[:1])
    assert order(choose(route, plan=plan, fitting=Fitting(short, mode)))[0] == "small"


ODD = snapshot(
    alias("small", target("a/small", price=Price(input=1, output=9, cached_input=1, cache_write=1))),
    alias("middle", target("b/middle", price=Price(input=5, output=1, cached_input=5, cache_write=5))),
    alias("large", target("c/large", price=price(50))),
)
"""Of the two cheaper ones `small` costs less on the whole, and `middle` less for a short question."""


def test_a_cascade_puts_no_third_model_before_those_that_are_certified() -> None:
    route = msgspec.structs.replace(KEEPING, cascade=Cascading())
    plain = choose(msgspec.structs.replace(route, keep=None), plan=ODD)
    assert plain.cheap == ("b/middle",), "without a certificate the price decides"
    found = choose(route, plan=ODD)
    assert (order(found), found.cheap) == (["small", "large", "middle"], ("a/small",))
    above = choose(route, plan=ODD, gain=9.0)
    assert (order(above)[0], above.cheap) == ("large", ())
    apart = choose(route, plan=ODD, is_plain=False)
    assert (order(apart)[0], apart.cheap) == ("large", ())


def test_a_stated_task_does_not_go_past_a_certificate() -> None:
    route = msgspec.structs.replace(KEEPING, tasks={"chat": "middle"})
    assert order(choose(route, task="chat"))[0] == "small"
    assert order(choose(route, None, task="chat"))[0] == "large"


def test_a_conversation_stays_with_nobody_but_the_strongest() -> None:
    cold = Pinned("b/middle", "middle", 1.0, 5000)
    assert order(choose(gain=9.0, pinned=cold, input_tokens=5100))[0] == "large"
    warm = Pinned("a/small", "small", 1.0, 5000)
    assert order(choose(gain=9.0, pinned=warm, input_tokens=5100))[0] == "large"


def test_an_agent_that_is_stuck_gets_the_strongest_whatever_is_certified() -> None:
    stuck = Pinned("a/small", "small", 1.0, 0, escalated=True)
    found = choose(pinned=stuck)
    assert (order(found)[0], found.rule) == ("large", "escalate:held")


EXPLORING = Route("auto", candidates=("small", "middle", "large"), fallback=("middle",), explore=Exploring(0.4))


@pytest.mark.parametrize(
    ("drawn", "left", "first", "propensity"),
    [
        (0.1, 10**9, "middle", 0.2),
        (0.3, 10**12, "large", 0.2),
        (0.3, 10_000, "small", 0.8),
        (0.9, 10**12, "small", 0.6),
    ],
)
def test_a_drawn_share_is_explored_within_its_money(drawn: float, left: int, first: str, propensity: float) -> None:
    found = choose(EXPLORING, drawn=drawn, left=left)
    assert order(found)[0] == first
    assert found.propensity == pytest.approx(propensity)
    if first == "small":
        assert (found.rule, found.because) == ("first candidate", {})
    else:
        assert found.rule == f"explore:{first}"
        assert found.because["explored"] == {"instead_of": "small"}
        assert found.because["extra_picousd"] > 0
        assert order(found)[1:] == [one for one in ("small", "middle") if one != first], "the pick follows"


def test_who_is_explored_answers_whatever_a_cascade_would_ask_first() -> None:
    route = msgspec.structs.replace(EXPLORING, cascade=Cascading())
    found = choose(route, drawn=0.3)
    assert (order(found)[0], found.rule, found.cheap) == ("large", "explore:large", ())
    assert choose(route, drawn=0.9).cheap == ("a/small",), "what is not explored is a cascade as ever"


def test_who_may_not_serve_is_not_explored() -> None:
    found = choose(EXPLORING, drawn=0.1, rights=Rights(providers=frozenset({"a", "c"})))
    assert order(found)[0] == "large"
    assert found.propensity == pytest.approx(0.4)


def test_a_route_that_keeps_quality_is_not_explored() -> None:
    route = msgspec.structs.replace(KEEPING, explore=Exploring(1.0))
    assert order(choose(route, drawn=0.0))[0] == "small"
