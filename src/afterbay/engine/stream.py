"""Moves one streamed answer from a target to the client.

Same dialect: whole events pass as the bytes they came in, and the parser only watches. Other dialect: events go from
the target's parser to the client's renderer. Nothing is sent before the first output (the commit point): until then
the attempt may still fail without the client seeing it. Half an event is never sent.
"""

from __future__ import annotations

from typing import Protocol

from afterbay.core.decision import Target
from afterbay.core.errors import ProviderError
from afterbay.core.event import Event, Failed
from afterbay.engine.delivery import Delivery, Unusable
from afterbay.engine.meter import Meter
from afterbay.ports import UpstreamResponse
from afterbay.wire.dialect import Dialect
from afterbay.wire.sse import Splitter, SseEvent


class ProviderFailure(Exception):
    """The target answered with an error, or broke its own protocol.

    `body` is its own text where it is in the client's dialect already; `shown`: the client has seen the error event.
    """

    def __init__(self, error: ProviderError, body: bytes | None = None, *, shown: bool = False) -> None:
        super().__init__(error.message)
        self.error, self.body, self.shown = error, body, shown


class Pace(Protocol):
    """What the owner of a stream is told, so that only the target's own silence counts against it."""

    def commit(self) -> None:
        """The first output is about to go out."""

    def before_write(self) -> None:
        """The client is written to: while it reads, the target is not late."""

    def after_write(self, progress: bool) -> None:
        """It has read. `progress`: what came was part of the answer; pings and comments are none."""


class Pump:
    """One stream on its way."""

    def __init__(
        self,
        dialect: Dialect,
        seed: str,
        relays: bool,
        event_bytes: int,
        meter: Meter,
        delivery: Delivery,
        pace: Pace,
    ) -> None:
        self._splitter = Splitter(event_bytes)
        self._parser = dialect.stream_parser(seed)
        self._relays = relays
        self._meter = meter
        self._delivery = delivery
        self._pace = pace
        self._held_bytes: list[bytes] = []
        self._held_events: list[Event] = []
        self._held_size = 0
        self._limit = event_bytes
        self._committed = False
        self._malformed = 0

    async def run(self, response: UpstreamResponse, target: Target) -> None:
        """Reads to the end.

        Raises:
            ProviderFailure: an error inside the stream, or the stream was cut.
            TransportError, ClientGone: as their names say.
            Unusable: it ended properly without any output.
        """
        while data := await response.read():
            try:
                raw, sse = self._splitter.feed(data)
            except ValueError as error:
                raise ProviderFailure(ProviderError("server", str(error), code="bad_answer")) from None
            if raw:
                await self._take(raw, self._parse(sse), target, sse)
        raw, sse = self._splitter.rest()
        unread = self._malformed
        events = self._parse(sse)
        if self._meter.error is None and not self._parser.is_complete:
            raise ProviderFailure(ProviderError("cut", "the stream ended before the answer did"))
        if sse and self._malformed == unread:  # else it is half an event
            await self._take(raw.rstrip(b"\r\n") + b"\n\n", events, target, sse)
        if not self._committed:
            raise Unusable("empty", "the stream ended without any output")

    def _parse(self, sse: list[SseEvent]) -> list[Event]:
        events: list[Event] = []
        for name, data in sse:
            try:
                self._parser.push(name, data, events)
            except ValueError:
                self._malformed += 1
                if self._malformed > 1 and not self._relays:
                    error = ProviderError("server", "its stream holds events that cannot be read", code="bad_answer")
                    raise ProviderFailure(error) from None
        self._meter.see(events)
        return events

    async def _take(self, raw: bytes, events: list[Event], target: Target, sse: list[SseEvent]) -> None:
        """Passes on what has come; or holds it, while nothing of it is output."""
        error = self._meter.error
        if error is not None and not self._relays:
            events = [event for event in events if type(event) is not Failed]  # the one error event is `fail`'s
        if not self._committed:
            if self._relays:
                self._held_bytes.append(raw)
            else:
                self._held_events += events
            self._held_size += len(raw)
            if error is not None and not self._meter.has_output:
                raise ProviderFailure(error)
            if self._held_size > self._limit and not self._meter.has_output:
                raise ProviderFailure(ProviderError("server", "too much without any output", code="bad_answer"))
            if not self._meter.has_output:
                return
            self._committed = True
            self._pace.commit()
            self._pace.before_write()
            await self._delivery.open_stream(target)
            await self._delivery.write(self._flush())
            self._pace.after_write(True)
        else:
            progress = bool(events) or any(name != b"ping" for name, _ in sse)
            await self._pass(raw if self._relays else self._delivery.renderer().render(events), progress)
        if error is not None:
            raise ProviderFailure(error, shown=self._relays)

    async def _pass(self, chunk: bytes, progress: bool) -> None:
        """Sends a chunk, if there is anything to send."""
        self._pace.before_write()
        if chunk:
            await self._delivery.write(chunk)
        self._pace.after_write(progress)

    def _flush(self) -> bytes:
        held, events = b"".join(self._held_bytes), self._held_events
        self._held_bytes, self._held_events = [], []
        return held if self._relays else self._delivery.renderer(self._meter.model or "").render(events)

    async def deliver_held(self, target: Target) -> None:
        """Sends what was held of a stream without output: the answer, for want of a better one."""
        await self._delivery.open_stream(target)
        await self._delivery.write(self._flush())
