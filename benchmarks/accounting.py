"""CPU time that keys, budgets, limits and the request log add to a request of `afterbay serve`, over real sockets.

Each variant is a gateway process of its own, all alive at once and asked in turns through so many connections that are
kept open; its CPU time is the kernel's, of all its threads (the event loop, the writer of the log, that of leases),
from the first request until the log is written. The provider and the client are processes beside it. "off" is the same
gateway without keys and budgets whose log lets go of everything, intents and outcomes included; nothing in afterbay can
switch the log off. What the engine gathers for the log (a copy of the record before the first attempt and one before
the last byte) is not in "off" either: its variant has no `begin` and no `settle`.

All that a gateway does for its accounting is in the figures: the journal, the rows, the metrics, the leases and the
roll-ups for reports. Those come every second here and not every 30 seconds, so that each round has its part of them;
a row is summed once in any case.

    python benchmarks/accounting.py [--requests N] [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

CONNECTIONS = 16
ROLLUP_S = 1.0
"""Between two roll-ups of the log: see above."""
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "so it is. " * 20}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 400, "completion_tokens": 60, "total_tokens": 460},
    }
).encode()
EVENTS = 20
BODY = {
    "model": "m",
    "max_tokens": 256,
    "messages": [{"role": "user", "content": "Why is the sky blue, and not green? " * 50}],
}
CONFIG = """
providers: {{up: {{kind: openai, base_url: "http://127.0.0.1:{port}/v1", api_key: x, price: {{input: 1, output: 2}}}}}}
models: {{m: {{provider: up, name: m}}}}
state: {{database: "sqlite:///{folder}/log.db"}}
"""
BUDGETS = """
policies:
  budgets:
    a: {scope: key, usd: 100000, per: month}
    b: {scope: team, usd: 10000, per: day}
    c: {scope: key, requests: 1000000000, per: minute}
    d: {scope: key, tokens: 1000000000000, per: minute}
"""
VARIANTS = ("off", "log", "log, key", "log, key, budgets")


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def cpu_s(pid: int) -> float:
    """CPU seconds of all threads of a process so far, to the nanosecond."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


# The provider


class Provider(asyncio.Protocol):
    """Answers every request with the same words, whole or as a stream in one piece."""

    def connection_made(self, transport: Any) -> None:
        """Keeps where to answer."""
        self._transport, self._data = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answers once a request is whole."""
        self._data += data
        head, _, body = self._data.partition(b"\r\n\r\n")
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if b"\r\n\r\n" in self._data and len(body) >= length:
            self._transport.write(_streamed() if b'"stream":true' in body.replace(b" ", b"") else _whole())
            self._data = b""


def _whole() -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(ANSWER)}\r\n\r\n"
    return head.encode() + ANSWER


def _streamed() -> bytes:
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choice = {"index": 0, "delta": {"content": " so it is."}, "finish_reason": None}
    chunks: list[dict[str, Any]] = [{**chunk, "choices": [choice]} for _ in range(EVENTS)]
    chunks.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({**chunk, "choices": [], "usage": json.loads(ANSWER)["usage"]})
    body = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks) + b"data: [DONE]\n\n"
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _provide(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port)
    await server.serve_forever()


# The client


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise SystemExit(f"the gateway answered {head!r} {await reader.read(500)!r}")
    at = head.find(b"content-length:")
    if at >= 0:
        await reader.readexactly(int(head[at + 15 :].split(b"\r\n", 1)[0]))
        return
    while size := int(await reader.readline(), 16):
        await reader.readexactly(size + 2)
    await reader.readexactly(2)


async def _ask(port: int, key: str, count: int, stream: bool) -> None:
    body = json.dumps({**BODY, "stream": True} if stream else BODY).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    head += f"content-length: {len(body)}\r\n"
    request = head.encode() + (f"authorization: Bearer {key}\r\n".encode() if key else b"") + b"\r\n" + body

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count // CONNECTIONS):
            await _one(reader, writer, request)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))


# The gateways


def _note_nothing(turn: Any) -> None:
    """In place of `engine.settlement.begin`."""


async def _settle_nothing(turn: Any, outcome: str = "ok") -> None:
    """In place of `engine.settlement.settle`."""


def _roll_up_every(request_log: Any, seconds: float) -> None:
    """No setting says how often the log is summed."""
    started = request_log.SqliteRequestLog.start

    def start(self: Any) -> None:
        self._limits = msgspec.structs.replace(self._limits, rollup_s=seconds)
        started(self)

    request_log.SqliteRequestLog.start = start


def _serve(variant: str, config: str, port: str) -> None:
    from afterbay.engine import settlement

    if variant == "off":  # before the rest of the engine takes them from there
        settlement.begin, settlement.settle = _note_nothing, _settle_nothing
    from afterbay.cli.main import run
    from afterbay.store import request_log

    if variant == "off":
        request_log.SqliteRequestLog.put = lambda self, record: None  # type: ignore[method-assign]
    _roll_up_every(request_log, ROLLUP_S)
    sys.argv = ["afterbay", "serve", "-c", config, "--port", port]
    run()


class Served:
    """One gateway process."""

    def __init__(self, variant: str, folder: Path, provider_port: int) -> None:
        self.variant, self.port, self.key = variant, free_port(), ""
        folder.mkdir()
        config = folder / "afterbay.yaml"
        config.write_text(CONFIG.format(port=provider_port, folder=folder) + (BUDGETS if "budgets" in variant else ""))
        if "key" in variant:
            command = [
                sys.executable,
                "-m",
                "afterbay",
                "keys",
                "create",
                "k",
                "--organisation",
                "o",
                "--team",
                "t",
                "-c",
            ]
            made = subprocess.run([*command, str(config)], check=True, capture_output=True, text=True)
            self.key = next(word for word in made.stdout.split() if word.startswith("ab-"))
        command = [sys.executable, __file__, "--serve", variant, str(config), str(self.port)]
        self.log = (folder / "log.txt").open("w")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.figures: dict[bool, list[float]] = {False: [], True: []}

    def measure(self, requests: int, stream: bool) -> float:
        """CPU microseconds a request."""
        before = cpu_s(self.process.pid)
        asyncio.run(_ask(self.port, self.key, requests, stream))
        time.sleep(0.5)  # the log writes what waits
        return (cpu_s(self.process.pid) - before) / requests * 1e6


def wait_for(port: int, seconds: float = 30.0) -> None:
    """Until somebody listens there."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise SystemExit(f"nobody listens on port {port}")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Sequence[Served]]:
    """The provider and a gateway for each variant."""
    port = free_port()
    provider = subprocess.Popen([sys.executable, __file__, "--provide", str(port)])
    served: list[Served] = []
    try:
        wait_for(port)
        for number, variant in enumerate(VARIANTS):
            served.append(Served(variant, folder / str(number), port))
        for one in served:
            wait_for(one.port)
        yield served
    finally:
        for process in [provider, *(one.process for one in served)]:
            process.terminate()
            process.wait(30)


def measure(requests: int, rounds: int) -> list[dict[str, Any]]:
    """A row for each variant and form of answer."""
    with tempfile.TemporaryDirectory(prefix="afterbay-bench-") as name, running(Path(name)) as served:
        for turn in range(rounds + 1):
            for stream in (False, True):
                for one in served[:: 1 if turn % 2 else -1]:
                    figure = one.measure(requests, stream)
                    if turn:  # the first round warms up
                        one.figures[stream].append(figure)
        rows = []
        for stream in (False, True):
            off = served[0].figures[stream]
            for one in served:
                more = [a - b for a, b in zip(one.figures[stream], off, strict=True)]
                rows.append(
                    {
                        "answer": "stream" if stream else "whole",
                        "with": one.variant,
                        "us": round(statistics.median(one.figures[stream]), 1),
                        "least_us": round(min(one.figures[stream]), 1),
                        "more_us": round(statistics.median(more), 1),
                    }
                )
        return rows


def main() -> None:
    """Prints the table, or one JSON object."""
    if sys.argv[1:2] == ["--provide"]:
        asyncio.run(_provide(int(sys.argv[2])))
        return
    if sys.argv[1:2] == ["--serve"]:
        _serve(*sys.argv[2:5])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    rows = measure(chosen.requests, chosen.rounds)
    if chosen.json:
        print(json.dumps({"python": platform.python_version(), "cpus": os.cpu_count(), "rows": rows}))
        return
    print(
        f"CPU µs a request, median of {chosen.rounds} rounds of {chosen.requests}, Python {platform.python_version()}"
    )
    for row in rows:
        figures = f"{row['us']:7.1f}   least {row['least_us']:7.1f}   more than off {row['more_us']:6.1f}"
        print(f"{row['answer']:<8}{row['with']:<22}{figures}")


if __name__ == "__main__":
    main()
