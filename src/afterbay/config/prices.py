"""What models cost, from the price lists of genai-prices, as integers. Nothing is fetched; an unknown price is None.

The library takes 22 MB and an eighth of a second once its lists are loaded, for a handful of numbers that are needed
once per configuration. So `prices_of` asks a short-lived process of its own, and this one never imports it.
Run as a program, this module is that process: queries as JSON on stdin, prices on stdout.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, time
from decimal import ROUND_CEILING, Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from afterbay.config.catalog import embeds
from afterbay.core.usage import Kind, Price

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, TimeOfDateConstraint

TIMEOUT_S = 20.0
FREE = Price(input=0, output=0, cached_input=0, cache_write=0)
"""The engine inside: nobody sends a bill. Only for what is known to be free, never for what is unknown."""

_KINDS: Mapping[Kind, str] = MappingProxyType(
    {
        "cache_write_1h": "cache_write_1h_mtok",
        "audio_input": "input_audio_mtok",
        "image_input": "input_image_mtok",
        "video_input": "input_video_mtok",
        "audio_cached": "cache_audio_read_mtok",
        "image_cached": "cache_image_read_mtok",
        "audio_output": "output_audio_mtok",
        "image_output": "output_image_mtok",
    }
)
"""What the lists call the prices of tokens that differ from their bucket.

Where a write to the cache costs 1.25 times the input, one for an hour costs twice the input: these are Claude's prices
everywhere (platform.claude.com, "Prompt caching", November 2026), and not every list has the second.
"""

_SEARCHES: Mapping[Kind, str] = MappingProxyType(
    {"search": "web_searches_kcount", "file_search": "storage_searches_kcount"}
)

_SERVICE_KEYS = frozenset({"service_tier", "processing", "speed"})
"""How the lists name what we call a service: OpenAI's and Google's tiers, batches, Claude's fast mode."""


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
    return _scheduled(query.model, model, now.astimezone(UTC))


def _scheduled(name: str, model: ModelInfo, now: datetime) -> Price | None:
    """The price in force, with those that are known to follow it."""
    from genai_prices.types import StartDateConstraint

    price = _of_day(name, model, now)
    if price is None:
        return None
    starts = {one.start_date for one in _constraints(model) if isinstance(one, StartDateConstraint)}
    dates: list[tuple[int, Price]] = []
    for start in sorted(day for day in starts if day > now.date()):
        midnight = datetime.combine(start, time(), UTC)
        later = _of_day(name, model, midnight)
        if later is not None and later != (dates[-1][1] if dates else price):
            dates.append((int(midnight.timestamp()), later))
    return msgspec.structs.replace(price, dates=tuple(dates)) if dates else price


def _of_day(name: str, model: ModelInfo, now: datetime) -> Price | None:
    """The price of the day of `now`; where it changes with the hour the dearest, with all of them in its `hours`."""
    from genai_prices.types import TimeOfDateConstraint

    turns = {time(tzinfo=UTC)}
    for one in _constraints(model):
        if isinstance(one, TimeOfDateConstraint):
            turns |= {_utc(one.start_time), _utc(one.end_time)}
    if len(turns) == 1:
        return _price(name, model, now)
    found = [(turn, _price(name, model, datetime.combine(now.date(), turn))) for turn in sorted(turns)]
    hours = tuple((turn.hour * 3600 + turn.minute * 60, price) for turn, price in found if price is not None)
    if not hours:
        return None
    dearest = max((price for _, price in hours), key=lambda price: price.input + price.output)
    return msgspec.structs.replace(dearest, hours=hours)


def _constraints(model: ModelInfo) -> Iterator[StartDateConstraint | TimeOfDateConstraint]:
    rows = model.prices if isinstance(model.prices, list) else []
    for row in (*rows, *(model.price_variants or ())):
        if row.constraint is not None:
            yield row.constraint


def _utc(moment: time) -> time:
    """A time of day without a zone is one of UTC."""
    return datetime.combine(datetime(2000, 1, 2), moment.replace(tzinfo=moment.tzinfo or UTC)).astimezone(UTC).timetz()


def _price(name: str, model: ModelInfo, moment: datetime) -> Price | None:
    """The price of a model at a moment, with those of the tiers of service that it has then."""
    usual = _row(name, model.get_prices(moment))
    if usual is None:
        return None
    services: dict[str, Price] = {}
    for variant in model.price_variants or ():
        service = _service(variant.when)
        is_active = variant.constraint is None or variant.constraint.active(moment)
        if service and is_active and service not in services:
            other = _row(name, model.get_prices(moment, variant.when))
            if other is not None:
                services[service] = other
    return msgspec.structs.replace(usual, services=tuple(sorted(services.items())))


def _service(when: Mapping[str, str]) -> str:
    """What an answer calls the tier that a row of the list is for; empty: none that can be told from an answer."""
    if len(when) != 1:
        return ""
    ((key, value),) = when.items()
    return value if key in _SERVICE_KEYS and value != "default" else ""


def _row(name: str, listed: ModelPrice) -> Price | None:
    """One `Price` of a row. Without a price per token (audio by the hour, pages) there is none for us."""
    if listed.input_mtok is None or (listed.output_mtok is None and not embeds(name)):
        return None
    starts = sorted({tier.start for value in listed.__dict__.values() for tier in getattr(value, "tiers", ())})
    base = _at(listed, None)
    return msgspec.structs.replace(base, tiers=tuple((start, _at(listed, start)) for start in starts))


def _at(listed: ModelPrice, above: int | None) -> Price:
    """The price of an answer whose input is just above `above` tokens; None: of a short one."""
    names = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok")
    input_, output, cached, write = (_value(getattr(listed, name), above) for name in names)
    full = picousd_per_token(input_ or Decimal(0))
    kinds = {kind: _value(getattr(listed, name), above) for kind, name in _KINDS.items()}
    if kinds["cache_write_1h"] is None and input_ and write is not None and write == input_ * Decimal("1.25"):
        kinds["cache_write_1h"] = input_ * 2
    for kind, name in _SEARCHES.items():
        a_thousand = _value(getattr(listed, name), above)
        kinds[kind] = None if a_thousand is None else a_thousand * 1000  # as if of a million
    found = [(kind, picousd_per_token(value)) for kind, value in kinds.items() if value is not None]
    return Price(
        input=full,
        output=picousd_per_token(output or Decimal(0)),
        cached_input=full if cached is None else picousd_per_token(cached),
        cache_write=full if write is None else picousd_per_token(write),
        kinds=tuple(found),
        request=picousd_per_token((_value(listed.requests_kcount, above) or Decimal(0)) * 1000),
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
