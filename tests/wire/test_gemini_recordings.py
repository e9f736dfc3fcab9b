"""Recorded exchanges of Gemini and Vertex: answers against an expectation written here, requests there and back."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.genai.types import GenerateContentResponse

from afterbay.core.event import Event, fold
from afterbay.core.message import Thinking, ToolUse
from afterbay.core.request import ChatRequest
from afterbay.wire.dialect import Head
from afterbay.wire.gemini import DIALECT, embeddings
from afterbay.wire.gemini.schema import json_schema
from afterbay.wire.sse import Splitter
from wire.counts import counts

SHARED = Path(os.environ.get("AFTERBAY_SHARED") or Path(__file__).parents[2].parent / "shared") / "data" / "wire"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not SHARED.is_dir(), reason="no recordings: AFTERBAY_SHARED names no folder with data/wire"),
]


def recorded(*ends: str) -> list[Any]:
    rows = []
    for name in ("gemini.jsonl", "vertex.jsonl"):
        path = SHARED / name
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            row = json.loads(line)
            if row["api"].rpartition(".")[2] in ends:
                rows.append(pytest.param(row, id=f"{row['api']}-{row['id']}"))
    return rows


CHATS = recorded("generateContent", "streamGenerateContent")
EMBEDDINGS = recorded("embedContent")


def events_of(row: dict[str, Any], rng: random.Random | None = None) -> list[Event]:
    raw: bytes = row["response"]["body"].encode()
    if not raw.startswith(b"data:"):
        return DIALECT.parse_answer(raw, "seed")
    parser, splitter, out = DIALECT.stream_parser("seed"), Splitter(), list[Event]()
    cuts = sorted(rng.sample(range(len(raw)), min(len(raw), 30))) if rng else []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        for name, data in splitter.feed(raw[start:end])[1]:
            parser.push(name, data, out)
    for name, data in splitter.rest()[1]:
        parser.push(name, data, out)
    assert parser.is_complete
    return out


# --- answers ----------------------------------------------------------------------------------------------------

FINISH = {"STOP": "stop", 1: "stop", "MAX_TOKENS": "length", 2: "length", "UNEXPECTED_TOOL_CALL": "error"}
"""All that the recordings hold."""


def expected(body: str) -> dict[str, Any]:
    """What an answer says, read without the product: chunks joined, the last count of each kind, calls in order."""
    if body.startswith("data:"):
        chunks = [json.loads(line[5:]) for line in body.split("\r\n") if line.startswith("data:")]
    else:
        chunks = json.loads(body)
        chunks = chunks if isinstance(chunks, list) else [chunks]
    said: dict[str, Any] = {"text": "", "reasoning": "", "calls": [], "signatures": [], "finish": None}
    counts: dict[str, int] = {}
    for chunk in chunks:
        counts |= {key: value for key, value in chunk.get("usageMetadata", {}).items() if key.endswith("Count")}
        for candidate in chunk.get("candidates", ()):
            for part in candidate.get("content", {}).get("parts", ()):
                said["reasoning" if part.get("thought") else "text"] += part.get("text", "")
                if "functionCall" in part:
                    said["calls"].append((part["functionCall"]["name"], part["functionCall"].get("args") or {}))
                if part.get("thoughtSignature"):
                    said["signatures"].append(part["thoughtSignature"])
            if candidate.get("finishReason"):
                said["finish"] = FINISH[candidate["finishReason"]]
    if said["calls"] and said["finish"] == "stop":
        said["finish"] = "tool_calls"
    prompt, cached = counts.get("promptTokenCount", 0), counts.get("cachedContentTokenCount", 0)
    said["usage"] = (
        prompt - cached + counts.get("toolUsePromptTokenCount", 0),
        cached,
        counts.get("candidatesTokenCount", 0),
        counts.get("thoughtsTokenCount", 0),
    )
    return said


def found_in(events: list[Event]) -> dict[str, Any]:
    reply = fold(events)
    assert len(reply.choices) == 1
    parts, usage = reply.choices[0].message.parts, reply.usage
    calls = [part for part in parts if isinstance(part, ToolUse)]
    assert len({call.id for call in calls} - {""}) == len(calls)
    assert usage is not None
    return {
        "text": reply.choices[0].message.text(),
        "reasoning": "".join(part.text for part in parts if isinstance(part, Thinking)),
        "calls": [(call.name, json.loads(call.arguments)) for call in calls],
        "signatures": [part.signature for part in parts if isinstance(part, Thinking | ToolUse) and part.signature],
        "finish": reply.choices[0].finish,
        "usage": (
            usage.input_tokens,
            usage.cached_input_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
        ),
    }


ERRORS = {400: "invalid_request", 404: "not_found", 429: "rate_limit"}


@pytest.mark.parametrize("row", CHATS)
def test_a_recorded_answer_means_what_it_says_under_any_cut(row: dict[str, Any]) -> None:
    status, body = row["response"]["status"], row["response"]["body"]
    if status >= 400:
        error = DIALECT.parse_error(status, row["response"]["headers"], body.encode())
        assert error.kind == ("authentication" if "API_KEY_INVALID" in body else ERRORS[status])
        assert error.message == json.loads(body)["error"]["message"]
        return
    events = events_of(row)
    assert found_in(events) == expected(body)
    rng = random.Random(row["id"])
    assert all(events_of(row, rng) == events for _ in range(5))


@pytest.mark.parametrize("row", [row for row in CHATS if row.values[0]["response"]["status"] < 400])
def test_a_recorded_answer_survives_being_rendered_and_googles_client_reads_it(row: dict[str, Any]) -> None:
    events = events_of(row)
    reply = fold(events)
    head = Head(reply.id, reply.model)
    renderer = DIALECT.renderer(head)
    raw = b"".join(renderer.render([event]) for event in events) + renderer.finish()
    parser, back = DIALECT.stream_parser("seed"), list[Event]()
    for name, data in Splitter().feed(raw)[1]:
        parser.push(name, data, back)
        GenerateContentResponse.model_validate_json(data)
    unreadable = {"reasoning.signature", "tool_call.signature"} if "REDACTED" in row["response"]["body"] else set()
    assert renderer.losses <= {*reply.extras, *unreadable}
    if not unreadable:  # recordings whose signatures were replaced by words lose them
        returned = fold(back)
        assert counts(returned.usage) == counts(reply.usage)
        assert msgspec.structs.replace(returned, extras=reply.extras, usage=reply.usage) == reply
        body, losses = DIALECT.render_answer(reply, head, None)
        GenerateContentResponse.model_validate_json(body)
        assert fold(DIALECT.parse_answer(body, "seed")).choices == reply.choices
        assert losses == tuple(sorted(reply.extras))


# --- requests ---------------------------------------------------------------------------------------------------


def test_there_are_recordings_of_either_kind() -> None:
    assert {row.values[0]["stream"] for row in CHATS} == {True, False}


VERBATIM = ("args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema")
LISTS = ("contents", "parts", "tools", "functionDeclarations")


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def plain(value: Any) -> Any:
    """One spelling: camel case, no nulls, lists where lists belong."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, item in value.items():
        key = camel(key)
        item = item if key in VERBATIM else plain(item)
        if item is not None:
            found[key] = [item] if key in LISTS and isinstance(item, dict) else item
    return found


def kept(body: dict[str, Any]) -> dict[str, Any]:
    """What a rebuilt body must hold: the recorded one less the differences that are declared, each with its reason."""
    body = plain(body)
    for gone in ("safetySettings", "cachedContent"):  # a hint, and foreign
        body.pop(gone, None)
    if "systemInstruction" in body:
        body["systemInstruction"].pop("role", None)  # means nothing
        body["systemInstruction"]["parts"] = [kept_part(part) for part in body["systemInstruction"]["parts"]]
    turns: list[Any] = []
    for content in body["contents"]:
        parts = [part for part in map(kept_part, content.get("parts", ())) if part]
        role = "model" if content.get("role") == "model" else "user"  # "function" and unknown ones: the user's side
        if turns and turns[-1]["role"] == role:  # turns of one role in a row become one
            turns[-1]["parts"] += parts
        elif parts:
            turns.append({"role": role, "parts": parts})
    body["contents"] = turns
    declared = [kept_tool(spec) for tool in body.pop("tools", ()) for spec in tool.get("functionDeclarations", ())]
    if declared:  # Google's own tools are foreign; functions of several groups come in one
        body["tools"] = [{"functionDeclarations": declared}]
    mode = body.get("toolConfig", {}).get("functionCallingConfig", {})
    if mode.get("mode") == "VALIDATED":  # a hint
        mode["mode"] = "AUTO"
    config = kept_config(body.pop("generationConfig", {}))
    return body | ({"generationConfig": config} if config else {})


def kept_part(part: dict[str, Any]) -> dict[str, Any] | None:
    if part.get("thought") is False:  # the default
        del part["thought"]
    if part.get("inlineData", {}).get("mimeType", "").startswith("video/"):  # foreign
        return None
    if "fileData" in part:  # foreign where only Google can read it
        url, kind = part["fileData"]["fileUri"], part["fileData"]["mimeType"]
        ours = any(host in url for host in ("gs://", "youtu", "generativelanguage"))
        return None if ours or kind.startswith(("video/", "audio/")) else part
    result = part.get("functionResponse", {})
    media = [medium for medium in map(kept_part, result.pop("parts", ())) if medium]
    if media:
        result["parts"] = media
    return part


def kept_tool(spec: dict[str, Any]) -> dict[str, Any]:
    schema = spec.pop("parameters", None)
    if schema is not None:  # goes out as JSON Schema
        spec["parametersJsonSchema"] = json.loads(json_schema(json.dumps(schema).encode()))
    spec.setdefault("parametersJsonSchema", {"type": "object", "properties": {}})  # no arguments, said aloud
    return spec


def kept_config(config: dict[str, Any]) -> dict[str, Any]:
    config.pop("responseModalities", None)  # recorded with TEXT alone, the default
    schema = config.pop("responseSchema", None)
    if schema is not None:
        config["responseJsonSchema"] = json.loads(json_schema(json.dumps(schema).encode()))
    thinking = config.get("thinkingConfig", {})
    if "thinkingLevel" in thinking:
        thinking["thinkingLevel"] = thinking["thinkingLevel"].lower()
    if thinking and not (thinking.keys() & {"thinkingLevel", "thinkingBudget"} or thinking.get("includeThoughts")):
        del config["thinkingConfig"]  # says only that thoughts are hidden, the default
    elif thinking:
        thinking.setdefault("includeThoughts", False)
    if config.get("stopSequences") == []:
        del config["stopSequences"]
    return config


def less_minted(body: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """The body without the ids of calls and results that had none."""
    for content, other in zip(body["contents"], like["contents"], strict=True):
        for part, recorded_part in zip(content["parts"], other["parts"], strict=True):
            for name in ("functionCall", "functionResponse"):
                if name in part and "id" not in recorded_part[name]:
                    del part[name]["id"]
    return body


def asked(row: dict[str, Any]) -> ChatRequest:
    return DIALECT.parse_request(json.dumps(row["request"]["body"]).encode(), row["model"], row["stream"])


@pytest.mark.parametrize("row", [row for row in CHATS if row.values[0]["request"]["body"]])
def test_a_recorded_request_is_rebuilt_whole_but_for_declared_losses(row: dict[str, Any]) -> None:
    request = asked(row)
    built = DIALECT.build_request(request, "gemini-3-flash-preview" if "gemini-3" in row["model"] else row["model"])
    assert set(built.losses) >= {*request.foreign, *request.hints}
    wanted = kept(row["request"]["body"])
    assert less_minted(json.loads(built.body), wanted) == wanted
    again = DIALECT.parse_request(built.body, row["model"], row["stream"])
    assert (again.messages, again.tools, again.sampling, again.reasoning, again.response_format) == (
        request.messages,
        request.tools,
        request.sampling,
        request.reasoning,
        request.response_format,
    )
    ours = "streamGenerateContent?alt=sse" if row["stream"] else "generateContent"
    assert built.path.endswith(":" + ours)


@pytest.mark.parametrize("row", EMBEDDINGS)
def test_a_recorded_embedding_is_read_and_asked_for_again(row: dict[str, Any]) -> None:
    body, status = row["request"]["body"], row["response"]["status"]
    request = embeddings.parse_request(json.dumps(body).encode(), row["model"])
    entries = body["requests"]
    assert list(request.inputs) == [entry["content"]["parts"][0]["text"] for entry in entries]
    built = json.loads(embeddings.build_request(request, row["model"]).body)
    for entry in entries:
        entry.pop("taskType", None)
    assert built == {"requests": [plain(entry) for entry in entries]}
    if status >= 400:
        assert DIALECT.parse_error(status, {}, row["response"]["body"].encode()).kind == ERRORS[status]
        return
    vectors = embeddings.parse_answer(row["response"]["body"].encode())[0]
    assert vectors == [item["values"] for item in json.loads(row["response"]["body"])["embeddings"]]
