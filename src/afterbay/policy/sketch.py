"""Percentiles of durations that add up: counts in steps of 2 %, so that an hour, a day and a month are one addition.

A quantile is right within 1 % of itself, whatever the distribution. The steps are those of DDSketch (Masson, Rim, Lee:
"DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019) with fixed ends and no
collapsing: two sketches of the same durations are equal, however they were cut and added. `policy.quantile.Histogram`
is coarser and forgets, because decisions want what holds now; reports want what was.

The steps are a table and not a logarithm, because a database finds a step by comparing, and must find the same one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final

GROWTH: Final = 1.02
FIRST_S: Final = 0.0001
"""The first step holds everything that is not longer: 0.1 ms."""
LAST_S: Final = 100_000.0
"""The last step holds everything that is longer: 28 hours."""


def _bounds() -> tuple[float, ...]:
    found = [FIRST_S]
    while found[-1] < LAST_S:
        found.append(found[-1] * GROWTH)
    return tuple(found)


BOUNDS: Final = _bounds()
"""Up to where each step reaches, in seconds; what is longer than the last one is counted in the last one."""


def step_of(seconds: float) -> int:
    """The step that a duration is counted in."""
    return min(bisect_left(BOUNDS, seconds), len(BOUNDS) - 1)


class Sketch:
    """Durations by step. Only steps that hold something take room."""

    __slots__ = ("_counts", "total")

    def __init__(self, counts: Iterable[tuple[int, int]] = ()) -> None:
        """`counts`: (step, how many), as `counts` gave them or a database keeps them; a step may come twice."""
        self.total = 0
        self._counts: dict[int, int] = {}
        for step, count in counts:
            self._raise(step, count)

    @property
    def counts(self) -> Mapping[int, int]:
        """How many by step: all there is to keep."""
        return self._counts

    def note(self, seconds: float) -> None:
        """One more."""
        self._raise(step_of(seconds), 1)

    def add(self, other: Sketch) -> None:
        """All that another one holds."""
        for step, count in other.counts.items():
            self._raise(step, count)

    def quantile(self, share: float) -> float | None:
        """The duration of this rank (nearest rank), in seconds and within 1 %; None: there is none at all."""
        if not self.total:
            return None
        seen, rank = 0, max(1.0, share * self.total)
        steps = sorted(self._counts)
        for step in steps:
            seen += self._counts[step]
            if seen >= rank:
                return _middle(step)
        return _middle(steps[-1])

    def _raise(self, step: int, count: int) -> None:
        self._counts[step] = self._counts.get(step, 0) + count
        self.total += count


def added(sketches: Iterable[Sketch]) -> Sketch:
    """All of them in one."""
    whole = Sketch()
    for one in sketches:
        whole.add(one)
    return whole


def _middle(step: int) -> float:
    """What is as far, in parts of itself, from the step's lower end as from its upper one."""
    return BOUNDS[step] if step == 0 else 2 * BOUNDS[step] / (1 + GROWTH)
