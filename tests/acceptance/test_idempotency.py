"""Repeats of requests on real sockets: processes that share a database, processes that are killed, and an SDK."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
import yaml
from aiohttp import web

from acceptance.raw_provider import RawProvider, Seen, configuration
from afterbay.testing.answers import JSON, stream, whole

CHAT = "openai.chat"
PATH = "/v1/chat/completions"
TEXTS = ("Der ", "Rhein ", "entspringt ", "in den ", "Alpen.")
ASK: dict[str, Any] = {"model": "gpt", "messages": [{"role": "user", "content": "?"}]}
STREAM = ASK | {"stream": True}
KEYED = {"idempotency-key": "5d0c", "authorization": "Bearer any"}
SOURCES = Path(__file__).parents[2] / "src"
WAIT_S = 30.0


class Gated(RawProvider):
    """A provider whose answers stop in their middle until `release` is called."""

    def __init__(self) -> None:
        super().__init__()
        self._gate = asyncio.Event()
        self.handlers[PATH] = self._chat

    async def _chat(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        is_stream = b'"stream":true' in (await request.read()).replace(b" ", b"")
        response = web.StreamResponse(headers={"content-type": "text/event-stream"} if is_stream else dict(JSON))
        if not is_stream:
            await self._gate.wait()
        await response.prepare(request)
        pieces = stream(CHAT, *TEXTS) if is_stream else [whole(CHAT, "".join(TEXTS))]
        half = 3 if is_stream else 0
        await response.write(b"".join(pieces[:half]))
        await self._gate.wait()
        await response.write(b"".join(pieces[half:]))
        return response

    def release(self) -> None:
        """Lets all answers go on."""
        self._loop.call_soon_threadsafe(self._gate.set)

    @property
    def asked(self) -> int:
        return len(self.seen)


@pytest.fixture
def provider() -> Iterator[Gated]:
    with Gated() as running:
        yield running


class Served:
    """`afterbay serve` as a process."""

    def __init__(self, folder: Path, name: str) -> None:
        self._log = folder / f"{name}.log"
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(SOURCES)}
        command = [sys.executable, "-m", "afterbay", "serve", "-c", "afterbay.yaml", "--port", "0"]
        with self._log.open("w") as out:
            self.process = subprocess.Popen(command, cwd=folder, env=environ, stdout=out, stderr=out)
        self.url = self._said(r"listening on (http://\S+)")

    def _said(self, pattern: str) -> str:
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end and self.process.poll() is None:
            found = re.search(pattern, self._log.read_text())
            if found is not None:
                return found[1]
            time.sleep(0.02)
        raise AssertionError(self._log.read_text())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def ask(self, body: dict[str, Any], **headers: str) -> httpx.Response:
        return httpx.post(f"{self.url}{PATH}", json=body, headers=KEYED | headers, timeout=WAIT_S)


@pytest.fixture
def serve(tmp_path: Path, provider: Gated) -> Iterator[Any]:
    config = configuration(provider, models={"gpt": {"provider": "openai", "name": "gpt"}})
    config["state"] = {"database": f"sqlite:///{tmp_path}/state.db"}
    (tmp_path / "afterbay.yaml").write_text(yaml.safe_dump(config))
    with contextlib.ExitStack() as running:

        def begin(name: str) -> Served:
            one = Served(tmp_path, name)
            running.callback(one.kill)
            return one

        yield begin


def leave_in_the_middle(url: str, until: bytes, body: dict[str, Any]) -> bytes:
    """Asks, reads until some bytes are there, and breaks the connection."""
    got = b""
    with httpx.stream("POST", f"{url}{PATH}", json=body, headers=KEYED, timeout=WAIT_S) as response:
        sock: socket.socket = response.extensions["network_stream"].get_extra_info("socket")
        for piece in response.iter_raw():
            got += piece
            if until in got:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                break
    return got


def test_a_broken_stream_is_repeated_by_another_process(serve: Any, provider: Gated) -> None:
    here, there = serve("here"), serve("there")
    got = leave_in_the_middle(here.url, TEXTS[1].encode(), STREAM)
    found: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: found.append(there.ask(STREAM)))
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive(), "it waits for the other process"
    provider.release()
    waiting.join(WAIT_S)
    (again,) = found
    assert again.status_code == 200
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content.startswith(got)
    assert again.content == b"".join(stream(CHAT, *TEXTS))
    assert here.ask(STREAM).content == again.content
    assert provider.asked == 1


def test_twins_at_two_processes_at_once_are_one_call_upstream(serve: Any, provider: Gated) -> None:
    servers = [serve("here"), serve("there")]
    found: list[httpx.Response] = []
    asking = [
        threading.Thread(target=lambda at=at: found.append(servers[at % 2].ask(ASK)))  # type: ignore[misc]
        for at in range(12)
    ]
    for one in asking:
        one.start()
    provider.wait(lambda: provider.asked > 0)
    provider.release()
    for one in asking:
        one.join(WAIT_S)
    assert [one.status_code for one in found] == [200] * 12
    assert len({one.content for one in found}) == 1
    assert sum("idempotent-replayed" in one.headers for one in found) == 11
    assert provider.asked == 1


def test_after_a_kill_in_the_middle_nothing_is_sent_again_in_silence(serve: Any, provider: Gated) -> None:
    first = serve("first")
    leave_in_the_middle(first.url, TEXTS[1].encode(), STREAM)
    first.kill()
    provider.release()
    second = serve("second")
    for _ in range(2):
        told = second.ask(STREAM)
        assert told.status_code == 409
        assert told.json()["error"]["code"] == "idempotency_outcome_unknown"
        assert told.headers["x-should-retry"] == "false"
    assert provider.asked == 1
    assert second.ask(STREAM, **{"idempotency-key": "another"}).status_code == 200
    assert provider.asked == 2


def test_after_a_kill_an_answer_that_a_client_saw_is_there(serve: Any, provider: Gated) -> None:
    provider.release()
    first = serve("first")
    seen = [first.ask(STREAM), first.ask(ASK, **{"idempotency-key": "whole"})]
    first.kill()
    second = serve("second")
    again = [second.ask(STREAM), second.ask(ASK, **{"idempotency-key": "whole"})]
    assert [one.content for one in again] == [one.content for one in seen]
    assert provider.asked == 2


def test_an_sdk_that_tries_again_after_its_timeout_gets_the_first_answer(serve: Any, provider: Gated) -> None:
    served = serve("here")
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="any", max_retries=3, timeout=1.0) as client:
        threading.Timer(1.5, provider.release).start()
        said = client.chat.completions.create(**ASK, extra_headers={"Idempotency-Key": "sdk"})
    assert said.choices[0].message.content == "".join(TEXTS)
    assert provider.asked == 1
