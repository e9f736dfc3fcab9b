"""RouteLLM's measures and protocol: known orders have known worth, and no row is scored by a predictor that saw it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from afterbay.core.errors import ClientMistake
from afterbay.evals import routellm
from afterbay.evals.outcomes import Outcomes, read_outcomes
from afterbay.evals.ranking import MEASURES, Costs, ranked
from afterbay.evals.routellm import Protocol, evaluate
from afterbay.evals.trained import trained
from afterbay.policy.learned.quality import Prompt

STRONG = np.array([1.0, 1, 1, 1, 1, 1, 1, 1, 1, 0])
WEAK = np.array([0.0, 0, 0, 0, 1, 1, 1, 1, 1, 0])
ALL = np.arange(10)


def silent(done: int, total: int) -> None:
    assert 0 < done <= total


def rows(count: int = 120, seed: int = 0, subjects: bool = True) -> Outcomes:
    rng = np.random.default_rng(seed)
    hard = rng.random(count) < 0.5
    words = [" ".join(f"w{n}" for n in rng.integers(0, 60, rng.integers(4, 20))) for _ in range(count)]
    prompts = tuple(
        f"{'Prove the theorem' if h else 'Tell a story'} {word} {seed}" for h, word in zip(hard, words, strict=True)
    )
    weak = np.where(hard, rng.random(count) < 0.2, rng.random(count) < 0.9)
    strong = rng.random(count) < 0.9
    groups = tuple(("math" if h else "talk") if subjects else None for h in hard)
    return Outcomes(prompts, groups, ("strong", "weak"), np.stack([strong, weak], axis=1).astype(np.float64))


def measured(scores: NDArray[np.float64], counts: NDArray[np.float64] | None = None) -> dict[str, float]:
    found = ranked(ALL, scores, STRONG, WEAK).measured(Costs(), counts)
    return dict(zip(MEASURES, found.tolist(), strict=True))


def test_a_perfect_order_needs_only_the_calls_that_gain() -> None:
    found = measured(STRONG - WEAK)
    assert found["cpt50"] == pytest.approx(20)
    assert found["cpt80"] == pytest.approx(40)
    assert found["apgr"] == pytest.approx(0.8)
    assert found["saved_at_98"] == pytest.approx(1 - 0.4 - 0.6 / 100)


def test_the_worst_order_is_the_mirror_of_the_best() -> None:
    assert measured(WEAK - STRONG)["apgr"] == pytest.approx(0.2)
    assert measured(WEAK - STRONG)["cpt50"] == pytest.approx(80)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "a", "strong_correct": true, "weak_correct": false}\n')
    assert read_outcomes(path).prompts == ("a",)


def test_a_row_that_counts_twice_is_two_rows() -> None:
    counts = np.ones(10)
    counts[[0, 9]] = [3, 0]
    scores = np.linspace(1, 0, 10)
    twice = np.concatenate([[0, 0], np.arange(9)])
    repeated = ranked(np.arange(11), scores[twice], STRONG[twice], WEAK[twice]).measured(Costs())
    assert list(measured(scores, counts).values())[:1] == pytest.approx(repeated[:1].tolist())


def test_without_a_gap_there_is_nothing_to_measure() -> None:
    assert np.isnan(ranked(ALL, STRONG, STRONG, STRONG).measured(Costs())).all()


def test_a_router_that_can_learn_beats_chance_and_length() -> None:
    report = evaluate(rows(), Protocol(folds=2), None, silent)
    assert report.n == 120
    assert report.rounds > 1
    assert report.figures.apgr > 0.65 > report.baselines["random"].apgr
    assert report.margins["length"].low > 0
    assert report.intervals["apgr"][0] < report.figures.apgr < report.intervals["apgr"][1]
    assert report.baselines["subject_oracle"].apgr > 0.6
    assert report.worst_group is not None
    assert report.worst_group.loss == pytest.approx(report.worst_group.strong - report.worst_group.routed)


def test_the_same_seed_gives_the_same_report() -> None:
    first, second, other = (evaluate(rows(60), Protocol(labels=30, seed=seed), None, silent) for seed in (3, 3, 4))
    assert first == second != other


def test_rows_without_subjects_have_no_oracle() -> None:
    report = evaluate(rows(60, subjects=False), Protocol(labels=30), None, silent)
    assert set(report.baselines) == {"random", "length", "rules"}
    assert report.worst_group is None


@pytest.mark.parametrize("protocol", [Protocol(folds=4), Protocol(labels=40)])
def test_no_row_is_scored_by_a_predictor_that_saw_its_prompt(
    protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = rows(60)
    doubled = Outcomes(some.prompts * 2, some.groups * 2, some.models, np.vstack([some.found] * 2))
    calls = []

    def spy(taught: list[Prompt], outcomes: NDArray[np.float64], asked: list[Prompt]) -> NDArray[np.float64]:
        seen = {prompt.surface.tobytes() + prompt.grams.ids.tobytes() for prompt in taught}
        assert not any(prompt.surface.tobytes() + prompt.grams.ids.tobytes() in seen for prompt in asked)
        calls.append(len(asked))
        return np.zeros(len(asked))

    monkeypatch.setattr(routellm, "predicted", spy)
    evaluate(doubled, protocol, None, silent)
    assert sum(calls) > 0


def test_rows_of_another_file_teach_but_not_those_that_are_tested() -> None:
    here, there = rows(60, seed=1), rows(80, seed=2)
    report = evaluate(here, Protocol(), there, silent)
    assert (report.n, report.trained_on, report.rounds) == (60, 80, 1)
    assert report.figures.apgr > 0.6
    with pytest.raises(ClientMistake, match="has 0 rows"):
        evaluate(here, Protocol(), here, silent)


@pytest.mark.parametrize(
    ("some", "protocol", "words"),
    [
        (rows(10), Protocol(), "too few for 5 folds"),
        (rows(60), Protocol(labels=59), "--labels 59 of 60 rows"),
        (rows(60), Protocol(folds=1), "too few for 1 folds"),
        (Outcomes(("a",), (None,), ("x", "y", "z"), np.ones((1, 3))), Protocol(), "two models on every row"),
        (
            Outcomes(("a", "b"), (None, None), ("strong", "weak"), np.array([[0.0, 1], [0, 1]])),
            Protocol(),
            "no better|there is no",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused(some: Outcomes, protocol: Protocol, words: str) -> None:
    with pytest.raises(ClientMistake, match=words):
        evaluate(some, protocol, None, silent)


def written(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_three_forms_of_rows_are_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"prompt": "a", "strong_correct": True, "weak_correct": 0.25, "subject": "s", "more": 1},
        "",
        {"prompt": "b", "outcomes": {"weak": False, "other": 1}},
        {"question": "c", "models": {"other": {"score": 1.02}, "strong": {"score": None}}},
    )
    found = read_outcomes(path)
    assert found.prompts == ("a", "b", "c")
    assert found.groups == ("s", None, None)
    assert found.models == ("strong", "weak", "other")
    assert found.numbers().tolist() == [0, 1, 2]
    assert np.nan_to_num(found.found, nan=-1).tolist() == [[1, 0.25, -1], [-1, 0, 1], [-1, -1, 1]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("not JSON", "line 1"),
        ({"strong_correct": True, "weak_correct": True}, "line 1 has no prompt"),
        ({"prompt": "a"}, "line 1 has no outcome"),
        ({"prompt": "a", "strong_correct": 7, "weak_correct": 0}, "not between 0 and 1"),
        ({"prompt": "a", "strong_correct": "yes"}, "line 1"),
        ("", "has no rows"),
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: object, words: str) -> None:
    with pytest.raises(ClientMistake, match=words):
        read_outcomes(written(tmp_path, line))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClientMistake, match="cannot be read"):
        read_outcomes(tmp_path / "nothing.jsonl")


def test_a_trained_predictor_says_how_it_did_on_rows_held_back() -> None:
    quality, fits = trained(rows(), 0, silent)
    weak = fits[1]
    assert (weak.model, weak.labels) == ("weak", 120)
    assert weak.auc is not None
    assert weak.auc > 0.7
    assert weak.error < weak.error_of_mean
    assert quality.models == ("strong", "weak")


def test_too_few_labels_of_a_model_are_named() -> None:
    some = rows(60)
    few = np.where(np.arange(60)[:, None] < 55, [1, np.nan], 1)
    with pytest.raises(ClientMistake, match="fewer than 20 outcomes of weak"):
        trained(Outcomes(some.prompts, some.groups, some.models, some.found * few), 0, silent)
