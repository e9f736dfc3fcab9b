"""An acceptor of a file's rows, and figures of answers that it had not seen."""

from __future__ import annotations

from typing import Any

import pytest

from afterbay.core.errors import ClientMistake
from afterbay.evals.acceptance import LEASTS, trained_acceptor
from afterbay.policy.checks.judge import features_of


def row(number: int, **fields: Any) -> dict[str, Any]:
    """A cheap answer whose sum is right, and that is right itself where it multiplies."""
    one, other, good = number % 11 + 2, number % 7 + 2, number % 2 == 0
    sum_ = f"{one} * {other} = {one * other}" if good else f"{one} + {other} = {one + other}"
    return {
        "prompt": f"Case {'x' * number}: {one} boxes of {other} eggs, how many eggs?",
        "weak_response": f"There are {sum_} eggs.\n#### {sum_.split()[-1]}",
        "weak_correct": good,
        "strong_correct": True,
    } | fields


ROWS = [row(number) for number in range(50)]


def silent(done: int, total: int) -> None:
    assert 0 < done <= total


def test_figures_are_of_rows_held_back_and_of_answers_that_pass_the_checks() -> None:
    refused = [row(number, weak_response="I cannot help with that.", weak_correct=False) for number in range(60, 70)]
    acceptor, fit = trained_acceptor([*ROWS, *refused], 0, silent)
    assert (fit.rows, fit.passed) == (60, 50)
    assert fit.as_good == 0.5
    assert fit.auc is not None
    assert fit.auc > 0.95
    assert fit.error < fit.error_of_mean
    sure = [acceptor.accepts(features_of(one["prompt"], one["weak_response"])) for one in ROWS[:2]]
    assert sure[0] > 0.6 > sure[1]


def test_a_higher_bar_gives_fewer_answers_and_at_0_the_checks_decide_alone() -> None:
    _, fit = trained_acceptor(ROWS, 0, silent)
    assert [one.accept for one in fit.leasts] == list(LEASTS)
    shares = [one.accepted for one in fit.leasts]
    assert shares[0] == 1.0
    assert shares == sorted(shares, reverse=True)
    assert fit.leasts[0].kept == pytest.approx(0.5)
    assert fit.leasts[1].kept == pytest.approx(1.0)


def test_what_both_get_wrong_is_as_good() -> None:
    _, fit = trained_acceptor([row(number, strong_correct=False) for number in range(50)], 0, silent)
    assert fit.as_good == 1.0
    assert fit.auc is None
    assert fit.leasts[0].kept is None


def test_labels_that_tell_nothing_are_ranked_by_chance() -> None:
    rows = [row(number, weak_response="It is so.", weak_correct=number % 3 == 0) for number in range(150)]
    for one, number in zip(rows, range(150), strict=True):
        one["prompt"] = f"{number * 7919 % 1000} is what?"
    _, fit = trained_acceptor(rows, 0, silent)
    assert fit.auc is not None
    assert 0.2 < fit.auc < 0.8


def test_too_little_is_said() -> None:
    with pytest.raises(ClientMistake, match="19 different prompts"):
        trained_acceptor(ROWS[:19] * 3, 0, silent)
    with pytest.raises(ClientMistake, match="passes the checks"):
        trained_acceptor([row(number, weak_response=None) for number in range(30)], 0, silent)
