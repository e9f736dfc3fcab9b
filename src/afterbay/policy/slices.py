"""Counts over a window of time that slides in slices: bounded memory, nothing to clean up."""

from __future__ import annotations


class Slices:
    """`fields` counters over the last `count` slices of `slice_s` seconds, the one that runs now included."""

    __slots__ = ("_fields", "_rows", "_slice_s")

    def __init__(self, count: int, slice_s: float, fields: int) -> None:
        self._slice_s = max(slice_s, 1e-3)
        self._fields = fields
        self._rows: list[list[int]] = [[-1] + [0] * fields for _ in range(count)]

    def add(self, now: float, field: int, amount: int = 1) -> None:
        """Counts one, or more."""
        at = int(now / self._slice_s)
        row = self._rows[at % len(self._rows)]
        if row[0] != at:
            row[:] = [at] + [0] * self._fields
        row[field + 1] += amount

    def sums(self, now: float) -> tuple[int, ...]:
        """What the window holds, field by field."""
        oldest = int(now / self._slice_s) - len(self._rows)
        found = [row for row in self._rows if row[0] > oldest]
        return tuple(sum(row[field] for row in found) for field in range(1, self._fields + 1))

    def clear(self) -> None:
        """Forgets everything."""
        for row in self._rows:
            row[0] = -1
