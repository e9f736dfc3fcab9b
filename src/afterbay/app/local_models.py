"""The embedded models of this process: installed, started, restarted, and offered to the engine as upstreams."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from afterbay.config.snapshot import Provider
from afterbay.core.errors import GatewayError
from afterbay.core.secret import Secret
from afterbay.local.catalog import LocalModel, find
from afterbay.local.install import ensure
from afterbay.local.llama import EngineLimits
from afterbay.local.process import LocalEngine, State
from afterbay.ports import TransportError, Upstream, UpstreamResponse
from afterbay.providers.upstream import HttpUpstream

logger = logging.getLogger("afterbay.local")

Progress = Callable[[str, int, int], None]
"""(model, bytes done, bytes in all); called from another thread."""


class Wanted(msgspec.Struct, frozen=True):
    """A model that the configuration asks for, with the engine settings of its provider."""

    name: str
    provider: Provider


class Listening(Protocol):
    """Where a model listens now."""

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes."""

    @property
    def token(self) -> str:
        """The bearer token for it."""


class Models(Protocol):
    """The embedded models as a gateway sees them, whoever runs them."""

    @property
    def first_ready(self) -> asyncio.Event:
        """Set once a model that chats is ready."""

    def begin(self, wanted: list[Wanted]) -> None:
        """Begins to install and start these models."""

    async def started(self) -> None:
        """Returns when all models that were begun are ready or have failed."""

    def states(self) -> Mapping[str, str]:
        """What each model is doing."""

    def is_ready(self, name: str) -> bool:
        """Whether it answers now."""

    def upstream(self, provider: Provider, name: str) -> Upstream:
        """A model as the engine sees it."""

    async def close(self) -> None:
        """Ends everything that was begun."""


class LocalModels:
    """Owns the worker processes. `said` is told what happens, for people; `progress` of bytes installed."""

    def __init__(self, said: Callable[[str], None], progress: Progress | None = None) -> None:
        self._said = said
        self._progress = progress
        self._engines: dict[str, LocalEngine] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._done: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._stop = threading.Event()
        self._first_ready = asyncio.Event()

    @property
    def first_ready(self) -> asyncio.Event:
        """Set once a model that chats is ready."""
        return self._first_ready

    def begin(self, wanted: list[Wanted]) -> None:
        """Begins to install and start these models, one after another, the smallest first."""
        for one in wanted:
            self._start_soon(one, after=list(self._starting.values()))

    def want(self, one: Wanted) -> None:
        """Begins one more, now: somebody asks for it."""
        self._start_soon(one, after=[])

    def _start_soon(self, one: Wanted, after: list[asyncio.Task[None]]) -> asyncio.Task[None]:
        task = self._starting.get(one.name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._start(one, after), name=f"start {one.name}")
            self._starting[one.name] = task
        return task

    async def _start(self, one: Wanted, after: list[asyncio.Task[None]]) -> None:
        if after:
            await asyncio.wait(after)
        try:
            model, paths = await self._install(one.name)
            provider = one.provider
            limits = EngineLimits(provider.slots, model.slot_tokens, threads=provider.threads or 0)
            engine = LocalEngine(model, paths, limits, on_state=lambda state: self._changed(one.name, state))
            self._engines[one.name] = engine
            await engine.start()
        except GatewayError as error:
            self._failed[one.name] = error.text()
            logger.error("local model %s: %s", one.name, error.text())
        else:
            if model.kind == "chat":
                self._first_ready.set()
            self._said(f"{one.name} is ready (loaded in {engine.load_s or 0:.1f} s)")

    async def _install(self, name: str) -> tuple[LocalModel, tuple[Path, ...]]:
        """The model's description and its files."""
        model = find(name)
        installed = await asyncio.to_thread(ensure, model, self._noted, stop=self._stop)
        if any(source != "cache" for source in installed.sources):
            self._said(installed.notice)
        return model, installed.paths

    def _noted(self, name: str, done: int, total: int) -> None:
        self._done[name] = done / total if total else 1.0
        if self._progress is not None:
            self._progress(name, done, total)

    def _changed(self, name: str, state: State) -> None:
        """A worker that dies and comes back is worth a line."""
        if state in ("restarting", "failed"):
            logger.warning("local model %s: %s. %s", name, state, self._engines[name].last_error or "")
        elif state == "ready" and self._engines[name].restarts:
            logger.warning("local model %s: ready again", name)

    def states(self) -> Mapping[str, str]:
        """What each model is doing: `ready`, `starting`, `installing 45 %`, or why it failed."""
        return {name: self.state(name) for name in self._starting}

    def state(self, name: str) -> str:
        """What one model is doing."""
        if name in self._failed:
            return f"failed: {self._failed[name]}"
        engine = self._engines.get(name)
        if engine is not None:
            return engine.state
        done = self._done.get(name)
        return f"installing {done:.0%}" if done is not None and done < 1 else "starting"

    def is_ready(self, name: str) -> bool:
        """Whether it answers now."""
        engine = self._engines.get(name)
        return engine is not None and engine.state == "ready"

    async def started(self) -> None:
        """Returns when all models that were begun are ready or have failed."""
        if self._starting:
            await asyncio.wait(self._starting.values())

    def upstream(self, provider: Provider, name: str) -> EngineUpstream:
        """A model as the engine sees it. One that was not begun yet is begun by its first request."""
        return EngineUpstream(self, Wanted(name, provider))

    def engine(self, one: Wanted) -> LocalEngine:
        """The worker of a model that is ready.

        Raises:
            TransportError: it is not; it says what it is doing.
        """
        engine = self._engines.get(one.name)
        if engine is not None and engine.state == "ready":
            return engine
        self.want(one)
        raise not_ready(self.state(one.name))

    def listening(self, name: str) -> Listening | None:
        """Where a model listens; None: it is not ready."""
        engine = self._engines.get(name)
        return engine if engine is not None and engine.state == "ready" else None

    async def close(self) -> None:
        """Ends everything that was begun."""
        self._stop.set()
        for task in self._starting.values():
            task.cancel()
        if self._starting:
            await asyncio.wait(self._starting.values(), timeout=5)
        await asyncio.gather(*(engine.stop() for engine in self._engines.values()), return_exceptions=True)


def not_ready(state: str) -> TransportError:
    """What a request for a model is told that is not ready: what it is doing."""
    retry = None if state.startswith("failed") else 2.0
    code = "local_model_failed" if retry is None else None
    return TransportError(f"the local model is {state}", connected=False, retry_after_s=retry, code=code)


class Engines(Protocol):
    """Who knows where a model listens."""

    def engine(self, one: Wanted) -> Listening:
        """Where it listens now.

        Raises:
            TransportError: it is not ready.
        """


class EngineUpstream:
    """Implements `ports.Upstream` for one embedded model. A restarted worker listens elsewhere, so it is looked up."""

    def __init__(self, models: Engines, one: Wanted) -> None:
        self._models = models
        self._one = one
        self._http: HttpUpstream | None = None
        self._address = ""

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> UpstreamResponse:
        """See `afterbay.ports.Upstream.post`."""
        engine = self._models.engine(self._one)
        if self._http is None or engine.base_url != self._address:
            await self.close()
            self._address = engine.base_url
            provider = msgspec.structs.replace(
                self._one.provider, base_url=self._address, keys=(Secret(engine.token),), concurrent=None
            )
            self._http = HttpUpstream(provider)
        return await self._http.post(path, body, headers, connect_s)

    async def close(self) -> None:
        """Ends the connections; the worker stays."""
        http, self._http = self._http, None
        if http is not None:
            with contextlib.suppress(OSError):
                await http.close()
