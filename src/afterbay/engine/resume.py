"""Going on with a stream that broke: what was sent is kept, another attempt continues it, the client's stream goes on.

`Sent` follows what goes to the client. `Resumption` belongs to a request: it answers the machine whether a target can
go on, and makes the `Leg` of the attempt that does. What is decided is pure (`afterbay.policy.resume`), and so is how
texts and calls are joined (`afterbay.wire.joint`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from afterbay.core.checkpoint import Checkpoint, Form
from afterbay.core.decision import Target
from afterbay.core.errors import ProviderError
from afterbay.core.event import BlockBreak, Event, UsageSeen
from afterbay.core.request import ChatRequest
from afterbay.core.usage import Usage
from afterbay.engine.context import Turn
from afterbay.engine.outbound import Outbound, prepare, rebuild
from afterbay.policy.resume import DOUBTFUL, Forms, Wish, continued, quote, refusal, stem, wish_of
from afterbay.wire.dialect import Trail
from afterbay.wire.joint import Joint
from afterbay.wire.openai_chat.prefill import as_prefill


class Sent:
    """What the client gets of one answer. A relay notes what it read, and says so when it has passed it on."""

    def __init__(self, trail: Trail | None, checkpoint: Checkpoint | None = None) -> None:
        self.checkpoint = checkpoint if checkpoint is not None else Checkpoint()
        self.trail = trail
        self._noted: list[tuple[bytes | None, bytes, list[Event]]] = []

    def note(self, name: bytes | None, data: bytes, events: list[Event]) -> None:
        """A relayed event was read."""
        self._noted.append((name, data, events))

    def passed(self) -> None:
        """All that was noted is on its way to the client."""
        trail = self.trail
        for name, data, events in self._noted:
            self.checkpoint.see(events)
            if trail is not None:
                trail.see(name, data, events)
        self._noted = []

    def see(self, events: Sequence[Event]) -> None:
        """Events were rendered for the client."""
        self.checkpoint.see(events)


class Spender(Protocol):
    """An attempt that wrote on the answer, as far as its usage goes."""

    target: Target

    def usage(self) -> Usage | None:
        """What it used."""

    def cost_picousd(self) -> int | None:
        """What it cost; None: unknown."""


class Leg:
    """One attempt to go on. `outbound` is its request, `joint` joins its answer to what was sent."""

    def __init__(self, form: Form, outbound: Outbound, joint: Joint, spent: Usage | None) -> None:
        self.form = form
        self.outbound = outbound
        self.joint = joint
        self._spent = spent

    def counted(self, events: list[Event]) -> list[Event]:
        """The events with counts of the whole answer: the input of the first attempt, the output of all."""
        return [UsageSeen(self.total(event.usage)) if type(event) is UsageSeen else event for event in events]

    def total(self, usage: Usage) -> Usage:
        """The usage of the whole answer, if the attempt itself used so much."""
        spent = self._spent
        if spent is None:
            return usage
        return msgspec.structs.replace(
            spent,
            output_tokens=spent.output_tokens + usage.output_tokens,
            reasoning_tokens=spent.reasoning_tokens + usage.reasoning_tokens,
            estimated=spent.estimated or usage.estimated,
        )


class Resumption:
    """The resumes of one request. `sent` is set at the first output; `writers` are the attempts that gave some."""

    def __init__(self, turn: Turn) -> None:
        self.sent: Sent | None = None
        self.writers: list[Spender] = []
        self._turn = turn
        self._mode = turn.route.resume
        self._forms = Forms(turn.route.resume)
        self._said: set[str] = set()
        self._wish: Wish | None = None

    def begin(self, sent: Sent, writer: Spender) -> None:
        """The first output of an attempt goes out."""
        self.sent = sent
        self.writers.append(writer)
        self._forms.begin()

    def can(self, target: Target) -> bool:
        """Whether this target can be asked to go on with the answer. The record says why not."""
        if self._form(target) is not None:
            return True
        why = self._stuck() or "no form is safe that was not tried"
        if why not in self._said:
            self._said.add(why)
            self._turn.warnings.append(f"not resumed: {why}")
        return False

    @property
    def _request(self) -> ChatRequest | None:
        """The client's request, if it can be read. Nothing recurses in it but along the client's own data."""
        try:
            return None if self._turn.unreadable() is not None else self._turn.request
        except RecursionError:
            return None

    def refused(self, target: Target) -> None:
        """The target does not take a prefill: it is remembered for later requests, too."""
        self._turn.fleet.refuses_prefill(target.id)

    def leg(self, target: Target) -> Leg:
        """The attempt that goes on at this target.

        Raises:
            ClientMistake: as `afterbay.engine.outbound.prepare`.
        """
        form, sent = self._form(target), self.sent
        assert form is not None, "the machine asked before"  # noqa: S101
        assert sent is not None, "something was sent"  # noqa: S101
        self._forms.asked(target, form)
        checkpoint, trail = sent.checkpoint, sent.trail
        closing = (BlockBreak(),) if trail is None else trail.closing
        text = checkpoint.text
        shown = stem(text) if form == "step_back" else text
        joint = Joint(checkpoint, form, shown, quote(shown), lenient=self._mode == "on", closing=closing)
        return Leg(form, self._outbound(form, target, text), joint, self._spent())

    def _outbound(self, form: Form, target: Target, text: str) -> Outbound:
        turn = self._turn
        if form in ("again", "replay"):
            return msgspec.structs.replace(prepare(turn, target), hides_usage=False)
        built = rebuild(turn, target, continued(turn.request_for(target), text, form))
        if form == "prefill" and target.dialect_for(turn.call.dialect.name) == "openai.chat":
            return msgspec.structs.replace(built, body=as_prefill(built.body, target.vendor))
        return built

    def _form(self, target: Target) -> Form | None:
        sent, turn = self.sent, self._turn
        if sent is None:
            return None
        request = self._request
        if self._stuck():
            return None
        if self._wish is None:
            self._wish = Wish(is_readable=False) if request is None else wish_of(request)
        refuses = turn.fleet.is_refusing_prefill(target.id)
        first = self.writers[0].target
        return self._forms.of(sent.checkpoint, self._wish, target, first, refuses_prefill=refuses)

    def _stuck(self) -> str:
        """Why nobody can go on with what was sent; empty: nothing is known."""
        sent = self.sent
        if sent is None:
            return ""
        return refusal(self._request, sent.checkpoint) or (sent.trail.stuck if sent.trail is not None else "")

    def _spent(self) -> Usage | None:
        """The input of the first attempt, and the output of all so far."""
        found = [usage for usage in (writer.usage() for writer in self.writers) if usage is not None]
        if not found:
            return None
        return msgspec.structs.replace(
            found[0],
            output_tokens=sum(one.output_tokens for one in found),
            reasoning_tokens=sum(one.reasoning_tokens for one in found),
            estimated=any(one.estimated for one in found),
        )

    def told(self, leg: Leg) -> bytes:
        """What the client's stream says of the seam, where it may hold comments; the record says it in any case."""
        target = self.writers[-1].target
        self._turn.warnings.append(f"resumed at {target.id} ({leg.form}{': ' if leg.joint.how else ''}{leg.joint.how})")
        if not self._turn.call.dialect.comments:
            return b""
        name = "".join(char if char.isascii() and char.isprintable() else "?" for char in target.id)
        return f": afterbay resumed at {name}\n\n".encode()

    def is_sound(self, finish: str | None) -> bool:
        """Whether the whole is what was asked for: JSON, unless the model did not come to its end."""
        wants = self._wish is not None and self._wish.wants_json and finish == "stop"
        return not wants or self.sent is None or _is_json(self.sent.checkpoint.text)


def _is_json(text: str) -> bool:
    """Whether a text is one JSON value."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def doubtful(why: str) -> ProviderError:
    """The error of an attempt whose answer does not go on with the old one."""
    return ProviderError("server", f"its answer was not gone on with: {why}", code=DOUBTFUL)
