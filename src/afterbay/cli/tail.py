"""`afterbay tail`: the request log, live. Columns on a terminal, tab-separated or JSON lines for programs."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from afterbay.cli.figures import dollars, printable, seconds, short_usage
from afterbay.cli.speech import Speech
from afterbay.cli.state import existing_database, load_quickly
from afterbay.core.decision import Attempt, Record

if TYPE_CHECKING:
    from afterbay.store.answers import Logged
    from afterbay.store.reading import SqliteReading

POLL_S = 0.5
PAGE_ROWS = 200


class Column(msgspec.Struct, frozen=True):
    """`width` on a terminal; where it is too narrow, columns with the highest `drop` go first."""

    name: str
    width: int
    drop: int


COLUMNS = (
    Column("time", 8, 0),
    Column("id", 9, 6),
    Column("protocol", 18, 9),
    Column("operation", 12, 8),
    Column("route → model", 24, 0),
    Column("rule", 17, 7),
    Column("outcome", 20, 0),
    Column("ttft", 7, 4),
    Column("duration", 8, 1),
    Column("in/cached/out/reason", 20, 3),
    Column("cost", 10, 2),
    Column("attempts", 36, 5),
)
"""The last one is not cut: nothing stands to its right."""


def run_tail(config: Path | None, lines: int, follow: bool, as_json: bool) -> None:
    """Prints the last requests, then new ones until it is interrupted."""
    database = existing_database(load_quickly(config))
    from afterbay.store.reading import SqliteReading

    reading = SqliteReading(database)
    printer = _printer(as_json)
    # The cursor is taken first: what is written meanwhile is then shown by the loop, or was shown and is skipped.
    cursor = reading.last_cursor()
    shown = reading.last(lines) if lines else []
    printer.rows(shown)
    cursor = shown[-1].cursor if shown else cursor
    if not shown and lines:
        Speech(sys.stderr).say("no request was logged yet" + ("; waiting for one" if follow else ""))
    while follow:
        cursor = _new_rows(reading, cursor, printer)
        time.sleep(POLL_S)


def _new_rows(reading: SqliteReading, cursor: int, printer: Printer) -> int:
    while True:
        found = reading.after(cursor, limit=PAGE_ROWS)
        printer.rows(found)
        cursor = found[-1].cursor if found else cursor
        if len(found) < PAGE_ROWS:
            return cursor


class Printer:
    """Prints records as JSON lines."""

    def rows(self, found: Iterable[Logged]) -> None:
        """Prints these, and hands them on at once: the reader may be another program."""
        for one in found:
            print(self.line(one.record))
        sys.stdout.flush()

    def line(self, record: Record) -> str:
        """One record as a line."""
        return msgspec.json.encode(msgspec.structs.replace(record, circumstances=None)).decode()


class Tabs(Printer):
    """Tab-separated, with whole ids, times in UTC and nothing cut."""

    def __init__(self) -> None:
        print("\t".join(column.name for column in COLUMNS), flush=True)

    def line(self, record: Record) -> str:
        """One record as a line."""
        received = datetime.fromtimestamp(record.received_at, UTC).isoformat(timespec="milliseconds")[:23] + "Z"
        return "\t".join(printable(cell) for cell in (received, record.id, *cells(record)))


class Aligned(Printer):
    """For people: as many columns as fit."""

    def __init__(self, width: int) -> None:
        self._columns = fitting(width)
        print(self._join([COLUMNS[i].name for i in self._columns]), flush=True)

    def line(self, record: Record) -> str:
        """One record as a line."""
        at = datetime.fromtimestamp(record.received_at).strftime("%H:%M:%S")
        whole = [printable(cell) for cell in (at, f"…{record.id[-8:]}", *cells(record))]
        return self._join([whole[i] for i in self._columns])

    def _join(self, texts: Sequence[str]) -> str:
        parts = [_fit(text, COLUMNS[i].width) for text, i in zip(texts[:-1], self._columns, strict=False)]
        return "  ".join([*parts, texts[-1]]).rstrip()


def _printer(as_json: bool) -> Printer:
    if as_json:
        return Printer()
    return Aligned(shutil.get_terminal_size().columns) if sys.stdout.isatty() else Tabs()


def fitting(width: int) -> list[int]:
    """The numbers of the columns that fit into `width` characters, the least important left out first."""
    kept = list(range(len(COLUMNS)))
    while sum(COLUMNS[i].width + 2 for i in kept) - 2 > width and len(kept) > 3:
        kept.remove(max(kept, key=lambda i: COLUMNS[i].drop))
    return kept


def cells(record: Record) -> tuple[str, ...]:
    """What stands in the columns after time and id."""
    cost = "-" if not record.attempts else dollars(record.cost_picousd)
    status = f"{record.status} " if record.status else ""
    return (
        record.protocol,
        record.operation,
        _route(record),
        record.rule or "-",
        f"{status}{record.outcome}",
        seconds(record.ttft_s),
        seconds(record.duration_s),
        short_usage(record.usage),
        cost,
        " → ".join(_attempt(one) for one in record.attempts) or "-",
    )


def _route(record: Record) -> str:
    route = record.route or record.requested_model or "-"
    return route if record.model in ("", route) else f"{route} → {record.model}"


def _attempt(one: Attempt) -> str:
    provider = one.target.partition("/")[0]
    return provider if one.outcome == "ok" else f"{provider}!{one.outcome or 'open'}"


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"
