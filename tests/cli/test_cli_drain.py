"""A gateway that ends, or takes a new configuration, while it is asked from all sides: a real process, real sockets.

Whatever moment the signal comes at, each request ends whole or in its protocol's error, and has its record.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
import websockets
from aiohttp import web

from acceptance.raw_provider import RawProvider, Seen, messages

from .conftest import command, config_text, environment, wait_for
from .load import KINDS, TALK, Asked, Client, Crowd, Got

ROUNDS = int(os.environ.get("AFTERBAY_DRAINS", "2"))
CLIENTS = 40
LIMITS = "limits: {linger: 400ms, drain: 5s}\n"
BOTH_WAYS = pytest.mark.parametrize("workers", [1, 2])
READY = r"listening on (http://\S+)"


@pytest.fixture
def config(tmp_path: Path, emulator: str) -> Path:
    path = tmp_path / "afterbay.yaml"
    path.write_text(config_text(emulator, tmp_path / "state.db") + LIMITS)
    return path


def put(config: Path, text: str) -> None:
    config.write_text(text)


def change(config: Path, limits: str) -> None:
    """Other limits."""
    put(config, config.read_text().replace(LIMITS, limits))


class Process:
    """A gateway. `outcomes`: what the log says of its requests, by id."""

    def __init__(self, folder: Path, workers: int = 1) -> None:
        self.log = folder / "log"
        self.url = ""
        self._folder = folder
        (folder / "tmp").mkdir()
        variables = environment(folder, {"TMPDIR": str(folder / "tmp")})
        with self.log.open("w") as out:
            self.running = subprocess.Popen(
                command("serve", "--port", "0", "--workers", str(workers)),
                cwd=folder,
                env=variables,
                stdout=out,
                stderr=out,
            )

    async def start(self) -> Process:
        self.url = (await asyncio.to_thread(wait_for, self.log, READY, self.running))[1]
        await asyncio.to_thread(wait_for, self.log, "afterbay: ready", self.running)
        return self

    def signal(self, number: signal.Signals) -> None:
        self.running.send_signal(number)

    async def ended(self, within_s: float) -> float:
        """Waits for its end; how long that took."""
        began_s = time.monotonic()
        code = await asyncio.to_thread(self.running.wait, within_s)
        told = self.log.read_text()
        assert code == 0, told
        assert told.endswith("afterbay: stopped\n"), told
        assert "Traceback" not in told, told
        assert "lost" not in told, told
        return time.monotonic() - began_s

    def outcomes(self) -> dict[str, str]:
        with closing(sqlite3.connect(self._folder / "state.db")) as database:
            return dict(database.execute("SELECT id, outcome FROM requests").fetchall())


@asynccontextmanager
async def process(folder: Path, workers: int = 1) -> AsyncIterator[Process]:
    one = Process(folder, workers)
    try:
        yield await one.start()
    finally:
        one.running.kill()  # its workers notice, and end
        one.running.wait()


def check_records(one: Process, got: list[Got]) -> None:
    """Each request of the engine has its record, and the record says how it ended."""
    outcomes, told = one.outcomes(), 0
    for each in got:
        if each.kind == "models":
            continue
        assert outcomes.get(each.headers["x-request-id"]) == ("ok" if each.verdict == "whole" else "shutting_down")
        told += 1
    assert told == len([each for each in got if each.kind != "models"])


async def ready(client: Client) -> Got:
    return await client.ask("ready", ("/health/ready", None))


@BOTH_WAYS
@pytest.mark.parametrize("round_", range(ROUNDS))
async def test_a_gateway_that_is_told_to_end_ends_no_request_before_its_time(
    config: Path, tmp_path: Path, round_: int, workers: int
) -> None:
    chance = random.Random(round_)
    async with process(tmp_path, workers) as one:
        crowd, looker = Crowd(one.url, CLIENTS), Client(one.url)
        load = asyncio.create_task(crowd.run())
        assert (await ready(looker)).status == 200
        await asyncio.sleep(chance.uniform(0.3, 1.2))
        before = len(crowd.got)
        one.signal(signal.SIGTERM)
        asked_s = time.monotonic()
        said = await ready(looker)
        for _ in range(20):
            if said.status != 200:
                break
            await asyncio.sleep(0.005)
            said = await ready(looker)
        assert time.monotonic() - asked_s < 0.2
        assert json.loads(said.body)["status"] == "draining"
        new = await Client(one.url).ask("chat whole", KINDS["chat whole"])
        assert new.verdict == "whole", "for a moment new requests are served"
        await load
        took_s = await one.ended(5)
    verdicts = crowd.verdicts()
    assert set(verdicts) == {"whole", "refused"}, verdicts
    assert verdicts["whole"] > before
    assert verdicts["refused"] > CLIENTS / 2
    late = [each for each in crowd.got if each.verdict == "refused"]
    assert {each.headers["connection"] for each in late} == {"close"}
    assert {each.headers["retry-after"] for each in late} == {"2"}
    assert took_s < 4, "it does not wait longer than for the last request"
    assert sum(client.stale for client in crowd.clients) <= 4, "idle connections are closed, not cut"
    check_records(one, crowd.got)


@BOTH_WAYS
@pytest.mark.parametrize("round_", range(ROUNDS))
async def test_a_second_signal_ends_everything_at_once_and_says_so_to_everybody(
    config: Path, tmp_path: Path, round_: int, workers: int
) -> None:
    chance = random.Random(100 + round_)
    async with process(tmp_path, workers) as one:
        crowd = Crowd(one.url, CLIENTS)
        load = asyncio.create_task(crowd.run())
        await asyncio.sleep(chance.uniform(1.0, 1.5))
        one.signal(signal.SIGTERM)
        await asyncio.sleep(chance.uniform(0.0, 0.5))
        one.signal(signal.SIGTERM)
        asked_s = time.monotonic()
        await load
        assert time.monotonic() - asked_s < 2.5
        await one.ended(3)
    raw_cut = [each for each in crowd.got if each.kind == "raw" and each.broke and each.status == 200]
    for each in raw_cut:  # its bytes are the provider's: there is no place for an error in them, and no proper end
        crowd.got.remove(each)
        assert one.outcomes()[each.headers["x-request-id"]] == "shutting_down"
    verdicts = crowd.verdicts()
    assert set(verdicts) <= {"whole", "refused", "error"}, verdicts
    assert verdicts["error"] > 0
    check_records(one, crowd.got)


@BOTH_WAYS
async def test_the_drain_has_an_end_and_a_body_that_never_comes_has_an_answer(
    config: Path, tmp_path: Path, workers: int
) -> None:
    change(config, "limits: {linger: 100ms, drain: 500ms}\n")
    slow = {"model": "gpt", "stream": True, "messages": [{"role": "user", "content": "[[stall 3]] Hi"}]}
    async with process(tmp_path, workers) as one:
        streaming = asyncio.create_task(Client(one.url).ask("chat", ("/v1/chat/completions", slow)))
        reader, writer = await asyncio.open_connection("127.0.0.1", int(one.url.rpartition(":")[2]))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
        half, half_writer = await asyncio.open_connection("127.0.0.1", int(one.url.rpartition(":")[2]))
        half_writer.write(b"GET /health/ready HT")
        await asyncio.sleep(0.3)
        one.signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        half_writer.write(b"TP/1.1\r\nhost: localhost\r\n\r\n")
        assert (await half.read()).startswith(b"HTTP/1.1 503"), "a head that was begun is read to its end"
        got, said = await streaming, await reader.read()
        await one.ended(3)
        writer.close()
        half_writer.close()
    assert got.verdict == "error"
    assert said.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 2" in said
    assert b"shutting_down" in said
    check_records(one, [got])


@BOTH_WAYS
async def test_drain_follows_the_configuration_that_is_in_force(config: Path, tmp_path: Path, workers: int) -> None:
    slow = {"model": "gpt", "stream": True, "messages": [{"role": "user", "content": "[[stall 3]] Hi"}]}
    async with process(tmp_path, workers) as one:
        change(config, "limits: {linger: 0s, drain: 300ms}\n")
        one.signal(signal.SIGHUP)
        await asyncio.to_thread(wait_for, one.log, "is in force", one.running)
        streaming = asyncio.create_task(Client(one.url).ask("chat", ("/v1/chat/completions", slow)))
        await asyncio.sleep(0.3)
        one.signal(signal.SIGTERM)
        assert await one.ended(3) < 1.5
        assert (await streaming).verdict == "error"


# Reload

BOTH = """\
models:
  claude: {deployments: [{provider: claude, name: claude-opus-4-6}]}
  gpt:    {deployments: [{provider: openai, name: gpt-4o-2024-11-20}, {provider: claude, name: claude-opus-4-6}]}
"""
ONE = "models:\n  gpt: {deployments: [{provider: openai, name: gpt-4o-2024-11-20}]}\n"


def configured(text: str, emulator: str, folder: Path, raw: str = "") -> str:
    """A whole configuration with these models; a provider that none of them names is not there."""
    lines = config_text(emulator, folder / "state.db").split("models:")[0].splitlines()
    providers = [line for line in lines if not line.strip().startswith("claude:") or "provider: claude" in text]
    providers += [f"  raw: {{kind: openai, api_key: sk-up, base_url: '{raw}/v1'}}"] if raw else []
    state = f'state: {{database: "sqlite:///{folder / "state.db"}"}}\n'
    return "\n".join(providers) + "\n" + text + state + LIMITS


async def reload(one: Process, config: Path, text: str) -> None:
    """Puts another configuration in force."""
    before = len(re.findall("is in force", one.log.read_text()))
    put(config, text)
    one.signal(signal.SIGHUP)
    end_s = time.monotonic() + 10
    while len(re.findall("is in force", one.log.read_text())) == before:
        assert time.monotonic() < end_s, one.log.read_text()
        await asyncio.sleep(0.01)


@BOTH_WAYS
async def test_a_reload_drops_no_request_whatever_it_takes_away(
    config: Path, tmp_path: Path, emulator: str, workers: int
) -> None:
    both, only = (configured(text, emulator, tmp_path) for text in (BOTH, ONE))
    put(config, both)
    gpt: dict[str, Asked] = {name: asked for name, asked in KINDS.items() if "claude" not in json.dumps(asked)}
    slow = [{"role": "user", "content": "[[slow 100ms]] [[tokens 24]] Tell me of rivers."}]
    async with process(tmp_path, workers) as one:
        crowd = Crowd(one.url, CLIENTS, gpt)
        load = asyncio.create_task(crowd.run())
        body = {"model": "claude", "max_tokens": 99, "stream": True, "messages": slow}
        for number in range(6):
            last = asyncio.create_task(Client(one.url).ask("messages", ("/v1/messages", body)))
            await asyncio.sleep(0.2)
            await reload(one, config, only)
            gone = await Client(one.url).ask("messages", ("/v1/messages", body))
            assert gone.status == 404, number
            await reload(one, config, both)
            assert (await last).verdict == "whole", "its provider was taken away while it streamed"
            crowd.got.append(await last)
        crowd.wanted = False
        await load
        one.signal(signal.SIGTERM)
        await one.ended(5)
    assert set(crowd.verdicts()) == {"whole"}, crowd.verdicts()
    assert len(crowd.got) >= 200
    check_records(one, crowd.got)


async def echo(request: web.Request, seen: Seen) -> web.StreamResponse:
    sockets = web.WebSocketResponse()
    await sockets.prepare(request)
    async for message in messages(sockets, seen):
        await sockets.send_str(str(message))
    return sockets


async def drip(request: web.Request, seen: Seen) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    for number in range(10):
        await answer.write(f"{number} ".encode())
        await asyncio.sleep(0.1)
    return answer


@pytest.fixture
def raw() -> Iterator[RawProvider]:
    with RawProvider() as one:
        one.handlers |= {"/v1/echo": echo, "/v1/drip": drip}
        yield one


@BOTH_WAYS
async def test_a_reload_keeps_sockets_raw_answers_and_responses(
    config: Path, tmp_path: Path, emulator: str, raw: RawProvider, workers: int
) -> None:
    put(config, configured(BOTH, emulator, tmp_path, raw.url))
    asked = {"model": "claude", "input": TALK[0]["content"]}
    async with process(tmp_path, workers) as one:
        made = await Client(one.url).ask("chat whole", ("/v1/responses", asked))
        name = json.loads(made.body)["id"]
        dripping = asyncio.create_task(Client(one.url).ask("drip", ("/passthrough/raw/v1/drip", {})))
        address = one.url.replace("http", "ws") + "/passthrough/raw/v1/echo"
        async with websockets.connect(address, compression=None) as client:
            await client.send("one")
            assert await client.recv() == "one"
            await reload(one, config, configured(ONE, emulator, tmp_path))
            await client.send("two")
            assert await client.recv() == "two"
            dripped = await dripping
            assert (dripped.status, dripped.body) == (200, b"0 1 2 3 4 5 6 7 8 9 ")
            kept = await Client(one.url).ask("kept", (f"/v1/responses/{name}", None))
            assert (kept.status, json.loads(kept.body)["id"]) == (200, name)
            again = await Client(one.url).ask("drip", ("/passthrough/raw/v1/drip", {}))
            assert again.status == 404
            one.signal(signal.SIGTERM)
            await asyncio.sleep(0.6)
            await client.send("three")
            assert await client.recv() == "three"
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(one.url.replace("http", "ws") + "/passthrough/openai/v1/realtime")
            assert refused.value.response.status_code == 503
            one.signal(signal.SIGTERM)
            with suppress(websockets.ConnectionClosed):
                await asyncio.wait_for(client.recv(), 5)
            assert client.close_code == 1012
        await one.ended(5)
    assert sorted(one.outcomes().values()) == ["ok", "ok", "ok", "shutting_down", "shutting_down", "unknown_provider"]
