"""Every recorded chat and embedding of Cohere's API 2, against an expectation read here by hand."""

from __future__ import annotations

import itertools
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from afterbay.core.event import Event, fold
from afterbay.core.message import Thinking, ToolUse
from afterbay.core.usage import Usage
from afterbay.wire.cohere import DIALECT, embeddings
from afterbay.wire.dialect import Head
from afterbay.wire.sse import Splitter
from wire.counts import counts

SHARED = Path(os.environ.get("AFTERBAY_SHARED") or Path(__file__).parents[2] / ".." / "shared")
RECORDINGS = SHARED / "data" / "wire" / "cohere.jsonl"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not RECORDINGS.exists(), reason="AFTERBAY_SHARED names no recordings"),
]


def recorded(path: str) -> list[dict[str, Any]]:
    if not RECORDINGS.exists():
        return []
    with RECORDINGS.open(encoding="utf-8") as lines:
        return [row for row in map(json.loads, lines) if row["request"]["path"] == path]


ROWS = recorded("/v2/chat")
ANSWERS = [row for row in ROWS if row["response"]["status"] == 200]
STREAMS = [row for row in ANSWERS if row["stream"]]
by_id: dict[str, Any] = {"ids": lambda row: row["id"]}
FINISH = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop_sequence", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}


def events_of(row: dict[str, Any], cuts: list[int] | None = None) -> list[Event]:
    raw = row["response"]["body"].encode()
    if not row["stream"]:
        return DIALECT.parse_answer(raw, "seed")
    parser, splitter, out = DIALECT.stream_parser("seed"), Splitter(), list[Event]()
    places = [0, *sorted(cuts or []), len(raw)]
    for start, end in itertools.pairwise(places):
        for name, data in splitter.feed(raw[start:end])[1]:
            parser.push(name, data, out)
    assert parser.is_complete
    assert parser.is_over
    return out


def expected(row: dict[str, Any]) -> dict[str, Any]:
    """What an answer says, read without the product."""
    body = row["response"]["body"]
    said: dict[str, Any] = {"text": "", "reasoning": "", "cited": False}
    calls: dict[int, list[str]] = {}
    if row["stream"]:
        events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
        for event in events:
            message = event.get("delta", {}).get("message", {})
            if event["type"] in ("content-start", "content-delta"):
                said["text"] += message["content"].get("text", "")
                said["reasoning"] += message["content"].get("thinking", "")
            elif event["type"] == "tool-plan-delta":
                said["reasoning"] += message["tool_plan"]
            elif event["type"] == "tool-call-start":
                call = message["tool_calls"]
                calls[event["index"]] = [call["id"], call["function"]["name"], ""]
            elif event["type"] == "tool-call-delta":
                calls[event["index"]][2] += message["tool_calls"]["function"]["arguments"]
            elif event["type"] == "citation-start":
                said["cited"] = True
        end, answer = events[-1]["delta"], events[0]["id"]
    else:
        end = json.loads(body)
        answer, message = end["id"], end["message"]
        for block in message.get("content", ()):
            said["text" if block["type"] == "text" else "reasoning"] += block[block["type"]]
        said["reasoning"] += message.get("tool_plan", "")
        for index, call in enumerate(message.get("tool_calls", ())):
            calls[index] = [call["id"], call["function"]["name"], call["function"]["arguments"]]
        said["cited"] = bool(message.get("citations"))
    tokens, cached = end["usage"]["tokens"], end["usage"].get("cached_tokens", 0)
    thought = tokens.get("reasoning_tokens", 0)
    read = max(tokens["input_tokens"], end["usage"]["billed_units"]["input_tokens"])  # images may stand beside
    usage = Usage(read - cached, cached, 0, tokens["output_tokens"] - thought, thought)
    return said | {
        "calls": [(call, name, arguments or "{}") for _, (call, name, arguments) in sorted(calls.items())],
        "finish": FINISH[end["finish_reason"]],
        "usage": usage,
        "id": answer,
    }


def found_in(events: list[Event]) -> dict[str, Any]:
    reply = fold(events)
    parts = reply.choices[0].message.parts
    assert set(reply.extras) <= {"citations"}
    return {
        "text": reply.choices[0].message.text(),
        "reasoning": "".join(part.text for part in parts if isinstance(part, Thinking)),
        "calls": [(part.id, part.name, part.arguments) for part in parts if isinstance(part, ToolUse)],
        "cited": "citations" in reply.extras,
        "finish": reply.choices[0].finish,
        "usage": counts(reply.usage),
        "id": reply.id,
    }


def test_all_recordings_are_there() -> None:
    assert (len(ROWS), len(ANSWERS), len(STREAMS)) == (40, 37, 12)


@pytest.mark.parametrize("row", ANSWERS, **by_id)
def test_an_answer_means_what_the_recording_says(row: dict[str, Any]) -> None:
    assert found_in(events_of(row)) == expected(row)


@pytest.mark.parametrize("row", STREAMS, **by_id)
def test_a_stream_gives_the_same_events_under_any_cut(row: dict[str, Any]) -> None:
    whole, size = events_of(row), len(row["response"]["body"].encode())
    rng = random.Random(row["id"])
    for _ in range(8):
        assert events_of(row, rng.sample(range(size), 40)) == whole
    assert events_of(row, list(range(size))) == whole


@pytest.mark.parametrize("row", STREAMS, **by_id)
def test_a_stream_without_its_last_event_is_not_complete(row: dict[str, Any]) -> None:
    raw = row["response"]["body"].encode()
    parser, out = DIALECT.stream_parser("seed"), list[Event]()
    for name, data in Splitter().feed(raw[: raw.rindex(b"event: message-end")])[1]:
        parser.push(name, data, out)
    assert out
    assert not parser.is_complete


@pytest.mark.parametrize("row", ANSWERS, **by_id)
def test_an_answer_rendered_and_read_again_is_the_same(row: dict[str, Any]) -> None:
    events = events_of(row)
    want = found_in(events) | {"cited": False}
    renderer = DIALECT.renderer(Head("s", "m"))
    raw = b"".join(renderer.render([event]) for event in events) + renderer.finish()
    again = events_of({"stream": True, "response": {"body": raw.decode()}})
    body, losses = DIALECT.render_answer(fold(events), Head("s", "m"), None)
    assert found_in(again) == want
    assert found_in(DIALECT.parse_answer(body, "seed")) == want
    assert renderer.losses == set(losses) == ({"citations"} if found_in(events)["cited"] else set())


KINDS = {400: "invalid_request", 401: "authentication", 404: "not_found"}


@pytest.mark.parametrize("row", [row for row in ROWS if row not in ANSWERS], **by_id)
def test_an_error_is_understood(row: dict[str, Any]) -> None:
    answer = row["response"]
    error = DIALECT.parse_error(answer["status"], answer["headers"], answer["body"].encode())
    assert (error.kind, error.status) == (KINDS[answer["status"]], answer["status"])
    assert error.message == json.loads(answer["body"])["message"]
    assert (error.code == "context_length_exceeded") == ("TOO_MANY_TOKENS" in answer["body"])


def normal(body: dict[str, Any]) -> dict[str, Any]:
    """A body with what means the same written the same, and without ids of documents, which are hints."""
    body = {key: value for key, value in body.items() if value not in (None, [], False)}
    body["documents"] = [{"data": one["data"]} for one in body.get("documents", ())]
    body["messages"] = [
        {key: value for key, value in message.items() if value not in (None, [])} for message in body["messages"]
    ]
    for message in body["messages"]:
        content = message.get("content")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        content = [block for block in content or () if block.get("text") != ""]
        message["content"] = [
            {"type": "document", "document": {"data": block["document"]["data"]}} if "document" in block else block
            for block in content
        ]
        for call in message.get("tool_calls", ()):
            call["type"] = "function"
    return body


@pytest.mark.parametrize("row", ROWS, **by_id)
def test_a_request_read_and_built_again_keeps_all_but_what_it_names(row: dict[str, Any]) -> None:
    sent = row["request"]["body"]
    request = DIALECT.parse_request(json.dumps(sent).encode(), None, None)
    built = DIALECT.build_request(request, sent["model"])
    assert request.foreign == ()
    assert set(built.losses) == set(request.hints)
    assert all(hint.endswith(".id") for hint in request.hints)
    assert normal(json.loads(built.body)) == normal(sent)
    assert DIALECT.build_request(DIALECT.parse_request(built.body, None, None), sent["model"]).body == built.body


def test_recorded_vectors_and_their_usage_are_read() -> None:
    rows = [row for row in recorded("/v2/embed") if row["response"]["status"] == 200]
    assert len(rows) == 1
    vectors, usage = embeddings.parse_answer(rows[0]["response"]["body"].encode())
    assert [len(vector) for vector in vectors] == [1536]
    assert usage == Usage(3)
