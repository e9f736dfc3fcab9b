"""One chat request from start to end. Read this file first.

identify (http: key, limits of the body) -> prepare -> route -> attempts -> close. Stages that a route does not use
cost nothing. Every way out leads through `close`, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import msgspec

from afterbay.core.errors import ClientMistake, GatewayError, Internal
from afterbay.engine.attempt import Driver, GaveUp, MakeTry
from afterbay.engine.budget import set_aside
from afterbay.engine.close import close
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.delivery import Delivery
from afterbay.engine.drain import shutting_down
from afterbay.engine.exchange import Exchange
from afterbay.engine.failure import explain
from afterbay.engine.lasting import LastingReply, outlast
from afterbay.engine.purse import affordable
from afterbay.engine.routing import admit, choose
from afterbay.engine.settlement import begin
from afterbay.engine.shadow import Decides, after, watch
from afterbay.ports import ClientGone, Reply
from afterbay.wire.decoding import decode_object, mistake, too_deep

LAST_WORD_S = 5.0
"""So long a client may take to read an error; one that reads nothing would keep its request for ever."""

MODEL_CHARS = 1024
"""Longest name of a model that a client may ask for."""

Prepare: TypeAlias = Callable[[Turn], Awaitable[None]]

logger = logging.getLogger("afterbay.engine")


_NONE = msgspec.Raw(b"")
_DIGITS = 10
_USUAL = frozenset(
    {b"", b"null", b'"auto"', b'"default"', b'"standard"', b'"standard_only"', b'"flex"', b'"batch"', b'"scale"'}
)
"""Tiers of service that cost no more than others."""


class _Peek(msgspec.Struct):
    """The fields that are needed before anything else is decided; more than these only where a stage reads it all.

    `n`: how many answers a chat completion has. `service_tier`, `speed`: how it is served. The others: how long an
    answer may get, in the protocols' several words.
    """

    model: str
    stream: bool | None = None
    n: msgspec.Raw = msgspec.Raw(b"1")
    max_tokens: msgspec.Raw = _NONE
    max_completion_tokens: msgspec.Raw = _NONE
    max_output_tokens: msgspec.Raw = _NONE
    service_tier: msgspec.Raw = _NONE
    speed: msgspec.Raw = _NONE

    @property
    def asks_service(self) -> bool:
        """Whether it asks for a tier of service that may cost more than the usual one."""
        return bytes(self.service_tier) not in _USUAL or bytes(self.speed) not in _USUAL

    @property
    def longest(self) -> int | None:
        """The longest answer that is asked for; None: it is not said, or not in a way that is known."""
        said = [bytes(one) for one in (self.max_tokens, self.max_completion_tokens, self.max_output_tokens)]
        return max([int(one) for one in said if one.isdigit() and len(one) < _DIGITS], default=0) or None


_peek = msgspec.json.Decoder(_Peek).decode


async def serve_chat(context: Context, call: Call, reply: Reply) -> None:
    """Serves one chat request, whatever protocol it came in. See `serve`."""
    await serve(Turn(context, call, "chat"), reply, Exchange)


async def serve(
    turn: Turn, reply: Reply, make: MakeTry, prepares: Prepare | None = None, decides: Decides = choose
) -> None:
    """Takes one request through its stages. Every error is told to the client. `prepares`: in place of `prepare`,
    `decides` of `choose`.

    Raises:
        ClientGone, asyncio.CancelledError: nobody listens any more; the record is written all the same. A request that
            is cancelled while its client listens is told that the gateway ends.
    """
    delivery = Delivery(turn, reply)
    driver: Driver | None = None
    lasting: LastingReply | None = None
    try:
        if prepares is None:
            prepare(turn)
        else:
            await prepares(turn)
        turn.decision = admit(turn, affordable(turn, await set_aside(turn, decides(turn))))
        if turn.stream and turn.route.reconnect_s:
            lasting = outlast(turn, delivery)
        watch(turn, delivery)
        driver = turn.driver = Driver(turn, delivery, make)
        begin(turn)
        if turn.stream:
            delivery.hold(turn.route.limits.hold_s)
        await driver.run()
        if lasting is not None:
            await lasting.claimed()
        turn.record.outcome = "ok"
    except (ClientGone, asyncio.CancelledError) as left:
        served = driver is not None and driver.is_served and (lasting is None or lasting.is_claimed)
        if delivery.reply.gone or served or isinstance(left, ClientGone):
            turn.record.outcome = "ok" if served else "client_closed"
            if lasting is not None and lasting.gone:
                raise ClientGone from None  # it was cancelled from within: nobody else waits for that
            listens = not (delivery.reply.gone or isinstance(left, ClientGone))
            if turn.call.shared is not None and not delivery.has_said_end:
                turn.call.shared.fail()  # it may lack its protocol's end: nobody shall read it again
            if served and listens and turn.streams and not delivery.has_said_end:
                await delivery.end_stream()  # a relayed stream that is whole but for HTTP's own end
            raise
        await fail(turn, delivery, driver, shutting_down())
    except Exception as error:  # the root of the request: whatever it is, the client is told
        await fail(turn, delivery, driver, error)
    finally:
        if lasting is not None:
            turn.warnings += lasting.settle()
        if turn.call.shared is not None:
            turn.warnings += turn.call.shared.notes
        close(turn, driver)  # first and without an await: a client that leaves now finds nothing left to interrupt
        after(turn, _serve_own)
        await delivery.close()
        if lasting is not None:
            await lasting.close()


async def _serve_own(turn: Turn, reply: Reply, make: MakeTry, decides: Decides) -> None:
    """Serves a request of the gateway's own."""
    await serve(turn, reply, make, decides=decides)


@contextlib.asynccontextmanager
async def answering(turn: Turn, reply: Reply) -> AsyncIterator[Delivery]:
    """The frame of a request without attempts: what goes wrong inside is told to the client, the record is written.

    Raises:
        ClientGone, asyncio.CancelledError: nobody listens any more, or the answer has begun.
    """
    delivery = Delivery(turn, reply)
    try:
        begin(turn)
        yield delivery
    except (ClientGone, asyncio.CancelledError):
        turn.record.outcome = "client_closed"
        if reply.gone or reply.started:
            raise
        await fail(turn, delivery, None, shutting_down())
    except Exception as error:  # the root of the request: whatever it is, the client is told
        await fail(turn, delivery, None, error)
    finally:
        close(turn, None)


async def refuse(context: Context, call: Call, reply: Reply, operation: str) -> None:
    """Refuses a request because the gateway ends. It has its record, as any other."""
    turn = Turn(context, call, operation)
    async with answering(turn, reply):
        with contextlib.suppress(GatewayError):  # what is wrong with it is for the next gateway to say
            prepare(turn)
        raise shutting_down()


def prepare(turn: Turn) -> None:
    """Finds out which model is asked for, and how long it may take.

    Raises:
        ClientMistake: the body is no JSON object, or `model` or `stream` is not right.
    """
    call = turn.call
    if call.path_model is not None:
        turn.model, turn.stream = call.path_model, bool(call.path_stream)
        turn.asks_service = b"erviceTier" in call.body or b"ervice_tier" in call.body
    else:
        try:
            peek = _peek(call.body)
        except msgspec.ValidationError as error:
            raise mistake(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            decode_object(call.body)
            raise
        turn.model, turn.stream = peek.model, bool(peek.stream)
        turn.is_one_answer = bytes(peek.n) == b"1"
        turn.asked_output = peek.longest
        turn.asks_service = peek.asks_service
    check_name(turn)


def check_name(turn: Turn) -> None:
    """A name goes into errors, headers, the log and the table of direct targets, so it may not be a book.

    Raises:
        ClientMistake: it is too long; only its beginning is kept.
    """
    length, turn.model = len(turn.model), turn.model[:MODEL_CHARS]
    if length > MODEL_CHARS:
        raise ClientMistake(
            f"The field 'model' is {length} characters long.",
            code="invalid_value",
            param="model",
            remedy=f"A model's name has at most {MODEL_CHARS}.",
        )


async def fail(turn: Turn, delivery: Delivery, driver: Driver | None, error: Exception) -> None:
    """Tells the client what went wrong, in its protocol, and notes it."""
    body: bytes | None = None
    shown = False
    if isinstance(error, GaveUp):
        longest_s = float(turn.snapshot.limits.retry_after)
        failure = explain(error, driver.machine.attempts if driver is not None else [], longest_s)
        told, body, shown = failure.error, failure.body, error.shown
    elif isinstance(error, GatewayError):
        told = error
    elif isinstance(error, RecursionError):  # nothing here recurses but along the client's own data
        told = too_deep()
    else:
        logger.exception("request %s failed by a fault of the gateway", turn.call.id)
        told = Internal("The gateway made a mistake while serving this request.", code="internal_error")
    turn.record.outcome = told.code or told.kind
    turn.record.error = told.message[:1000]
    if turn.call.shared is not None:
        turn.call.shared.fail()
    if not delivery.reply.started:
        turn.record.status = told.status
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORD_S):
            if shown:
                await delivery.reply.end()
            else:
                await delivery.send_error(told, body)
