"""The worker's application, asked by ASGI messages: clients that leave, stall, send too much, and faults of our own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, MutableMapping
from typing import Any

import msgspec
import pytest

from afterbay.local import catalog
from afterbay.local.app import App
from afterbay.local.embedder import Embedded
from afterbay.local.handshake import WorkerConfig, read_line
from afterbay.local.llama import ChatEngine, Chunk, EngineLimits
from afterbay.testing.grammar import violations

from .conftest import until
from .test_engine import Scripted, words

Message = MutableMapping[str, Any]


def config(**fields: Any) -> WorkerConfig:
    return WorkerConfig("local-small", (), "t0ken", 1, **fields)


class Client:
    """One HTTP exchange with an application."""

    def __init__(self, path: str, body: bytes = b"", method: str = "POST") -> None:
        headers = [(b"authorization", b"Bearer t0ken")]
        self.scope: Message = {"type": "http", "method": method, "path": path, "headers": headers}
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.incoming.put_nowait({"type": "http.request", "body": body})
        self.sent = list[Message]()
        self.stalled = False

    async def send(self, message: Message) -> None:
        if self.stalled:
            await asyncio.Event().wait()
        self.sent.append(message)

    async def run(self, app: App) -> Any:
        """The whole exchange; returns the decoded body."""
        async with asyncio.timeout(10):
            await app(self.scope, self.incoming.get, self.send)
        if self.body().startswith(b"data:"):
            has_ended = not self.sent[-1].get("more_body", False)
            assert violations("openai.chat", self.body(), ended=has_ended) == []
        return json.loads(self.body()) if self.body().startswith(b"{") else self.body().decode()

    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


def chat(**fields: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": "hi"}], **fields}).encode()


def app_of(server: Scripted, **fields: Any) -> App:
    return App(config(**fields), catalog.SMALL, ChatEngine(server, EngineLimits(slots=1)), None)


def endless(ended: threading.Event) -> Scripted:
    """Writes until it is told to stop."""

    def work(callback: Callable[[Chunk], bool]) -> None:
        while not callback({"choices": [{"delta": {"content": "x"}}]}):
            pass
        ended.set()

    return Scripted(work)


async def test_a_stream_is_server_sent_events_up_to_done() -> None:
    client = Client("/v1/chat/completions", chat(stream=True))
    text = await client.run(app_of(words("Hi")))
    assert (b"content-type", b"text/event-stream; charset=utf-8") in client.sent[0]["headers"]
    assert text.endswith("data: [DONE]\n\n")
    chunks = [json.loads(line[6:]) for line in text.split("\n\n")[:-2]]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "Hi"


async def test_a_client_that_disconnects_ends_the_generation() -> None:
    ended = threading.Event()
    client = Client("/v1/chat/completions", chat(stream=True))
    running = asyncio.create_task(client.run(app_of(endless(ended))))
    await until(lambda: len(client.sent) > 2)
    client.incoming.put_nowait({"type": "http.disconnect"})
    await running
    assert await asyncio.to_thread(ended.wait, 5)


async def test_a_client_that_stops_reading_loses_its_slot() -> None:
    ended = threading.Event()
    client = Client("/v1/chat/completions", chat(stream=True))
    client.stalled = True
    await client.run(app_of(endless(ended), send_s=0.05))
    assert await asyncio.to_thread(ended.wait, 5)


async def test_an_answer_without_end_is_ended_in_time() -> None:
    ended = threading.Event()
    client = Client("/v1/chat/completions", chat())
    reply = await client.run(app_of(endless(ended), total_s=0.05))
    assert (client.status, "took more than" in reply["error"]["message"]) == (504, True)
    assert await asyncio.to_thread(ended.wait, 5)


async def test_a_body_that_is_too_large_is_refused() -> None:
    client = Client("/v1/chat/completions", b"x" * 101)
    reply = await client.run(app_of(words(""), body_bytes=100))
    assert (client.status, reply["error"]["type"]) == (413, "invalid_request_error")


async def test_a_body_that_is_not_utf_8_is_the_clients_mistake() -> None:
    client = Client("/v1/chat/completions", chat(model="m").replace(b"hi", b"\xff"))
    reply = await client.run(app_of(words("")))
    assert (client.status, reply["error"]["message"][:20]) == (400, "The body is not JSON")


async def test_a_client_that_leaves_before_its_body_is_complete_gets_nothing() -> None:
    client = Client("/v1/chat/completions")
    client.incoming = asyncio.Queue()
    client.incoming.put_nowait({"type": "http.request", "body": b"{", "more_body": True})
    client.incoming.put_nowait({"type": "http.disconnect"})
    await client.run(app_of(words("")))
    assert client.sent == []


async def test_a_fault_of_the_engine_in_a_stream_is_an_error_event() -> None:
    def work(callback: Callable[[Chunk], bool]) -> None:
        callback({"choices": [{"delta": {"content": "x"}}]})
        callback({"error": {"code": 500, "message": "boom"}})

    client = Client("/v1/chat/completions", chat(stream=True))
    text = await client.run(app_of(Scripted(work)))
    assert client.status == 200
    assert json.loads(text.split("\n\n")[-2][6:])["error"]["message"].startswith("The local model failed: boom")
    assert "[DONE]" not in text


async def test_a_fault_of_our_own_is_a_500_that_shows_no_detail(caplog: pytest.LogCaptureFixture) -> None:
    def work(callback: Callable[[Chunk], bool]) -> None:
        callback({"choices": [{"delta": {"content": 5}}]})  # no text: the parser trips over it

    client = Client("/v1/chat/completions", chat(tools=[{"type": "function", "function": {"name": "f"}}]))
    reply = await client.run(app_of(Scripted(work)))
    assert (client.status, reply["error"]["type"]) == (500, "server_error")
    assert "TypeError" in reply["error"]["message"]
    assert "request failed" in caplog.text


async def test_only_http_is_spoken() -> None:
    with pytest.raises(RuntimeError, match="not websocket"):
        await app_of(words(""))({"type": "websocket"}, asyncio.Queue().get, Client("/").send)


class Counting:
    """An embedder that gives each text a vector of one number."""

    window = 256

    def embed(self, texts: list[str]) -> Embedded:
        """As Embedder's."""
        return Embedded(tuple(b"\0\0\x80?" for _ in texts), len(texts), (0,) if texts[0] == "long" else ())


async def test_a_large_batch_is_run_in_parts_and_put_together_in_order() -> None:
    embedder: Any = Counting()
    app = App(config(), catalog.EMBED, None, embedder)
    texts = ["a"] * 32 + ["long"] + ["a"] * 32
    client = Client("/v1/embeddings", json.dumps({"input": texts}).encode())
    reply = await client.run(app)
    assert [entry["index"] for entry in reply["data"]] == list(range(65))
    assert reply["data"][64]["embedding"] == [1.0]
    assert (reply["usage"]["prompt_tokens"], reply["truncated"]) == (65, [32])
    state = await Client("/health", method="GET").run(app)
    assert (state["status"], state["kind"], state["busy"], state["context_tokens"]) == ("ok", "embed", 0, 256)


def test_the_configuration_line_is_read_back() -> None:
    given = config(total_s=5.0)
    assert read_line(msgspec.json.encode(given)) == given
