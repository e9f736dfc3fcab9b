"""Reports as JSON and CSV.

Money is in dollars: in CSV as exact decimal text, in JSON as a number beside the exact count of picodollars. Durations
are in seconds, shares parts of 1.
"""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Final

from afterbay.store.reports import Column, Report, Value

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would take for a formula: names come from clients."""


def as_json(report: Report) -> dict[str, object]:
    """One object. Empty names of dimensions are null: there was none."""
    columns = (*report.dimensions, *report.columns)
    told: dict[str, object] = {
        "object": "report",
        "report": report.name,
        "since": f"{report.hours.begin}:00:00Z",
        "until": f"{report.hours.end}:00:00Z",
    }
    if report.before is not None:
        told |= {"against_since": f"{report.before.begin}:00:00Z", "against_until": f"{report.before.end}:00:00Z"}
    return told | {
        "lines": [_fields(columns, line) for line in report.lines],
        "total": _fields(report.columns, report.total),
        "notes": report.notes,
    }


def as_csv(report: Report) -> str:
    """Headings and lines; without dimensions the total is the one line. There is no line of sums among the others.

    A name that a spreadsheet would take for a formula has a `'` in front.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = (*report.dimensions, *report.columns)
    writer.writerow([_heading(column) for column in columns])
    for line in report.lines if report.dimensions else [report.total]:
        writer.writerow([_cell(column, value) for column, value in zip(columns, line, strict=True)])
    return out.getvalue()


def _fields(columns: tuple[Column, ...], line: tuple[Value, ...]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for column, value in zip(columns, line, strict=True):
        found[_heading(column)] = _number(column, value)
        if column.kind == "money":
            found[f"{_key(column)}_picousd"] = value
    return found


def _number(column: Column, value: Value) -> Value:
    if column.kind == "money" and isinstance(value, int):
        return value / 1e12
    return None if value == "" and column.kind == "text" else value


def _cell(column: Column, value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if column.kind == "money":
        return f"{Decimal(value).scaleb(-12):f}".rstrip("0").rstrip(".") if value else "0"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _heading(column: Column) -> str:
    return _key(column) + {"money": "_usd", "seconds": "_s"}.get(column.kind, "")


def _key(column: Column) -> str:
    return column.name.replace(" ", "_")
