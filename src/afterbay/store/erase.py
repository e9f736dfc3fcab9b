"""Everything that the store holds of one person, or of one key, is deleted or made nobody's.

What people said (`responses`) is deleted. What was done for them (`requests`) loses whose it was and every word that
came from the client or that a provider may have quoted, and keeps what reports add up: time, model, tokens, cost. So
sums stay, by organisation and team too, and `erased` stands where a name stood. A user that has ended and keys that are
revoked lose their names, and the audit log its details of them (`audit.py` says how its chain still holds); live ones
keep both, since somebody still asks with them.

`SPOKEN_FOR` has every table with what is done there; a test holds it against the schema, so that no new table is
forgotten. Rows are changed some hundreds at a time, so that a running gateway is not held up. What is deleted is
overwritten (`secure_delete`), and at the end the file is written anew (`VACUUM`) and the write-ahead log emptied:
pages have copies of what once lay on them. Running it again is harmless, and needed where something was still on its
way: see `Erased.waiting`. Who is meant is worked out in `erase_whom.py`.
"""

from __future__ import annotations

import glob
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from afterbay.policy.authority import OPERATOR
from afterbay.store.audit import ERASE, ERASED
from afterbay.store.database import Database, transaction
from afterbay.store.erase_whom import NOBODY, Ambiguous, Person, UnknownOrganisation, Whom, find
from afterbay.store.keys import enter
from afterbay.store.register import Change
from afterbay.store.rollup import forget_key, forget_user

__all__ = ["NOBODY", "ROWS", "SPOKEN_FOR", "Ambiguous", "Erased", "UnknownOrganisation", "Waiting", "Whom", "erase"]

ROWS: Final = 500
"""Rows changed in one transaction."""
BUSY_S: Final = 30.0

SPOKEN_FOR: Final[Mapping[str, str]] = MappingProxyType(
    {
        "responses": "deleted",
        "originals": "deleted: who repeats a request of theirs sends it anew",
        "requests": "made nobody's",
        "attempts": "made nobody's with their request",
        "labels": "lose their comment, and stay as scores of nobody's requests",
        "pairs": "stay: scores of nobody's requests",
        "imprints": "deleted",
        "keys": "a revoked key loses its name, the beginning of its secret, its rights and its preference",
        "tenants": "a user that has ended loses its name, its rights and its preference",
        "audit": "entries about them lose their details, if they have ended",
        "spending": "a tag whose value is their name is that of `erased`; accounts of ids say nothing of anybody",
        "leases": "counted where a tag's value is their name: they go when their holder returns them",
        "rollups": "added to those of nobody, of the same hour and model",
        "rollup_steps": "the same",
        "rollup_failures": "the same",
        "routers": "weights over hashed words of many, and what was certified with them; nothing of anybody's",
        "secrets": "nothing of anybody's",
        "counters": "nothing of anybody's",
        "configurations": "nothing of anybody's",
    }
)
"""What becomes of each table."""

_ATTEMPTS = "coalesce(sum((SELECT count(*) FROM attempts WHERE request_id = id)), 0)"
_COUNT = f"SELECT count(*), {_ATTEMPTS} FROM requests WHERE {Person.where}"  # noqa: S608
_NEXT = f"SELECT seq, id FROM requests WHERE seq > :after AND {Person.where} ORDER BY seq LIMIT {ROWS}"  # noqa: S608
_FORGET_REQUEST = (
    "UPDATE requests SET key_id = NULL, key_name = CASE WHEN key_id IS NULL THEN key_name ELSE 'erased' END,"
    " user_name = CASE WHEN user_name IS NULL THEN NULL ELSE 'erased' END,"
    " requested_model = CASE WHEN requested_model IN (model, route, upstream_model) THEN requested_model"
    " ELSE 'erased' END, agent = NULL, task = NULL, tags = NULL, traceparent = NULL, error = NULL, warnings = NULL,"
    " circumstances = NULL, decision = NULL, rejected = CASE WHEN provider = '' THEN NULL ELSE rejected END,"
    " compliance = CASE WHEN provider = '' THEN NULL ELSE compliance END WHERE seq = ?"
)
_FORGET_COMMENT = "UPDATE labels SET comment = NULL WHERE request_id = ? AND comment IS NOT NULL"
_FORGET_IMPRINT = "DELETE FROM imprints WHERE request_id = ?"
_FORGET_ATTEMPTS = "UPDATE attempts SET error = NULL WHERE request_id = ?"
_RESPONSES = "SELECT id, provider FROM responses WHERE key_id = ?1"
_FORGET_RESPONSES = f"DELETE FROM responses WHERE id IN (SELECT id FROM responses WHERE key_id = ?1 LIMIT {ROWS})"  # noqa: S608
_ORIGINALS = (
    f"owner IN (SELECT value FROM json_each(:keys)) OR request_id IN (SELECT id FROM requests WHERE {Person.where})"  # noqa: S608
    " OR (user_name = :user AND :of IS NULL)"
)
_COUNT_ORIGINALS = f"SELECT count(*) FROM originals WHERE {_ORIGINALS}"  # noqa: S608
_FORGET_ORIGINALS = f"DELETE FROM originals WHERE name IN (SELECT name FROM originals WHERE {_ORIGINALS} LIMIT {ROWS})"  # noqa: S608
_FORGET_KEY = (
    "UPDATE keys SET name = 'erased', hint = '', rights = NULL, preference = NULL"
    " WHERE id = ?1 AND revoked_at IS NOT NULL AND name != 'erased'"
)
_FORGET_TENANT = (
    "UPDATE tenants SET name = 'erased', rights = NULL, preference = NULL"
    " WHERE id = ?1 AND ended_at IS NOT NULL AND name != 'erased'"
)
_ABOUT = "SELECT number FROM audit WHERE subject = ?1 AND details != '' AND digest IS NOT NULL AND action NOT LIKE ?2"
_NAMING = (
    "SELECT number, details FROM audit WHERE instr(details, ?1) > 0 AND details != '' AND digest IS NOT NULL"
    " AND action NOT LIKE ?2 AND instr(path, '/' || ?3 || '/') > 0"
)
_FORGET_DETAILS = "UPDATE audit SET details = '', salt = NULL WHERE number = ?1"
_TAGGED = "SELECT DISTINCT account FROM {} WHERE account LIKE 'tag:%' AND substr(account, instr(account, '=') + 1) = ?1"
_FORGET_TAG = (
    "INSERT INTO spending (account, day, picousd, requests, tokens)"
    " SELECT ?2, day, picousd, requests, tokens FROM spending WHERE account = ?1"
    " ON CONFLICT (account, day) DO UPDATE SET picousd = picousd + excluded.picousd,"
    " requests = requests + excluded.requests, tokens = tokens + excluded.tokens"
)


class Waiting(msgspec.Struct, frozen=True):
    """A file beside the database, or a table, that still has something of them: a gateway works on it, and then it has
    to be erased again."""

    file: str
    mentions: int


class Erased(msgspec.Struct, frozen=True):
    """What was done, or with `dry_run` would be.

    `repeatable`: answers and keys for repeats. `names`: of users and keys; `entries`: of the audit log. `keys` are the
    keys whose answers were deleted, `live` the keys and users that have not ended, `shared` the user's keys that others
    used, too: answers say a key and no user, so theirs stay. `at_providers`: ids of answers that a provider keeps, and
    that have to be deleted there.
    `is_overwritten`: no older page of the database, nor of its write-ahead log, has anything of it.
    """

    requests: int
    attempts: int
    responses: int
    repeatable: int = 0
    names: int = 0
    entries: int = 0
    keys: tuple[str, ...] = ()
    live: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    at_providers: dict[str, list[str]] = {}
    waiting: tuple[Waiting, ...] = ()
    is_overwritten: bool = True
    dry_run: bool = False


def erase(database: Database, whom: Whom, *, dry_run: bool = False, now: float | None = None) -> Erased:
    """Erases a user or a key. `now`: UTC seconds, for the audit log; None: the clock's.

    Raises:
        Ambiguous: several keys have, or had, this name, or several users.
        UnknownOrganisation: neither the register nor the log has the organisation that was named.
        sqlite3.Error: the database cannot be read or written.
    """
    with closing(database.connect(BUSY_S)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        person = find(connection, whom)
        told = _told(connection, database.path, person)
        if dry_run:
            return msgspec.structs.replace(told, dry_run=True)
        for key in person.keys:  # first: it is by requests that some keys are known, should this be interrupted
            _forget_responses(connection, key)
        _forget_originals(connection, person)
        _forget_requests(connection, person)
        _forget_sums(connection, person)
        _forget_names(connection, person, told, time.time() if now is None else now)
        # Though there was nothing to do: the last time somebody's reading may have been in the way of this.
        return msgspec.structs.replace(told, is_overwritten=_overwrite(connection))


def _told(connection: sqlite3.Connection, path: Path, person: Person) -> Erased:
    requests, attempts = connection.execute(_COUNT, person.values).fetchone()
    kept = [row for key in person.keys for row in connection.execute(_RESPONSES, (key,))]
    at_providers: dict[str, list[str]] = {}
    for response_id, provider in kept:
        if provider:
            at_providers.setdefault(provider, []).append(response_id)
    return Erased(
        requests=requests,
        attempts=attempts,
        responses=len(kept),
        repeatable=connection.execute(_COUNT_ORIGINALS, person.values).fetchone()[0],
        names=len(person.ended),
        entries=len(_entries(connection, person)),
        keys=person.keys,
        live=person.live,
        shared=person.shared,
        at_providers=at_providers,
        waiting=tuple(_waiting(connection, path, person)),
    )


def _forget_requests(connection: sqlite3.Connection, person: Person) -> None:
    """Makes requests nobody's, some at a time."""
    after = 0
    while rows := connection.execute(_NEXT, {**person.values, "after": after}).fetchall():
        after = rows[-1][0]
        with transaction(connection):
            connection.executemany(_FORGET_REQUEST, [(seq,) for seq, _ in rows])
            for statement in (_FORGET_ATTEMPTS, _FORGET_COMMENT, _FORGET_IMPRINT):
                connection.executemany(statement, [(request_id,) for _, request_id in rows])


def _forget_sums(connection: sqlite3.Connection, person: Person) -> None:
    """Makes the sums of their requests nobody's; after the requests, or those would be summed by name again."""
    for key in json.loads(person.values["keys"] or "[]"):
        forget_key(connection, key)
    user = person.values["user"]
    if user is not None:
        forget_user(connection, user, person.values["of"])


def _forget_responses(connection: sqlite3.Connection, key: str) -> None:
    while True:
        with transaction(connection):
            if connection.execute(_FORGET_RESPONSES, (key,)).rowcount < ROWS:
                return


def _forget_originals(connection: sqlite3.Connection, person: Person) -> None:
    """Before their requests: it is by those that some are known."""
    while True:
        with transaction(connection):
            if connection.execute(_FORGET_ORIGINALS, person.values).rowcount < ROWS:
                return


def _forget_names(connection: sqlite3.Connection, person: Person, told: Erased, at: float) -> None:
    """Takes names out of the register, the spending and the audit log, and enters that there if anything was done."""
    with transaction(connection):
        names = sum(connection.execute(_FORGET_KEY, (one,)).rowcount for one in person.ended)
        names += sum(connection.execute(_FORGET_TENANT, (one,)).rowcount for one in person.ended)
        tags = _tags(connection, "spending", person)
        for account in tags:
            connection.execute(_FORGET_TAG, (account, account[: account.index("=") + 1] + NOBODY))
            connection.execute("DELETE FROM spending WHERE account = ?", (account,))
        entries = _entries(connection, person)
        connection.executemany(_FORGET_DETAILS, [(number,) for number in entries])
        if not (names or tags or entries or told.requests or told.responses or told.repeatable):
            return
        details = {ERASED: entries, "requests": told.requests, "responses": told.responses, "names": names}
        enter(connection, at, OPERATOR.id, Change(person.kind + ERASE, person.id, person.path, details))


def _entries(connection: sqlite3.Connection, person: Person) -> list[int]:
    """Numbers of the entries of the audit log that have something of somebody who has ended.

    Those about them, and those of their organisation (where they stand in none: of their own) that call somebody so.
    One of the same name elsewhere is somebody else, and of whom the register does not know there is no entry.
    """
    found = {row[0] for one in person.ended for row in connection.execute(_ABOUT, (one, f"%{ERASE}"))}
    if person.id and person.path and not person.live:
        for word in person.words:
            asked = (msgspec.json.encode(word).decode(), f"%{ERASE}", person.path[0])
            found.update(
                number for number, details in connection.execute(_NAMING, asked) if _names(json.loads(details), word)
            )
    return sorted(found)


def _names(details: object, word: str) -> bool:
    """Whether somebody, or an agent, is called this in details of an entry. Fields, roles and models are no names."""
    match details:
        case dict():
            agents = details.get("agents")
            is_called = details.get("name") == word or (isinstance(agents, dict) and word in agents)
            return is_called or any(_names(one, word) for one in details.values())
        case list():
            return any(_names(one, word) for one in details)
    return False


def _tags(connection: sqlite3.Connection, table: str, person: Person) -> list[str]:
    return [row[0] for word in person.words for row in connection.execute(_TAGGED.format(table), (word,))]


def _overwrite(connection: sqlite3.Connection) -> bool:
    """Writes the file anew and empties the write-ahead log into it; whether nobody else's reading was in the way."""
    try:
        connection.execute("VACUUM")
    except sqlite3.OperationalError:
        return False
    return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]


def _waiting(connection: sqlite3.Connection, path: Path, person: Person) -> Iterator[Waiting]:
    """Leases, and files of records beside the database, in which they are named."""
    leases = len(_tags(connection, "leases", person))
    if leases:
        yield Waiting("leases", leases)
    words = [msgspec.json.encode(word) for word in dict.fromkeys((*person.words, *person.keys))]
    for file in sorted(path.parent.glob(f"{glob.escape(path.name)}.*")):
        if not file.is_file():
            continue
        with file.open("rb") as lines:
            mentions = sum(any(word in line for word in words) for line in lines)
        if mentions:
            yield Waiting(file.name, mentions)
