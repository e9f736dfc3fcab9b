"""Events of a stream cut apart and numbered: joined they are the same bytes, and a client reads the same and its id."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.wire import sse
from afterbay.wire.numbering import cut, is_event, numbered
from afterbay.wire.openai_responses.marks import response_id, sequence_number

LINES = st.sampled_from(
    [b"data: x", b"data:", b"data", b"event: ping", b": comment", b"id: own", b"retry: 1", b"d\xc3"]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
BLOCKS = st.tuples(st.lists(LINES, min_size=1, max_size=4), ENDS).map(
    lambda one: b"".join(line + one[1] for line in one[0]) + one[1]
)


def seen(whole: bytes) -> list[tuple[str, bytes]]:
    """(last event id, data) of every event that the standard dispatches. Written after it, line by line."""
    text = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found: list[tuple[str, bytes]] = []
    last, data, any_data = "", [], False
    for line in text.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if any_data:
                found.append((last, b"\n".join(data)))
            data, any_data = [], False
        elif name == b"data":
            data.append(value)
            any_data = True
        elif name == b"id" and b"\0" not in value:
            last = value.decode()
    return found


@given(st.lists(BLOCKS))
def test_blocks_joined_are_the_same_bytes_and_each_is_one(blocks: list[bytes]) -> None:
    whole = b"".join(blocks)
    assert cut(whole) == blocks
    assert [is_event(block) for block in blocks] == [bool(sse.decode(block)) for block in blocks]


@given(st.lists(BLOCKS))
def test_a_client_reads_the_same_events_and_our_number_wins(blocks: list[bytes]) -> None:
    events = [block for block in blocks if is_event(block)]
    out = b"".join(numbered(block, at) for at, block in enumerate(events, 1))
    assert seen(out) == [(str(at), data) for at, (_, data) in enumerate(seen(b"".join(events)), 1)]


@given(st.binary(max_size=60))
def test_bytes_of_any_kind_are_cut_without_loss(whole: bytes) -> None:
    assert b"".join(cut(whole)) == whole


def test_one_end_of_a_line_is_no_blank_line() -> None:
    assert cut(b"data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n") == [b"data: a\r\ndata: b\r\n\r\n", b"data: c\r\n\r\n"]
    assert numbered(b"data: a\r\n\r\n", 7) == b"data: a\r\nid: 7\r\n\r\n"
    assert numbered(b"data: a\n\n", 7) == b"data: a\nid: 7\n\n"
    assert numbered(b"data: a", 7) == b"data: a\nid: 7\n\n"


@pytest.mark.parametrize(
    ("block", "number", "name"),
    [
        (b'event: x\ndata: {"type":"x","sequence_number":12,"delta":"\\"sequence_number\\":3"}\n\n', 12, ""),
        (b'data: {"type":"response.created","response":{"id":"resp_1"},"sequence_number":0}\n\n', 0, "resp_1"),
        (b": comment\n\n", None, ""),
        (b"data: [DONE]\n\n", None, ""),
        (b"data: no JSON\n\n", None, ""),
        (b"data: \xff\n\n", None, ""),
        (b'data: {"sequence_number":"x"}\n\n', None, ""),
    ],
)
def test_marks_of_responses(block: bytes, number: int | None, name: str) -> None:
    assert sequence_number(block) == number
    assert response_id(block) == name
