"""Usage in disjoint buckets, and what it costs: kinds, tiers of service, dates, hours, the provider's own word."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.decision import Target
from afterbay.core.usage import DAY_S, Price, Usage, nested, told_picousd

PLAIN = Price(input=100, output=500, cached_input=10, cache_write=125)
COUNT = st.integers(0, 10_000)


@given(prompt=COUNT, completion=COUNT, cached=COUNT, written=COUNT, reasoning=COUNT, total=st.none() | COUNT)
def test_whatever_a_host_counts_no_bucket_is_negative_and_their_sum_is_its_total_or_a_stray_says_by_how_much_not(
    prompt: int, completion: int, cached: int, written: int, reasoning: int, total: int | None
) -> None:
    found = nested(prompt, completion, cached=cached, written=written, reasoning=reasoning, total=total)
    assert min(found.buckets) >= 0
    if total is not None and not found.stray:
        assert found.total == total
    if total is not None:
        assert found.total >= min(total, prompt + completion)


def test_counts_inside_each_other_and_beside_each_other_come_out_the_same() -> None:
    inside = nested(100, 50, cached=30, reasoning=20, total=150)
    beside = nested(70, 30, cached=30, reasoning=20, total=150)
    assert inside == beside == Usage(70, 30, 0, 30, 20)


def test_what_the_total_has_beyond_the_counts_is_billed_as_output_and_told() -> None:
    found = nested(100, 50, total=180)
    assert (found.total_output, found.stray, found.total) == (80, 30, 180)


def test_a_total_below_the_counts_takes_nothing_away_and_is_told() -> None:
    found = nested(100, 50, total=120)
    assert (found.total, found.stray) == (150, -30)


def test_a_kind_that_is_larger_than_its_bucket_is_only_as_large_as_that() -> None:
    assert nested(10, 5, cached=4, parts=(("audio_input", 99), ("search", 99))).parts == (
        ("audio_input", 6),
        ("search", 99),
    )


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(10, 4, 2, 3, 1), 10 * 100 + 4 * 10 + 2 * 125 + 4 * 500),
        (Usage(10, parts=(("audio_input", 4),)), 6 * 100 + 4 * 700),
        (Usage(0, 0, 10, parts=(("cache_write_1h", 4),)), 6 * 125 + 4 * 200),
        (Usage(10, parts=(("image_input", 4),)), 1000),
        (Usage(10, output_tokens=10, parts=(("unbilled_input", 9), ("unbilled_output", 4))), 100 + 6 * 500),
        (Usage(0, parts=(("search", 3),)), 3 * 9000),
        (Usage(0, parts=(("file_search", 3),)), 0),
        (Usage(10, service="batch"), 500),
        (Usage(10, service="nobody knows"), 1000),
        (Usage(1000), 1000 * 200),
        (Usage(1000, service="batch"), 1000 * 100),
    ],
)
def test_each_kind_of_token_and_each_tier_has_its_price(usage: Usage, cost: int) -> None:
    batch = Price(50, 250, 5, 60, tiers=((999, Price(100, 500, 10, 120)),))
    price = Price(
        100,
        500,
        10,
        125,
        tiers=((999, Price(200, 1000, 20, 250)),),
        kinds=(("audio_input", 700), ("cache_write_1h", 200), ("search", 9000)),
        services=(("batch", batch),),
    )
    assert price.cost_picousd(usage) == cost


def test_what_a_request_costs_besides_is_added_once() -> None:
    assert Price(100, 500, 10, 125, request=7).cost_picousd(Usage(1)) == 107


def test_the_price_of_the_day_and_of_the_hour_holds() -> None:
    night = Price(50, 250, 5, 60)
    later = Price(80, 400, 8, 100, hours=((0, Price(80, 400, 8, 100)), (3600, night)))
    price = Price(100, 500, 10, 125, dates=((10 * DAY_S, later),))
    assert price.at(10 * DAY_S - 1) is price
    assert price.at(10 * DAY_S).input == 80
    assert price.at(10 * DAY_S + 3600) is night
    assert price.at(11 * DAY_S).input == 80


def a_target(price: Price | None = PLAIN, *, tells_cost: bool = False) -> Target:
    return Target("p/m", "m", "p", "m", "openai.chat", price=price, tells_cost=tells_cost)


def test_a_provider_that_tells_what_it_bills_is_believed_and_others_only_where_nothing_else_is_known() -> None:
    usage = Usage(10, told_picousd=42)
    assert a_target(tells_cost=True).cost_picousd(usage) == 42
    assert a_target().cost_picousd(usage) == 1000
    assert a_target(None).cost_picousd(usage) == 42
    assert a_target(None).cost_picousd(Usage(10)) is None
    assert a_target().cost_picousd(None) is None
    assert a_target(tells_cost=True).cost_picousd(Usage(10)) == 1000


def test_the_price_is_the_one_of_the_moment_that_it_was_asked_for() -> None:
    target = a_target(Price(100, 500, 10, 125, dates=((1000, PLAIN), (2000, Price(1, 1, 1, 1)))))
    assert target.cost_picousd(Usage(10), 1999.0) == 1000
    assert target.cost_picousd(Usage(10), 2000.0) == 10


def test_a_cost_that_is_not_sure_is_marked() -> None:
    known = a_target(Price(100, 500, 10, 125, services=(("batch", PLAIN),)))
    for unsure in (Usage(10, stray=1), Usage(10, stray=-1), Usage(10, service="priority")):
        marked = known.marked(unsure)
        assert marked is not None
        assert marked.estimated
    for sure in (Usage(10), Usage(10, service="batch"), Usage(10, estimated=True), None):
        assert known.marked(sure) is sure
    told = Usage(10, stray=5, told_picousd=42)
    assert a_target(tells_cost=True).marked(told) is told


@pytest.mark.parametrize(
    ("usd", "picousd"),
    [
        (0.1, 100_000_000_000),
        (1e-7, 100_000),
        (0, None),
        (-1, None),
        ("1", None),
        (True, None),
        (None, None),
        (1e9, None),
    ],
)
def test_a_told_cost_is_a_positive_number_of_dollars_that_can_be(usd: object, picousd: int | None) -> None:
    assert told_picousd(usd) == picousd


RATE = st.integers(0, 1000)
A_PRICE = st.builds(Price, RATE, RATE, RATE, RATE, request=RATE)
TIERED = st.builds(
    lambda price, tiers: msgspec.structs.replace(price, tiers=tuple(sorted(tiers.items()))),
    A_PRICE,
    st.dictionaries(st.sampled_from([100, 5_000]), A_PRICE),
)


@given(
    usual=TIERED,
    services=st.dictionaries(st.sampled_from(["priority", "flex", "fast"]), TIERED),
    counts=st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT),
)
def test_no_tier_of_service_costs_more_than_the_dearest(
    usual: Price, services: dict[str, Price], counts: tuple[int, int, int, int, int]
) -> None:
    price = msgspec.structs.replace(usual, services=tuple(services.items()))
    dearest = price.dearest()
    for service in ("", *services):
        assert price.cost_picousd(Usage(*counts, service=service)) <= dearest.cost_picousd(Usage(*counts))
