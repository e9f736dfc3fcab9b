"""What a judge sees and says."""

from __future__ import annotations

import pytest

from afterbay.core.message import Image, Message, Text, ToolResult, ToolUse
from afterbay.policy.agreement import Said
from afterbay.policy.judging import ANSWER_CHARS, TASK_CHARS, question, verdict

TALK = (
    Message("system", (Text("Be brief."),)),
    Message("user", (Text("What is on this?"), Image(url="https://x/y.png"))),
    Message("assistant", (ToolUse("1", "look", '{"at": 1}'),)),
    Message("tool", (ToolResult("1", (Text("a cat"),)),)),
)


def told(first: Said, second: Said, talk: tuple[Message, ...] = TALK) -> str:
    asked = question(talk, first, second, "judge")
    assert asked.model == "judge"
    assert not asked.stream
    assert asked.sampling.max_output_tokens
    return asked.messages[-1].text()


def test_it_sees_the_conversation_and_both_answers_in_the_order_given() -> None:
    text = told(Said("a cat"), Said("", (("tell", '{"what": "dog"}'),)))
    parts = ["system: Be brief.", "What is on this?\n[image]", '[calls look with {"at": 1}]', "[result: a cat]"]
    assert all(part in text for part in parts)
    assert "<answer_a>\na cat\n</answer_a>" in text
    assert '<answer_b>\n[calls tell with {"what": "dog"}]\n</answer_b>' in text


def test_long_conversations_keep_their_end_and_long_answers_their_beginning() -> None:
    talk = (Message("user", (Text("x" * TASK_CHARS + "the end"),)),)
    text = told(Said("begin" + "y" * ANSWER_CHARS), Said("z"), talk)
    assert "the end\n</conversation>" in text
    assert "<answer_a>\nbegin" in text
    assert len(text) < TASK_CHARS + ANSWER_CHARS + 300


@pytest.mark.parametrize(
    ("said", "better"),
    [
        ('{"better": "A"}', "A"),
        ('Both are close.\n```json\n{"better" : "b"}\n```', "B"),
        ('{"better": "Tie"}', "tie"),
        ('First I thought {"better": "A"}, but {"better": "B"}', "B"),
        ("A", None),
        ('{"better": "both"}', None),
        ("", None),
    ],
)
def test_its_last_word_counts_and_anything_else_is_none(said: str, better: str | None) -> None:
    assert verdict(said) == better
