"""Canonical events -> a chat answer of Cohere.

Content blocks are numbered from 0 and open one at a time; tool calls have numbers of their own and may interleave, so
they are closed at the end. Reasoning is a `thinking` block, whatever provider it is from.

What has no place here is named in `losses`: further choices, signatures, every `Extra`, pauses and content filters.
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
from afterbay.wire.dialect import Head

FINISH: dict[FinishReason, str] = {
    "stop": "COMPLETE",
    "stop_sequence": "STOP_SEQUENCE",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_CALL",
    "content_filter": "COMPLETE",
    "pause": "COMPLETE",
    "error": "ERROR",
}
_UNSAID: frozenset[FinishReason] = frozenset({"content_filter", "pause"})

_TEXT = b'event: content-delta\ndata: {"type":"content-delta","index":%d,"delta":{"message":{"content":{"%b":%b}}}}\n\n'

_encode = msgspec.json.Encoder().encode


def _sse(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _encode(event))


def usage_object(usage: Usage) -> dict[str, Any]:
    """Counts as this protocol has them: the cache inside the input, reasoning inside the output. What the provider
    would bill is not ours to say."""
    tokens = {"input_tokens": usage.total_input, "output_tokens": usage.total_output}
    if usage.reasoning_tokens:
        tokens["reasoning_tokens"] = usage.reasoning_tokens
    return {"tokens": tokens, "cached_tokens": usage.cached_input_tokens}


class Renderer:
    """Writes one answer. See `afterbay.wire.dialect.Renderer`."""

    def __init__(self, head: Head) -> None:
        self.losses: set[str] = set()
        self._head = head
        self._id = ""
        self._began = False
        self._index = -1
        self._open = b""
        """Field of the open content block: `text`, `thinking`, or none."""
        self._calls: list[int] = []
        self._finish: FinishReason = "stop"
        self._usage: Usage | None = None

    def render(self, events: Sequence[Event]) -> bytes:
        """See `afterbay.wire.dialect.Renderer`."""
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta(choice=0) | RefusalDelta(choice=0):
                    self._add(b"text", event.text, out)
                case ReasoningDelta(choice=0):
                    self._add(b"thinking", event.text, out)
                case Extra():
                    self.losses.add(event.kind)
                case UsageSeen():
                    self._usage = event.usage
                case Started():
                    self._id = self._id or event.id
                case _:
                    self._other(event, out)
        return b"".join(out)

    def _other(self, event: Event, out: list[bytes]) -> None:
        if getattr(event, "choice", 0) != 0:
            self.losses.add("choices")
            return
        match event:
            case ToolCallStarted():
                if event.signature is not None:
                    self.losses.add("tool_call.signature")
                self._close(out)
                self._calls.append(event.call)
                function = {"name": event.name, "arguments": ""}
                call = {"id": event.id, "type": "function", "function": function}
                out.append(self._call("tool-call-start", event.call, call))
            case ToolCallDelta() if event.arguments:
                out.append(self._call("tool-call-delta", event.call, {"function": {"arguments": event.arguments}}))
            case ReasoningSignature():
                self.losses.add("reasoning.signature")
            case BlockBreak():
                self._close(out)
            case Finished():
                self._finish = event.reason
            case _:  # Failed is the driver's
                pass

    def _begin(self, out: list[bytes]) -> None:
        if self._began:
            return
        self._began = True
        message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        start = {"type": "message-start", "id": self._id or self._head.seed, "delta": {"message": message}}
        out.append(_sse(start))

    def _add(self, kind: bytes, text: str, out: list[bytes]) -> None:
        if not text:
            return
        if self._open != kind:
            self._close(out)
            self._index += 1
            self._open = kind
            content = {"type": kind.decode(), kind.decode(): ""}
            delta = {"message": {"content": content}}
            out.append(_sse({"type": "content-start", "index": self._index, "delta": delta}))
        out.append(_TEXT % (self._index, kind, _encode(text)))

    def _close(self, out: list[bytes]) -> None:
        """Ends the open content block; before the first output, begins the answer."""
        self._begin(out)
        if self._open:
            self._open = b""
            out.append(_sse({"type": "content-end", "index": self._index}))

    def _call(self, kind: str, index: int, call: dict[str, Any]) -> bytes:
        return _sse({"type": kind, "index": index, "delta": {"message": {"tool_calls": call}}})

    def finish(self, note: Mapping[str, object] | None = None) -> bytes:
        """See `afterbay.wire.dialect.Renderer`."""
        out: list[bytes] = []
        self._close(out)
        out += (_sse({"type": "tool-call-end", "index": call}) for call in self._calls)
        if self._finish in _UNSAID:
            self.losses.add(f"finish.{self._finish}")
        delta: dict[str, Any] = {"finish_reason": FINISH[self._finish]}
        if self._usage is not None:
            delta["usage"] = usage_object(self._usage)
        if note:
            delta["afterbay"] = note
        out += (_sse({"type": "message-end", "delta": delta}), b"data: [DONE]\n\n")
        return b"".join(out)

    def fail(self, error: GatewayError) -> bytes:
        """See `afterbay.wire.dialect.Renderer`. The protocol's end of a failed answer names the error."""
        return _sse({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": error.text()}})

    def ping(self) -> bytes:
        """A comment: the protocol has no ping."""
        return b": ping\n\n"


def render_answer(reply: Reply, head: Head, note: Mapping[str, object] | None = None) -> tuple[bytes, tuple[str, ...]]:
    """The whole answer, and what it had no place for; `note` goes beside the usage as `afterbay`."""
    losses = dict.fromkeys(reply.extras)
    if len(reply.choices) > 1:
        losses["choices"] = None
    choice = reply.choices[0]
    message: dict[str, Any] = {"role": "assistant"}
    content = [block for part in choice.message.parts if (block := _block(part, losses)) is not None]
    calls = [_call(part, losses) for part in choice.message.parts if isinstance(part, ToolUse)]
    if content or not calls:
        message["content"] = content
    if calls:
        message["tool_calls"] = calls
    reason = choice.finish or "stop"
    if reason in _UNSAID:
        losses[f"finish.{reason}"] = None
    body = {"id": reply.id or head.seed, "message": message, "finish_reason": FINISH[reason]}
    if reply.usage is not None:
        body["usage"] = usage_object(reply.usage)
    return _encode(body | ({"afterbay": note} if note else {})), tuple(losses)


def _block(part: Part, losses: dict[str, None]) -> dict[str, Any] | None:
    match part:
        case Text() | Refusal():
            return {"type": "text", "text": part.text} if part.text else None
        case Thinking():
            if part.signature is not None or part.redacted is not None:
                losses["reasoning.signature"] = None
            return {"type": "thinking", "thinking": part.text} if part.text else None
        case ToolUse():
            return None
        case _:
            losses[f"{type(part).__name__.lower()} in an answer"] = None
            return None


def _call(use: ToolUse, losses: dict[str, None]) -> dict[str, Any]:
    if use.signature is not None:
        losses["tool_call.signature"] = None
    return {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": use.arguments or "{}"}}
