"""Canonical events -> a Messages answer.

The protocol shows one content block at a time, numbered from 0. Other dialects interleave: a second tool call may open
while the first still gets pieces. So blocks stand in a queue: the first is live and streams, later ones collect. A
text or thinking block ends as soon as another follows it; a tool call ends once its arguments are whole JSON, or when
the answer ends. In the usual case (calls one after the other) nothing waits.

What has no place here is named in `losses`: further choices, signatures of tool calls, every `Extra`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from afterbay.core.checkpoint import Checkpoint
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
from afterbay.wire.anthropic_messages.block import Block
from afterbay.wire.anthropic_messages.errors import error_object
from afterbay.wire.dialect import Head
from afterbay.wire.tool_input import answered_input

_STOP: dict[FinishReason, str] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "pause": "pause_turn",
    "error": "end_turn",
}

_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b":'
_KEY = {
    "text": b'text_delta","text',
    "refusal": b'text_delta","text',
    "thinking": b'thinking_delta","thinking',
    "tool": b'input_json_delta","partial_json',
}
_STOP_BLOCK = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'

_ENCODE = msgspec.json.Encoder().encode


def _sse(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _ENCODE(event))


def usage_object(usage: Usage) -> dict[str, Any]:
    """Counts as this protocol has them: input without cache, output with thinking."""
    counts: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.total_output,
    }
    if usage.reasoning_tokens > 0:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return counts


def message_id(given: str, seed: str) -> str:
    """The provider's own id if it is one of this protocol, else one made of `seed`."""
    return given if given.startswith("msg_") else f"msg_{seed}"


def stop_reason(finish: FinishReason | None, has_calls: bool, refused: bool) -> str:
    """The provider's reason in this protocol's words. A refusal is told here only; no reason at all is filled in.

    An end that the provider calls `stop` stays `end_turn` beside tool calls (OpenAI says so after a forced call).
    """
    if refused and finish in (None, "stop"):
        return "refusal"
    if finish is None:
        return "tool_use" if has_calls else "end_turn"
    return _STOP[finish]


class Renderer:
    """Writes one streamed answer; see `afterbay.wire.dialect.Renderer`."""

    def __init__(self, head: Head) -> None:
        self.losses: set[str] = set()
        self._head = head
        self._id = ""
        self._began = self._failed = self._refused = False
        self._usage: Usage | None = None
        self._finish: Finished | None = None
        self._queue: deque[Block] = deque()
        self._calls: dict[int, Block] = {}
        self._index = -1
        self._hot = b""  # start of a delta of the live text block, b"" when text may not go straight out

    def go_on(self, index: int, kind: str, sent: Checkpoint) -> None:
        """What was sent before counts as this renderer's own: blocks up to `index`, of which the last is open if it has
        a `kind`."""
        self._began, self._index = True, index
        for number, call in sent.calls.items():
            block = self._calls[number] = Block("tool", call.id, call.name)
            block.pieces = list(call.pieces)
            block.closed = True
        if kind == "tool":
            block = self._calls[max(self._calls)] if self._calls else Block(kind)
            block.closed = False
            self._queue.append(block)
        elif kind:
            self._queue.append(Block(kind))

    def render(self, events: Sequence[Event]) -> bytes:
        """The bytes of these events."""
        if self._failed:
            return b""
        out: list[bytes] = []
        for event in events:
            if type(event) is TextDelta and self._hot and event.choice == 0:
                out.append(b"%b%b}}\n\n" % (self._hot, _ENCODE(event.text)))
            elif self._take(event, out):
                return b"".join(out)
        if not self._began and events:
            self._begin(out)
        return b"".join(out)

    def finish(self, note: Mapping[str, object] | None = None) -> bytes:
        """Closes all blocks, then stop reason with usage (and `note` beside it), then `message_stop`."""
        if self._failed:
            return b""
        out: list[bytes] = []
        self._begin(out)
        self._drain(out, force=True)
        done = self._finish
        reason = stop_reason(done.reason if done else None, bool(self._calls), self._refused)
        if done is not None and done.reason == "error":
            self.losses.add("finish.error")
        sequence = done.stop_sequence if done is not None and reason == "stop_sequence" else None
        usage = self._usage or Usage(self._head.input_tokens)
        out.append(
            _sse(
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": reason, "stop_sequence": sequence},
                    "usage": usage_object(usage),
                    **({"afterbay": note} if note else {}),
                },
            ),
        )
        out.append(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
        return b"".join(out)

    def fail(self, error: GatewayError) -> bytes:
        """An error event; the stream is over."""
        self._failed = True
        return _sse(error_object(error.kind, error.text(), error.status, error.code))

    def ping(self) -> bytes:
        """The protocol's own ping; SDKs skip it, also before `message_start`."""
        return b"" if self._failed else _PING

    def _take(self, event: Event, out: list[bytes]) -> bool:
        """Whether the stream is over."""
        match event:
            case Started():
                self._id = event.id or self._id
                return False
            case UsageSeen():
                self._usage = event.usage
                return False
            case Extra():
                self.losses.add(event.kind)
                return False
            case Failed():
                self._failed = True
                out.append(_sse(error_object(event.error.kind, event.error.message, event.error.status, None)))
                return True
            case _:
                pass
        if event.choice:
            self.losses.add("choices")
            return False
        self._begin(out)
        self._hot = b""
        self._output(event, out)
        if self._queue:
            self._drain(out)
        return False

    def _output(self, event: Event, out: list[bytes]) -> None:
        match event:
            case TextDelta():
                self._add("text", event.text, out)
            case ReasoningDelta():
                self._add("thinking", event.text, out)
            case RefusalDelta():
                self._refused = True
                self._add("refusal", event.text, out)
            case ReasoningSignature():
                self._sign(event, out)
            case ToolCallStarted():
                if event.signature is not None:
                    self.losses.add("tool_call.signature")
                self._calls[event.call] = self._append(Block("tool", event.id, event.name), out)
            case ToolCallDelta():
                self._argument(event, out)
            case BlockBreak():
                if self._queue:
                    self._queue[-1].broken = True
            case Finished():
                self._finish = event
            case _:
                pass

    def _begin(self, out: list[bytes]) -> None:
        if self._began:
            return
        self._began = True
        usage = self._usage or Usage(self._head.input_tokens)
        message: dict[str, Any] = {
            "id": message_id(self._id, self._head.seed),
            "type": "message",
            "role": "assistant",
            "model": self._head.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_object(usage),
        }
        out.append(_sse({"type": "message_start", "message": message}))

    def _append(self, block: Block, out: list[bytes]) -> Block:
        self._queue.append(block)
        if len(self._queue) == 1:
            self._open(block, out)
        return block

    def _open(self, block: Block, out: list[bytes]) -> None:
        self._index += 1
        out.append(_sse({"type": "content_block_start", "index": self._index, "content_block": block.opening()}))
        if block.pieces:
            out.append(self._piece(block.kind, "".join(block.pieces)))
        if block.signature and block.kind == "thinking":
            out.append(self._signature(block.signature))

    def _piece(self, kind: str, text: str) -> bytes:
        return b"%b%b}}\n\n" % (_DELTA % (self._index, _KEY[kind]), _ENCODE(text))

    def _signature(self, signature: str) -> bytes:
        delta = {"type": "signature_delta", "signature": signature}
        return _sse({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _add(self, kind: str, text: str, out: list[bytes]) -> None:
        if not text:
            return
        last = self._queue[-1] if self._queue else None
        if last is None or last.kind != kind or last.broken:
            last = self._append(Block(kind), out)
        if last is not self._queue[0]:
            last.pieces.append(text)
            return
        out.append(self._piece(kind, text))
        if kind == "text":
            self._hot = _DELTA % (self._index, _KEY[kind])

    def _sign(self, event: ReasoningSignature, out: list[bytes]) -> None:
        if event.redacted:
            block = Block("redacted")
            block.signature = event.data
            self._append(block, out)
            block.broken = True
            return
        last = self._queue[-1] if self._queue else None
        if last is None or last.kind != "thinking" or last.broken:
            last = self._append(Block("thinking"), out)
        last.signature, last.broken = event.data, True
        if last is self._queue[0]:
            out.append(self._signature(event.data))

    def _argument(self, event: ToolCallDelta, out: list[bytes]) -> None:
        block = self._calls.get(event.call)
        if block is None or block.closed:
            if event.arguments.strip():
                self.losses.add("tool_call.late_arguments")
            return
        if not block.pieces and event.arguments.strip() == "null":
            return  # some models write null for no arguments; the input {} of the start says it properly
        if event.arguments:
            block.pieces.append(event.arguments)
            if block is self._queue[0]:
                out.append(self._piece("tool", event.arguments))

    def _drain(self, out: list[bytes], force: bool = False) -> None:
        """Closes live blocks that are whole while others wait behind them; with `force`, all."""
        while len(self._queue) > 1 or (force and self._queue):
            if not force and not self._queue[0].is_whole():
                return
            out.append(_STOP_BLOCK % self._index)
            self._queue.popleft().closed = True
            if self._queue:
                self._open(self._queue[0], out)


def render_answer(reply: Reply, head: Head, note: Mapping[str, object] | None = None) -> tuple[bytes, tuple[str, ...]]:
    """The whole answer, and what it had no place for; `note` goes beside the usage as `afterbay`."""
    losses = dict.fromkeys(reply.extras)
    if len(reply.choices) > 1:
        losses["choices"] = None
    choice = reply.choices[0]
    parts = choice.message.parts
    has_calls = any(isinstance(part, ToolUse) for part in parts)
    reason = stop_reason(choice.finish, has_calls, any(isinstance(part, Refusal) for part in parts))
    if choice.finish == "error":
        losses["finish.error"] = None
    message = {
        "id": message_id(reply.id, head.seed),
        "type": "message",
        "role": "assistant",
        "model": head.model,
        "content": [block for part in parts if (block := _block(part, losses)) is not None],
        "stop_reason": reason,
        "stop_sequence": choice.stop_sequence if reason == "stop_sequence" else None,
        "usage": usage_object(reply.usage or Usage(head.input_tokens)),
        **({"afterbay": note} if note else {}),
    }
    return _ENCODE(message), tuple(losses)


def _block(part: Part, losses: dict[str, None]) -> dict[str, Any] | None:
    match part:
        case Text() | Refusal():
            return {"type": "text", "text": part.text} if part.text else None
        case Thinking() if part.redacted is not None:
            return {"type": "redacted_thinking", "data": part.redacted}
        case Thinking():
            return {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}
        case ToolUse():
            if part.signature is not None:
                losses["tool_call.signature"] = None
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": answered_input(part.arguments)}
        case _:
            losses[f"{type(part).__name__.lower()} in an answer"] = None
            return None
