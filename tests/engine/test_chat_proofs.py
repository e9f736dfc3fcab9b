"""Proofs of reasoning through chat completions: the client carries them, and their maker gets them back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.engine.cases import ANTHROPIC, GEMINI, OPENAI, events, gateway, serve

from afterbay.core.event import (
    Event,
    Finished,
    ReasoningDelta,
    ReasoningSignature,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
    fold,
)
from afterbay.testing.answers import JSON, USAGE, answered, ask
from afterbay.testing.fakes import MemoryReply, Script
from afterbay.testing.memory_gateway import MemoryGateway
from afterbay.wire.dialect import Head
from afterbay.wire.proofs import MARK
from afterbay.wire.registry import DIALECTS

RESPONSES = "openai.responses"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
CALL: list[Event] = [ToolCallStarted(0, "call_123456", "look"), ToolCallDelta(0, "{}")]


def provider(spoken: str, said: list[Event], *, stream: bool) -> Script:
    """A provider that answers so, in its own protocol."""
    dialect, head = DIALECTS[spoken], Head("seed", "up", 1_770_000_000, include_usage=True)
    whole: list[Event] = [Started("answer-1", "up"), *said, UsageSeen(USAGE), Finished("tool_calls")]
    if not stream:
        return Script(steps=(dialect.render_answer(fold(whole), head, None)[0],), headers=JSON)
    renderer = dialect.renderer(head)
    raw = b"".join(renderer.render([event]) for event in whole) + renderer.finish(None)
    return Script(steps=(raw,), headers={"content-type": dialect.stream_type})


def message_of(reply: MemoryReply, *, stream: bool) -> dict[str, Any]:
    """The assistant message as a client keeps it: texts joined, lists gathered."""
    assert reply.status == 200
    if not stream:
        whole: dict[str, Any] = reply.json["choices"][0]["message"]  # type: ignore[index]
        return whole
    kept: dict[str, Any] = {"role": "assistant", "content": None, "reasoning_details": [], "tool_calls": []}
    for chunk in events(reply.body):
        for choice in chunk["choices"]:
            delta = choice["delta"]
            kept["reasoning_details"] += delta.get("reasoning_details", [])
            for call in delta.get("tool_calls", ()):
                if "id" in call:
                    kept["tool_calls"].append({name: call[name] for name in call if name != "index"})
                else:
                    kept["tool_calls"][call["index"]]["function"]["arguments"] += call["function"]["arguments"]
            for name in ("content", "reasoning_content"):
                if delta.get(name):
                    kept[name] = (kept.get(name) or "") + delta[name]
    return kept


def second(message: dict[str, Any]) -> bytes:
    """The next request: the message came back, with the result of its call."""
    asked = {"role": "user", "content": "Look."}
    said = [asked, message, {"role": "tool", "tool_call_id": "call_123456", "content": "seen"}]
    return ask("m", tools=[TOOL], reasoning_effort="low", max_tokens=5000, messages=said)


def turns(
    spoken: str, said: list[Event], *, stream: bool, then: str = "", **fields: Any
) -> tuple[MemoryGateway, MemoryReply, dict[str, Any]]:
    """Two turns of a chat client; the second is answered by a provider of `then`, or of the same protocol."""
    first = gateway([provider(spoken, said, stream=stream)], spoken=spoken)
    asked = ask("m", "Look.", tools=[TOOL], reasoning_effort="low", stream=stream)
    message = message_of(serve(first, OPENAI, body=asked), stream=stream)
    next_one = gateway([answered(then or spoken, "done")], spoken=then or spoken, **fields)
    return next_one, serve(next_one, OPENAI, body=second(message)), message


def sent(one: MemoryGateway) -> Any:
    return json.loads(one.upstreams["a"].sent[0].body)


THOUGHT: list[Event] = [
    ReasoningDelta("I must "),
    ReasoningDelta("look."),
    ReasoningSignature("EqQBCkY+/="),
    ReasoningSignature("cmVkYWN0ZWQ=", redacted=True),
    TextDelta("Looking."),
]


@pytest.mark.parametrize("stream", [False, True])
def test_claude_gets_its_thinking_back_before_its_call(stream: bool) -> None:
    one, reply, message = turns(ANTHROPIC, [*THOUGHT, *CALL], stream=stream)
    assert reply.status == 200
    assert message["reasoning_content"] == "I must look."
    assert sent(one)["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "I must look.", "signature": "EqQBCkY+/="},
        {"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="},
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "call_123456", "name": "look", "input": {}},
    ]
    assert "signature" not in reply.headers.get("x-afterbay-warnings", "")


@pytest.mark.parametrize("stream", [False, True])
def test_openai_gets_its_encrypted_reasoning_back(stream: bool) -> None:
    said = [ReasoningDelta("I look."), ReasoningSignature("rs_1|gAAAAAB"), *CALL]
    one, reply, _ = turns(RESPONSES, said, stream=stream)
    (item,) = [item for item in sent(one)["input"] if item["type"] == "reasoning"]
    assert item["encrypted_content"] == "gAAAAAB"
    assert item["summary"] == [{"type": "summary_text", "text": "I look."}]
    assert "signature" not in reply.headers.get("x-afterbay-warnings", "")


@pytest.mark.parametrize("stream", [False, True])
def test_google_gets_the_signatures_of_its_calls_where_they_always_were(stream: bool) -> None:
    said: list[Event] = [ToolCallStarted(0, "call_123456", "look", "c2lnbmVk"), ToolCallDelta(0, "{}")]
    one, _, message = turns(GEMINI, said, stream=stream)
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "c2lnbmVk"}}
    assert not message.get("reasoning_details")
    parts = sent(one)["contents"][1]["parts"]
    assert [part["thoughtSignature"] for part in parts if "functionCall" in part] == ["c2lnbmVk"]


@pytest.mark.parametrize("then", [RESPONSES, GEMINI])
def test_another_maker_gets_no_proof_and_the_client_is_told(then: str) -> None:
    one, reply, _ = turns(ANTHROPIC, [*THOUGHT, *CALL], stream=True, then=then)
    assert reply.status == 200
    body = one.upstreams["a"].sent[0].body.decode()
    assert "Looking." in body
    for proof in ("EqQBCkY", "cmVkYWN0ZWQ", MARK):
        assert proof not in body
    assert "dropped: thinking.signature of another maker" in reply.headers["x-afterbay-warnings"]


def test_a_relay_to_another_maker_loses_the_details_and_keeps_the_rest() -> None:
    one, reply, message = turns(ANTHROPIC, [*THOUGHT, *CALL], stream=False, then=OPENAI, maker="openai")
    assert sent(one)["messages"][1] == {name: message[name] for name in message if name != "reasoning_details"}
    assert "dropped: signatures of another maker" in reply.headers["x-afterbay-warnings"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_does_not_send_them_back_gets_what_it_always_got(stream: bool) -> None:
    first = gateway([provider(ANTHROPIC, [*THOUGHT, *CALL], stream=stream)], spoken=ANTHROPIC)
    asked = ask("m", "Look.", tools=[TOOL], stream=stream)
    message = message_of(serve(first, OPENAI, body=asked), stream=stream)
    plain = {name: message[name] for name in ("role", "content", "tool_calls")}
    one = gateway([answered(ANTHROPIC, "done")], spoken=ANTHROPIC)
    assert serve(one, OPENAI, body=second(plain)).status == 200
    assert [part["type"] for part in sent(one)["messages"][1]["content"]] == ["text", "tool_use"]
