"""One provider over HTTP/1.1, with pooled connections.

aiohttp, because it is the cheapest client of the well-kept ones (`docs/benchmarks.md`); nothing of it shows outside of
this file. Redirects are never followed: they could carry a key to another host.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any, cast
from urllib.parse import unquote, urlsplit
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from afterbay.config.snapshot import Provider
from afterbay.ports import Credential, SocketRefused, TransportError, UpstreamResponse, UpstreamSocket
from afterbay.providers.auth import key_headers
from afterbay.providers.broken import broken, unsent
from afterbay.providers.inflate import inflater_for
from afterbay.providers.keys import ProviderKeys, Told
from afterbay.providers.raw import RawResponse, clean_headers, cut
from afterbay.providers.signer import Signer
from afterbay.providers.socket import HttpSocket, refuse
from afterbay.wire.anthropic_messages.build import HEADERS

_URLS = 512

STALE_S = 1.0
"""A kept connection that breaks this soon after a request was sent, without an answer, was closed before it came."""
STALE_TRIES = 8
"""So many kept connections in a row may turn out to be closed; a provider that restarted has closed them all."""
SECRET_CHARS = 8
"""Shorter values are not looked for in answers: they would be found in words."""

_REDACTED = b"[redacted]"
_REFUSED = (401, 403)

_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)

_NOT_AUTOMATIC = ("accept", "content-type")
_HABITS = ("user-agent", *HEADERS)
"""What a request has unless its client says otherwise."""
_NOT_RAW = frozenset({*_HABITS, "content-type"})

_is_reused: ContextVar[bool] = ContextVar("is_reused", default=False)
"""Whether the request of this task went over a connection that had served another one before."""


class HttpResponse:
    """An answer of a provider. See `afterbay.ports.UpstreamResponse`."""

    __slots__ = ("_inflater", "_response", "_secrets", "credential", "headers", "status")

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        secrets: tuple[bytes, ...] = (),
        credential: Credential | None = None,
    ) -> None:
        self.credential = credential
        self._response = response
        self._secrets = secrets
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        self._inflater = inflater_for(response.headers)

    async def read(self) -> bytes:
        """The next bytes as they come; empty at the end."""
        return self._clean(await self._next())

    async def _next(self) -> bytes:
        content, inflater = self._response.content, self._inflater
        try:
            if inflater is None:
                return await content.readany()
            piece = inflater.feed(b"")
            while not piece:
                data = await content.readany()
                if not data:
                    inflater.end()
                    return b""
                piece = inflater.feed(data)
            return piece
        except (aiohttp.ClientError, OSError) as error:
            raise broken(error) from error

    async def read_all(self, limit_bytes: int) -> bytes:
        """The whole body, at most `limit_bytes`."""
        content, pieces, size = self._response.content, list[bytes](), 0
        while data := await self._next():
            pieces.append(data)
            size += len(data)
            if size > limit_bytes:
                text = f"an answer of over {limit_bytes} bytes (limits.answer_bytes)"
                raise TransportError(text, connected=True, code="answer_too_large")
            if self._inflater is None and content.at_eof():
                break
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

    Several keys are used in turn, see `afterbay.providers.keys`; `told` hears how many of them are refused.
    `signer` adds headers that depend on the request or on the hour.
    """

    def __init__(self, provider: Provider, signer: Signer | None = None, told: Told | None = None) -> None:
        self._provider = provider
        self._signer = signer
        self._base, basic = _without_login(provider.base_url.rstrip("/"))
        self._urls: dict[str, URL] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self._session: aiohttp.ClientSession | None = None
        self._lone: aiohttp.ClientSession | None = None
        fixed = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "afterbay", **basic}
        keys: list[str | None] = [secret.reveal() for secret in provider.keys]
        self._headers = [
            {**fixed, **key_headers(provider.kind, key), **{k.lower(): v for k, v in provider.headers.items()}}
            for key in keys or [None]
        ]
        self._secrets = _secrets(provider)
        self._keys = ProviderKeys(provider.name, len(self._headers), told, renews=signer is not None)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> UpstreamResponse:
        """Sends a request. See `afterbay.ports.Upstream.post`."""
        session = self._session or self._open()
        key = self._keys.choose()
        own = self._headers[key]
        sent = {**own, **headers} if headers else own
        if self._signer is not None:
            sent = sent | await self._signer.sign(str(self._url(path)), body, sent)
        response = await self._request(session, "POST", self._url(path), body, sent, connect_s)
        if response.status not in _REFUSED:
            self._keys.served(key)
        elif self._signer is not None:
            self._signer.refused()
        return HttpResponse(response, self._all_secrets(), self._keys.leases[key])

    async def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes],
        connect_s: float,
    ) -> UpstreamResponse:
        """Sends any request. See `afterbay.ports.Passage.send`.

        A body in pieces cannot be sent again, so it goes over a connection of its own: a kept one may be stale.
        """
        if self._signer is not None and not isinstance(body, bytes):
            body = b"".join([piece async for piece in body])  # a signature is over the whole
            headers = {name: value for name, value in headers.items() if name != "content-length"}
        session = (self._session or self._open()) if isinstance(body, bytes) else self._lone_session(connect_s)
        key, url = self._keys.choose(), self._raw_url(path)
        sent, secrets = await self._raw_headers(key, method, url, body if isinstance(body, bytes) else b"", headers)
        response = await self._request(session, method, url, body or None, sent, connect_s)
        answer = RawResponse(response, secrets, self._keys.leases[key])
        self._judge_raw(key, answer.status, answer.headers)
        return answer

    async def connect(
        self, path: str, headers: Mapping[str, str], subprotocols: Sequence[str], message_bytes: int, connect_s: float
    ) -> UpstreamSocket:
        """Opens a WebSocket. See `afterbay.ports.Passage.connect`."""
        session = self._lone_session(connect_s)
        key, url = self._keys.choose(), self._raw_url(path)
        sent, secrets = await self._raw_headers(key, "GET", url, b"", headers)
        try:
            socket = await session.ws_connect(
                url,
                protocols=subprotocols,
                headers=sent,
                proxy=self._provider.proxy,
                timeout=aiohttp.ClientWSTimeout(ws_receive=None, ws_close=None),
                autoclose=False,
                compress=0,
                max_msg_size=message_bytes,
            )
        except SocketRefused as refused:
            headers_back = clean_headers(refused.headers, secrets)
            self._judge_raw(key, refused.status, headers_back)
            raise SocketRefused(refused.status, headers_back, cut(refused.body, secrets)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise unsent(error, connect_s) from error
        return HttpSocket(socket, secrets)

    async def _raw_headers(
        self, key: int, method: str, url: URL, body: bytes, headers: Mapping[str, str]
    ) -> tuple[dict[str, str], tuple[bytes, ...]]:
        """A client's headers under the provider's own, and what must not come back of them.

        Credentials and what the configuration sets win.
        """
        own = self._headers[key]
        set_here = {name.lower() for name in self._provider.headers}
        habits = {name: own[name] for name in _HABITS if name in own and name not in set_here}
        fixed = {name: value for name, value in own.items() if name not in _NOT_RAW or name in set_here}
        sent = {**habits, **headers, **fixed}
        if self._signer is None:
            return sent, self._secrets
        signed = await self._signer.sign(str(url), body, sent, method)
        shown = [value.rpartition(" ")[2] for name, value in signed.items() if _SECRET_HEADER.search(name)]
        return sent | signed, (*self._all_secrets(), *(one.encode() for one in shown if len(one) >= SECRET_CHARS))

    def _raw_url(self, path: str) -> URL:
        """The address of a client's own path; at this provider, whatever the path is.

        Raises:
            ValueError: it would be elsewhere. Who lets paths through has checked them: this is the second lock.
        """
        url, base = URL(self._base + path, encoded=True), URL(self._base, encoded=True)
        root = base.raw_path.rstrip("/")
        below = url.raw_path == root or url.raw_path.startswith(f"{root}/") or not root
        if url.origin() != base.origin() or url.user is not None or not below:
            raise ValueError("a path that leaves the provider's address")
        return url

    def _judge_raw(self, key: int, status: int, headers: Mapping[str, str]) -> None:
        """What the answer to a raw request says of its key; a signer may look for what is valid."""
        if status in _REFUSED and self._signer is not None:
            self._signer.refused()
        self._keys.seen_raw(key, status, headers)

    def _all_secrets(self) -> tuple[bytes, ...]:
        """What must not come back in an answer, the signer's own included."""
        if self._signer is None:
            return self._secrets
        return self._secrets + tuple(one for one in self._signer.secrets if len(one) >= SECRET_CHARS)

    async def _request(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        body: bytes | AsyncIterator[bytes] | None,
        headers: Mapping[str, str],
        connect_s: float,
    ) -> aiohttp.ClientResponse:
        """Sends a request; again where a kept connection was closed by the provider while it lay idle.

        Such a connection breaks at once and without a byte of an answer. A request that broke later, or on a connection
        of its own, may have been worked on: it is for the attempts to decide what then.

        Raises:
            TransportError: there is no answer.
        """
        loop = asyncio.get_running_loop()
        began_s, tries_left = loop.time(), STALE_TRIES
        while True:
            try:
                return await session.request(
                    method,
                    url,
                    data=body,
                    headers=headers,
                    timeout=self._timeout(connect_s),
                    allow_redirects=False,
                    raise_for_status=False,
                    skip_auto_headers=_NOT_AUTOMATIC,
                    proxy=self._provider.proxy,
                )
            except (aiohttp.ClientError, OSError) as error:
                stale = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
                if isinstance(error, aiohttp.ClientConnectorError) or not stale:
                    raise unsent(error, connect_s) from error
                if not tries_left or not _is_reused.get() or loop.time() - began_s > STALE_S:
                    raise unsent(error, connect_s) from error
                tries_left -= 1

    async def close(self) -> None:
        """Ends all connections."""
        sessions, self._session, self._lone = (self._session, self._lone), None, None
        for session in sessions:
            if session is not None:
                await session.close()

    def _open(self) -> aiohttp.ClientSession:
        self._session = self._new_session({"keepalive_timeout": 30})
        return self._session

    def _lone_session(self, connect_s: float) -> aiohttp.ClientSession:
        """For what has a connection of its own: uploads and WebSockets. `concurrent` bounds them by themselves."""
        if self._lone is None:
            timeout = self._timeout(connect_s)
            self._lone = self._new_session({"force_close": True}, timeout=timeout, raise_for_status=refuse)
        return self._lone

    def _new_session(self, connections: Mapping[str, Any], **options: Any) -> aiohttp.ClientSession:
        provider = self._provider
        context: ssl.SSLContext | bool = True
        if provider.ca_file is not None:
            context = ssl.create_default_context(cafile=provider.ca_file)
        connector = _Connector(limit=provider.concurrent or 0, ssl=context, **connections)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("accept",),
            trust_env=False,
            **options,
        )

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


class _Handler(ResponseHandler):
    """aiohttp's, which also tells the reader of a body that its framing is wrong: 3.14 leaves it waiting."""

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Ends the body that is being read, too."""
        super().set_exception(exc, *cause)
        body = self._payload
        if isinstance(body, aiohttp.StreamReader) and not body.is_eof() and body.exception() is None:
            body.set_exception(aiohttp.ClientPayloadError("the body's framing is wrong"))


class _Connector(aiohttp.TCPConnector):
    """aiohttp's, which also tells whether a connection is used again (`_is_reused`)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: WeakSet[object] = WeakSet()
        self._factory = partial(cast(type[ResponseHandler], _Handler), loop=asyncio.get_running_loop())

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
    """What must not come back in an answer: keys, values of headers and parameters that carry some, logins."""
    found = [secret.reveal() for secret in provider.keys]
    found += [value for name, value in provider.headers.items() if _SECRET_HEADER.search(name)]
    for url in (provider.base_url, provider.proxy or ""):
        parts = urlsplit(url)
        if parts.username is not None:
            login = parts.password if parts.password is not None else parts.username
            found += [login, unquote(login), *_without_login(url)[1]["authorization"].split()[1:]]
        for name, _, value in (one.partition("=") for one in parts.query.split("&")):
            if _SECRET_HEADER.search(name):
                found += [value, unquote(value)]
    return tuple({one.encode() for one in found if len(one) >= SECRET_CHARS})
