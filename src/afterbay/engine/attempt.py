"""Runs the attempt machine with real connections.

The machine decides (`afterbay.policy.attempts`); this file opens, reads, closes and tells it what happened. One
attempt runs inside the request's own task; a watchdog interrupts it when the machine's alarm is due. Where the route
hedges, attempts run in tasks of their own until one commits (`afterbay.engine.race`); that one goes on in its task.
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
from afterbay.engine.drain import SHUTTING_DOWN
from afterbay.engine.gate import QueueFull
from afterbay.engine.hedging import hedge_of
from afterbay.engine.race import Race
from afterbay.engine.resume import Resumption
from afterbay.engine.stream import ProviderFailure
from afterbay.engine.watchdog import Watchdog
from afterbay.policy.attempts import Action, Attempts, Cancel, Deliver, Fail, SetAlarm, Start
from afterbay.policy.condition import Trial
from afterbay.policy.outlier import evidence_of
from afterbay.ports import ClientGone, Credential, TransportError

COME_BACK_S = 1.0
"""After so long a provider whose queue was full is worth another look."""


class Try(Protocol):
    """One attempt as the driver sees it. `afterbay.engine.exchange` has the one for chat."""

    start: Start
    trial: Trial | None
    call_off: Callable[[int], None]
    is_reading: bool
    credential: Credential | None
    last_output_s: float | None

    @property
    def target(self) -> Target:
        """Who is asked."""

    async def run(self, delivery: Delivery) -> None:
        """Makes the attempt and delivers its answer, or raises what went wrong. With the first output it tells the
        machine, and calls off whom the machine says."""

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


MakeTry = Callable[[Turn, Start, Attempts, Watchdog], Try]


class GaveUp(Exception):
    """No target answered. `last` is the error of the last attempt; `deadline`: the request's time is over; `body`: the
    upstream's own error in the client's dialect; `shown`: the client's stream has that error already."""

    def __init__(self, fail: Fail, body: bytes | None, *, shown: bool) -> None:
        super().__init__(fail.last.message if fail.last else "the deadline is over")
        self.last, self.deadline, self.body, self.shown = fail.last, fail.deadline, body, shown


class Driver:
    """Drives one request's attempts until an answer is delivered.

    `machine.attempts` is the log of what was tried. `exchanges` holds the meters of all attempts but repairs, by their
    number; `delivered` is the number of a spare that was delivered after all.
    """

    def __init__(self, turn: Turn, delivery: Delivery, make: MakeTry) -> None:
        assert turn.decision is not None, "routing comes before attempts"  # noqa: S101
        limits = turn.route.limits
        self.turn = turn
        self.delivery = delivery
        self.exchanges: dict[int, Try] = {}
        self._make = make
        self.delivered: int | None = None
        self._share = turn.context.retries.share()
        self.hedge = hedge_of(turn)
        self._race = Race(turn.call.id) if self.hedge is not None else None
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
            self.hedge,
            turn.purse.affords if turn.purse is not None else lambda _: True,
            _is_too_long if turn.fitting is not None else lambda _: False,
        )
        if turn.purse is not None:
            turn.purse.follow(self.machine.attempts, self.exchanges)
        self._clock = turn.context.clock
        self._error_body: bytes | None = None
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
                while actions or self.machine.state != "done":
                    actions = await self._act(actions, dog)
            except (asyncio.CancelledError, ClientGone):
                if self.is_served:
                    self.machine.ended(self._clock.monotonic())
                elif not self.delivery.reply.gone:
                    self.machine.broke(self._clock.monotonic(), SHUTTING_DOWN, "cancelled")
                else:
                    self.machine.client_left(self._clock.monotonic())
                raise
            except Exception as error:
                self.delivery.has_said_end = self.is_served  # after its end no error may follow
                self.machine.broke(self._clock.monotonic(), str(error))
                raise
            finally:
                self._end_trials()
                if self._race is not None:
                    await self._race.close()

    @property
    def _current(self) -> Try | None:
        """The attempt that runs, or ran last."""
        return self.exchanges.get(self.machine.current.number) if self.exchanges else None

    @property
    def is_served(self) -> bool:
        """Whether a client that hung up took a whole answer with it: OpenAI's SDK leaves at `[DONE]`, before HTTP's
        own end."""
        machine, current = self.machine, self._current
        if current is None:
            return False
        done = machine.state == "done" and machine.current.outcome == "ok"
        return done or self.delivery.has_said_end or (machine.state == "committed" and current.is_whole())

    def _end_trials(self) -> None:
        """Whatever has not ended by itself was left, but for a whole answer."""
        now, served = self._clock.monotonic(), self._current if self.is_served else None
        for exchange in self.exchanges.values():
            if exchange.trial is not None:  # nothing, if it has ended already
                exchange.trial.ended(now, "ok" if exchange is served else "left")

    async def _act(self, actions: list[Action], dog: Watchdog) -> list[Action]:
        """Does what the machine wants; returns what it wants next."""
        starts: list[Start] = []
        for action in actions:
            if isinstance(action, SetAlarm):
                dog.set(action.at_s)
            elif isinstance(action, Start):
                starts.append(action)
            elif isinstance(action, Cancel):
                self._call_off(action.number)
            elif isinstance(action, Deliver):
                await self._deliver(action.number, dog)
                return []
            elif isinstance(action, Fail):
                if self._current is not None and self.delivery.reply.started:
                    self._shown = await self._current.say_last(self.delivery) or self._shown
                raise GaveUp(action, self._error_body, shown=self._shown)
        if not starts and self.machine.state == "done":
            return []
        race = self._race if self.machine.state != "resuming" else None
        try:
            if race is not None:
                for start in starts:
                    race.launch(start.number, self._attempt(self._made(start, dog)))
                return await race.next()
            if not starts:
                await asyncio.get_running_loop().create_future()  # waiting: only the watchdog ends this
            actions = await self._attempt(self._made(starts[0], dog))
            if dog.barked and not dog.calm():  # the attempt ended in an error of its own when it was interrupted
                raise asyncio.CancelledError
            return actions
        except asyncio.CancelledError:
            if not dog.calm():
                raise
        return await self._interrupted(dog, race)

    async def _interrupted(self, dog: Watchdog, race: Race | None) -> list[Action]:
        """The alarm was due, and has interrupted the attempt that ran inside the request's own task."""
        now, current = self._clock.monotonic(), self._current
        if race is not None:
            if race.has_ended:
                dog.set(dog.due_s)
                return await race.next()
            if dog.due_s > now:  # an attempt has committed since
                return [SetAlarm(dog.due_s)]
            if self.machine.state == "committed":
                await race.stop(self.machine.current.number)
        is_open = self.machine.state in ("committed", "resuming") or (race is None and self.machine.state == "running")
        if is_open and current is not None and await current.complete_late(self.delivery):
            return self._ended(current)
        return self.machine.alarm(self._clock.monotonic(), current.last_output_s if current is not None else None)

    def _call_off(self, number: int) -> None:
        """Ends an attempt that the machine wants no longer."""
        now, exchange = self._clock.monotonic(), self.exchanges[number]
        if exchange.trial is not None:
            is_late = self.machine.attempts[number].outcome == "timeout" and now < self.turn.deadline_s
            exchange.trial.ended(now, "failed" if is_late else "left")
        if self._race is not None:
            self._race.call_off(number)

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

    def _made(self, start: Start, dog: Watchdog) -> Try:
        exchange = self.exchanges[start.number] = self._make(self.turn, start, self.machine, dog)
        exchange.call_off = self._call_off
        return exchange

    async def _attempt(self, exchange: Try) -> list[Action]:
        self._error_body = None
        start = exchange.start
        gate = self.turn.fleet.gate(start.target)
        if gate is not None:
            try:
                await gate.enter(self.turn.priority)
            except QueueFull as full:
                error = ProviderError("overloaded", str(full), code="queue_full", retry_after_s=COME_BACK_S)
                return self.machine.failed(self._clock.monotonic(), error, number=start.number)
        try:
            return await self._exchange(exchange)
        finally:
            if gate is not None:
                gate.leave()

    async def _exchange(self, exchange: Try) -> list[Action]:
        number = exchange.start.number
        trial = exchange.trial = self.turn.fleet.health.began(exchange.target.id, self._clock.monotonic())
        try:
            await exchange.run(self.delivery)
        except ProviderFailure as failure:
            if len({one.target.id for one in self.exchanges.values()}) == 1:
                self._error_body = failure.body
            self._shown = failure.shown
            return self._failed(exchange, failure.error)
        except TransportError as broken:
            return self._failed(exchange, _broken(broken, exchange.is_reading))
        except Unusable as poor:
            trial.ended(self._clock.monotonic(), "nothing")
            now = self._clock.monotonic()
            return self.machine.unusable(now, poor.outcome, poor.why, number, beyond=poor.beyond)
        return self._ended(exchange)

    def _ended(self, exchange: Try) -> list[Action]:
        now = self._clock.monotonic()
        if exchange.trial is not None:
            exchange.trial.ended(now, "ok")
        return self.machine.ended(now)

    def _failed(self, exchange: Try, error: ProviderError) -> list[Action]:
        now, start = self._clock.monotonic(), exchange.start
        if exchange.trial is not None:
            exchange.trial.ended(now, evidence_of(error))
        judged = judge(error, exchange.credential, float(self.turn.snapshot.limits.retry_after))
        if judged.cools_s is not None:
            self.turn.fleet.cool(start.target.id, now + judged.cools_s)
        self.turn.context.alerts.failed(start.target, error, now)
        fitting, error = self.turn.fitting, judged.error
        shorter = fitting is not None and _is_too_long(error) and fitting.learn(start.target, error.message)
        return self.machine.failed(now, error, another_key=judged.another_key, shorter=shorter, number=start.number)


def _is_too_long(error: ProviderError) -> bool:
    """Whether a target's window was too small, though it was thought to be wide enough: the next one is asked."""
    return error.code == "context_length_exceeded"


def _broken(broken: TransportError, is_reading: bool) -> ProviderError:
    if broken.retry_after_s is not None:
        return ProviderError("overloaded", str(broken), 503, code="starting", retry_after_s=broken.retry_after_s)
    return ProviderError("cut" if is_reading else "connection", str(broken), code=broken.code)
