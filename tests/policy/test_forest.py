"""Trees and the acceptor that is made of them: what they learn, that they are the same again, that they travel."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from afterbay.policy.learned.acceptor import fit_acceptor, restored, stored, tabled
from afterbay.policy.learned.forest import Shape, grow, predict

DRAW = np.random.default_rng(1)
TABLE = DRAW.random((200, 4))
TARGETS = np.stack([TABLE[:, 0] > 0.5, (TABLE[:, 1] > 0.5) ^ (TABLE[:, 2] > 0.5)], axis=1).astype(float)
SMALL = Shape(trees=30, leaf=3, share=0.5)
ROWS = [{f"f{at}": float(value) for at, value in enumerate(line)} for line in TABLE]


def test_trees_learn_a_threshold_and_a_combination() -> None:
    forest = grow(TABLE[:150], TARGETS[:150], SMALL, 0)
    found = predict(forest, TABLE[150:])
    assert found.shape == (50, 2)
    assert ((found[:, 0] > 0.5) == TARGETS[150:, 0]).mean() > 0.9
    assert ((found[:, 1] > 0.5) == TARGETS[150:, 1]).mean() > 0.65, "no line could"


def test_the_same_seed_grows_the_same_forest() -> None:
    first, again, other = (predict(grow(TABLE, TARGETS, SMALL, seed), TABLE[:5]) for seed in (3, 3, 4))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_a_leaf_holds_no_fewer_rows_than_it_should() -> None:
    forest = grow(TABLE, TARGETS, Shape(trees=1, leaf=60, share=1.0), 0)
    assert len(forest.features) <= 5, "200 rows make three leaves of 60 at most"


@pytest.mark.parametrize("table", [np.ones((20, 3)), np.zeros((1, 3))])
def test_rows_that_are_all_alike_are_one_leaf(table: np.ndarray) -> None:
    targets = np.arange(len(table), dtype=float)[:, None]
    assert predict(grow(table, targets, SMALL, 0), table[:1])[0, 0] == pytest.approx(targets.mean())


def test_an_acceptor_tells_good_answers_from_others() -> None:
    acceptor = fit_acceptor(ROWS[:150], TARGETS[:150], shape=SMALL, penalty=1.0)
    sure = [acceptor.accepts(row) for row in ROWS[150:]]
    assert np.mean([(one > 0.5) == bool(good) for one, good in zip(sure, TARGETS[150:, 0], strict=True)]) > 0.85
    assert all(0 <= one <= 1 for one in sure)


def test_a_feature_that_is_missing_or_new_does_no_harm() -> None:
    acceptor = fit_acceptor(ROWS, TARGETS, shape=SMALL)
    assert 0 <= acceptor.accepts({"unheard of": 5.0}) <= 1
    assert tabled([], ["a"]).shape == (0, 1)


def test_an_acceptor_comes_back_from_its_bytes() -> None:
    acceptor = fit_acceptor(ROWS, TARGETS, shape=SMALL)
    back = restored(stored(acceptor))
    assert back.predict(ROWS[:5]).tolist() == acceptor.predict(ROWS[:5]).tolist()


def test_other_bytes_are_no_acceptor() -> None:
    with pytest.raises(ValueError, match="does not begin as an acceptor does"):
        restored(b"\x00")
    data = stored(fit_acceptor(ROWS, TARGETS, shape=SMALL)).replace(b"<f8", b"|O8")
    with pytest.raises(ValueError, match="has no place in an acceptor"):
        restored(data)


@pytest.mark.parametrize("name", ["roots", "features", "left"])
def test_an_acceptor_whose_nodes_lead_out_of_its_table_is_none(name: str) -> None:
    acceptor = fit_acceptor(ROWS, TARGETS, shape=SMALL)
    beyond = np.full_like(getattr(acceptor.forest, name), 2**30)
    broken = msgspec.structs.replace(acceptor, forest=msgspec.structs.replace(acceptor.forest, **{name: beyond}))
    with pytest.raises(ValueError, match="do not fit each other"):
        restored(stored(broken))
