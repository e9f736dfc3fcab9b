"""`afterbay report`: tables for people, CSV and JSON for programs, over a log that was made up and over a real one."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from afterbay.cli import report
from afterbay.cli.speech import Speech
from afterbay.store.database import open_database
from afterbay.testing.made_log import records, write

from .conftest import Run

DAY_S = 86400.0


@pytest.fixture
def logged(tmp_path: Path, config: Path) -> Path:
    """Two weeks of requests that end now, in the log of the configuration; the second week has cheaper models."""
    end_s = time.time()
    database = open_database(f"sqlite:///{tmp_path}/state.db")
    write(database, records(300, begin_utc_s=end_s - 14 * DAY_S, days=7))
    write(database, records(400, begin_utc_s=end_s - 7 * DAY_S, days=6.9, shift=(1, 4, 8, 1)))
    return config


def table(text: str) -> list[dict[str, str]]:
    headings, *rows = (line.split("\t") for line in text.splitlines())
    return [dict(zip(headings, row, strict=True)) for row in rows]


def test_a_table_has_a_line_each_and_the_total(run: Run, logged: Path) -> None:
    done = run("report", "cost", "--by", "team")
    assert done.returncode == 0, done.stderr
    *lines, total = table(done.stdout)
    assert {line["team"] for line in lines} == {"search", "support", "research"}
    assert total["organisation"] == "total"
    assert sum(int(line["requests"]) for line in lines) == int(total["requests"])
    assert total["cost"].startswith("$")
    assert "UTC" in done.stderr
    assert "price of" in done.stderr, "one model's price is not known"


@pytest.mark.parametrize("name", ["cost", "usage", "latency", "errors"])
def test_every_report_comes_in_three_forms_with_the_same_numbers(run: Run, logged: Path, name: str) -> None:
    asked = ("report", name, "--by", "model", "--since", "10d")
    told = json.loads(run(*asked, "--json").stdout)
    rows = list(csv.DictReader(io.StringIO(run(*asked, "--csv").stdout)))
    *lines, total = table(run(*asked).stdout)
    assert (
        [line["model"] for line in told["lines"]] == [row["model"] for row in rows] == [one["model"] for one in lines]
    )
    assert [line["requests"] for line in told["lines"]] == [int(row["requests"]) for row in rows]
    assert int(total["requests"]) == told["total"]["requests"] > 400


def test_a_bill_is_divided_by_tag_and_user(run: Run, logged: Path) -> None:
    done = run("report", "cost", "--by", "tag:project,user", "--since", "3w", "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {(row["tag:project"], row["organisation"], row["user"]) for row in rows} >= {("helpdesk", "acme", "dora")}
    assert sum(int(row["requests"]) for row in rows) == 700
    some = run(
        "report", "cost", "--by", "user", "--only", "tag:project=helpdesk", "--since", "3w", "--csv", "--top", "1"
    )
    [row] = csv.DictReader(io.StringIO(some.stdout))
    assert row["user"] in ("dora", "emil")
    assert "1 more line" in some.stderr


def test_a_change_of_the_bill_is_explained_by_causes_that_add_up(run: Run, logged: Path) -> None:
    told = json.loads(run("report", "explain", "--json").stdout)["total"]
    causes = ("volume", "mix", "prompt_length", "cache", "answer_length", "price", "retries")
    assert sum(told[f"{name}_picousd"] for name in causes) == told["change_picousd"]
    assert told["after_picousd"] - told["before_picousd"] == told["change_picousd"]
    shown = table(run("report", "explain").stdout)
    assert (shown[0]["cause"], shown[-1]["cause"]) == ("before", "change")
    by_team = table(run("report", "explain", "--by", "team").stdout)
    assert by_team[-1]["organisation"] == "total"


def test_savings_are_against_the_models_of_the_configuration(run: Run, logged: Path) -> None:
    done = run("report", "savings", "--best", "claude", "--json")
    told = json.loads(done.stdout)
    assert told["total"]["saved_picousd"] == told["total"]["always_best_picousd"] - told["total"]["cost_picousd"]
    assert "claude/claude-opus-4-6" in told["notes"][0]
    unknown = run("report", "savings", "--best", "nobody")
    assert unknown.returncode == 2
    assert "afterbay models" in unknown.stderr


def test_what_was_asked_a_moment_ago_is_in_the_report(run: Run, config: Path) -> None:
    run("ask", "-m", "gpt", "one")
    run("ask", "-m", "gpt", "[[openai: status 500]] two")
    told = json.loads(run("report", "errors", "--json").stdout)
    assert (told["total"]["requests"], told["total"]["failed"], told["total"]["retried"]) == (2, 0, 1)
    assert "attempt error 500 ×1" in told["total"]["why"]


def test_where_nothing_was_asked_it_says_so(run: Run, logged: Path) -> None:
    done = run("report", "cost", "--since", "2020-01", "--until", "2020-02")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no request between 2020-01-01 00:00 and 2020-02-01 00:00; the first one is of 20" in done.stderr
    filtered = run("report", "latency", "--only", "team=nobody", "--json")
    assert json.loads(filtered.stdout)["lines"] == []
    assert "no request that fits --only" in filtered.stderr
    empty = run("report", "usage", "--only", "team=nobody", "--csv")
    assert len(empty.stdout.splitlines()) == 1, "headings alone, so that a program reads no lines"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--by", "teams"), "no dimension 'teams'"),
        (("--since", "yesterday"), "is no time"),
        (("--since", "1d", "--until", "2d"), "no hour between"),
        (("--only", "team"), "says no value"),
        (("--only", "teem=a"), "--only: Reports have no dimension 'teem'"),
        (("--only", "tag=a"), "a name and a value"),
        (("--csv", "--json"), "two forms"),
    ],
)
def test_a_mistake_is_explained(run: Run, config: Path, options: tuple[str, ...], says: str) -> None:
    done = run("report", "cost", *options)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_two_periods_are_not_compared_by_day(run: Run, logged: Path) -> None:
    done = run("report", "explain", "--by", "day")
    assert done.returncode == 2
    assert "cannot be compared by day" in done.stderr


def test_without_a_log_it_says_what_to_do(run: Run, config: Path) -> None:
    done = run("report", "cost")
    assert done.returncode == 1
    assert "afterbay serve" in done.stderr


def test_a_log_that_another_process_holds_is_told_in_a_sentence(run: Run, logged: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = run("report", "cost")
    assert done.returncode == 1
    assert "cannot be summed now" in done.stderr
    assert "Traceback" not in done.stderr


def test_summing_a_long_log_is_told_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    write(database, records(200, begin_utc_s=time.time() - DAY_S, days=0.5))
    monkeypatch.setattr(report, "SLOW_ROWS", 200)
    monkeypatch.setattr("afterbay.store.rollup.STEP_ROWS", 40)
    said = io.StringIO()
    report._sum_up(database, Speech(said))
    assert [line.split(": ")[-1] for line in said.getvalue().splitlines()] == [
        f"{done} of 200 rows" for done in (40, 80, 120, 160)
    ]


def test_summing_a_small_log_is_not_worth_a_word(run: Run, logged: Path) -> None:
    assert report.SLOW_ROWS > 700
    assert "summing" not in run("report", "cost").stderr
