"""Argument text that is nearly JSON: mended where what is meant is certain, refused where it would be a guess."""

from __future__ import annotations

import json
import time
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from afterbay.wire.toolcalls import syntax
from afterbay.wire.toolcalls.syntax import is_object, repair

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=4)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('```\n{"a": [1, 2]\n```', {"a": [1, 2]}),
        ('I call it with {"a": 1} now.', {"a": 1}),
        ('\ufeff {"a": 1,}', {"a": 1}),
        ('{"a": [1, 2,],,}', {"a": [1, 2]}),
        ('{"a": 1,, "b": 2}', {"a": 1, "b": 2}),
        ("{'a': 'say \"hi\"', 'b': 'it\\'s'}", {"a": 'say "hi"', "b": "it's"}),
        ("{a: 1, $b-c: 2}", {"a": 1, "$b-c": 2}),
        ('{"a": True, "b": False, "c": None, "d": NULL}', {"a": True, "b": False, "c": None, "d": None}),
        ('{"a": {"b": [1, "x"', {"a": {"b": [1, "x"]}}),
        ('{"a": [1, {"b": "x"}}', {"a": [1, {"b": "x"}]}),
        ('{"a": 1}}}', {"a": 1}),
        ('{"a": "one\ntwo\tthree"}', {"a": "one\ntwo\tthree"}),
        (r'{"a": "\d+\.py", "b": "\'x\'"}', {"a": r"\d+\.py", "b": "'x'"}),
        ('{"a": "\\u00e9", }', {"a": "é"}),
        ('{"a": 1}{"a": 1}', {"a": 1}),
        ('[{"a": 1}]', {"a": 1}),
        (json.dumps('{"a": 1}'), {"a": 1}),
        (json.dumps("{'a': 1,}"), {"a": 1}),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}),
        ('{"a": "x"\n "b": "y"}', {"a": "x", "b": "y"}),
        ('{"a": ["x"\n "y"]}', {"a": ["x", "y"]}),
        ('{"a": "x" // why\n, /* and */ "b": +1, "c": .5, "e": -.5e1}', {"a": "x", "b": 1, "c": 0.5, "e": -5.0}),
        ('{"a": 5., "b": 5.e1}', {"a": 5.0, "b": 50.0}),
    ],
)  # fmt: skip
def test_what_is_meant_is_certain(text: str, meant: Any) -> None:
    mended = repair(text)
    assert mended is not None
    assert json.loads(mended) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        '{"a":',
        '{"a"',
        '{"a": 1,',
        '{"path": "/etc/pass',  # where was it cut?
        '{"a": 12',
        '{"a": tr',
        '{"a": 1e',
        '{"a": "x\\',
        '{"a": "say "hi" to"}',
        "{'a': 'it's'}",
        '{"a": hello}',
        '{"a": NaN}',
        '{"a": 007}',
        '{"a": 12px}',
        '{"a" "b"}',
        '{"a": [1 2]}',
        '{"a": [1,,2]}',
        '{"a": "x" "b": "y"}',
        '{"a": 1]}',
        '{"a": }',
        '{1: 2}',
        '{"a": "\\u12"}',
        r'{"a": "\x1f"}',
        '{"a": "\\ud800",}',  # half a character
        r'{"a": "C:\dir\new",}',  # a line's end or a folder?
        '{"a": 1}{"b": 2}',
        '{"rm": "x"} or {"rm": "y"}',
        '{"a": 1}, "b": 2}',  # closed too early
        '"x": {"a": 1,}}',  # begun before
        '"a string"',
        "[1, 2]",
        "null",
    ],
)  # fmt: skip
def test_what_would_need_a_guess_is_refused(text: str) -> None:
    assert repair(text) is None


@given(OBJECTS, st.sampled_from([None, 1]), st.booleans())
def test_an_object_that_is_json_is_never_changed(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert repair(text) == text


@given(OBJECTS)
def test_the_same_object_is_read_in_pythons_words(value: Any) -> None:
    text = repr(value)
    mended = repair(text)
    if mended is not None:
        assert json.loads(mended) == value
    else:  # an escape that is Python's alone (\x00), or one beside a plain backslash
        assert "\\" in text


@given(OBJECTS, st.sampled_from(["```json\n%s\n```", "Here: %s", "%s\nDone.", "%s}", " \n%s;"]))
def test_what_stands_around_an_object_does_not_change_it(value: Any, around: str) -> None:
    text = json.dumps(value)
    mended = repair(around % text)
    assert mended is not None
    assert json.loads(mended) == value


@given(st.text("{}[]:,\"'\\ \nabtrue1.-/*`", max_size=60))
@settings(max_examples=500)
def test_whatever_comes_out_is_an_object(text: str) -> None:
    mended = repair(text)
    assert mended is None or is_object(mended)


@given(OBJECTS, st.data())
def test_what_is_cut_in_a_value_is_refused_or_has_all_of_the_rest(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=False)
    cut = text[: data.draw(st.integers(0, len(text)))]
    mended = repair(cut)
    if mended is not None:
        compact = "".join(mended.split())
        assert "".join(cut.split()).rstrip("}]") in compact or repair(cut) == cut


SIZE = 1_000_000
HOSTILE = {
    "braces": "{" * SIZE,
    "nested": '{"a":' * (SIZE // 5),
    "lists": '{"a":' + "[" * SIZE,
    "quotes": '{"a":' + '"' * SIZE,
    "backslashes": '{"a":"' + "\\" * SIZE,
    "open string": '{"a": "' + "x" * SIZE,
    "lines": '{"a":' + '"b"\n"c":' * (SIZE // 8),
    "comments": '{"a":1 /* ' + "* " * (SIZE // 2),
    "open comments": "{" + "/*" * (SIZE // 2),
    "space": "{" + " " * SIZE,
    "spaces behind texts": '{"a": "b"' + " " * SIZE + "x",
    "twins": '{"a":1} ' * (SIZE // 8),
    "strings": '"' + '{"a":"' * (SIZE // 6),
    "commas": "{" + "," * SIZE,
    "many": '{"a":[' + "1," * (SIZE // 2) + "]}",
    "digits": '{"a":' + "1" * SIZE + "x",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_megabyte_takes_time_in_proportion(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syntax, "LONGEST_CHARS", 2 * SIZE)
    began = time.process_time()
    repair(HOSTILE[kind])
    assert time.process_time() - began < 10  # linear: about 1 s at most; what squares would take hours


def test_a_text_above_the_limit_is_not_looked_at() -> None:
    text = '{"a":[' + "1," * syntax.LONGEST_CHARS + "]}"
    assert repair(text) is None


def test_nesting_above_the_limit_is_refused() -> None:
    deep, too_deep = (f'{{"a":{"[" * levels}1{"]" * levels},}}' for levels in (syntax.DEEPEST - 1, syntax.DEEPEST))
    assert repair(deep) is not None
    assert repair(too_deep) is None
