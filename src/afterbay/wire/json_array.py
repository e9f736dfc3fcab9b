"""A stream that is one JSON array, item by item: what Gemini sends to who does not ask for `alt=sse`.

Only strings and brackets are looked at, each byte once; whether an item is JSON is for its parser to say. A lone object
in place of the array is a stream of one item.
"""

from __future__ import annotations

import re

from afterbay.wire.sse import EventTooLarge, SseEvent, gather

_SIGN = re.compile(rb'["{}\[\]]')
_IN_STRING = re.compile(rb'["\\]')


class Splitter:
    """See `afterbay.wire.framing.Splitter`. The array's brackets and commas count for the item before them."""

    def __init__(self, limit_bytes: int = 16 * 1024 * 1024) -> None:
        self._limit_bytes = limit_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._depth = 0
        self._in_string = self._escaped = False

    def feed(self, data: bytes) -> tuple[bytes, list[SseEvent]]:
        """Takes the next bytes.

        Raises:
            EventTooLarge: the unfinished item passed the limit.
        """
        ends = self._scan(data)
        is_open = self._depth > 0 or self._in_string
        # while no item is open, what else is here belongs to the last one
        boundary = (ends[-1] if ends else 0) if is_open else len(data)
        raw = self._taken(data[:boundary]) if boundary else b""
        self._keep(data[boundary:])
        shift = len(raw) - boundary
        events: list[SseEvent] = []
        at = 0
        for end in ends:
            item = raw[at : end + shift]
            events.append((None, item[item.index(b"{") :]))
            at = end + shift
        return raw, events

    def rest(self) -> tuple[bytes, list[SseEvent]]:
        """Half an item, if the stream was cut: it is none."""
        return self._taken(b""), []

    def ended(self, rest: bytes) -> bytes:
        """See `afterbay.wire.framing.Splitter`."""
        return rest

    def before(self, whole: bytes, data: bytes) -> bytes:
        """The items of `whole` before the one that holds `data`, without the comma that led to it."""
        return whole[: max(whole.find(data), 0)].rstrip(b", \r\n\t")

    def _scan(self, data: bytes) -> list[int]:
        """Where items end in `data`. The depth counts braces and the brackets inside them, not the array's own."""
        ends: list[int] = []
        if not data:
            return ends
        at = 1 if self._escaped else 0
        self._escaped = False
        while (found := (_IN_STRING if self._in_string else _SIGN).search(data, at)) is not None:
            sign, at = found[0], found.end()
            if sign == b'"':
                self._in_string = not self._in_string
            elif sign == b"\\":
                self._escaped = at == len(data)
                at += 1
            elif sign == b"{" or (sign == b"[" and self._depth):
                self._depth += 1
            elif self._depth:
                self._depth -= 1
                if not self._depth:
                    ends.append(at)
        return ends

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        gather(self._pieces, data)
        self._size += len(data)
        if self._size > self._limit_bytes:
            raise EventTooLarge(f"an event of over {self._limit_bytes} bytes; the limit is limits.event_bytes")

    def _taken(self, data: bytes) -> bytes:
        kept = b"".join((*self._pieces, data))
        self._pieces, self._size = [], 0
        return kept
