"""Owner of what is known of every target's health, and of the probes of those that nobody asks.

A driver tells it of each attempt, in three calls at most:

    trial = health.began(target.id, now)
    trial.answered(now)                     # the first output of a stream; whole=True: a whole answer
    trial.ended(now, evidence_of(error))    # error None: a good answer. "left": it was called off

What that means is decided in `afterbay.policy.condition`. Decisions read `conditions`; they are plain and cost nothing
where nothing happened: a target that nobody asked has none. Every process of a gateway knows its own.

Probes ask for a list of models, which costs no tokens, and look only at whether there is an answer at all: a server
that answers may be ill in other ways, but then real requests say so. The engine inside is never probed, nor is
anything while requests are recorded or replayed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Protocol

import msgspec

from afterbay.config.snapshot import Provider, Snapshot
from afterbay.core.chance import draw
from afterbay.policy.condition import Condition, ProbeResult, Trial
from afterbay.policy.outlier import SAYS_NOTHING
from afterbay.policy.plan import HealthRules
from afterbay.ports import Clock, Passage, TransportError

TARGETS = 4096
"""So many targets are remembered; a client can name any number of them."""

PROBE_S = 5.0
"""A probe without an answer by then says nothing, unless it found no connection."""
LOOK_S = 1.0
"""How often it is looked for targets to probe."""
AT_ONCE = 8
"""So many providers are probed at the same time."""

_LISTS: Mapping[str, str] = MappingProxyType(
    {
        "openai": "/models",
        "anthropic": "/v1/models?limit=1",
        "gemini": "/v1beta/models?pageSize=1",
        "cohere": "/v1/models?page_size=1",
    }
)
"""Where a provider lists its models. Others are asked for `/`: any answer shows that they are there.
Sources: the API references of OpenAI, Anthropic, Google and Cohere, November 2026."""

logger = logging.getLogger("afterbay.engine")


class TargetState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A target as pages and metrics show it. `state`: ok, slow (its last probe was), half_open, ejected."""

    target: str
    state: str
    reason: str | None = None
    for_s: int | None = None
    ejections: int = 0


class Health:
    """The conditions of all targets. One for the life of a process: a reload changes the rules, not what is known."""

    def __init__(self, rules: HealthRules, seed: int = 0) -> None:
        self.rules = rules
        self.conditions: dict[str, Condition] = {}
        self._seed = seed

    def adopt(self, rules: HealthRules) -> Health:
        """Goes on under other rules."""
        if rules != self.rules:
            self.rules = rules
            for condition in self.conditions.values():
                condition.adopt(rules)
        return self

    def began(self, target: str, now: float) -> Trial:
        """An attempt at a target begins."""
        return (self.conditions.get(target) or self._new(target, now)).began(now)

    def refused(self, target: str, now: float) -> None:
        """A request that was meant for a target was turned away."""
        (self.conditions.get(target) or self._new(target, now)).refused(now)

    def states(self, targets: Iterable[str], now: float) -> list[TargetState]:
        """How these targets do."""
        return [self._shown(target, now) for target in targets]

    def _new(self, target: str, now: float) -> Condition:
        if len(self.conditions) >= TARGETS:
            self._forget(now)
        made = Condition(self.rules, now, lambda time: draw(self._seed, f"eject/{time}", target))
        self.conditions[target] = made
        return made

    def _forget(self, now: float) -> None:
        """Makes room: the oldest that is well and not asked just now, else the oldest."""
        idle = (name for name, one in self.conditions.items() if one.state(now) == "closed" and not one.load.in_flight)
        self.conditions.pop(next(idle, next(iter(self.conditions))))

    def _shown(self, target: str, now: float) -> TargetState:
        condition = self.conditions.get(target)
        if condition is None:
            return TargetState(target, "ok")
        state = condition.state(now)
        if state == "closed":
            is_slow = (condition.probe_took_s or 0.0) > self.rules.latency_p95_s
            return TargetState(target, "slow" if is_slow else "ok", ejections=condition.ejections)
        for_s = round(condition.ejected_for_s(now))
        shown = "half_open" if state == "half_open" else "ejected"
        return TargetState(target, shown, condition.illness, for_s or None, condition.ejections)

    def due(self, snapshot: Snapshot, now: float) -> dict[str, list[str]]:
        """Providers to probe now, each with its targets that want it.

        Those are the configured ones that nobody asked for an interval, and those whose ejection is about to end: one
        that is still out of reach then gets no client's request.
        """
        wanted: dict[str, list[str]] = {}
        if self.rules.interval_s <= 0:
            return wanted
        for alias in snapshot.aliases.values():
            for target in alias.targets:
                if snapshot.providers[target.provider].is_embedded:
                    continue
                condition = self.conditions.get(target.id) or self._new(target.id, now)
                names = wanted.setdefault(target.provider, [])
                if target.id not in names and _wants_probe(condition, self.rules.interval_s, now):
                    names.append(target.id)
        return {provider: names for provider, names in wanted.items() if names}

    def probed(self, targets: Iterable[str], now: float, result: ProbeResult, took_s: float) -> None:
        """A probe of their provider ended after `took_s`."""
        for target in targets:
            condition = self.conditions.get(target)
            if condition is not None:
                condition.probed(now, result, took_s)


def _wants_probe(condition: Condition, interval_s: float, now: float) -> bool:
    seen_s = condition.probed_s
    state = condition.state(now)
    if state == "closed":
        return now - max(seen_s, condition.attempted_s) >= interval_s
    if now - seen_s >= interval_s:
        return True
    return state == "open" and condition.ejected_for_s(now) <= PROBE_S and now - seen_s > 2 * PROBE_S


class World(Protocol):
    """What probing needs of `afterbay.engine.fleet.Fleet`."""

    snapshot: Snapshot
    health: Health

    def passage(self, provider: Provider) -> Passage | None:
        """The way to any endpoint of a provider."""


async def watch(world: Callable[[], World], clock: Clock) -> None:
    """Probes for ever what wants it. `world` gives the one that is in force. Ends by being cancelled."""
    while True:
        await asyncio.sleep(LOOK_S)
        await probe_due(world(), clock)


async def probe_due(world: World, clock: Clock) -> None:
    """Probes once what wants it now."""
    due = world.health.due(world.snapshot, clock.monotonic())
    if not due:
        return
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(provider: str, targets: list[str]) -> None:
        async with turns:
            began_s = clock.monotonic()
            result = await _probe(world, world.snapshot.providers[provider])
            now = clock.monotonic()
            world.health.probed(targets, now, result, now - began_s)

    async with asyncio.TaskGroup() as group:
        for provider, targets in due.items():
            group.create_task(one(provider, targets), name=f"probe {provider}")


async def _probe(world: World, provider: Provider) -> ProbeResult:
    """Whether a provider can be reached. One that takes no such requests, or does not answer, says nothing."""
    passage = world.passage(provider)
    if passage is None:
        return "nothing"
    try:
        async with asyncio.timeout(2 * PROBE_S):
            response = await passage.send("GET", _LISTS.get(provider.kind, "/"), {}, b"", PROBE_S)
            response.close()
    except TransportError as broken:
        return "nothing" if broken.connected or broken.code in SAYS_NOTHING else "unreached"
    except TimeoutError:
        return "nothing"
    except Exception:  # the watch goes on, whatever is wrong with one provider
        logger.exception("provider %s could not be probed", provider.name)
        return "nothing"
    return "reached" if response.status < 500 else "nothing"
