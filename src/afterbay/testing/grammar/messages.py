"""The grammar of a stream of Anthropic's Messages.

Sources, November 2026: docs.claude.com "Streaming messages" (event flow), "Fine-grained tool streaming" (cut-off
input) and "Building with extended thinking"; anthropic SDK 2.13: `accumulate_event` of
anthropic/lib/streaming/_messages.py (blocks are appended at start and found by index), anthropic/_streaming.py (events
without a name are skipped, `error` is raised).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from afterbay.testing.grammar.stream import SSE_RULES, Accent, SseGrammar, is_count, is_name, is_one_of, parsed, told

_DELTAS: Mapping[str, frozenset[str]] = {
    "text": frozenset({"text_delta", "citations_delta"}),
    "thinking": frozenset({"thinking_delta", "signature_delta"}),
    "tool_use": frozenset({"input_json_delta"}),
    "server_tool_use": frozenset({"input_json_delta"}),
    "mcp_tool_use": frozenset({"input_json_delta"}),
    "compaction": frozenset({"compaction_delta"}),
}
_FIELD = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
_STRINGS: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
    "tool_use": ("id", "name"),
    "server_tool_use": ("id", "name"),
}
_NONEMPTY = frozenset({"id", "name", "data"})
_REASONS = frozenset(
    {
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
        "compaction",
    }
)
_CUT = frozenset({"max_tokens", "model_context_window_exceeded", "refusal"})


class MessagesGrammar(SseGrammar):
    """Checks a stream of Messages events."""

    RULES: ClassVar[Mapping[str, str]] = {
        **SSE_RULES,
        "name": "The event's name is the type of its data (Streaming messages; anthropic/_streaming.py skips events"
        " without a name).",
        "known": "Only the documented events: message_start, content_block_start, content_block_delta,"
        " content_block_stop, message_delta, message_stop, ping, error.",
        "start": "message_start comes first (pings aside) and once (_messages.py: RuntimeError for any other).",
        "start-shape": "Its message has an id, a model, role assistant, no content, no stop reason yet, and usage with"
        " input_tokens and output_tokens (Streaming messages; RawMessageStartEvent).",
        "block-index": "Content blocks have the indexes 0, 1, 2, ... (_messages.py appends, and finds by index).",
        "block-single": "One block is open at a time: it stops before the next starts (Streaming messages).",
        "block-shape": "A block starts with the fields of its type: text, thinking and signature, or id, name and an"
        " input object (ContentBlock types; _messages.py adds to those strings).",
        "block-open": "Deltas and stops name the block that is open (_messages.py: `content[event.index]`).",
        "delta-type": "A delta fits its block: text_delta in text, input_json_delta in tool_use, ... (_messages.py"
        " drops others in silence).",
        "delta-shape": "A delta has its text, a string.",
        "signature-last": "A thinking block has at most one signature_delta, just before its stop (Extended thinking).",
        "tool-unique": "No two tool uses have one id: results are matched by it.",
        "tool-input": "The pieces of a tool's input join to a JSON object, or there are none and it is the input of"
        " the start; in an answer that was cut off the last may be cut (_messages.py: ValueError; Fine-grained"
        " tool streaming: only max_tokens leaves it invalid).",
        "delta-last": "message_delta comes once, after all blocks, and no block after it (Streaming messages).",
        "stop-reason": "It has a known stop_reason; stop_sequence is a text if that is the reason, else null.",
        "stop-tool": "The reason tool_use has a tool use to run: agents answer it with results.",
        "usage": "message_delta has cumulative usage: output_tokens, not less than in message_start (Streaming"
        " messages; _messages.py overwrites).",
        "stop": "message_stop follows message_delta and ends the stream (Streaming messages).",
        "error": "An error has a type and a message (anthropic SDK: `_make_status_error`).",
        "after-error": "Nothing follows an error: the SDK has raised it (anthropic/_streaming.py).",
    }
    ACCENTS: ClassVar[Mapping[str, Accent]] = {
        "done after stop": Accent(frozenset({"stop"}), "a gateway in between adds OpenAI's [DONE]"),
        "torn input": Accent(frozenset({"tool-input"}), "a provider cut a call off and said that it was whole"),
    }

    def __init__(self, *accents: str) -> None:
        super().__init__(*accents)
        self._started = False
        self._output_tokens = 0
        self._blocks: list[str] = []
        self._open: int | None = None
        self._signed = False
        self._pieces: list[str] = []
        self._torn: list[int] = []
        self._ids: set[str] = set()
        self._reason: str | None = None
        self._has_delta = False
        self._over = ""

    def event(self, name: str | None, data: str) -> None:
        """Takes an event."""
        if self._over:
            self.breaks("stop" if self._over == "message_stop" else "after-error", f"{name} follows {self._over}")
            return
        said = self.decoded(data)
        if said is None:
            return
        kind = said.get("type")
        self.asks(name == kind, "name", f"it is named {name} and its type is {kind}")
        if kind == "ping":
            return
        if kind == "error":
            self._error(said)
            return
        if not self._started:
            self.asks(kind == "message_start", "start", f"{kind} comes before message_start")
            self._started = True
            if kind != "message_start":
                return
        elif kind == "message_start":
            self.breaks("start", "message_start comes again")
            return
        self._take(kind, said)

    def _take(self, kind: Any, said: dict[str, Any]) -> None:
        match kind:
            case "message_start":
                self._start(said.get("message"))
            case "content_block_start":
                self._block_start(said)
            case "content_block_delta":
                self._delta(said)
            case "content_block_stop":
                self._block_stop(said)
            case "message_delta":
                self._message_delta(said)
            case "message_stop":
                self.asks(self._has_delta, "stop", "message_stop comes without message_delta")
                self._over = "message_stop"
            case _:
                self.breaks("known", f"there is no event {kind}")

    def _error(self, said: dict[str, Any]) -> None:
        self._over = "an error"
        error = said.get("error")
        good = isinstance(error, dict) and is_name(error.get("type")) and is_name(error.get("message"))
        self.asks(good, "error", f"no object with type and message: {told(error)}")

    def _start(self, message: Any) -> None:
        if not isinstance(message, dict):
            self.breaks("start-shape", "there is no message")
            return
        usage = message.get("usage")
        counts = [usage.get("input_tokens"), usage.get("output_tokens")] if isinstance(usage, dict) else []
        holds = {
            "id": is_name(message.get("id")),
            "model": is_name(message.get("model")),
            "type": message.get("type") == "message",
            "role": message.get("role") == "assistant",
            "content": message.get("content") == [],
            "stop_reason": message.get("stop_reason", ...) is None,
            "stop_sequence": message.get("stop_sequence", ...) is None,
            "usage": bool(counts) and all(is_count(count) for count in counts),
        }
        for field, is_good in holds.items():
            self.asks(is_good, "start-shape", f"{field} of the message is {told(message.get(field))}")
        if holds["usage"]:
            self._output_tokens = int(counts[1] or 0)

    def _block_start(self, said: dict[str, Any]) -> None:
        index, block = said.get("index"), said.get("content_block")
        self.asks(not self._has_delta, "delta-last", f"block {index} starts after message_delta")
        if self._open is not None:
            self.breaks("block-single", f"block {index} starts while {self._open} is open")
            self._block_closed()
        self.asks(index == len(self._blocks), "block-index", f"block {index} is number {len(self._blocks)}")
        kind = block.get("type") if isinstance(block, dict) else None
        self._open = index if isinstance(index, int) else len(self._blocks)
        self._blocks.append(kind if isinstance(kind, str) else "")
        self._pieces, self._signed = [], False
        if not isinstance(block, dict) or not is_name(kind):
            self.breaks("block-shape", f"block {index} has no type")
            return
        for field in _STRINGS.get(str(kind), ()):
            value = block.get(field)
            good = isinstance(value, str) and (bool(value) or field not in _NONEMPTY)
            self.asks(good, "block-shape", f"{field} of the {kind} block is {told(value)}")
        if kind == "tool_use":
            self.asks(isinstance(block.get("input"), dict), "block-shape", "input of the tool_use block is no object")
            self.asks(str(block.get("id")) not in self._ids, "tool-unique", f"the id {block.get('id')} was there")
            self._ids.add(str(block.get("id")))

    def _is_open(self, what: str, said: dict[str, Any]) -> bool:
        index = said.get("index")
        good = self._open is not None and index == self._open
        now = "none" if self._open is None else self._open
        return self.asks(good, "block-open", f"a {what} for block {index}, while {now} is open")

    def _delta(self, said: dict[str, Any]) -> None:
        if not self._is_open("delta", said):
            return
        delta = said.get("delta")
        kind, block = (delta.get("type") if isinstance(delta, dict) else None), self._blocks[-1]
        if not isinstance(delta, dict) or not is_one_of(kind, _DELTAS.get(block, ())):
            self.breaks("delta-type", f"{kind} in a {block} block")
            return
        field = _FIELD.get(str(kind))
        if field is None:
            return
        text = delta.get(field)
        if not isinstance(text, str):
            self.breaks("delta-shape", f"{field} of {kind} is {told(text)}")
            return
        if block == "thinking":
            self.asks(not self._signed, "signature-last", f"{kind} follows the signature")
            self._signed = self._signed or kind == "signature_delta"
        self._pieces.append(text)

    def _block_stop(self, said: dict[str, Any]) -> None:
        if self._is_open("stop", said):
            self._block_closed()

    def _block_closed(self) -> None:
        """Closes the open block. Whether a torn input is right is only known with the stop reason."""
        text = "".join(self._pieces)
        if self._blocks[-1] in ("tool_use", "server_tool_use") and text and not isinstance(parsed(text), dict):
            self._torn.append(len(self._blocks) - 1)
        self._open = None

    def _message_delta(self, said: dict[str, Any]) -> None:
        if self._open is not None:
            self.breaks("delta-last", f"block {self._open} is still open")
            self._block_closed()
        self.asks(not self._has_delta, "delta-last", "message_delta comes again")
        self._has_delta = True
        delta, usage = said.get("delta"), said.get("usage")
        delta, usage = delta if isinstance(delta, dict) else {}, usage if isinstance(usage, dict) else {}
        reason, sequence = delta.get("stop_reason"), delta.get("stop_sequence")
        good = is_one_of(reason, _REASONS) and (is_name(sequence) if reason == "stop_sequence" else sequence is None)
        self.asks(good, "stop-reason", f"stop_reason is {reason!r} and stop_sequence {sequence!r}")
        has_tool = reason != "tool_use" or "tool_use" in self._blocks
        self.asks(has_tool, "stop-tool", "stop_reason is tool_use and no tool was used")
        for index in self._torn:
            is_cut = is_one_of(reason, _CUT) and index == len(self._blocks) - 1
            self.asks(
                is_cut, "tool-input", f"the input of block {index} is no JSON object, and it stopped with {reason}"
            )
        written = usage.get("output_tokens")
        good = is_count(written) and written >= self._output_tokens
        self.asks(good, "usage", f"output_tokens are {written!r} after {self._output_tokens} in message_start")

    def lacks(self) -> list[tuple[str, str]]:
        """See `Grammar.lacks`."""
        if self._over:
            return []
        found = [] if self._started else [("start", "there is no message_start")]
        found += [] if self._open is None else [("block-single", f"block {self._open} is still open")]
        found += [] if self._has_delta else [("delta-last", "there is no message_delta")]
        return [*found, ("stop", "there is no message_stop")]
