"""Quantiles of durations in bounded memory: a histogram whose steps grow by a constant factor.

A quantile is right within one step, whatever the distribution; old figures are shrunk away, not dropped one by one.
"""

from __future__ import annotations

import math

FIRST_S = 0.005
"""The first step holds everything that is shorter."""


class Histogram:
    """Durations from 5 ms to about ten minutes. `growth`: how much longer each step reaches than the one before."""

    __slots__ = ("_counts", "_growth", "_log_growth", "total")

    def __init__(self, growth: float = 1.2, longest_s: float = 500.0) -> None:
        self.total = 0
        self._growth, self._log_growth = growth, math.log(growth)
        self._counts = [0] * (math.ceil(math.log(longest_s / FIRST_S) / self._log_growth) + 1)

    def note(self, seconds: float) -> None:
        """One more."""
        step = 0
        if seconds > FIRST_S:
            step = min(int(math.log(seconds / FIRST_S) / self._log_growth) + 1, len(self._counts) - 1)
        self._counts[step] += 1
        self.total += 1

    def add(self, other: Histogram, divisor: int = 1) -> None:
        """Adds what another one of the same steps holds, divided."""
        self._counts = [old + new // divisor for old, new in zip(self._counts, other._counts, strict=True)]
        self.total = sum(self._counts)

    def shrink(self, to: int) -> None:
        """Keeps the shape and about `to` figures."""
        self._counts = [count * to // self.total for count in self._counts]
        self.total = sum(self._counts)

    def quantile(self, share: float) -> float:
        """The upper end, in seconds, of the step in which the figure of this rank falls."""
        seen, rank = 0, share * self.total
        for step, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                return FIRST_S * self._growth**step
        return FIRST_S
