"""A stream that is one JSON array, under any cut of its bytes."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from afterbay.wire.framing import splitter_for
from afterbay.wire.json_array import Splitter
from afterbay.wire.sse import EventTooLarge, SseEvent

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet='ab"\\{}[],é世', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='k"\\{', max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
ITEMS = st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=3), max_size=5)
LAYOUTS = st.sampled_from([(None, ",", ":"), (1, ",\r\n", ": "), (None, " ,\n", " : ")])


def fed(pieces: list[bytes]) -> tuple[bytes, list[SseEvent]]:
    splitter, raw, events = Splitter(), b"", list[SseEvent]()
    for piece in pieces:
        more, found = splitter.feed(piece)
        raw += more
        events += found
    more, found = splitter.rest()
    return raw + more, events + found


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


@given(ITEMS, LAYOUTS, st.lists(st.integers(0, 7), max_size=80), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_cut_gives_the_same_items_and_all_the_bytes(
    items: list[Any], layout: Any, sizes: list[int], escapes: bool
) -> None:
    indent, comma, colon = layout
    data = json.dumps(items, indent=indent, separators=(comma, colon), ensure_ascii=escapes).encode()
    raw, events = fed(cut(data, sizes))
    assert raw == data
    assert [json.loads(item) for _, item in events] == items


@given(ITEMS.filter(len), st.lists(st.integers(1, 7), max_size=80))
@settings(max_examples=100, deadline=None)
def test_half_an_item_is_never_given_out(items: list[Any], sizes: list[int]) -> None:
    splitter, raw = Splitter(), b""
    for piece in cut(json.dumps(items).encode(), sizes):
        raw += splitter.feed(piece)[0]
        whole = raw.rstrip(b", ]").decode() + "]" if raw.rstrip(b", ]") not in (b"", b"[") else "[]"
        assert isinstance(json.loads(whole), list)


def test_a_lone_object_is_a_stream_of_one_item() -> None:
    assert fed([b'{"error": {"co', b'de": 400}}\n']) == (
        b'{"error": {"code": 400}}\n',
        [(None, b'{"error": {"code": 400}}')],
    )


def test_an_item_comes_out_as_soon_as_its_bracket_closes() -> None:
    splitter = Splitter()
    assert splitter.feed(b"[") == (b"[", [])
    assert splitter.feed(b'{"a":') == (b"", [])
    assert splitter.feed(b"1}") == (b'{"a":1}', [(None, b'{"a":1}')])
    assert splitter.feed(b',\r\n{"b"') == (b"", [])
    assert splitter.feed(b":2}]") == (b',\r\n{"b":2}]', [(None, b'{"b":2}')])


def test_a_stream_that_is_cut_leaves_half_an_item_that_is_none() -> None:
    splitter = Splitter()
    splitter.feed(b'[{"a":1},{"b"')
    assert splitter.rest() == (b',{"b"', [])


def test_an_item_beyond_the_limit_is_refused() -> None:
    splitter = Splitter(50)
    splitter.feed(b'[{"a":"' + b"x" * 40)
    with pytest.raises(EventTooLarge, match=r"limits\.event_bytes"):
        splitter.feed(b"x" * 20)


def test_what_came_before_an_item_ends_without_the_comma_to_it() -> None:
    assert Splitter().before(b'[{"a":1},\r\n{"b":x}', b'{"b":x}') == b'[{"a":1}'


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        ("application/json; charset=UTF-8", "afterbay.wire.json_array"),
        ("text/event-stream", "afterbay.wire.sse"),
        ("", "afterbay.wire.sse"),
    ],
)
def test_the_content_type_chooses_the_splitter(kind: str, module: str) -> None:
    assert type(splitter_for(kind, 100)).__module__ == module
