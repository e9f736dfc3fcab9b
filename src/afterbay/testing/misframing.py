"""Answers that are framed against the rules of HTTP/1.1. Pure: bytes of a right answer in, bytes of a wrong one out."""

from __future__ import annotations

import re

from afterbay.testing.toxics import BadFraming

HEAD_BYTES = 1 << 16
"""A provider's headers are no longer; what is longer passes as it is."""
_FLOOD = b"x-flood: " + b"a" * 8000 + b"\r\n"
_FLOODS = 32
_TOO_LONG = 1_000_000
_LENGTHS = re.compile(rb"\r\n(?:content-length|transfer-encoding|connection):[^\r]*", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


class Body:
    """Takes the body out of its frame: chunks, or a length. `is_over` at its end; without either it never is."""

    def __init__(self, head: bytes) -> None:
        length = _LENGTH.search(head)
        self._is_chunked = length is None
        self._left = int(length[1]) if length else 0
        self._line = b""
        self.is_over = not self._is_chunked and self._left == 0

    def feed(self, data: bytes) -> bytes:
        """The bytes of the body among `data`."""
        found = b""
        while data and not self.is_over:
            if self._left:
                took, data = data[: self._left], data[self._left :]
                found += took
                self._left -= len(took)
                self.is_over = not self._is_chunked and self._left == 0
                continue
            byte, data = data[:1], data[1:]
            self._line += byte
            if byte == b"\n" and self._line.strip():
                self._left = int(self._line.split(b";")[0], 16)
                self.is_over = self._left == 0
                self._line = b""
        return found


class Misframer:
    """One answer on its way. `is_over`: nothing more of it comes, the connection is to be closed."""

    def __init__(self, toxic: BadFraming) -> None:
        self._fault, self._at = toxic.fault, toxic.after_bytes
        self._head = b""
        self._body: Body | None = None
        self._sent = 0
        self.is_over = False

    def feed(self, data: bytes) -> bytes:
        """What goes to the client for these bytes of the provider."""
        if self.is_over:
            return b""
        if self._body is not None:
            return self._pass(self._body, data)
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            if len(self._head) > HEAD_BYTES:
                raise ValueError(f"a head of over {HEAD_BYTES} bytes")
            return b""
        head, rest = self._head[:end], self._head[end + 4 :]
        self._head = b""
        self._body = Body(head)
        begun = self._begin(head)
        return begun if self.is_over else begun + self._pass(self._body, rest)

    def _begin(self, head: bytes) -> bytes:
        bare = _LENGTHS.sub(b"", head)
        match self._fault:
            case "half_headers":
                self.is_over = True
                return head[: len(head) // 2]
            case "endless_headers":
                self.is_over = True
                return head + b"\r\n" + _FLOOD * _FLOODS
            case "bad_status":
                return b"HTTP/eleven fine" + head[head.find(b"\r\n") :] + b"\r\n\r\n"
            case "short_length":
                return bare + b"\r\ncontent-length: %d\r\n\r\n" % self._at
            case "long_length":
                return bare + b"\r\ncontent-length: %d\r\n\r\n" % _TOO_LONG
            case "two_lengths":
                return bare + b"\r\ncontent-length: 5\r\ncontent-length: 7\r\n\r\n"
            case "http10_close":
                return b"HTTP/1.0" + bare[8:] + b"\r\nconnection: close\r\n\r\n"
            case _:
                return bare + b"\r\ntransfer-encoding: chunked\r\n\r\n"

    def _pass(self, body: Body, data: bytes) -> bytes:
        found = body.feed(data)
        self.is_over = body.is_over
        if self._fault == "bad_chunk_size" and self._sent + len(found) >= self._at:
            self.is_over = True
            return self._chunk(found[: self._at - self._sent]) + b"zz\r\n" + found[self._at - self._sent :]
        self._sent += len(found)
        return self._chunk(found) if self._fault in ("bad_chunk_size", "no_last_chunk") else found

    def _chunk(self, data: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(data), data) if data else b""
