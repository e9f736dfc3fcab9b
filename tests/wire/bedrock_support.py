"""What the tests of the Converse dialect share: recordings, and streams cut anywhere."""

from __future__ import annotations

import base64
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from afterbay.core.event import Event
from afterbay.wire.aws_stream import FrameSplitter, event
from afterbay.wire.bedrock import DIALECT

SHARED = Path(os.environ.get("AFTERBAY_SHARED") or Path(__file__).parents[2] / ".." / "shared")
RECORDINGS = SHARED / "data" / "wire" / "bedrock.jsonl"
needs_recordings = pytest.mark.skipif(not RECORDINGS.exists(), reason="AFTERBAY_SHARED names no recordings")
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def recorded() -> list[dict[str, Any]]:
    if not RECORDINGS.exists():
        return []
    with RECORDINGS.open(encoding="utf-8") as lines:
        rows = list(map(json.loads, lines))
    return [row for row in rows if row["api"] in ("bedrock.converse", "bedrock.converseStream")]


def body_of(row: dict[str, Any]) -> bytes:
    answer = row["response"]
    encoded = answer.get("body_encoding") == "base64"
    return base64.b64decode(answer["body"]) if encoded else str(answer["body"]).encode()


def frames(*events: tuple[str, Any]) -> bytes:
    """A stream of these events."""
    return b"".join(event(name, json.dumps(payload).encode()) for name, payload in events)


def parse_stream(raw: bytes, cuts: list[int] | None = None) -> tuple[list[Event], bool]:
    """The events of a stream whose bytes arrive cut at `cuts`, and whether it is complete."""
    parser, splitter, out = DIALECT.stream_parser("seed"), FrameSplitter(), list[Event]()
    places = [0, *sorted(cut % (len(raw) + 1) for cut in cuts or []), len(raw)]
    for start, end in pairwise(places):
        for name, data in splitter.feed(raw[start:end])[1]:
            parser.push(name, data, out)
    return out, parser.is_complete


def parse_any(row: dict[str, Any]) -> list[Event]:
    raw = body_of(row)
    return parse_stream(raw)[0] if "events" in row["response"] else DIALECT.parse_answer(raw, "seed")
