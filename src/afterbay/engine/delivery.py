"""The client's side of a chat answer: headers, bytes, errors, pings, in the client's protocol.

Headers are held back until there is something to say, so that a failure can still have a status of its own. A stream
that has nothing to say for `hold` seconds gets its headers and pings, and then a failure becomes an error event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal

from afterbay.core.checkpoint import Checkpoint
from afterbay.core.decision import Target
from afterbay.core.errors import GatewayError
from afterbay.core.usage import microusd
from afterbay.engine.context import Turn
from afterbay.engine.held import limit_headers
from afterbay.engine.resume import Resumption
from afterbay.engine.settlement import settle
from afterbay.ports import Reply
from afterbay.wire.dialect import Renderer, Trail

PING_S = 10.0

RECONNECT = "x-afterbay-reconnect"
"""So many seconds a client may be away from its stream. In a request: it wants no more than that."""


class Unusable(Exception):
    """A whole answer that is not good enough, kept as a spare. `beyond`: targets that would answer alike, by id."""

    def __init__(self, outcome: Literal["empty", "invalid", "refusal"], why: str, beyond: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.outcome, self.why, self.beyond = outcome, why, beyond


class Delivery:
    """Writes one answer to one client."""

    def __init__(self, turn: Turn, reply: Reply) -> None:
        self.turn = turn
        self.reply = reply
        self._renderer: Renderer | None = None
        self._hold: asyncio.TimerHandle | None = None
        self._pinging: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self.attempts_made: Callable[[], int] = lambda: 1
        self.resumption: Resumption | None = None
        """Goes on with a stream that breaks; None: nothing does."""
        self.relays = False
        """Whether the stream that is being sent is the provider's own bytes."""
        self.has_said_end = False
        """Whether the stream's own end goes out: nothing may follow it, no error either."""
        self.has_settled = False
        """Whether the log knows what came of the request."""

    def renderer(self, model: str = "") -> Renderer:
        """The client's renderer. `model` is shown in the answer and counts at the first call."""
        if self._renderer is None:
            turn = self.turn
            self._renderer = turn.call.dialect.renderer(turn.head(model or turn.model))
        return self._renderer

    def take_over(self, trail: Trail, sent: Checkpoint) -> None:
        """Goes on by the client's renderer with a stream that was relayed so far."""
        if self.relays:
            self.relays, self.turn.shown_id = False, trail.answer_id
            self._renderer = trail.take_over(self.turn.head(self.turn.model), sent)

    def hold(self, hold_s: float) -> None:
        """Begins the holding time of a stream's headers."""
        loop = asyncio.get_running_loop()
        self._hold = loop.call_at(self.turn.call.received_s + hold_s, self._open_early)

    def _open_early(self) -> None:
        self._pinging = asyncio.get_running_loop().create_task(self._ping(), name=f"ping {self.turn.call.id}")

    async def _ping(self) -> None:
        """Sends headers and pings until it is cancelled by the first output, or by the end."""
        renderer = self.renderer()
        while True:
            async with self._writing:
                if not self.reply.started:
                    await self._start_stream(None, 0)
                await self.reply.write(renderer.ping())
            await asyncio.sleep(PING_S)

    async def settle(self) -> None:
        """Ends the holding time: from here on only the answer itself is written."""
        if self._pinging is not None:
            async with self._writing:  # a ping that is being written goes out whole
                self._pinging.cancel()
        await self.close()

    async def close(self) -> None:
        """Ends the pings whatever they are doing. Call it last."""
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        if self._pinging is not None:
            pinging, self._pinging = self._pinging, None
            pinging.cancel()
            await asyncio.wait((pinging,), timeout=1)

    async def open_stream(self, target: Target) -> None:
        """Sends the headers of a stream, unless they went out already."""
        await self.settle()
        if not self.reply.started:
            await self._start_stream(target, self.attempts_made())

    async def _start_stream(self, target: Target | None, attempts: int) -> None:
        self.turn.streams = True
        self.turn.context.open_streams += 1
        await self.reply.start(200, stream_headers(self.turn, target, attempts))

    async def write(self, data: bytes) -> None:
        """Sends bytes of a stream."""
        self.turn.response_bytes += len(data)
        await self.reply.write(data)

    async def settle_first(self, outcome: str = "ok") -> None:
        """The last bytes are about to go out: from now on the log knows what they cost, whatever happens here."""
        self.has_settled = True
        await settle(self.turn, outcome)

    async def end_stream(self, said: bytes = b"") -> None:
        """Ends a stream with the last bytes of its protocol, or with those that were relayed already."""
        if not self.has_settled:
            await self.settle_first()
        self.has_said_end = True
        if said:
            await self.write(said)
        await self.reply.end()

    async def send_whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Sends a whole answer."""
        await self.settle()
        self.turn.response_bytes += len(body)
        self.turn.record.status = status
        await self.settle_first()
        await self.reply.start(status, {**headers, "content-length": str(len(body))})
        await self.reply.end(body)

    def _last_renderer(self) -> Renderer:
        """The renderer that ends the stream: where bytes were relayed it has not begun what it ends."""
        turn = self.turn
        if self.relays and turn.response_bytes:
            return turn.call.dialect.renderer(turn.head(turn.model, begun=True))
        return self.renderer()

    async def send_error(self, error: GatewayError, body: bytes | None = None) -> None:
        """Says what went wrong: as a status and a body, or as an event where the stream has begun.

        `body` is an upstream's own error in the client's dialect, passed on as it is. A whole answer that broke off
        has no place for an error: it is left without its end, so that nobody takes it for complete.
        """
        await self.settle()
        if self.reply.started:
            if self.turn.stream and not self.has_said_end:
                await self.settle_first()
                await self.write(self._last_renderer().fail(error))
                await self.reply.end()
            return
        call = self.turn.call
        headers = {**base_headers(self.turn), "content-type": "application/json", **error_headers(error)}
        await self.send_whole(error.status, headers, body or call.dialect.render_error(error, call.id))


def base_headers(turn: Turn) -> dict[str, str]:
    """Headers of every answer."""
    headers = {"x-request-id": turn.call.id}
    decision = turn.decision
    if decision is not None:
        headers["x-afterbay-route"] = header_text(f"{decision.route}; {decision.reason}")
    warnings = [*turn.warnings, *(decision.warnings if decision is not None else ())]
    if warnings:
        headers["x-afterbay-warnings"] = header_text("; ".join(dict.fromkeys(warnings)))
    if turn.held is not None:
        headers |= limit_headers(turn.held, turn.context.ledger)
    return headers


def answer_headers(turn: Turn, target: Target, attempts: int) -> dict[str, str]:
    """Headers of an answer that `target` gave at the last of `attempts` tries."""
    headers = base_headers(turn)
    headers["x-afterbay-model"] = header_text(target.name)
    headers["x-afterbay-provider"] = header_text(target.provider)
    headers["x-afterbay-attempts"] = str(attempts)
    headers["x-afterbay-cache"] = "miss"
    return headers


def whole_headers(turn: Turn, target: Target, attempts: int, cost_picousd: int | None) -> dict[str, str]:
    """Headers of a whole answer, with its cost where that is known."""
    headers = answer_headers(turn, target, attempts)
    headers["content-type"] = "application/json"
    if cost_picousd is not None:
        headers["x-afterbay-cost-usd"] = f"{microusd(cost_picousd) / 1e6:.6f}"
    return headers


def stream_headers(turn: Turn, target: Target | None, attempts: int) -> dict[str, str]:
    """Headers of a stream; `target` None: it is not known yet."""
    turn.record.status = 200
    headers = answer_headers(turn, target, attempts) if target is not None else base_headers(turn)
    headers["content-type"] = turn.call.dialect.stream_type
    headers["cache-control"] = "no-cache"
    headers["x-accel-buffering"] = "no"
    if turn.lasts_s:
        headers[RECONNECT] = f"{turn.lasts_s:g}"
    return headers


def error_headers(error: GatewayError) -> dict[str, str]:
    """Headers that tell an SDK whether and when to come back."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(-int(-error.retry_after_s // 1))
        headers["retry-after-ms"] = str(int(error.retry_after_s * 1000))
    if not error.retryable:
        headers["x-should-retry"] = "false"
    return headers


def header_text(text: str) -> str:
    """Text that may stand in a header: printable ASCII, at most 1,000 characters."""
    if text.isascii() and text.isprintable():
        return text[:1000]
    clean = text.encode("ascii", "backslashreplace").decode()
    return "".join(c if c.isprintable() else " " for c in clean)[:1000]
