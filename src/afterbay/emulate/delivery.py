"""Sends one answer as its plan says: in time, piece by piece, and broken where it should break."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from afterbay.core.event import Event, TextDelta, fold
from afterbay.emulate.answer import Answered
from afterbay.emulate.line import Line
from afterbay.emulate.plan import Plan
from afterbay.emulate.protocols import Protocol, ordered_error
from afterbay.emulate.wording import around, begin, counted, ended, in_order, written
from afterbay.wire.dialect import Head, Renderer

_PING_S = 0.5
"""Seconds between the pings of a stall that is not quite silent."""
_BAD_CHUNK = b'data: {"this is": not JSON,\n\n'
_PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Sign in to the network</h1></body></html>"
_SSE = "text/event-stream"


class Delivery(msgspec.Struct):
    """What is needed to send an answer. `gap_s` gives the seconds before output piece n; `fired` takes the names of
    faults as they show."""

    line: Line
    protocol: Protocol
    plan: Plan
    head: Head
    headers: Mapping[str, str]
    gap_s: Callable[[int], float]
    fired: Callable[[str], None]

    async def send_page(self) -> None:
        """Status 200 with HTML or with nothing, 204, or a way to elsewhere."""
        page = _PAGE if self.plan.body == "html" else b""
        status = {"redirect": 302, "no_content": 204}.get(self.plan.body, 200)
        where = {"location": "http://elsewhere.invalid/v1"} if status == 302 else {}
        self.fired(self.plan.body)
        await asyncio.sleep(self.plan.headers_s)
        headers = {**self.headers, "content-type": "text/html; charset=utf-8", **where}
        await (send_head(self.line, status, headers) if status == 204 else send_whole(self.line, status, headers, page))

    async def send_stream(self, answered: Answered) -> None:
        """A streamed answer."""
        plan, line = self.plan, self.line
        renderer = self.protocol.dialect.renderer(self.head)
        await asyncio.sleep(plan.headers_s)
        kind = f"{_SSE}; charset=utf-8" if plan.content_type is None else plan.content_type
        headers = {**self.headers, "cache-control": "no-cache"} | ({"content-type": kind} if kind else {})
        await line.start(200, headers)
        await self._say(begin(plan.lines) + renderer.render([answered.started]))
        chunk = b""
        for number, piece in enumerate(in_order(answered.pieces, plan)):
            if await self._faults(number, renderer):
                return
            await asyncio.sleep(self.gap_s(number))
            chunk = renderer.render(piece)
            if number == plan.malformed_at:
                self.fired("malformed")
                chunk = _spoilt(chunk)
            await self._say(around(chunk, number, plan, self.protocol.dialect.name))
        if await self._faults(len(answered.pieces), renderer, is_last=True):
            return
        await self._say(ended(renderer.render(answered.tail) + renderer.finish(), chunk, plan))
        await line.end()

    async def _say(self, chunk: bytes) -> None:
        await self.line.write(written(counted(chunk, self.plan), self.plan.lines))

    async def _faults(self, number: int, renderer: Renderer, *, is_last: bool = False) -> bool:
        """The faults due before piece `number`; whether the stream is over. A short answer has them at its end."""

        def is_due(at: int | None) -> bool:
            return at is not None and (at == number or (is_last and at > number))

        plan = self.plan
        if is_due(plan.stall_at):
            self.fired("stall")
            await self._stall(renderer)
        if is_due(plan.error_at):
            self.fired("error-in-stream")
            await self.line.write(renderer.fail(ordered_error(529 if self.protocol.name == "anthropic" else 503)))
            await self.line.end()
            return True
        if is_due(plan.cut_at):
            self.fired("cut")
            if plan.cut_how == "half":
                await self._say(renderer.render([TextDelta("half an event")]).rstrip()[:-8])
            elif plan.cut_how != "eof":
                await self.line.shatter(reset=plan.cut_how == "reset")
            await self.line.end()
            return True
        return False

    async def _stall(self, renderer: Renderer) -> None:
        left_s = self.plan.stall_s
        while self.plan.stall_pings and left_s > _PING_S:
            await asyncio.sleep(_PING_S)
            left_s -= _PING_S
            await self.line.write(renderer.ping())
        await asyncio.sleep(left_s)

    async def send_answer(self, answered: Answered) -> None:
        """A whole answer. It takes as long as its stream would; the faults of streams have their likeness here."""
        plan, line = self.plan, self.line
        events: list[Event] = answered.events()
        body, _ = self.protocol.dialect.render_answer(fold(events), self.head, None)
        await asyncio.sleep(plan.headers_s + sum(self.gap_s(number) for number in range(len(answered.pieces))))
        if plan.error_at is not None:
            self.fired("error-in-stream")
            body = self.protocol.dialect.render_error(ordered_error(503), self.head.seed)
        elif plan.malformed_at is not None:
            self.fired("malformed")
            body = body[: len(body) // 2]
        body = counted(body, plan)
        headers = {**self.headers, "content-type": "application/json", "content-length": str(len(body))}
        half = len(body) // 2 if plan.stall_at is not None or plan.cut_at is not None else 0
        await line.start(200, headers)
        await line.write(body[:half])
        if plan.stall_at is not None:
            self.fired("stall")
            await asyncio.sleep(plan.stall_s)
        if plan.cut_at is not None:
            self.fired("cut")
            await line.shatter(reset=plan.cut_how == "reset")
        await line.write(body[half:])
        await line.end()


def _spoilt(chunk: bytes) -> bytes:
    """The chunk without the end of its JSON: under its own event name, since SDKs skip events of no or unknown name."""
    return chunk.rstrip()[:-3] + b"\n\n" if chunk else _BAD_CHUNK


async def send_head(line: Line, status: int, headers: Mapping[str, str]) -> None:
    """A response without a body."""
    await line.start(status, headers)
    await line.end()


async def send_whole(line: Line, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """A response with a body of known length."""
    await line.start(status, {**headers, "content-length": str(len(body))})
    await line.write(body)
    await line.end()
