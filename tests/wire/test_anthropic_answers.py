"""Traps of the Messages dialect's answers and errors, written by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from afterbay.core.errors import Capacity, ClientMistake, GatewayError, PolicyRefusal, ProviderError
from afterbay.core.event import (
    BlockBreak,
    Choice,
    Event,
    Extra,
    Failed,
    Finished,
    ReasoningSignature,
    RefusalDelta,
    Reply,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
    fold,
)
from afterbay.core.message import Message, Refusal, ToolUse
from afterbay.core.usage import Usage
from afterbay.wire.anthropic_messages import DIALECT
from afterbay.wire.dialect import Head
from wire.anthropic_support import check_grammar, message_of, parse_stream, sse

HEAD = Head(seed="s", model="m", input_tokens=7)


def stream(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def started(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": fields}


def stopped(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def shown(*events: Event) -> tuple[dict[str, Any], set[str]]:
    renderer = DIALECT.renderer(HEAD)
    raw = b"".join(renderer.render([event]) for event in events) + renderer.finish()
    check_grammar(raw)
    return message_of(sse(raw)), renderer.losses


def test_server_tools_are_extras_and_the_text_around_them_stays_in_two_blocks() -> None:
    events, _ = parse_stream(
        stream(
            started(0, type="text", text="a"),
            stopped(0),
            started(1, type="server_tool_use", id="s", name="web_search", input={}),
            delta(1, type="input_json_delta", partial_json='{"q":1}'),
            stopped(1),
            started(2, type="web_search_tool_result", tool_use_id="s", content=[]),
            stopped(2),
            started(3, type="text", text=""),
            delta(3, type="citations_delta", citation={}),
            delta(3, type="text_delta", text="b"),
            delta(3, type="delta_of_tomorrow", text="c"),
            stopped(3),
        ),
    )
    assert events == [
        TextDelta("a"),
        Extra("server_tool_use"),
        Extra("web_search_tool_result"),
        BlockBreak(),
        Extra("citations"),
        TextDelta("b"),
        Extra("delta_of_tomorrow"),
    ]


@pytest.mark.parametrize(
    ("given", "pieces", "arguments"),
    [
        ({}, [], "{}"),
        ({"a": 1}, [], '{"a": 1}'),
        ({}, ["", '{"a"', ":1}"], '{"a":1}'),
        ({"a": 1}, ['{"b":2}'], '{"b":2}'),
    ],
)
def test_arguments_come_from_the_pieces_or_else_from_the_start(given: Any, pieces: list[str], arguments: str) -> None:
    raw = stream(
        started(0, type="tool_use", id="", name="f", input=given),
        *(delta(0, type="input_json_delta", partial_json=piece) for piece in pieces),
        stopped(0),
    )
    (use,) = fold(parse_stream(raw)[0]).choices[0].message.parts
    assert use == ToolUse("toolu_seed_0", "f", arguments)


def test_the_last_signature_counts_and_follows_its_thinking() -> None:
    raw = stream(
        started(0, type="thinking", thinking="", signature=""),
        delta(0, type="signature_delta", signature="one"),
        delta(0, type="signature_delta", signature="two"),
        stopped(0),
    )
    assert parse_stream(raw)[0] == [ReasoningSignature("two")]


def test_usage_is_cumulative_and_fields_left_out_keep_their_value() -> None:
    usage = {"input_tokens": 5, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1, "output_tokens": 1}
    events, _ = parse_stream(
        stream(
            {"type": "message_start", "message": {"id": "msg_1", "model": "c", "content": [], "usage": usage}},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "tomorrow", "stop_details": {"type": "refusal"}},
                "usage": {"output_tokens": 30, "output_tokens_details": {"thinking_tokens": 20}},
            },
        ),
    )
    assert events == [
        Started("msg_1", "c"),
        UsageSeen(Usage(5, 2, 1, 1)),
        Finished("stop"),
        Extra("stop_reason=tomorrow"),
        Extra("stop_details"),
        UsageSeen(Usage(5, 2, 1, 10, 20)),
    ]


def test_pings_unknown_events_and_done_are_tolerated_and_an_error_is_not_an_end() -> None:
    raw = stream({"type": "ping"}, {"type": "event_of_tomorrow", "delta": "odd"}, {"type": "event_of_today"})
    assert parse_stream(raw) == ([Extra("event_of_today")], False)
    assert parse_stream(stream({"type": "message_stop"}) + b"event: data\ndata: [DONE]\n\n") == ([], True)
    events, complete = parse_stream(stream({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}))
    assert events == [Failed(ProviderError("overloaded", "busy", None, "overloaded_error"))]
    assert not complete


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"type":5}',
        b'{"type":"content_block_delta","delta":"x"}',
        b'{"type":"message_start","message":1}',
    ],
)
def test_what_is_not_of_this_protocol_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        DIALECT.stream_parser("s").push(None, data, [])


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b'{"id":"x","choices":[]}'])
def test_a_body_that_is_no_message_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        DIALECT.parse_answer(data, "s")


def test_an_error_body_inside_a_200_is_a_failure() -> None:
    body = b'{"type":"error","error":{"type":"api_error","message":"x"}}'
    assert DIALECT.parse_answer(body, "s") == [Failed(ProviderError("server", "x", None, "api_error"))]


def test_a_second_call_waits_while_the_first_gets_pieces() -> None:
    message, losses = shown(
        ToolCallStarted(0, "a", "f"),
        ToolCallStarted(1, "b", "g"),
        ToolCallDelta(1, '{"y":'),
        ToolCallDelta(0, '{"x":1}'),
        ToolCallDelta(1, "2}"),
        ToolCallDelta(0, " "),
        TextDelta("after"),
    )
    assert [block.get("input") or block["text"] for block in message["content"]] == [{"x": 1}, {"y": 2}, "after"]
    assert message["stop_reason"] == "tool_use"
    assert not losses


@pytest.mark.parametrize(
    ("finish", "reason"), [("stop", "end_turn"), ("tool_calls", "tool_use"), ("length", "max_tokens")]
)
def test_the_provider_s_reason_stands_beside_a_call(finish: Any, reason: str) -> None:
    message, _ = shown(ToolCallStarted(0, "a", "f"), Finished(finish))
    assert message["stop_reason"] == reason


def test_a_live_call_streams_at_once_and_ends_as_soon_as_it_is_whole() -> None:
    renderer = DIALECT.renderer(HEAD)
    renderer.render([ToolCallStarted(0, "a", "f")])
    assert b'"partial_json":"{}"' in renderer.render([ToolCallDelta(0, "{}")])
    out = renderer.render([ToolCallStarted(1, "b", "g")])
    assert [event["type"] for event in sse(out)] == ["content_block_stop", "content_block_start"]
    renderer.render([ToolCallDelta(0, "late")])
    assert renderer.losses == {"tool_call.late_arguments"}


def test_null_arguments_are_the_empty_object() -> None:
    message, _ = shown(ToolCallStarted(0, "a", "f"), ToolCallDelta(0, "null"), Finished("tool_calls"))
    assert message["content"][0]["input"] == {}


def test_a_refusal_is_text_with_the_stop_reason_refusal() -> None:
    message, losses = shown(RefusalDelta("no"), Finished("stop"))
    assert (message["content"][0]["text"], message["stop_reason"], losses) == ("no", "refusal", set())
    body, _ = DIALECT.render_answer(Reply([Choice(Message("assistant", (Refusal("no"),)), "stop")]), HEAD, None)
    assert (json.loads(body)["content"][0]["text"], json.loads(body)["stop_reason"]) == ("no", "refusal")


def test_a_note_goes_beside_the_final_usage() -> None:
    note = {"cost_usd": 0.1}
    raw = DIALECT.renderer(HEAD).finish(note)
    assert [event["afterbay"] for event in sse(raw) if event["type"] == "message_delta"] == [note]
    body, _ = DIALECT.render_answer(Reply([Choice(Message("assistant", ()))]), HEAD, note)
    assert json.loads(body)["afterbay"] == note


def test_an_empty_answer_has_a_whole_life_and_the_estimate_of_its_input() -> None:
    message, losses = shown()
    assert (message["content"], message["stop_reason"], message["id"]) == ([], "end_turn", "msg_s")
    assert message["usage"]["input_tokens"] == 7
    assert not losses


def test_what_has_no_place_in_an_answer_is_a_loss() -> None:
    message, losses = shown(
        Started("chatcmpl-1", "other"),
        TextDelta("a"),
        TextDelta("b", choice=1),
        Extra("logprobs"),
        ToolCallStarted(0, "a", "f", "sig"),
        Finished("error"),
    )
    assert losses == {"choices", "logprobs", "tool_call.signature", "finish.error"}
    assert (message["id"], message["model"]) == ("msg_s", "m")


def test_nothing_follows_an_error_event() -> None:
    renderer = DIALECT.renderer(HEAD)
    raw = renderer.render([TextDelta("a")]) + renderer.fail(Capacity("full"))
    assert renderer.render([TextDelta("b")]) + renderer.ping() + renderer.finish() == b""
    check_grammar(raw)
    assert sse(raw)[-1]["error"]["type"] == "overloaded_error"
    renderer = DIALECT.renderer(HEAD)
    raw = renderer.render([Started(), Failed(ProviderError("rate_limit", "slow")), TextDelta("b")])
    assert sse(raw)[-1] == {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}


@pytest.mark.parametrize(("arguments", "sent"), [('{"a": "cut', '{"a": "cut'), ("null", {}), ("", {}), ("[1]", [1])])
def test_a_whole_answer_keeps_arguments_that_are_no_object(arguments: str, sent: Any) -> None:
    reply = Reply([Choice(Message("assistant", (ToolUse("a", "f", arguments),)), "length")])
    body, _ = DIALECT.render_answer(reply, HEAD, None)
    assert json.loads(body)["content"][0]["input"] == sent
    if isinstance(sent, str):
        assert fold(DIALECT.parse_answer(body, "s")).choices[0].message.parts == (ToolUse("a", "f", arguments),)


@pytest.mark.parametrize(
    ("status", "error", "kind", "code"),
    [
        (529, {"type": "overloaded_error", "message": "x"}, "overloaded", "overloaded_error"),
        (429, {"type": "rate_limit_error", "message": "x"}, "rate_limit", "rate_limit_error"),
        (
            429,
            {"type": "rate_limit_error", "message": "x", "details": {"error_code": "enforced_spend_limit_reached"}},
            "quota",
            "enforced_spend_limit_reached",
        ),
        (402, {"type": "billing_error", "message": "x"}, "quota", "billing_error"),
        (400, {"type": "invalid_request_error", "message": "Your credit balance is too low"}, "quota", None),
        (
            400,
            {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"},
            "content_filter",
            None,
        ),
        (
            400,
            {"type": "invalid_request_error", "message": "prompt is too long: 3 > 2"},
            "invalid_request",
            "context_length_exceeded",
        ),
        (504, {"type": "timeout_error", "message": "x"}, "timeout", None),
        (413, {"type": "request_too_large", "message": "x"}, "too_large", None),
        (500, {"type": "error_of_tomorrow", "message": "x"}, "server", "error_of_tomorrow"),
    ],
)
def test_an_error_body_gives_its_kind(status: int, error: dict[str, Any], kind: str, code: str | None) -> None:
    got = DIALECT.parse_error(status, {}, json.dumps({"type": "error", "error": error}).encode())
    assert (got.kind, got.status) == (kind, status)
    assert got.code == (code or error["type"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html><h1>Bad  gateway</h1></html>", "HTTP 503: Bad gateway"),
        (b"upstream connect error", "HTTP 503: upstream connect error"),
        (b"", "HTTP 503: an empty body"),
        (b'{"error": "text"}', 'HTTP 503: {"error": "text"}'),
    ],
)
def test_an_error_of_something_in_between_is_understood_by_its_status(body: bytes, message: str) -> None:
    got = DIALECT.parse_error(503, {}, body)
    assert (got.kind, got.message) == ("overloaded", message)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "3", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "Wed, 99 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
    ],
)
def test_the_wish_to_wait_is_read_in_every_form(headers: dict[str, str], wait_s: float | None) -> None:
    assert DIALECT.parse_error(429, headers, b"").retry_after_s == wait_s


def test_a_param_is_taken_from_the_message() -> None:
    body = b'{"error":{"type":"invalid_request_error","message":"messages.0.content: bad"}}'
    assert DIALECT.parse_error(400, {}, body).param == "messages[0].content"


@pytest.mark.parametrize(
    ("error", "type_"),
    [
        (ClientMistake("x"), "invalid_request_error"),
        (ClientMistake("x", status=404, kind="not_found"), "not_found_error"),
        (PolicyRefusal("x"), "permission_error"),
        (PolicyRefusal("x", status=429, kind="quota"), "rate_limit_error"),
        (PolicyRefusal("x", status=402, kind="quota"), "billing_error"),
        (GatewayError("x", status=504, kind="timeout"), "timeout_error"),
        (GatewayError("x", kind="cut"), "api_error"),
    ],
)
def test_an_error_is_rendered_in_the_envelope_and_read_back(error: GatewayError, type_: str) -> None:
    body = json.loads(DIALECT.render_error(error, "req_1"))
    assert (body["type"], body["error"]["type"], body["request_id"]) == ("error", type_, "req_1")
    assert "request_id" not in json.loads(DIALECT.render_error(error, ""))
    again = DIALECT.parse_error(error.status, {}, json.dumps(body).encode())
    assert again.kind == ("server" if error.kind == "cut" else error.kind)


@pytest.mark.parametrize("param", ["thread", "mcp_servers, thread"])
def test_an_unsupported_thread_has_the_code_that_the_sdk_goes_on_from(param: str) -> None:
    error = ClientMistake("The field is not supported.", code="unsupported_field", param=param)
    details = json.loads(DIALECT.render_error(error, "req_1"))["error"]["details"]
    assert details == {"error_code": "thread_unsupported_request"}
    other = ClientMistake("The field is not supported.", code="unsupported_field", param="mcp_servers")
    assert json.loads(DIALECT.render_error(other, ""))["error"]["details"] == {"error_code": "unsupported_field"}
