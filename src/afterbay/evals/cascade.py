"""What the cascade's checks and a learned acceptor are worth on rows with a cheap model's answers.

Protocol: k folds by question; the acceptor that scores a row has seen neither it nor another row of its question. The
rows are RouteLLM's: `prompt`, `weak_response`, `weak_correct`, `strong_correct`. Every row pays its cheap call.

The score of a row is what the strong model is expected to gain: P(strong right) - P(weak right), the first at 0.7 of
its weight, since how good a strong model is can be told from a question only poorly (shrinkage; from 0.3 to 1 the
figures of GSM8K differ by less than their standard error).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from afterbay.evals.curve import Column, apgr, auc, cpt, saved_at
from afterbay.policy.checks.judge import features_of, judge
from afterbay.policy.checks.verdict import Asked, Given
from afterbay.policy.learned.acceptor import fit_acceptor

Row: TypeAlias = Mapping[str, Any]

TRUST = 0.7
"""The weight of what is said about the strong model."""

DRAWS = 200
"""Bootstrap draws for a standard error."""

KEEPS = (0.95, 0.98)


def expected_gains(rows: Sequence[Row], *, train: Sequence[Row] | None = None, folds: int = 5, seed: int = 0) -> Column:
    """The expected gain of each row by an acceptor that has not seen it.

    `train`: learned from these rows; None: from the other folds.

    Raises:
        KeyError: a row lacks a column.
        ValueError: there are fewer questions than folds.
    """
    features = [_features(row) for row in rows]
    if train is not None:
        learned = [_features(row) for row in train]
        return _gain(fit_acceptor(learned, _targets(train), seed=seed).predict(features))
    gains = np.zeros(len(rows))
    targets, fold = _targets(rows), folds_of([str(row["prompt"]) for row in rows], folds, seed)
    for one in range(folds):
        inside = np.flatnonzero(fold == one)
        outside = np.flatnonzero(fold != one)
        acceptor = fit_acceptor([features[at] for at in outside], targets[outside], seed=seed)
        gains[inside] = _gain(acceptor.predict([features[at] for at in inside]))
    return gains


def folds_of(prompts: Sequence[str], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each row; the same question is always in the same one.

    Raises:
        ValueError: there are fewer questions than folds.
    """
    places: dict[str, int] = {}
    numbers = np.array([places.setdefault(prompt, len(places)) for prompt in prompts])
    if folds < 2 or len(places) < folds:
        raise ValueError(f"{len(places)} questions cannot be split into {folds} folds")
    fold = np.random.default_rng(seed).permutation(len(places)) % folds
    return np.asarray(fold[numbers], np.int64)


def report(
    rows: Sequence[Row], gains: Column, *, strong_cost: float = 100.0, weak_cost: float = 1.0, seed: int = 0
) -> dict[str, Any]:
    """The figures of one set of scores, with standard errors (bootstrap over rows) and baselines beside."""
    weak, strong = _targets(rows).T
    costs = {"strong_cost": strong_cost, "weak_cost": weak_cost, "is_cascade": True}

    def figures(scores: Column, chosen: NDArray[np.int64]) -> dict[str, float]:
        picked = scores[chosen], weak[chosen], strong[chosen]
        return {
            "apgr": apgr(*picked),
            "cpt50": cpt(*picked, 0.5),
            "cpt80": cpt(*picked, 0.8),
            **{f"saved_at_{round(keep * 100)}": saved_at(*picked, keep, **costs) for keep in KEEPS},  # type: ignore[arg-type]
        }

    everything = np.arange(len(rows))
    draw = np.random.default_rng(seed)
    drawn = [figures(gains, draw.integers(0, len(rows), len(rows))) for _ in range(DRAWS)]
    chance = [figures(draw.random(len(rows)), everything) for _ in range(20)]
    lengths = np.array([float(len(str(row["prompt"]))) for row in rows])
    return {
        **figures(gains, everything),
        "standard_errors": {name: float(np.nanstd([one[name] for one in drawn])) for name in drawn[0]},
        "auc_weak_wrong": auc(gains, weak < 0.5),
        "baselines": {
            "random": {name: float(np.mean([one[name] for one in chance])) for name in chance[0]},
            "length": figures(lengths, everything),
            "checks_alone": checks_alone(rows, strong_cost=strong_cost, weak_cost=weak_cost),
        },
        "weak_quality": float(weak.mean()),
        "strong_quality": float(strong.mean()),
        "n": len(rows),
    }


def checks_alone(rows: Sequence[Row], *, strong_cost: float = 100.0, weak_cost: float = 1.0) -> dict[str, float]:
    """One point, not a curve: what the free checks do without anything learned."""
    weak, strong = _targets(rows).T
    accepted = np.array(
        [judge(Asked(str(row["prompt"])), Given(str(row["weak_response"] or ""))).accept for row in rows]
    )
    quality = float(np.where(accepted, weak, strong).mean())
    return {
        "accepted": float(accepted.mean()),
        "right_if_accepted": float(weak[accepted].mean()) if accepted.any() else float("nan"),
        "right_if_rejected": float(weak[~accepted].mean()) if not accepted.all() else float("nan"),
        "quality": quality,
        "kept": quality / float(strong.mean()) if strong.any() else float("nan"),
        "saved": 1.0 - (float((~accepted).mean()) + weak_cost / strong_cost),
    }


def _features(row: Row) -> dict[str, float]:
    return features_of(str(row["prompt"]), str(row["weak_response"] or ""))


def _targets(rows: Sequence[Row]) -> Column:
    """The weak and the strong model's quality, one line a row."""
    return np.array([[float(row["weak_correct"]), float(row["strong_correct"])] for row in rows])


def _gain(predicted: Column) -> Column:
    return TRUST * predicted[:, 1] - predicted[:, 0]
