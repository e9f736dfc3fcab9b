"""What the cascade's checks and a learned acceptor are worth on rows with a cheap model's answers.

Protocol: k folds by question; the acceptor that scores a row has seen neither it nor another row of its question. The
rows are RouteLLM's: `prompt`, `weak_response`, `weak_correct`, `strong_correct`. Every row pays its cheap call.

The score of a row is what the strong model is expected to gain: P(strong right) - P(weak right), the first at 0.7 of
its weight, since how good a strong model is can be told from a question only poorly (shrinkage; from 0.3 to 1 the
figures of GSM8K differ by less than their standard error).
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.core.errors import ClientMistake
from afterbay.evals.ranking import MEASURES, Column, Costs, Ranking, auc, ranked
from afterbay.policy.checks.judge import features_of, judge
from afterbay.policy.checks.verdict import Asked, Given
from afterbay.policy.learned.acceptor import fit_acceptor

Row: TypeAlias = Mapping[str, Any]

TRUST = 0.7
"""The weight of what is said about the strong model."""

DRAWS = 200
"""Bootstrap draws for a standard error."""


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSONL file.

    Raises:
        ClientMistake: it cannot be read, or a line lacks a column.
    """
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()
    except OSError as error:
        raise ClientMistake(f"{path} cannot be read: {error.strerror}.", remedy="Name a JSONL file.") from None
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(msgspec.to_builtins(msgspec.json.decode(line, type=_Row)))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ClientMistake(f"{path}, line {number}: {error}.", remedy=_FORM) from None
    if not rows:
        raise ClientMistake(f"{path} has no rows.", remedy=_FORM)
    return rows


class _Row(msgspec.Struct):
    prompt: str
    weak_correct: bool | float
    strong_correct: bool | float
    weak_response: str | None


_FORM = "Each line is an object with `prompt`, `weak_response`, `weak_correct` and `strong_correct`."


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


def evaluate(
    rows: Sequence[Row],
    *,
    train: Sequence[Row] | None = None,
    labels: int | None = None,
    folds: int = 5,
    costs: Costs = Costs(),  # noqa: B008  # immutable
    seed: int = 0,
) -> dict[str, Any]:
    """Learns and scores as the options say, and reports. `labels`: so many rows, drawn, are learned from, and the
    others are scored once; it excludes `train`.

    Raises:
        ValueError: there are too few rows.
    """
    if labels is not None:
        if not 0 < labels < len(rows):
            raise ValueError(f"{labels} of {len(rows)} rows cannot be learned from with some left to be scored")
        order = np.random.default_rng(seed).permutation(len(rows))
        train, rows = [rows[at] for at in order[:labels]], [rows[at] for at in order[labels:]]
    gains = expected_gains(rows, train=train, folds=folds, seed=seed)
    learned = len(train) if train is not None else len(rows) - len(rows) // folds
    return {**report(rows, gains, costs=costs, seed=seed), "trained_on": learned, "tested": len(rows)}


def report(
    rows: Sequence[Row],
    gains: Column,
    *,
    costs: Costs = Costs(),  # noqa: B008  # immutable
    seed: int = 0,
) -> dict[str, Any]:
    """The figures of one set of scores, with errors (bootstrap over rows) and baselines; every weak call is paid."""
    weak, strong = _targets(rows).T
    everything = np.arange(len(rows))
    draw = np.random.default_rng(seed)
    lengths = np.array([float(len(str(row["prompt"]))) for row in rows])
    paid = msgspec.structs.replace(costs, weak_always=True)
    ours, by_length = (ranked(everything, scores, strong, weak, seed) for scores in (gains, lengths))

    def figures(order: Ranking, counts: Column | None = None) -> dict[str, float]:
        return dict(zip(MEASURES, map(float, order.measured(paid, counts)), strict=True))

    drawn: list[dict[str, float]] = []
    margins: list[float] = []
    for _ in range(DRAWS):
        counts = np.bincount(draw.integers(0, len(rows), len(rows)), minlength=len(rows)).astype(float)
        drawn.append(figures(ours, counts))
        margins.append(drawn[-1]["apgr"] - by_length.apgr(counts))
    chance = [figures(ranked(everything, draw.random(len(rows)), strong, weak)) for _ in range(20)]
    found, length = figures(ours), figures(by_length)
    return {
        **found,
        "n": len(rows),
        "standard_errors": {name: float(np.nanstd([one[name] for one in drawn])) for name in found},
        "intervals": {name: _interval([one[name] for one in drawn]) for name in found},
        "baselines": {
            "random": {name: float(np.mean([one[name] for one in chance])) for name in found},
            "length": length,
        },
        "margins": {
            "length": {
                "apgr": found["apgr"] - length["apgr"],
                "standard_error": float(np.nanstd(margins)),
                "low": _interval(margins)[0],
                "high": _interval(margins)[1],
            }
        },
        "auc_weak_wrong": auc(gains, weak < 0.5),
        "checks_alone": checks_alone(rows, costs=costs),
        "weak_quality": float(weak.mean()),
        "strong_quality": float(strong.mean()),
    }


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Where 95 % of the draws lie."""
    low, high = np.nanquantile(values, (0.025, 0.975))
    return float(low), float(high)


def checks_alone(
    rows: Sequence[Row],
    *,
    costs: Costs = Costs(),  # noqa: B008  # immutable
) -> dict[str, float]:
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
        "saved": 1.0 - (float((~accepted).mean()) + costs.weak / costs.strong),
    }


def _features(row: Row) -> dict[str, float]:
    return features_of(str(row["prompt"]), str(row["weak_response"] or ""))


def _targets(rows: Sequence[Row]) -> Column:
    """The weak and the strong model's quality, one line a row."""
    return np.array([[float(row["weak_correct"]), float(row["strong_correct"])] for row in rows])


def _gain(predicted: Column) -> Column:
    return TRUST * predicted[:, 1] - predicted[:, 0]
