"""Quick fits of the same texts many times over: in the coordinates of their Gram matrix.

Leaving out each source in turn is a dozen fits over 130,000 buckets. The texts span at most as many dimensions as
there are texts, so the Cholesky factor of their inner products stands for them: a fit on its rows has the same optimum,
and takes two products of dense matrices a step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from afterbay.policy.learned.fit import Matrix, Table, minimised

_COLUMNS = 2048
_STEPS = 80
_RARE = 48
"""A bucket that at most so many texts hold is added pair by pair; blocks of zeros would take longer."""


def gram(rows: Table) -> NDArray[np.float32]:
    """Inner products of all texts, their dense columns included."""
    count = rows.rows
    order = np.argsort(rows.columns, kind="stable")
    columns, values = rows.columns[order], rows.values[order]
    texts = np.repeat(np.arange(count), rows.starts[1:] - rows.starts[:-1])[order]
    starts = np.searchsorted(columns, np.arange(len(rows.buckets) + 1))
    sizes = starts[1:] - starts[:-1]
    found = _pairs(texts, values, starts[:-1], sizes, count)
    found += rows.dense @ rows.dense.T
    common = np.flatnonzero(sizes > _RARE)
    for low in range(0, len(common), _COLUMNS):
        here = common[low : low + _COLUMNS]
        block = np.zeros((count, len(here)), np.float32)
        for place, column in enumerate(here):
            span = slice(starts[column], starts[column + 1])
            np.add.at(block[:, place], texts[span], values[span])
        found += block @ block.T
    return found


def _pairs(
    texts: NDArray[np.int64], values: Matrix, starts: NDArray[np.int64], sizes: NDArray[np.int64], count: int
) -> NDArray[np.float32]:
    """Inner products over the rare buckets: for each, all pairs of the texts that hold it."""
    found = np.zeros(count * count, np.float32)
    for size in range(1, _RARE + 1):
        places = starts[sizes == size][:, None] + np.arange(size)
        held, worth = texts[places], values[places]
        for first in range(size):
            for second in range(first, size):
                np.add.at(found, held[:, first] * count + held[:, second], worth[:, first] * worth[:, second])
                if second > first:
                    np.add.at(found, held[:, second] * count + held[:, first], worth[:, first] * worth[:, second])
    return found.reshape(count, count)


def coordinates(products: NDArray[np.float32]) -> Matrix:
    """A row for each text, with these inner products."""
    shifted = products.astype(np.float64)
    shifted[np.diag_indices_from(shifted)] += 1e-4
    return np.linalg.cholesky(shifted).astype(np.float32)


def logistic(points: Matrix, labels: NDArray[np.int64], classes: int, strength: float, counts: Matrix) -> Matrix:
    """Weights (dimensions + 1, classes), the last row the bias, of multinomial logistic regression."""
    truth = np.zeros((len(points), classes), np.float32)
    truth[np.arange(len(points)), labels] = 1
    weigh = counts.reshape(-1, 1)
    width = points.shape[1]

    def loss(flat: Matrix) -> tuple[float, Matrix]:
        at = flat.reshape(width + 1, classes)
        said = points @ at[:-1] + at[-1]
        said -= said.max(axis=1, keepdims=True)
        log_p = said - np.log(np.exp(said).sum(axis=1, keepdims=True))
        error = (np.exp(log_p) - truth) * weigh
        slope = np.concatenate([points.T @ error + strength * at[:-1], error.sum(axis=0)[None]])
        value = -float((log_p * truth * weigh).sum()) + strength / 2 * float((at[:-1] ** 2).sum())
        return value, slope.astype(np.float32).ravel()

    return minimised(loss, np.zeros((width + 1) * classes, np.float32), _STEPS).reshape(width + 1, classes)
