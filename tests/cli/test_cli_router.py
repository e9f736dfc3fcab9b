"""`afterbay router certify`: a certificate, and how often its like broke the promise, for people and for programs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from afterbay.cli.progress import Progress
from afterbay.cli.router_certify import Wanted, run_certify
from afterbay.cli.speech import Misuse

from .conftest import Run

USUAL = Wanted(0.95, 0.9, None, 3, 100.0, 1.0, 0)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    rng, path = np.random.default_rng(0), tmp_path / "rows.jsonl"
    hard, luck = rng.random(450) < 0.3, rng.random(450)
    path.write_text(
        "".join(
            json.dumps({"prompt": f"{'add' if h else 'greet'} {i}", "strong_correct": True, "weak_correct": bool(w)})
            + "\n"
            for i, (h, w) in enumerate(zip(hard, ~hard | (luck < 0.4), strict=True))
        )
    )
    return path


def test_a_program_gets_one_object_with_all_that_was_shown(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_certify(rows, None, USUAL, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["threshold"] is not None
    assert 0.95 <= found["certified_floor"] <= 1.0
    assert 0.3 < found["saved"] < 0.8
    assert found["labels_used"] == 300
    assert 0.0 <= found["violations_interval"][0] <= found["violations"] <= found["violations_interval"][1] <= 1.0
    assert found["resamples"] == 3
    assert found["n"] == 450
    assert found["rows"] == {"train": 150, "labels": 150, "looked_at": 150}
    assert set(found["rules"]) == {"certificate", "stream", "tuned", "normal", "clopper_pearson", "bernstein"}


def test_a_person_gets_sentences_and_a_table(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_certify(rows, None, USUAL, as_json=False)
    out, err = capsys.readouterr()
    assert "300 labels: scores up to" in out
    assert "3 random splits: 150 rows train, 150 certify, 150 are looked at." in out
    assert "certificate\t" in out
    assert "3 of 3 resamples" in err


def test_too_few_labels_certify_nothing_and_it_is_said(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_certify(rows, None, Wanted(0.95, 0.9, 20, 0, 100.0, 1.0, 0), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["threshold"], found["certified_floor"], found["saved"]) == (None, 1.0, 0.0)
    assert (found["labels_used"], found["violations"]) == (20, None)
    assert found["labels_needed"] > 20
    assert "20 labels, about" in found["reason"]


def test_rows_that_train_do_not_certify(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = tmp_path / "train.jsonl"
    train.write_text("".join(rows.read_text().splitlines(keepends=True)[:100]))
    run_certify(rows, train, USUAL, as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out)["labels_used"] == 350
    assert json.loads(out)["rows"]["train"] == 100
    assert "100 rows of" in err
    with pytest.raises(Misuse, match="All rows of"):
        run_certify(train, train, USUAL, as_json=True)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(95, 0.9, None, 0, 100.0, 1.0, 0), "--keep 95 is no share"),
        (Wanted(0.95, 1.0, None, 0, 100.0, 1.0, 0), "--confidence 1 is no probability"),
        (Wanted(0.95, 0.9, None, 0, 1.0, 1.0, 0), "must cost less"),
    ],
)
def test_options_out_of_range_are_refused_in_a_sentence(rows: Path, wanted: Wanted, words: str) -> None:
    with pytest.raises(Misuse, match=words):
        run_certify(rows, None, wanted, as_json=True)


def test_the_program_ends_with_2_where_the_file_is_wrong(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": 1}\n')
    done = run("router", "certify", "rows.jsonl")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("afterbay: error: rows.jsonl, line 1:")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal_and_ten_lines_elsewhere() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for out in (terminal, pipe):
        with Progress("steps", out) as progress:
            progress(1, 1)
            for done in range(1, 51):
                progress(done, 50)
    assert "steps" in terminal.getvalue()
    assert pipe.getvalue().splitlines() == [f"afterbay: {done} of 50 steps" for done in range(5, 51, 5)]
