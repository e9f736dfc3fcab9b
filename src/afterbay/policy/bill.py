"""Why a bill changed: the difference of two periods, split into causes that add up to it, to the picodollar.

A bill is what the answers cost plus what attempts beside the answers cost (failed, raced, repaired):

    bill = sum over targets s of  N * share_s * (input_s * blend_s + output_s) * price_s   +   extra

`N`: priced answers in all; `share_s`: the target's part of them; `input_s`: input tokens an answer, cached or not;
`blend_s`: what a token of that input counts for, 1 at the full price and less from a cache; `output_s`: output tokens
an answer, times what one counts for; `price_s`: what is left, the cost of one token at the full price. `Weights` say
what tokens count for. They are the same in both periods, so that a change of them cannot hide in a cause, and whatever
they are, the product is what was paid: better weights only draw the line between causes better.

Each target's difference goes to the six causes by their Shapley values: the mean, over all orders in which the factors
could have changed one after the other, of what each change made. No order is preferred, the parts add up, and
explaining the way back gives the same parts with the other sign. `extra` is the seventh. A factor that a target has in
one period only (it was not asked before) is taken from that period, so its cost lies in `mix` and `volume`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from fractions import Fraction
from itertools import combinations
from math import factorial
from typing import Final, TypeVar

import msgspec

Segment = TypeVar("Segment", bound=Hashable)


class Weights(msgspec.Struct, frozen=True):
    """What a token counts for, beside an input token at the full price."""

    cached_input: Fraction = Fraction(1, 10)
    cache_write: Fraction = Fraction(5, 4)
    output: Fraction = Fraction(4)


USUAL: Final = Weights()
"""For a target whose prices are not known: as most providers' lists have it in November 2026."""


class Spend(msgspec.Struct, frozen=True):
    """What one target answered in one period, and what it cost: only answers whose cost is known, in picodollars.

    Without an answer `answer_picousd` is 0.
    """

    answers: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    answer_picousd: int = 0
    extra_picousd: int = 0
    """Attempts beside the answers."""

    @property
    def picousd(self) -> int:
        """All of it."""
        return self.answer_picousd + self.extra_picousd


class Parts(msgspec.Struct, frozen=True):
    """Causes of a change, in picodollars. They add up to it exactly."""

    volume: int = 0
    mix: int = 0
    prompt_length: int = 0
    cache: int = 0
    answer_length: int = 0
    price: int = 0
    retries: int = 0

    @property
    def total(self) -> int:
        """The whole change."""
        return sum(msgspec.structs.astuple(self))

    def __add__(self, other: Parts) -> Parts:
        """Cause by cause."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Parts(*(a + b for a, b in pairs))


_CAUSES: Final = 6
"""Of the answers: all but `retries`, in the order of `Parts` and of `_factors`."""


def explain(
    before: Mapping[Segment, Spend], after: Mapping[Segment, Spend], weights: Mapping[Segment, Weights] = {}
) -> dict[Segment, Parts]:
    """The parts by target, of every target of either period. Their sum is the change of the bill."""
    answers = sum(one.answers for one in before.values()), sum(one.answers for one in after.values())
    nothing = Spend()
    return {
        name: _split((before.get(name, nothing), after.get(name, nothing)), answers, weights.get(name, USUAL))
        for name in dict.fromkeys((*before, *after))
    }


def total(parts: Mapping[Segment, Parts]) -> Parts:
    """All targets together."""
    return sum(parts.values(), Parts())


def _split(spends: tuple[Spend, Spend], answers: tuple[int, int], weights: Weights) -> Parts:
    old, new = spends
    retries = new.extra_picousd - old.extra_picousd
    if not old.answers and not new.answers:
        return Parts(retries=retries)
    plain = any(one.answers and not _weighted(one, weights) for one in spends)
    known = [_factors(one, weights, plain) if one.answers else None for one in spends]
    shares = [Fraction(one.answers, of) if of else None for one, of in zip(spends, answers, strict=True)]
    low, high = (
        [Fraction(answers[i]), *_merged([shares[i]], [shares[1 - i]]), *_merged(known[i], known[1 - i])] for i in (0, 1)
    )
    exact = _shapley(low, high)
    return Parts(*_whole(exact, new.answer_picousd - old.answer_picousd)) + Parts(retries=retries)


def _weighted(one: Spend, weights: Weights) -> Fraction:
    """The tokens of the answers, as many at the full price of input."""
    return _input(one, weights) + one.output_tokens * weights.output


def _input(one: Spend, weights: Weights) -> Fraction:
    written, cached = one.cache_write_tokens * weights.cache_write, one.cached_input_tokens * weights.cached_input
    return one.input_tokens + written + cached


def _factors(one: Spend, weights: Weights, plain: bool) -> list[Fraction | None]:
    """Input tokens an answer, blend, weighted output an answer, price. `plain`: the tokens of one of the periods count
    for nothing, so that an answer's cost is its price.
    """
    if plain:
        return [Fraction(0), Fraction(0), Fraction(1), Fraction(one.answer_picousd, one.answers)]
    read = one.input_tokens + one.cached_input_tokens + one.cache_write_tokens
    return [
        Fraction(read, one.answers),
        _input(one, weights) / read if read else None,
        one.output_tokens * weights.output / one.answers,
        one.answer_picousd / _weighted(one, weights),
    ]


def _merged(own: list[Fraction | None] | None, other: list[Fraction | None] | None) -> list[Fraction]:
    """A period's factors; those that it has not are the other one's, and where neither has one it multiplies 0."""
    mine, theirs = own or other or [], other or own or []
    return [next((x for x in pair if x is not None), Fraction(1)) for pair in zip(mine, theirs, strict=True)]


def _cost(factors: list[Fraction]) -> Fraction:
    answers, share, read, blend, written, price = factors
    return answers * share * (read * blend + written) * price


def _shapley(low: list[Fraction], high: list[Fraction]) -> list[Fraction]:
    """What each factor's change made, as the mean over all orders."""
    worth: dict[frozenset[int], Fraction] = {}
    for size in range(_CAUSES + 1):
        for chosen in combinations(range(_CAUSES), size):
            worth[frozenset(chosen)] = _cost([high[i] if i in chosen else low[i] for i in range(_CAUSES)])
    orders = factorial(_CAUSES)
    return [
        sum(
            (
                Fraction(factorial(len(without)) * factorial(_CAUSES - len(without) - 1), orders)
                * (worth[without | {cause}] - worth[without])
                for without in worth
                if cause not in without
            ),
            Fraction(0),
        )
        for cause in range(_CAUSES)
    ]


def _whole(exact: list[Fraction], change: int) -> list[int]:
    """Rounded to whole picodollars so that they still add up: the largest remainders are rounded away from zero."""
    parts = [int(one) for one in exact]
    left = change - sum(parts)
    towards = 1 if left > 0 else -1
    by_rest = sorted(range(len(exact)), key=lambda i: (towards * (parts[i] - exact[i]), i))
    for i in by_rest[: abs(left)]:
        parts[i] += towards
    return parts
