"""Requests about a stream that another worker holds: found out where it is, and passed on there.

Each worker listens at a socket in the gateway's private folder. What comes there was asked at another worker, and is
served as if it had come here: key, record and all. The id of a request says who has it; of a response that has a
provider's name, all are asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, quote

import aiohttp
import msgspec
from yarl import URL

from afterbay.core.ids import worker_of
from afterbay.engine.kept import PREFIX as RESPONSES
from afterbay.engine.lasting_streams import LastingStreams
from afterbay.engine.reconnect import PREFIX, SUFFIX
from afterbay.http.reply import AsgiReply, Receive, Send

logger = logging.getLogger("afterbay.app")

Application: TypeAlias = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]

ANSWER_S: Final = 1.0
"""So long a peer may take to say whether it holds a response, or to take a connection."""
VISITOR: Final = b"x-afterbay-visitor"
"""Who asked at the first worker, and by which address of it."""
HOLDS: Final = "/holds/"

_HOP: Final = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"upgrade", VISITOR})
_OWN: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Visitor(msgspec.Struct, array_like=True):
    """The ends of the client's connection."""

    client: tuple[str, int] | None
    server: tuple[str, int] | None


def socket_of(folder: Path, worker: int) -> Path:
    """Where a worker listens for the others."""
    return folder / f"worker-{worker}.sock"


class Peers:
    """The application of a worker, as clients reach it: what is about another worker's stream is passed on."""

    def __init__(self, application: Application, streams: LastingStreams, folder: Path, number: int) -> None:
        self._application, self._streams = application, streams
        self._folder, self._number = folder, number

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        holder = await self._holder(scope) if scope["type"] == "http" else None
        if holder is None or not await _pass_on(holder, scope, receive, send):
            await self._application(scope, receive, send)

    async def _holder(self, scope: Mapping[str, Any]) -> Path | None:
        """Where the worker listens that holds the stream which is asked for; None: here, or nowhere."""
        path: str = scope["path"]
        if path.startswith(PREFIX) and path.endswith(SUFFIX):
            worker = worker_of(path.removeprefix(PREFIX).removesuffix(SUFFIX))
            if worker is None or worker == self._number:
                return None
            there = socket_of(self._folder, worker)
            return there if there.exists() else None
        if path.startswith(RESPONSES) and scope["method"] == "GET" and b"stream" in scope["query_string"]:
            response = path.removeprefix(RESPONSES)
            query = parse_qs(scope["query_string"].decode("latin-1"))
            if "/" not in response and query.get("stream") == ["true"] and not self._streams.has_response(response):
                return await self._ask_all(response)
        return None

    async def _ask_all(self, response: str) -> Path | None:
        own = socket_of(self._folder, self._number)
        others = [one for one in self._folder.glob("worker-*.sock") if one != own]
        held = await asyncio.gather(*(_holds(one, response) for one in others))
        return next((one for one, holds in zip(others, held, strict=True) if holds), None)


class Visits:
    """The application of a worker, as the others reach it."""

    def __init__(self, application: Application, streams: LastingStreams) -> None:
        self._application, self._streams = application, streams

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "http" and scope["path"].startswith(HOLDS):
            status = 204 if self._streams.has_response(scope["path"].removeprefix(HOLDS)) else 404
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        if scope["type"] == "http":
            said = next((value for name, value in scope["headers"] if name == VISITOR), b"[null,null]")
            visitor = msgspec.json.decode(said, type=Visitor)
            headers = [(name, value) for name, value in scope["headers"] if name != VISITOR]
            scope = {**scope, "headers": headers, "client": visitor.client, "server": visitor.server}
        await self._application(scope, receive, send)


def _session(there: Path) -> aiohttp.ClientSession:
    waits = aiohttp.ClientTimeout(total=None, sock_connect=ANSWER_S)
    connector = aiohttp.UnixConnector(str(there), force_close=True)
    return aiohttp.ClientSession(
        connector=connector,
        timeout=waits,
        auto_decompress=False,
        skip_auto_headers=_OWN,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def _holds(there: Path, response: str) -> bool:
    try:
        url = f"http://worker{HOLDS}{quote(response, safe='')}"
        async with asyncio.timeout(ANSWER_S), _session(there) as session, session.get(url) as answer:
            return answer.status == 204
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


async def _pass_on(there: Path, scope: Mapping[str, Any], receive: Receive, send: Send) -> bool:
    """Asks a peer what a client asks, and gives the client what it answers. False: it is not there."""
    visitor = msgspec.json.encode(Visitor(scope.get("client"), scope.get("server")))
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"] if name not in _HOP
    ]
    query = scope["query_string"].decode("latin-1")
    url = f"http://worker{scope['raw_path'].decode('latin-1')}" + (f"?{query}" if query else "")
    reply = AsgiReply(receive, send)
    try:
        async with (
            _session(there) as session,
            session.request(
                scope["method"],
                URL(url, encoded=True),
                headers=[*headers, (VISITOR.decode(), visitor.decode())],
                allow_redirects=False,
            ) as answer,
        ):
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name.lower().encode() not in _HOP - {b"content-length"}
            }
            await reply.start(answer.status, kept)
            reply.watch()  # not before: if there is no answer, the application here is to hear what the client sent
            async for data in answer.content.iter_any():
                await reply.write(data)
            await reply.end()
    except (aiohttp.ClientError, OSError) as error:
        if not reply.started:
            return False
        logger.warning("the worker that holds a stream ended while it was read there: %s", error)
    except asyncio.CancelledError:
        if not reply.gone:
            raise
    finally:
        reply.close()
    return True
