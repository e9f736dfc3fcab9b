"""What an attempt may cost: the least and the most of it, and the length that a rest of money buys."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.core.usage import Price, Usage, dollars, picousd
from afterbay.policy.spending import (
    LEAST_OUTPUT,
    Need,
    input_cost,
    least_cost,
    longest_output,
    most_cost,
    output_for,
)

PRICE = Price(3, 15, 1, 4)
FREE = Price(0, 0, 0, 0)
LONG = Price(3, 15, 1, 4, ((1_000, Price(6, 22, 2, 8)),))


def test_the_least_is_the_input_and_a_short_answer() -> None:
    assert least_cost(PRICE, Need(100)) == 300 + LEAST_OUTPUT * 15
    assert least_cost(PRICE, Need(100, asked=10)) == 300 + 10 * 15
    assert least_cost(PRICE, Need(100, asked=10, choices=3)) == 300 + 3 * 10 * 15
    assert least_cost(PRICE, Need(100, writes=False)) == 300


def test_thinking_that_was_asked_for_belongs_to_the_least() -> None:
    assert Need(1, thinking=2_000).least_output == 2_000 + LEAST_OUTPUT
    assert Need(1, asked=2_100, thinking=2_000).least_output == 2_100


def test_a_long_prompt_makes_output_dearer_too() -> None:
    assert least_cost(LONG, Need(2_000, asked=1)) == 2_000 * 6 + 22
    assert input_cost(LONG, Need(1_000)) == 3_000


@pytest.mark.parametrize(
    ("need", "max_output", "context", "longest"),
    [
        (Need(10), None, None, None),
        (Need(10, asked=50), None, None, 50),
        (Need(10, asked=50), 40, 1_000, 40),
        (Need(10), None, 1_000, 990),
        (Need(2_000), None, 1_000, LEAST_OUTPUT),
    ],
)
def test_the_longest_answer_is_the_least_of_what_bounds_it(
    need: Need, max_output: int | None, context: int | None, longest: int | None
) -> None:
    assert longest_output(need, max_output, context) == longest


def test_what_costs_nothing_has_no_length() -> None:
    assert output_for(FREE, Need(10), 0) is None
    assert output_for(PRICE, Need(10, writes=False), 10**6) is None


NEEDS = st.builds(
    Need,
    st.integers(0, 3_000),
    st.one_of(st.none(), st.integers(1, 100_000)),
    st.integers(0, 5_000),
    st.integers(1, 4),
)


@given(NEEDS, st.sampled_from([PRICE, LONG]), st.integers(0, 10**7), st.integers(0, 100))
def test_an_answer_of_the_length_that_was_bought_costs_no_more_than_there_was(
    need: Need, price: Price, rest: int, error_percent: int
) -> None:
    """However long the input turns out to be within the margin; but for the short answer that is always granted."""
    bought = output_for(price, need, rest)
    assert bought is not None
    assert bought >= need.least_output
    most = most_cost(price, need, bought)
    assert most <= rest or bought == need.least_output
    read = need.input_tokens
    if not price.tiers:
        read += read * min(error_percent, 25) // 100
    assert price.cost_picousd(Usage(input_tokens=read, output_tokens=bought * need.choices)) <= most


@given(NEEDS, st.integers(0, 10**7), st.integers(0, 10**7))
def test_more_money_buys_no_shorter_an_answer(need: Need, one: int, other: int) -> None:
    little, much = (output_for(PRICE, need, rest) or 0 for rest in sorted((one, other)))
    assert little <= much


@given(NEEDS)
def test_the_most_is_never_below_the_least(need: Need) -> None:
    assert most_cost(PRICE, need, need.least_output) >= least_cost(PRICE, need)


@pytest.mark.parametrize(
    ("usd", "amount"),
    [(0.5, 500_000_000_000), (0.1, 100_000_000_000), (1e-9, 1_000), (0, 0), (0.000012345678, 12_345_678)],
)
def test_dollars_become_picodollars_without_a_fraction_lost(usd: float, amount: int) -> None:
    assert picousd(usd) == amount


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.00"),
        (500_000_000_000, "$0.50"),
        (12_345_678_000_000, "$12.35"),
        (12_345_678, "$0.0000123"),
        (7, "$0.000000000007"),
    ],
)
def test_money_is_told_to_three_digits(amount: int, text: str) -> None:
    assert dollars(amount) == text
