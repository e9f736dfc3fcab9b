"""Virtual keys on SQLite: found in memory, shown once, kept as HMAC-SHA-256 digests (see `keyform.py`)."""

from __future__ import annotations

import hmac
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from afterbay.core.secret import Secret
from afterbay.ports import Key
from afterbay.store import statements
from afterbay.store.database import Database, pepper, transaction
from afterbay.store.errors import KeyNameTaken, UnknownKey
from afterbay.store.keyform import HINT_CHARS, KeyInfo, NewKey, check_key, new_secret
from afterbay.store.rows import rfc3339

_LONGEST_SECRET: Final = 512


class SqliteKeys:
    """Implements `ports.Keys`, and what operators do with keys.

    `find` looks in a table in memory. Whoever owns this calls `refresh_if_changed` every second or so: it costs
    microseconds where nothing happened, and sees what another process did. One lock guards the one connection.
    """

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._connection = database.connect()
        self._pepper = pepper(self._connection)
        self._by_digest: dict[bytes, tuple[bytes, Key]] = {}
        self._any = False
        self._data_version = self._keys_version = -1
        self.refresh_if_changed()

    def find(self, secret: str) -> Key | None:
        """The live key of a secret, or None.

        The secret is hashed whole before anything is looked up, so how long that takes says nothing about how much of
        it is right; the digests are then compared in constant time.
        """
        if len(secret) > _LONGEST_SECRET:
            return None
        digest = hmac.digest(self._pepper, secret.encode("utf-8", "replace"), "sha256")
        found = self._by_digest.get(digest)
        if found is None or not hmac.compare_digest(found[0], digest):
            return None
        return found[1]

    def any_exist(self) -> bool:
        """Whether any virtual key was ever created, revoked ones included."""
        return self._any

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
            row = self._connection.execute(statements.KEYS_VERSION).fetchone()
            version = 0 if row is None else int(row[0])
            changed = version != self._keys_version
            if changed:
                self._load()
            self._data_version, self._keys_version = seen, version
            return changed

    def create(self, name: str, models: Iterable[str] = (), *, admin: bool = False) -> NewKey:
        """Makes a key. `models` empty: every model.

        Raises:
            InvalidKey: the name or a model's name cannot be used. KeyNameTaken: a live key has this name.
        """
        allowed = tuple(sorted(set(models)))
        check_key(name, allowed)
        secret = new_secret()
        created_at = rfc3339(self._now())
        info = KeyInfo(f"key_{secrets.token_hex(8)}", name, secret[:HINT_CHARS], allowed, admin, created_at)
        text = msgspec.json.encode(allowed).decode() if allowed else None
        row = (info.id, name, self._digest(secret), info.hint, text, admin, info.created_at, None)
        try:
            self._change(statements.INSERT_KEY, row)
        except sqlite3.IntegrityError as taken:
            raise KeyNameTaken.named(name) from taken
        return NewKey(info, Secret(secret))

    def list(self, *, revoked: bool = False) -> tuple[KeyInfo, ...]:
        """All live keys in the order of their making; the revoked ones too if asked."""
        with self._lock:
            rows = self._connection.execute(statements.SELECT_KEYS).fetchall()
        return tuple(_info(row) for row in rows if revoked or row[7] is None)

    def revoke(self, id_or_name: str) -> KeyInfo:
        """Ends a key: here at once, in other processes when they next refresh. It cannot be brought back.

        Raises:
            UnknownKey: no live key has this id or name.
        """
        info = self._live(id_or_name)
        revoked_at = rfc3339(self._now())
        if not self._change(statements.REVOKE_KEY, (revoked_at, info.id)):
            raise UnknownKey.named(id_or_name)
        return msgspec.structs.replace(info, revoked_at=revoked_at)

    def rotate(self, id_or_name: str) -> NewKey:
        """Gives a key a new secret; the old one ends at once. Id, name and models stay.

        Raises:
            UnknownKey: no live key has this id or name.
        """
        info = self._live(id_or_name)
        secret = new_secret()
        if not self._change(statements.ROTATE_KEY, (self._digest(secret), secret[:HINT_CHARS], info.id)):
            raise UnknownKey.named(id_or_name)
        return NewKey(msgspec.structs.replace(info, hint=secret[:HINT_CHARS]), Secret(secret))

    def close(self) -> None:
        """Closes the connection. `find` goes on with what it knows."""
        with self._lock:
            self._connection.close()

    def _digest(self, secret: str) -> bytes:
        return hmac.digest(self._pepper, secret.encode(), "sha256")

    def _live(self, id_or_name: str) -> KeyInfo:
        for info in self.list():
            if id_or_name in (info.id, info.name):
                return info
        raise UnknownKey.named(id_or_name)

    def _change(self, statement: str, values: tuple[object, ...]) -> int:
        """Runs a statement and bumps the counter that other processes watch. How many rows changed."""
        with self._lock:
            with transaction(self._connection):
                changed = self._connection.execute(statement, values).rowcount
                self._connection.execute(statements.BUMP_KEYS_VERSION)
            self._load()
            return changed

    def _load(self) -> None:
        """Builds the table anew and swaps it in one step: `find` runs without the lock."""
        rows = self._connection.execute(statements.SELECT_KEYS).fetchall()
        self._any = bool(rows)
        self._by_digest = {
            bytes(row[2]): (
                bytes(row[2]),
                Key(row[0], row[1], frozenset(_models(row[4])), bool(row[5]), (f"key:{row[0]}",)),
            )
            for row in rows
            if row[7] is None
        }


def _info(row: tuple[str, str, bytes, str, str | None, int, str, str | None]) -> KeyInfo:
    return KeyInfo(row[0], row[1], row[3], _models(row[4]), bool(row[5]), row[6], row[7])


def _models(text: str | None) -> tuple[str, ...]:
    return () if text is None else msgspec.json.decode(text, type=tuple[str, ...])
