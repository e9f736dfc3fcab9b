"""Signs of an agent in a history of messages: that one asks at all, and that it goes round in circles.

Pure functions of what the client sent: nothing is remembered between requests, and a replay sees the same.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from afterbay.core.message import Message, Text, ToolResult, ToolUse
from afterbay.core.request import ChatRequest

WINDOW: Final = 12
"""Messages at the end of a history that are looked at."""
SAME_CALLS: Final = 3
"""So many calls of one tool with the same arguments are a circle; so are as many errors with the same words."""
_ERROR_CHARS: Final = 300


def is_agent(request: ChatRequest) -> bool:
    """Whether a program asks that calls tools in a loop: it offers tools, and one was called and answered."""
    return bool(request.tools) and any(
        isinstance(part, ToolResult) for message in request.messages[-WINDOW:] for part in message.parts
    )


def is_stalled(messages: tuple[Message, ...]) -> bool:
    """Whether the last turns repeat themselves: the same call with the same arguments, or the same error, three times.

    Only in a history that ends with a tool's result: what a person says then is new.
    """
    if not messages or not any(isinstance(part, ToolResult) for part in messages[-1].parts):
        return False
    calls: Counter[tuple[str, str]] = Counter()
    errors: Counter[str] = Counter()
    for message in messages[-WINDOW:]:
        if message.role == "user" and any(isinstance(part, Text) and part.text.strip() for part in message.parts):
            calls.clear()
            errors.clear()
        for part in message.parts:
            if isinstance(part, ToolUse):
                calls[(part.name, _arguments(part.arguments))] += 1
            elif isinstance(part, ToolResult) and (error := _error(part)):
                errors[error] += 1
    return max(calls.values(), default=0) >= SAME_CALLS or max(errors.values(), default=0) >= SAME_CALLS


def _arguments(text: str) -> str:
    """Arguments without the order of keys and the spaces, which models vary."""
    try:
        return msgspec.json.encode(msgspec.json.decode(text), order="sorted").decode()
    except msgspec.DecodeError:
        return text.strip()


def _error(result: ToolResult) -> str:
    """The words of a result that is an error; empty: it is none."""
    text = "".join(part.text for part in result.parts if isinstance(part, Text))[:_ERROR_CHARS].strip()
    if result.is_error:
        return text or "error"
    begin = text[:60].lower()
    return text if begin.startswith(("error", "traceback", "exception", "fatal:")) or "error:" in begin else ""
