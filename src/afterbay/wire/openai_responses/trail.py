"""Going on with a relayed stream of Responses: its numbers are counted on, and its last event holds all items.

Items that are done are kept as the provider told them. Of the one that is open it is known how it began and what was
said in it since: that is the events' to tell, so that no delta is decoded twice.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from afterbay.core.checkpoint import Checkpoint
from afterbay.core.event import BlockBreak, Event, ReasoningDelta, TextDelta, ToolCallDelta
from afterbay.wire.dialect import Head
from afterbay.wire.openai_responses.item import CallItem, Item, MessageItem, Step
from afterbay.wire.openai_responses.render import Renderer

_NUMBER = re.compile(rb'"sequence_number"\s*:\s*(\d+)')
_HOT = (
    b"response.output_text.delta",
    b"response.function_call_arguments.delta",
    b"response.reasoning_summary_text.delta",
    b"response.reasoning_text.delta",
)
_TOLD = frozenset(name.decode().replace(".delta", ".done") for name in _HOT)
_NOT_ECHOED = frozenset(
    {"id", "object", "created_at", "model", "status", "error", "incomplete_details", "output", "usage"}
)


class _Event(msgspec.Struct):
    type: str
    output_index: int = 0
    content_index: int | None = None
    summary_index: int | None = None
    item: dict[str, Any] | None = None
    part: dict[str, Any] | None = None
    response: dict[str, Any] | None = None


_event = msgspec.json.Decoder(_Event).decode


class TakenItem:
    """An item of the provider's: done, or (of a kind that nobody can go on with) to be ended as it is.

    Reasoning that broke off ends without its proof: what is left of it is only for reading.
    """

    def __init__(self, item: dict[str, Any], place: int) -> None:
        self.id, self._place = str(item.get("id", "")), place
        self.ended = False
        self.item = item
        self.kind = str(item.get("type", ""))
        self.pieces: list[str] = []
        self.part: dict[str, Any] | None = None
        """The open part."""
        self.index = 0
        """How it was numbered."""
        self.is_told = False
        """Whether the whole text, or the whole arguments, of what is open were told already."""

    def shown(self) -> dict[str, Any]:
        """The item so far."""
        return self.item

    def end_part(self) -> list[Step]:
        """The events of the end of the open part of a reasoning."""
        part, self.part = self.part, None
        if part is None:
            return []
        text, is_summary = "".join(self.pieces), part.get("type") == "summary_text"
        field, name = ("summary", "reasoning_summary") if is_summary else ("content", "reasoning")
        parts = self.item.setdefault(field, [])
        index = "summary_index" if is_summary else "content_index"
        at = {"item_id": self.id, "output_index": self._place, index: self.index}
        whole = {**part, "text": text}
        parts.append(whole)
        done = f"response.{name}_part.done" if is_summary else "response.content_part.done"
        steps = [] if self.is_told else [(f"response.{name}_text.done", {**at, "text": text})]
        return [*steps, (done, {**at, "part": whole})]

    def end(self, status: str) -> list[Step]:
        """The events of its end."""
        if self.ended:
            return []
        steps = self.end_part()
        self.ended = True
        if "status" in self.item:
            self.item["status"] = status
        return [*steps, ("response.output_item.done", {"output_index": self._place, "item": self.item})]


class Trail:
    """See `afterbay.wire.dialect.Trail`."""

    ending = b""
    closing: Sequence[Event] = (BlockBreak(),)

    def __init__(self) -> None:
        self._response: dict[str, Any] = {}
        self._items: dict[int, TakenItem] = {}
        self._open: TakenItem | None = None
        self._last = b""
        self._events = 0

    @property
    def answer_id(self) -> str:
        """The response's id."""
        return str(self._response.get("id", ""))

    def see(self, name: bytes | None, data: bytes, events: Sequence[Event]) -> None:
        """Takes an event."""
        self._last = data
        self._events += 1
        if name in _HOT:
            self._said(events)
            return
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # the client is left to judge it
            told = _event(data)
            if name is None and told.type.encode() in _HOT:  # OpenRouter and Bedrock name no events
                self._said(events)
            else:
                self._other(told)

    def _said(self, events: Sequence[Event]) -> None:
        """Takes a delta of the open item."""
        item = self._open
        if item is not None:
            for event in events:
                if isinstance(event, TextDelta):
                    item.pieces.append(event.text)
                elif isinstance(event, ReasoningDelta):  # a second part of it begins with a blank line in the text
                    begins = not item.pieces and bool(item.item.get("summary") or item.item.get("content"))
                    item.pieces.append(event.text.removeprefix("\n\n") if begins else event.text)
                elif isinstance(event, ToolCallDelta):
                    item.pieces.append(event.arguments)

    def _other(self, event: _Event) -> None:
        at = event.output_index
        match event.type:
            case "response.created" if event.response is not None:
                self._response = event.response
            case "response.output_item.added" if event.item is not None:
                self._open = self._items[at] = TakenItem(event.item, at)
            case "response.output_item.done" if event.item is not None:
                done = self._items[at] = TakenItem(event.item, at)
                done.ended = True
                self._open = None
            case "response.content_part.added" | "response.reasoning_summary_part.added":
                if self._open is not None:
                    self._open.part, self._open.pieces, self._open.is_told = event.part or {}, [], False
                    self._open.index = event.content_index or event.summary_index or 0
            case kind if kind in _TOLD:
                if self._open is not None:
                    self._open.is_told = True
            case "response.content_part.done" | "response.reasoning_summary_part.done":
                item = self._open
                if item is not None:
                    field = "content" if event.type.startswith("response.content") else "summary"
                    item.item.setdefault(field, []).append(event.part or {})
                    item.part, item.is_told = None, False
            case _:
                pass

    def take_over(self, head: Head, sent: Checkpoint) -> Renderer:
        """See `afterbay.wire.dialect.Trail`."""
        found = _NUMBER.search(self._last)
        number = int(found[1]) + 1 if found is not None else self._events
        items: list[Item] = []
        for place in sorted(self._items):
            taken = self._items[place]
            items.append(taken if taken.ended else _reopened(taken, place))
        calls = [item for item in items if _is_call(item)]
        renderer = Renderer(head)
        echo = {name: value for name, value in self._response.items() if name not in _NOT_ECHOED}
        renderer.go_on(self._response, echo, number, items, calls)
        return renderer


def _is_call(item: Item) -> bool:
    return isinstance(item, CallItem) or (isinstance(item, TakenItem) and item.kind == "function_call")


def _reopened(taken: TakenItem, place: int) -> Item:
    """An open item in a form that the renderer goes on with."""
    item = taken.item
    if taken.kind == "message":
        return MessageItem.reopened(
            taken.id,
            place,
            item.get("content") or [],
            taken.part,
            taken.pieces,
            index=taken.index,
            is_told=taken.is_told,
        )
    if taken.kind == "function_call":
        call = CallItem(taken.id, place, str(item.get("call_id", "")), str(item.get("name", "")))
        call.pieces, call.is_told = taken.pieces, taken.is_told
        return call
    return taken
