"""The live world of one configuration: connections to providers, which targets asked to be left alone, how all do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import msgspec

from afterbay.config.snapshot import Provider, Snapshot
from afterbay.core.decision import Target
from afterbay.core.usage import Price
from afterbay.engine.gate import Gate
from afterbay.engine.health import Health, TargetState
from afterbay.policy.allowance import Allowance, allowances_of
from afterbay.policy.balance import Here
from afterbay.policy.plan import Alias
from afterbay.policy.route import World
from afterbay.policy.spending import Rates
from afterbay.ports import Key, Passage, Upstream

MakeUpstream = Callable[[Provider, str], Upstream]
"""(provider, model name) -> its connections. The name matters to the embedded engine: each model is its own process."""
MakeTarget = Callable[[Snapshot, str, str], Target | None]
"""(snapshot, provider, model) -> a target for a model that is not in the config; None: no such provider."""

_DIRECT_TARGETS = 1024
_ACCOUNTS = 4096
_COOLING = 4096
"""So many targets are remembered as cooling: clients name direct ones, and could fill the memory with them."""


class Charging(msgspec.Struct, frozen=True):
    """Whom a request is charged to, and what limits that."""

    key: Key | None
    accounts: tuple[str, ...] = ()
    allowances: tuple[Allowance, ...] = ()


def _charging_of(snapshot: Snapshot, key: Key | None, accounts: tuple[str, ...]) -> Charging:
    """The key's accounts are charged in any case, others if something limits them."""
    own = key.accounts if key is not None else ()
    found = allowances_of(snapshot.budgets, (*own, *accounts))
    found += key.allowances if key is not None else ()
    return Charging(key, tuple(dict.fromkeys((*own, *(one.account for one in found)))), tuple(found))


class Fleet:
    """Connections and cooling times. One per configuration; a reload makes a new one and lets the old one drain.

    `health` outlives it: what is known of the targets holds under the next configuration too.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        make_upstream: MakeUpstream,
        make_target: MakeTarget,
        health: Health | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.health = health if health is not None else Health(snapshot.health)
        self._upstreams: dict[str, Upstream] = {}
        self._gates = {
            name: Gate(provider.concurrent)
            for name, provider in snapshot.providers.items()
            if provider.concurrent is not None
        }
        self._make_upstream = make_upstream
        self._make_target = make_target
        self._cooling_until: dict[str, float] = {}
        self._direct: dict[tuple[str, str], Target | None] = {}
        self._charging: dict[tuple[str, tuple[str, ...]], Charging] = {}
        self.ceilings: dict[tuple[str, int], tuple[Price, Rates]] = {}
        """What `afterbay.engine.ceiling` has reckoned for the prices of this configuration."""
        self._may_refuse: dict[tuple[str, str], bool] = {}
        self._refusing_prefill: dict[str, None] = {}
        self._in_flight = 0
        self._retired: asyncio.Event | None = None

    def charging(self, key: Key | None, accounts: tuple[str, ...]) -> Charging:
        """What holds for a request of a key that may be charged to these accounts beside the key's own."""
        asked = (key.id if key is not None else "", accounts)
        found = self._charging.get(asked)
        if found is None or found.key is not key:  # a key that was changed is another object
            if len(self._charging) >= _ACCOUNTS:  # tags are the client's, and could fill the memory
                self._charging.clear()
            found = self._charging[asked] = _charging_of(self.snapshot, key, accounts)
        return found

    def upstream(self, target: Target) -> Upstream:
        """The connections to a target's provider, made at the first use."""
        provider = self.snapshot.providers[target.provider]
        return self._made(target.id if provider.is_embedded else target.provider, provider, target.name)

    def passage(self, provider: Provider) -> Passage | None:
        """The way to any endpoint of a provider; None: what stands there takes no raw requests."""
        upstream = None if provider.is_embedded else self._made(provider.name, provider, "")
        return upstream if isinstance(upstream, Passage) else None

    def _made(self, key: str, provider: Provider, model: str) -> Upstream:
        upstream = self._upstreams.get(key)
        if upstream is None:
            upstream = self._upstreams[key] = self._make_upstream(provider, model)
        return upstream

    def gate(self, target: Target) -> Gate | None:
        """The door of a target's provider; None: it takes any number at once."""
        return self._gates.get(target.provider)

    @property
    def queues(self) -> Mapping[str, int]:
        """How many requests wait for a place, by provider."""
        return {name: gate.waiting for name, gate in self._gates.items()}

    def enter(self) -> None:
        """A request begins to use this world."""
        self._in_flight += 1

    def leave(self) -> None:
        """A request has ended. The last one out of a retired world lets it close."""
        self._in_flight -= 1
        if self._in_flight == 0 and self._retired is not None:
            self._retired.set()

    async def retire(self, within_s: float) -> None:
        """Waits until the last request has left, at most `within_s`, then ends all connections."""
        self._retired = asyncio.Event()
        if self._in_flight:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._retired.wait(), within_s)
        await self.close()

    def may_refuse(self, alias: Alias, dialect: str) -> bool:
        """Whether a target that this alias can lead to might refuse a feature of a request in `dialect`."""
        key = (alias.name, dialect)
        known = self._may_refuse.get(key)
        if known is None:
            aliases = self.snapshot.aliases
            reachable = [alias, *(aliases[name] for name in alias.fallback if name in aliases)]
            targets = [target for one in reachable for target in one.targets]
            known = self._may_refuse[key] = any(
                target.dialect_for(dialect) != dialect or target.cannot for target in targets
            )
        return known

    def learn(self, target: Target) -> None:
        """Takes a better description of a target that was made on the spot (its price was looked up meanwhile)."""
        self._direct[target.provider, target.name] = target

    def direct(self, provider: str, model: str) -> Target | None:
        """A target for `provider/model`. The last 1,024 are kept, so that clients cannot fill the memory with names."""
        key = (provider, model)
        if key not in self._direct:
            if len(self._direct) >= _DIRECT_TARGETS:
                self._direct.pop(next(iter(self._direct)))
            self._direct[key] = self._make_target(self.snapshot, provider, model)
        return self._direct[key]

    def world(self) -> World:
        """What policy may see of the targets now."""
        region = self.snapshot.region
        here = None
        if region is not None:
            here = Here(region, frozenset(name for name, gate in self._gates.items() if not gate.has_room))
        return World(self._cooling_until, self.health.conditions, here)

    def target_states(self, now: float) -> list[TargetState]:
        """How every configured target does."""
        ids = dict.fromkeys(target.id for alias in self.snapshot.aliases.values() for target in alias.targets)
        return self.health.states(ids, now)

    def cool(self, target: str, until_s: float) -> None:
        """Notes that a target wants to be left alone until then (monotonic seconds)."""
        if len(self._cooling_until) >= _COOLING and target not in self._cooling_until:
            self._cooling_until.pop(next(iter(self._cooling_until)))
        self._cooling_until[target] = until_s

    def refuses_prefill(self, target: str) -> None:
        """Notes that a target answers a prefill with an error."""
        if len(self._refusing_prefill) >= _COOLING:
            self._refusing_prefill.pop(next(iter(self._refusing_prefill)))
        self._refusing_prefill[target] = None

    def is_refusing_prefill(self, target: str) -> bool:
        """Whether a target was seen to answer a prefill with an error."""
        return target in self._refusing_prefill

    @property
    def cooling(self) -> Mapping[str, float]:
        """Targets and until when they are tried last."""
        return self._cooling_until

    async def close(self) -> None:
        """Ends all connections. One that was interrupted can be called again."""
        while self._upstreams:
            key, upstream = next(iter(self._upstreams.items()))
            await upstream.close()
            self._upstreams.pop(key, None)
