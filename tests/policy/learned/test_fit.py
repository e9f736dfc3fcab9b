"""Fits reach the optimum that a plain solver finds, on the rows and the rows alone that they were given."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from afterbay.policy.learned.fit import (
    Fitted,
    Table,
    chosen,
    folds,
    logistic,
    minimised,
    rarities,
    ridge,
    softmax,
    table,
    times,
    times_turned,
)
from afterbay.policy.learned.heads import scores
from afterbay.policy.learned.ngrams import Sparse, Spec, folded, sparse

SPEC = Spec(words=(1,), chars=(), bits=10)
WORDS = [f"w{i}" for i in range(30)]


def texts(count: int, seed: int = 0) -> list[Sparse]:
    rng = np.random.default_rng(seed)
    found = [sparse(folded(" ".join(rng.choice(WORDS, rng.integers(1, 9)))), SPEC) for _ in range(count)]
    found[count // 2] = sparse("", SPEC)  # a text of no words has an empty row
    return found


def rows(count: int = 60, dense: int = 2, seed: int = 0) -> Table:
    beside = np.random.default_rng(seed + 1).normal(size=(count, dense)).astype(np.float32)
    found = texts(count, seed)
    return table(found, rarities(found, SPEC.bits), beside)


def plain(some: Table) -> NDArray[np.float64]:
    return times(some, np.eye(some.width, dtype=np.float32)).astype(np.float64)


def test_products_with_a_table_are_those_with_its_matrix() -> None:
    some, rng = rows(), np.random.default_rng(3)
    weights = rng.normal(size=(some.width, 2)).astype(np.float32)
    numbers = rng.normal(size=(some.rows, 2)).astype(np.float32)
    assert times(some, weights) == pytest.approx(plain(some) @ weights, abs=1e-4)
    assert times_turned(some, numbers) == pytest.approx(plain(some).T @ numbers, abs=1e-4)


def test_chosen_rows_are_those_rows() -> None:
    some, places = rows(), np.array([5, 30, 5, 0])
    part = chosen(some, places)
    spread = np.zeros((4, some.width))
    spread[:, np.searchsorted(some.buckets, part.buckets)] = plain(part)[:, : len(part.buckets)]
    spread[:, len(some.buckets) :] = plain(part)[:, len(part.buckets) :]
    assert spread == pytest.approx(plain(some)[places])


def test_ridge_is_the_solution_of_its_normal_equations() -> None:
    some, rng = rows(), np.random.default_rng(4)
    targets = rng.normal(size=(some.rows, 2)).astype(np.float32)
    fitted = ridge(some, targets, 2.0, 0.5)
    matrix = plain(some)
    penalty = np.diag([2.0] * len(some.buckets) + [0.5] * 2)
    centred = matrix - matrix.mean(axis=0)
    exact = np.linalg.solve(centred.T @ centred + penalty, centred.T @ (targets - targets.mean(axis=0)))
    assert fitted.weights == pytest.approx(exact, abs=2e-3)
    assert fitted.of(some).mean(axis=0) == pytest.approx(targets.mean(axis=0), abs=1e-4)


def test_a_strong_penalty_leaves_the_average() -> None:
    some = rows()
    targets = np.random.default_rng(5).random((some.rows, 1)).astype(np.float32)
    assert ridge(some, targets, 1e6).of(some) == pytest.approx(np.full((some.rows, 1), targets.mean()), abs=1e-2)


def test_logistic_regression_has_no_slope_where_it_ends() -> None:
    some = rows()
    labels = np.random.default_rng(6).integers(0, 3, some.rows)
    fitted = logistic(some, labels, 3, 1.0)
    error = softmax(fitted.of(some)) - np.eye(3)[labels]
    slope = times_turned(some, error.astype(np.float32)) + fitted.weights
    assert np.abs(slope).max() < 0.02
    assert np.abs(error.sum(axis=0)).max() < 0.02


def test_rows_that_weigh_nothing_teach_nothing() -> None:
    some = rows()
    labels = np.random.default_rng(7).integers(0, 2, some.rows)
    half = np.arange(some.rows) < some.rows // 2
    weighed = logistic(some, labels, 2, 1.0, half.astype(np.float32))
    alone = logistic(chosen(some, np.flatnonzero(half)), labels[half], 2, 1.0)
    assert softmax(weighed.of(some)) == pytest.approx(softmax(alone.of(some)), abs=0.01)


def test_the_minimum_of_a_bowl_is_found() -> None:
    def bowl(point: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
        apart, steep = point - np.array([1, -2, 3], np.float32), np.array([1, 10, 100], np.float32)
        return float((steep * apart**2).sum()), 2 * steep * apart

    assert minimised(bowl, np.zeros(3, np.float32)) == pytest.approx([1, -2, 3], abs=1e-2)


def test_a_head_says_what_was_fitted() -> None:
    found = texts(60)
    idf = rarities(found, SPEC.bits)
    some = table(found, idf)
    fitted = ridge(some, np.random.default_rng(8).random((60, 1)).astype(np.float32), 1.0)
    head = fitted.heads(SPEC, ("x",), idf)
    said = np.array([scores(head, text) for text in found])
    assert said == pytest.approx(fitted.of(some), abs=0.01)


def test_buckets_that_were_not_trained_count_nothing() -> None:
    fitted = Fitted(np.array([1]), np.array([[2.0]], np.float32), np.array([0.5], np.float32))
    unknown = table([Sparse(np.array([9], np.uint32), np.ones(1, np.float32))])
    assert fitted.of(unknown).tolist() == [[0.5]]


def test_each_row_is_tested_once_and_never_where_it_taught() -> None:
    tested = []
    for taught, asked in folds(23, 5, seed=1):
        assert not set(taught) & set(asked)
        assert len(taught) + len(asked) == 23
        tested += asked.tolist()
    assert sorted(tested) == list(range(23))
