"""Labels and routers in memory: for tests, and as the plainest word on what a store does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from afterbay.label_ports import Label, Pair, Router, RouterKind


class MemoryLabels:
    """Implements `label_ports.Labels`. Bounded in time alone. `explored`: what exploring is said to cost, by route."""

    def __init__(self, *, now: Callable[[], float], retention_s: float = 30 * 86400.0) -> None:
        self._now, self._retention_s = now, retention_s
        self._labels: dict[tuple[str, str], Label] = {}
        self._pairs: dict[str, Pair] = {}
        self._imprints: dict[str, tuple[float, str, bytes]] = {}
        self.explored: dict[str, int] = {}

    async def put(self, label: Label) -> None:
        """See `label_ports.Labels`."""
        self._labels[label.request_id, label.judge] = label

    async def put_pair(self, pair: Pair) -> None:
        """See `label_ports.Labels`."""
        self._pairs.setdefault(pair.request_id, pair)

    async def put_imprint(self, request_id: str, route: str, at: float, imprint: bytes) -> None:
        """See `label_ports.Labels`."""
        self._imprints.setdefault(request_id, (at, route, imprint))

    async def labels(self, route: str, since: float = 0.0, most: int = 20_000) -> Sequence[Label]:
        """See `label_ports.Labels`."""
        since = max(since, self._now() - self._retention_s)
        found = [one for one in self._labels.values() if one.route == route and one.at >= since]
        return sorted(found, key=lambda one: (one.at, one.request_id, one.judge))[-most:]

    async def pairs(self, route: str, since: float = 0.0, most: int = 20_000) -> Sequence[Pair]:
        """See `label_ports.Labels`."""
        since = max(since, self._now() - self._retention_s)
        found = [one for one in self._pairs.values() if one.route == route and one.at >= since]
        return sorted(found, key=lambda one: (one.at, one.request_id))[-most:]

    async def imprints(self, route: str, since: float = 0.0, most: int = 20_000) -> Mapping[str, bytes]:
        """See `label_ports.Labels`."""
        since = max(since, self._now() - self._retention_s)
        found = [(at, id_, data) for id_, (at, of, data) in self._imprints.items() if of == route and at >= since]
        return {id_: data for _, id_, data in sorted(found)[-most:]}

    async def explored_picousd(self, route: str, since: float) -> int:
        """See `label_ports.Labels`."""
        return self.explored.get(route, 0)


class MemoryRouters:
    """Implements `label_ports.Routers`."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], dict[float, Router]] = {}

    async def get(self, route: str, kind: RouterKind) -> Router | None:
        """See `label_ports.Routers`."""
        kept = self._kept.get((route, kind))
        return kept[max(kept)] if kept else None

    async def put(self, router: Router) -> None:
        """See `label_ports.Routers`."""
        self._kept.setdefault((router.route, router.kind), {}).setdefault(router.made_at, router)
