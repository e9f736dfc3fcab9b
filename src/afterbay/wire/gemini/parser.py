"""Gemini's answers -> events. A stream is a row of whole answer objects, each with the parts that are new.

Decided, from recordings: finish is STOP for tool calls as well, so a choice that called a tool ends with `tool_calls`;
parts, content and candidates may be missing; usage comes in every chunk, grows, and some chunks lack some counts;
a signature on a call goes with the call, any other becomes a ReasoningSignature where it stood.

No canonical form, hence Extra (each kind once an answer): grounding and citations, URL contexts, log probabilities,
safety ratings, messages about an odd finish, media, and the code that Google's own tools wrote and ran. Not even that:
createTime, avgLogprobs, trafficType, serviceTier and the split of tokens by modality, which come unasked with every
answer and would make a warning of each.
"""

from __future__ import annotations

import re
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
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
)
from afterbay.core.usage import Usage
from afterbay.wire.gemini.errors import read_error
from afterbay.wire.gemini.fields import camel
from afterbay.wire.gemini.finish import class_of, name_of
from afterbay.wire.gemini.usage import Counts, counts_something, merged, read_usage, searches_of

Raw = msgspec.Raw


class _Call(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    id: str | None = None
    args: Raw = Raw()
    partial_args: Raw = Raw()


class _Part(msgspec.Struct, rename="camel", gc=False):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _Call | None = None
    inline_data: Raw = Raw()
    file_data: Raw = Raw()
    executable_code: Raw = Raw()
    code_execution_result: Raw = Raw()


class _Content(msgspec.Struct, gc=False):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, rename="camel", gc=False):
    content: _Content | None = None
    index: int | None = None
    finish_reason: str | int | None = None
    finish_message: Raw = Raw()
    grounding_metadata: Raw = Raw()
    citation_metadata: Raw = Raw()
    url_context_metadata: Raw = Raw()
    logprobs_result: Raw = Raw()
    safety_ratings: Raw = Raw()


class _Feedback(msgspec.Struct, rename="camel", gc=False):
    block_reason: str | int | None = None


class _Chunk(msgspec.Struct, rename="camel", gc=False):
    candidates: list[_Candidate] | None = None
    usage_metadata: Counts | None = None
    model_version: str | None = None
    response_id: str | None = None
    prompt_feedback: _Feedback | None = None
    error: Raw = Raw()


_DECODER = msgspec.json.Decoder(_Chunk)
_ITEMS = msgspec.json.Decoder(list[Raw])
_SNAKE = re.compile(rb'"[a-z]+(?:_[a-z]+)+"\s*:')
_VERBATIM = frozenset({"args", "response"})
_EMPTY = frozenset({b"", b"null", b"{}", b"[]"})
_PART_EXTRAS = ("inline_data", "file_data", "executable_code", "code_execution_result")
_CANDIDATE_EXTRAS = (
    "grounding_metadata",
    "citation_metadata",
    "url_context_metadata",
    "logprobs_result",
    "safety_ratings",
)


def _decode(data: bytes) -> _Chunk:
    chunk = _DECODER.decode(data)
    if chunk.usage_metadata is None and chunk.response_id is None and _SNAKE.search(data):
        # Google's own servers always send one of the two, so only answers in the other spelling pay for this.
        chunk = _DECODER.decode(msgspec.json.encode(_camelised(msgspec.json.decode(data))))
    return chunk


def _camelised(value: Any) -> Any:
    if isinstance(value, dict):
        return {camel(key): item if key in _VERBATIM else _camelised(item) for key, item in value.items()}
    return [_camelised(item) for item in value] if isinstance(value, list) else value


class _Choice:
    """What one candidate has shown so far."""

    __slots__ = ("calls", "finish")

    def __init__(self) -> None:
        self.calls = 0
        self.finish: FinishReason | None = None


class StreamParser:
    """Reads one answer, chunk by chunk."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._started = False
        self._model = ""
        self._choices: dict[int, _Choice] = {}
        self._calls = 0
        self._ids: set[str] = set()
        self._counts: Counts | None = None
        self._searched: dict[int, int] = {}
        self._usage: Usage | None = None
        self._extras: set[str] = set()
        self._complete = False

    @property
    def is_complete(self) -> bool:
        """A finish reason, or the block of the prompt: Gemini has no other sign of an end."""
        return self._complete

    @property
    def is_over(self) -> bool:
        """Never: the dialect has no last event, its streams end with the connection's."""
        return False

    def push(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        """Reads one chunk.

        Raises:
            ValueError: not a chunk of Gemini's.
        """
        if data == b"[DONE]":  # Gemini never sends it, some gateways that speak its dialect do
            return
        chunk = _decode(data)
        if not self._started:
            self._start(chunk, out)
        if chunk.candidates:
            for place, candidate in enumerate(chunk.candidates):
                self._candidate(candidate, candidate.index or 0 if candidate.index is not None else place, out)
        if chunk.usage_metadata is not None:
            self._count(chunk.usage_metadata, out)
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason:
            self._finish(0, "content_filter", out)
        if chunk.error and bytes(chunk.error) != b"null":
            out.append(Failed(read_error(chunk.error, None)))

    def _start(self, chunk: _Chunk, out: list[Event]) -> None:
        if chunk.candidates is None and chunk.usage_metadata is None and chunk.prompt_feedback is None:
            if not chunk.error:
                raise ValueError("neither candidates, usage, feedback nor error: not an answer of Gemini's")
            return
        self._started, self._model = True, chunk.model_version or ""
        out.append(Started(chunk.response_id or "", chunk.model_version or ""))

    def _candidate(self, candidate: _Candidate, index: int, out: list[Event]) -> None:
        content = candidate.content
        if content is not None and content.parts:
            for part in content.parts:
                text = part.text
                if text and part.function_call is None:
                    out.append(ReasoningDelta(text, index) if part.thought else TextDelta(text, index))
                    if part.thought_signature:
                        out.append(ReasoningSignature(part.thought_signature, choice=index))
                else:
                    self._odd_part(part, index, out)
        reason = name_of(candidate.finish_reason)
        if reason is not None:
            self._finish(index, class_of(reason), out)
            if candidate.finish_message and class_of(reason) in ("error", "content_filter"):
                self._extra("finishMessage", out)  # with STOP it only says "Model generated function call(s)."
        if (
            candidate.grounding_metadata
            or candidate.citation_metadata
            or candidate.url_context_metadata
            or candidate.logprobs_result
            or candidate.safety_ratings
        ):
            self._extras_of(candidate, _CANDIDATE_EXTRAS, out)
            if candidate.grounding_metadata:
                self._searched[index] = searches_of(candidate.grounding_metadata, self._model)

    def _extras_of(self, holder: _Candidate | _Part, names: tuple[str, ...], out: list[Event]) -> None:
        for name in names:
            if bytes(getattr(holder, name)) not in _EMPTY:
                self._extra(camel(name), out)

    def _odd_part(self, part: _Part, index: int, out: list[Event]) -> None:
        if part.function_call is not None:
            self._call(part.function_call, part.thought_signature, index, out)
            return
        if part.thought_signature:
            out.append(ReasoningSignature(part.thought_signature, choice=index))
        elif part.text is None and not any(getattr(part, name) for name in _PART_EXTRAS):
            self._extra("part", out)  # of a kind that this parser does not know
        self._extras_of(part, _PART_EXTRAS, out)

    def _call(self, call: _Call, signature: str | None, index: int, out: list[Event]) -> None:
        """Whole calls only. Arguments in pieces (Vertex, streamFunctionCallArguments) come for who asked for them in
        Gemini's own dialect, where they are relayed."""
        if call.partial_args or not call.name:
            self._extra("partialArgs", out)
            if not call.name:
                return
        choice = self._choice(index)
        call_id = call.id
        if not call_id or call_id in self._ids:
            call_id = f"call_{self._seed}_{self._calls}"
        self._calls += 1
        self._ids.add(call_id)
        number, choice.calls = choice.calls, choice.calls + 1
        out.append(ToolCallStarted(number, call_id, call.name or "", signature, index))
        out.append(ToolCallDelta(number, _arguments(call.args), index))
        if choice.finish == "stop":
            self._finish(index, "stop", out)

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        return choice

    def _finish(self, index: int, reason: FinishReason, out: list[Event]) -> None:
        """Says it once, and again only if it changes: some streams repeat the reason, some call a tool after it."""
        choice = self._choice(index)
        if reason == "stop" and choice.calls:
            reason = "tool_calls"
        self._complete = True
        if choice.finish is None or (reason != choice.finish and reason != "stop"):
            choice.finish = reason
            out.append(Finished(reason, choice=index))

    def _count(self, seen: Counts, out: list[Event]) -> None:
        says = self._usage is not None or counts_something(seen)
        counts = self._counts = seen if self._counts is None else merged(self._counts, seen)
        usage = read_usage(counts, sum(self._searched.values()) if self._searched else 0)
        if says and usage != self._usage:
            self._usage = usage
            out.append(UsageSeen(usage))

    def _extra(self, kind: str, out: list[Event]) -> None:
        if kind not in self._extras:
            self._extras.add(kind)
            out.append(Extra(kind))


def parse_answer(body: bytes, seed: str) -> list[Event]:
    """Reads a whole answer: one object, or the JSON array that a stream without `alt=sse` is.

    Raises:
        ValueError: it is none.
    """
    parser = StreamParser(seed)
    out: list[Event] = []
    for item in _ITEMS.decode(body) if body.lstrip().startswith(b"[") else [body]:
        parser.push(None, bytes(item), out)
    if not out:
        raise ValueError("an empty answer")
    return out


def _arguments(raw: Raw) -> str:
    """Compact JSON text of the arguments; digits stay as they came."""
    text = bytes(raw)
    if text in _EMPTY:
        return "{}"
    if b"\n" in text or b" " in text:
        text = bytes(msgspec.json.format(text, indent=-1))
    return text.decode()
