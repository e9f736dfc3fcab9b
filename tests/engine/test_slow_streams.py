"""Streams that trickle: broken off and gone on with, where a floor or the target's own habit says so."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, GEMINI, LIMITS, OPENAI, check, error, is_clean, text
from tests.engine.test_resume import frames, gateway, goes_on, kind

from afterbay.core.event import TextDelta
from afterbay.policy.outlier import LEARNED_AFTER
from afterbay.policy.plan import Limits
from afterbay.testing.answers import ask
from afterbay.testing.fakes import MemoryReply, Script, Step, Wait
from afterbay.testing.memory_gateway import MemoryGateway
from afterbay.testing.virtual_loop import run

LONG = msgspec.structs.replace(LIMITS, total_s=600.0, between_tokens_s=60.0)
FLOOR = msgspec.structs.replace(LONG, min_tokens_per_s=5.0)
REST = " and so it ends."


def trickling(spoken: str, gap_s: float, count: int, word: str = " word", before: int = 0) -> Script:
    """`before` words at once, then one each `gap_s`, `count` of them, and a proper end."""
    whole = frames(spoken, [TextDelta("Some"), *(TextDelta(word) for _ in range(before + count))])
    end = b"\r\n\r\n" if b"\r\n\r\n" in whole else b"\n\n"
    events = whole.split(end)[:-1]
    at = [place for place, event in enumerate(events) if word.encode() in event]
    steps: list[Step] = []
    for place, event in enumerate(events):
        if place in at[before : before + count]:
            steps.append(Wait(gap_s))
        steps.append(event + end)
    return Script(steps=tuple(steps), headers=kind(spoken))


def served(one: MemoryGateway, client: str = OPENAI, reply: MemoryReply | None = None) -> MemoryReply:
    got = run(one.chat(ask("m", stream=True), client, reply=reply))
    check(one)
    return got


@pytest.mark.parametrize("spoken", [OPENAI, ANTHROPIC, GEMINI])
def test_a_stream_under_the_floor_is_gone_on_with_by_another_target(spoken: str) -> None:
    one = gateway([trickling(spoken, 2.0, 100)], [goes_on(spoken, REST)], spoken=spoken, limits=FLOOR, prefill=True)
    reply = served(one)
    said = text(reply.body, OPENAI)
    assert is_clean(reply.body, OPENAI)
    assert said.startswith("Some word word")
    assert said.endswith(REST)
    first, second = one.record.attempts
    assert (first.outcome, second.why, second.outcome) == ("timeout", "resume", "ok")
    assert first.error is not None
    assert "tokens/s over 10 s, the floor is 5 (timeouts.min_tokens_per_s)" in first.error
    assert first.ended_s is not None
    assert 10 <= first.ended_s <= 16
    assert one.upstreams["a"].sent[0].closed_at_s == pytest.approx(first.ended_s)


def test_a_word_each_fifty_seconds_does_not_pass_for_a_stream() -> None:
    one = gateway([trickling(OPENAI, 50.0, 10)], [goes_on(OPENAI, REST)], limits=FLOOR, prefill=True)
    served(one)
    assert one.record.attempts[0].ended_s == pytest.approx(100.0)


def test_where_nobody_goes_on_the_client_is_told() -> None:
    one = gateway([trickling(OPENAI, 2.0, 100)], mode="off", limits=FLOOR)
    reply = served(one)
    assert error(reply.body)["code"] == "timeout_min_tokens_per_s"
    assert "lower timeouts.min_tokens_per_s" in error(reply.body)["message"]
    assert one.record.outcome == "timeout_min_tokens_per_s"


def test_a_stream_that_is_quick_or_thinks_in_silence_or_is_at_its_end_is_left_alone() -> None:
    quick = trickling(OPENAI, 0.05, 600)
    pause = Script(steps=(*quick.steps[:300], Wait(50.0), *quick.steps[300:]), headers=quick.headers)
    held = trickling(OPENAI, 0.05, 40)
    at_end = Script(steps=(*held.steps[:-3], Wait(30.0), *held.steps[-3:]), headers=held.headers)
    for script in (quick, pause, at_end):
        one = gateway([script], [goes_on(OPENAI, REST)], limits=FLOOR, prefill=True)
        assert is_clean(served(one).body, OPENAI)
        assert [attempt.outcome for attempt in one.record.attempts] == ["ok"]


def test_a_client_that_reads_slowly_does_not_make_the_target_slow() -> None:
    one = gateway([trickling(OPENAI, 0.05, 60)], [goes_on(OPENAI, REST)], limits=FLOOR, prefill=True)
    reply = served(one, reply=MemoryReply(write_s=1.0))
    assert is_clean(reply.body, OPENAI)
    assert [attempt.outcome for attempt in one.record.attempts] == ["ok"]


def habitual(limits: Limits, slow: Script, others: int = 1, mode: Any = "safe") -> MemoryGateway:
    """A gateway whose first target is known to give twenty words a second, and now gives `slow`."""
    usual = [trickling(OPENAI, 0.05, 50)] * (LEARNED_AFTER + 1)
    one = gateway([*usual, slow], *[[goes_on(OPENAI, REST)]] * others, mode=mode, limits=limits, prefill=True)

    async def all_of_them() -> None:
        for _ in range(LEARNED_AFTER):
            await one.chat(ask("m", stream=True))
        await asyncio.sleep(100.0)
        await one.chat(ask("m", stream=True))
        await one.chat(ask("m", stream=True))

    run(all_of_them())
    assert one.context.open_streams == 0
    return one


def test_without_a_floor_a_targets_own_habit_is_one() -> None:
    one = habitual(LONG, trickling(OPENAI, 2.0, 100))
    record = one.records[-1]
    assert [(attempt.why, attempt.outcome) for attempt in record.attempts] == [("primary", "timeout"), ("resume", "ok")]
    assert record.attempts[0].error is not None
    assert "over 20 s" in record.attempts[0].error
    assert "learned from its streams" in record.attempts[0].error
    assert all(len(record.attempts) == 1 for record in one.records[:-1])


def test_a_habit_breaks_nothing_off_for_an_error() -> None:
    for others, mode in ((0, "safe"), (1, "off")):
        one = habitual(LONG, trickling(OPENAI, 2.0, 40), others, mode)
        record = one.records[-1]
        assert [attempt.outcome for attempt in record.attempts] == ["ok"]
        assert [warning for warning in record.warnings if warning.startswith("a/up was slow: ")]


def test_a_stream_a_little_slower_than_its_habit_is_a_stream() -> None:
    one = habitual(LONG, trickling(OPENAI, 0.15, 300))
    assert [attempt.outcome for attempt in one.records[-1].attempts] == ["ok"]
    assert one.records[-1].warnings == []


def test_zero_switches_habit_off() -> None:
    one = habitual(msgspec.structs.replace(LONG, min_tokens_per_s=0.0), trickling(OPENAI, 2.0, 40))
    assert [attempt.outcome for attempt in one.records[-1].attempts] == ["ok"]
