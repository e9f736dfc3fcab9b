"""Connections that do not come about: what is said of them names no address."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from contextlib import closing
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from afterbay.config.snapshot import Provider
from afterbay.ports import TransportError
from afterbay.providers.broken import unsent
from afterbay.providers.upstream import HttpUpstream


def closed_address() -> str:
    """A loopback address where nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize(
    ("fields", "told", "code"),
    [
        ({}, "no connection: Connection refused", "connect_refused"),
        ({"proxy": closed_address()}, "no connection to its proxy: Connection refused", "proxy_failed"),
    ],
)
async def test_a_refused_connection_is_told_without_the_address(fields: dict[str, Any], told: str, code: str) -> None:
    upstream = HttpUpstream(Provider("p", "openai", closed_address(), "openai.chat", None, **fields))
    with pytest.raises(TransportError) as caught:
        await upstream.post("/chat/completions", b"{}", {}, 5.0)
    await upstream.close()
    assert (str(caught.value), caught.value.code) == (told, code)


def connector(cause: OSError, kind: type[aiohttp.ClientConnectorError] = aiohttp.ClientConnectorError) -> BaseException:
    """An error of a connection as aiohttp makes it: with the address in it."""
    key = ConnectionKey("secret-host", 443, True, True, None, None, None)
    error = kind(key, cause)
    error.__cause__ = cause
    return error


def certificate(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed: secret-host")
    error.verify_code = code
    error.verify_message = "Hostname mismatch, certificate is not valid for 'secret-host'."
    return error


BAD_VERSION = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (connector(socket.gaierror(-2, "secret-host"), aiohttp.ClientConnectorDNSError), "dns_not_found", "host name"),
        (connector(certificate(10), aiohttp.ClientConnectorSSLError), "tls_failed", "has expired"),
        (connector(certificate(62), aiohttp.ClientConnectorSSLError), "tls_failed", "another host"),
        (connector(certificate(18), aiohttp.ClientConnectorSSLError), "tls_failed", "self-signed"),
        (connector(certificate(1), aiohttp.ClientConnectorSSLError), "tls_failed", "cannot be verified"),
        (connector(BAD_VERSION, aiohttp.ClientConnectorSSLError), "tls_failed", "TLS"),
        (connector(OSError(errno.ECONNREFUSED, "secret-host")), "connect_refused", "refused"),
        (connector(OSError(errno.EHOSTUNREACH, "secret-host")), "host_unreachable", "No route"),
        (connector(OSError(errno.ENETUNREACH, "secret-host")), "host_unreachable", "unreachable"),
        (connector(OSError(errno.EMFILE, "secret-host")), "no_sockets", "Too many open files"),
        (connector(OSError("secret-host")), "connect_failed", "ClientConnectorError"),
        (connector(OSError(errno.ECONNREFUSED, "x"), aiohttp.ClientProxyConnectionError), "proxy_failed", "its proxy"),
        (aiohttp.ConnectionTimeoutError("secret-host"), "connect_timeout", "within connect = 5 s"),
        (aiohttp.ServerDisconnectedError(), "connection_broken", "hung up"),
        (ConnectionResetError(errno.ECONNRESET, "secret-host"), "connection_broken", "reset"),
    ],
)
def test_each_cause_has_its_own_code_and_none_shows_an_address(error: BaseException, code: str, words: str) -> None:
    told = unsent(error, 5.0)
    assert told.code == code
    assert words in str(told)
    assert "secret-host" not in str(told)
    assert told.connected == (code == "connection_broken")


async def test_a_proxy_that_lets_nobody_through_is_told_as_one() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    upstream = HttpUpstream(Provider("p", "openai", "https://secret-host/v1", "openai.chat", None, proxy=proxy))
    with pytest.raises(TransportError) as caught:
        await upstream.post("/chat/completions", b"{}", {}, 5.0)
    await upstream.close()
    server.close()
    assert (str(caught.value), caught.value.code) == (
        "no connection: its proxy answered with status 407",
        "proxy_failed",
    )


async def test_tls_to_a_server_without_it_is_told_as_tls() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Plain\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    upstream = HttpUpstream(Provider("p", "openai", url, "openai.chat", None))
    with pytest.raises(TransportError) as caught:
        await upstream.post("/chat/completions", b"{}", {}, 5.0)
    await upstream.close()
    server.close()
    assert caught.value.code == "tls_failed"
    assert not caught.value.connected


async def test_a_name_that_does_not_exist_is_told_as_one() -> None:
    upstream = HttpUpstream(Provider("p", "openai", "http://nobody.invalid", "openai.chat", None))
    with pytest.raises(TransportError) as caught:
        await upstream.post("/chat/completions", b"{}", {}, 5.0)
    await upstream.close()
    assert caught.value.code == "dns_not_found"
    assert "nobody" not in str(caught.value)
