"""What stands between a cheap model's answer and the client: it is held until the free checks let it pass.

Only for targets that are cheap in the request's decision (`afterbay.policy.cascade`); for any other there is no gate,
and nothing is spent. What the checks reject is kept as a spare, like any answer that is not good enough: if no other
target gives a better one, the client gets it after all.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from afterbay.core.errors import ProviderError
from afterbay.core.event import Event, Failed, fold
from afterbay.core.message import Text, ToolUse
from afterbay.core.request import ChatRequest
from afterbay.engine.context import Turn
from afterbay.engine.delivery import Unusable
from afterbay.engine.further import ask_again
from afterbay.engine.meter import Meter
from afterbay.engine.stream import ProviderFailure
from afterbay.policy.attempts import Attempts, Start
from afterbay.policy.cascade import accepted, escalated, is_checked
from afterbay.policy.checks.verdict import Asked, Checked, Given
from afterbay.policy.facts import prompt_text
from afterbay.ports import TransportError, UpstreamResponse
from afterbay.wire.dialect import Dialect
from afterbay.wire.framing import Splitter
from afterbay.wire.logprobs import mean_logprob
from afterbay.wire.openai_chat.relay import without_usage

SAME_DRAW = 0.7
"""A second answer at a lower temperature would be the first one again: it is asked for at the model's own."""

MARGIN_S = 0.25
"""So long before the attempt is late a second answer is given up."""


def gate_of(turn: Turn, start: Start, dialect: Dialect, machine: Attempts) -> Gate | None:
    """The gate before this attempt's answer; None: there is none."""
    decision = turn.decision
    if decision is None or not decision.cheap or not is_checked(decision, start.target):
        return None
    if turn.record.operation != "chat" or turn.unreadable() is not None or (turn.request.sampling.n or 1) > 1:
        return None
    return Gate(turn, start, dialect, machine)


def asked_of(request: ChatRequest) -> Asked:
    """What a request asks, as far as the checks need it."""
    form, choice = request.response_format, request.tool_choice
    return Asked(
        question=prompt_text(request.messages),
        wants_json=form is not None and form.kind != "text",
        schema=form.schema if form is not None else None,
        tools={tool.name: tool.schema for tool in request.tools},
        must_call=choice is not None and choice.mode in ("required", "tool"),
        most_tokens=request.sampling.max_output_tokens,
    )


def given_of(events: Sequence[Event], finish: str | None, logprob: float | None = None) -> Given:
    """An answer, as far as the checks need it."""
    message = fold(events).choices[0].message
    calls = tuple((part.name, part.arguments) for part in message.parts if isinstance(part, ToolUse))
    text = "".join(part.text for part in message.parts if isinstance(part, Text))
    return Given(text, calls, finish, logprob)


class Gate:
    """The checks of one attempt's answer, and the second answer where the route wants two that agree."""

    def __init__(self, turn: Turn, start: Start, dialect: Dialect, machine: Attempts) -> None:
        self._turn, self._start, self._dialect, self._machine = turn, start, dialect, machine

    async def admit(self, events: list[Event], meter: Meter, told: Sequence[bytes]) -> None:
        """Lets an answer pass, and says so in the decision. `told`: its bytes, as `mean_logprob` wants them.

        Raises:
            Unusable: a check failed; the decision and the attempt say which one.
        """
        turn = self._turn
        logprob = mean_logprob(told) if turn.request.sampling.logprobs else None
        given = given_of(events, meter.finish, logprob)
        checked = self._judged(given)
        cascade = turn.route.cascade
        if checked.accept and cascade is not None and cascade.samples > 1 and not given.calls:
            other = await self._second()
            if other is None:
                self._reject(("agreement",), "agreement: no second answer was to be had")
            checked = self._judged(msgspec.structs.replace(given, others=(other or "",)))
        if not checked.accept:
            self._reject(checked.failed, checked.why)
        if turn.decision is not None:
            turn.decision = accepted(turn.decision)

    def _judged(self, given: Given) -> Checked:
        from afterbay.policy.checks.judge import judge  # 15 ms of patterns that most gateways never need

        turn = self._turn
        acceptor, threshold = turn.context.acceptors.get(turn.route.name, (None, 0.0))
        return judge(asked_of(turn.request), given, acceptor, threshold)

    def _reject(self, failed: Sequence[str], why: str) -> None:
        decision = self._turn.decision
        beyond: tuple[str, ...] = ()
        if decision is not None:
            self._turn.decision, beyond = escalated(decision, failed), decision.cheap
        raise Unusable("invalid", f"cascade: {why}", beyond)

    async def _second(self) -> str | None:
        """The text of another answer of the same target; None: there is none to be had in time, or for the money."""
        turn, target = self._turn, self._start.target
        now = turn.context.clock.monotonic()
        if turn.purse is not None and not turn.purse.affords(target):
            return None
        attempt = self._machine.sample(now, self._start.number)
        if attempt is None:
            return None
        late_s = self._machine.attempts[self._start.number].started_s + turn.route.limits.first_token_s
        within_s = turn.call.received_s + late_s - MARGIN_S - now
        request = _drawn_anew(turn.request_for(target))
        answer = await ask_again(turn, target, self._dialect, attempt, request, within_s)
        return given_of(answer.events, None).text if answer is not None else None


def _drawn_anew(request: ChatRequest) -> ChatRequest:
    """The request without what makes the model say the same again."""
    sampling = request.sampling
    is_cold = sampling.temperature is not None and sampling.temperature < SAME_DRAW
    changed = msgspec.structs.replace(sampling, seed=None, temperature=None if is_cold else sampling.temperature)
    return msgspec.structs.replace(request, sampling=changed)


class HeldStream:
    """A stream that is read to its end before any of it goes out. `raw` is what a relay would have passed on."""

    def __init__(self, dialect: Dialect, seed: str, splitter: Splitter, limit_bytes: int, *, hides_usage: bool) -> None:
        self.raw: list[bytes] = []
        self.events: list[Event] = []
        self.data: list[bytes] = []
        """What each event said."""
        self._parser = dialect.stream_parser(seed)
        self._splitter = splitter
        self._left = limit_bytes
        self._hides_usage = hides_usage

    async def read(self, response: UpstreamResponse) -> None:
        """Reads to the end.

        Raises:
            ProviderFailure: it cannot be read, is too long, or ends before its answer does.
            TransportError: the connection broke before the answer was whole.
        """
        while not self._parser.is_over and (data := await self._next(response)):
            self._left -= len(data)
            if self._left < 0:
                raise _bad("its answer is too long to be held")
            self._take(data)
        self._take(None)
        if not self._parser.is_complete and not any(type(event) is Failed for event in self.events):
            raise ProviderFailure(ProviderError("cut", "the stream ended before the answer did"))

    async def _next(self, response: UpstreamResponse) -> bytes:
        try:
            return await response.read()
        except TransportError:
            if self._parser.is_complete:
                return b""
            raise

    def _take(self, data: bytes | None) -> None:
        """The next bytes; None: there are no more, and the last event may lack its blank line."""
        try:
            raw, events = self._splitter.rest() if data is None else self._splitter.feed(data)
            for name, said in events:
                self.data.append(said)
                self._parser.push(name, said, self.events)
        except (ValueError, RecursionError) as error:
            if self._parser.is_complete:
                return
            raise _bad(f"its stream cannot be read: {error}"[:300]) from None
        if raw:
            whole = self._splitter.ended(raw) if data is None else raw
            self.raw.append(without_usage(events) if self._hides_usage else whole)


def _bad(text: str) -> ProviderFailure:
    return ProviderFailure(ProviderError("server", text, code="bad_answer"))
