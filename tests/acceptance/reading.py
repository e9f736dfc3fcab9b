"""Answers as the official SDKs of the two client protocols hand them over, brought into the common shape."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2 as httpx
import openai

from acceptance.canon import Canon, error_class
from acceptance.recorded import anthropic_usage, openai_usage, read_anthropic, read_events

HELLO = [{"role": "user", "content": "Hello"}]
_OPENAI_FINISH = {"stop": "stop", "length": "length", "tool_calls": "tools", "content_filter": "filter"}
_ANTHROPIC_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "tool_use": "tools",
    "refusal": "filter",
    "pause_turn": "pause",
}


def ask_openai(client: openai.OpenAI, model: str, *, stream: bool) -> Canon:
    """Asks for `model` and reads the answer."""
    options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    try:
        answer = client.chat.completions.create(model=model, messages=HELLO, **options)  # type: ignore[call-overload]
        return _openai_stream(answer) if stream else _openai_whole(answer)
    except openai.APIStatusError as error:
        return Canon(error=error_class(error.status_code), message=_message(error.body))
    except openai.APIError as error:  # an error event inside the stream
        return Canon(error="ours", message=error.message)


def _message(body: object) -> str:
    found = body.get("message") if isinstance(body, dict) else ""
    return found if isinstance(found, str) else ""


def _openai_whole(answer: Any) -> Canon:
    choice = answer.choices[0]
    canon = Canon(text=(choice.message.content or "") + (choice.message.refusal or ""))
    canon.reasoning = getattr(choice.message, "reasoning_content", None) or ""
    canon.tools = [(c.function.name, json.loads(c.function.arguments)) for c in choice.message.tool_calls or ()]
    canon.tool_ids = [call.id for call in choice.message.tool_calls or ()]
    canon.finish = _OPENAI_FINISH[choice.finish_reason] if choice.finish_reason else None
    canon.usage = openai_usage(answer.usage.model_dump()) if answer.usage else {}
    return canon


def _openai_stream(chunks: Any) -> Canon:
    canon, calls = Canon(), dict[int, list[str]]()
    for chunk in chunks:
        for choice in chunk.choices:
            if choice.index != 0:
                continue
            assert canon.finish is None or not choice.delta.content, "text after the finish reason"
            canon.text += (choice.delta.content or "") + (choice.delta.refusal or "")
            canon.reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            for call in choice.delta.tool_calls or ():
                kept = calls.setdefault(call.index, ["", "", ""])
                kept[0] += call.id or ""
                kept[1] += (call.function and call.function.name) or ""
                kept[2] += (call.function and call.function.arguments) or ""
            if choice.finish_reason:
                canon.finish = _OPENAI_FINISH[choice.finish_reason]
        if chunk.usage:
            canon.usage = openai_usage(chunk.usage.model_dump())
    canon.tools = [(name, json.loads(arguments or "{}")) for _, name, arguments in calls.values()]
    canon.tool_ids = [call[0] for call in calls.values()]
    return canon


def ask_anthropic(client: anthropic.Anthropic, model: str, *, stream: bool, folds: bool = True) -> Canon:
    """Asks for `model` and reads the answer: a stream by the SDK's own folding helper, or by hand if not `folds`."""
    try:
        if stream and not folds:
            return _anthropic_raw(client, model)
        if stream:
            with client.messages.stream(model=model, messages=HELLO, max_tokens=1000) as answer:  # type: ignore[arg-type]
                return _anthropic_message(answer.get_final_message())
        return _anthropic_message(client.messages.create(model=model, messages=HELLO, max_tokens=1000))  # type: ignore[arg-type]
    except anthropic.APIStatusError as error:
        body: Any = error.body
        inner = body.get("error", {}) if isinstance(body, dict) else {}
        return Canon(error=error_class(error.status_code), message=_message(inner))


def _anthropic_raw(client: anthropic.Anthropic, model: str) -> Canon:
    body = {"model": model, "messages": HELLO, "max_tokens": 1000, "stream": True}
    answer = client.post("/v1/messages", body=body, cast_to=httpx.Response)
    return read_anthropic(list(read_events(answer.text)))


def _anthropic_message(message: Any) -> Canon:
    canon = Canon(finish=_ANTHROPIC_FINISH[message.stop_reason])
    for block in message.content:
        if block.type == "text":
            canon.text += block.text
        elif block.type == "thinking":
            canon.reasoning += block.thinking
        elif block.type == "tool_use":
            canon.tools.append((block.name, block.input))
            canon.tool_ids.append(block.id)
    canon.usage = anthropic_usage(message.usage.model_dump())
    return canon
