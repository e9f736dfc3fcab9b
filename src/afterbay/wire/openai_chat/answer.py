"""Reading chat completions, whole and streamed, from OpenAI and from hosts that speak its dialect their own way.

Accents that the recordings show, all read here: reasoning as `reasoning_content` or `reasoning`, or as `thinking`
parts of a content list (Mistral); tool calls without `index` or `id`; whole calls in one delta; content as an object
(Cloudflare); usage on the finish chunk, on every chunk (cumulative), in a chunk without choices or under `x_groq`;
streams without `[DONE]`; errors as events in a stream.
"""

from __future__ import annotations

from typing import Any

import msgspec

from afterbay.core.event import (
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
from afterbay.core.usage import Kind, Usage, nested
from afterbay.wire.bill import Bill, billed, kinds, searches, service_of, told
from afterbay.wire.openai_chat.details import ENCRYPTED, Detail
from afterbay.wire.openai_errors import read_error

FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "COMPLETE": "stop",
    "STOP": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "MAX_TOKENS": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    extra_content: dict[str, Any] | None = None


class _Said(msgspec.Struct):
    """A `delta` or a `message`: the same fields."""

    content: str | list[Any] | dict[str, Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | dict[str, Any] | None = None
    reasoning_details: list[msgspec.Raw] | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    annotations: msgspec.Raw = msgspec.Raw()
    audio: msgspec.Raw = msgspec.Raw()
    images: msgspec.Raw = msgspec.Raw()


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Said | None = None
    message: _Said | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = msgspec.Raw()


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_creation_tokens: int | None = None
    audio_tokens: Any = None
    image_tokens: Any = None
    video_tokens: Any = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None
    audio_tokens: Any = None
    image_tokens: Any = None


class _Usage(Bill):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    num_cached_tokens: int | None = None
    cached_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Groq(msgspec.Struct):
    usage: _Usage | None = None


class _Body(msgspec.Struct):
    """A chunk or a whole answer."""

    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    x_groq: _Groq | None = None
    service_tier: Any = None
    cost: Any = None
    copilot_usage: Any = None
    error: Any = None
    citations: msgspec.Raw = msgspec.Raw()
    search_results: msgspec.Raw = msgspec.Raw()
    """Perplexity's sources, beside the choices and in every chunk."""


_decode = msgspec.json.Decoder(_Body).decode
_detail = msgspec.json.Decoder(Detail).decode
_NOTHING = (b"", b"null", b"[]", b"{}")


def read_usage(usage: _Usage, body: _Body) -> Usage | None:
    """The counts in disjoint buckets; None where the provider sent no numbers.

    Cached tokens are inside `prompt_tokens`. Reasoning is inside `completion_tokens`, except at hosts whose
    `total_tokens` says that it stands beside (xAI, Perplexity).
    """
    if usage.prompt_tokens is None:
        return None
    details, made = usage.prompt_tokens_details or _PromptDetails(), usage.completion_tokens_details
    read = (
        details.cached_tokens
        or usage.prompt_cache_hit_tokens
        or usage.num_cached_tokens
        or usage.cached_tokens
        or usage.cache_read_input_tokens
        or 0
    )
    counted = nested(
        usage.prompt_tokens,
        usage.completion_tokens or 0,
        cached=read,
        written=details.cache_write_tokens or details.cache_creation_tokens or usage.cache_creation_input_tokens or 0,
        reasoning=(made.reasoning_tokens if made else None) or usage.reasoning_tokens or 0,
        total=usage.total_tokens or None,
        parts=_parts(details, made, searches(usage)),
    )
    cost = told(usage, body.cost, body.copilot_usage)
    return billed(counted, cost, service_of(body.service_tier or usage.service_tier))


def _parts(read: _PromptDetails, made: _CompletionDetails | None, searched: object) -> tuple[tuple[Kind, int], ...]:
    """What of it is of a kind that may have a price of its own."""
    spoken, drawn = (made.audio_tokens, made.image_tokens) if made is not None else (None, None)
    if not (read.audio_tokens or read.image_tokens or read.video_tokens or spoken or drawn or searched):
        return ()
    return kinds(
        (
            ("audio_input", read.audio_tokens),
            ("image_input", read.image_tokens),
            ("video_input", read.video_tokens),
            ("audio_output", spoken),
            ("image_output", drawn),
            ("search", searched),
        )
    )


class _Call:
    """One tool call while its pieces arrive."""

    __slots__ = ("id", "index", "number")

    def __init__(self, number: int, index: int | None, call_id: str) -> None:
        self.number, self.index, self.id = number, index, call_id


class ChunkParser:
    """Reads a stream of `chat.completion.chunk`. `seed` makes ids for calls that came without one."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._started = False
        self._done = False
        self._finishes: dict[int, str] = {}
        self._choices: set[int] = set()
        self._calls: dict[int, list[_Call]] = {}
        self._latest: dict[tuple[int, int], _Call] = {}
        """By choice and index: the last call that came with them."""

    @property
    def is_complete(self) -> bool:
        """`[DONE]`, or a finish reason of every choice: several hosts send no `[DONE]`."""
        return self._done or (bool(self._finishes) and len(self._finishes) >= len(self._choices))

    @property
    def is_over(self) -> bool:
        """`[DONE]` was seen."""
        return self._done

    def push(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        """Reads one SSE event. See `afterbay.wire.dialect.Parser`."""
        if data[:1] == b"[" and data.strip() == b"[DONE]":
            self._done = True
            return
        body = _decode(data)
        if not self._started and (body.id or body.model or body.choices):
            self._started = True
            out.append(Started(body.id or "", body.model or ""))
            _read_sources(body, out)
        if body.error or name == b"error":
            self._count(body, out)  # OpenRouter: what came before the error is billed
            out.append(Failed(read_error(msgspec.json.decode(data), None)))
            return
        if body.choices:
            for choice in body.choices:
                self.read_choice(choice, choice.delta or choice.message, out)
        self._count(body, out)

    def _count(self, body: _Body, out: list[Event]) -> None:
        usage = body.usage or (body.x_groq.usage if body.x_groq else None)
        if usage is not None:
            counted = read_usage(usage, body)
            if counted is not None:
                out.append(UsageSeen(counted))

    def read_choice(self, choice: _Choice, said: _Said | None, out: list[Event]) -> None:
        """Reads one choice of a chunk, or of a whole answer."""
        index = choice.index or 0
        self._choices.add(index)
        if said is not None:
            if said.reasoning_details:
                _read_details(said, said.reasoning_details, index, out)
            elif said.reasoning_content or said.reasoning:
                _read_reasoning(said, index, out)
            content = said.content
            if content:
                if isinstance(content, str):
                    out.append(TextDelta(content, index))
                else:
                    _read_odd_content(content, index, out)
            if said.refusal:
                out.append(RefusalDelta(said.refusal, index))
            if said.tool_calls:
                for call in said.tool_calls:
                    self._read_call(call, index, out)
            if said.function_call is not None and (said.function_call.name or said.function_call.arguments):
                self._read_call(_ToolCall(-1, None, said.function_call), index, out)
            _read_extras(said, out)
        if bytes(choice.logprobs) not in _NOTHING:
            out.append(Extra("logprobs"))
        if choice.finish_reason and self._finishes.get(index) != choice.finish_reason:  # some hosts repeat it
            self._finishes[index] = choice.finish_reason
            out.append(Finished(FINISH.get(choice.finish_reason, "stop"), None, index))
            if choice.finish_reason not in FINISH:
                out.append(Extra(f"finish_reason={choice.finish_reason}"))

    def _read_call(self, call: _ToolCall, choice: int, out: list[Event]) -> None:
        calls = self._calls.setdefault(choice, [])
        function = call.function or _Function()
        known = self._latest.get((choice, call.index)) if call.index is not None else None
        current = _current(calls, known, call, function)
        if current is None:
            number = len(calls)
            current = _Call(number, call.index, call.id or f"call_{self._seed}_{choice}_{number}")
            calls.append(current)
            if call.index is not None:
                self._latest[choice, call.index] = current
            out.append(ToolCallStarted(number, current.id, function.name or "", _signature(call), choice))
        arguments = function.arguments
        if isinstance(arguments, dict):
            arguments = msgspec.json.encode(arguments).decode()
        if arguments:
            out.append(ToolCallDelta(current.number, arguments, choice))


def _current(calls: list[_Call], known: _Call | None, call: _ToolCall, function: _Function) -> _Call | None:
    """The call that this piece continues; None: it begins a new one. `known`: the last one of its index.

    Without an index a name begins a call. With one, a name with another id does: some hosts send all calls of an answer
    with index 0.
    """
    if call.index is None:
        return calls[-1] if calls and not function.name else None
    if known is not None and function.name and call.id and call.id != known.id:
        return None
    return known


def _signature(call: _ToolCall) -> str | None:
    """Gemini's thought signature, where its chat-completions endpoint puts it."""
    google = (call.extra_content or {}).get("google")
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else None


def _read_reasoning(said: _Said, index: int, out: list[Event]) -> None:
    text = said.reasoning_content or said.reasoning
    if isinstance(text, str) and text:
        out.append(ReasoningDelta(text, index))


def _read_details(said: _Said, details: list[msgspec.Raw], index: int, out: list[Event]) -> None:
    """What proves reasoning, in OpenRouter's details. Their text stands beside them as well, as a rule: where it is the
    same, it is told detail by detail, so that each proof follows its own. An encrypted one has fields of its own that
    must come back: it goes to the client whole, as one opaque text."""
    try:
        read = [(_detail(raw), raw) for raw in details]
    except msgspec.ValidationError:
        out.append(Extra("reasoning_details"))  # another host's field of that name
        read = []
    beside = said.reasoning_content or said.reasoning
    is_same = beside == "".join(detail.text or detail.summary or "" for detail, _ in read)
    if not is_same:
        _read_reasoning(said, index, out)
    for detail, raw in read:
        text = detail.text or detail.summary
        if is_same and text:
            out.append(ReasoningDelta(text, index))
        if detail.type == ENCRYPTED:
            out.append(ReasoningSignature(bytes(raw).decode(), redacted=True, choice=index))
        elif detail.signature:
            out.append(ReasoningSignature(detail.signature, choice=index))


def _read_odd_content(content: list[Any] | dict[str, Any], index: int, out: list[Event]) -> None:
    if isinstance(content, dict):
        out.append(TextDelta(msgspec.json.encode(content).decode(), index))
        return
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and part.get("text"):
            out.append(TextDelta(part["text"], index))
        elif kind == "thinking":
            thinking = part.get("thinking")
            pieces = [thinking] if isinstance(thinking, str) else [piece.get("text") or "" for piece in thinking or ()]
            if any(pieces):
                out.append(ReasoningDelta("".join(pieces), index))
        elif kind != "text":
            out.append(Extra(f"content.{kind}"))


def _read_extras(said: _Said, out: list[Event]) -> None:
    for name in ("annotations", "audio", "images"):
        raw = getattr(said, name)
        if bytes(raw) not in _NOTHING:
            out.append(Extra(name))


def _read_sources(body: _Body, out: list[Event]) -> None:
    for name in ("citations", "search_results"):
        if bytes(getattr(body, name)) not in _NOTHING:
            out.append(Extra(name))


def parse_answer(body: bytes, seed: str) -> list[Event]:
    """Reads a whole answer.

    Raises:
        ValueError: it is not a chat completion.
    """
    data = _decode(body)
    if data.error:
        return [Failed(read_error(msgspec.json.decode(body), None))]
    if data.choices is None:
        raise ValueError("the answer has no choices")
    out: list[Event] = [Started(data.id or "", data.model or "")]
    parser = ChunkParser(seed)
    for position, choice in enumerate(data.choices):
        if choice.index is None:
            choice.index = position
        parser.read_choice(choice, choice.message or choice.delta, out)
    _read_sources(data, out)
    counted = read_usage(data.usage, data) if data.usage else None
    if counted is not None:
        out.append(UsageSeen(counted))
    return out
