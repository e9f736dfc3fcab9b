"""Which answers say the same, and which only look alike."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.event import Event, Finished, TextDelta, ToolCallDelta, ToolCallStarted, fold
from afterbay.policy.agreement import Said, agreement, said_of
from afterbay.policy.checks.judge import agree
from afterbay.policy.checks.numbers import final_answer, final_of


def call(arguments: str, name: str = "find") -> Said:
    return Said("", ((name, arguments),))


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        (Said("Paris."), Said("  paris"), "same words"),
        (Said("ＡＢＣ"), Said("abc"), "same words"),
        (Said("First 2 + 2. #### 1,000"), Said("So the answer is 1000.00."), "same answer"),
        (Said(r"\boxed{7/2}"), Said("It follows that the answer: 7/2"), "same answer"),
        (Said("(B)"), Said("The final answer is **b**"), "same answer"),
        (Said("答案是 42"), Said("42"), "same answer"),
        (call('{"a": 1, "b": [2]}'), call('{"b":[2],"a":1}'), "same calls"),
        (Said("", (("f", "{}"), ("g", '{"x":1}'))), Said("", (("g", '{"x": 1}'), ("f", ""))), "same calls"),
    ],
)
def test_what_says_the_same_agrees_either_way_round(one: Said, other: Said, how: str) -> None:
    assert agreement(one, other) == agreement(other, one) == how


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Said("Paris"), Said("Lyon")),
        (Said("the answer is 41"), Said("the answer is 42")),
        (Said("In 1969 they landed."), Said("It was 1969 and then 1970.")),
        (Said("A long story about nothing at all, which ends in the year 2024, as stories do."), Said("2024")),
        (Said(""), Said("")),
        (call('{"a": 1}'), call('{"a": 2}')),
        (call('{"a": 1}'), call('{"a": 1}', "other")),
        (call('{"a": '), call('{"a": ')),
        (call("{}"), Said("I would look it up.")),
    ],
)
def test_what_may_differ_does_not_agree(one: Said, other: Said) -> None:
    assert agreement(one, other) is None


DIFFERENT = [
    (r"\boxed{2x+1}", r"\boxed{2\sqrt{3}}"),
    ("The answer is 2024-01-05", "The answer is 2024-03-09"),
    ("The answer is 10:30", "The answer is 10:45"),
    ("Answer: 1e6", "Answer: 1e9"),
    ("Answer: 3 x 10^5", "Answer: 3 x 10^9"),
    ("The answer is 5 km", "The answer is 5 m"),
    ("It is 5 km", "It is 5 m"),
    ("5 km.", "5 m."),
    (r"So \boxed{5} km", r"So \boxed{5} m"),
    (r"So \boxed{5}\text{ km}", r"So \boxed{5}\text{ m}"),
    ("答案是3月5日", "答案是3月9日"),
    ("The answer is no one knows", "Final answer: No"),
    ("Answer: a list of names", "The answer is a different one"),
    (r"(a) \boxed{3} and (b) \boxed{7}", r"(a) \boxed{4} and (b) \boxed{7}"),
    ("The answer is No. 5", "The answer is No. 6"),
    ("Yes. It is in Paris", "Yes. It is in Rome"),
    ("Answer: 1,5", "Answer: 15"),
    ("Answer: 1.5/20", "Answer: 1.5/2"),
    ("Answer: 10²", "Answer: 102"),
    ("10²", "102"),
    ("5!", "5"),
    (".5", "5"),
    ("50%", "50"),
    ("Answer: 5" + " " * 130 + "km", "Answer: 5" + " " * 130 + "m"),
]
AROUND = st.sampled_from(["", " ", "\n", "We think.\n", "First 1 + 1 = 2. Then we see.\n", "**", "> "])


@given(st.sampled_from(DIFFERENT), AROUND, AROUND, st.sampled_from(["", ".", "\n", " ", "**"]))
def test_answers_that_differ_behind_a_common_beginning_never_agree(
    pair: tuple[str, str], before: str, other_before: str, after: str
) -> None:
    one, other = before + pair[0] + after, other_before + pair[1] + after
    assert agreement(Said(one), Said(other)) is None
    assert agreement(Said(other), Said(one)) is None
    assert not agree(one, other)


NUMBERS = st.integers(-(10**6), 10**6)


@given(
    NUMBERS, NUMBERS, st.sampled_from(["#### {}", r"thus $\boxed{{{}}}$.", "The answer is **{}**.", "答案是：{}", "{}"])
)
def test_a_lone_number_agrees_with_its_equal_alone(one: int, other: int, form: str) -> None:
    said = Said(form.format(one))
    assert agreement(said, Said(f"Final answer: {one:,}")) == "same answer"
    assert (agreement(said, Said(f"Final answer: {other:,}")) is not None) == (one == other)


@pytest.mark.parametrize(
    "text",
    [
        "answer is" + " " * 200_000,
        "answer is" + "\n" * 200_000 + "x",
        " " * 200_000,
        "answer" * 30_000,
        "answer is " * 20_000,
        "the answer is" + "*_$([{ " * 30_000,
        "####" * 50_000,
        r"\boxed{" * 28_000,
        "." * 200_000,
        "1," * 100_000,
        "`" * 200_000 + "x",
    ],
)
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    agreement(Said(text), Said(text + "5"))
    final_answer(text)
    final_of(text)
    assert time.process_time() - began < 0.2


def test_fields_are_compared_where_json_was_asked_for() -> None:
    fenced = Said('```json\n{"b": 2, "a": "x"}\n```')
    assert agreement(Said('{"a": "x", "b": 2}'), fenced, wants_json=True) == "same fields"
    assert agreement(Said('{"a": "x", "b": 3}'), fenced, wants_json=True) is None
    assert agreement(Said("not json"), Said("not json"), wants_json=True) is None


def test_an_answer_is_its_first_choice() -> None:
    events: list[Event] = [
        TextDelta("let me see"),
        ToolCallStarted(0, "id_1", "find"),
        ToolCallDelta(0, '{"q"'),
        ToolCallDelta(0, ": 1}"),
        TextDelta("another", choice=1),
        Finished("tool_calls"),
    ]
    assert said_of(fold(events)) == Said("let me see", (("find", '{"q": 1}'),))


@given(st.text(max_size=200))
def test_any_text_agrees_with_itself_unless_it_is_empty(text: str) -> None:
    said = Said(text)
    assert (agreement(said, said) is None) == said.is_empty
    final_answer(text)
