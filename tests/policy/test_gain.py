"""A predictor of gains learns what its pairs say, and comes back from bytes as it was."""

from __future__ import annotations

import random

import pytest

from afterbay.core.errors import ClientMistake
from afterbay.policy.kept_quality import length_gain
from afterbay.policy.learned.gain import (
    LEAST_PAIRS,
    Trained,
    length_gain_of,
    packed,
    predicted,
    predicted_of,
    train,
    unpacked,
)
from afterbay.policy.learned.imprint import Imprint, imprint
from afterbay.policy.learned.imprint import packed as packed_imprint
from afterbay.policy.learned.imprint import unpacked as unpacked_imprint

EASY = "Translate this greeting into French please: {}"
HARD = "Prove that the eigenvalues of this hermitian matrix are real: {}"


def prompts(count: int, seed: int = 1) -> tuple[list[Imprint], list[float]]:
    """Two kinds of the same lengths; the strong model is needed for one of them, mostly."""
    draws = random.Random(seed)
    texts, gains = [], []
    for number in range(count):
        is_hard = draws.random() < 0.5
        words = " ".join(draws.choice(("alpha", "beta", "gamma", "delta")) for _ in range(draws.randint(1, 12)))
        texts.append((HARD if is_hard else EASY).format(f"{words} {number}"))
        gains.append(float(draws.random() < (0.8 if is_hard else 0.05)))
    return [imprint(text) for text in texts], gains


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(*prompts(400))


def test_it_tells_kinds_of_requests_apart_where_the_length_does_not(trained: Trained) -> None:
    assert trained.is_better
    assert trained.own > 0.5 > trained.length
    assert predicted_of(trained.gain, HARD.format("x")) > predicted_of(trained.gain, EASY.format("x")) + 0.3


def test_a_live_text_and_its_kept_imprint_have_the_same_gain(trained: Trained) -> None:
    text = HARD.format("one two three")
    kept = unpacked_imprint(packed_imprint(imprint(text)))
    assert predicted(trained.gain, kept) == predicted_of(trained.gain, text)
    assert length_gain_of(kept) == pytest.approx(length_gain(text))


def test_it_comes_back_from_bytes_as_it_was(trained: Trained) -> None:
    again = unpacked(packed(trained.gain))
    assert predicted_of(again, EASY.format("y")) == predicted_of(trained.gain, EASY.format("y"))
    assert again.thresholds == trained.gain.thresholds
    assert list(again.thresholds) == sorted(set(again.thresholds))


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(ClientMistake, match=f"{LEAST_PAIRS} are the least"):
        train(*prompts(LEAST_PAIRS - 1))


@pytest.mark.parametrize("data", [b"", b"afterbay-gain-1\n", b"afterbay-gain-1\n\x94\xc4\x00\x00\x00\x90"])
def test_bytes_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(ClientMistake, match="hold no"):
        unpacked(data)
