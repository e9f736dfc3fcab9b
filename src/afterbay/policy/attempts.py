"""The attempt machine: what to do next while a request is tried on one target after another.

Theory of operation
    The machine has no clock, socket or randomness. The driver tells it what happened (a signal, with the time) and
    does what it answers (actions). The asyncio driver and the simulator drive the same object. Tokens do not pass
    here: the machine sees a start, the first output, an end, an alarm; deltas go from the attempt to the client.

    Commit point: before the first byte of output reached the client, another target may take over and nobody sees it.
    After it another attempt may go on with the answer, if `resumes` knows a form in which its target can (state
    `resuming`, until output of it goes out); else an error ends the client's stream with an error event.

    A whole answer that is empty or not valid is kept as a spare: if no target does better, it is still the answer. Of
    two spares the later one is kept, but never an empty one instead of one that says something.

    Several attempts may run before the commit, where `afterbay.policy.hedge` allows it. The first output of one calls
    the others off. While others run, the failure of one starts nothing: they are the fallback. What would end the
    request without a fallback (a wrong request, a refusal) ends it, and calls the others off too.

    A repair is a second request to the target of a committed attempt, about the tool calls of its answer. It is in the
    log and counts as an attempt, and changes no state: whatever becomes of it, the answer goes on. A sample is the same
    for an answer that is still being judged.

States and signals (everything else is a mistake of the driver)

    state      begin     first_output   ended ok   ended bad            alarm                  client_left, broke
    new        start     -              -          -                    -                      -
    running    -         -> committed,  finish     other key | start    start one more |       cancel, close
                         cancel others             next | wait |        cancel, start next
                                                   deliver | fail |     | fail
                                                   (others run) -
    waiting    -         -              -          -                    start the same target  close
    committed  -         -              finish     resume | fail        cancel, resume | fail  cancel, close
    resuming   -         -> committed   finish     resume | fail        cancel, resume | fail  cancel, close
    done       -         -              -          -                    -                      -

One deadline covers everything. An alarm that rings too early (the driver keeps a lazy timer) gets a new alarm back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal, TypeAlias

import msgspec

from afterbay.core.decision import Attempt, Outcome, Target
from afterbay.core.errors import ProviderError
from afterbay.policy.hedge import Hedge
from afterbay.policy.plan import FallbackOn, Limits
from afterbay.policy.resume import DOUBTFUL
from afterbay.policy.retry import Share, fallback_class, outcome_of, wait_before

State: TypeAlias = Literal["new", "running", "waiting", "committed", "resuming", "done"]

_Why: TypeAlias = Literal["primary", "fallback", "retry", "key", "hedge", "resume"]

MOST_RESUMES = 2
"""Answers that broke off are gone on with so often in one request; a form that the target refuses does not count."""


_NEVER = float("inf")

_REFUSED = (400, 422)
"""Status of an answer to a question whose form the target does not take."""


class Start(msgspec.Struct, frozen=True):
    """Open attempt `number` at `target`; give up connecting after `connect_s`."""

    number: int
    target: Target
    connect_s: float


class SetAlarm(msgspec.Struct, frozen=True):
    """Signal `alarm` at this monotonic time, unless another alarm is set before."""

    at_s: float


class Cancel(msgspec.Struct, frozen=True):
    """End attempt `number`: close its connection."""

    number: int


class Deliver(msgspec.Struct, frozen=True):
    """Give the client the kept whole answer of attempt `number`."""

    number: int


class Finish(msgspec.Struct, frozen=True):
    """The answer is complete."""


class Fail(msgspec.Struct, frozen=True):
    """No answer, or no more of it. `last` is the error of the last attempt, `deadline` says the total time is over."""

    last: ProviderError | None
    deadline: bool = False


Action: TypeAlias = Start | SetAlarm | Cancel | Deliver | Finish | Fail


class _Open(msgspec.Struct):
    """An attempt that runs: the place of its target in the order, and when it is late."""

    index: int
    due_s: float


class Attempts:
    """One request's attempts. `attempts` is the log that goes into the record.

    `chance(purpose)` gives a number in [0, 1); `share` is the request's part in the retry budget, `hedge` its part in
    hedging; `affords` says before each start whether the request's money is enough for a target; `passes_on` whether an
    error that is the client's to mend elsewhere may be another target's to answer here. Signals name an
    attempt by its `number`; None: the one that runs, or was started last. Signals of one that was called off change
    nothing.
    """

    def __init__(
        self,
        targets: tuple[Target, ...],
        limits: Limits,
        fallback_on: frozenset[FallbackOn],
        started_s: float,
        deadline_s: float,
        longest_wait_s: float,
        chance: Callable[[str], float] = lambda _: 0.0,
        share: Share | None = None,
        resumes: Callable[[Target], bool] = lambda _: False,
        hedge: Hedge | None = None,
        affords: Callable[[Target], bool] = lambda _: True,
        passes_on: Callable[[ProviderError], bool] = lambda _: False,
    ) -> None:
        self.state: State = "new"
        self.attempts: list[Attempt] = []
        self._running = 0
        self._open: dict[int, _Open] = {}
        self._targets = targets
        self._limits = limits
        self._fallback_on = fallback_on
        self._started_s = started_s
        self._deadline_s = deadline_s
        self._longest_wait_s = longest_wait_s
        self._chance = chance
        self._share = share if share is not None else Share()
        self._resumes = resumes
        self._hedge = hedge
        self._hedge_due_s = _NEVER
        self._affords = affords
        self._passes_on = passes_on
        self._next = self._at = 0
        self._lost: list[int] = []
        self._due_s = 0.0
        self._spare: int | None = None
        self._last: ProviderError | None = None
        self._broken: ProviderError | None = None

    def begin(self, now: float) -> list[Action]:
        """The first attempt."""
        if now >= self._deadline_s:
            return self._give_up(now, deadline=True)
        return self._start_next(now) if self._more() else self._give_up(now)

    def headers(self, now: float, status: int, key: int | None = None, number: int | None = None) -> None:
        """The upstream answered with this status, to a request with this key; only noted."""
        attempt = self.current if number is None else self.attempts[number]
        attempt.key = key
        attempt.headers_s = now - self._started_s
        attempt.status = status

    def first_output(self, now: float, number: int | None = None) -> list[Action]:
        """The first output is about to go to the client: from here on there is no way back."""
        self.state = "committed"
        if number is not None and number in self._open:
            self._running, self._at = number, self._open[number].index
        cancels = self._call_off_others(now, self._running) if len(self._open) > 1 else []
        self.current.first_token_s = now - self._started_s
        return [*cancels, self._alarm(now + self._limits.between_tokens_s)]

    @property
    def current(self) -> Attempt:
        """The attempt that runs, or ran last. A repair is none of its own: it belongs to the attempt before it."""
        return self.attempts[self._running]

    def repair(self, now: float) -> Attempt | None:
        """Notes a further request to the running attempt's target, about tool calls of its answer. The caller makes
        it, within the request's time, and closes it; None: no attempt or no time is left."""
        return self._beside(now, self.current, "repair") if self.state == "committed" else None

    def sample(self, now: float, number: int) -> Attempt | None:
        """Notes a request for a second answer of an attempt's target, to hold the first one against. As `repair`; one
        attempt stays for the target that is asked if they differ."""
        if number not in self._open or len(self.attempts) + 1 >= self._limits.max_attempts:
            return None
        return self._beside(now, self.attempts[number], "sample")

    def _beside(self, now: float, attempt: Attempt, why: Literal["repair", "sample"]) -> Attempt | None:
        if len(self.attempts) >= self._limits.max_attempts or now >= self._deadline_s:
            return None
        started_s, place = now - self._started_s, len(self.attempts)
        self.attempts.append(Attempt(place, attempt.target, why, started_s, model=attempt.model))
        return self.attempts[-1]

    def ended(self, now: float) -> list[Action]:
        """The committed attempt gave a complete and valid answer."""
        self._close(now, "ok", None)
        self.state = "done"
        return [Finish()]

    def failed(
        self,
        now: float,
        error: ProviderError,
        *,
        another_key: bool = False,
        shorter: bool = False,
        number: int | None = None,
    ) -> list[Action]:
        """An attempt ended in an error. `another_key`: it was about the key, and the provider has one more; `shorter`:
        about the length, and the target can be asked for less."""
        at = self._ending(number)
        if at is None:
            return []
        index = self._close(now, outcome_of(error.kind), error, at)
        if self.state in ("committed", "resuming"):
            return self._resume(now, error)
        reason = fallback_class(error.kind)
        falls_back = (reason is not None and reason in self._fallback_on) or self._passes_on(error)
        if self._open:
            return self._watch(now) if falls_back or another_key else self._end_race(now)
        untried = len(self._targets) - self._next
        if another_key and len(self.attempts) + untried < self._limits.max_attempts and now < self._deadline_s:
            return self._start_at(now, index, "key")  # keys never use up the attempts of other targets
        if not falls_back:
            return self._give_up(now)
        if self._more():
            return self._start_next(now)
        if shorter and len(self.attempts) < self._limits.max_attempts and now < self._deadline_s:
            return self._start_at(now, index, "retry")
        return self._come_back(now, error, index)

    def unusable(
        self,
        now: float,
        outcome: Literal["empty", "invalid", "refusal"],
        why: str,
        number: int | None = None,
        *,
        beyond: Collection[str] = (),
    ) -> list[Action]:
        """An attempt gave a whole answer that is not good enough; the driver keeps it.

        Without another target, or where `fallback_on` does not name it, it is delivered after all. `beyond`: its
        targets (by id) would answer alike, so they are passed over for good, and another is asked in any case.
        """
        at = self._ending(number)
        if at is None:
            return []
        shown: Outcome = "ok" if outcome == "refusal" else outcome
        self._close(now, shown, None, at)
        self.attempts[at].error = why
        if outcome != "empty" or self._spare is None or self.attempts[self._spare].outcome == "empty":
            self._spare = at
        while beyond and self._next < len(self._targets) and self._targets[self._next].id in beyond:
            self._next += 1
        leads_on = bool(beyond) or outcome in self._fallback_on
        if self._open:
            return self._watch(now) if leads_on else self._end_race(now)
        if leads_on and self._more():
            return self._start_next(now)
        return self._give_up(now)

    def alarm(self, now: float, last_output_s: float | None = None) -> list[Action]:
        """Time passed. `last_output_s`: when the committed attempt last gave output, monotonic."""
        if self.state == "done":
            return []
        over = now >= self._deadline_s
        if over:
            return self._timed_out(now, over)
        if self.state == "running":
            return self._look(now)
        if self.state == "waiting":
            return self._start_at(now, self._at, "retry") if now >= self._due_s else [SetAlarm(self._due_s)]
        if self.state == "committed" and last_output_s is not None:
            due = min(last_output_s + self._limits.between_tokens_s, self._deadline_s)
            if now < due:
                return [self._alarm(due)]
        elif now < min(self._due_s, self._deadline_s):
            return [SetAlarm(min(self._due_s, self._deadline_s))]
        return self._timed_out(now, over)

    def client_left(self, now: float) -> list[Action]:
        """Nobody listens any more: end what runs."""
        cancels = self._close_all(now, "client_closed", None)
        self.state = "done"
        return cancels

    def broke(self, now: float, why: str, outcome: Literal["error", "cancelled"] = "error") -> list[Action]:
        """The driver itself failed, or found the request to be wrong, or ends (`cancelled`): nothing more is tried."""
        self._close_all(now, outcome, ProviderError("server", why))
        self.state = "done"
        return []

    def _ending(self, number: int | None) -> int | None:
        """The number of the attempt that ends; None: it was called off."""
        at = self._running if number is None else number
        return at if at in self._open else None

    def _look(self, now: float) -> list[Action]:
        """What is late is ended; what is due beside it is started."""
        late = [number for number, one in self._open.items() if one.due_s <= now]
        if not late:
            return self._watch(now)
        cancels: list[Action] = [Cancel(number) for number in late]
        for number in late:
            self._close(now, "timeout", self._too_late("first_token"), number)
        if self._open:
            return [*cancels, *self._watch(now)]
        if "timeout" in self._fallback_on and self._more():
            return [*cancels, *self._start_next(now)]
        return [*cancels, *self._give_up(now)]

    def _watch(self, now: float) -> list[Action]:
        """Waits for those that run, with whom else is due beside them."""
        more = self._start_more(now)
        return [self._next_alarm(now), *more]

    def _start_more(self, now: float) -> list[Action]:
        """Further attempts beside those that run, as far as they are due and allowed."""
        hedge, started = self._hedge, list[Action]()
        while hedge is not None and self._hedge_due_s <= now < self._deadline_s:
            self._hedge_due_s = _NEVER
            if self._next < len(self._targets) and len(self.attempts) < self._limits.max_attempts:
                target = self._targets[self._next]  # too dear beside those that run, it may yet be their fallback
                if self._affords(target) and hedge.take(target, now, self._deadline_s - now):
                    self._next += 1
                    started += self._start_at(now, self._next - 1, "hedge")
        return started

    def _end_race(self, now: float) -> list[Action]:
        """One attempt's end is the request's: the others are called off."""
        return [*self._call_off_others(now, None), *self._give_up(now)]

    def _call_off_others(self, now: float, number: int | None) -> list[Action]:
        """Ends the attempts that run beside this one."""
        called_off = [other for other in self._open if other != number]
        for other in called_off:
            self._lost.append(self._close(now, "cancelled", None, other))
        return [Cancel(other) for other in called_off]

    def _close_all(self, now: float, outcome: Outcome, error: ProviderError | None) -> list[Action]:
        numbers = list(self._open)
        for number in numbers:
            self._close(now, outcome, error, number)
        return [Cancel(number) for number in numbers]

    def _too_late(self, name: str) -> ProviderError:
        limit = getattr(self._limits, f"{name}_s")
        return ProviderError("timeout", f"no output within {name} = {limit:g} s", code=f"timeout_{name}")

    def _timed_out(self, now: float, over: bool) -> list[Action]:
        if self.state == "waiting":
            return self._give_up(now, deadline=True)
        committed = self.state == "committed"
        error = self._too_late("total" if over else "between_tokens" if committed else "first_token")
        cancels = self._close_all(now, "timeout", error)
        if committed or self.state == "resuming":
            return [*cancels, *self._resume(now, error, over=over)]
        return [*cancels, *self._give_up(now, deadline=over)]

    def _resume(self, now: float, error: ProviderError, *, over: bool = False) -> list[Action]:
        """Goes on with what the client has: the targets after this one are asked first, then this one once more. One
        that refused the form of the question, or answered beside it, is asked in another one at once."""
        if self.state == "committed" or self._broken is None:
            self._broken = error  # what the client is told if nobody goes on: how its answer broke off
        refused = self.state == "resuming" and (error.kind == "invalid_request" or error.code == DOUBTFUL)
        resumed = sum(one.why == "resume" and one.status not in _REFUSED for one in self.attempts)
        left = not over and now < self._deadline_s and len(self.attempts) < self._limits.max_attempts
        if left and resumed < MOST_RESUMES and (refused or fallback_class(error.kind) is not None):
            rest, here = list(range(self._next, len(self._targets))), [self._at]
            again = [] if self.state == "resuming" else [*self._lost, *here]
            order = [*here, *rest] if refused else [*rest, *again]
            index = next((index for index in order if self._may_resume(self._targets[index])), None)
            if index is not None:
                self._next = max(self._next, index + 1)
                return self._start_at(now, index, "resume")
        self.state = "done"
        return [Fail(error if over else self._broken, deadline=over)]

    def _may_resume(self, target: Target) -> bool:
        return self._resumes(target) and self._affords(target)

    def _more(self) -> bool:
        """Whether another target can be asked. Those that are too dear are passed over for good."""
        while self._next < len(self._targets) and not self._affords(self._targets[self._next]):
            self._next += 1
        return self._next < len(self._targets) and len(self.attempts) < self._limits.max_attempts

    def _start_next(self, now: float) -> list[Action]:
        self._next += 1
        return self._start_at(now, self._next - 1, "fallback" if self.attempts else "primary")

    def _start_at(self, now: float, index: int, why: _Why) -> list[Action]:
        self.state, self._at = "resuming" if why == "resume" else "running", index
        target = self._targets[index]
        self._running = len(self.attempts)
        self.attempts.append(Attempt(self._running, target.id, why, now - self._started_s, model=target.alias))
        start = Start(self._running, target, self._limits.connect_s)
        due_s = now + self._limits.first_token_s
        self._open[self._running] = _Open(index, due_s)
        if self._hedge is None or why == "resume":
            return [self._alarm(due_s), start]
        delay_s = self._hedge.delay_s(target) if len(self._open) < self._hedge.width else None
        self._hedge_due_s = now + delay_s if delay_s is not None and now + delay_s < due_s else _NEVER
        alarm, *more = self._watch(now)
        return [alarm, start, *more]

    def _come_back(self, now: float, error: ProviderError, index: int) -> list[Action]:
        """No other target is left: wait for this one, where `afterbay.policy.retry` says so and the budget has room."""
        retries = sum(one.why == "retry" for one in self.attempts)
        wait = None
        if len(self.attempts) < self._limits.max_attempts and self._affords(self._targets[index]):
            wait = wait_before(
                error,
                attempts=len(self.attempts),
                retries=retries,
                left_s=self._deadline_s - now,
                longest_s=self._longest_wait_s,
                chance=self._chance(f"retry/{retries}"),
            )
        if wait is None:
            return self._give_up(now)
        if not self._share.take():
            self.current.error = f"{self.current.error}; not tried again: the retry budget is used up"[:500]
            return self._give_up(now)
        self.state, self._at = "waiting", index
        return [self._alarm(now + wait)]

    def _give_up(self, now: float, deadline: bool = False) -> list[Action]:
        self.state = "done"
        if self._spare is not None and not deadline:
            return [Deliver(self._spare)]
        return [Fail(self._last, deadline)]

    def _next_alarm(self, now: float) -> SetAlarm:
        """The alarm for whatever comes first of all that runs; at once, if the word of another came after its time."""
        return self._alarm(max(now, min(self._hedge_due_s, *(one.due_s for one in self._open.values()))))

    def _alarm(self, at_s: float) -> SetAlarm:
        self._due_s = at_s
        return SetAlarm(min(at_s, self._deadline_s))

    def _close(self, now: float, outcome: Outcome, error: ProviderError | None, number: int | None = None) -> int:
        """Ends an attempt; returns the place of its target."""
        at = self._running if number is None else number
        attempt = self.attempts[at]
        attempt.ended_s, attempt.outcome = now - self._started_s, outcome
        if error is not None:
            self._last = error
            attempt.error = f"{error.kind}: {error.message}"[:500]
            attempt.status = error.status if error.status is not None else attempt.status
            attempt.code, attempt.asked_s = error.code, error.retry_after_s
        return self._open.pop(at).index
