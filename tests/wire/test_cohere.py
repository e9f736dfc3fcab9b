"""Cohere's chat API by hand: every field of a request, every event of an answer, errors, vectors; and any of them."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.core.errors import Capacity, ClientMistake, ProviderError
from afterbay.core.event import (
    BlockBreak,
    Event,
    Extra,
    Failed,
    Finished,
    ReasoningDelta,
    ReasoningSignature,
    RefusalDelta,
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
    Refusal,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from afterbay.core.request import (
    ChatRequest,
    EmbedRequest,
    Reasoning,
    ResponseFormat,
    Sampling,
    ToolChoice,
    ToolSpec,
)
from afterbay.core.usage import Usage
from afterbay.wire.cohere import DIALECT, embeddings
from afterbay.wire.dialect import Head
from afterbay.wire.features import features, strip
from afterbay.wire.sse import Splitter

HI = Message("user", (Text("hi"),))
HEAD = Head("s", "m")
F, G = ToolSpec("f", "finds", b'{"type":"object"}'), ToolSpec("g")


def built(*messages: Message, **fields: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    made = DIALECT.build_request(ChatRequest("alias", messages or (HI,), **fields), "command-a")
    assert made.path == "/v2/chat"
    return json.loads(made.body), made.losses


def parsed(**body: Any) -> ChatRequest:
    whole = {"model": "command-a", "messages": [{"role": "user", "content": "hi"}]} | body
    return DIALECT.parse_request(json.dumps(whole).encode(), None, None)


# --- requests -----------------------------------------------------------------------------------------------------


def test_a_plain_question_is_a_plain_body() -> None:
    assert built() == ({"model": "command-a", "messages": [{"role": "user", "content": "hi"}]}, ())
    assert built(stream=True)[0]["stream"] is True


def test_sampling_has_the_provider_s_names() -> None:
    body, losses = built(
        sampling=Sampling(64, 0.5, 0.9, 40, ("a", "b"), 7, 0.2, 0.3, 1, True),
    )
    del body["messages"], body["model"]
    assert body == {
        "max_tokens": 64,
        "temperature": 0.5,
        "p": 0.9,
        "k": 40,
        "stop_sequences": ["a", "b"],
        "seed": 7,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "logprobs": True,
    }
    assert losses == ()


def test_what_is_out_of_the_provider_s_range_is_set_and_said() -> None:
    sampling = Sampling(top_p=1.0, top_k=900, stop=tuple("abcdef"), presence_penalty=-2, frequency_penalty=1.5)
    body, losses = built(sampling=sampling)
    assert (body["p"], body["k"], body["presence_penalty"], body["frequency_penalty"]) == (0.99, 500, 0, 1)
    assert body["stop_sequences"] == list("abcde")
    assert set(losses) == {"top_p=0.99", "top_k=500", "presence_penalty=0.0", "frequency_penalty=1.0", "stop"}


def test_what_the_protocol_has_no_field_for_is_a_loss_that_a_router_knows() -> None:
    sampling = Sampling(n=2, top_logprobs=3, logit_bias=b'{"5":1}')
    request = ChatRequest("m", (Message("user", (Text("hi"), Audio("aGk=", "wav"))),), sampling=sampling)
    made = DIALECT.build_request(request, "m")
    assert set(made.losses) == {"n", "top_logprobs", "logit_bias", "audio"}
    assert features(request) & DIALECT.cannot.keys() == set(made.losses)


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [("auto", None), ("required", "REQUIRED"), ("none", "NONE")],
)
def test_a_choice_of_tools_has_the_provider_s_words(choice: Any, wanted: str | None) -> None:
    body, losses = built(tools=(F, G), tool_choice=ToolChoice(choice))
    assert body.get("tool_choice") == wanted
    assert [tool["function"]["name"] for tool in body["tools"]] == ["f", "g"]
    assert losses == ()


def test_a_named_tool_is_forced_by_sending_it_alone() -> None:
    body, losses = built(tools=(F, G), tool_choice=ToolChoice("tool", "f"))
    function = {"name": "f", "description": "finds", "parameters": {"type": "object"}}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["tool_choice"] == "REQUIRED"
    assert losses == ("tool_choice=REQUIRED",)
    assert built(tools=(F,), tool_choice=ToolChoice("tool", "f"))[1] == ()


@pytest.mark.parametrize(("tools", "choice"), [((), ToolChoice("required")), ((F,), ToolChoice("tool", "other"))])
def test_a_choice_among_tools_that_are_not_there_is_left_out(tools: Any, choice: ToolChoice) -> None:
    body, losses = built(tools=tools, tool_choice=choice)
    assert "tool_choice" not in body
    assert losses == ("tool_choice",)


def test_strictness_is_one_switch_for_all_tools() -> None:
    def spec(name: str, strict: bool | None) -> ToolSpec:
        return ToolSpec(name, strict=strict)

    assert built(tools=(spec("f", True), spec("g", True)))[0]["strict_tools"] is True
    assert built(tools=(spec("f", False),))[0]["strict_tools"] is False
    body, losses = built(tools=(spec("f", True), spec("g", None)))
    assert "strict_tools" not in body
    assert losses == ("tools.strict",)


def test_one_call_at_a_time_cannot_be_asked_for() -> None:
    assert built(tools=(F,), parallel_tool_calls=False)[1] == ("parallel_tool_calls",)
    assert built(tools=(F,), parallel_tool_calls=True)[1] == ()


SCHEMA = b'{"type":"object","properties":{"a":{"type":"string"}}}'


def test_a_schema_goes_into_json_object() -> None:
    form = ResponseFormat("json_schema", "answer", SCHEMA, False, "it")
    body, losses = built(response_format=form)
    assert body["response_format"] == {"type": "json_object", "json_schema": json.loads(SCHEMA)}
    assert set(losses) == {"response_format.name", "response_format.description", "response_format.strict"}
    assert built(response_format=ResponseFormat("json_object"))[0]["response_format"] == {"type": "json_object"}
    assert "response_format" not in built(response_format=ResponseFormat("text"))[0]


def test_beside_tools_a_schema_steps_down_into_the_prompt_and_says_so() -> None:
    system = Message("system", (Text("Be brief."),))
    form = ResponseFormat("json_schema", "answer", SCHEMA, description="A reply.")
    body, losses = built(system, HI, tools=(F,), response_format=form)
    assert "response_format" not in body
    assert losses == ("response_format=prompt",)
    assert [message["role"] for message in body["messages"]] == ["system", "system", "user"]
    assert SCHEMA.decode() in body["messages"][1]["content"]
    assert "A reply." in body["messages"][1]["content"]
    plain, _ = built(tools=(F,), response_format=ResponseFormat("json_object"))
    assert "JSON object" in plain["messages"][0]["content"]


@pytest.mark.parametrize(
    ("reasoning", "thinking", "losses"),
    [
        (Reasoning("none"), {"type": "disabled"}, ()),
        (Reasoning(budget_tokens=0), {"type": "disabled"}, ()),
        (Reasoning(budget_tokens=-1), {"type": "enabled"}, ()),
        (Reasoning(budget_tokens=500), {"type": "enabled", "token_budget": 500}, ()),
        (Reasoning("low"), {"type": "enabled", "token_budget": 4096}, ("reasoning.effort",)),
        (Reasoning("high"), {"type": "enabled"}, ("reasoning.effort",)),
        (Reasoning("low", 500), {"type": "enabled", "token_budget": 500}, ("reasoning.effort",)),
        (Reasoning(show=True), None, ("reasoning.show",)),
    ],
)
def test_an_effort_becomes_a_budget(reasoning: Reasoning, thinking: Any, losses: tuple[str, ...]) -> None:
    body, named = built(reasoning=reasoning)
    assert (body.get("thinking"), named) == (thinking, losses)


def test_roles_names_and_media_find_their_places() -> None:
    body, losses = built(
        Message("developer", (Text("Be brief."), Image(url="https://e.org/a.png"))),
        Message("user", (Text("look"), Image(data="iVBO", media_type="image/png", detail="low")), "ann"),
        Message("assistant", (Refusal("No."),)),
        Message("user", (Image(url="https://e.org/b.png"), Thinking("mine"))),
    )
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}},
            ],
        },
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://e.org/b.png"}}]},
    ]
    assert set(losses) == {"messages.system_media", "messages[1].name", "content.thinking"}


def test_what_was_thought_before_a_call_is_its_plan() -> None:
    call = ToolUse("c1", "f", '{"a":1}')
    wire = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    body, losses = built(HI, Message("assistant", (Thinking("I will look."), call)))
    assert body["messages"][1] == {"role": "assistant", "tool_plan": "I will look.", "tool_calls": [wire]}
    body, _ = built(HI, Message("assistant", (Thinking("Hm."), Text("Wait."), call)))
    thought, said = {"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Wait."}
    assert body["messages"][1] == {"role": "assistant", "content": [thought, said], "tool_calls": [wire]}
    assert losses == ()


def test_proofs_of_other_vendors_are_dropped_by_name() -> None:
    turn = Message("assistant", (Thinking("a", "sig"), Thinking(redacted="x"), ToolUse("c", "f", "", "sig")))
    body, losses = built(HI, turn)
    assert body["messages"][1]["tool_plan"] == "a"
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert set(losses) == {"thinking.signature", "tool_use.signature"}


def test_results_stay_together_and_their_images_follow() -> None:
    results = (
        ToolResult("c1", (Text("one"),), is_error=True),
        ToolResult("c2", (Image(url="https://e.org/a.png"),)),
        ToolResult("c3", (Text("x"), Document(text="doc", name="n"), Document(text="d2"))),
        ToolResult("c4", ()),
    )
    body, losses = built(HI, Message("tool", results), Message("user", (Text("go on"),)))
    first, second, third, fourth, user = body["messages"][1:]
    assert first == {"role": "tool", "tool_call_id": "c1", "content": "one"}
    assert second["content"] == "See the attachment in the next message."
    assert third["content"][1:] == [
        {"type": "document", "document": {"data": {"title": "n", "text": "doc"}}},
        {"type": "document", "document": {"data": {"text": "d2"}}},
    ]
    assert fourth["content"] == ""
    assert [block["type"] for block in user["content"]] == ["text", "image_url", "text"]
    assert losses == ("tool_result.is_error",)
    last, _ = built(HI, Message("tool", results[1:2]))
    assert last["messages"][2]["role"] == "user"


def test_documents_of_text_are_documents_and_files_are_named() -> None:
    parts = (
        Text("Sum up"),
        Document(text="words", name="a.txt"),
        Document(data="aGFsbG8=", media_type="text/plain"),
        Document(text='{"rate": 3}', media_type="application/json"),
        Document(text="[1]", media_type="application/json"),
    )
    body, losses = built(Message("user", parts))
    assert body["messages"] == [{"role": "user", "content": "Sum up"}]
    assert body["documents"] == [
        {"data": {"title": "a.txt", "text": "words"}},
        {"data": {"text": "hallo"}},
        {"data": {"rate": 3}},
        {"data": {"text": "[1]"}},
    ]
    assert losses == ()
    inline, _ = built(Message("user", parts[:2]), response_format=ResponseFormat("json_object"))
    assert "documents" not in inline
    assert inline["messages"][0]["content"][1] == {"type": "text", "text": "a.txt:\nwords"}


@pytest.mark.parametrize(
    ("document", "loss"),
    [
        (Document(url="https://e.org/a.pdf"), "document_urls"),
        (Document(data="JVBERi0=", media_type="application/pdf"), "document_files"),
        (Document(data="gICA", media_type="text/plain"), "document_files"),
        (Document(name="only a name"), "empty_document"),
    ],
)
def test_a_document_that_is_no_text_is_a_loss(document: Document, loss: str) -> None:
    assert built(Message("user", (Text("hi"), document)))[1] == (loss,)


def test_a_router_knows_files_from_texts_and_can_take_either_out() -> None:
    pdf, text = Document(data="JVBERi0=", media_type="application/pdf"), Document(data="aGk=", media_type="text/plain")
    request = ChatRequest("m", (Message("user", (Text("hi"), pdf, text, Document(url="u"))),))
    assert features(request) == {"documents", "document_files", "document_urls"}
    without = strip(request, frozenset({"document_files", "document_urls"}))
    assert without.messages[0].parts == (Text("hi"), text)
    assert strip(request, frozenset({"documents"})).messages[0].parts == (Text("hi"),)


def test_fields_of_other_protocols_are_named() -> None:
    assert built(foreign=("web_search_options",), hints=("user",))[1] == ("web_search_options", "user")


def test_a_request_is_read_field_by_field() -> None:
    request = parsed(
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        tool_choice="REQUIRED",
        strict_tools=True,
        max_tokens=5,
        p=0.5,
        k=3,
        stop_sequences=["x"],
        response_format={"type": "json_object", "json_schema": {"type": "object"}},
        thinking={"type": "enabled", "token_budget": 9},
        logprobs=True,
        stream=True,
        priority=1,
        safety_mode="STRICT",
    )
    assert request.tools == (ToolSpec("f", None, b'{"type":"object"}', True),)
    assert request.tool_choice == ToolChoice("required")
    assert request.sampling == Sampling(5, None, 0.5, 3, ("x",), logprobs=True)
    assert request.response_format == ResponseFormat("json_schema", schema=b'{"type":"object"}')
    assert request.reasoning == Reasoning(budget_tokens=9)
    assert (request.stream, request.include_usage) == (True, True)
    assert (request.hints, request.foreign) == (("priority",), ("safety_mode",))
    assert parsed(thinking={"type": "disabled"}).reasoning == Reasoning(budget_tokens=0)
    assert parsed(thinking={"type": "enabled"}).reasoning == Reasoning(budget_tokens=-1)
    assert parsed(response_format={"type": "text"}).response_format == ResponseFormat("text")


def test_documents_are_read_into_the_last_question() -> None:
    documents = ["plain", {"id": "d1", "data": {"text": "t", "title": "n"}}, {"data": {"rate": 3}}]
    request = parsed(documents=documents)
    assert request.messages[0].parts == (
        Document(text="plain"),
        Document(text="t", name="n"),
        Document(text='{"rate":3}', media_type="application/json"),
        Text("hi"),
    )
    assert request.hints == ("documents[1].id",)
    alone = parsed(messages=[{"role": "system", "content": "s"}], documents=["d"])
    assert alone.messages[1] == Message("user", (Document(text="d"),))


def test_an_unknown_block_is_foreign_and_citations_are_a_hint() -> None:
    content = [{"type": "video"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]
    turns = [{"role": "assistant", "content": "a", "citations": [{}]}, {"role": "user", "content": content}]
    request = parsed(messages=turns)
    assert request.foreign == ("messages[1].content[0].type=video",)
    assert request.hints == ("messages[0].citations",)
    assert request.messages[1].parts == (Image(data="iVBO", media_type="image/png"),)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tool_choice": "AUTO"}, "tool_choice"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
    ],
)
def test_a_wrong_request_names_the_field(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ClientMistake) as caught:
        parsed(**body)
    assert caught.value.param == param


# --- answers ------------------------------------------------------------------------------------------------------


def streamed(*events: dict[str, Any] | bytes) -> list[Event]:
    parser, out = DIALECT.stream_parser("seed"), list[Event]()
    for event in events:
        parser.push(None, event if isinstance(event, bytes) else json.dumps(event).encode(), out)
    return out


def delta(kind: str, index: int | None = 0, **message: Any) -> dict[str, Any]:
    return {"type": kind, "delta": {"message": message}} | ({"index": index} if index is not None else {})


def test_each_event_of_a_stream_is_read() -> None:
    events = streamed(
        {"type": "message-start", "id": "a1", "delta": {"message": {"role": "assistant", "content": []}}},
        delta("content-start", content={"type": "thinking", "thinking": ""}),
        delta("content-delta", content={"thinking": "hm"}),
        {"type": "content-end", "index": 0},
        delta("content-start", 1, content={"type": "text", "text": "H"}),
        delta("content-delta", 1, content={"text": "i"}) | {"logprobs": {"token_ids": [1]}},
        delta("citation-start", citations={"start": 0, "end": 1}),
        {"type": "citation-end", "index": 0},
        {"type": "content-end", "index": 1},
        delta("content-start", 2, content={"type": "text", "text": ""}),
        delta("content-delta", 2, content={"text": "!"}),
        delta("tool-plan-delta", None, tool_plan="plan"),
        delta("tool-call-start", tool_calls={"id": "c", "function": {"name": "f", "arguments": ""}}),
        delta("tool-call-delta", tool_calls={"function": {"arguments": "{}"}}),
        {"type": "tool-call-end", "index": 0},
        {
            "type": "message-end",
            "delta": {
                "finish_reason": "TOOL_CALL",
                "usage": {
                    "tokens": {"input_tokens": 10.0, "output_tokens": 7, "reasoning_tokens": 2},
                    "billed_units": {"input_tokens": 1, "output_tokens": 1},
                    "cached_tokens": 4,
                },
            },
        },
    )
    assert events == [
        Started("a1"),
        ReasoningDelta("hm"),
        TextDelta("H"),
        TextDelta("i"),
        Extra("logprobs"),
        Extra("citations"),
        BlockBreak(),
        TextDelta("!"),
        ReasoningDelta("plan"),
        ToolCallStarted(0, "c", "f"),
        ToolCallDelta(0, "{}"),
        Finished("tool_calls"),
        UsageSeen(Usage(6, 4, 0, 5, 2, parts=(("unbilled_input", 9), ("unbilled_output", 6)))),
    ]


def test_calls_may_interleave_and_may_lack_an_id_and_an_index() -> None:
    start = delta("tool-call-start", 5, tool_calls={"function": {"name": "f"}})
    other = delta("tool-call-start", None, tool_calls=[{"id": "x", "function": {"name": "g", "arguments": "{"}}])
    events = streamed(
        start,
        other,
        delta("tool-call-delta", 5, tool_calls={"function": {"arguments": "1"}}),
        delta("tool-call-delta", None, tool_calls=[{"function": {"arguments": "}"}}]),
    )
    assert events == [
        ToolCallStarted(0, "call_seed_0", "f"),
        ToolCallStarted(1, "x", "g"),
        ToolCallDelta(1, "{"),
        ToolCallDelta(0, "1"),
        ToolCallDelta(1, "}"),
    ]
    with pytest.raises(ValueError, match="never started"):
        streamed(delta("tool-call-delta", 3, tool_calls={"function": {"arguments": "1"}}))


def test_a_call_without_arguments_has_an_empty_object() -> None:
    start = delta("tool-call-start", 0, tool_calls={"id": "x", "function": {"name": "f", "arguments": ""}})
    later = delta("tool-call-start", 1, tool_calls={"id": "y", "function": {"name": "g"}})
    want = [ToolCallStarted(0, "x", "f"), ToolCallDelta(0, "{}"), ToolCallStarted(1, "y", "g"), ToolCallDelta(1, "{}")]
    events = streamed(start, {"type": "tool-call-end", "index": 0}, later, {"type": "message-end", "delta": {}})
    assert events == want
    body = {"message": {"tool_calls": [{"id": "x", "function": {"name": "f", "arguments": ""}}]}}
    assert DIALECT.parse_answer(json.dumps(body).encode(), "s")[1:] == want[:2]


def test_an_answer_that_failed_says_why() -> None:
    end = {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "out of memory"}}
    assert streamed(end) == [Failed(ProviderError("server", "out of memory")), Finished("error")]
    timeout = {"type": "message-end", "delta": {"finish_reason": "TIMEOUT"}}
    assert streamed(timeout) == [Finished("error"), Extra("finish_reason=TIMEOUT")]
    novel = {"type": "message-end", "delta": {"finish_reason": "NOVEL"}}
    assert streamed(novel) == [Finished("stop"), Extra("finish_reason=NOVEL")]


def test_events_and_blocks_of_later_versions_do_no_harm() -> None:
    assert streamed({"type": "debug", "prompt": "x"}) == [Extra("debug")]
    assert streamed({"type": "novel", "delta": 3}) == []
    assert streamed(delta("content-start", content={"type": "video"})) == [Extra("content.video")]
    with pytest.raises(ValueError, match="Expected"):
        streamed({"type": "message-end", "delta": 3})


def test_a_whole_answer_is_read() -> None:
    message = {
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}],
        "tool_plan": "p",
        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
        "citations": [{"start": 0}],
    }
    body = {"id": "i", "message": message, "finish_reason": "COMPLETE", "logprobs": [{"token_ids": [1]}]}
    events = DIALECT.parse_answer(json.dumps(body).encode(), "seed")
    assert events == [
        Started("i"),
        ReasoningDelta("hm"),
        TextDelta("a"),
        ReasoningDelta("p"),
        ToolCallStarted(0, "call_seed_0", "f"),
        ToolCallDelta(0, "{}"),
        Extra("citations"),
        Extra("logprobs"),
        Finished("stop"),
    ]
    short = b'{"message":{"content":"a"},"usage":{"billed_units":{"input_tokens":3}}}'
    assert DIALECT.parse_answer(short, "s") == [Started(""), TextDelta("a"), UsageSeen(Usage(3))]
    with pytest.raises(ValueError, match="message"):
        DIALECT.parse_answer(b'{"text": "an answer of version 1"}', "s")


def test_a_stream_is_written_block_by_block() -> None:
    renderer = DIALECT.renderer(HEAD)
    raw = renderer.render([Started("a1"), ReasoningDelta("h"), TextDelta("i"), TextDelta("j"), BlockBreak()])
    raw += renderer.render([RefusalDelta("k"), ToolCallStarted(0, "c", "f", "sig"), ToolCallDelta(0, "{}")])
    raw += renderer.render([Finished("tool_calls"), UsageSeen(Usage(1, 2, 0, 3, 4)), TextDelta("")])
    raw += renderer.finish({"cost": 1})
    shown = [(name, data) for name, data in Splitter().feed(raw)[1]]
    events = [json.loads(data) for name, data in shown[:-1]]
    assert [name.decode() for name, _ in shown[:-1] if name] == [event["type"] for event in events]
    assert [(event["type"], event.get("index")) for event in events] == [
        ("message-start", None),
        ("content-start", 0),
        ("content-delta", 0),
        ("content-end", 0),
        ("content-start", 1),
        ("content-delta", 1),
        ("content-delta", 1),
        ("content-end", 1),
        ("content-start", 2),
        ("content-delta", 2),
        ("content-end", 2),
        ("tool-call-start", 0),
        ("tool-call-delta", 0),
        ("tool-call-end", 0),
        ("message-end", None),
    ]
    assert events[-1]["delta"] == {
        "finish_reason": "TOOL_CALL",
        "usage": {"tokens": {"input_tokens": 3, "output_tokens": 7, "reasoning_tokens": 4}, "cached_tokens": 2},
        "afterbay": {"cost": 1},
    }
    assert shown[-1][1] == b"[DONE]"
    assert renderer.losses == {"tool_call.signature"}


def test_what_has_no_place_in_an_answer_is_a_loss() -> None:
    renderer = DIALECT.renderer(HEAD)
    events: list[Event] = [
        TextDelta("a"),
        TextDelta("b", 1),
        ToolCallStarted(0, "c", "f", None, 1),
        ReasoningSignature("x"),
        Extra("citations"),
        Finished("pause"),
    ]
    assert b'"b"' not in renderer.render(events)
    renderer.finish()
    wanted = {"choices", "reasoning.signature", "citations", "finish.pause"}
    assert renderer.losses == wanted
    assert set(DIALECT.render_answer(fold(events), HEAD, None)[1]) == wanted
    parts = (Thinking(redacted="x"), Image(url="u"), ToolUse("c", "f", "", "sig"))
    reply = fold([Finished("content_filter")])
    reply.choices[0].message = Message("assistant", parts)
    body, losses = DIALECT.render_answer(reply, HEAD, {"cost": 1})
    assert json.loads(body)["afterbay"] == {"cost": 1}
    assert set(losses) == {
        "reasoning.signature",
        "image in an answer",
        "tool_call.signature",
        "finish.content_filter",
    }


def test_an_error_in_a_stream_is_an_end_with_a_reason_and_reads_as_one() -> None:
    raw = DIALECT.renderer(HEAD).fail(Capacity("Too much."))
    ((_, data),) = Splitter().feed(raw)[1]
    failed = streamed(data)[0]
    assert isinstance(failed, Failed)
    assert failed.error.message.startswith("Too much.")
    assert DIALECT.renderer(HEAD).ping() == b": ping\n\n"


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (429, b'{"message": "limited to 10 API calls / minute"}', "rate_limit", None),
        (429, b'{"message": "You are using a Trial key, limited to 1000 API calls / month."}', "quota", None),
        (402, b'{"id": "x", "message": "billing limit"}', "quota", None),
        (
            400,
            b'{"message": "too many", "error_type": "TOO_MANY_TOKENS"}',
            "invalid_request",
            "context_length_exceeded",
        ),
        (503, b"<html>busy</html>", "overloaded", None),
        (500, b'{"message": ""}', "server", None),
        (502, b'["x"]', "server", None),
    ],
)
def test_an_error_has_its_kind(status: int, body: bytes, kind: str, code: str | None) -> None:
    error = DIALECT.parse_error(status, {"retry-after": "3"}, body)
    assert (error.kind, error.code, error.status, error.retry_after_s) == (kind, code, status, 3.0)
    assert error.message


def test_an_error_is_written_as_the_provider_writes_it() -> None:
    body = json.loads(DIALECT.render_error(Capacity("Full.", code="queue_full"), "req_1"))
    assert body["id"] == "req_1"
    assert body["error_type"] == "queue_full"
    assert body["message"].startswith("Full.")


# --- any of them --------------------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=9)
objects = st.sampled_from(["{}", '{"a":[1,{"b":null}]}', '{"ü":"\\u0000"}'])
few = settings(max_examples=150, deadline=None)


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = [Started("a1")]
    calls, last = 0, ""
    for kind in draw(st.lists(st.sampled_from(["text", "thinking", "call"]), max_size=6)):
        if kind == last != "call":
            events.append(BlockBreak())
        last = kind
        if kind == "call":
            events += [ToolCallStarted(calls, f"c{calls}", draw(words)), ToolCallDelta(calls, draw(objects))]
            calls += 1
        else:
            make = TextDelta if kind == "text" else ReasoningDelta
            events += [make(piece) for piece in draw(st.lists(words, min_size=1, max_size=3))]
    counts = st.integers(0, 10**6)
    reason: Any = draw(st.sampled_from(["stop", "length", "tool_calls", "stop_sequence", "error"]))
    return [*events, Finished(reason), UsageSeen(Usage(draw(counts), draw(counts), 0, draw(counts), draw(counts)))]


@few
@given(events=answers(), cuts=st.lists(st.integers(0, 4000), max_size=9))
def test_any_answer_written_and_read_under_any_cut_is_the_same(events: list[Event], cuts: list[int]) -> None:
    renderer = DIALECT.renderer(HEAD)
    raw = b"".join(renderer.render([event]) for event in events) + renderer.finish()
    parser, splitter, out = DIALECT.stream_parser("s"), Splitter(), list[Event]()
    places = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    for start, end in itertools.pairwise(places):
        for name, data in splitter.feed(raw[start:end])[1]:
            parser.push(name, data, out)
    assert parser.is_over
    assert out == events
    assert renderer.losses == set()


texts = st.builds(Text, words)
documents = st.builds(Document, text=words, name=st.none() | words)
images = st.builds(Image, url=st.just("https://e.org/a.png"), detail=st.none() | st.just("low"))
turns = st.one_of(
    st.builds(Message, st.just("system"), st.tuples(texts)),
    st.builds(Message, st.just("user"), st.lists(st.one_of(texts, images), min_size=1, max_size=3).map(tuple)),
    st.builds(Message, st.just("assistant"), st.tuples(st.builds(Thinking, words), texts)),
    st.builds(
        Message,
        st.just("assistant"),
        st.tuples(st.builds(Thinking, words), st.builds(ToolUse, words, words, objects)),
    ),
    st.builds(
        Message,
        st.just("tool"),
        st.tuples(
            st.builds(ToolResult, words, st.lists(st.one_of(texts, documents), min_size=1, max_size=3).map(tuple))
        ),
    ),
)


@few
@given(
    messages=st.lists(turns, max_size=5),
    attached=st.lists(documents, max_size=2),
    tools=st.booleans(),
    choice=st.sampled_from([None, "none", "required"]),
    strict=st.sampled_from([None, True, False]),
    sampling=st.builds(
        Sampling,
        max_output_tokens=st.none() | st.integers(1, 9000),
        temperature=st.none() | st.floats(0, 2),
        top_p=st.none() | st.floats(0.01, 0.99),
        top_k=st.none() | st.integers(0, 500),
        stop=st.lists(words, max_size=5).map(tuple),
        seed=st.none() | st.integers(0, 99),
        presence_penalty=st.none() | st.floats(0, 1),
        frequency_penalty=st.none() | st.floats(0, 1),
        logprobs=st.none() | st.just(True),
    ),
    reasoning=st.none() | st.integers(-1, 5000).map(lambda budget: Reasoning(budget_tokens=budget)),
    stream=st.booleans(),
)
def test_any_request_written_and_read_again_is_the_same(
    messages: list[Message],
    attached: list[Document],
    tools: bool,
    choice: Any,
    strict: bool | None,
    sampling: Sampling,
    reasoning: Reasoning | None,
    stream: bool,
) -> None:
    request = ChatRequest(
        "m",
        (*messages, Message("user", (*attached, Text("?")))),
        (ToolSpec("f", "d", b'{"type":"object"}', strict),) if tools else (),
        ToolChoice(choice) if tools and choice else None,
        sampling=sampling,
        reasoning=reasoning,
        stream=stream,
        include_usage=stream,
    )
    made = DIALECT.build_request(request, "m")
    assert made.losses == ()
    assert DIALECT.parse_request(made.body, None, None) == request


# --- vectors ------------------------------------------------------------------------------------------------------


def test_vectors_are_asked_for_as_those_of_documents() -> None:
    made = embeddings.build_request(EmbedRequest("alias", ("one", "two"), 256, hints=("user",)), "embed-v4.0")
    assert made.path == "/v2/embed"
    assert json.loads(made.body) == {
        "model": "embed-v4.0",
        "input_type": "search_document",
        "embedding_types": ["float"],
        "texts": ["one", "two"],
        "output_dimension": 256,
    }
    assert made.losses == ("user",)


def test_token_ids_are_the_client_s_mistake() -> None:
    with pytest.raises(ClientMistake, match=r"input\[1\]"):
        embeddings.build_request(EmbedRequest("m", ("a", (1, 2))), "m")


@pytest.mark.parametrize(
    ("meta", "usage"),
    [
        ({"billed_units": {"input_tokens": 3.0}}, Usage(3)),
        ({"tokens": {"input_tokens": 5}, "billed_units": {"input_tokens": 3}}, Usage(5)),
        ({}, None),
        (None, None),
    ],
)
def test_vectors_and_their_usage_are_read(meta: Any, usage: Usage | None) -> None:
    body = {"embeddings": {"float": [[0.5, 1.0], [2.0, -1.0]]}, "meta": meta}
    assert embeddings.parse_answer(json.dumps(body).encode()) == ([[0.5, 1.0], [2.0, -1.0]], usage)


def test_an_answer_without_vectors_of_floats_is_none() -> None:
    with pytest.raises(ValueError, match="floats"):
        embeddings.parse_answer(b'{"embeddings": {"int8": [[1]]}}')


def test_a_request_for_vectors_comes_back_as_it_went() -> None:
    request = EmbedRequest("embed-v4.0", ("one", "two"), 256)
    assert embeddings.parse_request(embeddings.build_request(request, "embed-v4.0").body) == request
    body = {
        "model": "m",
        "texts": ["a"],
        "input_type": "search_query",
        "embedding_types": ["int8"],
        "truncate": "NONE",
        "priority": 1,
    }
    read = embeddings.parse_request(json.dumps(body).encode(), "alias")
    assert (read.model, read.inputs, read.hints) == ("alias", ("a",), ("priority",))
    assert set(read.foreign) == {"input_type", "embedding_types", "truncate"}


@pytest.mark.parametrize("usage", [Usage(3), None])
def test_vectors_written_and_read_are_the_same(usage: Usage | None) -> None:
    body = embeddings.render_answer([[0.5]], usage, "m", EmbedRequest("m", ("a",)))
    assert embeddings.parse_answer(body) == ([[0.5]], usage)
