"""The task classifier: what it says of plain requests, when it abstains, and its bytes."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.config.weights import task_classifier
from afterbay.core.errors import ClientMistake
from afterbay.policy.facts import read_facts
from afterbay.policy.learned.evidence import FEATURES, evidence
from afterbay.policy.learned.heads import Heads, packed
from afterbay.policy.learned.tasks import Classifier, features, restored, stored
from afterbay.policy.plan import Rules
from afterbay.policy.statement import TASKS

PLAIN = [
    ("Please translate this letter into French: Dear Anna, thank you for the apples.", "translate"),
    ("把下面这句话翻译成英文：明天可能要下雪。", "translate"),
    ("Write a Python function that merges two sorted lists.", "code"),
    ("```\nfor x in y\n  print(x)\n```\nWhy does this code fail?", "code"),
    ("Write a poem about an old bicycle.", "creative"),
    ("写一首关于老屋的诗", "creative"),
    ("如果一件商品原价80元，打七五折后多少钱？", "reasoning"),
    ("I still have not received my refund, my order number is 4471", "chat"),
]


@pytest.mark.parametrize(("text", "task"), PLAIN)
def test_plain_requests_are_seen_for_what_they_are(text: str, task: str) -> None:
    assert read_facts(text, Rules(), task_classifier()).task == task


@pytest.mark.parametrize("text", ["asdf qwer", "?", "Lorem ipsum dolor sit amet", "嗯嗯嗯"])
def test_it_abstains_where_nothing_tells(text: str) -> None:
    assert task_classifier().judged(text, "en").task is None


def test_probabilities_are_of_all_tasks_and_add_up() -> None:
    judged = task_classifier().judged("Summarize the article.", "en")
    assert tuple(judged.scores) == TASKS
    assert sum(judged.scores.values()) == pytest.approx(1.0, abs=1e-4)
    assert judged.p == max(judged.scores.values()) == judged.scores[judged.best]


def test_full_width_letters_and_case_make_no_difference() -> None:
    plain, typed = "translate this into french: hello", "ＴＲＡＮＳＬＡＴＥ this into FRENCH: hello"
    assert task_classifier().judged(plain, "en") == task_classifier().judged(typed, "en")


def test_the_middle_of_a_long_prompt_is_not_looked_at() -> None:
    begin, end = "Summarize this. " * 50, " The end of it." * 50
    one, other = begin + "apples " * 5000 + end, begin + "def f(x): pass\n" * 5000 + end
    assert task_classifier().judged(one, "en") == task_classifier().judged(other, "en")


@given(st.text(max_size=400))
def test_any_text_can_be_judged(text: str) -> None:
    judged = task_classifier().judged(text, "und")
    assert 1 / len(TASKS) - 1e-6 <= judged.p <= 1.0 + 1e-6


@given(st.text(max_size=400))
def test_signs_are_shares(text: str) -> None:
    found = evidence(text)
    assert len(found) == len(FEATURES)
    assert all(0.0 <= one <= 1.0 for one in found)


def test_a_sign_at_the_end_is_told_from_one_at_the_beginning() -> None:
    passage = "the ferry leaves at nine and comes back at noon. " * 10
    first, last = (
        dict(zip(FEATURES, evidence("translate: " + passage), strict=True)),
        dict(zip(FEATURES, evidence(passage + "translate this"), strict=True)),
    )
    assert first["head:translate"] == first["first:translate"] == 1.0
    assert first["tail:translate"] == 0.0
    assert last["tail:translate"] == 1.0
    assert last["head:translate"] == 0.0


def test_words_joined_in_the_table_count_only_together() -> None:
    names = dict(zip(FEATURES, evidence("the main points"), strict=True))
    assert names["head:summarize"] == 1.0
    assert dict(zip(FEATURES, evidence("main road, all points"), strict=True))["head:summarize"] == 0.0


def small(thresholds: dict[str, float]) -> Classifier:
    shipped = task_classifier()
    return Classifier(shipped.heads, shipped.temperature, thresholds)


def test_a_threshold_of_a_language_comes_before_that_of_all() -> None:
    classifier = small({"translate": 1.1, "zh:translate": 0.0})
    assert classifier.judged(PLAIN[0][0], "en").task is None
    assert classifier.judged(PLAIN[0][0], "zh").task == "translate"
    assert small({}).threshold("en", "qa") == 1.0


def test_a_classifier_is_the_same_from_its_bytes() -> None:
    shipped = task_classifier()
    data = stored(shipped)
    again = restored(data)
    assert stored(again) == data
    assert again.judged(PLAIN[0][0], "en") == shipped.judged(PLAIN[0][0], "en")


def test_bytes_that_hold_no_classifier_are_refused() -> None:
    shipped = task_classifier()
    with pytest.raises(ClientMistake, match="no task classifier"):
        restored(b"x")
    with pytest.raises(ClientMistake, match="no task classifier"):
        restored(stored(shipped)[:30])
    zeros = np.zeros(1, np.float32)
    other = Heads(
        shipped.heads.spec, ("only",), shipped.heads.weights[:, :1], zeros, np.zeros((0, 1), np.float32), zeros
    )
    renamed = stored(shipped).replace(packed(shipped.heads), packed(other))
    with pytest.raises(ClientMistake):
        restored(renamed)


def test_the_weights_that_ship_are_small_and_loaded_once() -> None:
    assert task_classifier() is task_classifier()
    assert len(stored(task_classifier())) <= 1_100_000


def test_a_decision_takes_less_than_a_few_milliseconds() -> None:
    text, rules, classifier = (
        "Please summarize the following report. " + "All went well in May. " * 90,
        Rules(),
        task_classifier(),
    )
    spent = []
    for _ in range(30):
        begun = time.thread_time()
        read_facts(text, rules, classifier)
        spent.append(time.thread_time() - begun)
    assert min(spent) < 0.004  # about 0.4 ms; CI machines are slow


def test_features_of_nothing_are_none() -> None:
    ngrams, signs = features("")
    assert len(ngrams.ids) == 0
    assert signs.shape == (len(FEATURES),)
