"""The grammar of canonical events (`afterbay.core.event`): what every parser keeps and every renderer needs.

Source: the docstrings of afterbay.core.event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from afterbay.core.event import (
    BlockBreak,
    Event,
    Extra,
    Failed,
    Finished,
    ReasoningDelta,
    ReasoningSignature,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
)
from afterbay.testing.grammar.stream import Accent, Grammar


class EventGrammar(Grammar):
    """Checks a stream of canonical events."""

    RULES: ClassVar[Mapping[str, str]] = {
        "started": "Started comes at most once, and before all but Extra and UsageSeen: renderers announce by it.",
        "text": "Deltas hold text: an empty one is no output, and would be taken for the commit point.",
        "choice": "A choice is a number from 0.",
        "call-number": "The calls of a choice are numbered 0, 1, 2, ... in the order of their start.",
        "call-id": "A call has an id that no other call has, and a name.",
        "call-started": "Pieces of arguments are of a call that started, in the same choice.",
        "signature": "A signature is not empty.",
        "finished-once": "A choice finishes once.",
        "after-finished": "After it finished, a choice has no output.",
        "usage": "Usage is plausible: no bucket is negative or beyond any answer.",
        "failed": "Nothing follows Failed.",
        "finish": "A choice with output has a finish, unless the answer failed.",
    }
    ACCENTS: ClassVar[Mapping[str, Accent]] = {
        "late call": Accent(
            frozenset({"finished-once", "after-finished"}),
            "Gemini may call a tool after its finish reason, or give a second one: the later one stands",
        ),
        "no finish": Accent(frozenset({"finish"}), "Snowflake and OpenAI's models of 2023 may end without a reason"),
    }

    def __init__(self, *accents: str) -> None:
        super().__init__(*accents)
        self._calls: dict[int, int] = {}
        self._ids: set[str] = set()
        self._finished: dict[int, bool] = {}
        self._started = self._output = self._failed = False

    def push(self, events: Iterable[Event]) -> None:
        """Takes the next events."""
        for event in events:
            self.events += 1
            self.asks(not self._failed, "failed", f"{event} follows Failed")
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case Started():
                self.asks(not self._started and not self._output, "started", f"{event} comes again or late")
                self._started = True
            case UsageSeen():
                self.asks(event.usage.is_plausible, "usage", f"{event.usage} is not plausible")
            case Failed():
                self._failed = True
            case Extra():
                pass
            case _:
                self._output = True
                self._of_choice(event)

    def _of_choice(
        self,
        event: TextDelta
        | BlockBreak
        | RefusalDelta
        | ReasoningDelta
        | ReasoningSignature
        | ToolCallStarted
        | ToolCallDelta
        | Finished,
    ) -> None:
        choice = event.choice
        self.asks(choice >= 0, "choice", f"{event} has the choice {choice}")
        is_finished = self._finished.get(choice, False)
        if isinstance(event, Finished):
            self.asks(not is_finished, "finished-once", f"choice {choice} finishes again: {event.reason}")
            self._finished[choice] = True
            return
        if isinstance(event, BlockBreak):
            return
        self.asks(not is_finished, "after-finished", f"{event} comes after choice {choice} finished")
        self._finished.setdefault(choice, False)
        match event:
            case ToolCallStarted():
                number = self._calls.get(choice, 0)
                self.asks(event.call == number, "call-number", f"call {event.call} is number {number}")
                self._calls[choice] = max(number, event.call) + 1
                good = bool(event.id) and event.id not in self._ids and bool(event.name)
                self.asks(good, "call-id", f"call {event.call} is {event.name!r} with the id {event.id!r}")
                self._ids.add(event.id)
            case ToolCallDelta():
                good = 0 <= event.call < self._calls.get(choice, 0)
                self.asks(good, "call-started", f"a piece is of call {event.call}, which did not start")
                self.asks(bool(event.arguments), "text", f"{event} is empty")
            case ReasoningSignature():
                self.asks(bool(event.data), "signature", "a signature is empty")
            case _:
                self.asks(bool(event.text), "text", f"{event} is empty")

    def lacks(self) -> list[tuple[str, str]]:
        """See `Grammar.lacks`."""
        if self._failed:
            return []
        return [("finish", f"choice {choice} has no finish") for choice, done in self._finished.items() if not done]
