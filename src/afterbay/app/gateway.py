"""One running gateway: everything built from one configuration, started, reloaded, and ended in the right order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from afterbay.app.local_models import LocalModels, Models, Progress, Wanted
from afterbay.app.retirements import tell_daily
from afterbay.app.snapshots import direct_target, price_later
from afterbay.app.world import LoopClock, SystemEntropy
from afterbay.config.listing import about
from afterbay.config.portable import to_json
from afterbay.config.retirement import Retirement, day_of, notices, retiring
from afterbay.config.schema import StateConfig
from afterbay.config.snapshot import Provider, Snapshot
from afterbay.config.watch import Loaded, load_snapshot
from afterbay.config.weights import complexity, task_classifier
from afterbay.core.decision import Record, Target
from afterbay.core.secret import Secret
from afterbay.engine.alerts import CAUSES
from afterbay.engine.context import Context
from afterbay.engine.fleet import Fleet
from afterbay.engine.health import Health, TargetState, watch
from afterbay.engine.learned import REFRESH_S, Learned
from afterbay.http.asgi import Gateway
from afterbay.http.feedback import Feedback
from afterbay.http.pages import Pages
from afterbay.http.reports import Reports
from afterbay.ports import Upstream
from afterbay.providers.aws import aws_signer_for
from afterbay.providers.tokens import signer_for
from afterbay.providers.upstream import HttpUpstream
from afterbay.store.configurations import keep_configuration
from afterbay.store.database import Database, open_database
from afterbay.store.holder import Holder, hold, is_running
from afterbay.store.keys import SqliteKeys
from afterbay.store.labels import SWEEP_S, SqliteLabels, SqliteRouters
from afterbay.store.leases import SqliteLeases
from afterbay.store.ledger import LeasedLedger
from afterbay.store.lookup import one_request
from afterbay.store.originals import SqliteOriginals
from afterbay.store.request_log import LogLimits, Sink, SqliteRequestLog
from afterbay.store.responses import SqliteResponses
from afterbay.telemetry.memory import memory_reader
from afterbay.telemetry.metrics import Metrics
from afterbay.telemetry.otel import open_tracer

logger = logging.getLogger("afterbay.app")

PRESSURE_S = 0.5
KEYS_REFRESH_S = 1.0


class Wrap(Protocol):
    """What stands before the providers: how recording and replaying come in.

    `replays`: nobody else is asked, so no local model is started and the gateway is ready at once.
    """

    @property
    def replays(self) -> bool:
        """See above."""

    def __call__(self, upstream: Upstream, provider: str) -> Upstream:
        """What is used instead of `upstream`."""


class RunningGateway:
    """Build it inside a running event loop, `start` it, `close` it. `said` is told what happens, for people.

    One of several processes has the number `worker`, `local` models that another one runs, and `figures` of them all.
    """

    def __init__(
        self,
        loaded: Loaded,
        environ: Mapping[str, str],
        *,
        said: Callable[[str], None],
        progress: Progress | None = None,
        wrap: Wrap | None = None,
        seed: int | None = None,
        local: Models | None = None,
        worker: int | None = None,
        figures: Callable[[], Awaitable[bytes]] | None = None,
    ) -> None:
        snapshot = loaded.snapshot
        self.loaded = loaded
        self._environ = environ
        self._wrap = wrap
        self._replays = wrap is not None and wrap.replays
        self._tasks: set[asyncio.Task[None]] = set()
        self._retired: set[Fleet] = set()
        self._database = open_database(snapshot.state.database)
        self.keys = SqliteKeys(self._database)
        self.metrics = Metrics()
        self._allow(snapshot)
        tracer = open_tracer(snapshot.telemetry)
        sinks = [self.metrics.observe_all] + ([tracer.observe_all] if tracer is not None else [])
        self._tracer = tracer
        self._holder = hold(self._database.path)
        self.log = _log_of(snapshot.state, self._database, self._holder, sinks)
        self._responses = SqliteResponses(self._database, retention_s=float(snapshot.state.retention))
        self.local: Models = LocalModels(said, progress) if local is None else local
        clock = LoopClock(asyncio.get_running_loop())
        seed = secrets.randbits(63) if seed is None else seed
        self.health = Health(snapshot.health, seed)
        self.ledger = LeasedLedger(SqliteLeases(self._database, self._holder.name), clock)
        self.context = Context(
            self._fleet(snapshot), clock, SystemEntropy(), self.log, self._responses, seed, self.ledger, worker
        )
        self.context.scorer = task_classifier
        self._teach(loaded)
        lasts_s = min(float(snapshot.state.idempotency), float(snapshot.state.retention))
        runs = partial(is_running, self._database.path)
        self._originals = SqliteOriginals(self._database, lasts_s=lasts_s, holder=self._holder.name, runs=runs)
        self.context.originals = self._originals if lasts_s > 0 else None
        self._labels = SqliteLabels(self._database, retention_s=float(snapshot.state.retention))
        self._routers = SqliteRouters(self._database)
        if not self._replays:  # nobody else than who was recorded can be asked
            self.context.learned = Learned(self._labels, self._routers, clock, complexity)
        _load_weights(snapshot, self.context.learned)  # now: it takes some tenths of a second, and nobody waits yet
        self._show_figures()
        pages = Pages(self.context, self.why_not_ready, figures or self._figures, self._find_record, about)
        admin_key = environ.get("AFTERBAY_ADMIN_KEY")
        reports = Reports(self._database, lambda: self.snapshot, lambda: datetime.fromtimestamp(clock.utc(), UTC))
        feedback = Feedback(self._labels, self._find_record, clock)
        secret = Secret(admin_key) if admin_key else None
        self.application = Gateway(self.context, self.keys, pages, secret, reports, feedback)

    def _show_figures(self) -> None:
        """Tells the metrics where to read what is only known when it is asked for."""
        self.metrics.watch_log(
            lambda: self.log.depth, lambda: self.log.spilled, lambda: self.log.dropped, lambda: self.log.unjournaled
        )
        self.metrics.open_streams.set_function(lambda: self.context.open_streams)
        retries, hedges, alerts = self.context.retries, self.context.hedges, self.context.alerts
        self.metrics.watch_attempts(
            lambda: retries.retrying,
            lambda: retries.denied,
            {cause: partial(alerts.count, cause) for cause in CAUSES},
            {reason: partial(hedges.denied.__getitem__, reason) for reason in hedges.denied},
        )
        streams = self.context.streams
        self.metrics.watch_streams(lambda: streams.detached, lambda: streams.size)
        pressure = self.context.pressure
        self.metrics.watch_pressure(lambda: pressure.late_s, lambda: pressure.memory or 0.0, lambda: pressure.refused)
        learned, afterwards = self.context.learned, self.context.afterwards
        if learned is not None:
            self.metrics.watch_learning(lambda: learned.standings, lambda: afterwards.counts)
        self.metrics.watch_health(self._states, lambda: self.context.fleet.queues)
        self.metrics.watch_retirements(lambda: {one.target: one.days for one in self._retirements()})

    def start(self, *, local_models: bool = True) -> None:
        """Starts the log's thread, the look-out for changed keys, the probes, and the local models."""
        self.log.start()
        self.ledger.start()
        self._keep_configuration(self.snapshot)
        self._own(self._watch_keys(), "watch keys")
        self._own(self._watch_pressure(), "watch memory and lateness")
        self._own(tell_daily(self._ending), "tell of models that end")
        self._own(self._forget_labels(), "forget labels that are too old")
        if self.context.learned is not None:
            self._own(self.context.afterwards.run(), "work after requests")
            self._own(self._keep_learning(self.context.learned), "read what routes have learned")
        if self._wrap is None:
            self._own(watch(lambda: self.context.fleet, self.context.clock), "probe idle targets")
        if local_models and not self._replays:
            self.local.begin(wanted_models(self.snapshot))

    @property
    def snapshot(self) -> Snapshot:
        """The configuration that new requests get."""
        return self.context.fleet.snapshot

    def why_not_ready(self) -> str | None:
        """None once one target can be asked."""
        if self._replays:
            return None
        if any(not provider.is_embedded for provider in self.snapshot.providers.values()):
            return None
        targets = [target for alias in self.snapshot.aliases.values() for target in alias.targets if not target.embeds]
        if any(self.local.is_ready(target.name) for target in targets):
            return None
        states = "; ".join(f"{name}: {state}" for name, state in self.local.states().items())
        return states or "no model is configured"

    async def reload(self) -> str:
        """Loads the configuration anew and serves new requests by it; those in flight keep the old one.

        Returns what happened, as a sentence.

        Raises:
            ConfigError: the file is not right; the old configuration stays.
        """
        try:
            loaded = await asyncio.to_thread(load_snapshot, self.loaded.path, self._environ)
        except Exception:
            self.metrics.reloaded(ok=False)
            raise
        self.metrics.reloaded(ok=True)
        return await self.adopt(loaded)

    async def adopt(self, loaded: Loaded) -> str:
        """Serves new requests by another configuration. Returns what happened, as a sentence."""
        await asyncio.to_thread(_load_weights, loaded.snapshot, self.context.learned)  # requests are being served
        old = self.context.fleet
        if loaded.snapshot.hash == old.snapshot.hash:
            return "the configuration did not change"
        changed_state = loaded.snapshot.state != old.snapshot.state
        self.loaded = loaded
        self._allow(loaded.snapshot)
        if not self._replays:
            self.local.begin(wanted_models(loaded.snapshot))
        self.context.fleet = self._fleet(loaded.snapshot)
        self._teach(loaded)
        await asyncio.to_thread(self._keep_configuration, loaded.snapshot)
        self._own(self._retire(old), "retire the old configuration")
        note = "; `state` changes only with a restart" if changed_state else ""
        return f"configuration {loaded.snapshot.hash[:12]} is in force{note}"

    async def _retire(self, old: Fleet) -> None:
        self._retired.add(old)
        await old.retire(_longest_s(old.snapshot))
        self._retired.discard(old)

    async def close(self) -> None:
        """Ends everything: first what makes records, then what keeps them."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        for fleet in (*self._retired, self.context.fleet):
            await fleet.close()
        await self.local.close()
        await asyncio.to_thread(self.log.close)
        await self.ledger.close()
        self._holder.end()
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)
        await asyncio.to_thread(self._responses.close)
        await asyncio.to_thread(self._originals.close)
        await asyncio.to_thread(self._labels.close)
        await asyncio.to_thread(self._routers.close)
        self.keys.close()

    def _teach(self, loaded: Loaded) -> None:
        """Takes into use what routes have learned from files, which were read with the configuration."""
        self.context.acceptors, self.context.predictors = loaded.trained.acceptors, loaded.trained.predictors

    def _fleet(self, snapshot: Snapshot) -> Fleet:
        return Fleet(snapshot, self._upstream, self._direct, self.health.adopt(snapshot.health))

    def _upstream(self, provider: Provider, name: str) -> Upstream:
        made: Upstream
        if provider.is_embedded:
            made = self.local.upstream(provider, name)
        else:
            signer = aws_signer_for(provider, self._environ) or signer_for(provider)
            made = HttpUpstream(provider, signer, self.metrics.keys_refused)
        return self._wrap(made, provider.name) if self._wrap is not None else made

    def _direct(self, snapshot: Snapshot, provider: str, model: str) -> Target | None:
        target = direct_target(snapshot, provider, model)
        if target is not None and target.price is None:
            self._own(price_later(self.context.fleet, target), f"price of {target.id}")
        return target

    def _states(self) -> list[TargetState]:
        return self.context.fleet.target_states(self.context.clock.monotonic())

    def _keep_configuration(self, snapshot: Snapshot) -> None:
        """Keeps what is in force, without secrets, beside the log that names it. Not needed to serve."""
        try:
            keep_configuration(self._database, snapshot.hash, to_json(snapshot), self.context.clock.utc())
        except sqlite3.Error as trouble:
            logger.warning("configuration %s could not be kept for replays: %s", snapshot.hash, trouble)

    async def _figures(self) -> bytes:
        return self.metrics.render()

    async def _find_record(self, request_id: str) -> Record | None:
        return await asyncio.to_thread(one_request, self._database, request_id)

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(KEYS_REFRESH_S)
            try:
                await asyncio.to_thread(self.keys.refresh_if_changed)  # a change may wait for the database meanwhile
            except Exception:
                logger.exception("the keys could not be read again; those known so far stay")

    async def _keep_learning(self, learned: Learned) -> None:
        """Reads what routes have learned now and then; soon after a reload, too."""
        read_for, due_s = "", 0.0
        while True:
            now, snapshot = self.context.clock.monotonic(), self.snapshot
            if now >= due_s or snapshot.hash != read_for:
                await learned.keep_fresh(snapshot)
                read_for, due_s = snapshot.hash, now + REFRESH_S
            await asyncio.sleep(KEYS_REFRESH_S)

    async def _forget_labels(self) -> None:
        """Keeps to the retention even where no label comes any more."""
        while True:
            more = False
            try:
                more = await self._labels.sweep()
            except sqlite3.Error as trouble:
                logger.warning("labels that are too old could not be removed (%s); it is tried again", trouble)
            await asyncio.sleep(KEYS_REFRESH_S if more else SWEEP_S)

    async def _watch_pressure(self) -> None:
        """Notes how late the loop is, by how late this is woken, and how much memory is in use."""
        loop, memory, pressure = asyncio.get_running_loop(), memory_reader(), self.context.pressure
        while True:
            due_s = loop.time() + PRESSURE_S
            await asyncio.sleep(PRESSURE_S)
            pressure.note(memory(), loop.time() - due_s)

    def _ending(self) -> list[str]:
        return notices(self._retirements(), chosen_here=self.loaded.path is None)

    def _retirements(self) -> list[Retirement]:
        return retiring(self.snapshot, day_of(self.context.clock.utc()))

    def _allow(self, snapshot: Snapshot) -> None:
        targets = [target.id for alias in snapshot.aliases.values() for target in alias.targets]
        self.metrics.allow([*snapshot.routes, *snapshot.aliases], snapshot.aliases, snapshot.providers, targets)

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _log_of(state: StateConfig, database: Database, holder: Holder, sinks: Sequence[Sink]) -> SqliteRequestLog:
    """The request log as it is configured."""
    return SqliteRequestLog(
        database,
        retention_s=float(state.retention),
        sinks=sinks,
        limits=LogLimits(journal_bytes=state.journal_bytes, rollup_retention_s=float(state.report_retention)),
        durable=state.durable,
        refuses_when_full=state.journal_full == "refuse",
        holder=holder,
    )


def _load_weights(snapshot: Snapshot, learned: Learned | None) -> None:
    """Loads what routes pick by, with numpy, so that no request has to wait for that."""
    routes = snapshot.routes.values()
    if any("classify" in route.stages for route in routes):
        task_classifier()
    if learned is not None and any(route.keep is not None for route in routes):
        learned.load()


def _longest_s(snapshot: Snapshot) -> float:
    """How long a request under this configuration may take."""
    routes = (snapshot.defaults, *snapshot.routes.values())
    return max(float(snapshot.limits.socket_total), *(route.limits.total_s for route in routes))


def wanted_models(snapshot: Snapshot) -> list[Wanted]:
    """The embedded models that a configuration names, in the order in which they are started: the smallest first."""
    found: dict[str, Wanted] = {}
    for alias in snapshot.aliases.values():
        for target in alias.targets:
            provider = snapshot.providers[target.provider]
            if provider.is_embedded:
                found.setdefault(target.name, Wanted(target.name, provider))
    order = {"local-small": 0, "local-embed": 1, "local": 2}
    return sorted(found.values(), key=lambda one: (order.get(one.name, 3), one.name))


@contextlib.asynccontextmanager
async def running(
    path: Path | None, environ: Mapping[str, str], *, said: Callable[[str], None] = logger.info, **options: Any
) -> Any:
    """A gateway from a configuration file, for as long as the block lasts."""
    loaded = await asyncio.to_thread(load_snapshot, path, environ)
    gateway = RunningGateway(loaded, environ, said=said, **options)
    try:
        gateway.start()
        yield gateway
    finally:
        await gateway.close()
