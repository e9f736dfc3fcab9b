"""One attempt: a request to one target, its answer read, metered, and handed to the client."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from afterbay.core.errors import GatewayError, ProviderError
from afterbay.core.event import Event, TextDelta, UsageSeen, fold
from afterbay.core.usage import Usage, microusd
from afterbay.engine.answer import guarded, judge, refuse_blocked
from afterbay.engine.calls import Calls, rules_for
from afterbay.engine.cascade import Gate, HeldStream, gate_of
from afterbay.engine.clearance import upstream_of
from afterbay.engine.context import Turn
from afterbay.engine.credential import place_of
from afterbay.engine.delivery import Delivery, Unusable, whole_headers
from afterbay.engine.flow import Flow
from afterbay.engine.meter import Meter
from afterbay.engine.outbound import Outbound, prepare
from afterbay.engine.resume import Leg, Resumption, Spender, doubtful
from afterbay.engine.stream import ProviderFailure, Pump
from afterbay.engine.watchdog import Watchdog
from afterbay.policy.attempts import Attempts, Cancel, SetAlarm, Start
from afterbay.policy.condition import Trial
from afterbay.policy.names import is_other_model
from afterbay.ports import Credential, UpstreamResponse
from afterbay.wire.dialect import Dialect
from afterbay.wire.framing import is_framed_alike, is_one_json, splitter_for
from afterbay.wire.openai_responses.render import kept_answer
from afterbay.wire.proofs import outgoing
from afterbay.wire.registry import DIALECTS
from afterbay.wire.toolcalls.syntax import is_object

IMPLAUSIBLE = "estimated: the provider's token counts cannot be right"
UNCOUNTED = "estimated: the provider told no token counts"

_PREFILL = re.compile(r"prefill|assistant|last (?:message|role)|user message", re.IGNORECASE).search
"""What the error says by which a provider refuses a message of the model's as the last one. A request that is wrong
otherwise says nothing about prefills."""

_NAMED_BY_USERS = frozenset({"azure"})
"""Where a model's name is a deployment's, which says nothing of the model."""

ERROR_BYTES = 1 << 20
"""As much of an error's body is read."""


async def read_failure(response: UpstreamResponse, dialect: Dialect, relays: bool) -> ProviderFailure:
    """What an answer with another status than 200 says; its status alone where the body is nested too deeply.

    `relays`: the client speaks the dialect too, and gets the body as it is.
    """
    body = await response.read_all(ERROR_BYTES)
    if response.status < 400:  # a redirect is never followed: it could carry the key to another host
        text = f"it answered with status {response.status}"
        return ProviderFailure(ProviderError("server", text, 502, code="bad_answer"))
    try:
        error = dialect.parse_error(response.status, response.headers, body)
    except RecursionError:
        error = dialect.parse_error(response.status, response.headers, b"{}")
    return ProviderFailure(error, body if relays and is_object(body) else None)  # never a proxy's page


def nobody(_number: int) -> None:
    """Calls nobody off: the attempt runs alone."""


class Exchange:
    """One attempt at one target. `last_output_s` is monotonic; `is_reading`: the headers have come."""

    def __init__(self, turn: Turn, start: Start, machine: Attempts, dog: Watchdog) -> None:
        self.turn = turn
        self.start = start
        self.target = target = start.target
        self.trial: Trial | None = None
        self.call_off: Callable[[int], None] = nobody
        self.meter = Meter()
        self.is_reading = False
        self.credential: Credential | None = None
        self.last_output_s: float | None = None
        self._write_began_s = 0.0
        self._machine = machine
        self._dog = dog
        self._clock = turn.context.clock
        self._dialect = DIALECTS[target.dialect_for(turn.call.dialect.name)]
        self._relays = self._dialect.name == turn.call.dialect.name
        self._pump: Pump | None = None
        self._whole = b""
        self._input_tokens = turn.input_tokens
        self._events: list[Event] = []
        self._calls: Calls | None = None
        self._leg: Leg | None = None
        self._resumption: Resumption | None = None
        self._delivery: Delivery | None = None
        self._flow: Flow | None = None
        self._gate: Gate | None = None
        self._held: HeldStream | None = None

    async def run(self, delivery: Delivery) -> None:
        """Makes the attempt.

        Raises:
            ProviderFailure: the target answered with an error, or broke its own protocol.
            TransportError: no connection, or it broke.
            Unusable: a complete answer that is not good enough; `deliver_spare` may still deliver it.
            ClientGone: the client hung up.
        """
        self._delivery = delivery
        outbound = self._prepare(delivery)
        self._relays = self._relays and outbound.relays
        self._input_tokens = outbound.input_tokens or self._input_tokens
        relays = self._relays and self._leg is None
        rules = rules_for(self.turn, self.target, outbound.names, relays=relays)
        if rules is not None:
            self._calls = Calls(self.turn, self.target, self._dialect, self._machine, rules)
        upstream = upstream_of(self.turn, self.target)
        response = await upstream.post(outbound.path, outbound.body, outbound.headers, self.start.connect_s)
        try:
            self.credential = response.credential
            key = place_of(self.credential)
            self._machine.headers(self._clock.monotonic(), response.status, key, self.start.number)
            self.is_reading = True
            if response.status != 200:
                failure = await read_failure(response, self._dialect, self._relays)
                self._note_refusal(failure.error)
                raise failure
            kind = response.headers.get("content-type", "")
            if self.turn.stream and self._is_stream(kind):
                passes = relays and self._calls is None and self._is_framed_alike(kind)
                self._relays = passes
                self._gate = gate_of(self.turn, self.start, self._dialect, self._machine)
                if self._gate is None:
                    await self._stream(response, delivery, outbound.hides_usage)
                else:
                    await self._hold(response, delivery, outbound.hides_usage)
            elif self._leg is not None:
                raise ProviderFailure(doubtful("it came whole and not as a stream"))
            else:
                self._whole = await response.read_all(self.turn.snapshot.limits.answer_bytes)
                self._gate = gate_of(self.turn, self.start, self._dialect, self._machine)
                await self._deliver_whole(delivery)
        finally:
            response.close()
            if self._calls is not None:
                self._calls.report()

    def _prepare(self, delivery: Delivery) -> Outbound:
        """The request: the client's, or one that goes on with what the client has already."""
        resumption = self._resumption = delivery.resumption
        if resumption is None or self._machine.attempts[self.start.number].why != "resume":
            return prepare(self.turn, self.target)
        try:
            self._leg = resumption.leg(self.target)
        except GatewayError as error:  # its words are for whoever wrote the request, and that was the gateway
            raise ProviderFailure(doubtful(f"it cannot be asked: {error.message}"[:300])) from None
        if resumption.sent is not None and resumption.sent.trail is not None:
            delivery.take_over(resumption.sent.trail, resumption.sent.checkpoint)
        return self._leg.outbound

    def _note_refusal(self, error: ProviderError) -> None:
        """A target that does not take a prefill is not asked so again."""
        is_prefill = self._leg is not None and self._leg.form == "prefill"
        if is_prefill and self._resumption is not None and error.status in (400, 422) and _PREFILL(error.message):
            self._resumption.refused(self.target)

    def _is_stream(self, kind: str) -> bool:
        """Whether an answer of this content type comes in events. JSON is a whole one, unless it is Gemini's array."""
        return self._dialect.streams_json or not is_one_json(kind)

    def _is_framed_alike(self, kind: str) -> bool:
        """Whether the client wants its stream framed as the provider does."""
        return is_framed_alike(kind, self.turn.call.dialect.stream_type)

    async def _stream(self, response: UpstreamResponse, delivery: Delivery, hides_usage: bool) -> None:
        limit = self.turn.snapshot.limits.event_bytes
        seed = self.turn.call.id.removeprefix("req_")
        splitter = splitter_for(response.headers.get("content-type", ""), limit)
        self._pump = Pump(
            self._dialect,
            seed,
            self._relays,
            splitter,
            limit,
            self.meter,
            delivery,
            self,
            hides_usage,
            self._outgoing,
            self._calls,
            self._leg,
        )
        await self._pump.run(response, self.target)
        if self._flow is not None:
            self._flow.end(self._clock.monotonic())
        await self._end_stream(delivery)
        await self._pump.let_go(response)

    async def _hold(self, response: UpstreamResponse, delivery: Delivery, hides_usage: bool) -> None:
        """A stream that is judged as a whole before any of it goes out."""
        limits, seed = self.turn.snapshot.limits, self.turn.call.id.removeprefix("req_")
        splitter = splitter_for(response.headers.get("content-type", ""), limits.event_bytes)
        held = HeldStream(self._dialect, seed, splitter, limits.answer_bytes, hides_usage=hides_usage)
        try:
            await held.read(response)
        finally:
            self.meter.see(held.events)  # what was said before it broke was paid for
        self._events, self._held = held.events, held
        await self._deliver_judged(delivery)

    def _outgoing(self, events: list[Event]) -> list[Event]:
        """Events of a translated answer, with its proofs as the client may carry them, and counts that can be."""
        said = outgoing(events, self.target.maker, self.turn.call.dialect.name)
        return [self._believed(event) if type(event) is UsageSeen else event for event in said]

    def _believed(self, counted: UsageSeen) -> UsageSeen:
        """The count, or an estimate where it cannot be right."""
        return counted if counted.usage.is_plausible else UsageSeen(self.meter.estimate(self._input_tokens))

    async def complete_late(self, delivery: Delivery) -> bool:
        """Ends a stream whose answer is complete but whose connection stays open; False if there is no such stream."""
        if self._pump is None or not self._pump.is_complete:
            return False
        if not delivery.has_said_end:  # else its client reads the end too slowly
            await self._end_stream(delivery)
        return True

    async def _end_stream(self, delivery: Delivery) -> None:
        self.before_write()
        end = b""
        if self._relays:
            await self._keep(b"")
            ending = self._pump.ending if self._pump is not None else b""
            if ending:
                await delivery.write(ending)
        else:
            if self._calls is not None and self._pump is not None:
                await self._pump.end_calls(self._calls)
            renderer = delivery.renderer()
            uncounted = self._uncounted()
            if self._leg is not None and self.meter.usage is None:
                uncounted = [UsageSeen(self._leg.total(self.usage() or Usage(estimated=True)))]
            end = renderer.render(uncounted) + renderer.finish(self.note())
            await self._keep(kept_answer(renderer))
            self.turn.lost(sorted(renderer.losses))
        await delivery.end_stream(end)

    async def _keep(self, answer: bytes) -> None:
        if self._relays and self._dialect.name == "openai.responses":
            for sealed in self.meter.proofs:
                self.turn.context.makers.note(sealed.partition("|")[2], self.target.maker)
        if self.turn.keep is not None:
            await self.turn.keep(self.target, self.meter.id, answer)

    async def _deliver_whole(self, delivery: Delivery) -> None:
        try:
            self._events = self._dialect.parse_answer(self._whole, self.turn.call.id.removeprefix("req_"))
        except (ValueError, RecursionError) as error:
            passes = self._relays and not self.turn.stream and is_object(self._whole)
            if not (passes and isinstance(error, msgspec.ValidationError)):
                text = f"its answer is not {self._dialect.name}: {error}"[:300]
                raise ProviderFailure(ProviderError("server", text, code="bad_answer")) from None
            # An odd field is the client's to judge, as in a relayed stream. The whole body is taken for the output:
            # an estimate that is rather too high.
            self.turn.warnings.append(f"the answer could not be read, only relayed: {error}"[:300])
            self._events = [TextDelta(self._whole.decode("utf-8", "replace"))]
        self.meter.see(self._events)
        await self._deliver_judged(delivery)

    async def _deliver_judged(self, delivery: Delivery) -> None:
        """Delivers an answer that has come whole, if it is good enough."""
        if not self._relays:
            self._events = self._outgoing(self._events)
        if self.meter.error is not None:
            raise ProviderFailure(self.meter.error)
        verdict = judge(self.turn, self._events, self.meter) or await guarded(self.turn, self._events)
        if verdict is not None:
            raise Unusable(*verdict)
        if self._gate is not None:
            await self._gate.admit(
                self._events, self.meter, self._held.data if self._held is not None else [self._whole]
            )
        self.commit()
        self.before_write()
        await self._send_whole(delivery)

    async def deliver_spare(self, delivery: Delivery) -> None:
        """Delivers the answer of an attempt that was `Unusable`, for want of a better one."""
        await refuse_blocked(self.turn, self._events)
        if self.meter.finish != "content_filter":
            self.turn.warnings.append("the answer did not pass validation, and no other target gave a better one")
        if self._pump is not None:
            delivery.relays = self._relays
            await self._pump.deliver_held(self.target)
            await self._end_stream(delivery)
        else:
            await self._send_whole(delivery)

    async def _send_whole(self, delivery: Delivery) -> None:
        turn, events = self.turn, self._events
        if self._held is not None and self._relays:
            await self._send_held(self._held, delivery)
            return
        if self._calls is not None:
            events = await self._calls.check(events)
        if turn.stream:
            renderer = delivery.renderer(self.meter.model)
            await delivery.open_stream(self.target)
            said = renderer.render([*events, *self._uncounted()]) + renderer.finish(self.note())
            await self._keep(kept_answer(renderer))
            turn.lost(sorted(renderer.losses))
            await delivery.end_stream(said)
            return
        body = self._whole
        rewritten = not self._relays or (self._calls is not None and self._calls.changed)
        if rewritten:
            head, events = turn.head(self.meter.model or self.target.name), [*events, *self._uncounted()]
            body, losses = turn.call.dialect.render_answer(fold(events), head, self.note())
            turn.lost(losses)
        await self._keep(body if rewritten else b"")
        headers = whole_headers(turn, self.target, len(self._machine.attempts), self.cost_picousd())
        await delivery.send_whole(200, headers, body)

    async def _send_held(self, held: HeldStream, delivery: Delivery) -> None:
        """The provider's own stream, now that it may go out. It is bytes of its own protocol, its end included."""
        await self._keep(b"")
        await delivery.open_stream(self.target)
        await delivery.settle_first()
        for piece in held.raw:
            await delivery.write(piece)
        await delivery.end_stream()

    def usage(self) -> Usage | None:
        """What the attempt used: the provider's count, else an estimate, None if there was no output."""
        counted = self.meter.counted()
        if counted is not None:
            return counted
        if self.meter.doubts and IMPLAUSIBLE not in self.turn.warnings:
            self.turn.warnings.append(IMPLAUSIBLE)
        return self.meter.estimate(self._input_tokens) if self.meter.has_output else None

    def _uncounted(self) -> list[Event]:
        """The estimate as the client's usage, and the warning of it, where the provider told no usage that can be."""
        usage = self.usage()
        if usage is None or not usage.estimated:
            return []
        if not self.meter.doubts and UNCOUNTED not in self.turn.warnings:
            self.turn.warnings.append(UNCOUNTED)
        return [UsageSeen(usage)]

    def cost_picousd(self) -> int | None:
        """What the attempt cost; None: the price, or the usage, is not known."""
        return self.target.cost_picousd(self.usage(), self.turn.call.received_at)

    def finish(self) -> str | None:
        """Why the model stopped; None: it did not."""
        return self.meter.finish

    def is_whole(self) -> bool:
        """Whether a relayed stream was passed on up to its own end. A translated one ends in `_end_stream`."""
        return self._relays and self._pump is not None and self._pump.is_complete

    async def say_last(self, delivery: Delivery) -> bool:
        """Sends what was held back of a stream that broke and is not gone on with; whether its error is among it."""
        return self._pump is not None and await self._pump.say_last()

    def note(self) -> dict[str, object]:
        """What the client learns of the attempt beside the final usage of a translated answer."""
        note: dict[str, object] = {"provider": self.target.provider, "model": self.target.name}
        writers: list[Spender] = [self]
        if self._leg is not None and self._resumption is not None:
            note["resumed"] = True
            writers = self._resumption.writers
        costs = [writer.cost_picousd() for writer in writers]
        known = [cost for cost in costs if cost is not None]
        if len(known) == len(costs):
            note["cost_usd"] = microusd(sum(known)) / 1e6
        usage = self.usage()
        if usage is not None and usage.estimated:
            note["usage_estimated"] = True
        return note

    def commit(self) -> None:
        """See `afterbay.engine.stream.Pace`."""
        sent = self._pump.sent if self._pump is not None else None
        if self._resumption is not None and sent is not None:
            self._resumption.begin(sent, self)
        now = self.last_output_s = self._clock.monotonic()
        if self._pump is not None:
            self._flow = Flow(self.turn, self.target, self.meter, self._resumption, self._machine, now)
        if self.trial is not None:
            self.trial.answered(now, whole=self._pump is None)
        if self._pump is not None and self._delivery is not None:
            self._delivery.relays = self._relays
        if self.target.vendor not in _NAMED_BY_USERS and is_other_model(self.target.name, self.meter.model):
            self.turn.warnings.append(f"{self.target.id} answered as another model: {self.meter.model[:100]}")
        for action in self._machine.first_output(now, self.start.number):
            if isinstance(action, SetAlarm):
                self._dog.set(action.at_s)
            elif isinstance(action, Cancel):
                self.call_off(action.number)

    def before_write(self) -> None:
        """See `afterbay.engine.stream.Pace`."""
        self._write_began_s = self._clock.monotonic()
        self._dog.due_s = self.turn.deadline_s

    def after_write(self, progress: bool) -> None:
        """See `afterbay.engine.stream.Pace`.

        Raises:
            ProviderFailure: the stream trickles.
        """
        now = self._clock.monotonic()
        since = now if progress or self.last_output_s is None else self.last_output_s + now - self._write_began_s
        self.last_output_s = since
        self._dog.set(min(since + self.turn.route.limits.between_tokens_s, self.turn.deadline_s))
        if self._flow is not None:
            self._flow.held_s += now - self._write_began_s
            if progress and now >= self._flow.due_s:
                self._flow.look(now)
