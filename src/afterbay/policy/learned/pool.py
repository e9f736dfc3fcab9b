"""How well each model of a pool would answer a prompt: the mean of three predictors that are wrong in different ways.

    ridge     a linear head for each model on n-grams and surface features: what the words themselves say
    clusters  k-means over the prompts that were seen: how a model did on prompts of that kind
    nearest   how a model did on the prompts that are most like this one

On a public matrix of nine models each of the three lost more than their mean did, and none beats the best single model
(docs/router.md, pools of many models). Larger encoders reach the same plateau: LLMRouterBench (arXiv 2601.07206) finds
k-means as good as any router, the Routing Plateau (arXiv 2606.07587) kNN within noise of 21 others.

A model with few labels is not guessed at: its prediction starts from its cluster, as all models together did there and
as much better or worse as this one is on what it has, and leaves that with every label (`PRIOR_LABELS`). So a new model
can be ranked after some dozens of labels.

Prompts are compared in a small space: their n-grams, hashed once more into `SKETCH` numbers, along the `AXES`
directions in which the seen prompts differ most. That is a product of a vector with a small matrix for each prompt,
and training takes seconds for thousands of prompts. Everything is deterministic, nothing is read or written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.policy.learned.fit import Fitted, Index, Matrix, Table, rarities, ridge, table
from afterbay.policy.learned.heads import Rarity
from afterbay.policy.learned.ngrams import Sparse, Spec, folded, sparse, trimmed
from afterbay.policy.learned.surface import surface

Quality: TypeAlias = NDArray[np.float32]
"""(prompts, models), each from 0 to 1; NaN: nobody knows."""

SPEC: Final = Spec()
STRENGTH: Final = 4.0
DENSE_STRENGTH: Final = 100.0
SKETCH_BITS: Final = 10
SKETCH: Final = 1 << SKETCH_BITS
AXES: Final = 64
CLUSTERS: Final = 60
CLUSTER_ROWS: Final = 12
"""A cluster has about so many prompts at least, so a small set has fewer clusters."""
NEIGHBOURS: Final = 40
PRIOR_LABELS: Final = 10.0
"""So many labels weigh as much as what is believed without any."""
SETTLED_LABELS: Final = 100.0
"""After so many labels a model's own head counts half."""
ROUNDS: Final = 25
TURNS: Final = 5
_KNUTH: Final = np.uint32(2654435761)


class Prompts(msgspec.Struct, frozen=True):
    """Prompts as they are before anything was learned: n-grams, and surface features (prompts, features)."""

    sparse: tuple[Sparse, ...]
    dense: Matrix

    @property
    def count(self) -> int:
        """How many."""
        return len(self.sparse)

    def at(self, rows: Index) -> Prompts:
        """Those in these places."""
        return Prompts(tuple(self.sparse[row] for row in rows), self.dense[rows])


class Space(msgspec.Struct, frozen=True):
    """What was learned of prompts alone: rarity of n-grams, spread of the features, the axes of the small space."""

    idf: Rarity
    centre: Matrix
    scale: Matrix
    middle: Matrix
    axes: Matrix

    def table(self, prompts: Prompts) -> Table:
        """The prompts for linear heads."""
        return table(prompts.sparse, self.idf, (prompts.dense - self.centre) / self.scale)

    def places(self, rows: Table) -> Matrix:
        """Where the prompts of a table lie: vectors of length 1."""
        return _directions(np.asarray((_sketched(rows) - self.middle) @ self.axes, np.float32))


class Parts(msgspec.Struct, frozen=True):
    """What each predictor says, (prompts, models); all of it from 0 to 1."""

    ridge: Matrix
    clusters: Matrix
    nearest: Matrix

    @property
    def mean(self) -> Matrix:
        """What the pool's predictor says."""
        return np.asarray((self.ridge + self.clusters + self.nearest) / 3, np.float32)


class Pool(msgspec.Struct, frozen=True):
    """A trained predictor for the models in `names`. `places` and `quality` are of the prompts that it remembers,
    `labels` (models,) how many of them each model has an answer to."""

    names: tuple[str, ...]
    space: Space
    head: Fitted
    places: Matrix
    quality: Quality
    labels: Matrix
    centres: Matrix
    by_cluster: Matrix
    prior: Matrix

    def predict(self, text: str) -> Mapping[str, float]:
        """How well each model would answer this prompt, from 0 to 1."""
        found = self.parts(read([text])).mean[0]
        return dict(zip(self.names, map(float, found), strict=True))

    def parts(self, prompts: Prompts) -> Parts:
        """The three predictions for some prompts."""
        rows = self.space.table(prompts)
        places = self.space.places(rows)
        clusters = np.argmax(places @ self.centres.T, axis=1)
        prior = self.prior[clusters]
        own = self.labels / (self.labels + SETTLED_LABELS)
        linear = own * np.clip(self.head.of(rows), 0, 1) + (1 - own) * prior
        return Parts(linear, self.by_cluster[clusters], _nearest(places, self.places, self.quality, prior))


def read(texts: Sequence[str]) -> Prompts:
    """The prompts of some texts."""
    ends = [trimmed(text) for text in texts]
    dense = np.stack([surface(text) for text in ends]) if ends else np.zeros((0, 0), np.float32)
    return Prompts(tuple(sparse(folded(text), SPEC) for text in ends), dense)


def train(prompts: Prompts, quality: Quality, names: Sequence[str], seed: int = 0) -> Pool:
    """The predictor of these models, from prompts whose answers were judged. Every model has one label at least.

    `seed` is of the first guess at clusters.
    """
    space = _space(prompts)
    rows = space.table(prompts)
    places = space.places(rows)
    centres = _means(places, min(CLUSTERS, max(1, prompts.count // CLUSTER_ROWS)), seed)
    clusters = np.argmax(places @ centres.T, axis=1)
    prior = _prior(quality, clusters, len(centres))
    return Pool(
        names=tuple(names),
        space=space,
        head=_heads(rows, quality),
        places=places,
        quality=quality,
        labels=(~np.isnan(quality)).sum(axis=0).astype(np.float32),
        centres=centres,
        by_cluster=_by_cluster(quality, clusters, prior),
        prior=prior,
    )


def _space(prompts: Prompts) -> Space:
    idf = rarities(prompts.sparse, SPEC.bits)
    centre = prompts.dense.mean(axis=0)
    scale = np.maximum(prompts.dense.std(axis=0), 1e-6)
    sketched = _sketched(table(prompts.sparse, idf))
    middle = sketched.mean(axis=0)
    return Space(idf, centre, scale, middle, _axes(sketched - middle))


def _axes(moved: Matrix) -> Matrix:
    """The directions (numbers, axes) in which rows differ most. Of few rows the products with each other are fewer."""
    if len(moved) >= moved.shape[1]:
        return np.ascontiguousarray(np.linalg.eigh(moved.T @ moved)[1][:, ::-1][:, :AXES], np.float32)
    of_rows = np.linalg.eigh(moved @ moved.T)[1][:, ::-1][:, :AXES]
    return np.ascontiguousarray(_directions((moved.T @ of_rows).T).T, np.float32)


def _sketched(rows: Table) -> Matrix:
    """The n-grams of each row, hashed once more: collisions cancel, since half of the buckets count negatively."""
    mixed = rows.buckets[rows.columns].astype(np.uint32) * _KNUTH
    places = (mixed >> np.uint32(32 - SKETCH_BITS)).astype(np.int64)
    signs = np.where(mixed & np.uint32(1 << 20), np.float32(1), np.float32(-1))
    numbers = np.repeat(np.arange(rows.rows), rows.starts[1:] - rows.starts[:-1])
    flat = np.bincount(numbers * SKETCH + places, weights=rows.values * signs, minlength=rows.rows * SKETCH)
    return flat.astype(np.float32).reshape(rows.rows, SKETCH)


def _directions(vectors: Matrix) -> Matrix:
    found: Matrix = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return found.astype(np.float32)


def _heads(rows: Table, quality: Quality) -> Fitted:
    """One linear head a model, trained on the prompts that it has labels for; models with the same ones together."""
    known = ~np.isnan(quality)
    weights = np.zeros((rows.width, quality.shape[1]), np.float32)
    bias = np.zeros(quality.shape[1], np.float32)
    for mask in np.unique(known, axis=1).T:
        models = np.flatnonzero((known == mask[:, None]).all(axis=0))
        some = _masked(rows, mask)
        fitted = ridge(some, quality[mask][:, models], STRENGTH, DENSE_STRENGTH)
        weights[:, models], bias[models] = fitted.weights, fitted.bias
    return Fitted(rows.buckets, weights, bias)


def _masked(rows: Table, mask: NDArray[np.bool_]) -> Table:
    """The rows of a table where the mask is true, over the same buckets."""
    if mask.all():
        return rows
    lengths = rows.starts[1:] - rows.starts[:-1]
    inside = np.repeat(mask, lengths)
    starts = np.concatenate([[0], np.cumsum(lengths[mask])]).astype(np.int64)
    return Table(starts, rows.columns[inside], rows.values[inside], rows.buckets, rows.dense[mask])


def _means(places: Matrix, count: int, seed: int) -> Matrix:
    """The centres of k-means over directions; the first ones are drawn far from one another (k-means++)."""
    draws = np.random.default_rng(seed)
    centres = places[draws.integers(len(places))][None]
    while len(centres) < count:
        far = np.clip(1 - (places @ centres.T).max(axis=1), 0, None) + 1e-9
        centres = np.concatenate([centres, places[draws.choice(len(places), p=far / far.sum())][None]])
    before = np.full(len(places), -1)
    for _ in range(ROUNDS):
        nearest = np.argmax(places @ centres.T, axis=1)
        if (nearest == before).all():
            break
        before, sums = nearest, np.zeros_like(centres)
        np.add.at(sums, nearest, places)
        centres = np.where(np.linalg.norm(sums, axis=1, keepdims=True) > 0, _directions(sums), centres)
    return np.asarray(centres, np.float32)


def _prior(quality: Quality, clusters: NDArray[np.intp], count: int) -> Matrix:
    """What is believed of a model in a cluster before it has labels there: how hard the cluster is for all models, and
    how much better or worse than all this one is. Each is what the other leaves, in turns: not every model answered
    every prompt, and who was only asked easy ones is not good for that."""
    known = ~np.isnan(quality)
    filled = np.where(known, quality, 0).astype(np.float64)
    every = float(filled.sum() / max(known.sum(), 1))
    ahead, hard = np.zeros(quality.shape[1]), np.zeros(count)
    by_row, by_model = known.sum(axis=1), known.sum(axis=0)
    labels = np.bincount(clusters, by_row, count)
    for _ in range(TURNS):
        left = np.where(known, filled - every - ahead, 0).sum(axis=1)
        hard = np.bincount(clusters, left, count) / (labels + PRIOR_LABELS)
        left = np.where(known, filled - every - hard[clusters][:, None], 0).sum(axis=0)
        ahead = left / (by_model + PRIOR_LABELS)
    return np.asarray(np.clip(every + hard[:, None] + ahead, 0, 1), np.float32)


def _by_cluster(quality: Quality, clusters: NDArray[np.intp], prior: Matrix) -> Matrix:
    known = ~np.isnan(quality)
    sums, labels = np.zeros_like(prior), np.zeros_like(prior)
    np.add.at(sums, clusters, np.where(known, quality, 0))
    np.add.at(labels, clusters, known)
    return np.asarray((sums + PRIOR_LABELS * prior) / (labels + PRIOR_LABELS), np.float32)


def _nearest(places: Matrix, known: Matrix, quality: Quality, prior: Matrix, chunk: int = 256) -> Matrix:
    """The mean of the nearest labelled prompts, as many as weigh for each model; the prior counts as some of them."""
    found = np.empty((len(places), quality.shape[1]), np.float32)
    has = ~np.isnan(quality)
    filled = np.where(has, quality, 0)
    for start in range(0, len(places), chunk):
        rows = slice(start, start + chunk)
        likeness = places[rows] @ known.T
        for mask in np.unique(has, axis=1).T:
            models = np.flatnonzero((has == mask[:, None]).all(axis=0))
            found[rows, models] = _mean_of_nearest(likeness[:, mask], filled[mask][:, models], prior[rows][:, models])
    return found


def _mean_of_nearest(likeness: Matrix, quality: Quality, prior: Matrix) -> Matrix:
    count = min(NEIGHBOURS, likeness.shape[1])
    near = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
    weights = np.clip(np.take_along_axis(likeness, near, axis=1), 0.01, None)
    sums = np.einsum("pn,pnm->pm", weights, quality[near])
    of_prior = PRIOR_LABELS * weights.mean(axis=1, keepdims=True)
    found: Matrix = (sums + of_prior * prior) / (weights.sum(axis=1, keepdims=True) + of_prior)
    return found
