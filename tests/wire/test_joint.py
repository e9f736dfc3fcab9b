"""A new answer's events as the continuation of an old one's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.checkpoint import Checkpoint
from afterbay.core.event import (
    BlockBreak,
    Event,
    Extra,
    Finished,
    ReasoningDelta,
    ReasoningSignature,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
)
from afterbay.core.usage import Usage
from afterbay.wire.joint import Form, Joint
from afterbay.wire.seam import Doubtful

ARGUMENTS = '{"city":"Lisbon","days":[1,2,3]}'
END = Finished("tool_calls")


def join(sent: list[Event], new: list[Event], form: Form = "replay") -> list[Event]:
    """What comes out, the closing included."""
    checkpoint = Checkpoint()
    checkpoint.see(sent)
    joint = Joint(checkpoint, form)
    return [*(out for event in new for out in joint.push([event])), *joint.close()]


def call(arguments: str, name: str = "plan", number: int = 0, id_: str = "c1", size: int = 5) -> list[Event]:
    pieces = [ToolCallDelta(number, arguments[at : at + size]) for at in range(0, len(arguments), size)]
    return [ToolCallStarted(number, id_, name), *pieces]


def arguments_of(events: list[Event], number: int = 0) -> str:
    return "".join(one.arguments for one in events if isinstance(one, ToolCallDelta) and one.call == number)


@given(st.integers(0, len(ARGUMENTS)), st.integers(1, 9), st.integers(1, 9))
def test_an_open_call_goes_on_under_its_own_number_and_id(cut: int, size: int, other: int) -> None:
    sent = call(ARGUMENTS[:cut], size=size)
    out = join(sent, [Started("x", "y"), *call(ARGUMENTS, id_="other", size=other), END])
    assert arguments_of(sent) + arguments_of(out) == ARGUMENTS
    assert not any(isinstance(one, ToolCallStarted | Started) for one in out)
    assert out[-1] == END


def test_finished_calls_stay_and_new_ones_follow() -> None:
    sent = call('{"a":1}')
    out = join(sent, [*call('{"a":1}', id_="x1"), *call('{"b":2}', number=1, id_="x2"), END])
    assert out == [*call('{"b":2}', number=1, id_="x2"), END]


def test_a_new_call_never_has_the_id_of_an_old_one() -> None:
    out = join(call('{"a":1}'), [*call('{"a":1}', id_="x"), *call('{"b":2}', number=1, id_="c1"), END])
    assert isinstance(out[0], ToolCallStarted)
    assert out[0].id != "c1"


def test_text_before_a_call_must_come_again_as_well() -> None:
    sent = [TextDelta("I will plan."), *call(ARGUMENTS[:9])]
    out = join(sent, [TextDelta("I will "), TextDelta("plan."), *call(ARGUMENTS), END])
    assert arguments_of(sent) + arguments_of(out) == ARGUMENTS
    assert not any(isinstance(one, TextDelta) for one in out)


@pytest.mark.parametrize(
    ("sent", "new"),
    [
        (call(ARGUMENTS[:12]), call('{"city":"Porto"}')),
        (call(ARGUMENTS[:9]), call(ARGUMENTS, name="book")),
        (call(ARGUMENTS[:9]), [TextDelta("I cannot."), END]),
        (call(ARGUMENTS[:9]), [END]),
        (call(ARGUMENTS[:9]), [*call(ARGUMENTS[:5]), END]),
        (call(ARGUMENTS[:9]), call(ARGUMENTS, number=1)),
        (call("{}"), [*call("{}"), ToolCallDelta(0, ",1")]),
        (call("{}"), call("{},1", size=9)),
        ([*call('{"a":1}'), *call('{"b"', number=1)], [*call('{"a":1}'), END]),
        ([TextDelta("one two")], [TextDelta("one three")]),
        ([TextDelta("one two")], [TextDelta("one"), END]),
        ([TextDelta("one two")], [RefusalDelta("no")]),
    ],
)
def test_an_answer_that_differs_is_refused(sent: list[Event], new: list[Event]) -> None:
    with pytest.raises(Doubtful):
        join(sent, new)


def test_reasoning_alone_is_followed_by_a_block_of_its_own() -> None:
    out = join(
        [ReasoningDelta("Hm")], [ReasoningDelta("Let us see"), ReasoningSignature("s"), TextDelta("So.")], "again"
    )
    assert out == [BlockBreak(), ReasoningDelta("Let us see"), ReasoningSignature("s"), TextDelta("So.")]


def test_reasoning_is_not_shown_again_behind_text() -> None:
    out = join([ReasoningDelta("Hm"), TextDelta("So")], [ReasoningDelta("Well"), TextDelta("So be it"), END])
    assert out == [TextDelta(" be it"), END]


def test_white_space_is_not_doubled() -> None:
    assert join([TextDelta("\n\n")], [TextDelta("\n"), TextDelta("\nSo"), TextDelta(" it is")], "again") == [
        TextDelta("So"),
        TextDelta(" it is"),
    ]


def test_text_that_is_held_goes_out_before_a_call_and_before_the_end() -> None:
    sent: list[Event] = [TextDelta("One two three")]
    out = join(sent, [TextDelta(" four"), *call("{}"), END], "prefill")
    assert out == [TextDelta(" four"), *call("{}"), END]
    assert join(sent, [TextDelta(" four"), END], "prefill") == [TextDelta(" four"), END]


def test_counts_and_extras_pass() -> None:
    new: list[Event] = [UsageSeen(Usage(1)), Extra("odd"), TextDelta("one two"), END]
    assert join([TextDelta("one")], new) == [UsageSeen(Usage(1)), Extra("odd"), TextDelta(" two"), END]


def test_output_is_shown_only_once_everything_came_again() -> None:
    checkpoint = Checkpoint()
    checkpoint.see([TextDelta("I plan."), *call(ARGUMENTS[:9])])
    joint = Joint(checkpoint, "replay")
    states = []
    for event in [TextDelta("I plan."), *call(ARGUMENTS)]:
        joint.push([event])
        states.append(joint.is_joined)
    assert states == sorted(states)
    assert states[0] is False
    assert states[-1] is True
