"""Prices: whole picodollars, tiers, the highest of a day, and no memory left behind."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from afterbay.config import prices
from afterbay.config.catalog import catalog
from afterbay.config.prices import Query, picousd_per_token, price_of, prices_of
from afterbay.core.usage import Kind, Price, Usage

NOW = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)


def test_a_listed_price_is_whole_picodollars_a_token() -> None:
    for provider, model, listed in (
        ("openai", "gpt-4o-2024-11-20", (2_500_000, 10_000_000, 1_250_000, 2_500_000)),
        ("anthropic", "claude-opus-4-6", (5_000_000, 25_000_000, 500_000, 6_250_000)),
    ):
        price = price_of(provider, model, NOW)
        assert price is not None
        assert (price.input, price.output, price.cached_input, price.cache_write) == listed


def test_a_list_is_found_by_its_address_too() -> None:
    assert price_of("https://api.groq.com/openai/v1", "llama-3.1-8b-instant", NOW) == Price(50000, 80000, 50000, 50000)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("nobody", "gpt-4o"),
        ("https://nobody.example/v1", "gpt-4o"),
        ("openai", "whisper-1"),
    ],
)
def test_an_unknown_price_is_none_and_never_zero(provider: str, model: str) -> None:
    assert price_of(provider, model, NOW) is None


def test_a_model_without_any_price_on_its_row_is_unknown() -> None:
    assert price_of("mistral", "mistral-nemo:free", NOW) is None


def test_long_prompts_have_their_own_price() -> None:
    price = price_of("anthropic", "claude-sonnet-4-5", NOW)
    assert price is not None
    kinds: tuple[tuple[Kind, int], ...] = (("cache_write_1h", 12_000_000), ("search", 10_000_000_000))
    assert price.tiers == ((200_000, Price(6_000_000, 22_500_000, 600_000, 7_500_000, kinds=kinds)),)


def test_a_price_that_changes_with_the_hour_is_the_one_of_the_hour_and_the_dearest_before_it_is_known() -> None:
    night = price_of("deepseek", "deepseek-v4-flash", NOW)
    day = price_of("deepseek", "deepseek-v4-flash", NOW.replace(hour=2))
    assert night == day
    assert night is not None
    assert night.input == 300_000
    assert {night.at(NOW.replace(hour=hour).timestamp()).input for hour in range(24)} == {150_000, 300_000}
    assert night.at(NOW.replace(hour=2).timestamp()).input == 300_000
    assert night.at(NOW.replace(hour=20).timestamp()).input == 150_000


def test_a_batch_a_tier_of_service_and_what_is_not_text_have_prices_of_their_own() -> None:
    price = price_of("openai", "gpt-4o-2024-11-20", NOW)
    assert price is not None
    services = dict(price.services)
    assert services["batch"].output * 2 == price.output
    assert services["priority"].input > price.input
    sonnet = price_of("anthropic", "claude-sonnet-4-5", NOW)
    assert sonnet is not None
    assert dict(sonnet.kinds) == {"cache_write_1h": 6_000_000, "search": 10_000_000_000}


def test_a_price_that_is_known_to_change_changes_on_its_day() -> None:
    before = datetime(2024, 1, 1, tzinfo=UTC)
    dated = [
        (row, price)
        for row in catalog().provider
        for model in row.models
        if (price := price_of(row.prices or "", model, before)) is not None and price.dates
    ]
    for _, price in dated:
        moments = [since for since, _ in price.dates]
        assert moments == sorted(moments)
        for since, later in price.dates:
            assert price.at(since).input == later.at(since).input
        assert price.at(moments[0] - 1).input == price.at(before.timestamp()).input
    assert dated


def test_embeddings_cost_their_input_only() -> None:
    assert price_of("openai", "text-embedding-3-small", NOW) == Price(20_000, 0, 20_000, 20_000)


def test_every_model_of_the_catalogue_is_on_a_list_and_not_given_up() -> None:
    from genai_prices.data_snapshot import get_snapshot

    for row in catalog().provider:
        for model in row.models:
            assert price_of(row.prices or "", model, NOW) is not None, model
            _, listed = get_snapshot().find_provider_model(model, None, row.prices, None)
            assert not listed.deprecated, model


def test_every_price_list_of_the_catalogue_exists_and_knows_its_address() -> None:
    from genai_prices.data_snapshot import get_snapshot

    for row in catalog().provider:
        if row.prices is not None:
            address = row.base_url.replace("{region}", "us-east-1") or "https://name.openai.azure.com"
            assert get_snapshot().find_provider(None, None, address).id == row.prices


@pytest.mark.parametrize("model", ["us.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-lite-v1:0"])
def test_models_of_bedrock_have_prices(model: str) -> None:
    assert price_of("aws", model, NOW) is not None


def test_prices_are_looked_up_without_loading_the_lists_here() -> None:
    code = (
        "import sys\n"
        "from afterbay.config.prices import Query, prices_of\n"
        "found = prices_of([Query('gpt-4o', 'openai'), Query('gpt-4o', 'openai'), Query('nope', 'openai')])\n"
        "print(len(found), next(iter(found.values())).input, 'genai_prices' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "2500000", "False"]


def test_prices_are_found_even_where_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices.sys, "executable", "/nowhere/python")
    assert prices_of([Query("gpt-4o", "openai")])[Query("gpt-4o", "openai")].output == 10_000_000
    assert prices_of([]) == {}


def test_fractions_of_a_picodollar_are_rounded_up() -> None:
    assert picousd_per_token(0.000001) == 1
    assert picousd_per_token(0.0000011) == 2
    assert picousd_per_token(0.1) == 100_000
    assert picousd_per_token(0) == 0


def test_a_tier_bills_the_whole_answer_once_all_input_together_is_above_it() -> None:
    price = Price(1, 10, 2, 3, tiers=((100, Price(5, 50, 6, 7)), (200, Price(9, 90, 9, 9))))
    assert price.cost_picousd(Usage(input_tokens=100, output_tokens=2)) == 100 + 20
    assert price.cost_picousd(Usage(input_tokens=99, cached_input_tokens=1, cache_write_tokens=1)) == 99 * 5 + 6 + 7
    assert price.cost_picousd(Usage(input_tokens=201, reasoning_tokens=1)) == 201 * 9 + 90
