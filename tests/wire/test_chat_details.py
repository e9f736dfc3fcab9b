"""Proofs of reasoning in chat completions: out in `reasoning_details`, back from there, and to their maker alone."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.core.errors import ClientMistake
from afterbay.core.event import (
    BlockBreak,
    Event,
    Extra,
    Finished,
    ReasoningDelta,
    ReasoningSignature,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallStarted,
    fold,
)
from afterbay.core.message import Part, Text, Thinking, ToolUse
from afterbay.testing.grammar import violations
from afterbay.wire.dialect import Head
from afterbay.wire.openai_chat import DIALECT
from afterbay.wire.proofs import Proof, admitted, outgoing, wrap
from afterbay.wire.sse import Splitter

HEAD = Head("s", "m", 5)
words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=9)


def streamed(events: list[Event]) -> tuple[bytes, list[dict[str, Any]]]:
    """A stream of these events, and its deltas."""
    renderer = DIALECT.renderer(HEAD)
    raw = b"".join(renderer.render([event]) for event in events) + renderer.finish()
    assert violations("openai.chat", raw) == []
    assert renderer.losses == set()
    chunks = [json.loads(data) for _, data in Splitter().feed(raw)[1] if data != b"[DONE]"]
    return raw, [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


def details(events: list[Event]) -> list[dict[str, Any]]:
    """All details of an answer, which are the same streamed and whole."""
    told = [detail for delta in streamed(events)[1] for detail in delta.get("reasoning_details", ())]
    body, losses = DIALECT.render_answer(fold(events), HEAD, None)
    assert losses == ()
    assert json.loads(body)["choices"][0]["message"].get("reasoning_details", []) == told
    return told


def sent_back(message: dict[str, Any]) -> tuple[Part, ...]:
    """What the next request of a client holds that sends this message back."""
    asked = {"role": "user", "content": "hi"}
    body = {"model": "m", "messages": [asked, {"role": "assistant", **message}, asked]}
    return DIALECT.parse_request(json.dumps(body).encode(), None, None).messages[1].parts


def proof(maker: str, data: str = "EqQB") -> str:
    return wrap(Proof(maker, "", "", data))


@pytest.mark.parametrize(
    ("maker", "named"),
    [
        ("anthropic", "anthropic-claude-v1"),
        ("google", "google-gemini-v1"),
        ("openai", "openai-responses-v1"),
        ("xai", "unknown"),
    ],
)
def test_a_proof_goes_out_with_the_text_that_it_belongs_to(maker: str, named: str) -> None:
    events: list[Event] = [ReasoningDelta("Let me "), ReasoningDelta("see."), ReasoningSignature(proof(maker))]
    events += [TextDelta("So."), Finished("stop")]
    assert details(events) == [
        {"type": "reasoning.text", "text": "Let me see.", "signature": proof(maker), "format": named, "index": 0}
    ]
    deltas = streamed(events)[1]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "Let me see."


def test_reasoning_without_a_proof_has_no_details() -> None:
    events: list[Event] = [ReasoningDelta("a"), BlockBreak(), ReasoningDelta("b"), TextDelta("c"), Finished("stop")]
    assert details(events) == []
    assert b"reasoning_details" not in streamed(events)[0]


def test_where_one_block_is_proved_all_are_told_in_their_order() -> None:
    events: list[Event] = [
        *(ReasoningDelta("a"), BlockBreak(), ReasoningDelta("b"), ReasoningSignature(proof("anthropic"))),
        *(ReasoningDelta("c"), ReasoningSignature(proof("anthropic"), redacted=True), TextDelta("x")),
        *(ReasoningSignature(proof("anthropic", "omitted")), ReasoningDelta("d"), Finished("stop")),
    ]
    told = details(events)
    assert [(one["type"], one.get("text"), one["index"]) for one in told] == [
        ("reasoning.text", "a", 0),
        ("reasoning.text", "b", 1),
        ("reasoning.text", "c", 2),
        ("reasoning.encrypted", None, 3),
        ("reasoning.text", "", 4),
        ("reasoning.text", "d", 5),
    ]
    assert sent_back({"content": "x", "reasoning_content": "abcd", "reasoning_details": told}) == (
        *(Thinking("a"), Thinking("b", proof("anthropic")), Thinking("c"), Thinking(redacted=proof("anthropic"))),
        *(Thinking("", proof("anthropic", "omitted")), Thinking("d"), Text("x")),
    )


@pytest.mark.parametrize("between", [TextDelta("x"), RefusalDelta("x"), ToolCallStarted(0, "c", "f"), BlockBreak()])
def test_a_proof_behind_something_else_is_not_of_the_reasoning_before_it(between: Event) -> None:
    events = [ReasoningDelta("a"), between, ReasoningSignature(proof("anthropic")), Finished("stop")]
    assert [(one["text"], "signature" in one) for one in details(events)] == [("a", False), ("", True)]


@pytest.mark.parametrize("maker", ["anthropic", "openai", "google", "xai"])
@pytest.mark.parametrize("only_details", [True, False])
def test_a_client_that_sends_them_back_gives_the_maker_its_own(maker: str, only_details: bool) -> None:
    said: list[Event] = [ReasoningDelta("hm"), ReasoningSignature("c2ln"), ReasoningSignature("blob", redacted=True)]
    said += [TextDelta("so"), ToolCallStarted(0, "c", "f"), Finished("tool_calls")]
    body, _ = DIALECT.render_answer(fold(outgoing(said, maker, "openai.chat")), HEAD, None)
    message = json.loads(body)["choices"][0]["message"]
    if only_details:
        message.pop("reasoning_content")
    asked = {"role": "user", "content": "hi"}
    request = DIALECT.parse_request(json.dumps({"model": "m", "messages": [asked, message]}).encode(), None, None)
    seen, losses = admitted(request, "openai.chat", maker)
    assert losses == ()
    proved = (Thinking("hm", "c2ln"), Thinking(redacted="blob"))
    assert seen.messages[1].parts == (*proved, Text("so"), ToolUse("c", "f", "{}"))
    other, losses = admitted(request, "openai.chat", "another")
    assert losses == ("thinking.signature of another maker",)
    assert other.messages[1].parts == (Thinking("hm"), Text("so"), ToolUse("c", "f", "{}"))


def test_a_proof_of_what_google_said_stands_behind_it() -> None:
    detail = {"type": "reasoning.text", "text": "", "signature": proof("google")}
    assert sent_back({"content": "so", "reasoning_details": [detail]}) == (Text("so"), Thinking("", proof("google")))


@pytest.mark.parametrize(
    ("detail", "part"),
    [
        (
            {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "anthropic-claude-v1", "id": None},
            Thinking("hm", proof("anthropic", "sig")),
        ),
        (
            {"type": "reasoning.encrypted", "data": "blob", "format": "anthropic-claude-v1", "index": 1},
            Thinking(redacted=proof("anthropic", "blob")),
        ),
        (
            {"type": "reasoning.encrypted", "data": "blob", "format": "openai-responses-v1", "id": "rs_1"},
            Thinking(redacted=proof("openrouter", "blob")),
        ),
        ({"type": "reasoning.summary", "summary": "s"}, Thinking("s")),
        ({"type": "reasoning.text", "text": "t", "signature": None}, Thinking("t")),
    ],
)
def test_details_of_openrouters_own_are_read(detail: dict[str, Any], part: Thinking) -> None:
    assert sent_back({"content": "x", "reasoning_details": [detail]}) == (part, Text("x"))


def test_text_beside_details_that_hold_none_is_not_lost() -> None:
    sealed = {"type": "reasoning.encrypted", "data": proof("openai")}
    for field in ("reasoning", "reasoning_content"):
        parts = sent_back({"content": "x", field: "hm", "reasoning_details": [sealed, {"type": "reasoning.text"}]})
        assert parts == (Thinking("hm"), Thinking(redacted=proof("openai")), Text("x"))
    assert sent_back({"content": "x", "reasoning": "hm", "reasoning_details": []}) == (Thinking("hm"), Text("x"))
    with pytest.raises(ClientMistake, match="reasoning_details"):
        sent_back({"content": "x", "reasoning_details": [{"type": 5}]})


def test_a_field_of_that_name_with_another_meaning_is_no_fault_of_the_answer() -> None:
    message = {"content": "x", "reasoning_content": "hm", "reasoning_details": [{"text": {"odd": 1}}]}
    events = DIALECT.parse_answer(json.dumps({"choices": [{"message": message}]}).encode(), "s")
    assert events[1:] == [Extra("reasoning_details"), ReasoningDelta("hm"), TextDelta("x")]


blocks = st.lists(
    st.one_of(
        words.map(lambda text: [ReasoningDelta(text), BlockBreak()]),
        st.tuples(st.lists(words, max_size=2), words).map(
            lambda said: [*map(ReasoningDelta, said[0]), ReasoningSignature(said[1])]
        ),
    ),
    max_size=5,
)


@settings(max_examples=150, deadline=None)
@given(blocks, st.booleans())
def test_reasoning_is_the_same_after_the_whole_answer_was_sent_back(said: list[list[Event]], speaks: bool) -> None:
    ends: list[Event] = [*([TextDelta("x")] if speaks else []), Finished("stop")]
    events: list[Event] = [Started("a", "m"), *(event for block in said for event in block), *ends]
    sealed = outgoing(events, "anthropic", "openai.chat")
    thought = [part for part in fold(sealed).choices[0].message.parts if isinstance(part, Thinking)]
    body, _ = DIALECT.render_answer(fold(sealed), HEAD, None)
    message = json.loads(body)["choices"][0]["message"]
    if any(part.signature for part in thought):
        assert [part for part in sent_back(message) if isinstance(part, Thinking)] == thought
        got = fold(DIALECT.parse_answer(body, "s")).choices[0].message.parts
        assert "".join(part.text for part in got if isinstance(part, Thinking)) == "".join(p.text for p in thought)
        assert [part.signature for part in got if isinstance(part, Thinking) and part.signature] == [
            part.signature for part in thought if part.signature
        ]
    else:
        assert "reasoning_details" not in message
    told = [detail for delta in streamed(sealed)[1] for detail in delta.get("reasoning_details", ())]
    assert told == message.get("reasoning_details", [])


def test_openais_sdk_gathers_them_from_a_stream() -> None:
    events: list[Event] = [ReasoningDelta("a"), ReasoningSignature(proof("anthropic", "1"))]
    events += [ReasoningDelta("b"), ReasoningSignature(proof("anthropic", "2")), TextDelta("x"), Finished("stop")]
    raw = streamed(events)[0]

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=raw)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = openai.OpenAI(base_url="http://test", api_key="any", max_retries=0, http_client=http)
    with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "hi"}]) as stream:
        message: Any = stream.get_final_completion().choices[0].message
    assert message.reasoning_details == details(events)
    assert message.reasoning_content == "ab"
    kept = message.model_dump(exclude_none=True)
    assert [part for part in sent_back(kept) if isinstance(part, Thinking)] == [
        Thinking("a", proof("anthropic", "1")),
        Thinking("b", proof("anthropic", "2")),
    ]
