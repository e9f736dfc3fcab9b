"""The certificate: how far requests may go to the cheap model, with a promise about quality that can be relied on.

The promise: "requests whose score is at most `threshold` go to the cheap model; then the mean quality of all answers is
at least `keep` times what the strong model alone would reach. With probability `confidence` or more this holds."

How: for each threshold a hypothesis says that the promise would be broken, i.e. that the mean of
x = quality of the routed answer - keep * quality of the strong answer is at most zero. `policy.betting` bets against
all of them, pair by pair. Thresholds are tried from the lowest up, and the first one that is not refuted ends the walk.
The promise is broken only if the lowest threshold that really breaks it was refuted, and a single hypothesis is refuted
wrongly with probability at most 1 - confidence: no correction for the number of thresholds is due (fixed sequence
testing: Angelopoulos, Bates, Candès, Jordan, Lei, "Learn then Test", 2021), and none for looking after every pair,
because money in a fair game may be counted at any time (Ville).

What it needs: pairs that are drawn alike (with known weights if not), thresholds that were fixed before the pairs were
seen, and a scorer that did not learn from any of them. What it does not need: any form of distribution, a large n, a
good scorer; a bad one certifies less.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from afterbay.policy.betting import BLOCK, STAKE, Bets, Floats

if TYPE_CHECKING:
    from collections.abc import Sequence

NEVER: Final = -math.inf
"""The threshold of a certificate that sends nothing to the cheap model."""
HORIZONS: Final = (100.0, 300.0, 900.0, 2700.0, 8100.0)
"""For which numbers of labels the money of a stream is split: it wants to know soon, and also in the long run."""
CALM: Final = 2.25
"""A batch of n pairs is bet on as if there were so many times n. Bets for n itself certify a twentieth more savings, by
thresholds that keep the promise by less: looked at on as many fresh pairs, which have noise of their own, one in eight
seems broken instead of one in fifteen (docs/benchmarks.md)."""
STEPS: Final = 64
"""Thresholds of a stream."""
_FLOORS: Final = 64
"""Steps between `keep` and 1 in which the floor of a batch is looked for."""
_ENOUGH_VARIANCE: Final = 1e-9


class Costs(msgspec.Struct, frozen=True):
    """What a request costs on either side, in any unit. `weak_always`: the cheap model answers first in any case (a
    cascade), so its price is paid for escalated requests too."""

    strong: float = 100.0
    weak: float = 1.0
    weak_always: bool = False

    def saved(self, routed: float) -> float:
        """The share of the strong model's cost that is saved where the share `routed` is served by the cheap one."""
        price = self.weak / self.strong
        return routed - price if self.weak_always and routed else routed * (1.0 - price)


class Certificate(msgspec.Struct, frozen=True):
    """What may go to the cheap model, and what was shown. `threshold` -inf: nothing.

    `floor`: the share of the strong model's quality that is kept at this threshold, at least, at `confidence` (1 where
    the strong model serves all). `saved`, `routed`: shares of cost and of requests, as the pairs have them: estimates.
    `labels`: pairs that were used. `needed`: about how many would be, where nothing is certified yet; None: nobody can
    say, or it is. `scorer`: whose scores the threshold is about; for any other scorer the certificate says nothing.
    """

    threshold: float
    floor: float
    saved: float
    labels: int
    keep: float
    confidence: float
    made_at: float
    reason: str
    routed: float = 0.0
    needed: int | None = None
    scorer: str = ""


class HeldOut(msgspec.Struct, frozen=True):
    """Pairs that the scorer did not learn from, in random order or that of their arrival. Arrays of one length.

    `gains`: the scores; higher: the strong model is needed more. `weak`, `strong`: quality of the two answers, 0 to 1.
    `weights`: one over the probability of having been sampled, up to a factor; ones where all were sampled alike.
    Made by `held_out`, which looks at what the scorer learned from.
    """

    gains: Floats
    weak: Floats
    strong: Floats
    weights: Floats

    def __len__(self) -> int:
        return len(self.gains)


def held_out(
    gains: ArrayLike,
    weak: ArrayLike,
    strong: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    ids: Sequence[object],
    learned_from: frozenset[object],
) -> HeldOut:
    """Pairs for a certificate. `ids`: what each is known by; `learned_from`: the ids of the scorer's examples.

    ValueError: the scorer learned from one of them, lengths differ, a quality is not between 0 and 1, or a score or
    weight is not a number.
    """
    common = sum(one in learned_from for one in ids)
    if common:
        raise ValueError(f"{common} of {len(ids)} pairs were used to train the scorer: they cannot certify it")
    first = np.asarray(gains, np.float64)
    found = HeldOut(
        first,
        np.asarray(weak, np.float64),
        np.asarray(strong, np.float64),
        np.ones(len(first)) if weights is None else np.asarray(weights, np.float64),
    )
    if len({len(found.gains), len(found.weak), len(found.strong), len(found.weights), len(ids)}) != 1:
        raise ValueError("scores, qualities, weights and ids must be of one length")
    _check(found, math.inf)
    return found


class Terms(msgspec.Struct, frozen=True):
    """What a stream of pairs is judged by; fixed before its first pair.

    `thresholds`: ascending; from scores that are not those of the pairs (`thresholds_of`). `keeps`: ascending shares of
    quality, of which a certificate may be asked; those above the one that is wanted serve to say its floor.
    `confidence`: what the bets are made for; others may be asked for. `most_weight`: no pair weighs more.
    """

    thresholds: tuple[float, ...]
    keeps: tuple[float, ...]
    scorer: str = ""
    confidence: float = 0.9
    horizons: tuple[float, ...] = HORIZONS
    most_weight: float = 1.0


def keeps_of(keep: float) -> tuple[float, ...]:
    """The wanted share and a few above it, by which a stream states its floor. Above 1 there is none."""
    above = (round(keep + (1.0 - keep) * part, 6) for part in (0.1, 0.2, 0.4, 0.6))
    return (keep, *sorted({one for one in above if keep < one < 1.0}))


def thresholds_of(scores: ArrayLike, steps: int = STEPS) -> tuple[float, ...]:
    """Thresholds for a stream: the quantiles of scores of requests that are not among its pairs (the scorer's examples,
    each scored without itself, or earlier traffic). ValueError: there are none."""
    known = np.asarray(scores, np.float64)
    if not len(known) or not np.isfinite(known).all():
        raise ValueError("thresholds need scores, all of them finite")
    cuts = np.quantile(known, np.linspace(0.0, 1.0, steps + 1)[1:], method="higher")
    return tuple(float(cut) for cut in np.unique(cuts))


class Stream:
    """Pairs as they come, and what they certify after each. State and work are those of the thresholds, not the pairs.

    A certificate may be asked for after any pair, and the best one kept: with probability `confidence` none of all that
    are ever given breaks its promise, as long as the traffic stays what it is (`policy.drift` watches that). All pairs
    must have been scored by `terms.scorer`, frozen before the first of them was labelled: a new scorer is a new
    stream, with a promise, and a probability to break it, of its own.
    """

    __slots__ = ("_bets", "_keeps", "_routed", "_thresholds", "_weight", "terms")

    def __init__(self, terms: Terms) -> None:
        """ValueError: the terms make no sense."""
        _check_terms(terms)
        self.terms = terms
        self._thresholds = np.asarray(terms.thresholds, np.float64)
        self._keeps = np.asarray(terms.keeps, np.float64)
        least = np.tile(self._keeps, len(self._thresholds))
        self._bets = Bets(least * terms.most_weight, terms.horizons, 1.0 - terms.confidence)
        self._routed = np.zeros(len(self._thresholds))
        self._weight = 0.0

    def __len__(self) -> int:
        return self._bets.count

    def add(self, g: float, weak: float, strong: float, weight: float = 1.0) -> None:
        """One more pair: its score, the quality of both answers (0 to 1), and one over its probability to be sampled.

        ValueError: a quality is out of range, the score is no number, the weight exceeds `terms.most_weight`.
        """
        self.extend(HeldOut(np.array([g]), np.array([weak]), np.array([strong]), np.array([weight])))

    def extend(self, pairs: HeldOut) -> None:
        """More pairs, in their order. ValueError as `add`; then none of them counts."""
        _check(pairs, self.terms.most_weight)
        for start in range(0, len(pairs), BLOCK):
            some = slice(start, start + BLOCK)
            self._extend(pairs.gains[some], pairs.weak[some], pairs.strong[some], pairs.weights[some])

    def _extend(self, gains: Floats, weak: Floats, strong: Floats, weights: Floats) -> None:
        is_cheap = gains[:, None] <= self._thresholds
        answered = np.where(is_cheap, weak[:, None], strong[:, None])
        x = answered[:, :, None] - self._keeps * strong[:, None, None]
        self._bets.play((x * weights[:, None, None]).reshape(len(gains), -1))
        self._routed += weights @ is_cheap
        self._weight += float(weights.sum())

    def certificate(self, keep: float, confidence: float, costs: Costs, at: float) -> Certificate:
        """What may be promised now. `at`: the time, for `made_at`.

        ValueError: `keep` is above all of `terms.keeps`; one between two of them is answered by the higher.
        """
        column = bisect_left(self.terms.keeps, keep - 1e-12)
        if column == len(self.terms.keeps):
            raise ValueError(f"this stream was made for keep up to {self.terms.keeps[-1]:g}, not {keep:g}")
        refuted = self._bets.best.reshape(len(self._thresholds), -1) >= -math.log1p(-confidence)
        passed = _leading(refuted[:, column])
        if not passed or not self._routed[passed - 1]:  # nothing, or only what nobody asks for
            needed = self._needed(passed, column, confidence)
            reason = _why_nothing(len(self), needed, keep, confidence)
            return Certificate(
                NEVER, 1.0, 0.0, len(self), keep, confidence, at, reason, needed=needed, scorer=self.terms.scorer
            )
        threshold, routed = float(self._thresholds[passed - 1]), float(self._routed[passed - 1] / self._weight)
        above = _leading(refuted[passed - 1, column:])
        return Certificate(
            threshold,
            float(self._keeps[column + above - 1]),
            costs.saved(routed),
            len(self),
            keep,
            confidence,
            at,
            f"{_labels(len(self))}: scores up to {threshold:.4g} may go to the cheap model ({routed:.0%} of the "
            f"requests), which keeps {keep:.4g} of the strong model's quality or more with confidence {confidence:g}",
            routed,
            scorer=self.terms.scorer,
        )

    def _needed(self, failed: int, column: int, confidence: float) -> int | None:
        """About how many labels the threshold that failed takes if the next are like these; None: none would do."""
        if failed == len(self._thresholds):
            return None
        place = failed * len(self._keeps) + column
        mean, variance = float(self._bets.means[place]), float(self._bets.variances[place])
        if mean <= 0.0:
            return None
        power = variance + mean * mean
        bet = min(mean / max(power, _ENOUGH_VARIANCE), STAKE / float(self._keeps[column] * self.terms.most_weight))
        won = bet * mean - bet * bet * power / 2.0
        split = math.log(len(self.terms.horizons))
        return max(len(self) + 1, math.ceil((split - math.log1p(-confidence)) / won))


def certify(
    pairs: HeldOut,
    keep: float,
    confidence: float,
    costs: Costs,
    *,
    thresholds: Sequence[float] | None = None,
    most_weight: float = 1.0,
    scorer: str = "",
    at: float = 0.0,
) -> Certificate:
    """The certificate of pairs that are all there. The same as a stream's, with all money on one horizon.

    `thresholds`: those to try, fixed without the pairs. None: every score that occurs. That is allowed although they
    come from the pairs: trying all of them is trying every number there is, since nothing changes between two scores.
    ValueError as `Stream`.
    """
    found = Certificate(NEVER, 1.0, 0.0, len(pairs), keep, confidence, at, _why_nothing(0, None, keep, confidence))
    tried = np.unique(pairs.gains if thresholds is None else np.asarray(thresholds, np.float64))
    terms = Terms((0.0,), (keep,), scorer, confidence, (CALM * max(len(pairs), 1),), most_weight)
    for start in range(0, len(tried) if len(pairs) else 0, STEPS):
        some = tuple(float(one) for one in tried[start : start + STEPS])
        stream = Stream(msgspec.structs.replace(terms, thresholds=some))
        stream.extend(pairs)
        next_found = stream.certificate(keep, confidence, costs, at)
        if next_found.threshold > found.threshold or not start:
            found = next_found
        if found.threshold != some[-1]:
            break
    if found.threshold == NEVER:
        return found
    floors = tuple(float(one) for one in np.linspace(keep, 1.0, _FLOORS + 1)[:-1])
    fine = Stream(msgspec.structs.replace(terms, thresholds=(found.threshold,), keeps=floors))
    fine.extend(pairs)
    return msgspec.structs.replace(found, floor=fine.certificate(keep, confidence, costs, at).floor)


def _leading(flags: NDArray[np.bool_]) -> int:
    """How many are true before the first that is not."""
    return int(np.argmin(flags)) if not flags.all() else len(flags)


def _labels(count: int) -> str:
    return f"{count} label" if count == 1 else f"{count} labels"


def _why_nothing(labels: int, needed: int | None, keep: float, confidence: float) -> str:
    promise = f"keep {keep:.4g} at confidence {confidence:g}"
    if not labels:
        return f"no labels yet, so nothing can be promised ({promise}): the strong model serves all"
    if needed is None:
        return (
            f"{_labels(labels)}: even where the scores are lowest the cheap model falls behind more than the promise "
            f"allows ({promise}), so the strong model serves all"
        )
    return f"{_labels(labels)}, about {needed} needed before anything may go to the cheap model ({promise})"


def _check(pairs: HeldOut, most_weight: float) -> None:
    for name, values in (("weak", pairs.weak), ("strong", pairs.strong)):
        if not ((values >= 0.0) & (values <= 1.0)).all():
            raise ValueError(f"a quality ({name}) is not between 0 and 1")
    if not np.isfinite(pairs.gains).all():
        raise ValueError("a score is not a number")
    if not (np.isfinite(pairs.weights) & (pairs.weights > 0.0) & (pairs.weights <= most_weight * (1 + 1e-12))).all():
        raise ValueError(f"a weight is not between 0 and {most_weight:g}, the most that was agreed on")


def _check_terms(terms: Terms) -> None:
    thresholds, keeps = np.asarray(terms.thresholds), np.asarray(terms.keeps)
    if not len(thresholds) or not np.isfinite(thresholds).all() or not (np.diff(thresholds) > 0.0).all():
        raise ValueError("thresholds must be finite and ascending, and there must be one")
    if not len(keeps) or keeps[0] <= 0.0 or keeps[-1] > 1.0 or not (np.diff(keeps) > 0.0).all():
        raise ValueError("`keep` must be above 0 and at most 1, and several must ascend")
    if not 0.0 < terms.confidence < 1.0:
        raise ValueError("`confidence` must be between 0 and 1")
    if not terms.horizons or min(terms.horizons) <= 0.0 or not 0.0 < terms.most_weight < math.inf:
        raise ValueError("horizons and the most that a pair weighs must be above 0")
