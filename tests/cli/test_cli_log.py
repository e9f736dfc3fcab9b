"""`afterbay tail` and `afterbay models`: tables, for people and for programs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from afterbay.cli import tail
from afterbay.cli.figures import dollars, per_million, printable, seconds, short_usage
from afterbay.core.decision import Attempt, Record
from afterbay.core.usage import Usage

from .conftest import Run, Served, command, environment

FAILED_OVER = Record(
    id="req_01m87qxjzhg4tvdfbp0xx68r10",
    received_at=1795556297.7,
    operation="chat",
    protocol="openai.chat",
    requested_model="auto",
    route="auto",
    rule="task:chat",
    model="claude",
    status=200,
    outcome="ok",
    attempts=[
        Attempt(0, "openai/gpt", "primary", 0.0, outcome="timeout"),
        Attempt(1, "anthropic/claude", "fallback", 20.0, outcome="ok"),
    ],
    usage=Usage(10, 3, 2, 40, 5, estimated=True),
    cost_picousd=None,
    ttft_s=20.4,
    duration_s=21.0,
)


def test_a_row_says_what_happened() -> None:
    assert tail.cells(FAILED_OVER) == (
        "openai.chat",
        "chat",
        "auto → claude",
        "task:chat",
        "200 ok",
        "20.40 s",
        "21.00 s",
        "~12/3/40/5",
        "unknown",
        "openai!timeout → anthropic",
    )


def test_a_request_that_met_no_target_cost_nothing_that_is_known() -> None:
    refused = Record("req_x", 0.0, "chat", "openai.chat", requested_model="nope", status=404, outcome="model_not_found")
    assert tail.cells(refused)[2:5] == ("nope", "-", "404 model_not_found")
    assert tail.cells(refused)[-2:] == ("-", "-")


def test_a_count_and_a_chat_with_the_same_model_look_different() -> None:
    counted = Record("req_x", 0.0, "count_tokens", "gemini", requested_model="m", status=200, outcome="ok")
    assert (
        dict(zip([c.name for c in tail.COLUMNS[2:]], tail.cells(counted), strict=True))["operation"] == "count_tokens"
    )


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160, 300])
def test_columns_fit_the_terminal_and_the_most_telling_ones_stay(width: int) -> None:
    kept = tail.fitting(width)
    names = [tail.COLUMNS[i].name for i in kept]
    assert {"time", "route → model", "outcome"} <= set(names)
    assert sum(tail.COLUMNS[i].width + 2 for i in kept) - 2 <= max(width, 58)
    assert kept == sorted(kept)


def test_text_from_a_client_cannot_drive_the_terminal_or_break_a_table() -> None:
    assert printable("a\x1b[2Jb\tc\nd") == "a?[2Jb?c?d"
    assert printable("naïve 模型") == "naïve 模型"


def test_figures_read_well() -> None:
    assert [seconds(x) for x in (None, 0.00004, 0.001, 0.0123, 0.85, 1.918, 75.2)] == [
        "-",
        "40 µs",
        "1.0 ms",
        "12 ms",
        "850 ms",
        "1.92 s",
        "75 s",
    ]
    assert [dollars(x) for x in (None, 0, 1, 123_000_000, 2_500_000_000_000)] == [
        "unknown",
        "$0",
        "$0.000001",
        "$0.000123",
        "$2.50",
    ]
    assert [per_million(x) for x in (0, 50_000, 2_500_000)] == ["0", "0.05", "2.5"]
    assert short_usage(None) == "-"


def test_the_log_is_tab_separated_for_programs_and_json_lines_if_asked(run: Run, config: Path) -> None:
    run("ask", "-m", "gpt", "one")
    run("ask", "-m", "gpt", "[[openai: status 500]] two")
    done = run("tail", "--no-follow")
    headings, first, second = (line.split("\t") for line in done.stdout.splitlines())
    assert len(headings) == len(first) == len(second)
    assert second[headings.index("attempts")] == "openai!error → claude"
    records = [json.loads(line) for line in run("tail", "--no-follow", "--json").stdout.splitlines()]
    assert [record["id"] for record in records] == [first[1], second[1]]
    assert len(run("tail", "--no-follow", "-n", "1").stdout.splitlines()) == 2


def test_new_requests_come_while_one_watches(run: Run, gateway: Served, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("tail", "-c", str(gateway.config), "-n", "0", "--json"),
        env=environment(tmp_path),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        for _ in range(3):  # the first ones may come before the other process looks
            run("ask", "-m", "gpt", "watched", env={"AFTERBAY_URL": gateway})
        assert json.loads(process.stdout.readline())["model"] == "gpt"
    finally:
        process.terminate()
        process.wait(5)
        assert process.stdout is not None
        process.stdout.close()


def test_models_are_listed_with_prices_and_what_the_log_knows(run: Run, config: Path) -> None:
    run("ask", "-m", "gpt", "one")
    done = run("models")
    headings, *rows = (line.split("\t") for line in done.stdout.splitlines())
    by_name = {row[0]: dict(zip(headings, row, strict=True)) for row in rows}
    assert by_name["auto"]["provider/model"] == "one of: gpt, claude"
    assert by_name["gpt"]["provider/model"] == "openai/gpt-4o-2024-11-20"
    assert (by_name["gpt"]["in $/M"], by_name["gpt"]["out $/M"]) == ("2", "8")
    assert by_name["gpt"]["state"].startswith("key set; last hour 1 requests, ttft p50 ")
    assert by_name["claude"]["state"] == "key set"
    assert "any other name is an error" in done.stderr


def test_models_as_json_say_unknown_as_null(run: Run, config: Path) -> None:
    config.write_text(
        config.read_text().replace(", price: {input: 2, output: 8}", "").replace("gpt-4o-mini", "no-such")
    )
    told = {one["name"]: one for one in json.loads(run("models", "--json").stdout)}
    assert told["alone"]["price_input"] is None
    assert told["claude"]["price_input"] == 3.0
    assert told["claude"]["fallback"] == ["gpt"]
    assert "\tunknown\tunknown\t" in run("models").stdout
