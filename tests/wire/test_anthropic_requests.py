"""Traps of the Messages dialect's requests, written by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from afterbay.core.errors import ClientMistake
from afterbay.core.message import Audio, Image, Message, Refusal, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.wire.anthropic_messages import DIALECT
from afterbay.wire.anthropic_messages.build import DEFAULT_MAX_TOKENS
from afterbay.wire.features import features

USER = Message("user", (Text("hi"),))


def parse(**fields: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}], **fields}
    return DIALECT.parse_request(json.dumps(body).encode(), None, None)


def content(*blocks: dict[str, Any]) -> ChatRequest:
    return parse(messages=[{"role": "user", "content": list(blocks)}])


def build(*messages: Message, **fields: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    fields.setdefault("sampling", Sampling(max_output_tokens=5000))
    built = DIALECT.build_request(ChatRequest("alias", messages or (USER,), **fields), "upstream")
    return json.loads(built.body), built.losses


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"model": None}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64"}}]}]},
            "messages[0].content[0].source.data",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b"}]}]},
            "messages[0].content[0].input",
        ),
        ({"temperature": 1.5}, "temperature"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"system": 5}, "system"),
        ({"stop_sequences": [1]}, "stop_sequences[0]"),
        ({"unheard_of": 1, "messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
    ],
)
def test_a_mistake_names_its_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ClientMistake) as caught:
        parse(**fields)
    assert caught.value.param == param
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"null"])
def test_a_body_that_is_no_json_object_is_a_mistake(body: bytes) -> None:
    with pytest.raises(ClientMistake):
        DIALECT.parse_request(body, None, None)


def test_path_parameters_win_over_the_body() -> None:
    body = b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
    request = DIALECT.parse_request(body, "other", True)
    assert (request.model, request.stream) == ("other", True)


def test_what_an_agent_only_wishes_for_is_a_hint() -> None:
    request = parse(
        tools=[{"name": "f", "input_schema": {"type": "object"}, "input_examples": [{"a": 1}]}],
        thinking={"type": "between_tools"},
        fallbacks=[{"model": "other"}],
        billing_policy={"type": "billing_policy", "bill_to": "user_profile"},
    )
    assert request.foreign == ()
    assert set(request.hints) == {"input_examples", "thinking.between_tools", "fallbacks", "billing_policy"}
    assert request.reasoning == Reasoning(budget_tokens=-1)


def test_unknown_fields_are_foreign_by_path_and_nulls_say_nothing() -> None:
    request = parse(
        mcp_servers=[{"url": "x"}],
        container="c",
        inference_geo="eu",
        nothing=None,
        tools=[
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
            {"type": "bash_20250124", "name": "bash"},
            {"type": "custom", "name": "f", "input_schema": {"type": "object"}, "of_next_year": [{}]},
        ],
        thinking={"type": "of_next_year"},
        output_config={"effort": "high", "of_next_year": {"total": 5}},
    )
    assert set(request.foreign) == {
        "mcp_servers",
        "container",
        "inference_geo",
        "tools[0].type=web_search_20250305",
        "tools[1].type=bash_20250124",
        "tools[2].of_next_year",
        "thinking.type=of_next_year",
        "output_config.of_next_year",
    }
    assert [tool.name for tool in request.tools] == ["f"]
    assert request.reasoning == Reasoning("high")
    assert set(request.foreign) < features(request)


def test_what_does_not_change_the_answer_is_a_hint() -> None:
    request = parse(
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        fallback_credit_token="t",
        thinking={"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}},
        output_config={"effort": "high", "task_budget": {"type": "tokens", "total": 5}},
    )
    assert request.foreign == ()
    assert set(request.hints) == {
        "context_management",
        "fallback_credit_token",
        "thinking.block_binding",
        "output_config.task_budget",
    }
    assert request.reasoning == Reasoning("high", -1)


def test_server_tool_blocks_and_citations_are_foreign_and_the_rest_stays() -> None:
    request = content(
        {"type": "text", "text": "a"},
        {"type": "search_result", "source": "https://x", "title": "t", "content": [{"type": "text", "text": "b"}]},
        {"type": "document", "source": {"type": "file", "file_id": "f"}, "citations": {"enabled": True}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}, "context": "c"},
    )
    assert request.foreign == (
        "messages[0].content[1].type=search_result",
        "citations",
        "messages[0].content[2].source.type=file",
        "messages[0].content[3].context",
    )
    assert [type(part).__name__ for part in request.messages[0].parts] == ["Text", "Document"]


def test_hints_are_named_once() -> None:
    cached = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    request = parse(
        system=[cached],
        messages=[{"role": "user", "content": [cached]}],
        metadata={"user_id": "u"},
        service_tier="auto",
    )
    assert request.hints == ("metadata", "service_tier", "cache_control")
    assert request.foreign == ()
    assert DIALECT.build_request(request, "m").losses == request.hints


def test_tool_results_become_a_message_of_their_own_in_order() -> None:
    request = content(
        {"type": "tool_result", "tool_use_id": "a", "content": "1"},
        {"type": "tool_result", "tool_use_id": "b", "is_error": True},
        {"type": "text", "text": "go"},
    )
    assert request.messages == (
        Message("tool", (ToolResult("a", (Text("1"),)), ToolResult("b", (), True))),
        Message("user", (Text("go"),)),
    )


def test_a_document_of_chunks_is_joined_and_says_so() -> None:
    chunks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    request = content({"type": "document", "source": {"type": "content", "content": chunks}})
    assert request.messages[0].parts[0].text == "a\nb"  # type: ignore[union-attr]
    assert request.hints == ("document.chunks",)


def test_leading_instructions_become_system_and_later_ones_marked_user_text() -> None:
    body, losses = build(
        Message("system", (Text("a"),)), Message("developer", (Text("b"),)), USER, Message("system", (Text("c"),))
    )
    assert body["system"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert [turn["role"] for turn in body["messages"]] == ["user"]
    assert body["messages"][0]["content"][1]["text"] == "<system>\nc\n</system>"
    assert losses == ("messages[3].role",)


def test_instructions_alone_still_make_a_turn() -> None:
    body, losses = build(Message("system", (Text("a"),)), Message("system", (Text("b"),)))
    assert (body["system"], body["messages"]) == ("a", [{"role": "user", "content": "b"}])
    assert losses == ("messages[1].role",)


def test_tool_results_come_first_in_one_merged_user_turn() -> None:
    body, _ = build(
        USER,
        Message("assistant", (ToolUse("a", "f", "{}"), ToolUse("b", "f", '{"x": 1}'))),
        Message("tool", (ToolResult("a", (Text("1"),)),)),
        USER,
        Message("tool", (ToolResult("b", (Text("2"),)),)),
    )
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "tool_result", "text"]


def test_tool_ids_are_rewritten_alike_and_stay_apart() -> None:
    body, _ = build(
        USER,
        Message("assistant", (ToolUse("call.1", "f", "{}"), ToolUse("call:1", "f", "{}"), ToolUse("", "f", "{}"))),
        Message("tool", (ToolResult("call.1", ()),)),
        Message("tool", (ToolResult("call:1", ()),)),
        Message("tool", (ToolResult("", ()),)),
    )
    used = [block["id"] for block in body["messages"][1]["content"]]
    assert used == [block["tool_use_id"] for block in body["messages"][2]["content"]]
    assert len(set(used)) == 3
    assert all(part.replace("_", "").replace("-", "").isalnum() for part in used)


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ("", {}),
        ("null", {}),
        (' {"a": 1} ', {"a": 1}),
        ('{"a": "cut', {"_raw_arguments": '{"a": "cut'}),
        ("[1]", {"_raw_arguments": "[1]"}),
    ],
)
def test_arguments_are_sent_as_an_object_and_come_back(arguments: str, sent: Any) -> None:
    request = ChatRequest("m", (USER, Message("assistant", (ToolUse("a", "f", arguments),))))
    built = DIALECT.build_request(request, "m")
    assert json.loads(built.body)["messages"][1]["content"][0]["input"] == sent
    (use,) = DIALECT.parse_request(built.body, None, None).messages[1].parts
    assert isinstance(use, ToolUse)
    assert use.arguments == (arguments.strip() if arguments.strip() not in ("", "null") else "{}")


def test_a_missing_limit_and_a_tight_thinking_budget_are_mended_and_named() -> None:
    body, losses = build(sampling=Sampling())
    assert (body["max_tokens"], losses) == (DEFAULT_MAX_TOKENS, ("max_tokens=4096",))
    body, losses = build(sampling=Sampling(max_output_tokens=100), reasoning=Reasoning(budget_tokens=50))
    assert (body["thinking"]["budget_tokens"], body["max_tokens"]) == (1024, 1024 + 4096)
    assert losses == ("reasoning.budget_tokens", "max_tokens=5120")


@pytest.mark.parametrize(
    ("reasoning", "thinking", "effort", "losses"),
    [
        (Reasoning("none"), {"type": "disabled"}, None, ()),
        (Reasoning("minimal"), None, "low", ("reasoning.effort=minimal",)),
        (Reasoning("high", -1, True), {"type": "adaptive", "display": "summarized"}, "high", ()),
        (Reasoning("low", show=True), None, "low", ("reasoning.show",)),
    ],
)
def test_reasoning_maps(reasoning: Reasoning, thinking: Any, effort: str | None, losses: tuple[str, ...]) -> None:
    body, lost = build(reasoning=reasoning)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort
    assert lost == losses


def test_what_cannot_be_said_is_a_feature_and_a_loss_when_built_all_the_same() -> None:
    request = ChatRequest(
        "m",
        (Message("user", (Text("a"), Audio("x", "wav"))),),
        sampling=Sampling(
            5000, 1.5, stop=("\n",), seed=1, n=2, logprobs=True, top_logprobs=2, logit_bias=b"{}", presence_penalty=1.0
        ),
        response_format=ResponseFormat("json_object"),
    )
    built = DIALECT.build_request(request, "m")
    assert set(built.losses) == set(DIALECT.cannot) - {"frequency_penalty"}
    assert set(built.losses) <= features(request)
    assert json.loads(built.body)["temperature"] == 1.0


def test_parts_without_a_place_are_named() -> None:
    body, losses = build(
        Message("user", (Text(""), Text(" "), Text("a"), Image(data="R0lGODlh", detail="high")), name="ann"),
        Message("assistant", (Thinking("t"), Thinking(redacted="r"), Refusal("no"), ToolUse("i", "f", "{}", "sig"))),
    )
    assert body["messages"][0]["content"][1]["source"]["media_type"] == "image/gif"
    assert [block["type"] for block in body["messages"][1]["content"]] == ["redacted_thinking", "text", "tool_use"]
    assert set(losses) == {
        "messages[0].name",
        "messages[0].blank_text",
        "image.detail",
        "thinking",
        "tool_use.signature",
    }


def test_tools_get_the_type_that_this_api_wants_and_parallel_use_is_switched_off() -> None:
    body, losses = build(tools=(ToolSpec("f", schema=b"{}"),), parallel_tool_calls=False)
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object"}}]
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert losses == ()
    body, losses = build(tool_choice=ToolChoice("required"))
    assert "tool_choice" not in body
    assert losses == ("tool_choice",)


def test_a_schema_goes_to_output_config_and_its_label_is_named() -> None:
    form = ResponseFormat("json_schema", "label", b'{"type":"object"}', False, "d")
    body, losses = build(response_format=form)
    assert body["output_config"] == {
        "format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}
    }
    assert losses == (
        "response_format.additionalProperties=false",
        "response_format.name",
        "response_format.description",
        "response_format.strict",
    )
