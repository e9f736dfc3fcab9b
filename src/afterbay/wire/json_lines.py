"""A stream of JSON lines (`application/x-ndjson`): one event a line. Ollama's own API and some servers stream so."""

from __future__ import annotations

from afterbay.wire.sse import EventTooLarge, SseEvent, gather


class Splitter:
    """See `afterbay.wire.framing.Splitter`."""

    def __init__(self, limit_bytes: int = 16 * 1024 * 1024) -> None:
        self._limit_bytes = limit_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> tuple[bytes, list[SseEvent]]:
        """Takes the next bytes.

        Raises:
            EventTooLarge: the unfinished line passed the limit.
        """
        end = data.rfind(b"\n") + 1
        raw = self._taken(data[:end]) if end else b""
        if end < len(data):
            gather(self._pieces, data[end:])
            self._size += len(data) - end
            if self._size > self._limit_bytes:
                raise EventTooLarge(f"an event of over {self._limit_bytes} bytes; the limit is limits.event_bytes")
        return raw, _lines(raw)

    def rest(self) -> tuple[bytes, list[SseEvent]]:
        """The last line, which may lack its end."""
        raw = self._taken(b"")
        return raw, _lines(raw)

    def ended(self, rest: bytes) -> bytes:
        """The last line with its end."""
        return rest.rstrip(b"\r\n") + b"\n"

    def before(self, whole: bytes, data: bytes) -> bytes:
        """The lines of `whole` before the one that holds `data`."""
        return whole[: whole.rfind(b"\n", 0, max(whole.find(data), 0)) + 1]

    def _taken(self, data: bytes) -> bytes:
        kept = b"".join((*self._pieces, data))
        self._pieces, self._size = [], 0
        return kept


def _lines(raw: bytes) -> list[SseEvent]:
    return [(None, line) for one in raw.split(b"\n") if (line := one.strip())]
