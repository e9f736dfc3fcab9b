"""What a client sees of an answer, read from its bytes without the gateway's own parsers."""

from __future__ import annotations

import json
from typing import Any

import msgspec


class Seen(msgspec.Struct):
    """One answer. `broke`: the connection ended before the answer did; `errors`: error events; `has_end`: the
    protocol's sign of a proper end came; `tools`: the arguments of each call, as text."""

    status: int = 0
    headers: dict[str, str] = {}
    body: bytes = b""
    broke: str = ""
    elapsed_s: float = 0.0
    text: str = ""
    finish: str = ""
    tools: list[str] = []
    errors: list[dict[str, Any]] = []
    has_end: bool = False
    unreadable: str = ""


def read(seen: Seen, protocol: str, *, stream: bool) -> Seen:
    """Fills in what the bytes say."""
    seen.text, seen.finish, seen.tools, seen.errors, seen.has_end = "", "", [], [], False
    try:
        if stream and seen.status == 200:
            _stream(seen, protocol)
        elif seen.body:
            _whole(seen, protocol, json.loads(seen.body))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        seen.unreadable = f"{type(error).__name__}: {error}"
    return seen


def _stream(seen: Seen, protocol: str) -> None:
    tools: dict[Any, str] = {}
    for block in seen.body.decode().replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff").split("\n\n"):
        data = "\n".join(line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:"))
        if not data:
            continue
        if data == "[DONE]":
            seen.has_end = True
            continue
        _READERS[protocol](seen, json.loads(data), tools)
    seen.tools = list(tools.values())


def _chat(seen: Seen, event: dict[str, Any], tools: dict[Any, str]) -> None:
    if "error" in event:
        seen.errors.append(event["error"])
    for choice in event.get("choices") or ():
        delta = choice.get("delta") or {}
        seen.text += delta.get("content") or ""
        seen.finish = seen.finish or choice.get("finish_reason") or ""
        for call in delta.get("tool_calls") or ():
            tools[call["index"]] = tools.get(call["index"], "") + (call["function"].get("arguments") or "")


def _messages(seen: Seen, event: dict[str, Any], tools: dict[Any, str]) -> None:
    match event["type"]:
        case "error":
            seen.errors.append(event["error"])
        case "content_block_delta":
            delta = event["delta"]
            seen.text += delta.get("text", "")
            if "partial_json" in delta:
                tools[event["index"]] = tools.get(event["index"], "") + delta["partial_json"]
        case "message_delta":
            seen.finish = event["delta"].get("stop_reason") or seen.finish
        case "message_stop":
            seen.has_end = True


def _responses(seen: Seen, event: dict[str, Any], tools: dict[Any, str]) -> None:
    match event["type"]:
        case "error":
            seen.errors.append(event.get("error") or event)
        case "response.failed":
            seen.errors.append(event["response"]["error"])
        case "response.output_text.delta":
            seen.text += event["delta"]
        case "response.function_call_arguments.delta":
            tools[event["item_id"]] = tools.get(event["item_id"], "") + event["delta"]
        case "response.completed" | "response.incomplete":
            seen.has_end = True
            seen.finish = _responses_finish(event["response"])


def _responses_finish(response: dict[str, Any]) -> str:
    return str((response.get("incomplete_details") or {}).get("reason") or response["status"])


def _gemini(seen: Seen, event: dict[str, Any], tools: dict[Any, str]) -> None:
    if "error" in event:
        seen.errors.append(event["error"])
    for candidate in event.get("candidates") or ():
        for part in (candidate.get("content") or {}).get("parts") or ():
            seen.text += part.get("text", "") if not part.get("thought") else ""
            if "functionCall" in part:
                tools[len(tools)] = json.dumps(part["functionCall"].get("args"))
        if candidate.get("finishReason"):
            seen.finish, seen.has_end = candidate["finishReason"], True


_READERS = {"openai.chat": _chat, "anthropic.messages": _messages, "openai.responses": _responses, "gemini": _gemini}


def _whole(seen: Seen, protocol: str, body: dict[str, Any]) -> None:
    if seen.status != 200:
        seen.errors.append(body["error"])
        return
    seen.has_end = True
    match protocol:
        case "openai.chat":
            choice = body["choices"][0]
            seen.text, seen.finish = choice["message"].get("content") or "", choice["finish_reason"]
            seen.tools = [call["function"]["arguments"] for call in choice["message"].get("tool_calls") or ()]
        case "anthropic.messages":
            seen.finish = body["stop_reason"]
            seen.text = "".join(block.get("text", "") for block in body["content"])
            seen.tools = [json.dumps(block["input"]) for block in body["content"] if block["type"] == "tool_use"]
        case "openai.responses":
            seen.finish = _responses_finish(body)
            for item in body["output"]:
                seen.text += "".join(part.get("text", "") for part in item.get("content") or ())
                seen.tools += [item["arguments"]] if item["type"] == "function_call" else []
        case _:
            tools: dict[Any, str] = {}
            _gemini(seen, body, tools)
            seen.tools = list(tools.values())


def message_of(error: dict[str, Any]) -> str:
    """What an error says."""
    return str(error.get("message", ""))


def is_enveloped(error: Any, protocol: str) -> bool:
    """Whether an error has the fields that the protocol's SDKs look for."""
    wanted = {"gemini": ("code", "message", "status"), "openai.responses": ("message",)}
    return isinstance(error, dict) and all(name in error for name in wanted.get(protocol, ("type", "message")))
