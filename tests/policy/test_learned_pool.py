"""Predictors of many models' quality: what they find, that few labels are not trusted, nothing by chance."""

from __future__ import annotations

import numpy as np
import pytest

from afterbay.core.errors import ClientMistake
from afterbay.policy.learned import pool
from afterbay.policy.learned.pool import Outcomes, Parts, Pool, blend_for, train
from afterbay.policy.learned.quality import Predictor, Prompt, read_prompt

TOPICS = {
    "law": "court appeal statute contract liability plaintiff",
    "chess": "bishop knight castle pawn gambit rook",
    "code": "function array pointer recursion compile loop",
}
SKILL = {"lawyer": (0.9, 0.3, 0.3), "player": (0.3, 0.9, 0.3), "coder": (0.3, 0.3, 0.9), "all": (0.7, 0.7, 0.7)}


def drawn(count: int, seed: int) -> tuple[list[str], list[int], Outcomes]:
    """Texts, their topics, and whether each model got them right."""
    draws = np.random.default_rng(seed)
    topics = draws.integers(len(TOPICS), size=count)
    texts = [" ".join(map(str, draws.choice(list(TOPICS.values())[topic].split(), 8))) for topic in topics]
    chances = np.array([[SKILL[name][topic] for name in SKILL] for topic in topics])
    return texts, topics.tolist(), (draws.random(chances.shape) < chances).astype(np.float32)


def read(texts: list[str]) -> list[Prompt]:
    return [read_prompt(text) for text in texts]


TEXTS, TOPIC_OF, RIGHT = drawn(240, 1)
PROMPTS = read(TEXTS)
NEW_TEXTS, NEW_TOPIC_OF, _ = drawn(60, 2)
NEW = read(NEW_TEXTS)
CHANCES = np.array([[SKILL[name][topic] for name in SKILL] for topic in NEW_TOPIC_OF])


@pytest.fixture(scope="module")
def trained() -> Pool:
    return train(PROMPTS, RIGHT, tuple(SKILL))


def error(said: Outcomes) -> float:
    return float(np.sqrt(((said - CHANCES) ** 2).mean()))


def test_each_predictor_knows_who_is_good_at_what_and_their_mean_knows_it_better(trained: Pool) -> None:
    parts = trained.parts(NEW)
    constant = error(np.tile(RIGHT.mean(axis=0), (len(NEW_TEXTS), 1)))
    each = [error(one) for one in (parts.ridge, parts.clusters, parts.nearest)]
    assert max(each) < 0.6 * constant
    assert error(parts.blended()) < sum(each) / 3
    best = np.argmax(parts.blended(), axis=1)
    assert float((best == NEW_TOPIC_OF).mean()) > 0.9
    assert all(((one >= 0) & (one <= 1)).all() for one in (parts.ridge, parts.clusters, parts.nearest))


def test_a_text_is_judged_alone_as_among_others(trained: Pool) -> None:
    predictor: Predictor = trained
    alone = predictor.predict(NEW[0])
    assert tuple(alone) == tuple(SKILL)
    assert list(alone.values()) == pytest.approx(trained.parts(NEW).blended(trained.blend)[0].tolist(), abs=1e-5)


def test_the_same_labels_make_the_same_predictor(trained: Pool) -> None:
    again = train(PROMPTS, RIGHT, tuple(SKILL))
    assert np.array_equal(again.parts(NEW).blended(), trained.parts(NEW).blended())


def with_labels(count: int, model: int = 3) -> Outcomes:
    """The labels, but for one model only the first few."""
    quality = RIGHT.copy()
    quality[count:, model] = np.nan
    return quality


def test_a_model_with_few_labels_is_believed_to_do_as_all_do_on_such_prompts() -> None:
    bad = RIGHT.copy()
    bad[:, 3] = 0
    bad[2:, 3] = np.nan
    few = train(PROMPTS, bad, tuple(SKILL)).parts(NEW).blended()[:, 3]
    bad[2:80, 3] = 0
    many = train(PROMPTS, bad, tuple(SKILL)).parts(NEW).blended()[:, 3]
    every = RIGHT[:, :3].mean()
    assert 0.5 * every < few.mean() < every, "two failures are a doubt"
    assert many.mean() < 0.4 * few.mean(), "eighty are none"


def test_predictions_come_nearer_with_every_label() -> None:
    errors = []
    for count in (3, 40, 240):
        said = train(PROMPTS, with_labels(count, 0), tuple(SKILL)).parts(NEW).blended()
        errors.append(float(np.sqrt(((said[:, 0] - CHANCES[:, 0]) ** 2).mean())))
    assert errors[0] > errors[1] > errors[2]


def test_who_was_only_asked_easy_prompts_is_not_better_for_it() -> None:
    hard = np.array([topic == 0 for topic in TOPIC_OF])
    quality = np.where(hard[:, None], 0.2, 0.9).astype(np.float32).repeat(3, axis=1)
    quality[hard, 2] = np.nan
    said = train(PROMPTS, quality, ("a", "b", "c")).parts(NEW).blended()
    on_hard = said[[topic == 0 for topic in NEW_TOPIC_OF]]
    assert on_hard[:, 2].mean() < 0.45, "it is believed to fail where all do"
    assert abs(on_hard[:, 2].mean() - on_hard[:, 0].mean()) < 0.2


def test_a_handful_of_prompts_and_the_empty_one_are_taken() -> None:
    with pytest.raises(ClientMistake, match="too little to learn from: 3 prompts"):
        train(PROMPTS[:3], RIGHT[:3], tuple(SKILL))
    few = train(PROMPTS[:20], RIGHT[:20], tuple(SKILL))
    said = few.parts(read(["", "court", "全新的题目"])).blended()
    assert said.shape == (3, 4)
    assert np.isfinite(said).all()


def test_of_many_prompts_the_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "REMEMBERED", 30)
    old = RIGHT.copy()
    old[-30:, 1] = np.nan
    bounded = train(PROMPTS, old, tuple(SKILL))
    assert len(bounded.places) == 30
    parts = bounded.parts(NEW)
    clusters = np.argmax(bounded.space.places(NEW) @ bounded.centres.T, axis=1)
    assert np.array_equal(parts.nearest[:, 1], bounded.prior[clusters][:, 1]), "nothing of it is left to look at"
    assert error(parts.blended(bounded.blend)) < 0.2


def test_who_errs_least_on_unseen_labels_counts_most() -> None:
    truth = RIGHT[:60]
    noise = np.random.default_rng(3).random(truth.shape).astype(np.float32)
    assert blend_for(Parts(noise, truth, noise), truth) == (0.0, 1.0, 0.0)
    unknown = truth.copy()
    unknown[:, 1] = np.nan
    assert blend_for(Parts(np.where(np.isnan(unknown), noise, truth), noise, noise), unknown)[0] == 1.0
    mixed = Parts(truth + noise - 0.5, truth - noise + 0.5, noise)
    assert blend_for(mixed, truth) == (0.5, 0.5, 0.0)


def test_the_small_space_is_the_same_by_rows_and_by_columns() -> None:
    draws = np.random.default_rng(0)
    wide = (draws.normal(size=(70, 3)) @ draws.normal(size=(3, pool.SKETCH))).astype(np.float32)
    axes = pool._axes(wide)[:, :3]
    back = (wide @ axes) @ axes.T
    assert np.allclose(back, wide, atol=0.05 * float(np.abs(wide).max()))
