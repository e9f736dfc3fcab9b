"""Handwritten streams of the three providers: a beginning with some text, and a proper end."""

from __future__ import annotations

import json
from typing import Any

from afterbay.testing.replay import Received

TEXT = "Grüße vom Fluß"


def _openai(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _anthropic(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def _gemini(text: str, **fields: Any) -> bytes:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **fields}
    return b"data: " + json.dumps({"candidates": [candidate], "modelVersion": "m"}).encode() + b"\r\n\r\n"


_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}

BEGIN = {
    "openai": _openai({"role": "assistant", "content": ""}) + _openai({"content": TEXT}),
    "anthropic": _anthropic("message_start", message=_MESSAGE)
    + _anthropic("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + _anthropic("content_block_delta", index=0, delta={"type": "text_delta", "text": TEXT}),
    "google": _gemini(TEXT),
}
SILENT = {
    "openai": _openai({"role": "assistant", "content": ""}),
    "anthropic": _anthropic("message_start", message=_MESSAGE),
    "google": b": nothing yet\r\n\r\n",
}
END = {
    "openai": _openai({}, "stop") + b"data: [DONE]\n\n",
    "anthropic": _anthropic("content_block_stop", index=0)
    + _anthropic("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 4})
    + _anthropic("message_stop"),
    "google": _gemini("", finishReason="STOP"),
}
MORE = {
    "openai": _openai({"content": "."}),
    "anthropic": _anthropic("content_block_delta", index=0, delta={"type": "text_delta", "text": "."}),
    "google": _gemini("."),
}


def dialect_of(request: Received) -> str:
    """Which provider a request is meant for."""
    if request.path.startswith("/v1/chat"):
        return "openai"
    return "anthropic" if request.path.startswith("/v1/messages") else "google"


def providers(url: str, suffix: str = "") -> dict[str, Any]:
    """A configuration's providers, all at one address."""
    return {
        f"openai{suffix}": {"kind": "openai", "base_url": f"{url}/v1", "api_key": "sk-up"},
        f"anthropic{suffix}": {"kind": "anthropic", "base_url": url, "api_key": "sk-up"},
        f"google{suffix}": {"kind": "gemini", "base_url": url, "api_key": "sk-up"},
    }
