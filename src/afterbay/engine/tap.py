"""Usage and cost of a raw request whose answer a known dialect reads; of all others nothing is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from afterbay.config.snapshot import Snapshot
from afterbay.core.decision import Target
from afterbay.core.event import Event
from afterbay.core.usage import Usage
from afterbay.engine.fleet import Fleet
from afterbay.engine.meter import Meter
from afterbay.wire.dialect import Dialect
from afterbay.wire.registry import DIALECTS, EMBED_DIALECTS
from afterbay.wire.sse import Splitter

WHOLE_BYTES = 4 << 20
"""No more of a whole answer is kept to be read."""
EVENT_BYTES = 1 << 20
SLICE_BYTES = 1 << 16

_READERS: tuple[tuple[str, str], ...] = (
    ("/chat/completions", "openai.chat"),
    ("/v1/messages", "anthropic.messages"),
    ("/responses", "openai.responses"),
    (":generateContent", "gemini"),
    (":streamGenerateContent", "gemini"),
)
Count: TypeAlias = Callable[[bytes], tuple[object, Usage | None]]


class Tap:
    """Watches the bytes of one answer go by. What it cannot read, or is too large for it, it lets go."""

    def __init__(self, path: str, status: int, headers: Mapping[str, str]) -> None:
        self._meter = Meter()
        self._dialect = _dialect(path)
        self._count: Count | None = None
        if path.endswith("/embeddings"):
            self._count = EMBED_DIALECTS["openai.embeddings"].parse_answer
        kind = headers.get("content-type", "")
        readable = headers.get("content-encoding", "identity") == "identity" and status == 200
        self._on = readable and (self._dialect is not None or self._count is not None)
        self._streams = kind.startswith("text/event-stream") and self._dialect is not None
        self._splitter = Splitter(EVENT_BYTES)
        self._parser = self._dialect.stream_parser("tap") if self._dialect is not None else None
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """The next bytes of the answer."""
        if not self._on:
            return
        if self._streams:
            self._try(self._feed_events, data)
            return
        self._size += len(data)
        self._pieces.append(data)
        if self._size > WHOLE_BYTES:
            self._stop()

    def end(self) -> None:
        """The answer is complete."""
        if self._on and not self._streams:
            self._try(self._read_whole, b"".join(self._pieces))

    @property
    def is_over(self) -> bool:
        """Whether a stream's own last event has gone by."""
        return self._on and self._streams and self._parser is not None and self._parser.is_over

    @property
    def usage(self) -> Usage | None:
        """What was used, as the provider told it; None: it is not known."""
        return self._meter.usage

    @property
    def model(self) -> str:
        """Who answered, as the answer says; empty if it does not."""
        return self._meter.model

    def _feed_events(self, data: bytes) -> None:
        assert self._parser is not None, "only a dialect streams"  # noqa: S101
        for at in range(0, len(data), SLICE_BYTES):
            for name, event in self._splitter.feed(data[at : at + SLICE_BYTES])[1]:
                events: list[Event] = []
                self._parser.push(name, event, events)
                self._meter.see(events)

    def _read_whole(self, body: bytes) -> None:
        if self._dialect is not None:
            self._meter.see(self._dialect.parse_answer(body, "tap"))
        elif self._count is not None:
            self._meter.usage = self._count(body)[1]

    def _try(self, read: Callable[[bytes], None], data: bytes) -> None:
        try:
            read(data)
        except (ValueError, RecursionError):
            self._stop()

    def _stop(self) -> None:
        """What is half read counts for nothing."""
        self._on, self._pieces = False, []
        self._meter = Meter()


def _dialect(path: str) -> Dialect | None:
    return next((DIALECTS.get(name) for end, name in _READERS if path.endswith(end)), None)


def priced(snapshot: Snapshot, fleet: Fleet, provider: str, model: str) -> Target | None:
    """The target that a model of a provider is configured as, or one made for it."""
    alias = snapshot.by_upstream_name.get(model)
    for target in snapshot.aliases[alias].targets if alias is not None else ():
        if (target.provider, target.name) == (provider, model):
            return target
    return fleet.direct(provider, model)
