"""A learned acceptor: from features of question and cheap answer to how likely each model's answer is good.

The mean of two learners that err differently: extremely randomized trees, which find thresholds and their combinations,
and ridge regression on standardised features, which sums up many weak signs. Both predict several targets at once, so
that what is learned can be the gain (strong - cheap) and not only the cheap model's failure: what both get wrong is no
reason to pay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.policy.learned.forest import Forest, Rows, Shape, grow, predict

PENALTY = 300.0
"""Ridge's penalty on standardised features: about as many as half the rows of a small set of labels."""


class Line(msgspec.Struct, frozen=True):
    """Ridge regression. Shapes: `mean`, `spread` (features,), `weights` (features, targets), `base` (targets,)."""

    mean: Rows
    spread: Rows
    weights: Rows
    base: Rows


class LearnedAcceptor(msgspec.Struct, frozen=True):
    """Implements `policy.checks.verdict.Acceptor`. The first target is whether the cheap answer is good enough."""

    names: tuple[str, ...]
    forest: Forest
    line: Line

    def predict(self, rows: Sequence[Mapping[str, float]]) -> Rows:
        """P(good) of each target, one line a row."""
        table = tabled(rows, self.names)
        line = self.line
        drawn = (table - line.mean) / line.spread @ line.weights + line.base
        return np.clip((predict(self.forest, table) + drawn) / 2, 0.0, 1.0)

    def accepts(self, features: Mapping[str, float]) -> float:
        """P(good enough) of the cheap answer."""
        return float(self.predict([features])[0, 0])


def tabled(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> Rows:
    """Features as a table, the columns in this order; what a row lacks is 0."""
    return np.array([[row.get(name, 0.0) for name in names] for row in rows], np.float64).reshape(len(rows), len(names))


def fit_acceptor(
    rows: Sequence[Mapping[str, float]],
    targets: Rows,
    *,
    seed: int = 0,
    shape: Shape | None = None,
    penalty: float = PENALTY,
) -> LearnedAcceptor:
    """Learns from labelled answers. `targets`: one line a row, one column a target, each from 0 to 1."""
    names = tuple(sorted({name for row in rows for name in row}))
    table = tabled(rows, names)
    return LearnedAcceptor(names, grow(table, targets, shape or Shape(), seed), _fit_line(table, targets, penalty))


def _fit_line(table: Rows, targets: Rows, penalty: float) -> Line:
    mean, spread = table.mean(axis=0), table.std(axis=0) + 1e-9
    scaled = (table - mean) / spread
    base = targets.mean(axis=0)
    square = scaled.T @ scaled + penalty * np.eye(table.shape[1])
    return Line(mean, spread, np.linalg.solve(square, scaled.T @ (targets - base)), base)


_MAGIC = b"afterbay-acceptor-1\n"
_ARRAYS = ("roots", "features", "cuts", "left", "values")


class _Stored(msgspec.Struct, frozen=True):
    """An acceptor as bytes: each array as (type, shape, bytes)."""

    names: tuple[str, ...]
    depth: int
    forest: tuple[tuple[str, tuple[int, ...], bytes], ...]
    line: tuple[tuple[str, tuple[int, ...], bytes], ...]


def stored(acceptor: LearnedAcceptor) -> bytes:
    """An acceptor as bytes, the same for the same acceptor."""
    forest = tuple(_packed(getattr(acceptor.forest, name)) for name in _ARRAYS)
    line = tuple(_packed(one) for one in msgspec.structs.astuple(acceptor.line))
    return _MAGIC + msgspec.msgpack.encode(_Stored(acceptor.names, acceptor.forest.depth, forest, line))


def restored(data: bytes) -> LearnedAcceptor:
    """The acceptor of such bytes.

    Raises:
        ValueError: they are none, or are damaged.
    """
    if not data.startswith(_MAGIC):
        raise ValueError("it does not begin as an acceptor does")
    try:
        one = msgspec.msgpack.decode(data[len(_MAGIC) :], type=_Stored)
    except msgspec.MsgspecError as error:
        raise ValueError(f"it holds no acceptor: {error}") from None
    forest = dict(zip(_ARRAYS, map(_unpacked, one.forest), strict=True))
    line = dict(zip(Line.__struct_fields__, map(_unpacked, one.line), strict=True))
    found = LearnedAcceptor(one.names, Forest(**forest, depth=one.depth), Line(**line))
    if not _is_whole(found):
        raise ValueError("its parts do not fit each other")
    return found


def _is_whole(one: LearnedAcceptor) -> bool:
    """Whether the shapes fit, and no node leads out of the table: what a damaged file would fail by, at a request."""
    forest, line, columns = one.forest, one.line, len(one.names)
    nodes, targets = len(forest.left), len(line.base) if line.base.ndim == 1 else 0
    return (
        targets > 0
        and line.mean.shape == line.spread.shape == (columns,)
        and line.weights.shape == (columns, targets)
        and forest.features.shape == forest.cuts.shape == forest.left.shape == (nodes,)
        and forest.values.shape == (nodes, targets)
        and forest.roots.ndim == 1
        and all(array.dtype == np.int32 for array in (forest.roots, forest.features, forest.left))
        and 0 <= one.forest.depth <= nodes
        and _lie_within(forest.roots, nodes)
        and _lie_within(forest.features, columns)
        and _lie_within(forest.left, nodes)
        # A node that is no leaf leads to the one behind `left`, too.
        and not np.any((forest.left == nodes - 1) & (np.arange(nodes) != nodes - 1))
    )


def _lie_within(numbers: NDArray[np.int32], end: int) -> bool:
    return bool(len(numbers)) and bool(numbers.min() >= 0) and bool(numbers.max() < end)


def _packed(array: NDArray[np.generic]) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.str, array.shape, array.tobytes()


def _unpacked(packed: tuple[str, tuple[int, ...], bytes]) -> Any:
    kind, shape, data = packed
    if kind not in ("<f8", "<i4"):
        raise ValueError(f"an array of the type {kind[:20]} has no place in an acceptor")
    return np.frombuffer(data, np.dtype(kind)).reshape(shape)
