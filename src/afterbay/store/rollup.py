"""Roll-ups: the request log summed by the hour, so that no report reads its rows.

One row of `rollups` holds what the requests of an hour have in common (`DIMENSIONS`) and their sums; `rollup_steps` its
durations, by the steps of `policy.sketch`; `rollup_failures` how what failed did. Rows of the log never change once
they are written, and their `seq` rises in the order of the commits (SQLite has one writer at a time). So a mark, the
`seq` up to which all is summed, is enough: it moves in the transaction that adds the sums, and whoever is killed in
between has done nothing. Any process may go on from it.

Sums are by the hour of arrival, in UTC, and exact. Requests are counted with the provider and model that answered,
attempts with those that were asked: what a provider bills, it bills for attempts. The answer among the attempts is the
last one that went well, else the last one; the others (failed, raced, cut off, repairs) are beside it.

It is all SQL and no loop over rows, because sqlite3 lets go of the interpreter lock for a whole statement: the event
loop of a gateway goes on while its log is summed.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from itertools import chain
from typing import Final

from afterbay.policy.sketch import BOUNDS
from afterbay.store import rollup_statements as statements
from afterbay.store.database import Database, transaction

STEP_ROWS: Final = 4096
"""Most rows of the log summed in one transaction."""

PAUSE_S: Final = 0.02
"""Between two transactions of who sums a lot: a gateway's own thread, which waits for the lock, gets it then."""

FORGET_ROWS: Final = 500
"""Roll-ups that are made nobody's in one transaction."""

HOUR_GROUPS: Final = 10_000
"""So many rows of one hour keep what clients name freely: tags, agents, tasks. What comes then is summed under `*`."""

FOLDED: Final = statements.FOLDED
"""Stands for tags that were too many to tell apart; `FOLDED_NAME` for agents and tasks."""
FOLDED_NAME: Final = statements.FOLDED_NAME


def roll_up(connection: sqlite3.Connection, rows: int = STEP_ROWS, groups: int = HOUR_GROUPS) -> bool:
    """Sums at most `rows` more rows of the log. Whether any may be left.

    Raises:
        sqlite3.Error: the database takes nothing now; nothing has changed.
    """
    _prepare(connection)
    with transaction(connection):
        mark = rolled(connection)
        end = connection.execute(statements.END, (mark, rows)).fetchone()[0]
        if end is None:
            return False
        connection.execute(statements.STAGE, (mark, end))
        connection.execute(statements.FOLD, (groups,))
        for statement in statements.SUMS:
            connection.execute(statement)
        connection.execute(statements.CLEAR)
        connection.execute(statements.SET_MARK, (end,))
    return bool(connection.execute(statements.END, (end, 1)).fetchone()[0])


def rolled(connection: sqlite3.Connection) -> int:
    """The `seq` up to which the log is summed."""
    row = connection.execute(statements.MARK).fetchone()
    return 0 if row is None else int(row[0])


def catch_up(database: Database, most_rows: int | None = None, told: Callable[[int, int], None] | None = None) -> bool:
    """Sums what is in the log and not summed yet, or `most_rows` of it. For reports. Whether nothing is left.

    Between two transactions it lets other writers go first. `told` hears how many rows are done, of about how many.

    Raises:
        sqlite3.Error: the database cannot be written.
    """
    with closing(database.connect()) as connection:
        start = rolled(connection)
        of = connection.execute(statements.LAST).fetchone()[0] - start
        if of <= 0:
            return True
        while roll_up(connection, STEP_ROWS):
            done = rolled(connection) - start
            if told is not None:
                told(done, of)
            if most_rows is not None and done >= most_rows:
                return False
            time.sleep(PAUSE_S)
        return True


def forget_user(connection: sqlite3.Connection, user: str, organisation: str | None = None) -> int:
    """Makes the sums of a user nobody's, with the agents, tasks and tags of their requests. The sums stay.

    `organisation`: only theirs of that name. Make the rows of the log nobody's first, or they are summed by name again.
    Returns how many roll-ups were theirs. Some at a time, so that a running gateway is not held up; running it again is
    harmless.

    Raises:
        sqlite3.Error: the database takes nothing now; it can be gone on with.
    """
    return _forget(connection, statements.FORGET_USER, (user, organisation, FORGET_ROWS))


def forget_key(connection: sqlite3.Connection, key_id: str) -> int:
    """The same for a key, by its id.

    Raises:
        sqlite3.Error: see `forget_user`.
    """
    return _forget(connection, statements.FORGET_KEY, (key_id, None, FORGET_ROWS))


def _forget(connection: sqlite3.Connection, choose: str, values: tuple[str | int | None, ...]) -> int:
    connection.execute(statements.MAKE_FORGOTTEN)
    done = 0
    while True:
        with transaction(connection):
            chosen = connection.execute(choose, values).rowcount
            for statement in statements.FORGET:
                connection.execute(statement)
        done += chosen
        if chosen < FORGET_ROWS:
            return done


def _prepare(connection: sqlite3.Connection) -> None:
    """The connection's own tables: the rows at work, and the steps of durations."""
    if connection.execute(statements.IS_PREPARED).fetchone() is not None:
        return
    connection.execute(statements.MAKE_BOUNDS)
    # One statement and not one a step: see `writer.py`.
    places = ", ".join(["(?, ?)"] * len(BOUNDS))
    connection.execute(statements.INSERT_BOUNDS + places, tuple(chain.from_iterable(enumerate(BOUNDS))))
    connection.execute(statements.MAKE_ROLLING)
