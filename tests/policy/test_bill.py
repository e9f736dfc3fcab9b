"""Why a bill changed: parts that add up whatever the numbers are, and each cause alone under its own name."""

from __future__ import annotations

from fractions import Fraction

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.policy.bill import Parts, Spend, Weights, explain, total

COUNTS = st.integers(0, 10**9)


@st.composite
def spends(draw: st.DrawFn) -> Spend:
    answers = draw(st.integers(0, 10**6))
    tokens = [draw(COUNTS) for _ in range(4)] if answers else [0] * 4
    cost = draw(st.integers(0, 10**17)) if answers else 0
    return Spend(answers, *tokens, cost, draw(st.integers(0, 10**15)))


PERIODS = st.dictionaries(st.sampled_from("abcd"), spends())
WEIGHTS = st.builds(Weights, *(st.fractions(0, 100, max_denominator=1000) for _ in range(3)))


def bill(period: dict[str, Spend]) -> int:
    return sum(one.picousd for one in period.values())


def negated(parts: Parts) -> Parts:
    return Parts(*(-part for part in msgspec.structs.astuple(parts)))


@settings(max_examples=300, deadline=None)
@given(PERIODS, PERIODS, st.dictionaries(st.sampled_from("abcd"), WEIGHTS))
def test_the_parts_add_up_to_the_change_to_the_picodollar(
    before: dict[str, Spend], after: dict[str, Spend], weights: dict[str, Weights]
) -> None:
    parts = explain(before, after, weights)
    assert total(parts).total == bill(after) - bill(before)
    nothing = Spend()
    for name, part in parts.items():
        assert part.total == after.get(name, nothing).picousd - before.get(name, nothing).picousd


@settings(max_examples=100, deadline=None)
@given(PERIODS, PERIODS)
def test_the_way_back_has_the_same_parts_with_the_other_sign(before: dict[str, Spend], after: dict[str, Spend]) -> None:
    there, back = explain(before, after), explain(after, before)
    for name, part in there.items():
        # Rounding may move a picodollar between causes.
        pairs = zip(msgspec.structs.astuple(part), msgspec.structs.astuple(negated(back[name])), strict=True)
        assert all(abs(a - b) <= 1 for a, b in pairs)


@settings(deadline=None)
@given(PERIODS)
def test_nothing_changed_is_nothing_to_explain(period: dict[str, Spend]) -> None:
    assert total(explain(period, period)) == Parts()


#                 answers, input, cached, written, output, cost
BASE = Spend(1_000, 1_000_000, 500_000, 0, 200_000, 10**12)


def alone(after: Spend, before: Spend = BASE) -> dict[str, int]:
    """The causes that are not 0, of one target."""
    found = msgspec.structs.asdict(total(explain({"a": before}, {"a": after})))
    return {name: part for name, part in found.items() if part}


def test_twice_as_many_of_the_same_requests_is_volume() -> None:
    assert alone(Spend(2_000, 2_000_000, 1_000_000, 0, 400_000, 2 * 10**12)) == {"volume": 10**12}


def test_the_same_tokens_at_another_price_is_price() -> None:
    assert alone(msgspec.structs.replace(BASE, answer_picousd=7 * 10**11)) == {"price": -3 * 10**11}


def test_longer_prompts_of_the_same_kind_are_prompt_length() -> None:
    # 1,050,000 weighted tokens of input and 800,000 of output; the input doubles.
    cost = 10**12 * 2_900_000 // 1_850_000
    assert alone(msgspec.structs.replace(BASE, input_tokens=2 * 10**6, cached_input_tokens=10**6, answer_picousd=cost))[
        "prompt_length"
    ] == (cost - 10**12)


def test_a_cache_that_is_hit_less_is_cache() -> None:
    cost = 1_850 * 10**9
    before = msgspec.structs.replace(BASE, answer_picousd=cost)
    after = Spend(1_000, 1_500_000, 0, 0, 200_000, 2_300 * 10**9)
    assert alone(after, before) == {"cache": 450 * 10**9}


def test_longer_answers_are_told_apart_from_longer_prompts() -> None:
    before = msgspec.structs.replace(BASE, answer_picousd=1_850 * 10**9)
    after = msgspec.structs.replace(before, output_tokens=400_000, answer_picousd=2_650 * 10**9)
    assert alone(after, before) == {"answer_length": 800 * 10**9}


def test_attempts_beside_the_answers_are_retries() -> None:
    assert alone(msgspec.structs.replace(BASE, extra_picousd=5)) == {"retries": 5}


def test_the_same_requests_at_a_dearer_model_are_mix() -> None:
    dear = Spend(500, 500_000, 250_000, 0, 100_000, 5 * 10**12)
    cheap = Spend(500, 500_000, 250_000, 0, 100_000, 10**12)
    parts = total(explain({"dear": dear, "cheap": cheap}, {"dear": Spend(1_000, 10**6, 500_000, 0, 200_000, 10**13)}))
    assert parts == Parts(mix=4 * 10**12)


def test_a_first_period_without_anything_makes_all_of_it_volume() -> None:
    assert total(explain({}, {"a": BASE})) == Parts(volume=10**12)
    assert total(explain({"a": BASE}, {})) == Parts(volume=-(10**12))


def test_a_target_that_costs_without_counting_tokens_is_priced_by_the_answer() -> None:
    assert alone(Spend(10, answer_picousd=900), Spend(10, answer_picousd=400)) == {"price": 500}


def test_weights_of_a_target_draw_the_line_between_its_causes() -> None:
    flat = {"a": Weights(Fraction(1), Fraction(1), Fraction(1))}
    before, after = Spend(10, 100, 0, 0, 100, 200), Spend(10, 0, 100, 0, 100, 200)
    assert total(explain({"a": before}, {"a": after}, flat)) == Parts()
    usual = total(explain({"a": before}, {"a": after}))
    assert usual.cache < 0 < usual.price
    assert usual.total == 0
