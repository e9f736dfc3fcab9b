"""How busy and how quick a target is, for the choice among equals.

Peak EWMA, after Finagle's `PeakEwma`: a figure worse than the average counts in full at once, and wears off over ten
seconds; so a target that becomes slow loses traffic with its first slow answer. What it wears off to is not zero, as in
Finagle, but the slow average of the last minutes: else a target that is seldom asked would look quick.
"""

from __future__ import annotations

import math

PEAK_S = 10.0
"""In so much time a peak wears off to 37 %."""
MEAN_S = 120.0
"""So far back the average reaches."""


class PeakEwma:
    """A peak-sensitive average of seconds."""

    __slots__ = ("_at_s", "_mean_s", "_peak_s")

    def __init__(self, now: float, seconds: float) -> None:
        self._at_s = now
        self._mean_s = self._peak_s = seconds

    def note(self, now: float, seconds: float) -> None:
        """One more figure."""
        passed = max(now - self._at_s, 0.0)
        # The first ones of a burst count too: each moves the average by 1/20 at least.
        weight = max(1 - math.exp(-passed / MEAN_S), 0.05)
        self._peak_s = max(self.value(now), seconds)
        self._mean_s += weight * (seconds - self._mean_s)
        self._at_s = now

    @property
    def mean_s(self) -> float:
        """The slow average alone."""
        return self._mean_s

    def value(self, now: float) -> float:
        """The average, with what is left of the last peak."""
        rest = math.exp(-max(now - self._at_s, 0.0) / PEAK_S)
        return self._mean_s + max(self._peak_s - self._mean_s, 0.0) * rest


class Load:
    """`in_flight` attempts, and how long the target takes: to a stream's first output, and for a whole answer."""

    __slots__ = ("_first", "_whole", "in_flight")

    def __init__(self) -> None:
        self.in_flight = 0
        self._first: PeakEwma | None = None
        self._whole: PeakEwma | None = None

    def first_output(self, now: float, seconds: float) -> None:
        """A stream's first output came after so long."""
        if self._first is None:
            self._first = PeakEwma(now, seconds)
        else:
            self._first.note(now, seconds)

    def whole(self, now: float, seconds: float) -> None:
        """A whole answer came after so long."""
        if self._whole is None:
            self._whole = PeakEwma(now, seconds)
        else:
            self._whole.note(now, seconds)

    def seconds(self, now: float) -> tuple[float | None, float | None]:
        """(to first output, for a whole answer); None: not known."""
        first, whole = self._first, self._whole
        return (first.value(now) if first else None, whole.value(now) if whole else None)

    def habit(self) -> tuple[float | None, float | None]:
        """As `seconds`, by the slow average alone: what it usually takes, whatever happened just now."""
        first, whole = self._first, self._whole
        return (first.mean_s if first else None, whole.mean_s if whole else None)
