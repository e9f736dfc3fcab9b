"""A stream's own words, said oddly: legal ways that few providers use, and mistakes that some make. Pure.

What is legal must change nothing for a client; what is a mistake must not become one of the gateway's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from afterbay.core.event import Event, ToolCallDelta, ToolCallStarted
from afterbay.emulate.plan import Lines, Plan

COMMENT = b": STILL PROCESSING\n\n"
_BLANK: re.Pattern[bytes] = re.compile(rb"^(data|event): ", re.MULTILINE)
_EVENT = re.compile(rb".+?(?:\r\n\r\n|\n\n)", re.DOTALL)
_UNKNOWN: Mapping[str, bytes] = MappingProxyType(
    {
        "openai.chat": b'data: {"id":"chatcmpl-0","object":"future.thing","created":0,"model":"m","choices":[]}\n\n',
        "gemini": b'data: {"futureThing":{"kind":"unheard of"}}\n\n',
    }
)
_UNKNOWN_EVENT = b'event: future.thing\ndata: {"type":"future.thing","kind":"unheard of"}\n\n'
_ABSURD: Mapping[str, bytes] = MappingProxyType({"negative": b"-7", "huge": b"%d" % 10**12})
_LAST_COUNT = re.compile(rb'(?<="message_delta")(?P<before>.*?),"usage":\{[^{}]*\}')
_COUNT = re.compile(rb'("\w*(?:tokens|TokenCount)":)\d+')


def counted(data: bytes, plan: Plan) -> bytes:
    """The bytes with all their token counts as the plan has them told."""
    if plan.no_usage and b'"message_delta"' in data:
        return _LAST_COUNT.sub(rb"\g<before>", data)  # the renderer of Messages always writes one
    absurd = _ABSURD.get(plan.usage_as)
    return data if absurd is None else _COUNT.sub(rb"\g<1>" + absurd, data)


def in_order(pieces: list[list[Event]], plan: Plan) -> list[list[Event]]:
    """The pieces; those of several tool calls by turns where the plan says so, each call's own in order."""
    if not plan.interleave:
        return pieces
    by_call: dict[int, list[list[Event]]] = {}
    others: list[list[Event]] = []
    for piece in pieces:
        calls = [event.call for event in piece if isinstance(event, ToolCallStarted | ToolCallDelta)]
        (by_call.setdefault(calls[0], []) if calls else others).append(piece)
    mixed: list[list[Event]] = []
    while any(by_call.values()):
        mixed += [queue.pop(0) for queue in by_call.values() if queue]
    return others + mixed


def around(chunk: bytes, number: int, plan: Plan, dialect: str) -> bytes:
    """Piece `number` with what comes before, in or after it."""
    if number == plan.huge_at and chunk:
        chunk = chunk.replace(b"{", b'{"padding":"%s",' % (b"x" * plan.huge_bytes), 1)
    if number == plan.twice_at:
        chunk += chunk
    if number == plan.unknown_at:
        chunk = _UNKNOWN.get(dialect, _UNKNOWN_EVENT) + chunk
    if number == plan.comment_at:
        chunk = COMMENT * 3 + chunk
    return chunk


def ended(final: bytes, last: bytes, plan: Plan) -> bytes:
    """The last events: without the very last, or with a piece of output where there should be none any more."""
    events: list[bytes] = _EVENT.findall(final)
    if plan.no_terminal:
        return b"".join(events[:-1])
    if plan.after_end and len(events) > 1 and b"response.completed" not in final:
        return b"".join(events[:-1]) + last + events[-1]
    return final + last if plan.after_end else final


def written(chunk: bytes, lines: Lines) -> bytes:
    """Bytes of a stream with other line ends or blanks. A BOM is for the stream's first bytes only: see `begin`."""
    match lines:
        case "crlf":
            return chunk.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        case "cr":
            return chunk.replace(b"\r\n", b"\n").replace(b"\n", b"\r")
        case "tight":
            return _BLANK.sub(rb"\1:", chunk)
        case _:
            return chunk


def begin(lines: Lines) -> bytes:
    """What comes before the stream's first event."""
    return b"\xef\xbb\xbf" if lines == "bom" else b""
