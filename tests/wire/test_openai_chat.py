"""Chat completions both ways: requests come back as they went, and answers of every host's accent are read."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from afterbay.core.errors import ClientMistake, GatewayError, ProviderError
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
from afterbay.core.usage import Usage
from afterbay.testing.grammar import event_violations, violations
from afterbay.wire.dialect import Head
from afterbay.wire.openai_chat import DIALECT
from afterbay.wire.sse import Splitter

NAMES = st.text("abcde_", min_size=1, max_size=6)
WORDS = st.text(min_size=1, max_size=12)
SCHEMAS = st.sampled_from(
    [b'{"type":"object","properties":{}}', b'{"type":"object","properties":{"a":{"type":"string"}}}']
)
USER_PARTS: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, WORDS),
    st.builds(Image, url=st.just("https://x/y.png"), detail=st.sampled_from([None, "low"])),
    st.builds(Image, data=st.just("AAAA"), media_type=st.just("image/png")),
    st.builds(Audio, st.just("AAAA"), st.sampled_from(["wav", "mp3"])),
    st.builds(Document, data=st.just("AAAA"), media_type=st.just("application/pdf"), name=NAMES),
)
CALLS = st.builds(ToolUse, NAMES, NAMES, st.sampled_from(["{}", '{"a":1}']), st.sampled_from([None, "sig"]))
MESSAGES = st.one_of(
    st.builds(Message, st.sampled_from(["system", "developer"]), st.tuples(st.builds(Text, WORDS)), st.none() | NAMES),
    st.builds(Message, st.just("user"), st.lists(USER_PARTS, min_size=1, max_size=3).map(tuple), st.none() | NAMES),
    st.builds(Message, st.just("assistant"), st.tuples(st.builds(Text, WORDS), CALLS), st.none() | NAMES),
    st.builds(Message, st.just("assistant"), st.tuples(st.builds(Refusal, WORDS))),
    st.builds(Message, st.just("tool"), st.tuples(st.builds(ToolResult, NAMES, st.tuples(st.builds(Text, WORDS))))),
)
SAMPLINGS = st.builds(
    Sampling,
    max_output_tokens=st.none() | st.integers(1, 9),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    stop=st.lists(WORDS, max_size=2).map(tuple),
    seed=st.none() | st.integers(0, 9),
    presence_penalty=st.none() | st.floats(-2, 2),
    n=st.none() | st.integers(1, 3),
    logprobs=st.sampled_from([None, True]),
    logit_bias=st.sampled_from([None, b'{"5":1.0}']),
)
FORMATS = st.one_of(
    st.none(),
    st.builds(ResponseFormat, st.sampled_from(["text", "json_object"])),
    st.builds(ResponseFormat, st.just("json_schema"), NAMES, SCHEMAS, st.sampled_from([None, True]), st.none() | WORDS),
)
REQUESTS = st.builds(
    ChatRequest,
    st.just("gpt"),
    st.lists(MESSAGES, min_size=1, max_size=4).map(tuple),
    tools=st.lists(
        st.builds(ToolSpec, NAMES, st.none() | WORDS, SCHEMAS, st.sampled_from([None, True])), min_size=1, max_size=2
    ).map(tuple),
    tool_choice=st.one_of(
        st.none(),
        st.builds(ToolChoice, st.sampled_from(["auto", "none", "required"])),
        st.builds(ToolChoice, st.just("tool"), NAMES),
    ),
    parallel_tool_calls=st.sampled_from([None, True, False]),
    sampling=SAMPLINGS,
    response_format=FORMATS,
    reasoning=st.none() | st.builds(Reasoning, effort=st.sampled_from(["low", "high"])),
    stream=st.booleans(),
)


@given(REQUESTS)
@settings(max_examples=200, deadline=None)
def test_a_request_built_and_read_is_the_same(request: ChatRequest) -> None:
    choice = request.tool_choice
    if choice is not None and choice.mode == "tool":  # a choice among other tools is refused, so it would be dropped
        request = msgspec.structs.replace(request, tool_choice=ToolChoice("tool", request.tools[0].name))
    closed = b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'
    fitting = tuple(
        msgspec.structs.replace(tool, schema=closed) if tool.strict else tool for tool in request.tools
    )  # another schema is not sent as strict
    request = msgspec.structs.replace(request, tools=fitting)
    built = DIALECT.build_request(request, "gpt")
    assert DIALECT.parse_request(built.body, None, None) == msgspec.structs.replace(
        request, include_usage=request.stream
    )
    assert built.losses == ()


def read(**fields: Any) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return DIALECT.parse_request(msgspec.json.encode(body), None, None)


def said(message: dict[str, Any]) -> ChatRequest:
    return read(messages=[message])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tool_choice": "perhaps"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ClientMistake) as caught:
        read(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "foreign"),
    [
        ({"web_search_options": {}}, ("web_search_options",)),
        ({"tools": [{"type": "custom"}]}, ("tools[0].type=custom",)),
        ({"tool_choice": {"type": "allowed_tools"}}, ("tool_choice.type=allowed_tools",)),
        ({"modalities": ["audio"]}, ("modalities",)),
        ({"modalities": ["text"]}, ()),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, ("messages[0].role=function",)),
        ({"messages": [{"role": "assistant", "audio": {"id": "x"}}]}, ("messages[0].audio",)),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, ("messages[0].content[0].type=video",)),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
            ("messages[0].content[0].file.file_id",),
        ),
    ],
)
def test_a_field_without_a_canonical_form_is_kept_by_name(fields: dict[str, Any], foreign: tuple[str, ...]) -> None:
    assert read(**fields).foreign == foreign


@pytest.mark.parametrize(
    ("fields", "reasoning", "foreign"),
    [
        ({"reasoning_format": "parsed"}, None, ()),
        ({"include_reasoning": True}, None, ()),
        ({"reasoning_format": "hidden"}, Reasoning(show=False), ()),
        ({"include_reasoning": False, "reasoning_effort": "low"}, Reasoning("low", show=False), ()),
        ({"reasoning_format": "raw"}, None, ("reasoning_format=raw",)),
    ],
)
def test_groqs_words_about_where_reasoning_goes(fields: Any, reasoning: Any, foreign: tuple[str, ...]) -> None:
    request = read(**fields)
    assert (request.reasoning, request.foreign, request.hints) == (reasoning, foreign, ())


@pytest.mark.parametrize("name", ["verbosity", "prompt_cache_options", "disable_tool_validation"])
def test_a_wish_that_changes_no_meaning_is_a_hint(name: str) -> None:
    request = read(**{name: "low"})
    assert (request.foreign, request.hints) == ((), (name,))


def test_hints_are_named_and_dropped_in_a_translation() -> None:
    request = read(user="me", metadata={"a": "b"}, store=None)
    assert request.hints == ("user", "metadata")
    assert DIALECT.build_request(request, "m").losses == ("user", "metadata")


def test_the_small_accents_of_requests_are_read() -> None:
    assert read(max_tokens=5, max_completion_tokens=7).sampling.max_output_tokens == 7
    assert read(tool_choice="any").tool_choice == ToolChoice("required")
    assert read(stream=True, stream_options={"include_usage": True}).include_usage
    assert said({"role": "user", "content": [{"type": "image_url", "image_url": "http://x"}]}).messages[0].parts == (
        Image(url="http://x"),
    )
    answer = {"role": "assistant", "reasoning_content": "hm", "content": "yes", "refusal": "no"}
    assert said(answer).messages[0].parts == (Thinking("hm"), Text("yes"), Refusal("no"))
    assert said({"role": "user", "content": [{"type": "refusal", "refusal": "no"}]}).messages[0].parts == (
        Refusal("no"),
    )


def sent(*messages: Message, **fields: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    built = DIALECT.build_request(ChatRequest("m", messages, **fields), fields.pop("model", "m"))
    return msgspec.json.decode(built.body), built.losses


def test_images_of_a_tool_result_follow_in_a_message_of_the_user() -> None:
    result = ToolResult("c1", (Image(url="http://x"),), is_error=True)
    body, losses = sent(Message("tool", (result,)))
    tool, user = body["messages"]
    assert (tool["tool_call_id"], tool["content"]) == ("c1", "See the attachment in the next message.")
    assert [part["type"] for part in user["content"]] == ["text", "image_url"]
    assert losses == ("tool_result.is_error",)


def test_what_the_dialect_cannot_say_in_an_old_turn_is_a_named_loss() -> None:
    body, losses = sent(Message("assistant", (Thinking("hm"),)), Message("user", (Text("a"), Thinking("odd"))))
    assert body["messages"][0] == {"role": "assistant", "content": ""}
    assert losses == ("thinking", "content.thinking")


def test_documents_of_text_become_text() -> None:
    parts = (Document(text="body", name="a.txt"), Document(text="bare"), Refusal("no"), Text("x"))
    body, _ = sent(Message("user", parts))
    assert [part["text"] for part in body["messages"][0]["content"]] == ["a.txt:\nbody", "bare", "no", "x"]


@pytest.mark.parametrize(
    ("budget", "effort"), [(0, "minimal"), (-1, None), (4096, "low"), (9000, "medium"), (99_999, "high")]
)
def test_a_budget_becomes_an_effort_and_a_named_loss(budget: int, effort: str | None) -> None:
    body, losses = sent(Message("user", (Text("x"),)), reasoning=Reasoning(budget_tokens=budget))
    assert body.get("reasoning_effort") == effort
    assert losses == ("reasoning.budget_tokens",)
    assert sent(Message("user", (Text("x"),)), reasoning=Reasoning())[1] == ()


@pytest.mark.parametrize(("model", "field"), [("gpt-4o", "max_tokens"), ("openai/o3-mini", "max_completion_tokens")])
def test_reasoning_models_get_the_newer_name_of_the_limit(model: str, field: str) -> None:
    request = ChatRequest("m", (Message("user", (Text("x"),)),), sampling=Sampling(max_output_tokens=5))
    assert msgspec.json.decode(DIALECT.build_request(request, model).body)[field] == 5


# --- answers


def chunks(*bodies: dict[str, Any] | bytes, name: bytes | None = None) -> list[Event]:
    parser, out = DIALECT.stream_parser("s"), list[Event]()
    for body in bodies:
        parser.push(name, body if isinstance(body, bytes) else msgspec.json.encode(body), out)
    assert event_violations(out, ended=False) == []
    return out


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields}]}


@pytest.mark.parametrize(
    ("fields", "events"),
    [
        ({"content": "a"}, [TextDelta("a")]),
        ({"content": ""}, []),
        ({"reasoning_content": "r"}, [ReasoningDelta("r")]),
        ({"reasoning": "r"}, [ReasoningDelta("r")]),
        ({"reasoning": {"summary": "x"}}, []),
        ({"refusal": "no"}, [RefusalDelta("no")]),
        ({"content": {"a": 1}}, [TextDelta('{"a":1}')]),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text"}]}, [TextDelta("a")]),
        ({"content": [{"type": "thinking", "thinking": [{"text": "t"}]}]}, [ReasoningDelta("t")]),
        ({"content": [{"type": "thinking", "thinking": "t"}]}, [ReasoningDelta("t")]),
        ({"content": [{"type": "reference"}]}, [Extra("content.reference")]),
        ({"annotations": [1], "audio": {}, "images": [2]}, [Extra("annotations"), Extra("images")]),
        (
            {"function_call": {"name": "f", "arguments": "{}"}},
            [ToolCallStarted(0, "call_s_0_0", "f"), ToolCallDelta(0, "{}")],
        ),
        (
            {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
            [ToolCallStarted(0, "call_s_0_0", "f"), ToolCallDelta(0, '{"a":1}')],
        ),
        (
            {
                "tool_calls": [
                    {"id": "c", "function": {"name": "f"}, "extra_content": {"google": {"thought_signature": "g"}}}
                ]
            },
            [ToolCallStarted(0, "c", "f", "g")],
        ),
    ],
)
def test_every_accent_of_a_delta_is_read(fields: dict[str, Any], events: list[Event]) -> None:
    assert chunks(delta(**fields))[1:] == events


def call(index: int | None, call_id: str | None = None, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    one: dict[str, Any] = {"function": {"name": name, "arguments": arguments}, "id": call_id}
    return delta(tool_calls=[one | ({"index": index} if index is not None else {})])


def test_interleaved_calls_are_told_apart_by_their_index() -> None:
    events = chunks(call(1, "b", "g"), call(0, "a", "f"), call(1, None, None, "1"), call(0, None, None, "0"))
    assert events[1:] == [
        ToolCallStarted(0, "b", "g"),
        ToolCallStarted(1, "a", "f"),
        ToolCallDelta(0, "1"),
        ToolCallDelta(1, "0"),
    ]


def test_calls_that_all_have_index_0_are_told_apart_by_their_id() -> None:
    events = chunks(call(0, "a", "f", "{}"), call(0, "b", "g", "{}"), call(0, "b", "g", "!"))
    assert [event.id for event in events if isinstance(event, ToolCallStarted)] == ["a", "b"]
    assert events[-1] == ToolCallDelta(1, "!")


def test_calls_without_an_index_are_told_apart_by_their_name() -> None:
    events = chunks(call(None, "a", "f"), call(None, None, None, "{}"), call(None, "b", "g"))
    assert [type(event) for event in events[1:]] == [ToolCallStarted, ToolCallDelta, ToolCallStarted]


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 4}, Usage(10, 0, 0, 4)),
        (
            {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 6}},
            Usage(4, 6, 0, 4),
        ),
        ({"prompt_tokens": 10, "prompt_cache_hit_tokens": 3, "cache_creation_input_tokens": 2}, Usage(5, 3, 2, 0)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 8,
                "completion_tokens_details": {"reasoning_tokens": 5},
                "total_tokens": 17,
            },
            Usage(9, 0, 0, 3, 5),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 8, "reasoning_tokens": 5, "total_tokens": 22}, Usage(9, 0, 0, 8, 5)),
        ({"prompt_tokens": 1, "num_cached_tokens": 5}, Usage(1, 5, stray=-4)),
        ({"completion_tokens": 5}, None),
    ],
)
def test_usage_is_read_in_every_hosts_counting(usage: dict[str, Any], found: Usage | None) -> None:
    seen = [event.usage for event in chunks({"usage": usage}) if isinstance(event, UsageSeen)]
    assert seen == ([found] if found is not None else [])
    assert chunks({"x_groq": {"usage": usage}}) == chunks({"usage": usage})


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"error": {"message": "x", "type": "overloaded_error"}}, "overloaded", None),
        ({"error": {"message": "x", "code": 429}}, "rate_limit", 429),
        ({"error": {"message": "x", "status_code": 503}}, "overloaded", 503),
        ({"error": {"message": "x", "code": "insufficient_quota"}}, "quota", None),
        ({"error": "plain"}, "server", None),
        ({"error": {"message": {"odd": 1}}}, "server", None),
    ],
)
def test_an_error_in_a_stream_is_read(error: dict[str, Any], kind: str, status: int | None) -> None:
    (event,) = chunks(error)
    assert isinstance(event, Failed)
    assert (event.error.kind, event.error.status) == (kind, status)


def test_an_event_called_error_is_one_whatever_it_holds() -> None:
    (event,) = chunks({"message": "m"}, name=b"error")
    assert isinstance(event, Failed)
    assert event.error.message == "m"


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (500, b"<html>Bad</html>", "server", "Bad"),
        (400, b'{"error":{"message":"m","param":"p","code":"c"}}', "invalid_request", "m"),
        (429, b'{"error":{"message":"m","type":"insufficient_quota"}}', "quota", "m"),
        (422, b'{"detail":"d"}', "invalid_request", "d"),
        (
            400,
            (
                b'{"error":{"message":"f","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":'
                b'{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true}}}}}'
            ),
            "content_filter",
            "f",
        ),
        (429, b'{"error":{"code":"RateLimitReached","message":"r","details":"r"}}', "rate_limit", "r"),
        (500, b'["odd"]', "server", '["odd"]'),
        (404, b'{"error":"gone","code":"c"}', "not_found", "gone"),
    ],
)
def test_an_error_answer_of_any_host_is_read(status: int, body: bytes, kind: str, message: str) -> None:
    error = DIALECT.parse_error(status, {"retry-after": "2"}, body)
    assert (error.kind, error.message, error.status, error.retry_after_s) == (kind, message, status, 2.0)


def test_an_answer_that_is_an_error_or_none_at_all() -> None:
    assert DIALECT.parse_answer(b'{"error":"x"}', "s") == [Failed(ProviderError("server", "x"))]
    with pytest.raises(ValueError, match="no choices"):
        DIALECT.parse_answer(b"{}", "s")


ALL_EVENTS: list[Event] = [
    Started("x", "up"),
    ReasoningDelta("hm"),
    ReasoningSignature("sig"),
    TextDelta("Hey"),
    TextDelta("zwo"),
    BlockBreak(),
    RefusalDelta("no"),
    ToolCallStarted(0, "c", "f", "g"),
    ToolCallDelta(0, '{"a":1}'),
    Extra("citations"),
    TextDelta("second", 1),
    UsageSeen(Usage(3, 2, 1, 5, 4)),
    Finished("tool_calls"),
    Finished("pause", None, 1),
]


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_written_and_read_is_the_same_but_for_named_losses(include_usage: bool) -> None:
    renderer = DIALECT.renderer(Head("s", "up", 5, include_usage))
    raw = renderer.render(ALL_EVENTS) + renderer.finish({"cost_usd": 1})
    assert violations("openai.chat", raw) == []
    parser, out = DIALECT.stream_parser("s"), list[Event]()
    for name, data in Splitter().feed(raw)[1]:
        parser.push(name, data, out)
    assert parser.is_complete
    assert renderer.losses == {"citations", "finish.pause"}
    back, there = fold(out), fold(ALL_EVENTS)
    assert there.choices[0].message.parts[0] == Thinking("hm", "sig")
    assert back.choices[0].message.parts == there.choices[0].message.parts
    assert (back.choices[1].message.parts, back.choices[1].finish) == ((Text("second"),), "stop")
    assert back.usage == (there.usage if include_usage else None)
    assert raw.count(b'"afterbay":{"cost_usd":1}') == (1 if include_usage else 2)
    assert raw.endswith(b"data: [DONE]\n\n")


def test_a_whole_answer_written_and_read_is_the_same_but_for_named_losses() -> None:
    body, losses = DIALECT.render_answer(fold(ALL_EVENTS), Head("s", "up", 5), {"provider": "p"})
    assert losses == ("citations", "finish.pause")
    back = fold(DIALECT.parse_answer(body, "s"))
    kinds = [type(part).__name__ for part in back.choices[0].message.parts]
    assert sorted(kinds) == ["Refusal", "Text", "Thinking", "ToolUse"]
    assert back.usage == Usage(3, 2, 1, 5, 4)
    assert msgspec.json.decode(body)["afterbay"] == {"provider": "p"}


def test_an_empty_stream_has_a_proper_end_and_an_error_has_none() -> None:
    assert violations("openai.chat", DIALECT.renderer(Head("s", "up")).finish()) == []
    failed = DIALECT.renderer(Head("s", "up")).fail(GatewayError("broken", code="c"))
    assert violations("openai.chat", failed) == []
    assert b"[DONE]" not in failed
    assert msgspec.json.decode(failed[6:])["error"]["code"] == "c"
    assert isinstance(fold([]), Reply)
