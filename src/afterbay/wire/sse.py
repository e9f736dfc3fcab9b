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


class EventTooLarge(ValueError):
    """One event is larger than the limit; the upstream is broken or hostile."""


class Splitter:
    """Cuts a byte stream into whole events.

    `feed` gives back the raw bytes of all events that are whole by now, exactly as they came, and the same events
    decoded. The unfinished tail is kept (at most `limit_bytes`), so a relay never forwards half an event. A long event
    in small pieces takes linear time: until it ends, only the seam of the last two pieces is looked at.
    """

    def __init__(self, limit_bytes: int = 16 * 1024 * 1024) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._seam = b""
        self._limit_bytes = limit_bytes
        self._first = True

    def feed(self, data: bytes) -> tuple[bytes, list[SseEvent]]:
        """Takes the next bytes from the network.

        Raises:
            EventTooLarge: the unfinished event passed the limit.
        """
        if self._pieces:
            if not self._first and _end_of_last_event(self._seam + data) == 0:
                self._keep(data)
                return b"", []
            data = self._all_kept() + data
        if self._first:
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._keep(data)
                return b"", []
            self._first = False
            if data.startswith(_BOM):
                data = data[3:]
        end = _end_of_last_event(data)
        if end < len(data):
            self._keep(data[end:])
        if end == 0:
            return b"", []
        whole = data[:end]
        return whole, decode(whole)

    def rest(self) -> tuple[bytes, list[SseEvent]]:
        """What is left at the end of input: raw bytes, and the event they make if they hold a complete line."""
        tail = self._all_kept()
        return tail, decode(tail + b"\n\n") if tail else []

    def ended(self, rest: bytes) -> bytes:
        """The last event with the blank line that it lacks."""
        return rest.rstrip(b"\r\n") + b"\n\n"

    def before(self, whole: bytes, data: bytes) -> bytes:
        """The events of `whole` that came before the one that holds `data`."""
        head = whole[: max(whole.find(data), 0)]
        return head[: _end_of_last_event(head)]

    def _keep(self, data: bytes) -> None:
        """Adds to the unfinished tail. The longest blank line has four bytes, so its seam needs three."""
        gather(self._pieces, data)
        self._size += len(data)
        self._seam = (self._seam + data[-3:])[-3:]
        if self._size > self._limit_bytes:
            raise EventTooLarge(f"an event of over {self._limit_bytes} bytes; the limit is limits.event_bytes")

    def _all_kept(self) -> bytes:
        tail = b"".join(self._pieces)
        self._pieces, self._size, self._seam = [], 0, b""
        return tail


def gather(pieces: list[bytes], data: bytes) -> None:
    """Adds to the pieces of something unfinished. Neighbours of about one size become one: few are kept, each of which
    takes forty bytes of its own, and no byte is copied more than log2(pieces) times."""
    pieces.append(data)
    while len(pieces) > 1 and len(pieces[-2]) <= 2 * len(pieces[-1]):
        last = pieces.pop()
        pieces[-1] += last


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
