"""The events of a new answer as the continuation of an old one.

Text goes through the seam. Tool calls that were sent already must come again with the same name and, as far as they
went, the same arguments: what is more than that goes on under the old call's number. Reasoning is not shown again once
something else was; before that it is, as a block of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from afterbay.core.checkpoint import Checkpoint, Form, SentCall
from afterbay.core.event import (
    OUTPUT,
    BlockBreak,
    Event,
    Finished,
    ReasoningDelta,
    ReasoningSignature,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from afterbay.wire.seam import Doubtful, Seam


class Joint:
    """Joins one new answer to what was sent (`checkpoint`, which must not grow meanwhile but by what comes out here).

    `is_joined`: it is certain that the answer goes on, and output may be shown. `shown`
    and `quote`: the text that was shown to the model, and what it was asked to repeat. `closing`: what ends reasoning
    that broke off, before anything else is said.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        form: Form,
        shown: str = "",
        quote: str = "",
        *,
        lenient: bool = False,
        closing: Sequence[Event] = (BlockBreak(),),
    ) -> None:
        self._closing = closing
        self._text = checkpoint.text
        self._sent: dict[int, SentCall] = {
            number: SentCall(call.id, call.name, [call.arguments]) for number, call in checkpoint.calls.items()
        }
        self._again: dict[int, str] = {}
        self._reasons = checkpoint.is_blank
        self._was_reasoning = checkpoint.is_reasoning
        self._ended = False
        self._seam: Seam | None = None
        if form != "again":
            self._seam = Seam(self._text, form, quote, behind=self._text[len(shown) :], lenient=lenient)
            self._seam.settled = form == "replay" and not self._text
        self.how = ""

    @property
    def is_joined(self) -> bool:
        """Whether all that was sent is accounted for."""
        return (self._seam is None or self._seam.settled) and not self._open_calls()

    def push(self, events: Sequence[Event]) -> list[Event]:
        """The events for the client.

        Raises:
            Doubtful: the new answer does not go on with the old one.
        """
        out: list[Event] = []
        for event in events:
            if type(event) is TextDelta:
                self._say(event, out)
            elif type(event) is not Started:
                self._other(event, out)
        return out

    def close(self) -> list[Event]:
        """The new answer has ended properly.

        Raises:
            Doubtful: it ended before it had caught up with the old one.
        """
        out: list[Event] = []
        self._end_text(out)
        if self._open_calls():
            raise Doubtful("the new answer ends before what was sent already")
        return out

    def _say(self, event: TextDelta, out: list[Event]) -> None:
        seam = self._seam
        text = event.text
        if seam is None:  # white space at most was sent
            if not self._text:
                self._break(out)
                out.append(event)
                return
            text = text.lstrip()
            self._text = self._text if not text else ""
        else:
            was_settled = seam.settled
            text = seam.push(text)
            if not was_settled and seam.settled:
                self.how = seam.how
            if text and self._open_calls():
                raise Doubtful("the new answer says something else in the place of a tool call")
        if text:
            self._break(out)
            out.append(event if text is event.text else TextDelta(text))

    def _end_text(self, out: list[Event]) -> None:
        """All text that the seam may hold: a call, or the end, follows it."""
        seam = self._seam
        if seam is None or seam.settled:
            return
        text = seam.close()
        self.how = seam.how
        if text:
            out.append(TextDelta(text))

    def _break(self, out: list[Event]) -> None:
        """Before the first output: reasoning that broke off stays a block of its own."""
        if self._was_reasoning:
            self._was_reasoning = False
            out += self._closing

    def _other(self, event: Event, out: list[Event]) -> None:
        match event:
            case ReasoningDelta() | ReasoningSignature():
                if self._reasons:
                    self._break(out)
                    out.append(event)
            case ToolCallStarted():
                self._start(event, out)
            case ToolCallDelta():
                self._argue(event, out)
            case BlockBreak():
                if self.is_joined:
                    out.append(event)
            case Finished():
                out += self.close()
                out.append(event)
            case _ if isinstance(event, OUTPUT):
                raise Doubtful("the new answer is a refusal")
            case _:
                out.append(event)

    def _open_calls(self) -> bool:
        """Whether a call that was sent has not come again as far as it went."""
        return any(len(self._again.get(number, "")) < len(call.arguments) for number, call in self._sent.items()) or (
            len(self._again) < len(self._sent)
        )

    def _start(self, event: ToolCallStarted, out: list[Event]) -> None:
        known = self._sent.get(event.call)
        if known is None:
            if self._open_calls():
                raise Doubtful("the new answer calls its tools in another order")
            self._end_text(out)
            self._break(out)
            taken = any(call.id == event.id for call in self._sent.values())
            out.append(msgspec.structs.replace(event, id=f"{event.id}_2") if taken else event)
            return
        self._end_text(out)
        if known.name != event.name:
            raise Doubtful(f"the new answer calls {event.name[:80]} where {known.name[:80]} was called")
        self._again[event.call] = ""

    def _argue(self, event: ToolCallDelta, out: list[Event]) -> None:
        known = self._sent.get(event.call)
        if known is None:
            out.append(event)
            return
        sent, before = known.arguments, self._again.get(event.call, "")
        said = before + event.arguments
        if len(before) >= len(sent) and known.is_whole and event.arguments.strip():
            raise Doubtful(f"the new answer calls {known.name[:80]} with more arguments")
        if len(before) >= len(sent):
            out.append(event)
            return
        if not (said.startswith(sent) or sent.startswith(said)):
            raise Doubtful(f"the new answer calls {known.name[:80]} with other arguments")
        self._again[event.call] = said
        if len(said) > len(sent):
            if known.is_whole and said[len(sent) :].strip():
                raise Doubtful(f"the new answer calls {known.name[:80]} with more arguments")
            out.append(ToolCallDelta(event.call, said[len(sent) :], event.choice))
