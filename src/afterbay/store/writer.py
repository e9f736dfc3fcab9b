"""Inserts and removals on one connection, used by the log's thread alone.

Many rows go into one statement (up to 256, then 128, 64 ... for the rest), not one a statement as `executemany` does
it: sqlite3 lets go of the interpreter lock around each statement, and while the event loop is fully busy it takes up to
5 ms (`sys.getswitchinterval`) to get it back. A statement a row would then write 100 requests a second.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final

from afterbay.core.decision import Record
from afterbay.store import rollup_statements, statements
from afterbay.store.charges import charge
from afterbay.store.database import Database, transaction
from afterbay.store.rollup import roll_up
from afterbay.store.rows import Row, attempt_rows, request_row, rfc3339, storable

_log = logging.getLogger(__name__)

STEP_ROWS: Final = 256
"""Most rows in one statement: with 36 columns 9,216 parameters, of the 32,766 that SQLite takes."""

_BAD_ROW: Final = (
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.IntegrityError,
    sqlite3.DataError,
    OverflowError,
    ValueError,
    TypeError,
)
"""Raised because of what a row holds; every other `sqlite3.Error` is the database's own trouble."""


class Writer:
    """Opens its connection when first needed and again after trouble."""

    def __init__(self, database: Database, busy_s: float) -> None:
        self._database, self._busy_s = database, busy_s
        self._connection: sqlite3.Connection | None = None

    def insert(self, records: Sequence[Record], slice_records: int, pause: Callable[[], None]) -> int:
        """Writes records with their attempts and charges their accounts, all in one transaction.

        Returns how many could not be stored whatever we do.

        `pause` is called between slices of the work that needs the interpreter lock.

        Raises:
            sqlite3.Error: the database takes nothing now; nothing was written.
        """
        requests: list[Row] = []
        attempts: list[Row] = []
        try:
            for part in sliced(records, slice_records):
                for record in part:
                    requests.append(request_row(record))
                    attempts += attempt_rows(record)
                pause()
            self._write(records, requests, attempts)
        except _BAD_ROW:
            return sum(not self._insert_alone(record) for record in records)
        return 0

    def remove_old(self, before_utc_s: float, rows: int) -> bool:
        """Removes at most `rows` requests received before a time, with their attempts. Whether more may be left.

        Those that are in no roll-up yet stay.

        Raises:
            sqlite3.Error: the database takes nothing now.
        """
        connection = self._connected()
        with transaction(connection):
            removed = connection.execute(statements.DELETE_OLD, (rfc3339(max(0.0, before_utc_s)), rows)).rowcount
            connection.execute(rollup_statements.LOWER_MARK)
        return removed == rows

    def roll_up(self, rows: int) -> bool:
        """Sums at most `rows` more rows of the log by the hour. Whether more may be left.

        Raises:
            sqlite3.Error: the database takes nothing now.
        """
        return roll_up(self._connected(), rows)

    def remove_old_rollups(self, before_utc_s: float, rows: int) -> bool:
        """Removes at most `rows` roll-ups of hours that began before a time. Whether more may be left.

        Raises:
            sqlite3.Error: the database takes nothing now.
        """
        hour = rfc3339(max(0.0, before_utc_s))[:13]
        return self._connected().execute(rollup_statements.DELETE_OLD, (hour, rows)).rowcount == rows

    def close(self) -> None:
        """Closes the connection; the next call opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._database.connect(self._busy_s)
        return self._connection

    def _write(self, records: Sequence[Record], requests: Sequence[Row], attempts: Sequence[Row]) -> None:
        connection = self._connected()
        with transaction(connection):
            charge(connection, records)  # before the rows are there: those that are were charged
            _insert_rows(connection, statements.INSERT_REQUESTS, requests)
            _insert_rows(connection, statements.INSERT_ATTEMPTS, attempts)

    def _insert_alone(self, record: Record) -> bool:
        """The slow way, after a batch held a row that can't be bound: as it is, then cleaned, then not at all."""
        try:
            requests, attempts = [request_row(record)], attempt_rows(record)
            try:
                self._write([record], requests, attempts)
            except _BAD_ROW:
                self._write([record], [storable(row) for row in requests], [storable(row) for row in attempts])
        except _BAD_ROW as bad:
            _log.error("request %s cannot be stored: %s", record.id, bad)
            return False
        return True


def sliced(records: Sequence[Record], size: int) -> Iterator[Sequence[Record]]:
    """The records in parts of at most `size`."""
    for start in range(0, len(records), size):
        yield records[start : start + size]


def _insert_rows(connection: sqlite3.Connection, head: str, rows: Sequence[Row]) -> None:
    """Few statements: as many rows at once as a power of two allows, so that the same few texts stay prepared."""
    done, left = 0, len(rows)
    while left:
        size = min(STEP_ROWS, 1 << (left.bit_length() - 1))
        statement = statements.insert(head, len(rows[0]), size)
        connection.execute(statement, tuple(chain.from_iterable(rows[done : done + size])))
        done, left = done + size, left - size
