"""How a journal's file is written: one frame after another, each with its length and checksum, so that a reader knows
what a crash has cut and goes on behind it.

    frame   = "aJ1" kind length crc payload     kind: I an intent, O an outcome
    length    of the payload, 4 bytes, little-endian; crc: CRC-32 of kind and payload (zlib.crc32)
    payload   a record as JSON, so that an operator can read it with `strings`
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

INTENT: Final = b"I"
OUTCOME: Final = b"O"

_MAGIC: Final = b"aJ1"
_HEAD: Final = struct.Struct("<3scII")


def frame(kind: bytes, payload: bytes) -> bytes:
    """A frame as it is appended, in one write."""
    return _HEAD.pack(_MAGIC, kind, len(payload), zlib.crc32(payload, zlib.crc32(kind))) + payload


def read_frames(data: bytes, unread: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The frames of a file as (kind, payload). What is none goes to `unread`: a torn tail, or what a disk has spoilt.

    Zeros behind a frame, or behind what is left of one, are dropped: a file may be longer than what was written to it,
    and a crash of the machine leaves them where a block did not get to the disk.
    """
    at, bad = 0, -1
    while at < len(data):
        found = _at(data, at)
        if found is not None:
            if bad >= 0:
                _keep(data[bad:at], unread)
                bad = -1
            kind, payload, at = found
            yield kind, payload
            continue
        if bad < 0:
            bad = at
        at = data.find(_MAGIC, at + 1)
        if at < 0:
            break
    if bad >= 0:
        _keep(data[bad:], unread)


def _keep(piece: bytes, unread: list[bytes]) -> None:
    if written := piece.rstrip(b"\0"):
        unread.append(written)


def _at(data: bytes, at: int) -> tuple[bytes, bytes, int] | None:
    """The frame that begins there, and where the next one does."""
    if at + _HEAD.size > len(data):
        return None
    magic, kind, length, crc = _HEAD.unpack_from(data, at)
    begin = at + _HEAD.size
    payload = data[begin : begin + length]
    if magic != _MAGIC or len(payload) < length or zlib.crc32(payload, zlib.crc32(kind)) != crc:
        return None
    return kind, payload, begin + length
