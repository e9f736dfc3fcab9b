"""Is the certificate's promise kept, and what does it cost? Resampled on rows whose outcomes are all known.

Each resample splits the rows at random: one part trains the scorer, one certifies, one is looked at. The promise counts
as broken if the mean quality on the last part is below `keep` times the strong model's there. That part is a sample
too: where the promise is kept by a hair, its noise shows about every second certificate as broken. So `violations` are
more than the certificate's error; `violations_population`, on all rows that the scorer did not see, are fewer, since
these rows include the ones that certified. What is promised (at most 1 - confidence) lies between the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.evals.cuts import cuts
from afterbay.evals.pairs import Pairs
from afterbay.policy.certify import (
    NEVER,
    Certificate,
    Costs,
    HeldOut,
    Stream,
    Terms,
    certify,
    held_out,
    keeps_of,
    thresholds_of,
)

Rows: TypeAlias = NDArray[np.int64]
Learner: TypeAlias = Callable[[Rows], NDArray[np.float64]]
"""Trains a scorer on these rows, and gives the scores of all rows."""

RULES: Final = ("certificate", "stream", "tuned", "normal", "clopper_pearson", "bernstein")


class Protocol(msgspec.Struct, frozen=True):
    """What is asked. `labels`: pairs that certify, at most; None: half of what does not train. `trained_on`: so many
    first rows train in every resample; None: a third of all, drawn anew."""

    keep: float = 0.95
    confidence: float = 0.9
    costs: Costs = Costs()
    resamples: int = 200
    labels: int | None = None
    trained_on: int | None = None
    seed: int = 0


class Share(msgspec.Struct, frozen=True):
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float


class Figures(msgspec.Struct, frozen=True):
    """How one rule did over all resamples. `saved` is on the part that is looked at, with its standard deviation over
    resamples; `kept_of_tuned`: of what `tuned` saved; `nothing`: the share of resamples in which nothing was routed."""

    violations: Share
    violations_population: Share
    saved: float
    saved_deviation: float
    kept_of_tuned: float
    quality: float
    nothing: float


class Outcome(msgspec.Struct, frozen=True):
    """All rules over all resamples. `train`, `labels`, `looked_at`: rows of the parts."""

    rules: Mapping[str, Figures]
    resamples: int
    train: int
    labels: int
    looked_at: int


class _Split(msgspec.Struct, frozen=True):
    train: Rows
    certify: Rows
    look: Rows


def resampled(
    pairs: Pairs, learner: Learner, protocol: Protocol, said: Callable[[int, int], None] = lambda done, total: None
) -> Outcome:
    """The protocol. `said` hears how many resamples are done, of how many."""
    trials: dict[str, list[tuple[bool, bool, float, float]]] = {rule: [] for rule in RULES}
    split = _split(len(pairs), protocol, 0)
    for number in range(protocol.resamples):
        split = _split(len(pairs), protocol, number)
        scores = np.asarray(learner(split.train), np.float64)
        for rule, threshold in _thresholds(pairs, scores, split, protocol).items():
            trials[rule].append(_trial(pairs, scores, split, threshold, protocol))
        said(number + 1, protocol.resamples)
    saved = float(np.mean([trial[2] for trial in trials["tuned"]]))
    rules = {rule: _figures(found, saved) for rule, found in trials.items()}
    return Outcome(rules, protocol.resamples, len(split.train), len(split.certify), len(split.look))


def certified(pairs: Pairs, learner: Learner, protocol: Protocol) -> Certificate:
    """The certificate of these rows: a third (or the first `trained_on`) trains, all others certify."""
    split = _split(len(pairs), protocol, 0)
    rows = split.certify if protocol.labels is not None else np.concatenate((split.certify, split.look))
    scores = np.asarray(learner(split.train), np.float64)
    held = _held(pairs, scores, rows, split.train)
    return certify(held, protocol.keep, protocol.confidence, protocol.costs)


def _split(count: int, protocol: Protocol, number: int) -> _Split:
    draw = np.random.default_rng([protocol.seed, number])
    if protocol.trained_on is None:
        order = draw.permutation(count)
        first = count // 3
    else:
        first = protocol.trained_on
        order = np.concatenate((np.arange(first), first + draw.permutation(count - first)))
    rest = order[first:]
    labels = len(rest) // 2 if protocol.labels is None else min(protocol.labels, len(rest) - 1)
    return _Split(order[:first], rest[:labels], rest[labels:])


def _held(pairs: Pairs, scores: NDArray[np.float64], rows: Rows, train: Rows) -> HeldOut:
    learned: frozenset[object] = frozenset(train.tolist())
    return held_out(scores[rows], pairs.weak[rows], pairs.strong[rows], ids=rows.tolist(), learned_from=learned)


def _thresholds(pairs: Pairs, scores: NDArray[np.float64], split: _Split, protocol: Protocol) -> Mapping[str, float]:
    held = _held(pairs, scores, split.certify, split.train)
    keep, confidence, costs = protocol.keep, protocol.confidence, protocol.costs
    terms = Terms(thresholds_of(scores[split.look]), keeps_of(keep)[:1], confidence=confidence)
    stream = Stream(terms)
    stream.extend(held)
    return {
        "certificate": certify(held, keep, confidence, costs).threshold,
        "stream": stream.certificate(keep, confidence, costs, 0.0).threshold,
        **cuts(held, keep, confidence),
    }


def _trial(
    pairs: Pairs, scores: NDArray[np.float64], split: _Split, threshold: float, protocol: Protocol
) -> tuple[bool, bool, float, float]:
    """Whether the promise was broken on the part that is looked at, and on all that did not train; what was saved on
    the former, and the share of quality that was kept there."""
    looked_at = _kept(pairs, scores, split.look, threshold)
    outside = _kept(pairs, scores, np.concatenate((split.certify, split.look)), threshold)
    routed = float(np.mean(scores[split.look] <= threshold)) if threshold != NEVER else 0.0
    return looked_at < protocol.keep, outside < protocol.keep, protocol.costs.saved(routed), looked_at


def _kept(pairs: Pairs, scores: NDArray[np.float64], rows: Rows, threshold: float) -> float:
    strong = pairs.strong[rows]
    answered = np.where(scores[rows] <= threshold, pairs.weak[rows], strong)
    return float(answered.sum() / strong.sum()) if strong.sum() else 1.0


def _figures(trials: Sequence[tuple[bool, bool, float, float]], tuned: float) -> Figures:
    broken, outside, saved, kept = (np.array(column, np.float64) for column in zip(*trials, strict=True))
    return Figures(
        share(int(broken.sum()), len(trials)),
        share(int(outside.sum()), len(trials)),
        float(saved.mean()),
        float(saved.std()),
        float(saved.mean()) / tuned if tuned > 0.0 else math.nan,
        float(kept.mean()),
        float(np.mean(saved <= 0.0)),
    )


def share(hits: int, count: int) -> Share:
    """A share of independent trials with Wilson's 95 % interval."""
    z = NormalDist().inv_cdf(0.975)
    value, wide = hits / count, z * z / count
    middle = (value + wide / 2) / (1 + wide)
    half = math.sqrt(value * (1 - value) * wide + wide * wide / 4) / (1 + wide)
    return Share(value, max(0.0, middle - half), min(1.0, middle + half))
