"""Requests in Converse's form: read field by field, built and read again; what only its own clients can ask."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from afterbay.core.errors import ClientMistake
from afterbay.core.message import Audio, Document, Image, Message, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.wire.bedrock import DIALECT
from afterbay.wire.bedrock.blocks import tool_id
from afterbay.wire.bedrock.families import family_of
from afterbay.wire.bedrock.media import Names
from wire.bedrock_support import CLAUDE
from wire.test_request_properties import requests

NOVA = "us.amazon.nova-2-lite-v1:0"
HI = (Message("user", (Text("Hi"),)),)


def body(*messages: Any, **more: Any) -> bytes:
    turns = messages or ({"role": "user", "content": [{"text": "Hi"}]},)
    return json.dumps({"messages": list(turns)} | more).encode()


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def read(data: bytes, stream: bool = False) -> ChatRequest:
    return DIALECT.parse_request(data, "m", stream)


def built(model: str = CLAUDE, **fields: Any) -> tuple[dict[str, Any], set[str]]:
    made = DIALECT.build_request(ChatRequest("m", **({"messages": HI} | fields)), model)
    return json.loads(made.body), set(made.losses)


def test_every_block_is_read() -> None:
    request = read(
        body(
            user(
                {"toolResult": {"toolUseId": "a", "content": [{"text": "x"}, {"json": {"n": 1.0}}], "status": "error"}},
                {"toolResult": {"toolUseId": "b", "content": []}},
                {"text": "See"},
                {"image": {"format": "jpeg", "source": {"bytes": "aGE="}}},
                {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/a.png"}}}},
                {"audio": {"format": "wav", "source": {"bytes": "aGE="}}},
                {"document": {"format": "md", "name": "n", "source": {"bytes": "aGE="}}},
                {"document": {"name": "t", "source": {"text": "words"}}},
                {"document": {"format": "pdf", "name": "s", "source": {"s3Location": {"uri": "s3://b/a.pdf"}}}},
                {"cachePoint": {"type": "default"}},
            ),
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "S"}}},
                    {"reasoningContent": {"redactedContent": "RXRNRg=="}},
                    {"toolUse": {"toolUseId": "a", "name": "f", "input": {"n": 7.0}}},
                    {"toolUse": {"toolUseId": "b", "name": "f", "input": {"_raw_arguments": "cut"}}},
                ],
            },
            system=[{"text": "A"}, {"text": "B"}],
        )
    )
    assert request.messages == (
        Message("system", (Text("A"), Text("B"))),
        Message("tool", (ToolResult("a", (Text("x"), Text('{"n": 1.0}')), True), ToolResult("b", ()))),
        Message(
            "user",
            (
                Text("See"),
                Image(data="aGE=", media_type="image/jpeg"),
                Image(url="s3://b/a.png"),
                Audio("aGE=", "wav"),
                Document(data="aGE=", media_type="text/markdown", name="n"),
                Document(text="words", name="t"),
                Document(url="s3://b/a.pdf", name="s"),
            ),
        ),
        Message(
            "assistant",
            (
                Thinking("hm", "S"),
                Thinking(redacted="EtMF"),
                ToolUse("a", "f", '{"n": 7.0}'),
                ToolUse("b", "f", "cut"),
            ),
        ),
    )
    assert request.foreign == ()
    assert request.hints == ("toolResult.json", "cachePoint")


def test_every_setting_is_read() -> None:
    schema = '{"type":"object"}'
    request = read(
        body(
            inferenceConfig={"maxTokens": 9, "temperature": 0.5, "topP": 1, "stopSequences": ["|"]},
            toolConfig={
                "tools": [
                    {
                        "toolSpec": {
                            "name": "f",
                            "description": "d",
                            "inputSchema": {"json": {"type": "object"}},
                            "strict": True,
                        }
                    },
                    {"cachePoint": {"type": "default"}},
                ],
                "toolChoice": {"tool": {"name": "f"}},
            },
            outputConfig={
                "effort": "low",
                "textFormat": {
                    "type": "json_schema",
                    "structure": {"jsonSchema": {"schema": schema, "name": "n", "description": "d"}},
                },
            },
            additionalModelRequestFields={"top_k": 3, "thinking": {"type": "enabled", "budget_tokens": 2000}},
            additionalModelResponseFieldPaths=["/stop_sequence"],
            requestMetadata={"a": "b"},
            serviceTier={"type": "flex"},
            promptVariables=None,
        ),
        stream=True,
    )
    assert request.sampling == Sampling(9, 0.5, 1.0, 3, ("|",))
    assert request.tools == (ToolSpec("f", "d", b'{"type": "object"}', True),)
    assert request.tool_choice == ToolChoice("tool", "f")
    assert request.response_format == ResponseFormat("json_schema", "n", schema.encode(), None, "d")
    assert request.reasoning == Reasoning("low", 2000)
    assert (request.model, request.stream, request.include_usage) == ("m", True, True)
    assert request.foreign == ()
    assert request.hints == ("cachePoint", "requestMetadata", "serviceTier")


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, Reasoning(None, -1, False)),
        ({"thinking": {"type": "disabled"}}, Reasoning(None, 0)),
        ({"reasoning_config": {"type": "enabled", "budget_tokens": 1024}}, Reasoning(None, 1024)),
        ({"reasoning_config": "high"}, Reasoning("high")),
        ({"reasoning_effort": "low"}, Reasoning("low")),
        ({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}, Reasoning("high")),
    ],
)
def test_every_way_to_ask_for_thinking_is_read(fields: Any, reasoning: Reasoning) -> None:
    request = read(body(additionalModelRequestFields=fields))
    assert request.reasoning == reasoning
    assert request.foreign == ()


@pytest.mark.parametrize(
    ("fields", "choice"),
    [({"any": {}}, ToolChoice("required")), ({"auto": {}}, ToolChoice("auto")), ({}, None)],
)
def test_choices_of_a_tool_are_read(fields: Any, choice: ToolChoice | None) -> None:
    assert read(body(toolConfig={"tools": [], "toolChoice": fields})).tool_choice == choice


@pytest.mark.parametrize(
    ("fields", "foreign"),
    [
        ({"guardrailConfig": {"guardrailIdentifier": "g"}}, "guardrailConfig"),
        ({"promptVariables": {"a": {"text": "b"}}}, "promptVariables"),
        ({"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}}, "toolConfig.tools[0].systemTool"),
        ({"additionalModelRequestFields": {"anthropic_beta": ["x"]}}, "additionalModelRequestFields.anthropic_beta"),
        ({"inferenceConfig": {"topZ": 1}}, "inferenceConfig.topZ"),
        ({"system": [{"guardContent": {"text": {"text": "x"}}}]}, "system[0].guardContent"),
        (
            {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1, "mood": "x"}}},
            "additionalModelRequestFields.thinking.mood",
        ),
        (
            {"additionalModelRequestFields": {"inferenceConfig": {"topZ": 1}}},
            "additionalModelRequestFields.inferenceConfig.topZ",
        ),
    ],
)
def test_what_has_no_canonical_form_is_foreign(fields: Any, foreign: str) -> None:
    assert read(body(**fields)).foreign == (foreign,)


@pytest.mark.parametrize(
    ("block", "foreign"),
    [
        ({"video": {"format": "mp4"}}, "messages[0].content[0].video"),
        (
            {"toolUse": {"toolUseId": "a", "name": "f", "input": {}, "type": "server_tool_use"}},
            "messages[0].content[0].toolUse",
        ),
        ({"toolResult": {"toolUseId": "a", "content": [], "type": "nova_result"}}, "messages[0].content[0].toolResult"),
        ({"document": {"name": "n", "source": {"text": "x"}, "citations": {"enabled": True}}}, "citations"),
        ({"document": {"name": "n", "source": {"content": []}}}, "messages[0].content[0].document.source.content"),
        (
            {"document": {"name": "n", "source": {"text": "x"}, "context": "c"}},
            "messages[0].content[0].document.context",
        ),
        (
            {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/a", "bucketOwner": "1"}}}},
            "messages[0].content[0].image.source.s3Location.bucketOwner",
        ),
    ],
)
def test_blocks_without_a_canonical_form_are_foreign(block: Any, foreign: str) -> None:
    assert read(body(user(block))).foreign == (foreign,)


@pytest.mark.parametrize(
    ("data", "param"),
    [
        (b"[]", None),
        (b"{}", "messages"),
        (body({"role": "robot", "content": []}), "messages[0].role"),
        (body({"content": []}), "messages[0].role"),
        (body(user({})), "messages[0].content[0].text"),
        (body(user({"text": 5})), "messages[0].content[0].text"),
        (body(user({"image": {"format": "png"}})), "messages[0].content[0].image.source"),
        (body(user({"toolUse": {"name": "f", "input": {}}})), "messages[0].content[0].toolUse.toolUseId"),
        (body(user({"toolResult": {"toolUseId": "a"}})), "messages[0].content[0].toolResult.content"),
        (body(user({"reasoningContent": {}})), "messages[0].content[0].reasoningContent.reasoningText"),
        (body(inferenceConfig={"maxTokens": "many"}), "inferenceConfig.maxTokens"),
        (body(toolConfig={"tools": [{"toolSpec": {"name": "f"}}]}), "toolConfig.tools[0].toolSpec.inputSchema"),
        (body(outputConfig={"textFormat": {"type": "json_schema"}}), "outputConfig.textFormat.structure"),
    ],
)
def test_a_mistake_is_named_by_its_place(data: bytes, param: str | None) -> None:
    with pytest.raises(ClientMistake) as caught:
        read(data)
    assert caught.value.param == param


def test_a_request_without_a_model_is_a_mistake() -> None:
    with pytest.raises(ClientMistake) as caught:
        DIALECT.parse_request(body(), None, None)
    assert caught.value.param == "modelId"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests)
def test_what_is_built_is_read_as_what_is_built_again(request: ChatRequest) -> None:
    first = DIALECT.build_request(request, CLAUDE)
    again = DIALECT.parse_request(first.body, CLAUDE, request.stream)
    assert again.foreign == again.hints == ()
    second = DIALECT.build_request(again, CLAUDE)
    assert json.loads(second.body) == json.loads(first.body)
    assert second.path == first.path
    assert set(second.losses) <= {"response_format.additionalProperties=false", "document.name"}, second.losses


def test_what_fits_is_read_as_it_was() -> None:
    request = ChatRequest(
        CLAUDE,
        (
            Message("system", (Text("A"),)),
            Message("user", (Text("See"), Image(data="aGE=", media_type="image/png"), Document(text="x", name="n"))),
            Message("assistant", (Thinking("hm", "S"), Thinking(redacted="D"), ToolUse("a", "f", '{"x":1}'))),
            Message("tool", (ToolResult("a", (Text("ok"),), True),)),
            Message("user", (Text("And?"),)),
        ),
        tools=(ToolSpec("f", "d", b'{"type":"object"}', True),),
        tool_choice=ToolChoice("auto"),
        sampling=Sampling(9000, top_k=None, stop=("|",)),
        response_format=ResponseFormat("json_schema", "n", b'{"type":"string"}', None, "d"),
        reasoning=Reasoning("low", 2000, True),
    )
    made = DIALECT.build_request(request, CLAUDE)
    assert made.losses == ()
    assert DIALECT.parse_request(made.body, CLAUDE, False) == request


def test_the_path_holds_the_model_quoted_once() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-7-sonnet-20250219-v1:0"
    request = ChatRequest("m", HI)
    assert DIALECT.build_request(request, "a.b-v1:0").path == "/model/a.b-v1%3A0/converse"
    assert DIALECT.build_request(request, arn).path.count("%2F") == 1
    streams = ChatRequest("m", HI, stream=True)
    made = DIALECT.build_request(streams, "x y")
    assert made.path == "/model/x%20y/converse-stream"
    assert made.headers["accept"] == "application/vnd.amazon.eventstream"
    assert DIALECT.relay_path("/model/old/converse-stream", "n:0") == "/model/n%3A0/converse-stream"
    assert DIALECT.relay_path("/model/old/converse", "n") == "/model/n/converse"


@pytest.mark.parametrize(
    ("model", "family"),
    [
        (CLAUDE, "claude"),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", "claude"),
        ("us.amazon.nova-pro-v1:0", "nova"),
        (NOVA, "nova2"),
        ("openai.gpt-oss-120b-1:0", "gpt-oss"),
        ("qwen.qwen3-32b-v1:0", "qwen"),
        ("cohere.command-r-v1:0", "cohere"),
        ("mistral.mistral-large-3-675b-instruct", "mistral"),
        ("us.meta.llama4-maverick-17b-instruct-v1:0", ""),
    ],
)
def test_families_are_told_by_their_ids(model: str, family: str) -> None:
    assert family_of(model) == family


def test_a_forced_tool_excludes_claudes_thinking() -> None:
    tools = (ToolSpec("f"),)
    made, losses = built(tools=tools, tool_choice=ToolChoice("required"), reasoning=Reasoning(None, 2000))
    assert "additionalModelRequestFields" not in made
    assert losses == {"reasoning"}


@pytest.mark.parametrize(
    ("reasoning", "extra", "losses"),
    [
        (Reasoning("none"), {"thinking": {"type": "disabled"}}, set()),
        (Reasoning(None, 500), {"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning.budget_tokens"}),
        (Reasoning(None, -1, True), {"thinking": {"type": "adaptive", "display": "summarized"}}, set()),
        (Reasoning("default"), None, {"reasoning.effort"}),
    ],
)
def test_claudes_thinking(reasoning: Reasoning, extra: Any, losses: set[str]) -> None:
    made, lost = built(reasoning=reasoning)
    assert made.get("additionalModelRequestFields") == extra
    assert lost == losses


def test_the_least_effort_of_claude_is_low() -> None:
    made, losses = built(reasoning=Reasoning("minimal"))
    assert made["outputConfig"] == {"effort": "low"}
    assert losses == {"reasoning.effort=minimal"}


@pytest.mark.parametrize(
    ("reasoning", "config", "losses"),
    [
        (Reasoning("low"), {"type": "enabled", "maxReasoningEffort": "low"}, set()),
        (Reasoning("none"), {"type": "disabled"}, set()),
        (Reasoning("xhigh"), {"type": "enabled", "maxReasoningEffort": "high"}, {"reasoning.effort", "max_tokens"}),
        (Reasoning(None, 2000), None, {"reasoning.budget_tokens"}),
        (Reasoning("odd"), None, {"reasoning.effort"}),
    ],
)
def test_novas_thinking(reasoning: Reasoning, config: Any, losses: set[str]) -> None:
    made, lost = built(NOVA, reasoning=reasoning, sampling=Sampling(100))
    assert made.get("additionalModelRequestFields", {}).get("reasoningConfig") == config
    assert lost == losses
    assert ("inferenceConfig" in made) == ("max_tokens" not in lost)


def test_tool_ids_are_rewritten_where_they_must_be_and_always_alike() -> None:
    assert tool_id("functions.f:0", claude=False) == "functions.f:0"
    assert tool_id("functions.f:0", claude=True) == tool_id("functions.f:0", claude=True) != "functions.f:0"
    assert tool_id("", claude=True).startswith("tooluse_")
    assert len(tool_id("x" * 99, claude=False)) == 64


def test_names_of_documents_are_clean_and_differ() -> None:
    names, losses = Names(), dict[str, None]()
    assert [names.take(one, losses) for one in ("a  b", "a b", None, None, "报告.pdf", "x" * 300, "x" * 300)] == [
        "a b",
        "a b 2",
        "document",
        "document 2",
        "pdf",
        "x" * 200,
        "x" * 198 + " 2",
    ]
    assert losses == {"document.name": None}


@pytest.mark.parametrize(
    ("media_type", "name", "short"),
    [
        ("application/pdf", None, "pdf"),
        ("text/csv; charset=utf-8", None, "csv"),
        ("application/json", None, "txt"),
        ("text/x-python", None, "txt"),
        ("application/octet-stream", "a.docx", "docx"),
        ("application/zip", None, "zip"),
        (None, None, "pdf"),
    ],
)
def test_documents_go_by_their_format(media_type: str | None, name: str | None, short: str) -> None:
    parts = (Text("x"), Document(data="aGE=", media_type=media_type, name=name))
    made, _ = built(messages=(Message("user", parts),))
    assert made["messages"][0]["content"][1]["document"]["format"] == short


@pytest.mark.parametrize(
    ("image", "short"),
    [
        (Image(data="iVBORw0KGgo="), "png"),
        (Image(data="aGE="), "jpeg"),
        (Image(data="aGE=", media_type="image/jpg"), "jpeg"),
        (Image(data="aGE=", media_type="image/bmp"), "bmp"),
        (Image(url="s3://b/a.jpg"), "jpeg"),
        (Image(url="s3://b/a"), "png"),
    ],
)
def test_images_go_by_their_format(image: Image, short: str) -> None:
    made, losses = built(messages=(Message("user", (image,)),))
    assert made["messages"][0]["content"][0]["image"]["format"] == short
    assert losses == set()


@pytest.mark.parametrize(
    ("message", "losses"),
    [
        (Message("assistant", (Text("x"), Image(data="aGE="))), {"messages[1].image"}),
        (Message("user", (Text("x"), Document(name="n"))), {"empty_document"}),
        (Message("user", (Text("x"),), "ann"), {"messages[1].name"}),
        (Message("assistant", (Text("x"), Thinking("no proof"))), {"thinking"}),
        (Message("user", (Text("x"), Image(data="aGE=", detail="low"))), {"image.detail"}),
        (
            Message("assistant", (Text("x"), ToolUse("a", "f", "{}", "proof"))),
            {"tool_use.signature", "tools=toolUse.name"},
        ),
    ],
)
def test_what_a_message_loses_is_named(message: Message, losses: set[str]) -> None:
    _, lost = built(messages=(*HI, message))
    assert lost == losses


def test_a_forced_tool_that_is_not_there_is_left_out() -> None:
    made, losses = built(tools=(ToolSpec("f"),), tool_choice=ToolChoice("tool", "g"))
    assert "toolChoice" not in made["toolConfig"]
    assert losses == {"tool_choice"}
    assert built(tool_choice=ToolChoice("required"))[1] == {"tool_choice"}
