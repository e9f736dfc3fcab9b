"""What a client of the Responses API gets, written by hand."""

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
    ReasoningDelta,
    ReasoningSignature,
    RefusalDelta,
    Reply,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
)
from afterbay.core.message import Image, Message, Refusal, Text, Thinking, ToolUse
from afterbay.core.usage import Usage
from afterbay.wire.dialect import Head
from afterbay.wire.openai_responses import DIALECT
from afterbay.wire.proofs import Proof, wrap
from wire.responses_support import check_grammar, parse_stream, sdk_create, sdk_stream_events, sse, stream

HEAD = Head(seed="s", model="m", created_s=1_790_000_000)
USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 15},
    "total_tokens": 140,
    "cost": 0.1,
}
COUNTED = Usage(50, 30, 20, 25, 15)


CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "gpt", "status": "in_progress"}}


def render(*events: Event, head: Head = HEAD, note: Any = None, losses: Any = ()) -> dict[str, Any]:
    """The final response, after the stream was held against the grammar."""
    renderer = DIALECT.renderer(head)
    raw = b"".join(renderer.render([event]) for event in events) + renderer.finish(note)
    assert renderer.losses == set(losses)
    return check_grammar(raw)


def test_every_event_of_an_answer_in_its_order() -> None:
    renderer = DIALECT.renderer(HEAD)
    events: list[Event] = [
        Started("x", "y"),
        ReasoningDelta("Hm"),
        ReasoningSignature("rs_9|gA"),
        TextDelta("a"),
        TextDelta("b"),
        RefusalDelta("no"),
        ToolCallStarted(0, "c1", "f"),
        ToolCallDelta(0, "{}"),
        UsageSeen(COUNTED),
        Finished("tool_calls"),
    ]
    raw = renderer.render(events) + renderer.finish({"cost": 1})
    response = check_grammar(raw)
    assert [event["type"].removeprefix("response.") for event in sse(raw)] == [
        *("created", "in_progress", "output_item.added", "reasoning_summary_part.added"),
        *("reasoning_summary_text.delta", "reasoning_summary_text.done", "reasoning_summary_part.done"),
        *("output_item.done", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "content_part.added", "refusal.delta", "refusal.done"),
        *("content_part.done", "output_item.done", "output_item.added", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done", "completed"),
    ]
    text = {"type": "output_text", "text": "ab", "annotations": [], "logprobs": []}
    assert response["output"] == [
        {
            "type": "reasoning",
            "id": "rs_s_0",
            "summary": [{"type": "summary_text", "text": "Hm"}],
            "encrypted_content": "gA",
        },
        {
            "type": "message",
            "id": "msg_s_1",
            "status": "completed",
            "role": "assistant",
            "content": [text, {"type": "refusal", "refusal": "no"}],
        },
        {
            "type": "function_call",
            "id": "fc_s_2",
            "call_id": "c1",
            "name": "f",
            "arguments": "{}",
            "status": "completed",
        },
    ]
    assert response["id"] == "resp_s"
    assert response["afterbay"] == {"cost": 1}
    assert response["usage"] == {key: value for key, value in USAGE.items() if key != "cost"}
    parts = (Thinking("Hm", "rs_9|gA"), Text("ab"), Refusal("no"), ToolUse("c1", "f", ""))
    reply = Reply([Choice(Message("assistant", parts), "tool_calls")], usage=COUNTED)
    body, losses = DIALECT.render_answer(reply, HEAD, {"cost": 1})
    whole = json.loads(body)
    assert whole.pop("output")[0].pop("id") == "rs_9"  # known from the start here
    del response["output"]
    assert whole == response
    assert losses == ()


def test_a_proof_alone_keeps_its_item_s_id_and_a_wrapped_one_comes_back() -> None:
    wrapped = wrap(Proof("anthropic", "", "", "EqQ="))
    response = render(
        ReasoningSignature("rs_9|gA"),
        ReasoningSignature("rs_9|gB"),
        ReasoningDelta("x"),
        ReasoningSignature(wrapped),
        ReasoningDelta("y"),
        ReasoningSignature("EmW=", redacted=True),
    )
    shown = [(item["id"], item.get("encrypted_content"), len(item["summary"])) for item in response["output"]]
    assert shown == [
        ("rs_9", "gA", 0),
        ("rs_s_1", "gB", 0),
        ("rs_s_2", wrapped, 1),
        ("rs_s_3", None, 1),
        ("rs_s_4", "EmW=", 0),
    ]
    parts = (Thinking("x", wrapped), Thinking("y"), Thinking(signature="rs_9|gA"))
    body, _ = DIALECT.render_answer(Reply([Choice(Message("assistant", parts), "stop")]), HEAD, None)
    asked = json.dumps({"model": "m", "input": json.loads(body)["output"]}).encode()
    assert DIALECT.parse_request(asked, None, None).messages == (Message("assistant", parts),)


def test_after_a_relay_a_failure_is_an_error_event_alone() -> None:
    renderer = DIALECT.renderer(Head("s", "m", begun=True))
    raw = renderer.fail(Capacity("Full.", kind="rate_limit"))
    (event,) = sse(raw)
    assert raw.startswith(b"event: error\n")
    assert (event["type"], event["code"], event["param"]) == ("error", "rate_limit_exceeded", None)
    assert event["message"].startswith("Full.")
    assert event["sequence_number"] > 10_000
    relayed = stream(CREATED, CREATED | {"type": "response.in_progress"})
    assert parse_stream(relayed + raw)[0][1:] == [
        Failed(ProviderError("rate_limit", event["message"], code="rate_limit_exceeded"))
    ]
    assert sdk_create(relayed + raw)[-1].type == "error"
    assert [one.type for one in sdk_stream_events(relayed + raw)][-1] == "error"


def test_breaks_part_texts_and_reasoning() -> None:
    response = render(
        *(ReasoningDelta("a"), BlockBreak(), ReasoningDelta("b"), BlockBreak()),
        *(TextDelta("c"), BlockBreak(), BlockBreak(), TextDelta("d")),
    )
    assert [item["type"] for item in response["output"]] == ["reasoning", "reasoning", "message"]
    assert [part["text"] for part in response["output"][2]["content"]] == ["c", "d"]


def test_calls_whose_pieces_are_mixed_stay_whole() -> None:
    response = render(
        ToolCallStarted(0, "c0", "f"),
        ToolCallDelta(0, '{"a"'),
        ToolCallStarted(1, "c1", "g"),
        TextDelta("by the way"),
        ToolCallDelta(1, "[1"),
        ToolCallDelta(0, ":1}"),
        ToolCallDelta(1, "]"),
        ToolCallDelta(1, ""),
        ToolCallStarted(2, "c2", "h"),
        Finished("tool_calls"),
    )
    calls = [(item["call_id"], item["arguments"]) for item in response["output"] if item["type"] == "function_call"]
    assert calls == [("c0", '{"a":1}'), ("c1", "[1]"), ("c2", "{}")]


@pytest.mark.parametrize(
    ("reason", "status", "why", "losses"),
    [
        ("stop", "completed", None, ()),
        ("stop_sequence", "completed", None, {"finish.stop_sequence"}),
        ("tool_calls", "completed", None, ()),
        ("length", "incomplete", "max_output_tokens", ()),
        ("content_filter", "incomplete", "content_filter", ()),
        ("pause", "completed", None, {"finish.pause"}),
        ("error", "completed", None, {"finish.error"}),
    ],
)
def test_an_end_in_the_protocol_s_words(reason: Any, status: str, why: str | None, losses: Any) -> None:
    response = render(TextDelta("x"), ToolCallStarted(0, "c", "f"), Finished(reason), losses=losses)
    assert response["status"] == status
    assert response["incomplete_details"] == ({"reason": why} if why else None)
    assert [item["status"] for item in response["output"]] == ["completed", status]
    parts = (Text("x"), ToolUse("c", "f", "{}"))
    body, lost = DIALECT.render_answer(Reply([Choice(Message("assistant", parts), reason)]), HEAD, None)
    assert json.loads(body) == response
    assert set(lost) == set(losses)


def test_what_has_no_place_is_named() -> None:
    render(
        ToolCallStarted(0, "c", "f", signature="x"),
        TextDelta("other", choice=1),
        Extra("citations"),
        ToolCallDelta(7, "{}"),
        TextDelta(""),
        ReasoningDelta(""),
        losses={"tool_call.signature", "choices", "citations", "tool_call.arguments"},
    )
    one = Choice(Message("assistant", (Image(url="x"), ToolUse("c", "f", "{}", "s"), Text(""), Thinking("y"))), "stop")
    body, losses = DIALECT.render_answer(Reply([one, one], extras=("citations",)), HEAD, None)
    assert losses == ("citations", "choices", "image in an answer", "tool_call.signature")
    assert [item["type"] for item in json.loads(body)["output"]] == ["function_call", "reasoning"]


def test_an_empty_answer_is_a_proper_one() -> None:
    assert render()["output"] == []
    assert render(Finished("stop"))["usage"] is None
    assert DIALECT.renderer(HEAD).render([]) == b""


ERRORS: list[tuple[GatewayError, str]] = [
    (Capacity("Full.", kind="rate_limit", code="rate_limit"), "rate_limit_exceeded"),
    (Capacity("Full."), "server_is_overloaded"),
    (ClientMistake("Long.", code="context_length_exceeded"), "context_length_exceeded"),
    (ClientMistake("Bad."), "invalid_prompt"),
    (PolicyRefusal("Spent.", kind="quota"), "insufficient_quota"),
    (PolicyRefusal("No."), "server_error"),
]


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_a_failure_ends_the_stream_also_before_its_start(error: GatewayError, code: str) -> None:
    for events in ([], [TextDelta("x"), BlockBreak(), ToolCallStarted(0, "c", "f")]):
        renderer = DIALECT.renderer(HEAD)
        raw = renderer.render(events) + renderer.ping() + renderer.fail(error)
        response = check_grammar(raw)
        assert response["error"] == {"code": code, "message": error.text()}
        assert len(response["output"]) == (1 if events else 0)
        assert renderer.render([TextDelta("y")]) + renderer.finish() + renderer.fail(error) + renderer.ping() == b""


def test_a_provider_s_failure_is_written_where_it_comes() -> None:
    renderer = DIALECT.renderer(HEAD)
    raw = renderer.render([TextDelta("x"), Failed(ProviderError("server", "Oops")), TextDelta("y")])
    assert check_grammar(raw)["error"] == {"code": "server_error", "message": "Oops"}


def test_the_response_repeats_what_was_asked() -> None:
    asked = {
        "model": "alias",
        "input": "secret",
        "instructions": "Be brief.",
        "temperature": 0.2,
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "metadata": {"a": "b"},
        "service_tier": "auto",
        "text": {"format": {"type": "json_object"}},
        "user": None,
        "store": False,
    }
    response = render(head=Head("s", "m", echo=json.dumps(asked).encode()))
    for name in ("instructions", "temperature", "tools", "tool_choice", "parallel_tool_calls", "metadata", "text"):
        assert response[name] == asked[name]
    assert (response["store"], response["service_tier"], response["model"]) == (False, "default", "m")
    assert "input" not in response


@pytest.mark.parametrize("echo", [b"", b"{", b"[]", b"\xff", b'{"tools":null}'])
def test_without_a_request_defaults_stand_there(echo: bytes) -> None:
    response = render(head=Head("s", "m", echo=echo))
    assert response["tools"] == []
    assert (response["tool_choice"], response["parallel_tool_calls"]) == ("auto", True)
    assert response["text"] == {"format": {"type": "text"}}


def test_a_text_delta_written_the_quick_way_is_the_same_as_the_first_one() -> None:
    renderer = DIALECT.renderer(HEAD)
    deltas = [
        event
        for text in ("a%d\n", "a%d\n")
        for event in sse(renderer.render([TextDelta(text)]))
        if event["type"] == "response.output_text.delta"
    ]
    first, second = deltas
    assert second == first | {"sequence_number": first["sequence_number"] + 1}


def test_what_is_repeated_of_a_body_that_was_laid_out_stays_on_one_line() -> None:
    body = json.dumps(
        {"model": "m", "input": "x", "metadata": {"a": "b\nc"}, "tools": [{"type": "function"}]}, indent=2
    )
    renderer = DIALECT.renderer(Head("s", "m", echo=body.encode()))
    raw = renderer.render([TextDelta("a")]) + renderer.finish()
    assert all(line.startswith((b"data: ", b"event: ")) for line in raw.split(b"\n") if line)
    assert sse(raw)[-1]["response"]["metadata"] == {"a": "b\nc"}
