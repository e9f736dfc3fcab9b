"""The state of one emulated provider: its profile, its count of requests, its limit, what happened so far."""

from __future__ import annotations

from collections import Counter
from typing import Any

from afterbay.emulate.plan import Draws
from afterbay.emulate.profile import Profile
from afterbay.emulate.protocols import Allowance

_WINDOW_S = 60.0


class Provider:
    """One emulated provider. Changed by one event loop only."""

    def __init__(self, name: str, profile: Profile) -> None:
        self.name = name
        self.open = self.open_streams = 0
        self._totals: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        self._faults: Counter[str] = Counter()
        self.use(profile)

    def use(self, profile: Profile) -> None:
        """Behaves by this profile from the next request on, which is number 0 again: so a run can be repeated."""
        self.profile = profile
        self._number = 0
        self._window_s = float("-inf")
        self._taken = 0

    def take_number(self) -> int:
        """The number of the next request."""
        self._number += 1
        self._totals["requests"] += 1
        return self._number - 1

    def draws(self, number: int) -> Draws:
        """The draws of request `number`."""
        return Draws(self.profile, self.name, number)

    def allow(self, now_s: float) -> tuple[bool, Allowance | None]:
        """Whether one more request fits the limit at `now_s` (monotonic), and what is left of it."""
        limit = self.profile.requests_per_minute
        if limit is None:
            return True, None
        if now_s - self._window_s >= _WINDOW_S:
            self._window_s, self._taken = now_s, 0
        fits = self._taken < limit
        self._taken += fits
        return fits, Allowance(limit, limit - self._taken, self._window_s + _WINDOW_S - now_s)

    def answered(self, status: int) -> None:
        """Counts a response by its status; 0: the connection was broken before there was one."""
        self._statuses[status] += 1

    def fired(self, fault: str) -> None:
        """Counts a fault that showed."""
        self._faults[fault] += 1

    def aborted(self, *, is_stream: bool) -> None:
        """Counts a request whose client hung up before its end."""
        self._totals["aborted"] += 1
        self._totals["aborted_streams"] += is_stream

    def stats(self) -> dict[str, Any]:
        """What happened since the start, and what is open now."""
        return {
            "profile": self.profile.name,
            "requests": self._totals["requests"],
            "open": self.open,
            "open_streams": self.open_streams,
            "aborted": self._totals["aborted"],
            "aborted_streams": self._totals["aborted_streams"],
            "statuses": {str(status): number for status, number in sorted(self._statuses.items())},
            "faults": dict(sorted(self._faults.items())),
        }
