"""Tool calls of one answer on their way to the client: events in, events out, by any cutting of the stream.

Only the argument bytes of calls are held back, up to a bound; text and all else pass at once. A call's arguments go out
as one delta when they are known to be whole: valid JSON as soon as another call, other output or a block's end follows,
anything else at the answer's end, since a call may still get pieces after another one began. Calls go out in the order
in which they began.

    flow = CallFilter(Rules(tools={"add": b"{...}"}))
    for events in batches: send(flow.push(events))
    if flow.wants: send(flow.settle({bad: "better arguments"}))     # only with `asks`
    send(flow.close())
    flow.verdicts
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias, TypeVar

import msgspec

from afterbay.core.event import (
    BlockBreak,
    Event,
    Extra,
    Failed,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
)
from afterbay.core.json_schema import validator_of
from afterbay.core.schema_work import MOST_EXPLAINED, MOST_JUDGED, work
from afterbay.wire.toolcalls.coercion import coerce, misfit
from afterbay.wire.toolcalls.order import Named, waiting
from afterbay.wire.toolcalls.syntax import is_object, repair

NOTES = 20
"""So many calls of an answer are told one by one."""

HELD_CHARS = 1 << 20
"""As much of an answer's arguments is held back; then they pass unseen, and the verdict says so."""

LOOKED_CHARS = 8 * HELD_CHARS
"""As much of an answer's arguments is looked at before its end: pieces of a call that never ends, with text between
them, would be read from their beginning each time. Later calls wait for the end."""

Outcome: TypeAlias = Literal["ok", "repaired", "coerced", "asked", "invalid", "unknown", "cut", "unseen", "dropped"]
"""What became of a call: fine as it was; its text was repaired; its values were fitted to the schema; the model was
asked again; wrong and passed on as it was; of a tool that was not declared; cut off by the answer's end; too long to
look at; taken out, since it must wait for another call."""


class Verdict(msgspec.Struct, frozen=True):
    """What became of one call. `detail` says why, or what was changed."""

    name: str
    id: str
    outcome: Outcome
    detail: str = ""


class Rules(msgspec.Struct, frozen=True):
    """What to do. `tools`: declared name -> JSON Schema text of its arguments.

    checks   look at arguments, and repair them
    asks     wait at the answer's end for `settle` where a call stays wrong
    serial   only the first call goes out
    order    tool -> tools whose result it needs: it does not go out beside them
    names    names that were changed for the target: as sent -> the client's
    """

    tools: Mapping[str, bytes] = {}
    checks: bool = True
    asks: bool = False
    serial: bool = False
    order: Mapping[str, frozenset[str]] = {}
    names: Mapping[str, str] = {}


_OfCall = TypeVar("_OfCall", ToolCallStarted, ToolCallDelta)


class Call:
    """One call while it arrives. `problem` says what is wrong with it, once that is known."""

    def __init__(self, event: ToolCallStarted) -> None:
        self.event = event
        self.pieces: list[str] = []
        self.size = 0
        self.shown = False
        self.looked_at = -1
        self.problem = ""
        self.fitted: str | None = None
        self.outcome: Outcome = "ok"
        self.detail = ""

    def text(self) -> str:
        """The arguments so far, as the model wrote them."""
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


class _Line:
    """The calls of one choice, in order; `late`: numbers of those that are out, `gone`: of those taken out."""

    def __init__(self) -> None:
        self.queue: deque[Call] = deque()
        self.open: dict[int, Call] = {}
        self.late: dict[int, bool] = {}
        self.gone: list[int] = []  # in order

    def numbered(self, event: _OfCall) -> _OfCall:
        """The event with the number that its call has without those taken out: numbers of calls have no gaps.

        A call is shown after all before it were released or taken out, so that its number never changes.
        """
        before = bisect_left(self.gone, event.call) if self.gone else 0
        return msgspec.structs.replace(event, call=event.call - before) if before else event

    def has_lost(self, number: int) -> bool:
        """Whether the call of this number was taken out."""
        place = bisect_left(self.gone, number)
        return place < len(self.gone) and self.gone[place] == number


class CallFilter:
    """Holds, checks and passes on the calls of one answer. `changed`: what went out is not what came in."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.verdicts: list[Verdict] = []
        self.changed = False
        self.wants: list[Call] = []
        """Calls that stay wrong: `settle` is waited for, and everything after them is held."""
        self._lines: dict[int, _Line] = {}
        self._held = self._looked = 0
        self._waiting = 0  # calls in all lines
        self._behind: list[Event] = []
        self._busy = False

    def push(self, events: list[Event]) -> list[Event]:
        """Takes the next events, gives those that may go out."""
        if self.wants:
            self._behind += events
            return []
        out: list[Event] = []
        for place, event in enumerate(events):
            kind = type(event)
            if kind is TextDelta and not self._busy:
                out.append(event)
                continue
            if kind is Finished and self._finish(event, out):  # type: ignore[arg-type]  # its kind is known
                self._behind = events[place:]
                return out
            self._take(event, out)
        return out

    def settle(self, answers: Mapping[int, str], why: str = "") -> list[Event]:
        """Goes on after `wants`. `answers`: place in `wants` -> arguments that were checked; `why` there is none."""
        for place, call in enumerate(self.wants):
            if place in answers:
                call.fitted, call.outcome, call.detail = answers[place], "asked", call.problem
            else:
                call.detail = f"{call.problem} ({why})" if why else call.problem
            call.problem = ""
        self.wants = []
        behind, self._behind = self._behind, []
        return self.push(behind)

    def close(self) -> list[Event]:
        """The answer is over, perhaps without a proper end: what is held goes out as it is."""
        out: list[Event] = []
        if self.wants:
            out += self.settle({})
        for line in self._lines.values():
            for call in line.queue:
                if call.outcome == "ok":
                    self._look(call, repairs=False)
            self._release_all(line, out)
        return out

    def judge(self, name: str, arguments: str) -> str | None:
        """Arguments for the tool `name` that fit, repaired if need be; None: they are wrong."""
        call = Call(ToolCallStarted(0, "-", name))
        call.pieces = [arguments]
        self._look(call, repairs=True)
        if call.outcome in ("invalid", "cut", "unseen", "unknown"):
            return None
        return call.fitted if call.fitted is not None else arguments

    def _take(self, event: Event, out: list[Event]) -> None:
        match event:
            case ToolCallStarted():
                self._start(event, out)
            case ToolCallDelta():
                self._add(event, out)
            case Started() | UsageSeen() | Failed() | Extra():
                out.append(event)
            case TextDelta() | BlockBreak() | RefusalDelta() | ReasoningDelta():
                line = self._lines.get(event.choice)
                if line is not None and line.queue:
                    self._release_whole(line, out)
                out.append(event)
            case _:  # a signature of reasoning, the end
                out.append(event)

    def _start(self, event: ToolCallStarted, out: list[Event]) -> None:
        line = self._lines.setdefault(event.choice, _Line())
        name = self.rules.names.get(event.name)
        if name is not None:
            event = msgspec.structs.replace(event, name=name)
            self.changed = True
        self._release_whole(line, out)
        if self.rules.serial and (line.queue or line.late):
            self._drop(event, line, "one call at a time was asked for")
            return
        if not (self.rules.checks or self.rules.order):
            line.late[event.call] = False
            out.append(event)
            return
        call = Call(event)
        line.queue.append(call)
        line.open[event.call] = call
        self._waiting += 1
        self._busy = True
        self._show_first(line, out)

    def _show_first(self, line: _Line, out: list[Event]) -> None:
        """The first call in line is shown at once, unless its turn may depend on what else is called."""
        if not line.queue or line.queue[0].shown or (self.rules.order and self._may_wait(line)):
            return
        line.queue[0].shown = True
        out.append(line.numbered(line.queue[0].event))

    def _may_wait(self, line: _Line) -> bool:
        return line.queue[0].event.name in self.rules.order or bool(line.late)

    def _add(self, event: ToolCallDelta, out: list[Event]) -> None:
        line = self._lines.setdefault(event.choice, _Line())
        call = line.open.get(event.call)
        if call is None:
            if line.has_lost(event.call):
                return
            if not line.late.get(event.call) or event.arguments.strip():  # after whole JSON only blanks may follow
                out.append(line.numbered(event))
            return
        call.pieces.append(event.arguments)
        call.size += len(event.arguments)
        self._held += len(event.arguments)
        if self._held > HELD_CHARS:
            self._let_pass(line, out)

    def _let_pass(self, line: _Line, out: list[Event]) -> None:
        """Too much is held: these calls go out unseen, and what follows of them passes."""
        for call in line.queue:
            call.outcome, call.looked_at, call.detail = "unseen", call.size, "too long"
        numbers = [call.event.call for call in line.queue]
        self._release_all(line, out)
        line.late.update(dict.fromkeys(numbers, False))

    def _release_whole(self, line: _Line, out: list[Event]) -> None:
        """Sends the calls at the head of the line that can get no further pieces, being valid JSON."""
        while line.queue:
            call = line.queue[0]
            if call.looked_at == call.size or (self.rules.order and self._may_wait(line)):
                return
            call.looked_at = call.size
            self._looked += call.size
            if self._looked > LOOKED_CHARS or not (call.pieces and is_object(call.text())):
                return
            self._look(call, repairs=True)
            if call.problem and self.rules.asks:
                return
            self._release(line, out)
            self._show_first(line, out)

    def _finish(self, event: Finished, out: list[Event]) -> bool:
        """The end of a choice. Whether `settle` is waited for."""
        line = self._lines.get(event.choice)
        if line is None or not line.queue:
            return False
        whole = event.reason not in ("length", "content_filter", "error")
        for call in line.queue:
            if call.outcome == "ok":
                self._look(call, repairs=whole)
        self._hold_back(line)
        self.wants = [call for call in line.queue if call.problem and self.rules.asks]
        if self.wants:
            return True
        self._release_all(line, out)
        return False

    def _hold_back(self, line: _Line) -> None:
        """Takes out the calls that must wait for others."""
        if not self.rules.order:
            return
        sent = [Named(v.id, v.name, "") for v in self.verdicts if v.outcome != "dropped"]
        calls = [Named(call.event.id, call.event.name, call.text()) for call in line.queue]
        found = waiting([*sent, *calls], self.rules.order)
        kept: deque[Call] = deque()
        for place, call in enumerate(line.queue, len(sent)):
            if place in found and not call.shown:
                self._drop(call.event, line, found[place])
            else:
                kept.append(call)
        self._waiting -= len(line.queue) - len(kept)
        line.queue = kept

    def _drop(self, event: ToolCallStarted, line: _Line, why: str) -> None:
        if not line.has_lost(event.call):
            insort(line.gone, event.call)
        line.open.pop(event.call, None)
        self.changed = True
        self.verdicts.append(Verdict(event.name, event.id, "dropped", why))

    def _release_all(self, line: _Line, out: list[Event]) -> None:
        while line.queue:
            self._release(line, out)

    def _release(self, line: _Line, out: list[Event]) -> None:
        """Sends the first call in line, all of it."""
        call = line.queue.popleft()
        self._waiting -= 1
        event, text = call.event, call.text()
        if not call.shown:
            out.append(line.numbered(event))
        shown = call.fitted if call.fitted is not None else text
        if shown:
            out.append(line.numbered(ToolCallDelta(event.call, shown, event.choice)))
        self.changed = self.changed or shown != text
        self._held -= call.size
        line.open.pop(event.call, None)
        line.late[event.call] = call.outcome not in ("invalid", "cut", "unseen")
        self._busy = self._waiting > 0
        if self.rules.checks:
            self.verdicts.append(Verdict(event.name, event.id, call.outcome, call.detail))

    def _look(self, call: Call, *, repairs: bool) -> None:
        """Finds what is wrong with a call, and what can be done about it."""
        call.looked_at, call.problem, call.fitted = call.size, "", None
        if not self.rules.checks:
            return
        call.outcome, call.detail = "ok", ""
        text = call.text()
        fixed = text if is_object(text) else None
        if fixed is None and repairs:
            fixed = repair(text) if text.strip() else "{}"
        if fixed is None:
            call.detail = call.problem = "its arguments are no JSON object"
            call.outcome = "invalid" if repairs else "cut"
            call.problem = call.problem if repairs else ""
            return
        if fixed != text and text.strip():
            call.fitted, call.outcome, call.detail = fixed, "repaired", "its arguments were not quite JSON"
        schema = self.rules.tools.get(call.event.name)
        if schema is None:
            call.outcome, call.detail = "unknown", "no such tool was declared"
            return
        self._fit(call, fixed, schema)

    def _fit(self, call: Call, text: str, schema: bytes) -> None:
        """Holds arguments against the schema."""
        validator = validator_of(schema)
        if validator is None:
            return
        value = msgspec.json.decode(text)
        steps = work(schema, value)
        if steps > MOST_JUDGED:
            call.outcome, call.detail = "unseen", "its schema takes too long to check"
            return
        if validator.is_valid(value):
            return
        problem, better = "its arguments do not fit the schema", None
        if steps <= MOST_EXPLAINED:
            problem = misfit(value, validator) or problem
            better = coerce(text, validator)
        if better is not None:
            call.fitted, changes = better
            call.outcome, call.detail = "coerced", ", ".join(changes)[:300]
        else:
            call.outcome, call.detail, call.problem = "invalid", problem, problem


def notes(verdicts: Iterable[Verdict]) -> list[str]:
    """What a client should be told, a line a call; nothing of calls that were fine."""
    words = {
        "repaired": "tool call repaired",
        "coerced": "tool call fitted to its schema",
        "asked": "tool call corrected by the model",
        "invalid": "tool call invalid",
        "unknown": "tool call unknown",
        "cut": "tool call cut off",
        "unseen": "tool call not checked",
        "dropped": "tool call dropped",
    }
    said = [f"{words[one.outcome]}: {one.name[:64]}: {one.detail}"[:300] for one in verdicts if one.outcome in words]
    return said if len(said) <= NOTES else [*said[:NOTES], f"tool calls: {len(said) - NOTES} more had something wrong"]
