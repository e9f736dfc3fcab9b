"""What an order of rows is worth to a router between a weak and a strong model, by RouteLLM's measures, for resampling.

The strong model is asked for the first k rows of the order, for every k. The order is found once; a resample of the
rows only changes how often each counts. Source: RouteLLM, arXiv 2406.18665, section 3; the code is ours.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]
Index = NDArray[np.int64]

MEASURES: Final = ("apgr", "cpt50", "cpt80", "saved_at_95", "saved_at_98")
"""Area between the weak model's level and the curve, as a share (chance: 0.5); percent of calls to the strong model
that recover 50 and 80 % of the gap; share of all-strong's cost saved at 95 and 98 % of its quality."""
_CLOSE: Final = 1e-9


class Costs(msgspec.Struct, frozen=True):
    """What a request costs on each model, in any unit. `weak_always`: the weak model is asked for every row, and paid
    for where its answer is thrown away, too (a cascade)."""

    strong: float = 100.0
    weak: float = 1.0
    weak_always: bool = False


class Ranking(msgspec.Struct, frozen=True):
    """Rows of a file in the order in which they would go to the strong model, first the one that needs it most."""

    rows: Index
    strong: Column
    weak: Column

    def measured(self, costs: Costs, counts: Column | None = None) -> Column:
        """`MEASURES` of this order; `counts` (by row of the file) say how often a row counts. NaN without a gap."""
        count = np.ones(len(self.rows)) if counts is None else counts[self.rows]
        share, level = self._curve(count)
        gap = level[-1] - level[0]
        if gap <= 0:
            return np.full(len(MEASURES), np.nan)
        found = [float((np.trapezoid(level, share) - level[0]) / gap)]
        found += [100 * _least(share, level, level[0] + part * gap) for part in (0.5, 0.8)]
        for keep in (0.95, 0.98):
            asked = _least(share, level, keep * level[-1])
            paid = 1.0 if costs.weak_always else 1 - asked
            found.append(1 - asked - paid * costs.weak / costs.strong)
        return np.array(found)

    def apgr(self, counts: Column | None = None) -> float:
        """The first of `MEASURES`."""
        share, level = self._curve(np.ones(len(self.rows)) if counts is None else counts[self.rows])
        gap = level[-1] - level[0]
        return float((np.trapezoid(level, share) - level[0]) / gap) if gap > 0 else float("nan")

    def strong_share(self, keep: float) -> float:
        """The least share of strong calls that keeps so much of the strong model's quality."""
        share, level = self._curve(np.ones(len(self.rows)))
        return _least(share, level, keep * level[-1])

    def _curve(self, count: Column) -> tuple[Column, Column]:
        total = count.sum()
        gained = np.concatenate([[0.0], np.cumsum(count * (self.strong - self.weak))])
        share = np.concatenate([[0.0], np.cumsum(count)])
        return share / total, (float(count @ self.weak) + gained) / total


def ranked(rows: Index, scores: Column, strong: Column, weak: Column, seed: int = 0) -> Ranking:
    """Rows by their score, highest first, ties by a draw; `strong` and `weak` are of the whole file."""
    order = rows[np.lexsort((np.random.default_rng(seed).random(len(rows)), -scores))]
    return Ranking(order, strong[order], weak[order])


def auc(scores: Column, positive: NDArray[np.bool_]) -> float:
    """The chance that a positive row has a higher score than another one; equals count half."""
    values, places = np.unique(scores, return_inverse=True)
    counts = np.bincount(places, minlength=len(values))
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    hits = int(positive.sum())
    misses = len(scores) - hits
    if not hits or not misses:
        return float("nan")
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def _least(share: Column, level: Column, wanted: float) -> float:
    return float(share[np.argmax(level >= wanted - _CLOSE)])
