"""A real gateway process, killed at random under load, and a judge that compares what clients saw with its log.

Every client request carries a number as a tag, so its row is found even if no answer ever came. What is held against
the log, by numbers and tokens that the client itself read:

- an answer that reached its client whole has one row, `ok`, with the tokens that the answer told;
- a request of which the client saw as much as a status has one row;
- no request has two;
- the providers saw no more requests than there are rows: nothing that cost anything is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import socket
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec

from afterbay.emulate.profile import Profile
from afterbay.emulate.run import EmulatorProcess

ENDS = (b"data: [DONE]", b'"type":"message_stop"', b'"type": "message_stop"')
DEADLINE_S = 60.0
"""So soon after the restart every row has to be there."""

_OUTPUT = re.compile(rb'"(?:completion_tokens|output_tokens)":\s*(\d+)')


class Kind(NamedTuple):
    """A way to ask: path, model, whether as a stream."""

    path: str
    model: str
    streams: bool


KINDS = (
    Kind("/v1/chat/completions", "gpt", False),
    Kind("/v1/chat/completions", "gpt", True),
    Kind("/v1/chat/completions", "claude", True),
    Kind("/v1/messages", "claude", True),
    Kind("/v1/messages", "gpt", False),
    Kind("/passthrough/openai/v1/chat/completions", "emu-gpt", False),
    Kind("/passthrough/openai/v1/chat/completions", "emu-gpt", True),
    Kind("/v1/embeddings", "vectors", False),
)


class Seen(msgspec.Struct):
    """What a client saw of one request. `tokens`: of the output, as the answer told them."""

    number: int
    kind: Kind
    request_id: str | None = None
    status: int = 0
    is_whole: bool = False
    tokens: int | None = None


class Row(NamedTuple):
    """What the log says of one."""

    id: str
    outcome: str
    tokens: int | None


class Report(msgspec.Struct):
    """What came of some kills."""

    kills: int = 0
    asked: int = 0
    whole: int = 0
    begun: int = 0
    unknown: int = 0
    rows: int = 0
    slowest_s: float = 0.0
    wrong: list[str] = []


def config_of(emulator: str, database: Path, durable: str) -> dict[str, Any]:
    """Two emulated providers, nothing that asks twice."""
    model = {"fallback": []}
    return {
        "providers": {
            "openai": {"kind": "openai", "base_url": f"{emulator}/openai/v1", "api_key": "sk-up"},
            "anthropic": {"kind": "anthropic", "base_url": f"{emulator}/anthropic", "api_key": "sk-up"},
        },
        "models": {
            "gpt": {"provider": "openai", "name": "emu-gpt", **model},
            "claude": {"provider": "anthropic", "name": "emu-claude", **model},
            "vectors": {"provider": "openai", "name": "emu-embed", **model},
        },
        "state": {"database": f"sqlite:///{database}", "durable": durable},
    }


class GatewayProcess:
    """`afterbay serve` on a port of its own, started again and again."""

    def __init__(self, config: Path, port: int) -> None:
        self._config, self._port = config, port
        self.url = f"http://127.0.0.1:{port}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, http: aiohttp.ClientSession) -> None:
        """Starts it and waits until it is ready."""
        command = ("-m", "afterbay", "serve", "--config", str(self._config), "--port", str(self._port))
        with self._config.with_suffix(".log").open("ab") as said:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                stdout=said,
                stderr=said,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
            )
        async with asyncio.timeout(30):
            while not await self._is_ready(http):  # noqa: ASYNC110  # it is another process
                await asyncio.sleep(0.02)

    async def _is_ready(self, http: aiohttp.ClientSession) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with http.get(f"{self.url}/health/ready") as answer:
                return answer.status == 200
        return False

    async def end(self, number: int) -> int:
        """Sends a signal and waits; the exit code."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        return await self._process.wait()


class Load:
    """Clients that ask without a pause, each in its own way by turns."""

    def __init__(self, url: str, draw: random.Random) -> None:
        self._url, self._draw = url, draw
        self.seen: list[Seen] = []

    async def run(self, http: aiohttp.ClientSession, clients: int) -> None:
        """Asks until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._client(http))

    async def _client(self, http: aiohttp.ClientSession) -> None:
        while True:
            one = Seen(len(self.seen), self._draw.choice(KINDS))
            self.seen.append(one)
            try:
                await self._ask(http, one)
            except (aiohttp.ClientError, ConnectionError):
                await asyncio.sleep(0.02)

    async def _ask(self, http: aiohttp.ClientSession, one: Seen) -> None:
        kind, draw = one.kind, self._draw
        orders = f"[[ttft {draw.randrange(40)}ms]] [[slow {draw.randrange(6)}ms]] [[tokens {draw.randrange(1, 30)}]]"
        body: dict[str, Any] = {"model": kind.model}
        if kind.path.endswith("embeddings"):
            body["input"] = "hello"
        else:
            body |= {"messages": [{"role": "user", "content": f"{orders} hi"}], "max_tokens": 500}
        if kind.streams:
            body["stream"] = True
            if kind.path.endswith("/chat/completions"):
                body["stream_options"] = {"include_usage": True}
        headers = {"x-afterbay-tags": f"n={one.number}", "content-type": "application/json"}
        async with http.post(self._url + kind.path, data=json.dumps(body), headers=headers) as answer:
            one.request_id, one.status = answer.headers.get("x-request-id"), answer.status
            got = b""
            try:
                async for piece in answer.content.iter_any():
                    got += piece
                one.is_whole = not kind.streams
            finally:
                if kind.streams:  # whoever has the last event has the answer, however the connection ends
                    one.is_whole = any(end in got for end in ENDS)
                found = _OUTPUT.findall(got)
                one.tokens = int(found[-1]) if found else None


def rows_of(database: Path) -> dict[int, list[Row]]:
    """All rows by the number in their tag."""
    found: dict[int, list[Row]] = {}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for request_id, outcome, tags, tokens in connection.execute(
            "SELECT id, outcome, tags, output_tokens FROM requests"
        ):
            number = int(json.loads(tags or "{}").get("n", -1))
            found.setdefault(number, []).append(Row(request_id, outcome, tokens))
    return found


def journals_of(database: Path) -> list[str]:
    """The files of journals beside it."""
    return sorted(path.name for path in database.parent.glob(f"{database.name}.journal-*"))


def missing(seen: list[Seen], rows: dict[int, list[Row]]) -> list[int]:
    """Requests that a client saw anything of and the log does not know."""
    return [one.number for one in seen if one.status and one.number not in rows]


def judge(seen: list[Seen], rows: dict[int, list[Row]]) -> list[str]:
    """What is wrong, a line each."""
    wrong: list[str] = []
    for one in seen:
        own = rows.get(one.number, [])
        what = f"{one.number} {one.kind.path} {one.kind.model} {'stream' if one.kind.streams else 'whole'}"
        if len(own) > 1:
            wrong.append(f"{what}: {len(own)} rows")
        elif not own:
            if one.status:
                wrong.append(f"{what}: its client saw status {one.status} (whole: {one.is_whole}), and there is no row")
        elif one.request_id is not None and own[0].id != one.request_id:
            wrong.append(f"{what}: its client knows it as {one.request_id}, the log as {own[0].id}")
        elif one.is_whole and one.status == 200:
            if own[0].outcome != "ok":
                wrong.append(f"{what}: its client has the whole answer, the log says '{own[0].outcome}'")
            elif one.tokens is not None and one.kind.path != "/v1/embeddings" and one.tokens != own[0].tokens:
                wrong.append(f"{what}: its client was told {one.tokens} tokens, the log says {own[0].tokens}")
    return wrong


async def kill_often(folder: Path, kills: int, *, durable: str = "process", seed: int = 1, clients: int = 24) -> Report:
    """Kills a gateway so often, and judges after every restart."""
    draw, report = random.Random(seed), Report()
    database = folder / "state.db"
    async with EmulatorProcess(Profile("instant")) as emulator, aiohttp.ClientSession() as http:
        config = folder / "afterbay.yaml"
        config.write_text(json.dumps(config_of(emulator.url, database, durable)))
        gateway = GatewayProcess(config, _free_port())
        load = Load(gateway.url, draw)
        await gateway.start(http)
        for _ in range(kills):
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as clients_http:
                running = asyncio.create_task(load.run(clients_http, clients))
                await asyncio.sleep(draw.uniform(0.05, 1.2))
                await gateway.end(signal.SIGKILL)
                running.cancel()
                await asyncio.wait((running,))
            await gateway.start(http)
            report.kills += 1
            report.slowest_s = max(report.slowest_s, await _until_complete(load.seen, database))
        asked = await _asked(http, emulator.url)
        code = await gateway.end(signal.SIGTERM)
        rows = rows_of(database)
        report.wrong = judge(load.seen, rows)
        if code:
            report.wrong.append(f"it ended with code {code}")
        if left := journals_of(database):
            report.wrong.append(f"journals were left: {left}")
        flat = [row for own in rows.values() for row in own]
        report.rows, report.unknown = len(flat), sum(row.outcome == "unknown" for row in flat)
        if asked > report.rows:
            report.wrong.append(f"the providers saw {asked} requests, the log has {report.rows}")
    report.asked = len(load.seen)
    report.begun = sum(bool(one.status) for one in load.seen)
    report.whole = sum(one.is_whole for one in load.seen)
    return report


async def _until_complete(seen: list[Seen], database: Path) -> float:
    """Seconds until every request that a client saw anything of is in the log, or all the time there is."""
    began_s = time.monotonic()
    while (took_s := time.monotonic() - began_s) < DEADLINE_S:
        if not missing(seen, rows_of(database)):
            break
        await asyncio.sleep(0.05)
    return took_s


async def _asked(http: aiohttp.ClientSession, emulator: str) -> int:
    async with http.get(f"{emulator}/emulate/stats") as answer:
        return sum(one["requests"] for one in (await answer.json()).values())


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])
