"""A worker process and its supervisor: starts it, knows where it listens, starts it anew after a crash, ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from afterbay.local.catalog import LocalModel
from afterbay.local.errors import EngineError
from afterbay.local.handshake import Ready, WorkerConfig
from afterbay.local.llama import EngineLimits
from afterbay.local.runtime import worker_environment

State: TypeAlias = Literal["stopped", "starting", "ready", "restarting", "failed"]
"""`restarting`: it crashed and is on its way back. `failed`: it crashed `Patience.crashes` times in a row."""

_TAIL_BYTES = 2048
_MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "1048576"}
"""glibc's settings (mallopt(3)): large blocks go back to the system when freed, which halves an idle embedder."""


class Patience(msgspec.Struct, frozen=True):
    """Deadlines and waits of the supervisor, in seconds.

    `ready_s`: for loading. `term_s`, `kill_s`: after SIGTERM, after SIGKILL. The wait before restart number n is
    `backoff_s` * 2^n, at most `backoff_most_s`; a worker that lived `steady_s` counts as recovered.
    """

    ready_s: float = 120.0
    term_s: float = 3.0
    kill_s: float = 3.0
    backoff_s: float = 0.5
    backoff_most_s: float = 30.0
    steady_s: float = 60.0
    crashes: int = 8


class LocalEngine:
    """One local model behind an OpenAI-compatible URL on loopback.

    Its methods belong to one event loop. On Linux the worker ends with the thread that called `start`: start it from a
    thread that lives as long as it should.
    """

    def __init__(
        self,
        model: LocalModel,
        paths: Sequence[Path],
        limits: EngineLimits | None = None,
        patience: Patience | None = None,
        on_state: Callable[[State], None] | None = None,
    ) -> None:
        self.model, self.limits = model, limits or EngineLimits(slot_tokens=model.slot_tokens)
        if self.limits.slot_tokens > model.context_tokens:
            raise EngineError(
                f"slot_tokens of {model.id} is {self.limits.slot_tokens}, its window {model.context_tokens}.",
                remedy="Lower slot_tokens.",
            )
        self.state: State = "stopped"
        self.last_error: str | None = None
        self.load_s: float | None = None
        self.restarts = 0
        self._paths, self._patience, self._on_state = tuple(map(str, paths)), patience or Patience(), on_state
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._errors: asyncio.Task[str] | None = None
        self._port, self._token = 0, ""

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes. It changes with a restart: read it anew for each request."""
        if self.state != "ready":
            raise EngineError(f"{self.model.id} is {self.state}. {self.last_error or ''}".strip(), retry_after_s=1.0)
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def token(self) -> str:
        """The bearer token for `base_url`; new with each start."""
        return self._token

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Starts the worker; returns when its model is loaded. Raises EngineError, with the worker's last words."""
        if self._watcher is not None and not self._watcher.done():
            raise EngineError(f"{self.model.id} is started already.")
        self._become("starting")
        try:
            await self._spawn()
        except BaseException as error:
            self.last_error = str(error)
            self._become("failed")
            raise
        self._watcher = asyncio.create_task(self._watch(), name=f"watch {self.model.id}")

    async def stop(self) -> None:
        """Ends the worker: SIGTERM, then SIGKILL to its group. Harmless when it is not running."""
        if self._watcher:
            self._watcher.cancel()
            await asyncio.wait({self._watcher}, timeout=self._patience.term_s + self._patience.kill_s + 1)
            self._watcher = None
        await self._end()
        self._become("stopped")

    def _become(self, state: State) -> None:
        if state != self.state:
            self.state = state
            if self._on_state:
                self._on_state(state)

    async def _spawn(self) -> None:
        """One worker, up to its ready line."""
        token, patience = secrets.token_urlsafe(32), self._patience
        environ = await asyncio.to_thread(worker_environment)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "afterbay.local.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **_MEMORY, **environ},
            start_new_session=True,  # a Ctrl-C at the terminal is for the gateway, which then ends its workers
        )
        self._process = process
        errors = self._errors = asyncio.create_task(_tail(process), name=f"stderr {self.model.id}")
        try:
            ready = await asyncio.wait_for(self._greet(process, token), patience.ready_s)
        except (TimeoutError, OSError, msgspec.MsgspecError) as error:
            await self._end()
            words = await asyncio.wait_for(errors, patience.kill_s)
            why = f"not ready after {patience.ready_s:g} s" if isinstance(error, TimeoutError) else "it ended at once"
            code = process.returncode
            raise EngineError(f"The worker of {self.model.id} did not start: {why} (exit {code}). {words}") from None
        except BaseException:
            await self._end()
            errors.cancel()
            raise
        self._port, self._token, self.load_s = ready.port, token, ready.load_s
        self._become("ready")

    async def _greet(self, process: asyncio.subprocess.Process, token: str) -> Ready:
        """Hands the configuration over and waits for the answer."""
        assert process.stdin and process.stdout  # noqa: S101, PT018  # pipes were asked for
        config = WorkerConfig(self.model.id, self._paths, token, os.getpid(), self.limits)
        process.stdin.write(msgspec.json.encode(config) + b"\n")
        await process.stdin.drain()
        return msgspec.json.decode(await process.stdout.readline(), type=Ready)

    async def _watch(self) -> None:
        """Waits for a crash and starts anew, later after each one in a row."""
        patience, row = self._patience, 0
        while True:
            since = time.monotonic()
            if self._process is not None:
                code = await self._process.wait()  # as long as it lives: no deadline
                self.last_error = f"The worker of {self.model.id} ended with {code}."
            row = 0 if time.monotonic() - since > patience.steady_s else row + 1
            if row > patience.crashes:
                self._become("failed")
                return
            self._become("restarting")
            await self._end()
            await asyncio.sleep(min(patience.backoff_s * 2 ** (row - 1) if row else 0, patience.backoff_most_s))
            self.restarts += 1
            try:
                await self._spawn()
            except EngineError as error:
                self.last_error = error.message

    async def _end(self) -> None:
        """Ends the process and its group, whatever state it is in."""
        process = self._process
        for number, deadline_s in ((signal.SIGTERM, self._patience.term_s), (signal.SIGKILL, self._patience.kill_s)):
            if process is None or process.returncode is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), deadline_s)
        if process is not None and process.stdin:
            process.stdin.close()
        self._process = None


async def _tail(process: asyncio.subprocess.Process) -> str:
    """Reads the worker's standard error for as long as it lives; returns its last words."""
    assert process.stderr  # noqa: S101  # the pipe was asked for
    last = b""
    while block := await process.stderr.read(4096):
        last = (last + block)[-_TAIL_BYTES:]
    return last.decode("utf-8", "replace").strip()
