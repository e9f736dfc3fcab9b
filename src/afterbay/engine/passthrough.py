"""Raw requests: any endpoint of a provider, under the provider's own credentials. Bytes pass both ways as they come.

    admit    which provider, may this key, which path and headers           -> Admitted
    _Passing the body up, the answer down, under the default route's times
    close    the one record, as for every request

Nothing is translated, tried again, or sent elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Literal

import msgspec

from afterbay.config.snapshot import Provider
from afterbay.core.decision import Attempt, Outcome
from afterbay.core.errors import (
    ClientMistake,
    GatewayError,
    NotBuilt,
    Upstream,
    kind_of_status,
)
from afterbay.core.words import closest
from afterbay.engine.budget import set_aside_raw
from afterbay.engine.clearance import hold, passage_of
from afterbay.engine.close import close
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.credential import place_of
from afterbay.engine.delivery import Delivery, base_headers, header_text
from afterbay.engine.drain import shutting_down
from afterbay.engine.pipeline import MODEL_CHARS, fail
from afterbay.engine.purse import HEADER
from afterbay.engine.routing import let_in, shortened
from afterbay.engine.settlement import begin, settle
from afterbay.engine.tap import Tap, priced
from afterbay.engine.watchdog import Watchdog
from afterbay.policy import passage as rules
from afterbay.ports import ClientGone, Passage, Reply, RequestBody, TransportError, UpstreamResponse

OPERATION = "passthrough"
AT_ONCE_BYTES = 1 << 18
"""A body up to this size is sent whole, over a kept connection; a larger one is sent as it comes."""


class Raw(msgspec.Struct, frozen=True):
    """A raw request as HTTP brought it. `rest` is the path after the provider's name, still encoded; `secret` is the
    key that the client showed."""

    method: str
    provider: str
    rest: str
    secret: str | None = None


class Admitted(msgspec.Struct, frozen=True):
    """A raw request that may go upstream, and how."""

    provider: Provider
    passage: Passage
    path: str
    headers: dict[str, str]


def admit(turn: Turn, raw: Raw) -> Admitted:
    """Decides whether a raw request may go upstream, and as what.

    Raises:
        ClientMistake: 404 no such provider; 400 it is the engine inside, the path is not plain, or a limit of money is
            asked for; 405.
        PolicyRefusal: 403, the key or a policy forbids it.
        NotBuilt: 501, what stands there takes no raw requests.
        Capacity: 503, the gateway ends, or is overloaded.
    """
    turn.model = raw.rest[:MODEL_CHARS]
    turn.record.rule = raw.method[:20]
    if turn.context.drain.is_closed:
        raise shutting_down()
    snapshot = turn.snapshot
    provider = snapshot.providers.get(raw.provider)
    if provider is None:
        raise _unknown(raw.provider, [name for name, one in snapshot.providers.items() if not one.is_embedded])
    turn.record.provider = provider.name
    if provider.is_embedded:
        raise ClientMistake(
            f"'{provider.name}' is the engine inside this gateway: there is nothing to pass through to.",
            code="wrong_operation",
            remedy="Use /v1/chat/completions, /v1/messages or /v1/embeddings.",
        )
    if turn.call.key is not None:
        names = snapshot.aliases.keys() | snapshot.routes.keys()
        rules.check_key(turn.call.key.rights, turn.wish, provider.name, names)
    let_in(turn)
    hold(turn, snapshot.defaults)
    passage = passage_of(turn, provider)
    if raw.method not in rules.METHODS:
        text = f"{raw.method[:20]} does not pass through."
        raise ClientMistake(text, status=405, code="method_not_allowed")
    rules.check_rest(raw.rest)
    if HEADER in turn.call.headers:
        raise ClientMistake(
            f"What a raw request costs is not known before, so {HEADER} cannot hold.",
            code="invalid_value",
            param=HEADER,
            remedy="Leave it out, or use an endpoint under /v1.",
        )
    turn.route = shortened(snapshot.defaults, turn)
    turn.deadline_s = turn.call.received_s + turn.route.limits.total_s
    if passage is None:
        text = f"'{provider.name}' takes no raw requests here."
        raise NotBuilt(text, code="not_built", remedy="Use /v1, or a gateway that neither records nor replays.")
    path = rules.below(_path_of(provider.base_url), raw.rest) + rules.query_up(turn.call.query, raw.secret)
    return Admitted(provider, passage, path, rules.headers_up(turn.call.headers, raw.secret))


def _path_of(url: str) -> str:
    return "/" + url.partition("://")[2].partition("/")[2]


def _unknown(name: str, known: list[str]) -> ClientMistake:
    near = closest(name, known)
    return ClientMistake(
        f"There is no provider called '{name[:200]}'." if name else "/passthrough/ wants a provider's name next.",
        status=404,
        kind="not_found",
        code="unknown_provider",
        remedy=f"The nearest names are: {', '.join(near)}." if near else "No provider is configured.",
    )


async def serve_passthrough(context: Context, call: Call, raw: Raw, body: RequestBody, reply: Reply) -> None:
    """Serves one raw HTTP request. Every error is told to the client, while there is still a status to tell it by.

    Raises:
        ClientGone, asyncio.CancelledError: nobody listens any more; the record is written all the same.
    """
    turn = Turn(context, call, OPERATION)
    delivery = Delivery(turn, reply)
    passing: _Passing | None = None
    try:
        admitted = admit(turn, raw)
        await set_aside_raw(turn)
        begin(turn)
        with Watchdog(asyncio.get_running_loop()) as dog:
            passing = _Passing(turn, raw, admitted, body, reply, dog)
            await passing.run()
        turn.record.outcome = "ok" if turn.record.status < 400 else kind_of_status(turn.record.status)
    except (ClientGone, asyncio.CancelledError) as left:
        served = passing is not None and passing.is_done
        if served or reply.gone or isinstance(left, ClientGone):
            turn.record.outcome = "ok" if served else "client_closed"
            raise
        await fail(turn, delivery, None, shutting_down())
    except Exception as error:  # the root of the request: whatever it is, the client is told
        await fail(turn, delivery, None, error)
    finally:
        if passing is not None:
            passing.settle()
        close(turn, None)


class _Passing:
    """One raw request on its way."""

    def __init__(
        self, turn: Turn, raw: Raw, admitted: Admitted, body: RequestBody, reply: Reply, dog: Watchdog
    ) -> None:
        self.is_done = False
        self._turn, self._raw, self._to, self._body, self._reply, self._dog = turn, raw, admitted, body, reply, dog
        self._clock = turn.context.clock
        self._limits = turn.route.limits
        self._sent_bytes = 0
        self._broken_body: Exception | None = None
        self._tap: Tap | None = None
        self._attempt: Attempt | None = None
        self._has_settled = False

    async def run(self) -> None:
        """Sends the request and passes the answer on.

        Raises:
            GatewayError: the body is not right, the provider gave no answer, or the time is over.
            ClientGone: the client hung up.
        """
        try:
            await self._exchange()
        except asyncio.CancelledError:
            if not self._dog.calm():
                raise
            raise self._late() from None
        except TransportError as error:
            if self._broken_body is not None:
                raise self._broken_body from None
            kind: Literal["cut", "connection"] = "cut" if self._reply.started else "connection"
            self._note(kind)
            text, remedy = f"{self._to.provider.name}: {error}", "The provider failed; try again."
            raise Upstream(text, kind=kind, remedy=remedy) from error
        if self._dog.barked and not self._dog.calm():
            raise asyncio.CancelledError

    async def _exchange(self) -> None:
        self._dog.set(self._turn.deadline_s)
        head = await self._gather()
        whole = self._body.is_over
        headers = dict(self._to.headers)
        length = self._turn.call.headers.get("content-length")
        if not whole and length is not None:
            headers["content-length"] = length
        now = self._clock.monotonic()
        self._attempt = Attempt(1, f"{self._to.provider.name}/{OPERATION}", "primary", now - self._turn.call.received_s)
        self._turn.record.attempts = [self._attempt]
        self._wait(self._limits.first_token_s)
        body = head if whole else self._pieces(head)
        response = await self._to.passage.send(self._raw.method, self._to.path, headers, body, self._limits.connect_s)
        try:
            await self._deliver(response)
        finally:
            response.close()

    async def _gather(self) -> bytes:
        """The beginning of the body, or all of it where that is little."""
        pieces, size = list[bytes](), 0
        while size <= AT_ONCE_BYTES and (piece := await self._body.read()):
            pieces.append(piece)
            size += len(piece)
            if self._body.is_over:
                break
        self._sent_bytes = size
        return b"".join(pieces)

    async def _pieces(self, head: bytes) -> AsyncIterator[bytes]:
        """The body as it comes. It is read only as fast as the provider takes it, and its client has limits of its own.

        It is the client library that runs this: it makes one error of all errors, so they are kept.
        """
        yield head
        try:
            while True:
                self._dog.due_s = self._turn.deadline_s
                piece = await self._body.read()
                self._wait(self._limits.first_token_s)
                if not piece:
                    return
                self._sent_bytes += len(piece)
                yield piece
        except (ClientGone, GatewayError) as error:
            self._broken_body = error
            raise

    async def _deliver(self, response: UpstreamResponse) -> None:
        turn, reply, now = self._turn, self._reply, self._clock.monotonic()
        assert self._attempt is not None, "an answer is to an attempt"  # noqa: S101
        turn.record.status = self._attempt.status = response.status
        self._attempt.key = place_of(response.credential)
        self._attempt.headers_s = now - turn.call.received_s
        self._tap = Tap(self._raw.rest, response.status, response.headers)
        headers = answer_headers(turn, self._to.provider, response.headers, response.status)
        if not self._body.is_over:
            headers["connection"] = "close"  # the rest of the body is not read
        length = _length(self._raw.method, response.status, headers)
        if length == 0:
            await self._settle_first()
        await reply.start(response.status, headers)
        self._wait(self._limits.between_tokens_s)
        while data := await response.read():
            if self._attempt.first_token_s is None:
                self._attempt.first_token_s = turn.record.ttft_s = self._clock.monotonic() - turn.call.received_s
            self._dog.due_s = turn.deadline_s  # while the client reads, the provider is not late
            turn.response_bytes += len(data)
            self._tap.feed(data)
            if self._tap.is_over or (length is not None and turn.response_bytes >= length):
                await self._settle_first()
            await reply.write(data)
            self._wait(self._limits.between_tokens_s)
        await self._settle_first()
        await reply.end()
        self.is_done = True
        self._note("ok" if response.status < 400 else "error")

    async def _settle_first(self) -> None:
        """The last bytes are about to go out: the log knows before what came of it, once."""
        if not self._has_settled and self._tap is not None:
            self._has_settled = True
            self._tap.end()
            self._count()
            status = self._turn.record.status
            await settle(self._turn, "ok" if status < 400 else kind_of_status(status))

    def _wait(self, seconds: float) -> None:
        self._dog.set(min(self._clock.monotonic() + seconds, self._turn.deadline_s))

    def _late(self) -> Upstream:
        """The time is over: all of it, or the provider's to begin, or to go on."""
        self._note("timeout")
        name = self._to.provider.name
        if self._clock.monotonic() >= self._turn.deadline_s:
            text, code = "The request's time is over", "deadline_exceeded"
            return Upstream(text, status=504, kind="timeout", code=code, remedy="Raise timeouts.total.")
        if self._reply.started:
            text, code = f"{name}: nothing came for {self._limits.between_tokens_s:g} s", "timeout_between_tokens"
            return Upstream(text, status=504, kind="timeout", code=code, remedy="Raise timeouts.between_tokens.")
        text, code = f"{name}: no answer within {self._limits.first_token_s:g} s", "timeout_first_token"
        return Upstream(text, status=504, kind="timeout", code=code, remedy="Raise timeouts.first_token.")

    def _note(self, outcome: Outcome) -> None:
        if self._attempt is not None and self._attempt.outcome is None:
            self._attempt.outcome = outcome
            self._attempt.ended_s = self._clock.monotonic() - self._turn.call.received_s

    def settle(self) -> None:
        """Fills the record with what is known at the end, whatever the end was."""
        self._turn.record.request_bytes = self._sent_bytes
        self._note("client_closed" if self._reply.gone else "cancelled")
        self._count()

    def _count(self) -> None:
        """Usage and cost, as far as they were told."""
        record, tap = self._turn.record, self._tap
        if tap is None or self._attempt is None:
            return
        usage = record.usage = self._attempt.usage = tap.usage
        model = tap.model[:MODEL_CHARS]
        if not model:
            return
        record.upstream_model = model
        target = priced(self._turn.snapshot, self._turn.fleet, self._to.provider.name, model)
        if target is None:
            return
        record.usage = self._attempt.usage = target.marked(usage)
        record.cost_picousd = self._attempt.cost_picousd = target.cost_picousd(usage, self._turn.call.received_at)


def _length(method: str, status: int, headers: Mapping[str, str]) -> int | None:
    """The bytes of an answer's body; None: nobody knows before its end."""
    if method == "HEAD" or status in (204, 304):
        return 0
    said = headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() else None


def answer_headers(turn: Turn, provider: Provider, theirs: Mapping[str, str], status: int) -> dict[str, str]:
    """The headers of a raw answer: the provider's, as far as they may pass, and the gateway's own."""
    headers = rules.headers_down(theirs, status)
    for name in ("location", "x-goog-upload-url"):
        if name in theirs:
            address = rules.back(theirs[name], provider.base_url, provider.name)
            if address is not None:
                headers[name] = address if name == "location" else _absolute(turn, address)
            else:
                turn.warnings.append(f"{name} left out: it leads away from {provider.name}")
    if "x-request-id" in theirs:
        headers["x-afterbay-upstream-request-id"] = header_text(theirs["x-request-id"])
    return {
        **headers,
        **base_headers(turn),
        "x-afterbay-provider": header_text(provider.name),
        "x-afterbay-attempts": "1",
    }


def _absolute(turn: Turn, path: str) -> str:
    """Google's clients take this one address only whole; they put their own scheme and host in it."""
    return f"http://{turn.call.headers.get('host', 'localhost')}{path}"
