"""A stream that outlasts its client's connection: it goes on into a backlog, and whoever comes back reads on there.

The request stays in its own task, so it is in flight until it ends (drain, reload). What it writes goes into the
backlog; a reader, one at a time, takes it from there to a connection: a pump of its own for the client's first one,
then one for each that comes back (`afterbay.engine.reconnect`). The writer waits for the reader as it would for a
client; while there is none, it waits once the backlog is full. Nothing that was not read is ever forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from afterbay.core.errors import ClientMistake, GatewayError
from afterbay.engine.backlog import Backlog
from afterbay.engine.context import Turn
from afterbay.engine.delivery import RECONNECT, Delivery
from afterbay.engine.lasting_streams import LastingStreams
from afterbay.ports import ClientGone, Reply
from afterbay.wire.dialect import EVENT_STREAM, Head
from afterbay.wire.openai_responses.marks import response_id

KEPT_BYTES = 16 * 1024 * 1024
"""As much of one stream is kept. One event more may be, since an event is whole."""
READ_BYTES = 12 * 1024 * 1024
"""As much of it may be what was read already: the rest is room for a client that leaves."""
SLACK_BYTES = 1024 * 1024
"""As much is forgotten at once: moving the rest costs."""
AHEAD_BYTES = 64 * 1024
"""So far the writer may be ahead of a reader; what an ASGI server buffers for one connection."""
SLICE_BYTES = 64 * 1024
"""As much is written at once to who catches up."""
GOODBYE_S = 1.0
"""So long an older connection may take to read that it was taken over."""
TOLD = 8
"""So many comings and goings are told of one by one."""

Ended: TypeAlias = Literal["whole", "taken_over", "broken_off"]


class Reader:
    """One connection that reads a stream. `at`: the position up to which it has read; `sent`: the bytes of that."""

    def __init__(self, reply: Reply, at: int) -> None:
        self.reply, self.at = reply, at
        self.sent = 0
        self.task: asyncio.Task[Ended] | None = None
        self.news = asyncio.Event()
        self.is_taken_over = False

    def dismiss(self) -> None:
        """Another connection took over. It is told so, if it still reads."""
        self.is_taken_over = True
        self.news.set()
        if self.task is not None:
            asyncio.get_running_loop().call_later(GOODBYE_S, self.task.cancel)


class LastingReply:
    """Implements `ports.Reply` for a request whose client may leave and come back. `close` it, whatever happens.

    gone         nobody came back in time, or the client said that nobody will
    is_claimed   a client has read the stream to its end
    """

    def __init__(self, streams: LastingStreams, turn: Turn, inner: Reply, lasts_s: float) -> None:
        call = turn.call
        self.id, self.key_id = call.id, call.key.id if call.key is not None else None
        self.dialect = call.dialect
        self.lasts_s = lasts_s
        self.model, self.received_at = turn.model, call.received_at
        self.response_id = ""
        self.deadline_s = turn.deadline_s
        self.started = self.gone = self.is_claimed = False
        self.backlog = Backlog(says_numbers=call.dialect.comments)
        self._streams = streams
        self._inner = inner
        self._owner = asyncio.current_task()
        self._passes = self._is_over = self._has_left = False
        self._reader: Reader | None = None
        self._pump: asyncio.Task[Ended] | None = None
        self._stir = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._notes: list[str] = []

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Sends status and headers. What is no stream is not kept."""
        self.started = True
        if headers.get("content-type") != self.dialect.stream_type:
            self._passes = self.is_claimed = True
            await self._inner.start(status, headers)
            return
        await self._inner.start(status, headers)
        self._streams.add(self)
        if self._has_left:
            self._rest()
        else:
            self._reader = Reader(self._inner, 0)
            self._pump = self._begin(self._reader)

    async def write(self, data: bytes) -> None:
        """Keeps whole events, and waits while they are read too slowly, or while there is no room for more."""
        if self._passes:
            await self._inner.write(data)
            return
        if data:
            self.backlog.add(data)
            if not self.response_id and self.backlog.count and self.dialect.name == "openai.responses":
                self.response_id = response_id(data) or self.id
                self._streams.name(self)
            self._streams.weigh(self)
            self._trim()
            if self._reader is not None:
                self._reader.news.set()
        await self._until(self._has_room)

    async def end(self, data: bytes = b"") -> None:
        """Ends the stream. Waits for its reader to have all of it, not for one that may come."""
        if self._passes:
            await self._inner.end(data)
            return
        if data:
            await self.write(data)
        self._conclude()
        await self._until(lambda: self._reader is None)

    async def claimed(self) -> None:
        """Waits until a client has read the whole stream.

        Raises:
            ClientGone: none has in time.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(max(loop.time() + self.lasts_s, self.deadline_s)):
                await self._until(lambda: self.is_claimed)
        except TimeoutError:
            self._let_go()
            raise ClientGone from None

    async def close(self) -> None:
        """The request is over: what was written can still be read for a while."""
        if self._passes or not self.started or self.gone:
            self._let_go()
        elif not self._is_over:
            self._conclude()
        if self._reader is not None and self._reader.task is self._pump:
            self.detach(self._reader)  # the connection ends with the request
        if self._pump is not None and not self._pump.done():
            await asyncio.wait((self._pump,), timeout=GOODBYE_S)

    @property
    def is_complete(self) -> bool:
        """Whether nothing more will be written."""
        return self._is_over

    @property
    def is_detached(self) -> bool:
        """Whether the stream goes on without anybody who reads it."""
        return self._reader is None and not self._is_over

    def settle(self) -> list[str]:
        """The request is over, and cannot be cancelled any more; what its record tells of comings and goings."""
        self._owner = None
        return self._notes

    def survive(self, left: Callable[[], None]) -> bool:
        """See `afterbay.ports.Reply.survive`: it does already."""
        return False

    def first_left(self) -> None:
        """The client's first connection is gone. Before its headers nobody knows by what to come back."""
        self._has_left = True
        if not self.started or self._passes:
            self._give_up()
        elif self._reader is not None and self._reader.reply is self._inner:
            self.detach(self._reader)

    def attach(self, reply: Reply, position: int) -> Reader:
        """Lets a client that came back read on. Whoever read before is dismissed; `detach` the new one at the end."""
        if self._reader is not None:
            self._reader.dismiss()
        self._hold()
        self._streams.wake(self)
        self._reader = Reader(reply, position)
        self._note(f"reconnected after event {self.backlog.number_before(position)}")
        self._stir.set()
        return self._reader

    async def deliver(self, reader: Reader) -> Ended:
        """Writes to a connection until the end of the stream, or of the reader's time; how it ended."""
        reader.task = self._begin(reader)
        await asyncio.wait((reader.task,))
        return "broken_off" if reader.task.cancelled() else reader.task.result()

    def detach(self, reader: Reader) -> None:
        """A connection reads no more."""
        if reader.task is not None:
            reader.task.cancel()
        self._leave(reader)

    def confirm(self) -> None:
        """A client says that it has everything."""
        self.is_claimed = True
        self._stir.set()

    def cancel(self) -> bool:
        """The client wants no more of it; whether the request was still running."""
        was_running = not self._is_over and self._owner is not None
        self._note("the client cancelled the stream")
        self._let_go()
        if self._reader is not None:
            self.detach(self._reader)
        self._hold()
        self._give_up()
        return was_running

    def stir(self) -> None:
        """There may be room again."""
        self._stir.set()

    def _begin(self, reader: Reader) -> asyncio.Task[Ended]:
        reader.task = asyncio.get_running_loop().create_task(self._read(reader), name=f"reader {self.id}")
        return reader.task

    async def _read(self, reader: Reader) -> Ended:
        """Moves what is new to a connection, until the stream ends or the connection does."""
        try:
            while not reader.is_taken_over:
                reader.news.clear()
                if reader.at < self.backlog.end:
                    data, at = self.backlog.read(reader.at, SLICE_BYTES)
                    await reader.reply.write(data)
                    reader.at, reader.sent = at, reader.sent + len(data)
                    self._stir.set()
                elif self._is_over:
                    await reader.reply.end()
                    return self._read_up(reader)
                else:
                    await reader.news.wait()
            head = Head(self.id, self.model, int(self.received_at), begun=True)
            await reader.reply.write(self.dialect.renderer(head).fail(_taken_over()))
            await reader.reply.end()
            return "taken_over"
        except (ClientGone, OSError):
            return "broken_off"
        finally:
            self._leave(reader)

    def _leave(self, reader: Reader) -> None:
        if self._reader is reader:
            self._reader = None
            if not self.is_claimed:
                self._note(f"the client left after event {self.backlog.number_before(reader.at)}")
            self._rest()
            self._stir.set()

    def _read_up(self, reader: Reader) -> Ended:
        """A client has everything that was sent; if it did not get that, it may come back for a while."""
        self.is_claimed = True
        if self._reader is reader:
            self._reader = None
            self._rest()
        self._stir.set()
        return "whole"

    def _conclude(self) -> None:
        """Nothing more will be written."""
        self._is_over = True
        if self._reader is not None:
            self._reader.news.set()
        elif not self.gone:
            self._rest()

    def _has_room(self) -> bool:
        if self._reader is not None:
            return self.backlog.size_after(self._reader.at) <= AHEAD_BYTES
        return self.backlog.size <= KEPT_BYTES and not self._streams.is_full

    async def _until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            self._stir.clear()
            self._streams.room(self)
            await self._stir.wait()

    def _trim(self) -> None:
        """Forgets the oldest of what was read, where there is too much of it. Who reads nothing may need it all."""
        if self._reader is not None and (self.backlog.size > READ_BYTES or self._streams.is_full):
            most = min(READ_BYTES, self.backlog.size) - SLACK_BYTES
            self.backlog.forget(self._reader.at, max(most, 0))
            self._streams.weigh(self)

    def _rest(self) -> None:
        """Nobody reads: from now on time runs."""
        self._hold()
        self._timer = asyncio.get_running_loop().call_later(self.lasts_s, self._expire)
        if self._is_over:
            self._streams.rest(self)

    def _hold(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._let_go()
        self._give_up()

    def _let_go(self) -> None:
        """From now on nobody finds it."""
        self._streams.remove(self)
        self.gone = True

    def _give_up(self) -> None:
        """Cancels the request, if it still runs."""
        self.gone = True
        if self._owner is not None:
            owner, self._owner = self._owner, None
            owner.cancel()

    def _note(self, text: str) -> None:
        if len(self._notes) < TOLD:
            self._notes.append(text)


def outlast(turn: Turn, delivery: Delivery) -> LastingReply | None:
    """Lets the client come back to its stream, if its route and the client want that; None: it may not.

    Raises:
        ClientMistake: what the client says about it is not right.
    """
    lasts_s = min(turn.route.reconnect_s, _wished(turn))
    if lasts_s <= 0 or turn.call.dialect.stream_type != EVENT_STREAM:
        return None
    if turn.context.streams.is_full:
        turn.warnings.append("nobody can come back to the stream: the gateway keeps as much of others as it may")
        return None
    lasting = LastingReply(turn.context.streams, turn, delivery.reply, lasts_s)
    if not delivery.reply.survive(lasting.first_left):
        return None
    turn.lasts_s, delivery.reply = lasts_s, lasting
    return lasting


def _wished(turn: Turn) -> float:
    """How long the client itself wants to be able to come back: it may only shorten.

    Raises:
        ClientMistake: it is no number of seconds.
    """
    said = turn.call.headers.get(RECONNECT)
    if said is None:
        return float("inf")
    if said.isascii() and said.isdigit() and len(said) <= 9:
        return float(said)
    raise ClientMistake(
        f"The header {RECONNECT} is '{said[:40]}'.",
        code="invalid_value",
        param=RECONNECT,
        remedy="Give a whole number of seconds; 0: nobody will come back.",
    )


def _taken_over() -> GatewayError:
    return GatewayError(
        "Another connection took this stream over.",
        status=409,
        kind="invalid_request",
        code="stream_taken_over",
        remedy="Read on there; one connection reads a stream at a time.",
    )
