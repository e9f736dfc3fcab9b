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
from afterbay.testing.grammar import event_violations, violations
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
    assert event_violations(out, "late call", ended=False) == []
    return out, parser.is_complete


def parse_any(row: dict[str, Any]) -> list[Event]:
    raw = row["response"]["body"].encode()
    return parse_stream(raw)[0] if is_sse(row) else DIALECT.parse_answer(raw, "seed")


def check_grammar(raw: bytes) -> dict[str, Any]:
    """Fails unless `raw` is a stream as the API reference has it; gives its final response."""
    assert violations("openai.responses", raw, "no usage") == []
    final: dict[str, Any] = sse(raw)[-1]["response"]
    return final


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
