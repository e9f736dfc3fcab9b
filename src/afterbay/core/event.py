"""An answer as a stream of events. A whole answer is the fold over them, so there is one path, not two.

Parsers of any dialect produce these events, renderers of any dialect consume them. Deltas carry `choice`, the index of
the alternative (n > 1); it is 0 nearly always.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

from afterbay.core.errors import ProviderError
from afterbay.core.message import Message, Part, Refusal, Text, Thinking, ToolUse
from afterbay.core.usage import Usage

FinishReason: TypeAlias = Literal["stop", "stop_sequence", "length", "tool_calls", "content_filter", "pause", "error"]


class Started(msgspec.Struct, frozen=True):
    """The provider accepted the request and named its answer."""

    id: str = ""
    model: str = ""


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """Text of the answer."""

    text: str
    choice: int = 0


class BlockBreak(msgspec.Struct, frozen=True, gc=False):
    """The provider closed a content block: the next delta of the same kind opens a new one."""

    choice: int = 0


class RefusalDelta(msgspec.Struct, frozen=True, gc=False):
    """Text of a refusal given apart from the content."""

    text: str
    choice: int = 0


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    """Text of visible reasoning."""

    text: str
    choice: int = 0


class ReasoningSignature(msgspec.Struct, frozen=True, gc=False):
    """Opaque proof that belongs to the reasoning before it; `redacted` marks a block with no visible text at all."""

    data: str
    redacted: bool = False
    choice: int = 0


class ToolCallStarted(msgspec.Struct, frozen=True, gc=False):
    """The call number `call` (0, 1, ... in order of appearance, per choice) begins. `id` is never empty and unique."""

    call: int
    id: str
    name: str
    signature: str | None = None
    choice: int = 0


class ToolCallDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of the JSON text of the arguments of call number `call`."""

    call: int
    arguments: str
    choice: int = 0


class UsageSeen(msgspec.Struct, frozen=True):
    """The provider's count so far, cumulative: the last one wins, they are never added up."""

    usage: Usage


class Finished(msgspec.Struct, frozen=True):
    """The model stopped. Text may still not follow, but usage may."""

    reason: FinishReason
    stop_sequence: str | None = None
    choice: int = 0


class Failed(msgspec.Struct, frozen=True):
    """An error inside an answer that began with status 200."""

    error: ProviderError


class Extra(msgspec.Struct, frozen=True):
    """Something the provider sent that no canonical event holds (citations, built-in tool results, logprobs, ...).

    `kind` names it; a translation counts it as a declared loss, a relay passes it on untouched.
    """

    kind: str


Event: TypeAlias = (
    Started
    | TextDelta
    | BlockBreak
    | RefusalDelta
    | ReasoningDelta
    | ReasoningSignature
    | ToolCallStarted
    | ToolCallDelta
    | UsageSeen
    | Finished
    | Failed
    | Extra
)

OUTPUT = (TextDelta, RefusalDelta, ReasoningDelta, ReasoningSignature, ToolCallStarted, ToolCallDelta)
"""Events that are output of the model: the first of them is the first token, and the commit point of a request."""


class Choice(msgspec.Struct):
    """One alternative of an answer."""

    message: Message
    finish: FinishReason | None = None
    stop_sequence: str | None = None


class Reply(msgspec.Struct):
    """A whole answer: `choices` in order (one, unless n > 1), usage where known, the error if it ended in one."""

    choices: list[Choice]
    id: str = ""
    model: str = ""
    usage: Usage | None = None
    error: ProviderError | None = None
    extras: tuple[str, ...] = ()


class _Folding:
    """Parts of one choice while they arrive."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.kind: type[object] | None = None
        self.buffer: list[str] = []
        self.calls: dict[int, list[str]] = {}
        self.places: dict[int, int] = {}
        self.finish: FinishReason | None = None
        self.stop_sequence: str | None = None

    def text(self, kind: type[object], text: str) -> None:
        if kind is not self.kind:
            self.flush()
            self.kind = kind
        self.buffer.append(text)

    def flush(self) -> None:
        text, kind = "".join(self.buffer), self.kind
        self.buffer, self.kind = [], None
        if kind is TextDelta:
            self.parts.append(Text(text))
        elif kind is ReasoningDelta:
            self.parts.append(Thinking(text))
        elif kind is RefusalDelta:
            self.parts.append(Refusal(text))

    def sign(self, event: ReasoningSignature) -> None:
        open_reasoning = self.kind is ReasoningDelta
        self.flush()
        last = self.parts[-1] if self.parts else None
        if event.redacted:
            self.parts.append(Thinking(redacted=event.data))
        elif open_reasoning and isinstance(last, Thinking):
            self.parts[-1] = Thinking(last.text, event.data)
        else:
            self.parts.append(Thinking(signature=event.data))

    def call(self, event: ToolCallStarted) -> None:
        self.flush()
        self.calls[event.call], self.places[event.call] = [], len(self.parts)
        self.parts.append(ToolUse(event.id, event.name, "", event.signature))

    def close(self) -> Choice:
        self.flush()
        for number, place in self.places.items():
            use = self.parts[place]
            if isinstance(use, ToolUse):
                self.parts[place] = ToolUse(use.id, use.name, "".join(self.calls[number]), use.signature)
        return Choice(Message("assistant", tuple(self.parts)), self.finish, self.stop_sequence)


def fold(events: Iterable[Event]) -> Reply:
    """Folds a stream into the whole answer."""
    choices: dict[int, _Folding] = {}
    reply, extras = Reply([]), list[str]()
    for event in events:
        match event:
            case Started():
                reply.id, reply.model = event.id or reply.id, event.model or reply.model
            case UsageSeen():
                reply.usage = event.usage
            case Failed():
                reply.error = event.error
            case Extra():
                extras.append(event.kind)
            case _:
                _fold_choice(choices.setdefault(event.choice, _Folding()), event)
    reply.choices = [choices[index].close() for index in sorted(choices)] or [Choice(Message("assistant", ()))]
    reply.extras = tuple(dict.fromkeys(extras))
    return reply


def _fold_choice(state: _Folding, event: Event) -> None:
    match event:
        case TextDelta() | ReasoningDelta() | RefusalDelta():
            state.text(type(event), event.text)
        case ReasoningSignature():
            state.sign(event)
        case ToolCallStarted():
            state.call(event)
        case ToolCallDelta():
            state.calls.setdefault(event.call, []).append(event.arguments)
        case BlockBreak():
            state.flush()
        case Finished():
            state.finish, state.stop_sequence = event.reason, event.stop_sequence
        case _:  # the others carry no choice
            pass
