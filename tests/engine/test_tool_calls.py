"""Tool calls through the whole engine: repaired, asked for again, one at a time; and relays that stay untouched."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, GEMINI, LIMITS, OPENAI, PAIRS, error, events, gateway, is_clean, serve

from afterbay.core.event import (
    Event,
    Finished,
    FinishReason,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
    fold,
)
from afterbay.core.message import ToolUse
from afterbay.policy.plan import Limits, Route
from afterbay.testing.answers import JSON, USAGE, ask, failed
from afterbay.testing.fakes import HANG, Cut, MemoryReply, Script
from afterbay.wire.dialect import Head
from afterbay.wire.registry import DIALECTS

GOOD, QUOTED, BAD, LOOSE = '{"n":1}', '{"n":"1"}', '{"n":"one"}', "{'n': 1,}"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
WARN = "tool call"


def asked(client: str, *names: str, stream: bool = True, **fields: Any) -> bytes:
    """A request with these tools, in the client's protocol."""
    if client == OPENAI:
        tools: list[Any] = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in names]
    else:
        tools = [{"name": name, "input_schema": SCHEMA} for name in names]
    return ask("m", tools=tools, stream=stream, **fields)


def said(*calls: tuple[str, str], text: str = "", finish: FinishReason = "tool_calls") -> list[Event]:
    """An answer with calls of (name, arguments); the arguments in two pieces."""
    out: list[Event] = [Started("answer-1", "upstream-model")]
    if text:
        out.append(TextDelta(text))
    for number, (name, arguments) in enumerate(calls):
        half = len(arguments) // 2
        out += [ToolCallStarted(number, f"call_{number}_0123456", name), ToolCallDelta(number, arguments[:half])]
        out.append(ToolCallDelta(number, arguments[half:]))
    return [*out, UsageSeen(USAGE), Finished(finish)]


def streamed(spoken: str, *calls: tuple[str, str], **how: Any) -> Script:
    """A provider's stream. Gemini's cannot hold what is no JSON: its calls are objects."""
    dialect = DIALECTS[spoken]
    renderer = dialect.renderer(Head("seed", "upstream-model", 1_770_000_000, include_usage=True))
    body = b"".join(renderer.render([event]) for event in said(*calls, **how)) + renderer.finish(None)
    cut = (
        tuple(re.findall(rb".+?(?:\r\n\r\n|\n\n)", body, re.DOTALL))
        if "event-stream" in dialect.stream_type
        else (body,)
    )
    return Script(steps=cut, headers={"content-type": dialect.stream_type})


def answered(spoken: str, *calls: tuple[str, str], **how: Any) -> Script:
    body, _ = DIALECTS[spoken].render_answer(fold(said(*calls, **how)), Head("seed", "upstream-model", 1), None)
    return Script(steps=(body,), headers=JSON)


def made(reply: MemoryReply, client: str, *, stream: bool = True) -> list[tuple[str, str]]:
    """Name and arguments of the calls that the client got."""
    dialect = DIALECTS[client]
    if not stream:
        got = dialect.parse_answer(reply.body, "s")
    else:
        parser, got = dialect.stream_parser("s"), []
        for block in re.split(rb"\r?\n\r?\n", reply.body):
            for line in block.split(b"\n"):
                if line.startswith(b"data: "):
                    name = re.search(rb"^event: (.*)$", block, re.MULTILINE)
                    parser.push(name[1] if name else None, line[6:], got)
    return [(p.name, p.arguments) for p in fold(got).choices[0].message.parts if isinstance(p, ToolUse)]


def script(stream: bool, spoken: str, *calls: tuple[str, str], **how: Any) -> Script:
    return streamed(spoken, *calls, **how) if stream else answered(spoken, *calls, **how)


CROSS = [(client, spoken) for client, spoken in PAIRS if client != spoken]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("client", "spoken"), CROSS)
def test_a_translated_answer_has_its_calls_fitted(client: str, spoken: str, stream: bool) -> None:
    one = gateway([script(stream, spoken, ("add", QUOTED), text="well")], spoken=spoken)
    reply = serve(one, client, body=asked(client, "add", stream=stream))
    assert made(reply, client, stream=stream) == [("add", GOOD)]
    assert one.record.tool_calls == {"coerced": 1}
    (warning,) = [w for w in one.record.warnings if WARN in w]
    assert warning == "tool call fitted to its schema: add: n: string to integer"
    assert (warning in reply.headers.get("x-afterbay-warnings", "")) is not stream
    assert one.record.finish == "tool_calls"


@pytest.mark.parametrize("stream", [True, False])
def test_text_that_is_not_quite_json_is_repaired(stream: bool) -> None:
    one = gateway([script(stream, OPENAI, ("add", LOOSE))], spoken=OPENAI)
    reply = serve(one, ANTHROPIC, body=asked(ANTHROPIC, "add", stream=stream))
    assert made(reply, ANTHROPIC, stream=stream) == [("add", GOOD)]
    assert one.record.tool_calls == {"repaired": 1}


def test_an_answer_cut_by_its_limit_is_not_repaired() -> None:
    one = gateway([streamed(OPENAI, ("add", '{"n":1'), finish="length")])
    reply = serve(one, ANTHROPIC, body=asked(ANTHROPIC, "add"))
    assert b'\\"n\\":1"' in reply.body
    assert one.record.tool_calls == {"cut": 1}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC])
def test_a_relay_stays_byte_for_byte_by_default(client: str, stream: bool) -> None:
    sent = script(stream, client, ("add", QUOTED))
    one = gateway([sent], spoken=client)
    reply = serve(one, client, body=asked(client, "add", stream=stream, parallel_tool_calls=False))
    assert reply.body == b"".join(step for step in sent.steps if isinstance(step, bytes))
    assert one.record.tool_calls == {}
    assert one.record.warnings == []


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC])
def test_with_all_a_relayed_answer_is_repaired_too(client: str, stream: bool) -> None:
    one = gateway([script(stream, client, ("add", QUOTED))], spoken=client, route=Route("r", tool_repair="all"))
    reply = serve(one, client, body=asked(client, "add", stream=stream))
    assert made(reply, client, stream=stream) == [("add", GOOD)]
    assert one.record.tool_calls == {"coerced": 1}
    assert not stream or is_clean(reply.body, client)


def test_with_all_a_whole_relayed_answer_without_fault_stays_byte_for_byte() -> None:
    sent = answered(OPENAI, ("add", GOOD))
    one = gateway([sent], route=Route("r", tool_repair="all"))
    assert serve(one, body=asked(OPENAI, "add", stream=False)).body == sent.steps[0]
    assert one.record.tool_calls == {"ok": 1}


def test_with_all_a_relay_without_tools_stays_byte_for_byte() -> None:
    sent = streamed(OPENAI, text="hi", finish="stop")
    one = gateway([sent], route=Route("r", tool_repair="all"))
    assert serve(one).body == b"".join(step for step in sent.steps if isinstance(step, bytes))


def test_off_leaves_a_translated_answer_as_it_is() -> None:
    one = gateway([streamed(OPENAI, ("add", QUOTED))], route=Route("r", tool_repair="off"))
    assert made(serve(one, ANTHROPIC, body=asked(ANTHROPIC, "add")), ANTHROPIC) == [("add", QUOTED)]
    assert one.record.tool_calls == {}


REASK = Route("r", tool_reask=True)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("spoken", [OPENAI, GEMINI])
def test_the_model_is_asked_once_more_for_a_call_that_stays_wrong(spoken: str, stream: bool) -> None:
    scripts = [script(stream, spoken, ("add", BAD), ("add", GOOD), text="well"), answered(spoken, ("add", '{"n":5}'))]
    one = gateway(scripts, spoken=spoken, route=REASK)
    choice = {"type": "any"}
    reply = serve(one, ANTHROPIC, body=asked(ANTHROPIC, "add", stream=stream, tool_choice=choice))
    assert made(reply, ANTHROPIC, stream=stream) == [("add", '{"n":5}'), ("add", GOOD)]
    record = one.record
    assert record.tool_calls == {"asked": 1, "ok": 1}
    assert [(a.why, a.outcome) for a in record.attempts] == [("primary", "ok"), ("repair", "ok")]
    assert record.usage is not None
    assert (record.usage.input_tokens, record.usage.output_tokens) == (22, 14)
    assert record.cost_picousd == 2 * (11 * 1_000_000 + 7 * 2_000_000)
    first, second = one.upstreams["a"].sent
    assert b'\\"one\\" is not of type' in second.body
    assert "stream" not in second.json
    assert "stream" not in second.path
    assert first.json.keys() - second.json.keys() <= {"stream", "stream_options"}
    assert second.json.get("tool_choice") == first.json.get("tool_choice")
    assert second.json.get("toolConfig") == first.json.get("toolConfig")
    assert not stream or is_clean(reply.body, ANTHROPIC)


def test_text_goes_out_before_the_second_question_is_answered() -> None:
    slow = msgspec.structs.replace(answered(OPENAI, ("add", GOOD)), headers_take_s=4.0)
    one = gateway([streamed(OPENAI, ("add", BAD), text="well"), slow], route=REASK)
    reply = serve(one, ANTHROPIC, body=asked(ANTHROPIC, "add"))
    assert next(at for at, data in reply.pieces if b"well" in data) == 0.0
    assert next(at for at, data in reply.pieces if b'n\\":1' in data) == 4.0
    assert (one.record.duration_s, one.record.attempts[1].headers_s) == (4.0, 4.0)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("second", "outcome"),
    [
        (answered(OPENAI, ("add", BAD)), "invalid"),
        (answered(OPENAI, ("other", GOOD)), "invalid"),
        (answered(OPENAI, text="no", finish="stop"), "invalid"),
        (failed(OPENAI, 500, "server"), "error"),
        (Script(steps=(b"{broken",), headers=JSON), "error"),
        (Script(refused="no connection"), "connection"),
        (Script(steps=(b"{", Cut()), headers=JSON), "connection"),
        (Script(steps=(HANG,), headers=JSON), "timeout"),
    ],
)
def test_a_second_question_without_a_better_call_leaves_the_first(stream: bool, second: Script, outcome: str) -> None:
    one = gateway([script(stream, OPENAI, ("add", BAD)), second], route=REASK)
    reply = serve(one, ANTHROPIC, body=asked(ANTHROPIC, "add", stream=stream))
    assert made(reply, ANTHROPIC, stream=stream) == [("add", BAD)]
    record = one.record
    assert [(a.why, a.outcome) for a in record.attempts] == [("primary", "ok"), ("repair", outcome)]
    assert (record.outcome, record.tool_calls) == ("ok", {"invalid": 1})
    unknown = outcome == "timeout"  # the provider may have worked, and bill for it
    assert record.cost_picousd == (None if unknown else 50_000_000 if outcome == "invalid" else 25_000_000)
    assert any("asked again" in warning for warning in record.warnings)
    assert not stream or is_clean(reply.body, ANTHROPIC)


def test_no_second_question_where_no_attempt_is_left() -> None:
    limits = msgspec.structs.replace(LIMITS, max_attempts=1)
    one = gateway([streamed(OPENAI, ("add", BAD))], route=REASK, limits=limits)
    assert made(serve(one, ANTHROPIC, body=asked(ANTHROPIC, "add")), ANTHROPIC) == [("add", BAD)]
    assert len(one.record.attempts) == 1
    assert any("no attempt was left" in warning for warning in one.record.warnings)


def test_a_second_question_ends_before_the_requests_time_does() -> None:
    limits = Limits(connect_s=5.0, first_token_s=20.0, between_tokens_s=3.0, total_s=12.0)
    one = gateway([streamed(OPENAI, ("add", BAD)), Script(steps=(HANG,), headers=JSON)], route=REASK, limits=limits)
    reply = serve(one, ANTHROPIC, body=asked(ANTHROPIC, "add"))
    assert is_clean(reply.body, ANTHROPIC)
    assert (one.record.outcome, one.record.duration_s) == ("ok", 11.0)


def test_a_fallback_after_an_error_may_still_be_asked_again() -> None:
    scripts = [failed(OPENAI, 500, "server")], [streamed(OPENAI, ("add", BAD)), answered(OPENAI, ("add", GOOD))]
    one = gateway(*scripts, route=REASK)
    assert made(serve(one, ANTHROPIC, body=asked(ANTHROPIC, "add")), ANTHROPIC) == [("add", GOOD)]
    assert [a.why for a in one.record.attempts] == ["primary", "fallback", "repair"]
    assert [a.cost_picousd for a in one.record.attempts] == [0, 25_000_000, 25_000_000]
    assert one.record.ttft_s == one.record.attempts[1].first_token_s


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("cannot", [frozenset(), frozenset({"parallel_tool_calls"})])
def test_one_call_at_a_time_holds_where_the_target_cannot_be_told(cannot: frozenset[str], stream: bool) -> None:
    spoken = OPENAI if cannot else GEMINI
    one = gateway([script(stream, spoken, ("add", GOOD), ("add", GOOD))], spoken=spoken, cannot=cannot)
    reply = serve(one, body=asked(OPENAI, "add", stream=stream, parallel_tool_calls=False))
    assert made(reply, OPENAI, stream=stream) == [("add", GOOD)]
    assert "parallel_tool_calls" not in one.upstreams["a"].sent[0].json
    warnings = [one for one in one.record.warnings if "add" in one]
    assert warnings == ["tool call dropped: add: one call at a time was asked for"]
    assert not any("parallel_tool_calls" in warning for warning in one.record.warnings)
    assert one.record.finish == "tool_calls"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC])
def test_a_tool_waits_for_the_one_it_needs(client: str, stream: bool) -> None:
    route = Route("r", tool_order={"book": frozenset({"search"})}, tool_repair="off")
    one = gateway([script(stream, OPENAI, ("book", GOOD), ("search", GOOD))], route=route)
    reply = serve(one, client, body=asked(client, "book", "search", stream=stream))
    assert made(reply, client, stream=stream) == [("search", GOOD)]
    assert any("needs the result of search" in warning for warning in one.record.warnings)


@pytest.mark.parametrize("stream", [True, False])
def test_names_that_the_target_refuses_are_changed_and_restored(stream: bool) -> None:
    name = "files.read"

    def answer_by(sent: str) -> Script:
        return script(stream, OPENAI, (sent, QUOTED))

    from afterbay.wire.toolcalls.names import _safe

    one = gateway([answer_by(_safe(name))])
    body = asked(ANTHROPIC, name, stream=stream, tool_choice={"type": "tool", "name": name})
    reply = serve(one, ANTHROPIC, body=body)
    assert made(reply, ANTHROPIC, stream=stream) == [(name, GOOD)]
    sent: Any = one.upstreams["a"].sent[0].json
    assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", sent["tools"][0]["function"]["name"])
    assert sent["tool_choice"]["function"]["name"] == sent["tools"][0]["function"]["name"]


@pytest.mark.parametrize("ends", [(Cut(),), ()])
def test_a_stream_that_breaks_gives_the_arguments_it_had_and_then_the_error(ends: tuple[Cut, ...]) -> None:
    steps = streamed(OPENAI, ("add", '{"n":12345}')).steps[:2]
    one = gateway([Script(steps=(*steps, *ends))])
    reply = serve(one, ANTHROPIC, body=asked(ANTHROPIC, "add"))
    assert b'"partial_json":"{\\"n\\"' in reply.body
    assert error(reply.body)
    assert not is_clean(reply.body, ANTHROPIC)
    assert (one.record.outcome != "ok", one.record.tool_calls) == (True, {"cut": 1})


def test_an_answer_that_hangs_after_its_end_is_complete_with_its_calls() -> None:
    steps = streamed(OPENAI, ("add", LOOSE)).steps[:-1]
    one = gateway([Script(steps=(*steps, HANG))])
    reply = serve(one, ANTHROPIC, body=asked(ANTHROPIC, "add"))
    assert made(reply, ANTHROPIC) == [("add", GOOD)]
    assert is_clean(reply.body, ANTHROPIC)


def test_a_whole_answer_to_a_request_for_a_stream_is_repaired_too() -> None:
    one = gateway([answered(OPENAI, ("add", LOOSE))])
    reply = serve(one, ANTHROPIC, body=asked(ANTHROPIC, "add"))
    assert made(reply, ANTHROPIC) == [("add", GOOD)]
    assert events(reply.body)
