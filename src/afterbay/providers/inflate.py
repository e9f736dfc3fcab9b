"""Bodies that a provider, or what stands before it, compressed though nobody asked for it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from afterbay.ports import TransportError

MOST_AT_ONCE = 1 << 18
"""As much comes out in one piece: a megabyte of zeros is a kilobyte when it is compressed."""

_KNOWN = frozenset({"gzip", "x-gzip", "deflate"})
_ANY_HEADER = zlib.MAX_WBITS | 32


class Inflater:
    """Takes a body's bytes as they come, and gives what they stand for piece by piece."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(_ANY_HEADER)
        self._waiting = b""

    def feed(self, data: bytes) -> bytes:
        """The next piece, of what is waiting and of `data`; empty: more bytes are needed, or it is over.

        Raises:
            TransportError: they are not compressed as the header says.
        """
        if self._zlib.eof:
            return b""
        try:
            piece = self._zlib.decompress(self._waiting + data, MOST_AT_ONCE)
        except zlib.error as error:
            text = f"its body is not compressed as it says: {error}"[:200]
            raise TransportError(text, connected=True) from None
        self._waiting = self._zlib.unconsumed_tail
        return piece

    def end(self) -> None:
        """The body has ended.

        Raises:
            TransportError: before what it holds did.
        """
        if not self._zlib.eof:
            raise TransportError("the compressed body ended before its end", connected=True)


def inflater_for(headers: Mapping[str, str]) -> Inflater | None:
    """What unpacks a body with these headers; None: nothing has to, or nothing here can."""
    encoding = headers.get("content-encoding")
    return Inflater() if encoding is not None and encoding.strip().lower() in _KNOWN else None
