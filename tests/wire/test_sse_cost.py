"""Server-sent events: the same events under any cut, in time proportional to the bytes, within the limit."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.wire.sse import EventTooLarge, Splitter, SseEvent, decode

LINES = st.sampled_from(["data: a", "data:b", "event: e", ": c", "id: 1", "", "data", "data: \ufeff", "retry: 5", "x"])
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
TEXTS = st.tuples(st.sampled_from(["", "\ufeff"]), st.lists(st.tuples(LINES, ENDS), max_size=14)).map(
    lambda drawn: (drawn[0] + "".join(line + end for line, end in drawn[1])).encode()
)


def cut(whole: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({at % (len(whole) + 1) for at in cuts} | {0, len(whole)})
    return [whole[a:b] for a, b in pairwise(places)]


def read(pieces: list[bytes]) -> tuple[bytes, list[SseEvent]]:
    splitter, raw, events = Splitter(), b"", list[SseEvent]()
    for piece in pieces:
        more, found = splitter.feed(piece)
        assert decode(more) == found
        raw += more
        events += found
    more, found = splitter.rest()
    return raw + more, events + found


@given(TEXTS, st.lists(st.integers(0, 400), max_size=12))
def test_any_cut_gives_the_same_events_and_loses_no_byte(whole: bytes, cuts: list[int]) -> None:
    raw, events = read(cut(whole, cuts))
    assert raw == whole.removeprefix(b"\xef\xbb\xbf")
    assert events == read([whole])[1]
    assert events == read([whole[at : at + 1] for at in range(len(whole))])[1]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_no_bytes_break_it(whole: bytes, cuts: list[int]) -> None:
    assert read(cut(whole, cuts))[1] == read([whole])[1]


@pytest.mark.parametrize(
    "filling", [b"x" * 64, b"\r" * 64, b"x\n" * 32, b"data: x\r" * 8], ids=["x", "cr", "lf", "mix"]
)
def test_an_event_that_never_ends_costs_time_by_its_bytes_only(filling: bytes) -> None:
    def feed(pieces: int) -> float:
        splitter = Splitter()
        began_s = time.process_time()
        for _ in range(pieces):
            splitter.feed(filling)
        return time.process_time() - began_s

    short_s = min(feed(2_000) for _ in range(2))
    assert min(feed(20_000) for _ in range(2)) < 25 * short_s  # ten times the bytes; quadratic would be a hundred


def test_an_event_over_the_limit_is_refused() -> None:
    splitter = Splitter(1000)
    for _ in range(10):
        splitter.feed(b"x" * 100)
    with pytest.raises(EventTooLarge):
        splitter.feed(b"x")


def test_events_within_one_read_are_not_the_limit_s_business() -> None:
    assert len(Splitter(1000).feed(b"data: x\n\n" * 1000)[1]) == 1000
