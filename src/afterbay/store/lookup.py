"""One request by its id: without SQLAlchemy, because a gateway asks this while serving (`GET /v1/requests/{id}`)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Final

import msgspec

from afterbay.core.decision import Record
from afterbay.store import statements
from afterbay.store.database import Database
from afterbay.store.rows import record_of

_NEAR: Final = 5
_ENDING: Final = 6
"""A shorter end would mean too many."""


def one_request(database: Database, request_id: str) -> Record | None:
    """The record, or None: unknown, too old, or not yet written (see `LogLimits.flush_s`). Blocks: for a thread.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    with closing(database.connect()) as connection:
        connection.row_factory = sqlite3.Row
        row = connection.execute(statements.SELECT_REQUEST, (request_id,)).fetchone()
        if row is None:
            return None
        return record_of(row, connection.execute(statements.SELECT_ATTEMPTS, (request_id,)).fetchall())


class Found(msgspec.Struct, frozen=True):
    """What part of an id leads to: the one id, or those that are near."""

    one: str | None
    near: tuple[str, ...] = ()


def find_request(database: Database, part: str) -> Found:
    """The request that a part of its id means: all of it, a beginning (with or without `req_`), or an end of at least
    six characters, as `tail` shows it. `near`: those that it could mean, or those that begin most alike.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    part = part.strip().lstrip("…").lower()
    whole = part if part.startswith("req_") else f"req_{part}"
    with closing(database.connect()) as connection:
        after = [row[0] for row in connection.execute(statements.IDS_FROM, (whole, _NEAR + 1))]
        begun = [one for one in after if one.startswith(whole)] if part else []
        if whole in begun:
            return Found(whole)
        if not begun and len(part) >= _ENDING:
            query = connection.execute(statements.IDS_ENDING, (-len(part), part, _NEAR + 1))
            begun = [row[0] for row in query]
        if len(begun) == 1:
            return Found(begun[0])
        before = [row[0] for row in connection.execute(statements.IDS_BEFORE, (whole, _NEAR))]
    near = begun or sorted({*after, *before}, key=lambda one: -_alike(one, whole))
    return Found(None, tuple(near[:_NEAR]))


def _alike(one: str, other: str) -> int:
    """With how many letters both begin."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
