"""The numbers of a text, and the one that an answer comes down to."""

from __future__ import annotations

from fractions import Fraction

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.policy.checks.numbers import figures, final_of, value_of, word_numbers


def test_figures_are_found_with_commas_and_decimals() -> None:
    assert figures("2 dogs, $1,200.50, .5 and 3.") == [2, Fraction(2401, 2), Fraction(1, 2), 3]


def test_an_identifier_is_no_quantity() -> None:
    assert figures("id 12345678901234567890123456789012345") == []
    assert value_of("-") is None


def test_number_words_count_in_english_and_chinese() -> None:
    assert word_numbers("Twice a dozen, half of it") == [2, 12, Fraction(1, 2)]
    assert word_numbers("三个苹果的一半") == [3, 1, Fraction(1, 2)]


@pytest.mark.parametrize(
    ("text", "value", "how"),
    [
        ("so 3 + 4 = 7\n#### 7", 7, "marked"),
        ("#### 60 minutes", 60, "marked"),
        ("#### -$1,200.5", Fraction(-2401, 2), "marked"),
        ("thus \\boxed{42}.", 42, "marked"),
        ("thus \\boxed{\\frac{3}{4}}", Fraction(3, 4), "marked"),
        ("#### 3/4", Fraction(3, 4), "marked"),
        ("The answer is $18.", 18, "said"),
        ("**Final answer: 5 apples**", 5, "said"),
        ("所以答案是 12 个。", 12, "said"),
        ("He has 3 dogs and 4 cats.", 4, "last"),
    ],
)
def test_the_final_number_is_found(text: str, value: Fraction, how: str) -> None:
    final = final_of(text)
    assert final is not None
    assert (final.value, final.how) == (value, how)


@pytest.mark.parametrize("text", ["", "none at all", "\\boxed{x}"])
def test_there_may_be_none(text: str) -> None:
    assert final_of(text) is None


@given(st.text(alphabet="0123456789#\\boxed{}frac/.,- answeris答案是\n", max_size=200))
def test_no_text_makes_it_fail(text: str) -> None:
    final_of(text)
    figures(text)
    word_numbers(text)
