"""The grammar of Gemini's streams: `alt=sse`, and without it one JSON array.

Sources, November 2026: ai.google.dev/api/generate-content (GenerateContentResponse, Candidate, Part, UsageMetadata);
google-genai 3.6.1: `_iter_response_stream` of google/genai/_api_client.py (a line that is neither blank nor begins with
`data: ` is read as JSON), google/genai/types.py (Part.thought_signature is base64).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from afterbay.testing.grammar.array import ArrayReader
from afterbay.testing.grammar.stream import SSE_RULES, Accent, SseGrammar, is_count, is_name, is_one_of, told

_KINDS = frozenset(
    {
        "text",
        "inlineData",
        "functionCall",
        "functionResponse",
        "fileData",
        "executableCode",
        "codeExecutionResult",
        "toolCall",
        "toolResponse",
    }
)
_FINISHES = frozenset(
    {
        "STOP",
        "MAX_TOKENS",
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "OTHER",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "MALFORMED_FUNCTION_CALL",
        "IMAGE_SAFETY",
        "UNEXPECTED_TOOL_CALL",
        "MODEL_ARMOR",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_OTHER",
        "NO_IMAGE",
        "IMAGE_RECITATION",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
    }
)
_ADDENDS = ("promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
_COUNTS = (*_ADDENDS, "cachedContentTokenCount", "totalTokenCount")
_BODY = ("candidates", "usageMetadata", "promptFeedback", "error")


class GeminiGrammar(SseGrammar):
    """Checks a stream of GenerateContentResponse. `framing` None: an array if it begins with a bracket."""

    RULES: ClassVar[Mapping[str, str]] = {
        **SSE_RULES,
        "line": "Every line is blank or begins with `data: ` (_api_client.py reads any other as JSON, and fails).",
        "array": "The bytes are one JSON array: [, objects with commas between them, ], and nothing after it.",
        "chunk": "A chunk has candidates, usageMetadata, promptFeedback or error (GenerateContentResponse).",
        "same": "responseId and modelVersion stay (GenerateContentResponse: fields of the whole answer).",
        "candidate": "A candidate is an object whose index, if any, is a number and is not there twice in a chunk; its"
        " content has the role model and parts that are objects (Content).",
        "part": "A part has just one of text, functionCall, inlineData, ... (Part is a union), its text is a string,"
        " and thought is a boolean.",
        "signature": "thoughtSignature is base64 (google/genai/types.py: bytes; a ValidationError for other text).",
        "call": "A call has a name, args that are an object, and an id, if any, of its own (FunctionCall).",
        "finish": "finishReason is a known word (FinishReason).",
        "finish-once": "Every candidate has one, unless the prompt was blocked (Candidate: empty while the model"
        " generates).",
        "after-finish": "A candidate that finished has no content any more.",
        "usage": "Counts are whole numbers, and totalTokenCount is prompt, tool use, candidates and thoughts together"
        " (UsageMetadata).",
        "usage-last": "The last chunk has usageMetadata: SDK users read that of the last (UsageMetadata grows).",
        "error": "An error has a code, a message and a status (google/genai/errors.py).",
        "after-error": "Nothing follows an error: the SDK has raised it.",
    }
    ACCENTS: ClassVar[Mapping[str, Accent]] = {
        "numbers for words": Accent(frozenset({"finish"}), "some clients of Vertex store enums as numbers"),
        "usage in part": Accent(frozenset({"usage"}), "Vertex tells the kind of traffic before there are counts"),
        "no usage": Accent(frozenset({"usage-last"}), "the provider behind it did not count"),
    }

    def __init__(self, *accents: str, framing: Literal["sse", "array"] | None = None) -> None:
        super().__init__(*accents)
        self._framing = framing
        self._array = ArrayReader()
        self._same: dict[str, Any] = {}
        self._finished: dict[int, str | None] = {}
        self._ids: set[str] = set()
        self._failed = self._blocked = self._counted = False

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        if self._framing is None and data.strip():
            self._framing = "array" if data.lstrip().startswith(b"[") else "sse"
        if self._framing != "array":
            super().feed(data)
            return
        for found in self._array.feed(data):
            self.events += 1
            if isinstance(found, bytes):
                self._data_of(found)
            else:
                self.breaks("array", found.said)

    def line(self, line: bytes) -> None:
        """Takes a line of SSE."""
        if self.asks(not line or line.startswith(b"data: "), "line", f"there is the line {told(line)}"):
            super().line(line)

    def event(self, name: str | None, data: str) -> None:
        """Takes an event of SSE."""
        self._chunk_of(data)

    def _data_of(self, data: bytes) -> None:
        try:
            self._chunk_of(data.decode())
        except UnicodeDecodeError as error:
            self.breaks("array", f"it is not UTF-8: {error.reason}")

    def _chunk_of(self, data: str) -> None:
        if self._failed:
            self.breaks("after-error", f"{told(data)} follows an error")
            return
        chunk = self.decoded(data)
        if chunk is None:
            return
        if not self.asks(any(field in chunk for field in _BODY), "chunk", f"it has none of them: {told(chunk)}"):
            return
        if chunk.get("error") is not None:
            self._failed = True
            error = chunk["error"]
            good = isinstance(error, dict) and is_count(error.get("code")) and is_name(error.get("message"))
            self.asks(good and is_name(error.get("status")), "error", f"no code, message and status: {told(error)}")
            return
        for field in ("responseId", "modelVersion"):
            value = chunk.get(field)
            was = self._same.setdefault(field, value)
            good = value == was and (value is None or is_name(value))
            self.asks(good, "same", f"{field} was {was!r} and is {value!r}")
        feedback = chunk.get("promptFeedback")
        self._blocked = self._blocked or (isinstance(feedback, dict) and is_name(feedback.get("blockReason")))
        self._candidates(chunk.get("candidates", []))
        self._usage(chunk.get("usageMetadata"))

    def _candidates(self, candidates: Any) -> None:
        if not isinstance(candidates, list) or not all(isinstance(one, dict) for one in candidates):
            self.breaks("candidate", f"candidates are no list of objects: {told(candidates)}")
            return
        seen: set[int] = set()
        for place, candidate in enumerate(candidates):
            index = candidate.get("index", place)
            if not is_count(index) or index in seen:
                self.breaks("candidate", f"a candidate has the index {index!r}")
                continue
            seen.add(index)
            self._candidate(index, candidate)

    def _candidate(self, index: int, candidate: dict[str, Any]) -> None:
        content, reason = candidate.get("content"), candidate.get("finishReason")
        finished = self._finished.setdefault(index, None)
        parts: list[Any] = []
        if content is not None:
            shaped = isinstance(content, dict) and content.get("role") == "model"
            parts = content.get("parts", []) if isinstance(content, dict) else []
            shaped = shaped and isinstance(parts, list) and all(isinstance(part, dict) for part in parts)
            if not self.asks(shaped, "candidate", f"content of candidate {index} is {told(content)}"):
                parts = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
        for part in parts:
            self._part(part)
        if finished is not None:
            again = reason is not None
            self.asks(not again, "finish-once", f"candidate {index} finishes again with {reason!r}")
            self.asks(again or not parts, "after-finish", f"candidate {index} goes on after {finished}")
        elif reason is not None:
            self._finished[index] = str(reason)
            self.asks(is_one_of(reason, _FINISHES), "finish", f"candidate {index} finished with {reason!r}")

    def _part(self, part: dict[str, Any]) -> None:
        kinds = _KINDS & part.keys()
        good = (
            len(kinds) == 1 and isinstance(part.get("text", ""), str) and isinstance(part.get("thought", False), bool)
        )
        self.asks(good, "part", f"no part of one kind: {told(part)}")
        signature = part.get("thoughtSignature")
        if signature is not None:
            self.asks(is_base64(signature), "signature", f"a signature is {told(signature)}")
        call = part.get("functionCall")
        if call is None:
            return
        shaped = isinstance(call, dict) and is_name(call.get("name")) and isinstance(call.get("args", {}), dict)
        call_id = call.get("id") if isinstance(call, dict) else None
        good = call_id is None or (is_name(call_id) and call_id not in self._ids)
        self.asks(shaped and good, "call", f"no call with name, args and an id of its own: {told(call)}")
        self._ids.add(str(call_id))

    def _usage(self, usage: Any) -> None:
        self._counted = isinstance(usage, dict)
        if usage is None:
            return
        if not isinstance(usage, dict) or not all(is_count(usage.get(name, 0)) for name in _COUNTS):
            self.breaks("usage", f"no object of counts: {told(usage)}")
            return
        total, added = usage.get("totalTokenCount"), sum(usage.get(name, 0) for name in _ADDENDS)
        self.asks(total == added, "usage", f"totalTokenCount is {total} and the others are {added} together")

    def end(self) -> list[str]:
        """What a stream that ends here lacks."""
        found = super().end()
        if self._framing == "array" and self._array.lacks and "array" not in self._forgiven:
            found.insert(0, f"at the end: {self._array.lacks} [array]")
        return found

    def lacks(self) -> list[tuple[str, str]]:
        """See `Grammar.lacks`."""
        if self._failed:
            return []
        found = []
        if not self._blocked:
            found = [
                ("finish-once", f"candidate {index} has no finishReason")
                for index, reason in (self._finished or {0: None}).items()
                if reason is None
            ]
        return found if self._counted else [*found, ("usage-last", "the last chunk has no usageMetadata")]


def is_base64(value: object) -> bool:
    """Whether google-genai can read it as bytes: base64, of either alphabet."""
    if not is_name(value):
        return False
    text = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
