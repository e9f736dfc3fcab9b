"""Streams that break after their first output and are gone on with: what the client, the record and the second provider
see."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, GEMINI, LIMITS, OPENAI, check, error, events, is_clean, text

from afterbay.core.event import (
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    ReasoningSignature,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
)
from afterbay.core.usage import Usage
from afterbay.policy.plan import Limits, Route
from afterbay.policy.resume import Mode
from afterbay.testing.answers import ask, failed
from afterbay.testing.fakes import HANG, Cut, MemoryReply, Script, ScriptedUpstream, Step, Wait
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run
from afterbay.wire.dialect import Head
from afterbay.wire.registry import DIALECTS

RESPONSES = "openai.responses"
CLIENTS = (OPENAI, ANTHROPIC, RESPONSES, GEMINI)
WHOLE = "One two three four five six seven eight nine ten."
FIRST, REST = "One two three", " four five six seven eight nine ten."
USAGE = Usage(input_tokens=11, output_tokens=7)
TOOLS = [{"type": "function", "function": {"name": "plan", "parameters": {"type": "object"}}}]


def frames(spoken: str, said: list[Event], *, end: FinishReason | None = "stop", usage: Usage | None = USAGE) -> bytes:
    """A stream of these events; without an `end` it has none."""
    renderer = DIALECTS[spoken].renderer(Head("seed", "upstream-model", 1_770_000_000, include_usage=True))
    counted: list[Event] = [UsageSeen(usage)] if usage is not None else []
    out = renderer.render([Started("answer-1", "upstream-model"), *said])
    return out if end is None else out + renderer.render([*counted, Finished(end)]) + renderer.finish()


def begun(spoken: str, *said: Event | str, then: tuple[Step, ...] = (Cut(),)) -> Script:
    """The script of a stream that breaks."""
    deltas: list[Event] = [TextDelta(one) if isinstance(one, str) else one for one in said]
    return Script(steps=(frames(spoken, deltas, end=None), *then), headers=kind(spoken))


def goes_on(spoken: str, *said: Event | str, end: FinishReason = "stop", usage: Usage | None = USAGE) -> Script:
    """The script of a stream that ends well."""
    deltas: list[Event] = [TextDelta(one) if isinstance(one, str) else one for one in said]
    return Script(steps=(frames(spoken, deltas, end=end, usage=usage),), headers=kind(spoken))


def kind(spoken: str) -> dict[str, str]:
    return {"content-type": DIALECTS[spoken].stream_type}


def gateway(
    *scripts: list[Script],
    spoken: str = OPENAI,
    mode: Mode = "safe",
    limits: Limits = LIMITS,
    **fields: Any,
) -> MemoryGateway:
    names = "abc"[: len(scripts)]
    targets = [target(f"{name}/up", spoken, priority=at, **fields) for at, name in enumerate(names)]
    plan = snapshot(alias("m", *targets), defaults=Route("defaults", resume=mode), limits=limits)
    ups: dict[str, Any] = {name: ScriptedUpstream(*of) for name, of in zip(names, scripts, strict=True)}
    return MemoryGateway(plan, **ups)


def serve(one: MemoryGateway, client: str = OPENAI, body: bytes | None = None, **fields: Any) -> MemoryReply:
    options: dict[str, Any] = {}
    if client == GEMINI:
        options = {"path": "/v1beta/models/m:streamGenerateContent", "query": "alt=sse"}
        body = body or json.dumps({"contents": [{"role": "user", "parts": [{"text": "hello"}]}], **fields}).encode()
    elif client == RESPONSES:
        options = {"operation": "responses"}
        body = body or json.dumps({"model": "m", "input": "hello", "stream": True, **fields}).encode()
    reply = run(one.chat(body or ask("m", stream=True, **fields), client, **options))
    check(one)
    return reply


def read(reply: MemoryReply, client: str) -> tuple[str, list[Event]]:
    """The text of the client's stream, and its events."""
    parser, out = DIALECTS[client].stream_parser("s"), list[Event]()
    for line in reply.body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = dict(row.split(b": ", 1) for row in line.split(b"\n") if b": " in row and not row.startswith(b":"))
        if b"data" in lines:
            parser.push(lines.get(b"event"), lines[b"data"], out)
    return "".join(one.text for one in out if isinstance(one, TextDelta)), out


def asked(one: MemoryGateway, name: str = "b", number: int = -1) -> Any:
    return one.upstreams[name].sent[number].json


def attempts(one: MemoryGateway) -> list[tuple[str, str, str | None]]:
    return [(attempt.target, attempt.why, attempt.outcome) for attempt in one.record.attempts]


PAIRS = [(client, spoken) for client in CLIENTS for spoken in CLIENTS]


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_a_cut_stream_is_gone_on_with_in_every_protocol(client: str, spoken: str) -> None:
    one = gateway([begun(spoken, FIRST)], [goes_on(spoken, REST)], spoken=spoken)
    reply = serve(one, client)
    found, events_ = read(reply, client)
    assert found == WHOLE
    assert sum(isinstance(event, Started) for event in events_) == 1
    assert attempts(one) == [("a/up", "primary", "cut"), ("b/up", "resume", "ok")]
    assert one.record.outcome == "ok"
    assert any("resumed at b/up (instruct" in warning for warning in one.record.warnings)
    assert (b": afterbay resumed at b/up\n\n" in reply.body) is (client != GEMINI)
    assert b'"resumed":true' in reply.body


BREAKS: dict[str, Callable[[str], tuple[Step, ...]]] = {
    "reset": lambda spoken: (Cut(),),
    "early end": lambda spoken: (),
    "stall": lambda spoken: (HANG,),
    "pings only": lambda spoken: tuple(step for _ in range(9) for step in (Wait(3.0), b": ping\n\n")),
    "no JSON": lambda spoken: (b"data: {broken\n\n", HANG),
    "half an event": lambda spoken: (b'data: {"half', Cut()),
    "error event": lambda spoken: (ERRORS[spoken],),
}
ERRORS = {
    OPENAI: b'data: {"error":{"message":"it broke","type":"server_error","code":500}}\n\n',
    ANTHROPIC: b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"it broke"}}\n\n',
    RESPONSES: b'event: error\ndata: {"type":"error","code":"server_error","message":"it broke","param":null,'
    b'"sequence_number":99}\n\n',
    GEMINI: b'data: {"error":{"code":503,"message":"it broke","status":"UNAVAILABLE"}}\n\n',
}


@pytest.mark.parametrize("way", BREAKS)
@pytest.mark.parametrize(("client", "spoken"), [(one, one) for one in CLIENTS] + [(ANTHROPIC, OPENAI)])
def test_whatever_breaks_a_stream_it_is_gone_on_with(client: str, spoken: str, way: str) -> None:
    one = gateway([begun(spoken, FIRST, then=BREAKS[way](spoken))], [goes_on(spoken, REST)], spoken=spoken)
    reply = serve(one, client)
    assert read(reply, client)[0] == WHOLE
    assert b"it broke" not in reply.body
    assert one.record.outcome == "ok"


@pytest.mark.parametrize("spoken", CLIENTS)
def test_an_error_event_that_nobody_mends_is_relayed_as_it_came(spoken: str) -> None:
    one = gateway([begun(spoken, FIRST, then=(ERRORS[spoken],))], spoken=spoken, mode="safe", limits=ONE_TRY)
    reply = serve(one, spoken)
    assert reply.body.endswith(ERRORS[spoken])
    assert reply.body.count(b"it broke") == 1


ONE_TRY = msgspec.structs.replace(LIMITS, max_attempts=1)


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_off_a_cut_is_an_error_event(client: str, spoken: str) -> None:
    one = gateway([begun(spoken, FIRST)], [goes_on(spoken, REST)], spoken=spoken, mode="off")
    reply = serve(one, client)
    assert read(reply, client)[0] == FIRST
    assert one.record.outcome == "cut"
    assert not one.upstreams["b"].sent


def test_the_second_provider_sees_the_partial_text_and_what_to_repeat() -> None:
    one = gateway([begun(OPENAI, FIRST)], [goes_on(OPENAI, FIRST + REST)])
    serve(one)
    user, said, instruction = asked(one)["messages"]
    assert (user["content"], said) == ("hello", {"role": "assistant", "content": FIRST})
    assert f"<end>{FIRST}</end>" in instruction["content"]


def test_a_known_prefill_is_the_last_message() -> None:
    one = gateway([begun(ANTHROPIC, FIRST + " ")], [goes_on(ANTHROPIC, REST)], spoken=ANTHROPIC, prefill=True)
    assert read(serve(one, ANTHROPIC), ANTHROPIC)[0] == WHOLE
    assert asked(one)["messages"][-1]["role"] == "assistant"
    assert json.dumps(asked(one)["messages"][-1]).count(FIRST) == 1


@pytest.mark.parametrize(
    ("vendor", "mark"), [("mistral", '"prefix": true'), ("vllm", '"continue_final_message": true'), ("groq", "")]
)
def test_hosts_are_told_of_a_prefill_in_their_own_way(vendor: str, mark: str) -> None:
    one = gateway([begun(OPENAI, FIRST)], [goes_on(OPENAI, REST)], prefill=True, vendor=vendor)
    assert read(serve(one), OPENAI)[0] == WHOLE
    sent = json.dumps(asked(one))
    assert mark in sent
    assert ("prefix" in sent or "continue_final" in sent) is bool(mark)


NO_PREFILL = "This model does not support assistant message prefill. The conversation must end with a user message."


def test_a_refused_prefill_falls_to_an_instruction_at_once_and_is_remembered() -> None:
    refusal = failed(ANTHROPIC, 400, "invalid_request", NO_PREFILL)
    first = [begun(ANTHROPIC, FIRST), begun(ANTHROPIC, FIRST)]
    second = [refusal, goes_on(ANTHROPIC, REST), goes_on(ANTHROPIC, REST)]
    one = gateway(first, second, spoken=ANTHROPIC, prefill=True)
    for _ in range(2):
        reply = run(one.chat(ask("m", stream=True), ANTHROPIC))
        assert text(reply.body, ANTHROPIC) == WHOLE
    assert [len(record.attempts) for record in one.records] == [3, 2]
    assert asked(one, number=1)["messages"][-1]["role"] == "user"
    assert asked(one, number=2)["messages"][-1]["role"] == "user"


def test_a_bad_request_of_another_kind_is_not_remembered_as_a_refused_prefill() -> None:
    other = failed(ANTHROPIC, 400, "invalid_request", "max_tokens: too large")
    one = gateway([begun(ANTHROPIC, FIRST)], [other], spoken=ANTHROPIC, prefill=True)
    serve(one, ANTHROPIC)
    assert not one.context.fleet.is_refusing_prefill("b/up")


@pytest.mark.parametrize("client", CLIENTS)
def test_usage_is_that_of_both_legs_and_both_are_billed(client: str) -> None:
    one = gateway([begun(OPENAI, FIRST)], [goes_on(OPENAI, REST, usage=Usage(100, output_tokens=50))])
    _, found = read(
        serve(one, client, **({"stream_options": {"include_usage": True}} if client == OPENAI else {})), client
    )
    usage = [event.usage for event in found if isinstance(event, UsageSeen)][-1]
    first, second = (attempt.usage for attempt in one.record.attempts)
    assert first is not None
    assert second is not None
    assert (usage.total_input, usage.output_tokens) == (first.input_tokens, first.output_tokens + 50)
    assert one.record.usage is not None
    assert one.record.usage.input_tokens == first.input_tokens + 100
    assert one.record.cost_picousd == sum(attempt.cost_picousd or 0 for attempt in one.record.attempts)


def test_the_note_has_the_cost_of_both_legs() -> None:
    one = gateway([begun(ANTHROPIC, FIRST)], [goes_on(ANTHROPIC, REST)], spoken=ANTHROPIC)
    last = events(serve(one, ANTHROPIC).body)[-2]
    assert last["afterbay"] == {
        "provider": "b",
        "model": "up",
        "resumed": True,
        "cost_usd": -(-(one.record.cost_picousd or 0) // 1_000_000) / 1e6,
    }


def test_time_to_the_first_token_is_that_of_the_first_leg() -> None:
    one = gateway([begun(OPENAI, FIRST, then=(Wait(5.0), Cut()))], [goes_on(OPENAI, REST)])
    serve(one)
    assert one.record.ttft_s == one.record.attempts[0].first_token_s


LONG = " ".join(f"word{number:02}" for number in range(60))


@pytest.mark.parametrize("spoken", CLIENTS)
def test_a_second_break_is_mended_too(spoken: str) -> None:
    legs = [begun(spoken, LONG[:90])], [begun(spoken, LONG[90:258])], [goes_on(spoken, LONG[258:])]
    one = gateway(*legs, spoken=spoken, prefill=spoken in (OPENAI, ANTHROPIC))
    assert read(serve(one, spoken), spoken)[0] == LONG
    assert [attempt.why for attempt in one.record.attempts] == ["primary", "resume", "resume"]


def test_a_third_break_is_an_error_event() -> None:
    legs = [begun(ANTHROPIC, LONG[:90])], [begun(ANTHROPIC, LONG[90:180])], [begun(ANTHROPIC, LONG[180:270])]
    one = gateway(*legs, spoken=ANTHROPIC, prefill=True)
    body = serve(one, ANTHROPIC).body
    assert "".join(e["delta"].get("text", "") for e in events(body) if e["type"] == "content_block_delta") == LONG[:270]
    assert error(body)["type"]


def test_an_answer_that_joins_nowhere_is_asked_for_one_word_back() -> None:
    """In the middle of a word a model that repeats nothing may be right, or lack a space."""
    sure, back = [goes_on(OPENAI, "tal of France.")], [goes_on(OPENAI, " capital of France.")]
    one = gateway([begun(OPENAI, "Paris is the capi")], [*sure, *back])
    assert read(serve(one), OPENAI)[0] == "Paris is the capital of France."
    assert asked(one)["messages"][1]["content"] == "Paris is the"
    wrong = gateway([begun(OPENAI, "Paris is the capi")], [*sure, goes_on(OPENAI, " city of France.")])
    assert error(serve(wrong).body)


def test_an_empty_continuation_is_no_end_unless_the_last_word_comes_again() -> None:
    empty = goes_on(OPENAI)
    one = gateway([begun(OPENAI, WHOLE)], [empty, goes_on(OPENAI, " ten.")])
    assert read(serve(one), OPENAI)[0] == WHOLE
    both = gateway([begun(OPENAI, FIRST)], [empty, empty])
    assert error(serve(both).body)


def test_on_goes_on_where_it_is_doubtful_and_says_so() -> None:
    one = gateway([begun(OPENAI, "Paris is the capi")], [goes_on(OPENAI, "tal of France.")], mode="on")
    assert read(serve(one), OPENAI)[0] == "Paris is the capital of France."
    assert any("doubtful" in warning for warning in one.record.warnings)


@pytest.mark.parametrize("fields", [{"n": 2}, {"logprobs": True}])
def test_choices_and_log_probabilities_are_not_gone_on_with(fields: dict[str, Any]) -> None:
    one = gateway([begun(OPENAI, FIRST)], [goes_on(OPENAI, REST)])
    assert error(serve(one, **fields).body)
    assert any(warning.startswith("not resumed: it has") for warning in one.record.warnings)
    assert not one.upstreams["b"].sent


# --- tool calls -------------------------------------------------------------------------------------------------------

ARGUMENTS = '{"city":"Lisbon","days":[1,2,3]}'


def call(arguments: str, number: int = 0, id_: str = "call_aaaaaaaaa") -> tuple[Event, ...]:
    pieces = [ToolCallDelta(number, arguments[at : at + 8]) for at in range(0, len(arguments), 8)]
    return ToolCallStarted(number, id_, "plan"), *pieces


def calls(found: list[Event]) -> list[tuple[str, str]]:
    made = {event.call: event.id for event in found if isinstance(event, ToolCallStarted)}
    return [
        (id_, "".join(e.arguments for e in found if isinstance(e, ToolCallDelta) and e.call == number))
        for number, id_ in made.items()
    ]


@pytest.mark.parametrize("sent", [0, 5, 20, len(ARGUMENTS)])
@pytest.mark.parametrize(
    ("client", "spoken"), [(OPENAI, OPENAI), (ANTHROPIC, ANTHROPIC), (RESPONSES, RESPONSES), (ANTHROPIC, OPENAI)]
)
def test_an_open_call_goes_on_under_its_id(client: str, spoken: str, sent: int) -> None:
    again = goes_on(spoken, *call(ARGUMENTS, id_="call_bbbbbbbbb"), end="tool_calls")
    one = gateway([begun(spoken, *call(ARGUMENTS[:sent]))], [again], spoken=spoken)
    _, found = read(serve(one, client), client)
    assert calls(found) == [("call_aaaaaaaaa", ARGUMENTS)]
    assert [event.reason for event in found if isinstance(event, Finished)] == ["tool_calls"]
    assert len(asked(one).get("messages", [1])) == 1


def test_a_call_that_comes_otherwise_is_an_error_event() -> None:
    other = goes_on(OPENAI, *call('{"city":"Porto"}'), end="tool_calls")
    one = gateway([begun(OPENAI, *call(ARGUMENTS[:14]))], [other])
    assert error(serve(one).body)
    assert "with other arguments" in (one.record.attempts[1].error or "")


def test_a_whole_call_without_an_end_waits_for_one_that_says_so() -> None:
    """That no further call follows is the provider's to say."""
    two = goes_on(OPENAI, *call(ARGUMENTS), *call('{"city":"Porto"}', 1, "call_2"), end="tool_calls")
    one = gateway([begun(OPENAI, *call(ARGUMENTS))], [two])
    _, found = read(serve(one), OPENAI)
    assert calls(found) == [("call_aaaaaaaaa", ARGUMENTS), ("call_2", '{"city":"Porto"}')]


def test_a_call_that_is_held_back_for_its_check_is_not_sent_half() -> None:
    """The calls of a translated answer are looked at when they are whole: what was held is nobody's loss."""
    body = ask("m", stream=True, tools=[{"name": "plan", "input_schema": {"type": "object"}}])
    again = goes_on(OPENAI, "I plan. ", *call(ARGUMENTS, id_="call_b"), end="tool_calls")
    one = gateway([begun(OPENAI, "I plan. ", *call(ARGUMENTS[:9]))], [again])
    found, events_ = read(serve(one, ANTHROPIC, body), ANTHROPIC)
    assert found.strip() == "I plan."
    assert [arguments for _, arguments in calls(events_)] == [ARGUMENTS]


CUSTOM = b'{"model":"m","input":"hello","stream":true,"temperature":0,"tools":[{"type":"custom","name":"plan"}]}'


@pytest.mark.parametrize("has_input", [False, True])
def test_a_custom_tools_call_goes_on_only_before_its_text(has_input: bool) -> None:
    """Pieces of a free text mean nothing before it is whole, so nothing could be compared."""
    renderer = DIALECTS[RESPONSES].renderer(Head("seed", "upstream-model", 1_770_000_000, echo=CUSTOM))
    whole_call = [ToolCallStarted(0, "call_x", "plan"), ToolCallDelta(0, '{"input":"go west"}')]
    open_ = renderer.render([Started("a", "m"), *whole_call[:1]])
    done = renderer.render([whole_call[1], UsageSeen(USAGE), Finished("tool_calls")]) + renderer.finish()
    piece = done[: done.index(b"\n\n") + 2]
    assert b"custom_tool_call_input.delta" in piece
    first = Script(steps=(open_ + piece * has_input, Cut()), headers=kind(RESPONSES))
    one = gateway([first], [Script(steps=(open_ + done,), headers=kind(RESPONSES))], spoken=RESPONSES)
    reply = serve(one, RESPONSES, CUSTOM)
    if has_input:
        assert "not resumed: it holds part of a custom tool's call" in one.record.warnings
        assert one.record.outcome == "cut"
    else:
        (item,) = events(reply.body)[-1]["response"]["output"]
        assert (item["type"], item["call_id"], item["input"]) == ("custom_tool_call", "call_x", "go west")


# --- reasoning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_reasoning_that_broke_off_is_followed_by_the_new_answers_own(client: str) -> None:
    said: list[Event | str] = [ReasoningDelta("So let me see")]
    fresh: list[Event | str] = [ReasoningDelta("Well, then")]
    if client in (ANTHROPIC, GEMINI):
        fresh.append(ReasoningSignature("c2lnbmVk"))
    one = gateway([begun(client, *said)], [goes_on(client, *fresh, WHOLE)], spoken=client)
    found, events_ = read(serve(one, client), client)
    thoughts = "".join(event.text for event in events_ if isinstance(event, ReasoningDelta))
    assert found == WHOLE
    assert thoughts.replace("\n\n", "") == "So let me seeWell, then"


def test_thinking_that_broke_off_is_never_sent_back_as_signed() -> None:
    """Anthropic refuses an empty signature; a proof of nobody is left out on the way to any maker."""
    fresh = goes_on(ANTHROPIC, ReasoningDelta("Well"), ReasoningSignature("c2lnbmVk"), WHOLE)
    one = gateway([begun(ANTHROPIC, ReasoningDelta("So let me"))], [fresh], spoken=ANTHROPIC)
    reply = serve(one, ANTHROPIC)
    blocks: list[dict[str, Any]] = []
    for event in events(reply.body):
        if event["type"] == "content_block_start":
            blocks.append(event["content_block"])
        elif event["type"] == "content_block_delta":
            for key, value in event["delta"].items():
                if key != "type":
                    blocks[event["index"]][key] = blocks[event["index"]].get(key, "") + value
    assert [block["type"] for block in blocks] == ["thinking", "thinking", "text"]
    history = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": blocks}]
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": [*history, {"role": "user", "content": "go"}]})
    later = gateway([goes_on(ANTHROPIC, "ok")], spoken=ANTHROPIC)
    run(later.chat(body.encode().replace(b'"max_tokens": 9', b'"max_tokens": 9, "stream": true'), ANTHROPIC))
    kept = asked(later, "a")["messages"][1]["content"]
    assert [block.get("signature") for block in kept] == ["c2lnbmVk", None]


def test_the_same_sealed_reasoning_twice_is_two_items_of_two_names() -> None:
    """Both providers may name it alike; ids in one response are unique."""
    sealed = ReasoningSignature("rs_1|c2VhbGVk")
    one = gateway([begun(RESPONSES, sealed)], [goes_on(RESPONSES, sealed, WHOLE)], spoken=RESPONSES)
    reply = serve(one, RESPONSES)
    output = events(reply.body)[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "reasoning", "message"]
    assert output[0]["id"] != output[1]["id"]


def test_reasoning_of_the_continuation_is_not_shown_behind_text() -> None:
    one = gateway([begun(OPENAI, FIRST)], [goes_on(OPENAI, ReasoningDelta("Hm"), REST)])
    found, events_ = read(serve(one), OPENAI)
    assert found == WHOLE
    assert not any(isinstance(event, ReasoningDelta) for event in events_)


# --- JSON -------------------------------------------------------------------------------------------------------------

JSON_MODE = {"response_format": {"type": "json_object"}}


def test_json_is_gone_on_with_only_where_it_is_exact() -> None:
    whole = '{"a": [1, 2, 3], "b": "x"}'
    one = gateway([begun(OPENAI, whole[:9])], [goes_on(OPENAI, whole[9:])], prefill=True)
    assert read(serve(one, **JSON_MODE), OPENAI)[0] == whole
    assert "response_format" not in asked(one)
    same = gateway([begun(OPENAI, whole[:9])], [goes_on(OPENAI, whole)])
    assert read(serve(same, **JSON_MODE), OPENAI)[0] == whole
    other = gateway([begun(OPENAI, whole[:9])], [goes_on(OPENAI, '{"b": "x"}')])
    assert error(serve(other, **JSON_MODE).body)


def test_json_that_is_none_in_the_end_is_an_error_event() -> None:
    one = gateway([begun(OPENAI, '{"a": [1, ')], [goes_on(OPENAI, "2, and so on")], prefill=True)
    reply = serve(one, **JSON_MODE)
    assert error(reply.body)
    assert not is_clean(reply.body, OPENAI)


def test_json_that_was_cut_by_its_limit_stays_as_it_is() -> None:
    one = gateway([begun(OPENAI, '{"a": [1, ')], [goes_on(OPENAI, "2, 3", end="length")], prefill=True)
    assert read(serve(one, **JSON_MODE), OPENAI)[0] == '{"a": [1, 2, 3'


# --- anywhere ---------------------------------------------------------------------------------------------------------

SIGNED = {ANTHROPIC: "c2lnbmVk", GEMINI: "c2lnbmVk", RESPONSES: "rs_9|c2VhbGVk"}


@pytest.mark.parametrize("names", [True, False], ids=["named", "unnamed"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_relayed_stream_of_everything_may_break_behind_any_event(client: str, names: bool) -> None:
    """Reasoning, text, two calls: the same answer comes again, and the client has each part of it once."""
    said: list[Event] = [ReasoningDelta("Let me "), ReasoningDelta("see.")]
    said += [ReasoningSignature(SIGNED[client])] if client in SIGNED else []
    said += [TextDelta("I plan "), TextDelta("two trips."), *call(ARGUMENTS), *call('{"city":"Porto"}', 1, "call_2")]
    whole = frames(client, said, end="tool_calls")
    if not names and client == RESPONSES:  # as OpenRouter and Bedrock have it
        whole = re.sub(rb"event: [^\n]*\n", b"", whole)
    for blank in re.finditer(rb"\r?\n\r?\n", whole):
        first = Script(steps=(whole[: blank.end()], Cut()), headers=kind(client))
        one = gateway([first], [Script(steps=(whole,), headers=kind(client))], spoken=client, mode="safe")
        body = ask("m", stream=True, temperature=0) if client in (OPENAI, ANTHROPIC) else None
        reply = serve(one, client, body, **({} if body else {"temperature": 0} if client == RESPONSES else COLD))
        found, events_ = read(reply, client)
        assert found == "I plan two trips.", blank.end()
        assert [arguments for _, arguments in calls(events_)] == [ARGUMENTS, '{"city":"Porto"}'], blank.end()


COLD = {"generationConfig": {"temperature": 0}}


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", [ANTHROPIC, OPENAI])
def test_an_answer_that_lacks_only_its_last_event_is_whole(client: str) -> None:
    body = frames(ANTHROPIC, [TextDelta(WHOLE)]).replace(b'event: message_stop\ndata: {"type":"message_stop"}\n\n', b"")
    one = gateway([Script(steps=(body, Cut()), headers=kind(ANTHROPIC))], spoken=ANTHROPIC)
    reply = serve(one, client)
    assert read(reply, client)[0] == WHOLE
    assert is_clean(reply.body, client)
    assert len(one.record.attempts) == 1


def test_a_resumed_response_is_kept_under_the_id_that_the_client_saw() -> None:
    one = gateway([begun(RESPONSES, FIRST)], [goes_on(RESPONSES, REST)], spoken=RESPONSES)
    reply = serve(one, RESPONSES)
    shown = [event["response"] for event in events(reply.body) if "response" in event]
    assert len({response["id"] for response in shown}) == 1
    kept = run(one.context.responses.get(shown[0]["id"]))
    assert kept is not None
    assert kept.provider == ""
    assert FIRST + REST in kept.answer.decode()


def test_a_client_that_leaves_while_an_answer_is_resumed_ends_it() -> None:
    one = gateway([begun(OPENAI, FIRST)], [Script(headers_take_s=5.0, steps=(HANG,))])

    async def leave() -> None:
        task = asyncio.get_running_loop().create_task(one.chat(ask("m", stream=True)))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait((task,))

    run(leave())
    assert [attempt.outcome for attempt in one.record.attempts] == ["cut", "client_closed"]
    assert one.record.outcome == "client_closed"


def test_a_name_that_breaks_lines_breaks_no_comment() -> None:
    bad = target("b/up\n\ndata: x", OPENAI, priority=1)
    plan = snapshot(alias("m", target("a/up", priority=0), bad), defaults=Route("defaults", resume="safe"))
    one = MemoryGateway(plan, a=ScriptedUpstream(begun(OPENAI, FIRST)), b=ScriptedUpstream(goes_on(OPENAI, REST)))
    reply = serve(one)
    assert b"\ndata: x" not in reply.body
    assert b": afterbay resumed at b/up??data: x\n\n" in reply.body
