"""`afterbay router eval` and `train`: figures as a table and as JSON, and sentences for files that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Run


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Rows of which a router can learn."""
    path = tmp_path / "pairs.jsonl"
    lines = [
        {
            "prompt": f"{'Prove theorem' if i % 2 else 'Tell me of'} {i} and {i * 7 % 50}",
            "strong_correct": i % 9 != 0,
            "weak_correct": i % 2 == 0 or i % 7 == 0,
            "subject": "math" if i % 2 else "talk",
        }
        for i in range(60)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_a_router_is_scored_beside_its_baselines(run: Run, pairs: Path) -> None:
    done = run("router", "eval", str(pairs), "--labels", "40", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"apgr", "cpt50", "cpt80", "saved_at_95", "saved_at_98", "intervals", "margins"} <= set(found)
    assert set(found["baselines"]) == {"random", "length", "rules", "subject_oracle"}
    assert (found["n"], found["labels"], found["seed"], found["folds"]) == (60, 40, 0, None)
    assert found["apgr"] > found["baselines"]["random"]["apgr"]


def test_people_get_a_table_and_sentences(run: Run, pairs: Path) -> None:
    done = run("router", "eval", str(pairs), "--folds", "2")
    assert done.returncode == 0, done.stderr
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [
        "router", "learned", "random", "length", "rules", "subject oracle",
    ]  # fmt: skip
    assert "60 rows" in done.stderr
    assert "Against length: " in done.stderr


def test_a_predictor_is_trained_and_kept(run: Run, pairs: Path, tmp_path: Path) -> None:
    done = run("router", "train", str(pairs), "-o", "router.bin", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [model["model"] for model in found["models"]] == ["strong", "weak"]
    assert (tmp_path / "router.bin").stat().st_size == found["bytes"]
    assert [path.name for path in tmp_path.glob(".router*")] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("eval", "missing.jsonl"), "missing.jsonl cannot be read"),
        (("eval", "pairs.jsonl", "--protocol", "guess"), "no protocol guess"),
        (("eval", "pairs.jsonl", "--strong-cost", "1"), "must cost less"),
        (("eval", "pairs.jsonl", "--labels", "9", "--train", "pairs.jsonl"), "exclude each other"),
        (("eval", "pairs.jsonl", "--labels", "59"), "--labels 59 of 60 rows"),
        (("train", "pairs.jsonl", "-o", "nowhere/router.bin"), "nowhere/router.bin cannot be written"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(run: Run, pairs: Path, arguments: tuple[str, ...], words: str) -> None:
    done = run("router", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
