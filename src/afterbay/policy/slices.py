"""Counts over a window of time that slides in slices: bounded memory, nothing to clean up, sums at hand."""

from __future__ import annotations


class Slices:
    """`fields` counters over the last `count` slices of `slice_s` seconds, the one that runs now included.

    Time may only go on: what is older than the newest slice counts in it.
    """

    __slots__ = ("_at", "_rows", "_slice_s", "_totals")

    def __init__(self, count: int, slice_s: float, fields: int) -> None:
        self._slice_s = max(slice_s, 1e-3)
        self._at = -1
        self._rows: list[list[int]] = [[0] * fields for _ in range(count)]
        self._totals = [0] * fields

    def add(self, now: float, field: int, amount: int = 1) -> None:
        """Counts one, or more."""
        at = int(now / self._slice_s)
        if at > self._at:
            self._move(at)
        self._rows[self._at % len(self._rows)][field] += amount
        self._totals[field] += amount

    def sums(self, now: float) -> tuple[int, ...]:
        """What the window holds, field by field."""
        at = int(now / self._slice_s)
        if at > self._at:
            self._move(at)
        return tuple(self._totals)

    def clear(self) -> None:
        """Forgets everything."""
        for row in [*self._rows, self._totals]:
            row[:] = [0] * len(row)

    def _move(self, at: int) -> None:
        """Slices that are over, or that never were, leave the sums."""
        count, totals = len(self._rows), self._totals
        for slice_ in range(max(self._at + 1, at - count + 1), at + 1):
            row = self._rows[slice_ % count]
            for field, amount in enumerate(row):
                if amount:
                    totals[field] -= amount
                    row[field] = 0
        self._at = at
