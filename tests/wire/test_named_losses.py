"""Fields deep in a request, and what an answer says beside its text, are named where a translation has no place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from afterbay.core.event import Event, Extra, Finished, Started, TextDelta
from afterbay.core.message import Document, Message, Text, ToolResult
from afterbay.core.request import ChatRequest, ResponseFormat, Sampling
from afterbay.policy.filters import is_foreign
from afterbay.wire.dialect import Head
from afterbay.wire.features import features
from afterbay.wire.registry import DIALECTS

CHAT, RESPONSES = DIALECTS["openai.chat"], DIALECTS["openai.responses"]
GEMINI = DIALECTS["gemini"]
TEXT = {"type": "text", "text": "hi"}
MARK = {"mode": "explicit"}
HI = (Message("user", (Text("hi"),)),)


def chat(*messages: dict[str, Any], **more: Any) -> ChatRequest:
    body = {"model": "m", "messages": list(messages) or [{"role": "user", "content": "hi"}]} | more
    return CHAT.parse_request(json.dumps(body).encode(), None, None)


def respond(*items: dict[str, Any], **more: Any) -> ChatRequest:
    body = {"model": "m", "input": list(items) or "hi"} | more
    return RESPONSES.parse_request(json.dumps(body).encode(), None, None)


def generate(*parts: dict[str, Any]) -> ChatRequest:
    body = {"contents": [{"role": "user", "parts": list(parts)}]}
    return GEMINI.parse_request(json.dumps(body).encode(), "m", False)


def function(**more: Any) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": "f", **more}}]


def call(**more: Any) -> dict[str, Any]:
    made = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return {"role": "assistant", "content": None, "tool_calls": [made | more]}


@pytest.mark.parametrize(
    ("request_", "hints"),
    [
        (chat({"role": "user", "content": [TEXT | {"prompt_cache_breakpoint": MARK}]}), ("prompt_cache_breakpoint",)),
        (chat({"role": "user", "content": [TEXT | {"odd": 1}]}), ("messages.content.odd",)),
        (chat({"role": "user", "content": "hi", "odd": 1}), ("messages.odd",)),
        (chat({"role": "assistant", "content": "hi", "odd": None, "annotations": []}), ()),
        (chat(tools=function(odd=1)), ("tools.function.odd",)),
        (chat(call(extra_content={"acme": 1})), ("messages.tool_calls.extra_content",)),
        (chat(call(extra_content={"google": {"thought_signature": "s"}})), ()),
        (chat(stream=True, stream_options={"include_obfuscation": True}), ("stream_options.include_obfuscation",)),
        (chat(stream=True, stream_options={"include_usage": True, "include_obfuscation": False}), ()),
        (chat(metadata={"a": "b"}, tools=function(odd=1)), ("metadata", "tools.function.odd")),
    ],
)
def test_chat_names_what_it_does_not_read(request_: ChatRequest, hints: tuple[str, ...]) -> None:
    assert request_.hints == hints
    assert request_.foreign == ()


def test_audio_in_a_tool_s_result_keeps_a_chat_among_its_own() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}
    asked = chat(call(), {"role": "tool", "tool_call_id": "c", "content": [TEXT, sound]})
    assert asked.messages[1].parts == (ToolResult("c", (Text("hi"),)),)
    assert asked.foreign == ("messages[1].content",)


FILE = {"type": "input_file", "file_data": "JVBERi0=", "filename": "a.pdf"}
SAID = {"type": "output_text", "text": "x", "annotations": []}


@pytest.mark.parametrize(
    ("request_", "foreign", "hints"),
    [
        (respond(reasoning={"odd": 1}), ("reasoning.odd",), ()),
        (respond(text={"odd": 1}), ("text.odd",), ()),
        (respond(text={"format": {"type": "text", "odd": 1}}), ("text.format.odd",), ()),
        (respond(reasoning={"odd": None}), (), ()),
        (respond(tools=[{"type": "function", "name": "f", "odd": 1}]), (), ("tools.odd",)),
        (respond({"role": "user", "content": "hi", "odd": 1}), (), ("input.odd",)),
        (respond({"role": "assistant", "content": "hi", "id": "m", "status": "completed"}), (), ()),
        (respond({"role": "assistant", "content": [SAID | {"logprobs": [1]}]}), (), ("input.logprobs",)),
        (respond({"role": "user", "content": [FILE | {"detail": "low"}]}), (), ("input_file.detail",)),
        (respond({"role": "user", "content": [FILE | {"detail": "auto"}]}), (), ()),
    ],
)
def test_responses_name_what_they_do_not_read(
    request_: ChatRequest, foreign: tuple[str, ...], hints: tuple[str, ...]
) -> None:
    assert (request_.foreign, request_.hints) == (foreign, hints)


def test_gemini_names_the_name_of_a_medium_that_is_no_document_and_fields_beside_it() -> None:
    image = {"mimeType": "image/png", "data": "iVBORw0KGgo="}
    assert generate({"inlineData": image | {"displayName": "a"}}).hints == ("contents.parts.displayName",)
    assert generate({"inlineData": image | {"odd": 1}}).foreign == ("contents.parts.inlineData.odd",)
    link = {"fileUri": "https://example.org/a.png", "displayName": "a", "odd": 1}
    assert generate({"fileData": link}).foreign == ("contents.parts.fileData.odd",)
    assert generate({"fileData": link}).hints == ("contents.parts.displayName",)
    named = generate({"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0=", "displayName": "a"}})
    assert named.messages[0].parts == (Document(data="JVBERi0=", media_type="application/pdf", name="a"),)
    assert named.hints == ()


@pytest.mark.parametrize("dialect", ["openai.responses", "gemini", "anthropic.messages", "bedrock.converse"])
def test_the_name_of_who_instructs_is_lost_by_name(dialect: str) -> None:
    request = ChatRequest("m", (Message("system", (Text("be brief"),), "Ann"), *HI))
    losses = DIALECTS[dialect].build_request(request, "m").losses
    assert any(loss.endswith("name") for loss in losses), losses


def test_gemini_cannot_leave_a_schema_unheld() -> None:
    form = ResponseFormat("json_schema", schema=b'{"type":"object"}', strict=False)
    built = GEMINI.build_request(ChatRequest("m", HI, response_format=form), "gemini-2.5-flash")
    assert built.losses == ("response_format.strict",)


def test_a_blank_stop_sequence_is_lacked_by_those_only_who_refuse_it() -> None:
    blank = features(ChatRequest("m", HI, sampling=Sampling(stop=("\n",))))
    assert blank == {"stop", "blank_stop"}
    assert not any(is_foreign(name) for name in blank)
    assert [name for name, one in DIALECTS.items() if "blank_stop" in one.cannot] == ["anthropic.messages"]


def chunks(dialect: str, *bodies: dict[str, Any]) -> list[Event]:
    parser, out = DIALECTS[dialect].stream_parser("seed"), list[Event]()
    for body in bodies:
        parser.push(None, json.dumps(body).encode(), out)
    return out


def test_chat_tells_a_finish_reason_that_it_does_not_know_and_sources_beside_the_choices() -> None:
    delta = {"index": 0, "delta": {"content": "x"}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "because"}
    sources = {"citations": ["https://example.org"], "search_results": [{"title": "t"}]}
    events = chunks("openai.chat", {"id": "c", "choices": [delta]} | sources, {"id": "c", "choices": [end]} | sources)
    assert [one.kind for one in events if isinstance(one, Extra)] == [
        "citations",
        "search_results",
        "finish_reason=because",
    ]
    whole = {"choices": [{"message": {"content": "x"}, "finish_reason": "because"}]} | sources
    parsed = CHAT.parse_answer(json.dumps(whole).encode(), "seed")
    assert {one.kind for one in parsed if isinstance(one, Extra)} == {
        "citations",
        "search_results",
        "finish_reason=because",
    }


@pytest.mark.parametrize(("phase", "extras"), [("commentary", ["phase=commentary"]), ("final_answer", [])])
def test_responses_tell_a_message_that_is_commentary(phase: str, extras: list[str]) -> None:
    said = {"type": "message", "id": "m", "role": "assistant", "phase": phase, "content": [SAID]}
    body = {"id": "r", "status": "completed", "output": [said]}
    events = RESPONSES.parse_answer(json.dumps(body).encode(), "seed")
    assert [one.kind for one in events if isinstance(one, Extra)] == extras


@pytest.mark.parametrize("dialect", ["openai.chat", "openai.responses"])
def test_a_stop_sequence_is_more_than_openai_can_say(dialect: str) -> None:
    renderer = DIALECTS[dialect].renderer(Head("s", "m"))
    renderer.render([Started(), TextDelta("x"), Finished("stop_sequence", "END")])
    renderer.finish()
    assert renderer.losses == {"finish.stop_sequence"}
