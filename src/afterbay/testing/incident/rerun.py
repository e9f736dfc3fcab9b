"""Runs an incident: the real engine on virtual time, its providers played from the file. No network, no keys.

The request has the id and the seed that it had, so every draw is the same; what its decision saw of the targets is
restored. Another configuration may stand in for the recorded one: then the file says what would have happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from afterbay.app.snapshots import direct_target
from afterbay.config.portable import from_json
from afterbay.config.snapshot import Snapshot
from afterbay.config.weights import task_classifier
from afterbay.core.decision import Record, Target
from afterbay.core.errors import ClientMistake
from afterbay.engine.context import Call, Context
from afterbay.engine.delivery import RECONNECT
from afterbay.engine.embed import serve_embeddings
from afterbay.engine.health import Health
from afterbay.engine.pipeline import serve_chat
from afterbay.engine.responses import serve_responses
from afterbay.policy.condition import Condition
from afterbay.policy.plan import Alias
from afterbay.ports import Key
from afterbay.store.memory import MemoryRequestLog, MemoryResponses
from afterbay.store.memory_ledger import MemoryLedger
from afterbay.testing.fakes import MemoryReply
from afterbay.testing.incident.form import Incident
from afterbay.testing.incident.hedges import ReplayedHedges
from afterbay.testing.incident.making import target_of
from afterbay.testing.incident.upstream import OfflineFleet, OfflineUpstream, Stock
from afterbay.testing.incident.vectors import Vectors
from afterbay.testing.incident.wording import is_out_of_budget
from afterbay.testing.virtual_loop import run
from afterbay.wire.registry import DIALECTS

START_S: Final = 1000.0
"""Where virtual time begins: what was before can be said without a minus."""
_FULL: Final = 1_000_000
_STEP: Final = 2.0**-20
_LAST: Final = 2.0**30
"""A priority that no configuration has."""


class Rerun(msgspec.Struct, frozen=True):
    """What came of it: the record of the replayed request, what its client got, and what had to be guessed."""

    record: Record
    status: int
    body: bytes
    assumed: tuple[str, ...]


def rerun(incident: Incident, snapshot: Snapshot | None = None) -> Rerun:
    """Replays an incident, under another configuration if one is given.

    Raises:
        ClientMistake: the file's configuration cannot be read by this release.
    """
    is_same = snapshot is None
    if snapshot is None:
        try:
            snapshot = from_json(bytes(incident.configuration.snapshot))
        except msgspec.DecodeError as error:
            raise ClientMistake(
                f"The configuration in the file is of another release ({incident.written_by.afterbay}): {error}.",
                remedy="Replay it with that release, or under a configuration of today: -c FILE.",
            ) from None
    if is_same:
        snapshot = ordered(snapshot, incident.order or tuple(one.target for one in incident.record.attempts))
    return run(_rerun(incident, snapshot, is_same=is_same), start_s=START_S)


def ordered(snapshot: Snapshot, order: Sequence[str]) -> Snapshot:
    """The configuration in which equal deployments are tried in this order. How busy each was, and which long prompts
    were tied to it, is not known any more; what came of it is."""
    places = {name: place for place, name in reversed(list(enumerate(order)))}
    aliases: dict[str, Alias] = {}
    for name, alias in snapshot.aliases.items():
        sorted_ = sorted(alias.targets, key=lambda one: places.get(one.id, len(places)))
        ranks = {one.id: rank for rank, one in enumerate(sorted_)}
        targets = tuple(_placed(one, ranks[one.id]) for one in alias.targets)
        aliases[name] = msgspec.structs.replace(alias, targets=targets)
    return msgspec.structs.replace(snapshot, aliases=aliases)


def _placed(target: Target, rank: int) -> Target:
    """The target behind those of its priority that come before it; every other order stays as it is."""
    priority = (target.priority if target.priority is not None else _LAST) + rank * _STEP
    return msgspec.structs.replace(target, priority=priority)


class _Clock:
    """Implements `ports.Clock` by the running loop, counted from the moment when the request arrived."""

    def __init__(self, received_at: float) -> None:
        self._received_at = received_at

    def monotonic(self) -> float:
        """Virtual seconds."""
        return asyncio.get_running_loop().time()

    def utc(self) -> float:
        """The time of day then."""
        return self._received_at + self.monotonic() - START_S


class _NoEntropy:
    """Implements `ports.Entropy`: the one id there is stands in the file."""

    def bits(self, count: int) -> int:
        """Always the same."""
        return 1


async def _rerun(incident: Incident, snapshot: Snapshot, *, is_same: bool) -> Rerun:
    record, seed = incident.record, incident.seed if incident.seed is not None else 0
    clock, log = _Clock(record.received_at), MemoryRequestLog()
    vectors = Vectors(record, incident.request.body.raw()) if record.operation == "embeddings" else None
    stock = Stock(incident.exchanges, record, lambda name: target_of(snapshot, name), vectors)
    health = Health(snapshot.health, seed)
    fleet = OfflineFleet(
        snapshot,
        lambda provider, _: OfflineUpstream(stock, provider.name, len(provider.keys)),
        direct_target,
        health,
    )
    fleet.stock, fleet.record = stock, record
    context = Context(fleet, clock, _NoEntropy(), log, MemoryResponses(now=clock.utc), seed, MemoryLedger(clock))
    context.hedges = ReplayedHedges(record, is_same=is_same)
    context.scorer = task_classifier
    _restore(incident, fleet, health, context)
    reply = MemoryReply(gone=record.outcome == "client_closed")
    serve = serve_responses if record.protocol == "openai.responses" else serve_chat
    serve = serve_embeddings if vectors is not None else serve
    task = asyncio.get_running_loop().create_task(serve(context, _call(incident, clock), reply), name="replay")
    leaves_s = record.duration_s if record.outcome == "client_closed" else None
    await asyncio.wait([task], timeout=leaves_s)
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
    (logged,) = log.after(0)
    return Rerun(logged.record, reply.status, reply.body, tuple(dict.fromkeys(stock.assumed)))


def _call(incident: Incident, clock: _Clock) -> Call:
    record = incident.record
    headers: Mapping[str, str] = {**incident.request.headers, RECONNECT: "0"}  # nobody comes back to a replay
    key = Key(record.key_id, record.key_name or "") if record.key_id is not None else None
    more: dict[str, Any] = {}
    if record.protocol == "gemini":
        method = "streamGenerateContent" if record.stream else "generateContent"
        if record.operation == "embeddings":
            method = "batchEmbedContents" if b'"requests"' in incident.request.body.raw() else "embedContent"
        more = {
            "path_model": record.requested_model,
            "path_stream": record.stream,
            "path": f"/v1beta/models/{record.requested_model}:{method}",
            "query": "alt=sse" if record.stream else "",
        }
    return Call(
        incident.request_id,
        DIALECTS[record.protocol],
        incident.request.body.raw(),
        headers,
        clock.monotonic(),
        record.received_at,
        key,
        **more,
    )


def _restore(incident: Incident, fleet: OfflineFleet, health: Health, context: Context) -> None:
    """Targets look as the decision saw them."""
    for sight in incident.sights:
        if sight.cooling_s:
            fleet.cool(sight.target, START_S + sight.cooling_s)
        condition = Condition(health.rules, START_S, lambda _: 0.0)
        condition.restore(START_S, sight)
        health.conditions[sight.target] = condition
    if any(is_out_of_budget(one) for one in incident.record.attempts):
        context.retries.retrying = _FULL
