"""The protocol that checks certificates: what it counts, what it compares with, and what rows it reads."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from afterbay.core.errors import ClientMistake
from afterbay.evals.certificates import RULES, Protocol, certified, resampled, share
from afterbay.evals.cuts import cuts
from afterbay.evals.gain import gain_learner
from afterbay.evals.pairs import Pairs, read_pairs
from afterbay.policy.certify import NEVER, HeldOut, held_out


def made(count: int, seed: int = 0) -> Pairs:
    """Prompts of two kinds: sums, which only the strong model can do, and greetings, which both can."""
    rng = np.random.default_rng(seed)
    hard = rng.random(count) < 0.4
    prompts = tuple(f"{'what is the sum of' if one else 'say hello to'} number {i}" for i, one in enumerate(hard))
    strong = (rng.random(count) < 0.9).astype(float)
    return Pairs(prompts, np.where(hard & (rng.random(count) < 0.5), 0.0, strong), strong)


def held(gains: object, weak: object, strong: object) -> HeldOut:
    return held_out(gains, weak, strong, ids=range(len(np.asarray(gains))), learned_from=frozenset())


def test_a_scorer_learned_from_some_rows_tells_others_apart() -> None:
    pairs = made(300)
    scores = gain_learner(pairs)(np.arange(100))
    hard = np.array([prompt.startswith("what") for prompt in pairs.prompts])[100:]
    assert scores[100:][hard].mean() > scores[100:][~hard].mean() + 0.1


def test_every_rule_is_judged_on_rows_that_neither_trained_nor_certified() -> None:
    pairs = made(600)
    seen: list[np.ndarray] = []

    def learner(train: np.ndarray) -> np.ndarray:
        seen.append(train)
        return pairs.strong - pairs.weak  # an oracle

    steps: list[tuple[int, int]] = []
    found = resampled(pairs, learner, Protocol(resamples=5, labels=150), lambda *step: steps.append(step))
    assert tuple(found.rules) == RULES
    assert (found.train, found.labels, found.looked_at) == (200, 150, 250)
    assert steps == [(done, 5) for done in range(1, 6)]
    assert len({tuple(rows) for rows in seen}) == 5
    own = found.rules["certificate"]
    assert own.violations.value == own.violations_population.value == 0.0
    assert own.quality >= 1.0
    assert 0.5 < own.saved <= found.rules["tuned"].saved
    assert own.kept_of_tuned == pytest.approx(own.saved / found.rules["tuned"].saved)


def test_a_threshold_that_was_tuned_breaks_its_promise_and_a_certificate_does_not() -> None:
    pairs = made(900)
    found = resampled(pairs, lambda train: np.random.default_rng(train[0]).random(900), Protocol(resamples=40))
    assert found.rules["tuned"].violations.value > 0.25
    assert found.rules["certificate"].violations.value <= 0.15
    assert found.rules["bernstein"].saved <= found.rules["certificate"].saved < found.rules["tuned"].saved


def test_the_same_seed_gives_the_same_figures() -> None:
    pairs = made(200)
    one, two = (resampled(pairs, gain_learner(pairs), Protocol(resamples=2, seed=3)) for _ in range(2))
    assert one == two


def test_rows_that_train_are_named_or_drawn() -> None:
    pairs = made(300)
    trained: list[np.ndarray] = []

    def learner(train: np.ndarray) -> np.ndarray:
        trained.append(train)
        return pairs.strong - pairs.weak

    assert certified(pairs, learner, Protocol(trained_on=50)).labels == 250
    assert certified(pairs, learner, Protocol()).labels == 200
    assert certified(pairs, learner, Protocol(labels=70)).labels == 70
    assert trained[0].tolist() == list(range(50))


def test_other_rules_choose_what_their_formulas_say() -> None:
    rng = np.random.default_rng(1)
    gains = np.arange(400.0)
    weak = np.where(rng.random(400) < gains / 1600, 0.0, 1.0)
    found = cuts(held(gains, weak, np.ones(400)), 0.95, 0.9)
    x = np.array([np.where(gains <= g, weak, 1.0) - 0.95 for g in gains])
    mean, deviation = x.mean(axis=1), x.std(axis=1, ddof=1)
    assert found["tuned"] == gains[np.flatnonzero(mean >= 0)[-1]]
    assert found["normal"] == gains[np.argmin(mean >= 1.2815515655 * deviation / 20.0) - 1]
    lost = np.cumsum(weak < 1.0)
    at_most = [sum(math.comb(400, i) * 0.05**i * 0.95 ** (400 - i) for i in range(k + 1)) for k in range(20)]
    assert found["clopper_pearson"] == gains[np.argmin([at_most[min(k, 19)] <= 0.1 for k in lost]) - 1]
    assert found["bernstein"] < found["clopper_pearson"] <= found["normal"] < found["tuned"]


def test_other_rules_choose_nothing_where_nothing_is_good_and_all_where_all_is() -> None:
    bad = cuts(held([0.1] * 100, [0.0] * 100, [1.0] * 100), 0.95, 0.9)
    good = cuts(held([0.1] * 3000, [1.0] * 3000, [1.0] * 3000), 0.95, 0.9)
    assert set(bad.values()) == {NEVER}
    assert set(good.values()) == {0.1}
    assert cuts(held([0.1] * 9, [0.0] * 9, [0.0] * 9), 0.95, 0.9)["clopper_pearson"] == NEVER


def test_the_interval_of_a_share_is_wilsons() -> None:
    found = share(10, 200)
    assert (found.value, round(found.low, 4), round(found.high, 4)) == (0.05, 0.0274, 0.0896)
    assert share(0, 20).low == 0.0


def test_rows_are_read_once_each_prompt(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"p{i}", "strong_correct": True, "weak_correct": i / 100, "more": 1} for i in range(70)]
    path.write_bytes(b"\n".join(msgspec.json.encode(row) for row in [*rows, rows[3]]) + b"\n\n")
    pairs = read_pairs(path)
    assert len(pairs) == 70
    assert pairs.weak[7] == pytest.approx(0.07)
    assert pairs.strong.tolist() == [1.0] * 70
    rest = pairs.without(frozenset({"p0", "p69"}))
    assert (len(rest), rest.prompts[0], len(rest.and_others(pairs))) == (68, "p1", 138)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2"),
        ('{"prompt": "a"}', "line 2"),
        ('{"prompt": "b", "strong_correct": true}', "too few"),
        ('{"prompt": "a", "strong_correct": 2, "weak_correct": 0}', "between 0 and 1"),
        ("", "too few"),
    ],
)
def test_rows_that_are_wrong_are_told_by_their_place(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "strong_correct": true, "weak_correct": false}\n' + line)
    with pytest.raises(ClientMistake, match=words):
        read_pairs(path)


def test_rows_of_other_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "outcomes": {"small": 1, "large": 1}}')
    with pytest.raises(ClientMistake, match="a strong and a weak model"):
        read_pairs(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClientMistake, match="cannot be read"):
        read_pairs(tmp_path / "none.jsonl")
