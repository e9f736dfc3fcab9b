"""Answers of the Gemini dialect: parsing under any cut, rendering, and the traps of either."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import _api_client as genai
from google.genai.types import GenerateContentResponse
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.errors import Capacity
from afterbay.core.event import (
    BlockBreak,
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
    fold,
)
from afterbay.core.message import Message, Text, Thinking, ToolUse
from afterbay.core.usage import Usage
from afterbay.testing.grammar import event_violations, violations
from afterbay.wire.dialect import Head
from afterbay.wire.gemini import DIALECT
from afterbay.wire.sse import Splitter

HEAD = Head("seed", "gemini-x")


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)


def read(*pieces: bytes) -> tuple[list[Event], bool]:
    parser, splitter, out = DIALECT.stream_parser("seed"), Splitter(), list[Event]()
    for piece in pieces:
        for name, data in splitter.feed(piece)[1]:
            parser.push(name, data, out)
    for name, data in splitter.rest()[1]:
        parser.push(name, data, out)
    assert event_violations(out, "late call", ended=False) == []
    return out, parser.is_complete


def whole(answer: Any) -> list[Event]:
    return DIALECT.parse_answer(json.dumps(answer).encode(), "seed")


def candidate(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, **more}]}


def write(*batches: list[Event]) -> tuple[list[Any], set[str]]:
    renderer = DIALECT.renderer(HEAD)
    raw = b"".join([renderer.render(batch) for batch in batches] + [renderer.finish()])
    assert violations("gemini", raw, "no usage") == []
    return [json.loads(data) for _, data in Splitter().feed(raw)[1]], renderer.losses


# --- parsing ----------------------------------------------------------------------------------------------------


def test_a_plain_stream_is_text_usage_and_a_finish() -> None:
    usage = {"promptTokenCount": 9, "cachedContentTokenCount": 4, "toolUsePromptTokenCount": 2, "trafficType": "X"}
    events, complete = read(
        sse(
            {
                **candidate({"text": "Hel"}),
                "modelVersion": "m",
                "responseId": "r",
                "usageMetadata": {"trafficType": "X"},
            },
            {**candidate({"text": "lo"}), "usageMetadata": usage},
            {**candidate(finishReason="STOP"), "usageMetadata": {"candidatesTokenCount": 3, "thoughtsTokenCount": 5}},
        )
    )
    assert events == [
        Started("r", "m"),
        TextDelta("Hel"),
        TextDelta("lo"),
        UsageSeen(Usage(7, 4, 0, 0, 0, service="x")),
        Finished("stop"),
        UsageSeen(Usage(7, 4, 0, 3, 5, service="x")),
    ]
    assert complete


def test_a_stream_without_a_finish_reason_is_not_complete() -> None:
    assert not read(sse(candidate({"text": "Hel"})))[1]


def test_thoughts_and_signatures_keep_their_places() -> None:
    events = whole(
        candidate(
            {"text": "hm", "thought": True},
            {"text": "so", "thoughtSignature": "s1"},
            {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "s2"},
            {"text": "", "thoughtSignature": "s3"},
            finishReason="STOP",
        )
    )
    assert events[1:] == [
        ReasoningDelta("hm"),
        TextDelta("so"),
        ReasoningSignature("s1"),
        ToolCallStarted(0, "call_seed_0", "f", "s2"),
        ToolCallDelta(0, '{"a":1}'),
        ReasoningSignature("s3"),
        Finished("tool_calls"),
    ]


def test_call_ids_are_minted_where_missing_and_never_twice() -> None:
    calls = [{"functionCall": {"name": "f"}}, *({"functionCall": {"name": "f", "id": "x", "args": None}},) * 2]
    events = whole(candidate(*calls, finishReason="STOP"))
    ids = [event.id for event in events if isinstance(event, ToolCallStarted)]
    assert ids == ["call_seed_0", "x", "call_seed_2"]
    assert [event.arguments for event in events if isinstance(event, ToolCallDelta)] == ["{}"] * 3


def test_arguments_that_a_model_laid_out_stay_on_one_line_of_the_stream() -> None:
    renderer = DIALECT.renderer(HEAD)
    laid_out = '{\n  "location": "a\\nb",\r\n  "n": 1.50\n}'
    events: list[Event] = [ToolCallStarted(0, "c", "f"), ToolCallDelta(0, laid_out), Finished("tool_calls")]
    frames = (renderer.render(events) + renderer.finish()).split(b"\r\n\r\n")
    assert all(b"\n" not in frame for frame in frames)
    assert b'"args":{"location":"a\\nb","n":1.50}' in frames[0]


def test_arguments_are_compact_and_keep_their_digits() -> None:
    call = b'{"functionCall": {"name": "f", "args": {\n "a b": 1.50,\n "n": 12345678901234567890 }}}'
    body = b'{"candidates": [{"content": {"parts": [%s]}}]}' % call
    deltas = [event for event in DIALECT.parse_answer(body, "s") if isinstance(event, ToolCallDelta)]
    assert deltas == [ToolCallDelta(0, '{"a b":1.50,"n":12345678901234567890}')]


def test_a_call_after_the_finish_reason_changes_it() -> None:
    events, _ = read(
        sse(candidate(finishReason="STOP"), candidate({"functionCall": {"name": "f"}}, finishReason="STOP"))
    )
    assert [event.reason for event in events if isinstance(event, Finished)] == ["stop", "tool_calls"]


@pytest.mark.parametrize(
    ("reason", "found"),
    [
        ("STOP", "stop"),
        (1, "stop"),
        ("MAX_TOKENS", "length"),
        (2, "length"),
        ("SAFETY", "content_filter"),
        (8, "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("OTHER", "error"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        (9, "error"),
        ("UNEXPECTED_TOOL_CALL", "error"),
        ("SOMETHING_NEW", "error"),
        (77, "error"),
        ("FINISH_REASON_UNSPECIFIED", None),
        (0, None),
        (None, None),
    ],
)
def test_every_finish_reason_has_a_class(reason: Any, found: str | None) -> None:
    assert fold(whole(candidate({"text": "a"}, finishReason=reason))).choices[0].finish == found


def test_a_blocked_prompt_is_a_content_filter_without_candidates() -> None:
    events, complete = read(sse({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "modelVersion": "m"}))
    assert events == [Started("", "m"), Finished("content_filter")]
    assert complete


@pytest.mark.parametrize(
    "answer",
    [
        {"candidates": [{"finishReason": "STOP", "index": 0}]},
        {"candidates": [{"content": {}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": None}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}]},
    ],
)
def test_missing_content_and_parts_are_an_empty_answer(answer: Any) -> None:
    assert whole(answer) == [Started("", ""), Finished("stop")]


def test_candidates_are_told_apart_by_index_or_place() -> None:
    first = {"content": {"parts": [{"text": "a"}]}}
    events = whole({"candidates": [first, {**first, "index": 2}, first]})
    assert [event.choice for event in events if isinstance(event, TextDelta)] == [0, 2, 2]


def test_snake_case_answers_are_read() -> None:
    answer = {
        "candidates": [
            {
                "content": {
                    "parts": [{"function_call": {"name": "f", "args": {"snake_key": 1}}, "thought_signature": "s"}]
                },
                "finish_reason": "MAX_TOKENS",
            }
        ],
        "usage_metadata": {"prompt_token_count": 3},
        "model_version": "m",
    }
    assert whole(answer) == [
        Started("", "m"),
        ToolCallStarted(0, "call_seed_0", "f", "s"),
        ToolCallDelta(0, '{"snake_key":1}'),
        Finished("length"),
        UsageSeen(Usage(3)),
    ]


def test_a_stream_without_alt_sse_is_an_array() -> None:
    chunks = [candidate({"text": "a"}), candidate({"text": "b"}, finishReason="STOP")]
    assert whole(chunks)[1:] == [TextDelta("a"), TextDelta("b"), Finished("stop")]


def test_an_error_inside_a_stream_is_a_failure() -> None:
    events, complete = read(
        sse(candidate({"text": "a"}), {"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}})
    )
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert (failed.error.kind, failed.error.status, failed.error.message) == ("overloaded", 503, "Overloaded.")
    assert not complete


def test_what_has_no_canonical_form_is_named_once() -> None:
    parts = [
        {"executableCode": {"code": "1"}},
        {"inlineData": {"mimeType": "image/png", "data": "aQ=="}},
        {"newPart": 1},
    ]
    extra = {"groundingMetadata": {"webSearchQueries": ["q"]}, "citationMetadata": {}, "safetyRatings": []}
    events, _ = read(sse(*[candidate(*parts, **extra)] * 2, candidate(finishReason="OTHER", finishMessage="?")))
    assert [event.kind for event in events if isinstance(event, Extra)] == [
        "executableCode",
        "inlineData",
        "part",
        "groundingMetadata",
        "finishMessage",
    ]


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", b'{"id": 1}', b'{"candidates": 3}', b'{"error": 3'])
def test_what_is_no_answer_raises_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        DIALECT.parse_answer(body, "seed")


def test_a_done_mark_of_other_dialects_is_ignored() -> None:
    assert read(b"data: [DONE]\n\n") == ([], False)


# --- rendering --------------------------------------------------------------------------------------------------


def test_a_stream_ends_with_finish_reasons_and_usage() -> None:
    chunks, losses = write([Started("x", "y"), TextDelta("Hi")], [Finished("length"), UsageSeen(Usage(5, 3, 1, 2, 4))])
    assert chunks[0] == {
        "candidates": [{"content": {"parts": [{"text": "Hi"}], "role": "model"}, "index": 0}],
        "modelVersion": "gemini-x",
        "responseId": "seed",
    }
    last = chunks[-1]
    assert last["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert last["usageMetadata"] == {
        "promptTokenCount": 9,
        "cachedContentTokenCount": 3,
        "candidatesTokenCount": 2,
        "thoughtsTokenCount": 4,
        "totalTokenCount": 15,
    }
    assert losses == {"usage.cache_write_tokens"}


def test_a_call_is_held_back_until_it_is_whole_and_keeps_its_place() -> None:
    start = ToolCallStarted(0, "1", "f", "aQ==")
    chunks, losses = write(
        [start, ToolCallDelta(0, ""), ToolCallDelta(0, '{"a"')],
        [TextDelta("between")],
        [ToolCallDelta(0, ":1}")],
        [TextDelta("after")],
        [Finished("tool_calls")],
    )
    parts = [chunk["candidates"][0]["content"]["parts"][0] for chunk in chunks]
    call = {"functionCall": {"id": "1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "aQ=="}
    assert parts == [{"text": "between"}, call, {"text": "after"}, {"text": ""}]
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    assert losses == set()


def test_arguments_after_a_call_that_was_whole_are_a_named_loss() -> None:
    start: list[Event] = [ToolCallStarted(0, "1", "f"), ToolCallDelta(0, "{}"), TextDelta("a")]
    assert write([*start, ToolCallDelta(0, " ")])[1] == set()
    assert write([*start, ToolCallDelta(0, "{}")])[1] == {"tool_call.late_arguments"}


@pytest.mark.parametrize(("finish", "said"), [("tool_calls", "MALFORMED_FUNCTION_CALL"), ("length", "MAX_TOKENS")])
def test_a_call_that_is_cut_off_is_left_out_and_said_so(finish: Any, said: str) -> None:
    events: list[Event] = [ToolCallStarted(0, "1", "f"), ToolCallDelta(0, '{"a":'), Finished(finish)]
    chunks, losses = write(events)
    answer, names = DIALECT.render_answer(fold(events), HEAD, None)
    assert [chunk["candidates"][0]["finishReason"] for chunk in chunks] == [said]
    assert json.loads(answer)["candidates"][0]["finishReason"] == said
    assert losses == set(names) == {"tool_call.arguments"}


def test_every_loss_of_an_answer_is_named() -> None:
    events: list[Event] = [
        RefusalDelta("no"),
        ReasoningSignature("x", redacted=True),
        ReasoningSignature("not base64!"),
        ToolCallStarted(0, "1", "f", "no base64!"),
        ToolCallDelta(0, "null"),
        Extra("citations"),
        BlockBreak(),
        Finished("stop_sequence", "END"),
    ]
    names = {
        "refusal",
        "reasoning.redacted",
        "reasoning.signature",
        "tool_call.signature",
        "citations",
        "stop_sequence",
    }
    assert write(events)[1] == names
    assert set(DIALECT.render_answer(fold(events), HEAD, None)[1]) == names


def test_a_whole_answer_holds_what_its_stream_holds() -> None:
    message = Message("assistant", (Thinking("hm", "aQ=="), Text("so"), ToolUse("1", "f", '{"a": 1}')))
    reply = Reply([], usage=Usage(1, 0, 0, 2, 3))
    reply.choices = fold([TextDelta(""), Finished("tool_calls")]).choices
    reply.choices[0].message = message
    body, losses = DIALECT.render_answer(reply, HEAD, None)
    back = fold(DIALECT.parse_answer(body, "seed"))
    assert (back.choices[0].message.parts, back.choices[0].finish) == (
        (Thinking("hm", "aQ=="), Text("so"), ToolUse("1", "f", '{"a":1}')),
        "tool_calls",
    )
    assert (back.usage, back.model, back.id, losses) == (reply.usage, "gemini-x", "seed", ())


def test_a_note_stands_beside_the_usage_and_googles_client_passes_over_it() -> None:
    note = {"cost_usd": 0.1}
    raw = DIALECT.renderer(HEAD).finish(note)
    body, _ = DIALECT.render_answer(fold([TextDelta("a")]), HEAD, note)
    for answer in (json.loads(raw[6:]), json.loads(body)):
        assert answer["afterbay"] == note
        assert GenerateContentResponse._from_response(response=answer, kwargs={}).model_version == "gemini-x"


def test_an_error_is_a_chunk_that_begins_with_error() -> None:
    raw = DIALECT.renderer(HEAD).fail(Capacity("Full.", retry_after_s=2))
    assert raw.startswith(b'data: {"error":')
    error = json.loads(raw[6:])["error"]
    assert (error["code"], error["status"]) == (503, "UNAVAILABLE")


def test_a_ping_means_nothing_to_us_and_to_googles_client() -> None:
    renderer = DIALECT.renderer(HEAD)
    raw = renderer.ping() + renderer.render([TextDelta("a")]) + renderer.ping() + renderer.finish()
    assert [event for event in read(raw)[0] if not isinstance(event, Started)] == [TextDelta("a"), Finished("stop")]
    lines = list(genai._iter_sse_lines(iter([raw])))
    assert all(not line or line.startswith("data: ") for line in lines)


# --- properties -------------------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=10)
signatures = st.sampled_from(["aQ==", "CiQB", "Y-_j"])
arguments = st.dictionaries(words, st.integers() | words, max_size=2).map(
    lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
)


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = [Started("seed", "gemini-x")]
    calls = 0
    for kind in draw(st.lists(st.sampled_from("tttrsc"), max_size=8)):
        if kind == "t":
            events.append(TextDelta(draw(words)))
        elif kind == "r":
            events.append(ReasoningDelta(draw(words)))
        elif kind == "s":
            events.append(ReasoningSignature(draw(signatures)))
        else:
            events.append(ToolCallStarted(calls, f"id{calls}", draw(words), draw(st.none() | signatures)))
            text = draw(arguments)
            cut = draw(st.integers(0, len(text)))
            events += [ToolCallDelta(calls, text[:cut]), ToolCallDelta(calls, text[cut:])]
            calls += 1
    events.append(Finished("tool_calls" if calls else draw(st.sampled_from(["stop", "length", "content_filter"]))))
    return [*events, UsageSeen(Usage(*draw(st.tuples(*[st.integers(0, 99)] * 2)), 0, draw(st.integers(0, 99)), 1))]


@given(streams(), st.data())
def test_events_come_back_from_their_rendering_under_any_cut_of_the_bytes(
    events: list[Event], data: st.DataObject
) -> None:
    renderer = DIALECT.renderer(HEAD)
    raw = b"".join(renderer.render([event]) for event in events) + renderer.finish()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    found, complete = read(*pieces)
    assert found == read(raw)[0]
    assert fold(found) == fold(events)
    assert complete
    assert renderer.losses == set()


@given(streams())
def test_a_reply_comes_back_from_its_rendering(events: list[Event]) -> None:
    reply = fold(events)
    body, losses = DIALECT.render_answer(reply, HEAD, None)
    assert fold(DIALECT.parse_answer(body, "other seed")) == reply
    assert losses == ()


@given(st.binary(max_size=80))
def test_chunks_of_any_kind_are_read_or_refused_with_a_value_error(data: bytes) -> None:
    try:
        DIALECT.stream_parser("seed").push(None, data, [])
    except ValueError as error:
        assert error  # noqa: PT017 - either outcome is fine, other exceptions are not
