"""WebSockets: a provider's realtime endpoints, under the provider's own credentials. Messages pass as they are.

The provider is asked first: a client is not let in before there is somebody to talk to, and learns a refusal as the
HTTP status that it is. Then two tasks move messages, one each way and one message at a time: who reads slowly slows the
other side down. A third one looks at the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

import msgspec

from afterbay.core.decision import Attempt, Outcome
from afterbay.core.errors import GatewayError, Internal, Upstream, kind_of_status
from afterbay.engine.budget import set_aside_raw
from afterbay.engine.close import close
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.delivery import base_headers, error_headers, header_text
from afterbay.engine.passthrough import OPERATION, Admitted, Raw, admit, answer_headers
from afterbay.engine.settlement import begin, settle
from afterbay.ports import ClientGone, ClientSocket, Closed, Socket, SocketRefused, TransportError, UpstreamSocket

logger = logging.getLogger("afterbay.engine")

NORMAL, GOING_AWAY, NO_CODE, ABNORMAL, FAULT, RESTART = 1000, 1001, 1005, 1006, 1011, 1012
REASON_BYTES = 123
"""RFC 6455 5.5: a control frame has 125 bytes, two of them the code."""
LAST_WORD_S = 5.0
"""So long a side may take to read its goodbye."""


class _End(msgspec.Struct, frozen=True):
    """How a tunnel ended: who ended it, and what each side is told."""

    by: str
    to_client: Closed
    to_provider: Closed


async def serve_tunnel(
    context: Context, call: Call, raw: Raw, subprotocols: Sequence[str], client: ClientSocket
) -> None:
    """Serves one WebSocket from the client's request for it to its end.

    Raises:
        asyncio.CancelledError: the gateway ends; both sides were told.
    """
    turn = Turn(context, call, OPERATION)
    try:
        admitted = admit(turn, raw)
        await set_aside_raw(turn)
        begin(turn)
        await _Tunnel(turn, admitted, client).run(subprotocols)
    except asyncio.CancelledError:
        turn.record.outcome = turn.record.outcome or "shutting_down"
        raise
    except SocketRefused as refused:
        turn.record.status, turn.record.outcome = refused.status, kind_of_status(refused.status)
        turn.response_bytes = len(refused.body)
        await _refuse_like(turn, admitted, client, refused)
    except ClientGone:
        turn.record.outcome = "client_closed"
    except Exception as error:  # the root of the request: whatever it is, the client is told
        await _refuse(turn, client, error)
    finally:
        close(turn, None)


async def _refuse(turn: Turn, client: ClientSocket, error: Exception) -> None:
    if not isinstance(error, GatewayError):
        logger.exception("request %s failed by a fault of the gateway", turn.call.id)
        error = Internal("The gateway made a mistake while serving this request.", code="internal_error")
    turn.record.outcome, turn.record.error = error.code or error.kind, error.message[:1000]
    turn.record.status = error.status
    if turn.streams:
        return  # it was let in, and has been told by the close code
    body = turn.call.dialect.render_error(error, turn.call.id)
    headers = {**base_headers(turn), "content-type": "application/json", **error_headers(error)}
    await settle(turn)
    await client.refuse(error.status, headers, body)


async def _refuse_like(turn: Turn, admitted: Admitted, client: ClientSocket, refused: SocketRefused) -> None:
    """Answers as the provider did. Its 101 would be none of ours, and a length may be of more than was kept."""
    headers = answer_headers(turn, admitted.provider, refused.headers, refused.status)
    headers.pop("content-length", None)
    await settle(turn)
    await client.refuse(refused.status if refused.status >= 200 else 502, headers, refused.body)


class _Tunnel:
    """One WebSocket on its way."""

    def __init__(self, turn: Turn, admitted: Admitted, client: ClientSocket) -> None:
        self._turn, self._to, self._client = turn, admitted, client
        self._clock = turn.context.clock
        limits = turn.snapshot.limits
        self._idle_s, self._total_s = float(limits.socket_idle), float(limits.socket_total)
        if "x-afterbay-timeout-ms" in turn.call.headers:
            self._total_s = min(self._total_s, turn.route.limits.total_s)
        self._moved_s = self._clock.monotonic()
        self._up = self._down = 0
        self._attempt = Attempt(1, f"{admitted.provider.name}/{OPERATION}", "primary", self._now())

    async def run(self, subprotocols: Sequence[str]) -> None:
        """Connects, lets the client in, and moves messages to the end.

        Raises:
            SocketRefused: the provider does not want to.
            GatewayError: it cannot be reached.
        """
        turn, record = self._turn, self._turn.record
        record.attempts = [self._attempt]
        upstream = await self._connect(subprotocols)
        end = _ended("gateway", RESTART, "the gateway ends")
        try:
            headers = {
                **base_headers(turn),
                "x-afterbay-provider": header_text(self._to.provider.name),
                "x-afterbay-attempts": "1",
            }
            record.status = self._attempt.status = 101
            turn.stream = turn.streams = True
            turn.context.open_streams += 1
            await self._client.accept(upstream.subprotocol, headers)
            end = await self._pump(upstream)
        except ClientGone:
            end = _End("client", Closed(ABNORMAL), Closed(ABNORMAL))
            raise
        except Exception:
            end = _ended("gateway", FAULT, "a fault of the gateway")
            raise
        finally:
            self._settle(end)
            await self._part(upstream, end)

    async def _part(self, upstream: UpstreamSocket, end: _End) -> None:
        """Says goodbye to both sides, whatever one of them does; the log knows before."""
        try:
            await settle(self._turn)
        finally:
            try:
                await _close(self._client, end.to_client)
            finally:
                await _close(upstream, end.to_provider)

    async def _connect(self, subprotocols: Sequence[str]) -> UpstreamSocket:
        limits, name = self._turn.route.limits, self._to.provider.name
        most = self._turn.snapshot.limits.event_bytes
        try:
            async with asyncio.timeout(limits.first_token_s):
                upstream = await self._to.passage.connect(
                    self._to.path, self._to.headers, subprotocols, most, limits.connect_s
                )
        except SocketRefused as refused:
            self._note("error", refused.status)
            raise
        except TransportError as error:
            self._note("connection")
            raise Upstream(f"{name}: {error}", kind="connection", remedy="The provider failed; try again.") from error
        except TimeoutError:
            self._note("timeout")
            text, code = f"{name}: no answer within {limits.first_token_s:g} s", "timeout_first_token"
            raise Upstream(text, status=504, kind="timeout", code=code, remedy="Raise timeouts.first_token.") from None
        self._attempt.headers_s = self._now()
        return upstream

    async def _pump(self, upstream: UpstreamSocket) -> _End:
        """Moves messages until one side ends it, or the clock does."""
        self._moved_s = self._clock.monotonic()
        async with asyncio.TaskGroup() as both:
            tasks = (
                both.create_task(self._move_up(upstream), name=f"up {self._turn.call.id}"),
                both.create_task(self._move_down(upstream), name=f"down {self._turn.call.id}"),
                both.create_task(self._watch(), name=f"watch {self._turn.call.id}"),
            )
            done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
        return next(task.result() for task in tasks if task in done)

    async def _move_up(self, upstream: UpstreamSocket) -> _End:
        while not isinstance(message := await self._client.receive(), Closed):
            self._up += 1
            self._turn.record.request_bytes += _size(message)
            await _send(upstream, message)
            self._moved_s = self._clock.monotonic()
        return _End("client", message, sendable(message))

    async def _move_down(self, upstream: UpstreamSocket) -> _End:
        while not isinstance(message := await upstream.receive(), Closed):
            self._down += 1
            self._turn.response_bytes += _size(message)
            if self._attempt.first_token_s is None:
                self._attempt.first_token_s = self._turn.record.ttft_s = self._now()
            await _send(self._client, message)
            self._moved_s = self._clock.monotonic()
        return _End("provider", sendable(message), message)

    async def _watch(self) -> _End:
        """Ends when nothing has moved for too long, or the socket is too old."""
        end_s = self._turn.call.received_s + self._total_s
        while True:
            now, due_s = self._clock.monotonic(), min(self._moved_s + self._idle_s, end_s)
            if now >= due_s:
                break
            await asyncio.sleep(due_s - now)
        old = now >= end_s
        text = f"open for {self._total_s:g} s (limits.socket_total, x-afterbay-timeout-ms)" if old else ""
        told = Closed(GOING_AWAY, text or f"idle for {self._idle_s:g} s (limits.socket_idle)")
        return _End("total" if old else "idle", told, told)

    def _settle(self, end: _End) -> None:
        """Fills the record: who ended it, with which code, after how many messages."""
        record, told = self._turn.record, end.to_client if end.by != "client" else end.to_provider
        record.finish = str(told.code)
        record.tags = {**record.tags, "messages_up": str(self._up), "messages_down": str(self._down)}
        outcome: Outcome = "ok"
        match end.by:
            case "gateway":
                record.outcome, outcome = "shutting_down", "cancelled"
            case "idle" | "total":
                record.outcome, outcome = f"socket_{end.by}", "timeout"
            case "client" if end.to_client.code == ABNORMAL:
                record.outcome = outcome = "client_closed"
            case "provider" if end.to_provider.code == ABNORMAL:
                record.outcome = outcome = "cut"
            case _:
                record.outcome = "ok"
        self._note(outcome)

    def _note(self, outcome: Outcome, status: int | None = None) -> None:
        self._attempt.outcome, self._attempt.ended_s = outcome, self._now()
        self._attempt.status = status if status is not None else self._attempt.status

    def _now(self) -> float:
        return self._clock.monotonic() - self._turn.call.received_s


def sendable(closed: Closed) -> Closed:
    """An end as it may be sent: codes that only tell of a missing one are not for the wire (RFC 6455 7.4)."""
    code, reason = closed.code, closed.reason.encode()[:REASON_BYTES].decode("utf-8", "ignore")
    if code == NO_CODE:
        return Closed(NORMAL, reason)
    known = 1000 <= code <= 1014 and code not in (1004, NO_CODE, ABNORMAL)
    return Closed(code if known or 3000 <= code <= 4999 else FAULT, reason)


def _ended(by: str, code: int, reason: str) -> _End:
    """An end that is neither side's: the client learns what happened, the provider that the client goes."""
    return _End(by, Closed(code, reason), Closed(GOING_AWAY, reason))


def _size(message: str | bytes) -> int:
    return len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())


async def _send(to: Socket, message: str | bytes) -> None:
    """Sends a message. Where nobody takes it any more, the other direction is about to learn how that came."""
    try:
        await to.send(message)
    except TransportError:
        await asyncio.get_running_loop().create_future()


async def _close(side: Socket, told: Closed) -> None:
    wire = sendable(told)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORD_S):
            await side.close(wire.code, wire.reason)
