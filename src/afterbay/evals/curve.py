"""What a router between a cheap and a strong model is worth, by the scores that it gives: the measures of RouteLLM.

The rows are sorted by their score, highest first, and the strong model is asked for the first k of them, for every k.
That gives quality as a function of the share of strong calls. Source: RouteLLM, arXiv 2406.18665, section 3.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Column: TypeAlias = NDArray[np.float64]

CLOSE = 1e-12
"""What rounding makes of equal sums."""


class Curve(msgspec.Struct, frozen=True):
    """Quality at each number of strong calls, from none to all; `share` is that number over all rows."""

    share: Column
    quality: Column


def curve(scores: Column, weak: Column, strong: Column, *, seed: int = 0) -> Curve:
    """The curve of scores where higher means that the strong model is needed more; ties are broken by a draw."""
    ties = np.random.default_rng(seed).random(len(scores))
    order = np.lexsort((ties, -scores))
    gained = np.concatenate([[0.0], np.cumsum((strong - weak)[order])]) / len(scores)
    return Curve(np.arange(len(scores) + 1) / len(scores), weak.mean() + gained)


def apgr(scores: Column, weak: Column, strong: Column) -> float:
    """Average performance gap recovered: the area under the curve, 0 the weak model's and 1 the strong one's level.

    0.5 is what chance gets. Not a number if both models are equally good.
    """
    line = curve(scores, weak, strong)
    low, high = line.quality[0], line.quality[-1]
    return float((np.trapezoid(line.quality, line.share) - low) / (high - low)) if high != low else float("nan")


def cpt(scores: Column, weak: Column, strong: Column, recovered: float) -> float:
    """Call performance threshold: the least share of strong calls that recovers so much of the gap."""
    line = curve(scores, weak, strong)
    low, high = line.quality[0], line.quality[-1]
    return _least_share(line, low + recovered * (high - low))


def saved_at(
    scores: Column,
    weak: Column,
    strong: Column,
    keep: float,
    *,
    strong_cost: float = 100.0,
    weak_cost: float = 1.0,
    is_cascade: bool = False,
) -> float:
    """The share of cost saved against asking the strong model always, at `keep` of its quality.

    `is_cascade`: the cheap model is asked for every row, and paid for where its answer is thrown away, too.
    """
    line = curve(scores, weak, strong)
    share = _least_share(line, keep * line.quality[-1])
    ratio = weak_cost / strong_cost
    return 1.0 - (share + (ratio if is_cascade else ratio * (1.0 - share)))


def _least_share(line: Curve, wanted: float) -> float:
    enough = np.flatnonzero(line.quality >= wanted - CLOSE)
    return float(line.share[enough[0]]) if len(enough) else 1.0


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
