"""Extremely randomized trees: a few hundred rows and a hundred features are enough for them, and they need no scaling.

Source: Geurts, Ernst and Wehenkel, "Extremely randomized trees", Machine Learning 63 (2006): at each node some features
are drawn, each is cut at a place drawn between its least and its largest value, and the best of these cuts is taken.
Several targets are learned by the same trees, as means of the rows in a leaf.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]


class Shape(msgspec.Struct, frozen=True):
    """How a forest is grown: `leaf` rows at least in a leaf, `share` of the features looked at in a node."""

    trees: int = 200
    leaf: int = 5
    share: float = 0.3


class Forest(msgspec.Struct, frozen=True):
    """All trees in one table of nodes. `left`: the node for values up to `cuts`, the one behind it is for the others;
    a leaf leads to itself. `roots`: where each tree begins; `values`: a leaf's means, one column a target."""

    roots: NDArray[np.int32]
    features: NDArray[np.int32]
    cuts: NDArray[np.float64]
    left: NDArray[np.int32]
    values: NDArray[np.float64]
    depth: int


class _Nodes:
    """The table while it grows."""

    def __init__(self) -> None:
        self.features: list[int] = []
        self.cuts: list[float] = []
        self.left: list[int] = []
        self.values: list[Rows] = []
        self.depth = 0

    def add(self) -> int:
        at = len(self.features)
        self.features.append(0)
        self.cuts.append(np.inf)
        self.left.append(at)
        self.values.append(np.zeros(0))
        return at


def grow(rows: Rows, targets: Rows, shape: Shape, seed: int) -> Forest:
    """A forest that predicts the columns of `targets` from those of `rows`. The same seed grows the same forest."""
    draw = np.random.default_rng(seed)
    columns = np.ascontiguousarray(rows.T)
    looked_at = max(1, round(shape.share * len(columns)))
    nodes = _Nodes()
    roots = []
    for _ in range(shape.trees):
        roots.append(nodes.add())
        _grow_tree(nodes, roots[-1], columns, targets, looked_at, shape.leaf, draw)
    return Forest(
        np.array(roots, np.int32),
        np.array(nodes.features, np.int32),
        np.array(nodes.cuts),
        np.array(nodes.left, np.int32),
        np.array(nodes.values),
        nodes.depth,
    )


def _grow_tree(
    nodes: _Nodes, root: int, columns: Rows, targets: Rows, looked_at: int, leaf: int, draw: np.random.Generator
) -> None:
    waiting = [(root, np.arange(columns.shape[1]), 0)]
    while waiting:
        node, chosen, depth = waiting.pop()
        inside = targets[chosen]
        nodes.values[node] = inside.mean(axis=0)
        nodes.depth = max(nodes.depth, depth)
        if len(chosen) < 2 * leaf or not np.any(inside != inside[0]):
            continue
        cut = _best_cut(columns, chosen, inside, looked_at, leaf, draw)
        if cut is None:
            continue
        feature, place, goes_left = cut
        nodes.features[node], nodes.cuts[node] = feature, place
        nodes.left[node] = left = nodes.add()
        right = nodes.add()
        waiting += [(left, chosen[goes_left], depth + 1), (right, chosen[~goes_left], depth + 1)]


def _best_cut(
    columns: Rows, chosen: NDArray[np.int64], inside: Rows, looked_at: int, leaf: int, draw: np.random.Generator
) -> tuple[int, float, NDArray[np.bool_]] | None:
    """The drawn cut that leaves the least variance; None: no drawn feature can be cut."""
    features = draw.choice(len(columns), looked_at, replace=False)
    table = columns[features[:, None], chosen]
    lowest, highest = table.min(axis=1), table.max(axis=1)
    places = lowest + draw.random(len(features)) * (highest - lowest)
    goes_left = table <= places[:, None]
    count = goes_left.sum(axis=1)
    sums = goes_left @ inside
    rest = len(chosen) - count
    whole = inside.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        merit = (sums**2 / count[:, None] + (whole - sums) ** 2 / rest[:, None]).sum(axis=1)
    merit[(count < leaf) | (rest < leaf)] = -np.inf
    best = int(np.argmax(merit))
    if merit[best] == -np.inf:
        return None
    return int(features[best]), float(places[best]), goes_left[best]


def predict(forest: Forest, rows: Rows) -> Rows:
    """The mean over the trees, one line a row, one column a target."""
    out = np.zeros((len(rows), forest.values.shape[1]))
    for at, row in enumerate(rows):
        nodes = forest.roots
        for _ in range(forest.depth):
            left = forest.left[nodes]
            nodes = np.where(left == nodes, nodes, left + (row[forest.features[nodes]] > forest.cuts[nodes]))
        out[at] = forest.values[nodes].mean(axis=0)
    return out
