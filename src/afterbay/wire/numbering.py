"""Cuts whole server-sent events apart and numbers them, so that a client can say which was its last one.

Source: WHATWG HTML, section 9.2 "Server-sent events": a field `id` sets the last event id, which a client sends as
`Last-Event-ID` when it comes back; of two in one event the later one counts, so the number is its last line.
"""

from __future__ import annotations

import re

from afterbay.wire import sse

_BLANK_LINE = re.compile(rb"(?:(?>\r\n|\n|\r)){2,}")
"""The end of an event. Atomic, or else a lone CR LF would be two ends of lines."""


def cut(whole: bytes) -> list[bytes]:
    """The blocks of bytes that hold whole events only; joined they are the same bytes."""
    blocks: list[bytes] = []
    at = 0
    for blank in _BLANK_LINE.finditer(whole):
        blocks.append(whole[at : blank.end()])
        at = blank.end()
    if at < len(whole):
        blocks.append(whole[at:])
    return blocks


def is_event(block: bytes) -> bool:
    """Whether a client sees an event in it: comments and blank lines are none."""
    return block.startswith(b"data:") or b"\ndata:" in block or bool(sse.decode(block))


def numbered(block: bytes, number: int) -> bytes:
    """The event with its number as its last line, which ends as the line before it does."""
    head = block.rstrip(b"\r\n")
    end = block[len(head) :]
    line_end = b"\r\n" if end.startswith(b"\r\n") else end[:1] or b"\n"
    return b"%b%bid: %d%b" % (head, line_end, number, end or b"\n\n")
