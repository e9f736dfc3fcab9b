"""Answers of Converse that the recordings lack: errors in a stream, odd ends, redacted reasoning, odd blocks."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.errors import ErrorKind, GatewayError, ProviderError, Upstream
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
from afterbay.core.message import Image, Message, Refusal, Text, Thinking, ToolUse
from afterbay.core.usage import Usage
from afterbay.wire.aws_stream import FrameSplitter, exception
from afterbay.wire.bedrock import DIALECT
from afterbay.wire.bedrock.blocks import blob_of, redacted_of
from afterbay.wire.dialect import Head
from wire.bedrock_support import frames, parse_stream

HEAD = Head(seed="s", model="m", input_tokens=7)
START = ("messageStart", {"role": "assistant", "p": "abc"})
USAGE = {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}


def delta(index: int, **said: Any) -> tuple[str, Any]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": said, "p": "abcdef"}


def began(index: int, **start: Any) -> tuple[str, Any]:
    return "contentBlockStart", {"contentBlockIndex": index, "start": start}


def ended(index: int) -> tuple[str, Any]:
    return "contentBlockStop", {"contentBlockIndex": index}


def stopped(reason: str = "end_turn", **more: Any) -> tuple[str, Any]:
    return "messageStop", {"stopReason": reason, **more}


def read(*events: tuple[str, Any]) -> list[Event]:
    return parse_stream(frames(*events))[0]


def answer(*content: Any, reason: str = "end_turn", **more: Any) -> bytes:
    message = {"role": "assistant", "content": list(content)}
    return json.dumps({"output": {"message": message}, "stopReason": reason, "usage": USAGE} | more).encode()


def whole(*content: Any, **more: Any) -> list[Event]:
    return DIALECT.parse_answer(answer(*content, **more), "seed")


def test_text_deltas_come_one_by_one_and_padding_means_nothing() -> None:
    assert read(START, delta(0, text="He"), delta(0, text=""), delta(0, text="llo"), ended(0), stopped()) == [
        Started(),
        TextDelta("He"),
        TextDelta("llo"),
        Finished("stop"),
    ]


def test_two_text_blocks_have_a_break_between_them_whatever_block_lies_between() -> None:
    cited = delta(1, citation={"location": {"web": {"url": "u"}}})
    found = read(delta(0, text="a"), ended(0), cited, ended(1), delta(2, text="b"), delta(2, text="c"), ended(2))
    assert found == [TextDelta("a"), Extra("citations"), BlockBreak(), TextDelta("b"), TextDelta("c")]
    assert whole({"text": "a"}, {"text": ""}, {"text": "b"})[1:4] == [TextDelta("a"), BlockBreak(), TextDelta("b")]


def test_novas_thinking_stays_text() -> None:
    assert (
        fold(whole({"text": "<thinking>hm</thinking> yes"})).choices[0].message.text() == "<thinking>hm</thinking> yes"
    )


def test_calls_are_numbered_and_an_empty_one_gets_an_object() -> None:
    found = read(
        began(0, toolUse={"toolUseId": "a", "name": "f"}),
        began(1, toolUse={"toolUseId": "b", "name": "g"}),
        delta(0, toolUse={"input": '{"x"'}),
        delta(0, toolUse={"input": ""}),
        delta(0, toolUse={"input": ":1}"}),
        ended(0),
        stopped("tool_use"),
    )
    assert found == [
        ToolCallStarted(0, "a", "f"),
        ToolCallStarted(1, "b", "g"),
        ToolCallDelta(0, '{"x"'),
        ToolCallDelta(0, ":1}"),
        ToolCallDelta(1, "{}"),
        Finished("tool_calls"),
    ]


def test_a_call_without_an_id_gets_one() -> None:
    assert whole({"toolUse": {"name": "f", "input": {}}})[1:3] == [
        ToolCallStarted(0, "tooluse_seed_0", "f"),
        ToolCallDelta(0, "{}"),
    ]


def test_arguments_keep_their_writing() -> None:
    raw = b'{"output":{"message":{"content":[{"toolUse":{"toolUseId":"a","name":"f","input":{"n": 7.0}}}]}}}'
    assert DIALECT.parse_answer(raw, "s")[2] == ToolCallDelta(0, '{"n": 7.0}')


def test_tools_that_ran_at_the_provider_are_no_calls_of_the_clients() -> None:
    server = {"toolUseId": "a", "name": "nova_grounding", "type": "server_tool_use"}
    result = {"toolUseId": "a", "type": "nova_grounding_result", "status": "success"}
    found = read(
        began(0, toolUse=server),
        delta(0, toolUse={"input": "{}"}),
        ended(0),
        began(1, toolResult=result),
        delta(1, toolResult=[{"text": "x"}]),
        ended(1),
        began(2, toolUse={"toolUseId": "b", "name": "f", "type": "tool_use"}),
        ended(2),
    )
    named = [Extra("server_tool_use"), Extra("nova_grounding_result")]
    assert found == [*named, ToolCallStarted(0, "b", "f"), ToolCallDelta(0, "{}")]
    assert whole({"toolUse": server | {"input": {}}}, {"toolResult": result | {"content": []}})[1:3] == named


def test_a_claude_signature_comes_out_as_it_came() -> None:
    found = read(
        delta(0, reasoningContent={"text": "hm"}),
        delta(0, reasoningContent={"signature": "Eu0=/+"}),
        ended(0),
        delta(1, text="a"),
    )
    assert found == [ReasoningDelta("hm"), ReasoningSignature("Eu0=/+"), TextDelta("a")]
    said = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "Eu0=/+"}}}
    assert whole(said, {"text": "a"})[1:4] == found


def test_a_block_that_was_never_closed_gives_its_signature_at_the_end() -> None:
    assert read(
        delta(0, reasoningContent={"text": "a", "signature": None}),
        delta(0, reasoningContent={"signature": "S"}),
        stopped(),
    ) == [
        ReasoningDelta("a"),
        ReasoningSignature("S"),
        Finished("stop"),
    ]


def test_two_reasoning_blocks_have_a_break_between_them() -> None:
    found = read(delta(0, reasoningContent={"text": "a"}), ended(0), delta(1, reasoningContent={"text": "b"}), ended(1))
    assert found == [ReasoningDelta("a"), BlockBreak(), ReasoningDelta("b")]
    signed = {"reasoningContent": {"reasoningText": {"text": "", "signature": "S"}}}
    assert fold(whole(signed, signed)).choices[0].message.parts == (Thinking("", "S"), Thinking("", "S"))


def test_redacted_reasoning_is_what_anthropics_own_api_would_have_sent() -> None:
    blob = b64encode(b"EtMFCkgI").decode()
    assert read(delta(0, reasoningContent={"redactedContent": blob}), ended(0)) == [
        ReasoningSignature("EtMFCkgI", redacted=True)
    ]
    assert whole({"reasoningContent": {"redactedContent": blob}})[1] == ReasoningSignature("EtMFCkgI", redacted=True)


@given(st.binary(max_size=30))
def test_any_redacted_blob_comes_back_as_it_came(data: bytes) -> None:
    blob = b64encode(data).decode()
    assert blob_of(redacted_of(blob)) == blob


@given(st.text(max_size=20))
def test_any_proof_comes_back_as_it_was(text: str) -> None:
    assert redacted_of(blob_of(text)) == text


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("stop_sequence", "stop_sequence"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_model_output", "error"),
        ("malformed_tool_use", "error"),
    ],
)
def test_every_stop_reason_has_its_class(reason: str, finish: str) -> None:
    assert read(stopped(reason)) == [Finished(finish)]  # type: ignore[arg-type]  # from the table above
    assert Finished(finish) in whole({"text": "a"}, reason=reason)  # type: ignore[arg-type]


def test_an_unknown_stop_reason_is_named() -> None:
    assert read(stopped("tired")) == [Finished("stop"), Extra("stopReason=tired")]


@pytest.mark.parametrize("fields", [{"stop_sequence": "|"}, {"delta": {"stop_sequence": "|"}}])
def test_the_stop_sequence_is_told_where_it_was_asked_for(fields: Any) -> None:
    assert read(stopped("stop_sequence", additionalModelResponseFields=fields)) == [Finished("stop_sequence", "|")]
    found = whole({"text": "a"}, reason="stop_sequence", additionalModelResponseFields=fields)
    assert Finished("stop_sequence", "|") in found


def test_usage_counts_input_without_the_cache_and_is_the_last_event() -> None:
    usage = {**USAGE, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 10, "totalTokens": 117}
    parser, out = DIALECT.stream_parser("s"), list[Event]()
    for name, payload in (stopped(), ("metadata", {"usage": usage, "metrics": {"latencyMs": 1}, "trace": {"a": 1}})):
        assert not parser.is_over
        parser.push(name.encode(), json.dumps(payload).encode(), out)
    assert out == [Finished("stop"), UsageSeen(Usage(5, 100, 10, 2)), Extra("trace")]
    assert parser.is_over


def test_citations_of_a_whole_answer_are_text_and_are_named() -> None:
    cited = {"content": [{"text": "a"}, {"text": "b"}], "citations": [{"title": "t"}]}
    assert whole({"citationsContent": cited})[1:3] == [TextDelta("ab"), Extra("citations")]


def test_blocks_and_events_of_later_versions_are_named() -> None:
    assert whole({"hologram": {}})[1] == Extra("hologram")
    assert read(("hologramStart", {}), began(0, hologram={}), delta(0, hologram={"x": 1})) == [
        Extra("hologramStart"),
        Extra("hologram"),
        Extra("hologram"),
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("throttlingException", "rate_limit"),
        ("modelStreamErrorException", "server"),
        ("validationException", "invalid_request"),
        ("internalServerException", "server"),
        ("serviceUnavailableException", "overloaded"),
        ("modelTimeoutException", "timeout"),
        ("somethingNewException", "server"),
    ],
)
def test_an_exception_frame_is_an_error(name: str, kind: ErrorKind) -> None:
    parser, out = DIALECT.stream_parser("s"), list[Event]()
    for said, data in FrameSplitter().feed(exception(name, b'{"message":"no","p":"ab"}'))[1]:
        parser.push(said, data, out)
    assert out == [Failed(ProviderError(kind, "no", None, name[0].upper() + name[1:]))]
    assert not parser.is_complete


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (None, b"{}"),
        (b"contentBlockDelta", b"not json"),
        (b"contentBlockDelta", b'{"contentBlockIndex":3,"delta":{"toolUse":{"input":"x"}}}'),
        (b"messageStop", b"[]"),
    ],
)
def test_what_is_no_event_is_an_error(name: bytes | None, data: bytes) -> None:
    with pytest.raises((ValueError, msgspec.DecodeError)):
        DIALECT.stream_parser("s").push(name, data, [])


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"Output":{"__type":"UnknownOperationException"},"Version":"1.0"}', b"[]"]
)
def test_what_is_no_answer_is_an_error(body: bytes) -> None:
    with pytest.raises((ValueError, msgspec.DecodeError)):
        DIALECT.parse_answer(body, "s")


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "code"),
    [
        (
            429,
            {"x-amzn-errortype": "ThrottlingException:http://x/"},
            {"message": "m"},
            "rate_limit",
            "ThrottlingException",
        ),
        (429, {}, {"__type": "ThrottlingException", "message": "m"}, "rate_limit", "ThrottlingException"),
        (429, {}, {"message": "Too many tokens per day, please wait"}, "quota", None),
        (400, {"x-amzn-errortype": "ServiceQuotaExceededException"}, {"message": "m"}, "quota", None),
        (429, {"x-amzn-errortype": "ModelNotReadyException"}, {"message": "m"}, "overloaded", None),
        (403, {"x-amzn-errortype": "AccessDeniedException"}, {"Message": "m"}, "permission", None),
        (403, {"x-amzn-errortype": "ExpiredTokenException"}, {"message": "m"}, "authentication", None),
        (400, {"x-amzn-errortype": "ValidationException"}, {"message": "m"}, "invalid_request", None),
        (400, {}, {"message": "Input is too long for requested model."}, "invalid_request", "context_length_exceeded"),
        (400, {}, {"message": "Output blocked by content filtering policy"}, "content_filter", None),
        (
            404,
            {"x-amzn-errortype": "aws.x#ResourceNotFoundException"},
            {"message": "m"},
            "not_found",
            "ResourceNotFoundException",
        ),
        (408, {"x-amzn-errortype": "ModelTimeoutException"}, {"message": "m"}, "timeout", None),
        (424, {"x-amzn-errortype": "ModelErrorException"}, {"originalMessage": "m"}, "server", None),
        (503, {"x-amzn-errortype": "ServiceUnavailableException"}, {"message": "m"}, "overloaded", None),
        (500, {}, {}, "server", None),
    ],
)
def test_errors_have_their_kinds(status: int, headers: Any, body: Any, kind: str, code: str | None) -> None:
    error = DIALECT.parse_error(status, headers, json.dumps(body).encode())
    assert (error.kind, error.status) == (kind, status)
    assert error.message
    assert code is None or error.code == code


def test_an_error_page_counts_by_its_status_and_says_when_to_come_back() -> None:
    error = DIALECT.parse_error(503, {"retry-after": "3"}, b"<h1>Busy</h1>")
    assert (error.kind, error.message, error.retry_after_s) == ("overloaded", "HTTP 503: Busy", 3.0)


@pytest.mark.parametrize(
    "kind", ["invalid_request", "rate_limit", "quota", "timeout", "overloaded", "server", "not_found"]
)
def test_a_rendered_error_is_read_as_what_it_was(kind: ErrorKind) -> None:
    error = Upstream("no", kind=kind, remedy="")
    assert DIALECT.parse_error(500, {}, DIALECT.render_error(error, "req")).kind == kind


def rendered(*events: Event, error: GatewayError | None = None) -> tuple[bytes, set[str]]:
    renderer = DIALECT.renderer(HEAD)
    raw = b"".join(renderer.render([one]) for one in events)
    raw += renderer.fail(error) if error is not None else renderer.finish({"cost_usd": 1})
    assert renderer.ping() == b""
    return raw, renderer.losses


def test_interleaved_calls_keep_their_blocks() -> None:
    events = [
        TextDelta("a"),
        ToolCallStarted(0, "a", "f", "proof"),
        ToolCallStarted(1, "b", "g"),
        ToolCallDelta(1, "[1"),
        ToolCallDelta(0, "{}"),
        ToolCallDelta(1, "]"),
        TextDelta("other", choice=1),
        Extra("grounding"),
    ]
    raw, losses = rendered(*events)
    (choice,) = fold(parse_stream(raw)[0]).choices
    assert choice.message.parts == (Text("a"), ToolUse("a", "f", "{}"), ToolUse("b", "g", "[1]"))
    assert choice.finish == "tool_calls"
    assert losses == {"tool_call.signature", "choices", "grounding"}


def test_a_failed_stream_ends_with_an_exception_and_nothing_after() -> None:
    raw, _ = rendered(TextDelta("a"), error=Upstream("gone", kind="timeout", remedy=""))
    assert FrameSplitter().feed(raw)[1][-1] == (b"exception:modelStreamErrorException", b'{"message":"gone"}')
    renderer = DIALECT.renderer(HEAD)
    failed = renderer.render([Failed(ProviderError("rate_limit", "slow")), TextDelta("x")])
    assert FrameSplitter().feed(failed)[1] == [(b"exception:throttlingException", b'{"message":"slow"}')]
    assert renderer.finish() == b""


def test_an_answer_without_anything_still_has_a_start_an_end_and_the_estimate() -> None:
    raw, _ = rendered()
    names = [name for name, _ in FrameSplitter().feed(raw)[1]]
    assert names == [b"messageStart", b"messageStop", b"metadata"]
    assert fold(parse_stream(raw)[0]).usage == Usage(7)


@pytest.mark.parametrize(
    ("events", "finish", "sequence", "losses"),
    [
        ([Finished("stop_sequence", "|")], "stop_sequence", "|", set()),
        ([RefusalDelta("no")], "content_filter", None, set()),
        ([Finished("pause")], "stop", None, {"finish.pause"}),
        ([Finished("error")], "error", None, set()),
    ],
)
def test_ends_are_told_alike_whole_and_streamed(
    events: list[Event], finish: str, sequence: str | None, losses: set[str]
) -> None:
    raw, lost = rendered(*events)
    body, named = DIALECT.render_answer(fold(events), HEAD, {"cost_usd": 1})
    assert b'"afterbay":{"cost_usd":1}' in body
    assert b'"afterbay":{"cost_usd":1}' in raw
    for got in (fold(parse_stream(raw)[0]), fold(DIALECT.parse_answer(body, "s"))):
        assert (got.choices[0].finish, got.choices[0].stop_sequence) == (finish, sequence)
    assert lost == set(named) == losses


def test_a_whole_answer_names_what_it_has_no_place_for() -> None:
    parts = (Thinking(redacted="D"), Thinking("t"), Refusal("no"), ToolUse("a", "f", '{"cut', "proof"), Image(url="u"))
    choice = fold([]).choices[0]
    choice.message = Message("assistant", parts)
    body, losses = DIALECT.render_answer(Reply([choice, choice], extras=("logprobs",)), HEAD, None)
    assert set(losses) == {"logprobs", "choices", "tool_call.signature", "image in an answer"}
    assert fold(DIALECT.parse_answer(body, "s")).choices[0].message.parts == (
        Thinking(redacted="D"),
        Thinking("t"),
        Text("no"),
        ToolUse("a", "f", '{"cut'),
    )


pieces = st.text(min_size=1, max_size=5)
streamed = st.lists(
    st.one_of(
        st.builds(TextDelta, pieces),
        st.builds(ReasoningDelta, pieces),
        st.builds(ReasoningSignature, pieces, st.booleans()),
        st.just(BlockBreak()),
    ),
    max_size=8,
)


@given(streamed, st.lists(st.integers(0, 3000), max_size=8))
def test_what_is_rendered_folds_to_the_same_under_any_cut(events: list[Event], cuts: list[int]) -> None:
    raw, _ = rendered(*events)
    want, got = fold(events).choices[0].message.parts, fold(parse_stream(raw, cuts)[0]).choices[0].message.parts
    assert got == want
