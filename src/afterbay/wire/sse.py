"""Server-sent events: an incremental splitter that is right under any cut of the bytes.

Source: WHATWG HTML, section 9.2.6 "Interpreting an event stream" (lines end in LF, CR LF or CR; a blank line ends an
event; several data lines join with LF; a leading BOM and comment lines are ignored; one space after the colon goes).
Deviation, on purpose: an event without the closing blank line at the end of input is not dropped here but offered by
`rest`, since providers end streams that way and the caller must judge whether it is a cut.
"""

from __future__ import annotations

from typing import TypeAlias

SseEvent: TypeAlias = tuple[bytes | None, bytes]
"""(name from `event:` or None, data)."""

_BOM = b"\xef\xbb\xbf"
_MARK_BYTES = 4
"""Of the longest blank line: CR LF CR LF."""


class EventTooLarge(ValueError):
    """One event is larger than the limit; the upstream is broken or hostile."""


class Splitter:
    """Cuts a byte stream into whole events.

    `feed` gives back the raw bytes of all events that are whole by now, exactly as they came, and the same events
    decoded. The unfinished tail is kept (at most `limit_bytes`), so a relay never forwards half an event.
    """

    def __init__(self, limit_bytes: int = 16 * 1024 * 1024) -> None:
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._near = b""
        self._limit_bytes = limit_bytes
        self._first = True

    def feed(self, data: bytes) -> tuple[bytes, list[SseEvent]]:
        """Takes the next bytes from the network. Its time is proportional to them, however long the event already is.

        Raises:
            EventTooLarge: the unfinished event passed the limit.
        """
        if self._first:
            data = self._take_tail(data)
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._keep(data)
                return b"", []
            self._first = False
            if data.startswith(_BOM):
                data = data[3:]
        elif self._tail:
            # A blank line may begin in what is kept already, but not further back than its longest mark is long.
            if not _end_of_last_event(self._near + data):
                self._keep(data)
                return b"", []
            data = self._take_tail(data)
        end = _end_of_last_event(data)
        if end < len(data):
            self._keep(data[end:])
        if end == 0:
            return b"", []
        whole = data[:end]
        return whole, decode(whole)

    def rest(self) -> tuple[bytes, list[SseEvent]]:
        """What is left at the end of input: raw bytes, and the event they make if they hold a complete line."""
        tail = self._take_tail(b"")
        return tail, decode(tail + b"\n\n") if tail else []

    def _take_tail(self, data: bytes) -> bytes:
        """What is kept, and `data` after it."""
        if not self._tail:
            return data
        whole = b"".join((*self._tail, data))
        self._tail, self._tail_bytes, self._near = [], 0, b""
        return whole

    def _keep(self, data: bytes) -> None:
        """Keeps an unfinished event. Small pieces become one now and then: a million of them would cost their objects.

        Raises:
            EventTooLarge: it passed the limit.
        """
        if not data:
            return
        self._tail.append(data)
        self._tail_bytes += len(data)
        self._near = data[-_MARK_BYTES:] if len(data) >= _MARK_BYTES else (self._near + data)[-_MARK_BYTES:]
        if self._tail_bytes > self._limit_bytes:
            raise EventTooLarge(f"an event of over {self._limit_bytes} bytes; the limit is limits.event_bytes")
        # Pieces of about one size become one: each byte is copied log2(pieces) times at most, and few pieces are kept.
        while len(self._tail) > 1 and len(self._tail[-2]) <= 2 * len(self._tail[-1]):
            last = self._tail.pop()
            self._tail[-1] += last


def _end_of_last_event(data: bytes) -> int:
    """Index after the last blank line; 0 if there is none. A CR at the very end may be half of a CR LF: it waits."""
    if b"\r" not in data:
        at = data.rfind(b"\n\n")
        return at + 2 if at >= 0 else 0
    usable = len(data) - 1 if data.endswith(b"\r") else len(data)
    best = 0
    for mark in (b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n", b"\n\r", b"\r\n\r"):
        at = data.rfind(mark, 0, usable)
        if at < 0:
            continue
        end = at + len(mark)
        if mark.endswith(b"\r") and data[end : end + 1] == b"\n":
            end += 1
        best = max(best, end)
    return best


def decode(whole: bytes) -> list[SseEvent]:
    """Decodes bytes that hold only whole events."""
    if b"\r" in whole:
        whole = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[SseEvent] = []
    for block in whole.split(b"\n\n"):
        if block.startswith(b"data: ") and b"\n" not in block:  # nearly every event of nearly every provider
            events.append((None, block[6:]))
        elif block:
            event = _decode_block(block)
            if event is not None:
                events.append(event)
    return events


def before(whole: bytes, data: bytes) -> bytes:
    """The events of `whole` that came before the one that holds `data`."""
    head = whole[: max(whole.find(data), 0)]
    return head[: _end_of_last_event(head)]


def _decode_block(block: bytes) -> SseEvent | None:
    name: bytes | None = None
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return (name, b"\n".join(data)) if data else None
