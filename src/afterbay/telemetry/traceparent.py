"""The `traceparent` header: W3C Trace Context, level 1 (w3.org/TR/trace-context-1, 2021-11-23, section 3.2)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

_SHAPE: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 1


class Traceparent(msgspec.Struct, frozen=True):
    """Where a request stands in its caller's trace. Ids are never zero."""

    trace_id: int
    span_id: int
    sampled: bool


def parse(header: str | None) -> Traceparent | None:
    """The header's meaning, or None for what the standard says to ignore: another shape, zero ids, version ff.

    A version above 00 is read as 00, whatever follows after another dash.
    """
    found = _SHAPE.fullmatch(header.strip(" \t")) if header else None
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    trace_id, span_id = int(trace, 16), int(span, 16)
    if version == "ff" or (version == "00" and more) or not trace_id or not span_id:
        return None
    return Traceparent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def render(parent: Traceparent) -> str:
    """The header for a trace, version 00; flags other than `sampled` are not passed on, as the standard asks."""
    return f"00-{parent.trace_id:032x}-{parent.span_id:016x}-{int(parent.sampled):02x}"
