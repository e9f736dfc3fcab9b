"""One output item of a Responses stream while it arrives: its parts, its arguments, and what its end must equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec


class Text(msgspec.Struct, frozen=True):
    """A kind of text events: the list of parts it belongs to, the part's type, and the field with the whole text."""

    place: str
    kind: str
    field: str


TEXTS: Mapping[str, Text] = {
    "output_text": Text("content", "output_text", "text"),
    "refusal": Text("content", "refusal", "refusal"),
    "reasoning_text": Text("content", "reasoning_text", "text"),
    "reasoning_summary_text": Text("summary", "summary_text", "text"),
}
"""By the name between `response.` and `.delta` or `.done`."""

INPUTS: Mapping[str, tuple[str, str]] = {
    "function_call_arguments": ("function_call", "arguments"),
    "mcp_call_arguments": ("mcp_call", "arguments"),
    "custom_tool_call_input": ("custom_tool_call", "input"),
    "code_interpreter_call_code": ("code_interpreter_call", "code"),
}
"""Texts that belong to an item as a whole: the item's type, and the field with the whole text."""

PLACES: Mapping[str, tuple[str, str]] = {
    "content_part": ("content", "content_index"),
    "reasoning_summary_part": ("summary", "summary_index"),
    "reasoning_part": ("content", "content_index"),
}
"""Events of parts: the list they belong to, and the field with their number."""

INDEX: Mapping[str, str] = {"content": "content_index", "summary": "summary_index"}


class Part:
    """One part: what its deltas joined to, and the whole text that its `.done` told."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        self.whole: str | None = None
        self.is_open = True


class Item:
    """One output item."""

    def __init__(self, added: dict[str, Any]) -> None:
        self.id, self.type = added.get("id"), added.get("type")
        self.added = added
        self.done: dict[str, Any] | None = None
        self.parts: dict[str, list[Part]] = {"content": [], "summary": []}
        self.pieces: list[str] = []
        self.whole: str | None = None

    @property
    def input_field(self) -> str | None:
        """The field that holds the arguments of a call; None for other items."""
        return next((field for kind, field in INPUTS.values() if kind == self.type), None)

    def differences(self, done: dict[str, Any]) -> Iterator[str]:
        """Sentences: in what the item of `output_item.done` is not what the events before it told."""
        for field in ("id", "type", "call_id", "name"):
            if done.get(field) != self.added.get(field):
                yield f"its {field} was {self.added.get(field)!r} and is {done.get(field)!r}"
        if self.type in ("function_call", "custom_tool_call") and self.whole is None:
            yield f"its {self.input_field} were never said to be done"
        if self.whole is not None and self.input_field is not None and done.get(self.input_field) != self.whole:
            yield f"its {self.input_field} are not those of the events"
        for place, parts in self.parts.items():
            yield from self._parts_differ(place, parts, done.get(place))

    def _parts_differ(self, place: str, parts: list[Part], told: Any) -> Iterator[str]:
        listed = [part for part in told or () if isinstance(part, dict)] if isinstance(told, list) else []
        if self.type not in ("message", "reasoning") or (not parts and place == "summary" and listed):
            listed = listed if parts else []
        if len(listed) != len(parts):
            yield f"it has {len(listed)} parts of {place}, and the events told {len(parts)}"
            return
        for number, (part, said) in enumerate(zip(parts, listed, strict=True)):
            if part.is_open:
                yield f"part {number} of its {place} is still open"
            elif said.get("type") != part.kind or (part.whole is not None and text_of(said) != part.whole):
                yield f"part {number} of its {place} is not what the events told"


def text_of(part: dict[str, Any]) -> Any:
    """The text of a part of any type."""
    return part.get("refusal") if part.get("type") == "refusal" else part.get("text")
