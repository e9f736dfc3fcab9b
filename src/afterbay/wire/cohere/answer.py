"""A chat answer of Cohere -> canonical events.

A tool plan is reasoning: it is what the model thought before it called. Citations and log probabilities become `Extra`.
A streamed answer ends with `message-end`, and `[DONE]` after it (recordings; the documentation is silent on it).

Usage is `usage.tokens`, what the model read and wrote; `billed_units`, what of it costs something.
`cached_tokens` are inside the input, `reasoning_tokens` inside the output (recordings).
"""

from __future__ import annotations

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
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
)
from afterbay.core.usage import Kind, Usage, nested

FINISH: dict[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop_sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "TIMEOUT": "error",
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    id: str | None = None
    function: _Function | None = None


class _Content(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None


class _Piece(msgspec.Struct):
    """The message of a delta: each event fills one field. In `message-start` content and calls are empty lists."""

    content: _Content | list[_Content] | str | None = None
    tool_calls: _Call | list[_Call] | None = None
    tool_plan: str | None = None


class _Tokens(msgspec.Struct):
    input_tokens: float | None = None
    output_tokens: float | None = None
    reasoning_tokens: float | None = None
    image_tokens: float | None = None


class _Usage(msgspec.Struct):
    tokens: _Tokens | None = None
    billed_units: _Tokens | None = None
    cached_tokens: float | None = None


class _Delta(msgspec.Struct):
    message: _Piece | None = None
    finish_reason: str | None = None
    usage: _Usage | None = None
    error: str | None = None


class _StreamEvent(msgspec.Struct):
    type: str
    id: str | None = None
    index: int | None = None
    delta: _Delta | None = None
    logprobs: Any = None


class _Message(msgspec.Struct):
    content: list[_Content] | str | None = None
    tool_plan: str | None = None
    tool_calls: list[_Call] | None = None
    citations: list[msgspec.Raw] | None = None


class _Answer(msgspec.Struct):
    message: _Message
    id: str = ""
    finish_reason: str | None = None
    usage: _Usage | None = None
    logprobs: list[msgspec.Raw] | None = None


class _Kind(msgspec.Struct):
    type: str


_EVENT = msgspec.json.Decoder(_StreamEvent)
_ANSWER = msgspec.json.Decoder(_Answer)
_KIND = msgspec.json.Decoder(_Kind)
_KNOWN = frozenset(
    {
        "message-start",
        "content-start",
        "content-delta",
        "content-end",
        "tool-plan-delta",
        "tool-call-start",
        "tool-call-delta",
        "tool-call-end",
        "citation-start",
        "citation-end",
        "message-end",
    }
)


def read_usage(usage: _Usage) -> Usage | None:
    """The counts in disjoint buckets; None where there are none. The API's numbers may be written as fractions.

    What is billed is `billed_units`: less than what was read and written, where the preamble and the words around
    calls are free, and more where images stand beside the input (command-a-plus).
    """
    tokens, bill = usage.tokens or usage.billed_units, usage.billed_units
    if tokens is None or tokens.input_tokens is None:
        return None
    read, made = int(tokens.input_tokens), int(tokens.output_tokens or 0)
    parts: list[tuple[Kind, int]] = []
    if bill is not None and bill.input_tokens is not None:
        read = max(read, min(int(bill.input_tokens), read + int(tokens.image_tokens or 0)))
        parts.append(("unbilled_input", read - int(bill.input_tokens)))
    if bill is not None and bill.output_tokens is not None:
        parts.append(("unbilled_output", made - int(bill.output_tokens)))
    counted = nested(read, made, cached=int(usage.cached_tokens or 0), reasoning=int(tokens.reasoning_tokens or 0))
    return msgspec.structs.replace(counted, parts=tuple((kind, count) for kind, count in parts if count > 0))


class StreamParser:
    """Reads one answer. `seed` makes ids for calls that came without one."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._calls: dict[int, int] = {}
        """Call numbers by the index of their events."""
        self._number = 0
        self._silent: set[int] = set()
        """Calls of which no argument was seen yet: a tool without parameters gets none."""
        self._last = ""  # kind of the last content block: a second one of its kind needs a break
        self._is_complete = self._is_over = False

    @property
    def is_complete(self) -> bool:
        """Whether `message-end` was seen."""
        return self._is_complete

    @property
    def is_over(self) -> bool:
        """Whether `[DONE]` was seen."""
        return self._is_over

    def push(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        """Reads one event; see `afterbay.wire.dialect.Parser`."""
        if data[:1] == b"[" and data.strip() == b"[DONE]":
            self._is_over = True
            return
        try:
            event = _EVENT.decode(data)
        except msgspec.ValidationError:
            if _KIND.decode(data).type in _KNOWN:
                raise
            return  # an event of a later version of the protocol
        delta = event.delta
        if event.type == "content-delta":
            piece = delta.message.content if delta is not None and delta.message is not None else None
            if isinstance(piece, _Content):
                if piece.text:
                    out.append(TextDelta(piece.text))
                elif piece.thinking:
                    out.append(ReasoningDelta(piece.thinking))
            if event.logprobs is not None:
                out.append(Extra("logprobs"))
        else:
            self._other(event, delta or _Delta(), out)

    def _other(self, event: _StreamEvent, delta: _Delta, out: list[Event]) -> None:
        piece = delta.message or _Piece()
        match event.type:
            case "message-start":
                out.append(Started(event.id or ""))
            case "content-start" if isinstance(piece.content, _Content):
                self.content(piece.content, out)
            case "tool-plan-delta":
                self.plan(piece.tool_plan, out)
            case "tool-call-start":
                for call in piece.tool_calls if isinstance(piece.tool_calls, list) else [piece.tool_calls]:
                    self.call(event.index, call or _Call(), out)
            case "tool-call-delta":
                self._arguments(event.index, piece, out)
            case "tool-call-end":
                self.close(event.index, out)
            case "citation-start":
                out.append(Extra("citations"))
            case "message-end":
                self._is_complete = True
                if delta.error:
                    out.append(Failed(ProviderError("server", delta.error)))
                self.end(delta.finish_reason, delta.usage, out)
            case kind if kind not in _KNOWN:
                out.append(Extra(kind))
            case _:
                pass

    def content(self, content: _Content, out: list[Event]) -> None:
        """A content block begins; a whole answer's holds all of its text already."""
        kind = content.type or ("thinking" if content.thinking else "text")
        if kind not in ("text", "thinking"):
            out.append(Extra(f"content.{kind}"))
            return
        if kind == self._last:
            out.append(BlockBreak())
        self._last = kind
        if content.thinking:
            out.append(ReasoningDelta(content.thinking))
        if content.text:
            out.append(TextDelta(content.text))

    def plan(self, text: str | None, out: list[Event]) -> None:
        """A piece of the tool plan."""
        if text:
            self._last = "plan"
            out.append(ReasoningDelta(text))

    def call(self, index: int | None, call: _Call, out: list[Event]) -> None:
        """A tool call begins; a whole answer's has all of its arguments."""
        function = call.function or _Function()
        number, self._number, self._last = self._number, self._number + 1, "call"
        self._calls[number if index is None else index] = number
        out.append(ToolCallStarted(number, call.id or f"call_{self._seed}_{number}", function.name or ""))
        if function.arguments:
            out.append(ToolCallDelta(number, function.arguments))
        else:
            self._silent.add(number)

    def _arguments(self, index: int | None, piece: _Piece, out: list[Event]) -> None:
        number = self._calls.get(self._number - 1 if index is None else index)
        if number is None:
            raise ValueError(f"a delta for tool call {index}, which was never started")
        for call in piece.tool_calls if isinstance(piece.tool_calls, list) else [piece.tool_calls]:
            if call is not None and call.function is not None and call.function.arguments:
                self._silent.discard(number)
                out.append(ToolCallDelta(number, call.function.arguments))

    def close(self, index: int | None, out: list[Event]) -> None:
        """A tool call ends; without an index all do."""
        for number in sorted(self._silent) if index is None else [self._calls.get(index, -1)]:
            if number in self._silent:
                self._silent.remove(number)
                out.append(ToolCallDelta(number, "{}"))

    def end(self, reason: str | None, usage: _Usage | None, out: list[Event]) -> None:
        """The model stopped, for a reason that may be unknown here; and what it used."""
        self.close(None, out)
        if reason is not None:
            out.append(Finished(FINISH.get(reason, "stop")))
            if reason not in FINISH or reason == "TIMEOUT":
                out.append(Extra(f"finish_reason={reason}"))
        counted = read_usage(usage) if usage is not None else None
        if counted is not None:
            out.append(UsageSeen(counted))


def parse_answer(body: bytes, seed: str) -> list[Event]:
    """Reads a whole answer.

    Raises:
        ValueError, msgspec.DecodeError: it is none.
    """
    answer = _ANSWER.decode(body)
    said, parser = answer.message, StreamParser(seed)
    out: list[Event] = [Started(answer.id)]
    for content in [_Content("text", said.content)] if isinstance(said.content, str) else said.content or ():
        parser.content(content, out)
    parser.plan(said.tool_plan, out)
    for call in said.tool_calls or ():
        parser.call(None, call, out)
    if said.citations:
        out.append(Extra("citations"))
    if answer.logprobs:
        out.append(Extra("logprobs"))
    parser.end(answer.finish_reason, answer.usage, out)
    return out
