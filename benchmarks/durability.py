"""What durability adds to an answer: three gateways beside each other, `state.durable: off`, `process` and `machine`.

Each is a real `afterbay serve` with a database of its own on the same disk, in front of one emulator that answers at
once. They are asked in turns, so that whatever else the machine does hits all alike: a second at a fixed rate each,
again and again, the first of a round another one each time. Half of the requests are streams. A time is from the moment
when a request was due (an open loop) to its last byte.

    python benchmarks/durability.py [--rate 200] [--rounds 60] [--seconds 1] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import signal
import socket
import statistics
import sys
import tempfile
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import aiohttp

from afterbay.emulate.profile import Profile
from afterbay.emulate.run import EmulatorProcess

MODES = ("off", "process", "machine")
PERCENTILES = (50, 95, 99)
WARM_UP_S = 2.0


class Served:
    """A gateway of one mode, and the times of its answers, a list a round."""

    def __init__(self, folder: Path, mode: str, emulator: str) -> None:
        self.mode = mode
        self.rounds: list[list[float]] = []
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            self._port = int(taken.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}"
        self._config = folder / f"{mode}.yaml"
        self._config.write_text(
            json.dumps(
                {
                    "providers": {"up": {"kind": "openai", "base_url": f"{emulator}/openai/v1", "api_key": "sk-up"}},
                    "models": {"gpt": {"provider": "up", "name": "emu-gpt", "fallback": []}},
                    "state": {"database": f"sqlite:///{folder}/{mode}.db", "durable": mode},
                }
            )
        )
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, http: aiohttp.ClientSession) -> None:
        """Starts it and waits until it is ready."""
        command = ("-m", "afterbay", "serve", "--config", str(self._config), "--port", str(self._port))
        path = os.pathsep.join(entry for entry in sys.path if entry)
        with self._config.with_suffix(".log").open("wb") as said:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *command, stdout=said, stderr=said, env={**os.environ, "PYTHONPATH": path}
            )
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{self.url}/health/ready") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            await self._process.wait()


async def ask(http: aiohttp.ClientSession, url: str, streams: bool, due_s: float, times: list[float]) -> None:
    """One request, from when it was due."""
    body: dict[str, Any] = {"model": "gpt", "messages": [{"role": "user", "content": "[[tokens 20]] hi"}]}
    body["stream"] = streams
    async with http.post(f"{url}/v1/chat/completions", json=body) as answer:
        await answer.read()
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}")
    times.append(asyncio.get_running_loop().time() - due_s)


async def load(http: aiohttp.ClientSession, url: str, rate: float, seconds: float) -> list[float]:
    """Asks at a fixed rate whatever becomes of it; the times, in seconds."""
    times: list[float] = []
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due_s = begin_s + number / rate
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            group.create_task(ask(http, url, number % 2 == 0, due_s, times))
    return times


def percentile(times: list[float], percent: int) -> float:
    """In milliseconds."""
    return sorted(times)[min(len(times) - 1, len(times) * percent // 100)] * 1e3


async def measure(rate: float, rounds: int, seconds: float) -> dict[str, Any]:
    """The figures of all modes."""
    with tempfile.TemporaryDirectory(prefix="afterbay-durability-", dir=Path.cwd()) as folder:
        async with EmulatorProcess(Profile("instant")) as emulator, aiohttp.ClientSession() as http:
            served = [Served(Path(folder), mode, emulator.url) for mode in MODES]
            try:
                for one in served:
                    await one.start(http)
                    await load(http, one.url, rate, WARM_UP_S)
                for number in range(rounds):
                    for place in range(len(served)):
                        one = served[(number + place) % len(served)]
                        one.rounds.append(await load(http, one.url, rate, seconds))
            finally:
                for one in served:
                    await one.end()
    return {one.mode: figures(one, served[0]) for one in served}


def figures(one: Served, base: Served) -> dict[str, Any]:
    """Percentiles over all rounds; `added_p99_ms`: to those of `off`, and the median of the rounds' own differences."""
    times, plain = list(chain.from_iterable(one.rounds)), list(chain.from_iterable(base.rounds))
    differences = [
        percentile(mine, 99) - percentile(theirs, 99) for mine, theirs in zip(one.rounds, base.rounds, strict=True)
    ]
    return {
        "requests": len(times),
        **{f"p{percent}_ms": round(percentile(times, percent), 2) for percent in PERCENTILES},
        "added_p50_ms": round(percentile(times, 50) - percentile(plain, 50), 2),
        "added_p99_ms": round(percentile(times, 99) - percentile(plain, 99), 2),
        "added_p99_ms_median_of_rounds": round(statistics.median(differences), 2),
    }


def main() -> None:
    """Measures and prints."""
    options = argparse.ArgumentParser()
    options.add_argument("--rate", type=float, default=200.0)
    options.add_argument("--rounds", type=int, default=60)
    options.add_argument("--seconds", type=float, default=1.0)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    found = asyncio.run(measure(given.rate, given.rounds, given.seconds))
    if given.json:
        print(json.dumps({"machine": f"{platform.machine()}, {os.cpu_count()} cores", "rate": given.rate} | found))
        return
    print(f"{given.rate:g} requests/s, {given.rounds} rounds of {given.seconds:g} s for each, milliseconds")
    for mode, one in found.items():
        print(f"{mode:8} " + "  ".join(f"{name.removesuffix('_ms')} {value:g}" for name, value in one.items()))


if __name__ == "__main__":
    main()
