"""The chaos proxy does what its toxics say, seen by a plain client and a plain server."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.testing.chaos import ChaosProxy
from afterbay.testing.misframing import Body, Misframer
from afterbay.testing.toxics import (
    AnyToxic,
    BadFraming,
    Bandwidth,
    BlackHole,
    Down,
    FramingFault,
    Gate,
    Latency,
    LimitData,
    Pace,
    ResetPeer,
    ResetReused,
    Slicer,
    SlowClose,
    Timeout,
    Tls,
    TlsFault,
    read_toxics,
)

BODY = b"".join(b"%04d " % number for number in range(400))
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"7d0\r\n" + BODY + b"\r\n0\r\n\r\n"
SIZED = HEAD + b"content-length: 2000\r\n\r\n" + BODY


async def until(holds: Callable[[], bool]) -> None:
    """Until something is so; five seconds at most."""
    for _ in range(5000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("not within five seconds")


class Provider:
    """Answers each line with `answer`, and counts connections that are open."""

    def __init__(self, answer: bytes) -> None:
        self.answer, self.open, self.lines = answer, 0, 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while await reader.readline():
                self.lines += 1
                writer.write(self.answer)
                await writer.drain()
        except OSError:
            pass
        finally:
            self.open -= 1
            writer.close()


@contextlib.asynccontextmanager
async def proxied(
    *toxics: AnyToxic, answer: bytes = BODY, **options: Any
) -> AsyncIterator[tuple[ChaosProxy, Provider]]:
    provider = Provider(answer)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.port = server.sockets[0].getsockname()[1]
    async with ChaosProxy("127.0.0.1", provider.port, *toxics, **options) as proxy:
        yield proxy, provider
    assert proxy.open == 0
    await until(lambda: not provider.open)
    server.close()


async def asked(
    proxy: ChaosProxy, times: int = 1, size: int = len(BODY), context: ssl.SSLContext | None = None
) -> tuple[bytes, str]:
    """What a client gets, and how it ended: "open", "eof" or the error's name."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=context)
    except (OSError, ssl.SSLError) as error:
        return b"", type(error).__name__
    got = b""
    try:
        for number in range(times):
            writer.write(b"ask\n")
            while len(got) < size * (number + 1):
                async with asyncio.timeout(2):
                    data = await reader.read(65536)
                if not data:
                    return got, "eof"
                got += data
        return got, "open"
    except TimeoutError:
        return got, "silent"
    except OSError as error:
        return got, type(error).__name__
    finally:
        writer.close()


async def test_without_toxics_everything_passes_and_nothing_is_left() -> None:
    async with proxied() as (proxy, provider):
        assert await asked(proxy, times=3) == (BODY * 3, "open")
        assert (proxy.connections, provider.lines, proxy.fired.total()) == (1, 3, 0)


async def test_latency_and_bandwidth_take_their_time() -> None:
    for toxic, least_s in ((Latency(0.15), 0.15), (Bandwidth(10_000), 0.14), (Latency(0.15, direction="up"), 0.15)):
        async with proxied(toxic) as (proxy, _):
            began_s = time.monotonic()
            assert await asked(proxy) == (BODY, "open")
            assert time.monotonic() - began_s >= least_s


def test_jitter_is_drawn_by_the_seed() -> None:
    def delays(seed: int) -> list[float]:
        pace = Pace([Latency(0.1, 0.05)], "down", seed, 3)
        return [pace.delay_s() for _ in range(20)]

    assert delays(1) == delays(1) != delays(2)
    assert all(0.1 <= delay <= 0.15 for delay in delays(1))
    assert len(set(delays(1))) == 20


async def test_a_slicer_changes_nothing_but_the_pieces() -> None:
    async with proxied(Slicer(1), answer=BODY[:300]) as (proxy, _):
        assert await asked(proxy, size=300) == (BODY[:300], "open")
    assert Pace([Slicer(7), Bandwidth(60)], "down", 0, 0).slices(b"abcdefgh") == [b"abc", b"def", b"gh"]


@pytest.mark.parametrize("at", [0, 1, 777])
async def test_a_reset_comes_after_so_many_bytes(at: int) -> None:
    async with proxied(ResetPeer(at)) as (proxy, _):
        assert await asked(proxy) == (BODY[:at], "ConnectionResetError")
        assert proxy.fired == {"reset_peer": 1}


@pytest.mark.parametrize("at", [0, 777])
async def test_limited_data_ends_in_a_proper_close(at: int) -> None:
    async with proxied(LimitData(at)) as (proxy, _):
        assert await asked(proxy) == (BODY[:at], "eof")


async def test_a_time_out_is_silent_then_closes_or_never_does() -> None:
    async with proxied(Timeout(0.2, after_bytes=5)) as (proxy, _):
        began_s = time.monotonic()
        assert await asked(proxy) == (BODY[:5], "eof")
        assert time.monotonic() - began_s >= 0.2
    async with proxied(Timeout()) as (proxy, _):
        asking = asyncio.create_task(asked(proxy))
        await until(lambda: proxy.fired["timeout"] == 1)
        assert not asking.done()
        assert await asking == (b"", "silent")


async def test_a_client_that_leaves_a_hung_connection_frees_it() -> None:
    async with proxied(Timeout()) as (proxy, provider):
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"ask\n")
        await until(lambda: proxy.fired["timeout"] == 1)
        writer.close()
        await until(lambda: not proxy.open and not provider.open)


async def test_a_slow_close_is_late_and_whole() -> None:
    async with proxied(SlowClose(0.2), LimitData(100)) as (proxy, _):
        began_s = time.monotonic()
        assert await asked(proxy) == (BODY[:100], "eof")
        assert time.monotonic() - began_s >= 0.2
        assert set(proxy.fired) == {"limit_data", "slow_close"}


async def test_a_connection_breaks_when_it_is_used_again() -> None:
    async with proxied(ResetReused()) as (proxy, provider):
        assert await asked(proxy, times=2) == (BODY, "ConnectionResetError")
        assert provider.lines == 1


async def test_down_refuses_and_keeps_its_port() -> None:
    async with proxied(Down()) as (proxy, _):
        port = proxy.port
        assert await asked(proxy) == (b"", "ConnectionRefusedError")
        await proxy.use()
        assert proxy.port == port
        assert await asked(proxy) == (BODY, "open")
        await proxy.use(Down())
        assert (await asked(proxy))[1] == "ConnectionRefusedError"


async def test_down_ends_the_connections_that_stand() -> None:
    async with proxied() as (proxy, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"ask\n")
        await reader.readexactly(len(BODY))
        await proxy.use(Down())
        assert await reader.read() == b""
        writer.close()


async def test_a_black_hole_neither_accepts_nor_refuses() -> None:
    async with proxied(BlackHole()) as (proxy, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await asyncio.open_connection("127.0.0.1", proxy.port)


@pytest.mark.parametrize("fault", ["none", "expired", "wrong_host", "self_signed", "plain"])
async def test_tls_is_wrong_in_the_way_that_was_asked_for(fault: TlsFault) -> None:
    reasons = {"expired": "expired", "wrong_host": "not valid for '127.0.0.1'", "self_signed": "self-signed"}
    async with proxied(Tls(fault)) as (proxy, _):
        assert proxy.url.startswith("https://")
        trusting = ssl.create_default_context(cafile=proxy.authority)
        if fault == "none":
            assert await asked(proxy, context=trusting) == (BODY, "open")
            return
        with pytest.raises(ssl.SSLError) as raised:
            async with asyncio.timeout(5):
                await asyncio.open_connection("127.0.0.1", proxy.port, ssl=trusting)
        assert reasons.get(fault, "") in str(raised.value)


async def test_some_connections_are_spared_and_some_hit() -> None:
    async with proxied(ResetPeer(), spare=1, hits=2) as (proxy, _):
        ends = [(await asked(proxy))[1] for _ in range(5)]
    assert ends == ["open", "ConnectionResetError", "ConnectionResetError", "open", "open"]


async def test_a_slow_reader_holds_the_provider_back() -> None:
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(OSError):
            while True:
                writer.write(bytes(65536))
                await writer.drain()
                sent += 65536

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    async with ChaosProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=1024)
        writer.transport.pause_reading()
        last = -1
        async with asyncio.timeout(10):
            while sent != last:  # until the kernel's buffers are full
                last = sent
                await asyncio.sleep(0.2)
        assert sent < 64 << 20
        writer.close()
    server.close()


@pytest.mark.parametrize("answer", [CHUNKED, SIZED])
@pytest.mark.parametrize(
    ("fault", "begins", "ends"),
    [
        ("half_headers", b"HTTP/1.1 200 OK\r\n", b"OK\r\ncontent-type: "),
        ("bad_status", b"HTTP/eleven fine\r\n", BODY),
        ("endless_headers", b"HTTP/1.1 200 OK\r\n", b"aaa\r\n"),
        ("bad_chunk_size", HEAD + b"transfer-encoding: chunked", b"zz\r\n" + BODY[400:]),
        ("no_last_chunk", HEAD + b"transfer-encoding: chunked", b"7d0\r\n" + BODY + b"\r\n"),
        ("short_length", HEAD + b"content-length: 400\r\n\r\n", BODY),
        ("long_length", HEAD + b"content-length: 1000000\r\n\r\n", BODY),
        ("two_lengths", HEAD + b"content-length: 5\r\ncontent-length: 7\r\n", BODY),
        ("http10_close", b"HTTP/1.0 200 OK\r\n", b"connection: close\r\n\r\n" + BODY),
    ],
)
async def test_framing_is_wrong_in_the_way_that_was_asked_for(
    answer: bytes, fault: FramingFault, begins: bytes, ends: bytes
) -> None:
    async with proxied(BadFraming(fault), answer=answer) as (proxy, _):
        got, end = await asked(proxy, size=1 << 30)
        assert got.startswith(begins)
        if not (fault == "bad_chunk_size" and answer is CHUNKED) and fault != "half_headers":
            assert got.endswith(ends)
        assert end == "eof"
        assert proxy.fired == {"bad_framing": 1}


@given(
    cuts=st.lists(st.integers(0, len(CHUNKED)), max_size=20),
    fault=st.sampled_from(["no_last_chunk", "bad_chunk_size", "http10_close"]),
)
def test_any_chunking_gives_the_same_body(cuts: list[int], fault: FramingFault) -> None:
    framer, got = Misframer(BadFraming(fault)), b""
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(CHUNKED)], strict=True):
        got += framer.feed(CHUNKED[start:end])
    assert framer.is_over
    head, _, body = got.partition(b"\r\n\r\n")
    if fault == "http10_close":
        assert body == BODY
    elif fault == "no_last_chunk":
        assert Body(head).feed(body) == BODY
    else:
        assert Body(head).feed(body.partition(b"zz\r\n")[0]) == BODY[:400]


@given(at=st.integers(0, 30), cuts=st.lists(st.integers(0, 40), max_size=8))
def test_a_gate_passes_exactly_so_many_bytes(at: int, cuts: list[int]) -> None:
    gate, got, data = Gate([LimitData(at), ResetPeer(50)]), b"", bytes(range(40))
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 40], strict=True):
        passed, over = gate.take(data[start:end])
        got += passed
        if over is not None:
            break
    assert got == data[:at]


def test_toxics_are_read_from_plain_data() -> None:
    assert read_toxics([{"toxic": "reset_peer", "after_bytes": 5}, {"toxic": "latency"}]) == (ResetPeer(5), Latency())
    for wrong in (
        {"toxic": "plague"},
        {"toxic": "latency", "seconds": -1},
        {"toxic": "slicer", "size": 0},
        {"toxic": "down", "x": 1},
    ):
        with pytest.raises(ValueError):
            read_toxics([wrong])
