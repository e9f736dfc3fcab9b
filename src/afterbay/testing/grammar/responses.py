"""The grammar of a stream of OpenAI's Responses.

Sources, November 2026: platform.openai.com/docs/api-reference/responses-streaming; OpenAI's SDK 3.57:
`ResponseStreamState` of openai/lib/streaming/responses/_responses.py (items by `output_index`, parts by
`content_index`, `event.logprobs` read of every text event, identities compared at the end), openai/_streaming.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from afterbay.testing.grammar.output_item import INDEX, INPUTS, PLACES, TEXTS, Item, Part, Text, text_of
from afterbay.testing.grammar.stream import SSE_RULES, Accent, SseGrammar, is_count, is_name, is_one_of, told

_STATUS: Mapping[str, frozenset[str]] = {
    "created": frozenset({"in_progress", "queued"}),
    "queued": frozenset({"queued"}),
    "in_progress": frozenset({"in_progress"}),
    "completed": frozenset({"completed"}),
    "incomplete": frozenset({"incomplete"}),
    "failed": frozenset({"failed"}),
}
_TERMINAL = frozenset({"completed", "incomplete", "failed"})
_STEPS = ("in_progress", "searching", "interpreting", "generating", "completed", "failed", "partial_image")


class ResponsesGrammar(SseGrammar):
    """Checks a stream of Responses events."""

    RULES: ClassVar[Mapping[str, str]] = {
        **SSE_RULES,
        "name": "The event's name is the type of its data (API reference).",
        "known": "Only the documented events.",
        "sequence": "sequence_number counts from 0, one more with each event (API reference; SDK: `starting_after`).",
        "sequence-error": "That of an error event is the next one, too.",
        "created": "response.created comes first and once (_responses.py: RuntimeError for any other).",
        "in-progress": "response.in_progress follows it, once, before any output (API reference).",
        "response": "A lifecycle event has a response with id, object, model, created_at and output (Response).",
        "same": "They all tell of one response: id, model and created_at stay (_responses.py: 'Lifecycle response"
        " identity changed').",
        "status": "The status of the response is the event's; incomplete has its reason, failed its error (Response).",
        "item-index": "Items are added with the indexes 0, 1, 2, ... (_responses.py: 'Duplicate response output index';"
        " the final output is in that order).",
        "item-shape": "An item begins with an id of its own, a type, and the empty fields of its type: content,"
        " summary, or call_id, name and arguments or input (_responses.py adds to them).",
        "item-status": "An item begins in progress, if it has a status (API reference).",
        "item-open": "Whatever belongs to an item names one that is open, by output_index and item_id"
        " (_responses.py: 'before receiving its output item').",
        "item-done": "A done item is what its events told: identity, parts, texts, arguments; and it has a status of"
        " an end if any (_responses.py: 'Completed output item identity changed').",
        "part-index": "Parts are added with the indexes 0, 1, ... of their item (_responses.py: `content[index]`).",
        "part-shape": "A part begins empty, with a type; output_text with annotations (ResponseOutputText).",
        "part-open": "Text events name an open part of their type (_responses.py: assertions on the types).",
        "part-done": "A part is done once, after its text, and holds that text (API reference).",
        "delta": "A delta is a text (_responses.py joins it).",
        "text-done": "The whole text is the joined deltas, told once and after them (API reference).",
        "logprobs": "output_text events have a list `logprobs` (_responses.py reads `event.logprobs`).",
        "input-done": "The whole arguments are the joined deltas, told once and after them (API reference).",
        "ended": "Nothing follows response.completed, response.incomplete, response.failed or an error.",
        "open-items": "At response.completed and response.incomplete every item is done (_responses.py: 'Cannot"
        " complete response with unfinished output items').",
        "output": "The final response.output is the done items in order (_responses.py compares identities).",
        "output-sealed": "So is its encrypted_content: clients send it back (Responses, reasoning.encrypted_content).",
        "usage": "Usage has whole numbers that add up (ResponseUsage).",
        "usage-last": "The final response has usage, unless it failed (Response: agents keep their windows by it).",
        "error": "An error event has a message (ResponseErrorEvent; openai/_streaming.py raises on `error`).",
        "done": "There is no [DONE] (API reference: the terminal event is the end).",
    }
    ACCENTS: ClassVar[Mapping[str, Accent]] = {
        "sealed again": Accent(
            frozenset({"output-sealed"}), "OpenAI and Azure encrypt reasoning anew for the last event"
        ),
        "output left out": Accent(frozenset({"output"}), "the Codex backend ends with an empty output"),
        "added complete": Accent(frozenset({"item-status"}), "OpenAI adds some messages as completed already"),
        "error from between": Accent(
            frozenset({"sequence-error"}), "who only relayed the events before has not counted them: a gap says so"
        ),
        "no usage": Accent(frozenset({"usage-last"}), "the provider behind it did not count"),
        "no names": Accent(frozenset({"name"}), "OpenRouter and Bedrock leave `event:` out"),
        "done": Accent(frozenset({"done"}), "OpenRouter ends with [DONE]"),
        "minted ids": Accent(
            frozenset({"output"}), "OpenRouter mints the id of a reasoning item anew for the last event"
        ),
        "parts in one row": Accent(
            frozenset({"part-index", "part-open", "part-done", "item-done"}),
            "Bedrock numbers the parts of all items in one row",
        ),
    }

    def __init__(self, *accents: str) -> None:
        super().__init__(*accents)
        self._next = 0
        self._seen: list[str] = []
        self._same: dict[str, Any] = {}
        self._items: list[Item] = []
        self._ids: set[str] = set()
        self._over = ""

    def event(self, name: str | None, data: str) -> None:
        """Takes an event."""
        if data == "[DONE]":
            self.breaks("done", "there is a [DONE]")
            return
        if self._over:
            self.breaks("ended", f"{told(data)} follows {self._over}")
            return
        said = self.decoded(data)
        if said is None:
            return
        kind = said.get("type")
        self.asks(name == kind, "name", f"it is named {name} and its type is {kind}")
        number = said.get("sequence_number")
        rule = "sequence-error" if kind == "error" and is_count(number) and number > self._next else "sequence"
        self.asks(number == self._next, rule, f"sequence_number is {number!r} and not {self._next}")
        self._next = (number if isinstance(number, int) else self._next) + 1
        if kind == "error":
            self._over = "an error"
            error = said.get("error")
            message = error.get("message") if isinstance(error, dict) else said.get("message")
            self.asks(is_name(message), "error", f"it has no message: {told(said)}")
        elif kind != "keepalive":
            self._route(str(kind).removeprefix("response."), said)

    def _route(self, kind: str, said: dict[str, Any]) -> None:
        if not self._seen:
            self.asks(kind == "created", "created", f"{kind} comes before response.created")
        if kind in _STATUS:
            self._lifecycle(kind, said.get("response"))
            return
        if "in_progress" not in self._seen:
            self.breaks("in-progress", f"{kind} comes before response.in_progress")
            self._seen.append("in_progress")
        stem, _, last = kind.rpartition(".")
        if stem == "output_item" and last == "added":
            self._item_added(said)
            return
        item = self._item(kind, said, is_whole=stem == "output_item")
        if item is None:
            return
        if stem == "output_item" and last == "done":
            self._item_done(item, said.get("item"))
        elif stem in PLACES and last in ("added", "done"):
            self._part(stem, last, item, said)
        elif stem in TEXTS and last in ("delta", "done"):
            self._text(stem, last, item, said)
        elif stem in INPUTS and last in ("delta", "done"):
            self._input(stem, last, item, said)
        elif kind != "output_text.annotation.added":
            self.asks(stem.endswith(("_call", "_tools")) and last in _STEPS, "known", f"there is no event {kind}")

    # --- the response ---------------------------------------------------------------------------------------------

    def _lifecycle(self, kind: str, response: Any) -> None:
        if kind == "created":
            self.asks("created" not in self._seen, "created", "response.created comes again")
        elif kind == "in_progress":
            self.asks("in_progress" not in self._seen, "in-progress", "response.in_progress comes again or too late")
        elif kind in _TERMINAL and "in_progress" not in self._seen:
            self.breaks("in-progress", f"response.{kind} comes before response.in_progress")
        self._seen.append(kind)
        if not isinstance(response, dict):
            self.breaks("response", "there is no response")
            return
        for field, first in (("id", is_name), ("model", is_name), ("created_at", is_number)):
            value = response.get(field)
            if self.asks(first(value), "response", f"{field} of the response is {value!r}"):
                was = self._same.setdefault(field, value)
                self.asks(value == was, "same", f"{field} of the response was {was!r} and is {value!r}")
        self.asks(response.get("object") == "response", "response", f"object is {response.get('object')!r}")
        self._status(kind, response)
        if kind in _TERMINAL:
            self._over = f"response.{kind}"
            self._ended(kind, response)
        else:
            self.asks(response.get("output") == [], "response", f"output of response.{kind} is no empty list")

    def _status(self, kind: str, response: dict[str, Any]) -> None:
        status = response.get("status")
        self.asks(is_one_of(status, _STATUS[kind]), "status", f"response.{kind} has status {status!r}")
        details, error = response.get("incomplete_details"), response.get("error")
        if kind == "incomplete":
            good = isinstance(details, dict) and is_name(details.get("reason"))
            self.asks(good, "status", f"an incomplete response has incomplete_details {told(details)}")
        else:
            self.asks(details is None, "status", f"response.{kind} has incomplete_details")
        if kind == "failed":
            good = isinstance(error, dict) and is_name(error.get("message")) and is_name(error.get("code"))
            self.asks(good, "status", f"a failed response has the error {told(error)}")
        else:
            self.asks(error is None, "status", f"response.{kind} has an error")

    def _ended(self, kind: str, response: dict[str, Any]) -> None:
        left = [number for number, item in enumerate(self._items) if item.done is None]
        if kind != "failed":
            self.asks(not left, "open-items", f"item {', '.join(map(str, left))} is not done")
            if not left:
                self._compare(response.get("output"))
        elif not isinstance(response.get("output"), list):
            self.breaks("response", "there is no list of output")
        usage = response.get("usage")
        if usage is None:
            self.asks(kind == "failed", "usage-last", f"response.{kind} has no usage")
            return
        names = ("input_tokens", "output_tokens", "total_tokens")
        counts: list[Any] = [usage.get(name) for name in names] if isinstance(usage, dict) else []
        good = bool(counts) and all(is_count(n) for n in counts) and sum(counts[:2]) == counts[2]
        self.asks(good, "usage", f"input, output and total tokens are {counts}")

    def _compare(self, output: Any) -> None:
        done = [item.done or {} for item in self._items]
        good = isinstance(output, list) and list(map(unsealed, output)) == list(map(unsealed, done))
        said = f"the final output is not the {len(done)} done items"
        self.asks(not good or output == done, "output-sealed", said)
        self.asks(good, "output", said)

    # --- items ----------------------------------------------------------------------------------------------------

    def _item_added(self, said: dict[str, Any]) -> None:
        index, item = said.get("output_index"), said.get("item")
        self.asks(index == len(self._items), "item-index", f"item {len(self._items)} has output_index {index!r}")
        if not isinstance(item, dict):
            self.breaks("item-shape", f"item {index} is {told(item)}")
            item = {}
        named = is_name(item.get("id")) and str(item.get("id")) not in self._ids and is_name(item.get("type"))
        said_of = f"item {index} begins as {told(item)}"
        empty: dict[str, dict[str, Any]] = {
            "message": {"content": []},
            "reasoning": {"summary": []},
            "function_call": {"arguments": ""},
            "custom_tool_call": {"input": ""},
        }
        wanted = empty.get(str(item.get("type")), {})
        good = named and all(item.get(field) == value for field, value in wanted.items())
        if item.get("type") == "message":
            good = good and item.get("role") == "assistant"
        elif item.get("type") in ("function_call", "custom_tool_call"):
            good = good and is_name(item.get("call_id")) and is_name(item.get("name"))
        self.asks(good, "item-shape", said_of)
        status = item.get("status", "in_progress")
        self.asks(status == "in_progress", "item-status", f"item {index} begins {status}")
        self._ids.add(str(item.get("id")))
        self._items.append(Item(item))

    def _item(self, kind: str, said: dict[str, Any], *, is_whole: bool) -> Item | None:
        index = said.get("output_index")
        item = self._items[index] if isinstance(index, int) and 0 <= index < len(self._items) else None
        if item is None or item.done is not None:
            self.breaks("item-open", f"{kind} is of item {index!r}, which is not open")
            return None
        if not is_whole:
            good = said.get("item_id") == item.id
            self.asks(good, "item-open", f"{kind} of item {index} has item_id {said.get('item_id')!r}, not {item.id!r}")
        return item

    def _item_done(self, item: Item, done: Any) -> None:
        item.done = done if isinstance(done, dict) else {}
        for difference in item.differences(item.done):
            self.breaks("item-done", difference)
        status = item.done.get("status")
        self.asks(status != "in_progress", "item-done", f"its status is still {status}")

    # --- parts and texts ------------------------------------------------------------------------------------------

    def _part(self, stem: str, last: str, item: Item, said: dict[str, Any]) -> None:
        place, field = PLACES[stem]
        parts, index, told_part = item.parts[place], said.get(field), said.get("part")
        part = told_part if isinstance(told_part, dict) else {}
        if last == "added":
            self.asks(index == len(parts), "part-index", f"part {len(parts)} has {field} {index!r}")
            good = is_name(part.get("type")) and text_of(part) == ""
            good = good and (part.get("type") != "output_text" or part.get("annotations") == [])
            self.asks(good, "part-shape", f"part {index} begins as {told(told_part)}")
            parts.append(Part(str(part.get("type"))))
            return
        known = parts[index] if isinstance(index, int) and 0 <= index < len(parts) else None
        if known is None or not known.is_open:
            self.breaks("part-done", f"part {index!r} of {place} is done and was not open")
            return
        known.is_open = False
        good = known.whole is not None and text_of(part) == known.whole and part.get("type") == known.kind
        self.asks(good, "part-done", f"part {index} is done as {told(told_part)}, and its text was {told(known.whole)}")

    def _text(self, stem: str, last: str, item: Item, said: dict[str, Any]) -> None:
        text: Text = TEXTS[stem]
        parts, index = item.parts[text.place], said.get(INDEX[text.place])
        part = parts[index] if isinstance(index, int) and 0 <= index < len(parts) else None
        if part is None or not part.is_open or part.kind != text.kind:
            self.breaks("part-open", f"{stem}.{last} names no open {text.kind} part: {index!r}")
            return
        if stem == "output_text":
            self.asks(isinstance(said.get("logprobs"), list), "logprobs", f"{stem}.{last} has no logprobs")
        if last == "delta":
            self._delta(part, said.get("delta"), "text-done")
            return
        whole, joined = said.get(text.field), "".join(part.pieces)
        self.asks(part.whole is None, "text-done", f"{stem}.done comes again")
        self.asks(
            whole == joined, "text-done", f"the whole text is {told(whole)}, and the deltas join to {told(joined)}"
        )
        part.whole = joined

    def _input(self, stem: str, last: str, item: Item, said: dict[str, Any]) -> None:
        kind, field = INPUTS[stem]
        if not self.asks(item.type == kind, "item-open", f"{stem}.{last} is of an item of type {item.type}"):
            return
        if last == "delta":
            self._delta(item, said.get("delta"), "input-done")
            return
        whole, joined = said.get(field), "".join(item.pieces)
        self.asks(item.whole is None, "input-done", f"{stem}.done comes again")
        good = whole == joined
        self.asks(good, "input-done", f"the whole {field} are {told(whole)}, and the deltas join to {told(joined)}")
        item.whole = joined

    def _delta(self, holder: Item | Part, delta: Any, rule: str) -> None:
        if not isinstance(delta, str):
            self.breaks("delta", f"the delta is {told(delta)}")
        elif self.asks(holder.whole is None, rule, "a delta follows the whole text"):
            holder.pieces.append(delta)

    def lacks(self) -> list[tuple[str, str]]:
        """See `Grammar.lacks`."""
        if self._over:
            return []
        found = [] if self._seen else [("created", "there is no response.created")]
        found += [
            ("open-items", f"item {number} is not done") for number, item in enumerate(self._items) if item.done is None
        ]
        return [*found, ("ended", "there is no terminal event")]


def unsealed(item: Any) -> Any:
    """An item without what is encrypted."""
    return {k: v for k, v in item.items() if k != "encrypted_content"} if isinstance(item, dict) else item


def is_number(value: object) -> bool:
    """Whether it is a number: some hosts have fractions of a second."""
    return isinstance(value, int | float) and not isinstance(value, bool)
