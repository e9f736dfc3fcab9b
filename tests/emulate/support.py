"""Emulators for tests: one in the test's own event loop, or one in a thread that many tests share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

import aiohttp
import uvicorn

from afterbay.emulate.profile import Profile, ProfileFile
from afterbay.emulate.routing import find
from afterbay.emulate.run import listen, server, url_of
from afterbay.testing.stream_watch import Exchange, StreamWatch

KEY = {"authorization": "Bearer any"}


class EmulatorWatch(StreamWatch):
    """Checks every stream of an emulator up to its end, which may be a cut that was ordered, as bad JSON may be."""

    def end(self, exchange: Exchange, *, ended: bool) -> list[str]:
        found = exchange.verdict(ended=False)
        if not any(said.endswith("[json]") for said in found):
            self.broken += found
        self.streams += exchange.has_stream
        return found


def asked_of_emulator(scope: Mapping[str, Any]) -> tuple[str, bool] | None:
    call = find(scope["path"], {})
    if call is None or call.operation != "chat" or call.stream is False:
        return None
    return call.protocol.dialect.name, False


@contextmanager
def watched(serving: uvicorn.Server) -> Iterator[None]:
    """Fails at the end of the block if a stream of the emulator broke its grammar."""
    watch = EmulatorWatch()
    serving.config.app = watch.application(serving.config.app, asked_of_emulator)  # type: ignore[arg-type]
    yield
    assert watch.broken == []


class Running:
    """A running emulator, with a plain HTTP client. `suffix` makes its providers the test's own."""

    def __init__(self, url: str, http: aiohttp.ClientSession, suffix: str = "") -> None:
        self.url, self.http, self.suffix = url, http, suffix

    def base_url(self, protocol: str) -> str:
        """As the protocol's SDK takes it."""
        return f"{self.url}/{protocol}{self.suffix}" + ("/v1" if protocol == "openai" else "")

    async def stats(self, protocol: str = "openai") -> dict[str, Any]:
        async with self.http.get(f"{self.url}/emulate/stats") as response:
            found: dict[str, Any] = (await response.json()).get(protocol + self.suffix, {})
            return found

    async def until(self, holds: Callable[[dict[str, Any]], bool], protocol: str = "openai") -> dict[str, Any]:
        """The statistics once something holds of them."""
        for _ in range(300):
            found = await self.stats(protocol)
            if holds(found):
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"still {found}")

    async def settled(self, protocol: str = "openai") -> dict[str, Any]:
        """The statistics once nothing is open any more."""
        return await self.until(lambda stats: not stats["open"], protocol)

    def chat(self, prompt: str, *, stream: bool = False, model: str = "emu-text") -> Any:
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream}
        return self.http.post(f"{self.base_url('openai')}/chat/completions", json=body, headers=KEY)

    async def outcome(self, prompt: str, *, stream: bool = False) -> tuple[int, bytes, str]:
        """Status, all bytes that came, and how it ended: "" or the error's name."""
        got, status = b"", 0
        try:
            async with self.chat(prompt, stream=stream) as response:
                status = response.status
                async for piece in response.content.iter_any():
                    got += piece
        except (aiohttp.ClientError, ConnectionError) as error:
            return status, got, type(error).__name__
        return status, got, ""


@asynccontextmanager
async def running(profiles: Profile | ProfileFile) -> AsyncIterator[Running]:
    """Serves the profiles until the block ends."""
    opened = listen("127.0.0.1", 0)
    serving = server(profiles if isinstance(profiles, ProfileFile) else ProfileFile(profiles))
    with watched(serving):
        task = asyncio.create_task(serving.serve(sockets=[opened]))
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
                yield Running(url_of(opened), http)
        finally:
            serving.should_exit = True
            async with asyncio.timeout(5):
                await task
            opened.close()


@contextmanager
def running_in_thread(profile: Profile, *, is_watched: bool = True) -> Iterator[str]:
    """Serves a profile in a thread of its own; the URL. `is_watched` False: its streams may break their grammar."""
    opened = listen("127.0.0.1", 0)
    serving = server(ProfileFile(profile))
    with watched(serving) if is_watched else nullcontext():
        thread = threading.Thread(target=lambda: asyncio.run(serving.serve(sockets=[opened])))
        thread.start()
        try:
            yield url_of(opened)
        finally:
            serving.should_exit = True
            thread.join(timeout=5)
            opened.close()
            assert not thread.is_alive()
