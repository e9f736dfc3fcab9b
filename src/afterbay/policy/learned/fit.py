"""Training of linear heads: ridge regression, logistic regression, folds. Numpy alone, seconds for thousands of texts.

Texts are a `Table`: sparse rows over the buckets that occur, with dense columns beside them. Both fits reach their
optimum by products with the table and its transpose only, so that a table of 10,000 texts needs no more memory than
itself. Everything is deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.policy.learned.heads import Heads, Rarity, quantised, rarity, unit
from afterbay.policy.learned.ngrams import Sparse, Spec

Matrix: TypeAlias = NDArray[np.float32]
Index: TypeAlias = NDArray[np.int64]

MOST_STEPS: Final = 200
_HISTORY: Final = 10
_SMALLEST_STEP: Final = 1e-10


class Table(msgspec.Struct, frozen=True):
    """Rows of `len(starts) - 1` texts: `values` at `columns` (into `buckets`, ascending), row i from `starts[i]`, and
    `dense` columns of (rows, features), best standardised."""

    starts: Index
    columns: Index
    values: Matrix
    buckets: Index
    dense: Matrix

    @property
    def rows(self) -> int:
        """How many texts."""
        return len(self.starts) - 1

    @property
    def width(self) -> int:
        """How many weights a head has: used buckets and dense columns."""
        return len(self.buckets) + int(self.dense.shape[1])


class Fitted(msgspec.Struct, frozen=True):
    """Weights (width, heads) and a bias (heads,) over a table's buckets and dense columns."""

    buckets: Index
    weights: Matrix
    bias: Matrix

    def of(self, table: Table) -> Matrix:
        """What each head says of each row; buckets that were not trained count nothing."""
        known = np.zeros((len(table.buckets), self.weights.shape[1]), np.float32)
        place = np.searchsorted(self.buckets, table.buckets)
        place[place == len(self.buckets)] = 0
        hit = self.buckets[place] == table.buckets if len(self.buckets) else np.zeros(len(place), bool)
        known[hit] = self.weights[place[hit]]
        return times(table, np.concatenate([known, self.weights[len(self.buckets) :]])) + self.bias

    def heads(self, spec: Spec, names: Sequence[str], idf: Rarity | None) -> Heads:
        """The same as heads of whole bytes."""
        sparse_weights = np.zeros((1 << spec.bits, len(names)), np.float32)
        sparse_weights[self.buckets] = self.weights[: len(self.buckets)]
        weights, scales = quantised(sparse_weights)
        return Heads(spec, tuple(names), weights, scales, self.weights[len(self.buckets) :], self.bias, idf)


def rarities(texts: Sequence[Sparse], bits: int) -> Rarity:
    """How rare each bucket is among these texts."""
    frequency = np.zeros(1 << bits, np.int64)
    for text in texts:
        frequency[text.ids] += 1
    return rarity(frequency, len(texts))


def table(texts: Sequence[Sparse], idf: Rarity | None = None, dense: Matrix | None = None) -> Table:
    """The table of some texts."""
    starts = np.zeros(len(texts) + 1, np.int64)
    starts[1:] = np.cumsum([len(text.ids) for text in texts])
    ids = np.concatenate([text.ids for text in texts]) if texts else np.zeros(0, np.uint32)
    values = np.concatenate([unit(text, idf) for text in texts]) if texts else np.zeros(0, np.float32)
    buckets, columns = np.unique(ids, return_inverse=True)
    beside = np.zeros((len(texts), 0), np.float32) if dense is None else dense.astype(np.float32)
    return Table(starts, columns.astype(np.int64), values, buckets.astype(np.int64), beside)


def chosen(whole: Table, rows: NDArray[np.integer]) -> Table:
    """A table of some of the rows, in that order."""
    lengths = (whole.starts[1:] - whole.starts[:-1])[rows]
    starts = np.zeros(len(rows) + 1, np.int64)
    starts[1:] = np.cumsum(lengths)
    places = np.arange(starts[-1]) + np.repeat(whole.starts[rows] - starts[:-1], lengths)
    used, columns = np.unique(whole.columns[places], return_inverse=True)
    return Table(starts, columns.astype(np.int64), whole.values[places], whole.buckets[used], whole.dense[rows])


def times(rows: Table, weights: Matrix) -> Matrix:
    """The table times (width, heads)."""
    found = np.empty((rows.rows, weights.shape[1]), np.float32)
    filled = np.flatnonzero(rows.starts[1:] > rows.starts[:-1])
    found[:] = 0
    split = len(rows.buckets)
    for head in range(weights.shape[1]):
        products = rows.values * np.ascontiguousarray(weights[:split, head])[rows.columns]
        if len(filled):
            found[filled, head] = np.add.reduceat(products, rows.starts[:-1][filled])
    return found + rows.dense @ weights[split:]


def times_turned(rows: Table, numbers: Matrix) -> Matrix:
    """The table's transpose times (rows, heads)."""
    lengths = rows.starts[1:] - rows.starts[:-1]
    found = np.empty((rows.width, numbers.shape[1]), np.float32)
    split = len(rows.buckets)
    for head in range(numbers.shape[1]):
        spread = np.repeat(numbers[:, head], lengths) * rows.values
        found[:split, head] = np.bincount(rows.columns, weights=spread, minlength=split)
    found[split:] = rows.dense.T @ numbers
    return found


def ridge(rows: Table, targets: Matrix, strength: float, dense_strength: float | None = None) -> Fitted:
    """Least squares with a quadratic penalty, for all columns of `targets` (rows, heads) at once, the bias free.

    Strengths are what is added to the diagonal; conjugate gradients on the normal equations, scaled by their diagonal.
    """
    penalty = _penalty(rows, strength, dense_strength)
    centre, mean = targets.mean(axis=0), _column_means(rows)

    def normal(weights: Matrix) -> Matrix:
        said = times(rows, weights)
        said -= said.mean(axis=0)
        return times_turned(rows, said) + penalty[:, None] * weights

    scale = 1 / (penalty + _column_squares(rows))[:, None]
    right = times_turned(rows, (targets - centre).astype(np.float32))
    weights = _conjugate(normal, right, scale.astype(np.float32))
    return Fitted(rows.buckets, weights, (centre - mean @ weights).astype(np.float32))


def _penalty(rows: Table, strength: float, dense_strength: float | None) -> Matrix:
    penalty = np.full(rows.width, strength, np.float32)
    penalty[len(rows.buckets) :] = strength if dense_strength is None else dense_strength
    return penalty


def _column_means(rows: Table) -> Matrix:
    return times_turned(rows, np.full((rows.rows, 1), 1 / max(rows.rows, 1), np.float32))[:, 0]


def _column_squares(rows: Table) -> Matrix:
    sparse_part = np.bincount(rows.columns, weights=rows.values**2, minlength=len(rows.buckets))
    return np.concatenate([sparse_part, (rows.dense**2).sum(axis=0)]).astype(np.float32)


def _conjugate(normal: Callable[[Matrix], Matrix], right: Matrix, scale: Matrix) -> Matrix:
    """The solution of normal(x) = right, a column a problem; `scale` is about the inverse of its diagonal."""
    found, rest = np.zeros_like(right), right.copy()
    ahead = scale * rest
    way, size = ahead.copy(), (rest * ahead).sum(axis=0)
    goal = size * 1e-8
    for _ in range(MOST_STEPS):
        if (size <= goal).all():
            break
        image = normal(way)
        step = size / np.maximum((way * image).sum(axis=0), 1e-30)
        found += step * way
        rest -= step * image
        ahead = scale * rest
        grown = (rest * ahead).sum(axis=0)
        way = ahead + (grown / np.maximum(size, 1e-30)) * way
        size = grown
    return found


def logistic(
    rows: Table, labels: NDArray[np.integer], classes: int, strength: float, weights: Matrix | None = None
) -> Fitted:
    """Multinomial logistic regression with a quadratic penalty: mean loss x rows + strength / 2 x squared weights.

    `labels` are 0 .. classes - 1; `weights` (rows,) count rows more or less. The heads' scores are log-odds up to a
    constant a row: softmax them. L-BFGS with backtracking.
    """
    truth = np.zeros((rows.rows, classes), np.float32)
    truth[np.arange(rows.rows), labels] = 1
    count = np.ones((rows.rows, 1), np.float32) if weights is None else weights.reshape(-1, 1).astype(np.float32)

    def loss(flat: Matrix) -> tuple[float, Matrix]:
        point = flat.reshape(rows.width + 1, classes)
        said = times(rows, point[:-1]) + point[-1]
        said -= said.max(axis=1, keepdims=True)
        log_p = said - np.log(np.exp(said).sum(axis=1, keepdims=True))
        error = (np.exp(log_p) - truth) * count
        slope = np.concatenate([times_turned(rows, error) + strength * point[:-1], error.sum(axis=0)[None]])
        value = -float((log_p * truth * count).sum()) + strength / 2 * float((point[:-1] ** 2).sum())
        return value, slope.astype(np.float32).ravel()

    best = minimised(loss, np.zeros((rows.width + 1) * classes, np.float32))
    point = best.reshape(rows.width + 1, classes)
    return Fitted(rows.buckets, point[:-1], point[-1])


def minimised(loss: Callable[[Matrix], tuple[float, Matrix]], start: Matrix, steps: int = MOST_STEPS) -> Matrix:
    """The minimum of a smooth convex function, given its value and slope: L-BFGS, steps halved until they go down."""
    point, (value, slope) = start, loss(start)
    history: list[tuple[Matrix, Matrix]] = []
    goal = 1e-5 * max(float(np.abs(slope).max()), 1e-12)
    for _ in range(steps):
        if float(np.abs(slope).max()) <= goal:
            break
        way = -_curved(slope, history)
        downhill = float(way @ slope)
        length = 1.0 if history else 1 / max(float(np.sqrt(slope @ slope)), 1.0)
        while True:
            trial = point + np.float32(length) * way
            trial_value, trial_slope = loss(trial)
            if trial_value <= value + 1e-4 * length * downhill or length < _SMALLEST_STEP:
                break
            length /= 2
        if trial_value >= value:
            break
        moved, turned = trial - point, trial_slope - slope
        if float(moved @ turned) > 0:
            history = [*history, (moved, turned)][-_HISTORY:]
        point, value, slope = trial, trial_value, trial_slope
    return point


def _curved(slope: Matrix, history: Sequence[tuple[Matrix, Matrix]]) -> Matrix:
    """The slope, divided by the curvature that the last steps met (the two loops of L-BFGS)."""
    found = slope.copy()
    parts = []
    for moved, turned in reversed(history):
        part = float(moved @ found) / float(moved @ turned)
        found -= np.float32(part) * turned
        parts.append(part)
    if history:
        moved, turned = history[-1]
        found *= np.float32(float(moved @ turned) / float(turned @ turned))
    for (moved, turned), part in zip(history, reversed(parts), strict=True):
        found += np.float32(part - float(turned @ found) / float(moved @ turned)) * moved
    return found


def softmax(said: Matrix) -> Matrix:
    """Scores of heads, a row a text, as probabilities."""
    grown = np.exp(said - said.max(axis=-1, keepdims=True))
    found: Matrix = grown / grown.sum(axis=-1, keepdims=True)
    return found


def folds(rows: int, count: int, seed: int = 0) -> Iterator[tuple[Index, Index]]:
    """Pairs (trained on, tested on) of row numbers, each row tested once."""
    order = np.random.default_rng(seed).permutation(rows)
    for part in range(count):
        tested = np.sort(order[part::count])
        yield np.setdiff1d(np.arange(rows), tested), tested
