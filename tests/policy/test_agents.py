"""An agent that goes round in circles is told by its own history."""

from __future__ import annotations

import pytest

from afterbay.core.message import Message, Part, Text, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, ToolSpec
from afterbay.policy.agents import is_agent, is_stalled


def call(number: int, arguments: str = '{"path":"a.py","line":1}', name: str = "read") -> Message:
    return Message("assistant", (ToolUse(f"c{number}", name, arguments),))


def result(number: int, text: str = "fine", *, is_error: bool = False) -> Message:
    return Message("tool", (ToolResult(f"c{number}", (Text(text),), is_error),))


def said(text: str) -> Message:
    return Message("user", (Text(text),))


def loop(*pairs: tuple[str, str, bool]) -> tuple[Message, ...]:
    turns: list[Message] = [said("fix it")]
    for number, (arguments, text, is_error) in enumerate(pairs):
        turns += [call(number, arguments), result(number, text, is_error=is_error)]
    return tuple(turns)


SAME = '{"path":"a.py","line":1}'


def test_the_same_call_three_times_is_a_circle() -> None:
    assert is_stalled(loop((SAME, "a", False), (SAME, "b", False), (SAME, "c", False)))
    assert not is_stalled(loop((SAME, "a", False), (SAME, "b", False)))


def test_the_order_of_arguments_and_spaces_make_no_difference() -> None:
    assert is_stalled(loop((SAME, "a", False), ('{"line": 1, "path": "a.py"}', "b", False), (SAME + " ", "c", False)))


def test_other_arguments_are_progress() -> None:
    assert not is_stalled(loop(*((f'{{"line":{n}}}', "ok", False) for n in range(5))))


def test_arguments_that_are_no_json_count_as_they_are() -> None:
    assert is_stalled(loop(*(("{broken", "x", False) for _ in range(3))))


@pytest.mark.parametrize(
    ("text", "is_error", "stalled"),
    [
        ("boom", True, True),
        ("", True, True),
        ("Error: no such file", False, True),
        ("Traceback (most recent call last)", False, True),
        ("no errors were found", False, False),
    ],
)
def test_the_same_error_again_and_again_is_a_circle(text: str, is_error: bool, stalled: bool) -> None:
    history = loop(*((f'{{"try":{n}}}', text, is_error) for n in range(3)))
    assert is_stalled(history) is stalled


def test_what_a_person_says_ends_a_circle() -> None:
    history = loop((SAME, "a", False), (SAME, "b", False), (SAME, "c", False))
    assert not is_stalled((*history, said("stop that")))
    assert not is_stalled((*history, said("try the other file"), call(9), result(9)))


def test_old_circles_are_forgotten() -> None:
    history = loop((SAME, "a", False), (SAME, "b", False), (SAME, "c", False))
    later = tuple(message for n in range(6) for message in (call(n, f'{{"n":{n}}}'), result(n)))
    assert not is_stalled((*history, *later))


def test_a_circle_needs_a_history_that_ends_with_a_result() -> None:
    assert not is_stalled(())
    assert not is_stalled((said("hello"),))
    assert not is_stalled((said("a"), call(1), call(2), call(3)))


def test_results_within_a_users_message_count_too() -> None:
    def asked(number: int) -> tuple[Message, ...]:
        part: Part = ToolResult(f"c{number}", (Text("boom"),), is_error=True)
        return call(number, f'{{"n":{number}}}'), Message("user", (part,))

    assert is_stalled((said("go"), *asked(1), *asked(2), *asked(3)))


def test_an_agent_offers_tools_and_has_answered_a_call() -> None:
    tools = (ToolSpec("read"),)
    history = loop((SAME, "a", False))
    assert is_agent(ChatRequest("m", history, tools))
    assert not is_agent(ChatRequest("m", history))
    assert not is_agent(ChatRequest("m", (said("hi"),), tools))
