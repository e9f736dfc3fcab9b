"""`afterbay router tasks`: rows in, figures out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from afterbay.cli.main import app
from afterbay.cli.speech import Misuse

RUNNER = CliRunner()


def rows(folder: Path, *objects: object) -> Path:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects), "utf-8")
    return file


def test_it_prints_rows_and_figures(tmp_path: Path) -> None:
    file = rows(
        tmp_path,
        {"prompt": "Translate this into German: The cat is asleep.", "label": "translate"},
        {"text": "写一首关于老屋的诗", "label": "creative"},
        {"prompt": "asdf qwer"},
    )
    result = RUNNER.invoke(app, ["router", "tasks", str(file), "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert [row["abstained"] for row in said["rows"]] == [False, False, True]
    assert [row["task"] for row in said["rows"]][:2] == ["translate", "creative"]
    assert said["accuracy_decided"] == 1.0
    assert said["coverage"] == pytest.approx(2 / 3, abs=1e-4)
    assert 0 < said["cpu_ms_p50"] <= said["cpu_ms_p99"]
    assert said["by_language"]["zh"]["n"] == 1


def test_without_labels_there_is_no_accuracy(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["router", "tasks", str(rows(tmp_path, {"prompt": "hi"})), "--json"])
    assert json.loads(result.stdout)["accuracy_decided"] is None


def test_people_get_a_table(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["router", "tasks", str(rows(tmp_path, {"prompt": "Write a poem about rain."}))])
    assert "creative" in result.stdout
    assert "ms p99" in result.stdout


@pytest.mark.parametrize(
    ("row", "problem"),
    [({"prompt": "x", "label": "poetry"}, "poetry"), ({"question": "x"}, "no prompt"), (["x"], "no JSON object")],
)
def test_rows_that_make_no_sense_are_misuse(tmp_path: Path, row: object, problem: str) -> None:
    result = RUNNER.invoke(app, ["router", "tasks", str(rows(tmp_path, row))])
    assert isinstance(result.exception, Misuse)
    assert problem in result.exception.message


def test_a_file_that_is_not_there_or_empty_is_misuse(tmp_path: Path) -> None:
    assert isinstance(RUNNER.invoke(app, ["router", "tasks", str(tmp_path / "no.jsonl")]).exception, Misuse)
    assert isinstance(RUNNER.invoke(app, ["router", "tasks", str(rows(tmp_path))]).exception, Misuse)
