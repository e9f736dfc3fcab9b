"""Clients that lose their connection and come back, for the tests of that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from tests.engine.cases import ANTHROPIC, GEMINI, LIMITS, OPENAI, gateway

from afterbay.core.decision import Record
from afterbay.policy.plan import Route
from afterbay.testing.answers import ask, stream
from afterbay.testing.fakes import MemoryReply, Script, Wait
from afterbay.testing.memory_gateway import MemoryGateway
from afterbay.testing.virtual_loop import run
from afterbay.wire import numbering

RESPONSES = "openai.responses"
CLIENTS = (OPENAI, ANTHROPIC, RESPONSES, GEMINI)
TEXTS = ("Once", " upon", " a", " time", "…")
ROUTE = Route("defaults", reconnect_s=30.0)
GEMINI_ASKS = b'{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}'


def slowly(spoken: str, *texts: str, pause_s: float = 1.0) -> Script:
    """A stream with a pause before each event."""
    steps: list[Any] = []
    for piece in stream(spoken, *(texts or TEXTS)):
        steps += [Wait(pause_s), piece]
    return Script(steps=tuple(steps))


def made(*scripts: Script, spoken: str | tuple[str, ...] = OPENAI, route: Route = ROUTE, **more: Any) -> MemoryGateway:
    limits = more.pop("limits", LIMITS)
    return gateway(*([one] for one in scripts), spoken=spoken, route=route, limits=limits, **more)


class Leaving(MemoryReply):
    """A client whose connection breaks once it has got so many events. `left` is set then."""

    def __init__(self, after: int, write_s: float = 0.0) -> None:
        super().__init__(write_s)
        self._after = after
        self.left = asyncio.Event()
        self.task: asyncio.Task[Any] | None = None

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        await super().start(status, headers)
        if self._after == 0:
            self._leave()

    async def write(self, data: bytes) -> None:
        await super().write(data)
        if len(events(self.body)) >= self._after:
            self._leave()

    def _leave(self) -> None:
        if not self.left.is_set():
            assert self.task is not None
            asyncio.get_running_loop().call_soon(self.hang_up, self.task)
            self.left.set()


def events(body: bytes) -> list[bytes]:
    return [block for block in numbering.cut(body) if numbering.is_event(block)]


def first(body: bytes, count: int) -> bytes:
    """The bytes of a body up to its `count`-th event."""
    taken: list[bytes] = []
    for block in numbering.cut(body):
        if not count:
            break
        taken.append(block)
        count -= numbering.is_event(block)
    return b"".join(taken)


def without_ids(body: bytes) -> bytes:
    return re.sub(rb"(?m)^id: \d+\r?\n", b"", body)


def request_of(client: str, **fields: Any) -> dict[str, Any]:
    """What `MemoryGateway.chat` is called with."""
    if client == GEMINI:
        path = "/v1beta/models/m:streamGenerateContent"
        return {"body": GEMINI_ASKS, "dialect": GEMINI, "path": path, "query": "alt=sse"} | fields
    if client == RESPONSES:
        body = msgspec.json.encode({"model": "m", "input": "hello", "stream": True})
        return {"body": body, "dialect": RESPONSES, "operation": "responses"} | fields
    return {"body": ask("m", stream=True), "dialect": client} | fields


def ask_for(one: MemoryGateway, reply: MemoryReply, client: str = OPENAI, **fields: Any) -> asyncio.Task[MemoryReply]:
    task = asyncio.get_running_loop().create_task(one.chat(**request_of(client, **fields), reply=reply))
    if isinstance(reply, Leaving):
        reply.task = task
    return task


def come_back(
    one: MemoryGateway, request_id: str, after: int | None, *, method: str = "GET", **fields: Any
) -> asyncio.Task[MemoryReply]:
    said = {} if after is None else {"last-event-id": str(after)}
    path = f"/v1/requests/{request_id}/stream"
    got = one.chat(b"", headers=said, path=path, method=method, operation="reconnect", **fields)
    return asyncio.get_running_loop().create_task(got)


def found(records: list[Record], operation: str) -> Record:
    (record,) = (one for one in records if one.operation == operation)
    return record


def unbroken(client: str, spoken: str, route: Route = ROUTE) -> bytes:
    one = made(slowly(spoken), spoken=spoken, route=route)
    reply = run(one.chat(**request_of(client)))
    assert one.record.outcome == "ok"
    return reply.body
