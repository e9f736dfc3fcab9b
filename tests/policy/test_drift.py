"""A certificate is withdrawn when traffic is no more what it was made from, and seldom otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from afterbay.policy.drift import Alarm, Patience, Watch

KEEP, THRESHOLD = 0.95, 0.5


def watch(seed: int = 0, patience: Patience = Patience(), count: int = 400) -> Watch:  # noqa: B008 (frozen)
    return Watch(np.random.default_rng(seed).random(count), THRESHOLD, KEEP, patience)


def scored(watched: Watch, scores: object) -> Alarm | None:
    for g in np.asarray(scores, float).tolist():
        if (alarm := watched.scored(g)) is not None:
            return alarm
    return None


def labelled(watched: Watch, rng: np.random.Generator, count: int, loss: float) -> Alarm | None:
    """Half of the pairs are routed; of these, the weak model loses in a share `loss`."""
    for g, luck in zip(rng.random(count).tolist(), rng.random(count).tolist(), strict=True):
        if (alarm := watched.labelled(g, 0.0 if luck < loss else 1.0, 1.0)) is not None:
            return alarm
    return None


def test_traffic_that_stays_what_it_was_raises_no_alarm() -> None:
    assert scored(watch(), np.random.default_rng(1).random(5000)) is None


def test_false_alarms_are_no_more_frequent_than_said_even_at_the_edge_of_what_is_tolerated() -> None:
    patience = Patience(error=0.2, requests=200, tolerance=0.1)
    reference, false = np.linspace(0.0, 1.0, 1001), 0
    for seed in range(60):
        draws = np.random.default_rng(seed).random(200)
        moved = np.where(draws < 0.6, draws * 5 / 6, 0.5 + (draws - 0.6) * 1.25)  # 0.1 more below 0.5 than before
        false += scored(Watch(reference, THRESHOLD, KEEP, patience), moved) is not None
    assert false <= 60 * 0.2 + 3 * math.sqrt(60 * 0.16)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (np.random.default_rng(2).random(1000) ** 2, "more requests than"),
        (np.random.default_rng(2).random(1000) ** 0.5, "fewer requests than"),
        (0.4 + 0.2 * np.random.default_rng(2).random(1000), "requests than"),
    ],
    ids=["easier", "harder", "narrower"],
)
def test_scores_that_move_are_noticed_and_it_is_said_how(scores: np.ndarray, words: str) -> None:
    alarm = scored(watch(), scores)
    assert alarm is not None
    assert alarm.kind == "scores"
    assert words in alarm.reason
    assert alarm.after < 600


def test_a_change_is_found_as_soon_after_long_quiet_as_at_the_beginning() -> None:
    rng, moved = np.random.default_rng(3), np.random.default_rng(4).random(1000) ** 3
    early, late = watch(), watch()
    assert scored(late, rng.random(3000)) is None
    first, second = scored(early, moved), scored(late, moved)
    assert first is not None
    assert second is not None
    assert second.after - 3000 <= first.after + 20


def test_a_small_change_is_tolerated() -> None:
    assert scored(watch(), 0.05 + 0.95 * np.random.default_rng(5).random(5000)) is None


def test_scores_that_are_all_the_same_may_stay_so() -> None:
    watched = Watch(np.full(100, 0.3), THRESHOLD, KEEP)
    assert scored(watched, np.full(1000, 0.3)) is None
    assert scored(watched, np.full(100, 0.4)) is not None


def test_pairs_that_refute_the_promise_raise_an_alarm() -> None:
    alarm = labelled(watch(), np.random.default_rng(6), 1000, loss=0.4)  # keeps 0.8
    assert alarm is not None
    assert alarm.kind == "quality"
    assert "0.95" in alarm.reason
    assert alarm.after < 400


def test_pairs_that_keep_the_promise_by_nothing_seldom_raise_one() -> None:
    patience = Patience(error=0.2, labels=200)
    false = sum(labelled(watch(0, patience), np.random.default_rng(s), 200, loss=0.1) is not None for s in range(60))
    assert false <= 60 * 0.2 + 3 * math.sqrt(60 * 0.16)


def test_an_alarm_stays() -> None:
    watched = watch()
    alarm = scored(watched, np.full(500, 0.99))
    assert alarm is not None
    assert watched.scored(0.5) is watched.labelled(0.5, 1.0, 1.0) is watched.alarm is alarm


@pytest.mark.parametrize(
    "make",
    [
        lambda: Watch([0.1] * 49, THRESHOLD, KEEP),
        lambda: Watch([math.nan] * 100, THRESHOLD, KEEP),
        lambda: Watch([0.1] * 100, THRESHOLD, 0.0),
        lambda: watch(0, Patience(error=1.0)),
        lambda: watch(0, Patience(tolerance=0.0)),
        lambda: watch(0, Patience(labels=0)),
    ],
)
def test_what_makes_no_sense_is_refused(make) -> None:
    with pytest.raises(ValueError, match=r"needs|must be"):
        make()
