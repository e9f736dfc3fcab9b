"""What was said of answers, by whatever a report is asked by."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from afterbay.core.decision import Record
from afterbay.label_ports import Label
from afterbay.store.database import Database, open_database
from afterbay.store.labels import SqliteLabels
from afterbay.store.question import Question, read_only
from afterbay.store.reports import Report, satisfaction_report
from afterbay.store.rollup_reading import Hours, reading_of
from afterbay.store.writer import Writer

T0 = 1_795_000_000.0 - 1_795_000_000.0 % 86400
DAY = Hours("2026-11-18T00", "2026-11-19T00")


def record(number: int, model: str, **fields: Any) -> Record:
    return Record(f"req_{number}", T0 + 60.0 * number, "chat", "openai.chat", route="auto", model=model, **fields)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = open_database(f"sqlite:///{tmp_path}/a.db")
    writer = Writer(made, 1.0)
    tagged = {"tags": {"app": "chat", "tier": "a"}}
    log = [record(1, "small", **tagged), record(2, "small", team="search"), record(3, "large"), record(4, "large")]
    assert writer.insert(log, 64, lambda: None) == 0
    writer.close()
    labels = SqliteLabels(made, retention_s=1e12)
    said = [
        Label("req_1", "auto", T0, "feedback", "small", 1.0, "up"),
        Label("req_2", "auto", T0, "feedback", "small", 0.0, "down", "wrong"),
        Label("req_2", "auto", T0, "regenerate", "small", 0.25),
        Label("req_3", "auto", T0, "judge", "large", 1.0),
        Label("req_gone", "auto", T0, "feedback", "large", 0.0),
    ]
    for one in said:
        asyncio.run(labels.put(one))
    labels.close()
    return made


def asked(database: Database, *by: str, only: tuple[str, ...] = (), hours: Hours = DAY) -> Report:
    with reading_of(database, read_only(only)) as reading:
        return satisfaction_report(reading, Question(by, hours))


def test_words_are_summed_by_the_model_that_answered(database: Database) -> None:
    report = asked(database, "model")
    assert report.lines == (("small", 2, 0.5, 1, 1, 1, 0, None), ("large", 0, None, 0, 0, 0, 1, 1.0))
    assert report.total == (2, 0.5, 1, 1, 1, 1, 1.0)


@pytest.mark.parametrize(
    ("by", "first"),
    [
        (("team",), ("", "search", 1, 0.0)),
        (("tag:app",), ("", 1, 0.0)),
        (("tag",), ("", 1, 0.0)),
        (("route", "day"), ("auto", "2026-11-18", 2, 0.5)),
    ],
)
def test_it_is_asked_by_what_other_reports_are(database: Database, by: tuple[str, ...], first: tuple[Any, ...]) -> None:
    report = asked(database, *by)
    assert report.lines[0][: len(first)] == first
    assert report.total[0] == 2


def test_only_what_is_asked_for_is_in_it(database: Database) -> None:
    assert asked(database, only=("team=search",)).total[:3] == (1, 0.0, 1)
    assert asked(database, hours=Hours("2026-11-19T00", "2026-11-20T00")).total == (0, None, 0, 0, 0, 0, None)


def test_what_exploring_cost_more_is_summed_over_the_log(database: Database) -> None:
    writer = Writer(database, 1.0)
    explored = {"extra_picousd": 700}
    writer.insert([record(7, "small", reasons=explored), record(8, "small", reasons={"rule": "x"})], 64, lambda: None)
    writer.close()
    labels = SqliteLabels(database, retention_s=1e12)
    assert asyncio.run(labels.explored_picousd("auto", T0)) == 700
    assert asyncio.run(labels.explored_picousd("auto", T0 + 86400)) == 0
    assert asyncio.run(labels.explored_picousd("other", T0)) == 0
    labels.close()


def test_more_imprints_than_are_kept_push_out_the_oldest(database: Database) -> None:
    labels = SqliteLabels(database, retention_s=1e12, most_imprints=3)
    for number in range(6):
        labels._next_sweep_s = 0.0
        asyncio.run(labels.put_imprint(f"req_{number}", "auto", T0 + number, b"x"))
    assert list(asyncio.run(labels.imprints("auto"))) == ["req_3", "req_4", "req_5"]
    labels.close()
