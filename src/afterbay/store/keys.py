"""Virtual keys and tenants on SQLite: found in memory, shown once, kept as HMAC-SHA-256 digests (see `keyform.py`).

A change is worked out, written and entered in the audit log in one write transaction, on rows that are known to be the
newest: two processes that change at once do so one after the other, and neither decides by what the other undid.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import msgspec

from afterbay.policy.authority import Actor
from afterbay.policy.rights import Preference, Rights
from afterbay.store import statements
from afterbay.store.audit import NO_HASH, Anchor, Broken, Entry, chained, check_chain
from afterbay.store.database import Database, pepper, transaction
from afterbay.store.errors import NameTaken, StoreUnavailable
from afterbay.store.keyform import KeyInfo, KeyRow
from afterbay.store.keyring import Keyring
from afterbay.store.owners import Tenant
from afterbay.store.register import Change
from afterbay.store.rows import Row, rfc3339

T = TypeVar("T")


_AUDIT_ROWS: Final = 500
"""Entries of the audit log that are read at a time to verify it."""


class SqliteKeys(Keyring):
    """Implements `ports.Keys`, and what operators do with keys and tenants.

    Whoever owns this calls `refresh_if_changed` every second or so: it costs microseconds where nothing happened, and
    sees what another process did. One lock guards the one connection.
    """

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        self._connection = database.connect()
        super().__init__(pepper(self._connection), now)
        self._data_version = self._keys_version = -1
        self.refresh_if_changed()

    def refresh_if_changed(self) -> bool:
        """Reads the keys again if they changed since; whether they did.

        Two steps: `PRAGMA data_version` says whether another connection wrote anything (2 µs, no I/O), the counter
        `keys` whether that was keys and not the request log.

        Raises:
            sqlite3.Error: the database cannot be read now; the keys known so far stay.
        """
        with self._lock:
            seen = int(self._connection.execute(statements.DATA_VERSION).fetchone()[0])
            if seen == self._data_version:
                return False
            changed = self._refresh()
            self._data_version = seen
            return changed

    def verify_audit(self, anchor: Anchor | None = None) -> Anchor | Broken:
        """Whether the audit log is whole. See `afterbay.store.audit.check_chain`."""
        return check_chain(self._whole_log(), anchor)

    def _whole_log(self) -> Iterator[Entry]:
        """All entries, some at a time: in between others may use the connection."""
        after, rows = -(1 << 62), []
        while True:
            with self._lock, _told():
                rows = self._connection.execute(statements.NEXT_AUDIT, (after, _AUDIT_ROWS)).fetchall()
            yield from map(_entry, rows)
            if len(rows) < _AUDIT_ROWS:
                return
            after = rows[-1][0]

    def close(self) -> None:
        """Closes the connection. `find` goes on with what it knows."""
        with self._lock:
            self._connection.close()

    def _entries(self, before: int, tenant: str, limit: int) -> Sequence[Entry]:
        place = f"/{tenant}/" if tenant else ""
        with self._lock, _told():
            rows = self._connection.execute(statements.SELECT_AUDIT, (before, place, limit)).fetchall()
        return list(map(_entry, rows))

    def _do(self, by: str, act: Callable[[Actor], Change]) -> Change:
        with self._lock:
            with _told(), transaction(self._connection):
                self._refresh()
                change = act(self._actor(by))
                self._write(by, change)
            self._keys_version += 1
            self._accept(change)
            return change

    def _write(self, by: str, change: Change) -> None:
        run = self._connection.execute
        try:
            for tenant in change.tenants:
                run(statements.UPSERT_TENANT, _tenant_row(tenant))
            for row in change.keys:
                run(statements.UPSERT_KEY, _key_row(row))
        except sqlite3.IntegrityError as taken:
            raise NameTaken.named("key or tenant", change.subject) from taken
        enter(self._connection, self._now(), by, change)

    def _refresh(self) -> bool:
        """Reads everything again if the counter of the keys has moved."""
        row = self._connection.execute(statements.KEYS_VERSION).fetchone()
        version = 0 if row is None else int(row[0])
        if version == self._keys_version:
            return False
        self._register.load(
            map(_tenant, self._connection.execute(statements.SELECT_TENANTS)),
            map(_key, self._connection.execute(statements.SELECT_KEYS)),
        )
        self._index()
        self._keys_version = version
        return True


def enter(connection: sqlite3.Connection, at: float, by: str, change: Change) -> None:
    """Writes a change's entry of the audit log, and lets other processes know that keys or tenants are new.

    In a transaction of the caller's, that has the rows too.
    """
    run = connection.execute
    number, last_hash = run(statements.LAST_AUDIT).fetchone() or (0, NO_HASH)
    last = Anchor(number, last_hash)
    one = chained(last, rfc3339(at), by, change.action, change.subject, change.path, change.details)
    path = "".join(f"/{each}/" for each in one.path)
    values = (one.number, one.at, one.actor, one.action, one.subject, path, one.details, one.hash, one.salt, one.digest)
    run(statements.INSERT_AUDIT, values)
    run(statements.BUMP_KEYS_VERSION)


@contextmanager
def _told() -> Iterator[None]:
    """Makes an error of the database one for operators.

    Raises:
        StoreUnavailable
    """
    try:
        yield
    except sqlite3.Error as broken:
        raise StoreUnavailable(
            f"The database of the keys cannot be used now: {broken}.", "Try again; nothing was changed."
        ) from broken


def _text(value: Any) -> str | None:
    """JSON for a column; NULL for what is empty."""
    text = msgspec.json.encode(value).decode()
    return None if text in ("{}", "[]") else text


def _value(text: str | None, kind: type[T]) -> T:
    return kind() if text is None else msgspec.json.decode(text, type=kind)


def _key_row(row: KeyRow) -> Row:
    info = row.info
    return (
        info.id,
        info.name,
        row.digest,
        info.hint,
        info.created_at,
        info.revoked_at,
        info.owner,
        info.role,
        _text(info.rights),
        _text(info.preference),
        _text(info.charged),
        row.old_digest,
        info.old_until,
        int(info.throwaway),
    )


def _key(row: tuple[Any, ...]) -> KeyRow:
    info = KeyInfo(
        id=row[0],
        name=row[1],
        hint=row[3],
        created_at=row[4],
        revoked_at=row[5],
        owner=row[6],
        role=row[7],
        rights=_value(row[8], Rights),
        preference=_value(row[9], Preference),
        charged=() if row[10] is None else msgspec.json.decode(row[10], type=tuple[str, ...]),
        old_until=row[12],
        throwaway=bool(row[13]),
    )
    return KeyRow(info, bytes(row[2]), None if row[11] is None else bytes(row[11]))


def _tenant_row(one: Tenant) -> Row:
    return (
        one.id,
        one.kind,
        one.name,
        one.parent,
        _text(one.rights),
        _text(one.preference),
        one.created_at,
        one.ended_at,
    )


def _tenant(row: tuple[Any, ...]) -> Tenant:
    rights, preference = _value(row[4], Rights), _value(row[5], Preference)
    return Tenant(row[0], row[1], row[2], row[3], rights, preference, row[6], row[7])


def _entry(row: tuple[Any, ...]) -> Entry:
    path = tuple(one for one in str(row[5]).split("/") if one)
    return Entry(row[0], row[1], row[2], row[3], row[4], path, row[6], row[7], row[8] or "", row[9] or "")
