"""Calls on their way through the filter: what waits, what passes, in which order, and what is said about it."""

from __future__ import annotations

import json
import time
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from afterbay.core.event import (
    BlockBreak,
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
    fold,
)
from afterbay.core.message import Message, Text, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, ToolChoice, ToolSpec
from afterbay.core.usage import Usage
from afterbay.testing.grammar import event_violations
from afterbay.wire.toolcalls import filter as filtering
from afterbay.wire.toolcalls.filter import CallFilter, Rules, Verdict, notes
from afterbay.wire.toolcalls.names import renamed
from afterbay.wire.toolcalls.order import Named, waiting
from afterbay.wire.toolcalls.strict import fits_anthropic, fits_openai

ADD = b'{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}'
FREE = b'{"type":"object","properties":{}}'
TOOLS = {"add": ADD, "free": FREE, "search": FREE, "book": FREE}
GOOD = '{"n":1}'


def call(number: int, arguments: str, name: str = "add", *, choice: int = 0, pieces: int = 1) -> list[Event]:
    """One call, its arguments in so many pieces."""
    size = max(1, -(-len(arguments) // pieces))
    cut = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    started = ToolCallStarted(number, f"call_{number}", name, choice=choice)
    return [started, *(ToolCallDelta(number, piece, choice) for piece in cut)]


def through(events: list[Event], **rules: Any) -> tuple[list[Event], CallFilter]:
    """One event after the other, and the end."""
    flow = CallFilter(Rules(**({"tools": TOOLS} | rules)))
    out: list[Event] = []
    for event in events:
        out += flow.push([event])
    return out + flow.close(), flow


def whole(*calls: list[Event], reason: FinishReason = "tool_calls") -> list[Event]:
    return [Started("id", "m"), *(event for one in calls for event in one), Finished(reason)]


def made(events: list[Event]) -> list[tuple[str, str]]:
    """Name and arguments of every call of the first choice."""
    return [(part.name, part.arguments) for part in fold(events).choices[0].message.parts if isinstance(part, ToolUse)]


def outcomes(flow: CallFilter) -> list[str]:
    return [verdict.outcome for verdict in flow.verdicts]


def test_text_is_never_delayed_and_arguments_come_as_one_piece() -> None:
    flow = CallFilter(Rules(tools=TOOLS))
    text = [TextDelta("hi")]
    assert flow.push(list(text)) == text
    started, *deltas = call(0, GOOD, pieces=3)
    assert flow.push([started]) == [started]
    assert flow.push(list(deltas)) == []
    assert flow.push([TextDelta("!")]) == [ToolCallDelta(0, GOOD), TextDelta("!")]
    assert flow.push([Finished("tool_calls")]) == [Finished("tool_calls")]
    assert flow.verdicts == [Verdict("add", "call_0", "ok")]
    assert not flow.changed


@pytest.mark.parametrize(
    "signal", [ToolCallStarted(1, "b", "free"), BlockBreak(), ReasoningDelta("hm"), Finished("tool_calls")]
)
def test_whole_arguments_go_out_at_the_first_sign_of_their_end(signal: Event) -> None:
    flow = CallFilter(Rules(tools=TOOLS))
    flow.push(call(0, GOOD))
    assert flow.push([signal]) == [ToolCallDelta(0, GOOD), signal]


def test_what_carries_no_output_passes_while_arguments_wait() -> None:
    flow = CallFilter(Rules(tools=TOOLS))
    flow.push(call(0, '{"n":'))
    usage = UsageSeen(Usage(1, 0, 0, 1, 0))
    assert flow.push([usage, TextDelta("x")]) == [usage, TextDelta("x")]
    assert flow.push([ToolCallDelta(0, "1}"), Finished("tool_calls")]) == [
        ToolCallDelta(0, GOOD),
        Finished("tool_calls"),
    ]


def test_calls_that_interleave_get_their_own_pieces() -> None:
    events: list[Event] = [
        ToolCallStarted(0, "a", "add"),
        ToolCallDelta(0, '{"n"'),
        ToolCallStarted(1, "b", "add"),
        ToolCallDelta(1, '{"n":'),
        ToolCallDelta(0, ":1}"),
        ToolCallDelta(1, "2}"),
        Finished("tool_calls"),
    ]
    out, flow = through(events)
    assert made(out) == [("add", GOOD), ("add", '{"n":2}')]
    assert outcomes(flow) == ["ok", "ok"]
    assert [type(event) for event in out[:2]] == [ToolCallStarted, ToolCallDelta], "the first is whole before the next"


@pytest.mark.parametrize(
    ("arguments", "sent", "outcome"),
    [
        (GOOD, GOOD, "ok"),
        ("{'n': 1,}", '{"n":1}', "repaired"),
        ('{"n":"1"}', '{"n":1}', "coerced"),
        ("{n: '1'}", '{"n":1}', "coerced"),
        ('{"n":"one"}', '{"n":"one"}', "invalid"),
        ("{broken", "{broken", "invalid"),
        ("", "", "invalid"),
    ],
)
def test_a_call_goes_out_fitted_or_as_it_was(arguments: str, sent: str, outcome: str) -> None:
    out, flow = through(whole(call(0, arguments)))
    assert made(out) == [("add", sent)]
    assert outcomes(flow) == [outcome]
    assert flow.changed is (sent != arguments)
    assert bool(notes(flow.verdicts)) is (outcome != "ok")


@pytest.mark.parametrize("reason", ["length", "content_filter", "error"])
def test_what_the_answers_end_cut_off_is_not_repaired(reason: FinishReason) -> None:
    out, flow = through(whole(call(0, '{"n": [1, 2'), reason=reason))
    assert made(out) == [("add", '{"n": [1, 2')]
    assert outcomes(flow) == ["cut"]


def test_a_stream_without_an_end_gives_what_it_had() -> None:
    out, flow = through(call(0, "{'n': 1}")[:2])
    assert made(out) == [("add", "{'n': 1}")]
    assert outcomes(flow) == ["cut"]


def test_no_arguments_at_all_are_an_empty_object() -> None:
    out, flow = through(whole(call(0, "", "free")))
    assert made(out) == [("free", "")]
    assert outcomes(flow) == ["ok"]


def test_a_tool_that_was_not_declared_is_said_and_passed_on() -> None:
    out, flow = through(whole(call(0, GOOD, "other")))
    assert made(out) == [("other", GOOD)]
    assert outcomes(flow) == ["unknown"]


def test_a_schema_that_cannot_be_judged_is_the_providers_business() -> None:
    for schema in (b'{"type":"nonsense"}', b'{"$ref":"http://elsewhere/x"}', b"[]"):
        _, flow = through(whole(call(0, GOOD)), tools={"add": schema})
        assert outcomes(flow) == ["ok"]


def test_pieces_after_whole_arguments_pass_unless_blank() -> None:
    started, delta = call(0, GOOD)
    out, _ = through([started, delta, BlockBreak(), ToolCallDelta(0, " \n"), ToolCallDelta(0, "}"), Finished("stop")])
    assert made(out) == [("add", GOOD + "}")]


def test_each_choice_has_its_own_calls() -> None:
    events = [*call(0, GOOD), *call(0, "{'n': 2}", choice=1), Finished("stop", choice=1), Finished("stop")]
    out, flow = through(events)
    assert [c.message.parts[0].arguments for c in fold(out).choices if isinstance(c.message.parts[0], ToolUse)] == [
        GOOD,
        '{"n":2}',
    ]
    assert sorted(outcomes(flow)) == ["ok", "repaired"]


def test_too_many_bytes_pass_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filtering, "HELD_CHARS", 100)
    long = '{"n":"' + "x" * 200 + '"}'
    out, flow = through(whole(call(0, long, pieces=10), call(1, GOOD)))
    assert made(out) == [("add", long), ("add", GOOD)]
    assert outcomes(flow) == ["unseen", "ok"]


ARGUMENTS = st.sampled_from([GOOD, "{'n':1}", '{"n":"1"}', '{"n":"x"}', '{"n":', "", '{"n":1} {"n":1}'])


@st.composite
def answers(draw: st.DrawFn, arguments: st.SearchStrategy[str] = ARGUMENTS) -> list[Event]:
    """Calls one after the other or mixed, text in between."""
    calls = [
        call(n, draw(arguments), draw(st.sampled_from(["add", "free", "book"])), pieces=draw(st.integers(1, 4)))
        for n in range(draw(st.integers(0, 4)))
    ]
    events: list[Event] = []
    while any(calls):
        calls = [one for one in calls if one]
        mixes = draw(st.booleans())
        chosen = calls[draw(st.integers(0, len(calls) - 1))] if mixes else calls[0]
        events.append(chosen.pop(0))
        if draw(st.integers(0, 5)) == 0:
            events.append(draw(st.sampled_from([TextDelta("t"), BlockBreak(), ReasoningDelta("r")])))
    started = [one for one in events if isinstance(one, ToolCallStarted)]
    numbers = {one.call: place for place, one in enumerate(started)}
    events = [
        type(one)(**{f: getattr(one, f) for f in one.__struct_fields__} | {"call": numbers[one.call]})
        if isinstance(one, ToolCallStarted | ToolCallDelta)
        else one
        for one in events
    ]
    return [*events, Finished(draw(st.sampled_from(["tool_calls", "stop", "length"])))]


@given(answers(st.just(GOOD)))
@settings(max_examples=200)
def test_an_answer_whose_calls_are_fine_is_the_same_answer(events: list[Event]) -> None:
    tools = dict.fromkeys(TOOLS, FREE)
    out, flow = through(events, tools=tools)
    assert made(out) == made(events)
    assert fold(out).choices[0].message.text() == fold(events).choices[0].message.text()
    assert not flow.changed
    assert set(outcomes(flow)) <= {"ok"}


@given(answers(), st.data())
@settings(max_examples=300)
def test_batches_and_pieces_make_no_difference(events: list[Event], data: st.DataObject) -> None:
    rules = {
        "serial": data.draw(st.booleans()),
        "order": data.draw(st.sampled_from([{}, {"book": frozenset({"add"})}])),
    }
    one_by_one, flow = through(events, **rules)
    batches, rest = [], events
    while rest:
        size = data.draw(st.integers(1, 5))
        batches.append(rest[:size])
        rest = rest[size:]
    other = CallFilter(Rules(tools=TOOLS, **rules))
    out = [event for batch in batches for event in other.push(batch)] + other.close()
    assert out == one_by_one
    assert other.verdicts == flow.verdicts
    finer = [
        piece
        for event in events
        for piece in (
            [ToolCallDelta(event.call, char) for char in event.arguments] if type(event) is ToolCallDelta else [event]
        )
    ]
    letters, last = through(finer, **rules)
    assert made(letters) == made(one_by_one)
    assert last.verdicts == flow.verdicts


@given(answers())
@settings(max_examples=200)
def test_a_call_is_never_lost_or_renumbered_where_no_order_is_asked(events: list[Event]) -> None:
    out, flow = through(events)
    before = [event for event in events if isinstance(event, ToolCallStarted)]
    assert [event for event in out if isinstance(event, ToolCallStarted)] == before
    assert len(flow.verdicts) == len(before)


def test_one_call_at_a_time() -> None:
    out, flow = through(whole(call(0, GOOD), call(1, '{"n":2}'), call(2, GOOD)), serial=True)
    assert made(out) == [("add", GOOD)]
    assert outcomes(flow) == ["ok", "dropped", "dropped"]
    assert fold(out).choices[0].finish == "tool_calls"
    assert flow.changed


def test_one_call_at_a_time_without_checks_passes_its_pieces() -> None:
    flow = CallFilter(Rules(checks=False, serial=True))
    first, second = call(0, '{"n":', pieces=2), call(1, GOOD)
    assert flow.push(first) == first
    assert flow.push(second) == []
    assert flow.push([ToolCallDelta(0, "1}")]) == [ToolCallDelta(0, "1}")]


@pytest.mark.parametrize("first", [True, False])
def test_a_tool_that_needs_anothers_result_is_not_called_beside_it(first: bool) -> None:
    search, book = call(0, "{}", "search"), call(1, '{"at":9}', "book")
    out, flow = through(whole(*((search, book) if first else (book, search))), order={"book": frozenset({"search"})})
    assert made(out) == [("search", "{}")]
    assert "dropped" in outcomes(flow)
    assert "book: needs the result of search" in " ".join(notes(flow.verdicts))


def test_a_tool_alone_is_called_though_it_may_need_another() -> None:
    out, _ = through(whole(call(0, "{}", "book")), order={"book": frozenset({"search"})})
    assert made(out) == [("book", "{}")]


def test_arguments_that_name_another_calls_id_wait_for_its_result() -> None:
    events = whole(call(0, "{}", "search"), call(1, '{"of":"call_0"}', "free"))
    out, _ = through(events, order={"x": frozenset({"y"})})
    assert made(out) == [("search", "{}")]
    unordered, _ = through(events)
    assert len(made(unordered)) == 2


def test_who_waits() -> None:
    calls = [Named("aaaaaa", "a", ""), Named("bbbbbb", "b", ""), Named("cccccc", "c", "aaaaaa")]
    circle = {"a": frozenset({"b"}), "b": frozenset({"a"})}
    assert waiting(calls[:2], circle) == {1: "needs the result of a"}
    assert waiting(calls, {"a": frozenset({"b"}), "b": frozenset({"c"})}).keys() == {1, 2}
    assert waiting([calls[0], calls[0]], {"a": frozenset({"a"})}) == {}
    assert waiting([], circle) == {}


def test_a_wrong_call_is_waited_for_where_the_model_can_be_asked() -> None:
    flow = CallFilter(Rules(tools=TOOLS, asks=True))
    out = flow.push([TextDelta("t"), *call(0, '{"n":"x"}'), *call(1, GOOD), Finished("tool_calls"), BlockBreak()])
    assert [type(event) for event in out] == [TextDelta, ToolCallStarted]
    assert [bad.problem for bad in flow.wants] == ['n: "x" is not of type "integer"']
    assert flow.push([UsageSeen(Usage(1, 0, 0, 1, 0))]) == []
    assert flow.judge("add", '{"n":"2"}') == '{"n":2}'
    assert flow.judge("add", '{"n":"y"}') is None
    out += flow.settle({0: '{"n":2}'}) + flow.close()
    assert made(out) == [("add", '{"n":2}'), ("add", GOOD)]
    assert outcomes(flow) == ["asked", "ok"]
    assert [type(event) for event in out[-3:]] == [Finished, BlockBreak, UsageSeen]


@pytest.mark.parametrize("closed", [True, False])
def test_a_wrong_call_goes_out_as_it_was_when_no_better_one_came(closed: bool) -> None:
    flow = CallFilter(Rules(tools=TOOLS, asks=True))
    out = flow.push(whole(call(0, '{"n":"x"}')))
    out += flow.close() if closed else flow.settle({}, "no time")
    assert made(out) == [("add", '{"n":"x"}')]
    assert outcomes(flow) == ["invalid"]
    assert closed or "(no time)" in notes(flow.verdicts)[0]


def test_a_thousand_broken_calls_take_no_square_of_time() -> None:
    events = whole(*(call(n, '{"n":' + "[" * 200) for n in range(3000)))
    began = time.process_time()
    _, flow = through(events)
    assert time.process_time() - began < 10
    assert len(flow.verdicts) == 3000


def request(name: str) -> ChatRequest:
    use, result = ToolUse("1", name, "{}"), ToolResult("1", (Text("r"),), name=name)
    messages = (Message("user", (Text("q"),)), Message("assistant", (use,)), Message("tool", (result,)))
    return ChatRequest("m", messages, (ToolSpec(name), ToolSpec("plain")), ToolChoice("tool", name))


@given(st.text(min_size=1, max_size=80))
def test_a_name_that_does_not_fit_is_changed_everywhere_and_restored(name: str) -> None:
    pattern = r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}"
    changed, back = renamed(request(name), pattern)
    import re

    names = {changed.tools[0].name, changed.tool_choice.name if changed.tool_choice else None}
    parts = [part for message in changed.messages for part in message.parts]
    names |= {part.name for part in parts if isinstance(part, ToolUse | ToolResult)}
    (sent,) = names
    assert sent is not None
    assert re.fullmatch(pattern, sent)
    assert back.get(sent, sent) == name
    assert changed.tools[1].name == "plain"
    assert (changed, back) == renamed(request(name), pattern)


def test_names_that_fit_leave_the_request_itself() -> None:
    asked = request("fine")
    same, back = renamed(asked, "[a-z]+")
    assert same is asked
    assert back == {}


def test_two_long_names_stay_two() -> None:
    one, two = (renamed(request("x" * 70 + end), "[a-z]{1,64}")[0].tools[0].name for end in "ab")
    assert one != two


def test_names_are_restored_in_the_answer() -> None:
    out, flow = through(whole(call(0, GOOD, "a_b_1")), tools={"a.b": ADD}, names={"a_b_1": "a.b"})
    assert made(out) == [("a.b", GOOD)]
    assert flow.changed
    assert outcomes(flow) == ["ok"]


OPEN_: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CLOSED = OPEN_ | {"additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "openai", "anthropic"),
    [
        (CLOSED, True, True),
        (OPEN_, False, False),
        (CLOSED | {"required": []}, False, True),
        (CLOSED | {"properties": {"a": OPEN_}}, False, False),
        (CLOSED | {"properties": {"a": {"type": "array", "items": CLOSED}}}, True, True),
        (CLOSED | {"properties": {"a": {"type": "integer", "minimum": 1}}}, True, False),
        (CLOSED | {"properties": {"a": {"allOf": [CLOSED]}}}, False, True),
        (CLOSED | {"properties": {"a": {"anyOf": [CLOSED, {"type": "null"}]}}}, True, True),
        (CLOSED | {"properties": {"a": {"$ref": "#"}}}, True, False),
        (CLOSED | {"properties": {"a": {"type": "array", "minItems": 2}}}, True, False),
        (CLOSED | {"$defs": {"d": OPEN_}}, False, False),
        (CLOSED | {"anyOf": [CLOSED]}, False, True),
        (CLOSED | {"properties": [], "required": []}, False, True),
        ([1], False, False),
    ],
)
def test_what_strict_modes_take(schema: Any, openai: bool, anthropic: bool) -> None:
    raw = json.dumps(schema).encode()
    assert (fits_openai(raw), fits_anthropic(raw)) == (openai, anthropic)


def test_a_schema_nested_too_deeply_is_not_strict_for_openai() -> None:
    deep: Any = {"type": "string"}
    for _ in range(12):
        deep = {"type": "object", "properties": {"a": deep}, "required": ["a"], "additionalProperties": False}
    assert not fits_openai(json.dumps(deep).encode())
    assert fits_anthropic(json.dumps(deep).encode())


def test_calls_behind_one_that_was_taken_out_leave_no_gap_in_the_numbers() -> None:
    rest = [call(0, '{"n":1}', "book"), call(1, "{}", "search"), call(2, "{}", "search")]
    out, _ = through(whole(*rest), order={"book": frozenset({"search"})})
    assert event_violations(out) == []
    assert [(event.call, event.name) for event in out if isinstance(event, ToolCallStarted)] == [
        (0, "search"),
        (1, "search"),
    ]


def _seconds_of(events: list[list[Event]], rules: Rules) -> float:
    flow, began_s = CallFilter(rules), time.process_time()
    for batch in events:
        flow.push(batch)
    flow.close()
    return time.process_time() - began_s


def test_a_call_that_never_ends_between_words_is_not_read_again_for_every_word() -> None:
    pieces: list[list[Event]] = [[ToolCallStarted(0, "c", "add"), ToolCallDelta(0, '{"n":"')]]
    pieces += [[ToolCallDelta(0, "y" * 10), TextDelta("t")] for _ in range(60_000)]
    assert _seconds_of(pieces, Rules(TOOLS)) < 3, "read from the beginning each time it takes a minute"


def test_many_calls_taken_out_do_not_slow_the_pieces_of_the_one_that_stays() -> None:
    pieces: list[list[Event]] = [[ToolCallStarted(number, f"c{number}", "add")] for number in range(20_000)]
    pieces += [[ToolCallDelta(0, "x")] for _ in range(20_000)]
    assert _seconds_of(pieces, Rules(TOOLS, checks=False, serial=True)) < 3


def test_many_choices_with_a_call_each_take_linear_time() -> None:
    pieces: list[list[Event]] = [[ToolCallStarted(0, f"c{number}", "add", choice=number)] for number in range(30_000)]
    assert _seconds_of(pieces, Rules(TOOLS)) < 3


def test_many_calls_in_order_take_linear_time() -> None:
    pieces: list[list[Event]] = []
    for number in range(30_000):
        pieces.append([ToolCallStarted(number, f"call_{number:06}", "book"), ToolCallDelta(number, "{}")])
    pieces.append([Finished("tool_calls")])
    assert _seconds_of(pieces, Rules(TOOLS, order={"book": frozenset({"search"})})) < 4, (
        "looked for in all calls before, it takes twenty"
    )
