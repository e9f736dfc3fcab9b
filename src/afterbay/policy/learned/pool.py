"""How well each model of a pool would answer a prompt: three predictors that are wrong in different ways, blended.

    ridge     linear heads over n-grams and surface (`policy.learned.quality`): what the words themselves say
    clusters  k-means over the prompts that were seen: how a model did on prompts of that kind
    nearest   how a model did on the prompts that are most like this one

How much each counts is learned, too: the weights are those that would have erred least on labels that the predictors
had not seen. Larger encoders reach the same plateau: LLMRouterBench (arXiv 2601.07206) finds k-means as good as any
router, the Routing Plateau (arXiv 2606.07587) kNN within noise of 21 others.

A model with few labels is not guessed at: each prediction starts from how hard its cluster is for all models, and how
much better or worse this one is on what it has, and leaves that with every label (`PRIOR_LABELS`). So a new model can
be ranked after some dozens of labels.

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

from afterbay.policy.learned import quality as linear
from afterbay.policy.learned.fit import Matrix, Table, folds, table
from afterbay.policy.learned.heads import Rarity
from afterbay.policy.learned.quality import Prompt, Settings

Outcomes: TypeAlias = NDArray[np.float32]
"""(prompts, models), each from 0 to 1; NaN: nobody knows."""

SKETCH_BITS: Final = 10
SKETCH: Final = 1 << SKETCH_BITS
AXES: Final = 64
CLUSTERS: Final = 60
CLUSTER_ROWS: Final = 12
"""A cluster has about so many prompts at least, so a small set has fewer clusters."""
NEIGHBOURS: Final = 40
REMEMBERED: Final = 5_000
"""So many of the last prompts are looked through for the nearest."""
CHUNK: Final = 256
PRIOR_LABELS: Final = 10.0
"""So many labels weigh as much as what is believed without any."""
SETTLED_LABELS: Final = 30.0
"""After so many labels a model's own head counts half."""
BLEND_FOLDS: Final = 3
BLEND_STEPS: Final = 10
EVEN: Final = (1 / 3, 1 / 3, 1 / 3)
ROUNDS: Final = 25
TURNS: Final = 5
_KNUTH: Final = np.uint32(2654435761)


class Space(msgspec.Struct, frozen=True):
    """A small space for prompts: how rare each n-gram is, the middle of what was seen, and the axes."""

    idf: Rarity
    middle: Matrix
    axes: Matrix

    def places(self, prompts: Sequence[Prompt]) -> Matrix:
        """Where prompts lie: vectors of length 1."""
        rows = table([prompt.grams for prompt in prompts], self.idf)
        return _directions(np.asarray((_sketched(rows) - self.middle) @ self.axes, np.float32))


class Parts(msgspec.Struct, frozen=True):
    """What each predictor says, (prompts, models); all of it from 0 to 1."""

    ridge: Matrix
    clusters: Matrix
    nearest: Matrix

    def blended(self, blend: tuple[float, float, float] = EVEN) -> Matrix:
        """All three, each as much as it counts."""
        ridge, clusters, nearest = blend
        return np.asarray(ridge * self.ridge + clusters * self.clusters + nearest * self.nearest, np.float32)


class Memory(msgspec.Struct, frozen=True):
    """Prompts that are remembered for some models (by their numbers): where they lie, and how those answered them."""

    models: NDArray[np.intp]
    places: Matrix
    outcomes: Matrix


class Pool(msgspec.Struct, frozen=True):
    """A trained predictor. `places` are of all prompts that it remembers, `memories` of those of each model; `centres`
    (clusters, axes), what was seen in them and what is believed without that (clusters, models). `blend`: what each
    part counts."""

    heads: linear.Quality
    space: Space
    places: Matrix
    memories: tuple[Memory, ...]
    centres: Matrix
    by_cluster: Matrix
    prior: Matrix
    blend: tuple[float, float, float] = EVEN

    @property
    def models(self) -> tuple[str, ...]:
        """The models it knows."""
        return self.heads.models

    def predict(self, prompt: Prompt) -> Mapping[str, float]:
        """P(good answer) of each model, as `policy.learned.quality.Predictor`."""
        return dict(zip(self.models, self.parts([prompt]).blended(self.blend)[0].tolist(), strict=True))

    def parts(self, prompts: Sequence[Prompt]) -> Parts:
        """The three predictions for some prompts."""
        places = self.space.places(prompts)
        clusters = np.argmax(places @ self.centres.T, axis=1)
        prior = self.prior[clusters]
        labels = np.array(self.heads.labels, np.float32)
        own = labels / (labels + SETTLED_LABELS)
        said = np.clip(np.stack([self.heads.raw(prompt) for prompt in prompts]), 0, 1)
        ridge = np.asarray(own * said + (1 - own) * prior, np.float32)
        return Parts(ridge, self.by_cluster[clusters], self._nearest(places, prior))

    def _nearest(self, places: Matrix, prior: Matrix) -> Matrix:
        """The mean of the nearest prompts that a model has labels of, the more alike the heavier; what is believed
        without them weighs as much as some of the nearest of all, so that far ones say little."""
        found = prior.copy()
        for start in range(0, len(places), CHUNK):
            rows = slice(start, start + CHUNK)
            every = _top(places[rows] @ self.places.T)
            usual = PRIOR_LABELS * every[1].mean(axis=1, keepdims=True)
            for memory in self.memories:
                is_all = len(memory.places) == len(self.places)
                near, weights = every if is_all else _top(places[rows] @ memory.places.T)
                sums = np.einsum("pn,pnm->pm", weights, memory.outcomes[near])
                total = weights.sum(axis=1, keepdims=True) + usual
                found[rows, memory.models] = (sums + usual * prior[rows][:, memory.models]) / total
        return found


def train(prompts: Sequence[Prompt], outcomes: Outcomes, models: Sequence[str], seed: int = 0) -> Pool:
    """The predictor of these models, from prompts whose answers were judged. `seed` is of the first guess at clusters.

    Raises:
        ClientMistake: there are too few labels, or none of some model.
    """
    pool = evenly(prompts, outcomes, models, seed)
    places, parts = list[NDArray[np.int64]](), list[Parts]()
    for some, others in folds(len(prompts), BLEND_FOLDS, seed):
        if len(some) < linear.FEWEST_LABELS or not (~np.isnan(outcomes[some])).any(axis=0).all():
            return pool
        inner = evenly([prompts[row] for row in some], outcomes[some], models, seed)
        places.append(others)
        parts.append(inner.parts([prompts[row] for row in others]))
    return msgspec.structs.replace(pool, blend=blend_for(joined(parts), outcomes[np.concatenate(places)]))


def joined(parts: Sequence[Parts]) -> Parts:
    """The predictions for all the prompts of several."""
    return Parts(*(np.concatenate([getattr(one, name) for one in parts]) for name in Parts.__struct_fields__))


def blend_for(parts: Parts, outcomes: Outcomes) -> tuple[float, float, float]:
    """What each predictor should count, if it is to be with what these said of outcomes that they had not seen."""
    known = ~np.isnan(outcomes)
    said = [one[known] for one in (parts.ridge, parts.clusters, parts.nearest)]
    steps = range(BLEND_STEPS + 1)
    tried = [
        (a / BLEND_STEPS, b / BLEND_STEPS, (BLEND_STEPS - a - b) / BLEND_STEPS)
        for a in steps
        for b in steps
        if a + b <= BLEND_STEPS
    ]
    return min(tried, key=lambda blend: float(((np.tensordot(blend, said, 1) - outcomes[known]) ** 2).mean()))


def evenly(prompts: Sequence[Prompt], outcomes: Outcomes, models: Sequence[str], seed: int = 0) -> Pool:
    """As `train`, in a quarter of the time: each predictor counts the same.

    Raises:
        ClientMistake: there are too few labels, or none of some model.
    """
    heads = linear.train(prompts, outcomes, models, Settings(seed=seed))
    assert heads.heads.idf is not None, "training weighs n-grams"  # noqa: S101
    space = _space(prompts, heads.heads.idf)
    places = space.places(prompts)
    centres = _means(places, min(CLUSTERS, max(1, len(prompts) // CLUSTER_ROWS)), seed)
    clusters = np.argmax(places @ centres.T, axis=1)
    prior = _prior(outcomes, clusters, len(centres))
    last = slice(-REMEMBERED, None)
    memories = _memories(places[last], outcomes[last])
    return Pool(heads, space, places[last], memories, centres, _by_cluster(outcomes, clusters, prior), prior)


def _space(prompts: Sequence[Prompt], idf: Rarity) -> Space:
    sketched = _sketched(table([prompt.grams for prompt in prompts], idf))
    middle = sketched.mean(axis=0)
    return Space(idf, middle, _axes(sketched - middle))


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


def _prior(outcomes: Outcomes, clusters: NDArray[np.intp], count: int) -> Matrix:
    """What is believed of a model in a cluster before it has labels there: how hard the cluster is for all models, and
    how much better or worse than all this one is. Each is what the other leaves, in turns: not every model answered
    every prompt, and who was only asked easy ones is not good for that."""
    known = ~np.isnan(outcomes)
    filled = np.where(known, outcomes, 0).astype(np.float64)
    every = float(filled.sum() / max(known.sum(), 1))
    ahead, hard = np.zeros(outcomes.shape[1]), np.zeros(count)
    by_row, by_model = known.sum(axis=1), known.sum(axis=0)
    labels = np.bincount(clusters, by_row, count)
    for _ in range(TURNS):
        left = np.where(known, filled - every - ahead, 0).sum(axis=1)
        hard = np.bincount(clusters, left, count) / (labels + PRIOR_LABELS)
        left = np.where(known, filled - every - hard[clusters][:, None], 0).sum(axis=0)
        ahead = left / (by_model + PRIOR_LABELS)
    return np.asarray(np.clip(every + hard[:, None] + ahead, 0, 1), np.float32)


def _by_cluster(outcomes: Outcomes, clusters: NDArray[np.intp], prior: Matrix) -> Matrix:
    known = ~np.isnan(outcomes)
    sums, labels = np.zeros_like(prior), np.zeros_like(prior)
    np.add.at(sums, clusters, np.where(known, outcomes, 0))
    np.add.at(labels, clusters, known)
    return np.asarray((sums + PRIOR_LABELS * prior) / (labels + PRIOR_LABELS), np.float32)


def _memories(places: Matrix, outcomes: Outcomes) -> tuple[Memory, ...]:
    """What is remembered for each model that has any labels; those with labels of the same prompts share them."""
    known = ~np.isnan(outcomes)
    masks: dict[bytes, list[int]] = {}
    for model in range(outcomes.shape[1]):
        masks.setdefault(known[:, model].tobytes(), []).append(model)
    found = []
    for models in masks.values():
        mask = known[:, models[0]]
        if mask.any():
            found.append(Memory(np.array(models), places[mask], outcomes[mask][:, models]))
    return tuple(found)


def _top(likeness: Matrix) -> tuple[NDArray[np.intp], Matrix]:
    """The places of the most alike in each row, and how much they are; what is not alike at all weighs next to none."""
    count = min(NEIGHBOURS, likeness.shape[1])
    near = np.argpartition(likeness, likeness.shape[1] - count, axis=1)[:, -count:]
    return near, np.clip(np.take_along_axis(likeness, near, axis=1), 0.01, None)
