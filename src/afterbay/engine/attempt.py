"""Runs the attempt machine with real connections.

The machine decides (`afterbay.policy.attempts`); this file opens, reads, closes and tells it what happened. One
attempt runs inside the request's own task; a watchdog interrupts it when the machine's alarm is due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from afterbay.core.decision import Target
from afterbay.core.errors import ProviderError
from afterbay.core.usage import Usage
from afterbay.engine.context import Turn
from afterbay.engine.credential import judge
from afterbay.engine.delivery import Delivery, Unusable
from afterbay.engine.gate import QueueFull
from afterbay.engine.resume import Resumption
from afterbay.engine.stream import ProviderFailure
from afterbay.engine.watchdog import Watchdog
from afterbay.policy.attempts import Action, Attempts, Deliver, Fail, SetAlarm, Start
from afterbay.policy.condition import Trial
from afterbay.policy.outlier import evidence_of
from afterbay.ports import ClientGone, Credential, TransportError

SHUTTING_DOWN = "The gateway is shutting down."

COME_BACK_S = 1.0
"""After so long a provider whose queue was full is worth another look."""


class Try(Protocol):
    """One attempt as the driver sees it. `afterbay.engine.exchange` has the one for chat."""

    target: Target
    trial: Trial | None
    is_reading: bool
    credential: Credential | None
    last_output_s: float | None

    async def run(self, connect_s: float, delivery: Delivery) -> None:
        """Makes the attempt and delivers its answer, or raises what went wrong."""

    async def deliver_spare(self, delivery: Delivery) -> None:
        """Delivers a complete answer that was not good enough."""

    async def complete_late(self, delivery: Delivery) -> bool:
        """Ends an answer that is complete though its connection stays open; False if it is not complete."""

    async def say_last(self, delivery: Delivery) -> bool:
        """Sends what was held back of a stream that broke and is not gone on with; whether its error is among it."""

    def usage(self) -> Usage | None:
        """What it used."""

    def cost_picousd(self) -> int | None:
        """What it cost; None: unknown."""

    def finish(self) -> str | None:
        """Why the model stopped."""

    def is_whole(self) -> bool:
        """Whether the client has the whole answer, its protocol's own end included."""


MakeTry = Callable[[Turn, Target, Attempts, Watchdog], Try]


class GaveUp(Exception):
    """No target answered. `last` is the error of the last attempt; `deadline`: the request's time is over; `body`: the
    upstream's own error in the client's dialect; `shown`: the client's stream has that error already."""

    def __init__(self, fail: Fail, body: bytes | None, *, shown: bool) -> None:
        super().__init__(fail.last.message if fail.last else "the deadline is over")
        self.last, self.deadline, self.body, self.shown = fail.last, fail.deadline, body, shown


class Driver:
    """Drives one request's attempts until an answer is delivered.

    `machine.attempts` is the log of what was tried. `exchanges` holds the meters of all attempts, in order;
    `delivered` is the number of a spare that was delivered after all.
    """

    def __init__(self, turn: Turn, delivery: Delivery, make: MakeTry) -> None:
        assert turn.decision is not None, "routing comes before attempts"  # noqa: S101
        limits = turn.route.limits
        self.turn = turn
        self.delivery = delivery
        self.exchanges: list[Try] = []
        self._make = make
        self.delivered: int | None = None
        self._share = turn.context.retries.share()
        delivery.resumption = Resumption(turn) if turn.stream and turn.route.resume != "off" else None
        self.machine = Attempts(
            turn.decision.targets,
            limits,
            turn.route.fallback_on,
            turn.call.received_s,
            turn.deadline_s,
            min(float(turn.snapshot.limits.retry_after), limits.first_token_s),
            turn.draw,
            self._share,
            delivery.resumption.can if delivery.resumption is not None else lambda _: False,
        )
        self._clock = turn.context.clock
        self._error_body: bytes | None = None
        self._trial: Trial | None = None
        self._shown = False
        delivery.attempts_made = lambda: len(self.machine.attempts)

    async def run(self) -> None:
        """Delivers an answer.

        Raises:
            GaveUp: there is none, or a stream broke after its first output.
            ClientGone: the client hung up.
        """
        with Watchdog(asyncio.get_running_loop()) as dog, self._share:
            actions = self.machine.begin(self._clock.monotonic())
            try:
                while actions:
                    actions = await self._act(actions, dog)
            except (asyncio.CancelledError, ClientGone):
                if self.is_served:
                    self.machine.ended(self._clock.monotonic())
                elif not self.delivery.reply.gone:
                    self.machine.broke(self._clock.monotonic(), SHUTTING_DOWN)
                else:
                    self.machine.client_left(self._clock.monotonic())
                raise
            except Exception as error:
                self.delivery.has_said_end = self.is_served  # after its end no error may follow
                self.machine.broke(self._clock.monotonic(), str(error))
                raise
            finally:
                if self._trial is not None:  # nothing, if it has ended already
                    self._trial.ended(self._clock.monotonic(), "ok" if self.is_served else "left")

    @property
    def is_served(self) -> bool:
        """Whether a client that hung up took a whole answer with it: OpenAI's SDK leaves at `[DONE]`, before HTTP's
        own end."""
        done = self.machine.state == "done" and self.machine.current.outcome == "ok"
        whole = self.delivery.has_said_end or (self.machine.state == "committed" and self.exchanges[-1].is_whole())
        return done or whole

    async def _act(self, actions: list[Action], dog: Watchdog) -> list[Action]:
        """Does what the machine wants; returns what it wants next, nothing at the end."""
        start: Start | None = None
        for action in actions:
            if isinstance(action, SetAlarm):
                dog.set(action.at_s)
            elif isinstance(action, Start):
                start = action
            elif isinstance(action, Deliver):
                await self._deliver(action.number, dog)
                return []
            elif isinstance(action, Fail):
                if self.exchanges and self.delivery.reply.started:
                    self._shown = await self.exchanges[-1].say_last(self.delivery) or self._shown
                raise GaveUp(action, self._error_body, shown=self._shown)
        if start is None and self.machine.state == "done":
            return []
        try:
            if start is None:
                await asyncio.get_running_loop().create_future()  # waiting: only the watchdog ends this
            else:
                actions = await self._attempt(start, dog)
                if dog.barked and not dog.calm():  # the attempt ended in an error of its own when it was interrupted
                    raise asyncio.CancelledError
                return actions
        except asyncio.CancelledError:
            if not dog.calm():
                raise
        if start is not None and await self.exchanges[-1].complete_late(self.delivery):
            return self._ended()
        now = self._clock.monotonic()
        last = self.exchanges[-1].last_output_s if self.exchanges else None
        if start is not None and self._trial is not None:
            self._trial.ended(now, "left" if now >= self.turn.deadline_s else "failed")
        return self.machine.alarm(now, last)

    async def _deliver(self, number: int, dog: Watchdog) -> None:
        """Delivers a spare, within the request's time."""
        dog.set(self.turn.deadline_s)
        self.delivered = number
        try:
            await self.exchanges[number].deliver_spare(self.delivery)
        except asyncio.CancelledError:
            if not dog.calm():
                raise
            raise GaveUp(Fail(None, deadline=True), None, shown=False) from None

    async def _attempt(self, start: Start, dog: Watchdog) -> list[Action]:
        exchange = self._make(self.turn, start.target, self.machine, dog)
        self.exchanges.append(exchange)
        self._error_body, self._trial = None, None
        gate = self.turn.fleet.gate(start.target)
        if gate is not None:
            try:
                await gate.enter(self.turn.priority)
            except QueueFull as full:
                error = ProviderError("overloaded", str(full), code="queue_full", retry_after_s=COME_BACK_S)
                return self.machine.failed(self._clock.monotonic(), error)
        try:
            return await self._exchange(exchange, start)
        finally:
            if gate is not None:
                gate.leave()

    async def _exchange(self, exchange: Try, start: Start) -> list[Action]:
        self._trial = exchange.trial = self.turn.fleet.health.began(start.target.id, self._clock.monotonic())
        try:
            await exchange.run(start.connect_s, self.delivery)
        except ProviderFailure as failure:
            if len({one.target.id for one in self.exchanges}) == 1:
                self._error_body = failure.body
            self._shown = failure.shown
            return self._failed(start, failure.error)
        except TransportError as broken:
            return self._failed(start, _broken(broken, exchange.is_reading))
        except Unusable as poor:
            self._trial.ended(self._clock.monotonic(), "nothing")
            return self.machine.unusable(self._clock.monotonic(), poor.outcome, poor.why)
        return self._ended()

    def _ended(self) -> list[Action]:
        now = self._clock.monotonic()
        if self._trial is not None:
            self._trial.ended(now, "ok")
        return self.machine.ended(now)

    def _failed(self, start: Start, error: ProviderError) -> list[Action]:
        now = self._clock.monotonic()
        if self._trial is not None:
            self._trial.ended(now, evidence_of(error))
        credential = self.exchanges[-1].credential
        judged = judge(error, credential, float(self.turn.snapshot.limits.retry_after))
        if judged.cools_s is not None:
            self.turn.fleet.cool(start.target.id, now + judged.cools_s)
        self.turn.context.alerts.failed(start.target, error, now)
        return self.machine.failed(now, judged.error, another_key=judged.another_key)


def _broken(broken: TransportError, is_reading: bool) -> ProviderError:
    if broken.retry_after_s is not None:
        return ProviderError("overloaded", str(broken), 503, code="starting", retry_after_s=broken.retry_after_s)
    return ProviderError("cut" if is_reading else "connection", str(broken), code=broken.code)
