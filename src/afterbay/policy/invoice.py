"""What a provider says it bills, against what the log says it cost: by day and model, with likely reasons. Pure.

Read are the exports that consoles give as CSV (seen November 2026): OpenAI's costs (`amount_value`, `line_item`) and
usage (`num_model_requests`), Anthropic's costs (`cost_usd`, `token_type`) and usage (`usage_output_tokens`), and a
plain form for all others: `day,model,usd`, with counts of tokens if one has them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

import msgspec

from afterbay.core.usage import MOST_USD, dollars, picousd

RELATIVE = Decimal("0.005")
"""A difference of half a percent is none: clocks differ at midnight, and some exports round."""
DAY_CHARS = 10
MOST_ROWS = 1_000_000
_BROKEN_SHOWN = 40

_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+")
_DATED = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2})$")
_Row: TypeAlias = Mapping[str, str]


class Tokens(msgspec.Struct, frozen=True):
    """Counts in the ledger's buckets; reasoning is output here, since no export tells it apart."""

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.input + other.input,
            self.cached_input + other.cached_input,
            self.cache_write + other.cache_write,
            self.output + other.output,
        )


class Line(msgspec.Struct, frozen=True):
    """One day and model of an invoice. `picousd` None: the export tells tokens and no money; `tokens` the other way.

    `rounding_picousd` is by how much the sum may be off since each of its rows was rounded to the digits that it has.
    """

    day: str
    model: str
    picousd: int | None = None
    tokens: Tokens | None = None
    rounding_picousd: int = 0


class Logged(msgspec.Struct, frozen=True):
    """One day and model of the log: what its attempts cost, and how many of them are not sure.

    `unpriced` used tokens of unknown price, and are in no sum of money; `estimated` were not counted by the provider.
    """

    day: str
    model: str
    picousd: int = 0
    tokens: Tokens = Tokens()
    attempts: int = 0
    unpriced: int = 0
    estimated: int = 0


class Difference(msgspec.Struct, frozen=True):
    """One day and model, side by side; None: that side has nothing of it. No reasons: they agree."""

    day: str
    model: str
    invoiced_picousd: int | None
    logged_picousd: int | None
    agrees: bool
    reasons: tuple[str, ...] = ()


class Comparison(msgspec.Struct, frozen=True):
    """An invoice against the log. The sums are over the same days: those of the invoice."""

    lines: tuple[Difference, ...]
    invoiced_picousd: int
    logged_picousd: int

    @property
    def agrees(self) -> bool:
        """Whether every line does."""
        return all(line.agrees for line in self.lines)


def parse_invoice(text: str) -> list[Line]:
    """The lines of an export, one for each day and model.

    Raises:
        ValueError: no known header, or a row whose day or amount cannot be read; it says which and what is known.
    """
    try:
        return _parse(csv.DictReader(io.StringIO(text.lstrip("\ufeff"), newline=None)))
    except csv.Error as error:
        raise ValueError(f"It is not CSV: {error}") from None


def _parse(reader: csv.DictReader[str]) -> list[Line]:
    names = {(name or "").strip() for name in reader.fieldnames or ()}
    read = next((read for needed, read in _FORMS if needed <= names), None)
    if read is None:
        known = "; ".join(", ".join(sorted(needed)) for needed, _ in _FORMS)
        shown = ", ".join(sorted(names))[:200] or "none"
        raise ValueError(f"No known export: its columns are {shown}. Known are those with {known}.")
    sums: dict[tuple[str, str], Line] = {}
    for number, raw in enumerate(reader, 2):
        if number > MOST_ROWS:
            raise ValueError(f"More than {MOST_ROWS:,} rows: export fewer days at a time.")
        if None in raw:  # an amount such as 1,23 without quotes is two cells, and the second stood for nothing
            raise ValueError(f"Row {number} has more cells than there are columns: quote what has commas in it.")
        try:
            line = read({(name or "").strip(): value.strip() for name, value in raw.items() if isinstance(value, str)})
        except KeyError as missing:
            raise ValueError(f"Row {number} cannot be read: it has no cell for the column {missing}") from None
        except (ValueError, OverflowError, OSError) as error:
            raise ValueError(f"Row {number} cannot be read: {str(error)[:200]}") from None
        if line is not None:
            key = (line.day, line.model)
            sums[key] = _joined(sums[key], line) if key in sums else line
    return [sums[key] for key in sorted(sums)]


def canonical(model: str) -> str:
    """One spelling of a model: exports have `Claude Haiku 4.5` and `gpt-5-nano-2025-08-07`, the log what was asked."""
    name = re.sub(r"[\s._]+", "-", model.strip().lower()).rpartition("/")[2].removesuffix("-latest")
    return _DATED.sub("", name)


def compare(invoice: Iterable[Line], log: Iterable[Logged]) -> Comparison:
    """Both by day and model, over the days of the invoice, each line with what may explain its difference."""
    billed = _by_key(invoice)
    days = {day for day, _ in billed}
    logged = {key: one for key, one in _logged_by_key(log).items() if key[0] in days}
    keys = sorted({*billed, *logged})
    off = {key: _off(billed.get(key), logged.get(key)) for key in keys}
    lines = tuple(_difference(key, billed.get(key), logged.get(key), off) for key in keys)
    told = sum(line.picousd or 0 for line in billed.values())
    return Comparison(lines, told, sum(one.picousd for one in logged.values()))


def _by_key(lines: Iterable[Line]) -> dict[tuple[str, str], Line]:
    sums: dict[tuple[str, str], Line] = {}
    for line in lines:
        key = (line.day, canonical(line.model))
        sums[key] = _joined(sums[key], line) if key in sums else line
    return sums


def _logged_by_key(log: Iterable[Logged]) -> dict[tuple[str, str], Logged]:
    sums: dict[tuple[str, str], Logged] = {}
    for one in log:
        key = (one.day, canonical(one.model))
        known = sums.get(key)
        sums[key] = one if known is None else _both(known, one)
    return sums


def _both(one: Logged, other: Logged) -> Logged:
    return Logged(
        one.day,
        one.model,
        one.picousd + other.picousd,
        one.tokens + other.tokens,
        one.attempts + other.attempts,
        one.unpriced + other.unpriced,
        one.estimated + other.estimated,
    )


def _joined(one: Line, other: Line) -> Line:
    told = [line.picousd for line in (one, other) if line.picousd is not None]
    counted = [line.tokens for line in (one, other) if line.tokens is not None]
    return Line(
        one.day,
        one.model,
        sum(told) if told else None,
        sum(counted[1:], counted[0]) if counted else None,
        one.rounding_picousd + other.rounding_picousd,
    )


def _off(billed: Line | None, logged: Logged | None) -> int:
    """By how much the invoice is above the log, in picodollars; 0 where the difference is none."""
    told = 0 if billed is None else billed.picousd
    if told is None:
        return 0
    known = logged.picousd if logged is not None else 0
    rounding = billed.rounding_picousd if billed is not None else 0
    allowed = rounding + int(max(told, known) * RELATIVE)
    return told - known if abs(told - known) > allowed else 0


def _difference(
    key: tuple[str, str], billed: Line | None, logged: Logged | None, off: Mapping[tuple[str, str], int]
) -> Difference:
    day, model = key
    reasons = _reasons(key, billed, logged, off)
    told, known = billed.picousd if billed is not None else None, logged.picousd if logged is not None else None
    return Difference(day, model, told, known, not reasons, tuple(reasons))


def _reasons(
    key: tuple[str, str], billed: Line | None, logged: Logged | None, off: Mapping[tuple[str, str], int]
) -> list[str]:
    """Why they may differ, the likeliest first; empty: they agree."""
    if billed is None:
        if logged is not None and (logged.picousd or logged.unpriced):
            return ["not on the invoice: another account or workspace pays, or the export is not complete yet"]
        return []
    if logged is None:
        is_free = not billed.picousd and billed.tokens in (None, Tokens())
        missing = "not in the log: asked past the gateway with the same account, or its rows are past their retention"
        return [] if is_free else [missing]
    counts = "" if billed.tokens is None else _counts(billed.tokens, logged.tokens)
    difference = off[key]
    if not difference and not counts:
        return []
    found = [f"counts differ: {counts}"] if counts else []
    if difference and billed.tokens is not None and not counts and not logged.unpriced:
        found.append(_price_reason(billed.picousd or 0, logged.picousd))
    if logged.unpriced:
        found.append(f"{logged.unpriced} of {logged.attempts} attempts have no known price: configure `price`")
    if logged.estimated:
        found.append(f"{logged.estimated} of {logged.attempts} attempts are estimates: the provider sent no sure count")
    if difference and _turns(key, off):
        found.append("the day beside it differs the other way: the provider ends its days at another hour")
    if difference > 0 and len(found) == 0:
        found.append("more is billed than is known: requests past the gateway, a dearer price, searches or fees")
    if difference < 0 and len(found) == 0:
        found.append("less is billed than is known: a discount, a free allowance, or a list that is out of date")
    return found


def _price_reason(told: int, known: int) -> str:
    share = Decimal(told) / known - 1 if known else None
    by = "where the log has a price of nothing" if share is None else f"{share:+.1%}"
    return f"the same tokens at another price ({by}): a discount, a contract or a list out of date; configure `price`"


def _counts(billed: Tokens, logged: Tokens) -> str:
    """The buckets that differ by more than half a percent; empty: none."""
    found = []
    for name in Tokens.__struct_fields__:
        one, other = getattr(billed, name), getattr(logged, name)
        if abs(one - other) > max(one, other) * RELATIVE:
            found.append(f"{name} {one:,} billed, {other:,} logged")
    return "; ".join(found)


def _turns(key: tuple[str, str], off: Mapping[tuple[str, str], int]) -> bool:
    """Whether the same model is off the other way, by about as much, on the day before or after."""
    day, model = key
    mine = off[key]
    for step in (-1, 1):
        beside = off.get(((date.fromisoformat(day) + timedelta(days=step)).isoformat(), model), 0)
        if beside * mine < 0 and 2 * abs(beside) >= abs(mine) and 2 * abs(mine) >= abs(beside):
            return True
    return False


def summary(comparison: Comparison) -> str:
    """One line for people: what both come to, and how many lines differ."""
    differing = sum(not line.agrees for line in comparison.lines)
    told, known = dollars(comparison.invoiced_picousd), dollars(comparison.logged_picousd)
    how = "all lines agree" if not differing else f"{differing} of {len(comparison.lines)} lines differ"
    return f"invoice {told}, log {known}; {how}"


# --- the exports -------------------------------------------------------------------------------------------------


def _openai_costs(row: _Row) -> Line | None:
    """`line_item` is a model and what of it, `gpt-5-nano-2025-08-07, input`. Empty days have no amount."""
    if not row["amount_value"]:
        return None
    if row.get("amount_currency", "usd").lower() not in ("usd", ""):
        raise ValueError(f"an amount in {row['amount_currency'][:_BROKEN_SHOWN]}, not in USD")
    model = row["line_item"].partition(",")[0].strip()
    amount, rounding = _money(row["amount_value"])
    return Line(_day_of(row), model, amount, None, rounding)


def _openai_usage(row: _Row) -> Line | None:
    """Cached tokens are inside the input."""
    if not row["model"]:
        return None
    cached = _count(row, "input_cached_tokens")
    tokens = Tokens(_count(row, "input_tokens") - cached, cached, 0, _count(row, "output_tokens"))
    return Line(_day_of(row), row["model"], None, tokens)


def _anthropic_costs(row: _Row) -> Line | None:
    """Each row is rounded to a cent, so a day of many kinds of tokens may be off by some."""
    amount, rounding = _money(row["cost_usd"])
    return Line(_day(row["usage_date_utc"]), row["model"], amount, None, rounding)


def _anthropic_usage(row: _Row) -> Line | None:
    """Caches stand beside the input; older exports have one column for all that was written to them."""
    names = ("usage_input_tokens_cache_write", *(f"usage_input_tokens_cache_write_{ttl}" for ttl in ("5m", "1h")))
    tokens = Tokens(
        _count(row, "usage_input_tokens_no_cache"),
        _count(row, "usage_input_tokens_cache_read"),
        sum(_count(row, name) for name in names),
        _count(row, "usage_output_tokens"),
    )
    return Line(_day(row["usage_date_utc"]), row.get("model_version") or row.get("model", ""), None, tokens)


def _plain(row: _Row) -> Line | None:
    amount, rounding = _money(row["usd"])
    names = Tokens.__struct_fields__
    tokens = Tokens(*(_count(row, name) for name in names)) if any(row.get(name) for name in names) else None
    return Line(_day(row["day"]), row["model"], amount, tokens, rounding)


_FORMS = (
    (frozenset({"amount_value", "line_item", "start_time"}), _openai_costs),
    (frozenset({"num_model_requests", "model", "start_time"}), _openai_usage),
    (frozenset({"usage_date_utc", "model", "cost_usd"}), _anthropic_costs),
    (frozenset({"usage_date_utc", "usage_output_tokens"}), _anthropic_usage),
    (frozenset({"day", "model", "usd"}), _plain),
)


def _day_of(row: _Row) -> str:
    """OpenAI's day: `start_time_iso`, else seconds."""
    said = row.get("start_time_iso") or row["start_time"]
    return datetime.fromtimestamp(int(said), UTC).date().isoformat() if said.isdecimal() else _day(said)


def _day(said: str) -> str:
    try:
        return date.fromisoformat(said[:DAY_CHARS]).isoformat()
    except ValueError:
        raise ValueError(f"`{said[:_BROKEN_SHOWN]}` is no day such as 2026-11-25") from None


def _money(said: str) -> tuple[int, int]:
    """An amount, and by how much it may have been rounded: half of its last digit, where it has few."""
    amount = _number(said.removeprefix("$"), "amount of money such as 1234.56")
    if not amount.is_finite() or abs(amount) > MOST_USD * 1000:
        raise ValueError(f"`{said[:_BROKEN_SHOWN]}` is no amount of money")
    exponent = amount.as_tuple().exponent
    places = -exponent if isinstance(exponent, int) else 0
    return picousd(amount), picousd(Decimal(5).scaleb(-places - 1)) if 0 < places <= 6 else 0


def _count(row: _Row, name: str) -> int:
    return int(_number(row.get(name, ""), f"count of {name.replace('_', ' ')}"))


def _number(said: str, what: str) -> Decimal:
    """A number; empty: 0. A comma stands before three digits or nowhere: `1,23` may be 1.23 or 123."""
    whole = said.partition(".")[0]
    try:
        if "," in said and ("," in said.partition(".")[2] or not _GROUPED.fullmatch(whole)):
            raise InvalidOperation
        return Decimal(said.replace(",", "") or "0")
    except InvalidOperation:
        raise ValueError(f"`{said[:_BROKEN_SHOWN]}` is no {what}") from None


def days_of(lines: Sequence[Line]) -> tuple[str, str] | None:
    """The first and the last day; None: there is no line."""
    found = [line.day for line in lines]
    return (min(found), max(found)) if found else None
