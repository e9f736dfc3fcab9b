"""Refusals, hedges, languages, repetition."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.policy.checks.words import hedges, is_other_language, refuses, repetition, script_of


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot do this",
        "I cannot provide medical advice.",
        "As an AI language model, I don't have opinions.",
        "That is against our guidelines.",
        "很抱歉,我不能回答这个问题。",
        "作为一个人工智能,我无法访问互联网。",
        "我无法提供这些信息",
    ],
)
def test_a_refusal_is_known_in_both_languages(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "Sorry seems to be the hardest word, by Elton John.",
        "You can't divide by zero.",
        "对不起的英文是 sorry。",
        "他不能去。",
        "",
    ],
)
def test_what_only_sounds_like_one_is_none(text: str) -> None:
    assert not refuses(text)


def test_a_refusal_far_down_is_a_quotation() -> None:
    assert not refuses("word " * 100 + "I cannot help with that")


def test_hedges_are_counted() -> None:
    assert hedges("I'm not sure. It is unclear; please provide more details.") == 3
    assert hedges("我不确定,请提供更多信息。") == 2
    assert hedges("It is 4.") == 0


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("The quick brown fox jumps over it", "latin"),
        ("今天天气很好我们去公园吧", "han"),
        ("今日は天気がいいですね、公園へ行きましょう", "kana"),
        ("Сегодня хорошая погода, пойдём в парк", "cyrillic"),
        ("오늘은 날씨가 좋네요 공원에 갑시다", "hangul"),
        ("12 + 30 = 42", None),
        ("```python\nprint('hello world and more words')\n```", None),
    ],
)
def test_a_script_is_told_by_its_letters(text: str, script: str | None) -> None:
    assert script_of(text) == script


def test_another_language_than_the_questions_is_seen() -> None:
    chinese = "请介绍一下北京的历史和文化特点"
    english = "Beijing is the capital of China and has a long history."
    assert is_other_language(chinese, english)
    assert not is_other_language(chinese, "北京是中国的首都,历史悠久,文化丰富。")
    assert is_other_language("Tell me about the history of Beijing", "北京是中国的首都,历史悠久,文化丰富。")


@pytest.mark.parametrize(
    "question",
    [
        "请把这句话翻译成英文:今天天气很好我们去公园",
        "Translate into Chinese: the weather is fine today",
        "用英语介绍北京的历史和文化特点",
    ],
)
def test_whoever_asks_for_another_language_gets_it(question: str) -> None:
    answer = "The weather is nice today" if "请" in question or "用" in question else "今天天气很好今天天气很好"
    assert not is_other_language(question, answer)


def test_repetition_is_the_share_of_what_was_said_before() -> None:
    assert repetition("the cat sat on the mat and then it left again " * 20) > 0.9
    assert repetition(" ".join(map(str, range(200)))) == 0
    assert repetition("short short short") == 0
    assert repetition("我们走吧" * 40) > 0.9


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_makes_it_fail(question: str, answer: str) -> None:
    refuses(answer)
    hedges(answer)
    is_other_language(question, answer)
    assert 0 <= repetition(answer) <= 1
