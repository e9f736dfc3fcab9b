"""Requests as the clients of the four protocols send them: path, headers and body."""

from __future__ import annotations

import json
from typing import Any

TOOLS = ("measure_depth", "open_gate")
_SCHEMA = {
    "type": "object",
    "properties": {"place": {"type": "string"}, "metres": {"type": "integer"}},
    "required": ["place", "metres"],
}


def path_of(protocol: str, model: str, *, stream: bool) -> str:
    """Where a client asks for an answer."""
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return {
        "openai.chat": "/v1/chat/completions",
        "openai.responses": "/v1/responses",
        "anthropic.messages": "/v1/messages",
        "gemini": f"/v1beta/models/{model}:{verb}",
    }[protocol]


def body_of(protocol: str, model: str, prompt: str, *, stream: bool, tools: bool = False) -> bytes:
    """A request with one question, and the tools if wanted."""
    body: dict[str, Any] = {"model": model}
    chosen = TOOLS if tools else ()
    match protocol:
        case "gemini":
            body = {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
            declared = [{"name": name, "description": name, "parameters": _SCHEMA} for name in chosen]
            body |= {"tools": [{"functionDeclarations": declared}]} if declared else {}
            return json.dumps(body).encode()
        case "openai.responses":
            body["input"] = prompt
            body["store"] = False
            named = [{"type": "function", "name": name, "description": name, "parameters": _SCHEMA} for name in chosen]
        case "anthropic.messages":
            body |= {"max_tokens": 500, "messages": [{"role": "user", "content": prompt}]}
            named = [{"name": name, "description": name, "input_schema": _SCHEMA} for name in chosen]
        case _:
            body["messages"] = [{"role": "user", "content": prompt}]
            functions = [{"name": name, "description": name, "parameters": _SCHEMA} for name in chosen]
            named = [{"type": "function", "function": one} for one in functions]
    if stream:
        body["stream"] = True
        body |= {"stream_options": {"include_usage": True}} if protocol == "openai.chat" else {}
    if named:
        body["tools"] = named
    return json.dumps(body).encode()


def prompt_of(first: tuple[str, ...], second: tuple[str, ...], say: str, *, tools: bool) -> str:
    """A question with the orders for both providers in it."""
    orders = [f"[[prime: {one}]]" for one in first] + [f"[[spare: {one}]]" for one in second]
    said = [f"[[call {name}]]" for name in TOOLS] if tools else [f"[[say {say}]]"]
    return " ".join([*orders, *said, "What do the gauges say?"])
