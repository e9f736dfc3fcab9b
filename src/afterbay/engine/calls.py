"""The tool calls of one answer: checked, repaired, and put in order on their way to the client.

The rules of it are pure (`afterbay.wire.toolcalls`). Here is when they are run, the one further request where the model
is asked again for a call that stays wrong, and what the client and the record learn of it. An answer that is relayed is
touched only where the route says so (`tool_repair: all`, `tool_order`), or where the target cannot be told that calls
are to come one at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from afterbay.core.decision import Attempt, Target
from afterbay.core.event import Event, fold
from afterbay.core.message import Message, Text, ToolResult, ToolUse
from afterbay.core.request import ChatRequest
from afterbay.engine.context import Turn
from afterbay.engine.further import ask_again
from afterbay.policy.attempts import Attempts
from afterbay.wire.dialect import Dialect
from afterbay.wire.toolcalls.filter import Call, CallFilter, Rules, notes
from afterbay.wire.toolcalls.syntax import is_object

QUOTED_CHARS = 2000
"""As much is quoted to the model of arguments that are no JSON."""


def rules_for(turn: Turn, target: Target, names: Mapping[str, str], *, relays: bool) -> Rules | None:
    """What is to be done with the answer's calls; None: nothing, and nothing is spent on finding out.

    `names`: tools that were renamed for the target.
    """
    route = turn.route
    checks = route.tool_repair == "all" or (route.tool_repair == "translated" and not relays)
    cannot_be_told = not relays or "parallel_tool_calls" in target.cannot
    if not (checks or names or route.tool_order or cannot_be_told):
        return None
    if (relays and b"ools" not in turn.call.body) or turn.unreadable() is not None or not turn.request.tools:
        return None
    serial = cannot_be_told and turn.request.parallel_tool_calls is False
    if not (checks or names or route.tool_order or serial):
        return None
    tools = {tool.name: tool.schema for tool in turn.request.tools}
    return Rules(tools, checks, checks and route.tool_reask, serial, route.tool_order, names)


class Calls:
    """The calls of one attempt's answer. `push`, `wants` and `close` are the filter's."""

    def __init__(self, turn: Turn, target: Target, dialect: Dialect, machine: Attempts, rules: Rules) -> None:
        self._turn = turn
        self._target = target
        self._dialect = dialect
        self._machine = machine
        self._filter = CallFilter(rules)
        self._told = 0
        self.push = self._filter.push
        self.close = self._filter.close

    @property
    def wants(self) -> bool:
        """Whether the answer waits for `ask`."""
        return bool(self._filter.wants)

    @property
    def changed(self) -> bool:
        """Whether what went out is not what came in."""
        return self._filter.changed

    def report(self) -> None:
        """Tells client and record what became of the calls so far."""
        fresh = self._filter.verdicts[self._told :]
        self._told += len(fresh)
        self._turn.warnings += notes(fresh)
        counts = Counter(self._turn.record.tool_calls)
        counts.update(verdict.outcome for verdict in fresh)
        self._turn.record.tool_calls = dict(counts)

    async def check(self, events: list[Event]) -> list[Event]:
        """A whole answer."""
        out = self.push(events)
        if self.wants:
            out += await self.ask()
        out += self.close()
        self.report()
        return out

    async def ask(self) -> list[Event]:
        """Asks the target once more for the calls that stayed wrong; what was held goes out, better or as it was.

        The owner of the answer sees to it that the target is not late meanwhile.
        """
        purse = self._turn.purse
        if purse is not None and not purse.affords(self._target):
            return self._filter.settle({}, "no money was left to ask again")
        attempt = self._machine.repair(self._turn.context.clock.monotonic())
        if attempt is None:
            return self._filter.settle({}, "no attempt was left to ask again")
        answers = await self._answers(attempt)
        return self._filter.settle(answers, "" if answers else f"asked again: {attempt.error or attempt.outcome}")

    async def _answers(self, attempt: Attempt) -> dict[int, str]:
        """Better arguments by the place of the call. The attempt is closed, whatever happens."""
        within_s = self._turn.route.limits.first_token_s
        answer = await ask_again(self._turn, self._target, self._dialect, attempt, self._question(), within_s)
        if answer is None:
            return {}
        found = self._better(answer.events, answer.names)
        attempt.outcome = "ok" if len(found) == len(self._filter.wants) else "invalid"
        return found

    def _better(self, events: list[Event], names: Mapping[str, str]) -> dict[int, str]:
        """Valid arguments among the answer's calls, each for the first call of its name that waits for some."""
        found: dict[int, str] = {}
        for part in fold(events).choices[0].message.parts:
            if not isinstance(part, ToolUse):
                continue
            name = names.get(part.name, part.name)
            arguments = self._filter.judge(name, part.arguments)
            places = [at for at, bad in enumerate(self._filter.wants) if bad.event.name == name and at not in found]
            if arguments is not None and places:
                found[places[0]] = arguments
        return found

    def _question(self) -> ChatRequest:
        """The request with the wrong calls behind it, each answered by what is wrong with it."""
        bad = self._filter.wants
        asked = Message("assistant", tuple(_as_asked(call) for call in bad))
        told = Message("tool", tuple(_told(call) for call in bad))
        request = self._turn.request_for(self._target)
        return msgspec.structs.replace(request, messages=(*request.messages, asked, told))


def _as_asked(call: Call) -> ToolUse:
    """A call as history: many providers refuse a history with arguments that are no JSON object."""
    text = call.text()
    return ToolUse(call.event.id, call.event.name, text if is_object(text) else "{}", call.event.signature)


def _told(call: Call) -> ToolResult:
    text = call.text()
    quoted = "" if is_object(text) else f" They were: {text[:QUOTED_CHARS]}"
    said = (
        f"Error: the call was not made, because {call.problem}.{quoted}\n"
        f"Call {call.event.name} again with arguments that fit its schema, and with the same meaning."
    )
    return ToolResult(call.event.id, (Text(said),), is_error=True, name=call.event.name)
