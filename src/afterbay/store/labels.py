"""Labels, pairs, imprints and what was learned from them, on SQLite, so that all processes of a gateway know them.

Every call runs in a worker thread, one at a time on one connection. Rows older than the retention go, a few at a time,
when new ones come and whenever `sweep` is called, since from many a gateway they come no more; of imprints, which are
large, no more than `MOST_IMPRINTS` are kept.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from afterbay.label_ports import Label, Pair, Router, RouterKind
from afterbay.store import statements
from afterbay.store.database import Database, transaction
from afterbay.store.rows import NAME_CHARS, rfc3339, utc_seconds
from afterbay.store.serial import SerialConnection

MOST_READ: Final = 20_000
MOST_IMPRINTS: Final = 100_000
"""Some 200 MB: about 2 kB each."""
ROUTERS_KEPT: Final = 20
"""Of a kind and route: what held before can be looked up."""
BUSY_S: Final = 2.0

SWEEP_S: Final = 600.0
"""How often it is looked for what is too old."""
_SWEEP_ROWS: Final = 500
_OLD: Final = (statements.DELETE_OLD_LABELS, statements.DELETE_OLD_PAIRS, statements.DELETE_OLD_IMPRINTS)


class SqliteLabels:
    """Implements `label_ports.Labels`."""

    def __init__(
        self,
        database: Database,
        *,
        retention_s: float,
        most_imprints: int = MOST_IMPRINTS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._retention_s, self._most_imprints, self._now = retention_s, most_imprints, now
        self._connection = SerialConnection(database, BUSY_S)
        self._next_sweep_s = 0.0

    async def put(self, label: Label) -> None:
        """See `label_ports.Labels`."""
        said = (label.request_id, label.judge, label.route, rfc3339(label.at), label.alias, label.score)
        await self._write(statements.PUT_LABEL, (*said, label.kind[:NAME_CHARS], label.comment))

    async def put_pair(self, pair: Pair) -> None:
        """See `label_ports.Labels`."""
        what = (pair.request_id, pair.route, rfc3339(pair.at), pair.cheap, pair.strong, pair.gain, pair.predictor)
        quality = (pair.cheap_quality, pair.strong_quality, pair.judged[:NAME_CHARS], pair.propensity)
        costs = (pair.cheap_picousd, pair.strong_picousd, pair.cost_picousd, pair.digest)
        await self._write(statements.PUT_PAIR, (*what, *quality, *costs))

    async def put_imprint(self, request_id: str, route: str, at: float, imprint: bytes) -> None:
        """See `label_ports.Labels`."""
        await self._write(statements.PUT_IMPRINT, (request_id, route, rfc3339(at), imprint))

    async def labels(self, route: str, since: float = 0.0, most: int = MOST_READ) -> Sequence[Label]:
        """See `label_ports.Labels`."""
        rows = await self._read(statements.SELECT_LABELS, route, since, most)
        return [Label(row[0], row[2], utc_seconds(row[3]), row[1], *row[4:]) for row in reversed(rows)]

    async def pairs(self, route: str, since: float = 0.0, most: int = MOST_READ) -> Sequence[Pair]:
        """See `label_ports.Labels`."""
        rows = await self._read(statements.SELECT_PAIRS, route, since, most)
        return [Pair(row[0], row[1], utc_seconds(row[2]), *row[3:]) for row in reversed(rows)]

    async def imprints(self, route: str, since: float = 0.0, most: int = MOST_READ) -> Mapping[str, bytes]:
        """See `label_ports.Labels`."""
        rows = await self._read(statements.SELECT_IMPRINTS, route, since, most)
        return {row[0]: bytes(row[1]) for row in reversed(rows)}

    async def explored_picousd(self, route: str, since: float) -> int:
        """See `label_ports.Labels`."""
        values = (rfc3339(max(since, 0.0)), route)
        row = await self._connection.do(lambda one: one.execute(statements.EXPLORED, values).fetchone())
        return int(row[0])

    async def sweep(self) -> bool:
        """Forgets some of what is too old: whether there may be more of it.

        Raises:
            sqlite3.Error: the database does not do it.
        """
        await self._connection.do(self._sweep_alone)
        return self._next_sweep_s <= time.monotonic()

    def close(self) -> None:
        """Closes the connection; a later call opens another."""
        self._connection.close()

    def _sweep_alone(self, connection: sqlite3.Connection) -> None:
        with transaction(connection):
            self._sweep(connection)

    async def _read(self, statement: str, route: str, since: float, most: int) -> list[tuple[Any, ...]]:
        values = (route, rfc3339(max(since, self._now() - self._retention_s, 0.0)), most)
        return await self._connection.do(lambda one: one.execute(statement, values).fetchall())

    async def _write(self, statement: str, row: tuple[object, ...]) -> None:
        await self._connection.do(lambda one: self._put(one, statement, row))

    def _put(self, connection: sqlite3.Connection, statement: str, row: tuple[object, ...]) -> None:
        with transaction(connection):
            connection.execute(statement, row)
            if time.monotonic() >= self._next_sweep_s:
                self._sweep(connection)

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Forgets what is too old, and imprints beyond what is kept."""
        old = rfc3339(max(self._now() - self._retention_s, 0.0))
        gone = [connection.execute(statement, (old, _SWEEP_ROWS)).rowcount for statement in _OLD]
        (count,) = connection.execute(statements.COUNT_IMPRINTS).fetchone()
        if count > self._most_imprints:
            surplus = min(count - self._most_imprints, _SWEEP_ROWS)
            gone.append(connection.execute(statements.DELETE_OLDEST_IMPRINTS, (surplus,)).rowcount)
        self._next_sweep_s = time.monotonic() + (0.0 if _SWEEP_ROWS in gone else SWEEP_S)


class SqliteRouters:
    """Implements `label_ports.Routers`."""

    def __init__(self, database: Database) -> None:
        self._connection = SerialConnection(database, BUSY_S)

    async def get(self, route: str, kind: RouterKind) -> Router | None:
        """See `label_ports.Routers`."""
        row = await self._connection.do(lambda one: one.execute(statements.SELECT_ROUTER, (route, kind)).fetchone())
        return Router(row[0], row[1], utc_seconds(row[2]), bytes(row[3]), row[4], row[5]) if row is not None else None

    async def put(self, router: Router) -> None:
        """See `label_ports.Routers`."""
        await self._connection.do(lambda one: _put_router(one, router))

    def close(self) -> None:
        """Closes the connection; a later call opens another."""
        self._connection.close()


def _put_router(connection: sqlite3.Connection, router: Router) -> None:
    row = (router.route, router.kind, rfc3339(router.made_at), router.blob, router.labels, router.reason)
    with transaction(connection):
        connection.execute(statements.PUT_ROUTER, row)
        connection.execute(statements.DELETE_OLD_ROUTERS, (router.route, router.kind, ROUTERS_KEPT))
