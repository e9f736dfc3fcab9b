"""The control process: it binds the socket, starts the workers, and sees to it that they behave as one gateway.

    control process ──line──> worker 0, 1, ...     each takes connections from the one socket
      │  configuration, signals, metrics of all
      └──> local models, which all workers ask

A worker is a program of its own (no copy of a running one), with the socket inherited. One that dies is replaced, and
so is one that leaves; each gets a number of its own, which is in the ids of its requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from afterbay.app.door import Counts
from afterbay.app.gateway import wanted_models
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
    LocalModel,
    LocalModelsAre,
    Message,
    Prepare,
    Prepared,
    ReadKeys,
    Ready,
    Serving,
    ToWorker,
    WantModel,
)
from afterbay.app.local_models import LocalModels, Progress, Wanted
from afterbay.app.peers import socket_of
from afterbay.app.server import address, check_keys, new_loop, stopping
from afterbay.app.shared_models import told
from afterbay.config.problem import ConfigError
from afterbay.config.watch import Loaded, Source, read_source, state_to_json
from afterbay.core.errors import GatewayError
from afterbay.core.ids import WORKERS
from afterbay.store.database import Database, open_database
from afterbay.store.keys import SqliteKeys
from afterbay.store.recovery import take_over
from afterbay.telemetry.metrics import Metrics
from afterbay.telemetry.summed import Summed

logger = logging.getLogger("afterbay.app")

FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S = 0.5, 30.0, 60.0
"""Before a worker is replaced: nothing for one that lived for `STEADY_S`; else longer with each that did not."""
PREPARE_S: Final = 20.0
"""So long a worker may take to prepare a configuration."""
FIGURES_S: Final = 1.0
"""So long a worker may take to say its metrics; after that its last word counts."""
KEYS_S: Final = 1.0
"""So long a worker may take to read the keys again; after that it is not waited for."""
LEAVING_S: Final = 0.5
"""So long it is waited for what workers have in flight, to say it in one line."""
HURRIED_S: Final = 15.0
"""So long workers have after a second signal. Longer than one takes that works."""
MODELS_S: Final = 0.25
"""How often workers are told how the local models do."""
LOOK_S: Final = 10.0
"""How often workers are asked for their metrics: what one said last is what stays of it when it dies."""
STUCK_S: Final = 60.0
"""A worker that says nothing for so long is killed: its clients would wait for ever."""
SOCKET_CHARS: Final = 80
"""Longest folder in which a socket can have a name (`sun_path` of unix(7), and 104 bytes on macOS)."""


class WorkerFailed(GatewayError):
    """A worker did not come up."""


class _Process:
    """A worker, as the control process knows it."""

    def __init__(self, number: int, place: int, process: asyncio.subprocess.Process, line: Line) -> None:
        self.number, self.place, self.process, self.line = number, place, process, line
        self.since_s = self.heard_s = time.monotonic()
        self.serving, self.ready = asyncio.Event(), asyncio.Event()
        self.leaving, self.ended = asyncio.Event(), asyncio.Event()
        self.in_flight: int | None = None
        """What it had in flight as it began to leave; None: it does not leave."""
        self.prepared: asyncio.Future[Prepared] | None = None
        self.decided: asyncio.Future[None] | None = None
        self.figures: asyncio.Future[None] | None = None
        self.reads: dict[int, asyncio.Future[None]] = {}
        """What it was told to read the keys for, by number."""

    def send(self, message: ToWorker) -> None:
        if not self.ended.is_set():
            self.line.send(message)


class Control:
    """A gateway of `count` workers. `program` is what runs one, but for its number and the descriptor of its line."""

    def __init__(
        self,
        environ: Mapping[str, str],
        sock: socket.socket,
        said: Callable[[str], None],
        progress: Progress,
        program: Sequence[str],
        count: int,
        record: Path | None = None,
        replay: Path | None = None,
    ) -> None:
        self._environ, self._sock, self._said = environ, sock, said
        self._progress, self._program, self._count = progress, tuple(program), count
        self._record, self._replay = record, replay
        self._workers: dict[int, _Process] = {}
        self._next = 0
        self._row = 0
        self._signals = 0
        self._is_up = self._is_ready = False
        self._failed: WorkerFailed | None = None
        self._over = asyncio.Event()
        self._hup = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._metrics, self._summed = Metrics(), Summed()
        self._readings = 0
        self._models_told: dict[str, LocalModel] = {}

    def run(self, loaded: Loaded, source: Source) -> None:
        """Serves until a signal says otherwise.

        Raises:
            CannotListen: others could reach it, and no key exists. WorkerFailed: a worker does not come up.
        """
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._run(loaded, source))

    async def _run(self, loaded: Loaded, source: Source) -> None:
        self._loaded, self._source = loaded, source
        self._state = state_to_json(loaded.snapshot.state)  # it changes only with a restart, and a worker's is none
        host, port = self._sock.getsockname()[:2]
        self._address = address(host, port)
        self._check(host)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._hup.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)
        self._models = LocalModels(self._said, self._progress)
        with tempfile.TemporaryDirectory(prefix="afterbay-", dir=_place(), ignore_cleanup_errors=True) as folder:
            self._folder = Path(folder)
            self._counts = Counts(self._folder / "connections", self._count)
            try:
                if self._replay is None:
                    self._models.begin(wanted_models(loaded.snapshot))
                    self._own(self._tell_models(), "tell of local models")
                for place in range(self._count):
                    await self._start(place)
                self._own(self._reload_on(), "reload")
                self._own(self._look_after(), "look after workers")
                await self._over.wait()
            finally:
                await self._close()
        if self._failed is not None:
            raise self._failed

    def _check(self, host: str) -> None:
        """Looks for what would keep every worker from serving, and brings the database to its newest form once."""
        self._database = open_database(self._loaded.snapshot.state.database)
        self._file = _identity(self._database)
        keys = SqliteKeys(self._database)
        try:
            check_keys(keys, host, self._said)
        finally:
            keys.close()
        self._say_shares()

    def _say_shares(self) -> None:
        """A provider that takes fewer requests at once than there are workers gets one from each all the same."""
        for provider in self._loaded.snapshot.providers.values():
            if provider.concurrent is not None and provider.concurrent < self._count:
                self._said(
                    f"provider '{provider.name}' may be asked {self._count} requests at once, one by each worker: "
                    f"`concurrent: {provider.concurrent}` is less than there are workers"
                )

    # Starting and replacing

    async def _start(self, place: int) -> None:
        number = self._new_number()
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(*self._program, str(number), str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), self._sock.fileno()),
                start_new_session=True,  # a Ctrl-C at the terminal is for the control process, which then ends all
                env=dict(self._environ),
            )
        worker = _Process(number, place, process, await Line.open(ours))
        self._workers[number] = worker
        worker.send(
            Begin(
                number,
                place,
                self._count,
                self._sock.fileno(),
                str(self._folder),
                self._source,
                self._state,
                None if self._record is None else str(self._record),
                None if self._replay is None else str(self._replay),
            )
        )
        if self._models_told:
            worker.send(LocalModelsAre(self._models_told))
        if self._signals:
            worker.send(End(signal.SIGTERM))
        self._own(self._watch(worker), f"worker {number}")

    def _new_number(self) -> int:
        """One that no worker has, and that none had for as long as that can be."""
        while self._next % WORKERS in self._workers:
            self._next += 1
        self._next += 1
        return (self._next - 1) % WORKERS

    def _check_file(self) -> None:
        """Whether the database is the one that the gateway began with.

        A worker would make one that is not there, without keys: and then it would let in everybody.

        Raises:
            OSError: it is another one, or none.
        """
        if _identity(self._database) != self._file:
            raise FileNotFoundError(f"the database {self._database.path} was removed or replaced under the gateway")

    async def _start_again(self, place: int) -> None:
        """Starts a worker that takes another one's place, as soon as the system has room for one."""
        pause_s = FIRST_PAUSE_S
        while not self._signals:
            try:
                self._check_file()
                await self._start(place)
                break
            except OSError as error:
                logger.error("no worker can be started now: %s; it is tried again in %g s", error, pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _watch(self, worker: _Process) -> None:
        """Hears what a worker says, until it has ended; then sees to another one."""
        try:
            while (message := await worker.line.receive()) is not None:
                self._hear(worker, message)
        except GatewayError as error:
            logger.error("worker %d: %s", worker.number, error.text())
            worker.process.kill()
        code = await worker.process.wait()
        worker.ended.set()
        worker.leaving.set()
        del self._workers[worker.number]
        self._summed.bury(worker.number)
        for wanted in (worker.prepared, worker.decided, worker.figures, *worker.reads.values()):
            if wanted is not None and not wanted.done():
                wanted.cancel()
        await worker.line.close()
        with contextlib.suppress(FileNotFoundError):
            socket_of(self._folder, worker.number).unlink()
        await self._take_over()
        if self._signals:
            if not self._workers:
                self._over.set()
        elif worker.in_flight is None or not self._is_up:
            await self._replace(worker, code)

    async def _take_over(self) -> None:
        """Writes what the journals of workers that are gone have, and gives back what they had leased."""
        try:
            self._check_file()
            await asyncio.to_thread(take_over, self._database, time.time())
        except (OSError, sqlite3.Error) as trouble:
            logger.error("what a worker left is not in the database yet: %s; the others try again", trouble)

    async def _replace(self, worker: _Process, code: int) -> None:
        """A worker died."""
        self._counts.clear(worker.place)
        if not self._is_up:
            self._failed = WorkerFailed(
                f"Worker {worker.number} ended before all were ready ({_how(code)}).",
                remedy="What it wrote is above.",
            )
            self._over.set()
            return
        self._row = 0 if time.monotonic() - worker.since_s > STEADY_S else self._row + 1
        pause_s = min(FIRST_PAUSE_S * 2 ** (self._row - 2), LONGEST_PAUSE_S) if self._row > 1 else 0.0
        after = f"after {pause_s:g} s " if pause_s else ""
        logger.error(
            "worker %d (process %d) died (%s); %sanother one is started",
            worker.number,
            worker.process.pid,
            _how(code),
            after,
        )
        await asyncio.sleep(pause_s)
        await self._start_again(worker.place)

    async def _look_after(self) -> None:
        """Asks workers for their metrics, and kills one that has not said anything for too long."""
        while True:
            await asyncio.sleep(LOOK_S)
            for worker in list(self._workers.values()):
                if time.monotonic() - worker.heard_s > STUCK_S:
                    logger.error("worker %d says nothing for %g s: it is killed", worker.number, STUCK_S)
                    worker.process.kill()
                else:
                    worker.send(AskFigures(0))

    # What workers say

    def _hear(self, worker: _Process, message: Message) -> None:
        worker.heard_s = time.monotonic()
        match message:
            case Serving():
                worker.serving.set()
                self._say_how_far()
            case Ready():
                worker.ready.set()
                self._say_how_far()
            case Prepared():
                _resolve(worker.prepared, message)
            case Decided():
                _resolve(worker.decided, None)
            case Figures():
                self._summed.tell(worker.number, message.text)
                _resolve(worker.figures, None)
            case AskFigures():
                self._own(self._answer_figures(worker, message.number), "figures")
            case ReadKeys():
                self._own(self._spread_keys(worker, message.number), "spread keys")
            case KeysRead():
                _resolve(worker.reads.get(message.number), None)
            case WantModel():
                self._want(message)
            case Leaving():
                self._left(worker, message.in_flight)
            case _:
                pass

    def _say_how_far(self) -> None:
        """Says once that all workers take connections, and once that all can ask somebody."""
        workers = self._workers.values()
        if self._signals or len(workers) < self._count:
            return
        if not self._is_up and all(one.serving.is_set() for one in workers):
            self._is_up = True
            self._said(f"listening on {self._address} ({self._count} workers)")
        if self._is_up and not self._is_ready and all(one.ready.is_set() for one in workers):
            self._is_ready = True
            self._said("ready")

    def _left(self, worker: _Process, in_flight: int) -> None:
        worker.in_flight = in_flight
        worker.leaving.set()
        if not self._signals and self._is_up:
            logger.warning("worker %d ends by a signal of its own; another one is started", worker.number)
            self._own(self._start_again(worker.place), "start a worker")

    async def _answer_figures(self, asking: _Process, number: int) -> None:
        """Gives one worker the metrics of all."""
        loop = asyncio.get_running_loop()
        wanted: list[asyncio.Future[None]] = []
        for worker in self._workers.values():
            if worker.serving.is_set():
                if worker.figures is None or worker.figures.done():
                    worker.figures = loop.create_future()
                    worker.send(AskFigures(0))
                wanted.append(worker.figures)
        if wanted:
            await asyncio.wait(wanted, timeout=FIGURES_S)
        self._summed.tell(-1, self._metrics.render())
        asking.send(Figures(number, await asyncio.to_thread(self._summed.render)))

    async def _spread_keys(self, changing: _Process, number: int) -> None:
        """Lets the other workers read the keys again, and says to the one that changed them when all have."""
        loop = asyncio.get_running_loop()
        self._readings += 1
        reading, others = self._readings, [one for one in self._workers.values() if one is not changing]
        for worker in others:
            worker.reads[reading] = loop.create_future()
            worker.send(ReadKeys(reading))
        if others:
            await asyncio.wait([worker.reads[reading] for worker in others], timeout=KEYS_S)
        for worker in others:
            del worker.reads[reading]
        changing.send(KeysRead(number))

    def _want(self, message: WantModel) -> None:
        provider = self._loaded.snapshot.providers.get(message.provider)
        if provider is not None and provider.is_embedded and self._replay is None:
            self._models.want(Wanted(message.model, provider))

    async def _tell_models(self) -> None:
        """Tells workers how the local models do, when that changes."""
        while True:
            now = told(self._models)
            if now != self._models_told:
                self._models_told = now
                self._tell_all(LocalModelsAre(now))
            await asyncio.sleep(MODELS_S)

    # Another configuration

    async def _reload_on(self) -> None:
        while True:
            await self._hup.wait()
            self._hup.clear()
            try:
                self._said("reload: " + await self._reload())
            except ConfigError as error:
                logger.error("reload refused, the old configuration stays: %s", error)
            except WorkerFailed as error:
                logger.error("reload failed, the old configuration stays: %s", error.text())
            except Exception:
                logger.exception("reload failed, the old configuration stays")

    async def _reload(self) -> str:
        """Puts another configuration in force, in all workers or in none. Returns what happened, as a sentence.

        Raises:
            ConfigError: the file is not right. WorkerFailed: a worker cannot use it.
        """
        try:
            loaded, source = await asyncio.to_thread(read_source, self._loaded.path, self._environ)
            if loaded.snapshot.hash != self._loaded.snapshot.hash:
                await self._prepare(source)
        except Exception:
            self._metrics.reloaded(ok=False)
            raise
        self._metrics.reloaded(ok=True)
        old = self._loaded.snapshot
        if loaded.snapshot.hash == old.hash:
            return "the configuration did not change"
        self._loaded, self._source = loaded, source
        if self._replay is None:
            self._models.begin(wanted_models(loaded.snapshot))
        await self._adopt()
        self._say_shares()
        note = "; `state` changes only with a restart" if loaded.snapshot.state != old.state else ""
        return f"configuration {loaded.snapshot.hash[:12]} is in force{note}"

    async def _prepare(self, source: Source) -> None:
        """Lets all workers prepare a configuration.

        Raises:
            WorkerFailed: one of them cannot. None of them uses it then.
        """
        loop, asked = asyncio.get_running_loop(), list(self._workers.values())
        for worker in asked:
            worker.prepared = loop.create_future()
            worker.send(Prepare(source))
        answers = [worker.prepared for worker in asked if worker.prepared is not None]
        if answers:
            await asyncio.wait(answers, timeout=PREPARE_S)
        for worker, answer in zip(asked, answers, strict=True):
            if worker.ended.is_set() or answer.cancelled():
                continue  # its successor gets what is in force then
            trouble = answer.result().trouble if answer.done() else f"no answer within {PREPARE_S:g} s"
            if trouble is not None:
                self._tell_all(Decide(adopt=False))
                raise WorkerFailed(f"Worker {worker.number} cannot use the configuration: {trouble}.")

    async def _adopt(self) -> None:
        loop, asked = asyncio.get_running_loop(), list(self._workers.values())
        for worker in asked:
            if worker.prepared is None:  # it was started meanwhile, with the one before
                worker.send(Prepare(self._source))
            worker.decided = loop.create_future()
            worker.send(Decide(adopt=True))
        waits = [worker.decided for worker in asked if worker.decided is not None]
        if waits:
            await asyncio.wait(waits, timeout=PREPARE_S)
        for worker in asked:
            worker.prepared = None
            if worker.decided is not None and not worker.decided.done():
                logger.error("worker %d did not take the configuration: it is killed", worker.number)
                worker.process.kill()  # another one takes its place, with what is in force

    # The end

    def _end(self, number: int) -> None:
        """A signal came: the first one begins the end, the next one hurries it."""
        self._signals += 1
        self._sock.close()  # the workers have it, and the last of them sees to who waits
        self._tell_all(End(number))
        if not self._workers:
            self._over.set()
        elif self._signals == 1:
            self._own(self._say_leaving(), "say what is in flight")
        elif self._signals == 2:
            self._own(self._hurry(), "hurry")

    async def _say_leaving(self) -> None:
        """One line for all workers."""
        workers = list(self._workers.values())
        tells = [asyncio.ensure_future(one.leaving.wait()) for one in workers]
        await asyncio.wait(tells, timeout=LEAVING_S)
        for tell in tells:
            tell.cancel()
        if in_flight := sum(one.in_flight or 0 for one in workers):
            self._said(stopping(in_flight, float(self._loaded.snapshot.limits.drain)))

    async def _hurry(self) -> None:
        await asyncio.sleep(HURRIED_S)
        for worker in self._workers.values():
            logger.error("worker %d does not end: it is killed", worker.number)
            worker.process.kill()

    async def _close(self) -> None:
        """Ends what is left, however it came to that."""
        self._signals += 1
        workers = list(self._workers.values())
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                worker.process.kill()
        if workers:
            await asyncio.wait([asyncio.ensure_future(one.ended.wait()) for one in workers], timeout=5)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        await self._models.close()
        self._counts.close()

    def _tell_all(self, message: ToWorker) -> None:
        for worker in self._workers.values():
            worker.send(message)

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the control process made a mistake (%s)", task.get_name(), exc_info=error)


def _place() -> str | None:
    """Where the private folder is made; None: where temporary files are."""
    return "/tmp" if len(tempfile.gettempdir()) > SOCKET_CHARS else None  # noqa: S108  # a folder of its own in it


def _resolve(wanted: asyncio.Future[Any] | None, value: Any) -> None:
    if wanted is not None and not wanted.done():
        wanted.set_result(value)


def _identity(database: Database) -> tuple[int, int] | None:
    """Which file it is; None: there is none."""
    try:
        found = database.path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _how(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
