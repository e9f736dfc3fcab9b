"""What strangers may do to a connection before a key is asked for: little, and not for long."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest

from acceptance.several import only_alone
from afterbay.app import connection
from afterbay.app.connection import HEAD_BYTES
from afterbay.testing.live import LiveGateway

LIVE = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n"


@pytest.fixture(scope="module")
def gateway() -> Iterator[LiveGateway]:
    with LiveGateway({"providers": {"up": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}}}) as running:
        yield running


@contextlib.contextmanager
def connected(gateway: LiveGateway) -> Iterator[socket.socket]:
    at = urlsplit(gateway.url)
    assert at.hostname is not None
    with socket.create_connection((at.hostname, at.port), timeout=10) as client:
        yield client


def answer(client: socket.socket) -> bytes:
    """Everything until the gateway hangs up, or for a moment."""
    got = b""
    client.settimeout(0.3)
    with contextlib.suppress(TimeoutError, ConnectionError):
        while data := client.recv(65536):
            got += data
    return got


def send_all(client: socket.socket, data: bytes, at_once: int = 8192) -> None:
    with contextlib.suppress(ConnectionError):
        for at in range(0, len(data), at_once):
            client.sendall(data[at : at + at_once])
            time.sleep(0.0005)


@pytest.mark.parametrize(
    "head",
    [
        LIVE + b"x-a: " + b"a" * (2 * HEAD_BYTES) + b"\r\n\r\n",
        LIVE + b"".join(b"x-%d: b\r\n" % n for n in range(10_000)) + b"\r\n",
        b"GET /" + b"a" * (2 * HEAD_BYTES) + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["one header", "many headers", "path"],
)
@pytest.mark.parametrize("at_once", [4096, 1 << 20])
def test_a_head_that_is_too_large_is_a_431(gateway: LiveGateway, head: bytes, at_once: int) -> None:
    with connected(gateway) as client:
        send_all(client, head, at_once)
        assert b" 200 " not in answer(client)
    with connected(gateway) as client:
        for piece in (head[:10], head[10 : HEAD_BYTES + 8000], b"a"):
            client.sendall(piece)
            time.sleep(0.05)
        assert answer(client).startswith(b"HTTP/1.1 431 ")


def test_a_head_without_end_takes_no_memory_and_no_time(gateway: LiveGateway) -> None:
    with connected(gateway) as client:
        client.sendall(LIVE + b"x-a: ")
        began_s, sent = time.process_time(), 0
        with contextlib.suppress(ConnectionError):
            while sent < 100_000_000:
                sent += client.send(b"x" * 65536)
        assert sent < 20_000_000  # what the sockets between the two hold
        assert time.process_time() - began_s < 1


def test_white_space_before_a_request_is_bounded_too(gateway: LiveGateway) -> None:
    with connected(gateway) as client:
        send_all(client, b"\r\n" * HEAD_BYTES * 2)
        assert b"200" not in answer(client)


def test_a_large_head_that_fits_is_served_and_bodies_do_not_count(gateway: LiveGateway) -> None:
    with connected(gateway) as client:
        send_all(client, LIVE + b"x-a: " + b"a" * (HEAD_BYTES - 200) + b"\r\n\r\n", 5000)
        send_all(client, b"POST /health/live HTTP/1.1\r\ncontent-length: 300000\r\n\r\n" + b"b" * 300_000 + LIVE[:20])
        send_all(client, LIVE[20:] + b"\r\n")
        got = answer(client)
    assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"200", b"405", b"200"]


@only_alone("it changes a constant of the process")
@pytest.mark.parametrize("sent", [b"", b"GET", LIVE, LIVE + b"\r\nGET / HT", b"\r\n"])
def test_a_head_that_does_not_come_ends_the_connection(
    gateway: LiveGateway, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.2)
    with connected(gateway) as client:
        client.sendall(sent)
        client.settimeout(5)
        began_s = time.monotonic()
        while client.recv(65536):
            pass
        assert time.monotonic() - began_s < 2


def test_hundreds_of_idle_connections_hinder_nobody_and_leave(
    gateway: LiveGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.5)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connected(gateway)) for _ in range(400)]
        began_s = time.monotonic()
        assert httpx.get(gateway.url + "/health/live").status_code == 200
        assert time.monotonic() - began_s < 1
        for client in idle:
            client.settimeout(10)
            assert client.recv(1) == b""


ODD = {
    "length and chunked": (b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
    "two lengths": (b"content-length: 4\r\ncontent-length: 5\r\n\r\nabcde", b"400"),
    "a signed length": (b"content-length: +4\r\n\r\nabcd", b"400"),
    "chunked twice": (b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
    "chunked and more": (b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", b"400"),
    "folded header": (b"x-a: b\r\n c\r\n\r\n", b"400"),
    "bare CR": (b"x-a: b\rx-c: d\r\n\r\n", b"400"),
    "NUL": (b"x-a: b\0c\r\n\r\n", b"400"),
    "space before the colon": (b"x-a : b\r\n\r\n", b"400"),
    "a bad chunk size": (b"transfer-encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", b"400"),
    "a chunk with bare LF": (b"transfer-encoding: chunked\r\n\r\n1\na\n0\n\n", b"400"),
}


@pytest.mark.parametrize("name", ODD)
def test_requests_that_proxies_read_otherwise_are_refused(gateway: LiveGateway, name: str) -> None:
    rest, status = ODD[name]
    with connected(gateway) as client:
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n" + rest + LIVE + b"\r\n")
        got = answer(client)
    assert got.split(b" ")[1] == status
    assert b'"live"' not in got, "what followed was read as a request"
