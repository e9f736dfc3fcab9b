"""An acceptor of cheap answers, learned from all rows of a file, and how good such acceptors are out of fold.

What it learns is whether the cheap answer is as good as the strong model's: what both get wrong is no reason to pay for
a second call. As in a gateway, it is asked of the answers that the free checks let pass; the figures are of those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.core.errors import ClientMistake
from afterbay.evals.cascade import Row, folds_of
from afterbay.evals.ranking import Column, auc
from afterbay.policy.checks.judge import features_of, judge
from afterbay.policy.checks.verdict import Asked, Given
from afterbay.policy.learned.acceptor import LearnedAcceptor, fit_acceptor

FEWEST_ROWS: Final = 20
"""With fewer questions there is nothing to learn from."""
LEASTS: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Values of `accept` that are told of; at 0 the checks decide alone."""
_FOLDS: Final = 5


class Accepted(msgspec.Struct, frozen=True):
    """What a route would do with `accept` so. `accepted`: share of all cheap answers that are given; `as_good`: share
    of these that are as good as the strong model's (None: none is given); `kept`: the mean quality of all answers, as a
    share of the strong model's (None: that one's is 0)."""

    accept: float
    accepted: float
    as_good: float | None
    kept: float | None


class AcceptorFit(msgspec.Struct, frozen=True):
    """How well an acceptor did on `rows` held back, of which `passed` passed the checks and `as_good` of these (a
    share) were as good. `auc`: the chance that such an answer was thought better of than another one (None: all are
    alike); `error`: the mean squared error, `error_of_mean`: that of always saying the mean."""

    rows: int
    passed: int
    as_good: float
    auc: float | None
    error: float
    error_of_mean: float
    leasts: tuple[Accepted, ...]


def trained_acceptor(
    rows: Sequence[Row], seed: int, progress: Callable[[int, int], None]
) -> tuple[LearnedAcceptor, AcceptorFit]:
    """The acceptor of all rows, and how its like did in five folds: none has seen a question that it is asked about.

    Raises:
        ClientMistake: there are too few questions, or no answer passes the checks.
    """
    prompts = [str(row["prompt"]) for row in rows]
    if len(set(prompts)) < FEWEST_ROWS:
        raise ClientMistake(
            f"There is too little to learn from: {len(set(prompts))} different prompts.",
            remedy=f"It takes {FEWEST_ROWS}, and some hundreds to be worth using.",
        )
    weak, strong = (np.array([float(row[name]) for row in rows]) for name in ("weak_correct", "strong_correct"))
    answers = [str(row["weak_response"] or "") for row in rows]
    passed = np.array([judge(Asked(one), Given(said)).accept for one, said in zip(prompts, answers, strict=True)])
    if not passed.any():
        raise ClientMistake(
            "No answer of the file passes the checks, so there is nothing to accept.", remedy="Is weak_response set?"
        )
    features = [features_of(one, said) for one, said in zip(prompts, answers, strict=True)]
    as_good = 1.0 - np.clip(strong - weak, 0.0, 1.0)
    fold, said = folds_of(prompts, _FOLDS, seed), np.zeros(len(rows))
    for one in range(_FOLDS):
        taught, asked = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
        part = fit_acceptor([features[at] for at in taught], as_good[taught, None], seed=seed)
        said[asked] = part.predict([features[at] for at in asked])[:, 0]
        progress(one + 1, _FOLDS + 1)
    whole = fit_acceptor(features, as_good[:, None], seed=seed)
    progress(_FOLDS + 1, _FOLDS + 1)
    return whole, _fit(said, weak, strong, as_good, passed)


def _fit(said: Column, weak: Column, strong: Column, as_good: Column, passed: NDArray[np.bool_]) -> AcceptorFit:
    guess, truth = said[passed], as_good[passed]
    good = truth >= 0.5
    return AcceptorFit(
        rows=len(said),
        passed=len(truth),
        as_good=float(truth.mean()),
        auc=None if good.all() or not good.any() else auc(guess, good),
        error=float(((guess - truth) ** 2).mean()),
        error_of_mean=float(truth.var()),
        leasts=tuple(_at(least, passed & (said >= least), weak, strong, as_good) for least in LEASTS),
    )


def _at(least: float, given: NDArray[np.bool_], weak: Column, strong: Column, as_good: Column) -> Accepted:
    best = float(strong.mean())
    return Accepted(
        least,
        float(given.mean()),
        float(as_good[given].mean()) if given.any() else None,
        float(np.where(given, weak, strong).mean()) / best if best else None,
    )
