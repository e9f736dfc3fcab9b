"""What models cost, from the price lists of genai-prices, as integers. Nothing is fetched; an unknown price is None.

The library takes 22 MB and an eighth of a second once its lists are loaded, for a handful of numbers that are needed
once per configuration. So `prices_of` asks a short-lived process of its own, and this one never imports it.
Run as a program, this module is that process: queries as JSON on stdin, prices on stdout.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from afterbay.config.catalog import embeds
from afterbay.core.usage import Price

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

TIMEOUT_S = 20.0
FREE = Price(input=0, output=0, cached_input=0, cache_write=0)
"""The engine inside: nobody sends a bill. Only for what is known to be free, never for what is unknown."""


class Query(msgspec.Struct, frozen=True):
    """Which model, on which list: `provider` is a list's id, else the list is found by `base_url`."""

    model: str
    provider: str | None = None
    base_url: str | None = None


Prices: TypeAlias = Mapping[Query, Price]


def picousd_per_token(usd_per_million: float | Decimal) -> int:
    """USD per million tokens as picodollars a token, rounded up: a cost is never shown as less than it is."""
    exact = Decimal(str(usd_per_million)) * 1_000_000
    return int(exact.to_integral_value(rounding=ROUND_CEILING))


def price_of(provider: str, model: str, now: datetime | None = None) -> Price | None:
    """The price of a model at a provider (a list's id, or a base URL); None if no list has it.

    This imports the library: use `prices_of` in a process that lives on.
    """
    query = Query(model, base_url=provider) if "://" in provider else Query(model, provider=provider)
    return _look_up(query, now or datetime.now(UTC))


def prices_of(queries: Iterable[Query]) -> Prices:
    """The prices of many models, looked up in a process that ends with the answer. What is unknown is not in it."""
    wanted = list(dict.fromkeys(queries))
    if not wanted:
        return {}
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "afterbay.config.prices"],
            input=msgspec.json.encode(wanted),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=True,
            env=environ,
        )
        found = msgspec.json.decode(done.stdout, type=list[Price | None])
    except (OSError, ValueError, subprocess.SubprocessError, msgspec.DecodeError):
        now = datetime.now(UTC)  # no process can be started here: rather pay the memory than lose the prices
        found = [_look_up(query, now) for query in wanted]
    return {query: price for query, price in zip(wanted, found, strict=True) if price is not None}


def _look_up(query: Query, now: datetime) -> Price | None:
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        return None
    try:
        _, model = get_snapshot().find_provider_model(query.model, None, query.provider, query.base_url)
    except LookupError:
        return None
    return _highest(query.model, model, now)


def _highest(name: str, model: ModelInfo, now: datetime) -> Price | None:
    """The price in force; of prices that change with the hour the highest, since one price must do for the day."""
    from genai_prices.types import TimeOfDateConstraint

    moments = [now]
    for entry in model.prices if isinstance(model.prices, list) else []:
        if isinstance(entry.constraint, TimeOfDateConstraint):
            start = entry.constraint.start_time
            moments.append(datetime.combine(now.date(), start.replace(tzinfo=start.tzinfo or UTC)))
    found = [_price(name, model.get_prices(moment)) for moment in moments]
    known = [price for price in found if price is not None]
    return max(known, key=lambda price: price.input + price.output) if known else None


def _price(name: str, listed: ModelPrice) -> Price | None:
    """One `Price` of a row. Without a price per token (audio by the hour, pages) there is none for us."""
    values = [listed.input_mtok, listed.output_mtok, listed.cache_read_mtok, listed.cache_write_mtok]
    if values[0] is None or (values[1] is None and not embeds(name)):
        return None
    starts = sorted({tier.start for value in values for tier in getattr(value, "tiers", ())})
    base = _at(values, None)
    return msgspec.structs.replace(base, tiers=tuple((start, _at(values, start)) for start in starts))


def _at(values: Sequence[object], above: int | None) -> Price:
    """The price of an answer whose input is just above `above` tokens; None: of a short one."""
    input_, output, cached, write = (_value(value, above) for value in values)
    full = picousd_per_token(input_ or Decimal(0))
    return Price(
        input=full,
        output=picousd_per_token(output or Decimal(0)),
        cached_input=full if cached is None else picousd_per_token(cached),
        cache_write=full if write is None else picousd_per_token(write),
    )


def _value(value: object, above: int | None) -> Decimal | None:
    if value is None or isinstance(value, Decimal):
        return value
    chosen: Decimal = value.base  # type: ignore[attr-defined]
    for tier in value.tiers:  # type: ignore[attr-defined]
        if above is not None and tier.start <= above:
            chosen = tier.price
    return chosen


def _answer() -> None:
    """Answers the queries on stdin."""
    now = datetime.now(UTC)
    queries = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Query])
    sys.stdout.buffer.write(msgspec.json.encode([_look_up(query, now) for query in queries]))


if __name__ == "__main__":
    _answer()
