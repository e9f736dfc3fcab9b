"""A Messages answer -> canonical events. A whole answer runs through the same block machinery as a stream.

Server tools (`server_tool_use`, `web_search_tool_result`, ...) ran at the provider already: they become `Extra`, never
tool calls, since a client must not run them again. So do citations and every block or delta of an unknown type.

Source: platform.claude.com/docs/en/build-with-claude/streaming (November 2026) and the recordings, which add: a last
`[DONE]` from one gateway, padding after the JSON, `citations: null`, usage fields that only the last event has.
"""

from __future__ import annotations

from typing import Any

import msgspec

from afterbay.core.event import (
    BlockBreak,
    Event,
    Extra,
    Failed,
    Finished,
    FinishReason,
    ReasoningDelta,
    ReasoningSignature,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
)
from afterbay.core.usage import TOKENS, Usage
from afterbay.wire.anthropic_messages.errors import ErrorBody, from_body
from afterbay.wire.bill import Bill, inside, kinds, service_of, told

FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "pause",
    "compaction": "pause",
}

_NO_INPUT = msgspec.Raw(b"")


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class _Usage(Bill):
    input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None
    cache_creation: Any = None
    server_tool_use: Any = None
    speed: Any = None
    iterations: Any = None


_FIELDS = _Usage.__struct_fields__


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = _NO_INPUT
    citations: Any = None
    caller: Any = None


class _Delta(msgspec.Struct, gc=False):
    """The delta of a block, or of the message (`stop_reason`)."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None


class _Message(msgspec.Struct):
    content: list[_Block] | None = None
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None
    usage: _Usage | None = None
    error: ErrorBody | None = None


class _StreamEvent(msgspec.Struct):
    type: str
    index: int = 0
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: _Usage | None = None
    error: ErrorBody | None = None


class _Kind(msgspec.Struct):
    type: str


_EVENT = msgspec.json.Decoder(_StreamEvent)
_MESSAGE = msgspec.json.Decoder(_Message)
_KIND = msgspec.json.Decoder(_Kind)
_KNOWN = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
    },
)


class _Open:
    """A content block between its start and its stop."""

    __slots__ = ("call", "given", "kind", "signature", "wrote")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.call = -1
        self.given = ""  # arguments that came with the start, in case no delta follows
        self.wrote = False
        self.signature = ""


class StreamParser:
    """Reads one answer. `seed` makes ids for calls that came without one."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._blocks: dict[int, _Open] = {}
        self._calls = 0
        self._last = ""  # kind of the last block that gave output: a second one of its kind needs a break
        self._counts: _Usage | None = None
        self._is_complete = False

    @property
    def is_complete(self) -> bool:
        """Whether `message_stop` was seen."""
        return self._is_complete

    @property
    def is_over(self) -> bool:
        """`message_stop` is the last event."""
        return self._is_complete

    def push(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        """Reads one event; see `afterbay.wire.dialect.Parser`."""
        if data == b"[DONE]":
            return
        try:
            event = _EVENT.decode(data)
        except msgspec.ValidationError:
            if _KIND.decode(data).type in _KNOWN:
                raise
            return  # an event of a later version of the protocol
        delta = event.delta
        if event.type == "content_block_delta" and delta is not None:
            if delta.type == "text_delta":
                if delta.text:
                    out.append(TextDelta(delta.text))
            else:
                self._delta(event.index, delta, out)
        else:
            self._other(event, out)

    def _other(self, event: _StreamEvent, out: list[Event]) -> None:
        match event.type:
            case "content_block_start" if event.content_block is not None:
                self.start(event.index, event.content_block, out)
            case "content_block_stop":
                self.stop(event.index, out)
            case "message_start" if event.message is not None:
                self.begin(event.message, out)
            case "message_delta":
                if event.delta is not None:
                    self.finish(event.delta, out)
                if event.usage is not None:
                    self.usage(event.usage, out)
            case "message_stop":
                self._is_complete = True
            case "error":
                out.append(Failed(from_body(event.error or ErrorBody(), None)))
            case kind if kind != "ping" and kind not in _KNOWN:
                out.append(Extra(kind))
            case _:
                pass

    def begin(self, message: _Message, out: list[Event]) -> None:
        """The answer has a name, and mostly its input count."""
        out.append(Started(message.id, message.model))
        if message.usage is not None:
            self.usage(message.usage, out)

    def start(self, index: int, block: _Block, out: list[Event]) -> None:
        """A block begins; it may hold content already (a whole answer's always does)."""
        kind = block.type
        state = self._blocks[index] = _Open(kind)
        if kind == "text" or kind == "thinking":
            if self._last == kind:
                out.append(BlockBreak())
            self._last = kind
            if block.text:
                out.append(TextDelta(block.text))
            if block.thinking:
                out.append(ReasoningDelta(block.thinking))
            state.signature = block.signature or ""
            if block.citations:
                out.append(Extra("citations"))
        elif kind == "tool_use":
            self._start_call(state, block, out)
        elif kind == "redacted_thinking":
            self._last = kind
            out.append(ReasoningSignature(block.data or "", redacted=True))
        else:
            out.append(Extra(kind))

    def _start_call(self, state: _Open, block: _Block, out: list[Event]) -> None:
        state.call, self._calls, self._last = self._calls, self._calls + 1, "tool_use"
        state.given = bytes(block.input).decode()
        if state.given[:1] == '"':  # arguments that are no JSON, as the renderer here writes them
            state.given = str(msgspec.json.decode(state.given))
        out.append(ToolCallStarted(state.call, block.id or f"toolu_{self._seed}_{state.call}", block.name or ""))
        if isinstance(block.caller, dict) and block.caller.get("type") != "direct":
            out.append(Extra("tool_use.caller"))

    def _delta(self, index: int, delta: _Delta, out: list[Event]) -> None:
        state = self._blocks.get(index)
        if state is None:
            raise ValueError(f"a delta for content block {index}, which was never started")
        match delta.type:
            case "input_json_delta":
                if state.call >= 0 and delta.partial_json:
                    state.wrote = True
                    out.append(ToolCallDelta(state.call, delta.partial_json))
            case "thinking_delta":
                if delta.thinking:
                    out.append(ReasoningDelta(delta.thinking))
            case "signature_delta":
                state.signature = delta.signature or state.signature  # the last one counts, as in the SDKs
            case "citations_delta":
                out.append(Extra("citations"))
            case kind:
                out.append(Extra(kind))

    def stop(self, index: int, out: list[Event]) -> None:
        """A block ends: what only now is certain goes out."""
        state = self._blocks.pop(index, None)
        if state is None:
            return
        if state.call >= 0 and not state.wrote:
            out.append(ToolCallDelta(state.call, state.given if state.given not in ("", "null") else "{}"))
        if state.kind == "thinking" and state.signature:
            out.append(ReasoningSignature(state.signature))

    def finish(self, delta: _Delta | _Message, out: list[Event]) -> None:
        """The model stopped, for a reason that may be unknown here."""
        reason = delta.stop_reason
        if reason is not None:
            out.append(Finished(FINISH.get(reason, "stop"), delta.stop_sequence))
            if reason not in FINISH:
                out.append(Extra(f"stop_reason={reason}"))
        if delta.stop_details is not None:
            out.append(Extra("stop_details"))

    def usage(self, seen: _Usage, out: list[Event]) -> None:
        """Counts are cumulative and partial: a field that is absent keeps its value."""
        known, self._counts = self._counts, seen
        if known is not None:
            for name in _FIELDS:
                if getattr(seen, name) is None:
                    setattr(seen, name, getattr(known, name))
        out.append(UsageSeen(read_usage(seen)))


def read_usage(seen: _Usage) -> Usage:
    """The counts in disjoint buckets: caches stand beside the input, thinking is part of the output.

    The sum check: what was written to caches for five minutes and for an hour is all that was written, and the
    iterations of an answer are the whole of it. They are not where one was another model's (an advisor's), which is
    billed at a price of its own.
    """
    details = seen.output_tokens_details
    written, output = seen.cache_creation_input_tokens or 0, seen.output_tokens or 0
    thinking = (details.thinking_tokens if details is not None else None) or 0
    stray = min(output - thinking, 0)
    shortly = for_an_hour = searched = None
    if seen.cache_creation is not None:
        shortly = inside(seen.cache_creation, "ephemeral_5m_input_tokens")
        for_an_hour = inside(seen.cache_creation, "ephemeral_1h_input_tokens")
    if type(shortly) is int and type(for_an_hour) is int and shortly + for_an_hour:
        stray, written = stray or shortly + for_an_hour - written, max(written, shortly + for_an_hour)
    if seen.server_tool_use is not None:
        searched = inside(seen.server_tool_use, "web_search_requests")
    return Usage(
        seen.input_tokens or 0,
        seen.cache_read_input_tokens or 0,
        written,
        max(output - thinking, 0),
        min(thinking, output),
        parts=kinds((("cache_write_1h", for_an_hour), ("search", searched))) if for_an_hour or searched else (),
        service=service_of(seen.service_tier) or ("fast" if seen.speed == "fast" else ""),
        told_picousd=told(seen),
        stray=stray or (_by_others(seen.iterations) if seen.iterations is not None else 0),
    )


def _by_others(iterations: object) -> int:
    """The tokens of iterations that another model made: `advisor_message` (recordings)."""
    found = iterations if isinstance(iterations, list) else []
    counts = (
        one.get(name)
        for one in found
        if isinstance(one, dict) and isinstance(one.get("model"), str)
        for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    )
    return sum(count for count in counts if isinstance(count, int) and 0 < count < TOKENS)


def parse_answer(data: bytes, seed: str) -> list[Event]:
    """Reads a whole answer.

    Raises:
        ValueError: it is none. (An error body inside a 200 gives `Failed`.)
    """
    message, out = _MESSAGE.decode(data), list[Event]()
    if message.content is None:
        if message.error is None:
            raise ValueError("a message without content")
        return [Failed(from_body(message.error, None))]
    parser = StreamParser(seed)
    parser.begin(message, out)
    for index, block in enumerate(message.content):
        parser.start(index, block, out)
        parser.stop(index, out)
    parser.finish(message, out)
    return out
