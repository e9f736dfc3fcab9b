"""Events -> an answer for Gemini clients, streamed or whole.

Tool calls are held back until they are whole, since Gemini has no pieces of arguments. The finish reasons and the
usage come in one last chunk, as Gemini does it.
No place, so a declared loss: a redacted thought, a signature that is not base64 (google-genai fails on it), a refusal's
being apart, `stop_sequence` and `pause`, the count of cache writes (they stay in the prompt's), and a call whose
arguments are no JSON object: the client would run it with other arguments than the model gave.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from afterbay.core.errors import GatewayError
from afterbay.core.event import (
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
from afterbay.core.message import Part, Refusal, Text, Thinking, ToolUse
from afterbay.core.usage import Usage
from afterbay.wire.dialect import Head
from afterbay.wire.gemini.errors import render_error
from afterbay.wire.gemini.finish import SAID

_ENCODE = msgspec.json.Encoder().encode
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_END = b"\r\n\r\n"


class _Call:
    """One call while its arguments arrive."""

    __slots__ = ("id", "name", "pieces", "signature")

    def __init__(self, event: ToolCallStarted) -> None:
        self.id, self.name, self.signature = event.id, event.name, event.signature
        self.pieces: list[str] = []


class StreamRenderer:
    """Writes one streamed answer (`alt=sse`)."""

    def __init__(self, head: Head) -> None:
        self.losses: set[str] = set()
        self._tail = b"," + _identity(head)[1:] + _END
        self._frames: dict[int, bytes] = {0: self._frame(0)}
        self._calls: dict[int, dict[int, _Call]] = {}
        self._finishes: dict[int, FinishReason] = {}
        self._broken: set[int] = set()
        self._usage: Usage | None = None

    def render(self, events: Sequence[Event]) -> bytes:
        """The SSE bytes of these events."""
        out: list[bytes] = []
        for event in events:
            if type(event) is TextDelta:
                self._say(b'{"text":' + _ENCODE(event.text) + b"}", event.choice, out)
            elif type(event) is ReasoningDelta:
                self._say(b'{"text":' + _ENCODE(event.text) + b',"thought":true}', event.choice, out)
            else:
                self._other(event, out)
        return b"".join(out)

    def _frame(self, choice: int) -> bytes:
        return b'],"role":"model"},"index":%d}]' % choice + self._tail

    def _say(self, part: bytes, choice: int, out: list[bytes]) -> None:
        if self._calls and choice in self._calls:
            self._flush(choice, out, only_whole=True)
        frame = self._frames.get(choice)
        if frame is None:
            frame = self._frames[choice] = self._frame(choice)
        out.append(b'data: {"candidates":[{"content":{"parts":[' + part + frame)

    def _other(self, event: Event, out: list[bytes]) -> None:
        match event:
            case ReasoningSignature():
                said = _signed(event.data, event.redacted, self.losses)
                if said is not None:
                    self._say(_ENCODE(said), event.choice, out)
            case RefusalDelta():
                self.losses.add("refusal")
                self._say(_ENCODE({"text": event.text}), event.choice, out)
            case ToolCallStarted():
                self._calls.setdefault(event.choice, {})[event.call] = _Call(event)
            case ToolCallDelta():
                call = self._calls.get(event.choice, {}).get(event.call)
                if call is not None:
                    call.pieces.append(event.arguments)
                elif event.arguments.strip():  # its call looked whole and is out already
                    self.losses.add("tool_call.late_arguments")
            case UsageSeen():
                self._usage = event.usage
            case Finished():
                self._finishes[event.choice] = event.reason
            case Extra():
                self.losses.add(event.kind)
            case _:  # Started and BlockBreak say nothing here; Failed comes by `fail`
                pass

    def _flush(self, choice: int, out: list[bytes], *, only_whole: bool) -> None:
        """Writes the open calls of a choice; with `only_whole`, only if all of them can be whole by now."""
        calls = self._calls[choice]
        found = [(call, _arguments("".join(call.pieces))) for call in calls.values()]
        if only_whole and any(arguments is None or not any(call.pieces) for call, arguments in found):
            return
        del self._calls[choice]
        for call, arguments in found:
            use = ToolUse(call.id, call.name, "", call.signature)
            if arguments is None:
                self._broken.add(choice)
                self.losses.add("tool_call.arguments")
            else:
                self._say(_ENCODE(_called(use, arguments, self.losses)), choice, out)

    def finish(self, note: Mapping[str, object] | None = None) -> bytes:
        """Calls that are still open, then the chunk with finish reasons, usage and `note`."""
        out: list[bytes] = []
        for choice in list(self._calls):
            self._flush(choice, out, only_whole=False)
        candidates = []
        for choice in sorted({0, *self._finishes}):
            reason = _reason(self._finishes.get(choice), choice in self._broken, self.losses)
            content = {"parts": [{"text": ""}], "role": "model"}
            candidates.append({"content": content, **reason, "index": choice})
        said: dict[str, Any] = {"candidates": candidates}
        if self._usage is not None:
            said["usageMetadata"] = _usage(self._usage, self.losses)
        if note:
            said["afterbay"] = note
        out.append(b"data: " + _ENCODE(said)[:-1] + self._tail)
        return b"".join(out)

    def fail(self, error: GatewayError) -> bytes:
        """The error as a chunk of its own, which google-genai raises."""
        return b"data: " + render_error(error) + _END

    def ping(self) -> bytes:
        """A blank line. Not a comment: google-genai 3.6 reads every line that is no `data:` as JSON and fails."""
        return b"\r\n"


def render_answer(reply: Reply, head: Head, note: Mapping[str, object] | None = None) -> tuple[bytes, tuple[str, ...]]:
    """A whole answer and what it leaves out.

    For a stream that the client asked for without `alt=sse`, put it in brackets: an array of one answer.
    """
    losses = set(reply.extras)
    candidates = [_candidate(index, choice, losses) for index, choice in enumerate(reply.choices)]
    said: dict[str, Any] = {"candidates": candidates}
    if reply.usage is not None:
        said["usageMetadata"] = _usage(reply.usage, losses)
    if note:
        said["afterbay"] = note
    return _ENCODE(said)[:-1] + b"," + _identity(head)[1:], tuple(sorted(losses))


def _candidate(index: int, choice: Choice, losses: set[str]) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    broken = False
    for part in choice.message.parts:
        if isinstance(part, ToolUse) and _arguments(part.arguments) is None:
            broken = True
            losses.add("tool_call.arguments")
            continue
        parts += _part(part, losses)
    reason = _reason(choice.finish, broken, losses)
    if choice.stop_sequence is not None:
        losses.add("stop_sequence")
    return {"content": {"parts": parts, "role": "model"}, **reason, "index": index}


def _part(part: Part, losses: set[str]) -> Iterable[dict[str, Any]]:
    match part:
        case Text():
            yield {"text": part.text}
        case Refusal():
            losses.add("refusal")
            yield {"text": part.text}
        case Thinking():
            if part.text:
                yield {"text": part.text, "thought": True}
            for data, redacted in ((part.signature, False), (part.redacted, True)):
                said = _signed(data, redacted, losses) if data else None
                if said is not None:
                    yield said
        case ToolUse():
            yield _called(part, _arguments(part.arguments) or msgspec.Raw(b"{}"), losses)
        case _:  # models of other providers answer with nothing else
            losses.add(type(part).__name__.lower())


def _signed(data: str, redacted: bool, losses: set[str]) -> dict[str, Any] | None:
    """An empty part that holds the signature, as Gemini itself ends a stream."""
    if redacted or not _BASE64.fullmatch(data):
        losses.add("reasoning.redacted" if redacted else "reasoning.signature")
        return None
    return {"text": "", "thoughtSignature": data}


def _called(use: ToolUse, arguments: msgspec.Raw, losses: set[str]) -> dict[str, Any]:
    said: dict[str, Any] = {"functionCall": {"id": use.id, "name": use.name, "args": arguments}}
    if use.signature:
        if _BASE64.fullmatch(use.signature):
            said["thoughtSignature"] = use.signature
        else:
            losses.add("tool_call.signature")
    return said


def _arguments(text: str) -> msgspec.Raw | None:
    """Arguments as an object: nothing and null are the empty one, None is none at all (cut off, a list, ...)."""
    if not text.strip() or text.strip() == "null":
        return msgspec.Raw(b"{}")
    try:
        _OBJECT.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return None
    if "\n" in text or "\r" in text:  # a model that lays its JSON out: a line of a stream must not end in it
        text = msgspec.json.format(text, indent=-1)
    return msgspec.Raw(text.encode())


def _reason(finish: FinishReason | None, broken: bool, losses: set[str]) -> dict[str, Any]:
    """The finish reason. A call that had to be left out is what MALFORMED_FUNCTION_CALL says, unless the answer was
    cut by its limit, which explains it."""
    if finish in ("stop_sequence", "pause"):
        losses.add(finish)
    if broken and finish != "length":
        return {
            "finishReason": "MALFORMED_FUNCTION_CALL",
            "finishMessage": "The model gave arguments that are not a JSON object.",
        }
    return {"finishReason": SAID[finish or "stop"]}


def _usage(usage: Usage, losses: set[str]) -> dict[str, int]:
    said = {"promptTokenCount": usage.total_input, "candidatesTokenCount": usage.output_tokens}
    if usage.cached_input_tokens:
        said["cachedContentTokenCount"] = usage.cached_input_tokens
    if usage.reasoning_tokens:
        said["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.cache_write_tokens:
        losses.add("usage.cache_write_tokens")
    return said | {"totalTokenCount": usage.total}


def _identity(head: Head) -> bytes:
    return _ENCODE({"modelVersion": head.model, "responseId": head.seed})
