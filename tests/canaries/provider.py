"""A provider that quotes secrets, its client's and its own, in everything that it says."""

from __future__ import annotations

import json
from typing import Any

from tests.canaries.seeds import CONTENT, MISPLACED

from afterbay.testing.replay import Answer, Received

STREAM = {"content-type": "text/event-stream"}
HEADERS = {
    "set-cookie": f"session={MISPLACED['upstream_cookie']}",
    "x-request-id": MISPLACED["upstream_header"],
    "www-authenticate": f"Bearer realm={MISPLACED['upstream_header']}",
}


def answer(request: Received) -> Answer:
    """Does what the model's name says."""
    name = request.path if "gemini" in request.path else _model(request.body)
    quoted = " ".join(request.headers.values()) + request.path
    for status in (400, 401, 403, 404, 429, 500, 529):
        if f"s{status}" in name:
            error = {
                "message": f"{quoted} {MISPLACED['upstream_error']}",
                "code": MISPLACED["upstream_code"],
                "type": "x",
            }
            return Answer(status, HEADERS | {"content-type": "application/json"}, json.dumps({"error": error}).encode())
    if "redirect" in name:
        return Answer(302, HEADERS | {"location": f"https://elsewhere/?key={MISPLACED['upstream_location']}"})
    if "reset" in name:
        return Answer(then="reset", headed=False)
    if "silent" in name:
        return Answer(then="hang", headed=False)
    if "html" in name:
        return Answer(headers=HEADERS, body=f"<html>{quoted} {MISPLACED['upstream_html']}</html>".encode())
    stream = b"".join(_chunk(delta) for delta in _deltas(name))
    if "cut" in name:
        return Answer(headers=STREAM | HEADERS, body=stream, then="reset")
    if "stall" in name:
        return Answer(headers=STREAM | HEADERS, body=stream, then="hang")
    if "event" in name:
        event = {"error": {"message": f"{quoted} {MISPLACED['upstream_event']}"}}
        return Answer(headers=STREAM | HEADERS, body=stream + f"data: {json.dumps(event)}\n\n".encode())
    if "stream" in name:
        end = _chunk({}, MISPLACED["upstream_reason"] if "odd" in name else "stop") + b"data: [DONE]\n\n"
        return Answer(headers=STREAM | HEADERS, body=stream + end)
    return Answer(headers=HEADERS | {"content-type": "application/json"}, body=_whole(name))


def _model(body: bytes) -> str:
    try:
        return str(json.loads(body).get("model"))
    except (ValueError, AttributeError):
        return ""


def _text(name: str) -> str:
    if "kept" in name:
        return CONTENT["kept_answer"]
    if "keyed" in name:
        return CONTENT["keyed_answer"]
    return f"{CONTENT['answered']} {MISPLACED['upstream_text']}"


def _call(name: str) -> list[dict[str, Any]]:
    if "tool" not in name:
        return []
    arguments = f'{{"key": "{MISPLACED["upstream_arguments"]}"'  # not JSON: what is wrong with it is told
    return [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": arguments}}]


def _deltas(name: str) -> list[dict[str, Any]]:
    calls = _call(name)
    return [
        {"role": "assistant", "content": "Once "},
        {"reasoning_content": CONTENT["reasoned"]},
        {"content": _text(name)},
        *([{"tool_calls": calls}] if calls else []),
    ]


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode() + b"\n\n"


def _whole(name: str) -> bytes:
    calls = _call(name)
    message: dict[str, Any] = {"role": "assistant", "content": _text(name)} | ({"tool_calls": calls} if calls else {})
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    return json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()
