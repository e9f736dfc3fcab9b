"""Clients for a gateway that ends or reloads under load: plain HTTP/1.1 over sockets, so that nothing is tried again
behind one's back, and every byte of an answer is accounted for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import msgspec

TALK = [{"role": "user", "content": "[[slow 25ms]] [[tokens 24]] Tell me of rivers."}]
PARTS = [{"parts": [{"text": TALK[0]["content"]}]}]

Asked: TypeAlias = tuple[str, dict[str, Any] | None]
"""A path, and the body for a POST."""

KINDS: dict[str, Asked] = {
    "chat": ("/v1/chat/completions", {"model": "gpt", "stream": True, "messages": TALK}),
    "chat whole": ("/v1/chat/completions", {"model": "gpt", "messages": TALK}),
    "translated": ("/v1/chat/completions", {"model": "claude", "stream": True, "messages": TALK}),
    "messages": ("/v1/messages", {"model": "claude", "max_tokens": 99, "stream": True, "messages": TALK}),
    "gemini": ("/v1beta/models/gpt:streamGenerateContent?alt=sse", {"contents": PARTS}),
    "responses": ("/v1/responses", {"model": "gpt", "stream": True, "input": TALK[0]["content"]}),
    "raw": ("/passthrough/openai/v1/chat/completions", {"model": "gpt-4o", "stream": True, "messages": TALK}),
    "models": ("/v1/models", None),
}
ENDS = {
    "chat": b"data: [DONE]\n\n",
    "translated": b"data: [DONE]\n\n",
    "raw": b"data: [DONE]\n\n",
    "messages": b"event: message_stop",
    "responses": b"event: response.completed",
    "gemini": b'"finishReason":"STOP"',
}
"""What the body of a whole stream has near its end."""


class Got(msgspec.Struct):
    """What became of one request. `broke`: the connection ended before the answer did, and how."""

    kind: str
    status: int = 0
    headers: dict[str, str] = {}
    body: bytes = b""
    broke: str = ""

    @property
    def verdict(self) -> str:
        """`whole`; `refused`, by a status of its own; `error`, an error in a stream; else what is wrong."""
        if self.status == 200 and not self.broke and self._is_whole:
            return "whole"
        says_why = b"shutting" in self.body and b"error" in self.body
        if self.status == 503 and says_why and not self.broke:
            return "refused" if "retry-after" in self.headers else "a refusal without retry-after"
        if self.status == 200 and says_why and not self.broke:
            return "error"
        return f"{self.kind}: status {self.status}, {self.broke or 'no proper end'}: {self.body[-300:]!r}"

    @property
    def _is_whole(self) -> bool:
        if self.kind in ENDS:
            return ENDS[self.kind].replace(b" ", b"") in self.body.replace(b" ", b"")
        return self.body.startswith(b"{") and bool(json.loads(self.body))


class Client:
    """One client that asks one thing after the other, over one connection as long as that lasts."""

    def __init__(self, url: str) -> None:
        self._host, self._port = urlsplit(url).hostname, urlsplit(url).port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.stale = 0
        """How often a connection that lay idle was closed just as it was used: a client tries again then."""

    async def ask(self, kind: str, asked: Asked) -> Got:
        """Asks once.

        Raises:
            ConnectionRefusedError: nobody listens any more.
        """
        while True:
            used = self._streams is not None and not self._streams[0].at_eof()
            if not used:
                self.close()
                self._streams = await asyncio.open_connection(self._host, self._port)
            got = await self._once(kind, asked)
            if not got.broke or got.status:
                return got
            if not used:  # nobody took it up: right only if the socket was closed meanwhile, which shows now
                self.close()
                self._streams = await asyncio.open_connection(self._host, self._port)
                return got
            self.stale += 1

    async def _once(self, kind: str, asked: Asked) -> Got:
        assert self._streams is not None
        reader, writer = self._streams
        (path, data), got = asked, Got(kind)
        body = b"" if data is None else json.dumps(data).encode()
        head = f"{'GET' if data is None else 'POST'} {path} HTTP/1.1\r\nhost: localhost\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        try:
            writer.write(head.encode() + body)
            await writer.drain()
            await self._read(reader, got)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            got.broke = type(error).__name__
        if got.broke or got.headers.get("connection") == "close":
            self.close()
        return got

    async def _read(self, reader: asyncio.StreamReader, got: Got) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        got.status = int(lines[0].split()[1])
        got.headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        if "content-length" in got.headers:
            got.body = await reader.readexactly(int(got.headers["content-length"]))
            return
        while size := int(await reader.readuntil(b"\n"), 16):
            got.body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()

    def close(self) -> None:
        """Hangs up."""
        if self._streams is not None:
            with suppress(ConnectionError):
                self._streams[1].close()
            self._streams = None


class Crowd:
    """Many clients at once, until they are told to stop or nobody listens. `got` has what became of every request."""

    def __init__(self, url: str, size: int, kinds: dict[str, Asked] | None = None) -> None:
        self.got: list[Got] = []
        self.clients = [Client(url) for _ in range(size)]
        self.wanted = True
        self._kinds = KINDS if kinds is None else kinds

    async def run(self) -> None:
        """Asks and asks."""
        names = list(self._kinds)
        turns = (names[number % len(names)] for number in count())
        async with asyncio.TaskGroup() as group:
            for client in self.clients:
                group.create_task(self._one(client, turns))

    async def _one(self, client: Client, turns: Iterator[str]) -> None:
        while self.wanted:
            kind = next(turns)
            try:
                got = await client.ask(kind, self._kinds[kind])
            except ConnectionRefusedError:
                break
            except ConnectionResetError:  # it was in the queue of the socket that was closed: nobody took the request
                break
            self.got.append(got)
            if got.status == 503:
                await asyncio.sleep(0.15)
        client.close()

    def verdicts(self, of: Callable[[Got], bool] = lambda _: True) -> dict[str, int]:
        """How many ended how."""
        found: dict[str, int] = {}
        for got in filter(of, self.got):
            found[got.verdict] = found.get(got.verdict, 0) + 1
        return found
