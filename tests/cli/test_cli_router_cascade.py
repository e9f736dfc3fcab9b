"""`router eval --cascade` prints figures for people and for programs, and says what is wrong with what it was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.evals.test_cascade_rows import ROWS

from afterbay.cli.router_cascade import run_cascade
from afterbay.cli.speech import Misuse
from afterbay.evals import cascade
from afterbay.policy.learned.forest import Shape


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fit = cascade.fit_acceptor
    monkeypatch.setattr(cascade, "fit_acceptor", lambda *a, **k: fit(*a, **k, shape=Shape(trees=5)))
    monkeypatch.setattr(cascade, "DRAWS", 5)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(map(msgspec.json.encode, ROWS)))
    return path


def test_one_object_holds_the_figures(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_cascade(file, None, folds=3, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert {"apgr", "cpt50", "cpt80", "saved_at_95", "saved_at_98", "baselines", "n", "intervals"} <= told.keys()
    assert (told["n"], told["folds"], told["cascade"]) == (60, 3, True)


def test_a_table_for_people(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_cascade(file, file, folds=3)
    said = capsys.readouterr()
    assert "length" in said.out
    assert "every cheap call is paid" in said.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"folds": 100}, "60 questions cannot be split into 100 folds"),
        ({"labels": 60}, "60 of 60 rows"),
        ({"weak_cost": 100.0}, "must cost less"),
    ],
)
def test_a_wrong_option_is_told(file: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(Misuse, match=told):
        run_cascade(file, None, **options)


def test_two_ways_to_learn_exclude_each_other(file: Path) -> None:
    with pytest.raises(Misuse, match="exclude each other"):
        run_cascade(file, file, labels=5)


def test_a_file_without_answers_is_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"prompt": "a", "weak_correct": true, "strong_correct": true}\n')
    with pytest.raises(Misuse, match="weak_response"):
        run_cascade(path, None)
