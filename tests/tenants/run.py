"""A run: bursts of tenants against a real gateway that is killed and whose database is taken away (see `judge.py`)."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import aiohttp
import msgspec

from kills.run import GatewayProcess, free_port, journals_of, leased_of, rows_of
from tenants.judge import Books, Group, Used, Verdict, judge
from tenants.load import Load
from tenants.provider import Served
from tenants.world import config_of, made

_CHILD = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


class Size(msgspec.Struct, frozen=True):
    """How large a run is. `requests`: about so many are within a key's budget, or up to twice as many.

    `kills`: of workers (with one process: of that), one of them while the database is away; `restarts`: of the control
    process.
    """

    seconds: float
    workers: int = 4
    tenants: int = 250
    burst: int = 100
    at_once: int = 6
    requests: int = 40
    kills: int = 3
    restarts: int = 1
    outages: int = 4
    outage_s: float = 6.0
    seed: int = 1

    @property
    def tolerance(self) -> float:
        """How far above a limit of money may be spent."""
        return 0.001 if self.workers > 1 else 0.0


class Run:
    """A gateway under load, and what happens to it."""

    def __init__(self, folder: Path, size: Size) -> None:
        self._folder, self._size = folder, size
        self._database = folder / "state.db"
        self._draw = random.Random(size.seed)
        self._outages: list[asyncio.Task[None]] = []
        self.happened: list[str] = []

    async def go(self) -> Verdict:
        """All of it, to the verdict."""
        size = self._size
        tenants = made(self._database, size.tenants, size.requests)
        provider = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tenants.provider", str(self._folder / "served.lines")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=_CHILD,
        )
        assert provider.stdout is not None
        url = (await provider.stdout.readline()).decode().strip()
        config = self._folder / "afterbay.yaml"
        config.write_text(json.dumps(config_of(url, self._database)))
        gateway = GatewayProcess(config, free_port(), "--workers", str(size.workers))
        load = Load(gateway.url, tenants, size.burst, self._draw)
        connector = aiohttp.TCPConnector(limit=0)
        try:
            async with aiohttp.ClientSession(connector=connector) as clients, aiohttp.ClientSession() as http:
                await gateway.start(http)
                running = asyncio.create_task(load.run(clients, size.at_once))
                await self._disturb(gateway, http)
                load.is_stopping = True
                await running
                await asyncio.gather(*self._outages)
            code = await gateway.end(signal.SIGTERM)
        finally:
            if gateway.is_running:
                await gateway.end(signal.SIGKILL)
            assert provider.stdin is not None
            provider.stdin.close()
            await provider.wait()
        served = self._served()
        books = await asyncio.to_thread(books_of, self._database)
        verdict = judge(load.asked, served, books, tolerance=size.tolerance)
        if code:
            verdict.faults.append(f"the gateway ended with code {code}")
        return verdict

    async def _disturb(self, gateway: GatewayProcess, http: aiohttp.ClientSession) -> None:
        """Outages spread over the time; kills between them, but for the first, which comes while one lasts."""
        size, begin_s = self._size, time.monotonic()
        outages = [(number + 0.5) / size.outages for number in range(size.outages)]
        kills = [*outages[:1], *((number + 1.0) / size.kills for number in range(size.kills - 1))][: size.kills]
        restarts = [(number + 1.0) / (size.restarts + 1) for number in range(size.restarts)]
        events = [(0.1 + 0.75 * share, 0) for share in outages]
        events += [(0.1 + 0.75 * share, 1) for share in kills]
        events += [(0.1 + 0.75 * share, 2) for share in restarts]
        for share, kind in sorted(events):
            lag_s = size.outage_s / 3 if kind == 1 else 0.0
            await asyncio.sleep(max(0.0, begin_s + share * size.seconds + lag_s - time.monotonic()))
            if kind == 0:
                how = ("stopped", "unwritable")[len(self._outages) % 2]
                self._outages.append(asyncio.create_task(self._take_away(how)))
            elif kind == 1 and size.workers > 1:
                workers = workers_of(gateway.pid)
                os.kill(self._draw.choice(workers), signal.SIGKILL)
                self._note("a worker was killed")
            else:
                await gateway.end(signal.SIGKILL)
                self._note("the gateway was killed" if size.workers == 1 else "the control process was killed")
                await asyncio.gather(*self._outages)  # whoever supervises it would try until the database is there
                await gateway.start(http)
        await asyncio.sleep(max(0.0, begin_s + size.seconds - time.monotonic()))

    async def _take_away(self, how: str) -> None:
        seconds = str(self._size.outage_s)
        command = (sys.executable, "-m", "tenants.outage", str(self._database), how, seconds)
        child = await asyncio.create_subprocess_exec(*command, env=_CHILD)
        self._note(f"the database was {how} for {seconds} s")
        if await child.wait():
            raise RuntimeError("the database could not be taken away")

    def _note(self, what: str) -> None:
        self.happened.append(what)

    def _served(self) -> list[Served]:
        decode = msgspec.json.Decoder(Served).decode
        return [decode(line) for line in (self._folder / "served.lines").read_bytes().splitlines()]


def workers_of(pid: int) -> list[int]:
    """The worker processes of a control process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


def books_of(database: Path) -> Books:
    """What is in the database when the gateway is gone."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        charged = {
            account: Used(*used)
            for account, *used in connection.execute(
                "SELECT account, sum(picousd), sum(requests), sum(tokens) FROM spending GROUP BY account"
            )
        }
        days = connection.execute("SELECT count(DISTINCT day) FROM spending").fetchone()[0]
    left = leased_of(database) + [f"a journal was left: {name}" for name in journals_of(database)]
    return Books(rows_of(database), charged, left, max(1, days))


def summary(run: Run, size: Size, verdict: Verdict) -> str:
    """A run in a few lines."""
    over = ", ".join(f"{what} {max(0.0, share):.4%}" for what, share in sorted(verdict.over.items()))
    early = f"{verdict.too_early} ({verdict.too_early / max(1, verdict.refused):.2%}), with plenty {verdict.stranded}"
    gone = f" {verdict.gone}" + (f"; other errors {dict(verdict.other)}" if verdict.other else "")
    about = f"{size.tenants} tenants, bursts of {size.burst}, {size.seconds:g} s, workers {size.workers}"
    return "\n".join(
        [
            f"{about}, seed {size.seed}",
            f"  {'; '.join(run.happened)}",
            f"  asked {verdict.asked}, served {verdict.served}, whole {verdict.whole}, left by clients {verdict.left}",
            f"  refused for want of money {verdict.refused}, of these too early {early}",
            f"  refused by other limits {verdict.limited}; nobody could tell {verdict.unavailable}; no gateway{gone}",
            f"  accounts {verdict.accounts}, used up {verdict.used_up}; highest above a limit: {over}",
            f"  told by the provider: {_told(verdict.told)}",
            f"  left, counted by the gateway: {_told(verdict.counted)}",
            f"  known to nobody: {_told(verdict.unsure)}",
            f"  faults: {len(verdict.faults)}",
            *(f"  FAULT: {fault}" for fault in verdict.faults[:20]),
        ]
    )


def _told(group: Group) -> str:
    return f"{group.count} requests, cost ${group.cost / 1e12:.4f}, charged ${group.charged / 1e12:.4f}"
