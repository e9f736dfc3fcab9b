"""A document is priced on every model of the catalogue: what it costs, whether it fits, what nobody knows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from afterbay.cli.document_prices import priced
from afterbay.config.catalog import catalog, embeds
from afterbay.config.prices import Prices, Query
from afterbay.core.usage import Price

from .conftest import Run

FIFTY_THOUSAND = 50_000
STEPS = Price(1_000_000, 2_000_000, 0, 0, tiers=((40_000, Price(3_000_000, 4_000_000, 0, 0)),))
LISTED = {
    "gpt-6.1-sol": Price(2_000_000, 10_000_000, 0, 0),
    "gpt-6-luna": Price(100_000, 500_000, 0, 0),
    "grok-4.7": STEPS,
    "qwen-3.8-27b": Price(1, 1, 0, 0),
}


def some_prices(queries: Iterable[Query]) -> Prices:
    """A list with four models on it."""
    return {query: LISTED[query.model] for query in queries if query.model in LISTED}


def test_a_document_is_priced_on_every_model_cheapest_first_and_what_does_not_fit_last() -> None:
    found = priced(FIFTY_THOUSAND, 1000, some_prices)
    by_name = {(one.provider, one.model): one for one in found}
    luna, sol = by_name["openai", "gpt-6-luna"], by_name["openai", "gpt-6.1-sol"]
    assert luna.document_picousd == FIFTY_THOUSAND * 100_000
    assert luna.answered_picousd == FIFTY_THOUSAND * 100_000 + 1000 * 500_000
    assert sol.answered_picousd == FIFTY_THOUSAND * 2_000_000 + 1000 * 10_000_000
    assert [one.model for one in found[:4]] == ["qwen-3.8-27b", "gpt-6-luna", "gpt-6.1-sol", "grok-4.7"]
    assert [one.model for one in found if one.fits == "no"] == ["local", "local-large", "local-small"]
    assert [one.fits for one in found[-3:]] == ["no"] * 3


def test_a_long_document_costs_what_its_length_costs() -> None:
    found = {one.model: one for one in priced(FIFTY_THOUSAND, 0, some_prices)}
    assert found["grok-4.7"].document_picousd == FIFTY_THOUSAND * 3_000_000


def test_an_unknown_price_or_window_is_unknown_and_never_nothing() -> None:
    found = {(one.provider, one.model): one for one in priced(FIFTY_THOUSAND, 1000, some_prices)}
    haiku = found["anthropic", "claude-haiku-5-5"]
    assert (haiku.document_picousd, haiku.answered_picousd, haiku.fits) == (None, None, "yes")
    assert found["gemini", "gemini-flash-latest"].fits == "unknown"


def test_every_model_of_the_catalogue_that_chats_and_goes_on_is_there_once() -> None:
    found = [(one.provider, one.model) for one in priced(1, 0, some_prices)]
    assert len(found) == len(set(found))
    fleet = {(row.name, name) for row in catalog().provider for name in row.models if not embeds(name)}
    assert fleet <= set(found)
    assert not {"gpt-4-1106-preview", "deepseek-chat", "text-embedding-3-small", "local-embed"} & {
        name for _, name in found
    }


def test_the_command_prices_a_file_without_a_configuration_or_a_key(run: Run, tmp_path: Path) -> None:
    text = tmp_path / "long.txt"
    text.write_text("A short word or two. " * 10_000)
    done = run("route", "--file", str(text), "--all", "--json")
    told = json.loads(done.stdout)
    assert 45_000 < told["facts"]["input_tokens"] < 75_000
    assert len([one for one in told["catalogue"] if one["document_picousd"]]) >= 30, "by the real list"
    costs = [one["answered_picousd"] for one in told["catalogue"] if one["fits"] != "no" and one["answered_picousd"]]
    assert costs == sorted(costs)
    assert run("route", "--file", "nope.txt", "--all").returncode == 2
