"""What the tests of the Responses dialect share: recordings, a grammar of streams, and OpenAI's SDK as a reader."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai.types.responses import Response

from afterbay.core.event import Event
from afterbay.wire.openai_responses import DIALECT
from afterbay.wire.sse import Splitter

SHARED = Path(os.environ.get("AFTERBAY_SHARED") or Path(__file__).parents[2] / ".." / "shared")
RECORDINGS = SHARED / "data" / "wire"
needs_recordings = pytest.mark.skipif(not RECORDINGS.exists(), reason="AFTERBAY_SHARED names no recordings")


def recorded() -> list[dict[str, Any]]:
    """All exchanges of this protocol, of any provider."""
    rows: list[dict[str, Any]] = []
    for path in sorted(RECORDINGS.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            rows += [row for row in map(json.loads, lines) if row["api"].endswith(".responses")]
    return rows


def is_sse(row: dict[str, Any]) -> bool:
    return str(row["response"]["body"]).lstrip().startswith(("event:", "data:", ":"))


def sse(raw: bytes) -> list[dict[str, Any]]:
    """An independent, slow reading of SSE: the data of every event as JSON."""
    found = []
    for block in raw.decode().replace("\r\n", "\n").split("\n\n"):
        data = "\n".join(line[5:].strip() for line in block.split("\n") if line.startswith("data:"))
        if data and data != "[DONE]":
            found.append(json.loads(data))
    return found


def stream(*events: dict[str, Any]) -> bytes:
    """A provider's stream of these events."""
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def parse_stream(raw: bytes, cuts: list[int] | None = None) -> tuple[list[Event], bool]:
    """The events of a stream whose bytes arrive cut at `cuts`, and whether it is complete."""
    parser, splitter, out = DIALECT.stream_parser("seed"), Splitter(), list[Event]()
    places = [0, *sorted(cut % (len(raw) + 1) for cut in cuts or []), len(raw)]
    for start, end in pairwise(places):
        for name, data in splitter.feed(raw[start:end])[1]:
            parser.push(name, data, out)
    for name, data in splitter.rest()[1]:
        parser.push(name, data, out)
    return out, parser.is_complete


def parse_any(row: dict[str, Any]) -> list[Event]:
    raw = row["response"]["body"].encode()
    return parse_stream(raw)[0] if is_sse(row) else DIALECT.parse_answer(raw, "seed")


class Grammar:
    """The event language, as the API reference has it; `check_grammar` feeds it."""

    def __init__(self) -> None:
        self.state = "new"
        self.items: dict[int, dict[str, Any]] = {}
        self.parts: dict[tuple[int, str, int], str] = {}  # open parts and what they said so far
        self.shown: dict[int, list[dict[str, Any]]] = {}  # parts that are whole
        self.done: dict[int, dict[str, Any]] = {}

    def take(self, event: dict[str, Any]) -> None:
        kind = event["type"].removeprefix("response.")
        assert self.state not in ("ended",), f"{kind} after the end"
        if kind in ("created", "in_progress"):
            assert (self.state, kind) in (("new", "created"), ("created", "in_progress"))
            self.state = kind
            assert event["response"]["output"] == []
            assert event["response"]["status"] == "in_progress"
        elif kind in ("completed", "incomplete", "failed"):
            assert self.state == "in_progress"
            self.state = "ended"
            self.end(kind, event["response"])
        else:
            assert self.state == "in_progress"
            getattr(self, kind.replace(".", "_"))(event)

    def end(self, kind: str, response: dict[str, Any]) -> None:
        assert response["status"] == kind
        assert response["output"] == [self.done[place] for place in sorted(self.done)]
        assert (response["error"] is not None) is (kind == "failed")
        assert (response["incomplete_details"] is not None) is (kind == "incomplete")
        if kind != "failed":
            assert self.parts == {}
            assert self.items.keys() == self.done.keys()

    def output_item_added(self, event: dict[str, Any]) -> None:
        place = event["output_index"]
        assert place == len(self.items)
        self.items[place], self.shown[place] = event["item"], []
        assert event["item"]["id"] not in [item["id"] for at, item in self.items.items() if at != place]
        assert not event["item"].get("content")
        assert not event["item"].get("summary")
        assert not event["item"].get("arguments")

    def item(self, event: dict[str, Any], kind: str) -> dict[str, Any]:
        item = self.items[event["output_index"]]
        assert (item["id"], item["type"]) == (event["item_id"], kind)
        assert event["output_index"] not in self.done
        return item

    def open(self, event: dict[str, Any], kind: str, index: int) -> None:
        assert index == len(self.shown[event["output_index"]])
        key = (event["output_index"], kind, index)
        assert key not in self.parts
        self.parts[key] = ""

    def close(self, event: dict[str, Any], kind: str, index: int, text: str) -> None:
        assert self.parts[event["output_index"], kind, index] == text

    def content_part_added(self, event: dict[str, Any]) -> None:
        self.item(event, "message")
        self.open(event, event["part"]["type"], event["content_index"])

    def output_text_delta(self, event: dict[str, Any]) -> None:
        self.item(event, "message")
        assert event["logprobs"] == []
        self.parts[event["output_index"], "output_text", event["content_index"]] += event["delta"]

    def refusal_delta(self, event: dict[str, Any]) -> None:
        self.item(event, "message")
        self.parts[event["output_index"], "refusal", event["content_index"]] += event["delta"]

    def output_text_done(self, event: dict[str, Any]) -> None:
        self.close(event, "output_text", event["content_index"], event["text"])

    def refusal_done(self, event: dict[str, Any]) -> None:
        self.close(event, "refusal", event["content_index"], event["refusal"])

    def content_part_done(self, event: dict[str, Any]) -> None:
        part = event["part"]
        said = self.parts.pop((event["output_index"], part["type"], event["content_index"]))
        assert said == part.get("text", part.get("refusal"))
        assert said
        self.shown[event["output_index"]].append(part)

    def reasoning_summary_part_added(self, event: dict[str, Any]) -> None:
        self.item(event, "reasoning")
        self.open(event, "summary_text", event["summary_index"])

    def reasoning_summary_text_delta(self, event: dict[str, Any]) -> None:
        self.item(event, "reasoning")
        self.parts[event["output_index"], "summary_text", event["summary_index"]] += event["delta"]

    def reasoning_summary_text_done(self, event: dict[str, Any]) -> None:
        self.close(event, "summary_text", event["summary_index"], event["text"])

    def reasoning_summary_part_done(self, event: dict[str, Any]) -> None:
        said = self.parts.pop((event["output_index"], "summary_text", event["summary_index"]))
        assert event["part"] == {"type": "summary_text", "text": said}
        self.shown[event["output_index"]].append(event["part"])

    def function_call_arguments_delta(self, event: dict[str, Any]) -> None:
        self.item(event, "function_call")
        key = (event["output_index"], "arguments", 0)
        self.parts[key] = self.parts.get(key, "") + event["delta"]

    def function_call_arguments_done(self, event: dict[str, Any]) -> None:
        self.item(event, "function_call")
        assert self.parts[event["output_index"], "arguments", 0] == event["arguments"]

    def output_item_done(self, event: dict[str, Any]) -> None:
        place, item = event["output_index"], event["item"]
        begun = self.items[place]
        assert place not in self.done
        assert (item["id"], item["type"], item.get("call_id")) == (begun["id"], begun["type"], begun.get("call_id"))
        match item["type"]:
            case "message":
                assert item["content"] == self.shown[place]
            case "reasoning":
                assert item["summary"] == self.shown[place]
            case "function_call":
                assert item["arguments"] == self.parts.pop((place, "arguments", 0))
        assert item.get("status") != "in_progress"
        assert not [key for key in self.parts if key[0] == place]
        self.done[place] = item


def check_grammar(raw: bytes) -> dict[str, Any]:
    """Fails unless `raw` is a stream as documented; the response of its last event."""
    grammar, response, number = Grammar(), dict[str, Any](), 0
    blocks = raw.decode().split("\n\n")
    assert blocks.pop() == ""
    for block in blocks:
        if block.startswith(":"):
            continue
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        number += 1
        grammar.take(event)
        response = event.get("response", response)
    assert grammar.state == "ended"
    return response


def client(raw: bytes, content_type: str = "text/event-stream", status: int = 200) -> openai.OpenAI:
    """OpenAI's SDK before a server that answers `raw`."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": content_type}, content=raw)

    transport = httpx2.MockTransport(answer)
    return openai.OpenAI(
        base_url="http://test", api_key="any", max_retries=0, http_client=httpx2.Client(transport=transport)
    )


def sdk_stream(raw: bytes, **more: Any) -> tuple[list[Any], Any]:
    """What `client.responses.stream` makes of a stream: its events, and the final response where there is one."""
    with client(raw).responses.stream(model="m", input="x", **more) as events:
        seen = list(events)
        last = seen[-1]
        return seen, events.get_final_response() if last.type == "response.completed" else last.response


def sdk_stream_events(raw: bytes) -> list[Any]:
    """The events of `client.responses.stream`, whatever the last one is."""
    with client(raw).responses.stream(model="m", input="x") as events:
        return list(events)


def sdk_create(raw: bytes) -> list[Any]:
    """What `client.responses.create(stream=True)` makes of it."""
    return list(client(raw).responses.create(model="m", input="x", stream=True))


def sdk_whole(raw: bytes) -> Response:
    """What `client.responses.create` makes of a whole answer, held against the SDK's types strictly."""
    response = client(raw, "application/json").responses.create(model="m", input="x")
    Response.model_validate_json(raw)
    return response
