"""Whatever a parser may tell, in whatever order and pieces: every renderer makes a good stream of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.core.errors import Capacity
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
from afterbay.testing.grammar import GRAMMARS, event_violations, grammar_of, violations
from afterbay.wire.dialect import Dialect, Head
from afterbay.wire.gemini import ARRAY_DIALECT
from afterbay.wire.registry import DIALECTS
from afterbay.wire.sse import Splitter
from wire.drawn import pieces

ARRAY = "gemini, as a JSON array"
SPOKEN = {name: DIALECTS[name] for name in GRAMMARS if name in DIALECTS} | {ARRAY: ARRAY_DIALECT}
CLIENTS = list(SPOKEN)
WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=9)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
ARGUMENTS = st.dictionaries(WORDS, VALUES, max_size=3).map(lambda value: msgspec.json.encode(value).decode())
COUNTS = st.integers(0, 10**6)
FINISHES = ["stop", "stop_sequence", "length", "tool_calls", "content_filter", "pause", "error"]
SIGNATURES = st.sampled_from(["aGk=", "no base64"])


def choice_of(draw: st.DrawFn, choice: int) -> list[Event]:
    """One alternative: calls whose pieces come between each other's, and text, reasoning and refusal between them."""
    arguments = draw(st.lists(st.just("") | ARGUMENTS, max_size=3))
    plain: list[Event] = []
    for kind in draw(st.lists(st.sampled_from(["text", "reasoning", "refusal", "sign", "seal", "break"]), max_size=6)):
        match kind:
            case "text":
                plain.append(TextDelta(draw(WORDS), choice))
            case "reasoning":
                plain.append(ReasoningDelta(draw(WORDS), choice))
            case "refusal":
                plain.append(RefusalDelta(draw(WORDS), choice))
            case "break":
                plain.append(BlockBreak(choice))
            case _:
                plain.append(ReasoningSignature(draw(SIGNATURES), kind == "seal", choice))
    tracks: list[list[Event]] = [plain]
    for call, text in enumerate(arguments):
        tracks.append([ToolCallDelta(call, piece, choice) for piece in pieces(draw, text)])
    events, begun = list[Event](), 0
    while any(tracks[: begun + 1]) or begun < len(arguments):
        at = draw(st.sampled_from([n for n, track in enumerate(tracks[: begun + 1]) if track] + [-1]))
        if at >= 0:
            events.append(tracks[at].pop(0))
        elif begun < len(arguments):
            signature = draw(st.none() | SIGNATURES)
            events.append(ToolCallStarted(begun, f"c{choice}_{begun}", draw(WORDS), signature, choice))
            begun += 1
    reasons = FINISHES if arguments else [reason for reason in FINISHES if reason != "tool_calls"]
    reason: Any = draw(st.sampled_from(reasons))
    return [*events, Finished(reason, draw(WORDS) if reason == "stop_sequence" else None, choice)]


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """An answer of up to three alternatives, told at the same time."""
    tracks = [choice_of(draw, choice) for choice in range(draw(st.sampled_from([1, 1, 1, 2, 3])))]
    counts = sorted(draw(st.lists(COUNTS, min_size=1, max_size=2)))
    tracks.append([UsageSeen(Usage(7, draw(COUNTS), draw(COUNTS), count, count)) for count in counts])
    tracks.append([Extra("logprobs")])
    events: list[Event] = [Started(draw(st.sampled_from(["", "msg_1", "x"])), "m")] if draw(st.booleans()) else []
    while any(tracks):
        events.append(draw(st.sampled_from([track for track in tracks if track])).pop(0))
    return events


def read(spoken: Dialect, raw: bytes) -> list[Event]:
    """What our own parser makes of a stream; it must be a complete one."""
    if raw.startswith(b"["):
        return spoken.parse_answer(raw, "seed")
    parser, splitter, out = spoken.stream_parser("seed"), Splitter(), list[Event]()
    for name, data in splitter.feed(raw)[1] + splitter.rest()[1]:
        parser.push(name, data, out)
    assert parser.is_complete
    return out


def batches(events: list[Event], cuts: list[int]) -> list[list[Event]]:
    places = [0, *sorted(cut % (len(events) + 1) for cut in cuts), len(events)]
    return [events[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize("client", CLIENTS)
@settings(max_examples=150, deadline=None)
@given(events=answers(), cuts=st.lists(st.integers(0, 99), max_size=4), include_usage=st.booleans())
def test_any_answer_is_a_good_stream(client: str, events: list[Event], cuts: list[int], include_usage: bool) -> None:
    assert event_violations(events) == []
    spoken = SPOKEN[client]
    renderer = spoken.renderer(Head("s", "m", 5, include_usage, 7))
    raw = renderer.ping()
    for batch in batches(events, cuts):
        raw += renderer.render(batch) + renderer.ping()
    raw += renderer.finish({"cost_usd": 0.5})
    assert violations(spoken.name, raw) == []
    assert event_violations(read(spoken, raw.strip())) == []


@pytest.mark.parametrize("client", CLIENTS)
@settings(max_examples=100, deadline=None)
@given(events=answers(), at=st.integers(0, 99))
def test_a_failure_at_any_place_is_a_legal_end_and_silence_is_none(client: str, events: list[Event], at: int) -> None:
    spoken = SPOKEN[client]
    renderer = spoken.renderer(Head("s", "m", 5, True, 7))
    raw = renderer.render([event for event in events[: at % (len(events) + 1)] if not isinstance(event, Finished)])
    grammar = grammar_of(spoken.name)
    grammar.feed(raw)
    assert grammar.violations == []
    assert grammar.end() != []
    assert violations(spoken.name, raw + renderer.fail(Capacity("full"))) == []


@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_without_anything_in_it_is_a_good_stream(client: str) -> None:
    spoken = SPOKEN[client]
    for events in ([], [Started("a", "m")], [Finished("stop")]):
        renderer = spoken.renderer(Head("s", "m", 5, True, 7))
        accents = ("no usage",) if "no usage" in grammar_of(spoken.name).ACCENTS else ()
        assert violations(spoken.name, renderer.render(events) + renderer.finish(), *accents) == []


def test_chat_says_braces_for_a_call_without_arguments_unless_it_was_cut_off() -> None:
    def arguments(*events: Event) -> str:
        renderer = DIALECTS["openai.chat"].renderer(Head("s", "m"))
        raw = renderer.render(events) + renderer.finish()
        chunks = [msgspec.json.decode(data) for _, data in Splitter().feed(raw)[1] if data != b"[DONE]"]
        calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
        return "".join(call["function"]["arguments"] for call in calls)

    start = ToolCallStarted(0, "a", "f")
    assert arguments(start, Finished("tool_calls")) == "{}"
    assert arguments(start, ToolCallDelta(0, "{}"), Finished("tool_calls")) == "{}"
    assert arguments(start, Finished("length")) == ""


def test_chat_opens_lower_choices_first_and_ends_all_that_it_opened() -> None:
    renderer = DIALECTS["openai.chat"].renderer(Head("s", "m"))
    raw = renderer.render([TextDelta("b", choice=2), Finished("stop", choice=2)]) + renderer.finish()
    assert violations("openai.chat", raw) == []
    hostile = DIALECTS["openai.chat"].renderer(Head("s", "m")).render([TextDelta("b", choice=10**9)])
    assert len(hostile) < 30_000


def test_chat_reads_a_repeated_finish_once_and_no_call_in_an_empty_one() -> None:
    parser, out = DIALECTS["openai.chat"].stream_parser("seed"), list[Event]()
    empty = '"delta":{"content":"a","function_call":{"name":"","arguments":""}}'
    for finish in ("null", '"stop"', '"stop"'):
        parser.push(None, f'{{"id":"x","choices":[{{"index":0,{empty},"finish_reason":{finish}}}]}}'.encode(), out)
    assert [event for event in out if not isinstance(event, TextDelta | Started)] == [Finished("stop")]
