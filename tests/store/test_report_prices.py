"""What reports take from a configuration: prices as weights, and the model that is the best."""

from __future__ import annotations

from fractions import Fraction

import pytest

from afterbay.core.errors import ClientMistake
from afterbay.core.usage import Price
from afterbay.policy.bill import Weights
from afterbay.policy.plan import Route
from afterbay.store.report_prices import best_of, weights_of
from afterbay.testing.memory_gateway import PRICE, alias, snapshot, target

DEAR = Price(input=5_000_000, output=25_000_000, cached_input=500_000, cache_write=6_250_000)
FREE = Price(0, 0, 0, 0)
MODELS = (
    alias("strong", target("a/opus", price=DEAR)),
    alias("small", target("b/mini")),
    alias("house", target("c/own", price=None)),
    alias("free", target("d/inside", price=FREE)),
    alias("many", target("c/other", price=None), target("b/other")),
)


def test_what_tokens_count_for_is_their_price_in_prices_of_input() -> None:
    assert weights_of(snapshot(*MODELS)) == {
        "a/opus": Weights(Fraction(1, 10), Fraction(5, 4), Fraction(5)),
        "b/mini": Weights(Fraction(1, 10), Fraction(5, 4), Fraction(2)),
        "b/other": Weights(Fraction(1, 10), Fraction(5, 4), Fraction(2)),
    }


@pytest.mark.parametrize(
    ("auto", "best"),
    [
        (Route("auto", complexity={"high": "strong", "low": "small"}, fallback=("small",)), "a/opus"),
        (Route("auto", complexity={"low": "small"}, fallback=("small", "strong")), "b/mini"),
        (Route("auto", candidates=("strong", "small")), "a/opus"),
        (Route("auto", fallback=("gone", "small")), "b/mini"),
    ],
)
def test_the_best_is_the_strongest_of_auto(auto: Route, best: str) -> None:
    assert best_of(snapshot(*MODELS, routes=(auto,)))[0] == best


@pytest.mark.parametrize(
    ("wanted", "best", "price"),
    [("strong", "a/opus", DEAR), ("b/mini", "b/mini", PRICE), ("many", "b/other", PRICE), ("free", "d/inside", FREE)],
)
def test_another_may_be_named(wanted: str, best: str, price: Price) -> None:
    assert best_of(snapshot(*MODELS), wanted) == (best, price)


@pytest.mark.parametrize("wanted", ["nobody", "a/none", "house", ""])
def test_without_a_model_or_a_price_nothing_is_said_to_be_saved(wanted: str) -> None:
    with pytest.raises(ClientMistake) as refused:
        best_of(snapshot(*MODELS), wanted)
    assert refused.value.param == "best"
    assert refused.value.remedy
