"""Server-sent events: any cut of any bytes gives the same events, and a relay loses not one byte."""

from __future__ import annotations

import re
import time

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from afterbay.wire.sse import EventTooLarge, Splitter, SseEvent

ENDS = (b"\n", b"\r\n", b"\r")
LINES = st.sampled_from(
    [
        b"",
        b"",
        b"",
        b"data: one",
        b"data:two",
        b"data",
        b"data: ",
        b"data:  x",
        b"event: delta",
        b"event:",
        b": note",
        b":",
        b"id: 7",
        b"retry: 10",
        b"data: a: b",
        b"odd",
        "data: 世界".encode(),
        b'data: {"a": "\\n"}',
    ]
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from(ENDS)), max_size=25).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def reference(data: bytes) -> list[SseEvent]:
    """The standard's algorithm, line by line; an event that is open at the end counts too (see `Splitter.rest`)."""
    events: list[SseEvent] = []
    name: bytes | None = None
    pieces: list[bytes] = []
    for line in [*re.split(rb"\r\n|\n|\r", data.removeprefix(b"\xef\xbb\xbf")), b""]:
        if not line:
            if pieces:
                events.append((name, b"\n".join(pieces)))
            name, pieces = None, []
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            pieces.append(value)
        elif field == b"event":
            name = value
    return events


def fed(pieces: list[bytes]) -> tuple[bytes, list[SseEvent]]:
    """All bytes and events that come out."""
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


@given(STREAMS, st.lists(st.integers(0, 9), max_size=60), st.booleans())
@settings(max_examples=500, deadline=None)
def test_any_cut_of_any_stream_gives_the_same_events_and_all_its_bytes(
    data: bytes, sizes: list[int], bom: bool
) -> None:
    sent = b"\xef\xbb\xbf" + data if bom else data
    raw, events = fed(cut(sent, sizes))
    assert raw == data
    assert events == reference(data)


@given(st.binary(max_size=60), st.lists(st.integers(0, 5), max_size=40))
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_no_events_are_cut_the_same_way_too(data: bytes, sizes: list[int]) -> None:
    assert fed(cut(data, sizes)) == fed([data])


@given(STREAMS)
@settings(max_examples=200, deadline=None)
def test_one_byte_at_a_time_is_the_same(data: bytes) -> None:
    assert fed([data[at : at + 1] for at in range(len(data))]) == (data, reference(data))


@given(STREAMS, st.lists(st.integers(1, 9), max_size=60))
@settings(max_examples=200, deadline=None)
def test_what_is_given_out_ends_with_a_blank_line(data: bytes, sizes: list[int]) -> None:
    splitter = Splitter()
    for piece in cut(data, sizes):
        raw, _ = splitter.feed(piece)
        assert not raw or raw.endswith((b"\n\n", b"\r\r", b"\n\r", b"\n\r\n", b"\r\r\n"))


@pytest.mark.parametrize("end", ENDS)
def test_an_event_comes_out_as_soon_as_its_blank_line_is_sure(end: bytes) -> None:
    splitter = Splitter()
    raw, events = splitter.feed(b"data: x" + end + end)
    if end == b"\r":  # its next byte may be the LF that belongs to it
        assert (raw, events) == (b"", [])
        raw, events = splitter.feed(b"d")
    assert (raw, events) == (b"data: x" + end + end, [(None, b"x")])


def test_an_event_that_grows_beyond_the_limit_is_refused() -> None:
    splitter = Splitter(100)
    splitter.feed(b"data: " + b"x" * 90)
    with pytest.raises(EventTooLarge, match=r"limits\.event_bytes"):
        splitter.feed(b"x" * 20)


def test_a_bom_that_never_becomes_one_is_data() -> None:
    assert fed([b"\xef", b"\xbb"])[0] == b"\xef\xbb"


def seconds(event_bytes: int, piece: bytes) -> float:
    splitter = Splitter(1 << 30)
    began = time.perf_counter()
    splitter.feed(b"data: ")
    for _ in range(event_bytes // len(piece)):
        splitter.feed(piece)
    raw, events = splitter.feed(b"\n\n")
    assert len(raw) == 8 + event_bytes
    assert events
    return time.perf_counter() - began


@pytest.mark.parametrize("piece", [b"x" * 1000, b"x" * 999 + b"\r"])
def test_a_large_event_in_small_pieces_takes_linear_time(piece: bytes) -> None:
    small = min(seconds(1_000_000, piece) for _ in range(3))
    large = min(seconds(8_000_000, piece) for _ in range(2))
    assert large < 8 * small * 3 + 0.05, "eight times the bytes take about eight times as long"


def test_an_event_in_tiny_pieces_does_not_keep_them_all() -> None:
    splitter = Splitter()
    for _ in range(50_000):
        splitter.feed(b"x")
    assert len(splitter._pieces) < 40
    assert splitter.feed(b"\n\n")[0] == b"x" * 50_000 + b"\n\n"
