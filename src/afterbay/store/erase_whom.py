"""Who is meant when somebody is to be erased, and what in the store is theirs."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import ClassVar, Final, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from afterbay.store.errors import StoreError

NOBODY: Final = "erased"
"""What stands where a name stood."""

Kind: TypeAlias = Literal["user", "key"]

_THEIRS: Final = (
    "(key_id IN (SELECT value FROM json_each(:keys)) OR (user_name = :user AND (:of IS NULL OR organisation = :of)))"
)
_USERS = "SELECT id, name, parent, ended_at IS NULL FROM tenants WHERE kind = 'user' AND (id = ?1 OR name = ?1)"
_PARENT = "SELECT kind, name, parent FROM tenants WHERE id = ?1"
_KEYS_OF = "SELECT id, name, revoked_at IS NULL FROM keys WHERE owner = ?1 ORDER BY created_at, id"
_KEYS_CALLED = "SELECT id FROM keys WHERE id = ?1 OR name = ?1 ORDER BY created_at, id"
_KEYS_LOGGED = (
    "SELECT DISTINCT key_id FROM requests WHERE key_id IS NOT NULL AND (key_id = ?1 OR key_name = ?1) ORDER BY key_id"
)
_KEYS_OF_USER = (
    "SELECT DISTINCT key_id FROM requests WHERE key_id IS NOT NULL"
    " AND user_name = ?1 AND (?2 IS NULL OR organisation = ?2) ORDER BY key_id"
)
_SHARED = "SELECT EXISTS (SELECT 1 FROM requests WHERE key_id = ?1 AND (user_name IS NULL OR user_name != ?2))"
_IS_ORGANISATION = (
    "SELECT EXISTS (SELECT 1 FROM tenants WHERE kind = 'organisation' AND name = ?1)"
    " OR EXISTS (SELECT 1 FROM requests WHERE organisation = ?1)"
)
_LIVE_KEY = "SELECT revoked_at IS NULL, name, owner FROM keys WHERE id = ?1"


class Whom(msgspec.Struct, frozen=True):
    """A user by id or name (`organisation`: only one of that organisation), or a key by id or name."""

    kind: Kind
    name: str
    organisation: str | None = None


class Person(msgspec.Struct, frozen=True):
    """A user or a key, with all that is theirs.

    `id`: of the user or key, empty for one that only the log knows; `path`: the ids from the top down to it. `words`:
    what they are called. `keys`: whose answers are theirs alone, `shared`: whose are not. `where`: the condition on the
    log, with `values`. `live`, `ended`: ids of users and keys that have not ended, and that have, with a name yet.
    """

    kind: Kind
    id: str
    path: tuple[str, ...]
    words: tuple[str, ...]
    keys: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    values: Mapping[str, str | None] = {}
    live: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()

    where: ClassVar[str] = _THEIRS


class Ambiguous(StoreError):
    """A name is that of several."""


class UnknownOrganisation(StoreError):
    """There is, and was, no organisation of this name."""


def find(connection: sqlite3.Connection, whom: Whom) -> Person:
    """Who is meant.

    Raises:
        Ambiguous: several keys have, or had, this name, or several users.
        UnknownOrganisation: neither the register nor the log has the organisation that was named.
    """
    return _user(connection, whom) if whom.kind == "user" else _key(connection, whom)


def _user(connection: sqlite3.Connection, whom: Whom) -> Person:
    rows = [row for row in connection.execute(_USERS, (whom.name,)) if row[1] != NOBODY or row[0] == whom.name]
    places = {row[0]: _place(connection, row[2]) for row in rows}
    known = [row for row in rows if whom.organisation in (None, places[row[0]][0])]
    if len(known) > 1:
        raise Ambiguous(
            f"'{whom.name}' is the name of {len(known)} users: {', '.join(row[0] for row in known)}.",
            "Give the id of the one that is meant: --user ID.",
        )
    if not known:
        _check_organisation(connection, whom.organisation)
        return _logged(connection, whom.name, whom.organisation)
    user_id, name, _, is_live = known[0]
    organisation, above = places[user_id]
    own = connection.execute(_KEYS_OF, (user_id,)).fetchall()
    keys = tuple(row[0] for row in own)
    ended = [row[0] for row in own if not row[2] and row[1] != NOBODY]
    ended += [user_id] if not is_live and name != NOBODY else []
    person = Person(
        "user",
        user_id,
        (*above, user_id),
        (name,) if name != NOBODY else (),
        keys,
        values=_values(keys),
        live=(*([user_id] if is_live else []), *(row[0] for row in own if row[2])),
        ended=tuple(ended),
    )
    if user_id == whom.name:
        return person
    logged = _logged(connection, name, organisation, keys)
    return replace(person, keys=logged.keys, shared=logged.shared, values=logged.values)


def _check_organisation(connection: sqlite3.Connection, name: str | None) -> None:
    if name is not None and not connection.execute(_IS_ORGANISATION, (name,)).fetchone()[0]:
        raise UnknownOrganisation(
            f"There is no organisation '{name[:80]}', and the log has none.",
            "`afterbay keys tenants` shows those there are.",
        )


def _logged(connection: sqlite3.Connection, name: str, organisation: str | None, own: tuple[str, ...] = ()) -> Person:
    """What the log has of a user by name; `own`: the keys that are known to be theirs."""
    if name == NOBODY:
        return Person("user", "", (), (), values=_values(()))
    used = [row[0] for row in connection.execute(_KEYS_OF_USER, (name, organisation)) if row[0] not in own]
    shared = tuple(key for key in used if connection.execute(_SHARED, (key, name)).fetchone()[0])
    keys = (*own, *(key for key in used if key not in shared))
    return Person("user", "", (), (name,), keys, shared, _values(own, name, organisation))


def _values(
    keys: tuple[str, ...], name: str | None = None, organisation: str | None = None
) -> Mapping[str, str | None]:
    return {"keys": msgspec.json.encode(keys).decode(), "user": name, "of": organisation}


def _key(connection: sqlite3.Connection, whom: Whom) -> Person:
    known = [row[0] for row in connection.execute(_KEYS_CALLED, (whom.name,))]
    known += [row[0] for row in connection.execute(_KEYS_LOGGED, (whom.name,)) if row[0] not in known]
    if whom.name in known:
        known = [whom.name]
    if whom.name == NOBODY:
        known = []
    if len(known) > 1:
        raise Ambiguous(
            f"'{whom.name}' is the name of {len(known)} keys: {', '.join(known)}.",
            "Give the id of the one that is meant: --key ID.",
        )
    if not known:
        return Person("key", "", (), (whom.name,), values=_values(()))
    key = known[0]
    row = connection.execute(_LIVE_KEY, (key,)).fetchone()
    is_live, name, owner = row if row is not None else (0, whom.name, "")
    above = _place(connection, owner)[1]
    return Person(
        "key",
        key,
        above,
        (name,) if name != NOBODY else (),
        (key,),
        values=_values((key,)),
        live=(key,) if is_live else (),
        ended=() if is_live or row is None or name == NOBODY else (key,),
    )


def _place(connection: sqlite3.Connection, owner: str) -> tuple[str | None, tuple[str, ...]]:
    """The name of the organisation that something stands in, and the ids from the top down to `owner`."""
    organisation, path = None, [owner] if owner else []
    while owner:
        kind, name, owner = connection.execute(_PARENT, (owner,)).fetchone() or ("", "", "")
        organisation = name if kind == "organisation" else organisation
        if owner:
            path.insert(0, owner)
    return organisation, tuple(path)
