"""Amazon's event stream (`application/vnd.amazon.eventstream`): frames in, frames out, without any I/O.

    total length (4) | headers length (4) | CRC-32 of these 8 bytes (4) | headers | payload | CRC-32 of all before (4)
    header: name length (1) | name | type (1) | value         integers are big-endian

Source: smithy.io/2.0/aws/amazon-eventstream.html and botocore 1.44's `botocore.eventstream` (November 2026).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TypeAlias
from zlib import crc32

import msgspec

from afterbay.wire.sse import EventTooLarge, SseEvent, gather

Value: TypeAlias = bool | int | bytes | str
"""A header's value. A timestamp is an integer (milliseconds since 1970), a UUID its sixteen bytes."""

CONTENT_TYPE = "application/vnd.amazon.eventstream"
EXCEPTION = b"exception:"
"""Put before the name of an event that is an error (`exception:throttlingException`)."""

HEADERS_BYTES = 128 * 1024
"""The most that the headers of a frame may take (botocore's own bound)."""

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_LEAST = _PRELUDE.size + _CRC.size
_KNOWN_HEADERS = 64

_INTEGERS = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}
_LENGTH = struct.Struct(">H")
_BYTES, _STRING, _TIMESTAMP, _UUID = 6, 7, 8, 9
_UUID_BYTES = 16


class BadFrame(ValueError):
    """The bytes are no frame, or were damaged on the way."""


class FrameSplitter:
    """Cuts a byte stream into whole frames; the same interface as `afterbay.wire.sse.Splitter`.

    An event is (its `:event-type`, payload); one that is an error has `EXCEPTION` before its name. A frame in small
    pieces takes linear time: its pieces are joined once, when it is whole.
    """

    def __init__(self, limit_bytes: int = 16 * 1024 * 1024) -> None:
        self._limit_bytes = limit_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._wanted = _PRELUDE.size  # as many bytes must be there before it is worth looking
        self._error: ValueError | None = None
        self._names: dict[bytes, bytes | None] = {}

    def feed(self, data: bytes) -> tuple[bytes, list[SseEvent]]:
        """Takes the next bytes from the network; gives back the raw bytes of all whole frames, and their events.

        Raises:
            BadFrame: a checksum or a length is wrong. Frames before it were given back by an earlier call.
            EventTooLarge: a frame is longer than the limit.
        """
        if self._error is not None:
            raise self._error
        gather(self._pieces, data)
        self._size += len(data)
        if self._size < self._wanted:
            return b"", []
        held = b"".join(self._pieces)
        events: list[SseEvent] = []
        at = 0
        try:
            while (length := self._length(held, at)) and at + length <= len(held):
                event = self._event(held, at, length)
                at += length
                if event is not None:
                    events.append(event)
        except ValueError as error:
            self._error = error  # what came before it must not depend on how the bytes were cut
            if at == 0:
                raise
        tail = held[at:] if at else held
        self._pieces, self._size = [tail], len(tail)
        self._wanted = self._length(tail, 0) or _PRELUDE.size if self._error is None else 0
        return held[:at], events

    def rest(self) -> tuple[bytes, list[SseEvent]]:
        """What is left at the end of input: half a frame, which makes no event.

        Raises:
            BadFrame, EventTooLarge: as `feed`, which had good frames to give back first.
        """
        if self._error is not None:
            raise self._error
        tail = b"".join(self._pieces)
        self._pieces, self._size, self._wanted = [], 0, _PRELUDE.size
        return tail, []

    def ended(self, rest: bytes) -> bytes:
        """`rest` as it is: half a frame cannot be mended."""
        return rest

    def before(self, whole: bytes, data: bytes) -> bytes:
        """The frames of `whole` that came before the one that holds `data`."""
        at = 0
        while length := self._length(whole, at):
            if whole.find(data, at, at + length) >= 0:
                break
            at += length
        return whole[:at]

    def _length(self, data: bytes, at: int) -> int:
        """The length of the frame at `at`, 0 while its prelude is not whole."""
        if len(data) - at < _PRELUDE.size:
            return 0
        total, headers, checksum = _PRELUDE.unpack_from(data, at)
        if crc32(data[at : at + 8]) != checksum:
            raise BadFrame("an event stream's frame is damaged: the checksum of its head does not match")
        if headers > HEADERS_BYTES or total < headers + _LEAST:
            raise BadFrame(f"an event stream's frame of {total} bytes cannot have {headers} bytes of headers")
        if total > self._limit_bytes:
            raise EventTooLarge(f"an event of {total} bytes; the limit is {self._limit_bytes} (limits.event_bytes)")
        return int(total)

    def _event(self, data: bytes, at: int, length: int) -> SseEvent | None:
        body, end = at + _PRELUDE.size, at + length - _CRC.size
        if crc32(data[at:end]) != _CRC.unpack_from(data, end)[0]:
            raise BadFrame("an event stream's frame is damaged: its checksum does not match")
        payload_at = body + int.from_bytes(data[at + 4 : at + 8], "big")
        raw, payload = data[body:payload_at], data[payload_at:end]
        name = self._names.get(raw, b"")
        if name == b"":
            headers = decode_headers(raw)
            if headers.get(":message-type") == "error":  # an error of the transport: its text is a header
                code, said = str(headers.get(":error-code", "error")), str(headers.get(":error-message", ""))
                return EXCEPTION + code.encode(), msgspec.json.encode({"message": said})
            name = _name(headers)
            if len(self._names) < _KNOWN_HEADERS:  # an answer has about six kinds of frames
                self._names[raw] = name
        return name, payload


def _name(headers: Mapping[str, Value]) -> bytes | None:
    if headers.get(":message-type") == "exception":
        return EXCEPTION + str(headers.get(":exception-type", "")).encode()
    name = headers.get(":event-type")
    return name.encode() if isinstance(name, str) and name else None


def decode_headers(data: bytes) -> dict[str, Value]:
    """The headers of a frame.

    Raises:
        BadFrame: they are cut off, of an unknown type, or not UTF-8.
    """
    found: dict[str, Value] = {}
    at = 0
    try:
        while at < len(data):
            end = at + 1 + data[at]
            name, kind, at = data[at + 1 : end].decode(), data[end], end + 1
            found[name], at = _value(data, kind, at)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise BadFrame(f"an event stream's frame has headers that cannot be read: {error}") from None
    if at > len(data):
        raise BadFrame("an event stream's frame has headers that are cut off")
    return found


def _value(data: bytes, kind: int, at: int) -> tuple[Value, int]:
    """A value and where the next header begins."""
    if kind in (0, 1):
        return kind == 0, at
    if kind in _INTEGERS or kind == _TIMESTAMP:
        form = _INTEGERS[5 if kind == _TIMESTAMP else kind]
        return int(form.unpack_from(data, at)[0]), at + form.size
    if kind in (_BYTES, _STRING):
        (length,) = _LENGTH.unpack_from(data, at)
        end = at + _LENGTH.size + length
        raw = data[at + _LENGTH.size : end]
        return (raw if kind == _BYTES else raw.decode()), end
    if kind == _UUID:
        return data[at : at + _UUID_BYTES], at + _UUID_BYTES
    raise BadFrame(f"an event stream's frame has a header of the unknown type {kind}")


def encode(headers: Mapping[str, Value], payload: bytes) -> bytes:
    """One frame. Integers go as 64 bits, `bytes` as bytes.

    Raises:
        ValueError: a name, a value or all headers together are too long.
    """
    head = b"".join(_encoded(name.encode(), value) for name, value in headers.items())
    if len(head) > HEADERS_BYTES:
        raise ValueError(f"headers of {len(head)} bytes; a frame takes {HEADERS_BYTES}")
    lengths = struct.pack(">II", _LEAST + len(head) + len(payload), len(head))
    frame = b"".join((lengths, _CRC.pack(crc32(lengths)), head, payload))
    return frame + _CRC.pack(crc32(frame))


def event(name: str, payload: bytes) -> bytes:
    """The frame of an event with a JSON payload, as Amazon's services send it."""
    return encode({":event-type": name, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(name: str, payload: bytes) -> bytes:
    """The frame of an error with a JSON payload."""
    return encode({":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}, payload)


def _encoded(name: bytes, value: Value) -> bytes:
    if not 0 < len(name) < 256:
        raise ValueError(f"a header's name has 1 to 255 bytes, not {len(name)}")
    head = bytes((len(name),)) + name
    if isinstance(value, bool):
        return head + (b"\x00" if value else b"\x01")
    if isinstance(value, int):
        return head + b"\x05" + _INTEGERS[5].pack(value)
    raw, kind = (value.encode(), _STRING) if isinstance(value, str) else (value, _BYTES)
    if len(raw) > 0x7FFF:
        raise ValueError(f"a header's value has at most 32767 bytes, not {len(raw)}")
    return head + bytes((kind,)) + _LENGTH.pack(len(raw)) + raw


__all__ = ["CONTENT_TYPE", "EXCEPTION", "BadFrame", "FrameSplitter", "decode_headers", "encode", "event", "exception"]
