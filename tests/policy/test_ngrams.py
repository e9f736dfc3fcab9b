"""Hashed n-grams: the same text gives the same buckets, what looks alike counts alike, and length has a bound."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from afterbay.policy.learned.ngrams import ENDS_CHARS, Spec, folded, sparse, trimmed

WORDS = Spec(words=(1,), chars=())


def buckets(text: str, spec: Spec = WORDS) -> set[int]:
    return set(sparse(folded(text), spec).ids.tolist())


def test_words_are_runs_of_letters_and_digits_in_any_case_and_width() -> None:
    assert buckets("Hello, world!") == buckets("WORLD hello") == buckets("ｈｅｌｌｏ world")
    assert len(buckets("one two three two")) == 3
    assert buckets("...") == buckets("") == set()


def test_each_chinese_character_is_a_word() -> None:
    assert len(buckets("你好 世界")) == 4
    assert buckets("你好") | buckets("hello") == buckets("hello你好")


def test_counts_weigh_by_their_logarithm() -> None:
    once, thrice = sparse("a b", WORDS), sparse("a a a b", WORDS)
    assert once.values.tolist() == [1.0, 1.0]
    assert sorted(thrice.values.tolist()) == [1.0, np.float32(1 + np.log(3))]


def test_pairs_of_words_know_their_order() -> None:
    pairs = Spec(words=(2,), chars=())
    assert buckets("dog bites man", pairs) != buckets("man bites dog", pairs)
    assert len(buckets("dog bites man", pairs)) == 2


def test_a_long_text_is_its_two_ends() -> None:
    text = "a" * ENDS_CHARS + "middle" * 9999 + "z" * ENDS_CHARS
    assert trimmed(text) == "a" * ENDS_CHARS + "\n" + "z" * ENDS_CHARS
    assert trimmed("short") == "short"


@given(st.text(max_size=300), st.integers(4, 20))
def test_any_text_has_ascending_buckets_within_the_table(text: str, bits: int) -> None:
    spec = Spec(bits=bits)
    found = sparse(folded(text), spec)
    assert found.ids.dtype == np.uint32
    assert found.values.dtype == np.float32
    assert found.ids.shape == found.values.shape
    assert (np.diff(found.ids.astype(np.int64)) > 0).all()
    assert (found.ids < 1 << bits).all()
    assert (found.values >= 1).all()
    assert (sparse(folded(text), spec).ids == found.ids).all()


def test_different_words_hardly_share_a_bucket() -> None:
    words = [f"word{i}" for i in range(2000)]
    assert len(buckets(" ".join(words), Spec(words=(1,), chars=(), bits=22))) > 1990
