"""A worker: one data-plane process of several. It does what `Server` does, and what the control process says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec

from afterbay.app.connection import BoundedProtocol
from afterbay.app.door import Counts, Door
from afterbay.app.gateway import RunningGateway, Wrap
from afterbay.app.key_changes import KeyChanges
from afterbay.app.line import (
    AskFigures,
    Begin,
    Decide,
    Decided,
    End,
    Figures,
    KeysRead,
    Leaving,
    Line,
    LocalModelsAre,
    Prepare,
    Prepared,
    ReadKeys,
    Ready,
    Serving,
    WantModel,
)
from afterbay.app.peers import Application, Peers, Visits, socket_of
from afterbay.app.server import TICK_S, LeavingServer, collect_seldom, http_config, new_loop
from afterbay.app.shared_models import SharedModels
from afterbay.config.problem import ConfigError
from afterbay.config.snapshot import Snapshot
from afterbay.config.watch import Changed, Loaded, load_source, state_from_json
from afterbay.core.errors import Capacity

logger = logging.getLogger("afterbay.app")

ALONE_S: Final = 0.25
"""After a signal it waits so long whether the control process ends everything; else it leaves alone."""
READY_S: Final = 0.1
"""How often it is looked whether a target can be asked."""
ANSWER_S: Final = 3.0
"""So long the control process may take for what it asks all workers."""


class WorkerServer(LeavingServer):
    """Leaves as a gateway alone does, where all leave.

    Who leaves alone shuts its door first, for the others are there, and serves what still comes over the connections
    that it has, each to its next answer. So nobody is refused, and no health check hears of it.
    """

    def __init__(
        self, gateway: RunningGateway, application: Application, begin: Begin, line: Line, listening: socket.socket
    ) -> None:
        folder, streams = Path(begin.folder), gateway.context.streams
        peers = Peers(application, streams, folder, begin.number)
        super().__init__(http_config(gateway, peers), gateway, logger.info)
        self._counts = Counts(folder / "connections", begin.workers)
        self._door = Door(listening, self._counts, begin.place)
        self.server_state.connections = self._door.connections
        self._line, self._listening, self._number = line, listening, begin.number
        self._peers_at = socket_of(folder, begin.number)
        self._visits = http_config(gateway, Visits(gateway.application, streams))
        self._signals = 0
        self._is_told = self._is_alone = False
        self.is_left_behind = False
        """Whether the control process ended before this one."""
        self._gateway = gateway
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came to this process. If it came to all, the control process will say so in a moment."""
        self._signals += 1
        if self._signals > 1:
            self.leave_alone(sig)
        elif self._signals == 1:
            self._loop.call_soon_threadsafe(self._loop.call_later, ALONE_S, self.leave_alone, sig)

    def end(self, sig: int) -> None:
        """The control process ends everything; the second time, at once."""
        if self._is_told or not self.should_exit:
            super().handle_exit(sig, None)
        self._is_told = True

    def leave_alone(self, sig: int) -> None:
        """Only this process ends: the others take what comes."""
        if not self._is_told:
            self._is_alone = True
            self._door.close()
            self.force_exit, self.should_exit = self.should_exit, True

    def leave_behind(self) -> None:
        """The control process has ended. Nobody is to wait in the queue, and whoever listens next needs the address."""
        self.is_left_behind = True
        if not self.should_exit:
            self.leave_alone(signal.SIGTERM)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Overrides uvicorn's: listens for the others, then opens the door."""
        await super().startup(sockets=[])
        self._visits.load()
        self.servers.append(await asyncio.get_running_loop().create_unix_server(self._visit, str(self._peers_at)))
        self._door.open(self.protocol)
        self._line.send(Serving())

    def _visit(self) -> asyncio.Protocol:
        return BoundedProtocol(config=self._visits, server_state=self.server_state, app_state=self.lifespan.state)

    async def linger(self) -> None:
        """Overrides the gateway's: who leaves alone waits until its connections have ended."""
        if not self._is_alone:
            await super().linger()
            return
        if self.is_left_behind:
            await super().shut_door([self._listening])
        else:
            self._listening.close()
        due_s = self._loop.time() + float(self._gateway.snapshot.limits.drain)
        while not (self._is_told or self.is_left_behind) and self._loop.time() < due_s and not self.force_exit:
            self.end_idle()
            if not self.server_state.connections:
                break
            await self.wait(TICK_S)

    def tell_leaving(self, in_flight: int, most_s: float) -> None:
        """Says that it ends, and what is still to be done."""
        self._line.send(Leaving(in_flight))

    async def shut_door(self, sockets: list[socket.socket]) -> None:
        """Stops listening. Who still waits is let in where nobody else is there to do that."""
        self._door.close()
        with contextlib.suppress(FileNotFoundError):
            self._peers_at.unlink()
        if self._listening.fileno() >= 0:
            await super().shut_door([self._listening] if self._is_told else [])
        self._listening.close()


def share_of(snapshot: Snapshot, place: int, workers: int) -> Snapshot:
    """A configuration with this worker's share of what providers take at once; each has one at least."""
    providers = dict(snapshot.providers)
    for name, provider in providers.items():
        if provider.concurrent is not None:
            own = max(1, provider.concurrent // workers + (place < provider.concurrent % workers))
            providers[name] = msgspec.structs.replace(provider, concurrent=own)
    return msgspec.structs.replace(snapshot, providers=providers)


class Worker:
    """What runs in a worker's process, from the first word of the control process to the end."""

    def __init__(self, environ: Mapping[str, str], line: Line, begin: Begin, wrap: Wrap | None) -> None:
        self._environ, self._line, self._begin = environ, line, begin
        self._prepared: Loaded | None = None
        self._asked = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._reading: set[asyncio.Task[None]] = set()
        self.models = SharedModels(lambda provider, model: line.send(WantModel(provider, model)))
        loaded = self._load(begin)
        self.gateway = RunningGateway(
            loaded,
            environ,
            said=logger.info,
            wrap=wrap,
            local=self.models,
            worker=begin.number,
            figures=self._all_figures,
        )
        sock = socket.socket(fileno=begin.listen)
        listening = socket.socket(sock.family, sock.type, socket.IPPROTO_TCP, fileno=sock.detach())
        application = KeyChanges(self.gateway.application, self._spread_keys)
        self.server = WorkerServer(self.gateway, application, begin, line, listening)

    async def run(self) -> None:
        """Serves until it is told to end, or the control process has ended."""
        loop = asyncio.get_running_loop()
        self.gateway.start()
        collect_seldom()
        tasks = [loop.create_task(self._listen(), name="line"), loop.create_task(self._say_ready(), name="say ready")]
        try:
            await self.server.serve()
        finally:
            for task in tasks[1:]:
                task.cancel()
            await self.gateway.close()
            self._line.send(Figures(0, self.gateway.metrics.render()))
            tasks[0].cancel()
            await asyncio.wait(tasks, timeout=1)
            if self.server.is_left_behind:
                _remove(Path(self._begin.folder))

    def _load(self, said: Begin | Prepare) -> Loaded:
        loaded = load_source(said.source, self._environ)
        snapshot = share_of(loaded.snapshot, self._begin.place, self._begin.workers)
        snapshot = msgspec.structs.replace(snapshot, state=state_from_json(self._begin.state))
        return msgspec.structs.replace(loaded, snapshot=snapshot)

    async def _say_ready(self) -> None:
        while self.gateway.why_not_ready() is not None:  # noqa: ASYNC110  # several things make it ready
            await asyncio.sleep(READY_S)
        self._line.send(Ready())

    async def _listen(self) -> None:
        while (message := await self._line.receive()) is not None:
            match message:
                case Prepare():
                    self._line.send(await self._prepare(message))
                case Decide(adopt):
                    await self._decide(adopt)
                case LocalModelsAre(models):
                    self.models.learn(models)
                case AskFigures(number):
                    self._line.send(Figures(number, self.gateway.metrics.render()))
                case Figures(number, text):
                    self._answered(number, text)
                case KeysRead(number):
                    self._answered(number, None)
                case ReadKeys(number):
                    task = asyncio.get_running_loop().create_task(self._read_keys(number), name="read keys")
                    self._reading.add(task)
                    task.add_done_callback(self._reading.discard)
                case End(number):
                    self.server.end(number)
                case _:
                    pass
        logger.error("the control process has ended: this worker takes nothing new, and ends")
        self.server.leave_behind()

    async def _prepare(self, message: Prepare) -> Prepared:
        try:
            self._prepared = await asyncio.to_thread(self._load, message)
        except (ConfigError, Changed) as error:
            return Prepared(str(error))
        return Prepared()

    async def _decide(self, adopt: bool) -> None:
        loaded, self._prepared = self._prepared, None
        if adopt and loaded is not None:
            await self.gateway.adopt(loaded)
            self._line.send(Decided())

    async def _all_figures(self) -> bytes:
        """The metrics of all workers.

        Raises:
            Capacity: the control process does not answer in time. Less than all would look like a restart.
        """
        try:
            text: bytes = await self._ask(AskFigures)
            return text
        except TimeoutError:
            raise Capacity(
                "The control process does not answer in time.", code="overloaded", retry_after_s=1.0
            ) from None

    async def _spread_keys(self) -> None:
        """Keys were changed here: returns when all workers know it. One that does not say so finds out by itself."""
        try:
            await self._ask(ReadKeys)
        except TimeoutError:
            logger.warning("the control process does not say that all workers know of a change of keys")

    async def _read_keys(self, number: int) -> None:
        """Somebody else changed keys."""
        try:
            await asyncio.to_thread(self.gateway.keys.refresh_if_changed)
        except sqlite3.Error as trouble:
            logger.warning("the keys could not be read again: %s; it is tried again in a moment", trouble)
        self._line.send(KeysRead(number))

    async def _ask(self, question: type[AskFigures] | type[ReadKeys]) -> Any:
        """What the control process answers.

        Raises:
            TimeoutError: nothing, in time.
        """
        self._asked += 1
        number = self._asked
        wanted = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            self._line.send(question(number))
            return await asyncio.wait_for(wanted, ANSWER_S)
        finally:
            del self._answers[number]

    def _answered(self, number: int, answer: bytes | None) -> None:
        if (wanted := self._answers.get(number)) is not None and not wanted.done():
            wanted.set_result(answer)


def _remove(folder: Path) -> None:
    """Removes the gateway's private folder, which nobody else does any more, if this is the last worker in it."""
    with contextlib.suppress(OSError):  # not empty: another one is left, which will do it
        if not any(folder.glob("worker-*.sock")):
            (folder / "connections").unlink(missing_ok=True)
            folder.rmdir()


def run_worker(descriptor: int, environ: Mapping[str, str], wrap: Callable[[Begin], Wrap | None]) -> None:
    """Runs a worker whose line to the control process is this descriptor."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the control process reloads, for all
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_run(descriptor, environ, wrap))


async def _run(descriptor: int, environ: Mapping[str, str], wrap: Callable[[Begin], Wrap | None]) -> None:
    line = await Line.open(socket.socket(fileno=descriptor))
    begin = await line.receive()
    if isinstance(begin, Begin):
        await Worker(environ, line, begin, wrap(begin)).run()
    await line.close()
