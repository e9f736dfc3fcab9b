"""What a report costs on a long log: time and rows read, from the roll-ups, and beside it the same from the rows.

A log of a company that is made up (`afterbay.testing.made_log`: 9 users, 3 teams, 5 projects, 4 tasks, 4 models) over
30 days. Times are CPU seconds, the best of three, without the start of the program (0.4 s); rows are those of the
tables that a report reads in its period, of `rollup_steps` those of both measures.

    python benchmarks/report.py [--rows 1000000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from afterbay.core.usage import Price
from afterbay.store.database import Database, open_database
from afterbay.store.question import Question
from afterbay.store.reports import (
    cost_report,
    errors_report,
    explain_report,
    latency_report,
    savings_report,
    usage_report,
)
from afterbay.store.rollup import catch_up
from afterbay.store.rollup_reading import Hours, RollupReading, reading_of
from afterbay.testing.made_log import records, write

END_S = 1_795_600_800.0 - 1_795_600_800.0 % 3600
DAYS = 30
MONTH = Hours("2026-10-26T10", "2026-11-25T10")
WEEK, WEEK_BEFORE = Hours("2026-11-18T10", "2026-11-25T10"), Hours("2026-11-11T10", "2026-11-18T10")
BEST = Price(input=5_000_000, output=25_000_000, cached_input=500_000, cache_write=5_000_000)

Ask = Callable[[RollupReading], Any]
REPORTS: dict[str, tuple[Ask, tuple[str, ...]]] = {
    "cost --by model": (lambda one: cost_report(one, Question(("model",), MONTH)), ("rollups",)),
    "cost --by tag:project,user": (
        lambda one: cost_report(one, Question(("tag:project", "user"), MONTH)),
        ("rollups",),
    ),
    "usage --by day": (lambda one: usage_report(one, Question(("day",), MONTH)), ("rollups",)),
    "latency --by model": (
        lambda one: latency_report(one, Question(("model",), MONTH)),
        ("rollups", "rollup_steps"),
    ),
    "latency --by hour": (lambda one: latency_report(one, Question(("hour",), MONTH)), ("rollups", "rollup_steps")),
    "errors --by provider": (
        lambda one: errors_report(one, Question(("provider",), MONTH)),
        ("rollups", "rollup_failures"),
    ),
    "savings --by model": (lambda one: savings_report(one, Question(("model",), MONTH), "best", BEST), ("rollups",)),
    "explain, a week": (lambda one: explain_report(one, Question((), WEEK), WEEK_BEFORE), ("rollups",)),
}
FROM_ROWS = {
    "cost --by model": "SELECT model, count(DISTINCT r.id), sum(a.cost_picousd) FROM requests AS r"
    " JOIN attempts AS a ON a.request_id = r.id GROUP BY model",
    "latency --by model": "SELECT model, ttft_s, row_number() OVER (PARTITION BY model ORDER BY ttft_s),"
    " row_number() OVER (PARTITION BY model ORDER BY duration_s) FROM requests",
}


def best_of(act: Callable[[], object], rounds: int = 3) -> float:
    """The shortest time of several, in CPU seconds."""
    found = []
    for _ in range(rounds):
        start_s = time.process_time()
        act()
        found.append(time.process_time() - start_s)
    return min(found)


def made(path: Path, rows: int) -> Database:
    """The log; in its second half cheaper models are asked more often."""
    database = open_database(f"sqlite:///{path}")
    half = rows // 2
    write(database, records(half, begin_utc_s=END_S - DAYS * 86400, days=DAYS / 2))
    write(database, records(rows - half, begin_utc_s=END_S - DAYS * 43200, days=DAYS / 2, shift=(1, 4, 8, 1)))
    return database


def ask(database: Database, question: Ask) -> object:
    """As the command does it: first the rest of the log is summed (nothing, here)."""
    catch_up(database)
    with reading_of(database) as reading:
        return question(reading)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        database = made(Path(folder) / "state.db", rows)
        start_s = time.process_time()
        catch_up(database)
        rolled_s = time.process_time() - start_s
        with closing(database.connect()) as connection:
            names = ("requests", "attempts", "rollups", "rollup_steps", "rollup_failures")
            counts = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}  # noqa: S608
            print(f"{rolled_s:.1f} s to sum {rows} rows, {rolled_s / rows * 1e6:.1f} µs each; {counts}")
            for name, (question, tables) in REPORTS.items():
                read = sum(counts[table] for table in tables)
                of = " of the month" if "week" in name else ""
                told_s = best_of(lambda question=question: ask(database, question))  # type: ignore[misc]
                print(f"| `{name}` | {told_s:.2f} s | {read}{of} |")
            for name, text in FROM_ROWS.items():
                told_s = best_of(lambda text=text: connection.execute(text).fetchall())  # type: ignore[misc]
                print(f"| {name}, from the rows | {told_s:.2f} s |")


if __name__ == "__main__":
    main()
