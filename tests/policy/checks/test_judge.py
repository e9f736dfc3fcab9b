"""The sum of the checks: what is rejected, what is silent, and that it never takes long."""

from __future__ import annotations

from collections.abc import Mapping
from time import process_time

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.policy.checks.judge import agree, features_of, judge
from afterbay.policy.checks.verdict import Asked, Given

QUESTION = "Tom buys 3 boxes of 4 eggs and eats 2. How many eggs are left?"
GOOD = "He has 3 * 4 = 12 eggs. Then 12 - 2 = 10 are left.\n#### 10"
SCHEMA = b'{"type": "object", "required": ["n"]}'


def failed(asked: Asked, answer: Given) -> tuple[str, ...]:
    return judge(asked, answer).failed


def test_a_good_answer_passes_every_check() -> None:
    checked = judge(Asked(QUESTION), Given(GOOD, finish="stop"))
    assert checked.accept
    assert checked.why == ""
    assert checked.features == {}, "features are for acceptors only"


@pytest.mark.parametrize(
    ("answer", "check"),
    [
        (Given(""), "empty"),
        (Given("word " * 10, finish="length"), "truncation"),
        (Given("He has 3 * 4 = 13 eggs, 13 - 2 = 11.\n#### 11"), "arithmetic"),
        (Given("Some are left."), "final"),
        (Given("3 * 4 = 12, 12 - 2 = 10.\n#### 12.5"), "final"),
        (Given("3 * 4 = 12, 12 - 2 = 10.\n#### 99"), "final"),
        (Given("3 * 4 = 12, then 12 -"), "final"),
        (Given("3 * 4 = <<3*4=12"), "final"),
        (Given("3 * 4 = 12\n#### 12"), "numbers"),
        (Given("I'm sorry, I cannot help with that."), "refusal"),
        (Given("I'm not sure how many."), "hedging"),
        (Given("他买了三盒鸡蛋,吃了两个,所以还剩下很多鸡蛋"), "language"),
        (Given("the cat sat on the mat and then it left again 3 4 2 " * 30), "repetition"),
        (Given("```python\ndef f(\n```"), "code"),
        (Given(GOOD, logprob=-2.0), "logprob"),
        (Given(GOOD, others=("#### 11",)), "agreement"),
    ],
)
def test_each_check_finds_its_own(answer: Given, check: str) -> None:
    asked = Asked("Say what is left of 3 boxes of 4 eggs: how many, without the 2?")
    checked = judge(asked, answer)
    assert check in checked.failed
    assert not checked.accept
    assert f"{check}: " in checked.why


def test_an_answer_in_words_gives_a_number_too() -> None:
    assert failed(Asked(QUESTION), Given("Ten eggs.")) == ()
    assert failed(Asked("小明有3个苹果,吃了1个,还剩多少?"), Given("还剩两个。")) == ()


def test_a_final_number_may_come_from_an_equation_with_an_unknown() -> None:
    answer = Given("4S - 2S = 16, so 2S = 16 and S = 16 / 2\nS = 8\n3 + 4 = 7, 7 - 2 = 5. There are 8.")
    assert failed(Asked(QUESTION), answer) == ()


def test_half_an_hour_is_no_broken_thing() -> None:
    answer = Given("It takes 5 / 2 = 2.5 hours.\n#### 2.5")
    assert failed(Asked("5 miles at 2 miles an hour: how many hours does it take?"), answer) == ()
    assert failed(Asked("5 cakes for 2 teams: how many cakes does each get?"), answer) == ("final",)


def test_a_client_that_wants_it_short_gets_it_cut() -> None:
    assert failed(Asked("Go on", most_tokens=16), Given("word", finish="length")) == ()
    assert failed(Asked("Go on", most_tokens=4000), Given("word", finish="length")) == ("truncation",)


@pytest.mark.parametrize(
    ("asked", "answer", "expected"),
    [
        (Asked("Go", wants_json=True, schema=SCHEMA), Given('{"n": 1}'), ()),
        (Asked("Go", wants_json=True, schema=SCHEMA), Given("{}"), ("json",)),
        (Asked("Go", wants_json=True), Given("no"), ("json",)),
        (Asked("Go", tools={"f": SCHEMA}), Given(calls=(("f", '{"n": 1}'),)), ()),
        (Asked("Go", tools={"f": SCHEMA}), Given(calls=(("g", "{}"),)), ("tools",)),
        (Asked("Go", tools={"f": SCHEMA}, must_call=True), Given("No."), ("tools",)),
        (Asked("How many of 3?", wants_json=True), Given('{"n": "1 + 1 = 3"}'), ()),
    ],
)
def test_form_is_checked_where_it_was_asked_for(asked: Asked, answer: Given, expected: tuple[str, ...]) -> None:
    assert failed(asked, answer) == expected


def test_what_a_check_says_quotes_nothing() -> None:
    secret = "SESAME-4711"
    asked = Asked(f"{secret} how many of 3?", wants_json=True, schema=SCHEMA, tools={"f": SCHEMA})
    for answer in (Given(secret), Given(calls=((secret, secret),)), Given(f"{secret} 3 * 4 = 13")):
        assert "SESAME" not in judge(asked, answer).why


class Always:
    def __init__(self, sure: float) -> None:
        self.sure, self.seen = sure, dict[str, float]()

    def accepts(self, features: Mapping[str, float]) -> float:
        self.seen = dict(features)
        return self.sure


def test_what_was_learned_has_the_last_word_over_what_passes() -> None:
    acceptor = Always(0.6)
    assert judge(Asked(QUESTION), Given(GOOD), acceptor, 0.5).accept
    assert acceptor.seen["steps"] > 0
    rejected = judge(Asked(QUESTION), Given(GOOD), acceptor, 0.7)
    assert rejected.failed == ("acceptor",)
    assert rejected.features == acceptor.seen


def test_what_was_learned_is_not_asked_about_what_fails() -> None:
    acceptor = Always(1.0)
    assert not judge(Asked(QUESTION), Given(""), acceptor).accept
    assert acceptor.seen == {}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("so #### 7", "The answer is 7.", True),
        ("so #### 7", "The answer is 8.", False),
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}', True),
        ('{"a": 1}', '{"a": 2}', False),
        ("Paris.", "paris", True),
        ("Paris.", "Rome", False),
        ("7", "8", False),
        (("word " * 20), ("other " * 20), True),
        (("word " * 20) + "5", ("other " * 20) + "6", False),
    ],
)
def test_two_answers_agree_if_they_come_to_the_same(one: str, other: str, same: bool) -> None:
    assert agree(one, other) is same
    assert agree(other, one) is same


def test_features_are_the_same_names_for_any_text() -> None:
    names = features_of(QUESTION, GOOD).keys()
    for text in ("", "word", "####", "3 * 4 = 13", "```python\n```"):
        assert features_of(text, text).keys() == names


@given(st.text(max_size=200), st.text(max_size=400))
def test_no_text_makes_it_fail(question: str, answer: str) -> None:
    checked = judge(Asked(question, wants_json=len(question) % 2 == 0), Given(answer))
    assert checked.accept is (checked.why == "")
    assert all(0 <= check.score <= 1 for check in checked.checks)
    assert all(value == value for value in features_of(question, answer).values()), "none is NaN"


PIECES = (
    "a",
    "1+",
    "(",
    "9",
    "<<",
    "```\n",
    "`",
    "i am sorry ",
    "请",
    "$",
    "\\boxed{",
    "####",
    "[.]",
    "x1 = ",
    "1/",
    "1,111",
    "'",
)


@pytest.mark.parametrize("piece", PIECES)
def test_a_long_answer_takes_a_bounded_time(piece: str) -> None:
    text = (piece * 100_000)[:100_000]
    before = process_time()
    judge(Asked("how many " + text[:20_000]), Given(text, finish="stop"), Always(1.0))
    assert process_time() - before < 2.0
