"""How well each model would answer a prompt, from the prompt alone: learned from labelled requests, in seconds.

One head a model over two views of a prompt: its hashed n-grams (what it is about) and its surface (what it looks like).
The surface counts through a radial basis: how near the prompt lies to a few hundred typical ones, which are centres of
clusters, so that no single prompt can be read from a predictor. Both views are shrunk alike (ridge), so a prediction
far from everything that was labelled is the model's average. What decides a route is the difference of two heads; as
all is linear in the outcomes, that is the ridge regression of the gain itself.

Where a request has labels of some models only, all labels train a common head first and each model learns how it
differs: a model with few labels is its average plus what is hard for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.core.errors import ClientMistake
from afterbay.policy.learned.fit import Matrix, Table, chosen, rarities, ridge, table, times
from afterbay.policy.learned.heads import Bytes, Heads, packed, quantised, scores, unpacked
from afterbay.policy.learned.ngrams import Sparse, Spec, Values, folded, sparse, trimmed
from afterbay.policy.learned.surface import FEATURES, surface

STRENGTH: Final = 16.0
"""What ridge adds to the diagonal. Flat between 8 and 32 for 700 to 6,000 labels of three sets."""
LANDMARKS: Final = 512
"""At most; one for every three prompts."""
FEWEST_LABELS: Final = 20
"""With fewer there is nothing to learn from."""
_CUE_SHARE: Final = 0.7
"""Cue words count so much less than the other features: there are many, and each is rare."""
_NARROWNESS: Final = 1.0
"""Two typical surfaces lie a squared distance of about twice the number of features apart: their nearness is e **
-2."""
_FARTHEST: Final = 4.0
"""A feature counts at most so many standard deviations."""
_STEP: Final = _FARTHEST / 127
_ROUNDS: Final = 10
_ROWS_A_LANDMARK: Final = 3
_MAGIC: Final = b"afterbay-quality-1\n"


class Prompt(msgspec.Struct, frozen=True):
    """What is learned from of a prompt: its n-grams and its surface."""

    grams: Sparse
    surface: Values


class Predictor(Protocol):
    """What tells how good an answer each model would give."""

    def predict(self, prompt: Prompt) -> Mapping[str, float]:
        """P(good answer) of each model, 0 to 1."""


class Radial(msgspec.Struct, frozen=True):
    """Typical surfaces: `centre` and `scale` (features,) standardise one, `landmarks` (landmarks, features) are
    standardised, in whole steps of 4 / 127 standard deviations, and `squares` (landmarks,) their squared lengths."""

    centre: Values
    scale: Values
    landmarks: Values
    squares: Values


class Quality(msgspec.Struct, frozen=True):
    """A trained predictor: a head for each model, the surface's basis as the heads' dense features, and how many labels
    each model had."""

    heads: Heads
    radial: Radial
    labels: tuple[int, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The models it knows."""
        return self.heads.names

    def raw(self, prompt: Prompt) -> Values:
        """Predictions in the order of `models`, not held between 0 and 1: differences of these are gains."""
        return scores(self.heads, prompt.grams, nearness(self.radial, prompt.surface[None])[0])

    def predict(self, prompt: Prompt) -> Mapping[str, float]:
        """P(good answer) of each model."""
        held: list[float] = np.clip(self.raw(prompt), 0, 1).tolist()
        return dict(zip(self.models, held, strict=True))

    def gain(self, prompt: Prompt, strong: str, weak: str) -> float:
        """How much more likely the strong model's answer is to be good."""
        said = self.raw(prompt)
        return float(said[self.models.index(strong)] - said[self.models.index(weak)])


def read_prompt(text: str, spec: Spec | None = None) -> Prompt:
    """The two views of a text of any length."""
    ends = trimmed(text)
    return Prompt(sparse(folded(ends), spec or Spec()), surface(ends))


def nearness(radial: Radial, surfaces: Matrix) -> Matrix:
    """How near each surface lies to each landmark: (rows, landmarks), 1 where they are the same."""
    return _near(_standard(surfaces, radial.centre, radial.scale), radial)


def _standard(surfaces: Matrix, centre: Values, scale: Values) -> Matrix:
    points: Matrix = np.clip((surfaces - centre) * scale, -_FARTHEST, _FARTHEST).astype(np.float32)
    return points


def _near(points: Matrix, radial: Radial) -> Matrix:
    # One point is not worth the threads that a matrix product of this size wakes; einsum has none.
    along = np.einsum("ij,j->i", radial.landmarks, points[0])[None] if len(points) == 1 else points @ radial.landmarks.T
    apart = (points**2).sum(axis=1)[:, None] + radial.squares - 2 * along
    features = max(int((radial.scale > 0).sum()), 1)
    near: Matrix = np.exp(np.maximum(apart, 0) * np.float32(-_NARROWNESS / features))
    return near


class Settings(msgspec.Struct, frozen=True):
    """How a predictor is trained."""

    spec: Spec = Spec()
    strength: float = STRENGTH
    landmarks: int = LANDMARKS
    seed: int = 0


def train(
    prompts: Sequence[Prompt], outcomes: NDArray[np.floating], models: Sequence[str], settings: Settings | None = None
) -> Quality:
    """Learns from labelled prompts: `outcomes` is (prompts, models), each 0 (bad) to 1 (good) or NaN (not known).

    Raises:
        ClientMistake: there are too few labels, or none of some model.
    """
    how = settings or Settings()
    labels = (~np.isnan(outcomes)).sum(axis=0)
    if len(prompts) < FEWEST_LABELS or not len(models) or not labels.all():
        raise ClientMistake(
            f"There is too little to learn from: {len(prompts)} prompts. "
            f"It takes at least {FEWEST_LABELS}, and an outcome of each model."
        )
    idf = rarities([prompt.grams for prompt in prompts], how.spec.bits)
    radial = _radial(np.stack([prompt.surface for prompt in prompts]), how)
    whitener = _whitener(_near(radial.landmarks, radial))
    near = nearness(radial, np.stack([prompt.surface for prompt in prompts])) @ whitener
    rows = table([prompt.grams for prompt in prompts], idf, near)
    weights, bias = _weights(rows, outcomes.astype(np.float32), how.strength)
    split = len(rows.buckets)
    spread = np.zeros((1 << how.spec.bits, len(models)), np.float32)
    spread[rows.buckets] = weights[:split]
    whole, scales = quantised(spread)
    dense = (whitener.astype(np.float64) @ weights[split:].astype(np.float64)).astype(np.float32)
    return Quality(Heads(how.spec, tuple(models), whole, scales, dense, bias, idf), radial, tuple(labels.tolist()))


def _weights(rows: Table, outcomes: Matrix, strength: float) -> tuple[Matrix, Values]:
    """A column of weights for each model, and their biases."""
    known = ~np.isnan(outcomes)
    if known.all():
        fitted = ridge(rows, outcomes, strength)
        return fitted.weights, fitted.bias
    means = np.nanmean(outcomes, axis=0)
    seen = np.flatnonzero(known.any(axis=1))
    shared = np.nanmean((outcomes - means)[seen], axis=1, keepdims=True)
    part = chosen(rows, seen)
    common = ridge(part, shared, strength)
    base = np.zeros((rows.width, 1), np.float32)
    base[np.searchsorted(rows.buckets, part.buckets)] = common.weights[: len(part.buckets)]
    base[len(rows.buckets) :] = common.weights[len(part.buckets) :]
    expected = times(rows, base) + common.bias
    weights, bias = np.repeat(base, outcomes.shape[1], axis=1), np.zeros(outcomes.shape[1], np.float32)
    for model in range(outcomes.shape[1]):
        own = np.flatnonzero(known[:, model])
        part = chosen(rows, own)
        apart = ridge(part, outcomes[own, model : model + 1] - means[model] - expected[own], strength)
        weights[np.searchsorted(rows.buckets, part.buckets), model] += apart.weights[: len(part.buckets), 0]
        weights[len(rows.buckets) :, model] += apart.weights[len(part.buckets) :, 0]
        bias[model] = means[model] + common.bias[0] + apart.bias[0]
    return weights, bias


def _radial(surfaces: Matrix, how: Settings) -> Radial:
    """Centres of clusters of the standardised surfaces (k-means from random rows, a few rounds)."""
    centre, deviation = surfaces.mean(axis=0), surfaces.std(axis=0)
    share = np.array([_CUE_SHARE if name.startswith("cue ") else 1.0 for name in FEATURES], np.float32)
    scale = np.where(deviation > 1e-6, share / np.maximum(deviation, 1e-6), 0).astype(np.float32)
    points = _standard(surfaces, centre, scale)
    order = np.random.default_rng(how.seed).permutation(len(points))
    marks = points[order[: max(min(how.landmarks, len(points) // _ROWS_A_LANDMARK), 1)]]
    for _ in range(_ROUNDS):
        nearest = ((marks**2).sum(axis=1)[None] - 2 * points @ marks.T).argmin(axis=1)
        count = np.bincount(nearest, minlength=len(marks))
        total = np.zeros_like(marks)
        np.add.at(total, nearest, points)
        marks = np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], marks)
    return _marked(centre.astype(np.float32), scale, np.rint(marks / _STEP).astype(np.int8))


def _marked(centre: Values, scale: Values, steps: Bytes) -> Radial:
    landmarks = steps.astype(np.float32) * np.float32(_STEP)
    return Radial(centre, scale, landmarks, (landmarks**2).sum(axis=1))


def _whitener(kernel: Matrix) -> Matrix:
    """What turns nearness to landmarks into coordinates whose products are the kernel (Nyström)."""
    values, vectors = np.linalg.eigh(kernel.astype(np.float64))
    whitener: Matrix = (vectors / np.sqrt(np.maximum(values, 0) + 1e-4)).astype(np.float32)
    return whitener


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    heads: bytes
    features: int
    centre: bytes
    scale: bytes
    landmarks: bytes
    labels: tuple[int, ...]


def to_bytes(quality: Quality) -> bytes:
    """A predictor as bytes, the same for the same predictor."""
    radial = quality.radial
    body = _Packed(
        packed(quality.heads),
        len(radial.centre),
        radial.centre.astype("<f4").tobytes(),
        radial.scale.astype("<f4").tobytes(),
        np.rint(radial.landmarks / _STEP).astype(np.int8).tobytes(),
        quality.labels,
    )
    return _MAGIC + msgspec.msgpack.encode(body)


def from_bytes(data: bytes) -> Quality:
    """The predictor in some bytes.

    Raises:
        ClientMistake: they hold none, or one of another version's features.
    """
    try:
        if not data.startswith(_MAGIC):
            raise ValueError("they do not begin as a predictor does")
        body = msgspec.msgpack.decode(data[len(_MAGIC) :], type=_Packed)
        if body.features != len(FEATURES):
            raise ValueError(f"it was trained on {body.features} features, this version reads {len(FEATURES)}")
        radial = _marked(
            np.frombuffer(body.centre, "<f4").reshape(body.features),
            np.frombuffer(body.scale, "<f4").reshape(body.features),
            np.frombuffer(body.landmarks, np.int8).reshape(-1, body.features),
        )
    except (ValueError, msgspec.MsgspecError) as error:
        raise ClientMistake(f"The bytes hold no predictor: {error}. Train it again.") from None
    return Quality(unpacked(body.heads), radial, body.labels)
