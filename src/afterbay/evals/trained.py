"""A predictor of several models' quality, trained on all rows of a file, and how good such predictors are out of
fold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.core.errors import ClientMistake
from afterbay.evals.outcomes import Outcomes
from afterbay.policy.learned.fit import folds
from afterbay.policy.learned.quality import FEWEST_LABELS, Quality, Settings, read_prompt, train

_FOLDS: Final = 5


class ModelFit(msgspec.Struct, frozen=True):
    """How well one model's outcomes were predicted on rows held back: `auc` is the chance that a good answer was
    predicted higher than a bad one (None where all are alike), `error` the mean squared error, `error_of_mean` that of
    always saying the model's average."""

    model: str
    labels: int
    mean: float
    auc: float | None
    error: float
    error_of_mean: float


def trained(rows: Outcomes, seed: int, progress: Callable[[int, int], None]) -> tuple[Quality, tuple[ModelFit, ...]]:
    """The predictor of all rows, and each model's fit by five folds.

    Raises:
        ClientMistake: there are too few rows or labels.
    """
    same = rows.numbers()
    kinds = int(same.max()) + 1
    few = [name for name, count in zip(rows.models, _labels(rows), strict=True) if count < FEWEST_LABELS]
    if kinds * (_FOLDS - 1) // _FOLDS < FEWEST_LABELS or few:
        raise ClientMistake(
            f"There is too little to learn from: {kinds} different prompt{'s' * (kinds != 1)}"
            + (f", and fewer than {FEWEST_LABELS} outcomes of {', '.join(few)[:200]}." if few else "."),
            remedy=f"It takes {FEWEST_LABELS} outcomes of each model, and some hundreds to be worth using.",
        )
    prompts = [read_prompt(prompt) for prompt in rows.prompts]
    said = np.full(rows.found.shape, np.nan)
    settings = Settings(seed=seed)
    for done, (kept, held) in enumerate(folds(kinds, _FOLDS, seed), 1):
        taught, asked = np.flatnonzero(np.isin(same, kept)), np.flatnonzero(np.isin(same, held))
        part = train([prompts[i] for i in taught], rows.found[taught], rows.models, settings)
        said[asked] = np.clip(np.stack([part.raw(prompts[i]) for i in asked]), 0, 1)
        progress(done, _FOLDS + 1)
    whole = train(prompts, rows.found, rows.models, settings)
    progress(_FOLDS + 1, _FOLDS + 1)
    fits = (_fit(name, rows.found[:, i], said[:, i]) for i, name in enumerate(rows.models))
    return whole, tuple(fits)


def _labels(rows: Outcomes) -> list[int]:
    return [int(count) for count in (~np.isnan(rows.found)).sum(axis=0)]


def _fit(name: str, found: NDArray[np.float64], said: NDArray[np.float64]) -> ModelFit:
    known = ~np.isnan(found)
    truth, guess = found[known], said[known]
    errors = float(((guess - truth) ** 2).mean()), float(truth.var())
    return ModelFit(name, len(truth), float(truth.mean()), _auc(guess, truth >= 0.5), *errors)


def _auc(said: NDArray[np.float64], good: NDArray[np.bool_]) -> float | None:
    if good.all() or not good.any():
        return None
    values, place = np.unique(said, return_inverse=True)
    counts = np.bincount(place, minlength=len(values))
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    hits = int(good.sum())
    return float((ranks[good].sum() - hits * (hits + 1) / 2) / (hits * (len(good) - hits)))
