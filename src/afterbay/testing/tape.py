"""An exchange with a provider while it runs: what came when, within bounds of memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from afterbay.ports import TransportError
from afterbay.testing.recorded import (
    End,
    Recorded,
    content,
    fingerprint,
    kept_request_headers,
    kept_response_headers,
    scrub,
    scrub_chunks,
    without_key,
)

BODY_BYTES = 32 * 1024 * 1024
"""Of a longer answer the rest is passed on and not recorded."""
OPEN_BYTES = 256 * 1024 * 1024
"""A recorder keeps no more of all answers that are under way; what goes beyond is passed on and not recorded."""
CHUNKS = 100_000


class Room:
    """What a recorder may still keep in memory."""

    def __init__(self) -> None:
        self.left_bytes = OPEN_BYTES


class Tape:
    """One exchange while it runs."""

    def __init__(
        self,
        provider: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        now: Callable[[], float],
        room: Room,
        request_id: str = "",
        sent_at: float = 0.0,
    ) -> None:
        self._room = room
        self.mark = fingerprint(provider, path, body)
        self._provider, self._path, self._body = provider, without_key(path), scrub(body)
        self._headers = kept_request_headers(headers)
        self._now, self._start_s = now, now()
        self._status: int | None = None
        self._response_headers: dict[str, str] = {}
        self._headers_at_s = self._end_at_s = 0.0
        self._chunks: list[tuple[float, bytes]] = []
        self._size = 0
        self._end: End = "closed"
        self._message: str | None = None
        self._code: str | None = None
        self._starting_s: float | None = None
        self._request_id, self._sent_at = request_id, sent_at
        self._connected = True

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Status and headers are there."""
        self._status, self._response_headers = status, kept_response_headers(headers)
        self._headers_at_s = self._now() - self._start_s

    def add(self, data: bytes) -> None:
        """Bytes of the body came."""
        if self._end == "too_large":
            return
        if self._size + len(data) > BODY_BYTES or len(self._chunks) >= CHUNKS or len(data) > self._room.left_bytes:
            self.stop("too_large")
            return
        self._size += len(data)
        self._room.left_bytes -= len(data)
        self._end = "closed"
        self._chunks.append((self._now() - self._start_s, data))

    def break_off(self, error: TransportError) -> None:
        """The connection failed."""
        self._message, self._connected = str(error), error.connected
        self._code, self._starting_s = error.code, error.retry_after_s
        self.stop("broken")

    def stop(self, end: End) -> None:
        """Nothing follows, as far as one knows now."""
        if self._end != "too_large":
            self._end = end
        self._end_at_s = self._now() - self._start_s

    def close(self) -> None:
        """Gives its room back; `recorded` may follow."""
        self._room.left_bytes += self._size
        if self._end == "closed":
            self._end_at_s = self._now() - self._start_s

    def recorded(self) -> Recorded:
        """What was seen, without secrets."""
        return Recorded(
            provider=self._provider,
            path=self._path,
            request_headers=self._headers,
            request=content(self._body),
            status=self._status,
            headers_at_s=round(self._headers_at_s, 6),
            response_headers=self._response_headers,
            chunks=scrub_chunks(self._chunks),
            end=self._end,
            end_at_s=round(self._end_at_s, 6),
            message=self._message,
            connected=self._connected,
            code=self._code,
            starting_s=self._starting_s,
            request_id=self._request_id,
            sent_at=self._sent_at,
        )
