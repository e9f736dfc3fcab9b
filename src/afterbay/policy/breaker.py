"""How long an ill target is left out, and how it comes back.

    closed      requests go to it
    open        it is ejected: no requests until a time
    half-open   that time is over: one real request may go to it, others only when that one has ended

One machine for ejection and circuit breaking, because they are one: both leave a target out for a time and let it back
after a trial, and two that disagree about the same target would have to be explained. What makes it ill is
`afterbay.policy.outlier`'s matter.

An ejection lasts `eject` times the number of ejections, 300 s at most, less up to 20 % by a draw, so that targets that
fell ill together do not come back together. Every `window` spent closed takes one ejection off the count.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from afterbay.policy.plan import HealthRules

LONGEST_S = 300.0
JITTER = 0.2
TRIAL_S = 120.0
"""A trial that is not decided by then no longer keeps others away."""

BreakerState: TypeAlias = Literal["closed", "open", "half_open"]


class Breaker:
    """The state of one target. `ejections` counts all, `opened_s` is when the last began, `until_s` when it ends."""

    __slots__ = ("_closed_s", "_is_open", "_times", "_trial_s", "ejections", "opened_s", "rules", "until_s")

    def __init__(self, rules: HealthRules, now: float) -> None:
        self.rules = rules
        self.ejections = 0
        self.opened_s = self.until_s = 0.0
        self._is_open = False
        self._times = 0
        self._closed_s = now
        self._trial_s: float | None = None

    def state(self, now: float) -> BreakerState:
        """Where it stands now."""
        if not self._is_open:
            return "closed"
        return "open" if now < self.until_s else "half_open"

    def lets_in(self, now: float) -> bool:
        """Whether a request may go to it."""
        if not self._is_open:
            return True
        return now >= self.until_s and (self._trial_s is None or now - self._trial_s >= TRIAL_S)

    def begin(self, now: float) -> bool:
        """An attempt begins; whether it is the trial."""
        if not self._is_open or not self.lets_in(now):
            return False
        self._trial_s = now
        return True

    def release(self) -> None:
        """The trial ended and showed nothing: the next one may go."""
        self._trial_s = None

    def trip(self, now: float, share: float) -> None:
        """Ejects it, from any state. `share` in [0, 1) is the draw."""
        if not self._is_open:
            self._times = max(0, self._times - int((now - self._closed_s) / max(self.rules.window_s, 1e-3)))
        self._times += 1
        self.ejections += 1
        self._is_open, self._trial_s = True, None
        self.opened_s = now
        self.until_s = now + min(self.rules.eject_s * self._times, LONGEST_S) * (1 - JITTER * share)

    def close(self, now: float) -> None:
        """It answered well."""
        self._is_open, self._trial_s, self._closed_s = False, None, now

    def hurry(self, now: float) -> None:
        """A trial may be made at once."""
        if self._is_open:
            self.until_s = min(self.until_s, now)

    def postpone(self, now: float) -> None:
        """No trial yet: for the time of one ejection."""
        if self._is_open:
            self.until_s = max(self.until_s, now + min(self.rules.eject_s, LONGEST_S))

    def restore(self, now: float, for_s: float, *, tried: bool) -> None:
        """Is ejected for another `for_s` seconds, or (0) half-open; `tried`: the trial is under way."""
        self._is_open, self._times, self.ejections = True, 1, 1
        self.opened_s, self.until_s = now, now + for_s
        self._trial_s = now if tried else None
