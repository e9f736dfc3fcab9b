"""Amazon's event stream: any cut of the bytes gives the same frames, and damage is told apart from an end."""

from __future__ import annotations

import struct
from itertools import pairwise
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from afterbay.wire import aws_stream, framing, sse
from afterbay.wire.aws_stream import BadFrame, FrameSplitter, decode_headers, encode, event, exception
from afterbay.wire.sse import EventTooLarge

HELLO = event("contentBlockDelta", b'{"delta":{"text":"hello"}}')
payloads = st.binary(max_size=40)
names = st.text(min_size=1, max_size=8)
values = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=9) | st.text(max_size=9)


def feed(splitter: FrameSplitter, data: bytes, cuts: list[int]) -> tuple[bytes, list[tuple[bytes | None, bytes]]]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    raw, events = b"", []
    for start, end in pairwise(places):
        some, found = splitter.feed(data[start:end])
        raw += some
        events += found
    return raw, events


def framed(headers: bytes, payload: bytes = b"", total: int = 0, length: int | None = None) -> bytes:
    """A frame by hand, its checksums right, its lengths as wanted."""
    length = len(headers) if length is None else length
    head = struct.pack(">II", total or 16 + len(headers) + len(payload), length)
    head += struct.pack(">I", crc32(head))
    return head + headers + payload + struct.pack(">I", crc32(head + headers + payload))


@given(st.lists(st.tuples(names, payloads), max_size=5), st.lists(st.integers(0, 2000), max_size=12))
def test_any_cut_gives_the_same_frames(sent: list[tuple[str, bytes]], cuts: list[int]) -> None:
    data = b"".join(event(name, payload) for name, payload in sent)
    raw, events = feed(FrameSplitter(), data, cuts)
    assert raw == data
    assert events == [(name.encode(), payload) for name, payload in sent]


def test_byte_by_byte_a_frame_comes_once_with_its_last_byte() -> None:
    splitter = FrameSplitter()
    found = [splitter.feed(HELLO[at : at + 1]) for at in range(len(HELLO))]
    assert found[:-1] == [(b"", [])] * (len(HELLO) - 1)
    assert found[-1] == (HELLO, [(b"contentBlockDelta", b'{"delta":{"text":"hello"}}')])
    assert splitter.rest() == (b"", [])


def test_half_a_frame_at_the_end_is_no_event() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(HELLO + HELLO[:20])[0] == HELLO
    assert splitter.rest() == (HELLO[:20], [])
    assert splitter.ended(b"x") == b"x"


@given(st.dictionaries(names, values, max_size=6), payloads)
def test_botocore_reads_what_is_written_here(headers: dict[str, aws_stream.Value], payload: bytes) -> None:
    frame = encode(headers, payload)
    buffer = EventStreamBuffer()
    buffer.add_data(frame)
    (message,) = list(buffer)
    assert message.headers == headers
    assert message.payload == payload
    head = int.from_bytes(frame[4:8], "big")
    assert decode_headers(frame[12 : 12 + head]) == headers


def test_headers_of_every_type_are_read() -> None:
    raw = b"".join(
        bytes((1,)) + name + bytes((kind,)) + value
        for name, kind, value in (
            (b"a", 0, b""),
            (b"b", 1, b""),
            (b"c", 2, b"\xff"),
            (b"d", 3, b"\xff\xfe"),
            (b"e", 4, struct.pack(">i", -3)),
            (b"f", 5, struct.pack(">q", 2**40)),
            (b"g", 6, b"\x00\x02\x00\xff"),
            (b"h", 7, b"\x00\x03" + "é!".encode()),
            (b"i", 8, struct.pack(">q", 1_700_000_000_000)),
            (b"j", 9, bytes(range(16))),
        )
    )
    assert decode_headers(raw) == {
        "a": True,
        "b": False,
        "c": -1,
        "d": -2,
        "e": -3,
        "f": 2**40,
        "g": b"\x00\xff",
        "h": "é!",
        "i": 1_700_000_000_000,
        "j": bytes(range(16)),
    }


@pytest.mark.parametrize(
    "headers",
    [b"\x05ab", b"\x01a", b"\x01a\x07\x00", b"\x01a\x07\x00\x05ab", b"\x01a\x0a", b"\x01a\x04\x00", b"\x01\xff\x00"],
    ids=["name cut", "no type", "length cut", "value cut", "unknown type", "integer cut", "name is not UTF-8"],
)
def test_headers_that_cannot_be_read_are_an_error(headers: bytes) -> None:
    with pytest.raises(BadFrame, match="header"):
        FrameSplitter().feed(framed(headers))


def test_exceptions_are_told_apart_from_events() -> None:
    data = exception("throttlingException", b'{"message":"slow down"}')
    data += encode({":message-type": "error", ":error-code": "InternalError", ":error-message": 'a "b"'}, b"")
    data += encode({":message-type": "event"}, b"x")
    assert FrameSplitter().feed(data)[1] == [
        (b"exception:throttlingException", b'{"message":"slow down"}'),
        (b"exception:InternalError", b'{"message":"a \\"b\\""}'),
        (None, b"x"),
    ]


@given(st.integers(0, len(HELLO) - 1), st.integers(1, 255), st.lists(st.integers(0, 2000), max_size=6))
def test_one_damaged_byte_is_always_found(at: int, change: int, cuts: list[int]) -> None:
    damaged = bytearray(HELLO)
    damaged[at] ^= change
    splitter = FrameSplitter()
    with pytest.raises(ValueError, match=r"frame|limit"):
        feed(splitter, bytes(damaged) + HELLO, cuts)


@given(st.integers(0, len(HELLO)))
def test_frames_before_a_damaged_one_come_out_whatever_the_cut(cut: int) -> None:
    damaged = HELLO[:-1] + bytes((HELLO[-1] ^ 1,))
    splitter = FrameSplitter()
    data = HELLO + damaged
    events: list[tuple[bytes | None, bytes]] = []

    def feed_all() -> None:
        for piece in (data[:cut], data[cut:], b"more"):
            events.extend(splitter.feed(piece)[1])

    with pytest.raises(BadFrame, match="checksum does not match"):
        feed_all()
    assert len(events) == 1
    with pytest.raises(BadFrame):
        splitter.rest()


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (framed(b"", total=15), BadFrame),
        (framed(b"", length=200_000, total=300_000), BadFrame),
        (framed(b"", length=8), BadFrame),
        (framed(b"", total=5000), EventTooLarge),
    ],
    ids=["shorter than a frame", "headers too long", "headers longer than the frame", "over the limit"],
)
def test_impossible_lengths_are_refused_before_anything_is_kept(frame: bytes, error: type[ValueError]) -> None:
    with pytest.raises(error):
        FrameSplitter(1000).feed(frame[:12])


def test_a_long_frame_in_small_pieces_is_joined_once() -> None:
    frame = event("x", bytes(1_000_000))
    splitter = FrameSplitter()
    events = []
    for at in range(0, len(frame), 100):
        events += splitter.feed(frame[at : at + 100])[1]
    assert [len(payload) for _, payload in events] == [1_000_000]


def test_what_came_before_an_event_is_found_frame_by_frame() -> None:
    first, second = event("a", b"1"), event("b", b"two")
    splitter = FrameSplitter()
    assert splitter.before(first + second, b"two") == first
    assert splitter.before(first + second, b"1") == b""
    assert splitter.before(first + second, b"nowhere") == first + second


@pytest.mark.parametrize(
    ("headers", "what"),
    [({"": "a"}, "name"), ({"n" * 256: "a"}, "name"), ({"a": "x" * 40_000}, "value"), ({"a": 2**63}, "int")],
)
def test_what_fits_no_frame_is_refused(headers: dict[str, aws_stream.Value], what: str) -> None:
    with pytest.raises((ValueError, struct.error), match=what):
        encode(headers, b"")


def test_too_many_headers_are_refused() -> None:
    with pytest.raises(ValueError, match="headers of"):
        encode({str(number): "x" * 30_000 for number in range(5)}, b"")


def test_the_content_type_chooses_the_splitter() -> None:
    assert isinstance(framing.splitter_for("application/vnd.amazon.eventstream", 5), FrameSplitter)
    assert isinstance(framing.splitter_for("text/event-stream; charset=utf-8", 5), sse.Splitter)
