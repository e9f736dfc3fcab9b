"""How much better the strong model is expected to answer a prompt than the cheap one, learned from a route's own pairs.

The router's predictor (`policy.learned.quality`) with one head, for the gain itself: where both models fail, paying
more is no use. It comes with the thresholds that a certificate is to try, which have to be fixed before the first pair
that it certifies with: quantiles of what it says of its own examples, each scored by a predictor that did not see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.core.errors import ClientMistake
from afterbay.policy.certify import thresholds_of
from afterbay.policy.learned.imprint import Imprint, imprint
from afterbay.policy.learned.quality import Quality, from_bytes, to_bytes
from afterbay.policy.learned.quality import train as train_quality

LEAST_PAIRS: Final = 200
"""With fewer the length of the prompt predicts as well (docs/router.md)."""
FOLDS: Final = 5
HEAD: Final = "gain"

_MAGIC: Final = b"afterbay-gain-1\n"

Numbers: TypeAlias = NDArray[np.float64]


class Gain(msgspec.Struct, frozen=True):
    """A trained predictor, and what a certificate tries with it."""

    quality: Quality
    thresholds: tuple[float, ...]


class Trained(msgspec.Struct, frozen=True):
    """A predictor, and what it was worth on pairs that it had not seen: correlations with the true gain, its own and
    that of the length alone."""

    gain: Gain
    pairs: int
    own: float
    length: float

    @property
    def is_better(self) -> bool:
        """Whether it says more than the length does."""
        return self.own > self.length


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    quality: bytes
    thresholds: tuple[float, ...]


def predicted(gain: Gain, one: Imprint) -> float:
    """The gain that is expected for a prompt."""
    return float(gain.quality.raw(one.prompt)[0])


def predicted_of(gain: Gain, text: str) -> float:
    """The same for what a user says."""
    return predicted(gain, imprint(text))


def length_gain_of(one: Imprint) -> float:
    """What the length alone predicts, from an imprint: as `policy.kept_quality.length_gain` does from the text."""
    return math.log1p(one.chars)


def train(prompts: Sequence[Imprint], gains: Sequence[float]) -> Trained:
    """A predictor from prompts and the gains that were seen. Seconds for thousands.

    Raises:
        ClientMistake: they are too few.
    """
    if len(prompts) < LEAST_PAIRS:
        raise ClientMistake(
            f"There are {len(prompts)} pairs to learn from, and {LEAST_PAIRS} are the least.",
            remedy="Wait for more shadows, or raise `shadow.share`.",
        )
    targets = np.asarray(gains, np.float64).reshape(-1, 1)
    held = np.zeros(len(prompts))
    fold = np.arange(len(prompts)) % FOLDS
    for one in range(FOLDS):
        quality = _trained(prompts, targets, np.flatnonzero(fold != one))
        for row in np.flatnonzero(fold == one).tolist():
            held[row] = quality.raw(prompts[row].prompt)[0]
    gain = Gain(_trained(prompts, targets, np.arange(len(prompts))), thresholds_of(held))
    lengths = np.array([length_gain_of(one) for one in prompts])
    return Trained(gain, len(prompts), _correlation(held, targets[:, 0]), _correlation(lengths, targets[:, 0]))


def packed(gain: Gain) -> bytes:
    """A predictor as bytes, the same for the same predictor."""
    return _MAGIC + msgspec.msgpack.encode(_Packed(to_bytes(gain.quality), gain.thresholds))


def unpacked(data: bytes) -> Gain:
    """The predictor in some bytes.

    Raises:
        ClientMistake: these are none, or of another version's features.
    """
    try:
        if not data.startswith(_MAGIC):
            raise ValueError("they do not begin as one does")
        body = msgspec.msgpack.decode(data[len(_MAGIC) :], type=_Packed)
    except (ValueError, msgspec.MsgspecError) as error:
        raise ClientMistake(f"The bytes hold no predictor of gains: {error}. Train it again.") from None
    return Gain(from_bytes(body.quality), body.thresholds)


def _trained(prompts: Sequence[Imprint], targets: Numbers, rows: NDArray[np.intp]) -> Quality:
    return train_quality([prompts[row].prompt for row in rows.tolist()], targets[rows], (HEAD,))


def _correlation(said: Numbers, true: Numbers) -> float:
    if said.std() < 1e-12 or true.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(said, true)[0, 1])
