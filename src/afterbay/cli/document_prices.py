"""What a document costs on every model of the catalogue, whichever keys are there: `afterbay route --file FILE --all`.

The price is the library's of today, with its steps for long prompts; the tokens are an estimate, since most providers'
tokenizers are not public. What is not known is said, never shown as 0.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias

import msgspec

from afterbay.cli.figures import UNKNOWN, dollars
from afterbay.cli.speech import Speech, print_table
from afterbay.config.catalog import LocalModel, Model, catalog, embeds, undated
from afterbay.config.prices import FREE, Prices, Query, prices_of
from afterbay.config.unconfigured import ENGINE
from afterbay.core.usage import Price, Usage

OUTPUT_TOKENS = 1000
"""The answer that is assumed: a long summary."""

Fits: TypeAlias = Literal["yes", "no", "unknown"]
HEADINGS = ("model", "provider", "window", "fits", "document", "with answer", "tags", "ends")


class Priced(msgspec.Struct, frozen=True):
    """A model of the catalogue, and what the document costs there. Costs are in picodollars; None: not known."""

    model: str
    provider: str
    window: int | None
    fits: Fits
    document_picousd: int | None
    answered_picousd: int | None
    tags: tuple[str, ...] = ()
    ends: str | None = None


def priced(
    tokens: int, output_tokens: int = OUTPUT_TOKENS, look_up: Callable[[Iterable[Query]], Prices] = prices_of
) -> list[Priced]:
    """Every model of the catalogue that chats, cheapest with its answer first, those that it does not fit last.

    An unknown price comes after the known ones. A price that changes with the hour is the dearest of the day.
    """
    known = catalog()
    lists = {row.name: row.prices for row in known.provider}
    rows = [row for row in known.model if not embeds(row.name) and not _is_over(row, known.as_of)]
    queries = {row: Query(row.name, provider=lists[row.provider]) for row in rows if lists.get(row.provider)}
    found = look_up(queries.values())
    rates = [(row, row.provider, found.get(queries[row]) if row in queries else None) for row in rows]
    every = [_priced(row, provider, price, tokens, output_tokens) for row, provider, price in rates]
    every += [_priced(one, ENGINE, FREE, tokens, output_tokens) for one in known.local if not one.embeds]
    return sorted(every, key=_order)


def _is_over(row: Model, as_of: str) -> bool:
    """Whether it is another name of a model that has a row, or has ended."""
    is_other_name = row.pinned is not None and undated(row.pinned) != row.name
    return is_other_name or (row.ends is not None and row.ends <= as_of)


def _priced(row: Model | LocalModel, provider: str, price: Price | None, tokens: int, output: int) -> Priced:
    window = row.context
    read, whole = (
        None if price is None else price.cost_picousd(Usage(input_tokens=tokens, output_tokens=written))
        for written in (0, output)
    )
    fits: Fits = "unknown" if window is None else "yes" if tokens + output <= window else "no"
    return Priced(row.name, provider, window, fits, read, whole, row.tags, row.ends if isinstance(row, Model) else None)


def _order(one: Priced) -> tuple[bool, bool, int, str, str]:
    cost = one.answered_picousd
    return one.fits == "no", cost is None, cost or 0, one.model, one.provider


def print_prices(found: Iterable[Priced]) -> None:
    """Prints the table."""
    print_table(HEADINGS, [_row(one) for one in found])
    speech = Speech(sys.stderr)
    speech.say(
        f"with an answer of {OUTPUT_TOKENS} tokens, at prices of today and the usual tier; tokens are an estimate"
    )
    speech.say("prices of today at the usual tier; a model needs its provider's key: see `afterbay models`")


def _row(one: Priced) -> tuple[Any, ...]:
    return (
        one.model,
        one.provider,
        str(one.window) if one.window is not None else UNKNOWN,
        one.fits,
        dollars(one.document_picousd),
        dollars(one.answered_picousd),
        ", ".join(one.tags) or "-",
        one.ends or "-",
    )
