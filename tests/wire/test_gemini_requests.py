"""Requests of the Gemini dialect: what a body means, and that nothing but declared losses is lost on the way back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.errors import ClientMistake
from afterbay.core.message import (
    Audio,
    Document,
    Image,
    Message,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.wire.features import features
from afterbay.wire.gemini import DIALECT


def parse(body: Any) -> ChatRequest:
    return DIALECT.parse_request(json.dumps(body).encode(), "gemini-2.5-flash", False)


def contents(*parts: Any, role: str = "user") -> dict[str, Any]:
    return {"contents": [{"role": role, "parts": list(parts)}]}


def build(request: ChatRequest, model: str = "gemini-x") -> tuple[dict[str, Any], tuple[str, ...]]:
    built = DIALECT.build_request(request, model)
    return json.loads(built.body), built.losses


def ask(*messages: Message, **more: Any) -> ChatRequest:
    return ChatRequest("m", messages, **more)


HELLO = Message("user", (Text("Hello"),))


# --- reading ----------------------------------------------------------------------------------------------------


def test_snake_case_lone_objects_and_nulls_are_read_like_their_usual_forms() -> None:
    usual = {
        "systemInstruction": {"parts": [{"text": "Be short."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}],
        "generationConfig": {"maxOutputTokens": 5, "topK": 40, "stopSequences": ["x"]},
    }
    other = {
        "system_instruction": {"parts": {"text": "Be short."}},
        "contents": {"role": "user", "parts": {"text": "Hi", "thought": None}},
        "tools": {"function_declarations": {"name": "f", "parameters_json_schema": {"type": "object"}}},
        "generation_config": {"max_output_tokens": "5", "top_k": 40.0, "stop_sequences": ["x"], "seed": None},
        "toolConfig": None,
    }
    assert parse(usual) == parse(other)
    assert parse(usual).messages == (Message("system", (Text("Be short."),)), Message("user", (Text("Hi"),)))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"contents": "hi"}, "contents[0]"),
        (contents({"text": 1}), "contents[0].parts[0].text"),
        ({**contents({"text": "a"}), "generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        (
            {**contents({"text": "a"}), "generationConfig": {"stopSequences": ["a", 1]}},
            "generationConfig.stopSequences[1]",
        ),
        (
            {**contents({"text": "a"}), "tools": [{"functionDeclarations": [{}]}]},
            "tools[0].functionDeclarations[0].name",
        ),
        (contents({"inlineData": {"data": "QQ=="}}), "contents[0].parts[0].inlineData.mimeType"),
        (
            {**contents({"text": "a"}), "toolConfig": {"functionCallingConfig": {"mode": "SOME"}}},
            "toolConfig.functionCallingConfig.mode",
        ),
        (
            {**contents({"text": "a"}), "generationConfig": {"responseSchema": [1]}},
            "generationConfig.responseSchema",
        ),
    ],
)
def test_a_wrong_field_is_named(body: Any, param: str) -> None:
    with pytest.raises(ClientMistake) as caught:
        parse(body)
    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"contents": [{"parts": [{"text": "\xff"}]}]}'])
def test_a_body_that_is_no_json_object_is_the_clients_mistake(body: bytes) -> None:
    with pytest.raises(ClientMistake):
        DIALECT.parse_request(body, None, None)


def test_media_are_told_apart_by_their_type() -> None:
    request = parse(
        contents(
            {"inlineData": {"mimeType": "image/png", "data": "aQ=="}},
            {"inline_data": {"mime_type": "audio/mpeg", "data": "aQ=="}},
            {"inlineData": {"mimeType": "text/csv", "data": "aQ==", "displayName": "t.csv"}},
            {"fileData": {"fileUri": "https://example.org/a.png"}},
            {"fileData": {"fileUri": "https://example.org/a", "mimeType": "application/pdf"}},
        )
    )
    assert request.messages[0].parts == (
        Image(data="aQ==", media_type="image/png"),
        Audio("aQ==", "mp3"),
        Document(data="aQ==", media_type="text/csv", name="t.csv"),
        Image(url="https://example.org/a.png", media_type="image/png"),
        Document(url="https://example.org/a", media_type="application/pdf"),
    )
    assert request.foreign == ()


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (contents({"inlineData": {"mimeType": "video/mp4", "data": "aQ=="}}), "contents.parts.inlineData.video"),
        (contents({"fileData": {"fileUri": "gs://b/a.png", "mimeType": "image/png"}}), "contents.parts.fileData"),
        (contents({"fileData": {"fileUri": "https://youtu.be/x", "mimeType": "video/mp4"}}), "contents.parts.fileData"),
        (contents({"executableCode": {"code": "1"}}, role="model"), "contents.parts.executableCode"),
        (contents({"text": "a", "videoMetadata": {"fps": 1}}), "contents.parts.videoMetadata"),
        ({**contents({"text": "a"}), "tools": [{"google_search": {}}]}, "tools.googleSearch"),
        ({**contents({"text": "a"}), "tools": [{"codeExecution": {}}]}, "tools.codeExecution"),
        ({**contents({"text": "a"}), "cachedContent": "cachedContents/1"}, "cachedContent"),
        ({**contents({"text": "a"}), "somethingNew": 1}, "somethingNew"),
        (contents({"text": "a"}, role="critic"), "contents.role.critic"),
        (
            {**contents({"text": "a"}), "generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}},
            "generationConfig.responseModalities",
        ),
        (
            {**contents({"text": "a"}), "generationConfig": {"responseLogprobs": True}},
            "generationConfig.responseLogprobs",
        ),
        (
            {**contents({"text": "a"}), "generationConfig": {"responseMimeType": "text/x.enum"}},
            "generationConfig.responseMimeType",
        ),
        (
            {**contents({"text": "a"}), "safetySettings": [{"category": "c", "threshold": "BLOCK_LOW_AND_ABOVE"}]},
            "safetySettings",
        ),
        (
            {
                **contents({"text": "a"}),
                "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["a", "b"]}},
            },
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
    ],
)
def test_what_changes_the_answer_and_has_no_canonical_form_is_foreign_and_a_feature(body: Any, name: str) -> None:
    request = parse(body)
    assert request.foreign == (name,)
    assert name in features(request)
    assert name in DIALECT.build_request(request, "gemini-x").losses


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"safetySettings": [{"category": "c", "threshold": "BLOCK_NONE"}]}, "safetySettings"),
        ({"labels": {"team": "a"}}, "labels"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}}}, "toolConfig.functionCallingConfig.mode"),
    ],
)
def test_what_does_not_change_the_answer_is_a_hint(more: Any, name: str) -> None:
    request = parse({**contents({"text": "a"}), **more})
    assert (request.hints, request.foreign) == ((name,), ())


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto")),
        ({"mode": "NONE"}, ToolChoice("none")),
        ({"mode": "ANY"}, ToolChoice("required")),
        ({"mode": "ANY", "allowed_function_names": ["f"]}, ToolChoice("tool", "f")),
    ],
)
def test_the_function_calling_mode_is_a_tool_choice(config: Any, choice: ToolChoice) -> None:
    assert parse({**contents({"text": "a"}), "toolConfig": {"functionCallingConfig": config}}).tool_choice == choice


def test_calls_without_ids_get_ids_that_their_results_find_by_name() -> None:
    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "go"}]},
            {"role": "model", "parts": [{"functionCall": {"name": n, "args": {"q": i}}} for i, n in enumerate("aab")]},
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "b", "response": {"output": "3"}}},
                    {"functionResponse": {"name": "a", "response": {"error": "no"}}},
                    {"functionResponse": {"name": "a", "response": {"x": 1}}},
                    {"text": "and now?"},
                ],
            },
        ]
    }
    request = parse(body)
    assert request == parse(body)
    calls = [part for part in request.messages[1].parts if isinstance(part, ToolUse)]
    assert [call.id for call in calls] == ["call_0", "call_1", "call_2"]
    assert [message.role for message in request.messages] == ["user", "assistant", "tool", "tool", "tool", "user"]
    assert [message.parts[0] for message in request.messages[2:5]] == [
        ToolResult("call_2", (Text("3"),), False, "b"),
        ToolResult("call_0", (Text("no"),), True, "a"),
        ToolResult("call_1", (Text('{"x": 1}'),), False, "a"),
    ]


def test_signatures_stay_with_their_call_their_thought_or_behind_their_text() -> None:
    request = parse(
        contents(
            {"text": "hm", "thought": True, "thoughtSignature": "s1"},
            {"text": "so", "thought": False, "thought_signature": "s2"},
            {"functionCall": {"name": "f", "id": "1"}, "thoughtSignature": "s3"},
            {"text": "", "thoughtSignature": "s4"},
            role="model",
        )
    )
    assert request.messages[0].parts == (
        Thinking("hm", "s1"),
        Text("so"),
        Thinking(signature="s2"),
        ToolUse("1", "f", "{}", "s3"),
        Thinking(signature="s4"),
    )
    parts = build(request)[0]["contents"][0]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["s1", "s2", "s3", "s4"]
    assert parts[1] == {"text": "so", "thoughtSignature": "s2"}


def test_geminis_own_schema_becomes_json_schema() -> None:
    schema = {
        "type": "OBJECT",
        "properties": {
            "type": {"type": "STRING", "format": "enum", "enum": ["STRING"], "nullable": True},
            "list": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "1", "example": [1]},
            "either": {"anyOf": [{"type": "NUMBER"}], "nullable": True},
        },
        "propertyOrdering": ["list", "type"],
        "required": ["list"],
    }
    request = parse({**contents({"text": "a"}), "generationConfig": {"responseSchema": schema}})
    assert request.response_format is not None
    found = json.loads(request.response_format.schema or b"")
    assert found == {
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "examples": [[1]]},
            "type": {"type": ["string", "null"], "enum": ["STRING", None]},
            "either": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        },
        "required": ["list"],
    }
    assert list(found["properties"]) == ["list", "type", "either"]


# --- writing ----------------------------------------------------------------------------------------------------


def test_the_path_says_model_and_stream() -> None:
    assert DIALECT.build_request(ask(HELLO), "gemini-x").path == "/v1beta/models/gemini-x:generateContent"
    built = DIALECT.build_request(ask(HELLO, stream=True), "models/gemini-x")
    assert built.path == "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"


def test_only_a_leading_system_prompt_fits_the_system_instruction() -> None:
    system, late = Message("system", (Text("S"),)), Message("developer", (Text("L"),))
    body, losses = build(ask(system, HELLO, late))
    assert body["systemInstruction"] == {"parts": [{"text": "S"}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Hello"}, {"text": "L"}]}]
    assert losses == ("messages.system_after_start",)
    body, losses = build(ask(system))
    assert body == {"contents": [{"role": "user", "parts": [{"text": "S"}]}]}
    assert losses == ("messages.system_after_start",)


def test_results_of_one_turn_stand_together_and_carry_the_names_of_their_functions() -> None:
    request = ask(
        HELLO,
        Message("assistant", (ToolUse("1", "f", '{"a": 1.0}'), ToolUse("2", "g", ""))),
        Message("tool", (ToolResult("1", (Text("one"), Image(data="aQ==", media_type="image/png"))),)),
        Message("tool", (ToolResult("2", (Text('{"b":2}'),)),)),
    )
    body, losses = build(request)
    call, results = body["contents"][1]["parts"], body["contents"][2]
    assert call[0] == {"functionCall": {"id": "1", "name": "f", "args": {"a": 1.0}}}
    assert results["parts"] == [
        {"functionResponse": {"id": "1", "name": "f", "response": {"output": "one"}}},
        {"functionResponse": {"id": "2", "name": "g", "response": {"b": 2}}},
        {"inlineData": {"mimeType": "image/png", "data": "aQ=="}},
    ]
    assert losses == ("tool_result_media",)
    body, losses = build(request, "gemini-3-flash-preview")
    assert body["contents"][2]["parts"][0]["functionResponse"]["parts"] == [results["parts"][2]]
    assert losses == ()


def test_calls_of_other_models_carry_the_word_that_gemini_3_asks_for() -> None:
    calls = Message("assistant", (ToolUse("1", "f", "{}"), ToolUse("2", "f", "{}")))
    parts = build(ask(HELLO, calls), "gemini-3-pro-preview")[0]["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["skip_thought_signature_validator", None]
    signed = Message("assistant", (ToolUse("1", "f", "{}", "sig"),))
    assert build(ask(HELLO, signed), "gemini-3-pro-preview")[0]["contents"][1]["parts"][0]["thoughtSignature"] == "sig"
    assert "thoughtSignature" not in build(ask(HELLO, calls), "gemini-2.5-pro")[0]["contents"][1]["parts"][0]


@pytest.mark.parametrize(
    ("reasoning", "model", "said"),
    [
        (Reasoning("low"), "gemini-3-flash", {"thinkingLevel": "low", "includeThoughts": True}),
        (Reasoning("medium", show=False), "gemini-2.5-pro", {"thinkingBudget": 8192, "includeThoughts": False}),
        (Reasoning(budget_tokens=-1), "gemini-2.5-pro", {"thinkingBudget": -1, "includeThoughts": True}),
        (Reasoning("none"), "gemini-3-flash", {"thinkingBudget": 0}),
        (Reasoning("xhigh"), "gemini-3-flash", {"thinkingLevel": "high", "includeThoughts": True}),
        (Reasoning("low", 500), "gemini-3-flash", {"thinkingBudget": 500, "includeThoughts": True}),
    ],
)
def test_reasoning_is_a_budget_or_a_level_never_both(reasoning: Reasoning, model: str, said: Any) -> None:
    body, losses = build(ask(HELLO, reasoning=reasoning), model)
    assert body["generationConfig"]["thinkingConfig"] == said
    lossy = reasoning.effort == "xhigh" or (reasoning.effort is not None and reasoning.budget_tokens is not None)
    assert losses == (("reasoning.effort",) if lossy else ())


def test_every_loss_of_a_request_is_named() -> None:
    request = ask(
        Message("system", (Text("s"), Image(url="https://e.org/a.png"))),
        Message("user", (Image(data="aQ==", detail="low"), Document(text="t", name="n")), name="Bob"),
        Message("assistant", (Refusal("no"), Thinking(redacted="x"), ToolUse("1", "f", '{"a":'))),
        tools=(ToolSpec("f", strict=True),),
        parallel_tool_calls=False,
        sampling=Sampling(logprobs=True, logit_bias=b"{}"),
        response_format=ResponseFormat("json_schema", "n", b"{}", True, "d"),
        hints=("user",),
        foreign=("audio",),
    )
    assert set(build(request)[1]) == {
        "user",
        "audio",
        "logprobs",
        "logit_bias",
        "parallel_tool_calls",
        "messages.system_media",
        "messages.name",
        "image.detail",
        "document.name",
        "messages.refusal",
        "messages.redacted_thinking",
        "messages.tool_arguments",
        "tools.strict",
        "response_format.name",
        "response_format.description",
    }
    assert DIALECT.cannot.keys() == {"logit_bias", "logprobs", "top_logprobs", "parallel_tool_calls"}


def test_a_choice_among_no_tools_is_dropped_with_a_word() -> None:
    assert build(ask(HELLO, tool_choice=ToolChoice("required")))[1] == ("tool_choice",)
    assert build(ask(HELLO, tool_choice=ToolChoice("auto")))[1] == ()


# --- there and back ---------------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
base64 = st.sampled_from(["aQ==", "CiQB", "YWJj"])
json_objects = st.dictionaries(
    st.text("ab_", max_size=3), st.integers() | words | st.none() | st.lists(st.floats(0, 1))
)
json_texts = st.builds(lambda value, indent: json.dumps(value, indent=indent), json_objects, st.sampled_from([None, 1]))
user_parts = st.one_of(
    st.builds(Text, words),
    st.builds(lambda d: Image(data=d, media_type="image/png"), base64),
    st.just(Image(url="https://example.org/a.webp", media_type="image/webp")),
    st.builds(lambda d: Document(data=d, media_type="application/pdf"), base64),
    st.just(Document(url="https://example.org/a.pdf", media_type="application/pdf")),
    st.builds(Audio, base64, st.sampled_from(["wav", "mp3", "flac"])),
)
said_parts = st.one_of(
    st.builds(Text, words),
    st.builds(Thinking, words, st.none() | base64),
    st.builds(lambda s: Thinking(signature=s), base64),
)


@st.composite
def turns(draw: st.DrawFn) -> tuple[Message, ...]:
    messages = draw(st.lists(st.builds(lambda t: Message("system", (Text(t),)), words), max_size=1))
    count = 0
    for _ in range(draw(st.integers(1, 3))):
        messages.append(Message("user", tuple(draw(st.lists(user_parts, min_size=1, max_size=3)))))
        said: list[Part] = list(draw(st.lists(said_parts, max_size=3)))
        calls = []
        for _ in range(draw(st.integers(0, 2))):
            calls.append(ToolUse(f"id{count}", draw(st.sampled_from("fg")), draw(json_texts), draw(st.none() | base64)))
            count += 1
        if said or calls:
            messages.append(Message("assistant", (*said, *calls)))
        for call in calls:
            text = draw(words | json_texts | st.just('{"output": "x"}') | st.just('{"error": {}}'))
            result = ToolResult(call.id, (Text(text),), draw(st.booleans()), call.name)
            messages.append(Message("tool", (result,)))
    return tuple(messages)


floats = st.none() | st.floats(0, 2)
counts = st.none() | st.integers(0, 1000)
requests = st.builds(
    ChatRequest,
    model=st.just("gemini-x"),
    messages=turns(),
    tools=st.lists(
        st.builds(ToolSpec, st.sampled_from("fgh"), st.none() | words, json_texts.map(str.encode)), max_size=2
    ).map(tuple),
    sampling=st.builds(
        Sampling,
        max_output_tokens=counts,
        temperature=floats,
        top_p=floats,
        top_k=counts,
        stop=st.lists(words, max_size=2).map(tuple),
        seed=counts,
        presence_penalty=floats,
        frequency_penalty=floats,
        n=counts,
    ),
    response_format=st.one_of(
        st.none(),
        st.just(ResponseFormat("text")),
        st.just(ResponseFormat("json_object")),
        st.builds(lambda s: ResponseFormat("json_schema", schema=s.encode()), json_texts),
    ),
    reasoning=st.one_of(
        st.none(),
        st.builds(Reasoning, st.sampled_from(["minimal", "low", "medium", "high"]), st.none(), st.booleans()),
        st.builds(Reasoning, st.none(), st.integers(-1, 999), st.booleans()),
        st.just(Reasoning(show=True)),
    ),
)


def flat(request: ChatRequest) -> list[tuple[str, Part]]:
    return [(message.role, part) for message in request.messages for part in message.parts]


@given(requests, st.sampled_from([None, ToolChoice("auto"), ToolChoice("required"), ToolChoice("tool", "f")]))
def test_a_request_comes_back_as_it_went_but_for_the_bounds_of_its_turns(
    request: ChatRequest, choice: ToolChoice | None
) -> None:
    if request.tools and (choice is None or choice.name in (None, *(tool.name for tool in request.tools))):
        request = ChatRequest(
            **{name: getattr(request, name) for name in request.__struct_fields__} | {"tool_choice": choice}
        )
    built = DIALECT.build_request(request, "gemini-x")
    back = DIALECT.parse_request(built.body, "gemini-x", False)
    assert built.losses == ()
    assert flat(back) == flat(request)
    for name in set(request.__struct_fields__) - {"messages"}:
        assert getattr(back, name) == getattr(request, name), name
    again = DIALECT.build_request(back, "gemini-x")
    assert json.loads(again.body) == json.loads(built.body)


@given(st.binary(max_size=60) | json_objects.map(lambda value: json.dumps(value).encode()))
def test_a_body_of_any_kind_is_read_or_refused_as_the_clients_mistake(body: bytes) -> None:
    try:
        DIALECT.parse_request(body, None, None)
    except ClientMistake as mistake:
        assert mistake.message  # noqa: PT017 - either outcome is fine, other exceptions are not


@pytest.mark.parametrize("body", [b"{}", b'{"contents":[]}', b'{"messages":[{"role":"user","content":"x"}]}'])
def test_a_request_without_contents_is_told_so_in_gemini_s_own_word(body: bytes) -> None:
    with pytest.raises(ClientMistake) as caught:
        DIALECT.parse_request(body, "m", False)
    assert (caught.value.param, caught.value.code) == ("contents", "missing_field")
