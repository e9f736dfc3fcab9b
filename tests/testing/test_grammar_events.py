"""The grammar of canonical events."""

from __future__ import annotations

from typing import Any

import pytest

from afterbay.core.errors import ProviderError
from afterbay.core.event import (
    BlockBreak,
    Event,
    Extra,
    Failed,
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
from afterbay.testing.grammar import EventGrammar, event_violations
from testing.grammar_support import rules

ERROR = Failed(ProviderError("server", "broken"))
CALL = [ToolCallStarted(0, "a", "f"), ToolCallDelta(0, "{}")]
STOP = Finished("stop")
GOOD: dict[str, list[Event]] = {
    "nothing": [],
    "everything": [
        Started("1", "m"),
        UsageSeen(Usage(1)),
        ReasoningDelta("hm"),
        ReasoningSignature("s"),
        BlockBreak(),
        TextDelta("a"),
        RefusalDelta("no"),
        *CALL,
        ToolCallStarted(1, "b", "f"),
        ToolCallDelta(0, " "),
        ToolCallStarted(0, "c", "f", choice=1),
        STOP,
        TextDelta("x", choice=1),
        Finished("length", choice=1),
        UsageSeen(Usage(1, 2, 3, 4, 5)),
        Extra("logprobs"),
    ],
    "a failure at once": [ERROR],
    "a failure later": [Started(), TextDelta("a"), ERROR],
    "an empty answer": [Started(), STOP],
}
BAD: dict[str, list[list[Event]]] = {
    "started": [[Started(), Started(), STOP], [TextDelta("a"), Started(), STOP]],
    "text": [
        [TextDelta(""), STOP],
        [ReasoningDelta(""), STOP],
        [RefusalDelta(""), STOP],
        [*CALL, ToolCallDelta(0, ""), STOP],
    ],
    "choice": [[TextDelta("a", choice=-1), Finished("stop", choice=-1)]],
    "call-number": [[ToolCallStarted(1, "a", "f"), STOP], [*CALL, ToolCallStarted(0, "b", "f"), STOP]],
    "call-id": [
        [ToolCallStarted(0, "", "f"), STOP],
        [ToolCallStarted(0, "a", ""), STOP],
        [*CALL, ToolCallStarted(1, "a", "f"), STOP],
        [*CALL, ToolCallStarted(0, "a", "f", choice=1), STOP, Finished("stop", choice=1)],
    ],
    "call-started": [
        [ToolCallDelta(0, "{}"), STOP],
        [*CALL, ToolCallDelta(1, "{}"), STOP],
        [*CALL, ToolCallDelta(-1, "{}"), STOP],
    ],
    "signature": [[ReasoningSignature(""), STOP]],
    "finished-once": [[STOP, STOP]],
    "after-finished": [[TextDelta("a"), STOP, TextDelta("b")], [STOP, *CALL]],
    "usage": [[UsageSeen(Usage(-1))], [UsageSeen(Usage(10**12))]],
    "failed": [[ERROR, ERROR], [ERROR, STOP], [ERROR, UsageSeen(Usage(1))]],
    "finish": [[TextDelta("a")], [TextDelta("a"), TextDelta("b", choice=1), STOP]],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_stream_passes(name: str) -> None:
    assert event_violations(GOOD[name]) == []


@pytest.mark.parametrize(("rule", "events"), [(rule, one) for rule, each in BAD.items() for one in each])
def test_a_stream_that_breaks_one_rule_is_told_so(rule: str, events: list[Any]) -> None:
    assert rules(event_violations(events)) == {rule}


def test_every_rule_has_a_stream_that_breaks_it() -> None:
    assert BAD.keys() == EventGrammar.RULES.keys()


def test_a_later_finish_is_an_accent() -> None:
    events = [TextDelta("a"), STOP, *CALL, Finished("tool_calls")]
    assert rules(event_violations(events)) == {"after-finished", "finished-once"}
    assert event_violations(events, "late call") == []
