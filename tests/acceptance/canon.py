"""One shape for an answer, whatever protocol it came in, so that two can be compared.

`Canon` has what the gateway promises to keep. The buckets of `usage` are totals in one meaning for all protocols:
`input` with everything read, cached or not; `output` with everything written, reasoning included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Canon:
    """What an answer says.

    `error` is the class of its error: `invalid`, `not_found`, `limit`, `ours`, or None; `message` is its text.
    """

    text: str = ""
    reasoning: str = ""
    tools: list[tuple[str, Any]] = field(default_factory=list)
    tool_ids: list[str] = field(default_factory=list)
    finish: str | None = None
    usage: dict[str, int | None] = field(default_factory=dict)
    error: str | None = None
    message: str = ""


def error_class(status: int) -> str:
    """The class of an HTTP status. Refused credentials of the gateway are the gateway's fault, as any 5xx."""
    if status == 404:
        return "not_found"
    if status == 429:
        return "limit"
    return "invalid" if 400 <= status < 500 else "ours"


def difference(wanted: Canon, got: Canon, *, has_reasoning_usage: bool, has_cache_write: bool) -> list[str]:
    """The names of the fields in which `got` is not what was wanted, each with both values."""
    if wanted.error is not None or got.error is not None:
        pairs = {"error": (wanted.error, got.error)}
        if wanted.error == got.error and (not got.message or wanted.message not in got.message):
            pairs["message"] = (wanted.message or "a message", got.message)
    else:
        pairs = {name: (getattr(wanted, name), getattr(got, name)) for name in ("text", "reasoning", "tools", "finish")}
        good_ids = len(set(got.tool_ids)) == len(got.tools) and all(got.tool_ids)
        pairs["tool_ids"] = (True, good_ids)
        names = ["input", "output", "cache_read"]
        names += ["reasoning"] if has_reasoning_usage else []
        names += ["cache_write"] if has_cache_write else []
        for name in names if wanted.usage else ():
            pairs[f"usage.{name}"] = (wanted.usage.get(name) or 0, got.usage.get(name) or 0)
    return [f"{name}: {told(a)} -> {told(b)}" for name, (a, b) in pairs.items() if a != b]


def told(value: object) -> str:
    """A value, short enough for a line."""
    text = repr(value)
    return text if len(text) < 160 else f"{text[:90]} ... {text[-60:]}"
