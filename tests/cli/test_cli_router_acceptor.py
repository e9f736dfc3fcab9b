"""`afterbay router train --cascade`: an acceptor in a file, and how it did on answers that it had not seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.evals.test_acceptance import ROWS

from afterbay.cli.router_train import run_train_acceptor
from afterbay.cli.speech import Misuse
from afterbay.policy.learned.acceptor import restored

from .conftest import Run


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


def test_an_acceptor_is_trained_and_kept(run: Run, answers: Path, tmp_path: Path) -> None:
    done = run("router", "train", str(answers), "--cascade", "-o", "acceptor.bin", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    data = (tmp_path / "acceptor.bin").read_bytes()
    assert (len(data), found["n"], found["passed"]) == (found["bytes"], 50, 50)
    assert found["auc"] > 0.95
    assert found["leasts"][0]["accept"] == 0.0
    assert "steps" in restored(data).names


def test_people_get_a_table_and_are_told_that_nothing_was_kept(
    answers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_train_acceptor(answers, None, 0, False)
    said = capsys.readouterr()
    assert said.out.splitlines()[0].split("\t") == ["accept", "given", "as good of these", "quality kept"]
    assert "50 rows held back in five folds" in said.err
    assert "It was not kept" in said.err


def test_what_is_wrong_is_said_in_a_sentence(answers: Path, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="cannot be written"):
        run_train_acceptor(answers, tmp_path / "nowhere" / "a.bin", 0, False)
    answers.write_text(answers.read_text().splitlines()[0])
    with pytest.raises(Misuse, match="1 different prompts"):
        run_train_acceptor(answers, None, 0, False)


def test_a_route_of_its_own_learns_no_acceptor(run: Run) -> None:
    done = run("router", "train", "--route", "auto", "--cascade")
    assert done.returncode == 2
    assert "--cascade is for a file" in done.stderr
