"""Tool calls out of text: what counts as one, and that the cut of the text never matters."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.local.toolcalls import CallOpened, CallPiece, Forced, Loose, Plain, TextPiece, read_call

KNOWN = ("get_weather", "get_time")
PARIS = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
ROME = '{"name": "get_time", "arguments": {"city": "Rom}e\\""}}'


def run(parser: Plain | Forced | Loose, pieces: list[str]) -> tuple[str, list[tuple[str, str, str]]]:
    """(text, [(id, name, arguments)]) of an answer that came in these pieces."""
    text, calls = "", list[list[str]]()
    for piece in itertools.chain(*(parser.feed(part) for part in pieces), parser.close()):
        match piece:
            case TextPiece(more):
                text += more
            case CallOpened(index, id, name):
                assert index == len(calls)
                calls.append([id, name, ""])
            case CallPiece(index, more):
                assert index == len(calls) - 1
                calls[index][2] += more
    return text, [(call[0], call[1], call[2]) for call in calls]


def ids() -> object:
    counter = itertools.count()
    return lambda: f"call_{next(counter)}"


def loose(text: str, most: int = 16) -> tuple[str, list[tuple[str, str]]]:
    said, calls = run(Loose(KNOWN, ids(), most), [text])
    return said, [(name, arguments) for _, name, arguments in calls]


PARIS_CALL = ("get_weather", '{"city":"Paris"}')
ROME_CALL = ("get_time", '{"city":"Rom}e\\""}')


@pytest.mark.parametrize(
    "text",
    [
        PARIS,
        f"\n  {PARIS}\n",
        f"<tool_call>\n{PARIS}\n</tool_call>",
        f"<tool_call>{PARIS}",
        f"```json\n{PARIS}\n```",
        f"```\n{PARIS}\n```",
        f"```xml\n<tools>\n{PARIS}\n</tools>\n```",
        f"[{PARIS}]",
        '{"arguments": {"city": "Paris"}, "name": "get_weather"}',
        '{"name": "get_weather", "parameters": {"city": "Paris"}}',
        '{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}',
        '{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}',
        f'{PARIS}\n{{"temp_c": 17}}',
    ],
)
def test_a_call_is_found_in_every_form_that_models_write(text: str) -> None:
    assert loose(text) == ("", [PARIS_CALL])


@pytest.mark.parametrize("between", ["\n", ", ", "</tool_call>\n<tool_call>", "\n```\n```json\n"])
def test_several_calls_come_out_in_order(between: str) -> None:
    assert loose(f"{PARIS}{between}{ROME}") == ("", [PARIS_CALL, ROME_CALL])


def test_a_list_of_calls_is_several_calls() -> None:
    assert loose(f"[{PARIS}, {ROME}]") == ("", [PARIS_CALL, ROME_CALL])


def test_text_before_a_marked_call_stays_text() -> None:
    assert loose(f"Let me look.\n<tool_call>\n{PARIS}\n</tool_call>") == ("Let me look.\n", [PARIS_CALL])


def test_no_more_calls_than_wanted_are_taken() -> None:
    assert loose(f"{PARIS}\n{ROME}", most=1) == ("", [PARIS_CALL])


@pytest.mark.parametrize(
    "text",
    [
        "The weather is fine.",
        '{"city": "Paris"}',
        "```python\nprint({})\n```",
        '```json\n{"a": 1}\n```',
        "[1, 2, 3]",
        '{"name": "rm_rf", "arguments": {}}',
        '{"name": "get_weather", "arguments": {"city": "Par',
        '{"name": "get_weather", "arguments": [1]}',
        '{"name": ["get_weather"], "arguments": {}}',
        "<tool_call>",
        "<tool_call>nothing</tool_call>",
        "a < b and <tool_cal",
        "",
        "   ",
        "`",
        "{",
    ],
)
def test_what_is_no_call_of_a_known_tool_stays_text_to_the_letter(text: str) -> None:
    assert loose(text) == (text, [])


def test_text_is_held_back_only_while_it_can_be_a_call() -> None:
    parser = Loose(KNOWN, ids())
    assert parser.feed('{"na') == []
    assert parser.feed('me": "get_') == []
    assert parser.feed("pizza") == [TextPiece("{"), TextPiece('"name": "get_pizza')]
    assert parser.feed(" and more <") == [TextPiece(" and more ")]
    assert parser.feed("b") == [TextPiece("<b")]


def test_an_object_whose_first_key_no_call_has_is_not_held_back() -> None:
    parser = Loose(KNOWN, ids())
    assert parser.feed('{"city') == [TextPiece("{"), TextPiece('"city')]


def test_a_call_cut_off_by_the_token_limit_is_text() -> None:
    text = PARIS[:-3]
    assert loose(text) == (text, [])


@given(
    st.lists(
        st.sampled_from(
            [
                "Hello ",
                "<tool_call>",
                "</tool_call>",
                "```json\n",
                "```",
                "[",
                "]",
                ",",
                "{",
                "}",
                " ",
                "\n",
                PARIS,
                ROME,
                '{"name": "get_',
                '"name"',
                '{"a": 1}',
                "<tool",
                "weather",
                '"',
                "\\",
                "text",
            ]
        ),
        max_size=8,
    ),
    st.data(),
)
def test_the_cut_of_the_text_never_changes_the_outcome(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]
    whole = run(Loose(KNOWN, ids()), [text])
    assert run(Loose(KNOWN, ids()), pieces) == whole
    assert run(Loose(KNOWN, ids()), list(text)) == whole
    if not whole[1]:
        assert whole[0] == text


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=6), st.dictionaries(st.text(max_size=5), _JSON)), max_size=3),
    st.lists(st.integers(0, 400), max_size=12),
)
def test_forced_calls_come_out_as_written_however_they_are_cut(
    calls: list[tuple[str, dict[str, object]]], places: list[int]
) -> None:
    written = [json.dumps(arguments, separators=(",", ":")) for _, arguments in calls]
    text = "\n".join(
        f'{{"name":{json.dumps(name)},"arguments":{form}}}' for (name, _), form in zip(calls, written, strict=True)
    )
    cuts = sorted(min(place, len(text)) for place in places)
    pieces = [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]
    _, found = run(Forced(ids()), pieces)
    assert [(name, form) for _, name, form in found] == [
        (name, form) for (name, _), form in zip(calls, written, strict=True)
    ]


def test_a_forced_call_is_reported_while_it_is_written() -> None:
    parser = Forced(ids())
    assert parser.feed('{"name":"get_time","argu') == []
    assert parser.feed('ments":{"ci') == [CallOpened(0, "call_0", "get_time"), CallPiece(0, '{"ci')]
    assert parser.feed('ty":"Oslo"}}') == [CallPiece(0, 'ty":"Oslo"}')]
    assert parser.calls == 1


def test_without_tools_text_is_text() -> None:
    assert run(Plain(), [PARIS, ""]) == (PARIS, [])


def test_arguments_that_are_missing_are_an_empty_object() -> None:
    assert read_call('{"name": "get_time"}', KNOWN) == ("get_time", "{}")
