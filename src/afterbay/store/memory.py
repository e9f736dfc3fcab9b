"""The same ports in memory, bounded: for tests and simulations, and as the plainest word on what a store does."""

from __future__ import annotations

import math
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

import msgspec

from afterbay.core.decision import Record
from afterbay.policy.authority import Actor
from afterbay.ports import Claim, KeptResponse, Repeatable, StoredAnswer
from afterbay.store.answers import FINE, Filter, Logged, ModelSummary
from afterbay.store.audit import Anchor, Broken, Entry, chained, check_chain
from afterbay.store.keyring import Keyring
from afterbay.store.register import Change
from afterbay.store.rows import rfc3339


class MemoryRequestLog:
    """Implements `ports.RequestLog` and answers as `SqliteReading` does. Keeps the last `limit` records."""

    def __init__(self, limit: int = 10_000) -> None:
        self._logged: deque[Logged] = deque(maxlen=limit)
        self._by_id: dict[str, Record] = {}
        self._cursor = 0

    def begin(self, record: Record) -> None:
        """Nothing: what is in memory ends with the process."""

    def settle(self, record: Record) -> None:
        """Nothing, as above."""

    def put(self, record: Record) -> None:
        """Keeps a record; one whose id is known is ignored, the oldest makes room."""
        if record.id in self._by_id:
            return
        if len(self._logged) == self._logged.maxlen:
            del self._by_id[self._logged[0].record.id]
        self._cursor += 1
        self._logged.append(Logged(self._cursor, record))
        self._by_id[record.id] = record

    def last_cursor(self) -> int:
        """The cursor after which only future rows come."""
        return self._cursor

    def after(self, cursor: int, only: Filter | None = None, limit: int = 100) -> list[Logged]:
        """At most `limit` rows put after a cursor, in order."""
        return list(islice((row for row in self._logged if row.cursor > cursor and _passes(row.record, only)), limit))

    def last(self, count: int, only: Filter | None = None) -> list[Logged]:
        """The last `count` rows, oldest first."""
        rows = [row for row in self._logged if _passes(row.record, only)]
        return rows[max(0, len(rows) - count) :]

    def one(self, request_id: str) -> Record | None:
        """A request by its id."""
        return self._by_id.get(request_id)

    def by_model(self, since_utc_s: float, until_utc_s: float | None = None) -> list[ModelSummary]:
        """Requests, tokens, cost and TTFT by model, most requests first."""
        until = math.inf if until_utc_s is None else until_utc_s
        groups: dict[str, list[Record]] = {}
        for row in self._logged:
            if since_utc_s <= row.record.received_at < until:
                groups.setdefault(row.record.model, []).append(row.record)
        lines = [_summary(model, records) for model, records in groups.items()]
        return sorted(lines, key=lambda line: (-line.requests, line.model))


class MemoryResponses:
    """Implements `ports.Responses`."""

    def __init__(self, *, now: Callable[[], float], retention_s: float = 30 * 86400.0) -> None:
        self._now, self._retention_s = now, retention_s
        self._kept: dict[str, KeptResponse] = {}

    async def get(self, response_id: str) -> KeptResponse | None:
        """See `ports.Responses`."""
        found = self._kept.get(response_id)
        return found if found is not None and found.created_at >= self._now() - self._retention_s else None

    async def put(self, response: KeptResponse) -> None:
        """See `ports.Responses`."""
        self._kept.setdefault(response.id, response)

    async def delete(self, response_id: str) -> bool:
        """See `ports.Responses`."""
        return self._kept.pop(response_id, None) is not None


class MemoryOriginals:
    """Implements `ports.Originals`. Bounded in time alone."""

    def __init__(self, *, now: Callable[[], float], lasts_s: float = 86400.0) -> None:
        self._now, self._lasts_s = now, lasts_s
        self._known: dict[tuple[str, str], tuple[float, Repeatable, Claim]] = {}

    async def claim(self, request: Repeatable) -> Claim:
        """See `ports.Originals`."""
        found = await self.find(request)
        if found is not None:
            return found
        running = Claim("running", request.request_id)
        self._known[request.owner, request.key] = (self._now(), request, running)
        return Claim("new", request.request_id)

    async def find(self, request: Repeatable) -> Claim | None:
        """See `ports.Originals`."""
        known = self._known.get((request.owner, request.key))
        if known is None or known[0] < self._now() - self._lasts_s:
            return None
        return known[2] if known[1].content == request.content else Claim("different", known[1].request_id)

    async def keep(self, request: Repeatable, answer: StoredAnswer | None) -> None:
        """See `ports.Originals`."""
        known = self._known.get((request.owner, request.key))
        if known is not None and known[1].request_id == request.request_id:
            claim = Claim("gone" if answer is None else "answered", request.request_id, answer)
            self._known[request.owner, request.key] = (known[0], known[1], claim)

    async def release(self, request: Repeatable) -> None:
        """See `ports.Originals`."""
        known = self._known.get((request.owner, request.key))
        if known is not None and known[1].request_id == request.request_id:
            del self._known[request.owner, request.key]


class MemoryKeys(Keyring):
    """Implements `ports.Keys`, and what operators do with keys and tenants."""

    def __init__(self, *, now: Callable[[], float]) -> None:
        super().__init__(secrets.token_bytes(32), now)
        self._audit: list[Entry] = []

    def refresh_if_changed(self) -> bool:
        """Nobody else can change these."""
        return False

    def verify_audit(self, anchor: Anchor | None = None) -> Anchor | Broken:
        """Whether the audit log is whole."""
        return check_chain(self._audit, anchor)

    def _entries(self, before: int, tenant: str, limit: int) -> Sequence[Entry]:
        found = (one for one in reversed(self._audit) if one.number < before and (not tenant or tenant in one.path))
        return list(islice(found, limit))

    def _do(self, by: str, act: Callable[[Actor], Change]) -> Change:
        with self._lock:
            change = act(self._actor(by))
            last = Anchor(self._audit[-1].number, self._audit[-1].hash) if self._audit else Anchor()
            at = rfc3339(self._now())
            self._audit.append(chained(last, at, by, change.action, change.subject, change.path, change.details))
            self._accept(change)
            return change


def _passes(record: Record, only: Filter | None) -> bool:
    if only is None:
        return True
    wanted = msgspec.structs.asdict(only.columns).items()
    if any(value and getattr(record, name) != value for name, value in wanted):
        return False
    return only.failed is None or only.failed == (record.outcome not in FINE)


def _summary(model: str, records: Sequence[Record]) -> ModelSummary:
    usages = [record.usage for record in records if record.usage is not None]
    ttfts = sorted(record.ttft_s for record in records if record.ttft_s is not None)
    return ModelSummary(
        model=model,
        requests=len(records),
        failed=sum(record.outcome not in FINE for record in records),
        total_input=sum(usage.total_input for usage in usages),
        total_output=sum(usage.total_output for usage in usages),
        cost_picousd=sum(record.cost_picousd or 0 for record in records),
        unpriced=sum(record.cost_picousd is None and record.usage is not None for record in records),
        ttft_p50_s=_nearest_rank(ttfts, 50),
        ttft_p95_s=_nearest_rank(ttfts, 95),
    )


def _nearest_rank(ordered: Sequence[float], percent: int) -> float | None:
    return ordered[(len(ordered) * percent + 99) // 100 - 1] if ordered else None
