"""Clients that lose a real connection and come back: an event source, and the makers' SDKs on streams with numbers."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import anthropic
import httpx2 as httpx
import openai
import pytest
from aiohttp import web
from google import genai
from google.genai.types import HttpOptions

from acceptance.conftest import emulated
from acceptance.raw_provider import RawProvider, Seen, configuration
from afterbay.app.gateway import RunningGateway
from afterbay.core.decision import Record
from afterbay.testing.answers import stream
from afterbay.testing.live import LiveGateway

CHAT, RESPONSES = "openai.chat", "openai.responses"
TEXTS = ("Der ", "Rhein ", "entspringt ", "in den ", "Alpen.")
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    CHAT: ("/v1/chat/completions", {"messages": [{"role": "user", "content": "?"}]}),
    RESPONSES: ("/v1/responses", {"input": "?"}),
    "anthropic.messages": ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": "?"}]}),
}


class Gated(RawProvider):
    """A provider whose streams stop after some events until `release` is called."""

    def __init__(self) -> None:
        super().__init__()
        self._gate = asyncio.Event()
        for dialect, (path, _) in BODIES.items():
            self.handlers[path] = self._handler(dialect)

    def _handler(self, dialect: str) -> Any:
        async def answer(request: web.Request, seen: Seen) -> web.StreamResponse:
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            pieces = stream(dialect, *TEXTS)
            stop = 1 + next(at for at, piece in enumerate(pieces) if TEXTS[1].encode() in piece)
            await response.write(b"".join(pieces[:stop]))
            await self._gate.wait()
            for piece in pieces[stop:]:
                await response.write(piece)
            return response

        return answer

    def release(self) -> None:
        """Lets all streams go on."""
        self._loop.call_soon_threadsafe(self._gate.set)


@pytest.fixture
def provider() -> Iterator[Gated]:
    with Gated() as running:
        yield running


def running(provider: Gated, reconnect: str = "30s") -> LiveGateway:
    models = {"gpt": {"provider": "openai", "name": "gpt"}, "claude": {"provider": "anthropic", "name": "claude"}}
    return LiveGateway(configuration(provider, models=models, defaults={"reconnect": reconnect}))


class EventSource:
    """An event source as HTML has it, but for the POST that begins it. `last_id` and `data` go on over connections."""

    def __init__(self, url: str) -> None:
        at = urlsplit(url)
        self.last_id = ""
        self.data: list[str] = []
        self.status = 0
        self._host, self._port = str(at.hostname), int(at.port or 0)

    def connect(self, method: str, path: str, body: bytes = b"", most: int = 1000) -> str:
        """Reads up to so many events, then breaks the connection by a reset. Returns the request's id."""
        with socket.create_connection((self._host, self._port), timeout=10) as sock:
            lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
            if self.last_id:
                lines.append(f"Last-Event-ID: {self.last_id}")
            sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            with sock.makefile("rb") as file:
                self.status = int(file.readline().split()[1])
                headers = {}
                while line := file.readline().strip():
                    name, _, value = line.decode().partition(": ")
                    headers[name.lower()] = value
                if "transfer-encoding" in headers:
                    self._read(file, most)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return headers.get("x-request-id", "")

    def _read(self, file: Any, most: int) -> None:
        text, seen, last_id, data = b"", 0, self.last_id, []
        while seen < most and (size := int(file.readline(), 16)):
            text += file.read(size)
            file.readline()
            *whole, text = text.split(b"\n")
            for line in whole:
                name, _, value = line.decode().partition(":")
                if name == "id":
                    last_id = value.strip()
                elif name == "data":
                    data.append(value.strip())
                elif not line:
                    self.last_id = last_id
                    self.data += ["\n".join(data)] if data else []
                    seen += bool(data)
                    data = []
                if seen == most:
                    return


def ask(dialect: str, model: str = "gpt") -> tuple[str, bytes]:
    path, body = BODIES[dialect]
    return path, httpx.Request("POST", "http://x", json={"model": model, "stream": True, **body}).read()


def the(records: list[Record], operation: str) -> list[Record]:
    return [one for one in records if one.operation == operation]


@pytest.mark.parametrize(("dialect", "model"), [(CHAT, "gpt"), (CHAT, "claude"), ("anthropic.messages", "gpt")])
def test_an_event_source_that_is_reset_reads_the_whole_stream_once(provider: Gated, dialect: str, model: str) -> None:
    with running(provider) as gateway:
        path, body = ask(dialect, model)
        source = EventSource(gateway.url)
        request_id = source.connect("POST", path, body, most=2)
        assert source.last_id == "2"
        wait_until_detached(gateway)
        provider.release()
        source.connect("GET", f"/v1/requests/{request_id}/stream")
        had = list(source.data)
        source.connect("GET", f"/v1/requests/{request_id}/stream")
        assert source.status == 204
        assert source.data == had
        said = "".join(had)
        for text in TEXTS:
            assert said.count(text.strip()) == 1
        (record,) = the(gateway.records(3), "chat")
        assert record.outcome == "ok"
        assert any("the client left after event" in warning for warning in record.warnings)
        metrics = httpx.get(f"{gateway.url}/metrics").text
        assert "afterbay_detached_streams 0.0" in metrics
        assert 'operation="reconnect",outcome="ok"' in metrics


def wait_until_detached(gateway: LiveGateway) -> None:
    """Until the gateway has noticed that the client left."""

    async def count(running: RunningGateway) -> int:
        return running.context.streams.detached

    end_s = time.monotonic() + 10
    while not gateway.call(count):
        assert time.monotonic() < end_s
        time.sleep(0.005)


def test_nobody_comes_back_and_the_provider_is_hung_up_on(provider: Gated) -> None:
    with running(provider, "200ms") as gateway:
        source = EventSource(gateway.url)
        request_id = source.connect("POST", *ask(CHAT), most=2)
        provider.wait(lambda: provider.seen[0].gone)
        (record,) = gateway.records(1)
        assert record.outcome == record.attempts[0].outcome == "client_closed"
        source.connect("GET", f"/v1/requests/{request_id}/stream")
        assert source.status == 404


def test_a_live_connection_is_taken_over(provider: Gated) -> None:
    with running(provider) as gateway, openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x") as client:
        first = client.chat.completions.with_raw_response.create(
            model="gpt", stream=True, messages=[{"role": "user", "content": "?"}]
        )
        chunks = iter(first.parse())
        next(chunks)
        source = EventSource(gateway.url)
        reading = threading.Thread(
            target=source.connect, args=("GET", f"/v1/requests/{first.headers['x-request-id']}/stream")
        )
        reading.start()
        with pytest.raises(openai.APIError, match="took this stream over"):
            list(chunks)
        provider.release()
        reading.join(10)
        assert source.data[-1] == "[DONE]"
        assert "".join(source.data).count("Alpen") == 1


def test_a_client_cancels_what_it_left(provider: Gated) -> None:
    with running(provider) as gateway:
        source = EventSource(gateway.url)
        request_id = source.connect("POST", *ask(CHAT), most=2)
        answer = httpx.delete(f"{gateway.url}/v1/requests/{request_id}/stream")
        assert answer.json() == {"id": request_id, "object": "stream", "cancelled": True}
        provider.wait(lambda: provider.seen[0].gone)
        assert httpx.delete(f"{gateway.url}/v1/requests/{request_id}/stream").status_code == 404


@pytest.mark.parametrize("model", ["gpt", "claude"])
def test_openais_sdk_comes_back_to_a_response_by_its_own_call(provider: Gated, model: str) -> None:
    with running(provider) as gateway, openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x") as client:
        first = client.responses.create(model=model, input="?", stream=True)
        events = []
        for event in first:
            events.append(event)
            if len(events) == 5:
                break
        first.close()
        response_id = events[0].response.id  # type: ignore[union-attr]
        provider.release()
        rest = client.responses.retrieve(response_id, stream=True, starting_after=events[-1].sequence_number)
        events += list(rest)
        assert [event.sequence_number for event in events] == list(range(len(events)))
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert text == "".join(TEXTS)
        assert events[-1].type == "response.completed"


def test_a_gateway_that_stops_waits_for_who_may_come_back_and_no_longer(provider: Gated) -> None:
    with running(provider, "300ms") as gateway:
        EventSource(gateway.url).connect("POST", *ask(CHAT), most=2)
        wait_until_detached(gateway)
        gateway.stop()
        provider.wait(lambda: provider.seen[0].gone)


def test_a_gateway_that_takes_nothing_new_lets_clients_come_back_to_what_they_have(provider: Gated) -> None:
    async def close(one: RunningGateway) -> None:
        one.context.drain.close()

    with running(provider) as gateway:
        source = EventSource(gateway.url)
        name = source.connect("POST", *ask(CHAT), most=2)
        gateway.call(close)
        other = EventSource(gateway.url)
        other.connect("POST", *ask(CHAT))
        assert other.status == 503
        provider.release()
        source.connect("GET", f"/v1/requests/{name}/stream")
        assert source.status == 200
        assert source.data[-1] == "[DONE]"


def test_sdks_read_streams_with_numbers_as_ever(emulator_url: str) -> None:
    said = {}
    for reconnect in ("0s", "30s"):
        config = emulated(emulator_url) | {"defaults": {"reconnect": reconnect}}
        with LiveGateway(config) as gateway:
            said[reconnect] = list(everything(gateway.url))
    assert said["0s"] == said["30s"]
    assert all(said["30s"])


def everything(url: str) -> Iterator[str]:
    """What every SDK reads of a stream from every provider."""
    asked: Any = [{"role": "user", "content": "Where does the Rhine rise?"}]
    for model in ("gpt", "claude", "gem"):
        with openai.OpenAI(base_url=f"{url}/v1", api_key="x") as gpt:
            chunks = gpt.chat.completions.create(model=model, messages=asked, stream=True)
            yield "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            with gpt.responses.stream(model=model, input="Where does the Rhine rise?") as answer:
                yield answer.get_final_response().output_text
        with (
            anthropic.Anthropic(base_url=url, api_key="x") as claude,
            claude.messages.stream(model=model, max_tokens=99, messages=asked) as message,
        ):
            yield message.get_final_text()
        client = genai.Client(api_key="x", http_options=HttpOptions(base_url=url))
        parts = client.models.generate_content_stream(model=model, contents="Where does the Rhine rise?")
        yield "".join(part.text or "" for part in parts)
