"""Reports say what the log says: every line against the records that it stands for, whatever it is asked by."""

from __future__ import annotations

import csv
import io
import math
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from afterbay.core.decision import Record
from afterbay.core.errors import ClientMistake
from afterbay.core.usage import Price, Usage
from afterbay.policy.bill import Parts
from afterbay.store.database import Database, open_database
from afterbay.store.question import Question, read_only
from afterbay.store.report_form import as_csv, as_json
from afterbay.store.reports import (
    Report,
    cost_report,
    errors_report,
    explain_report,
    latency_report,
    savings_report,
    usage_report,
)
from afterbay.store.rollup import catch_up
from afterbay.store.rollup_reading import Hours, RollupReading, reading_of
from afterbay.testing.made_log import MODELS, records, write

T0 = 1_795_000_000.0 - 1_795_000_000.0 % 86400
FIRST, SECOND = Hours("2026-11-18T00", "2026-11-19T00"), Hours("2026-11-19T00", "2026-11-20T00")
BOTH = Hours(FIRST.begin, SECOND.end)
BEST = MODELS[0].price or Price(0, 0, 0, 0)


@pytest.fixture(scope="module")
def found() -> list[Record]:
    """Two days; on the second one cheaper models are chosen more often."""
    return [
        *records(700, begin_utc_s=T0, days=1.0),
        *records(900, begin_utc_s=T0 + 86400, days=1.0, shift=(1, 4, 8, 1)),
    ]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, found: list[Record]) -> Database:
    made = open_database(f"sqlite:///{tmp_path_factory.mktemp('log')}/state.db")
    assert write(made, iter(found)) == 1600
    catch_up(made)
    return made


@pytest.fixture
def reading(database: Database) -> Iterator[RollupReading]:
    with reading_of(database) as one:
        yield one


def lines(report: Report) -> dict[tuple[Any, ...], dict[str, Any]]:
    """By the values of the dimensions, by the names of the columns."""
    width = len(report.dimensions)
    names = [column.name for column in report.columns]
    return {line[:width]: dict(zip(names, line[width:], strict=True)) for line in report.lines}


def whole(report: Report) -> dict[str, Any]:
    return dict(zip([column.name for column in report.columns], report.total, strict=True))


def grouped(found: Sequence[Record], by: Callable[[Record], tuple[str, ...]]) -> dict[tuple[str, ...], list[Record]]:
    groups = defaultdict(list)
    for record in found:
        groups[by(record)].append(record)
    return groups


BY: dict[str, Callable[[Record], tuple[str, ...]]] = {
    "model": lambda record: (record.model,),
    "team": lambda record: (record.organisation or "", record.team or ""),
    "user": lambda record: (record.organisation or "", record.user or ""),
    "key": lambda record: (record.key_name or "", record.key_id or ""),
    "task": lambda record: (record.task or "",),
    "tag": lambda record: tuple(f"{name}={value}" for name, value in record.tags.items()),
    "tag:project": lambda record: (record.tags["project"],),
    "tag:nothing": lambda record: ("",),
    "organisation,route,operation": lambda record: (record.organisation or "", record.route, record.operation),
}


def cost(found: Sequence[Record]) -> int:
    return sum(attempt.cost_picousd or 0 for record in found for attempt in record.attempts)


@pytest.mark.parametrize("by", BY)
def test_the_cost_of_each_line_is_that_of_its_attempts(reading: RollupReading, found: list[Record], by: str) -> None:
    report = cost_report(reading, Question(tuple(by.split(",")), BOTH))
    groups = grouped(found, BY[by])
    assert {key: (line["requests"], line["cost"] or 0) for key, line in lines(report).items()} == {
        key: (len(group), cost(group)) for key, group in groups.items()
    }
    assert (whole(report)["requests"], whole(report)["cost"]) == (len(found), cost(found))
    costs = [line["cost"] or 0 for line in lines(report).values()]
    assert costs == sorted(costs, reverse=True)
    assert sum(line["share"] for line in lines(report).values()) == pytest.approx(1.0)


def test_cost_beside_answers_is_that_of_attempts_that_did_not_answer(
    reading: RollupReading, found: list[Record]
) -> None:
    beside = sum(
        attempt.cost_picousd or 0 for record in found for attempt in record.attempts if attempt.outcome != "ok"
    )
    assert whole(cost_report(reading, Question((), BOTH)))["beside answers"] == beside > 0


def test_what_no_price_is_known_of_is_unknown_and_not_free(reading: RollupReading) -> None:
    report = cost_report(reading, Question(("provider",), BOTH))
    own = lines(report)["own",]
    assert own["cost"] is None
    assert own["cost per request"] is None
    assert own["unpriced attempts"] > 0
    assert "is not known" in report.notes[0]


def test_tokens_of_each_deployment_are_those_of_its_attempts(reading: RollupReading, found: list[Record]) -> None:
    report = usage_report(reading, Question(("deployment",), BOTH))
    used: dict[tuple[str], Usage] = defaultdict(Usage)
    for attempt in (attempt for record in found for attempt in record.attempts):
        one, so_far = attempt.usage or Usage(), used[attempt.target,]
        used[attempt.target,] = Usage(
            so_far.input_tokens + one.input_tokens,
            so_far.cached_input_tokens + one.cached_input_tokens,
            0,
            so_far.output_tokens + one.output_tokens,
        )
    told = {
        key: Usage(line["input tokens"], line["cached input tokens"], 0, line["output tokens"])
        for key, line in lines(report).items()
    }
    assert told == used
    assert whole(report)["total tokens"] == sum(usage.total for usage in used.values())


@pytest.mark.parametrize("by", ["model", "tag", ""])
def test_percentiles_are_within_one_percent_of_the_exact_ones(
    reading: RollupReading, found: list[Record], by: str
) -> None:
    report = latency_report(reading, Question(tuple(filter(None, [by])), BOTH))
    groups = {**grouped(found, BY[by]), (): found} if by else {(): found}
    for key, group in groups.items():
        line = whole(report) if key == () else lines(report)[key]
        for name, values in (
            ("ttft", sorted(one.ttft_s for one in group if one.ttft_s is not None)),
            ("duration", sorted(one.duration_s for one in group if one.outcome == "ok")),
        ):
            for share in (50, 95, 99):
                exact = values[math.ceil(share / 100 * len(values)) - 1]
                assert line[f"{name} p{share}"] == pytest.approx(exact, rel=0.0101)
        assert line["with output"] == sum(one.ttft_s is not None for one in group)


def test_errors_tell_what_clients_and_what_providers_saw(reading: RollupReading, found: list[Record]) -> None:
    report = errors_report(reading, Question((), BOTH))
    failed = [record for record in found if record.outcome != "ok"]
    attempts = [attempt for record in found for attempt in record.attempts]
    limited = sum(attempt.outcome == "rate_limit" for attempt in attempts)
    told = whole(report)
    assert (told["requests"], told["failed"]) == (len(found), len(failed))
    assert told["failed share"] == len(failed) / len(found)
    assert told["failed attempts"] == sum(attempt.outcome != "ok" for attempt in attempts)
    assert told["retried"] == sum(len(record.attempts) > 1 for record in found)
    assert f"attempt rate_limit 429 ×{limited}" in told["why"].split("; ")
    assert told["why"].startswith(f"request all_targets_failed 502 ×{len(failed)}")


def test_hours_follow_each_other(reading: RollupReading) -> None:
    keys = [line[0] for line in cost_report(reading, Question(("hour",), BOTH)).lines]
    assert keys == sorted(keys)
    assert len(keys) == 48
    assert [line[0] for line in cost_report(reading, Question(("day",), BOTH)).lines] == ["2026-11-18", "2026-11-19"]
    assert [line[0] for line in cost_report(reading, Question(("month",), BOTH)).lines] == ["2026-11"]


@pytest.mark.parametrize(
    ("only", "fits"),
    [
        (["team=search"], lambda record: record.team == "search"),
        (["key=search-app", "user=ana"], lambda record: record.user == "ana"),
        (["tag:project=evals"], lambda record: record.tags["project"] == "evals"),
        (["tag:project="], lambda record: False),
        (["model=gpt", "task=code"], lambda record: (record.model, record.task) == ("gpt", "code")),
    ],
)
@pytest.mark.parametrize("by", ["", "tag:project,task"])
def test_a_report_may_be_about_some_only(
    database: Database, found: list[Record], only: list[str], fits: Callable[[Record], bool], by: str
) -> None:
    fitting = [record for record in found if fits(record)]
    with reading_of(database, read_only(only)) as reading:
        asked = Question(tuple(filter(None, by.split(","))), BOTH)
        reports = cost_report(reading, asked), latency_report(reading, asked), errors_report(reading, asked)
        assert (reading.first_hour() is None) == (not fitting)
    assert [whole(report)["requests"] for report in reports] == [len(fitting)] * 3
    assert sum(line["requests"] for line in lines(reports[0]).values()) in (
        [len(fitting), 0] if not by else [len(fitting)]
    )


@pytest.mark.parametrize("by", ["", "team", "deployment", "operation", "user,task", "tag:project"])
def test_causes_add_up_to_the_change_of_each_line_and_of_all(
    reading: RollupReading, found: list[Record], by: str
) -> None:
    asked = Question(tuple(filter(None, by.split(","))), SECOND)
    report = explain_report(reading, asked, FIRST)
    for line in (*lines(report).values(), whole(report)):
        assert sum(line[name.replace("_", " ")] for name in Parts.__struct_fields__) == line["change"]
        assert line["after"] - line["before"] == line["change"]
    days = [[record for record in found if (record.received_at < T0 + 86400) == is_first] for is_first in (True, False)]
    assert [whole(report)["before"], whole(report)["after"]] == [cost(day) for day in days]
    if by:
        assert sum(line["change"] for line in lines(report).values()) == whole(report)["change"]


def test_what_changed_on_the_second_day_is_found(reading: RollupReading) -> None:
    """More requests, cheaper models; neither prices nor lengths."""
    told = whole(explain_report(reading, Question((), SECOND), FIRST))
    assert told["volume"] > 0 > told["mix"]
    others = [told[name] for name in ("price", "prompt length", "cache", "answer length", "retries")]
    assert max(map(abs, others)) < min(told["volume"], -told["mix"])


def test_two_periods_cannot_be_compared_by_time(reading: RollupReading) -> None:
    with pytest.raises(ClientMistake, match="by hour"):
        explain_report(reading, Question(("hour",), SECOND), FIRST)


def test_savings_hold_all_that_was_spent_against_the_best_models_price_of_the_same_answers(
    reading: RollupReading, found: list[Record]
) -> None:
    report = savings_report(reading, Question(("model",), BOTH), "anthropic/claude-opus-4-6", BEST)
    answers = [record for record in found if record.outcome == "ok" and record.attempts[-1].cost_picousd is not None]
    instead = sum(BEST.cost_picousd(record.attempts[-1].usage or Usage()) for record in answers)
    told = whole(report)
    assert (told["answers"], told["cost"], told["always best"]) == (len(answers), cost(found), instead)
    assert told["saved"] == instead - cost(found)
    assert sum(line["saved"] for line in lines(report).values()) == told["saved"]
    assert lines(report)["strong",]["saved"] <= 0


def test_a_period_without_requests_has_no_lines(reading: RollupReading) -> None:
    never = Hours("2020-01-01T00", "2020-01-02T00")
    for make in (cost_report, usage_report, latency_report, errors_report):
        report = make(reading, Question(("team",), never))
        assert report.lines == ()
        assert not any(value for value in report.total if isinstance(value, int))
    assert set(explain_report(reading, Question(("team",), never), never).total) == {0}


def test_what_is_cut_is_told(reading: RollupReading) -> None:
    report = cost_report(reading, Question(("user",), BOTH))
    assert len(report.first(2).lines) == 2
    assert report.first(2).notes[-1] == "7 more lines are not shown"
    assert report.first(9) == report


def test_csv_is_exact_and_has_only_lines(reading: RollupReading, found: list[Record]) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(cost_report(reading, Question(("team", "model"), BOTH))))))
    assert sum(Decimal(row["cost_usd"] or 0) for row in rows).scaleb(12) == cost(found)
    assert sum(int(row["requests"]) for row in rows) == len(found)
    assert {row["cost_usd"] for row in rows if row["model"] == "house"} == {""}
    [total] = csv.DictReader(io.StringIO(as_csv(latency_report(reading, Question((), BOTH)))))
    assert float(total["ttft_p50_s"]) > 0


@pytest.mark.parametrize("tag", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_no_name_becomes_a_formula_in_a_spreadsheet(tmp_path: Path, tag: str) -> None:
    made = open_database(f"sqlite:///{tmp_path}/a.db")
    [record] = records(1, begin_utc_s=T0, days=0.1)
    record.tags = {"project": tag}
    write(made, iter([record]))
    catch_up(made)
    with reading_of(made) as reading:
        report = cost_report(reading, Question(("tag:project",), BOTH))
    [_, row] = csv.reader(io.StringIO(as_csv(report)))
    assert row[0] == f"'{tag}"
    assert report.lines[0][0] == tag


def test_json_has_dollars_beside_exact_picodollars_and_null_for_what_there_was_not(reading: RollupReading) -> None:
    told: Any = msgspec.json.decode(msgspec.json.encode(as_json(cost_report(reading, Question(("agent",), BOTH)))))
    [line] = told["lines"]
    assert line["agent"] is None
    assert line["cost_usd"] == pytest.approx(line["cost_picousd"] / 1e12)
    assert told["total"]["requests"] == 1600
    assert (told["since"], told["until"]) == ("2026-11-18T00:00:00Z", "2026-11-20T00:00:00Z")
    explained = as_json(explain_report(reading, Question((), SECOND), FIRST))
    assert explained["against_until"] == "2026-11-19T00:00:00Z"


def test_no_report_reads_a_row_of_the_log(database: Database) -> None:
    read = set()

    def look(action: int, table: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_READ:
            read.add(table)
        return sqlite3.SQLITE_OK

    with closing(database.connect()) as connection:
        connection.set_authorizer(look)
        reading = RollupReading(connection, read_only(["tag:project=evals"]))
        asked = Question(("tag", "user", "hour"), SECOND)
        for make in (cost_report, usage_report, latency_report, errors_report):
            make(reading, asked)
        savings_report(reading, asked, "best", BEST)
        explain_report(reading, Question(("tag:project",), SECOND), FIRST)
    assert read >= {"rollups", "rollup_steps", "rollup_failures"}
    assert not read & {"requests", "attempts"}
