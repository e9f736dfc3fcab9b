"""Scores of routing over a pool: what is reported, that nothing sees what it is scored on, and the command."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.evals.matrix import MODELS, rows
from typer.testing import CliRunner

from afterbay.cli.main import app
from afterbay.cli.speech import Misuse
from afterbay.core.errors import ClientMistake
from afterbay.evals.pool import AIMS, Outcome, Row, arena_score, load, pool_of, report

SHARED = Path(os.environ.get("AFTERBAY_SHARED") or Path(__file__).parents[2].parent / "shared")
ARENA = SHARED / "data" / "eval" / "routerarena" / "routerarena.jsonl"


@pytest.fixture(scope="module")
def nine() -> dict[str, Any]:
    return report(rows(280), 2)


def test_nine_models_are_routed_better_than_by_what_needs_no_router(nine: dict[str, Any]) -> None:
    blend, against = nine["routers"]["blend"], nine["baselines"]
    assert (nine["n"], len(nine["models"]), nine["folds"]) == (280, 9, 2)
    assert nine["saved_at_98"] == blend["98"]["saved"] > 0.1
    assert blend["arena"]["arena_score"] > against["best_single"]["arena_score"] > against["random"]["arena_score"]
    assert against["oracle"]["accuracy"] >= blend["accuracy"]["accuracy"] > against["random"]["accuracy"]
    assert blend["95"]["cost_per_1k"] < against["best_single"]["cost_per_1k"]
    assert against["cheapest"]["share"]["tiny"] == 1
    assert against["dearest"]["share"]["dear"] == 1
    assert sum(blend["98"]["share"].values()) == pytest.approx(1, abs=0.001)


def test_every_figure_that_it_is_to_be_held_against_is_there(nine: dict[str, Any]) -> None:
    assert set(nine["routers"]) == {"blend", "mean", "ridge", "clusters", "nearest", "length", "dataset"}
    assert all(tuple(of) == AIMS for of in nine["routers"].values())
    single = {"best_single", "best_in_hindsight", "cheapest", "dearest", "random", "oracle"}
    assert set(nine["baselines"]) == single
    assert nine["baselines"]["best_single"]["ahead"] == 0
    assert nine["worst_group"]["n"] >= 20
    assert nine["unseen"]["98"]["accuracy"] < nine["routers"]["blend"]["98"]["accuracy"], "subjects that it never saw"
    json.dumps(nine)


def test_a_pool_without_a_choice_is_answered_by_its_best_model() -> None:
    found = report(rows(120, models=("tiny", "dear", "large")), 2)
    dominated = [
        Row(row.question, {"a": Outcome(1.0, 0.001), "b": Outcome(float(at % 3 == 0), 0.002)})
        for at, row in enumerate(rows(60))
    ]
    single = report(dominated, 2)
    assert single["routers"]["blend"]["arena"]["share"] == {"a": 1.0, "b": 0.0}
    assert (single["saved_at_100"], single["unseen"]) == (0.0, None)
    assert found["unseen"] is not None


def test_no_row_is_scored_by_what_saw_its_outcome() -> None:
    """Outcomes by chance: whoever peeks would be ahead of the best single model."""
    draws = np.random.default_rng(5)
    noise = [Row(row.question, {m: Outcome(float(draws.random() < 0.5), 0.001) for m in "abcde"}) for row in rows(300)]
    found = report(noise, 3)
    for of in found["routers"].values():
        for aim in AIMS:
            assert of[aim]["ahead"] < 4 * max(of[aim]["ahead_se"], 0.02)
    assert found["baselines"]["oracle"]["accuracy"] > 0.9


def test_the_arena_score_is_as_its_inventors_reckon_it() -> None:
    assert arena_score(1.0, 0.0044) == pytest.approx(1.0)
    assert arena_score(0.9, 200.0) == 0.0
    assert arena_score(0.0, 1.0) == 0.0
    board = (
        (66.88, 0.15, 66.89),
        (68.09, 0.54, 66.66),
        (66.34, 0.21, 66.12),
        (73.96, 10.02, 64.32),
        (75.97, 0.11, 75.38),
    )
    for accuracy, usd, score in board:
        assert 100 * arena_score(accuracy / 100, usd) == pytest.approx(score, abs=0.02), "the public board's own"
    assert arena_score(0.7, 0.05) > arena_score(0.7, 0.5) > arena_score(0.6, 0.5)
    assert arena_score(0.7, 1e-9) == arena_score(0.7, 0.0044)


def test_models_that_not_every_row_has_are_left_out() -> None:
    some = rows(30)
    del some[3].models["dear"]
    assert set(pool_of(some).names) == set(MODELS) - {"dear"}
    with pytest.raises(ClientMistake, match="3 rows with 9 models"):
        pool_of(some[:3])
    with pytest.raises(ClientMistake, match="0 rows with 0 models"):
        pool_of([])


def written(path: Path, some: list[Row]) -> Path:
    lines = [
        {
            "question": row.question,
            "dataset": row.dataset,
            "models": {
                name: {"score": one.score, "inference_cost": one.inference_cost, "success": True}
                for name, one in row.models.items()
            },
        }
        for row in some
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    return path


def test_a_file_is_read_line_by_line_and_a_wrong_line_is_named(tmp_path: Path) -> None:
    some = rows(5)
    path = written(tmp_path / "pool.jsonl", some)
    assert load(path) == some
    path.write_text(path.read_text().replace('"question"', '"prompt"', 1))
    with pytest.raises(ClientMistake, match=r"pool.jsonl, line 1: it is no row of a pool: .*question"):
        load(path)


def test_the_command_prints_one_object_or_a_table(tmp_path: Path) -> None:
    path = str(written(tmp_path / "pool.jsonl", rows(80, models=("tiny", "medium", "large"))))
    runner = CliRunner()
    asked = ["router", "eval", path, "--protocol", "pool", "--folds", "2"]
    found = json.loads(runner.invoke(app, [*asked, "--json"]).stdout)
    assert {"accuracy", "cost_per_1k", "arena_score", "saved_at_98", "n"} <= set(found)
    table = runner.invoke(app, asked).stdout
    assert "blend, best arena score" in table
    assert "oracle" in table


@pytest.mark.parametrize("text", ["", '{"question": "a", "models": {}}', "no json"])
def test_the_command_refuses_what_are_no_rows(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(text)
    for wrong in (
        [str(path)],
        [str(tmp_path / "none.jsonl")],
        [str(path), "--folds", "1"],
        [str(path), "--labels", "5"],
    ):
        found = CliRunner().invoke(app, ["router", "eval", *wrong, "--protocol", "pool"])
        assert isinstance(found.exception, Misuse)


@pytest.mark.shared
@pytest.mark.skipif(not ARENA.is_file(), reason="no rows: AFTERBAY_SHARED names no folder with data/eval")
def test_the_public_rows_are_read() -> None:
    pool = pool_of(load(ARENA))
    assert pool.rows > 100
    assert len(pool.names) == 2
    assert 0.4 < pool.scores.mean() < 0.8
