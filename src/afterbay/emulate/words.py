"""Words as tokens. The emulator counts what it reads and writes by one rule, so its usage is exact, not estimated.

A piece is a word with the white space before it, or one character of a script that has no spaces. Joined, the pieces
are the text. Media count `MEDIA_TOKENS` each: a convention of the emulator, not a measurement.
"""

from __future__ import annotations

import re

from afterbay.core.message import Document, Message, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest

MEDIA_TOKENS = 256
_DENSE = "\u2e80-\u9fff\uac00-\ud7af\uff00-\uffef"
_PIECE = re.compile(rf"\s*(?:[{_DENSE}]|[^\s{_DENSE}]+)|\s+$")
_CHARS_PER_ARGUMENT_PIECE = 8


def pieces(text: str) -> list[str]:
    """The text in pieces of one token each."""
    return _PIECE.findall(text)


def argument_pieces(json: str) -> list[str]:
    """JSON text in pieces of one token each; words would leave most of it whole."""
    step = _CHARS_PER_ARGUMENT_PIECE
    return [json[at : at + step] for at in range(0, len(json), step)]


def count(text: str) -> int:
    """Tokens of a text."""
    return len(pieces(text))


def count_request(request: ChatRequest) -> int:
    """Input tokens of a request: messages, tools and schemas."""
    total = sum(_count_message(message) for message in request.messages)
    for tool in request.tools:
        total += count(tool.name) + count(tool.description or "") + len(argument_pieces(tool.schema.decode()))
    if request.response_format is not None and request.response_format.schema is not None:
        total += len(argument_pieces(request.response_format.schema.decode()))
    return total


def _count_message(message: Message) -> int:
    total = 0
    for part in message.parts:
        match part:
            case Text() | Thinking():
                total += count(part.text)
            case ToolUse():
                total += count(part.name) + len(argument_pieces(part.arguments))
            case ToolResult():
                total += sum(count(one.text) if isinstance(one, Text) else MEDIA_TOKENS for one in part.parts)
            case Document() if part.text is not None:
                total += count(part.text)
            case _:
                total += MEDIA_TOKENS
    return total
