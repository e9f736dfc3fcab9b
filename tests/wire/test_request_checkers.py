"""The judges of requests judge: each rule catches a body that breaks it, and leaves the right one alone."""

from __future__ import annotations

from typing import Any

import pytest

from wire.golden.case import ANTHROPIC, GEMINI, OPENAI, assistant, call, said, text, user
from wire.golden.sdk_types import complaints
from wire.golden.shapes import faults

HI = user("Hi")
USE = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "x"}
TOOL = {"role": "tool", "tool_call_id": "a", "content": "x"}
CALLED = assistant(None, tool_calls=[call("a", "f", "{}")])
FUNCTION = {"functionCall": {"id": "a", "name": "f", "args": {}}}
RESPONSE = {"functionResponse": {"id": "a", "name": "f", "response": {}}}


def openai(*messages: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    return OPENAI, {"model": "m", "messages": list(messages)} | more


def anthropic(*messages: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    return ANTHROPIC, {"model": "m", "max_tokens": 2000, "messages": list(messages)} | more


def gemini(*contents: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    return GEMINI, {"contents": list(contents)} | more


@pytest.mark.parametrize(
    "sent",
    [
        openai(HI, CALLED, TOOL, HI),
        anthropic(HI, assistant([USE]), user([RESULT, text("go")])),
        gemini(said("Hi"), said(FUNCTION, role="model"), said(RESPONSE, "go")),
    ],
)
def test_a_right_body_passes(sent: tuple[str, dict[str, Any]]) -> None:
    assert faults(*sent) == complaints(*sent) == []


@pytest.mark.parametrize(
    "sent",
    [
        openai(),
        openai(HI, TOOL),
        openai(HI, CALLED),
        openai(HI, CALLED, HI, TOOL),
        openai(HI, CALLED, TOOL, TOOL),
        openai(user([])),
        openai(HI, assistant(None)),
        openai(HI, assistant("x", tool_calls=[])),
        openai({"role": "system", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}),
        openai(HI, tool_choice="required"),
        anthropic(),
        anthropic(HI, HI),
        anthropic(user([text(" ")])),
        anthropic(user([])),
        anthropic(HI, assistant([USE]), user([text("go"), RESULT])),
        anthropic(HI, assistant([USE]), HI),
        anthropic(HI, assistant([USE])),
        anthropic(user([RESULT])),
        anthropic(HI, assistant([USE | {"id": "a:1"}]), user([RESULT | {"tool_use_id": "a:1"}])),
        anthropic(HI, assistant([{"type": "image", "source": {"type": "url", "url": "u"}}])),
        anthropic(HI, assistant("x ")),
        anthropic(HI, temperature=0.5, thinking={"type": "adaptive"}),
        anthropic(HI, thinking={"type": "enabled", "budget_tokens": 2000}),
        anthropic(HI, temperature=0.5, top_p=0.5),
        anthropic(HI, stop_sequences=["\n"]),
        anthropic(HI, tool_choice={"type": "any"}),
        anthropic(HI, output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}}),
        gemini(),
        gemini(said("a"), said("b")),
        gemini(said()),
        gemini(said({})),
        gemini(said("a", role="system")),
        gemini(said("a"), said(FUNCTION, role="model")),
        gemini(said("a"), said(FUNCTION, role="model"), said("b")),
        gemini(said("a"), said(FUNCTION, FUNCTION, role="model"), said(RESPONSE)),
        gemini(said(RESPONSE)),
        gemini(said("a"), toolConfig={"functionCallingConfig": {"mode": "ANY"}}),
    ],
)
def test_a_body_that_breaks_a_rule_of_its_turns_is_caught(sent: tuple[str, dict[str, Any]]) -> None:
    assert faults(*sent)


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (openai(HI, top_k=4), ".top_k: unknown"),
        (openai(HI, temperature="1"), ".temperature: "),
        (openai({"role": "user"}), ".messages[0].content: missing"),
        (openai(user([{"type": "image_url", "image_url": {"uri": "u"}}])), ".messages[0].content[0].image_url."),
        (openai(HI, tools=[{"type": "function", "function": {}}]), ".tools[0].function.name: missing"),
        (anthropic({"role": "tool", "content": "x"}), ".messages[0].role: 'tool' not allowed"),
        (anthropic(HI, seed=1), ".seed: unknown"),
        (anthropic(user([{"type": "text"}])), ".messages[0].content[0].text: missing"),
        (anthropic(HI, tools=[{"name": "f"}]), ".tools[0].input_schema: missing"),
        (anthropic(HI, output_config={"effort": "minimal"}), ".output_config.effort: 'minimal' not allowed"),
        (gemini(said({"txt": "a"})), "contents[0].parts.0.txt: "),
        (gemini(said("a"), systemPrompt="x"), "systemPrompt: unknown"),
        (gemini(said("a"), generationConfig={"topK": "many"}), "generationConfig.topK: "),
    ],
)
def test_a_field_that_the_sdk_does_not_know_is_caught(sent: tuple[str, dict[str, Any]], complaint: str) -> None:
    assert any(one.startswith(complaint) for one in complaints(*sent)), complaints(*sent)
