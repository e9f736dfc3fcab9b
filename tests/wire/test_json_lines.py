"""A stream of JSON lines, under any cut of its bytes."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from afterbay.wire.framing import splitter_for
from afterbay.wire.json_lines import Splitter
from afterbay.wire.sse import EventTooLarge, SseEvent

STREAMS = st.lists(
    st.sampled_from([b'{"a":"\xe4\xb8\x96"}', b"{}", b"", b"  ", b'{"long":"' + b"x" * 30 + b'"}']), max_size=8
)


def fed(pieces: list[bytes]) -> tuple[bytes, list[SseEvent]]:
    splitter, raw, events = Splitter(), b"", list[SseEvent]()
    for piece in pieces:
        more, found = splitter.feed(piece)
        assert not more or more.endswith(b"\n"), "half a line is never given out"
        raw, events = raw + more, events + found
    more, found = splitter.rest()
    return raw + more, events + found


@given(STREAMS, st.sampled_from([b"\n", b"\r\n"]), st.booleans(), st.lists(st.integers(0, 9), max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_cut_gives_the_same_lines_and_all_the_bytes(
    lines: list[bytes], end: bytes, ended: bool, sizes: list[int]
) -> None:
    data = end.join(lines) + (end if ended else b"")
    pieces, rest = list[bytes](), data
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    raw, events = fed([*pieces, rest])
    assert raw == data
    assert [event for _, event in events] == [line for line in lines if line.strip()]


def test_a_line_beyond_the_limit_is_refused() -> None:
    splitter = Splitter(20)
    splitter.feed(b"x" * 15)
    with pytest.raises(EventTooLarge, match=r"limits\.event_bytes"):
        splitter.feed(b"x" * 15)


def test_the_last_line_gets_its_end_and_the_lines_before_one_are_known() -> None:
    splitter = Splitter()
    assert splitter.ended(b'{"a":1}') == b'{"a":1}\n'
    assert splitter.before(b'{"a":1}\n{"b":x}\n', b'{"b":x}') == b'{"a":1}\n'
    assert splitter.before(b'{"b":x}\n', b'{"b":x}') == b""


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/jsonl; charset=utf-8"])
def test_its_content_types_choose_it(kind: str) -> None:
    assert isinstance(splitter_for(kind, 100), Splitter)
