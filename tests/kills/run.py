"""A real gateway process, killed at random under load, and what is in its database then (`judge.py` has what must be).

Every client request carries a number as a tag, so its row is found even if no answer ever came.
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
from typing import Any

import aiohttp

from afterbay.emulate.profile import Profile
from afterbay.emulate.run import EmulatorProcess
from kills.judge import MAX_TOKENS, PICOUSD_A_TOKEN, Kind, Report, Row, Seen, judge, judge_charges, missing

ENDS = (b"data: [DONE]", b'"type":"message_stop"', b'"type": "message_stop"')
DEADLINE_S = 60.0
"""So soon after the restart every row has to be there."""

_OUTPUT = re.compile(rb'"(?:completion_tokens|output_tokens)":\s*(\d+)')


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


def config_of(emulator: str, database: Path, durable: str) -> dict[str, Any]:
    """Two emulated providers, nothing that asks twice, and a budget that each model is charged to."""
    dollars = PICOUSD_A_TOKEN / 1e6
    model = {"fallback": [], "price": {"input": dollars, "output": dollars}}
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
        "policies": {"budgets": {"models": {"usd": 1_000_000, "per": "month", "scope": "model"}}},
        "state": {"database": f"sqlite:///{database}", "durable": durable},
    }


class GatewayProcess:
    """`afterbay serve` on a port of its own, with these options, started again and again."""

    def __init__(self, config: Path, port: int, *options: str) -> None:
        self._config, self._port, self._options = config, port, options
        self.url = f"http://127.0.0.1:{port}"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self, http: aiohttp.ClientSession) -> None:
        """Starts it and waits until it is ready."""
        command = ("-m", "afterbay", "serve", "--config", str(self._config), "--port", str(self._port), *self._options)
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
            body |= {"messages": [{"role": "user", "content": f"{orders} hi"}], "max_tokens": MAX_TOKENS}
        if kind.streams:
            body["stream"] = True
            if kind.path.endswith("/chat/completions"):
                body["stream_options"] = {"include_usage": True}
        headers = {"x-afterbay-tags": f"n={one.number}", "content-type": "application/json"}
        async with http.post(self._url + kind.path, data=json.dumps(body), headers=headers) as answer:
            await read_answer(answer, one)


async def read_answer(answer: aiohttp.ClientResponse, one: Seen) -> bytes:
    """Reads an answer as far as it comes, and notes what its client saw."""
    one.request_id, one.status = answer.headers.get("x-request-id"), answer.status
    got = b""
    try:
        async for piece in answer.content.iter_any():
            got += piece
        one.is_whole = not one.kind.streams
    finally:
        if one.kind.streams:  # whoever has the last event has the answer, however the connection ends
            one.is_whole = any(end in got for end in ENDS)
        found = _OUTPUT.findall(got)
        one.tokens = int(found[-1]) if found else None
    return got


def rows_of(database: Path) -> dict[int, list[Row]]:
    """All rows by the number in their tag."""
    found: dict[int, list[Row]] = {}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for tags, *row in connection.execute(
            "SELECT tags, id, outcome, output_tokens, cost_picousd,"
            " (SELECT count(*) FROM attempts WHERE request_id = requests.id), estimated = 1 FROM requests"
        ):
            number = int(json.loads(tags or "{}").get("n", -1))
            found.setdefault(number, []).append(Row(*row))
    return found


def spent_of(database: Path) -> dict[str, tuple[int, int]]:
    """Picodollars and requests by account."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT account, sum(picousd), sum(requests) FROM spending GROUP BY account")
        return {account: (picousd, requests) for account, picousd, requests in rows}


def leased_of(database: Path) -> list[str]:
    """Leases that were not returned."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        query = "SELECT holder, account, amount FROM leases WHERE until_s IS NULL AND amount <> 0"
        return [f"{holder} still has {amount} of {account}" for holder, account, amount in connection.execute(query)]


def journals_of(database: Path) -> list[str]:
    """The files of journals beside it."""
    return sorted(path.name for path in database.parent.glob(f"{database.name}.journal-*"))


async def kill_often(folder: Path, kills: int, *, durable: str = "process", seed: int = 1, clients: int = 24) -> Report:
    """Kills a gateway so often, and judges what is in its database in the end."""
    draw, report = random.Random(seed), Report()
    database = folder / "state.db"
    async with EmulatorProcess(Profile("instant")) as emulator, aiohttp.ClientSession() as http:
        config = folder / "afterbay.yaml"
        config.write_text(json.dumps(config_of(emulator.url, database, durable)))
        gateway = GatewayProcess(config, free_port())
        load = Load(gateway.url, draw)
        await gateway.start(http)
        for _ in range(kills):
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as clients_http:
                running = asyncio.create_task(load.run(clients_http, clients))
                await asyncio.sleep(draw.uniform(0.05, 1.2))
                await gateway.end(signal.SIGKILL)
                running.cancel()
                await asyncio.wait((running,))
            began_s = time.monotonic()
            await gateway.start(http)
            await _until_complete(load.seen, database, gateway.pid, began_s + DEADLINE_S)
            report.kills += 1
            report.slowest_s = max(report.slowest_s, time.monotonic() - began_s)
        asked = await _asked(http, emulator.url)
        code = await gateway.end(signal.SIGTERM)
        _judge_all(report, load.seen, database, asked, code)
    return report


def _judge_all(report: Report, seen: list[Seen], database: Path, asked: int, code: int) -> None:
    rows = rows_of(database)
    report.wrong = judge(seen, rows) + judge_charges(seen, rows, spent_of(database)) + leased_of(database)
    if code:
        report.wrong.append(f"it ended with code {code}")
    if left := journals_of(database):
        report.wrong.append(f"journals were left: {left}")
    flat = [row for own in rows.values() for row in own]
    report.rows, report.unknown = len(flat), sum(row.outcome == "unknown" for row in flat)
    if asked > report.rows:
        report.wrong.append(f"the providers saw {asked} requests, the log has {report.rows}")
    if report.slowest_s >= DEADLINE_S:
        report.wrong.append(f"it took {report.slowest_s:.1f} s until nothing was missing")
    report.asked = len(seen)
    report.begun, report.whole = sum(bool(one.status) for one in seen), sum(one.is_whole for one in seen)


def summary(report: Report) -> str:
    """A run in a few lines."""
    return "\n".join(
        [
            f"{report.kills} kills, {report.asked} requests",
            f"  clients saw a status of {report.begun}, a whole answer of {report.whole}",
            f"  rows {report.rows}, of these with unknown outcome {report.unknown}",
            f"  from the start of the next process to the last row of the one before: at most {report.slowest_s:.2f} s",
            f"  faults: {len(report.wrong)}",
            *(f"  FAULT: {fault}" for fault in report.wrong[:20]),
        ]
    )


async def _until_complete(seen: list[Seen], database: Path, pid: int, until_s: float) -> None:
    """Waits until no journal of a dead process is left, and every request is in the log that a client saw anything of;
    or until the time is over."""
    own = f"{database.name}.journal-{pid}-"
    while time.monotonic() < until_s:
        if all(name.startswith(own) for name in journals_of(database)) and not missing(seen, rows_of(database)):
            break
        await asyncio.sleep(0.05)


async def _asked(http: aiohttp.ClientSession, emulator: str) -> int:
    async with http.get(f"{emulator}/emulate/stats") as answer:
        return sum(one["requests"] for one in (await answer.json()).values())


def free_port() -> int:
    """One that nobody has yet."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])
