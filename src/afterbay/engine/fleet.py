"""The live world of one configuration: connections to providers, and which targets asked to be left alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from afterbay.config.snapshot import Provider, Snapshot
from afterbay.core.decision import Target
from afterbay.policy.route import World
from afterbay.ports import Upstream

MakeUpstream = Callable[[Provider], Upstream]
MakeTarget = Callable[[Snapshot, str, str], Target | None]
"""(snapshot, provider, model) -> a target for a model that is not in the config; None: no such provider."""

_DIRECT_TARGETS = 1024


class Fleet:
    """Connections and cooling times. One per configuration; a reload makes a new one and lets the old one drain."""

    def __init__(self, snapshot: Snapshot, make_upstream: MakeUpstream, make_target: MakeTarget) -> None:
        self.snapshot = snapshot
        self._upstreams: dict[str, Upstream] = {}
        self._make_upstream = make_upstream
        self._make_target = make_target
        self._cooling_until: dict[str, float] = {}
        self._direct: dict[tuple[str, str], Target | None] = {}

    def upstream(self, provider: str) -> Upstream:
        """The connections to a provider, made at the first use."""
        upstream = self._upstreams.get(provider)
        if upstream is None:
            upstream = self._upstreams[provider] = self._make_upstream(self.snapshot.providers[provider])
        return upstream

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
        return World(self._cooling_until)

    def cool(self, target: str, until_s: float) -> None:
        """Notes that a target wants to be left alone until then (monotonic seconds)."""
        self._cooling_until[target] = until_s

    @property
    def cooling(self) -> Mapping[str, float]:
        """Targets and until when they are tried last."""
        return self._cooling_until

    async def close(self) -> None:
        """Ends all connections."""
        for upstream in self._upstreams.values():
            await upstream.close()
