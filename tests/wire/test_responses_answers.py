"""Answers of the Responses API: traps of the hosts, written by hand."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from afterbay.core.errors import ClientMistake, ProviderError
from afterbay.core.event import (
    BlockBreak,
    Event,
    Extra,
    Failed,
    Finished,
    ReasoningDelta,
    ReasoningSignature,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
)
from afterbay.core.usage import Usage
from afterbay.wire.dialect import Head
from afterbay.wire.openai_responses import DIALECT
from afterbay.wire.proofs import Proof, wrap
from wire.responses_support import parse_stream, stream

HEAD = Head(seed="s", model="m", created_s=1_790_000_000)
USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 15},
    "total_tokens": 140,
    "cost": 0.1,
}
COUNTED = Usage(50, 30, 20, 25, 15, told_picousd=100_000_000_000)


def at(kind: str, place: int | None = 0, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **({"output_index": place} if place is not None else {}), **fields}


def added(place: int, kind: str, **fields: Any) -> dict[str, Any]:
    return at("output_item.added", place, item={"type": kind, "id": f"i{place}", **fields})


def done(place: int, kind: str, **fields: Any) -> dict[str, Any]:
    return at("output_item.done", place, item={"type": kind, "id": f"i{place}", **fields})


def ended(kind: str = "completed", *output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "response": {"id": "resp_1", "status": kind, "output": output, **fields}}


CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "gpt", "status": "in_progress"}}
STARTED, STOP = Started("resp_1", "gpt"), Finished("stop")


def read(*events: dict[str, Any]) -> list[Event]:
    return parse_stream(stream(*events))[0]


def text_of(*parts: str) -> dict[str, Any]:
    return {"content": [{"type": "output_text", "text": part} for part in parts]}


def test_text_in_pieces() -> None:
    events = read(
        CREATED,
        {"type": "response.in_progress", "response": {"id": "resp_other"}},
        {"type": "keepalive", "sequence_number": 3},
        added(0, "message"),
        at("content_part.added", content_index=0, part={"type": "output_text", "text": ""}),
        at("output_text.delta", content_index=0, delta="Hel", obfuscation="xx", logprobs=[]),
        at("output_text.delta", content_index=0, delta=""),
        at("output_text.delta", content_index=0, delta="lo"),
        at("output_text.done", content_index=0, text="Hello"),
        at("content_part.done", content_index=0, part={"type": "output_text", "text": "Hello"}),
        done(0, "message", **text_of("Hello")),
        ended(usage=USAGE),
    )
    assert events == [STARTED, TextDelta("Hel"), TextDelta("lo"), UsageSeen(COUNTED), STOP]


def test_parts_and_items_of_one_kind_are_parted() -> None:
    events = read(
        CREATED,
        added(0, "message"),
        at("output_text.delta", 0, content_index=0, delta="a"),
        at("output_text.delta", 0, content_index=1, delta="b"),
        at("refusal.delta", 0, content_index=2, delta="no"),
        added(1, "message"),
        at("refusal.delta", 1, content_index=0, delta="never"),
        at("output_text.delta", 1, content_index=1, delta="c"),
        ended(),
    )
    said = [TextDelta("a"), BlockBreak(), TextDelta("b"), RefusalDelta("no"), BlockBreak(), RefusalDelta("never")]
    assert events == [STARTED, *said, TextDelta("c"), STOP]


@pytest.mark.parametrize(
    "events",
    [
        [at("output_text.done", content_index=0, text="Hi")],
        [added(0, "message"), done(0, "message", **text_of("Hi"))],
        [done(0, "message", **text_of("Hi"))],
        [added(0, "message"), ended("completed", {"type": "message", **text_of("Hi")})],
        [ended("completed", {"type": "message", **text_of("Hi")})],
        [at("output_text.delta", None, content_index=0, delta="Hi")],
        [added(0, "message"), at("output_text.delta", None, delta="Hi"), done(0, "message", **text_of("Hi"))],
    ],
)
def test_text_that_comes_late_or_without_its_start_is_said_once(events: list[dict[str, Any]]) -> None:
    assert [one for one in read(CREATED, *events, ended()) if isinstance(one, TextDelta)] == [TextDelta("Hi")]


def test_a_content_index_that_goes_on_across_items_says_nothing_twice() -> None:
    events = read(
        CREATED,
        added(1, "message"),
        at("output_text.delta", 1, content_index=1, delta="Hi"),
        at("output_text.done", 1, content_index=1, text="Hi"),
        done(1, "message", **text_of("Hi")),
        ended("completed", {"type": "reasoning"}, {"type": "message", **text_of("Hi")}),
    )
    assert events == [STARTED, TextDelta("Hi"), STOP]


def test_a_refusal_and_its_late_forms() -> None:
    whole = {"content": [{"type": "refusal", "refusal": "No."}]}
    for late in (
        [at("refusal.delta", content_index=0, delta="No."), at("refusal.done", content_index=0, refusal="No.")],
        [at("refusal.done", content_index=0, refusal="No.")],
        [done(0, "message", **whole)],
    ):
        assert read(CREATED, added(0, "message"), *late, done(0, "message", **whole), ended()) == [
            STARTED,
            RefusalDelta("No."),
            STOP,
        ]


def test_parts_of_a_summary_are_paragraphs_and_the_proof_has_the_item_s_id() -> None:
    events = read(
        CREATED,
        added(0, "reasoning", encrypted_content="early"),
        at("reasoning_summary_part.added", summary_index=0, part={}),
        at("reasoning_summary_text.delta", summary_index=0, delta="A"),
        at("reasoning_summary_text.delta", summary_index=0, delta="a"),
        at("reasoning_summary_text.done", summary_index=0, text="Aa"),
        at("reasoning_summary_part.done", summary_index=0, part={}),
        at("reasoning_summary_text.delta", summary_index=1, delta="B"),
        done(0, "reasoning", summary=[{"text": "Aa"}, {"text": "B"}], encrypted_content="gA"),
        added(1, "reasoning"),
        done(1, "reasoning", summary=[], encrypted_content="gB"),
        done(2, "reasoning", summary=[{"text": "C"}]),
        done(3, "reasoning", summary=[], encrypted_content="gC"),
        ended(),
    )
    assert events == [
        STARTED,
        *(ReasoningDelta("A"), ReasoningDelta("a"), ReasoningDelta("\n\nB"), ReasoningSignature("i0|gA")),
        ReasoningSignature("i1|gB"),
        *(ReasoningDelta("C"), BlockBreak(), ReasoningSignature("i3|gC")),
        STOP,
    ]


def test_a_wrapped_proof_of_another_gateway_stays_as_it_is() -> None:
    wrapped = wrap(Proof("anthropic", "", "", "EqQ="))
    events = read(CREATED, done(0, "reasoning", encrypted_content=wrapped), ended())
    assert events == [STARTED, ReasoningSignature(wrapped), STOP]


def test_reasoning_as_plain_text() -> None:
    events = read(
        CREATED,
        added(0, "reasoning"),
        at("reasoning_part.added", content_index=0, part={"type": "reasoning_text", "text": ""}),
        at("reasoning_text.delta", content_index=0, delta="Hm"),
        at("reasoning_text.done", content_index=0, text="Hm"),
        at("reasoning_part.done", content_index=0, part={"type": "reasoning_text", "text": "Hm"}),
        done(0, "reasoning", content=[{"type": "reasoning_text", "text": "Hm"}], summary=[]),
        added(1, "reasoning"),
        done(1, "reasoning", content=[{"type": "reasoning_text", "text": "So"}], summary=[{"text": "s"}]),
        ended(),
    )
    assert events == [
        STARTED,
        *(ReasoningDelta("Hm"), BlockBreak(), ReasoningDelta("So"), ReasoningDelta("\n\ns")),
        STOP,
    ]


CALL = {"call_id": "c1", "name": "f"}


@pytest.mark.parametrize(
    "events",
    [
        [
            at("function_call_arguments.delta", delta='{"a"'),
            at("function_call_arguments.delta", delta=":1}"),
            at("function_call_arguments.done", arguments='{"a":1}'),
            done(0, "function_call", **CALL, arguments='{"a":1}'),
        ],
        [at("function_call_arguments.done", arguments='{"a":1}'), done(0, "function_call", **CALL)],
        [done(0, "function_call", **CALL, arguments='{"a":1}')],
        [done(0, "function_call", **CALL, arguments={"a": 1})],
        [ended("completed", {"type": "function_call", **CALL, "arguments": '{"a":1}'})],
    ],
)
def test_a_call_however_its_arguments_come(events: list[dict[str, Any]]) -> None:
    got = read(CREATED, added(0, "function_call", **CALL, arguments=""), *events, ended())
    assert got[:2] == [STARTED, ToolCallStarted(0, "c1", "f")]
    assert "".join(one.arguments for one in got if isinstance(one, ToolCallDelta)) == '{"a":1}'
    assert Finished("tool_calls") in got


def test_calls_side_by_side_keep_their_numbers_and_get_ids() -> None:
    events = read(
        CREATED,
        added(0, "function_call", **CALL),
        at("output_item.added", 1, item={"type": "function_call", "name": "g"}),
        at("function_call_arguments.delta", 1, delta="{}"),
        at("function_call_arguments.delta", 0, delta="[]"),
        done(1, "function_call", name="g", arguments="{}"),
        done(0, "function_call", **CALL, arguments="[]"),
        ended(),
    )
    assert events[1:-1] == [
        ToolCallStarted(0, "c1", "f"),
        ToolCallStarted(1, "call_seed_1", "g"),
        ToolCallDelta(1, "{}"),
        ToolCallDelta(0, "[]"),
    ]


def test_a_call_whose_start_was_left_out_is_said_with_its_end() -> None:
    pieces = [at("function_call_arguments.delta", delta="{"), at("function_call_arguments.done", arguments="{}")]
    events = read(CREATED, *pieces, done(0, "function_call", **CALL, arguments="{}"), ended())
    assert events == [STARTED, ToolCallStarted(0, "c1", "f"), ToolCallDelta(0, "{}"), Finished("tool_calls")]


def test_a_custom_tool_s_call_has_its_text_as_input() -> None:
    item = {"call_id": "c1", "name": "patch", "input": "*** Begin"}
    events = read(
        CREATED,
        added(0, "custom_tool_call", **item | {"input": ""}),
        at("custom_tool_call_input.delta", delta="*** Begin"),
        at("custom_tool_call_input.done", input="*** Begin"),
        done(0, "custom_tool_call", **item),
        ended(),
    )
    assert events == [
        STARTED,
        ToolCallStarted(0, "c1", "patch"),
        ToolCallDelta(0, '{"input":"*** Begin"}'),
        Finished("tool_calls"),
    ]


@pytest.mark.parametrize("kind", ["web_search_call", "mcp_call", "code_interpreter_call", "image_generation_call"])
def test_a_built_in_tool_is_named_once_and_never_a_call(kind: str) -> None:
    events = read(
        CREATED,
        added(0, kind),
        at(f"{kind}.in_progress"),
        at(f"{kind}.completed"),
        at("mcp_call_arguments.delta", delta="{}"),
        done(0, kind, name="f", arguments="{}"),
        ended(),
    )
    assert events == [STARTED, Extra(kind), STOP]


def test_citations_probabilities_and_unknown_events_are_named() -> None:
    events = read(
        CREATED,
        {"type": "response.shiny"},
        {"type": "response.rubbed", "delta": {"x": 1}},
        added(0, "message"),
        at("output_text.annotation.added", annotation={"type": "url_citation"}),
        at("output_text.delta", content_index=0, delta="x"),
        done(0, "message", content=[{"type": "output_text", "text": "x", "annotations": [{}], "logprobs": [{}]}]),
        ended(),
    )
    named = [one.kind for one in events if isinstance(one, Extra)]
    assert named == ["response.shiny", "response.rubbed", "annotations", "annotations", "logprobs"]


def test_a_known_event_of_another_shape_is_no_answer() -> None:
    with pytest.raises(msgspec.ValidationError):
        read(CREATED, at("output_text.delta", content_index=0, delta={"x": 1}))


@pytest.mark.parametrize(
    ("why", "reason", "extras"),
    [
        ("max_output_tokens", "length", []),
        ("max_tokens", "length", []),
        ("content_filter", "content_filter", []),
        ("steered", "length", [Extra("incomplete_details.reason=steered")]),
        (None, "length", [Extra("incomplete_details.reason=")]),
    ],
)
def test_an_incomplete_answer_says_why(why: str | None, reason: Any, extras: list[Event]) -> None:
    details = {"reason": why} if why else None
    raw = stream(CREATED, ended("incomplete", incomplete_details=details))
    assert parse_stream(raw) == ([STARTED, *extras, Finished(reason)], True)
    assert DIALECT.parse_answer(json.dumps(ended("incomplete", incomplete_details=details)["response"]).encode(), "s")[
        1:
    ] == [*extras, Finished(reason)]


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (
            ended("failed", error={"code": "rate_limit_exceeded", "message": "Slow."}),
            ProviderError("rate_limit", "Slow.", code="rate_limit_exceeded"),
        ),
        (
            ended("failed", error={"code": "invalid_prompt", "message": "Bad."}),
            ProviderError("invalid_request", "Bad.", code="invalid_prompt"),
        ),
        (ended("failed"), ProviderError("server", "The response failed.")),
        (ended("cancelled"), ProviderError("cut", "The provider cancelled the response.")),
        (
            {"type": "error", "code": "server_error", "message": "Oops", "param": None},
            ProviderError("server", "Oops", code="server_error"),
        ),
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}},
            ProviderError("overloaded", "Busy"),
        ),
        ({"error": {"code": 429, "message": "Busy"}, "type": ""}, ProviderError("rate_limit", "Busy", 429, "429")),
    ],
)
def test_a_failure_inside_the_stream_is_no_proper_end(last: dict[str, Any], error: ProviderError) -> None:
    events, complete = parse_stream(stream(CREATED, last))
    assert (events, complete) == ([STARTED, Failed(error)], False)


def test_only_an_end_makes_a_stream_complete() -> None:
    parser, out = DIALECT.stream_parser("s"), list[Event]()
    for event in (CREATED, added(0, "message"), done(0, "message", **text_of("x"))):
        parser.push(None, json.dumps(event).encode(), out)
        assert not parser.is_complete
        assert not parser.is_over
    parser.push(None, json.dumps(ended()).encode(), out)
    parser.push(None, b"[DONE]", out)
    assert parser.is_complete
    assert parser.is_over
    assert out == [STARTED, TextDelta("x"), STOP]


def test_a_whole_answer() -> None:
    body = {
        "id": "resp_1",
        "model": "gpt",
        "object": "response",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]},
            {"type": "web_search_call", "id": "ws_1"},
            {"type": "message", **text_of("a", "b")},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""},
        ],
        "usage": USAGE,
    }
    assert DIALECT.parse_answer(json.dumps(body).encode(), "s") == [
        STARTED,
        ReasoningDelta("Hm"),
        Extra("web_search_call"),
        *(TextDelta("a"), BlockBreak(), TextDelta("b")),
        *(ToolCallStarted(0, "c", "f"), ToolCallDelta(0, "{}")),
        UsageSeen(msgspec.structs.replace(COUNTED, parts=(("search", 1),))),
        Finished("tool_calls"),
    ]


def test_an_error_in_a_whole_answer_and_what_is_none() -> None:
    assert DIALECT.parse_answer(b'{"error":{"message":"x","type":"server_error"}}', "s") == [
        Failed(ProviderError("server", "x"))
    ]
    failed = {"id": "r", "status": "failed", "output": [], "error": {"code": "server_error", "message": "x"}}
    assert DIALECT.parse_answer(json.dumps(failed).encode(), "s")[-1] == Failed(
        ProviderError("server", "x", code="server_error")
    )
    for body in (b"{}", b'{"choices":[]}', b'{"output":[],"status":"in_progress"}', b"[]", b"x"):
        with pytest.raises((ValueError, msgspec.DecodeError)):
            DIALECT.parse_answer(body, "s")


def test_usage_without_numbers_or_with_odd_ones() -> None:
    assert read(CREATED, ended(usage={}), ended(usage=None)) == [STARTED, STOP, STOP]
    small = {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 9}, "output_tokens": None}
    assert UsageSeen(Usage(5, 9, stray=-4)) in read(CREATED, ended(usage=small))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (
            400,
            {"error": {"message": "m", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}},
            ProviderError("invalid_request", "m", 400, "model_not_found", "model"),
        ),
        (400, {"code": "bad-key", "error": "x"}, ProviderError("invalid_request", "x", 400, "bad-key")),
        (401, {"detail": "no token"}, ProviderError("authentication", "no token", 401)),
        (429, {"error": {"code": 429, "message": "slow"}}, ProviderError("rate_limit", "slow", 429, "429")),
    ],
)
def test_an_error_of_every_host_is_understood(status: int, body: dict[str, Any], error: ProviderError) -> None:
    assert DIALECT.parse_error(status, {}, json.dumps(body).encode()) == error


def test_an_error_has_openai_s_envelope() -> None:
    body = json.loads(DIALECT.render_error(ClientMistake("Bad.", code="x", param="input"), "req_1"))
    assert body["error"] == {
        "message": "Bad. Correct the request and send it again.",
        "type": "invalid_request_error",
        "param": "input",
        "code": "x",
    }
