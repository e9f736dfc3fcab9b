"""The limit of money through retries, fallbacks, hedges, repairs and resumes: one for all attempts together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings
from tests.engine.cases import ANTHROPIC, LIMITS, OPENAI, check, error, gateway, serve
from tests.engine.test_money import CENT, body, route, sent
from tests.engine.test_tool_calls import BAD, GOOD, asked
from tests.engine.test_tool_calls import answered as called

from afterbay.core.usage import Usage, picousd
from afterbay.policy.hedge import Hedging
from afterbay.testing.answers import answered, failed, stream, streamed, whole
from afterbay.testing.fakes import HANG, Cut, Script, ScriptedResponse, ScriptedUpstream
from afterbay.testing.memory_gateway import PRICE, MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run

SPENT = Usage(input_tokens=1_000, output_tokens=4_000)
"""$0.009 at the price of these targets."""


def said(one: MemoryGateway) -> str:
    return "; ".join(one.record.warnings)


def test_what_a_poor_answer_has_cost_is_not_there_for_another() -> None:
    one = gateway([answered(OPENAI, "", SPENT)], [answered(OPENAI, "hi")], route=route(0.0092))
    reply = serve(one, body=body(stream=False))
    assert reply.status == 200, "the poor answer is better than none"
    assert one.upstreams["b"].sent == []
    assert "too dear: b/up costs at least $0.000518, $0.0002 is left of $0.0092" in said(one)


def test_a_failure_costs_nothing_and_the_next_target_has_all_of_the_money() -> None:
    one = gateway([failed(OPENAI, 500, "server")], [answered(OPENAI, "hi")], route=route(CENT))
    assert serve(one, body=body(stream=False)).status == 200
    assert sent(one, "a")["max_tokens"] == sent(one, "b")["max_tokens"]
    assert "too dear" not in said(one)


def test_a_target_that_is_tried_again_has_all_of_the_money_again() -> None:
    scripts = [failed(OPENAI, 503, "overloaded", retry_after="1"), answered(OPENAI, "hi")]
    one = gateway(scripts, route=route(CENT), limits=LIMITS)
    assert serve(one, body=body(stream=False)).status == 200
    first, second = (request.json["max_tokens"] for request in one.upstreams["a"].sent)
    assert first == second


def test_an_answer_that_broke_off_takes_its_cost_from_the_next_one() -> None:
    pieces = stream(OPENAI, "word " * 800, "more ")
    one = gateway(
        [Script(steps=(*pieces[:2], Cut()))],
        [streamed(OPENAI, "word")],
        route=route(0.01, resume="safe"),
        limits=LIMITS,
    )
    serve(one, body=body(stream=True))
    (second,) = one.upstreams["b"].sent
    assert second.json["max_tokens"] < sent(one, "a")["max_tokens"] - 800


def test_a_stream_that_broke_off_is_not_gone_on_with_for_money_that_is_not_there() -> None:
    pieces = stream(OPENAI, "word " * 200, "more ")
    one = gateway([Script(steps=(*pieces[:2], Cut()))], [], route=route(0.0007, resume="safe"), limits=LIMITS)
    reply = serve(one, body=body(stream=True))
    assert error(reply.body)
    assert "too dear: b/up" in said(one)


@pytest.mark.parametrize(("fields", "hedges"), [({}, False), ({"max_tokens": 50}, True)])
def test_a_hedge_needs_money_for_both_at_their_longest(fields: dict[str, int], hedges: bool) -> None:
    late = Script(steps=(whole(OPENAI, "late"),), headers={"content-type": "application/json"}, headers_take_s=5)
    rules = route(CENT, hedge=Hedging(after_s=1.0))
    one = gateway([late], [answered(OPENAI, "soon")], route=rules, limits=LIMITS)
    serve(one, body=body(stream=False, **fields))
    assert bool(one.upstreams["b"].sent) is hedges
    assert ("too dear: b/up" in said(one)) is not hedges


def test_who_was_too_dear_for_a_hedge_is_still_the_fallback() -> None:
    late = msgspec.structs.replace(failed(OPENAI, 500, "server"), headers_take_s=5)
    rules = route(CENT, hedge=Hedging(after_s=1.0))
    one = gateway([late], [answered(OPENAI, "hi")], route=rules, limits=LIMITS)
    assert serve(one, body=body(stream=False)).status == 200
    assert [tried.why for tried in one.record.attempts] == ["primary", "fallback"]


@pytest.mark.parametrize(("usd", "asks"), [(0.00905, False), (0.03, True)])
def test_a_repair_asks_the_purse_first(usd: float, asks: bool) -> None:
    first, second = called(OPENAI, ("t", BAD), finish="tool_calls"), called(OPENAI, ("t", GOOD), finish="tool_calls")
    dear = msgspec.json.decode(first.steps[0])  # type: ignore[arg-type]
    dear["usage"] = {"prompt_tokens": 1_000, "completion_tokens": 4_000, "total_tokens": 5_000}
    script = msgspec.structs.replace(first, steps=(msgspec.json.encode(dear),))
    rules = route(usd, tool_repair="all", tool_reask=True)
    one = gateway([script, second], route=rules, limits=LIMITS)
    serve(one, body=asked(OPENAI, "t", stream=False))
    assert len(one.upstreams["a"].sent) == 1 + asks
    assert ("no money was left to ask again" in said(one)) is not asks


def test_an_input_that_the_provider_counts_higher_is_said_to_have_passed_the_limit() -> None:
    one = gateway([answered(OPENAI, "hi", Usage(input_tokens=20_000, output_tokens=1))], route=route(CENT))
    assert serve(one, body=body(stream=False)).status == 200
    assert "max_cost_usd: it cost $0.02, the limit was $0.01" in said(one)


@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC])
def test_a_silent_target_has_read_its_input(client: str) -> None:
    text = "word " * 2_000
    one = gateway([Script(steps=(HANG,))], [answered(client, "hi")], spoken=client, route=route(0.007), limits=LIMITS)
    serve(one, client, body=body(max_tokens=300, messages=[{"role": "user", "content": text}], stream=False))
    assert one.record.attempts[0].outcome == "timeout"
    assert one.upstreams["b"].sent
    one = gateway([Script(steps=(HANG,))], [answered(client, "hi")], spoken=client, route=route(0.0045), limits=LIMITS)
    serve(one, client, body=body(max_tokens=300, messages=[{"role": "user", "content": text}], stream=False))
    assert not one.upstreams["b"].sent


LONGEST = 3_000


class Greedy(ScriptedUpstream):
    """Fails, or writes as much as it may, and counts the input as it is estimated, and some percent more."""

    def __init__(self, behaviour: str, input_tokens: int) -> None:
        super().__init__()
        self._behaviour, self._input_tokens = behaviour, input_tokens

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> ScriptedResponse:
        if self._behaviour == "error":
            self._scripts.append(failed(OPENAI, 500, "server"))
        else:
            length = min(LONGEST, msgspec.json.decode(body).get("max_tokens", LONGEST))
            usage = Usage(input_tokens=self._input_tokens, output_tokens=length)
            self._scripts.append(answered(OPENAI, "" if self._behaviour == "empty" else "hi", usage, finish="length"))
        return await super().post(path, body, headers, connect_s)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["error", "empty", "ok"]), min_size=1, max_size=4),
    st.integers(600, 40_000),
    st.one_of(st.none(), st.integers(1, 20_000)),
    st.integers(0, 400),
    st.integers(0, 25),
)
def test_all_attempts_together_never_cost_more_than_the_limit(
    behaviours: list[str], micro: int, longest: int | None, words: int, more_percent: int
) -> None:
    """But for the margin of an input that was estimated too low beside the short answer that is always granted."""
    asked = body(messages=[{"role": "user", "content": "word " * words}], stream=False)
    fields = msgspec.json.decode(asked) | ({"max_tokens": longest} if longest is not None else {})
    names = "abcd"[: len(behaviours)]
    targets = [target(f"{name}/up", priority=at, max_output=LONGEST) for at, name in enumerate(names)]
    plan = snapshot(alias("m", *targets), defaults=route(micro / 1e6), limits=LIMITS)
    estimate = 4 + -(-5 * words * 10 // 37)
    counted = estimate * (100 + more_percent) // 100
    ups: dict[str, Any] = {name: Greedy(what, counted) for name, what in zip(names, behaviours, strict=True)}
    one = MemoryGateway(plan, **ups)
    run(one.chat(msgspec.json.encode(fields)))
    if one.record.outcome == "max_cost_exceeded":
        assert one.record.attempts == []
        return
    record = check(one)
    slack = PRICE.input * (counted - estimate) * len(record.attempts)
    assert record.cost_picousd is not None
    assert record.cost_picousd <= picousd(micro / 1e6) + slack
