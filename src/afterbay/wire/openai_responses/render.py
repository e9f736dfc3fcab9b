"""Canonical events -> an answer of the Responses API, whole and streamed.

Every event names its item by `output_index`, so items may be open side by side: text and reasoning end as soon as
something else begins, calls stay open until the end, since other protocols mix the pieces of their arguments. The ids
of items are made of the answer's seed and their place; only a reasoning item whose proof comes first has the proof's.

What has no place here is named in `losses`: further choices, signatures of tool calls, every `Extra`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from afterbay.core.errors import ErrorKind, GatewayError
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
from afterbay.core.message import Refusal, Text, Thinking, ToolUse
from afterbay.core.usage import Usage
from afterbay.wire.dialect import Head
from afterbay.wire.openai_responses import proof
from afterbay.wire.openai_responses.custom import input_of
from afterbay.wire.openai_responses.item import CallItem, CustomCallItem, Item, MessageItem, ReasoningItem, Step
from afterbay.wire.openai_responses.response import (
    INCOMPLETE,
    LOSSES,
    Frame,
    call_item,
    custom_call_item,
    error_code,
    message_item,
    reasoning_item,
    refusal_part,
    text_part,
)

_LATE = 1_000_000
"""The sequence_number of an error behind events that were relayed, and so not counted."""

_encode = msgspec.json.Encoder().encode


class Renderer:
    """Writes one streamed answer; see `afterbay.wire.dialect.Renderer`."""

    def __init__(self, head: Head) -> None:
        self.losses: set[str] = set()
        self._seed = head.seed
        self._frame = Frame(head)
        self._relayed = head.begun
        self._began = head.begun
        self._failed = False
        self._number = 0  # the next sequence_number
        self._items: list[Item] = []
        self._given: set[str] = set()  # ids that came with proofs
        self._live: MessageItem | ReasoningItem | None = None
        self._ends_first: Item | None = None  # an item of somebody else's that nobody can go on with
        self._calls: dict[int, Item] = {}
        self._usage: Usage | None = None
        self._finish: FinishReason | None = None
        self._hot = b""  # start of a delta of the live text part, b"" when text may not go straight out
        self._pieces: list[str] = []  # of that part
        self.answer = b""
        """The whole response object, once the stream has ended."""

    def go_on(
        self, response: Mapping[str, Any], echo: Mapping[str, Any], number: int, items: list[Item], calls: list[Item]
    ) -> None:
        """What was sent before counts as this renderer's own: the response as it was created, the next
        sequence_number, and the items so far, of which `calls` are calls."""
        self._began = True
        self._frame.take_over(response, echo)
        self._number, self._items, self._calls = number, items, dict(enumerate(calls))
        self._given.update(item.id for item in items)
        last = items[-1] if items and not items[-1].ended else None
        if isinstance(last, MessageItem):
            self._live = last
        elif last is not None and not isinstance(last, CallItem | CustomCallItem):
            self._ends_first = last

    def render(self, events: Sequence[Event]) -> bytes:
        """The bytes of these events."""
        out: list[bytes] = []
        for event in events:
            if self._failed:
                break
            if type(event) is TextDelta and self._hot and event.choice == 0:
                self._pieces.append(event.text)
                out.append(b'%b%b,"sequence_number":%d}\n\n' % (self._hot, _encode(event.text), self._number))
                self._number += 1
            else:
                self._take(event, out)
        if events:
            self._begin(out)
        return b"".join(out)

    def finish(self, note: Mapping[str, object] | None = None) -> bytes:
        """Ends all items, then the whole response with its usage (and `note` beside it)."""
        if self._failed:
            return b""
        out: list[bytes] = []
        self._begin(out)
        reason = self._finish
        status = "incomplete" if reason in INCOMPLETE else "completed"
        if reason in LOSSES:
            self.losses.add(LOSSES[reason])
        for item in self._items:
            self._steps(item.end(status if item is self._items[-1] else "completed"), out)
        output = [item.shown() for item in self._items]
        response = self._frame.show(status, output, self._usage, reason, note=note)
        self.answer = _encode(response)
        self._steps([(f"response.{status}", {"response": msgspec.Raw(self.answer)})], out)
        return b"".join(out)

    def fail(self, error: GatewayError) -> bytes:
        """`response.failed`, which SDKs and Codex read; the stream is over.

        After a relay it is an `error` event: the response has the provider's id, which SDKs do not want changed.
        """
        out: list[bytes] = []
        self._fail(error.kind, error.code, error.text(), out)
        return b"".join(out)

    def ping(self) -> bytes:
        """A comment: SDKs that accumulate a stream take no event before `response.created`."""
        return b"" if self._failed else b": ping\n\n"

    def _fail(self, kind: ErrorKind, code: str | None, message: str, out: list[bytes]) -> None:
        if self._failed:
            return
        self._begin(out)
        self._failed = True
        if self._relayed:
            fields = {"code": error_code(kind, code), "message": message, "param": None}
            out.append(b"event: error\ndata: %b\n\n" % _encode({"type": "error", **fields, "sequence_number": _LATE}))
            return
        error = {"code": error_code(kind, code), "message": message}
        output = [item.shown() for item in self._items if item.ended]
        response = self._frame.show("failed", output, self._usage, error=error)
        self._steps([("response.failed", {"response": response})], out)

    def _steps(self, steps: Sequence[Step], out: list[bytes]) -> None:
        for name, fields in steps:
            body = _encode({"type": name, **fields, "sequence_number": self._number})
            out.append(b"event: %b\ndata: %b\n\n" % (name.encode(), body))
            self._number += 1

    def _begin(self, out: list[bytes]) -> None:
        if self._began:
            return
        self._began = True
        response = self._frame.show("in_progress", [])
        self._steps(
            [("response.created", {"response": response}), ("response.in_progress", {"response": response})], out
        )

    def _take(self, event: Event, out: list[bytes]) -> None:
        match event:
            case UsageSeen():
                self._usage = event.usage
            case Extra():
                self.losses.add(event.kind)
            case Failed():
                self._fail(event.error.kind, event.error.code, event.error.message, out)
            case Started():  # the response has an id of ours
                pass
            case _ if event.choice:
                self.losses.add("choices")
            case _:
                self._output(event, out)

    def _output(self, event: Event, out: list[bytes]) -> None:
        self._begin(out)
        self._hot = b""
        match event:
            case TextDelta(text=str(text)) | RefusalDelta(text=str(text)):
                if text:
                    self._say(text, isinstance(event, RefusalDelta), out)
            case ReasoningDelta(text=str(text)):
                if text:
                    self._steps(self._reasoning("", out).say(text), out)
            case ReasoningSignature():
                self._sign(event, out)
            case ToolCallStarted():
                self._call(event, out)
            case ToolCallDelta():
                self._argument(event, out)
            case BlockBreak():
                self._break(out)
            case Finished():
                self._finish = event.reason
            case _:  # the others were taken already
                pass

    def _close(self, out: list[bytes]) -> None:
        """Ends the message or the reasoning that is being said."""
        if self._ends_first is not None:
            self._steps(self._ends_first.end("incomplete"), out)
            self._ends_first = None
        if self._live is not None:
            self._steps(self._live.end("completed"), out)
            self._live = None

    def _say(self, text: str, refuses: bool, out: list[bytes]) -> None:
        live = self._live
        if not isinstance(live, MessageItem):
            self._close(out)
            place = len(self._items)
            live = self._live = MessageItem(f"msg_{self._seed}_{place}", place)
            self._items.append(live)
            self._steps(live.begin(), out)
        self._steps(live.say(text, refuses), out)
        if not refuses:
            self._hot, self._pieces = live.hot(), live.pieces

    def _reasoning(self, given_id: str, out: list[bytes]) -> ReasoningItem:
        live = self._live
        if isinstance(live, ReasoningItem):
            return live
        self._close(out)
        place = len(self._items)
        live = self._live = ReasoningItem(given_id or f"rs_{self._seed}_{place}", place)
        self._items.append(live)
        self._steps(live.begin(), out)
        return live

    def _sign(self, event: ReasoningSignature, out: list[bytes]) -> None:
        if event.redacted:
            self._close(out)
        given_id, encrypted = proof.shown(event.data)
        if given_id in self._given or f"_{self._seed}_" in given_id:  # another item's: all others are made of the seed
            given_id = ""
        self._given.add(given_id)
        self._reasoning(given_id, out).encrypted = encrypted
        self._close(out)

    def _break(self, out: list[bytes]) -> None:
        """A message goes on with another part; reasoning is an item of its own each time."""
        if isinstance(self._live, MessageItem):
            self._steps(self._live.end_part(), out)
        else:
            self._close(out)

    def _call(self, event: ToolCallStarted, out: list[bytes]) -> None:
        if event.signature is not None:
            self.losses.add("tool_call.signature")
        self._close(out)
        place = len(self._items)
        of, prefix = (CustomCallItem, "ctc") if event.name in self._frame.custom else (CallItem, "fc")
        item = self._calls[event.call] = of(f"{prefix}_{self._seed}_{place}", place, event.id, event.name)
        self._items.append(item)
        self._steps(item.begin(), out)

    def _argument(self, event: ToolCallDelta, out: list[bytes]) -> None:
        item = self._calls.get(event.call)
        if not isinstance(item, CallItem | CustomCallItem):
            self.losses.add("tool_call.arguments")
        elif event.arguments:
            self._steps(item.add(event.arguments), out)


def kept_answer(renderer: object) -> bytes:
    """The response object that a stream ended with; empty for a renderer of another protocol."""
    return renderer.answer if isinstance(renderer, Renderer) else b""


def render_answer(reply: Reply, head: Head, note: Mapping[str, object] | None = None) -> tuple[bytes, tuple[str, ...]]:
    """The whole answer, and what it had no place for; `note` goes beside the usage as `afterbay`."""
    losses = dict.fromkeys(reply.extras)
    if len(reply.choices) > 1:
        losses["choices"] = None
    choice = reply.choices[0]
    finish = choice.finish
    if finish in LOSSES:
        losses[LOSSES[finish]] = None
    status = "incomplete" if finish in INCOMPLETE else "completed"
    frame = Frame(head)
    output = _output(choice.message.parts, head.seed, frame.custom, losses)
    if output and "status" in output[-1]:
        output[-1]["status"] = status
    return _encode(frame.show(status, output, reply.usage, finish, note=note)), tuple(losses)


def _output(
    parts: Sequence[object], seed: str, custom: frozenset[str], losses: dict[str, None]
) -> list[dict[str, Any]]:
    """The items of these parts; texts and refusals that follow each other are one message. `custom`: see `Frame`."""
    items: list[dict[str, Any]] = []
    for part in parts:
        place = len(items)
        match part:
            case Text(text=str(text)) | Refusal(text=str(text)):
                if not text:
                    continue
                if not items or items[-1]["type"] != "message":
                    items.append(message_item(f"msg_{seed}_{place}", [], "completed"))
                items[-1]["content"].append(refusal_part(text) if isinstance(part, Refusal) else text_part(text))
            case Thinking():
                data = part.signature if part.redacted is None else part.redacted
                item_id, encrypted = proof.shown(data) if data else ("", None)
                items.append(reasoning_item(item_id or f"rs_{seed}_{place}", part.text, encrypted))
            case ToolUse():
                if part.signature is not None:
                    losses["tool_call.signature"] = None
                items.append(_call(part, f"{seed}_{place}", custom))
            case _:
                losses[f"{type(part).__name__.lower()} in an answer"] = None
    return items


def _call(use: ToolUse, mark: str, custom: frozenset[str]) -> dict[str, Any]:
    if use.name in custom:
        return custom_call_item(f"ctc_{mark}", use.id, use.name, input_of(use.arguments), "completed")
    return call_item(f"fc_{mark}", use.id, use.name, use.arguments or "{}", "completed")
