"""`afterbay report`: what was spent and used, how long it took, what failed, and why a bill changed."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from afterbay.cli.figures import UNKNOWN, dollars, seconds
from afterbay.cli.speech import Misuse, Speech, print_json, print_table
from afterbay.cli.state import existing_database, load_quickly
from afterbay.config.watch import Loaded, load_snapshot
from afterbay.core.errors import ClientMistake
from afterbay.store.database import Database
from afterbay.store.errors import StoreUnavailable
from afterbay.store.question import Question, before, read_by, read_hours, read_only
from afterbay.store.report_form import as_csv, as_json
from afterbay.store.report_prices import best_of, weights_of
from afterbay.store.reports import (
    Column,
    Report,
    Value,
    cost_report,
    errors_report,
    explain_report,
    latency_report,
    satisfaction_report,
    savings_report,
    usage_report,
)
from afterbay.store.rollup import catch_up
from afterbay.store.rollup_reading import Hours, RollupReading, told_reading

REPORTS: Final = {
    "cost": cost_report,
    "usage": usage_report,
    "latency": latency_report,
    "errors": errors_report,
    "satisfaction": satisfaction_report,
}
SLOW_ROWS: Final = 100_000
"""So many rows take more than a second to sum: then it is said."""


class Wanted(msgspec.Struct, frozen=True):
    """The options that all reports have, as they were typed."""

    by: str
    since: str
    until: str
    only: tuple[str, ...] = ()
    top: int | None = None
    csv: bool = False
    json: bool = False


def run_report(name: str, config: Path | None, wanted: Wanted) -> None:
    """Prints one of `REPORTS`."""
    asked = _question(wanted)
    _show(load_quickly(config), wanted, asked, lambda reading: REPORTS[name](reading, asked))


def run_savings(config: Path | None, wanted: Wanted, best: str) -> None:
    """Prints what was saved against one model for everything."""
    asked = _question(wanted)
    loaded = load_snapshot(config, os.environ)
    with _typed():
        name, price = best_of(loaded.snapshot, best)
    _show(loaded, wanted, asked, lambda reading: savings_report(reading, asked, name, price))


def run_explain(config: Path | None, wanted: Wanted, against: str) -> None:
    """Prints why the bill changed between two periods."""
    asked = _question(wanted, whole=True)
    with _typed():
        compared = before(asked.hours, against, _now())
    loaded = load_snapshot(config, os.environ)
    weights = weights_of(loaded.snapshot)
    _show(loaded, wanted, asked, lambda reading: explain_report(reading, asked, compared, weights))


def _question(wanted: Wanted, *, whole: bool = False) -> Question:
    if wanted.csv and wanted.json:
        raise Misuse("--csv and --json are two forms.", remedy="Choose one.")
    with _typed():
        hours = read_hours(wanted.since, wanted.until, _now(), whole=whole)
        return Question(read_by(wanted.by), hours, read_only(wanted.only))


@contextmanager
def _typed() -> Iterator[None]:
    """Makes a mistake in what was asked one of the command line."""
    try:
        yield
    except ClientMistake as error:
        raise Misuse(f"--{error.param}: {error.message}", remedy=error.remedy) from None


def _now() -> datetime:
    return datetime.now(UTC)


def _show(loaded: Loaded, wanted: Wanted, asked: Question, make: Callable[[RollupReading], Report]) -> None:
    database = existing_database(loaded)
    speech = Speech(sys.stderr)
    _sum_up(database, speech)
    with _typed(), told_reading(database, asked.only) as reading:
        report = make(reading)
        first = reading.first_hour()
    if wanted.top is not None:
        report = report.first(wanted.top)
    if wanted.csv:
        sys.stdout.write(as_csv(report))
    elif wanted.json:
        print_json(as_json(report))
    elif not _is_empty(report):
        _print(report)
    for line in _remarks(report, asked, first) if _is_empty(report) or not wanted.json else ():
        speech.say(line)


def _sum_up(database: Database, speech: Speech) -> None:
    tenths = [-1]

    def told(done: int, of: int) -> None:
        if of >= SLOW_ROWS and done * 10 // of > tenths[0]:
            tenths[0] = done * 10 // of
            speech.say(f"summing the log, once: {done} of {of} rows")

    try:
        catch_up(database, told=told)
    except sqlite3.Error as broken:
        raise StoreUnavailable(
            f"The log in {database.path} cannot be summed now: {broken}.",
            "Try again; if it is read-only or full, mend that first.",
        ) from broken


def _is_empty(report: Report) -> bool:
    return not report.lines and not any(value for value in report.total if isinstance(value, int | float))


def _remarks(report: Report, asked: Question, first: str | None) -> list[str]:
    """What is said beside the table: the period, what is missing, and where nothing is, why."""
    if _is_empty(report):
        which = " that fits --only" if asked.only else ""
        known = f"the first one{which} is of {_hour(first)}" if first else f"no request{which} was logged yet"
        return [f"no request{which} between {_period(asked.hours)}; {known}"]
    of = _period(report.hours)
    compared = f", compared with {_period(report.before)}" if report.before is not None else ""
    return [f"between {of}{compared}, UTC", *report.notes]


def _period(hours: Hours) -> str:
    return f"{_hour(hours.begin)} and {_hour(hours.end)}"


def _hour(hour: str) -> str:
    return f"{hour.replace('T', ' ')}:00"


def _print(report: Report) -> None:
    if report.name == "explain" and not report.dimensions:
        _print_causes(report)
        return
    columns = (*report.dimensions, *report.columns)
    rows = [[_shown(column, value) for column, value in zip(columns, line, strict=True)] for line in report.lines]
    blanks = [""] * (len(report.dimensions) - 1)
    head = ["total", *blanks] if report.dimensions else []
    rows.append([*head, *(_shown(*pair) for pair in zip(report.columns, report.total, strict=True))])
    print_table([column.name for column in columns], rows)


def _print_causes(report: Report) -> None:
    """One cause a line, with its part of the bill before."""
    values = dict(zip((column.name for column in report.columns), report.total, strict=True))
    base = values["before"]
    rows = []
    for column in report.columns:
        value = values[column.name]
        is_end = column.name in ("before", "after")
        share = int(value) / int(base) if base and value is not None and not is_end else None
        rows.append((column.name, _money(value, signed=not is_end), "" if share is None else f"{share:+.1%}"))
    print_table(("cause", "dollars", "of the bill before"), rows)


def _shown(column: Column, value: Value) -> str:
    if column.kind == "text":
        return str(value) or "(none)" if column.name != "why" else str(value or "-")
    if column.kind == "money":
        return _money(value, signed=False)
    if column.kind == "seconds":
        return seconds(float(value) if value is not None else None)
    if column.kind == "share":
        return "-" if value is None else f"{float(value):.1%}"
    return str(value)


def _money(value: Value, *, signed: bool) -> str:
    if value is None:
        return UNKNOWN
    amount = int(value)
    sign = "-" if amount < 0 else "+" if signed and amount else ""
    return sign + dollars(abs(amount))
