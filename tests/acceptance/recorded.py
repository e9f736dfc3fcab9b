"""Recorded exchanges, and what each answer says: read here by hand, with none of the code under test."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acceptance.canon import Canon, error_class

SHARED = Path(os.environ.get("AFTERBAY_SHARED") or Path(__file__).parents[2].parent / "shared") / "data" / "wire"

COUNTS = {
    "openai.chat": 68,
    "anthropic.messages": 153,
    "gemini.generateContent": 63,
    "gemini.streamGenerateContent": 46,
}
"""How many exchanges of each kind there are; fewer means that something was not read."""

_OPENAI_FINISH = {"stop": "stop", "length": "length", "tool_calls": "tools", "content_filter": "filter"}
_ANTHROPIC_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "tool_use": "tools",
    "refusal": "filter",
    "pause_turn": "pause",
}
_GEMINI_FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "filter"}


def exchanges(api: str) -> list[dict[str, Any]]:
    """All recorded exchanges of an API, in the order of the file."""
    path = SHARED / f"{api.partition('.')[0]}.jsonl"
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [row for row in rows if row["api"] == api]


def content_type(row: dict[str, Any]) -> str:
    """The type that the provider said; some recorders did not keep it."""
    kept = row["response"]["headers"].get("content-type")
    is_stream = row["response"]["body"].lstrip().startswith(("data:", "event:", ":"))
    return str(kept or ("text/event-stream" if is_stream else "application/json"))


def expectation(row: dict[str, Any]) -> Canon:
    """What the recorded answer says."""
    status, body = row["response"]["status"], row["response"]["body"]
    if status != 200:
        if status in (401, 403):  # its text may quote the key: the gateway says it in its own words
            return Canon(error="ours")
        return Canon(error=error_class(status), message=json.loads(body)["error"]["message"])
    match row["api"]:
        case "openai.chat":
            return _openai(list(read_events(body)))
        case "anthropic.messages":
            return read_anthropic(list(read_events(body)))
        case _:
            return _gemini(list(read_events(body)))


def read_events(body: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a whole answer, of an event stream, or of Google's array."""
    if body.lstrip()[:1] in ("{", "["):
        whole = json.loads(body)
        yield from whole if isinstance(whole, list) else [whole]
        return
    for block in body.replace("\r\n", "\n").split("\n\n"):
        lines = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        data = "\n".join(lines)
        if data and data != "[DONE]":
            yield json.loads(data)


def _openai(events: list[dict[str, Any]]) -> Canon:
    canon = Canon()
    calls: dict[int, list[str]] = {}
    for event in events:
        for choice in event.get("choices", ()):
            if choice.get("index", 0) != 0:
                continue
            said = choice.get("message") or choice.get("delta") or {}
            canon.text += (said.get("content") or "") + (said.get("refusal") or "")
            for place, call in enumerate(said.get("tool_calls") or ()):
                kept = calls.setdefault(call.get("index", place), ["", "", ""])
                function = call["function"]
                kept[0] = kept[0] or call.get("id") or ""
                kept[1] += function.get("name") or ""
                kept[2] += function.get("arguments") or ""
            if choice.get("finish_reason"):
                canon.finish = _OPENAI_FINISH[choice["finish_reason"]]
        if event.get("usage"):
            canon.usage = openai_usage(event["usage"])
    canon.tools = [(name, json.loads(arguments or "{}")) for _, name, arguments in calls.values()]
    return canon


def openai_usage(usage: dict[str, Any]) -> dict[str, int | None]:
    """OpenAI's usage in the common buckets: its totals hold the cached and the reasoning tokens already."""
    read, written = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    return {
        "input": usage["prompt_tokens"],
        "output": usage["completion_tokens"],
        "cache_read": read.get("cached_tokens"),
        "reasoning": written.get("reasoning_tokens"),
    }


def read_anthropic(events: list[dict[str, Any]]) -> Canon:
    """What the events of one Anthropic answer say."""
    canon, usage = Canon(), dict[str, Any]()
    calls: dict[int, list[Any]] = {}
    for event in events:
        kind = event["type"]
        if kind == "message":
            for index, block in enumerate(event["content"]):
                _anthropic_block(canon, calls, index, block)
        elif kind == "content_block_start":
            _anthropic_block(canon, calls, event["index"], event["content_block"])
        elif kind == "content_block_delta":
            delta = event["delta"]
            canon.text += delta.get("text", "")
            canon.reasoning += delta.get("thinking", "")
            if event["index"] in calls:
                calls[event["index"]][1] += delta.get("partial_json", "")
        ended = event if kind == "message" else event.get("delta") or {}
        if ended.get("stop_reason"):
            canon.finish = _ANTHROPIC_FINISH[ended["stop_reason"]]
        for part in (event.get("message", {}).get("usage"), event.get("usage")):
            usage.update({name: value for name, value in (part or {}).items() if value is not None})
    canon.tools = [(name, json.loads(text) if text else given) for name, text, given in calls.values()]
    canon.usage = anthropic_usage(usage) if usage else {}
    return canon


def _anthropic_block(canon: Canon, calls: dict[int, list[Any]], index: int, block: dict[str, Any]) -> None:
    if block["type"] == "text":
        canon.text += block["text"]
    elif block["type"] == "thinking":
        canon.reasoning += block["thinking"]
    elif block["type"] == "tool_use":
        calls[index] = [block["name"], "", block["input"]]


def anthropic_usage(usage: dict[str, Any]) -> dict[str, int | None]:
    """Anthropic's usage in the common buckets: its input leaves out what the cache did."""
    read, write = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    return {
        "input": usage.get("input_tokens", 0) + read + write,
        "output": usage.get("output_tokens", 0),
        "cache_read": read,
        "cache_write": write,
        "reasoning": (usage.get("output_tokens_details") or {}).get("thinking_tokens"),
    }


def _gemini(events: list[dict[str, Any]]) -> Canon:
    canon = Canon()
    for event in events:
        for candidate in event.get("candidates", ())[:1]:
            for part in candidate.get("content", {}).get("parts", ()):
                if part.get("thought"):
                    canon.reasoning += part.get("text", "")
                elif "functionCall" in part:
                    canon.tools.append((part["functionCall"]["name"], part["functionCall"].get("args") or {}))
                else:
                    canon.text += part.get("text", "")
            if candidate.get("finishReason"):
                canon.finish = _GEMINI_FINISH[candidate["finishReason"]]
        if event.get("usageMetadata"):
            canon.usage = _gemini_usage(event["usageMetadata"])
    if canon.tools and canon.finish == "stop":  # Google says STOP for calls too; clients of others wait for their word
        canon.finish = "tools"
    return canon


def _gemini_usage(usage: dict[str, Any]) -> dict[str, int | None]:
    thoughts = usage.get("thoughtsTokenCount") or 0
    return {
        "input": usage.get("promptTokenCount", 0) + (usage.get("toolUsePromptTokenCount") or 0),
        "output": (usage.get("candidatesTokenCount") or 0) + thoughts,
        "cache_read": usage.get("cachedContentTokenCount") or 0,
        "reasoning": thoughts,
    }
