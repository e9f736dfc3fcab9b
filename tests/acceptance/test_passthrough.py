"""Raw HTTP requests through a real gateway to a provider on loopback: SDKs, bytes, credentials, bounds, hang-ups."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
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

from acceptance.raw_provider import PROVIDER_KEY, RawProvider, Seen, configuration, repeated
from acceptance.several import only_alone
from afterbay.testing.live import LiveGateway

BODY_BYTES = 24 << 20
LIMITS = {"body_bytes": BODY_BYTES, "body_timeout": "1s"}
TIMEOUTS = {"first_token": "2s", "between_tokens": "1s"}
AUDIO = bytes(range(256)) * 64


@pytest.fixture(scope="module")
def provider() -> Iterator[RawProvider]:
    yield from repeated(RawProvider())


@pytest.fixture(scope="module")
def gateway(provider: RawProvider) -> Iterator[LiveGateway]:
    document = configuration(provider, limits=LIMITS, defaults={"timeouts": TIMEOUTS})
    document["providers"]["inside"] = {"kind": "llamacpp"}
    document["providers"]["gone"] = {"kind": "anthropic", "base_url": "http://127.0.0.1:9", "api_key": PROVIDER_KEY}
    document["models"] = {"gpt": {"provider": "openai", "name": "gpt-x", "price": {"input": 1, "output": 2}}}
    with LiveGateway(document) as running:
        yield running


@pytest.fixture
def http(gateway: LiveGateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, timeout=10) as client:
        yield client


@pytest.fixture
def sdk(gateway: LiveGateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/passthrough/openai/v1", api_key="sk-client-canary-987", max_retries=0)


def last(gateway: LiveGateway, path: str) -> Any:
    """The newest record of a path."""
    end_s = time.monotonic() + 5
    while time.monotonic() < end_s:
        found = [one for one in gateway.records() if one.requested_model == path]
        if found:
            return found[-1]
    raise AssertionError(f"no record of {path}")


def test_openai_files(sdk: openai.OpenAI, provider: RawProvider, gateway: LiveGateway) -> None:
    async def files(request: web.Request, seen: Seen) -> web.StreamResponse:
        one = {"id": "file-1", "object": "file", "bytes": 3, "created_at": 1, "filename": "a.jsonl", "purpose": "batch"}
        if request.method == "POST":
            fields = await request.post()
            sent = fields["file"]
            assert isinstance(sent, web.FileField)
            seen.body = sent.file.read()
            return web.json_response({**one, "filename": sent.filename, "bytes": len(seen.body), "status": "processed"})
        return web.json_response({"object": "list", "data": [{**one, "status": "processed"}], "has_more": False})

    provider.handlers["/v1/files"] = files
    assert [one.id for one in sdk.files.list(purpose="batch")] == ["file-1"]
    assert provider.seen[-1].path == "/v1/files?purpose=batch"
    content = b'{"custom_id": "1"}\n' * 100_000
    made = sdk.files.create(file=("batch.jsonl", io.BytesIO(content)), purpose="batch")
    assert (made.filename, made.bytes) == ("batch.jsonl", len(content))
    assert provider.seen[-1].body == content
    assert provider.seen[-1].headers["content-type"].startswith("multipart/form-data; boundary=")
    assert int(provider.seen[-1].headers["content-length"]) > len(content)
    record = last(gateway, "/v1/files")
    assert (record.operation, record.provider, record.rule, record.outcome) == ("passthrough", "openai", "POST", "ok")
    assert record.request_bytes > len(content)
    assert (record.usage, record.cost_picousd) == (None, None)


def test_openai_speech_is_the_same_bytes_as_they_come(sdk: openai.OpenAI, provider: RawProvider) -> None:
    more = threading.Event()

    async def speech(request: web.Request, seen: Seen) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "audio/mpeg", "x-request-id": "theirs"})
        await response.prepare(request)
        await response.write(AUDIO)
        await asyncio.to_thread(more.wait, 10)
        await response.write(AUDIO)
        return response

    provider.handlers["/v1/audio/speech"] = speech
    with sdk.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input="Hi") as answer:
        pieces = answer.iter_bytes()
        got = b""
        while len(got) < len(AUDIO):
            got += next(pieces)
        more.set()
        got += b"".join(pieces)
        headers = answer.headers
    assert got == AUDIO * 2
    assert headers["content-type"] == "audio/mpeg"
    assert headers["x-request-id"].startswith("req_")
    assert headers["x-afterbay-upstream-request-id"] == "theirs"
    assert (headers["x-afterbay-provider"], headers["x-afterbay-attempts"]) == ("openai", "1")


def test_openai_images_and_chat_with_usage_and_cost(
    sdk: openai.OpenAI, provider: RawProvider, gateway: LiveGateway
) -> None:
    async def images(request: web.Request, seen: Seen) -> web.StreamResponse:
        return web.json_response({"created": 1, "data": [{"b64_json": "aGk="}]})

    async def chat(request: web.Request, seen: Seen) -> web.StreamResponse:
        asked = await request.json()
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        base = {"id": "c", "created": 1, "model": "gpt-x"}
        if not asked.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
            return web.json_response({**base, "object": "chat.completion", "choices": [choice], "usage": usage})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        choices = [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]
        end = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        for event in ({"choices": choices}, {"choices": end}, {"choices": [], "usage": usage}):
            event = {**base, "object": "chat.completion.chunk", **event}
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    provider.handlers["/v1/images/generations"] = images
    provider.handlers["/v1/chat/completions"] = chat
    made = sdk.images.generate(prompt="a cat", model="gpt-image-1")
    assert made.data is not None
    assert made.data[0].b64_json == "aGk="
    messages: list[Any] = [{"role": "user", "content": "Hi"}]
    answer = sdk.chat.completions.create(model="gpt-x", messages=messages)
    assert answer.choices[0].message.content == "Hi"
    record = last(gateway, "/v1/chat/completions")
    assert (record.usage.input_tokens, record.usage.output_tokens) == (10, 5)
    assert (record.upstream_model, record.cost_picousd) == ("gpt-x", 10 * 1_000_000 + 5 * 2_000_000)
    stream = sdk.chat.completions.create(model="gpt-x", messages=messages, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "Hi"
    assert len(gateway.records(len(gateway.records()))) > 0
    record = last(gateway, "/v1/chat/completions")
    assert (record.usage.total, record.cost_picousd) == (15, 20_000_000)


def test_anthropic_files(gateway: LiveGateway, provider: RawProvider) -> None:
    async def files(request: web.Request, seen: Seen) -> web.StreamResponse:
        return web.json_response({"data": [], "has_more": False, "first_id": None, "last_id": None})

    provider.handlers["/v1/files"] = files
    client = anthropic.Anthropic(base_url=f"{gateway.url}/passthrough/anthropic", api_key="sk-client-canary-987")
    client = client.with_options(default_headers={"anthropic-version": "2025-01-01"})
    assert client.beta.files.list(betas=["files-api-2025-04-14"]).data == []
    headers = provider.seen[-1].headers
    assert headers["x-api-key"] == PROVIDER_KEY
    assert "authorization" not in headers
    assert "files-api" in headers["anthropic-beta"]
    assert headers["anthropic-version"] == "2025-01-01", "the client's counts"
    assert httpx.get(f"{gateway.url}/passthrough/anthropic/v1/files").status_code == 200
    assert provider.seen[-1].headers["anthropic-version"] == "2023-06-01", "and else ours"


def test_google_uploads_come_back_here(gateway: LiveGateway, provider: RawProvider) -> None:
    async def start(request: web.Request, seen: Seen) -> web.StreamResponse:
        if request.query.get("upload_id"):
            seen.body = await request.read()
            named = {"file": {"name": "files/a", "uri": "u", "mimeType": "text/plain", "state": "ACTIVE"}}
            return web.json_response(named, headers={"x-goog-upload-status": "final"})
        address = f"{provider.url}{request.path}?upload_id=7&key={PROVIDER_KEY}"
        return web.json_response({}, headers={"x-goog-upload-url": address, "x-goog-upload-status": "active"})

    provider.handlers["/upload/v1/files"] = start
    client = genai.Client(
        api_key="sk-client-canary-987", http_options={"base_url": f"{gateway.url}/passthrough/google"}
    )
    made = client.files.upload(file=io.BytesIO(b"hello"), config={"mime_type": "text/plain"})
    assert made.name == "files/a"
    assert provider.seen[-1].body == b"hello"
    assert provider.seen[-1].path == "/upload/v1/files?upload_id=7"
    assert provider.seen[-1].headers["x-goog-api-key"] == PROVIDER_KEY


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_passes(http: httpx.Client, provider: RawProvider, method: str) -> None:
    answer = http.request(method, f"/passthrough/google/v1beta/{method}", content=b"x" if method == "PATCH" else None)
    assert answer.status_code == 200
    seen = provider.seen[-1]
    assert (seen.method, seen.path) == (method, f"/v1beta/{method}")
    assert seen.body == (b"x" if method == "PATCH" else b"")
    assert "content-type" not in seen.headers


@pytest.mark.parametrize("method", ["TRACE", "BREW"])
def test_methods_that_repeat_secrets_or_that_nobody_knows_do_not(
    http: httpx.Client, provider: RawProvider, method: str
) -> None:
    before = len(provider.seen)
    assert http.request(method, "/passthrough/openai/v1/x").status_code in (400, 405)
    assert len(provider.seen) == before


@pytest.mark.parametrize(
    "path",
    [
        "/../x",
        "/v1/../../x",
        "/v1/%2e%2e/x",
        "/v1/%252e%252e/x",
        "/v1/..%2fx",
        "/v1/..%5cx",
        "/v1//evil",
        "//evil",
        "/\\e",
    ],
)
def test_hostile_paths_reach_nobody(gateway: LiveGateway, provider: RawProvider, path: str) -> None:
    before = len(provider.seen)
    at = urlsplit(gateway.url)
    for target in (f"/passthrough/openai{path}", f"http://evil.example/passthrough/openai{path}"):
        with socket.create_connection((str(at.hostname), int(at.port or 0)), timeout=10) as client:
            client.sendall(f"GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            got = client.makefile("rb").read()
        assert b" 400 " in got.split(b"\r\n")[0], got
    assert len(provider.seen) == before


def test_credentials_are_exchanged_and_never_met(
    gateway: LiveGateway, http: httpx.Client, provider: RawProvider
) -> None:
    shown = "sk-client-canary-987"
    names = ("authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "proxy-authorization", "x-other")
    headers = dict.fromkeys(names, f"Bearer {shown}")
    for provider_name, header in (
        ("openai", "authorization"),
        ("anthropic", "x-api-key"),
        ("google", "x-goog-api-key"),
    ):
        answer = http.get(f"/passthrough/{provider_name}/v1/x?key={shown}&a=b", headers=headers)
        assert answer.status_code == 200
        seen = provider.seen[-1]
        assert shown not in seen.path + repr(seen.headers)
        assert seen.headers[header].endswith(PROVIDER_KEY)
        assert sum(PROVIDER_KEY in value for value in seen.headers.values()) == 1
        assert seen.path.endswith("?a=b")


def test_headers_that_come_several_times_all_go(gateway: LiveGateway, provider: RawProvider) -> None:
    headers = [("anthropic-beta", "a"), ("anthropic-beta", "b"), ("connection", "x-one"), ("connection", "x-two")]
    answer = httpx.get(f"{gateway.url}/passthrough/anthropic/v1/x", headers=[*headers, ("x-one", "1"), ("x-two", "2")])
    assert answer.status_code == 200
    assert provider.seen[-1].headers["anthropic-beta"] == "a, b"
    assert not {"x-one", "x-two"} & provider.seen[-1].headers.keys()


@pytest.mark.parametrize("status", [200, 401, 500])
def test_the_provider_s_key_does_not_come_back(http: httpx.Client, provider: RawProvider, status: int) -> None:
    async def quoting(request: web.Request, seen: Seen) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"x-echo": PROVIDER_KEY, "set-cookie": "a=b"})
        await response.prepare(request)
        await response.write(b"the key " + PROVIDER_KEY[:9].encode())
        await asyncio.sleep(0.05)
        await response.write(PROVIDER_KEY[9:].encode() + b" is wrong")
        return response

    provider.handlers["/v1/quoting"] = quoting
    answer = http.get("/passthrough/openai/v1/quoting")
    assert answer.status_code == status
    assert PROVIDER_KEY not in answer.text + repr(answer.headers)
    assert len(answer.content) == len(f"the key {PROVIDER_KEY} is wrong")
    assert "set-cookie" not in answer.headers


def test_compressed_answers_errors_and_ranges_pass_as_they_are(http: httpx.Client, provider: RawProvider) -> None:
    async def odd(request: web.Request, seen: Seen) -> web.StreamResponse:
        headers = {
            "content-disposition": "attachment; filename=中文.txt",
            "content-encoding": "x-odd",
            "content-range": "bytes 0-3/9",
            "x-ratelimit-remaining": "1",
        }
        return web.Response(status=206, body=b"\x00\x01\x02\xff", headers={**headers, "retry-after": "7"})

    provider.handlers["/v1/odd"] = odd
    answer = http.get("/passthrough/openai/v1/odd", headers={"range": "bytes=0-3"})
    assert (answer.status_code, answer.content) == (206, b"\x00\x01\x02\xff")
    assert answer.headers["content-encoding"] == "x-odd"
    assert dict(answer.headers.raw)[b"content-disposition"] == "attachment; filename=中文.txt".encode()
    assert (answer.headers["retry-after"], answer.headers["content-range"]) == ("7", "bytes 0-3/9")
    assert provider.seen[-1].headers["range"] == "bytes=0-3"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed_and_lead_nowhere_else(
    http: httpx.Client, provider: RawProvider, gateway: LiveGateway, status: int
) -> None:
    async def away(request: web.Request, seen: Seen) -> web.StreamResponse:
        return web.Response(status=status, headers={"location": request.query["to"]})

    provider.handlers["/v1/away"] = away
    before = len(provider.seen)
    answer = http.get("/passthrough/openai/v1/away", params={"to": "https://evil.example/v1/x"})
    assert answer.status_code == status
    assert "location" not in answer.headers
    assert "location left out" in answer.headers["x-afterbay-warnings"]
    answer = http.get("/passthrough/openai/v1/away", params={"to": f"{provider.url}/v1/files/a"})
    assert answer.headers["location"] == "/passthrough/openai/v1/files/a"
    assert len(provider.seen) == before + 2


def test_bodies_that_are_too_large_or_too_slow_are_refused(http: httpx.Client, gateway: LiveGateway) -> None:
    announced = http.post("/passthrough/openai/v1/x", content=b"x" * (BODY_BYTES + 1))
    assert (announced.status_code, announced.json()["error"]["code"]) == (413, "body_too_large")

    def unannounced() -> Iterator[bytes]:
        for _ in range(BODY_BYTES // 65536 + 1):
            yield b"x" * 65536

    with contextlib.suppress(httpx.WriteError):  # the gateway does not read on
        streamed = http.post("/passthrough/openai/v1/x", content=unannounced())
        assert (streamed.status_code, streamed.json()["error"]["code"]) == (413, "body_too_large")

    def slow() -> Iterator[bytes]:
        yield b"x" * 400_000
        time.sleep(1.5)
        yield b"x"

    answer = http.post("/passthrough/openai/v1/x", content=slow())
    assert (answer.status_code, answer.json()["error"]["code"]) == (408, "body_timeout")
    assert last(gateway, "/v1/x").outcome == "body_timeout"


@only_alone("48 MiB between three processes take longer than this provider may")
def test_an_upload_is_read_only_as_fast_as_the_provider_takes_it(gateway: LiveGateway, provider: RawProvider) -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def lazy(request: web.Request, seen: Seen) -> web.StreamResponse:
        begun.set()
        await asyncio.to_thread(go_on.wait, 10)
        async for piece in request.content.iter_any():
            seen.body_bytes += len(piece)
        return web.json_response({})

    provider.handlers["/v1/lazy"] = lazy
    at = urlsplit(gateway.url)
    with socket.create_connection((str(at.hostname), int(at.port or 0)), timeout=10) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        head = f"POST /passthrough/openai/v1/lazy HTTP/1.1\r\nhost: localhost\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
        client.sendall(head.encode())
        client.setblocking(False)
        sent, still_s = 0, time.monotonic()
        while sent < BODY_BYTES and time.monotonic() - still_s < 0.4:
            try:
                sent += client.send(b"x" * min(65536, BODY_BYTES - sent))
                still_s = time.monotonic()
            except BlockingIOError:
                pass
        assert begun.is_set()
        stopped_at = sent
        go_on.set()
        client.setblocking(True)
        client.settimeout(10)
        client.sendall(b"x" * (BODY_BYTES - sent))
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    assert stopped_at < BODY_BYTES, "somebody holds it all"
    assert provider.seen[-1].body_bytes == BODY_BYTES


def test_an_answer_is_read_only_as_fast_as_the_client_reads(gateway: LiveGateway, provider: RawProvider) -> None:
    written = [0]

    async def flood(request: web.Request, seen: Seen) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)
            written[0] += 65536

    provider.handlers["/v1/flood"] = flood
    at = urlsplit(gateway.url)
    with socket.create_connection((str(at.hostname), int(at.port or 0)), timeout=10) as client:
        client.sendall(b"GET /passthrough/openai/v1/flood HTTP/1.1\r\nhost: localhost\r\n\r\n")
        client.recv(100)
        before, end_s = -1, time.monotonic() + 10
        while written[0] != before and time.monotonic() < end_s:
            before = written[0]
            time.sleep(0.3)
        assert written[0] < 64 << 20, "it went on without a reader"
    provider.wait(lambda: provider.seen[-1].gone)
    assert last(gateway, "/v1/flood").outcome == "client_closed"


def test_a_client_that_hangs_up_takes_the_provider_s_work_with_it(gateway: LiveGateway, provider: RawProvider) -> None:
    async def silent(request: web.Request, seen: Seen) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.json_response({})

    provider.handlers["/v1/silent"] = silent
    before = len(provider.seen)
    at = urlsplit(gateway.url)
    with socket.create_connection((str(at.hostname), int(at.port or 0)), timeout=10) as client:
        client.sendall(b"GET /passthrough/google/v1/silent HTTP/1.1\r\nhost: localhost\r\n\r\n")
        provider.wait(lambda: len(provider.seen) > before)
    provider.wait(lambda: provider.seen[-1].gone)
    assert last(gateway, "/v1/silent").outcome == "client_closed"


def test_a_client_that_hangs_up_in_its_upload_ends_it(gateway: LiveGateway, provider: RawProvider) -> None:
    async def upload(request: web.Request, seen: Seen) -> web.StreamResponse:
        async for piece in request.content.iter_any():
            seen.body_bytes += len(piece)
        return web.json_response({})

    provider.handlers["/v1/upload"] = upload
    before = len(provider.seen)
    at = urlsplit(gateway.url)
    with socket.create_connection((str(at.hostname), int(at.port or 0)), timeout=10) as client:
        client.sendall(
            b"POST /passthrough/openai/v1/upload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2000000\r\n\r\n"
        )
        client.sendall(b"x" * 1_000_000)
        provider.wait(lambda: len(provider.seen) > before)
    provider.wait(lambda: provider.seen[-1].gone)
    assert last(gateway, "/v1/upload").outcome == "client_closed"


def test_a_provider_that_breaks_off_leaves_an_answer_without_end(http: httpx.Client, provider: RawProvider) -> None:
    async def breaking(request: web.Request, seen: Seen) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response

    provider.handlers["/v1/breaking"] = breaking
    with http.stream("GET", "/passthrough/openai/v1/breaking") as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()


def test_times_of_the_default_route_hold(http: httpx.Client, provider: RawProvider, gateway: LiveGateway) -> None:
    async def late(request: web.Request, seen: Seen) -> web.StreamResponse:
        response = web.StreamResponse()
        if request.query.get("begins"):
            await response.prepare(request)
            await response.write(b"begun")
        await asyncio.sleep(30)
        return response

    provider.handlers["/v1/late"] = late
    answer = http.get("/passthrough/openai/v1/late")
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout_first_token")
    provider.wait(lambda: provider.seen[-1].gone)
    with pytest.raises(httpx.RemoteProtocolError):
        http.get("/passthrough/openai/v1/late?begins=1")
    assert last(gateway, "/v1/late").outcome == "timeout_between_tokens"
    answer = http.get("/passthrough/openai/v1/late", headers={"x-afterbay-timeout-ms": "200"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")


@pytest.mark.parametrize(
    ("path", "status", "code", "says"),
    [
        ("/passthrough/opnai/v1/files", 404, "unknown_provider", "openai"),
        ("/passthrough/%2e%2e/v1", 404, "unknown_provider", "openai"),
        ("/passthrough/", 404, "unknown_provider", "openai"),
        ("/passthrough", 404, "unknown_endpoint", ""),
        ("/passthrough/inside/v1/files", 400, "wrong_operation", "engine inside"),
        ("/v1/files", 501, "not_built", "/passthrough/{provider}/v1/files"),
        ("/v1/batches/a", 501, "not_built", "/passthrough/{provider}/v1/batches"),
    ],
)
def test_what_is_not_there_says_what_is(http: httpx.Client, path: str, status: int, code: str, says: str) -> None:
    answer = http.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert says in answer.json()["error"]["message"]


def test_errors_are_in_the_provider_s_own_shape(http: httpx.Client, gateway: LiveGateway) -> None:
    answer = http.get("/passthrough/gone/v1/files")
    assert answer.status_code == 502
    assert answer.json()["type"] == "error"
    assert "127.0.0.1" not in answer.text
    answer = http.get("/passthrough/google/v1//x")
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_keys_hold(provider: RawProvider) -> None:
    with LiveGateway(configuration(provider)) as gateway:
        free = gateway.create_key("free").secret.reveal()
        bound = gateway.create_key("bound", ("gpt",)).secret.reveal()
        whole = gateway.create_key("whole", ("openai/*",)).secret.reveal()
        gateway.call(lambda one: asyncio.to_thread(one.keys.refresh_if_changed))
        for secret, status in ((free, 200), (bound, 403), (whole, 200), ("ab-nothing", 401), (None, 401)):
            headers = {"authorization": f"Bearer {secret}"} if secret else {}
            answer = httpx.get(f"{gateway.url}/passthrough/openai/v1/x", headers=headers)
            assert answer.status_code == status, answer.text
        refused = httpx.get(f"{gateway.url}/passthrough/google/v1/x?key={whole}")
        assert refused.json()["error"]["status"] == "PERMISSION_DENIED"
        assert "google/*" in refused.text
        record = gateway.records(4)[0]
        assert record.key_name == "free"


def test_a_web_page_may_not_ask_an_open_gateway(http: httpx.Client, provider: RawProvider) -> None:
    before = len(provider.seen)
    answer = http.get("/passthrough/openai/v1/x", headers={"origin": "https://page.example"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_local")
    assert len(provider.seen) == before


def test_policies_hold_for_raw_requests_too(provider: RawProvider) -> None:
    document = configuration(provider, policies={"compliance": {"default": {"require": ["gdpr"]}}})
    document["providers"]["openai"] |= {"compliance": ["gdpr"], "region": "eu"}
    with LiveGateway(document) as gateway:
        get = lambda path, **headers: httpx.get(gateway.url + path, headers=headers).status_code  # noqa: E731
        assert get("/passthrough/openai/v1/x") == 200
        assert get("/passthrough/google/v1/x") == 403
        assert get("/passthrough/openai/v1/x", **{"x-afterbay-residency": "eu"}) == 200
        assert get("/passthrough/openai/v1/x", **{"x-afterbay-residency": "us"}) == 403


@only_alone("each process finds out by itself that a key is refused")
def test_several_keys_are_used_in_turn_and_a_refused_one_rests(provider: RawProvider) -> None:
    async def picky(request: web.Request, seen: Seen) -> web.StreamResponse:
        return web.Response(status=401 if seen.headers["authorization"].endswith("b2345678") else 200)

    provider.handlers["/v1/picky"] = picky
    document = configuration(provider)
    del document["providers"]["openai"]["api_key"]
    document["providers"]["openai"]["api_keys"] = ["a2345678", "b2345678", "c2345678"]
    with LiveGateway(document) as gateway:
        statuses = [httpx.get(f"{gateway.url}/passthrough/openai/v1/picky").status_code for _ in range(7)]
    assert statuses.count(401) == 1
    assert {one.headers["authorization"][-8] for one in provider.seen[-7:]} == {"a", "b", "c"}
