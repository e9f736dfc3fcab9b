"""Linear heads: what bytes hold is what scored, rare buckets weigh more, and broken bytes are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.core.errors import ClientMistake
from afterbay.policy.learned.heads import Heads, packed, quantised, rarity, scores, unit, unpacked
from afterbay.policy.learned.ngrams import Sparse, Spec, folded, sparse

SPEC = Spec(bits=8)


def heads(seed: int = 0, features: int = 3, with_idf: bool = True) -> Heads:
    rng = np.random.default_rng(seed)
    weights, scales = quantised(rng.normal(size=(256, 2)))
    idf = rng.integers(1, 255, 256).astype(np.uint8) if with_idf else None
    dense = rng.normal(size=(features, 2)).astype(np.float32)
    return Heads(SPEC, ("a", "b"), weights, scales, dense, np.array([0.5, -0.5], np.float32), idf)


def test_a_text_of_nothing_scores_the_bias() -> None:
    assert scores(heads(), sparse("", SPEC)).tolist() == [0.5, -0.5]


def test_scores_are_the_products_of_weights_and_a_vector_of_length_one() -> None:
    found = heads(with_idf=False)
    text = Sparse(np.array([3, 7], np.uint32), np.array([3.0, 4.0], np.float32))
    weights = found.weights.astype(np.float64) * found.scales
    expected = 0.6 * weights[3] + 0.8 * weights[7] + found.bias + found.dense.sum(axis=0)
    assert scores(found, text, np.ones(3, np.float32)) == pytest.approx(expected, abs=1e-5)


def test_a_rare_bucket_weighs_more() -> None:
    idf = rarity(np.array([100, 1]), 100)
    values = unit(Sparse(np.array([0, 1], np.uint32), np.ones(2, np.float32)), idf)
    assert values[1] > 3 * values[0]
    assert float(values @ values) == pytest.approx(1, abs=1e-6)


@given(st.text(max_size=80), st.integers(0, 5), st.integers(0, 4), st.booleans())
@settings(max_examples=30)
def test_bytes_keep_what_a_head_says(text: str, seed: int, features: int, with_idf: bool) -> None:
    before = heads(seed, features, with_idf)
    after = unpacked(packed(before))
    assert packed(after) == packed(before)
    grams, dense = sparse(folded(text), SPEC), np.ones(features, np.float32)
    assert scores(after, grams, dense).tolist() == scores(before, grams, dense).tolist()


def test_whole_bytes_are_close_to_the_weights() -> None:
    weights = np.random.default_rng(0).normal(size=(256, 3)) * [1, 100, 0.001]
    whole, scales = quantised(weights)
    assert (np.abs(whole * scales - weights) <= scales * 0.51).all()
    assert quantised(np.zeros((4, 1)))[0].tolist() == [[0]] * 4


@pytest.mark.parametrize("broken", [b"", b"something else", packed(heads())[:-20], packed(heads())[:17] + b"x" * 40])
def test_broken_bytes_are_refused(broken: bytes) -> None:
    with pytest.raises(ClientMistake, match="hold no heads"):
        unpacked(broken)
