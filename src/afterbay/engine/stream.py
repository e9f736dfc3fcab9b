"""Moves one streamed answer from a target to the client.

Same dialect: whole events pass as the bytes they came in, and the parser only watches. Other dialect: events go from
the target's parser to the client's renderer. Nothing is sent before the first output (the commit point): until then
the attempt may still fail without the client seeing it. Half an event is never sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

import msgspec

from afterbay.core.decision import Target
from afterbay.core.errors import ProviderError
from afterbay.core.event import OUTPUT, Event, Failed, Finished, ReasoningDelta, RefusalDelta, TextDelta
from afterbay.engine.calls import Calls
from afterbay.engine.delivery import Delivery, Unusable
from afterbay.engine.meter import Meter
from afterbay.engine.resume import Leg, Sent, doubtful
from afterbay.ports import TransportError, UpstreamResponse
from afterbay.wire.dialect import Dialect
from afterbay.wire.framing import Splitter
from afterbay.wire.openai_chat.relay import without_usage
from afterbay.wire.seam import Doubtful
from afterbay.wire.sse import SseEvent

SLICE_BYTES = 1 << 16
"""As much is decoded at once: a decoded event takes ten times its bytes, and a slow reader should cost little."""

_TEXTS = (TextDelta, RefusalDelta, ReasoningDelta)

LAST_BYTES_S = 0.25
"""As long is waited for the end of a connection whose answer is complete."""


class ProviderFailure(Exception):
    """The target answered with an error, or broke its own protocol.

    `body` is its own text where it is in the client's dialect already; `shown`: the client has seen the error event.
    """

    def __init__(self, error: ProviderError, body: bytes | None = None, *, shown: bool = False) -> None:
        super().__init__(error.message)
        self.error, self.body, self.shown = error, body, shown


class _Unreadable(Exception):
    """An event that is not JSON, or of a shape that cannot be translated; `events` came before it."""

    def __init__(self, events: list[Event], data: bytes) -> None:
        super().__init__("unreadable")
        self.events, self.data = events, data


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
        splitter: Splitter,
        event_bytes: int,
        meter: Meter,
        delivery: Delivery,
        pace: Pace,
        hides_usage: bool = False,
        outgoing: Callable[[list[Event]], list[Event]] = list,
        calls: Calls | None = None,
        leg: Leg | None = None,
    ) -> None:
        self.sent: Sent | None = None
        """What the client gets; None: nobody would go on with it."""
        resumption = delivery.resumption
        if resumption is not None:
            trail = dialect.trail() if relays and dialect.trail is not None else None
            before = resumption.sent.checkpoint if leg is not None and resumption.sent is not None else None
            self.sent = Sent(trail, before)
        self._resumption = resumption
        self._leg = leg
        self._error_data = self._tail = b""
        self._splitter = splitter
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
        self._hides_usage = hides_usage
        self._outgoing = outgoing
        self._calls = calls
        self._finished: set[int] = set()

    async def run(self, response: UpstreamResponse, target: Target) -> None:
        """Reads to the end.

        Raises:
            ProviderFailure: an error inside the stream, or the stream was cut.
            TransportError, ClientGone: as their names say.
            Unusable: it ended properly without any output.
        """
        while not self._parser.is_over and (data := await self._read(response)):
            for at in range(0, len(data), SLICE_BYTES):
                try:
                    raw, sse = self._splitter.feed(data[at : at + SLICE_BYTES])
                except ValueError as error:
                    raise ProviderFailure(ProviderError("server", str(error), code="bad_answer")) from None
                if raw:
                    await self._take(raw, sse, target)
        await self._take_rest(target)
        is_whole = self._is_finished and self._meter.error is None
        if self._calls is not None and (is_whole or self.sent is None) and (self._committed or self._leg is not None):
            await self.end_calls(self._calls)
        if self._meter.error is None and not is_whole:
            raise ProviderFailure(ProviderError("cut", "the stream ended before the answer did"))
        if self._leg is not None:
            await self._end_leg(self._leg)
        if not self._committed:
            refused = self._meter.finish == "content_filter"
            raise Unusable("refusal" if refused else "empty", "the stream ended without any output")

    @property
    def is_complete(self) -> bool:
        """Whether the answer has come to its end, though perhaps not the connection."""
        return self._committed and self._is_finished and self._meter.error is None

    @property
    def _is_finished(self) -> bool:
        """Whether the answer is whole: where somebody would go on with it, its reason to stop is enough."""
        return self._parser.is_complete or (self.sent is not None and self.sent.checkpoint.finish is not None)

    @property
    def ending(self) -> bytes:
        """The protocol's last bytes, where a relayed stream broke off just before them."""
        trail = self.sent.trail if self.sent is not None else None
        return trail.ending if trail is not None and self._relays and not self._parser.is_complete else b""

    async def end_calls(self, calls: Calls) -> None:
        """Sends what is still held of tool calls."""
        rest = calls.close()
        if rest and self._leg is not None:
            await self._go_on(self._leg, rest, progress=True)
        elif rest:
            if self.sent is not None:
                self.sent.see(rest)
            await self._send(self._delivery.renderer().render(rest), progress=True)

    async def _read(self, response: UpstreamResponse) -> bytes:
        """The next bytes. A connection that breaks after the answer's end has brought everything that counts."""
        try:
            return await response.read()
        except TransportError:
            if self._is_finished:
                return b""
            if self._calls is not None and self._committed and self.sent is None:
                await self.end_calls(self._calls)
            raise

    async def let_go(self, response: UpstreamResponse) -> None:
        """Reads the connection's last bytes after the answer's end, if they come soon: then it can be used again."""
        with contextlib.suppress(TimeoutError, TransportError):
            async with asyncio.timeout(LAST_BYTES_S):
                while await response.read():
                    pass

    async def _take_rest(self, target: Target) -> None:
        """The last event may lack its blank line: some hosts end so. Half an event, after a cut, is not passed on."""
        try:
            raw, sse = self._splitter.rest()
        except ValueError as error:
            if self._parser.is_complete:
                return
            raise ProviderFailure(ProviderError("server", str(error), code="bad_answer")) from None
        if sse and not self._parser.is_over:
            with contextlib.suppress(_Unreadable):
                events = self._parse(sse, strict=True)
                if self._parser.is_complete or self._meter.error is not None:
                    await self._pass_on(self._splitter.ended(raw), events, target)

    def _parse(self, sse: list[SseEvent], strict: bool = False) -> list[Event]:
        """What the events mean. One of another shape is the relay's client's business, unless `strict`.

        Raises:
            _Unreadable: with the events before it.
        """
        events: list[Event] = []
        notes = self.sent if self._relays else None
        for name, data in sse:
            at = len(events)
            try:
                self._parser.push(name, data, events)
            except msgspec.ValidationError:
                if strict or not self._relays:
                    raise _Unreadable(events, data) from None
            except (ValueError, RecursionError):
                raise _Unreadable(events, data) from None
            if notes is not None:
                new = events[at:]
                if new and type(new[-1]) is Failed:
                    self._error_data = data
                else:
                    notes.note(name, data, new)
        self._meter.see(events)
        if self._relays:
            return events
        return self._outgoing(events if self._meter.finish is None else self._in_order(events))

    def _in_order(self, events: list[Event]) -> list[Event]:
        """Without text that comes after the end of its choice: the first end counts."""
        kept: list[Event] = []
        for event in events:
            if type(event) is Finished:
                self._finished.add(event.choice)
            if not (isinstance(event, _TEXTS) and event.choice in self._finished):
                kept.append(event)
        return kept

    async def _take(self, raw: bytes, sse: list[SseEvent], target: Target) -> None:
        """Passes on what has come, up to an event that cannot be read.

        Raises:
            ProviderFailure: there was one.
        """
        try:
            events, progress = self._parse(sse), any(name != b"ping" for name, _ in sse)
            await self._pass_on(without_usage(sse) if self._hides_usage else raw, events, target, progress)
        except _Unreadable as bad:
            self._meter.see(bad.events)
            await self._pass_on(self._splitter.before(raw, bad.data), bad.events, target)
            text = "its stream holds an event that cannot be read"
            raise ProviderFailure(ProviderError("server", text, code="bad_answer")) from None

    async def _pass_on(self, raw: bytes, events: list[Event], target: Target, progress: bool = True) -> None:
        """Passes on bytes or events; or holds them, while nothing of it is output.

        `progress`: there was an event other than a ping, be it one without a meaning of its own (a block ends).
        """
        error = self._meter.error
        if self._calls is not None:
            events = self._calls.push(events)
            if error is not None and self.sent is None:
                events += self._calls.close()
        if error is not None and not self._relays:
            events = [event for event in events if type(event) is not Failed]  # the one error event is `fail`'s
        elif error is not None and self._error_data:
            head = self._splitter.before(raw, self._error_data)
            self._tail, raw = raw[len(head) :], head
        if self._leg is not None:
            await self._go_on(self._leg, events, progress=progress)
            if error is not None:
                raise ProviderFailure(error)
            return
        if self.sent is not None:
            if self._relays:
                self.sent.passed()
            else:
                self.sent.see(events)
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
            await self._settle_first(error)
            await self._delivery.write(self._flush())
            self._pace.after_write(True)
        else:
            await self._settle_first(error)
            chunk = raw if self._relays else self._delivery.renderer().render(events)
            await self._send(chunk, progress=progress)
        if self._calls is not None and self._calls.wants:
            self._pace.before_write()
            events = await self._calls.ask()
            if self.sent is not None:
                self.sent.see(events)
            await self._send(self._delivery.renderer().render(events), progress=True)
        if error is not None:
            raise ProviderFailure(error, shown=self._relays and not self._tail)

    async def _settle_first(self, error: ProviderError | None) -> None:
        """Lets the log know what came of it, if these are the last bytes of a relayed stream.

        A protocol without a last event ends with HTTP's own end, and a translated stream with its renderer's.
        """
        if self._relays and (self._parser.is_over or (error is not None and not self._tail)):
            await self._delivery.settle_first(_outcome(error))

    async def _go_on(self, leg: Leg, events: list[Event], *, progress: bool) -> None:
        """Passes on what continues the answer; or holds it, until it is clear that it does.

        Raises:
            ProviderFailure: it does not.
        """
        try:
            out = leg.joint.push(leg.counted(events))
        except Doubtful as why:
            raise ProviderFailure(doubtful(str(why))) from None
        if not self._committed:
            self._held_events += out
            if leg.joint.is_joined and any(isinstance(event, OUTPUT) for event in self._held_events):
                await self._begin_leg(leg)
        else:
            assert self.sent is not None, "a leg follows what was sent"  # noqa: S101
            self.sent.see(out)
            await self._send(self._delivery.renderer().render(out), progress=progress)

    async def _begin_leg(self, leg: Leg) -> None:
        """The first of the continuation goes out."""
        assert self.sent is not None, "a leg follows what was sent"  # noqa: S101
        assert self._resumption is not None, "a leg is of a resumption"  # noqa: S101
        events, self._held_events = self._held_events, []
        self._committed = True
        self._pace.commit()
        self.sent.see(events)
        comment = self._resumption.told(leg)
        await self._send(comment + self._delivery.renderer().render(events), progress=True)

    async def _end_leg(self, leg: Leg) -> None:
        """The continuation has ended properly: what is held goes out, and the whole is looked at."""
        try:
            rest = leg.joint.close()
        except Doubtful as why:
            raise ProviderFailure(doubtful(str(why))) from None
        if not self._committed:
            self._held_events += rest
            await self._begin_leg(leg)
        elif rest and self.sent is not None:
            self.sent.see(rest)
            await self._send(self._delivery.renderer().render(rest), progress=True)
        if self._resumption is not None and not self._resumption.is_sound(self._meter.finish):
            raise ProviderFailure(doubtful("the whole of both is no JSON"))

    async def say_last(self) -> bool:
        """Sends what was held back in case that somebody goes on; whether it was the provider's own error."""
        if self._tail:
            await self._delivery.settle_first(_outcome(self._meter.error))
            await self._delivery.write(self._tail)
            return True
        if self._calls is not None and self._committed and self._leg is None:
            await self.end_calls(self._calls)
        return False

    async def _send(self, chunk: bytes, progress: bool) -> None:
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
        await self._delivery.settle_first()
        await self._delivery.write(self._flush())


def _outcome(error: ProviderError | None) -> str:
    """What is said of a request whose provider's own last word is passed on; its record may find a better word."""
    return "ok" if error is None else error.code or error.kind
