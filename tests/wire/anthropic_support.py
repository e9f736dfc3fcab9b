"""What the tests of the Messages dialect share: recordings, an independent reading of answers, a grammar of streams."""

from __future__ import annotations

import json
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from afterbay.core.event import Event
from afterbay.testing.grammar import event_violations, violations
from afterbay.wire.anthropic_messages import DIALECT
from afterbay.wire.sse import Splitter

SHARED = Path(os.environ.get("AFTERBAY_SHARED") or Path(__file__).parents[2] / ".." / "shared")
RECORDINGS = SHARED / "data" / "wire" / "anthropic.jsonl"
needs_recordings = pytest.mark.skipif(not RECORDINGS.exists(), reason="AFTERBAY_SHARED names no recordings")

FINISH = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "content_filter",
    "model_context_window_exceeded": "length",
}


def recorded(api: str = "anthropic.messages") -> list[dict[str, Any]]:
    if not RECORDINGS.exists():
        return []
    with RECORDINGS.open(encoding="utf-8") as lines:
        return [row for row in map(json.loads, lines) if row["api"] == api]


def is_sse(row: dict[str, Any]) -> bool:
    return str(row["response"]["body"]).startswith(("event:", "data:"))


def sse(raw: bytes) -> list[dict[str, Any]]:
    """An independent, slow reading of SSE: the data of every event as JSON."""
    found = []
    for block in re.split(r"\r?\n\r?\n", raw.decode()):
        data = "\n".join(line[5:].strip() for line in re.split(r"\r?\n", block) if line.startswith("data:"))
        if data and data != "[DONE]":
            found.append(json.loads(data))
    return found


def message_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Folds a stream's JSON into the whole message, as the documentation says clients do."""
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    for event in events:
        match event["type"]:
            case "message_start":
                message = dict(event["message"])
            case "content_block_start":
                blocks[event["index"]] = {**event["content_block"], "json": ""}
            case "content_block_delta":
                block, delta = blocks[event["index"]], event["delta"]
                for kind, key in (("text_delta", "text"), ("thinking_delta", "thinking")):
                    if delta["type"] == kind:
                        block[key] += delta[key]
                if delta["type"] == "signature_delta":
                    block["signature"] = delta["signature"]
                elif delta["type"] == "input_json_delta":
                    block["json"] += delta["partial_json"]
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= {k: v for k, v in event["usage"].items() if v is not None}
            case "error":
                message["error"] = event["error"]
    for block in blocks.values():
        if block["json"]:
            block["input"] = json.loads(block["json"])
    message["content"] = [blocks[index] for index in sorted(blocks)]
    return message


def check_grammar(raw: bytes) -> None:
    """Fails unless `raw` is a stream as documented."""
    assert violations("anthropic.messages", raw) == []


def parse_stream(raw: bytes, cuts: list[int] | None = None) -> tuple[list[Event], bool]:
    """The events of a stream whose bytes arrive cut at `cuts`, and whether it is complete."""
    parser, splitter, out = DIALECT.stream_parser("seed"), Splitter(), list[Event]()
    places = [0, *sorted(cut % (len(raw) + 1) for cut in cuts or []), len(raw)]
    for start, end in pairwise(places):
        for name, data in splitter.feed(raw[start:end])[1]:
            parser.push(name, data, out)
    for name, data in splitter.rest()[1]:
        parser.push(name, data, out)
    assert event_violations(out, ended=False) == []
    return out, parser.is_complete


def parse_any(row: dict[str, Any]) -> list[Event]:
    raw = row["response"]["body"].encode()
    return parse_stream(raw)[0] if is_sse(row) else DIALECT.parse_answer(raw, "seed")
