"""WebSockets through a real gateway: SDKs of realtime endpoints, messages both ways, refusals, ends, bounds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import openai
import pytest
import websockets
from aiohttp import WSMsgType, web
from google import genai
from websockets.typing import Subprotocol

from acceptance.raw_provider import PROVIDER_KEY, RawProvider, Seen, configuration, messages, repeated
from acceptance.several import only_alone
from afterbay.core.decision import Record
from afterbay.testing.live import LiveGateway

EVENT_BYTES = 1 << 20
SHOWN = "sk-client-canary-987"


async def echo(request: web.Request, seen: Seen) -> web.StreamResponse:
    """Sends back what comes, and closes as it is told."""
    sockets = web.WebSocketResponse(protocols=("realtime", "other"), max_msg_size=0, compress=False, autoclose=True)
    await sockets.prepare(request)
    async for message in messages(sockets, seen):
        if isinstance(message, bytes):
            await sockets.send_bytes(message)
        elif message.startswith("close "):
            _, code, reason = message.split(" ", 2)
            await sockets.close(code=int(code), message=reason.encode())
            return sockets
        elif message == "break":
            assert request.transport is not None
            request.transport.abort()
        elif message == "key":
            await sockets.send_str(f"your key is {seen.headers['authorization']}")
        else:
            await sockets.send_str(message)
    return sockets


@pytest.fixture(scope="module")
def provider() -> Iterator[RawProvider]:
    for one in repeated(RawProvider()):
        one.handlers["/v1/echo"] = echo
        yield one


@pytest.fixture(scope="module")
def gateway(provider: RawProvider) -> Iterator[LiveGateway]:
    with LiveGateway(configuration(provider, limits={"event_bytes": EVENT_BYTES})) as running:
        yield running


@pytest.fixture
def url(gateway: LiveGateway) -> str:
    return gateway.url.replace("http:", "ws:") + "/passthrough/openai/v1"


def last(gateway: LiveGateway, path: str) -> Record:
    """The newest record of a path."""
    end_s = time.monotonic() + 5
    while time.monotonic() < end_s:
        found = [one for one in gateway.records() if one.requested_model == path]
        if found:
            return found[-1]
    raise AssertionError(f"no record of {path}")


async def ended(client: websockets.ClientConnection) -> tuple[int | None, str | None]:
    """How a connection ends."""
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            await asyncio.wait_for(client.recv(), 10)
    return client.close_code, client.close_reason


async def test_messages_pass_as_they_are(url: str, provider: RawProvider, gateway: LiveGateway) -> None:
    async with websockets.connect(f"{url}/echo?model=a&key={SHOWN}", compression=None) as client:
        for message in ("hi", "中文 \U0001f600", "", b"\x00\xff", b"", b"x" * (EVENT_BYTES - 10)):
            await client.send(message)
            assert await client.recv() == message
    await asyncio.to_thread(provider.wait, lambda: provider.seen[-1].closed is not None)
    seen = provider.seen[-1]
    assert (seen.path, seen.closed) == ("/v1/echo?model=a", (1000, ""))
    assert seen.headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert SHOWN not in repr(seen)
    assert "sec-websocket-extensions" not in seen.headers
    record = await asyncio.to_thread(last, gateway, "/v1/echo")
    assert (record.operation, record.status, record.outcome, record.stream) == ("passthrough", 101, "ok", True)
    assert (record.finish, record.usage, record.cost_picousd) == ("1000", None, None)
    assert record.tags == {"messages_up": "6", "messages_down": "6"}
    assert record.request_bytes == record.response_bytes == 2 + 11 + 2 + EVENT_BYTES - 10


async def test_messages_in_fragments_arrive_whole(url: str) -> None:
    async with websockets.connect(f"{url}/echo", compression="deflate") as client:
        await client.send(["one ", "two ", "three"])
        assert await client.recv() == "one two three"


async def test_both_directions_move_at_once(url: str, provider: RawProvider) -> None:
    async def talk(request: web.Request, seen: Seen) -> web.StreamResponse:
        talking = web.WebSocketResponse()
        await talking.prepare(request)

        async def speak() -> None:
            for number in range(300):
                await talking.send_str(str(number))

        async with asyncio.TaskGroup() as both:
            both.create_task(speak())
            async for _ in messages(talking, seen):
                if len(seen.messages) == 300:
                    break
        await talking.close()
        return talking

    provider.handlers["/v1/talk"] = talk
    async with websockets.connect(f"{url}/talk") as client, asyncio.TaskGroup() as both:

        async def speak() -> None:
            for number in range(300):
                await client.send(str(number))

        both.create_task(speak())
        assert [await client.recv() for _ in range(300)] == [str(number) for number in range(300)]
    assert provider.seen[-1].messages == [str(number) for number in range(300)]


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        ("close 1000 done", (1000, "done")),
        ("close 4008 bye " + "é" * 20, (4008, "bye " + "é" * 20)),
        ("close 3000 ", (3000, "")),
        ("close 1013 later", (1013, "later")),
        ("break", (1011, "the connection to the provider broke")),
    ],
)
async def test_the_provider_s_end_is_told(url: str, gateway: LiveGateway, shown: str, wanted: tuple[int, str]) -> None:
    async with websockets.connect(f"{url}/echo") as client:
        await client.send(shown)
        assert await ended(client) == wanted
    record = await asyncio.to_thread(last, gateway, "/v1/echo")
    assert record.finish == str(wanted[0])
    assert record.outcome == ("cut" if shown == "break" else "ok")


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "leaving"), (4001, "é" * 30)])
async def test_the_client_s_end_is_told(url: str, provider: RawProvider, code: int, reason: str) -> None:
    async def close_frame(request: web.Request, seen: Seen) -> web.StreamResponse:
        listening = web.WebSocketResponse(autoclose=False)
        await listening.prepare(request)
        message = await listening.receive()
        assert message.type is WSMsgType.CLOSE
        seen.closed = (message.data, message.extra or "")
        await listening.close()
        return listening

    provider.handlers["/v1/listen"] = close_frame
    async with websockets.connect(f"{url}/listen") as client:
        await client.close(code, reason)
    await asyncio.to_thread(provider.wait, lambda: provider.seen[-1].closed is not None)
    assert provider.seen[-1].closed == (code, reason)


async def test_a_client_that_vanishes_closes_the_provider_s_side(
    url: str, provider: RawProvider, gateway: LiveGateway
) -> None:
    client = await websockets.connect(f"{url}/echo")
    await client.send("hi")
    assert await client.recv() == "hi"
    client.transport.abort()
    await asyncio.to_thread(provider.wait, lambda: provider.seen[-1].closed is not None)
    assert provider.seen[-1].closed == (1011, "")
    assert (await asyncio.to_thread(last, gateway, "/v1/echo")).outcome == "client_closed"


async def test_open_sockets_are_counted(url: str, gateway: LiveGateway, provider: RawProvider) -> None:
    count = lambda: gateway.gateway.context.open_streams  # noqa: E731
    async with websockets.connect(f"{url}/echo") as client:
        await client.send("hi")
        await client.recv()
        assert count() == 1
        metrics = aiohttp.ClientSession()
        async with metrics, metrics.get(f"{gateway.url}/metrics") as page:
            assert "afterbay_open_streams 1.0" in await page.text()
    (await asyncio.to_thread(last, gateway, "/v1/echo"))
    assert count() == 0


async def test_a_browser_s_key_is_stripped_and_the_other_subprotocols_are_kept(url: str, provider: RawProvider) -> None:
    offered = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{SHOWN}"), Subprotocol("openai-beta.v1")]
    async with websockets.connect(f"{url}/echo", subprotocols=offered) as client:
        assert client.subprotocol == "realtime"
    assert provider.seen[-1].headers["sec-websocket-protocol"] == "realtime,openai-beta.v1"
    assert SHOWN not in repr(provider.seen[-1])


async def test_a_provider_s_refusal_is_the_client_s_status(
    url: str, provider: RawProvider, gateway: LiveGateway
) -> None:
    async def refuse(request: web.Request, seen: Seen) -> web.StreamResponse:
        error = {"error": {"message": f"no such model, key {PROVIDER_KEY}", "code": "model_not_found"}}
        return web.json_response(error, status=404, headers={"retry-after": "3", "set-cookie": "a=b"})

    provider.handlers["/v1/refuse"] = refuse
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"{url}/refuse")
    response = refused.value.response
    assert (response.status_code, response.headers["retry-after"]) == (404, "3")
    assert json.loads(response.body or b"")["error"]["code"] == "model_not_found"
    assert PROVIDER_KEY.encode() not in (response.body or b"")
    assert "set-cookie" not in response.headers
    assert response.headers["x-afterbay-provider"] == "openai"
    record = last(gateway, "/v1/refuse")
    assert (record.status, record.outcome) == (404, "not_found")
    assert (record.attempts[0].status, record.attempts[0].outcome) == (404, "error")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/passthrough/opnai/v1/echo", 404, "unknown_provider"),
        ("/passthrough/openai/v1/../echo", 400, "invalid_path"),
        ("/passthrough/openai/v1/%2e%2e/%2e%2e/echo", 400, "invalid_path"),
        ("/v1/realtime", 404, "unknown_endpoint"),
        ("/health/live", 404, "unknown_endpoint"),
    ],
)
async def test_what_is_not_there_is_an_http_error(gateway: LiveGateway, path: str, status: int, code: str) -> None:
    reader, writer = await asyncio.open_connection(*at(gateway))
    writer.write(upgrade(path))
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    body = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert int(head.split()[1]) == status
    assert json.loads(body)["error"]["code"] == code


async def test_a_provider_that_is_not_there_is_a_502() -> None:
    document = {
        "providers": {"openai": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": PROVIDER_KEY}}
    }
    with LiveGateway(document) as gateway:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(gateway.url.replace("http", "ws") + "/passthrough/openai/v1/realtime")
        assert refused.value.response.status_code == 502
        assert b"127.0.0.1" not in (refused.value.response.body or b"")
        assert gateway.records(1)[0].attempts[0].outcome == "connection"


async def test_a_provider_s_proxy_holds_for_sockets_and_requests(provider: RawProvider) -> None:
    document = configuration(provider)
    document["providers"]["openai"] |= {"base_url": "http://provider.invalid/v1", "proxy": provider.url}
    with LiveGateway(document) as gateway:
        end = gateway.url.replace("http", "ws") + "/passthrough/openai/v1/echo"
        async with websockets.connect(end) as client:
            await client.send("hi")
            assert await client.recv() == "hi"
    assert provider.seen[-1].headers["host"] == "provider.invalid"


async def test_no_key_of_a_client_gets_into_the_log(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "uvicorn")
    caplog.set_level("DEBUG", "afterbay")
    async with websockets.connect(f"{url}/echo?key={SHOWN}", logger=logging.getLogger("nobody")) as client:
        await client.send("hi")
        await client.recv()
    said = [record for record in caplog.records if record.name.startswith(("uvicorn", "afterbay"))]
    assert not any(SHOWN in record.getMessage() for record in said if record.levelno > logging.DEBUG)


@pytest.mark.parametrize("origin", ["https://page.example", "null"])
async def test_a_web_page_may_not_open_one_at_an_open_gateway(url: str, provider: RawProvider, origin: str) -> None:
    before = len(provider.seen)
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"{url}/echo", additional_headers={"origin": origin})
    assert refused.value.response.status_code == 403
    assert len(provider.seen) == before


async def test_keys_hold_wherever_they_are_shown(provider: RawProvider) -> None:
    with LiveGateway(configuration(provider)) as gateway:
        free = gateway.create_key("free").secret.reveal()
        bound = gateway.create_key("bound", ("gpt",)).secret.reveal()
        end = gateway.url.replace("http", "ws") + "/passthrough/openai/v1/echo"

        async def status(secret: str, where: str) -> int:
            headers = {"authorization": f"Bearer {secret}", "x-goog-api-key": secret}
            headers = {where: headers[where]} if where in headers else {}
            offered = [Subprotocol(f"openai-insecure-api-key.{secret}"), Subprotocol("realtime")]
            query = f"?key={secret}" if where == "query" else ""
            try:
                async with websockets.connect(
                    end + query, additional_headers=headers, subprotocols=offered if where == "subprotocol" else None
                ):
                    return 101
            except websockets.InvalidStatus as refused:
                return refused.response.status_code

        for where in ("authorization", "x-goog-api-key", "query", "subprotocol"):
            assert await status(free, where) == 101, where
            assert free not in repr(provider.seen[-1])
            assert await status(bound, where) == 403, where
            assert await status("ab-unknown", where) == 401, where
        assert await status(free, "nowhere") == 401


@pytest.mark.parametrize("up", [True, False])
async def test_messages_that_are_too_large_end_it(url: str, provider: RawProvider, up: bool) -> None:
    async def large(request: web.Request, seen: Seen) -> web.StreamResponse:
        sending = web.WebSocketResponse(max_msg_size=0)
        await sending.prepare(request)
        await sending.send_bytes(b"x" * (EVENT_BYTES + 1))
        async for _ in messages(sending, seen):
            pass
        return sending

    provider.handlers["/v1/large"] = large
    async with websockets.connect(f"{url}/{'echo' if up else 'large'}", max_size=None) as client:
        if up:
            await client.send(b"x" * (EVENT_BYTES + 1))
        assert (await ended(client))[0] == 1009
    seen = provider.seen[-1]
    await asyncio.to_thread(provider.wait, lambda: seen.closed is not None or seen.gone)
    assert seen.closed in ([(1009, "")] if up else [(1009, ""), None])  # it may still be busy with sending


async def test_the_provider_s_key_does_not_come_back(url: str) -> None:
    async with websockets.connect(f"{url}/echo") as client:
        await client.send("key")
        assert PROVIDER_KEY not in str(await client.recv())


async def test_who_does_not_read_slows_the_other_side_down(url: str, provider: RawProvider) -> None:
    sent = [0]

    async def flood(request: web.Request, seen: Seen) -> web.StreamResponse:
        flooding = web.WebSocketResponse()
        await flooding.prepare(request)
        while True:
            await flooding.send_bytes(b"x" * 65536)
            sent[0] += 65536

    provider.handlers["/v1/flood"] = flood
    client = await websockets.connect(f"{url}/flood", max_queue=1)
    before, end_s = -1, time.monotonic() + 10
    while sent[0] != before and time.monotonic() < end_s:
        before = sent[0]
        await asyncio.sleep(0.3)
    assert 0 < sent[0] < 64 << 20, "somebody holds it all"
    client.transport.abort()
    await asyncio.to_thread(provider.wait, lambda: provider.seen[-1].gone)


async def test_idle_and_old_sockets_are_closed(provider: RawProvider) -> None:
    limits = {"socket_idle": "300ms", "socket_total": "1s"}
    with LiveGateway(configuration(provider, limits=limits)) as gateway:
        end = gateway.url.replace("http", "ws") + "/passthrough/openai/v1/echo"
        async with websockets.connect(end) as client:
            assert await ended(client) == (1001, "idle for 0.3 s (limits.socket_idle)")
        assert (await asyncio.to_thread(last, gateway, "/v1/echo")).outcome == "socket_idle"
        async with websockets.connect(end) as client:
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    await client.send("hi")
                    await client.recv()
                    await asyncio.sleep(0.05)
            assert (client.close_code, client.close_reason) == (
                1001,
                "open for 1 s (limits.socket_total, x-afterbay-timeout-ms)",
            )
        record = [one for one in gateway.records(2) if one.requested_model == "/v1/echo"][-1]
        assert (record.outcome, record.attempts[0].outcome) == ("socket_total", "timeout")
        await asyncio.to_thread(provider.wait, lambda: provider.seen[-1].closed == (1001, ""))


@only_alone("it waits for the thread")
async def test_a_gateway_that_stops_lets_sockets_go_on_and_then_says_1012(provider: RawProvider) -> None:
    with LiveGateway(configuration(provider, limits={"drain": "1s"})) as gateway:
        end = gateway.url.replace("http", "ws") + "/passthrough/openai/v1/echo"
        async with websockets.connect(end) as client:
            await client.send("hi")
            assert await client.recv() == "hi"
            gateway.stop()
            await asyncio.sleep(0.4)
            await client.send("still there?")
            assert await client.recv() == "still there?"
            assert await ended(client) == (1012, "the gateway ends")
        await asyncio.to_thread(provider.wait, lambda: provider.seen[-1].closed == (1001, ""))
        await asyncio.to_thread(gateway._thread.join, 10)


async def test_openai_s_realtime_client(gateway: LiveGateway, provider: RawProvider) -> None:
    async def realtime(request: web.Request, seen: Seen) -> web.StreamResponse:
        talking = web.WebSocketResponse()
        await talking.prepare(request)
        await talking.send_json({"type": "session.created", "event_id": "e1", "session": {"type": "realtime"}})
        async for message in messages(talking, seen):
            asked = json.loads(message)
            if asked["type"] == "response.create":
                base = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
                for number, delta in enumerate(("Hel", "lo")):
                    event = {"type": "response.output_text.delta", "event_id": f"d{number}", "delta": delta, **base}
                    await talking.send_json(event)
                await talking.send_json({"type": "response.done", "event_id": "z", "response": {"id": "r"}})
        return talking

    provider.handlers["/v1/realtime"] = realtime
    client = openai.AsyncOpenAI(base_url=f"{gateway.url}/passthrough/openai/v1", api_key=SHOWN)
    said = ""
    async with client.realtime.connect(model="gpt-realtime") as connection:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await connection.response.create()
        async for event in connection:
            if event.type == "response.output_text.delta":
                said += event.delta
            elif event.type == "response.done":
                break
    assert said == "Hello"
    assert provider.seen[-1].path == "/v1/realtime?model=gpt-realtime"
    assert provider.seen[-1].headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert SHOWN not in repr(provider.seen[-1])
    assert [json.loads(str(one))["type"] for one in provider.seen[-1].messages] == ["session.update", "response.create"]


async def test_google_s_live_client(
    gateway: LiveGateway, provider: RawProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def live(request: web.Request, seen: Seen) -> web.StreamResponse:
        talking = web.WebSocketResponse()
        await talking.prepare(request)
        async for message in messages(talking, seen):
            asked = json.loads(message)
            if "setup" in asked:
                await talking.send_bytes(b'{"setupComplete": {}}')
            else:
                content = {"modelTurn": {"parts": [{"text": "Hello"}]}, "turnComplete": True}
                await talking.send_bytes(json.dumps({"serverContent": content}).encode())
        return talking

    for version in ("v1", "v1beta"):
        path = f"/ws/google.ai.generativelanguage.{version}.GenerativeService.BidiGenerateContent"
        provider.handlers[path] = live
    options: Any = {"base_url": f"{gateway.url}/passthrough/google"}
    client = genai.Client(api_key=SHOWN, http_options=options)
    # It insists on TLS, which a gateway on loopback has none of.
    end = options["base_url"].replace("http:", "ws:")
    monkeypatch.setattr(client._api_client, "_websocket_base_url", lambda http_options=None: end)
    monkeypatch.setattr(client._api_client, "_websocket_ssl_ctx", {})
    async with client.aio.live.connect(model="gemini-live", config={"response_modalities": ["TEXT"]}) as session:
        await session.send_realtime_input(text="Hi")
        said = [message.text async for message in session.receive() if message.text]
    assert said == ["Hello"]
    assert provider.seen[-1].headers["x-goog-api-key"] == PROVIDER_KEY
    assert SHOWN not in repr(provider.seen[-1])


def at(gateway: LiveGateway) -> tuple[str, int]:
    """Where a gateway listens."""
    parts = urlsplit(gateway.url)
    return str(parts.hostname), int(parts.port or 0)


def upgrade(path: str, method: str = "GET", more: bytes = b"") -> bytes:
    """The head of a request for a WebSocket."""
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    return (
        head.encode() + b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + more + b"\r\n"
    )


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (upgrade("/passthrough/openai/v1/echo", "POST"), 400),
        (upgrade("/passthrough/openai/v1/echo", more=b"content-length: 3\r\n") + b"abc", 400),
        (upgrade("/passthrough/openai/v1/echo", more=b"transfer-encoding: chunked\r\n"), 400),
        (upgrade("/passthrough/openai/v1/" + "a" * 9000), 431),
        (upgrade("/passthrough/openai/v1/echo", more=b"x-a: " + b"a" * 9000 + b"\r\n"), 431),
        (upgrade("/passthrough/openai/v1/echo", more=b"x-a: b\r\n" * 130), 431),
        (upgrade("/passthrough/openai/v1/echo", more=b"x-a: " + b"a" * 70_000 + b"\r\n"), 431),
        (upgrade("/passthrough/openai/v1/echo").replace(b"version: 13", b"version: 12"), 400),
        (upgrade("/passthrough/openai/v1/echo").replace(b"dGhl", b"!"), 400),
    ],
)
def test_a_head_that_no_library_reads_is_answered(gateway: LiveGateway, sent: bytes, status: int) -> None:
    with socket.create_connection(at(gateway), timeout=10) as client:
        client.sendall(sent)
        got = b""
        with contextlib.suppress(ConnectionError):
            while data := client.recv(65536):
                got += data
    assert int(got.split()[1]) == status, got


@only_alone("it changes a constant of the process")
def test_a_slow_head_of_an_upgrade_is_cut(gateway: LiveGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afterbay.app.connection.HEAD_S", 0.2)
    with socket.create_connection(at(gateway), timeout=10) as client:
        client.sendall(upgrade("/passthrough/openai/v1/echo")[:-2])
        began_s = time.monotonic()
        assert client.recv(100) == b""
        assert time.monotonic() - began_s < 2


def test_an_upgrade_behind_a_request_that_is_still_answered_is_refused(
    gateway: LiveGateway, provider: RawProvider
) -> None:
    go_on = threading.Event()

    async def slow(request: web.Request, seen: Seen) -> web.StreamResponse:
        await asyncio.to_thread(go_on.wait, 10)
        return web.json_response({})

    provider.handlers["/v1/slow"] = slow
    before = len(provider.seen)
    with socket.create_connection(at(gateway), timeout=10) as client:
        client.sendall(b"GET /passthrough/openai/v1/slow HTTP/1.1\r\nhost: localhost\r\n\r\n")
        provider.wait(lambda: len(provider.seen) > before)
        client.sendall(upgrade("/passthrough/openai/v1/echo"))
        assert b" 400 " in client.recv(1000)
    go_on.set()
    assert len(provider.seen) == before + 1
