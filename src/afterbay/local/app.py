"""The worker's HTTP side: a bare ASGI application that speaks OpenAI's protocol for one model."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
from array import array
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import Any, TypeAlias

import msgspec

from afterbay.core.errors import Capacity, ClientMistake, GatewayError, Internal, Upstream
from afterbay.local.body import ChatBody, read_chat, read_embed, refuse
from afterbay.local.catalog import LocalModel
from afterbay.local.chat import Answer
from afterbay.local.embedder import BATCH, Embedder
from afterbay.local.handshake import WorkerConfig
from afterbay.local.llama import ChatEngine

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_SSE = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))


class _GoneError(Exception):
    """The client left before its request was complete."""


class Reply:
    """Writes one answer; each write has a deadline, so that a client that stops reading holds no slot for ever."""

    def __init__(self, send: Send, send_s: float) -> None:
        self._send, self._send_s, self.started = send, send_s, False

    async def write(self, message: MutableMapping[str, Any]) -> None:
        """Sends one ASGI message."""
        self.started = True
        async with asyncio.timeout(self._send_s):
            await self._send(message)

    async def json(self, value: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """A whole answer."""
        body = msgspec.json.encode(value)
        length = (b"content-length", str(len(body)).encode())
        await self.write({"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]})
        await self.write({"type": "http.response.body", "body": body})

    async def event(self, data: bytes) -> None:
        """One server-sent event."""
        if not self.started:
            await self.write({"type": "http.response.start", "status": 200, "headers": list(_SSE)})
        await self.write({"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True})

    async def fail(self, error: GatewayError) -> None:
        """An error: as the answer, or as an event in a stream that has begun."""
        value = {"error": error_fields(error)}
        if self.started:
            await self.event(msgspec.json.encode(value))
            await self.write({"type": "http.response.body", "body": b""})
            return
        wait = () if error.retry_after_s is None else ((b"retry-after", str(round(error.retry_after_s)).encode()),)
        await self.json(value, error.status, wait)


def error_fields(error: GatewayError) -> dict[str, Any]:
    """An error in OpenAI's shape."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    return {"message": error.text(), "type": kind, "param": error.param, "code": error.code}


class App:
    """The application. One of `engine` and `embedder` is there, by the kind of the model."""

    def __init__(
        self, config: WorkerConfig, model: LocalModel, engine: ChatEngine | None, embedder: Embedder | None
    ) -> None:
        self._config, self._model, self._engine, self._embedder = config, model, engine, embedder
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._embedding = 0
        self._authorization = f"Bearer {config.token}".encode()
        self._routes: dict[tuple[str, str], Callable[[bytes, Reply], Awaitable[None]]] = {
            ("GET", "/health"): self._health,
            ("GET", "/v1/models"): self._models,
        }
        if engine:
            self._routes["POST", "/v1/chat/completions"] = self._chat
        if embedder:
            self._routes["POST", "/v1/embeddings"] = self._embed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            raise RuntimeError(f"a worker speaks HTTP only, not {scope['type']}")
        reply = Reply(send, self._config.send_s)
        try:
            route = self._route(scope)
            body = await self._read(receive)
            await self._until_gone(route(body, reply), receive)
        except (_GoneError, TimeoutError):  # nobody is there, or nobody reads
            return
        except GatewayError as error:
            await self._fail(reply, error)
        except Exception as error:  # a mistake of ours: the client hears of it, the trace goes to standard error
            logging.getLogger(__name__).exception("request failed")
            await self._fail(reply, Internal(f"The worker of {self._model.id} failed ({type(error).__name__})."))

    async def _fail(self, reply: Reply, error: GatewayError) -> None:
        with suppress(TimeoutError):
            await reply.fail(error)

    def _route(self, scope: Scope) -> Callable[[bytes, Reply], Awaitable[None]]:
        """Who answers; the token is looked at before anything else."""
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(given, self._authorization):
            raise ClientMistake(
                "The worker's token is missing or wrong.", status=401, code="invalid_api_key", remedy=""
            )
        route = self._routes.get((scope["method"], scope["path"]))
        if route is None:
            raise ClientMistake(f"{self._model.id} does not serve {scope['method']} {scope['path']}.", status=404)
        return route

    async def _read(self, receive: Receive) -> bytes:
        """The request's body, within its limits of size and time."""
        blocks, size = list[bytes](), 0
        async with asyncio.timeout(self._config.send_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _GoneError
                blocks.append(message.get("body", b""))
                size += len(blocks[-1])
                if size > self._config.body_bytes:
                    limit = self._config.body_bytes
                    raise ClientMistake(f"The body is larger than {limit} bytes.", status=413, kind="too_large")
                if not message.get("more_body"):
                    return b"".join(blocks)

    async def _until_gone(self, work: Awaitable[None], receive: Receive) -> None:
        """Runs the answer; ends it when the client leaves or the time is up."""

        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        answer, watch = asyncio.ensure_future(work), asyncio.ensure_future(gone())
        try:
            done, _ = await asyncio.wait(
                {answer, watch}, timeout=self._config.total_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            watch.cancel()
            if not answer.done():
                answer.cancel()
        await asyncio.wait({answer, watch}, timeout=self._config.send_s)
        if answer in done:
            answer.result()
        elif answer.done() and not answer.cancelled():
            answer.exception()  # read, since nobody is there to hear of it
        if not done:
            raise Upstream(f"The answer took more than {self._config.total_s:g} s.", status=504, kind="timeout")

    async def _health(self, body: bytes, reply: Reply) -> None:
        engine, model = self._engine, self._model
        await reply.json(
            {
                "status": "ok",
                "model": model.id,
                "kind": model.kind,
                "slots": engine.limits.slots if engine else 1,
                "busy": engine.busy if engine else min(1, self._embedding),
                "waiting": engine.waiting if engine else max(0, self._embedding - 1),
                "context_tokens": engine.limits.slot_tokens if engine else model.slot_tokens,
                "over_long": "refused" if engine else "truncated, unless truncate is false",
            }
        )

    async def _models(self, body: bytes, reply: Reply) -> None:
        entry = {"id": self._model.id, "object": "model", "created": 0, "owned_by": "local"}
        await reply.json({"object": "list", "data": [entry]})

    async def _chat(self, raw: bytes, reply: Reply) -> None:
        assert self._engine is not None  # noqa: S101  # the route exists only with it
        body = read_chat(raw)
        answer = Answer(body, self._model)
        if body.stream:
            await self._stream(body, answer, reply)
        else:
            await reply.json(await answer.whole(self._engine))

    async def _stream(self, body: ChatBody, answer: Answer, reply: Reply) -> None:
        assert self._engine is not None  # noqa: S101  # as above
        async with aclosing(answer.chunks(self._engine)) as chunks:
            async for chunk in chunks:
                await reply.event(msgspec.json.encode(chunk))
        await reply.event(b"[DONE]")
        await reply.write({"type": "http.response.body", "body": b""})

    async def _embed(self, raw: bytes, reply: Reply) -> None:
        assert self._embedder is not None and self._model.dimensions is not None  # noqa: S101, PT018  # as above
        body, texts = read_embed(raw, self._model.dimensions)
        if self._embedding > self._config.limits.waiting:
            raise Capacity("Too many embedding requests wait.", code="queue_full", retry_after_s=1.0)
        self._embedding += 1
        try:
            if not body.truncate:
                await self._refuse_long(self._embedder, texts)
            vectors, tokens, cut = list[bytes](), 0, list[int]()
            for start in range(0, len(texts), BATCH):
                part = await self._in_thread(self._embedder.embed, texts[start : start + BATCH])
                vectors += part.vectors
                tokens += part.tokens
                cut += [start + number for number in part.cut]
        finally:
            self._embedding -= 1
        data = [
            {"object": "embedding", "index": number, "embedding": _form(vector, body.encoding_format)}
            for number, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        value = {"object": "list", "data": data, "model": self._model.id, "usage": usage}
        await reply.json({**value, "truncated": cut} if cut else value)

    async def _refuse_long(self, embedder: Embedder, texts: list[str]) -> None:
        for start in range(0, len(texts), BATCH):
            lengths = await self._in_thread(embedder.lengths, texts[start : start + BATCH])
            for number, length in enumerate(lengths, start):
                if length > embedder.window:
                    text = f"The text has {length} tokens, the window {embedder.window}."
                    raise refuse(text, f"input[{number}]", "context_length_exceeded")

    async def _in_thread(self, work: Callable[[list[str]], Any], texts: list[str]) -> Any:
        """One thread for all: a batch of another request comes between two of a long one."""
        try:
            async with asyncio.timeout(self._config.total_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work, texts)
        except TimeoutError:
            raise Internal("The embedding took too long.") from None


def _form(vector: bytes, form: str) -> Any:
    """Base64 of little-endian float32, or a list of numbers."""
    if form == "base64":
        return base64.b64encode(vector).decode()
    numbers = array("f", vector)
    return numbers.tolist()
