"""How much better the strong model is expected to answer a prompt than the cheap one, learned from a route's own pairs.

One linear head over the n-grams of the prompt, with its length beside them. It regresses the gain itself, not whether
the cheap model fails: where both fail, paying more is no use. Seconds for thousands of pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.core.errors import ClientMistake
from afterbay.policy.certify import thresholds_of
from afterbay.policy.kept_quality import length_gain
from afterbay.policy.learned.fit import Fitted, Table, chosen, rarities, ridge, table
from afterbay.policy.learned.heads import Heads, scores
from afterbay.policy.learned.heads import packed as packed_heads
from afterbay.policy.learned.heads import unpacked as unpacked_heads
from afterbay.policy.learned.imprint import SPEC, Imprint, imprint

LEAST_PAIRS: Final = 200
"""With fewer the length of the prompt predicts as well: measured (docs/benchmarks.md)."""
FOLDS: Final = 5
STRENGTHS: Final = (1.0, 3.0, 10.0, 30.0)

_MAGIC: Final = b"afterbay-gain-1\n"

Numbers = NDArray[np.float64]


class Gain(msgspec.Struct, frozen=True):
    """A trained predictor. `centre`, `spread`: of the logarithm of lengths; `thresholds`: what a certificate tries."""

    heads: Heads
    centre: float
    spread: float
    thresholds: tuple[float, ...]


class Trained(msgspec.Struct, frozen=True):
    """A predictor, and what it was worth on pairs that it had not seen: correlations with the true gain, its own and
    that of the length alone."""

    gain: Gain
    pairs: int
    strength: float
    own: float
    length: float

    @property
    def is_better(self) -> bool:
        """Whether it says more than the length does."""
        return self.own > self.length


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    heads: bytes
    centre: float
    spread: float
    thresholds: tuple[float, ...]


def predicted(gain: Gain, one: Imprint) -> float:
    """The gain that is expected for a prompt."""
    dense = np.array([_standing(gain.centre, gain.spread, one.chars)], np.float32)
    return float(scores(gain.heads, one.text, dense)[0])


def predicted_of(gain: Gain, text: str) -> float:
    """The same for a text. It goes through an imprint's form, so that both agree."""
    return predicted(gain, rounded(imprint(text)))


def rounded(one: Imprint) -> Imprint:
    """An imprint as it would come back from where it is kept."""
    steps = np.clip(np.rint(one.text.values * 16), 1, 255).astype(np.float32) / 16
    return Imprint(msgspec.structs.replace(one.text, values=steps), one.chars)


def train(prompts: Sequence[Imprint], gains: Sequence[float]) -> Trained:
    """A predictor from prompts and the gains that were seen.

    Raises:
        ClientMistake: they are too few.
    """
    if len(prompts) < LEAST_PAIRS:
        raise ClientMistake(
            f"There are {len(prompts)} pairs to learn from, and {LEAST_PAIRS} are the least.",
            remedy="Wait for more shadows, or raise `shadow.share`.",
        )
    lengths = np.array([math.log1p(one.chars) for one in prompts])
    centre, spread = float(lengths.mean()), max(float(lengths.std()), 1e-3)
    texts = [one.text for one in prompts]
    idf = rarities(texts, SPEC.bits)
    dense = np.array([[_standing(centre, spread, one.chars)] for one in prompts], np.float32)
    whole, targets = table(texts, idf, dense), np.asarray(gains, np.float32).reshape(-1, 1)
    held = {strength: _held_out(whole, targets, strength) for strength in STRENGTHS}
    strength = min(STRENGTHS, key=lambda one: float(((held[one] - targets[:, 0]) ** 2).mean()))
    fitted = ridge(whole, targets, strength)
    gain = Gain(fitted.heads(SPEC, ("gain",), idf), centre, spread, thresholds_of(held[strength]))
    own = _correlation(held[strength], targets[:, 0])
    return Trained(gain, len(prompts), strength, own, _correlation(lengths, targets[:, 0]))


def packed(gain: Gain) -> bytes:
    """A predictor as bytes."""
    body = _Packed(packed_heads(gain.heads), gain.centre, gain.spread, gain.thresholds)
    return _MAGIC + msgspec.msgpack.encode(body)


def unpacked(data: bytes) -> Gain:
    """The predictor in some bytes.

    Raises:
        ClientMistake: these are none.
    """
    try:
        if not data.startswith(_MAGIC):
            raise ValueError("they do not begin as one does")
        body = msgspec.msgpack.decode(data[len(_MAGIC) :], type=_Packed)
    except (ValueError, msgspec.MsgspecError) as error:
        raise ClientMistake(f"The bytes hold no predictor of gains: {error}.") from None
    return Gain(unpacked_heads(body.heads), body.centre, body.spread, body.thresholds)


def length_gain_of(one: Imprint) -> float:
    """What the length alone predicts, from an imprint; see `policy.kept_quality.length_gain`."""
    return math.log1p(one.chars) if one.chars else length_gain("")


def _standing(centre: float, spread: float, chars: int) -> float:
    return (math.log1p(chars) - centre) / spread


def _held_out(whole: Table, targets: NDArray[np.float32], strength: float) -> Numbers:
    """What a predictor says of each row that did not see it."""
    found = np.zeros(whole.rows)
    fold = np.arange(whole.rows) % FOLDS
    for one in range(FOLDS):
        known, new = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
        fitted: Fitted = ridge(chosen(whole, known), targets[known], strength)
        found[new] = fitted.of(chosen(whole, new))[:, 0]
    return found


def _correlation(said: Numbers, true: NDArray[np.float32]) -> float:
    if not len(said) or said.std() < 1e-12 or true.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(said, true)[0, 1])
