"""The cascade's protocol: no row is scored by what has seen it, the figures have their baselines beside them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from afterbay.core.errors import ClientMistake
from afterbay.evals import cascade
from afterbay.evals.cascade import checks_alone, evaluate, expected_gains, folds_of, read_rows, report
from afterbay.evals.ranking import Costs

SHARED = Path(os.environ.get("AFTERBAY_SHARED") or Path(__file__).parents[2].parent / "shared")
GSM8K = SHARED / "data" / "eval" / "routellm_gsm8k" / "routellm_gsm8k.jsonl"


def row(number: int) -> dict[str, Any]:
    """A row whose answer is wrong if its sum is."""
    good = number % 3 != 0
    a, b = number % 11 + 2, number % 7 + 2
    told = a * b if good else a * b + 1
    case = "".join(chr(ord("a") + int(digit)) for digit in str(number))
    return {
        "prompt": f"Case {case}: {a} boxes of {b} eggs, how many eggs?",
        "weak_response": f"There are {a} * {b} = {told} eggs.\n#### {told}",
        "weak_correct": good,
        "strong_correct": True,
    }


ROWS = [row(number) for number in range(60)]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    from afterbay.policy.learned.forest import Shape

    fit = cascade.fit_acceptor
    monkeypatch.setattr(cascade, "fit_acceptor", lambda *a, **k: fit(*a, **k, shape=Shape(trees=12), penalty=10.0))
    monkeypatch.setattr(cascade, "DRAWS", 5)


def test_wrong_sums_are_found_by_an_acceptor_that_has_not_seen_them() -> None:
    gains = expected_gains(ROWS, folds=3)
    figures = report(ROWS, gains)
    assert figures["auc_weak_wrong"] > 0.95
    assert figures["apgr"] > 0.75
    assert figures["saved_at_95"] > figures["baselines"]["random"]["saved_at_95"]
    assert figures["n"] == 60
    assert set(figures["baselines"]) == {"random", "length"}
    assert figures["margins"]["length"]["low"] > 0
    low, high = figures["intervals"]["apgr"]
    assert low <= high
    assert set(figures["standard_errors"]) == {"apgr", "cpt50", "cpt80", "saved_at_95", "saved_at_98"}
    msgspec.json.encode(figures)


def test_a_few_rows_may_be_learned_from_and_the_others_scored() -> None:
    figures = evaluate(ROWS, labels=40, costs=Costs(10.0, 1.0))
    assert (figures["trained_on"], figures["tested"], figures["n"]) == (40, 20, 20)
    assert evaluate(ROWS, folds=3)["trained_on"] == 40
    assert evaluate(ROWS[:20], train=ROWS[20:])["trained_on"] == 40
    with pytest.raises(ValueError, match="60 of 60 rows"):
        evaluate(ROWS, labels=60)


def test_rows_are_read_from_a_file_or_it_says_what_is_wrong(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_bytes(b"\n".join(msgspec.json.encode({**one, "id": "x"}) for one in ROWS))
    assert read_rows(good) == ROWS
    for text, said in ((b"", "has no rows"), (b'{"prompt": "a"}', "line 1"), (b"\xff", "line 1")):
        bad.write_bytes(text)
        with pytest.raises(ClientMistake, match=said):
            read_rows(bad)
    with pytest.raises(ClientMistake, match="cannot be read"):
        read_rows(tmp_path)


def test_other_rows_may_be_learned_from() -> None:
    gains = expected_gains(ROWS[:20], train=ROWS[20:])
    assert gains.shape == (20,)
    assert np.ptp(gains) > 0.2


def test_no_row_is_scored_by_what_has_seen_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An acceptor that knows nothing but the rows by heart finds none of them again."""
    seen: list[set[str]] = []

    class Parrot:
        def __init__(self, rows: Any) -> None:
            self.rows = {str(one) for one in rows}

        def predict(self, rows: Any) -> Any:
            assert not {str(one) for one in rows} & self.rows
            return np.zeros((len(rows), 2))

    def fit(rows: Any, targets: Any, **_: Any) -> Parrot:
        assert len(rows) == len(targets)
        seen.append({str(one) for one in rows})
        return Parrot(rows)

    monkeypatch.setattr(cascade, "_features", lambda one: {one["prompt"]: 1.0})
    monkeypatch.setattr(cascade, "fit_acceptor", fit)
    expected_gains([*ROWS, *ROWS[:7]], folds=4)
    assert len(seen) == 4
    assert set.union(*seen) == {str({one["prompt"]: 1.0}) for one in ROWS}


def test_a_question_is_always_in_one_fold() -> None:
    folds = folds_of(["a", "b", "a", "c", "b", "d"], 2, 1)
    assert folds[0] == folds[2]
    assert folds[1] == folds[4]
    assert sorted(np.bincount(folds_of([str(n) for n in range(10)], 5, 0)).tolist()) == [2] * 5
    with pytest.raises(ValueError, match="2 questions cannot be split into 3 folds"):
        folds_of(["a", "b", "a"], 3, 0)


def test_the_checks_alone_are_one_point() -> None:
    alone = checks_alone(ROWS)
    assert alone["accepted"] == pytest.approx(40 / 60)
    assert alone["right_if_accepted"] == 1
    assert alone["right_if_rejected"] == 0
    assert alone["kept"] == 1
    assert alone["saved"] == pytest.approx(1 - (20 / 60 + 0.01))


@pytest.mark.shared
@pytest.mark.skipif(not GSM8K.is_file(), reason="no rows: AFTERBAY_SHARED names no folder with data/eval")
def test_on_real_answers_the_checks_say_more_than_the_length_of_the_question() -> None:
    rows = [msgspec.json.decode(line) for line in GSM8K.read_bytes().splitlines()[:300]]
    figures = report(rows, expected_gains(rows, folds=3))
    assert figures["apgr"] > figures["baselines"]["length"]["apgr"] + 0.05
    alone = figures["checks_alone"]
    assert alone["right_if_accepted"] > alone["right_if_rejected"] + 0.2
