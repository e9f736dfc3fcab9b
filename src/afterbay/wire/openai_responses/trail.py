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
from afterbay.wire.openai_responses.item import CallItem, CustomCallItem, Item, MessageItem, Step
from afterbay.wire.openai_responses.render import Renderer

_NUMBER = re.compile(rb'"sequence_number"\s*:\s*(\d+)')
_HOT = (
    b"response.output_text.delta",
    b"response.function_call_arguments.delta",
    b"response.reasoning_summary_text.delta",
    b"response.reasoning_text.delta",
)
_TOLD = frozenset(name.decode().replace(".delta", ".done") for name in _HOT)
_CALLS = ("function_call", "custom_tool_call")
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
        self._live: TakenItem | None = None  # the message or reasoning that is being said
        self._calls: list[TakenItem] = []
        self._has_input = False
        self._last = b""
        self._events = 0

    @property
    def answer_id(self) -> str:
        """The response's id."""
        return str(self._response.get("id", ""))

    @property
    def stuck(self) -> str:
        """A custom tool's text is only known to be right when it is whole: its pieces were relayed unread."""
        is_open = bool(self._calls) and not self._calls[-1].ended and self._has_input
        return "it holds part of a custom tool's call" if is_open else ""

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
        """Takes a delta of what is being said, or of a call: several may be open side by side."""
        live = self._live
        for event in events:
            if isinstance(event, ToolCallDelta):
                if event.call < len(self._calls):
                    self._calls[event.call].pieces.append(event.arguments)
            elif live is None:
                continue
            elif isinstance(event, TextDelta):
                live.pieces.append(event.text)
            elif isinstance(event, ReasoningDelta):  # a second part of it begins with a blank line in the text
                begins = not live.pieces and bool(live.item.get("summary") or live.item.get("content"))
                live.pieces.append(event.text.removeprefix("\n\n") if begins else event.text)

    def _other(self, event: _Event) -> None:
        at = event.output_index
        item = self._items.get(at)
        match event.type:
            case "response.created" if event.response is not None:
                self._response = event.response
            case "response.output_item.added" if event.item is not None:
                item = self._items[at] = TakenItem(event.item, at)
                if item.kind in _CALLS:
                    self._calls.append(item)
                    self._has_input = False
                else:
                    self._live = item
            case "response.output_item.done" if event.item is not None:
                done = TakenItem(event.item, at)
                done.ended = True
                if item is not None and item in self._calls:
                    self._calls[self._calls.index(item)] = done
                self._items[at] = done
            case "response.content_part.added" | "response.reasoning_summary_part.added":
                if item is not None:
                    item.part, item.pieces, item.is_told = event.part or {}, [], False
                    item.index = event.content_index or event.summary_index or 0
            case "response.custom_tool_call_input.delta":
                self._has_input = True
            case kind if kind in _TOLD:
                if item is not None:
                    item.is_told = True
            case "response.content_part.done" | "response.reasoning_summary_part.done":
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
        places = sorted(self._items)
        taken = [self._items[place] for place in places]
        items = [one if one.ended else _reopened(one, place) for place, one in zip(places, taken, strict=True)]
        calls = [item for item, one in zip(items, taken, strict=True) if one.kind in _CALLS]
        renderer = Renderer(head)
        echo = {name: value for name, value in self._response.items() if name not in _NOT_ECHOED}
        renderer.go_on(self._response, echo, number, items, calls)
        return renderer


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
    if taken.kind == "custom_tool_call":
        return CustomCallItem(taken.id, place, str(item.get("call_id", "")), str(item.get("name", "")))
    return taken
