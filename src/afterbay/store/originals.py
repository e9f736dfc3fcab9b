"""Requests with idempotency keys and their answers, on SQLite, so that all processes of a gateway know them.

An original is a row from the moment in which it is claimed. Neither its key nor its content is kept: a digest of each
is, keyed with the database's own secret, so that nobody who has the file can try out which prompt it was. Its answer is
kept compressed, for as long as the configuration says and no longer than the log. Every call runs in a worker thread,
one at a time on one connection; one that finds the database locked for longer than `BUSY_S` is told so.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import time
import zlib
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from afterbay.ports import Claim, OriginalsUnavailable, Repeatable, StoredAnswer
from afterbay.store import statements
from afterbay.store.database import Database, pepper, transaction
from afterbay.store.room import to_forget
from afterbay.store.rows import rfc3339
from afterbay.store.serial import SerialConnection

MOST_BYTES: Final = 1 << 30
"""As much is kept of answers, compressed. Who fills it loses the oldest of its own: their keys stay taken."""
MOST_ROWS: Final = 100_000
"""So many keys are remembered of each owner."""
BUSY_S: Final = 2.0

_SWEEP_S: Final = 60.0
_SWEEP_ROWS: Final = 500
_LEVEL: Final = 1

_RUNNING, _ANSWERED, _GONE = "running", "answered", "gone"

_Result = TypeVar("_Result")

logger = logging.getLogger(__name__)


class _Digests(msgspec.Struct, frozen=True):
    name: bytes
    content: bytes


class SqliteOriginals:
    """Implements `ports.Originals`. `runs` says of a holder's name whether that process still runs."""

    def __init__(
        self,
        database: Database,
        *,
        lasts_s: float,
        holder: str,
        runs: Callable[[str], bool],
        most_bytes: int = MOST_BYTES,
        most_rows: int = MOST_ROWS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._lasts_s, self._holder, self._runs = lasts_s, holder, runs
        self._most_bytes, self._most_rows, self._now = most_bytes, most_rows, now
        self._bytes = 0  # as of the last sweep, and what came since
        self._own: set[str] = set()  # request ids that this process serves
        self._connection = SerialConnection(database, BUSY_S)
        self._pepper = b""
        self._next_sweep_s = 0.0

    async def claim(self, request: Repeatable) -> Claim:
        """See `ports.Originals`."""
        return await self._do(lambda connection: self._claim(connection, request))

    async def find(self, request: Repeatable) -> Claim | None:
        """See `ports.Originals`."""
        return await self._do(lambda connection: self._find(connection, self._digests(connection, request)))

    async def keep(self, request: Repeatable, answer: StoredAnswer | None) -> None:
        """See `ports.Originals`."""
        await self._settle(request, lambda connection: self._keep(connection, request, answer))

    async def release(self, request: Repeatable) -> None:
        """See `ports.Originals`."""
        await self._settle(request, lambda connection: self._release(connection, request))

    def close(self) -> None:
        """Closes the connection; a later call opens another."""
        self._connection.close()

    async def _do(self, act: Callable[[sqlite3.Connection], _Result]) -> _Result:
        try:
            return await self._connection.do(act)
        except sqlite3.Error as trouble:
            raise OriginalsUnavailable(str(trouble)) from trouble

    async def _settle(self, request: Repeatable, act: Callable[[sqlite3.Connection], None]) -> None:
        """What this process does not serve any more, and could not say so, counts as unknown from now on."""
        try:
            await self._do(act)
        except OriginalsUnavailable as trouble:
            logger.warning("what became of %s could not be noted for its repeats: %s", request.request_id, trouble)
            raise
        finally:
            self._own.discard(request.request_id)

    def _claim(self, connection: sqlite3.Connection, request: Repeatable) -> Claim:
        digests = self._digests(connection, request)
        found = self._find(connection, digests)  # most repeats come when all is over, and need no lock
        if found is not None:
            return found
        with transaction(connection):
            found = self._find(connection, digests)
            if found is not None:
                return found
            connection.execute(statements.DELETE_ORIGINAL, (digests.name,))  # one that is too old
            connection.execute(
                statements.INSERT_ORIGINAL,
                (
                    digests.name,
                    digests.content,
                    request.owner,
                    request.user,
                    request.request_id,
                    rfc3339(self._now()),
                    self._holder,
                    _RUNNING,
                ),
            )
            self._sweep(connection)
        self._own.add(request.request_id)
        return Claim("new", request.request_id)

    def _find(self, connection: sqlite3.Connection, digests: _Digests) -> Claim | None:
        oldest = rfc3339(self._now() - self._lasts_s)
        row = connection.execute(statements.SELECT_ORIGINAL, (digests.name, oldest)).fetchone()
        if row is None:
            return None
        content, request_id, holder, state, status, headers, body = row
        if content != digests.content:
            return Claim("different", request_id)
        if state == _RUNNING:
            runs = request_id in self._own if holder == self._holder else self._runs(holder)
            return Claim("running" if runs else "unknown", request_id)
        if state == _GONE:
            return Claim("gone", request_id)
        answer = StoredAnswer(status, msgspec.json.decode(headers, type=dict[str, str]), zlib.decompress(body))
        return Claim("answered", request_id, answer)

    def _keep(self, connection: sqlite3.Connection, request: Repeatable, answer: StoredAnswer | None) -> None:
        values: tuple[object, ...] = (_GONE, None, None, None)
        if answer is not None:
            headers, body = msgspec.json.encode(answer.headers).decode(), zlib.compress(answer.body, _LEVEL)
            values = (_ANSWERED, answer.status, headers, body)
            self._bytes += len(body)
        with transaction(connection):
            connection.execute(statements.SETTLE_ORIGINAL, (*values, request.request_id))
            if self._bytes > self._most_bytes:
                self._make_room(connection, request)

    def _release(self, connection: sqlite3.Connection, request: Repeatable) -> None:
        with transaction(connection):
            connection.execute(statements.RELEASE_ORIGINAL, (request.request_id,))

    def _digests(self, connection: sqlite3.Connection, request: Repeatable) -> _Digests:
        """Keyed, so that they cannot be compared with those of guesses. Each part is preceded by its length."""
        self._pepper = self._pepper or pepper(connection)
        name = self._digest((request.owner.encode(), request.key.encode()))
        return _Digests(name, self._digest(request.content))

    def _digest(self, parts: tuple[bytes, ...]) -> bytes:
        digest = hashlib.blake2b(key=self._pepper, digest_size=32)
        for part in parts:
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.digest()

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Now and then: forgets what is too old, counts what is kept, and forgets keys of owners that have too many."""
        if time.monotonic() < self._next_sweep_s:
            return
        oldest = rfc3339(self._now() - self._lasts_s)
        gone = connection.execute(statements.DELETE_OLD_ORIGINALS, (oldest, _SWEEP_ROWS)).rowcount
        for owner, surplus in connection.execute(statements.CROWDED_ORIGINALS, (self._most_rows,)).fetchall():
            connection.execute(statements.DELETE_OLDEST_ORIGINALS, (owner, min(surplus, _SWEEP_ROWS)))
        (self._bytes,) = connection.execute(statements.SUM_ORIGINALS).fetchone()
        self._next_sweep_s = time.monotonic() + (0.0 if gone == _SWEEP_ROWS else _SWEEP_S)

    def _make_room(self, connection: sqlite3.Connection, newest: Repeatable) -> None:
        """Forgets the oldest answers, of the one who keeps another first, until there is room again."""
        looks = (
            (statements.OLDEST_ORIGINALS_OF_OWNER, (newest.owner, newest.request_id, _SWEEP_ROWS)),
            (statements.OLDEST_ORIGINALS, (newest.request_id, _SWEEP_ROWS)),
        )
        for request_id, size in to_forget(connection, looks, self._bytes - self._most_bytes):
            connection.execute(statements.SETTLE_ORIGINAL, (_GONE, None, None, None, request_id))
            self._bytes -= size
