"""Checks every stream that a gateway gives its clients, by the grammar of the client's protocol.

`LiveGateway` and `MemoryGateway` have one each, so a test that streams anything checks its grammar too. What is
relayed need be no better than it came: rules that the provider itself broke are not asked of its bytes. What the
gateway writes itself has no excuse. A stream that the client left, or whose connection was cut, is checked up to there.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeAlias

from afterbay.http.paths import find
from afterbay.ports import Passage, Reply, Upstream, UpstreamResponse, UpstreamSocket
from afterbay.testing.grammar import GRAMMARS, SseGrammar, grammar_of

KEPT = 100
"""So many sentences are kept."""

Message: TypeAlias = MutableMapping[str, Any]
Application: TypeAlias = Callable[
    [Mapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

Asked: TypeAlias = Callable[[Mapping[str, Any]], tuple[str, bool] | None]
"""An ASGI scope -> the language of a chat, and whether JSON is a stream in it; None: it is something else."""

_MAY_LACK: Mapping[str, frozenset[str]] = {
    "openai.chat": frozenset({"done", "usage-chunk"}),
    "gemini": frozenset({"usage-last"}),
}
"""What a provider's proper end may lack; anything else that is missing at the end of a relayed stream is a cut."""


_COUNT = re.compile(rb'(?:prompt_tokens|input_tokens|TokenCount)"\s*:\s*\d')
_SEAM = 40


class Exchange:
    """One request: what its client gets, and what providers sent in the same protocol.

    `is_array`: the client asked for a stream that is JSON, as Gemini's is without `alt=sse`.
    """

    def __init__(self, dialect: str, *, is_array: bool = False) -> None:
        self.dialect = dialect
        self._is_array = is_array
        self._client: SseGrammar | None = None
        self._providers: list[SseGrammar] = []
        self._seam = b""
        self._is_counted = False

    def see(self, data: bytes) -> None:
        """A provider sent bytes, in whatever protocol: did it count tokens?"""
        self._seam += data
        self._is_counted = self._is_counted or _COUNT.search(self._seam) is not None
        self._seam = self._seam[-_SEAM:]

    @property
    def has_stream(self) -> bool:
        """Whether the client gets a stream."""
        return self._client is not None

    def open(self, status: int, kind: str) -> None:
        """The client's answer begins."""
        is_stream = kind.startswith("text/event-stream") or (self._is_array and "json" in kind)
        if is_stream and status == 200 and self.dialect in GRAMMARS:
            self._client = grammar_of(self.dialect)

    def feed(self, data: bytes) -> None:
        """The client gets bytes."""
        if self._client is not None:
            self._client.feed(data)

    def provider(self, path: str, status: int, kind: str) -> SseGrammar | None:
        """The grammar for a provider's answer that may be relayed; None: it cannot be."""
        is_stream = kind.startswith("text/event-stream") or ":streamGenerateContent" in path or "json" not in kind
        if dialect_of(path) != self.dialect or status != 200 or not is_stream or self.dialect not in GRAMMARS:
            return None
        self._providers.append(grammar_of(self.dialect))
        return self._providers[-1]

    def verdict(self, *, ended: bool) -> list[str]:
        """What is wrong with the client's stream. `ended`: it was brought to an end, not broken off."""
        client = self._client
        if client is None:
            return []
        excused = {rule for provider in self._providers for rule in provider.broken}
        if self._providers:
            excused.add("sequence-error")  # the events before were relayed, not counted
        if not self._is_counted:
            excused.add("usage-last")  # nobody counted, so there is nothing to show
        pairs = zip(client.violations, client.broken, strict=True)
        found = [said for said, rule in pairs if rule not in excused]
        if ended:
            lacks = _MAY_LACK.get(self.dialect, frozenset()) if self._providers else frozenset()
            excused |= {rule for provider in self._providers for rule, _ in provider.lacks()} & lacks
            found += [said for said in client.end() if not any(said.endswith(f"[{rule}]") for rule in excused)]
        return found


_CURRENT: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


def asked_of_gateway(scope: Mapping[str, Any]) -> tuple[str, bool] | None:
    """What a request for this gateway asks for."""
    endpoint = find(scope["path"])
    if endpoint is None or endpoint.operation not in ("chat", "responses") or endpoint.stream is False:
        return None
    return endpoint.dialect, bool(endpoint.stream)


class StreamWatch:
    """Collects what is wrong with a gateway's streams in `broken`. See `application`, `upstream` and `reply`."""

    replays = False

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.streams = 0

    def __call__(self, upstream: Upstream, provider: str) -> Upstream:
        """An upstream that shows what it answers."""
        return _WatchedPassage(upstream, upstream) if isinstance(upstream, Passage) else _WatchedUpstream(upstream)

    def begin(self, dialect: str, *, is_array: bool = False) -> Exchange:
        """Begins a request of this task, and of the tasks that it starts. See `Exchange`."""
        exchange = Exchange(dialect, is_array=is_array)
        _CURRENT.set(exchange)
        return exchange

    def end(self, exchange: Exchange, *, ended: bool) -> list[str]:
        """Ends a request; what is wrong with its stream."""
        self.streams += exchange.has_stream
        found = exchange.verdict(ended=ended)
        self.broken += [f"a stream of {exchange.dialect}, {said}" for said in found[: KEPT - len(self.broken)]]
        return found

    def application(self, inner: Application, asked: Asked = asked_of_gateway) -> Application:
        """An ASGI application that is watched. `asked`: which of its requests are for a chat, in which language."""

        async def watched(
            scope: Mapping[str, Any],
            receive: Callable[[], Awaitable[Message]],
            send: Callable[[Message], Awaitable[None]],
        ) -> None:
            chat = asked(scope) if scope["type"] == "http" else None
            if chat is None:
                await inner(scope, receive, send)
                return
            exchange, has_ended = self.begin(chat[0], is_array=chat[1]), False

            async def sending(message: Message) -> None:
                nonlocal has_ended
                await send(message)
                if message["type"] == "http.response.start":
                    kind = dict(message.get("headers", ())).get(b"content-type", b"")
                    exchange.open(message["status"], kind.decode("latin-1"))
                elif message["type"] == "http.response.body":
                    exchange.feed(message.get("body", b""))
                    has_ended = has_ended or not message.get("more_body", False)

            try:
                await inner(scope, receive, sending)
            finally:
                self.end(exchange, ended=has_ended)

        return watched


class WatchedReply:
    """A `ports.Reply` that shows an exchange what it is told."""

    def __init__(self, inner: Reply, exchange: Exchange) -> None:
        self._inner, self._exchange = inner, exchange
        self.has_ended = False

    @property
    def started(self) -> bool:
        """As the inner one."""
        return self._inner.started

    @property
    def gone(self) -> bool:
        """As the inner one."""
        return self._inner.gone

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Passes status and headers on."""
        self._exchange.open(status, headers.get("content-type", ""))
        await self._inner.start(status, headers)

    async def write(self, data: bytes) -> None:
        """Passes bytes on."""
        self._exchange.feed(data)
        await self._inner.write(data)

    async def end(self, data: bytes = b"") -> None:
        """Passes the end on."""
        self._exchange.feed(data)
        await self._inner.end(data)
        self.has_ended = True

    def survive(self, left: Callable[[], None]) -> bool:
        """As the inner one."""
        return self._inner.survive(left)


class _WatchedUpstream:
    def __init__(self, inner: Upstream) -> None:
        self._inner = inner

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> UpstreamResponse:
        return _shown(path, await self._inner.post(path, body, headers, connect_s))

    async def close(self) -> None:
        await self._inner.close()


class _WatchedPassage(_WatchedUpstream):
    """An upstream that takes any request, and stays one under the watch."""

    def __init__(self, inner: Upstream, passage: Passage) -> None:
        super().__init__(inner)
        self._passage = passage

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | AsyncIterator[bytes], connect_s: float
    ) -> UpstreamResponse:
        return _shown(path, await self._passage.send(method, path, headers, body, connect_s))

    async def connect(
        self, path: str, headers: Mapping[str, str], subprotocols: Sequence[str], message_bytes: int, connect_s: float
    ) -> UpstreamSocket:
        return await self._passage.connect(path, headers, subprotocols, message_bytes, connect_s)


def _shown(path: str, response: UpstreamResponse) -> UpstreamResponse:
    """A response that shows this task's exchange what is read of it."""
    exchange = _CURRENT.get()
    if exchange is None:
        return response
    grammar = exchange.provider(path, response.status, response.headers.get("content-type", ""))
    return _WatchedResponse(response, exchange, grammar)


class _WatchedResponse:
    def __init__(self, inner: UpstreamResponse, exchange: Exchange, grammar: SseGrammar | None) -> None:
        self.status, self.headers, self.credential = inner.status, inner.headers, inner.credential
        self._inner, self._exchange, self._grammar = inner, exchange, grammar

    async def read(self) -> bytes:
        data = await self._inner.read()
        self._exchange.see(data)
        if self._grammar is not None:
            self._grammar.feed(data)
        return data

    async def read_all(self, limit_bytes: int) -> bytes:
        data = await self._inner.read_all(limit_bytes)
        self._exchange.see(data)
        return data

    def close(self) -> None:
        self._inner.close()


def dialect_of(path: str) -> str:
    """The language that a provider is asked in, by the path."""
    path = path.partition("?")[0]
    if path.endswith("/messages"):
        return "anthropic.messages"
    if path.endswith("/responses"):
        return "openai.responses"
    return "gemini" if ":" in path else "openai.chat"
