"""Runs the emulator: in this process, or in a child on a free port for tests and demonstrations.

    async with EmulatorProcess(ProfileFile(preset("flaky"))) as emulator:
        ...  # emulator.base_url("openai")

The child is `python -m afterbay.emulate.run`; it takes the profiles as JSON on its standard input, prints one line
`emulating on http://127.0.0.1:PORT` when it listens, and stops when the input ends, so that it never outlives its
parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import msgspec
import uvicorn

from afterbay.emulate.line import BreakableProtocol
from afterbay.emulate.profile import Profile, ProfileFile, plain, read_file
from afterbay.emulate.server import Emulator

READY = "emulating on "
START_S = 20.0
STOP_S = 10.0
_BACKLOG = 1024


class SystemClock:
    """The real time."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def utc(self) -> float:
        """UTC seconds since 1970."""
        return time.time()


def server(profiles: ProfileFile) -> uvicorn.Server:
    """A server that is not started yet."""
    config = uvicorn.Config(
        Emulator(profiles, SystemClock()),
        http=BreakableProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        backlog=_BACKLOG,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OSError: the address is not to be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # without it asyncio leaves Nagle on: 40 ms
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def serve(
    profiles: ProfileFile, host: str = "127.0.0.1", port: int = 0, announce: Callable[[str], None] | None = None
) -> None:
    """Serves until a signal. `announce` gets the URL once the socket listens.

    Raises:
        OSError: the address is not to be had.
    """
    opened = listen(host, port)
    try:
        if announce is not None:
            announce(url_of(opened))
        server(profiles).run(sockets=[opened])
    finally:
        opened.close()


def url_of(opened: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class EmulatorProcess:
    """An emulator in a child process, as an async context. `url` is known inside it."""

    def __init__(self, profiles: ProfileFile | Profile) -> None:
        self._profiles = ProfileFile(profiles) if isinstance(profiles, Profile) else profiles
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    def base_url(self, provider: str) -> str:
        """The base URL of a provider as its SDK takes it."""
        version = "/v1" if provider.startswith("openai") else ""
        return f"{self.url}/{provider}{version}"

    async def __aenter__(self) -> EmulatorProcess:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "afterbay.emulate.run",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
            start_new_session=True,  # Ctrl-C in the terminal is for the parent: the end of its pipe ends this one
        )
        try:
            await self._start(self._process)
        except BaseException:
            await self.stop()
            raise
        return self

    async def _start(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the child has no pipes")
        given = {
            "default": plain(self._profiles.default),
            "providers": {name: plain(one) for name, one in self._profiles.providers.items()},
        }
        process.stdin.write(msgspec.json.encode(given) + b"\n")
        async with asyncio.timeout(START_S):
            await process.stdin.drain()
            line = (await process.stdout.readline()).decode().strip()
        if not line.startswith(READY):
            raise RuntimeError(f"the emulator did not start; it said {line!r}, see its standard error")
        self.url = line.removeprefix(READY)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stops the child: asked first, killed after `STOP_S` seconds."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _stop_with_parent(running: uvicorn.Server) -> None:
    """Ends the server when the standard input ends: the parent closed it, or is gone."""
    while sys.stdin.buffer.read(4096):
        pass
    running.should_exit = True


def main() -> None:
    """The child's own program."""
    given: Any = msgspec.json.decode(sys.stdin.buffer.readline())
    running = server(read_file(given))
    with listen("127.0.0.1", 0) as opened:
        threading.Thread(target=_stop_with_parent, args=(running,), daemon=True).start()
        print(f"{READY}{url_of(opened)}", flush=True)
        running.run(sockets=[opened])


if __name__ == "__main__":
    main()
