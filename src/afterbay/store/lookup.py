"""One request by its id, for `GET /v1/requests/{id}`: without SQLAlchemy, because a gateway asks this while serving."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from afterbay.core.decision import Record
from afterbay.store import statements
from afterbay.store.database import Database
from afterbay.store.rows import record_of


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
