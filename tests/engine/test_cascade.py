"""The cascade through the whole engine: the cheap model first, its answer held, checked, given or escalated."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, BEDROCK, GEMINI, LIMITS, OPENAI, PAIRS, check, is_clean, text
from tests.engine.test_gemini_clients import as_array
from tests.engine.test_tool_calls import BAD, GOOD, asked
from tests.engine.test_tool_calls import answered as called
from tests.engine.test_tool_calls import streamed as called_in_stream

from afterbay.core.usage import Price, Usage
from afterbay.emulate.profile import Profile, ProfileFile
from afterbay.emulate.server import Emulator
from afterbay.policy.cascade import Cascading
from afterbay.policy.plan import Route
from afterbay.testing.answers import answered, ask, failed, streamed
from afterbay.testing.emulated_upstream import EmulatedUpstream
from afterbay.testing.fakes import Cut, Hang, MemoryReply, Script, ScriptedUpstream, Wait
from afterbay.testing.memory_gateway import MemoryGateway, VirtualClock, alias, snapshot, target
from afterbay.testing.virtual_loop import run

RESPONSES = "openai.responses"
CHEAP = Price(input=10_000, output=20_000, cached_input=1_000, cache_write=12_500)
DEAR = Price(input=1_000_000, output=2_000_000, cached_input=100_000, cache_write=1_250_000)
ONE = Cascading()
RIGHT = "He buys 3 * 4 = 12 eggs.\n#### 12"
WRONG = "He buys 3 * 4 = 13 eggs.\n#### 13"
QUESTION = "Tom buys 3 boxes of 4 eggs. How many eggs does he buy?"


def gateway(
    cheap: list[Script],
    strong: list[Script],
    *,
    spoken: str = OPENAI,
    cascade: Cascading | None = ONE,
    second: list[Script] | None = None,
    cheap_price: Price | None = CHEAP,
    window: int | None = None,
    **fields: Any,
) -> MemoryGateway:
    """A route `auto` that picks `strong` by its rules; `second`: another deployment of the cheap model; `window`: its
    own."""
    cheap_targets = [target("a/small", spoken, price=cheap_price, priority=0, context_tokens=window)]
    if second is not None:
        cheap_targets.append(target("c/small", spoken, price=cheap_price, priority=1))
    route = Route(
        "auto",
        limits=LIMITS,
        complexity={"low": "strong", "high": "strong"},
        candidates=("strong", "cheap"),
        cascade=cascade,
        **{"stages": frozenset[str]()} | fields,
    )
    plan = snapshot(
        alias("cheap", *cheap_targets), alias("strong", target("b/big", spoken, price=DEAR)), routes=(route,)
    )
    ups = {"a": ScriptedUpstream(*cheap), "b": ScriptedUpstream(*strong)}
    if second is not None:
        ups["c"] = ScriptedUpstream(*second)
    return MemoryGateway(plan, **ups)


def serve(one: MemoryGateway, client: str = OPENAI, body: bytes | None = None, **fields: Any) -> MemoryReply:
    options = {name: fields.pop(name) for name in ("reply", "headers") if name in fields}
    request = body or ask("auto", QUESTION, **({"stream": False} | fields))
    reply = run(one.chat(request, client, **options))
    check(one)
    return reply


def tried(one: MemoryGateway) -> list[tuple[str, str, str | None]]:
    return [(attempt.target, attempt.why, attempt.outcome) for attempt in one.record.attempts]


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_cheap_answer_that_passes_is_given_and_nobody_else_is_asked(client: str, spoken: str, stream: bool) -> None:
    made = streamed if stream else answered
    one = gateway([made(spoken, RIGHT)], [], spoken=spoken)
    reply = serve(one, client, stream=stream)
    assert reply.status == 200
    assert tried(one) == [("a/small", "primary", "ok")]
    assert "= 12" in (text(reply.body, client) if stream else reply.body.decode())
    assert is_clean(reply.body, client) or not stream
    assert reply.headers["x-afterbay-route"].startswith("auto; cascade: accepted; ")
    assert reply.headers["x-afterbay-model"] == "small"
    assert one.record.rule.startswith("cascade: accepted; ")
    assert one.record.cost_picousd == 11 * 10_000 + 7 * 20_000


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_cheap_answer_that_fails_a_check_is_never_seen(client: str, spoken: str, stream: bool) -> None:
    made = streamed if stream else answered
    one = gateway([made(spoken, WRONG)], [made(spoken, RIGHT)], spoken=spoken)
    reply = serve(one, client, stream=stream)
    assert tried(one) == [("a/small", "primary", "invalid"), ("b/big", "fallback", "ok")]
    assert b"13" not in reply.body.replace(b"req_", b"") or "13" not in text(reply.body, client)
    assert "= 12" in (text(reply.body, client) if stream else reply.body.decode())
    assert reply.headers["x-afterbay-route"].startswith("auto; cascade: arithmetic failed; ")
    assert reply.headers["x-afterbay-model"] == "big"
    assert one.record.attempts[0].error == "cascade: arithmetic: 1 of 1 equations are wrong"
    assert one.record.cost_picousd == (11 * 10_000 + 7 * 20_000) + (11 * 1_000_000 + 7 * 2_000_000), "both were paid"


def test_the_strongest_would_have_cost_what_it_did_where_it_answered_and_else_the_tokens_of_the_answer() -> None:
    used = Usage(1000, 0, 0, 200)
    escalated = gateway([answered(OPENAI, WRONG, used)], [answered(OPENAI, RIGHT)])
    serve(escalated)
    assert [attempt.model for attempt in escalated.record.attempts] == ["cheap", "strong"]
    assert escalated.record.reasons is not None
    assert escalated.record.reasons["counterfactual_picousd"] == escalated.record.attempts[1].cost_picousd
    script = [answered(OPENAI, RIGHT, used), answered(OPENAI, "3 * 4 = 12, so #### 12")]
    sampled = gateway(script, [], cascade=Cascading(2))
    serve(sampled)
    assert len(sampled.record.attempts) == 2
    assert sampled.record.reasons is not None
    assert sampled.record.reasons["counterfactual_picousd"] == DEAR.cost_picousd(used)


def test_a_relayed_stream_is_given_byte_for_byte_after_it_was_held() -> None:
    script = streamed(OPENAI, "It is ", "3 * 4 = 12", ".\n#### 12")
    one = gateway([script], [])
    reply = serve(one, stream=True, stream_options={"include_usage": True})
    assert reply.body == b"".join(step for step in script.steps if isinstance(step, bytes))


def test_a_held_stream_may_be_come_back_to() -> None:
    script = streamed(OPENAI, "It is ", "3 * 4 = 12", ".\n#### 12")
    one = gateway([script], [], reconnect_s=30.0)
    reply = serve(one, stream=True)
    assert reply.headers["x-afterbay-reconnect"] == "30"
    assert text(reply.body, OPENAI) == "It is 3 * 4 = 12.\n#### 12"
    assert is_clean(reply.body, OPENAI)


def test_a_held_stream_pings_while_it_is_held_and_escalates_unseen() -> None:
    slow = streamed(OPENAI, WRONG)
    held = msgspec.structs.replace(slow, steps=(slow.steps[0], Wait(12.0), *slow.steps[1:]))
    one = gateway([held], [streamed(OPENAI, RIGHT)])
    reply = serve(one, stream=True)
    assert reply.status == 200
    assert reply.body.startswith(b":"), "a comment of the protocol"
    assert text(reply.body, OPENAI) == RIGHT
    assert "x-afterbay-model" not in reply.headers, "the headers went out before that was known"


@pytest.mark.parametrize("stream", [False, True])
def test_a_cheap_target_that_fails_leads_on_as_ever(stream: bool) -> None:
    made = streamed if stream else answered
    one = gateway([failed(OPENAI, 500, "server")], [made(OPENAI, WRONG)])
    reply = serve(one, stream=stream)
    assert tried(one)[0][2] == "error"
    assert b"13" in reply.body, "the last answer is not judged by the cascade"
    assert "cascade" not in reply.headers["x-afterbay-route"]


def test_a_held_stream_that_is_cut_leads_on_and_what_it_said_is_paid() -> None:
    whole = streamed(OPENAI, "It is ", RIGHT)
    cut = msgspec.structs.replace(whole, steps=(*whole.steps[:2], Cut()))
    one = gateway([cut], [streamed(OPENAI, RIGHT)])
    assert text(serve(one, stream=True).body, OPENAI) == RIGHT
    assert tried(one)[0][2] == "cut"
    assert one.record.attempts[0].usage is not None


def test_a_held_stream_that_just_ends_is_cut() -> None:
    whole = streamed(OPENAI, "It is ", RIGHT)
    one = gateway([msgspec.structs.replace(whole, steps=whole.steps[:2])], [streamed(OPENAI, RIGHT)])
    assert text(serve(one, stream=True).body, OPENAI) == RIGHT
    assert tried(one)[0][2] == "cut"


def test_a_held_stream_of_nonsense_leads_on() -> None:
    one = gateway([Script(steps=(b"data: {]\n\n",))], [streamed(OPENAI, RIGHT)])
    assert text(serve(one, stream=True).body, OPENAI) == RIGHT
    assert "cannot be read" in (one.record.attempts[0].error or "")


def test_a_held_stream_that_says_it_failed_leads_on() -> None:
    bad = b'data: {"error": {"message": "boom", "type": "server_error"}}\n\n'
    whole = streamed(OPENAI, "It is ", RIGHT)
    one = gateway([msgspec.structs.replace(whole, steps=(whole.steps[0], bad))], [streamed(OPENAI, RIGHT)])
    assert text(serve(one, stream=True).body, OPENAI) == RIGHT
    assert tried(one)[0][2] == "error"
    assert "boom" in (one.record.attempts[0].error or "")


def test_a_cheap_stream_that_hangs_is_left_when_its_first_token_is_late() -> None:
    whole = streamed(OPENAI, "It is ", RIGHT)
    one = gateway([msgspec.structs.replace(whole, steps=(*whole.steps[:2], Hang()))], [streamed(OPENAI, RIGHT)])
    assert text(serve(one, stream=True).body, OPENAI) == RIGHT
    assert tried(one)[0][2] == "timeout"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC])
def test_the_cheap_answer_is_given_for_want_of_a_better_one(client: str, stream: bool) -> None:
    made = streamed if stream else answered
    one = gateway([made(client, WRONG)], [failed(client, 500, "server")] * 3, spoken=client)
    reply = serve(one, client, stream=stream)
    assert reply.status == 200
    assert "= 13" in (text(reply.body, client) if stream else reply.body.decode())
    assert "no other target gave a better one" in reply.headers["x-afterbay-warnings"]
    assert one.record.provider == "a"


def test_other_deployments_of_the_cheap_model_are_passed_over_when_a_check_fails() -> None:
    one = gateway([answered(OPENAI, WRONG)], [answered(OPENAI, RIGHT)], second=[])
    serve(one)
    assert [name for name, _, _ in tried(one)] == ["a/small", "b/big"]


def test_another_deployment_of_the_cheap_model_is_asked_when_one_is_down() -> None:
    one = gateway([failed(OPENAI, 500, "server")], [], second=[answered(OPENAI, RIGHT)])
    reply = serve(one)
    assert [name for name, _, _ in tried(one)] == ["a/small", "c/small"]
    assert "cascade: accepted" in reply.headers["x-afterbay-route"]


def test_a_price_that_is_not_known_is_never_cheap() -> None:
    one = gateway([], [answered(OPENAI, RIGHT)], cheap_price=None)
    serve(one)
    assert tried(one) == [("b/big", "primary", "ok")]


def test_without_the_key_nothing_is_held() -> None:
    one = gateway([], [answered(OPENAI, WRONG)], cascade=None)
    assert "13" in serve(one).body.decode()
    assert one.record.rule == "complexity:low"


def test_a_client_that_names_a_model_gets_that_model() -> None:
    one = gateway([], [answered(OPENAI, WRONG)])
    reply = serve(one, body=ask("strong", QUESTION))
    assert "13" in reply.body.decode()


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_pass_only_if_they_fit_their_tool(stream: bool) -> None:
    made = called_in_stream if stream else called
    for arguments, targets in ((GOOD, ["a/small"]), (BAD, ["a/small", "b/big"])):
        one = gateway([made(OPENAI, ("add", arguments))], [made(OPENAI, ("add", GOOD))])
        body = msgspec.json.decode(asked(OPENAI, "add", stream=stream)) | {"model": "auto"}
        reply = serve(one, body=msgspec.json.encode(body))
        assert [name for name, _, _ in tried(one)] == targets
        assert b'\\"n\\":' in reply.body.replace(b" ", b"") or stream
    assert one.record.attempts[0].error == "cascade: tools: the arguments of a call do not fit the tool's schema"


def test_an_answer_that_misses_its_schema_is_escalated_without_the_stage() -> None:
    wish = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object", "required": ["n"]}}}
    one = gateway([answered(OPENAI, "{}")], [answered(OPENAI, '{"n": 1}')])
    assert b'\\"n\\"' in serve(one, response_format=wish).body
    assert one.record.attempts[0].error == "cascade: json: it does not fit the schema"


def test_a_request_for_several_answers_is_not_held() -> None:
    one = gateway([answered(OPENAI, WRONG)], [])
    assert "13" in serve(one, n=2).body.decode()


@pytest.mark.parametrize("stream", [False, True])
def test_two_answers_that_agree_are_one_good_answer(stream: bool) -> None:
    first = streamed(OPENAI, RIGHT) if stream else answered(OPENAI, RIGHT)
    one = gateway([first, answered(OPENAI, "3 * 4 = 12, so #### 12")], [], cascade=Cascading(2))
    reply = serve(one, stream=stream, temperature=0, seed=7)
    assert tried(one) == [("a/small", "primary", "ok"), ("a/small", "sample", "ok")]
    second = one.upstreams["a"].sent[1].json
    assert "temperature" not in second, "a cold model would say the same again"
    assert "seed" not in second
    assert not second.get("stream")
    assert one.record.cost_picousd == 2 * (11 * 10_000 + 7 * 20_000)
    assert "cascade: accepted" in reply.headers["x-afterbay-route"]


def test_a_second_answer_is_asked_of_the_same_trimmed_history() -> None:
    one = gateway([answered(OPENAI, RIGHT)] * 2, [], cascade=Cascading(2), window=4_000, overflow="trim_oldest")
    said = [{"role": role, "content": "word " * 500} for role in ("user", "assistant") * 5]
    serve(one, body=ask("auto", messages=[*said, {"role": "user", "content": QUESTION}]))
    sent: list[Any] = [each.json["messages"] for each in one.upstreams["a"].sent]
    first, second = sent
    assert first == second
    assert len(first) < len(said), "it did not fit"


@pytest.mark.parametrize("second", [answered(OPENAI, "#### 7"), failed(OPENAI, 500, "server")])
def test_without_a_second_answer_that_agrees_the_next_target_is_asked(second: Script) -> None:
    one = gateway([answered(OPENAI, RIGHT), second], [answered(OPENAI, "It is 5 + 7 = 12")], cascade=Cascading(2))
    reply = serve(one)
    assert "5 + 7" in reply.body.decode()
    assert [why for _, why, _ in tried(one)] == ["primary", "sample", "fallback"]
    assert "cascade: agreement failed" in reply.headers["x-afterbay-route"]


def test_no_second_answer_is_asked_for_where_the_first_one_fails_a_check() -> None:
    one = gateway([answered(OPENAI, WRONG)], [answered(OPENAI, RIGHT)], cascade=Cascading(2))
    serve(one)
    assert [why for _, why, _ in tried(one)] == ["primary", "fallback"]


def test_a_second_answer_that_does_not_come_is_given_up_before_the_first_is_late() -> None:
    late = Script(steps=(Hang(),))
    one = gateway([answered(OPENAI, RIGHT), late], [answered(OPENAI, RIGHT)], cascade=Cascading(2))
    serve(one)
    assert [outcome for _, _, outcome in tried(one)] == ["invalid", "timeout", "ok"]


def test_a_second_answer_leaves_an_attempt_for_the_strong_model() -> None:
    limits = msgspec.structs.replace(LIMITS, max_attempts=2)
    route = Route(
        "auto", limits=limits, complexity={"low": "strong"}, candidates=("strong", "cheap"), cascade=Cascading(2)
    )
    one = gateway([answered(OPENAI, RIGHT)], [answered(OPENAI, RIGHT)], cascade=Cascading(2))
    plan = msgspec.structs.replace(one.context.fleet.snapshot, routes={"auto": route})
    other = MemoryGateway(
        plan, a=ScriptedUpstream(answered(OPENAI, RIGHT)), b=ScriptedUpstream(answered(OPENAI, RIGHT))
    )
    serve(other)
    assert [name for name, _, _ in tried(other)] == ["a/small", "b/big"]


def test_a_request_whose_money_is_spent_gets_the_cheap_answer() -> None:
    one = gateway([answered(OPENAI, WRONG)], [])
    reply = serve(one, headers={"x-afterbay-max-cost-usd": "0.000002"})
    assert "13" in reply.body.decode()
    assert [name for name, _, _ in tried(one)] == ["a/small"]


def test_what_was_learned_has_the_last_word() -> None:
    class Never:
        def accepts(self, features: Any) -> float:
            assert features["steps"] > 0
            return 0.2

    one = gateway([answered(OPENAI, RIGHT)], [answered(OPENAI, "12")])
    one.context.acceptors = {"auto": (Never(), 0.5)}
    serve(one)
    assert one.record.attempts[0].error == "cascade: acceptor: it was seldom right where it looked so"


def test_an_escalation_is_nothing_that_went_wrong() -> None:
    one = gateway([answered(OPENAI, WRONG)], [answered(OPENAI, RIGHT)])
    serve(one)
    assert one.record.circumstances is None


@pytest.mark.parametrize("spoken", [GEMINI, BEDROCK])
def test_an_answer_too_long_to_be_held_leads_on(spoken: str) -> None:
    one = gateway([streamed(spoken, *["word " * 200] * 20)], [streamed(spoken, RIGHT)], spoken=spoken)
    plan = one.context.fleet.snapshot
    small = msgspec.structs.replace(plan, limits=msgspec.structs.replace(plan.limits, answer_bytes=4096))
    ups = {
        "a": ScriptedUpstream(streamed(spoken, *["word " * 200] * 20)),
        "b": ScriptedUpstream(streamed(spoken, RIGHT)),
    }
    other = MemoryGateway(small, **ups)
    assert text(serve(other, stream=True).body, OPENAI) == RIGHT
    assert "too long to be held" in (other.record.attempts[0].error or "")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("spoken", "provider"), [(OPENAI, "openai-a"), (ANTHROPIC, "anthropic-a")])
def test_emulated_providers_in_a_cascade(spoken: str, provider: str, stream: bool) -> None:
    """A cheap model that gives the prompt back is believed only where that makes sense."""
    emulator = Emulator(ProfileFile(Profile("instant")), VirtualClock())
    route = Route("auto", LIMITS, complexity={"low": "strong"}, candidates=("strong", "cheap"), cascade=ONE)
    cheap = alias("cheap", target("a/echo", spoken, price=CHEAP))
    strong = alias("strong", target("b/big", spoken, price=DEAR))
    plan = snapshot(cheap, strong, routes=(route,))
    for sum_, name in (("3 * 4 = 12", "echo"), ("3 * 4 = 13", "big")):
        ups: Any = {"a": EmulatedUpstream(emulator, provider), "b": EmulatedUpstream(emulator, provider)}
        one = MemoryGateway(plan, **ups)
        reply = serve(one, spoken, body=ask("auto", f"Is {sum_} right?", stream=stream))
        assert reply.status == 200
        assert reply.headers["x-afterbay-model"] == name
        assert (ups["a"].requests, ups["b"].requests) == (1, int(name == "big"))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("logprob", "name"), [(-0.1, "small"), (-3.0, "big")])
def test_a_model_that_was_unsure_of_its_words_is_not_believed(logprob: float, name: str, stream: bool) -> None:
    made = (streamed if stream else answered)(OPENAI, "It is blue.")
    told = b'"logprobs":{"content":[{"token":"It","logprob":%.1f}]},"finish_reason":' % logprob
    steps = tuple(step.replace(b'"finish_reason":', told) for step in made.steps if isinstance(step, bytes))
    one = gateway([msgspec.structs.replace(made, steps=steps)], [(streamed if stream else answered)(OPENAI, "Blue.")])
    body = ask("auto", "What colour is it?", stream=stream, logprobs=True)
    reply = serve(one, body=body)
    assert reply.headers["x-afterbay-model"] == name
    assert (one.record.attempts[0].error or "").startswith("cascade: logprob") is (name == "big")


@pytest.mark.parametrize("query", ["alt=sse", ""])
@pytest.mark.parametrize("spoken", [GEMINI, OPENAI])
@pytest.mark.parametrize(("said", "name"), [(RIGHT, "small"), (WRONG, "big")])
def test_a_client_of_geminis_protocol_gets_its_own_kind_of_stream(
    spoken: str, query: str, said: str, name: str
) -> None:
    def made(text_: str) -> Script:
        return as_array([text_]) if spoken == GEMINI and not query else streamed(spoken, text_)

    one = gateway([made(said)], [made(RIGHT)], spoken=spoken)
    body = msgspec.json.encode({"contents": [{"role": "user", "parts": [{"text": QUESTION}]}]})
    path = "/v1beta/models/auto:streamGenerateContent"
    reply = run(one.chat(body, GEMINI, path=path, query=query))
    check(one)
    assert (reply.status, reply.headers["x-afterbay-model"]) == (200, name)
    assert b"= 12" in reply.body
    assert reply.headers["content-type"].startswith("text/event-stream" if query else "application/json")
    assert len(one.record.attempts) == (1 if name == "small" else 2)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("spoken", [OPENAI, RESPONSES])
@pytest.mark.parametrize(("said", "name"), [(RIGHT, "small"), (WRONG, "big")])
def test_a_client_of_responses_gets_a_response(spoken: str, stream: bool, said: str, name: str) -> None:
    made = streamed if stream else answered
    one = gateway([made(spoken, said)], [made(spoken, RIGHT)], spoken=spoken)
    body = msgspec.json.encode({"model": "auto", "input": QUESTION, "stream": stream})
    reply = run(one.chat(body, RESPONSES, path="/v1/responses", operation="responses"))
    check(one)
    assert (reply.status, reply.headers["x-afterbay-model"]) == (200, name)
    assert b"= 12" in reply.body
    assert (b"response.completed" in reply.body) is stream
