"""Responses that clients asked to keep (`store`), on SQLite, for `previous_response_id` and `GET /v1/responses/{id}`.

Texts of one conversation repeat themselves, so they are kept compressed. Every call runs in a worker thread, one at a
time on one connection. Rows older than the retention go, a few at a time, when new ones come.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Callable
from typing import Final

from afterbay.ports import KeptResponse
from afterbay.store import statements
from afterbay.store.database import Database, transaction
from afterbay.store.room import to_forget
from afterbay.store.rows import rfc3339, utc_seconds
from afterbay.store.serial import SerialConnection

_SWEEP_S: Final = 600.0
_SWEEP_ROWS: Final = 200
_LEVEL: Final = 1

MOST_BYTES: Final = 4 << 30
"""As much is kept, compressed. Who fills it loses the oldest of its own: clients ask for keeping, and the disk is the
operator's."""


class SqliteResponses:
    """Implements `ports.Responses`."""

    def __init__(
        self,
        database: Database,
        *,
        retention_s: float,
        most_bytes: int = MOST_BYTES,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._retention_s, self._most_bytes, self._now = retention_s, most_bytes, now
        self._bytes = 0  # as of the last sweep, and what came since
        self._connection = SerialConnection(database)
        self._next_sweep_s = 0.0

    async def get(self, response_id: str) -> KeptResponse | None:
        """See `ports.Responses`."""
        return await self._connection.do(lambda connection: self._get(connection, response_id))

    async def put(self, response: KeptResponse) -> None:
        """See `ports.Responses`."""
        await self._connection.do(lambda connection: self._put(connection, response))

    async def delete(self, response_id: str) -> bool:
        """See `ports.Responses`."""
        return await self._connection.do(lambda connection: _delete(connection, response_id))

    def close(self) -> None:
        """Closes the connection; a later call opens another."""
        self._connection.close()

    def _get(self, connection: sqlite3.Connection, response_id: str) -> KeptResponse | None:
        row = connection.execute(statements.SELECT_RESPONSE, (response_id,)).fetchone()
        if row is None:
            return None
        created_at = utc_seconds(row[2])
        if created_at < self._now() - self._retention_s:
            return None
        return KeptResponse(
            row[0], row[1], created_at, row[3], row[4], row[5], zlib.decompress(row[6]), zlib.decompress(row[7])
        )

    def _put(self, connection: sqlite3.Connection, response: KeptResponse) -> None:
        row = (
            response.id,
            response.key_id,
            rfc3339(response.created_at),
            response.provider,
            response.model,
            response.previous_id,
            zlib.compress(response.input, _LEVEL),
            zlib.compress(response.answer, _LEVEL),
        )
        with transaction(connection):
            if connection.execute(statements.INSERT_RESPONSE, row).rowcount:
                self._bytes += len(row[6]) + len(row[7])
            if time.monotonic() >= self._next_sweep_s:
                old = rfc3339(self._now() - self._retention_s)
                gone = connection.execute(statements.DELETE_OLD_RESPONSES, (old, _SWEEP_ROWS)).rowcount
                (self._bytes,) = connection.execute(statements.SUM_RESPONSES).fetchone()
                self._next_sweep_s = time.monotonic() + (0.0 if gone == _SWEEP_ROWS else _SWEEP_S)
            if self._bytes > self._most_bytes:
                self._make_room(connection, response)

    def _make_room(self, connection: sqlite3.Connection, newest: KeptResponse) -> None:
        """Forgets the oldest responses, of the one who keeps another first, until there is room again."""
        looks = (
            (statements.OLDEST_RESPONSES_OF_KEY, (newest.key_id, newest.id, _SWEEP_ROWS)),
            (statements.OLDEST_RESPONSES, (newest.id, _SWEEP_ROWS)),
        )
        for response_id, size in to_forget(connection, looks, self._bytes - self._most_bytes):
            connection.execute(statements.DELETE_RESPONSE, (response_id,))
            self._bytes -= size


def _delete(connection: sqlite3.Connection, response_id: str) -> bool:
    with transaction(connection):
        return bool(connection.execute(statements.DELETE_RESPONSE, (response_id,)).rowcount)
