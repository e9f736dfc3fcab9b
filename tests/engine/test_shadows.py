"""Requests that two models answer: after the client, under its rights, at the route's own cost, and what is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from afterbay.core.decision import Record
from afterbay.core.usage import Price
from afterbay.engine.learned import Learned
from afterbay.engine.shadow import JUDGE, SHADOW
from afterbay.label_ports import Label, Pair
from afterbay.policy.kept_quality import LENGTH, NOT_COMPARABLE, Standing, duel_of, length_gain
from afterbay.policy.plan import Compliance, Exploring, Route, Shadowing
from afterbay.policy.rights import Preference, Rights
from afterbay.policy.statement import Preferences
from afterbay.ports import Key
from afterbay.testing.answers import answered, ask, failed, streamed
from afterbay.testing.fakes import HANG, MemoryReply, Script, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.memory_labels import MemoryLabels, MemoryRouters

OPENAI, ANTHROPIC, GEMINI, RESPONSES = "openai.chat", "anthropic.messages", "gemini", "openai.responses"
CHEAP = Price(input=10_000, output=20_000, cached_input=10_000, cache_write=10_000)
CERTIFIED = Standing("small", "large", 20.0, 300, keep=0.9, confidence=0.9)


def verdict(better: str) -> Script:
    return answered(OPENAI, json.dumps({"better": better}))


class World:
    """A gateway whose route `auto` keeps quality: `small` at a, `large` at b, the judge at c."""

    def __init__(
        self,
        small: Sequence[Script],
        large: Sequence[Script],
        judge: Sequence[Script] = (),
        *,
        spoken: str = OPENAI,
        judged: bool = True,
        standing: Standing | None = None,
        **fields: Any,
    ) -> None:
        cheap = {"price": CHEAP} | fields.pop("small_fields", {})
        shadow = fields.pop("shadow", Shadowing(1.0, "judge" if judged else ""))
        names = fields.pop("candidates", ("small", "large"))
        route = Route("auto", candidates=names, fallback=("large", "small"), keep=0.9, shadow=shadow, **fields)
        plan = snapshot(
            alias("small", target("a/small", spoken, **cheap)),
            alias("large", target("b/large", spoken)),
            alias("judge", target("c/judge")),
            routes=(route,),
        )
        ups = {"a": small, "b": large, "c": judge}
        made: dict[str, Any] = {name: ScriptedUpstream(*scripts) for name, scripts in ups.items()}
        self.gateway = MemoryGateway(plan, **made)
        clock = self.gateway.context.clock
        self.labels = MemoryLabels(now=lambda: 0.0, retention_s=1e12)
        self.learned = self.gateway.context.learned = Learned(self.labels, MemoryRouters(), clock)
        if standing is not None:
            duel = duel_of(plan, route, "large")
            digest = duel.digest if duel is not None else ""
            self.learned.standings = {"auto": msgspec.structs.replace(standing, digest=digest)}

    def ask(self, *asked: dict[str, Any], client: str = OPENAI, key: Key | None = None) -> list[MemoryReply]:
        """Serves requests one after another, and waits for what comes afterwards."""

        async def served() -> list[MemoryReply]:
            afterwards = self.gateway.context.afterwards
            async with asyncio.TaskGroup() as group:
                work = group.create_task(afterwards.run())
                await asyncio.sleep(0)
                replies = []
                for one in asked or ({},):
                    path, operation = one.pop("path", ""), one.pop("operation", "chat")
                    headers = one.pop("headers", {})
                    body = json.dumps(one).encode() if path or "input" in one else ask("auto", **one)
                    reply = await self.gateway.chat(body, client, headers, key=key, path=path, operation=operation)
                    replies.append(reply)
                    await afterwards.settle()
                work.cancel()
            return replies

        return asyncio.run(served())

    @property
    def pairs(self) -> list[Pair]:
        return list(asyncio.run(self.labels.pairs("auto")))

    @property
    def said(self) -> list[Label]:
        return list(asyncio.run(self.labels.labels("auto")))

    def records(self, operation: str) -> list[Record]:
        return [one for one in self.gateway.records if one.operation == operation]

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.gateway.context.afterwards.counts)


def sent(world: World, name: str) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in world.gateway.upstreams[name].sent]


def test_a_certified_one_that_is_too_dear_for_the_request_is_not_said_to_answer() -> None:
    """Cheaper by and large, but dearer to read, and this request reads most."""
    reads_dear = {"price": Price(input=1_600_000, output=1, cached_input=1_600_000, cache_write=1_600_000)}
    world = World([], [answered(OPENAI, "Paris.")], standing=CERTIFIED, shadow=None, small_fields=reads_dear)
    limit = {"x-afterbay-max-cost-usd": "0.0033"}
    (reply,) = world.ask({"text": "word " * 2400, "max_tokens": 5, "headers": limit})
    assert reply.headers["x-afterbay-route"] == "auto; keep:0.9@0.9 certified, not usable now"
    assert [one.target for one in world.gateway.record.rejected] == ["a/small"]


def test_the_strongest_answers_and_the_cheapest_is_asked_the_same_afterwards() -> None:
    world = World([answered(OPENAI, "paris")], [answered(OPENAI, "Paris.")])
    (reply,) = world.ask({"text": "Capital of France?", "temperature": 0.5})
    assert b"Paris." in reply.body
    assert reply.headers["x-afterbay-route"] == "auto; keep: 0 labels, strongest until certified"
    (first,), (second,) = sent(world, "b"), sent(world, "a")
    assert second == first | {"model": "small"}
    (pair,) = world.pairs
    (original,) = world.records("chat")
    (shadow,) = world.records(SHADOW)
    assert (pair.request_id, pair.route, pair.cheap, pair.strong) == (original.id, "auto", "small", "large")
    assert (pair.cheap_quality, pair.strong_quality, pair.judged, pair.propensity) == (1.0, 1.0, "same words", 1.0)
    assert pair.gain == pytest.approx(length_gain("Capital of France?"), abs=1e-3)
    assert pair.predictor == LENGTH
    assert (pair.cheap_picousd, pair.strong_picousd) == (shadow.cost_picousd, original.cost_picousd)
    assert pair.cost_picousd == shadow.cost_picousd
    assert world.said == [Label(original.id, "auto", pair.at, "check", "large", 1.0, "same words")]
    assert list(asyncio.run(world.labels.imprints("auto"))) == [original.id]
    assert world.counts == {"paired by agreement": 1}


def test_where_the_cheapest_answered_the_strongest_is_asked() -> None:
    world = World([answered(OPENAI, "Rome")], [answered(OPENAI, "Paris")], [verdict("B")], standing=CERTIFIED)
    (reply,) = world.ask()
    assert b"Rome" in reply.body
    assert reply.headers["x-afterbay-route"] == "auto; keep:0.9@0.9 certified"
    (pair,) = world.pairs
    assert pair.judged == JUDGE
    assert (pair.cheap_picousd or 0) < (pair.strong_picousd or 0)
    (said,) = world.said
    assert (said.judge, said.alias, said.score) == ("judge", "small", pair.cheap_quality)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize("spoken", [OPENAI, ANTHROPIC, GEMINI])
def test_answers_are_compared_however_they_came(client: str, spoken: str, stream: bool) -> None:
    large = streamed(spoken, "Pa", "ris") if stream else answered(spoken, "Paris")
    world = World([answered(spoken, "Paris")], [large], spoken=spoken)
    world.ask({"stream": stream}, client=client)
    assert [one.judged for one in world.pairs] == ["same words"]
    if spoken in (OPENAI, ANTHROPIC):
        assert not sent(world, "a")[0].get("stream")


def test_a_client_of_gemini_is_shadowed_too() -> None:
    world = World([answered(GEMINI, "Paris")], [streamed(GEMINI, "Paris")], spoken=GEMINI)
    body = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
    world.ask({"path": "/v1beta/models/auto:streamGenerateContent", **body}, client=GEMINI)
    assert [one.judged for one in world.pairs] == ["same words"]
    assert world.gateway.upstreams["a"].sent[0].path == "/v1beta/models/small:generateContent"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("spoken", [OPENAI, RESPONSES])
def test_a_client_of_responses_is_shadowed_and_the_second_answer_is_kept_nowhere(spoken: str, stream: bool) -> None:
    large = streamed(spoken, "Paris") if stream else answered(spoken, "Paris")
    world = World([answered(spoken, "Paris")], [large], spoken=spoken)
    asked = {"operation": "responses", "model": "auto", "input": "Capital of France?", "stream": stream}
    world.ask(asked, client=RESPONSES)
    assert [one.judged for one in world.pairs] == ["same words"]
    if spoken == RESPONSES:
        assert sent(world, "a")[0]["store"] is False


def test_a_client_that_may_come_back_to_its_stream_is_shadowed_too() -> None:
    world = World([answered(OPENAI, "Paris")], [streamed(OPENAI, "Pa", "ris")], reconnect_s=30.0)
    (reply,) = world.ask({"stream": True})
    assert b"Pa" in reply.body
    assert [one.judged for one in world.pairs] == ["same words"]


@pytest.mark.parametrize(
    ("better", "quality"), [("tie", {1.0}), ("A", {0.0, 1.0}), ("B", {0.0, 1.0}), ("no idea", set())]
)
def test_a_judge_decides_what_does_not_agree_and_sees_it_in_a_drawn_order(better: str, quality: set[float]) -> None:
    many = 12
    world = World([answered(OPENAI, "Rome")] * many, [answered(OPENAI, "Paris")] * many, [verdict(better)] * many)
    world.ask(*({"text": f"question {number}"} for number in range(many)))
    assert {one.cheap_quality for one in world.pairs} == quality
    orders = {"Rome" in one["messages"][1]["content"].partition("<answer_b>")[0] for one in sent(world, "c")}
    assert orders == {True, False}
    for pair, asked in zip(world.pairs, sent(world, "c"), strict=False):
        is_cheap_first = "Rome" in asked["messages"][1]["content"].partition("<answer_b>")[0]
        assert pair.cheap_quality == float(better == "tie" or (better == "A") == is_cheap_first)
    if not quality:
        assert world.counts == {"not judged": many}


def test_an_answer_of_a_model_that_the_name_stands_for_no_more_makes_no_pair() -> None:
    world = World([], [answered(OPENAI, "Paris")])
    context = world.gateway.context

    async def served() -> None:
        async with asyncio.TaskGroup() as group:
            work = group.create_task(context.afterwards.run())
            await asyncio.sleep(0)
            reply = await world.gateway.chat(ask("auto"))
            assert reply.status == 200
            plan = context.fleet.snapshot  # the reload comes before the second request is made
            aliases = {**plan.aliases, "small": alias("small", target("a/smaller", price=CHEAP))}
            context.fleet.snapshot = msgspec.structs.replace(plan, aliases=aliases)
            await context.afterwards.settle()
            work.cancel()

    asyncio.run(served())
    assert (world.pairs, world.counts) == ([], {"route changed": 1})


def test_a_pair_says_of_which_models_it_is() -> None:
    world = World([answered(OPENAI, "Paris")], [answered(OPENAI, "Paris")])
    world.ask()
    plan = world.gateway.context.fleet.snapshot
    duel = duel_of(plan, plan.routes["auto"], "large")
    assert duel is not None
    assert [one.digest for one in world.pairs] == [duel.digest]


def test_without_a_judge_what_does_not_agree_counts_against_the_cheap_model() -> None:
    world = World([answered(OPENAI, "Rome")], [answered(OPENAI, "Paris")], judged=False)
    world.ask()
    (pair,) = world.pairs
    assert (pair.cheap_quality, pair.judged) == (0.0, "no agreement")
    assert not sent(world, "c")


def test_the_second_request_is_nobodys_and_is_charged_to_the_route() -> None:
    key = Key("key_1", "ada", accounts=("key:key_1",))
    world = World([answered(OPENAI, "Rome")], [answered(OPENAI, "Paris")], [verdict("tie")])
    world.ask({"headers": {"x-afterbay-tags": "app=x", "traceparent": "00-a-b-01"}}, key=key)
    (original,) = world.records("chat")
    assert original.accounts == ("key:key_1",)
    for one in (*world.records(SHADOW), *world.records(JUDGE)):
        assert (one.key_id, one.key_name, one.user, one.tags, one.traceparent) == (None, None, None, {}, None)
        assert one.accounts == ("shadow:auto",)
        assert one.reasons == {"shadow_of": original.id}
        assert one.charged_picousd == one.cost_picousd
    assert len(world.records(SHADOW)) == len(world.records(JUDGE)) == 1


def test_what_a_provider_says_of_a_failed_shadow_is_not_kept() -> None:
    world = World([failed(OPENAI, 400, "invalid_request")], [answered(OPENAI, "Paris")])
    world.ask()
    (shadow,) = world.records(SHADOW)
    assert shadow.outcome != "ok"
    assert (shadow.error, shadow.warnings, shadow.circumstances) == (None, [], None)
    assert [one.error for one in shadow.attempts] == [None]
    assert world.pairs == []
    assert world.counts == {"not answered by the cheap model": 1}


def test_a_day_s_money_is_never_passed() -> None:
    capped = Shadowing(1.0, "", max_cost_picousd=3_000_000)
    many = 20
    world = World(
        [answered(OPENAI, "Paris")] * many,
        [answered(OPENAI, "Paris")] * many,
        judged=False,
        shadow=capped,
    )
    world.ask(*({"text": f"question {number}"} for number in range(many)))
    costs = [one.cost_picousd or 0 for one in world.records(SHADOW)]
    assert sum(costs) <= 3_000_000
    assert 5 < len(world.pairs) < many
    left = 3_000_000 - sum(costs)
    assert left < (50 + 20) * CHEAP.output, "all is spent but what the next one could have needed"


def test_a_price_that_nobody_knows_is_not_spent() -> None:
    world = World(
        [answered(OPENAI, "Paris")],
        [answered(OPENAI, "Paris")],
        standing=CERTIFIED,
        small_fields={"price": CHEAP},
    )
    plan = world.gateway.context.fleet.snapshot
    large = plan.aliases["large"]
    unknown = tuple(msgspec.structs.replace(one, price=None) for one in large.targets)
    aliases = {**plan.aliases, "large": msgspec.structs.replace(large, targets=unknown)}
    world.gateway.context.fleet.snapshot = msgspec.structs.replace(plan, aliases=aliases)
    world.ask()
    assert sent(world, "b") == []
    assert [one.outcome for one in world.records(SHADOW)] == ["price_unknown"]


def test_policies_and_rights_of_the_client_hold_for_the_second_request() -> None:
    rules = {"headers": {"x-afterbay-residency": "eu"}}
    world = World([answered(OPENAI, "Paris")], [answered(OPENAI, "Paris")], small_fields={"region": "us"})
    plan = world.gateway.context.fleet.snapshot
    aliases = dict(plan.aliases)
    aliases["large"] = msgspec.structs.replace(
        aliases["large"], targets=tuple(msgspec.structs.replace(o, region="eu") for o in aliases["large"].targets)
    )
    world.gateway.context.fleet.snapshot = msgspec.structs.replace(plan, aliases=aliases)
    world.ask(rules)
    assert sent(world, "a") == []
    assert [one.outcome for one in world.records("chat")] == ["ok"]
    narrow = World([answered(OPENAI, "Paris")], [answered(OPENAI, "Paris")])
    narrow.ask(key=Key("k", "k", Rights(providers=frozenset({"b", "c"}))))
    assert sent(narrow, "a") == []
    named = World([answered(OPENAI, "Paris")], [answered(OPENAI, "Paris")])
    named.ask(key=Key("k", "k", Rights(models=frozenset({"auto"}))))
    assert len(named.pairs) == 1


def test_a_model_that_the_key_may_not_use_is_not_asked_afterwards_either() -> None:
    world = World([answered(OPENAI, "Paris")], [answered(OPENAI, "Paris")])
    world.ask(key=Key("k", "k", Rights(models=frozenset({"large", "judge"}))))
    assert [one.outcome for one in world.records("chat")] == ["ok"]
    assert sent(world, "a") == []
    assert world.counts == {"not allowed": 1}


@pytest.mark.parametrize(
    "key",
    [
        Key("k", "k", Rights(models=frozenset({"large", "small"}))),
        Key("k", "k", Rights(providers=frozenset({"a", "b"}))),
        Key("k", "k", preference=Preference(allowed_providers=frozenset({"a", "b"}))),
    ],
)
def test_a_judge_that_the_key_may_not_use_judges_nothing(key: Key) -> None:
    world = World([answered(OPENAI, "Rome")], [answered(OPENAI, "Paris")], [verdict("tie")])
    world.ask(key=key)
    assert len(world.records(SHADOW)) == 1
    assert (sent(world, "c"), world.pairs) == ([], [])
    assert world.counts == {"not judged": 1}


def test_what_the_configuration_wishes_for_an_agent_holds_for_its_second_request() -> None:
    world = World([answered(OPENAI, "Paris")], [answered(OPENAI, "Paris")])
    plan = world.gateway.context.fleet.snapshot
    wishes = Preferences(agents={"reviewer": Preference(allowed_providers=frozenset({"b"}))})
    world.gateway.context.fleet.snapshot = msgspec.structs.replace(plan, preferences=wishes)
    world.ask({"headers": {"x-afterbay-agent": "reviewer"}})
    assert [one.outcome for one in world.records("chat")] == ["ok"]
    assert (sent(world, "a"), world.counts) == ([], {"not allowed": 1})


def test_the_judge_is_under_the_route_s_compliance() -> None:
    soc2 = Compliance(frozenset({"soc2"}), name="s")
    world = World([answered(OPENAI, "Rome")], [answered(OPENAI, "Paris")], [verdict("tie")], compliance=(soc2,))
    plan = world.gateway.context.fleet.snapshot
    has = frozenset({"soc2"})
    aliases = {
        name: one
        if name == "judge"
        else msgspec.structs.replace(
            one, targets=tuple(msgspec.structs.replace(each, compliance=has) for each in one.targets)
        )
        for name, one in plan.aliases.items()
    }
    world.gateway.context.fleet.snapshot = msgspec.structs.replace(plan, aliases=aliases)
    world.ask()
    assert len(world.records(SHADOW)) == 1
    assert sent(world, "c") == []
    assert world.pairs == []


def test_nothing_is_kept_of_an_answer_that_is_not_drawn() -> None:
    world = World([], [answered(OPENAI, "Paris")], shadow=Shadowing(0.0, ""))
    world.ask()
    assert (world.pairs, world.said, world.counts, sent(world, "a")) == ([], [], {}, [])


def test_what_has_several_answers_or_is_one_dialect_s_alone_is_not_compared() -> None:
    world = World([], [answered(OPENAI, "Paris")] * 2)
    world.ask({"n": 2}, {"web_search_options": {}})
    assert world.pairs == []
    assert world.counts == {"not comparable": 2}


@pytest.mark.parametrize("asked", [{"n": 2}, {"web_search_options": {}}, {"text": "x" * (1 << 20)}])
def test_what_can_never_become_a_pair_goes_to_the_strongest_whatever_is_certified(asked: dict[str, Any]) -> None:
    world = World([answered(OPENAI, "Rome")], [answered(OPENAI, "Paris")], standing=CERTIFIED)
    (reply,) = world.ask(asked)
    assert reply.headers["x-afterbay-route"] == f"auto; {NOT_COMPARABLE}"
    assert (sent(world, "a"), len(sent(world, "b")), world.pairs) == ([], 1, [])
    assert world.counts == {"not comparable": 1}


@pytest.mark.parametrize("words", [10, 800])
def test_what_is_trimmed_for_the_cheap_model_is_neither_certified_nor_compared(words: int) -> None:
    small = {"context_tokens": 4_000}
    world = World(
        [answered(OPENAI, "Paris")],
        [answered(OPENAI, "Paris")],
        standing=CERTIFIED,
        small_fields=small,
        overflow="trim_oldest",
    )
    said = [{"role": role, "content": "word " * words} for role in ("user", "assistant") * 4]
    (reply,) = world.ask({"messages": [*said, {"role": "user", "content": "and now?"}]})
    if words == 10:
        assert reply.headers["x-afterbay-route"] == "auto; keep:0.9@0.9 certified"
        assert world.counts == {"paired by agreement": 1}
    else:
        assert reply.headers["x-afterbay-route"] == f"auto; {NOT_COMPARABLE}"
        assert (sent(world, "a"), world.counts) == ([], {"not comparable": 1})


@pytest.mark.parametrize("spoken", [OPENAI, RESPONSES])
def test_a_second_answer_is_kept_at_no_provider_and_asks_for_no_tier_of_service(spoken: str) -> None:
    world = World([answered(spoken, "Paris")], [answered(spoken, "Paris")], spoken=spoken)
    asked = {"store": True, "metadata": {"team": "x"}, "service_tier": "priority"}
    if spoken == OPENAI:
        world.ask(asked)
    else:
        world.ask({"operation": "responses", "model": "auto", "input": "hello", **asked}, client=RESPONSES)
    (first,), (second,) = sent(world, "b"), sent(world, "a")
    assert (first["store"], first["service_tier"]) == (True, "priority")
    assert second["store"] is False
    assert "service_tier" not in second
    assert ("metadata" in second) == (spoken == RESPONSES), "chat completions refuse it with an answer that is not kept"
    assert len(world.pairs) == 1


def test_what_failed_before_an_answer_is_no_part_of_that_answer_s_cost() -> None:
    small, large = [answered(OPENAI, "no JSON"), answered(OPENAI, "{}")], [answered(OPENAI, "{}")]
    world = World(small, large, standing=CERTIFIED, stages=("validate",))
    world.ask({"response_format": {"type": "json_object"}})
    (original,) = world.records("chat")
    assert [one.outcome for one in original.attempts] == ["invalid", "ok"]
    (pair,) = world.pairs
    assert pair.strong_picousd == original.attempts[-1].cost_picousd
    assert (pair.strong_picousd or 0) < (original.cost_picousd or 0)


def test_without_room_or_under_pressure_nothing_is_drawn() -> None:
    world = World([], [answered(OPENAI, "Paris")])
    world.gateway.context.pressure.note(0.9, 0.0)
    world.ask()
    assert world.counts == {"no room": 1}


def test_a_request_that_another_model_answered_makes_no_pair() -> None:
    world = World([], [failed(OPENAI, 500, "server")] * 9, [answered(OPENAI, "Paris")], candidates=("small", "large"))
    plan = world.gateway.context.fleet.snapshot
    route = msgspec.structs.replace(plan.routes["auto"], fallback=("large", "judge"))
    world.gateway.context.fleet.snapshot = msgspec.structs.replace(plan, routes={"auto": route})
    (reply,) = world.ask()
    assert b"Paris" in reply.body
    assert world.counts == {"another model": 1}


def test_of_an_explored_request_no_imprint_is_kept() -> None:
    world = World([answered(OPENAI, "Paris")], [])
    plan = world.gateway.context.fleet.snapshot
    route = Route("auto", candidates=("large", "small"), explore=Exploring(1.0, 10**12))
    world.gateway.context.fleet.snapshot = msgspec.structs.replace(plan, routes={"auto": route})
    asyncio.run(world.learned.refresh(world.gateway.context.fleet.snapshot))
    (reply,) = world.ask()
    assert reply.headers["x-afterbay-route"] == "auto; explore:small"
    (record,) = world.records("chat")
    assert record.reasons is not None
    assert record.reasons["explored"] == {"instead_of": "large"}
    assert asyncio.run(world.labels.imprints("auto")) == {}
    assert world.counts == {}


def test_a_request_that_is_turned_away_spends_nothing_of_what_exploring_may_cost_and_is_no_traffic() -> None:
    world = World([answered(OPENAI, "Paris")], [answered(OPENAI, "Paris")], standing=CERTIFIED)
    plan, told = world.gateway.context.fleet.snapshot, []
    decided = world.learned.decided

    def noted(route: str, because: Any) -> None:
        told.append(route)
        decided(route, because)

    world.learned.decided = noted  # type: ignore[method-assign]
    world.gateway.context.pressure.note(0.99, 0.0)
    (refused,) = world.ask()
    assert (refused.status, told) == (503, [])
    world.gateway.context.pressure.note(0.0, 0.0)
    world.ask()
    assert told == ["auto"]
    route = Route("auto", candidates=("small", "large"), explore=Exploring(1.0, 10**12))
    world.gateway.context.fleet.snapshot = msgspec.structs.replace(plan, routes={"auto": route})
    asyncio.run(world.learned.refresh(world.gateway.context.fleet.snapshot))

    def left() -> int:
        return world.learned.world(world.gateway.context.fleet.world(), route).explorable["auto"]

    world.gateway.context.pressure.note(0.99, 0.0)
    (refused,) = world.ask()
    assert (refused.status, left()) == (503, 10**12)
    world.gateway.context.pressure.note(0.0, 0.0)
    (reply,) = world.ask()
    assert reply.headers["x-afterbay-route"] == "auto; explore:large"
    assert left() < 10**12


def test_a_gateway_that_ends_does_not_wait_for_a_shadow_and_logs_it() -> None:
    world = World([Script(steps=(HANG,))], [answered(OPENAI, "Paris")])

    async def ended() -> None:
        context = world.gateway.context
        work = asyncio.get_running_loop().create_task(context.afterwards.run())
        await asyncio.sleep(0)
        reply = await world.gateway.chat(ask("auto"))
        assert reply.status == 200
        for _ in range(1000):
            await asyncio.sleep(0)
        work.cancel()
        await asyncio.wait([work])

    asyncio.run(ended())
    assert [one.outcome for one in world.records(SHADOW)] == ["shutting_down"]
    assert world.pairs == []


def test_the_same_question_again_doubts_the_first_answer_once() -> None:
    world = World([], [answered(OPENAI, "Paris")] * 4, shadow=Shadowing(0.0, ""))
    context = world.gateway.context

    async def served() -> None:
        async with asyncio.TaskGroup() as group:
            work = group.create_task(context.afterwards.run())
            await asyncio.sleep(0)
            for text, key, shift_s in (("a", "k", 0.0), ("a", "other", 0.0), ("b", "k", 0.0), ("a", "k", 5.0)):
                call = world.gateway.call(ask("auto", text), key=Key(key, key))
                call = msgspec.structs.replace(call, received_s=call.received_s + shift_s)
                from afterbay.engine.pipeline import serve_chat

                await serve_chat(context, call, MemoryReply())
            await context.afterwards.settle()
            work.cancel()

    asyncio.run(served())
    (label,) = world.said
    assert label.request_id == world.gateway.records[0].id
    assert (label.judge, label.alias, label.score, label.kind) == ("regenerate", "large", 0.25, "asked again")
