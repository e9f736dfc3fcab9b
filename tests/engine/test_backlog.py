"""The events that are kept of a stream: where to go on, what is forgotten, how much there is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.engine.backlog import ENTRY_BYTES, Backlog, Forgotten, NotSent

BLOCKS = st.sampled_from([b"data: {%d}\n\n", b": comment\n\n", b"event: a\ndata: %d\n\n", b": ping\r\n\r\n"])
CHUNKS = st.lists(st.lists(BLOCKS, max_size=4))


def mark_of(block: bytes) -> int | None:
    found = re.search(rb"m(\d+)", block)
    return int(found[1]) if found else None


def filled(*marks: int | None, comments: bool = True) -> Backlog:
    one = Backlog(says_numbers=False)
    for mark in marks:
        one.add(b": comment\n\n" * comments + (b"data: -\n\n" if mark is None else b"data: m%d\n\n" % mark))
    return one


@given(CHUNKS, st.integers(1, 200))
def test_from_every_event_the_rest_follows_whatever_is_read_at_once(chunks: list[list[bytes]], most: int) -> None:
    one = Backlog(says_numbers=True)
    for chunk in chunks:
        one.add(b"".join(block % 1 if b"%d" in block else block for block in chunk))
    whole, end = one.read(0, 1 << 20) if one.end else (b"", 0)
    assert end == one.end
    for number in range(one.count + 1):
        position = one.position_after(number)
        assert one.number_before(position) == number
        had = re.search(rb"(?s).*id: %d\n\n" % number, whole) if number else None
        pieces = [had[0] if had is not None else b""]
        while position < one.end:
            data, position = one.read(position, most)
            assert data
            pieces.append(data)
        assert b"".join(pieces) == whole


@given(CHUNKS, st.integers(0, 2000), st.integers(0, 12))
def test_no_more_is_forgotten_than_asked_for_and_nothing_after_the_reader(
    chunks: list[list[bytes]], to_bytes: int, before: int
) -> None:
    one = Backlog(says_numbers=False)
    for chunk in chunks:
        one.add(b"".join(block % 1 if b"%d" in block else block for block in chunk))
    before = min(before, one.end)
    size, after, count = one.size, one.size_after(before), one.count
    one.forget(before, to_bytes)
    assert one.size >= min(size, after)
    assert one.size <= max(to_bytes, after) or one.first == before
    assert one.size_after(one.first) == one.size
    assert one.count == count
    if one.first:
        first, _ = one.read(one.first, 0) if one.first < one.end else (b"", 0)
        assert one.size + len(first) + ENTRY_BYTES > to_bytes or one.first == before
    for number in range(one.forgotten):
        with pytest.raises(Forgotten) as gone:
            one.position_after(number)
        assert gone.value.first == one.forgotten + 1
    assert one.position_after(one.forgotten) >= one.first
    with pytest.raises(NotSent):
        one.position_after(count + 1)


def test_what_follows_an_event_and_is_none_is_sent_again() -> None:
    one = Backlog(says_numbers=True)
    one.add(b": before\n\ndata: a\n\n: between\n\ndata: b\n\n")
    assert one.read(one.position_after(0), 1000)[0].startswith(b": before")
    assert one.read(one.position_after(1), 1000)[0] == b": between\n\ndata: b\nid: 2\n\n"


@pytest.mark.parametrize(("mark", "number"), [(-1, 0), (0, 1), (3, 1), (4, 3), (5, 3), (9, 4)])
def test_a_place_is_found_by_the_events_own_marks(mark: int, number: int) -> None:
    assert filled(0, 4, None, 9).number_of(mark, mark_of) == (number if mark != 4 and mark != 5 else 3)


def test_marks_that_are_ahead_or_forgotten_are_told() -> None:
    one = filled(0, 4, None, 9)
    with pytest.raises(NotSent):
        one.number_of(10, mark_of)
    with pytest.raises(NotSent):
        Backlog(says_numbers=False).number_of(0, mark_of)
    one.forget(one.position_after(2), 0)
    with pytest.raises(Forgotten):
        one.number_of(0, mark_of)
    assert one.number_of(9, mark_of) == 4
    plain = filled(0, 1, 2, comments=False)
    plain.forget(plain.position_after(1), 0)
    assert plain.number_of(0, mark_of) == 1
