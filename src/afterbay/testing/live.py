"""A real gateway on a free port of loopback, for tests: of this package, and of programs that use it.

    with LiveGateway({"providers": {...}, "models": {...}}) as gateway:
        client = openai.OpenAI(base_url=gateway.url + "/v1", api_key="any")
        ...
        assert gateway.records()[-1].outcome == "ok"

It runs in a thread with an event loop of its own, with a temporary database, and sees no environment but the one it is
given: no key of yours is found, so nothing is spent by accident.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec
import uvicorn
import yaml

from afterbay.app.gateway import RunningGateway
from afterbay.app.server import http_server, listen, new_loop
from afterbay.config.watch import Loaded, load_snapshot
from afterbay.core.decision import Record
from afterbay.policy.rights import Rights
from afterbay.store.database import open_database
from afterbay.store.keyform import NewKey
from afterbay.store.reading import SqliteReading
from afterbay.testing.stream_watch import StreamWatch

START_S = 20.0
STOP_S = 20.0
_POLL_S = 0.005
_RECORDS = 100_000

T = TypeVar("T")


class LiveGateway:
    """A running gateway, as a context manager. `url` has no version in it.

    config        a document as in `afterbay.yaml`, a file, or None: what `environ` brings
    environ       what `${VARIABLE}` and the search for keys see
    local_models  whether models of the embedded engine are installed and started

    `watch` checks every stream by the grammar of its client's protocol; leaving the block fails with what is wrong.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | Path | None,
        environ: Mapping[str, str] | None = None,
        local_models: bool = False,
    ) -> None:
        self.url = ""
        self.said: list[str] = []
        self.watch = StreamWatch()
        self._folder = tempfile.TemporaryDirectory(prefix="afterbay-live-", ignore_cleanup_errors=True)
        self._path = Path(self._folder.name)
        self._database = f"sqlite:///{self._path / 'live.db'}"
        self._config = config
        self._environ = dict(environ or {})
        self._local_models = local_models
        self._gateway: RunningGateway | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._failed: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live gateway", daemon=True)

    def __enter__(self) -> LiveGateway:
        self._thread.start()
        if not self._ready.wait(START_S):
            raise TimeoutError(f"the gateway did not start within {START_S:g} s")
        if self._failed is not None:
            self._thread.join(STOP_S)
            self._folder.cleanup()
            raise self._failed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is None and self.watch.broken:
            raise AssertionError("streams break their grammar:\n" + "\n".join(self.watch.broken))

    @property
    def gateway(self) -> RunningGateway:
        """The gateway itself. It lives in another thread: see `call`."""
        assert self._gateway is not None, "the gateway is not started"  # noqa: S101
        return self._gateway

    def call(self, ask: Callable[[RunningGateway], Awaitable[T]], within_s: float = 10.0) -> T:
        """What `ask(gateway)` returns, run in the gateway's own event loop.

        Raises:
            TimeoutError: it took longer.
        """
        assert self._loop is not None, "the gateway is not started"  # noqa: S101

        async def run() -> T:
            return await ask(self.gateway)

        future = asyncio.run_coroutine_threadsafe(run(), self._loop)
        try:
            return future.result(within_s)
        except FutureTimeout:
            future.cancel()
            raise

    def reload(self, config: Mapping[str, Any] | str | None = None) -> str:
        """Writes another configuration (a document, or the text of a file) and loads it; None: only loads it.

        Raises:
            ConfigError: it is not right; the gateway goes on with the one before.
        """
        if config is not None:
            assert self.gateway.loaded.path is not None, "without a file there is nothing to change"  # noqa: S101
            text = config if isinstance(config, str) else yaml.safe_dump(dict(config), allow_unicode=True)
            self.gateway.loaded.path.write_text(text, encoding="utf-8")
        return self.call(lambda gateway: gateway.reload())

    def create_key(self, name: str, models: tuple[str, ...] = ()) -> NewKey:
        """Makes a virtual key. From the first one on, requests without a key are refused."""
        return self.gateway.keys.create(name, Rights(models=frozenset(models) or None))

    def records(self, at_least: int = 0, within_s: float = 5.0) -> list[Record]:
        """Everything in the request log, oldest first.

        A record is written after the last byte of its answer: `at_least` waits until there are so many.

        Raises:
            TimeoutError: there are not, after `within_s`.
        """
        end_s = time.monotonic() + within_s
        reading = SqliteReading(open_database(self._database))
        while True:
            self.gateway.log.flush()
            found = [row.record for row in reading.last(_RECORDS)]
            if len(found) >= at_least:
                return found
            if time.monotonic() > end_s:
                raise TimeoutError(f"{len(found)} records after {within_s:g} s, not {at_least}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Begins a graceful stop, as SIGTERM does: no new connections, streams may end. `close` waits for it."""
        if self._server is not None:
            self._server.should_exit = True

    def close(self, within_s: float = STOP_S) -> None:
        """Stops and removes everything. What is still open after half the time is cut.

        Raises:
            TimeoutError: it did not stop.
        """
        self.stop()
        self._thread.join(within_s / 2)
        if self._thread.is_alive() and self._server is not None:
            self._server.force_exit = True
            self._thread.join(within_s / 2)
        if self._thread.is_alive():
            raise TimeoutError(f"the gateway did not stop within {within_s:g} s")
        self._folder.cleanup()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:  # the thread's root: the starter is told
            self._failed = error
        finally:
            self._ready.set()

    def _load(self) -> Loaded:
        path = self._config if isinstance(self._config, Path) else None
        if path is None and self._config is not None:
            path = self._path / "afterbay.yaml"
            path.write_text(yaml.safe_dump(dict(self._config), allow_unicode=True), encoding="utf-8")  # type: ignore[arg-type]  # a Path was handled above
        loaded = load_snapshot(path, {"HOME": self._folder.name, **self._environ}, self._path)
        state = msgspec.structs.replace(loaded.snapshot.state, database=self._database)
        return msgspec.structs.replace(loaded, snapshot=msgspec.structs.replace(loaded.snapshot, state=state))

    async def _serve(self) -> None:
        gateway = RunningGateway(self._load(), self._environ, said=self.said.append, wrap=self.watch, seed=1)
        try:
            gateway.start(local_models=self._local_models)
            sock = listen("127.0.0.1", 0)
            self._server = server = http_server(gateway)
            server.config.app = self.watch.application(gateway.application)
            self._gateway, self._loop = gateway, asyncio.get_running_loop()
            self.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
            with contextlib.closing(sock):
                self._ready.set()
                await server.serve(sockets=[sock])
        finally:
            await gateway.close()
