"""What a client has got of an answer so far: the place from which another attempt would have to go on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

from afterbay.core.event import (
    Event,
    Extra,
    Finished,
    FinishReason,
    ReasoningDelta,
    ReasoningSignature,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)

Form: TypeAlias = Literal["again", "prefill", "replay", "instruct", "step_back"]
"""How somebody is asked to go on. What each says is decided in `afterbay.policy.resume`."""

MOST_CHARS = 4 << 20
"""A longer answer is not kept, and so cannot be gone on with."""

_HARMLESS = ("stop_details", "stop_reason=", "safetyRatings", "usage", "phase=")
"""Beginnings of the names of extras that say something about an answer and are no part of it."""


class SentCall(msgspec.Struct):
    """A tool call as far as it was sent. `pieces` are its arguments."""

    id: str
    name: str
    pieces: list[str] = []

    @property
    def arguments(self) -> str:
        """The arguments so far."""
        return "".join(self.pieces)

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are whole JSON."""
        try:
            msgspec.json.decode(self.arguments)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False
        return True


class Checkpoint:
    """Gathers what is sent of one answer, over all attempts that wrote on it.

    `calls` by their numbers; `odd` says why nobody could go on with such an answer (empty: nothing is known to speak
    against it); `finish` is set once the model has said why it stopped.
    """

    def __init__(self) -> None:
        self.calls: dict[int, SentCall] = {}
        self.finish: FinishReason | None = None
        self.odd = ""
        self.has_reasoning = self.is_reasoning = False
        """Whether reasoning was sent, and whether it was the last thing that was."""
        self._pieces: list[str] = []
        self._chars = 0

    @property
    def text(self) -> str:
        """All text so far."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @property
    def is_blank(self) -> bool:
        """Whether nothing was said that must not be said again: reasoning and white space at most."""
        return not self.calls and not self.text.strip()

    def see(self, events: Iterable[Event]) -> None:
        """Takes events that were sent."""
        for event in events:
            if type(event) is TextDelta and event.choice == 0:
                self.is_reasoning = False
                self._keep(self._pieces, event.text)
            else:
                self._see_other(event)

    def _keep(self, pieces: list[str], text: str) -> None:
        self._chars += len(text)
        if self._chars <= MOST_CHARS:
            pieces.append(text)
        else:
            self.odd = self.odd or "it is too long to be kept"

    def _see_other(self, event: Event) -> None:
        if isinstance(event, Extra):
            if not event.kind.startswith(_HARMLESS):
                self.odd = self.odd or f"it holds {event.kind}"
            return
        if getattr(event, "choice", 0):
            self.odd = self.odd or "it has several choices"
            return
        match event:
            case ReasoningDelta() | ReasoningSignature():
                self.has_reasoning = self.is_reasoning = True
            case RefusalDelta():
                self.odd = self.odd or "it is a refusal"
            case ToolCallStarted():
                self.is_reasoning = False
                self.calls[event.call] = SentCall(event.id, event.name)
            case ToolCallDelta():
                call = self.calls.get(event.call)
                if call is not None:
                    self._keep(call.pieces, event.arguments)
            case Finished():
                self.finish = event.reason
            case _:  # names, counts and the ends of blocks
                pass
