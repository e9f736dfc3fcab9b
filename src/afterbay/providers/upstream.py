"""One provider over HTTP/1.1, with pooled connections.

aiohttp, because it is the cheapest client of the well-kept ones (`docs/benchmarks.md`); nothing of it shows outside of
this file. Redirects are never followed: they could carry a key to another host.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit
from weakref import WeakSet

import aiohttp
from yarl import URL

from afterbay.config.snapshot import Provider
from afterbay.ports import TransportError, UpstreamResponse
from afterbay.providers.auth import key_headers
from afterbay.providers.signer import Signer

_URLS = 512
_KEY_REST_S = 60.0

STALE_S = 1.0
"""A kept connection that breaks this soon after a request was sent, without an answer, was closed before it came."""
STALE_TRIES = 8
"""So many kept connections in a row may turn out to be closed; a provider that restarted has closed them all."""
SECRET_CHARS = 8
"""Shorter values are not looked for in answers: they would be found in words."""

_REDACTED = b"[redacted]"

_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)

_is_reused: ContextVar[bool] = ContextVar("is_reused", default=False)
"""Whether the request of this task went over a connection that had served another one before."""


_NAMES: Mapping[type[BaseException], str] = MappingProxyType(
    {
        aiohttp.ClientConnectorDNSError: "the host name was not found",
        aiohttp.ClientPayloadError: "the body ended before its end",
        aiohttp.ServerDisconnectedError: "the server hung up",
        aiohttp.ServerTimeoutError: "the server was silent for too long",
    }
)


class HttpResponse:
    """An answer of a provider. See `afterbay.ports.UpstreamResponse`."""

    __slots__ = ("_response", "_secrets", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, secrets: tuple[bytes, ...] = ()) -> None:
        self._response = response
        self._secrets = secrets
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        """The next bytes as they come; empty at the end."""
        try:
            data = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(error) from error
        return self._clean(data)

    async def read_all(self, limit_bytes: int) -> bytes:
        """The whole body, at most `limit_bytes`."""
        content, pieces, size = self._response.content, list[bytes](), 0
        try:
            while data := await content.readany():
                pieces.append(data)
                size += len(data)
                if size > limit_bytes:
                    text = f"an answer of over {limit_bytes} bytes (limits.answer_bytes)"
                    raise TransportError(text, connected=True)
                if content.at_eof():
                    break
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(error) from error
        return self._clean(b"".join(pieces))

    def _clean(self, data: bytes) -> bytes:
        """Without the gateway's own secrets: some providers quote the key in their errors, and clients see those.

        A secret that lies across two reads of a stream is not found; errors before a stream are read whole.
        """
        for secret in self._secrets:
            if secret in data:
                data = data.replace(secret, _REDACTED)
        return data

    def close(self) -> None:
        """Closes the connection unless the body was read to its end; then it goes back to the pool by itself."""
        self._response.close()


class HttpUpstream:
    """A provider's address, keys and connections. See `afterbay.ports.Upstream`.

    Several keys are used in turn. One that the provider refuses rests for a minute, unless it is the only one.
    `signer` adds headers that depend on the request or on the hour.
    """

    def __init__(self, provider: Provider, signer: Signer | None = None) -> None:
        self._provider = provider
        self._signer = signer
        self._base, basic = _without_login(provider.base_url.rstrip("/"))
        self._urls: dict[str, URL] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self._session: aiohttp.ClientSession | None = None
        fixed = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "afterbay", **basic}
        keys: list[str | None] = [secret.reveal() for secret in provider.keys]
        self._headers = [
            {**fixed, **key_headers(provider.kind, key), **{k.lower(): v for k, v in provider.headers.items()}}
            for key in keys or [None]
        ]
        self._secrets = _secrets(provider)
        self._resting_until = [0.0] * len(self._headers)
        self._turn = 0

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> UpstreamResponse:
        """Sends a request. See `afterbay.ports.Upstream.post`."""
        session = self._session or self._open()
        key = self._next_key()
        own = self._headers[key]
        sent = {**own, **headers} if headers else own
        if self._signer is not None:
            sent = sent | await self._signer.sign(str(self._url(path)), body, sent)
        try:
            response = await self._send(session, path, body, sent, connect_s)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            late = isinstance(error, aiohttp.ConnectionTimeoutError)
            what = "no connection" + (" to its proxy" if isinstance(error, aiohttp.ClientProxyConnectionError) else "")
            why = f"{what} within connect = {connect_s:g} s" if late else f"{what}: {_name(error)}"
            raise TransportError(why, connected=False) from error
        except (aiohttp.ClientError, OSError) as error:
            raise TransportError(f"the connection broke: {_name(error)}", connected=True) from error
        if response.status in (401, 403) and len(self._headers) > 1:
            self._resting_until[key] = asyncio.get_running_loop().time() + _KEY_REST_S
        return HttpResponse(response, self._secrets)

    async def _send(
        self, session: aiohttp.ClientSession, path: str, body: bytes, headers: Mapping[str, str], connect_s: float
    ) -> aiohttp.ClientResponse:
        """Sends a request; again where a kept connection was closed by the provider while it lay idle.

        Such a connection breaks at once and without a byte of an answer. A request that broke later, or on a connection
        of its own, may have been worked on: it is for the attempts to decide what then.
        """
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for tries_left in range(STALE_TRIES, -1, -1):
            try:
                return await session.post(
                    self._url(path),
                    data=body,
                    headers=headers,
                    timeout=self._timeout(connect_s),
                    allow_redirects=False,
                    proxy=self._provider.proxy,
                )
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not tries_left or not _is_reused.get() or loop.time() - began_s > STALE_S:
                    raise
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        """Ends all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        provider = self._provider
        context: ssl.SSLContext | bool = True
        if provider.ca_file is not None:
            context = ssl.create_default_context(cafile=provider.ca_file)
        connector = _Connector(limit=provider.concurrent or 0, ssl=context, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("accept",),
            trust_env=False,
        )
        return self._session

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            if len(self._urls) >= _URLS:
                self._urls.clear()
            url = self._urls[path] = URL(self._base + path, encoded=True)
        return url

    def _timeout(self, connect_s: float) -> aiohttp.ClientTimeout:
        timeout = self._timeouts.get(connect_s)
        if timeout is None:
            timeout = self._timeouts[connect_s] = aiohttp.ClientTimeout(total=None, sock_connect=connect_s)
        return timeout

    def _next_key(self) -> int:
        count = len(self._headers)
        if count == 1:
            return 0
        now = asyncio.get_running_loop().time()
        for _ in range(count):
            self._turn = (self._turn + 1) % count
            if self._resting_until[self._turn] <= now:
                break
        return self._turn


class _Connector(aiohttp.TCPConnector):
    """aiohttp's, which also tells whether a connection is used again (`_is_reused`)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: WeakSet[object] = WeakSet()

    async def connect(self, *args: Any, **options: Any) -> aiohttp.connector.Connection:
        """A connection, from the pool or new."""
        connection = await super().connect(*args, **options)
        protocol = connection.protocol
        _is_reused.set(protocol in self._used)
        self._used.add(protocol)
        return connection


def _without_login(url: str) -> tuple[str, dict[str, str]]:
    """An address without the login in it, and the header that says it. A key that wants the same header goes before."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return bare, {"authorization": f"Basic {b64encode(login.encode()).decode()}"}


def _secrets(provider: Provider) -> tuple[bytes, ...]:
    """What must not come back in an answer: keys, values of the headers that carry some, passwords in addresses."""
    found = [secret.reveal() for secret in provider.keys]
    found += [value for name, value in provider.headers.items() if _SECRET_HEADER.search(name)]
    for url in (provider.base_url, provider.proxy):
        password = urlsplit(url).password if url else None
        if password is not None:
            found += [password, unquote(password)]
            found += _without_login(url or "")[1]["authorization"].split()[1:]
    return tuple({one.encode() for one in found if len(one) >= SECRET_CHARS})


def _broken(error: BaseException) -> TransportError:
    return TransportError(f"the connection broke while reading: {_name(error)}", connected=True)


def _name(error: BaseException) -> str:
    """What happened, without addresses: they are the operator's business, not the client's."""
    for kind, text in _NAMES.items():
        if isinstance(error, kind):
            return text
    inner = error.__cause__ or error
    if isinstance(inner, ssl.SSLError):
        return f"TLS: {inner.reason or 'failed'}"
    number = getattr(inner, "errno", None)  # asyncio's own text has the address in it
    return os.strerror(number) if isinstance(number, int) and number > 0 else type(error).__name__
