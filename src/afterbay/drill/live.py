"""A drill with real sockets: emulated providers, a chaos proxy before each, the real gateway, clients over HTTP.

Theory of operation
    One event loop has the gateway, the proxies and the clients; the emulator is a child process. The loop runs in a
    thread of its own, for the gateway's server would take the signals of the main thread for itself.

    Each request of the failing run is sent twice: through the gateway, and to the provider that it would have been sent
    to first without one. So both meet the same failure at the same moment. Of several keys these clients use one each.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import aiohttp
import msgspec

from afterbay.app.gateway import RunningGateway
from afterbay.app.server import http_server, listen
from afterbay.config.snapshot import Snapshot
from afterbay.config.watch import Loaded
from afterbay.core.chance import draw
from afterbay.core.decision import Record
from afterbay.drill.client import CONNECT_S, Question, Told, ask, question
from afterbay.drill.harm import WELL, harm_of
from afterbay.drill.reach import DIALECT, Reach
from afterbay.drill.report import Asked, Ejected, Report, Run, Seen, compare
from afterbay.drill.stage import EMULATED, drill_key, emulated_name, on_loopback
from afterbay.emulate.profile import Profile, ProfileFile, plain
from afterbay.emulate.run import EmulatorProcess
from afterbay.emulate.server import PROVIDERS
from afterbay.providers.auth import key_headers
from afterbay.sim.scenario import Episode
from afterbay.store.database import open_database
from afterbay.store.reading import SqliteReading
from afterbay.testing.chaos import ChaosProxy
from afterbay.testing.toxics import Down

LOOK_S = 0.02
"""How often the health of the targets is looked at."""
PATIENCE_S = 5.0
"""So much longer than the gateway may take a client waits."""
CONNECTIONS = 512
STOP_S = 10.0

Say = Callable[[str], None]
T = TypeVar("T")


class TooMany(Exception):
    """A drill of more providers than the emulator has room for."""


def run_live(asked: Asked, loaded: Loaded, said: Say) -> Report:
    """Runs it twice: without the failure, and with it.

    Raises:
        TooMany: the model has more providers than the emulator plays.
    """
    if len(asked.reach.providers) > PROVIDERS:
        raise TooMany(f"'{asked.reach.model}' has more than {PROVIDERS} providers")
    return in_thread(_drill(asked, loaded, said))


def in_thread(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, run in a thread with an event loop of its own; an interrupt here cancels it there."""
    done: list[T] = []
    failed: list[BaseException] = []
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)

    def go() -> None:
        try:
            done.append(loop.run_until_complete(task))
        except BaseException as error:  # the thread's root: whoever waits for it is told
            failed.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=go, name="drill")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    if failed:
        raise failed[0]
    return done[0]


async def _drill(asked: Asked, loaded: Loaded, said: Say) -> Report:
    names = [emulated_name(place) for place in range(len(asked.reach.providers))]
    well = msgspec.structs.replace(WELL, seed=asked.seed)
    async with EmulatorProcess(ProfileFile(well)) as emulator, aiohttp.ClientSession() as control:
        change = _Change(control, emulator.url)
        said(f"providers on loopback: {', '.join(asked.reach.providers)}; each run takes {asked.seconds:.0f} s or more")
        healthy, _ = await _run(asked, loaded, emulator, change, ())
        said(f"without the failure: {_served(healthy)}; now with it")
        for name in names:
            await change(name, well)
        failing, bare = await _run(asked, loaded, emulator, change, asked.scene.episodes)
    return compare(asked, "real", healthy, failing, bare, _remarks(asked, failing))


def _served(run: Run) -> str:
    return f"{sum(not seen.error for seen in run.seen)} of {len(run.seen)} requests served"


class _Change:
    """Gives emulated providers other profiles."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, f"{url}/emulate/profile"

    async def __call__(self, provider: str, profile: Profile) -> None:
        order = msgspec.json.encode({"provider": provider, "profile": plain(profile)})
        async with self._session.post(self._url, data=order) as response:
            if response.status != 200:
                raise RuntimeError(f"the emulator refused a profile: {await response.text()}")


async def _run(
    asked: Asked, loaded: Loaded, emulator: EmulatorProcess, change: _Change, episodes: tuple[Episode, ...]
) -> tuple[Run, Run]:
    """One run with a new gateway; what clients saw of it, and what those saw who asked the providers themselves.

    Without episodes nobody asks the providers themselves: it would only cost time.
    """
    host, port = emulator.url.removeprefix("http://").split(":")
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="afterbay-drill-")))
        proxies = {
            name: await stack.enter_async_context(ChaosProxy(host, int(port), seed=asked.seed))
            for name in asked.reach.providers
        }
        database = f"sqlite:///{folder / 'drill.db'}"
        staged = on_loopback(asked.reach.plan, {name: proxy.port for name, proxy in proxies.items()}, database)
        gateway, url = await stack.enter_async_context(_gateway(loaded, staged, asked.seed))
        crowd = _Crowd(asked, staged, url, bare=bool(episodes))
        fate = _Fate(proxies, change, msgspec.structs.replace(WELL, seed=asked.seed), asked.reach)
        watch = _Watch(gateway, asked.reach)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.run(), name="watch health")
            strikes = [group.create_task(fate.strike(one), name="strike") for one in episodes]
            await crowd.run()
            if strikes:
                await asyncio.wait(strikes)
            watching.cancel()
        await asyncio.to_thread(gateway.log.flush)
        records = await asyncio.to_thread(_records, database, asked.requests)
    return _joined(crowd.told, records, tuple(watch.found)), Run(tuple(one.seen for one in crowd.bare))


@contextlib.asynccontextmanager
async def _gateway(loaded: Loaded, staged: Snapshot, seed: int) -> AsyncIterator[tuple[RunningGateway, str]]:
    """A gateway that listens on a free port, and its address."""
    gateway = RunningGateway(
        msgspec.structs.replace(loaded, snapshot=staged, path=None), {}, said=lambda _: None, seed=seed
    )
    server = http_server(gateway)
    with contextlib.closing(listen("127.0.0.1", 0)) as sock:
        serving = asyncio.create_task(server.serve(sockets=[sock]), name="gateway")
        try:
            gateway.start(local_models=False)
            yield gateway, f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            await asyncio.wait({serving}, timeout=STOP_S)
            await gateway.close()


class _Watch:
    """Looks for ejections."""

    def __init__(self, gateway: RunningGateway, reach: Reach) -> None:
        self.found: list[Ejected] = []
        self._gateway = gateway
        self._targets = [target.id for target in reach.targets]
        self._known = dict.fromkeys(self._targets, 0)

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while True:
            await asyncio.sleep(LOOK_S)
            for target in self._targets:
                condition = self._gateway.health.conditions.get(target)
                if condition is not None and condition.ejections > self._known[target]:
                    self._known[target] = condition.ejections
                    self.found.append(Ejected(target, loop.time() - began_s, condition.illness or ""))


class _Fate:
    """Does to emulated providers what episodes say."""

    def __init__(self, proxies: Mapping[str, ChaosProxy], change: _Change, well: Profile, reach: Reach) -> None:
        self._proxies, self._change, self._well, self._reach = proxies, change, well, reach

    async def strike(self, episode: Episode) -> None:
        """Does it, at its time and for as long as it lasts."""
        began_s = asyncio.get_running_loop().time()
        hit = [(place, name) for place, name in enumerate(self._proxies) if episode.hits(name)]
        await asyncio.sleep(episode.from_s)
        for place, name in hit:
            keys = [drill_key(place, number + 1) for number in range(self._key_count(name))]
            harm = harm_of(episode, self._well, tuple(keys))
            await self._change(emulated_name(place), harm.profile)
            proxy = self._proxies[name]
            if harm.breaks:
                await proxy.use(Down())
            if harm.toxics or harm.breaks:
                await proxy.use(*harm.toxics)
        await asyncio.sleep(began_s + episode.to_s - asyncio.get_running_loop().time())
        for place, name in hit:
            await self._proxies[name].use()
            await self._change(emulated_name(place), self._well)

    def _key_count(self, name: str) -> int:
        return len(self._reach.plan.providers[name].keys) or 1


class _Crowd:
    """The clients of one run: `told` by the gateway, and (`bare`) by the providers themselves."""

    def __init__(self, asked: Asked, staged: Snapshot, url: str, *, bare: bool) -> None:
        self.told: list[Told] = []
        self.bare: list[Told] = []
        self._asked, self._staged, self._is_double = asked, staged, bare
        self._ours = question(f"{url}/v1", DIALECT, "", asked.reach.model, _JSON)
        route = asked.reach.ask.found.route or staged.defaults
        self._within_s = route.limits.total_s + PATIENCE_S

    async def run(self) -> None:
        """Lets them come, one after another, and waits until the last has its answer."""
        asked, loop = self._asked, asyncio.get_running_loop()
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        began_s, at_s = loop.time(), 0.0
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            for number in range(asked.requests):
                await asyncio.sleep(began_s + at_s - loop.time())
                group.create_task(self._ask(session, self._ours, at_s, self.told))
                if self._is_double:
                    group.create_task(self._ask(session, self._theirs(number), at_s, self.bare))
                at_s -= math.log(1.0 - draw(asked.seed, "drill/arrival", str(number))) / asked.rate

    async def _ask(self, session: aiohttp.ClientSession, what: Question, at_s: float, told: list[Told]) -> None:
        told.append(await ask(session, what, at_s, self._within_s))

    def _theirs(self, number: int) -> Question:
        """The same request, sent to the provider that would get it first."""
        reach = self._asked.reach
        first = reach.first_for(self._asked.seed, f"drill-{number}")
        provider = self._staged.providers[first.provider]
        key = provider.keys[number % len(provider.keys)].reveal()
        dialect = first.dialect if first.dialect in EMULATED else "openai.chat"
        headers = {**_JSON, **key_headers(provider.kind, key)}
        return question(provider.base_url, dialect, first.vendor, first.name, headers)


_JSON: Mapping[str, str] = MappingProxyType({"content-type": "application/json"})


def _records(database: str, most: int) -> dict[str, Record]:
    reading = SqliteReading(open_database(database))
    return {row.record.id: row.record for row in reading.last(most)}


def _joined(told: list[Told], records: Mapping[str, Record], ejected: tuple[Ejected, ...]) -> Run:
    """What clients saw, with what the gateway logged of it."""
    seen: list[Seen] = []
    for one in sorted(told, key=lambda one: one.seen.at_s):
        record = records.get(one.request_id)
        seen.append(msgspec.structs.replace(one.seen, attempts=tuple(record.attempts) if record is not None else ()))
    return Run(tuple(seen), sum(_costs(seen)), ejected)


def _costs(seen: list[Seen]) -> list[int]:
    """What attempts cost, of which that is known."""
    return [attempt.cost_picousd for one in seen for attempt in one.attempts if attempt.cost_picousd is not None]


def _remarks(asked: Asked, run: Run) -> list[str]:
    """What to bear in mind of a run with the failure."""
    found = [
        "all providers are emulated alike: a median of 0.25 s to the first word, 12 ms from word to word, 24 words",
        "policy draws by the ids of requests, which are new in each run",
    ]
    known = asked.reach.plan.providers
    played = [name for name in asked.reach.providers if known[name].kind in ("bedrock", "cohere")]
    if played:
        found.append(f"played in chat completions, for the emulator does not speak theirs: {', '.join(played)}")
    attempts = [attempt for one in run.seen for attempt in one.attempts]
    untold = sum(one.status == 200 and one.cost_picousd is None for one in attempts)
    if untold and all(target.price is not None for target in asked.reach.targets):
        found.append(f"attempts that broke off before they said what they used, and are not in the cost: {untold}")
    return found
