"""Providers over real sockets: connections that were closed while idle, keys that come back, what is never followed."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeAlias

import pytest

from afterbay.config.snapshot import Provider
from afterbay.core.secret import Secret
from afterbay.ports import TransportError, UpstreamResponse
from afterbay.providers.inflate import MOST_AT_ONCE
from afterbay.providers.upstream import HttpUpstream

Serve: TypeAlias = Callable[[int, int, asyncio.StreamWriter], Awaitable[bool]]
"""(connection, request on it) -> whether the connection goes on."""
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
KEY = "canary/key+of=the-gateway"


@contextlib.asynccontextmanager
async def provider(serve: Serve, **fields: object) -> AsyncIterator[tuple[HttpUpstream, list[int]]]:
    """An upstream in front of a scripted server, and on which connection each request came."""
    seen: list[int] = []
    connections = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        number, requests = connections, 0
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
                )
                await reader.readexactly(length)
                seen.append(number)
                requests += 1
                if not await serve(number, requests, writer):
                    break
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    upstream = HttpUpstream(Provider("up", "openai", url, "openai.chat", None, keys=(Secret(KEY),), **fields))  # type: ignore[arg-type]  # the fields' own types
    try:
        yield upstream, seen
    finally:
        await upstream.close()
        server.close()


async def post(upstream: HttpUpstream) -> bytes:
    response = await upstream.post("/chat/completions", b"{}", {}, 1.0)
    try:
        return await response.read_all(1 << 20)
    finally:
        response.close()


async def test_a_connection_that_was_closed_while_idle_is_replaced_unseen() -> None:
    async def serve(number: int, request: int, writer: asyncio.StreamWriter) -> bool:
        if request == 2:
            return False  # the provider's idle time was over just when the request came
        writer.write(OK)
        return True

    async with provider(serve) as (upstream, seen):
        first = await asyncio.gather(*(post(upstream) for _ in range(4)))
        assert [await post(upstream), *first] == [b"{}"] * 5
    assert len(seen) == 9  # all four kept ones were tried, then a new one
    assert seen[-1] == 5


@pytest.mark.parametrize("late", [False, True])
async def test_a_request_that_may_have_been_worked_on_is_not_sent_again(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new connection that breaks, or a kept one after a while."""
    monkeypatch.setattr("afterbay.providers.upstream.STALE_S", 0.02)

    async def serve(number: int, request: int, writer: asyncio.StreamWriter) -> bool:
        if late and request == 1:
            writer.write(OK)
            return True
        await asyncio.sleep(0.05 if late else 0)
        return False

    async with provider(serve) as (upstream, seen):
        if late:
            await post(upstream)
        with pytest.raises(TransportError) as broken:
            await post(upstream)
        assert broken.value.connected
    assert len(seen) == (2 if late else 1)


async def test_an_answer_that_has_begun_is_not_asked_for_again() -> None:
    async def serve(number: int, request: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(OK if request == 1 else OK[:-1])
        await writer.drain()
        return request == 1

    async with provider(serve) as (upstream, seen):
        await post(upstream)
        with pytest.raises(TransportError):
            await post(upstream)
    assert len(seen) == 2


@pytest.mark.parametrize("wrong", [b"zz\r\nabc\r\n", b"-5\r\nabc\r\n", b"2\r\nabc\r\n"])
async def test_a_body_whose_framing_turns_wrong_breaks_at_once(wrong: bytes) -> None:
    async def serve(number: int, request: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n")
        await writer.drain()
        await has_read.wait()
        writer.write(wrong)
        await writer.drain()
        await is_over.wait()  # the connection stays open: only the bytes tell
        return False

    has_read, is_over = asyncio.Event(), asyncio.Event()
    async with provider(serve) as (upstream, _), asyncio.timeout(5):
        response = await upstream.post("/chat/completions", b"{}", {}, 1.0)
        assert await response.read() == b"abcd"
        has_read.set()
        with pytest.raises(TransportError):
            await response.read_all(100)
        response.close()
        is_over.set()


PLAIN = b'{"text": "' + b"ab" * 400_000 + b'"}'


def compressed(how: str) -> bytes:
    """`PLAIN` as an answer compressed so."""
    body = gzip.compress(PLAIN) if "gzip" in how else zlib.compress(PLAIN)
    return f"HTTP/1.1 200 OK\r\ncontent-encoding: {how}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("size", [7, 1 << 20])
@pytest.mark.parametrize("how", ["gzip", "x-gzip", "GZIP", "deflate"])
async def test_a_body_that_is_compressed_unasked_is_unpacked(how: str, size: int) -> None:
    async def serve(number: int, request: int, writer: asyncio.StreamWriter) -> bool:
        answer = compressed(how)
        for at in range(0, len(answer), size):
            writer.write(answer[at : at + size])
            await writer.drain()
        return True

    async with provider(serve) as (upstream, seen):
        assert await post(upstream) == PLAIN
        response = await upstream.post("/chat/completions", b"{}", {}, 1.0)
        pieces = [piece async for piece in _pieces(response)]
        response.close()
    assert b"".join(pieces) == PLAIN
    assert max(len(piece) for piece in pieces) <= MOST_AT_ONCE, "a bomb goes off in pieces"
    assert seen == [1, 1], "the connection is used again"


async def _pieces(response: UpstreamResponse) -> AsyncIterator[bytes]:
    while piece := await response.read():
        yield piece


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_body_that_is_not_compressed_as_it_says_is_a_broken_answer(is_whole: bool) -> None:
    async def serve(number: int, request: int, writer: asyncio.StreamWriter) -> bool:
        body = b'{"plain": 1}' if is_whole else gzip.compress(PLAIN)[:100]
        head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        return True

    async with provider(serve) as (upstream, _):
        with pytest.raises(TransportError, match="compressed"):
            await post(upstream)


async def test_a_bomb_is_an_answer_that_is_too_large() -> None:
    async def serve(number: int, request: int, writer: asyncio.StreamWriter) -> bool:
        body = gzip.compress(bytes(64 << 20))
        head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        return True

    async with provider(serve) as (upstream, _):
        with pytest.raises(TransportError, match=r"limits\.answer_bytes"):
            await post(upstream)


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
async def test_the_gateway_s_own_secrets_are_cut_out_of_answers(status: int) -> None:
    quoted = f'{{"error": {{"message": "wrong key {KEY}, header trustno1-header, proxy"}}}}'.encode()

    async def serve(number: int, request: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(quoted)) + quoted)
        return True

    async with provider(serve, headers={"X-Auth": "trustno1-header", "X-Plain": "message"}) as (upstream, _):
        answer = await post(upstream)
    assert answer == b'{"error": {"message": "wrong key [redacted], header [redacted], proxy"}}'


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async def serve(number: int, request: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 %d X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n" % status)
        return True

    async with provider(serve) as (upstream, seen):
        response = await upstream.post("/x", b"{}", {}, 1.0)
        response.close()
        assert response.status == status
    assert len(seen) == 1


@pytest.mark.parametrize("key", [True, False])
async def test_a_login_in_the_address_is_told_unless_a_key_stands_in_its_place(key: bool) -> None:
    heads: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    url = f"http://me:pass%2Fword@127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    keys = (Secret(KEY),) if key else ()
    upstream = HttpUpstream(Provider("up", "openai", url, "openai.chat", None, keys=keys))
    assert await post(upstream) == b"{}"
    await upstream.close()
    server.close()
    told = re.findall(rb"(?i)authorization: (.+)\r", heads[0])
    assert told == [f"Bearer {KEY}".encode() if key else b"Basic bWU6cGFzcy93b3Jk"]


class Signing:
    """A signer that notes over what it signs."""

    def __init__(self) -> None:
        self.over: list[tuple[str, bytes]] = []

    secrets: tuple[bytes, ...] = ()

    def refused(self) -> None:
        pass

    async def sign(self, url: str, body: bytes, headers: Mapping[str, str], method: str = "POST") -> dict[str, str]:
        self.over.append((url, body))
        return {"authorization": "Bearer signed-canary-0123"}


async def test_raw_requests_are_signed_whole_and_the_signature_does_not_come_back() -> None:
    async def serve(number: int, request: int, writer: asyncio.StreamWriter) -> bool:
        body = b"your token signed-canary-0123"
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        return True

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with provider(serve) as (upstream, _):
        signer = upstream._signer = Signing()
        response = await upstream.send("PUT", "/files?a=b", {"content-length": "6"}, pieces(), 1.0)
        got = await response.read_all(1000)
        response.close()
    assert [(url.partition("/v1")[2], body) for url, body in signer.over] == [("/files?a=b", b"onetwo")]
    assert got == b"your token [redacted]*********"[: len(got)]
    assert len(got) == 29


@pytest.mark.parametrize("path", ["@evil.example/", ":1@evil.example/", ".evil.example/", "evil"])
async def test_a_path_that_would_change_the_host_is_the_second_lock_s(path: str) -> None:
    async def serve(number: int, request: int, writer: asyncio.StreamWriter) -> bool:
        raise AssertionError("nobody is asked")

    async with provider(serve) as (upstream, seen):
        upstream._base = upstream._base.removesuffix("/v1")
        with pytest.raises(ValueError):
            await upstream.send("GET", path, {}, b"", 1.0)
    assert seen == []
