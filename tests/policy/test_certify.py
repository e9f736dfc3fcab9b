"""A certificate's promise is broken no more often than it says, whatever the traffic; and what it takes to get one."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.policy.betting import BLOCK, Bets
from afterbay.policy.certify import (
    HORIZONS,
    NEVER,
    Certificate,
    Costs,
    HeldOut,
    Stream,
    Terms,
    certify,
    held_out,
    keeps_of,
    thresholds_of,
)

KEEP, CONFIDENCE, COSTS = 0.95, 0.9, Costs()
GRID = (0.1, 0.3, 0.5, 0.7, 0.9)
Draw = Callable[[np.random.Generator, int], HeldOut]


def pairs(gains: object, weak: object, strong: object, weights: object = None) -> HeldOut:
    count = len(np.asarray(gains))
    return held_out(gains, weak, strong, weights, ids=range(count), learned_from=frozenset())


def traffic(rng: np.random.Generator, count: int, loss: float = 0.5) -> HeldOut:
    """Scores from 0 to 1; the weak model loses in a share `loss` times the square of the score of what strong can."""
    gains = rng.random(count)
    strong = (rng.random(count) < 0.8).astype(float)
    weak = np.where(rng.random(count) < loss * gains**2, 0.0, strong)
    return pairs(gains, weak, strong)


def best(held: HeldOut, **more: object) -> Certificate:
    return certify(held, KEEP, CONFIDENCE, COSTS, **more)  # type: ignore[arg-type]


# What is promised is kept


NULLS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "rarely a whole answer is lost": lambda rng, of: np.where(rng.random(of) < 0.05, -0.95, 0.05),
    "catastrophes that a sample mostly misses": lambda rng, of: np.where(
        rng.random(of) < 0.005, -0.95, 0.95 * 0.005 / 0.995
    ),
    "as often better as worse": lambda rng, of: rng.choice([-0.5, 0.5], of),
    "continuous": lambda rng, of: rng.uniform(-0.3, 0.3, of),
}


@pytest.mark.parametrize("null", NULLS.values(), ids=NULLS)
@pytest.mark.parametrize("horizons", [(300.0,), HORIZONS], ids=["one horizon", "several"])
def test_a_mean_of_zero_is_refuted_no_more_often_than_the_error_at_whatever_time(null, horizons) -> None:
    bets = Bets(np.full(1000, KEEP), horizons, 0.1)
    bets.play(null(np.random.default_rng(5), (300, 1000)))
    refuted = float(np.mean(bets.best >= math.log(10.0)))
    assert refuted <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 1000)


def ties(rng: np.random.Generator, count: int) -> HeldOut:
    """Three scores only; the middle one breaks the promise by a hair."""
    gains = rng.choice([0.2, 0.5, 0.8], count)
    strong = np.ones(count)
    loss = np.select([gains == 0.2, gains == 0.5], [0.06, 0.1], 0.5)
    return pairs(gains, np.where(rng.random(count) < loss, 0.0, 1.0), strong)


def one_score(rng: np.random.Generator, count: int) -> HeldOut:
    """A scorer that knows nothing: all or nothing, and all is a little too much."""
    return pairs(np.full(count, 0.4), np.where(rng.random(count) < 0.055, 0.0, 1.0), np.ones(count))


def deceptive(rng: np.random.Generator, count: int) -> HeldOut:
    """Bad below, so good above that a walk that did not stop would go on."""
    gains = rng.random(count)
    weak = np.where(gains < 0.3, (rng.random(count) > 0.25).astype(float), 1.0)
    return pairs(gains, weak, np.where(gains < 0.3, 1.0, 0.9))


def rare(rng: np.random.Generator, count: int) -> HeldOut:
    """All is well but for one request in eighteen, anywhere."""
    gains = rng.random(count)
    return pairs(gains, np.where(rng.random(count) < 1 / 18, 0.0, 1.0), np.ones(count))


@pytest.mark.parametrize("draw", [ties, one_score, deceptive, rare])
@pytest.mark.parametrize("count", [12, 200])
def test_the_promise_is_broken_no_more_often_than_it_says(draw: Draw, count: int) -> None:
    rng, broken, tries = np.random.default_rng(11), 0, 100
    crowd = draw(np.random.default_rng(1), 100_000)
    for _ in range(tries):
        threshold = best(draw(rng, count)).threshold
        answered = np.where(crowd.gains <= threshold, crowd.weak, crowd.strong)
        broken += answered.mean() < (KEEP - 1e-3) * crowd.strong.mean()
    assert broken <= tries * 0.1 + 3 * math.sqrt(tries * 0.09)


def test_a_walk_ends_at_the_first_threshold_that_is_not_refuted() -> None:
    assert best(deceptive(np.random.default_rng(0), 3000)).threshold < 0.3


def test_a_certificate_is_good_whenever_it_is_asked_for() -> None:
    rng, broken, tries = np.random.default_rng(3), 0, 60
    for _ in range(tries):
        stream = Stream(Terms((0.4,), (KEEP,)))
        drawn = one_score(rng, 600)
        for start in range(0, 600, 20):
            part = slice(start, start + 20)
            stream.extend(pairs(drawn.gains[part], drawn.weak[part], drawn.strong[part]))
            if stream.certificate(KEEP, CONFIDENCE, COSTS, 0.0).threshold != NEVER:
                broken += 1
                break
    assert broken <= tries * 0.1 + 3 * math.sqrt(tries * 0.09)


# What is certified


def test_a_cheap_model_that_is_never_worse_gets_everything() -> None:
    rng = np.random.default_rng(2)
    strong = (rng.random(300) < 0.7).astype(float)
    gains = rng.random(300)
    for weak in (strong, np.ones(300)):
        found = best(pairs(gains, weak, strong))
        assert found.threshold == gains.max()
        assert found.routed == 1.0
        assert found.saved == pytest.approx(0.99)


def test_the_floor_is_what_is_kept_at_least_and_never_below_what_is_wanted() -> None:
    rng = np.random.default_rng(2)
    perfect = best(pairs(rng.random(2000), np.ones(2000), np.ones(2000)))
    assert 0.99 < perfect.floor < 1.0
    found = best(traffic(rng, 2000))
    assert KEEP <= found.floor < 0.97


def test_more_labels_certify_more() -> None:
    rng = np.random.default_rng(4)
    routed = [np.mean([best(traffic(rng, count)).routed for _ in range(6)]) for count in (60, 250, 1000)]
    assert routed[0] < routed[1] < routed[2]


def test_where_nothing_is_known_the_strong_model_serves_all_and_it_is_said() -> None:
    found = best(pairs([], [], []))
    assert (found.threshold, found.floor, found.saved, found.labels, found.needed) == (NEVER, 1.0, 0.0, 0, None)
    assert "no labels yet" in found.reason


def test_too_few_labels_are_told_with_about_how_many_it_takes() -> None:
    rng = np.random.default_rng(7)
    few = best(traffic(rng, 30))
    assert few.threshold == NEVER
    assert few.needed is not None
    assert f"30 labels, about {few.needed} needed" in few.reason
    assert best(traffic(rng, 2 * few.needed)).threshold > 0.0


def test_one_label_is_told_as_one() -> None:
    assert best(traffic(np.random.default_rng(7), 1)).reason.startswith("1 label: ")


def test_a_threshold_below_all_requests_is_no_certificate() -> None:
    """It is kept, but of nobody; what counts is how far the next one is."""
    held = traffic(np.random.default_rng(8), 200, loss=1.0)
    found = best(held, thresholds=(-1.0, 0.45))
    assert (found.threshold, found.routed) == (NEVER, 0.0)
    assert found.needed is not None
    assert found.needed > 200
    assert best(held, thresholds=(-1.0,)).needed is None


def test_a_cheap_model_that_fails_everywhere_is_not_promised_anything_with_more_labels() -> None:
    found = best(pairs(np.linspace(0, 1, 400), np.zeros(400), np.ones(400)), thresholds=GRID)
    assert (found.threshold, found.needed) == (NEVER, None)
    assert "falls behind" in found.reason


def test_a_cascade_pays_its_cheap_call_always() -> None:
    cascade = Costs(10.0, 1.0, weak_always=True)
    assert cascade.saved(0.5) == pytest.approx(0.4)
    assert cascade.saved(0.0) == 0.0
    assert Costs(10.0, 1.0).saved(0.5) == pytest.approx(0.45)


def test_pairs_that_were_sampled_unevenly_count_by_their_weights() -> None:
    """Losses are ten times as likely to be sampled: unweighted they forbid what weights allow."""
    rng = np.random.default_rng(9)
    lost = rng.random(40_000) < 0.01
    sampled = rng.random(40_000) < np.where(lost, 0.5, 0.05)
    weak, count = np.where(lost, 0.0, 1.0)[sampled], int(sampled.sum())
    gains, strong = np.full(count, 0.5), np.ones(count)
    assert best(pairs(gains, weak, strong)).threshold == NEVER
    weighted = pairs(gains, weak, strong, np.where(lost[sampled], 2.0, 20.0))
    assert best(weighted, most_weight=20.0).threshold == 0.5


# Streams


def test_a_batch_is_a_stream_with_one_horizon() -> None:
    held = traffic(np.random.default_rng(3), 700)
    batch = best(held, thresholds=GRID)
    stream = Stream(Terms(GRID, (KEEP,), horizons=(2.25 * 700,)))
    for g, weak, strong in zip(held.gains, held.weak, held.strong, strict=True):
        stream.add(float(g), float(weak), float(strong))
    assert stream.certificate(KEEP, CONFIDENCE, COSTS, 0.0).threshold == batch.threshold
    assert len(stream) == batch.labels == 700


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=4), st.integers(0, 2**31))
def test_how_pairs_are_handed_over_changes_nothing(cuts: list[int], seed: int) -> None:
    held = traffic(np.random.default_rng(seed), 400)
    whole, parts = Stream(Terms(GRID, keeps_of(KEEP))), Stream(Terms(GRID, keeps_of(KEEP)))
    whole.extend(held)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 400], strict=True):
        parts.extend(pairs(held.gains[start:end], held.weak[start:end], held.strong[start:end]))
    assert whole.certificate(KEEP, CONFIDENCE, COSTS, 1.0) == parts.certificate(KEEP, CONFIDENCE, COSTS, 1.0)
    assert BLOCK < 400


def test_a_stream_says_the_floor_that_it_has_shown() -> None:
    stream = Stream(Terms((0.5,), keeps_of(0.9), scorer="week 47"))
    stream.extend(pairs(np.full(800, 0.1), np.ones(800), np.ones(800)))
    found = stream.certificate(0.9, CONFIDENCE, COSTS, 17.0)
    assert (found.floor, found.made_at, found.scorer) == (0.96, 17.0, "week 47")
    assert stream.certificate(0.91, CONFIDENCE, COSTS, 17.0).keep == 0.91
    with pytest.raises(ValueError, match=r"keep up to 0\.96"):
        stream.certificate(0.99, CONFIDENCE, COSTS, 17.0)


def test_a_stream_without_pairs_certifies_nothing() -> None:
    stream = Stream(Terms(GRID, (KEEP,)))
    assert stream.certificate(KEEP, CONFIDENCE, COSTS, 0.0).threshold == NEVER


# What cannot be


def test_a_scorer_that_learned_from_a_pair_cannot_be_certified_by_it() -> None:
    with pytest.raises(ValueError, match="1 of 2 pairs were used to train"):
        held_out([0.1, 0.2], [1, 1], [1, 1], ids=["a", "b"], learned_from=frozenset({"b", "c"}))


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (([0.1], [1.2], [1.0], [1.0]), "weak"),
        (([0.1], [1.0], [math.nan], [1.0]), "strong"),
        (([math.inf], [1.0], [1.0], [1.0]), "score"),
        (([0.1], [1.0], [1.0], [0.0]), "weight"),
        (([0.1], [1.0, 1.0], [1.0], [1.0]), "one length"),
    ],
)
def test_pairs_that_make_no_sense_are_refused(held: tuple[list[float], ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pairs(*held)


def test_a_pair_that_weighs_more_than_agreed_is_refused_and_does_not_count() -> None:
    stream = Stream(Terms(GRID, (KEEP,), most_weight=2.0))
    with pytest.raises(ValueError, match="the most that was agreed on"):
        stream.add(0.1, 1.0, 1.0, 2.5)
    assert len(stream) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": ()},
        {"thresholds": (0.2, 0.1)},
        {"thresholds": (0.1, math.inf)},
        {"keeps": (0.0,)},
        {"keeps": (0.9, 1.1)},
        {"confidence": 1.0},
        {"horizons": ()},
        {"most_weight": 0.0},
    ],
)
def test_terms_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Stream(msgspec.structs.replace(Terms(GRID, (KEEP,)), **change))


def test_thresholds_are_quantiles_of_earlier_scores() -> None:
    assert thresholds_of([0.3, 0.1, 0.2, 0.2], 4) == (0.2, 0.3)
    assert len(thresholds_of(np.arange(1000.0))) == 64
    for scores in ([], [math.nan]):
        with pytest.raises(ValueError, match="finite"):
            thresholds_of(scores)
