"""Which answers say the same, and which only look alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.event import Event, Finished, TextDelta, ToolCallDelta, ToolCallStarted, fold
from afterbay.policy.agreement import Said, agreement, final_answer, said_of


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
