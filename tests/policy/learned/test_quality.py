"""Predictors of answer quality: they learn what there is to learn, from whatever labels there are, and fit in bytes."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from afterbay.config.weights import shipped
from afterbay.core.errors import ClientMistake
from afterbay.policy.learned.complexity import Complexity
from afterbay.policy.learned.complexity import packed as complexity_bytes
from afterbay.policy.learned.complexity import unpacked as complexity_of
from afterbay.policy.learned.quality import Prompt, Quality, Settings, from_bytes, read_prompt, to_bytes, train

SMALL = Settings(landmarks=16)
EASY = "please tell me about my holiday in the town by the sea"
HARD = "Prove that 3x^2 + 7 = 19 has no integer solution, and derive the general theorem for n > 2."


def prompts(count: int, seed: int = 0) -> tuple[list[Prompt], NDArray[np.float64]]:
    """Half talk and half sums; a weak model fails at sums, a strong one at nothing."""
    rng = np.random.default_rng(seed)
    texts, outcomes = [], []
    for i in range(count):
        noise = " ".join(f"thing{rng.integers(40)}" for _ in range(3))
        texts.append(f"{HARD if i % 2 else EASY} {noise}")
        outcomes.append([1.0, float(i % 2 == 0)])
    return [read_prompt(text) for text in texts], np.array(outcomes)


def trained(outcomes: NDArray[np.float64] | None = None, models: Sequence[str] = ("strong", "weak")) -> Quality:
    some, usual = prompts(80)
    return train(some, usual if outcomes is None else outcomes, models, SMALL)


def test_a_predictor_tells_prompts_that_a_weak_model_fails() -> None:
    quality = trained()
    easy, hard = (quality.predict(read_prompt(text)) for text in (EASY, HARD))
    assert easy["weak"] > 0.7
    assert hard["weak"] < 0.3
    assert min(easy["strong"], hard["strong"]) > 0.95
    assert quality.gain(read_prompt(HARD), "strong", "weak") > quality.gain(read_prompt(EASY), "strong", "weak") + 0.4
    assert quality.labels == (80, 80)


def test_predictions_are_probabilities() -> None:
    quality = trained()
    for text in ("", "你好", HARD * 20, "x" * 50_000):
        assert all(0 <= said <= 1 for said in quality.predict(read_prompt(text)).values())


def test_one_outcome_a_request_teaches_both_models() -> None:
    some, outcomes = prompts(200)
    outcomes[np.arange(200), np.random.default_rng(1).integers(0, 2, 200)] = np.nan
    quality = train(some, outcomes, ("strong", "weak"), SMALL)
    assert quality.gain(read_prompt(HARD), "strong", "weak") > quality.gain(read_prompt(EASY), "strong", "weak") + 0.3
    assert sum(quality.labels) == 200


def test_a_model_with_few_labels_is_its_average_and_what_is_hard_for_all() -> None:
    some, outcomes = prompts(80)
    third = np.full((80, 1), np.nan)
    third[:4] = [[0.5], [0.2], [0.5], [0.2]]
    quality = train(some, np.hstack([outcomes[:, 1:], third]), ("weak", "new"), SMALL)
    easy, hard = (quality.predict(read_prompt(text)) for text in (EASY, HARD))
    assert easy["new"] > hard["new"] + 0.2
    assert quality.labels == (80, 4)


def test_a_predictor_is_the_same_from_its_bytes_and_each_time() -> None:
    quality = trained()
    data = to_bytes(quality)
    assert data == to_bytes(trained())
    again = from_bytes(data)
    assert again.models == ("strong", "weak")
    assert again.raw(read_prompt(HARD)).tolist() == quality.raw(read_prompt(HARD)).tolist()
    assert to_bytes(again) == data
    assert len(data) < 200_000


def test_bytes_of_something_else_are_refused() -> None:
    data = to_bytes(trained())
    for broken in (b"", b"no predictor", data[:-3], data[: len(data) // 2]):
        with pytest.raises(ClientMistake, match="hold no predictor"):
            from_bytes(broken)


def test_too_few_labels_are_refused() -> None:
    some, outcomes = prompts(80)
    with pytest.raises(ClientMistake, match="too little to learn from"):
        train(some[:10], outcomes[:10], ("strong", "weak"))
    with pytest.raises(ClientMistake, match="too little to learn from"):
        train(some, outcomes * [1, np.nan], ("strong", "weak"))


def test_a_decision_on_a_long_text_costs_little() -> None:
    quality, text = trained(), "How many apples does Ann have? " * 6500
    took = []
    for _ in range(20):
        began = time.thread_time()
        quality.predict(read_prompt(text))
        took.append(time.thread_time() - began)
    assert min(took) < 0.005


def test_the_shipped_head_finds_a_proof_more_complex_than_a_greeting() -> None:
    head = complexity_of(shipped("quality"))
    hello, proof = (head.of(read_prompt(text)) for text in ("Hi there!", HARD))
    assert 0 <= hello < 0.3 < proof <= 1
    assert len(shipped("quality")) < 300_000


def test_a_head_of_complexity_ranks_between_its_steps() -> None:
    quality = train(prompts(80)[0], prompts(80)[1][:, 1:], ("weak",), SMALL)
    head = Complexity(quality, np.array([-1e9, 1e9], np.float32))
    assert head.of(read_prompt(HARD)) == pytest.approx(0.5)
    assert complexity_of(complexity_bytes(head)).of(read_prompt(HARD)) == head.of(read_prompt(HARD))
    for broken in (b"", complexity_bytes(head)[:30]):
        with pytest.raises(ClientMistake, match="no head of complexity"):
            complexity_of(broken)
