"""Other ways to set a threshold from the same pairs, to be shown beside the certificate. None of them is used.

`tuned` is what everybody does. `normal` is a textbook bound, right for endless data. `clopper_pearson` counts the pairs
where only the strong model was right and bounds their share exactly, but takes the strong model's quality as known and
the weak one's wins as nothing (Uddin and Bauer, ACL Student Research Workshop 2026). `bernstein` (Maurer and Pontil,
"Empirical Bernstein bounds and sample variance penalization", COLT 2009) is valid and wide. All but `tuned` walk the
thresholds as the certificate does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.policy.certify import NEVER, HeldOut

Floats: TypeAlias = NDArray[np.float64]


class _Walk(msgspec.Struct, frozen=True):
    """For each score that occurs, ascending, with all up to it routed: mean and deviation of routed - keep * strong,
    and how many pairs are lost (the weak answer worse)."""

    scores: Floats
    mean: Floats
    deviation: Floats
    lost: NDArray[np.int64]


def cuts(pairs: HeldOut, keep: float, confidence: float) -> Mapping[str, float]:
    """The thresholds that each of them would choose."""
    walk, count, error = _walk(pairs, keep), len(pairs), 1.0 - confidence
    wide = math.log(2.0 / error)
    deep = walk.deviation * math.sqrt(2.0 * wide / count) + 7.0 * (1.0 + keep) * wide / (3.0 * max(count - 1, 1))
    normal = NormalDist().inv_cdf(confidence) * walk.deviation / math.sqrt(count)
    spare = (1.0 - keep) * float(pairs.strong.mean())
    good = np.flatnonzero(walk.mean >= 0.0)
    return {
        "tuned": float(walk.scores[good[-1]]) if len(good) else NEVER,
        "normal": _first_failure(walk.scores, walk.mean >= normal),
        "clopper_pearson": _first_failure(walk.scores, _binomial(count, spare)[walk.lost] <= error),
        "bernstein": _first_failure(walk.scores, walk.mean >= deep),
    }


def _walk(pairs: HeldOut, keep: float) -> _Walk:
    order = np.argsort(pairs.gains, kind="stable")
    weak, strong = pairs.weak[order], pairs.strong[order]
    cheap, dear = weak - keep * strong, (1.0 - keep) * strong
    scores, starts = np.unique(pairs.gains[order], return_index=True)
    last = np.append(starts[1:], len(order)) - 1
    count = len(order)
    mean = (dear.sum() + np.cumsum(cheap - dear)[last]) / count
    square = ((dear**2).sum() + np.cumsum(cheap**2 - dear**2)[last]) / count
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0) * count / max(count - 1, 1))
    return _Walk(scores, mean, deviation, np.cumsum(weak < strong)[last])


def _first_failure(scores: Floats, passed: NDArray[np.bool_]) -> float:
    """The last threshold before the first that failed."""
    count = len(passed) if passed.all() else int(np.argmin(passed))
    return float(scores[count - 1]) if count else NEVER


def _binomial(count: int, share: float) -> Floats:
    """The probabilities of at most 0, 1 … `count` hits."""
    if share <= 0.0 or share >= 1.0:
        return np.full(count + 1, 1.0 if share <= 0.0 else 0.0)
    log_factorials = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, count + 1)))))
    hits = np.arange(count + 1)
    logs = log_factorials[-1] - log_factorials - log_factorials[::-1]
    found: Floats = np.cumsum(np.exp(logs + hits * math.log(share) + (count - hits) * math.log1p(-share)))
    return found
