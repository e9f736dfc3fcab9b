"""Reading answers, whole and streamed. A whole answer runs through the same machinery as a stream.

What hosts do with this protocol, all in the recordings and read here: other ids for the same item in every event
(Copilot, so items are told apart by `output_index`), events without SSE names (OpenRouter, Bedrock), reasoning as
`reasoning_text` instead of summaries (DeepSeek, OpenRouter, Bedrock), a content index that goes on counting across
items (Bedrock), an empty `output` in the last event (the ChatGPT backend), `[DONE]` after it (OpenRouter), costs and
fields of their own. Padding (`obfuscation`) and `keepalive` mean nothing.

Built-in tools ran at the provider already: their items become `Extra`. A custom tool's call is one with its free text
as `{"input": ...}`.

Source: OpenAI API reference, "Streaming events", and the types of the SDK 3.57 (November 2026).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from afterbay.core.errors import ProviderError
from afterbay.core.event import (
    BlockBreak,
    Event,
    Extra,
    Failed,
    Finished,
    FinishReason,
    ReasoningDelta,
    ReasoningSignature,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
)
from afterbay.core.usage import Usage, nested
from afterbay.wire.bill import Bill, billed, inside, kinds, searches, service_of, told
from afterbay.wire.openai_errors import read_error
from afterbay.wire.openai_responses import proof

_INCOMPLETE: dict[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}

_PARAGRAPH = "\n\n"
"""Between the parts of one reasoning item, which has one proof and so is one block."""

_NOTHING = (b"", b"null", b"[]")


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: msgspec.Raw = msgspec.Raw()
    logprobs: msgspec.Raw = msgspec.Raw()


class _Item(msgspec.Struct):
    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: Any = None
    input: Any = None
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    encrypted_content: str | None = None
    phase: str | None = None
    action: Any = None


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(Bill):
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Details(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[_Item] | None = None
    usage: _Usage | None = None
    service_tier: Any = None
    tool_usage: Any = None
    copilot_usage: Any = None
    incomplete_details: _Details | None = None
    error: Any = None


class _StreamEvent(msgspec.Struct):
    type: str = ""
    delta: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    item: _Item | None = None
    response: _Response | None = None
    copilot_usage: Any = None
    error: Any = None


class _Kind(msgspec.Struct):
    type: str = ""


_EVENT = msgspec.json.Decoder(_StreamEvent).decode
_ANSWER = msgspec.json.Decoder(_Response).decode
_KIND = msgspec.json.Decoder(_Kind).decode

_TEXT, _REFUSAL, _SUMMARY, _THOUGHT = "text", "refusal", "summary", "thought"
_DELTAS = {
    "response.output_text.delta": _TEXT,
    "response.refusal.delta": _REFUSAL,
    "response.reasoning_summary_text.delta": _SUMMARY,
    "response.reasoning_text.delta": _THOUGHT,
}
_DONES = {
    "response.output_text.done": _TEXT,
    "response.refusal.done": _REFUSAL,
    "response.reasoning_summary_text.done": _SUMMARY,
    "response.reasoning_text.done": _THOUGHT,
}
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_SILENT = frozenset(
    {
        "keepalive",
        "response.in_progress",
        "response.queued",
        "response.content_part.added",
        "response.content_part.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.reasoning_part.added",
        "response.reasoning_part.done",
    }
)
"""Events that say nothing that others do not say."""


def read_usage(response: _Response, items: Iterable[str], credits_used: object = None) -> Usage | None:
    """The counts in disjoint buckets: caches are inside the input, reasoning inside the output.

    `items` are the types of the items of the answer: searches are billed by the call.
    """
    usage = response.usage
    if usage is None or usage.input_tokens is None:
        return None
    read, counts = usage.input_tokens_details or _InputDetails(), Counter(items)
    counted = nested(
        usage.input_tokens,
        usage.output_tokens or 0,
        cached=read.cached_tokens or 0,
        written=read.cache_write_tokens or 0,
        reasoning=(usage.output_tokens_details or _OutputDetails()).reasoning_tokens or 0,
        total=usage.total_tokens or None,
        parts=kinds(
            [("search", _searches(response, counts["web_search_call"])), ("file_search", counts["file_search_call"])]
        ),
    )
    return billed(counted, told(usage, None, credits_used), service_of(response.service_tier))


def _searches(response: _Response, seen: int) -> object:
    """How often the web was searched: as the answer tells (OpenRouter; OpenAI's `tool_usage`), else as often as it
    shows."""
    said = inside(inside(response.tool_usage, "web_search"), "num_requests")
    if type(said) is int:
        return said
    return (searches(response.usage) if response.usage is not None else None) or seen


class _Open:
    """An item between its start and its end. `said`: which parts came as deltas, by kind and index."""

    __slots__ = ("call", "ended", "kind", "said")

    def __init__(self, kind: str, call: int) -> None:
        self.kind, self.call = kind, call
        self.said: set[tuple[str, int]] = set()
        self.ended = False

    def has_said(self, *kinds: str) -> bool:
        """Whether any part of these kinds came."""
        return any(kind in kinds for kind, _ in self.said)


class StreamParser:
    """Reads one answer. `seed` makes ids for calls that came without one."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._started = self._is_complete = self._is_over = False
        self._items: dict[int, _Open] = {}
        self._calls = 0
        self._last = ""  # kind of what was said last: a second block of it needs a break
        self._hot: tuple[int | None, int | None] | None = None  # the text part that the last delta belongs to

    @property
    def is_complete(self) -> bool:
        """Whether the answer ended as completed or incomplete."""
        return self._is_complete

    @property
    def is_over(self) -> bool:
        """The event of an end was seen; OpenRouter's `[DONE]` after it says nothing more."""
        return self._is_over

    def push(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        """Reads one event; see `afterbay.wire.dialect.Parser`."""
        if data[:6] == b"[DONE]":
            return
        try:
            event = _EVENT(data)
        except msgspec.ValidationError:
            kind = _KIND(data).type
            if kind in _DELTAS or kind in _DONES or kind in _ENDS or kind.startswith("response.output_item"):
                raise
            out.append(Extra(kind))  # an event of a later version of the protocol
            return
        if event.type == "response.output_text.delta" and self._hot == (event.output_index, event.content_index):
            if event.delta:
                out.append(TextDelta(event.delta))
        else:
            self._hot = None
            self._read(event, data, out)

    def _read(self, event: _StreamEvent, data: bytes, out: list[Event]) -> None:
        kind = event.type
        if kind in _DELTAS:
            self._delta(event, _DELTAS[kind], out)
        elif kind in _DONES:
            self._done(event, _DONES[kind], out)
        elif kind == "response.function_call_arguments.delta":
            self._arguments(event, event.delta, out)
        elif kind == "response.function_call_arguments.done":
            item = self._items.get(self._place(event))
            if item is None or not item.said:
                self._arguments(event, event.arguments, out)
        elif kind == "response.output_item.added" and event.item is not None:
            self.start(self._place(event), event.item, out)
        elif kind == "response.output_item.done" and event.item is not None:
            self.end(self._place(event), event.item, out)
        elif kind in _ENDS:
            self.finish(event.response or _Response(), kind, out, event.copilot_usage)
        elif kind == "response.created":
            self.begin(event.response or _Response(), out)
        elif kind == "error" or (event.error and not kind):
            self._is_over = True
            out.append(Failed(read_error(msgspec.json.decode(data), None)))
        elif kind not in _SILENT:
            self._other(event, out)

    def _place(self, event: _StreamEvent) -> int:
        """The item that an event is about: the last one, where a host does not count."""
        if event.output_index is not None:
            return event.output_index
        last = max(self._items, default=-1)
        return last + 1 if event.type == "response.output_item.added" else max(last, 0)

    def _item(self, event: _StreamEvent, kind: str) -> _Open:
        """The open item of an event, also where its start was left out."""
        place = self._place(event)
        item = self._items.get(place)
        if item is None:
            item = self._items[place] = _Open(kind, -1)
        return item

    def begin(self, response: _Response, out: list[Event]) -> None:
        """The answer has a name. Copilot gives another one in every event: the first counts."""
        if not self._started:
            self._started = True
            out.append(Started(response.id or "", response.model or ""))

    def start(self, place: int, item: _Item, out: list[Event]) -> None:
        """An item begins. What it holds already comes again with its end."""
        if place in self._items:
            return
        call = -1
        if item.type in ("function_call", "custom_tool_call"):
            call, self._calls = self._calls, self._calls + 1
            self._last = ""
            given = item.call_id or item.id or f"call_{self._seed}_{call}"
            out.append(ToolCallStarted(call, given, item.name or ""))
        elif item.type not in ("message", "reasoning"):
            self._last = ""
        if item.type not in ("message", "reasoning", "function_call", "custom_tool_call"):
            out.append(Extra(item.type))
        self._items[place] = _Open(item.type, call)

    def _delta(self, event: _StreamEvent, kind: str, out: list[Event]) -> None:
        if not event.delta:
            return
        item = self._item(event, "message" if kind in (_TEXT, _REFUSAL) else "reasoning")
        index = (event.summary_index if kind == _SUMMARY else event.content_index) or 0
        self._say(item, kind, index, event.delta, out)
        if kind == _TEXT:
            self._hot = (event.output_index, event.content_index)

    def _done(self, event: _StreamEvent, kind: str, out: list[Event]) -> None:
        """A part is whole: it goes out if no delta did."""
        index = (event.summary_index if kind == _SUMMARY else event.content_index) or 0
        item = self._item(event, "message" if kind in (_TEXT, _REFUSAL) else "reasoning")
        text = event.refusal if kind == _REFUSAL else event.text
        if text and (kind, index) not in item.said:
            self._say(item, kind, index, text, out)

    def _say(self, item: _Open, kind: str, index: int, text: str, out: list[Event]) -> None:
        key = (kind, index)
        if key not in item.said:
            if kind in (_SUMMARY, _THOUGHT):
                if item.said:
                    text = _PARAGRAPH + text
                elif self._last == "thinking":
                    out.append(BlockBreak())
            elif self._last == kind:
                out.append(BlockBreak())
            item.said.add(key)
        if kind == _TEXT:
            out.append(TextDelta(text))
        elif kind == _REFUSAL:
            out.append(RefusalDelta(text))
        else:
            kind = "thinking"
            out.append(ReasoningDelta(text))
        self._last = kind

    def _arguments(self, event: _StreamEvent, text: str | None, out: list[Event]) -> None:
        """A piece of a call's arguments. Where the call's start was left out, its end says all of it."""
        item = self._items.get(self._place(event))
        if text and item is not None and item.kind == "function_call":
            item.said.add(("arguments", 0))
            out.append(ToolCallDelta(item.call, text))

    def end(self, place: int, item: _Item, out: list[Event]) -> None:
        """An item is whole: what only now is known goes out, and what no delta said."""
        if place not in self._items:
            self.start(place, item, out)
        state = self._items[place]
        if state.ended:
            return
        state.ended = True
        if item.type == "message":
            self._end_message(state, item, out)
        elif item.type == "reasoning":
            if not state.has_said(_SUMMARY, _THOUGHT):
                for kind, parts in ((_THOUGHT, item.content), (_SUMMARY, item.summary)):
                    for index, part in enumerate(parts or ()):
                        if part.text:
                            self._say(state, kind, index, part.text, out)
            if item.encrypted_content:
                if self._last == "thinking" and not state.has_said(_SUMMARY, _THOUGHT):
                    out.append(BlockBreak())  # the text before is another item's
                out.append(ReasoningSignature(proof.join(item.id, item.encrypted_content)))
                self._last = ""
        elif state.call >= 0 and not state.said:
            arguments = item.arguments
            if item.type == "custom_tool_call":
                arguments = {"input": item.input}
            text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
            out.append(ToolCallDelta(state.call, text or "{}"))

    def _end_message(self, state: _Open, item: _Item, out: list[Event]) -> None:
        if item.phase == "commentary":  # the other one is how every answer ends
            out.append(Extra("phase=commentary"))
        has_text, has_refusal = state.has_said(_TEXT), state.has_said(_REFUSAL)
        for index, part in enumerate(item.content or ()):
            if part.type == "refusal":
                if part.refusal and not has_refusal:
                    self._say(state, _REFUSAL, index, part.refusal, out)
            elif part.text and not has_text:
                self._say(state, _TEXT, index, part.text, out)
            for name in ("annotations", "logprobs"):
                if bytes(getattr(part, name)).strip() not in _NOTHING:
                    out.append(Extra(name))

    def _billed_items(self, response: _Response) -> list[str]:
        """The types of the answer's items, without the pages that a search opened: only the search itself is billed."""
        if not response.output:
            return [state.kind for state in self._items.values()]
        pages = ("open_page", "find_in_page")
        return [item.type for item in response.output if inside(item.action, "type") not in pages]

    def finish(self, response: _Response, event: str, out: list[Event], credits_used: object = None) -> None:
        """The end, with what came with no event of its own."""
        self._is_over = True
        self.begin(response, out)
        whole = not self._items
        for place, item in enumerate(response.output or ()):
            known = self._items.get(place)
            if whole or (known is not None and not known.ended and known.kind == item.type):
                self.end(place, item, out)
        counted = read_usage(response, self._billed_items(response), credits_used)
        if counted is not None:
            out.append(UsageSeen(counted))
        status = response.status or event.removeprefix("response.")
        if status == "failed":
            out.append(Failed(read_error({"error": response.error or {"message": "The response failed."}}, None)))
        elif status == "cancelled":
            out.append(Failed(ProviderError("cut", "The provider cancelled the response.")))
        elif status in ("completed", "incomplete"):
            self._is_complete = True
            out.append(Finished(self._reason(status, response.incomplete_details, out)))
        else:
            raise ValueError(f"the answer ends with status {status!r}")

    def _reason(self, status: str, details: _Details | None, out: list[Event]) -> FinishReason:
        """Why it ended. A reason to stop early that is unknown here still means that the answer is cut short."""
        if status == "completed":
            return "tool_calls" if self._calls else "stop"
        why = (details.reason if details is not None else None) or ""
        if why not in _INCOMPLETE:
            out.append(Extra(f"incomplete_details.reason={why}"))
        return _INCOMPLETE.get(why, "length")

    def _other(self, event: _StreamEvent, out: list[Event]) -> None:
        """Steps of a built-in tool were named with their item; the rest is unknown."""
        if event.type == "response.output_text.annotation.added":
            out.append(Extra("annotations"))
            return
        item = self._items.get(self._place(event))
        if item is None or item.kind in ("message", "reasoning", "function_call"):
            out.append(Extra(event.type))


def parse_answer(body: bytes, seed: str) -> list[Event]:
    """Reads a whole answer.

    Raises:
        ValueError: it is none, or not finished. (An error body inside a 200 gives `Failed`.)
    """
    response = _ANSWER(body)
    if response.output is None:
        if response.error:
            return [Failed(read_error(msgspec.json.decode(body), None))]
        raise ValueError("a response without output")
    out: list[Event] = []
    StreamParser(seed).finish(response, "response.completed", out, response.copilot_usage)
    return out
