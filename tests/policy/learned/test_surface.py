"""The surface of a prompt: features of any text are finite, and each says what its name says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.policy.learned.cues import CUES, KINDS, OPENINGS
from afterbay.policy.learned.surface import FEATURES, surface


def feature(text: str, name: str) -> float:
    return float(surface(text)[FEATURES.index(name)])


CHOICE = "Which of these is not prime?\nA. 2\nB. 3\nC. 4\nD. 5\nAnswer:"


@given(st.text(max_size=400))
@settings(max_examples=80)
def test_any_text_has_finite_features(text: str) -> None:
    found = surface(text)
    assert found.shape == (len(FEATURES),)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_names_are_each_their_own() -> None:
    assert len(set(FEATURES)) == len(FEATURES)


def test_a_longer_text_counts_more_of_all() -> None:
    for name in ("characters", "words", "sentences", "lines"):
        assert feature("One. Two words here.\nAnd more! Yes.\n" * 9, name) > feature("One.", name)


def test_the_options_of_a_choice_are_compared() -> None:
    assert feature(CHOICE, "options") == 4
    assert feature(CHOICE, "numeric options") == 1
    assert feature(CHOICE, "single words") > 0
    assert feature("Say:\nA) the red fox ran\nB) the red fox sat", "options alike") > 1.2
    assert feature("Say:\nA) one\nB) a much longer option", "option spread") > 1
    assert feature("Which fox?\nA) fox\nB) dog", "options in the stem") == 0.5


def test_one_line_that_looks_like_an_option_is_none() -> None:
    assert feature("A. Lincoln was born where?", "options") == 0
    assert feature("a\nB. Alone", "options") == 0


def test_only_what_is_asked_has_a_form() -> None:
    assert feature(CHOICE, "asks") == 1
    assert feature("The capital of France is\nA. Paris\nB. Rome", "breaks off") == 1
    assert feature("Translate this:", "introduces") == 1
    assert feature("It was ___ cold.", "has a blank") == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("It is not so", "cue negation"),
        ("It isn't so", "cue negation"),
        ("CALCULATE the sum", "cue calculation"),
        ("请计算结果", "cue calculation"),
        ("如果他不来，那么我走", "cue condition"),
        ("write a poem", "cue instruction"),
        ("x^2", "mark ^"),
        ("真的吗？", "mark ?"),
        ("If it rains", "opens with a condition"),
        ("请写一首诗", "opens with an instruction"),
        ("Über den Wolken", "letters outside ASCII"),
        ("你好", "CJK"),
        ("3.14 and 2", "decimals"),
        ("def f():\n    return 1", "indented"),
    ],
)
def test_a_sign_is_seen(text: str, name: str) -> None:
    assert feature(text, name) > 0
    assert feature("plain words here", name) == 0


def test_numbers_are_told_apart() -> None:
    assert feature("7 of 7 and 1,000", "distinct numbers") == pytest.approx(np.log(3))
    assert feature("1,000", "largest number") == 4


def test_every_kind_has_cues() -> None:
    assert set(CUES.values()) == set(range(len(KINDS)))
    assert len(set(OPENINGS)) == len(OPENINGS)
