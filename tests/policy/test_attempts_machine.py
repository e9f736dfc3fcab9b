"""The attempt machine under any order of legal signals: what must hold, holds always."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from afterbay.core.decision import Target
from afterbay.core.errors import ErrorKind, ProviderError
from afterbay.policy.attempts import Action, Attempts, Cancel, Deliver, Fail, Finish, SetAlarm, Start
from afterbay.policy.plan import FallbackOn, Limits
from afterbay.policy.retry import TRIES, RetryBudget
from afterbay.testing.memory_gateway import target

KINDS: list[ErrorKind] = [
    "invalid_request", "authentication", "permission", "not_found", "too_large", "timeout", "rate_limit", "quota",
    "content_filter", "overloaded", "server", "connection", "cut",
]  # fmt: skip
REASONS: list[FallbackOn] = ["error", "timeout", "rate_limit", "invalid", "empty", "refusal"]
SECONDS = st.floats(0, 30, allow_nan=False)
WHICH = st.integers(0, 3)
TERMINAL = (Finish, Fail, Deliver)


class Wish:
    """A wish to hedge after a fixed time; every other target may take one."""

    def __init__(self, width: int, delay_s: float) -> None:
        self.width = width
        self._delay_s = delay_s
        self._taken = 0

    def delay_s(self, _: Target) -> float:
        return self._delay_s

    def take(self, _: Target, now: float, left_s: float) -> bool:
        assert left_s > 0, "no hedge after the deadline"
        self._taken += 1
        return self._taken % 2 == 1


class AttemptsUnderFire(RuleBasedStateMachine):
    """Drives two machines with the same signals: they must answer the same."""

    @initialize(
        count=st.integers(1, 4),
        most=st.integers(1, 5),
        fallback_on=st.frozensets(st.sampled_from(REASONS)),
        total=st.floats(0, 100),
        first=st.floats(0.1, 40),
        between=st.floats(0.1, 40),
        longest=st.floats(0, 60),
        chance=st.floats(0, 1, exclude_max=True),
        budget=st.booleans(),
        width=st.integers(1, 3),
        delay=st.floats(0, 50),
        dear=st.frozensets(st.integers(0, 3)),
    )
    def begin(
        self, count: int, most: int, fallback_on: frozenset[FallbackOn], total: float, first: float, between: float,
        longest: float, chance: float, budget: bool, width: int, delay: float, dear: frozenset[int],
    ) -> None:  # fmt: skip
        self.targets = tuple(target(f"p{n}/m") for n in range(count))
        self.limits = Limits(1.0, first, between, total, 10.0, most)
        self.now, self.started = 100.0, 100.0
        self.deadline = self.started + total
        self.width = width
        self.dear = [self.targets[at] for at in dear if at < count]
        self.twins = [
            Attempts(
                self.targets,
                self.limits,
                fallback_on,
                self.started,
                self.deadline,
                longest,
                lambda _: chance,
                RetryBudget(least=1 if budget else 0).share(),
                hedge=Wish(width, delay) if width > 1 else None,  # type: ignore[arg-type]
                affords=lambda one: one not in self.dear,
            )
            for _ in "ab"
        ]
        self.terminal: list[Action] = []
        self.committed = False
        self.open: list[int] = []
        self.spares: set[int] = set()
        self.last_output: float | None = None
        self._signal("begin", self.now)

    def _signal(self, name: str, *arguments: Any, **named: Any) -> None:
        was_done = self.twins[0].state == "done"
        first, second = (getattr(one, name)(*arguments, **named) for one in self.twins)
        assert first == second, "the same signals make the same actions"
        assert not (was_done and first), "a done machine emits nothing"
        for action in first:
            self._check(action)

    def _check(self, action: Action) -> None:
        if isinstance(action, Start):
            assert not self.committed, "after the commit no attempt starts"
            assert len(self.open) < self.width, "no more attempts than allowed run at a time"
            assert action.target in self.targets
            assert action.target not in self.dear, "nobody is asked who is too dear"
            assert action.number < self.limits.max_attempts
            self.open.append(action.number)
        elif isinstance(action, Cancel):
            assert action.number in self.open, "only what runs is cancelled"
            self.open.remove(action.number)
        elif isinstance(action, SetAlarm):
            assert action.at_s <= self.deadline, "no alarm is set past the deadline"
            assert action.at_s >= min(self.now, self.deadline), "no alarm is set in the past"
        elif isinstance(action, Deliver):
            assert action.number in self.spares, "only a kept answer is delivered"
            assert not self.committed
        if isinstance(action, TERMINAL):
            self.terminal.append(action)

    @property
    def state(self) -> str:
        return self.twins[0].state if hasattr(self, "twins") else "none"

    @rule(by=SECONDS)
    def time_passes(self, by: float) -> None:
        self.now += by

    @precondition(lambda self: self.state in ("running", "waiting", "committed"))
    @rule(early=st.booleans())
    def the_alarm_rings(self, early: bool) -> None:
        """At any time: a driver's timer may be lazy, and a test's may be wild."""
        if not early:
            self.now = max(self.now, self.deadline)
        self._signal("alarm", self.now, self.last_output)

    @precondition(lambda self: self.state == "running")
    @rule(status=st.sampled_from([200, 429, 500]))
    def headers_come(self, status: int) -> None:
        for one in self.twins:
            one.headers(self.now, status)

    @precondition(lambda self: self.state == "running")
    @rule(which=WHICH)
    def the_first_output_comes(self, which: int) -> None:
        self.committed, self.last_output = True, self.now
        self._signal("first_output", self.now, number=self._one(which))
        assert len(self.open) == 1, "the others are called off"

    @precondition(lambda self: self.state == "committed")
    @rule()
    def more_output_comes(self) -> None:
        self.last_output = self.now

    @precondition(lambda self: self.state == "committed")
    @rule()
    def it_ends_well(self) -> None:
        self.open.clear()
        self._signal("ended", self.now)

    @precondition(lambda self: self.state in ("running", "committed"))
    @rule(
        kind=st.sampled_from(KINDS),
        wait=st.none() | st.floats(-5, 1e9) | st.sampled_from([float("inf")]),
        another_key=st.booleans(),
        which=WHICH,
    )
    def it_ends_badly(self, kind: ErrorKind, wait: float | None, another_key: bool, which: int) -> None:
        number = self._one(which)
        self.open.remove(number)
        error = ProviderError(kind, "no", 500, retry_after_s=wait)
        self._signal("failed", self.now, error, another_key=another_key, number=number)

    @precondition(lambda self: self.state in ("running", "committed", "waiting"))
    @rule(number=st.integers(0, 4))
    def one_that_was_called_off_speaks(self, number: int) -> None:
        if number in self.open:
            return
        before = msgspec.to_builtins(self.twins[0].attempts)
        self._signal("failed", self.now, ProviderError("server", "late", 500), number=number)
        self._signal("unusable", self.now, "empty", "late", number)
        assert msgspec.to_builtins(self.twins[0].attempts) == before, "nobody listens to it"

    def _one(self, which: int) -> int:
        return self.open[which % len(self.open)]

    @precondition(lambda self: self.state == "running")
    @rule(outcome=st.sampled_from(["empty", "invalid", "refusal"]), which=WHICH)
    def its_answer_is_poor(self, outcome: str, which: int) -> None:
        number = self._one(which)
        self.spares.add(number)
        self.open.remove(number)
        self._signal("unusable", self.now, outcome, "why", number)

    @precondition(lambda self: self.state != "none")
    @rule()
    def the_client_leaves(self) -> None:
        was = self.state
        self._signal("client_left", self.now)
        assert self.state == "done"
        if was != "done":
            self.terminal.append(Finish())

    @invariant()
    def one_end_and_nothing_left_open(self) -> None:
        if self.state == "none":
            return
        machine = self.twins[0]
        assert len(self.terminal) == (1 if machine.state == "done" else 0), "exactly one end"
        assert len(machine.attempts) <= self.limits.max_attempts
        assert sum(one.why == "retry" for one in machine.attempts) < TRIES
        for attempt in machine.attempts:
            if attempt.number in self.open:
                assert attempt.ended_s is None, "what runs is open"
                continue
            assert attempt.ended_s is not None, "every attempt is closed"
            assert attempt.outcome is not None, "every attempt has an outcome"
            assert attempt.ended_s >= attempt.started_s
        if machine.state == "done":
            assert not self.open, "nothing runs after the end"
        assert [msgspec.to_builtins(one) for one in machine.attempts] == [
            msgspec.to_builtins(one) for one in self.twins[1].attempts
        ]


TestAttemptsUnderFire = AttemptsUnderFire.TestCase
TestAttemptsUnderFire.settings = settings(max_examples=250, stateful_step_count=25, deadline=None)
