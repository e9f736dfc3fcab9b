"""A second attempt beside a silent first one: who answers, what is closed, what is counted."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, LIMITS, OPENAI, PAIRS, check, gateway, serve, text

from afterbay.core.usage import Price
from afterbay.engine.hedging import CALLED_OFF
from afterbay.engine.learned import Learned
from afterbay.policy.hedge import LEARNED_AFTER, Hedging
from afterbay.policy.kept_quality import Standing, duel_of
from afterbay.policy.plan import Route
from afterbay.testing.answers import answered, ask, failed, streamed
from afterbay.testing.fakes import HANG, Cut, MemoryReply, Script, ScriptedUpstream, Wait
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.memory_labels import MemoryLabels, MemoryRouters
from afterbay.testing.virtual_loop import run

SOON = Hedging(after_s=2.0, max_share=1.0, max_extra_cost=9.0)
GOOD = streamed(OPENAI, "good")


def slow(script: Script, seconds: float) -> Script:
    return msgspec.structs.replace(script, headers_take_s=seconds)


def silent(script: Script, seconds: float) -> Script:
    """Its headers come, and then nothing for so long."""
    return msgspec.structs.replace(script, steps=(Wait(seconds), *script.steps))


def hedged(*scripts: list[Script], rules: Hedging = SOON, resume: Any = "off", **more: Any) -> MemoryGateway:
    limits = more.pop("limits", LIMITS)
    return gateway(*scripts, limits=limits, route=Route("defaults", hedge=rules, resume=resume), **more)


def whys(one: MemoryGateway) -> list[tuple[str, str, str | None]]:
    return [(each.target, each.why, each.outcome) for each in one.record.attempts]


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("late", [slow, silent])
@pytest.mark.parametrize("stream", [True, False])
def test_the_second_answers_where_the_first_is_silent(client: str, spoken: str, late: Any, stream: bool) -> None:
    made = streamed if stream else answered
    one = hedged([late(made(spoken, "late"), 9.0)], [made(spoken, "good")], spoken=spoken)
    reply = serve(one, client, stream=stream)
    assert b"good" in reply.body
    assert b"late" not in reply.body
    assert whys(one) == [("a/up", "primary", "cancelled"), ("b/up", "hedge", "ok")]
    assert reply.headers["x-afterbay-provider"] == "b"
    assert one.upstreams["b"].sent[0].at_s == 2.0
    assert one.record.ttft_s == pytest.approx(2.0)


def test_the_loser_is_closed_at_once() -> None:
    one = hedged([silent(GOOD, 9.0)], [streamed(OPENAI, "good", "and", "long")])
    serve(one)
    assert one.upstreams["a"].sent[0].closed_at_s == 2.0


def test_the_first_may_still_win() -> None:
    one = hedged([silent(GOOD, 3.0)], [silent(streamed(OPENAI, "other"), 3.0)])
    assert text(serve(one).body, OPENAI) == "good"
    assert whys(one) == [("a/up", "primary", "ok"), ("b/up", "hedge", "cancelled")]


def test_a_quick_answer_has_no_hedge() -> None:
    one = hedged([silent(GOOD, 1.9)], [])
    assert text(serve(one).body, OPENAI) == "good"
    assert len(one.record.attempts) == 1


def test_what_the_loser_may_cost_is_in_the_record() -> None:
    one = hedged([slow(GOOD, 9.0)], [GOOD])
    serve(one)
    lost, won = one.record.attempts
    assert lost.usage is not None
    assert lost.usage.estimated
    assert lost.usage.input_tokens > 0
    assert lost.cost_picousd == lost.usage.input_tokens * 1_000_000
    assert one.record.cost_picousd == lost.cost_picousd + (won.cost_picousd or 0)
    assert CALLED_OFF in one.record.warnings


def test_a_race_asks_all_at_once_and_takes_the_first() -> None:
    one = hedged([silent(GOOD, 5.0)], [silent(GOOD, 4.0)], [silent(streamed(OPENAI, "third"), 3.0)],
                 rules=Hedging(after_s=0.0, width=3, max_share=9.0, max_extra_cost=9.0))  # fmt: skip
    assert text(serve(one).body, OPENAI) == "third"
    assert [sent.at_s for name in "abc" for sent in one.upstreams[name].sent] == [0.0, 0.0, 0.0]
    assert [each.outcome for each in one.record.attempts] == ["cancelled", "cancelled", "ok"]


def test_two_that_answer_in_the_same_moment_make_one_answer() -> None:
    one = hedged([silent(GOOD, 3.0)], [silent(streamed(OPENAI, "other"), 1.0)])
    assert text(serve(one).body, OPENAI) in ("good", "other")
    assert sorted(str(each.outcome) for each in one.record.attempts) == ["cancelled", "ok"]


def test_an_alarm_in_the_moment_of_the_first_output_ends_nothing() -> None:
    """The first token comes when the second attempt is due, or when its own time is over."""
    for at in (2.0, 20.0, 22.0):
        one = hedged([silent(GOOD, at)], [Script(steps=(HANG,))], [streamed(OPENAI, "third")])
        assert text(serve(one).body, OPENAI) in ("good", "third")
        check(one)


def test_a_failed_first_is_fallen_back_from_without_waiting_for_the_hedge() -> None:
    one = hedged([failed(OPENAI, 500, "server")], [GOOD])
    assert text(serve(one).body, OPENAI) == "good"
    assert whys(one) == [("a/up", "primary", "error"), ("b/up", "fallback", "ok")]
    assert one.upstreams["b"].sent[0].at_s == 0.0


def test_when_the_hedge_fails_the_first_is_waited_for() -> None:
    one = hedged([silent(GOOD, 5.0)], [failed(OPENAI, 500, "server")])
    assert text(serve(one).body, OPENAI) == "good"
    assert whys(one) == [("a/up", "primary", "ok"), ("b/up", "hedge", "error")]


def test_when_both_fail_the_third_is_asked() -> None:
    one = hedged([slow(failed(OPENAI, 500, "server"), 3.0)], [slow(failed(OPENAI, 503, "overloaded"), 3.0)], [GOOD])
    assert text(serve(one).body, OPENAI) == "good"
    assert [each.why for each in one.record.attempts] == ["primary", "hedge", "fallback"]


def test_when_all_fail_the_client_is_told_once() -> None:
    one = hedged([slow(failed(OPENAI, 500, "server"), 3.0)], [slow(failed(OPENAI, 501, "server"), 3.0)])
    reply = serve(one)
    assert reply.status == 502
    assert b"All 2 attempts failed" in reply.body


def test_a_request_that_is_wrong_ends_the_race() -> None:
    one = hedged([slow(failed(OPENAI, 400, "invalid_request"), 3.0)], [slow(GOOD, 9.0)])
    assert serve(one).status == 400
    assert whys(one) == [("a/up", "primary", "error"), ("b/up", "hedge", "cancelled")]


def test_the_winner_that_is_cut_is_gone_on_with() -> None:
    cut = Script(steps=(*streamed(OPENAI, "one ", "two ", "three").steps[:3], Cut()))
    one = hedged([slow(GOOD, 9.0), streamed(OPENAI, "one two three")], [cut], resume="safe", prefill=False)
    reply = serve(one, temperature=0)
    assert text(reply.body, OPENAI) == "one two three"
    assert [each.why for each in one.record.attempts] == ["primary", "hedge", "resume"]


def test_a_committed_hedge_that_stalls_is_ended_as_any() -> None:
    stalled = Script(steps=(*streamed(OPENAI, "one ", "two ", "three").steps[:3], HANG))
    one = hedged([slow(GOOD, 99.0)], [stalled])
    assert "between_tokens" in serve(one).body.decode()
    assert [each.outcome for each in one.record.attempts] == ["cancelled", "timeout"]


def test_a_complete_answer_on_an_open_connection_ends_well() -> None:
    open_ = Script(steps=(*GOOD.steps, HANG))
    one = hedged([slow(GOOD, 99.0)], [open_])
    assert text(serve(one).body, OPENAI) == "good"
    assert one.record.outcome == "ok"


def test_the_deadline_ends_both() -> None:
    one = hedged([slow(GOOD, 999.0)], [slow(GOOD, 999.0)], limits=msgspec.structs.replace(LIMITS, total_s=5.0))
    assert serve(one).status == 504
    assert [each.outcome for each in one.record.attempts] == ["timeout", "timeout"]


@pytest.mark.parametrize("at", [1.0, 2.5, 4.5])
def test_a_client_that_leaves_ends_whatever_runs(at: float) -> None:
    """Before the hedge, during the race, and in the middle of the answer."""
    long = Script(steps=(Wait(2.0), *streamed(OPENAI, "a ", "b ", "c").steps[:3], Wait(5.0), *GOOD.steps))
    one = hedged([slow(GOOD, 99.0)], [long])

    async def leaves() -> None:
        reply = MemoryReply()
        task = asyncio.create_task(one.chat(ask("m", stream=True), reply=reply))
        await asyncio.sleep(at)
        reply.gone = True
        task.cancel()
        await asyncio.wait([task])

    run(leaves())
    assert one.record.outcome == "client_closed"
    assert all(sent.closed_at_s == at for each in one.upstreams.values() for sent in each.sent if sent.closed_at_s)
    assert {each.outcome for each in one.record.attempts} <= {"client_closed", "cancelled"}


def test_a_shutdown_tells_the_client() -> None:
    one = hedged([slow(GOOD, 99.0)], [slow(GOOD, 99.0)])

    async def stops() -> MemoryReply:
        reply = MemoryReply(gone=False)
        task = asyncio.create_task(one.chat(ask("m", stream=True), reply=reply))
        await asyncio.sleep(3.0)
        task.cancel()
        await asyncio.wait([task])
        return reply

    assert run(stops()).status == 503


def test_an_ill_target_is_no_hedge() -> None:
    one = hedged([silent(GOOD, 5.0)], [GOOD])
    one.context.fleet.cool("b/up", 1e9)
    assert text(serve(one).body, OPENAI) == "good"
    assert len(one.record.attempts) == 1
    assert one.context.hedges.denied["target"] == 1


def test_health_learns_that_the_loser_was_late_and_not_that_it_failed() -> None:
    one = hedged(*[[slow(GOOD, 9.0)] * 3, [GOOD] * 3])
    for _ in range(3):
        run(one.chat(ask("m", stream=True)))
    assert one.context.fleet.health.conditions["a/up"].load.in_flight == 0
    assert one.context.fleet.health.conditions["a/up"].error_share(10.0) == 0


def test_a_percentile_is_learned_from_the_traffic() -> None:
    scripts = [silent(GOOD, 0.1)] * (LEARNED_AFTER + 14) + [silent(GOOD, 9.0)]
    one = hedged(scripts, [GOOD], rules=Hedging(percentile=0.95, max_share=1.0, max_extra_cost=9.0))

    async def asks() -> None:
        for _ in scripts:
            await one.chat(ask("m", stream=True))

    run(asks())
    whys = [[each.why for each in record.attempts] for record in one.records]
    assert whys[-1] == ["primary", "hedge"]
    assert all(each == ["primary"] for each in whys[:-1])
    assert one.records[-1].ttft_s == pytest.approx(0.1, abs=0.02)


def test_hedges_stay_within_their_share() -> None:
    count = 200
    plan = snapshot(
        alias("m", target("a/up", priority=0), target("b/up", priority=1)),
        defaults=Route("defaults", limits=LIMITS, hedge=Hedging(after_s=1.0, max_share=0.05, max_extra_cost=9.0)),
    )
    one = MemoryGateway(plan, a=ScriptedUpstream(*[silent(GOOD, 2.0)] * count), b=ScriptedUpstream(*[GOOD] * 40))

    async def asks() -> None:
        for _ in range(count):
            await one.chat(ask("m", stream=True))

    run(asks())
    made = sum(each.why == "hedge" for record in one.records for each in record.attempts)
    assert 8 <= made <= 11
    assert one.context.hedges.denied["share"] == count - made


DEAR = Price(input=9_000_000, output=9_000_000, cached_input=9_000_000, cache_write=9_000_000)


def keeping(
    small: list[Script], *large: list[Script], fallback: tuple[str, ...] = ("large", "small"), **fields: Any
) -> MemoryGateway:
    """A route `auto` that keeps quality and hedges: `small` at a, `large` at b, and c if it has scripts."""
    route = Route("auto", LIMITS, fallback, candidates=("small", "large"), hedge=SOON, **{"keep": 0.9} | fields)
    strong = [target(f"{name}/big", price=DEAR, priority=at) for at, name in zip(range(len(large)), "bc", strict=False)]
    plan = snapshot(alias("small", target("a/small")), alias("large", *strong), routes=(route,))
    ups: dict[str, Any] = {
        name: ScriptedUpstream(*scripts) for name, scripts in zip("abc", (small, *large), strict=False)
    }
    return MemoryGateway(plan, **ups)


def serve_auto(one: MemoryGateway) -> MemoryReply:
    reply = run(one.chat(ask("auto", stream=True)))
    check(one)
    return reply


def test_what_is_not_certified_is_not_hedged_to_the_cheap_model() -> None:
    one = keeping([GOOD], [silent(GOOD, 9.0)])
    serve_auto(one)
    assert whys(one) == [("b/big", "primary", "ok")]
    assert one.context.hedges.denied["target"] == 1


def test_the_strongest_is_hedged_to_another_deployment_of_its_own() -> None:
    one = keeping([], [silent(GOOD, 9.0)], [GOOD])
    serve_auto(one)
    assert whys(one) == [("b/big", "primary", "cancelled"), ("c/big", "hedge", "ok")]


def test_a_failure_of_the_strongest_still_falls_to_the_route_s_fallback() -> None:
    one = keeping([GOOD], [failed(OPENAI, 500, "server")])
    serve_auto(one)
    assert whys(one) == [("b/big", "primary", "error"), ("a/small", "fallback", "ok")]


def test_a_silent_certified_model_is_hedged_to_the_strongest() -> None:
    one = keeping([silent(GOOD, 9.0)], [GOOD])
    learned = Learned(MemoryLabels(now=lambda: 0.0, retention_s=1e12), MemoryRouters(), one.context.clock)
    plan = one.context.fleet.snapshot
    duel = duel_of(plan, plan.routes["auto"], "large")
    assert duel is not None
    learned.standings = {"auto": Standing("small", "large", 20.0, 300, keep=0.9, digest=duel.digest)}
    one.context.learned = learned
    serve_auto(one)
    assert whys(one) == [("a/small", "primary", "cancelled"), ("b/big", "hedge", "ok")]


@pytest.mark.parametrize("fields", [{"keep": None}, {"keep": 0.9, "fallback": ("small", "large")}])
def test_where_no_quality_is_kept_any_fallback_may_be_a_hedge(fields: dict[str, Any]) -> None:
    one = keeping([silent(GOOD, 9.0)], [GOOD], **fields)
    serve_auto(one)
    assert whys(one) == [("a/small", "primary", "cancelled"), ("b/big", "hedge", "ok")]


def test_other_operations_never_hedge() -> None:
    one = hedged([slow(answered(ANTHROPIC, "x"), 3.0)], [])
    serve(one, stream=False)
    assert one.record.outcome != "ok" or len(one.record.attempts) == 1
