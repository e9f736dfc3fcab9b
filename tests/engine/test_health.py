"""Targets that are ill for a while: who is asked meanwhile, what clients notice, and how it ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from tests.engine.cases import LIMITS, OPENAI, gateway, serve

from afterbay.core.decision import Record
from afterbay.engine.health import Health, probe_due, watch
from afterbay.policy.plan import HealthRules, Limits, Route
from afterbay.ports import TransportError, UpstreamSocket
from afterbay.testing.answers import answered, ask, failed, streamed
from afterbay.testing.fakes import HANG, Script, ScriptedResponse, ScriptedUpstream, Sent, Wait
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run

GOOD = answered(OPENAI, "hi")
BAD = failed(OPENAI, 500, "server")
BUSY = failed(OPENAI, 503, "overloaded")
GONE = Script(refused="no connection: refused")
SILENT = Script(headers_take_s=500.0)


class Weather(ScriptedUpstream):
    """A provider that answers by what it is like at the time; `probes` are the times of requests other than POST."""

    def __init__(self, at: Callable[[float], Script]) -> None:
        super().__init__()
        self._at = at
        self.probes: list[float] = []

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> ScriptedResponse:
        self._scripts = [self._at(asyncio.get_running_loop().time())]
        return await super().post(path, body, headers, connect_s)

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | AsyncIterator[bytes], connect_s: float
    ) -> ScriptedResponse:
        now = asyncio.get_running_loop().time()
        assert (method, path, body) == ("GET", "/models", b"")
        self.probes.append(now)
        script = self._at(now)
        if script.refused is not None:
            raise TransportError(script.refused, connected=False)
        await asyncio.sleep(script.headers_take_s)
        return ScriptedResponse(script, Sent(now, path, b"", {}, connect_s))

    async def connect(
        self, path: str, headers: Mapping[str, str], subprotocols: Sequence[str], message_bytes: int, connect_s: float
    ) -> UpstreamSocket:
        raise AssertionError("nobody asks for a WebSocket")


def between(start_s: float, end_s: float, ill: Script, well: Script = GOOD) -> Callable[[float], Script]:
    return lambda now: ill if start_s <= now < end_s else well


def two(a: Callable[[float], Script], b: Callable[[float], Script], **fields: Any) -> MemoryGateway:
    plan = snapshot(
        alias("m", target("a/up", priority=0), target("b/up", priority=1)), limits=fields.pop("limits", LIMITS)
    )
    plan = msgspec.structs.replace(plan, health=HealthRules(**fields))
    return MemoryGateway(plan, a=Weather(a), b=Weather(b))


async def traffic(one: MemoryGateway, rate: float, seconds: float, probes: bool = False, **fields: Any) -> list[Any]:
    """`rate` requests a second; what their clients got. `probes`: the watch runs beside."""
    loop = asyncio.get_running_loop()
    watching = loop.create_task(watch(lambda: one.context.fleet, one.context.clock)) if probes else None
    tasks = []
    for _ in range(round(rate * seconds)):
        tasks.append(loop.create_task(one.chat(ask("m", **fields))))
        await asyncio.sleep(1 / rate)
    replies = await asyncio.gather(*tasks)
    if watching is not None:
        watching.cancel()
        await asyncio.wait([watching])
    return replies


def statuses(replies: list[Any]) -> Counter[int]:
    return Counter(reply.status for reply in replies)


def sent(one: MemoryGateway, name: str) -> list[float]:
    return [each.at_s for each in one.upstreams[name].sent]


def probed(one: MemoryGateway, name: str) -> list[float]:
    upstream = one.upstreams[name]
    assert isinstance(upstream, Weather)
    return upstream.probes


@pytest.mark.parametrize(("ill", "sign"), [(GONE, "out of reach"), (BUSY, "failures in a row")])
def test_ten_minutes_without_one_of_two_providers_are_not_noticed(ill: Script, sign: str) -> None:
    one = two(between(60, 660, ill), between(0, 0, GOOD))
    replies = run(traffic(one, 20, 880))
    assert statuses(replies) == {200: 17_600}
    inside = [at for at in sent(one, "a") if 60 <= at < 660]
    ejected_s = inside[4]
    assert ejected_s < (75 if ill is BUSY else 60.5), "the fifth failure ejects; a busy one is left alone in between"
    trials = [at for at in inside if at > inside[4]]
    assert len(trials) <= 6, "one request a trial, and ejections grow"
    assert all(later - earlier > 20 for earlier, later in zip([ejected_s, *trials], trials, strict=False))
    assert sum(at >= 860 for at in sent(one, "a")) >= 399, "it is back when its last ejection is over"
    assert one.context.fleet.health.conditions["b/up"].ejections == 0
    left_out = [row.reason for record in one.records for row in record.rejected]
    assert any(sign in reason for reason in left_out)


def test_requests_after_the_ejection_lose_no_time_to_a_silent_provider() -> None:
    one = two(between(10, 310, SILENT), between(0, 0, GOOD), limits=Limits(first_token_s=3.0, total_s=60.0))
    replies = run(traffic(one, 10, 300))
    assert statuses(replies) == {200: 3000}
    slow = [record for record in one.records if record.duration_s > 0.02]
    detection = [record for record in slow if 10 <= began(record) < 14]
    assert len(slow) - len(detection) <= 6, "only trials wait later on"
    assert len(detection) < 40


def began(record: Record) -> float:
    return record.received_at - 1_770_000_000.0


def test_bad_requests_refused_keys_and_rate_limits_eject_nobody() -> None:
    for script in (
        failed(OPENAI, 400, "invalid_request"),
        failed(OPENAI, 401, "authentication"),
        failed(OPENAI, 403, "permission"),
        failed(OPENAI, 429, "rate_limit", retry_after="0"),
        failed(OPENAI, 404, "not_found"),
    ):
        one = two(between(0, 1e9, script), between(0, 1e9, script))
        run(traffic(one, 20, 20))
        assert [each.ejections for each in one.context.fleet.health.conditions.values()] in ([0], [0, 0])


def test_a_client_that_allows_no_time_cannot_eject_a_target() -> None:
    one = two(between(0, 1e9, Script(headers_take_s=1.0, steps=GOOD.steps, headers=GOOD.headers)), between(0, 0, GOOD))

    async def hurry() -> None:
        for _ in range(50):
            await one.chat(ask("m"), headers={"x-afterbay-timeout-ms": "10"})

    run(hurry())
    assert one.context.fleet.health.conditions["a/up"].ejections == 0


def test_a_target_that_cuts_its_streams_is_ejected_by_its_error_rate() -> None:
    cut = Script(steps=streamed(OPENAI, "hi", "there").steps[:2])
    good = streamed(OPENAI, "hi")
    one = two(between(0, 1e9, cut), between(0, 0, good, good))
    run(traffic(one, 20, 10, stream=True))
    assert one.context.fleet.health.conditions["a/up"].ejections >= 1
    assert len(sent(one, "a")) <= 12


# A total outage


def outage(rate: float, ill: Script = BUSY) -> tuple[MemoryGateway, list[Any]]:
    one = two(between(60, 240, ill), between(60, 240, BAD))
    return one, run(traffic(one, rate, 300))


@pytest.mark.parametrize("rate", [2, 20])
def test_a_total_outage_is_not_made_worse_and_its_end_is_seen_within_two_seconds(rate: float) -> None:
    one, replies = outage(rate)
    inside = [record for record in one.records if 60 <= began(record) < 240]
    attempts = [at for name in "ab" for at in sent(one, name) if 60 <= at < 240]
    assert len(attempts) <= 1.2 * len(inside) + 10
    after = [record for record in one.records if began(record) >= 242.5]
    assert {record.status for record in after} == {200}
    before = [reply for reply, record in zip(replies, one.records, strict=True) if began(record) < 60]
    assert statuses(before) == {200: 60 * rate}


def test_who_is_refused_in_an_outage_is_told_so_at_once_and_when_to_come_back() -> None:
    one, replies = outage(20)
    refused = [record for record in one.records if record.outcome == "all_targets_down"]
    assert len(refused) > 1000
    assert {(record.status, len(record.attempts)) for record in refused} == {(503, 0)}
    assert max(record.duration_s for record in refused) < 0.1
    answers = [reply for reply in replies if b"all_targets_down" in reply.body]
    waits = [int(reply.headers["retry-after-ms"]) for reply in answers]
    assert 2000 <= min(waits) < max(waits) < 4000
    assert {reply.headers["x-should-retry"] for reply in answers} == {"false"}


def test_a_lone_request_in_an_outage_is_never_refused_and_the_record_says_that_health_was_overruled() -> None:
    one = two(between(0, 1e9, BAD), between(0, 1e9, GONE))
    replies = run(traffic(one, 0.5, 200))
    assert set(statuses(replies)) == {500, 502}, "nobody was refused: each learns what the one attempt brought"
    assert any("every target is ejected" in text for text in one.records[-1].warnings)
    assert "x-afterbay-warnings" in replies[-1].headers


def test_the_only_target_is_never_given_up_and_seen_to_be_well_at_once() -> None:
    plan = snapshot(alias("m", target("a/up")), limits=LIMITS)
    one = MemoryGateway(plan, a=Weather(between(0, 50, BAD)))
    replies = run(traffic(one, 1, 55))
    assert [reply.status for reply in replies] == [500] * 50 + [200] * 5
    assert len(sent(one, "a")) < 1.2 * 50 + 10, "in an outage nothing is tried again"


def test_slow_targets_are_no_outage() -> None:
    pace = between(200, 1e9, streamed(OPENAI, "hi"), streamed(OPENAI, "hi"))

    def script(now: float) -> Script:
        return msgspec.structs.replace(pace(now), headers_take_s=9.0 if now >= 200 else 0.5)

    one = two(script, script)
    replies = run(traffic(one, 10, 300, stream=True))
    assert statuses(replies) == {200: 3000}
    conditions = one.context.fleet.health.conditions
    assert conditions["a/up"].ejections > 0
    assert any(record.attempts[0].target == "b/up" for record in one.records)
    assert not any(record.outcome == "all_targets_down" for record in one.records)


# Brown-out


def test_a_deployment_that_becomes_slow_gets_less_and_gets_its_share_back() -> None:
    def slow(now: float) -> Script:
        return msgspec.structs.replace(streamed(OPENAI, "hi"), headers_take_s=1.2 if 100 <= now < 200 else 0.4)

    plan = snapshot(alias("m", target("a/up"), target("b/up")), limits=LIMITS)
    steady = msgspec.structs.replace(streamed(OPENAI, "hi"), headers_take_s=0.4)
    one = MemoryGateway(plan, a=Weather(slow), b=Weather(lambda _: steady))
    run(traffic(one, 4, 700, stream=True))

    def share(start_s: float, end_s: float) -> float:
        asked = {name: sum(start_s <= at < end_s for at in sent(one, name)) for name in "ab"}
        return asked["a"] / (asked["a"] + asked["b"])

    assert 0.35 < share(0, 100) < 0.65
    assert share(110, 200) < 0.2
    assert 0.3 < share(500, 700) < 0.7
    assert one.context.fleet.health.conditions["a/up"].ejections == 0, "it was no case for an ejection"


# Probes


def test_idle_targets_are_probed_every_interval_and_busy_ones_never() -> None:
    one = two(between(0, 0, GOOD), between(0, 0, GOOD))
    run(traffic(one, 1, 400, probes=True))
    assert probed(one, "a") == []
    assert len(probed(one, "b")) == 6
    assert sent(one, "b") == []


def test_interval_zero_means_no_probes() -> None:
    one = two(between(0, 0, GOOD), between(0, 0, GOOD), interval_s=0.0)
    run(traffic(one, 0.1, 400, probes=True))
    assert probed(one, "a") + probed(one, "b") == []


def test_a_probe_spares_clients_a_target_that_is_out_of_reach_and_brings_it_back_soon() -> None:
    one = two(between(60, 660, GONE), between(0, 0, GOOD))
    replies = run(traffic(one, 5, 760, probes=True))
    assert statuses(replies) == {200: 3800}
    inside = [at for at in sent(one, "a") if 60 <= at < 660]
    assert len(inside) == 5, "no client's request was used to find out"
    assert 10 <= len([at for at in probed(one, "a") if at < 660]) <= 40
    assert min(at for at in sent(one, "a") if at >= 660) < 725


def test_an_idle_fallback_that_is_gone_is_left_out_before_anybody_needs_it() -> None:
    one = two(between(300, 320, BAD), between(0, 1e9, GONE))
    run(traffic(one, 1, 290, probes=True))
    states = one.context.fleet.health.states(["a/up", "b/up"], 290.0)
    assert [(each.state, each.reason) for each in states] == [("ok", None), ("ejected", "probes failed")]


def test_a_provider_that_answers_a_probe_with_an_error_is_neither_well_nor_ill() -> None:
    one = two(between(0, 0, GOOD), between(0, 1e9, BAD))
    run(traffic(one, 1, 400, probes=True))
    assert len(probed(one, "b")) == 6
    assert one.context.fleet.health.states(["b/up"], 400.0)[0].state == "ok"


def test_a_slow_probe_shows_and_a_probe_without_an_answer_says_nothing() -> None:
    slow = msgspec.structs.replace(GOOD, headers_take_s=0.8)
    one = two(between(0, 0, slow, slow), lambda _: SILENT)

    async def look() -> None:
        await asyncio.sleep(1)
        await probe_due(one.context.fleet, one.context.clock)
        await asyncio.sleep(61)
        await probe_due(one.context.fleet, one.context.clock)

    run(look())
    states = one.context.fleet.health.states(["a/up", "b/up"], 80.0)
    assert [each.state for each in states] == ["slow", "ok"]


def test_a_probe_that_breaks_does_not_end_the_watch() -> None:
    one = two(between(0, 0, GOOD), between(0, 0, GOOD))
    upstream = one.upstreams["b"]
    assert isinstance(upstream, Weather)
    fair, upstream._at = upstream._at, lambda _: 1 / 0  # type: ignore[assignment,return-value]

    async def storm() -> None:
        await traffic(one, 1, 70, probes=True)
        upstream._at = fair
        await traffic(one, 1, 70, probes=True)

    run(storm())
    assert len(probed(one, "b")) >= 2


# What is kept


def test_health_outlives_a_reload_and_takes_the_new_rules() -> None:
    health = Health(HealthRules())
    for _ in range(5):
        health.began("a/up", 0.0).ended(0.0, "failed")
    assert health.adopt(HealthRules(eject_s=100.0)) is health
    assert health.states(["a/up"], 1.0)[0].state == "ejected"
    health.began("a/up", 30.0).ended(30.0, "failed")
    assert health.conditions["a/up"].ejected_for_s(30.0) > 150


def test_memory_is_bounded_and_ejected_targets_are_remembered_longest() -> None:
    health = Health(HealthRules())
    for _ in range(5):
        health.began("ill/up", 0.0).ended(0.0, "failed")
    for number in range(5000):
        health.began(f"p/{number}", 1.0).ended(1.0, "ok")
    assert len(health.conditions) == 4096
    assert health.states(["ill/up"], 2.0)[0].state == "ejected"


def test_a_spare_answer_a_left_client_and_a_whole_answer_end_their_trials() -> None:
    whole = gateway([GOOD])
    serve(whole, stream=False)
    assert whole.context.fleet.health.conditions["a/up"].load.in_flight == 0
    empty = gateway([answered(OPENAI, "")], [answered(OPENAI, "")], route=Route("defaults"))
    serve(empty, stream=False)
    assert {each.load.in_flight for each in empty.context.fleet.health.conditions.values()} == {0}

    async def leave() -> None:
        task = asyncio.get_running_loop().create_task(gone.chat(ask("m", stream=True)))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])

    gone = gateway([Script(steps=(Wait(5.0), HANG))])
    run(leave())
    condition = gone.context.fleet.health.conditions["a/up"]
    assert (condition.load.in_flight, condition.ejections) == (0, 0)
