"""A Converse answer -> canonical events. A whole answer runs through the same block machinery as a stream.

Read off the recordings: text and reasoning blocks have no start event, an index that was not seen opens one; padding
(`p`) comes with every event; usage counts what was read without the cache; citations come inside a text block
(Claude, whole), or as blocks of their own (Nova, streamed). Tools that ran at the provider (`server_tool_use` and the
`toolResult` after it) become `Extra`: a client must not run them again. Nova's `<thinking>` is text, as it came.
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
from afterbay.core.usage import Usage
from afterbay.wire.aws_stream import EXCEPTION
from afterbay.wire.bedrock.blocks import redacted_of
from afterbay.wire.bedrock.errors import parse_exception
from afterbay.wire.bill import kinds

FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}

_Raw = msgspec.Raw
_NOTHING = _Raw(b"")


class _ReasoningText(msgspec.Struct):
    text: str = ""
    signature: str | None = None


class _Reasoning(msgspec.Struct, rename="camel", gc=False):
    """A delta's (flat), or a whole block's (`reasoningText`)."""

    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None
    reasoning_text: _ReasoningText | None = None


class _Use(msgspec.Struct, rename="camel", gc=False):
    tool_use_id: str = ""
    name: str = ""
    type: str | None = None
    input: _Raw = _NOTHING


class _Result(msgspec.Struct):
    type: str | None = None


class _Cited(msgspec.Struct):
    content: list[dict[str, Any]] = []
    citations: Any = None


class _Delta(msgspec.Struct, rename="camel", gc=False):
    text: str | None = None
    tool_use: _Use | None = None
    reasoning_content: _Reasoning | None = None
    citation: _Raw = _NOTHING


class _Start(msgspec.Struct, rename="camel", frozen=True):
    tool_use: _Use | None = None
    tool_result: _Result | None = None


class _Counts(msgspec.Struct, rename="camel"):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    total_tokens: int | None = None
    cache_details: Any = None


class _DeltaEvent(msgspec.Struct, rename="camel", gc=False):
    delta: _Delta
    content_block_index: int = 0


class _StartEvent(msgspec.Struct, rename="camel"):
    start: _Start = _Start()
    content_block_index: int = 0


class _StopEvent(msgspec.Struct, rename="camel"):
    content_block_index: int = 0


class _MessageStop(msgspec.Struct, rename="camel"):
    stop_reason: str = ""
    additional_model_response_fields: Any = None


class _Metadata(msgspec.Struct):
    usage: _Counts | None = None
    trace: Any = None


class _Block(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _Use | None = None
    tool_result: _Result | None = None
    reasoning_content: _Reasoning | None = None
    citations_content: _Cited | None = None


class _Message(msgspec.Struct):
    content: list[_Raw]


class _Output(msgspec.Struct):
    message: _Message


class _Answer(msgspec.Struct, rename="camel"):
    output: _Output
    stop_reason: str = ""
    usage: _Counts | None = None
    trace: Any = None
    additional_model_response_fields: Any = None


_DELTA = msgspec.json.Decoder(_DeltaEvent)
_START = msgspec.json.Decoder(_StartEvent)
_STOP = msgspec.json.Decoder(_StopEvent)
_MESSAGE_STOP = msgspec.json.Decoder(_MessageStop)
_METADATA = msgspec.json.Decoder(_Metadata)
_ANSWER = msgspec.json.Decoder(_Answer)
_BLOCK = msgspec.json.Decoder(_Block)
_KEYS = msgspec.json.Decoder(dict[str, _Raw])
_STRING = msgspec.json.Decoder(str)


class _Open:
    """A content block that has begun: what is only certain at its end waits here."""

    __slots__ = ("call", "signature", "wrote")

    def __init__(self, call: int = -1) -> None:
        self.call = call
        self.signature = ""
        self.wrote = False


class StreamParser:
    """Reads one answer. `seed` makes ids for calls that came without one."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._blocks: dict[int, _Open] = {}
        self._calls = 0
        self._text_index = -1  # the text block that the last output belonged to
        self._last = ""  # kind of the last block that gave output: a second one of its kind needs a break
        self._is_complete = self._is_over = False

    @property
    def is_complete(self) -> bool:
        """Whether `messageStop` was seen; usage follows."""
        return self._is_complete

    @property
    def is_over(self) -> bool:
        """Whether `metadata` was seen, the last event."""
        return self._is_over

    def push(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        """Reads one event; see `afterbay.wire.dialect.Parser`."""
        if name == b"contentBlockDelta":
            event = _DELTA.decode(data)
            text = event.delta.text
            if text is None:
                self._delta(event, data, out)
            elif text:
                index = event.content_block_index
                if index != self._text_index:
                    self._begin(index, "text", out)
                out.append(TextDelta(text))
        else:
            self._other(name, data, out)

    def _other(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        match name:
            case b"contentBlockStart":
                event = _START.decode(data)
                self.start(event.content_block_index, event.start, data, out)
            case b"contentBlockStop":
                self.stop(_STOP.decode(data).content_block_index, out)
            case b"messageStart":
                out.append(Started())
            case b"messageStop":
                stop = _MESSAGE_STOP.decode(data)
                for index in list(self._blocks):
                    self.stop(index, out)
                self.finish(stop.stop_reason, stop.additional_model_response_fields, out)
                self._is_complete = True
            case b"metadata":
                found = _METADATA.decode(data)
                self.account(found.usage, found.trace, out)
                self._is_over = self._is_complete
            case None:
                raise ValueError("an event without a name")
            case _ if name.startswith(EXCEPTION):
                out.append(Failed(parse_exception(name.removeprefix(EXCEPTION).decode("utf-8", "replace"), data)))
            case _:
                out.append(Extra(name.decode("utf-8", "replace")))

    def _begin(self, index: int, kind: str, out: list[Event]) -> None:
        """A text or reasoning block begins to give output."""
        if self._last == kind and (kind == "text" or index not in self._blocks):
            out.append(BlockBreak())
        self._last = kind
        self._text_index = index if kind == "text" else -1

    def _delta(self, event: _DeltaEvent, data: bytes, out: list[Event]) -> None:
        delta, index = event.delta, event.content_block_index
        if delta.tool_use is not None:
            self._arguments(index, delta.tool_use.input, out)
        elif delta.reasoning_content is not None:
            self.reason(index, delta.reasoning_content, out)
        elif delta.citation:
            out.append(Extra("citations"))
        else:
            kinds = _KEYS.decode(bytes(_KEYS.decode(data)["delta"]))
            out.extend(Extra(kind) for kind in kinds if kind != "toolResult")  # its start was named

    def _arguments(self, index: int, raw: _Raw, out: list[Event]) -> None:
        state = self._blocks.get(index)
        if state is None:
            raise ValueError(f"a piece of a call in content block {index}, which was never started")
        piece = _STRING.decode(raw) if raw else ""
        if state.call >= 0 and piece:
            state.wrote = True
            out.append(ToolCallDelta(state.call, piece))

    def start(self, index: int, start: _Start, data: bytes, out: list[Event]) -> None:
        """A block begins that says what it is."""
        if start.tool_use is not None:
            self.call(index, start.tool_use, out)
        elif start.tool_result is not None:
            out.append(Extra(start.tool_result.type or "toolResult"))
        else:
            out.extend(Extra(kind) for kind in _KEYS.decode(bytes(_KEYS.decode(data).get("start", b"{}"))))

    def call(self, index: int, use: _Use, out: list[Event]) -> None:
        """A call of a client's tool begins, or of one that runs at the provider."""
        self._text_index = -1
        if use.type == "server_tool_use":
            self._blocks[index] = _Open()
            out.append(Extra("server_tool_use"))
            return
        state = self._blocks[index] = _Open(self._calls)
        self._calls, self._last = self._calls + 1, "tool"
        out.append(ToolCallStarted(state.call, use.tool_use_id or f"tooluse_{self._seed}_{state.call}", use.name))

    def reason(self, index: int, found: _Reasoning, out: list[Event]) -> None:
        """A piece of reasoning: its text, its proof, or a proof without any text."""
        if found.redacted_content is not None:
            self._last, self._text_index = "redacted", -1
            out.append(ReasoningSignature(redacted_of(found.redacted_content), redacted=True))
            return
        if found.text:
            if self._last != "reasoning" or index not in self._blocks:
                self._begin(index, "reasoning", out)
            out.append(ReasoningDelta(found.text))
        state = self._blocks.setdefault(index, _Open())
        state.wrote = state.wrote or bool(found.text)
        state.signature = found.signature or state.signature  # the last one counts, as in Anthropic's own SDKs

    def stop(self, index: int, out: list[Event]) -> None:
        """A block ends: what only now is certain goes out."""
        state = self._blocks.pop(index, None)
        if state is None:
            return
        if state.call >= 0 and not state.wrote:
            out.append(ToolCallDelta(state.call, "{}"))
        if state.signature:
            if self._last == "reasoning" and not state.wrote:
                out.append(BlockBreak())  # else it would be the proof of the block before
            self._last = "reasoning"
            out.append(ReasoningSignature(state.signature))

    def block(self, index: int, raw: _Raw, out: list[Event]) -> None:
        """A whole content block."""
        block = _BLOCK.decode(raw)
        if block.text is not None:
            self.text(index, block.text, out)
        elif block.tool_use is not None:
            self.call(index, block.tool_use, out)
            state, given = self._blocks[index], bytes(block.tool_use.input).decode()
            if state.call >= 0 and given not in ("", "null", "{}"):
                state.wrote = True
                text = _STRING.decode(given) if given.startswith('"') else given
                out.append(ToolCallDelta(state.call, text))
        elif block.reasoning_content is not None:
            found = block.reasoning_content
            if found.reasoning_text is not None:
                found = _Reasoning(found.reasoning_text.text, found.reasoning_text.signature)
            self.reason(index, found, out)
        elif block.citations_content is not None:
            pieces = (piece.get("text") for piece in block.citations_content.content)
            self.text(index, "".join(piece for piece in pieces if isinstance(piece, str)), out)
            if block.citations_content.citations:
                out.append(Extra("citations"))
        elif block.tool_result is not None:
            out.append(Extra(block.tool_result.type or "toolResult"))
        else:
            out.extend(Extra(kind) for kind in _KEYS.decode(raw))
        self.stop(index, out)

    def text(self, index: int, text: str, out: list[Event]) -> None:
        """Text of a whole block."""
        if text:
            self._begin(index, "text", out)
            out.append(TextDelta(text))

    def finish(self, reason: str, fields: Any, out: list[Event]) -> None:
        """The model stopped, for a reason that may be unknown here."""
        out.append(Finished(FINISH.get(reason, "stop"), _sequence(fields)))
        if reason not in FINISH:
            out.append(Extra(f"stopReason={reason}"))

    def account(self, counts: _Counts | None, trace: Any, out: list[Event]) -> None:
        """What was used; a guardrail's or a router's account of itself has no canonical form."""
        if counts is not None:
            out.append(UsageSeen(read_usage(counts)))
        if trace:
            out.append(Extra("trace"))


def _sequence(fields: Any) -> str | None:
    """The stop sequence among the fields that were asked for (`writer.STOP_PATHS`)."""
    for holder in (fields, fields.get("delta") if isinstance(fields, dict) else None):
        if isinstance(holder, dict) and isinstance(found := holder.get("stop_sequence"), str):
            return found
    return None


def read_usage(counts: _Counts) -> Usage:
    """The counts in disjoint buckets: caches stand beside the input, and the total is the sum of all four (recordings).
    What was written to a cache for an hour is in `cacheDetails` (AWS API reference, TokenUsage, November 2026)."""
    read, wrote = counts.cache_read_input_tokens or 0, counts.cache_write_input_tokens or 0
    total, details = counts.total_tokens, counts.cache_details
    apart = details if isinstance(details, list) else []
    hours = [one.get("inputTokens") for one in apart if isinstance(one, dict) and one.get("ttl") == "1h"]
    counted = counts.input_tokens + read + wrote + counts.output_tokens
    stray = total - counted if total is not None else 0
    return Usage(
        counts.input_tokens,
        read,
        wrote,
        counts.output_tokens + max(stray, 0),
        parts=kinds(("cache_write_1h", count) for count in hours),
        stray=stray,
    )


def parse_answer(data: bytes, seed: str) -> list[Event]:
    """Reads a whole answer.

    Raises:
        ValueError, msgspec.DecodeError: it is none.
    """
    answer, out = _ANSWER.decode(data), list[Event]()
    parser = StreamParser(seed)
    out.append(Started())
    for index, raw in enumerate(answer.output.message.content):
        parser.block(index, raw, out)
    parser.finish(answer.stop_reason, answer.additional_model_response_fields, out)
    parser.account(answer.usage, answer.trace, out)
    return out
