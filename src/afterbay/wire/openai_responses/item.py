"""Items of a streamed answer: each knows the events of its beginning, its growth and its end.

A step is an event's name and its fields; the renderer numbers and writes it. Ending an item twice gives nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import msgspec

from afterbay.wire.openai_responses.custom import input_of
from afterbay.wire.openai_responses.response import (
    call_item,
    custom_call_item,
    message_item,
    reasoning_item,
    refusal_part,
    text_part,
)

Step: TypeAlias = tuple[str, dict[str, Any]]

_HOT = (
    b"event: response.output_text.delta\n"
    b'data: {"type":"response.output_text.delta","item_id":%b,"output_index":%d,"content_index":%d,'
    b'"logprobs":[],"delta":'
)

_encode = msgspec.json.Encoder().encode


class Item(Protocol):
    """What all items have."""

    id: str
    ended: bool

    def shown(self) -> dict[str, Any]:
        """The item as it stands in `output`."""

    def end(self, status: str) -> list[Step]:
        """The events of its end."""


class MessageItem:
    """What the model says: parts of text and of refusal, one after the other."""

    def __init__(self, item_id: str, place: int) -> None:
        self.id, self._place = item_id, place
        self.ended = False
        self.pieces: list[str] = []  # of the open part
        self.is_told = False  # whether the whole text of the open part was told already
        self._content: list[dict[str, Any]] = []
        self._offset = 0
        self._refuses: bool | None = None  # of the open part; None: none is open
        self._status = "in_progress"

    @classmethod
    def reopened(
        cls,
        item_id: str,
        place: int,
        content: list[dict[str, Any]],
        part: Mapping[str, Any] | None,
        pieces: list[str],
        *,
        index: int,
        is_told: bool,
    ) -> MessageItem:
        """A message that somebody else began: its parts that are whole, and the pieces of the open one, if any is.

        `index`: what the open part was numbered; Bedrock counts those of all items in one row.
        """
        item = cls(item_id, place)
        item._content = content
        if part is not None:
            item._offset = index - len(content)
            item._refuses, item.pieces, item.is_told = part.get("type") == "refusal", pieces, is_told
        return item

    def begin(self) -> list[Step]:
        """The events of its beginning."""
        return [_added(self._place, self.shown())]

    def say(self, text: str, refuses: bool) -> list[Step]:
        """The events of a piece of text or refusal; a part begins where the kind changes."""
        steps: list[Step] = []
        if self._refuses is not refuses or self.is_told:
            steps += self.end_part()
            self._refuses, self.pieces = refuses, []
            empty = refusal_part("") if refuses else text_part("")
            steps.append(("response.content_part.added", {**self._at(), "part": empty}))
        self.pieces.append(text)
        if refuses:
            steps.append(("response.refusal.delta", {**self._at(), "delta": text}))
        else:
            steps.append(("response.output_text.delta", {**self._at(), "logprobs": [], "delta": text}))
        return steps

    def hot(self) -> bytes:
        """The start of a text delta of the open part, up to its text."""
        return _HOT % (_encode(self.id), self._place, len(self._content) + self._offset)

    def end_part(self) -> list[Step]:
        """The events of the end of the open part."""
        if self._refuses is None:
            return []
        text, at = "".join(self.pieces), self._at()
        if self._refuses:
            part, done = refusal_part(text), ("response.refusal.done", {**at, "refusal": text})
        else:
            part, done = text_part(text), ("response.output_text.done", {**at, "logprobs": [], "text": text})
        self._content.append(part)
        told, self._refuses, self.is_told = self.is_told, None, False
        return [*(() if told else (done,)), ("response.content_part.done", {**at, "part": part})]

    def end(self, status: str) -> list[Step]:
        """The events of its end."""
        if self.ended:
            return []
        steps = self.end_part()
        self.ended, self._status = True, status
        return [*steps, _done(self._place, self.shown())]

    def shown(self) -> dict[str, Any]:
        """The item with its parts that are whole."""
        return message_item(self.id, list(self._content), self._status)

    def _at(self) -> dict[str, Any]:
        index = len(self._content) + self._offset
        return {"item_id": self.id, "output_index": self._place, "content_index": index}


class ReasoningItem:
    """What the model thinks: one part of summary, and the proof where one comes."""

    def __init__(self, item_id: str, place: int) -> None:
        self.id, self._place = item_id, place
        self.ended = False
        self.encrypted: str | None = None
        self._pieces: list[str] = []

    def begin(self) -> list[Step]:
        """The events of its beginning."""
        return [_added(self._place, reasoning_item(self.id, "", None))]

    def say(self, text: str) -> list[Step]:
        """The events of a piece of text."""
        steps: list[Step] = []
        if not self._pieces:
            empty = {"type": "summary_text", "text": ""}
            steps.append(("response.reasoning_summary_part.added", {**self._at(), "part": empty}))
        self._pieces.append(text)
        return [*steps, ("response.reasoning_summary_text.delta", {**self._at(), "delta": text})]

    def end(self, status: str) -> list[Step]:  # reasoning has no status that clients need
        """The events of its end."""
        if self.ended:
            return []
        self.ended = True
        steps: list[Step] = []
        if self._pieces:
            text, at = "".join(self._pieces), self._at()
            part = {"type": "summary_text", "text": text}
            steps.append(("response.reasoning_summary_text.done", {**at, "text": text}))
            steps.append(("response.reasoning_summary_part.done", {**at, "part": part}))
        return [*steps, _done(self._place, self.shown())]

    def shown(self) -> dict[str, Any]:
        """The item so far."""
        return reasoning_item(self.id, "".join(self._pieces), self.encrypted)

    def _at(self) -> dict[str, Any]:
        return {"item_id": self.id, "output_index": self._place, "summary_index": 0}


class CallItem:
    """A function that the model calls."""

    def __init__(self, item_id: str, place: int, call_id: str, name: str) -> None:
        self.id, self._place = item_id, place
        self.ended = False
        self._call_id, self._name = call_id, name
        self.is_told = False  # whether the whole arguments were told already
        self.pieces: list[str] = []
        self._status = "in_progress"

    def begin(self) -> list[Step]:
        """The events of its beginning."""
        return [_added(self._place, self.shown())]

    def add(self, piece: str) -> list[Step]:
        """The events of a piece of its arguments."""
        self.pieces.append(piece)
        return [("response.function_call_arguments.delta", {**self._at(), "delta": piece})]

    def end(self, status: str) -> list[Step]:
        """The events of its end. A call without arguments has an empty object of them."""
        if self.ended:
            return []
        steps = [] if "".join(self.pieces).strip() or self.is_told else self.add("{}")
        self.ended, self._status = True, status
        arguments = {"name": self._name, "arguments": "".join(self.pieces)}
        done = ("response.function_call_arguments.done", {**self._at(), **arguments})
        return [*steps, *(() if self.is_told else (done,)), _done(self._place, self.shown())]

    def shown(self) -> dict[str, Any]:
        """The item so far."""
        return call_item(self.id, self._call_id, self._name, "".join(self.pieces), self._status)

    def _at(self) -> dict[str, Any]:
        return {"item_id": self.id, "output_index": self._place}


class CustomCallItem:
    """A custom tool that the model calls. Its text is known when the arguments that hold it are whole."""

    def __init__(self, item_id: str, place: int, call_id: str, name: str) -> None:
        self.id, self._place = item_id, place
        self.ended = False
        self._call_id, self._name = call_id, name
        self._pieces: list[str] = []
        self._text = ""
        self._status = "in_progress"

    def begin(self) -> list[Step]:
        """The events of its beginning."""
        return [_added(self._place, self.shown())]

    def add(self, piece: str) -> list[Step]:
        """Takes a piece of the arguments, which are not the text: nothing is said yet."""
        self._pieces.append(piece)
        return []

    def end(self, status: str) -> list[Step]:
        """The events of its text, and of its end."""
        if self.ended:
            return []
        self.ended, self._status, self._text = True, status, input_of("".join(self._pieces))
        at = {"item_id": self.id, "output_index": self._place}
        said = [("response.custom_tool_call_input.delta", {**at, "delta": self._text})] if self._text else []
        done = ("response.custom_tool_call_input.done", {**at, "input": self._text})
        return [*said, done, _done(self._place, self.shown())]

    def shown(self) -> dict[str, Any]:
        """The item so far."""
        return custom_call_item(self.id, self._call_id, self._name, self._text, self._status)


def _added(place: int, item: dict[str, Any]) -> Step:
    return "response.output_item.added", {"output_index": place, "item": item}


def _done(place: int, item: dict[str, Any]) -> Step:
    return "response.output_item.done", {"output_index": place, "item": item}
