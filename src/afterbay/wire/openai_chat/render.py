"""Writing chat completions, whole and streamed, as OpenAI's SDKs read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from afterbay.core.checkpoint import Checkpoint
from afterbay.core.errors import GatewayError
from afterbay.core.event import (
    BlockBreak,
    Choice,
    Event,
    Extra,
    Finished,
    FinishReason,
    ReasoningDelta,
    ReasoningSignature,
    RefusalDelta,
    Reply,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
)
from afterbay.core.message import Refusal, Text, Thinking, ToolUse
from afterbay.core.usage import Usage
from afterbay.wire.dialect import Head
from afterbay.wire.openai_chat.details import Details, details_of
from afterbay.wire.openai_errors import TYPE_OF_KIND

FINISH: dict[FinishReason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "pause": "stop",
    "error": "stop",
}
UNSAID = frozenset({"stop_sequence", "pause", "error"})
"""The dialect has no word for a stop sequence, for a pause or for a failed generation: they are said to be `stop`, and
counted as losses."""

CHOICES = 128
"""The most choices of an answer (OpenAI's limit of `n`). SDKs append choices as they come, so none may be shown before
a lower one; a number beyond this is a provider's mistake and opens no others."""

_encode = msgspec.json.Encoder().encode
_DATA, _END = b"data: ", b"\n\n"


def usage_object(usage: Usage) -> dict[str, Any]:
    """Usage in OpenAI's counting: `prompt_tokens` includes the cache, `completion_tokens` includes reasoning."""
    prompt: dict[str, int] = {"cached_tokens": usage.cached_input_tokens}
    if usage.cache_write_tokens:
        prompt["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": usage.total_input,
        "completion_tokens": usage.total_output,
        "total_tokens": usage.total,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


class ChunkRenderer:
    """Writes a stream of `chat.completion.chunk`.

    The finish reason waits for `finish`, so that the final usage and cost can follow it whatever order they came in.
    """

    def __init__(self, head: Head, given_id: str = "") -> None:
        self.losses: set[str] = set()
        self._head = head
        self._frame = (
            b'{"id":' + _encode(given_id or f"chatcmpl-{head.seed}") + b',"object":"chat.completion.chunk","created":'
            + str(head.created_s).encode() + b',"model":' + _encode(head.model) + b',"choices":['
        )  # fmt: skip
        self._text = _DATA + self._frame + b'{"index":0,"delta":{"content":'
        self._roles: set[int] = set()
        self._blank: dict[tuple[int, int], None] = {}
        self._finished: dict[int, FinishReason] = {}
        self._usage: Usage | None = None
        self._details: dict[int, Details] = {}
        self._hot = False  # whether a text of choice 0 may go straight out

    def go_on(self, sent: Checkpoint) -> None:
        """What was sent before counts as this renderer's own."""
        self._roles.add(0)
        self._blank = {(0, number): None for number, call in sent.calls.items() if not call.arguments.strip()}

    def render(self, events: Sequence[Event]) -> bytes:
        """See `afterbay.wire.dialect.Renderer`."""
        out: list[bytes] = []
        for event in events:
            if type(event) is TextDelta and event.choice == 0 and self._hot:
                out += (self._text, _encode(event.text), b'},"finish_reason":null}]}\n\n')
            else:
                self._hot = False
                self._render_other(event, out)
        return b"".join(out)

    def _render_other(self, event: Event, out: list[bytes]) -> None:
        match event:
            case TextDelta():
                self._close(event.choice)
                self._delta(event.choice, {"content": event.text}, out)
                self._hot = event.choice == 0
            case ReasoningDelta():
                self._details.setdefault(event.choice, Details()).add(event.text)
                self._delta(event.choice, {"reasoning_content": event.text}, out)
            case RefusalDelta():
                self._close(event.choice)
                self._delta(event.choice, {"refusal": event.text}, out)
            case ToolCallStarted():
                self._close(event.choice)
                self._blank[event.choice, event.call] = None
                self._delta(event.choice, {"tool_calls": [_call_start(event)]}, out)
            case ToolCallDelta():
                if event.arguments.strip():
                    self._blank.pop((event.choice, event.call), None)
                piece = {"index": event.call, "function": {"arguments": event.arguments}}
                self._delta(event.choice, {"tool_calls": [piece]}, out)
            case Finished():
                self._finished[event.choice] = event.reason
            case UsageSeen():
                self._usage = event.usage
            case ReasoningSignature():
                proved = self._details.setdefault(event.choice, Details()).sign(event)
                self._delta(event.choice, {"reasoning_details": proved}, out)
            case BlockBreak():
                self._close(event.choice)
            case Extra():
                self.losses.add(event.kind)
            case _:  # Started is in the frame already, Failed is the driver's
                pass

    def _close(self, choice: int) -> None:
        """A block of reasoning ends, if one is open."""
        details = self._details.get(choice)
        if details is not None:
            details.close()

    def _delta(self, choice: int, delta: dict[str, Any], out: list[bytes]) -> None:
        if choice not in self._roles:
            self._roles.add(choice)
            for before in range(min(choice, CHOICES)):
                if before not in self._roles:
                    self._delta(before, {"content": ""}, out)
            delta = (
                {"role": "assistant", "content": None, **delta}
                if "content" not in delta
                else {
                    "role": "assistant",
                    **delta,
                }
            )
        body = _encode({"index": choice, "delta": delta, "finish_reason": None})
        out += (_DATA, self._frame, body, b"]}", _END)

    def finish(self, note: Mapping[str, object] | None = None) -> bytes:
        """See `afterbay.wire.dialect.Renderer`."""
        out: list[bytes] = []
        for choice in sorted(self._finished.keys() - self._roles) if self._finished or self._roles else (0,):
            self._delta(choice, {"content": ""}, out)
        for choice in sorted(self._roles):
            rest = self._details[choice].end() if choice in self._details else []
            if rest:
                self._delta(choice, {"reasoning_details": rest}, out)
            reason = self._finished.get(choice, "stop")
            if reason in UNSAID:
                self.losses.add(f"finish.{reason}")
            if reason != "length":
                self._fill(choice, out)
            last = _encode({"index": choice, "delta": {}, "finish_reason": FINISH[reason]})
            out += (_DATA, self._frame, last, b"]", b"" if self._head.include_usage else _note(note), b"}", _END)
        if self._head.include_usage:
            usage = b',"usage":' + _encode(usage_object(self._usage) if self._usage else None)
            out += (_DATA, self._frame, b"]", usage, _note(note), b"}", _END)
        out.append(b"data: [DONE]\n\n")
        return b"".join(out)

    def _fill(self, choice: int, out: list[bytes]) -> None:
        """Says {} for calls that got no arguments: clients decode the joined pieces as JSON."""
        for of_choice, call in self._blank:
            if of_choice == choice:
                self._delta(choice, {"tool_calls": [{"index": call, "function": {"arguments": "{}"}}]}, out)

    def fail(self, error: GatewayError) -> bytes:
        """See `afterbay.wire.dialect.Renderer`. SDKs raise on a chunk with a top-level `error`; no `[DONE]` follows."""
        body = {"message": error.text(), "type": TYPE_OF_KIND[error.kind], "param": error.param, "code": error.code}
        return _DATA + _encode({"error": body}) + _END

    def ping(self) -> bytes:
        """A comment: the dialect has no ping."""
        return b": ping\n\n"


def _note(note: Mapping[str, object] | None) -> bytes:
    return b',"afterbay":' + _encode(note) if note else b""


def _call_start(event: ToolCallStarted) -> dict[str, Any]:
    function = {"name": event.name, "arguments": ""}
    call: dict[str, Any] = {"index": event.call, "id": event.id, "type": "function", "function": function}
    if event.signature is not None:
        call["extra_content"] = {"google": {"thought_signature": event.signature}}
    return call


def render_answer(reply: Reply, head: Head, note: Mapping[str, object] | None = None) -> tuple[bytes, tuple[str, ...]]:
    """A whole answer as `chat.completion`, and what the dialect has no place for."""
    losses = set(reply.extras)
    body: dict[str, Any] = {
        "id": f"chatcmpl-{head.seed}",
        "object": "chat.completion",
        "created": head.created_s,
        "model": head.model,
        "choices": [_choice(index, choice, losses) for index, choice in enumerate(reply.choices)],
    }
    if reply.usage is not None:
        body["usage"] = usage_object(reply.usage)
    if note:
        body["afterbay"] = note
    return _encode(body), tuple(sorted(losses))


def _choice(index: int, choice: Choice, losses: set[str]) -> dict[str, Any]:
    parts = choice.message.parts
    texts = [part.text for part in parts if isinstance(part, Text)]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    message["refusal"] = "".join(part.text for part in parts if isinstance(part, Refusal)) or None
    reasoning = "".join(part.text for part in parts if isinstance(part, Thinking))
    if reasoning:
        message["reasoning_content"] = reasoning
    details = details_of(parts)
    if details:
        message["reasoning_details"] = details
    calls = [_call(part) for part in parts if isinstance(part, ToolUse)]
    if calls:
        message["tool_calls"] = calls
    reason = choice.finish or "stop"
    if reason in UNSAID:
        losses.add(f"finish.{reason}")
    return {"index": index, "message": message, "logprobs": None, "finish_reason": FINISH[reason]}


def _call(use: ToolUse) -> dict[str, Any]:
    function = {"name": use.name, "arguments": use.arguments or "{}"}
    call: dict[str, Any] = {"id": use.id, "type": "function", "function": function}
    if use.signature is not None:
        call["extra_content"] = {"google": {"thought_signature": use.signature}}
    return call
