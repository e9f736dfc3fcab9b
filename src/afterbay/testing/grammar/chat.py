"""The grammar of a stream of `chat.completion.chunk`.

Sources, November 2026: the accumulator of OpenAI's SDK 3.57 (openai/lib/streaming/_deltas.py, strings of the same key
are joined, so an id that comes twice is doubled; openai/lib/streaming/chat/_completions.py, lists are indexed by
`index`), openai/_streaming.py (`[DONE]`, error objects) and platform.openai.com/docs/api-reference/chat-streaming.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from afterbay.testing.grammar.stream import SSE_RULES, Accent, SseGrammar, is_count, is_name, is_one_of, told

_FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
_CUT = frozenset({"length", "content_filter"})


class _Choice:
    """What one choice has shown."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.finish: str | None = None


class ChatGrammar(SseGrammar):
    """Checks a stream of chat completion chunks."""

    RULES: ClassVar[Mapping[str, str]] = {
        **SSE_RULES,
        "unnamed": "Events have no name (API reference; openai/_streaming.py takes `thread.` names for Assistants).",
        "object": "`object` is chat.completion.chunk (API reference).",
        "same": "`id` and `model` are there and the same in every chunk (API reference: each chunk has the same ID).",
        "created": "`created` is there and the same in every chunk (API reference: the same timestamp).",
        "choices": "`choices` is a list of objects with a numeric `index` and an object `delta` (ChatCompletionChunk).",
        "choice-rising": "Choices appear in the order 0, 1, ... (_completions.py: `choices[choice.index]`, appended"
        " where there is none).",
        "role": "`role` is assistant in the first delta of a choice and nowhere else (_deltas.py joins strings: a"
        " second one makes assistantassistant).",
        "delta": "Texts of a delta are strings or null (_deltas.py replaces what is no string instead of joining it).",
        "details": "reasoning_details are a list of objects with a type (OpenRouter, whose field it is).",
        "call-dense": "Tool calls have the indexes 0, 1, ... of their first pieces (_deltas.py: `acc_value[index]`,"
        " inserted where there is none).",
        "call-opening": "The first piece of a call has id, type `function`, name and `arguments`, a string"
        " (_completions.py reads type and function.arguments of the joined call at once).",
        "call-again": "Later pieces have neither id nor type nor name (_deltas.py would join them).",
        "call-pieces": "Later pieces have arguments, a string (ChoiceDeltaToolCallFunction).",
        "call-unique": "No two calls have one id: results are matched by it (API reference, tool messages).",
        "call-arguments": "The pieces of a call that was not cut off are not blank: agents decode them as JSON (API"
        " reference: arguments in JSON format, which for none is {}).",
        "finish-key": "Every choice has `finish_reason`, null until it finishes (API reference: nullable).",
        "finish": "A finish reason is one of stop, length, tool_calls, content_filter, function_call (API reference).",
        "finish-once": "Every choice that is begun has one finish reason, before [DONE] (API reference;"
        " _completions.py fires the done events at each).",
        "after-finish": "A choice that finished says nothing more (_completions.py: its done events are out).",
        "usage-chunk": "A chunk without choices has `usage`, and it is the last one before [DONE] (API reference,"
        " stream_options.include_usage).",
        "usage-once": "There is at most one such chunk (API reference: an additional chunk).",
        "usage-alone": "Other chunks have no usage, or null (API reference).",
        "usage-counts": "Usage has whole numbers, and total_tokens is prompt and completion together (API reference).",
        "error": "An error is an object with a message (openai/_streaming.py raises APIError of it).",
        "after-error": "Nothing follows an error: the SDK has raised it (openai/_streaming.py).",
        "done": "The stream ends with [DONE] (API reference), and nothing follows it (openai/_streaming.py stops).",
        "empty": "There is a choice at all (_completions.py: `current_completion_snapshot` asserts a chunk).",
    }
    ACCENTS: ClassVar[Mapping[str, Accent]] = {
        name: Accent(frozenset(rules.split()), why)
        for name, rules, why in (
            (
                "usage beside choices",
                "usage-alone",
                "DeepSeek, Mistral, Groq, xAI and more count on the finish chunk or on all",
            ),
            ("usage twice", "usage-chunk usage-once", "llama.cpp repeats its last chunk where it measures progress"),
            ("usage in part", "usage-counts", "Databricks counts the completion at the end only"),
            ("no done", "done", "Perplexity, Writer, GPUStack and some hosts of Hugging Face end with the connection"),
            ("role in every delta", "role", "OpenRouter, Databricks, Venice and more say it again"),
            ("role left out", "role", "Hugging Face, Cloudflare and GPUStack begin without it"),
            ("finish again", "finish-once after-finish", "OpenRouter and Doubleword count in a second finish chunk"),
            ("created per chunk", "created", "Groq, Ollama, xAI and more tell the time of the chunk"),
            ("no finish key", "finish-key", "Cloudflare, Hugging Face, Perplexity and more leave the null out"),
            (
                "chunk of its own first",
                "object same created usage-chunk usage-once",
                "Azure and Copilot send filters first",
            ),
            ("other identity", "object same", "Perplexity ends with an object and an id of its own"),
            ("no identity", "same created", "Snowflake and Google's OpenAI endpoint leave fields out or empty"),
            ("calls in one piece", "call-dense call-opening", "Mistral, Ollama and Google leave index or type out"),
            (
                "no arguments",
                "call-opening call-arguments",
                "Writer, Databricks and hosts of Llama have null or nothing",
            ),
            ("type again", "call-again", "OpenRouter and Venice repeat the type of a call"),
            ("content in parts", "delta", "Mistral's thinking is a list"),
            ("named error", "unnamed", "Groq names the event of an error"),
            ("done after an error", "after-error", "OpenRouter says [DONE] after it"),
            ("no finish", "finish-once", "Snowflake gives no reason at all"),
        )
    }

    def __init__(self, *accents: str) -> None:
        super().__init__(*accents)
        self._same: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._ids: set[str] = set()
        self._over = ""
        self._counted = False

    def event(self, name: str | None, data: str) -> None:
        """Takes an event."""
        if self._over:
            self.breaks("done" if self._over == "[DONE]" else "after-error", f"{told(data)} follows {self._over}")
            return
        self.asks(name is None, "unnamed", f"it is named {name}")
        if data == "[DONE]":
            self._over = data
            self._finished()
            return
        chunk = self.decoded(data)
        if chunk is None:
            return
        if chunk.get("error") is not None:
            self._over = "an error"
            error = chunk["error"]
            good = isinstance(error, dict) and is_name(error.get("message"))
            self.asks(good, "error", f"no object with a message: {told(error)}")
            return
        self._chunk(chunk)

    def _chunk(self, chunk: dict[str, Any]) -> None:
        self.asks(chunk.get("object") == "chat.completion.chunk", "object", f"`object` is {chunk.get('object')!r}")
        self._identity(chunk)
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            self.breaks("choices", "there is no list of choices")
            return
        if self._counted:
            self.breaks("usage-chunk" if choices else "usage-once", "it follows the chunk with the usage")
        self._usage(chunk, is_alone=not choices)
        for choice in choices:
            self._choice(choice)

    def _identity(self, chunk: dict[str, Any]) -> None:
        for field, holds in (("id", is_name), ("created", is_count), ("model", is_name)):
            value = chunk.get(field)
            first, rule = self._same.setdefault(field, value), "created" if field == "created" else "same"
            if not holds(value):
                self.breaks(rule, f"{field} is {value!r}")
            elif value != first:
                self.breaks(rule, f"{field} was {first!r} and is {value!r}")

    def _usage(self, chunk: dict[str, Any], *, is_alone: bool) -> None:
        usage = chunk.get("usage")
        if is_alone:
            self.asks("usage" in chunk, "usage-chunk", "it has neither choices nor usage")
            self._counted = True
        elif usage is not None:
            self.breaks("usage-alone", "usage stands beside choices")
        if usage is None:
            return
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        counts: list[Any] = [usage.get(name) for name in names] if isinstance(usage, dict) else []
        good = bool(counts) and all(is_count(count) for count in counts) and sum(counts[:2]) == counts[2]
        self.asks(good, "usage-counts", f"prompt, completion and total tokens are {counts}")

    def _choice(self, said: Any) -> None:
        delta = said.get("delta") if isinstance(said, dict) else None
        if not isinstance(delta, dict) or not is_count(said.get("index")):
            self.breaks("choices", f"no choice with index and delta: {told(said)}")
            return
        self.asks("finish_reason" in said, "finish-key", f"choice {said['index']} has no finish_reason, not even null")
        reason = said.get("finish_reason")
        index = said["index"]
        choice = self._choices.get(index)
        if choice is None:
            self.asks(index == len(self._choices), "choice-rising", f"choice {index} comes after {len(self._choices)}")
            choice = self._choices[index] = _Choice()
            self.asks(delta.get("role") == "assistant", "role", f"choice {index} begins with role {delta.get('role')}")
        elif choice.finish is None:
            self.asks(delta.get("role") is None, "role", f"choice {index} has a role again")
        if choice.finish is not None:
            again = "finish-once" if reason is not None else "after-finish"
            self.breaks(again, f"choice {index} goes on after {choice.finish}")
            return
        self._delta(index, choice, delta)
        if reason is not None:
            choice.finish = reason
            self.asks(is_one_of(reason, _FINISHES), "finish", f"choice {index} finished with {reason!r}")
            self._calls_closed(index, choice)

    def _delta(self, index: int, choice: _Choice, delta: dict[str, Any]) -> None:
        for name in _TEXTS:
            good = delta.get(name) is None or isinstance(delta[name], str)
            self.asks(good, "delta", f"{name} of choice {index} is no text: {told(delta.get(name))}")
        details = delta.get("reasoning_details") or []
        good = isinstance(details, list) and all(isinstance(one, dict) and is_name(one.get("type")) for one in details)
        self.asks(good, "details", f"reasoning_details of choice {index} are {told(details)}")
        calls = delta.get("tool_calls")
        if not self.asks(calls is None or isinstance(calls, list), "delta", f"tool_calls is no list: {told(calls)}"):
            return
        for call in calls or ():
            if isinstance(call, dict):
                self._call(choice, call)
            else:
                self.breaks("delta", f"a tool call is no object: {told(call)}")

    def _call(self, choice: _Choice, call: dict[str, Any]) -> None:
        at, function = call.get("index"), call.get("function")
        function = function if isinstance(function, dict) else {}
        arguments = function.get("arguments")
        if is_count(at) and at < len(choice.calls):
            again = [name for name in ("id", "type") if call.get(name) is not None]
            again += ["name"] if function.get("name") is not None else []
            self.asks(not again, "call-again", f"call {at} has {' and '.join(again)} again")
            if isinstance(arguments, str):
                choice.calls[at].append(arguments)
            else:
                self.breaks("call-pieces", f"call {at} has no arguments in this piece")
            return
        self.asks(at == len(choice.calls), "call-dense", f"a call has index {at!r} and not {len(choice.calls)}")
        named = is_name(call.get("id")) and is_name(function.get("name")) and call.get("type") == "function"
        said = f"call {at} begins without id, type, name or arguments: {told(call)}"
        self.asks(named and isinstance(arguments, str), "call-opening", said)
        if is_name(call.get("id")):
            self.asks(call["id"] not in self._ids, "call-unique", f"the id {call['id']} was there")
            self._ids.add(call["id"])
        choice.calls.append([arguments if isinstance(arguments, str) else ""])

    def _calls_closed(self, index: int, choice: _Choice) -> None:
        for number, pieces in enumerate(choice.calls):
            blank = not is_one_of(choice.finish, _CUT) and not "".join(pieces).strip()
            self.asks(not blank, "call-arguments", f"call {number} of choice {index} ends without arguments")

    def _finished(self) -> None:
        for index, choice in self._choices.items():
            self.asks(choice.finish is not None, "finish-once", f"[DONE], and choice {index} has no finish reason")
        self.asks(bool(self._choices), "empty", "[DONE], and there was no choice")

    def lacks(self) -> list[tuple[str, str]]:
        """See `Grammar.lacks`."""
        if self._over:
            return []
        found = [
            ("finish-once", f"choice {index} has no finish reason")
            for index, choice in self._choices.items()
            if choice.finish is None
        ]
        found += [] if self._choices else [("empty", "there was no choice")]
        return [*found, ("done", "there is no [DONE]")]
