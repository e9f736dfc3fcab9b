"""Requests of the Responses API, field by field: what a client says, and what a provider is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from afterbay.core.errors import ClientMistake
from afterbay.core.message import Audio, Document, Image, Message, Refusal, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.wire.openai_responses import DIALECT
from afterbay.wire.proofs import Proof, wrap

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOL: dict[str, Any] = {"type": "function", "name": "f", "description": "does f", "parameters": SCHEMA, "strict": True}
WRAPPED = wrap(Proof("anthropic", "", "", "EqQ="))
HI = Message("user", (Text("Hi"),))


def parse(**fields: Any) -> ChatRequest:
    return DIALECT.parse_request(json.dumps({"model": "m", "input": "Hi"} | fields).encode(), None, None)


def read(*items: Any) -> ChatRequest:
    return parse(input=list(items))


def build(request: ChatRequest, model: str = "gpt-4o") -> tuple[dict[str, Any], set[str]]:
    built = DIALECT.build_request(request, model)
    assert built.path == "/responses"
    return json.loads(built.body), set(built.losses)


def ask(*messages: Message, **more: Any) -> ChatRequest:
    return ChatRequest("alias", messages or (HI,), **more)


def refused(**fields: Any) -> ClientMistake:
    with pytest.raises(ClientMistake) as caught:
        parse(**fields)
    return caught.value


def test_a_string_is_a_question_and_instructions_stand_before_it() -> None:
    assert parse() == ChatRequest("m", (HI,))
    assert parse(instructions="Be brief.").messages == (Message("system", (Text("Be brief."),)), HI)


def test_the_arguments_win_over_the_body() -> None:
    request = DIALECT.parse_request(b'{"model":"m","input":"Hi","stream":true}', "other", False)
    assert (request.model, request.stream, request.include_usage) == ("other", False, False)
    assert parse(stream=True).include_usage


@pytest.mark.parametrize("role", ["user", "system", "developer", "assistant"])
def test_a_message_is_read_in_its_easy_and_its_full_form(role: str) -> None:
    easy = {"role": role, "content": "x"}
    kind = "output_text" if role == "assistant" else "input_text"
    full = {"type": "message", "id": "msg_1", "status": "completed", "role": role}
    full["content"] = (
        [{"type": kind, "text": "x", "annotations": []}] if kind == "output_text" else [{"type": kind, "text": "x"}]
    )
    for item in (easy, full):
        request = read(item)
        assert request.messages == (Message(role, (Text("x"),)),)  # type: ignore[arg-type]  # one of the four
        assert request.foreign == request.hints == ()


def test_media_are_read_by_url_and_inline() -> None:
    parts = [
        {"type": "input_image", "image_url": "https://e.org/a.png", "detail": "high"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,BBBB", "filename": "b.pdf"},
        {"type": "input_file", "file_data": "CCCC"},
        {"type": "input_file", "file_url": "https://e.org/d.pdf"},
        {"type": "input_audio", "input_audio": {"data": "EEEE", "format": "wav"}},
    ]
    assert read({"role": "user", "content": parts}).messages[0].parts == (
        Image(url="https://e.org/a.png", detail="high"),
        Image(data="AAAA", media_type="image/png"),
        Document(data="BBBB", media_type="application/pdf", name="b.pdf"),
        Document(data="CCCC"),
        Document(url="https://e.org/d.pdf"),
        Audio("EEEE", "wav"),
    )


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ({"type": "input_image", "file_id": "file_1"}, "input[0].content[0].file_id"),
        ({"type": "input_file", "file_id": "file_1"}, "input[0].content[0].file_id"),
        ({"type": "input_video", "video_url": "x"}, "input[0].content[0].type=input_video"),
    ],
)
def test_a_part_that_only_the_provider_has_is_foreign(part: dict[str, Any], name: str) -> None:
    assert read({"role": "user", "content": [part]}).foreign == (name,)


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_text"}, "input[0].content[0].text"),
        ({"type": "refusal"}, "input[0].content[0].refusal"),
        ({"type": "input_image"}, "input[0].content[0].image_url"),
        ({"type": "input_file"}, "input[0].content[0]"),
        ({"type": "input_audio", "input_audio": {"data": "x"}}, "input[0].content[0].input_audio.format"),
        ({"type": "input_audio", "input_audio": {"data": 5}}, "input[0].content[0].input_audio.data"),
        ({"text": "x"}, "input[0].content[0].type"),
        ({"type": "input_text", "text": 5}, "input[0].content[0].text"),
    ],
)
def test_a_part_that_lacks_something_is_the_client_s_mistake_and_is_named(part: dict[str, Any], param: str) -> None:
    assert refused(input=[{"role": "user", "content": [part]}]).param == param


def test_a_turn_of_the_model_is_one_message_and_its_results_another() -> None:
    request = read(
        {"role": "user", "content": "Hi"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "A"}, {"type": "summary_text", "text": "B"}],
            "encrypted_content": "gAAA",
        },
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "user", "content": "Why?"},
        {"role": "user", "content": "Say."},
    )
    assert request.messages == (
        HI,
        Message(
            "assistant",
            (
                Thinking("A\n\nB", "rs_1|gAAA"),
                Text("I look."),
                ToolUse("c1", "f", '{"a":1}'),
                ToolUse("c2", "g", ""),
            ),
        ),
        Message("tool", (ToolResult("c1", (Text("one"),)), ToolResult("c2", (Text("two"),)))),
        Message("assistant", (Refusal("No."),)),
        Message("user", (Text("Why?"),)),
        Message("user", (Text("Say."),)),
    )
    assert request.foreign == request.hints == ()


def test_a_result_may_hold_media_or_nothing() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f"}
    for output, parts in (
        ([{"type": "input_image", "image_url": "https://e.org/a"}], (Image(url="https://e.org/a"),)),
        ([{"type": "input_file", "file_url": "https://e.org/b"}], (Document(url="https://e.org/b"),)),
        ("", ()),
        ([], ()),
    ):
        request = read(call, {"type": "function_call_output", "call_id": "c", "output": output})
        assert request.messages[1].parts == (ToolResult("c", parts),)


@pytest.mark.parametrize(
    ("item", "thinking"),
    [
        ({"id": "rs_1", "summary": [], "encrypted_content": "gA"}, Thinking(signature="rs_1|gA")),
        ({"summary": [], "encrypted_content": "gA"}, Thinking(signature="|gA")),
        ({"id": "rs_1", "summary": [{"type": "summary_text", "text": "x"}]}, Thinking("x")),
        ({"id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "y"}]}, Thinking("y")),
        ({"id": "r", "encrypted_content": WRAPPED, "summary": []}, Thinking(signature=WRAPPED)),
    ],
)
def test_reasoning_comes_back_with_its_proof(item: dict[str, Any], thinking: Thinking) -> None:
    assert read({"type": "reasoning", **item}).messages == (Message("assistant", (thinking,)),)


@pytest.mark.parametrize(
    "kind",
    [
        *("item_reference", "web_search_call", "file_search_call"),
        *("computer_call", "computer_call_output", "code_interpreter_call", "image_generation_call"),
        *("local_shell_call", "local_shell_call_output", "shell_call", "apply_patch_call", "mcp_call"),
        *("mcp_list_tools", "mcp_approval_response", "compaction", "tool_search_call", "additional_tools"),
    ],
)
def test_an_item_without_a_canonical_form_is_foreign_by_type(kind: str) -> None:
    request = read({"role": "user", "content": "Hi"}, {"type": kind, "id": "x", "role": "developer"})
    assert request.foreign == (f"input[1].type={kind}",)
    assert request.messages == (HI,)


def test_fields_of_items_that_have_no_canonical_form_are_named() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f"}
    assert read(call | {"namespace": "n"}).foreign == ("input[0].namespace",)
    assert read(call | {"caller": {"type": "program", "caller_id": "p"}}).foreign == ("input[0].caller",)
    assert read(call | {"caller": {"type": "direct"}}).foreign == ()
    assert read({"type": "message", "role": "assistant", "content": "x", "phase": "commentary"}).hints == (
        "input.phase",
    )
    cited = {"type": "output_text", "text": "x", "annotations": [{"type": "url_citation"}]}
    assert read({"role": "assistant", "content": [cited]}).hints == ("input.annotations",)
    kept = {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    assert read({"role": "user", "content": [kept]}).hints == ("prompt_cache_breakpoint",)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [{}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": [{"type": 5}]}, "input[0].type"),
        ({"input": ["x"]}, "input[0]"),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
def test_a_mistake_names_its_field(fields: dict[str, Any], param: str) -> None:
    assert refused(**fields).param == param


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "prompt"])
def test_context_from_elsewhere_is_foreign_and_may_stand_for_the_input(name: str) -> None:
    request = parse(**{name: "x", "input": None})
    assert (request.messages, request.foreign) == ((), (name,))


def test_functions_are_tools_and_all_others_foreign_by_type() -> None:
    kinds = ["web_search", "file_search", "code_interpreter", "mcp", "local_shell", "image_generation"]
    kinds += ["namespace", "tool_search", "computer_use_preview", "shell", "apply_patch"]
    request = parse(tools=[TOOL, *({"type": kind, "name": "x"} for kind in kinds)])
    assert request.tools == (ToolSpec("f", "does f", json.dumps(SCHEMA, separators=(",", ":")).encode(), True),)
    assert request.foreign == tuple(f"tools[{index}].type={kind}" for index, kind in enumerate(kinds, 1))


def test_what_a_function_needs_of_openai_is_named() -> None:
    assert parse(tools=[TOOL | {"defer_loading": True}]).foreign == ("tools[0].defer_loading",)
    assert parse(tools=[TOOL | {"allowed_callers": ["programmatic"]}]).foreign == ("tools[0].allowed_callers",)
    assert parse(tools=[TOOL | {"allowed_callers": ["direct"], "defer_loading": False}]).foreign == ()
    assert parse(tools=[TOOL | {"output_schema": {}}]).hints == ("tools.output_schema",)
    assert parse(tools=[{"type": "function", "name": "f", "parameters": None}]).tools == (ToolSpec("f"),)


@pytest.mark.parametrize("mode", ["auto", "none", "required"])
def test_a_tool_choice_by_word(mode: Any) -> None:
    assert parse(tools=[TOOL], tool_choice=mode).tool_choice == ToolChoice(mode)


def test_a_tool_choice_by_name_and_by_a_set_of_names() -> None:
    other = TOOL | {"name": "g"}
    assert parse(tools=[TOOL], tool_choice={"type": "function", "name": "f"}).tool_choice == ToolChoice("tool", "f")
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}
    request = parse(tools=[TOOL, other], tool_choice=allowed)
    assert request.tool_choice == ToolChoice("required")
    assert [tool.name for tool in request.tools] == ["g"]


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "web_search"},
        {"type": "mcp", "server_label": "x"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "x"}]},
        {"type": "allowed_tools", "mode": "never", "tools": [{"type": "function", "name": "f"}]},
        {"type": "allowed_tools", "mode": "auto", "tools": 5},
    ],
)
def test_another_tool_choice_is_foreign(choice: dict[str, Any]) -> None:
    request = parse(tools=[TOOL], tool_choice=choice)
    assert (request.tool_choice, request.foreign) == (None, (f"tool_choice.type={choice['type']}",))
    assert len(request.tools) == 1


def test_the_forms_of_an_answer() -> None:
    assert parse(text={"format": {"type": "text"}}).response_format == ResponseFormat("text")
    assert parse(text={"format": {"type": "json_object"}}).response_format == ResponseFormat("json_object")
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"}
    assert parse(text={"format": form}).response_format == ResponseFormat(
        "json_schema", "n", b'{"type":"object"}', True, "d"
    )
    assert parse(text={"verbosity": "low"}).hints == ("text.verbosity",)
    assert parse(text={"verbosity": "medium"}).hints == ()


@pytest.mark.parametrize(
    ("given", "reasoning", "hints", "foreign"),
    [
        ({}, None, (), ()),
        ({"effort": None, "summary": None}, None, (), ()),
        ({"effort": "high"}, Reasoning("high"), (), ()),
        ({"effort": "low", "summary": "auto"}, Reasoning("low", show=True), (), ()),
        ({"summary": "detailed"}, Reasoning(show=True), ("reasoning.summary",), ()),
        ({"generate_summary": "concise"}, Reasoning(show=True), ("reasoning.summary",), ()),
        ({"summary": "none"}, Reasoning(show=False), (), ()),
        ({"effort": "low", "mode": "pro"}, Reasoning("low"), (), ("reasoning.mode=pro",)),
        ({"context": "all_turns", "mode": "standard"}, None, ("reasoning.context",), ()),
    ],
)
def test_reasoning(given: dict[str, Any], reasoning: Reasoning | None, hints: Any, foreign: Any) -> None:
    request = parse(reasoning=given)
    assert (request.reasoning, request.hints, request.foreign) == (reasoning, hints, foreign)


def test_sampling() -> None:
    request = parse(
        max_output_tokens=50,
        temperature=0.5,
        top_p=0.9,
        top_logprobs=3,
        include=["message.output_text.logprobs"],
        parallel_tool_calls=False,
    )
    assert request.sampling == Sampling(max_output_tokens=50, temperature=0.5, top_p=0.9, logprobs=True, top_logprobs=3)
    assert request.parallel_tool_calls is False
    assert request.hints == request.foreign == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metadata", {"a": "b"}),
        ("user", "u"),
        ("safety_identifier", "s"),
        ("service_tier", "flex"),
        ("prompt_cache_key", "k"),
        ("prompt_cache_retention", "24h"),
        ("prompt_cache_options", {"mode": "implicit"}),
        ("max_tool_calls", 3),
        ("store", True),
    ],
)
def test_fields_that_do_not_change_the_answer_are_hints(name: str, value: Any) -> None:
    request = parse(**{name: value})
    assert (request.hints, request.foreign) == ((name,), ())
    assert build(request)[1] == {name}


@pytest.mark.parametrize(
    ("fields", "hints", "foreign"),
    [
        ({"background": True}, (), ("background",)),
        ({"truncation": "auto"}, (), ("truncation=auto",)),
        ({"moderation": {"mode": "block"}}, (), ("moderation",)),
        ({"frobnicate": 1}, (), ("frobnicate",)),
        ({"stream_options": {"include_obfuscation": True}}, ("stream_options.include_obfuscation",), ()),
        ({"include": ["file_search_call.results"]}, ("include[file_search_call.results]",), ()),
        ({"context_management": [{"type": "compaction"}]}, ("context_management",), ()),
    ],
)
def test_other_fields(fields: dict[str, Any], hints: Any, foreign: Any) -> None:
    request = parse(**fields)
    assert (request.hints, request.foreign) == (hints, foreign)


def test_defaults_and_what_is_done_anyway_need_no_word() -> None:
    request = parse(
        store=False,
        include=["reasoning.encrypted_content"],
        truncation="disabled",
        background=False,
        stream_options={"include_obfuscation": False},
        metadata=None,
        previous_response_id=None,
    )
    assert request == parse()


def test_a_plain_request_as_it_is_sent() -> None:
    body, losses = build(
        ask(Message("system", (Text("Be brief."),)), HI, sampling=Sampling(max_output_tokens=64), stream=True)
    )
    assert body == {
        "model": "gpt-4o",
        "instructions": "Be brief.",
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "store": False,
        "max_output_tokens": 64,
        "stream": True,
    }
    assert losses == set()


def test_instructions_that_are_not_one_leading_text_keep_their_place() -> None:
    two = Message("system", (Text("A"), Text("B")))
    late = Message("developer", (Text("C"), Image(url="https://e.org/a")))
    body, losses = build(ask(two, HI, late))
    assert "instructions" not in body
    parts = [{"type": "input_text", "text": "A"}, {"type": "input_text", "text": "B"}]
    assert [item["content"] for item in body["input"]] == [parts, "Hi", "C"]
    assert losses == {"messages.developer_media"}
    alone, _ = build(ask(Message("system", (Text("Say hello."),))))
    assert alone["input"] == [{"type": "message", "role": "system", "content": "Say hello."}]


def test_a_turn_of_the_model_as_it_is_sent() -> None:
    said = Message(
        "assistant",
        (
            Thinking("Hm", "rs_1|gA"),
            Thinking(signature="|gB"),
            Text("I look."),
            Refusal("No."),
            ToolUse("c1", "f", '{"a":1}'),
            ToolUse("c" * 70, "g", ""),
        ),
    )
    results = Message("tool", (ToolResult("c1", (Text("one"),)), ToolResult("c" * 70, ())))
    body, losses = build(ask(HI, said, results))
    long = body["input"][6]["call_id"]
    assert body["input"][1:] == [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm"}],
            "encrypted_content": "gA",
        },
        {"type": "reasoning", "summary": [], "encrypted_content": "gB"},
        {"type": "message", "role": "assistant", "content": "I look."},
        {
            "type": "message",
            "id": "msg_4",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "refusal", "refusal": "No."}],
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call", "call_id": long, "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": long, "output": ""},
    ]
    assert len(long) == 64
    assert losses == set()
    assert body["include"] == ["reasoning.encrypted_content"]


@pytest.mark.parametrize(
    ("message", "loss"),
    [
        (Message("assistant", (Thinking("x"),)), "thinking"),
        (Message("assistant", (Thinking("x", "EqQ="),)), "thinking"),
        (Message("assistant", (Thinking(redacted="EmW="),)), "thinking"),
        (Message("assistant", (ToolUse("c", "f", "{}", "sig"),)), "tool_call.signature"),
        (Message("assistant", (Image(url="https://e.org/a"),)), "messages.assistant_media"),
        (Message("tool", (ToolResult("c", (Text("x"),), is_error=True),)), "tool_result.is_error"),
        (Message("user", (Audio("AAAA", "wav"),)), "audio"),
        (Message("user", (Document(name="only a name"),)), "documents"),
        (Message("user", (Text("x"),), "ann"), "messages.name"),
        (Message("user", (Thinking("x"), Text("y"))), "content.thinking"),
    ],
)
def test_what_cannot_be_said_is_a_named_loss(message: Message, loss: str) -> None:
    assert build(ask(HI, message))[1] == {loss}


def test_media_as_they_are_sent() -> None:
    parts = (
        Text("See"),
        Image(url="https://e.org/a.png", detail="high"),
        Image(data="AAAA"),
        Document(data="BBBB", name="b.pdf"),
        Document(url="https://e.org/c.pdf", name="c"),
        Document(text="plain", name="d.txt"),
        Document(text="bare"),
    )
    body, losses = build(ask(Message("user", parts)))
    assert body["input"][0]["content"] == [
        {"type": "input_text", "text": "See"},
        {"type": "input_image", "image_url": "https://e.org/a.png", "detail": "high"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
        {"type": "input_file", "filename": "b.pdf", "file_data": "data:application/pdf;base64,BBBB"},
        {"type": "input_file", "file_url": "https://e.org/c.pdf", "filename": "c"},
        {"type": "input_text", "text": "d.txt:\nplain"},
        {"type": "input_text", "text": "bare"},
    ]
    assert losses == set()


def test_results_stand_before_what_else_the_turn_says() -> None:
    mixed = Message("user", (Text("and?"), ToolResult("c", (Text("x"),))))
    body, _ = build(ask(HI, Message("assistant", (ToolUse("c", "f", "{}"),)), mixed))
    assert [item["type"] for item in body["input"][2:]] == ["function_call_output", "message"]


def test_tools_always_say_whether_they_are_strict() -> None:
    closed = {"type": "object", "properties": {}, "additionalProperties": False}
    tools = (ToolSpec("f", "d", json.dumps(closed).encode(), True), ToolSpec("g"), ToolSpec("h", strict=True))
    body, losses = build(ask(tools=tools, tool_choice=ToolChoice("tool", "g"), parallel_tool_calls=False))
    empty = {"type": "object", "properties": {}}
    assert body["tools"] == [
        {"type": "function", "name": "f", "description": "d", "parameters": closed, "strict": True},
        {"type": "function", "name": "g", "parameters": empty, "strict": False},
        {"type": "function", "name": "h", "parameters": empty, "strict": False},
    ]
    assert body["tool_choice"] == {"type": "function", "name": "g"}
    assert body["parallel_tool_calls"] is False
    assert losses == {"tools.strict"}, "strict mode refuses the last one's schema"


@pytest.mark.parametrize(
    ("tools", "choice", "sent", "losses"),
    [
        ((ToolSpec("f"),), ToolChoice("required"), "required", set()),
        ((), ToolChoice("required"), None, {"tool_choice"}),
        ((), ToolChoice("auto"), None, set()),
        ((ToolSpec("f"),), ToolChoice("tool", "g"), None, {"tool_choice"}),
    ],
)
def test_a_choice_among_nothing_is_not_sent(tools: Any, choice: ToolChoice, sent: Any, losses: set[str]) -> None:
    body, lost = build(ask(tools=tools, tool_choice=choice))
    assert (body.get("tool_choice"), lost) == (sent, losses)


def test_an_answer_s_form_as_it_is_sent() -> None:
    assert build(ask(response_format=ResponseFormat("json_object")))[0]["text"] == {"format": {"type": "json_object"}}
    form = ResponseFormat("json_schema", None, b'{"type":"object"}', True, "d")
    assert build(ask(response_format=form))[0]["text"] == {
        "format": {
            "type": "json_schema",
            "name": "answer",
            "schema": {"type": "object"},
            "strict": True,
            "description": "d",
        }
    }


@pytest.mark.parametrize(
    ("reasoning", "sent", "losses"),
    [
        (Reasoning("high", show=True), {"effort": "high", "summary": "auto"}, set()),
        (Reasoning("low", 2000), {"effort": "low"}, {"reasoning.budget_tokens"}),
        (Reasoning(None, 0), {"effort": "minimal"}, {"reasoning.budget_tokens"}),
        (Reasoning(None, 4096), {"effort": "low"}, {"reasoning.budget_tokens"}),
        (Reasoning(None, 9000), {"effort": "medium"}, {"reasoning.budget_tokens"}),
        (Reasoning(None, 30000), {"effort": "high"}, {"reasoning.budget_tokens"}),
        (Reasoning(None, -1), None, {"reasoning.budget_tokens"}),
        (Reasoning(), None, set()),
    ],
)
def test_reasoning_as_it_is_sent(reasoning: Reasoning, sent: Any, losses: set[str]) -> None:
    body, lost = build(ask(reasoning=reasoning))
    assert (body.get("reasoning"), lost) == (sent, losses)


@pytest.mark.parametrize(
    ("model", "reasoning", "asked"),
    [
        ("gpt-4o", None, False),
        ("gpt-4o", Reasoning("low"), True),
        ("gpt-5-mini", None, True),
        ("openai/o3", None, True),
        ("gpt-5.1", Reasoning("none"), False),
        ("gpt-5-chat-latest", None, False),
        ("grok-4.3", Reasoning(), False),
    ],
)
def test_proofs_are_asked_for_where_a_model_may_reason(model: str, reasoning: Any, asked: bool) -> None:
    body, _ = build(ask(reasoning=reasoning), model)
    assert body.get("include") == (["reasoning.encrypted_content"] if asked else None)


def test_settings_without_a_field_are_named() -> None:
    sampling = Sampling(
        max_output_tokens=5,
        top_k=3,
        stop=("x",),
        seed=1,
        presence_penalty=0.1,
        frequency_penalty=0.1,
        n=2,
        logprobs=True,
        logit_bias=b"{}",
    )
    body, losses = build(ask(sampling=sampling))
    assert body["max_output_tokens"] == 16
    assert body["include"] == ["message.output_text.logprobs"]
    assert losses == (DIALECT.cannot.keys() - {"audio"}) | {"max_output_tokens"}
