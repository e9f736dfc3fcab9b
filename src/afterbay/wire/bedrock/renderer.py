"""Canonical events -> a Converse answer, whole or in frames. No client asks for it: the emulator and the tests do.

Deltas carry the number of their block, so calls that interleave need no queue: text and reasoning end when another
block begins, calls end with the answer. What has no place here is named in `losses`: further choices, signatures of
calls, the kind of a pause, every `Extra`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from afterbay.core.errors import GatewayError
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
    Reply,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
)
from afterbay.core.message import Part, Refusal, Text, Thinking, ToolUse
from afterbay.core.usage import Usage
from afterbay.wire import aws_stream
from afterbay.wire.bedrock.blocks import blob_of
from afterbay.wire.bedrock.errors import exception_of
from afterbay.wire.dialect import Head
from afterbay.wire.tool_input import answered_input

_STOP: dict[FinishReason, str] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
    "pause": "end_turn",
    "error": "malformed_model_output",
}
_ENCODE = msgspec.json.Encoder().encode


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.total_output,
        "totalTokens": usage.total,
        "cacheReadInputTokens": usage.cached_input_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
    }


def _stop(finish: FinishReason | None, sequence: str | None, has_calls: bool, refused: bool) -> dict[str, Any]:
    """`stopReason`, and the stop sequence where it is told."""
    if refused and finish in (None, "stop"):
        reason = "content_filtered"
    elif finish is None:
        reason = "tool_use" if has_calls else "end_turn"
    else:
        reason = _STOP[finish]
    stop: dict[str, Any] = {"stopReason": reason}
    if sequence is not None and reason == "stop_sequence":
        stop["additionalModelResponseFields"] = {"stop_sequence": sequence}
    return stop


class StreamRenderer:
    """Writes one streamed answer; see `afterbay.wire.dialect.Renderer`."""

    def __init__(self, head: Head) -> None:
        self.losses: set[str] = set()
        self._head = head
        self._began = self._failed = self._refused = False
        self._usage: Usage | None = None
        self._finish: Finished | None = None
        self._next = 0
        self._open = -1  # the text or reasoning block that takes more
        self._kind = ""
        self._calls: dict[int, int] = {}

    def render(self, events: Sequence[Event]) -> bytes:
        """The frames of these events."""
        out: list[bytes] = []
        for event in events:
            if self._failed:
                break
            self._take(event, out)
        return b"".join(out)

    def _take(self, event: Event, out: list[bytes]) -> None:
        match event:
            case UsageSeen():
                self._usage = event.usage
            case Extra():
                self.losses.add(event.kind)
            case Failed():
                self._failed = True
                out.append(_exception(event.error.kind, event.error.message))
            case Started():
                self._begin(out)
            case _ if event.choice:
                self.losses.add("choices")
            case _:
                self._begin(out)
                self._output(event, out)

    def _output(self, event: Event, out: list[bytes]) -> None:
        match event:
            case TextDelta() | RefusalDelta():
                self._refused |= isinstance(event, RefusalDelta)
                if event.text:
                    self._delta(self._block("text", out), {"text": event.text}, out)
            case ReasoningDelta():
                if event.text:
                    self._delta(self._block("reasoning", out), {"reasoningContent": {"text": event.text}}, out)
            case ReasoningSignature():
                key, data = ("redactedContent", blob_of(event.data)) if event.redacted else ("signature", event.data)
                index = self._block("redacted" if event.redacted else "reasoning", out)
                self._delta(index, {"reasoningContent": {key: data}}, out)
                self._end(out)
            case ToolCallStarted():
                self._call(event, out)
            case ToolCallDelta():
                if event.call in self._calls:
                    self._delta(self._calls[event.call], {"toolUse": {"input": event.arguments}}, out)
            case BlockBreak():
                self._end(out)
            case Finished():
                self._finish = event
            case _:
                pass

    def _begin(self, out: list[bytes]) -> None:
        if not self._began:
            self._began = True
            out.append(_event("messageStart", {"role": "assistant"}))

    def _block(self, kind: str, out: list[bytes]) -> int:
        """The number of the open block of this kind, a new one if need be."""
        if self._kind != kind:
            self._end(out)
            self._open, self._kind, self._next = self._next, kind, self._next + 1
        return self._open

    def _end(self, out: list[bytes]) -> None:
        if self._kind:
            out.append(_event("contentBlockStop", {"contentBlockIndex": self._open}))
            self._kind = ""

    def _delta(self, index: int, delta: dict[str, Any], out: list[bytes]) -> None:
        out.append(_event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}))

    def _call(self, event: ToolCallStarted, out: list[bytes]) -> None:
        self._end(out)
        if event.signature is not None:
            self.losses.add("tool_call.signature")
        index = self._calls[event.call] = self._next
        self._next += 1
        start = {"toolUse": {"toolUseId": event.id, "name": event.name}}
        out.append(_event("contentBlockStart", {"contentBlockIndex": index, "start": start}))

    def finish(self, note: Mapping[str, object] | None = None) -> bytes:
        """Closes all blocks, then `messageStop`, then `metadata` with usage and `note`."""
        if self._failed:
            return b""
        out: list[bytes] = []
        self._begin(out)
        self._end(out)
        out += [_event("contentBlockStop", {"contentBlockIndex": index}) for index in self._calls.values()]
        done = self._finish
        reason, sequence = (done.reason, done.stop_sequence) if done is not None else (None, None)
        if reason == "pause":
            self.losses.add("finish.pause")
        out.append(_event("messageStop", _stop(reason, sequence, bool(self._calls), self._refused)))
        usage = self._usage or Usage(self._head.input_tokens)
        last = {"usage": _usage(usage), "metrics": {"latencyMs": 0}, **({"afterbay": note} if note else {})}
        out.append(_event("metadata", last))
        return b"".join(out)

    def fail(self, error: GatewayError) -> bytes:
        """An exception frame; the stream is over."""
        self._failed = True
        return _exception(error.kind, error.text())

    def ping(self) -> bytes:
        """Nothing: the protocol has no such frame."""
        return b""


def _event(name: str, payload: dict[str, Any]) -> bytes:
    return aws_stream.event(name, _ENCODE(payload))


def _exception(kind: Any, message: str) -> bytes:
    return aws_stream.exception(exception_of(kind), _ENCODE({"message": message}))


def render_answer(reply: Reply, head: Head, note: Mapping[str, object] | None = None) -> tuple[bytes, tuple[str, ...]]:
    """The whole answer, and what it had no place for."""
    losses = dict.fromkeys(reply.extras)
    if len(reply.choices) > 1:
        losses["choices"] = None
    choice = reply.choices[0]
    parts = choice.message.parts
    if choice.finish == "pause":
        losses["finish.pause"] = None
    has_calls = any(isinstance(part, ToolUse) for part in parts)
    refused = any(isinstance(part, Refusal) for part in parts)
    body = {
        "output": {
            "message": {
                "role": "assistant",
                "content": [block for part in parts if (block := _whole(part, losses)) is not None],
            }
        },
        **_stop(choice.finish, choice.stop_sequence, has_calls, refused),
        "usage": _usage(reply.usage or Usage(head.input_tokens)),
        "metrics": {"latencyMs": 0},
        **({"afterbay": note} if note else {}),
    }
    return _ENCODE(body), tuple(losses)


def _whole(part: Part, losses: dict[str, None]) -> dict[str, Any] | None:
    match part:
        case Text() | Refusal():
            return {"text": part.text} if part.text else None
        case Thinking() if part.redacted is not None:
            return {"reasoningContent": {"redactedContent": blob_of(part.redacted)}}
        case Thinking():
            said = {"text": part.text, **({"signature": part.signature} if part.signature else {})}
            return {"reasoningContent": {"reasoningText": said}}
        case ToolUse():
            if part.signature is not None:
                losses["tool_call.signature"] = None
            return {"toolUse": {"toolUseId": part.id, "name": part.name, "input": answered_input(part.arguments)}}
        case _:
            losses[f"{type(part).__name__.lower()} in an answer"] = None
            return None
