"""Facts of a request: cheap ones at once, others when they are asked for, and none of anybody's words in the log."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.message import Image, Message, Text, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, ResponseFormat, ToolSpec
from afterbay.policy.facts import _WORD, Judgement, count_words, mentions_of, read_facts, told
from afterbay.policy.plan import Rules
from afterbay.policy.signs import complexity_of, entities_of, holds_code, holds_math, topic_of


class Fixed:
    """A scorer that says one thing, and remembers what it was asked."""

    def __init__(self, judgement: Judgement) -> None:
        self.judgement = judgement
        self.asked: list[tuple[str, str]] = []

    def judged(self, text: str, language: str) -> Judgement:
        self.asked.append((text, language))
        return self.judgement


SURE = Fixed(Judgement("code", "code", 0.97, {"code": 0.97, "qa": 0.03}))


def asked(*messages: Message, **fields: object) -> ChatRequest:
    return msgspec.structs.replace(ChatRequest("m", messages), **fields)


def said(text: str, role: str = "user") -> Message:
    return Message(role, (Text(text),))  # type: ignore[arg-type]


def test_the_scorer_sees_the_last_user_turn_and_its_language() -> None:
    scorer = Fixed(Judgement("translate", "translate", 0.9, {"translate": 0.9}))
    facts = read_facts(asked(said("old"), said("ok", "assistant"), said("请翻译这句话")), Rules(), scorer)
    assert scorer.asked == [("请翻译这句话", "zh")]
    assert (facts.task, facts.task_p, facts.language) == ("translate", 0.9, "zh")


def test_without_a_scorer_there_is_no_task_and_no_complexity() -> None:
    facts = read_facts("write code", Rules())
    assert (facts.task, facts.complexity, facts.task_p) == (None, None, 0.0)
    assert facts.mentions == {"code"}


def test_an_empty_prompt_is_not_scored() -> None:
    scorer = Fixed(SURE.judgement)
    assert read_facts(asked(said("  ")), Rules(), scorer).task is None
    assert scorer.asked == []


def test_a_scorer_that_abstains_leaves_its_guess_in_the_scores() -> None:
    facts = read_facts("hm", Rules(), Fixed(Judgement(None, "qa", 0.4, {"qa": 0.4})))
    assert facts.task is None
    assert facts.task_scores == {"qa": 0.4}
    assert facts.complexity is not None


def test_what_surrounds_a_prompt_is_told() -> None:
    request = asked(
        Message("user", (Text("look"), Image(url="http://x"))),
        Message("assistant", (ToolUse("1", "read", "{}"),)),
        Message("tool", (ToolResult("1", (Text("x"),)),)),
        said("and now?"),
        tools=(ToolSpec("read"),),
        response_format=ResponseFormat("json_schema", "n", b"{}"),
    )
    facts = read_facts(request, Rules())
    assert facts.modalities == {"text", "image"}
    assert (facts.has_tools, facts.wants_schema, facts.turns, facts.is_agent) == (True, True, 2, True)
    assert not facts.stalled


def test_a_bare_prompt_is_one_turn_of_text() -> None:
    facts = read_facts("one two three", Rules())
    assert (facts.modalities, facts.turns, facts.has_tools, facts.wants_schema) == ({"text"}, 1, False, False)
    assert facts.tokens == 4
    assert not facts.is_agent


def test_no_word_of_anybody_is_in_the_log_or_in_a_failed_check() -> None:
    secret = "my password is hunter2, please summarize and code it"
    facts = read_facts(asked(said(secret)), Rules(), SURE)
    for text in (repr(facts), str(facts), msgspec.json.encode(told(facts)).decode()):
        assert "hunter2" not in text
        assert "password" not in text
    assert told(facts)["task"] == "code"
    assert told(facts)["mentions"] == ["code", "summarize"]
    assert told(read_facts("hello", Rules())) == {"words": 1.0}


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("write to a.b@c.org or see https://x.org/y", {"email": 1, "url": 1}),
        ("on 2024-03-01 we paid $1,200.50", {"date": 1, "money": 1}),
        ("2024年5月共售出300件，收入120元", {"date": 1, "number": 1, "money": 1}),
        ("call read_file() in my_module", {"code": 2}),
        ("nothing here", {}),
    ],
)
def test_entities_are_counted_by_kind(text: str, kinds: dict[str, int]) -> None:
    assert entities_of(text) == kinds


def test_a_topic_needs_two_words_and_no_tie() -> None:
    assert topic_of("the tenant breached the contract, says the court") == "law"
    assert topic_of("患者出现这些症状，医生怎么治疗") == "medicine"
    assert topic_of("one doctor") == ""
    assert topic_of("doctor patient court law") == ""
    assert topic_of("") == ""


def test_code_and_formulas_are_seen() -> None:
    assert holds_code("```py\nx\n```")
    assert holds_code("def f(x):\n  return x")
    assert not holds_code("The definition of done.")
    assert holds_math("solve x = 3 + 4")
    assert holds_math(r"\frac{1}{2}")
    assert not holds_math("two plus two")


def test_longer_and_harder_is_more_complex() -> None:
    easy = complexity_of("hi", 1, {"chat": 1.0}, 1, False)
    longer = complexity_of("hi " * 300, 300, {"chat": 1.0}, 1, False)
    harder = complexity_of("prove it step by step", 5, {"reasoning": 1.0}, 1, False)
    assert easy < longer
    assert easy < 1 / 3 < harder
    assert complexity_of("analyze and design " * 900, 9000, {"reasoning": 1.0}, 9, True) > 2 / 3


@given(st.text(max_size=300), st.floats(0, 1e6), st.integers(0, 50), st.booleans())
def test_complexity_is_a_share(text: str, words: float, turns: int, has_tools: bool) -> None:
    assert 0.0 <= complexity_of(text, words, {"reasoning": 1.0}, turns, has_tools) <= 1.0


@given(st.text(st.characters(max_codepoint=127), max_size=80))
def test_quick_counting_counts_as_the_pattern_does(text: str) -> None:
    assert count_words(text) == len(_WORD.findall(text))


@pytest.mark.parametrize("text", ["a-b-c d'e", "well-known don't -x- 'q' a--b", "a_b 1-2-3-4"])
def test_joined_words_are_one(text: str) -> None:
    assert count_words(text) == len(_WORD.findall(text))


def test_rule_words_are_found_in_long_texts_as_in_short_ones() -> None:
    rules = Rules()
    for text in ("please Summarize", "decode this", "提取", "nothing"):
        assert mentions_of(text + " filler" * 2000, rules) == mentions_of(text, rules)


def fastest(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(5):
        begun = time.thread_time()
        work()
        spent.append(time.thread_time() - begun)
    return min(spent)


@pytest.mark.parametrize("text", ["a long document of words. " * 8000, "这是一份很长的文件。" * 6000])
def test_the_facts_of_a_long_document_take_milliseconds(text: str) -> None:
    assert fastest(lambda: read_facts(text, Rules(), SURE)) < 0.02  # about 3 ms; CI machines are slow


def test_facts_without_a_scorer_do_not_load_numpy() -> None:
    code = (
        "import sys; from afterbay.policy.facts import read_facts; from afterbay.policy.plan import Rules; "
        "from afterbay.engine import routing; from afterbay.config import weights; read_facts('write code', Rules()); "
        "sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
