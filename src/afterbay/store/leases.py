"""Leases of allowances on SQLite: who may use how much without asking (see `policy.lease`).

A lease does not end by time. Whoever holds it may use it while nobody can reach the database, so nobody else may have
it, not even when its holder was killed: that one's last requests are in its journal, and only when they are charged is
it known what was left. Then, and not before, `retire` ends its leases. Those of a past day or month end by themselves.

A call: a holder that lacks what others hold writes how much it wants, with a number that goes up. The others look for
such rows, return what they have free, and note the number; when all have, who called has all that there is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Final, Protocol

import msgspec

from afterbay.policy.allowance import Period, Unit
from afterbay.policy.lease import Standing, granted
from afterbay.policy.period import OLDEST_DAY, begin_of, day_of, last_day_of
from afterbay.policy.window import COUNTS_S
from afterbay.store import statements
from afterbay.store.charges import UNITS, account_text
from afterbay.store.database import Database, transaction

KEPT_DAYS: Final = 400
"""So long what was charged on a day is known: this month's budgets need 31 of them, people ask about last year. What
keys and their owners were charged before is one sum, for limits in total."""
_DAY_S: Final = 86_400.0


class Part(msgspec.Struct, frozen=True):
    """One unit of one account in one day, one month or all time, or (`begin_day` empty) in the last minute."""

    account: str
    unit: Unit
    period: Period
    begin_day: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """As the table has it."""
        return account_text(self.account), self.unit, self.period, self.begin_day


class Ask(msgspec.Struct, frozen=True):
    """What a holder does with one lease: it returns `give`, then wants to have `need` free where it has `have`.

    `grows`: whether it takes any more; `answers`: whether it has returned what it can, for all who called so far.
    """

    part: Part
    limit: int
    give: int = 0
    have: int = 0
    need: int = 0
    grows: bool = True
    answers: bool = False


class Answer(msgspec.Struct, frozen=True):
    """What came of it: by how much the lease grew, and how the allowance stands then.

    `short`: how much is lacking that others hold, who have been called. `is_final`: all have answered, and it is still
    lacking.
    """

    more: int
    standing: Standing
    short: int = 0
    is_final: bool = False


class Leases(Protocol):
    """Where holders lease from. Calls block; one thread makes them. All raise `sqlite3.Error`: nothing was done."""

    def exchange(self, asks: Sequence[Ask], now_s: float) -> list[Answer]:
        """Does all of it or nothing."""

    def look(self, parts: Sequence[tuple[Part, int]], now_s: float) -> list[Standing]:
        """How allowances (with their limits) stand."""

    def calls(self) -> list[tuple[Part, int]]:
        """Who calls for what this holder has and has not answered: what is wanted altogether."""

    def leave(self, now_s: float) -> None:
        """The holder goes: what it returned is deleted, its minutes end in a minute. What is not written yet stays."""

    def close(self) -> None:
        """Lets the database go; the next call opens it again."""


class _Rows(msgspec.Struct):
    """The rows of one part: one's own, and what matters of the others'."""

    own: int = 0
    wanted: int = 0
    called: int = 0
    answered: int = 0
    others: int = 0
    holders: int = 1
    last_call: int = 0
    """The highest number among those that others called with."""
    top: int = 0
    """The highest number anywhere."""
    slowest: int = 1 << 62
    """The lowest number that was answered by any other who holds something."""


class SqliteLeases:
    """Implements `Leases` for `holder`: a name that no other process has or had."""

    def __init__(self, database: Database, holder: str, busy_s: float = 1.0) -> None:
        self._database, self.holder, self._busy_s = database, holder, busy_s
        self._connection: sqlite3.Connection | None = None
        self._expired_on = ""

    def exchange(self, asks: Sequence[Ask], now_s: float) -> list[Answer]:
        """See `Leases`."""
        try:
            connection = self._connected()
            with transaction(connection):
                today = day_of(now_s)
                if today != self._expired_on:
                    _expire(connection, now_s)
                answers = [self._exchange(connection, ask, now_s) for ask in asks]
        except sqlite3.Error:
            self.close()
            raise
        self._expired_on = today
        return answers

    def look(self, parts: Sequence[tuple[Part, int]], now_s: float) -> list[Standing]:
        """See `Leases`."""
        try:
            connection = self._connected()
            connection.execute("BEGIN")  # what is read is of one moment
            try:
                return [
                    _standing(connection, part, limit, self._rows(connection, part, now_s)) for part, limit in parts
                ]
            finally:
                connection.execute("COMMIT")
        except sqlite3.Error:
            self.close()
            raise

    def calls(self) -> list[tuple[Part, int]]:
        """See `Leases`."""
        try:
            rows = self._connected().execute(statements.SELECT_CALLS, (self.holder,)).fetchall()
        except sqlite3.Error:
            self.close()
            raise
        return [(Part(*row[:4]), int(row[4])) for row in rows]

    def leave(self, now_s: float) -> None:
        """See `Leases`."""
        try:
            connection = self._connected()
            with transaction(connection):
                connection.execute(statements.LEAVE_RETURNED, (self.holder,))
                connection.execute(statements.LEAVE_MINUTES, (now_s + COUNTS_S, self.holder))
        finally:
            self.close()

    def close(self) -> None:
        """See `Leases`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._database.connect(self._busy_s)
        return self._connection

    def _exchange(self, connection: sqlite3.Connection, ask: Ask, now_s: float) -> Answer:
        rows = self._rows(connection, ask.part, now_s)
        before = (rows.own, rows.wanted, rows.called, rows.answered)
        rows.own -= ask.give
        if ask.answers:
            rows.answered = max(rows.answered, rows.last_call)
        standing = _standing(connection, ask.part, ask.limit, rows)
        more, short, is_final = 0, 0, False
        if ask.grows:
            more = granted(standing, ask.have, ask.need)
            rows.own += more
            lacks = ask.need - ask.have - more
            if lacks > 0 and rows.others:  # after a limit was lowered others hold more than there is
                short = lacks + max(0, -msgspec.structs.replace(standing, own=rows.own).unleased)
            is_final = _call(rows, short)
        after = (rows.own, rows.wanted, rows.called, rows.answered)
        if after != before:
            connection.execute(statements.WRITE_LEASE, (*ask.part.key, self.holder, *after))
        return Answer(more, msgspec.structs.replace(standing, own=rows.own), short, is_final)

    def _rows(self, connection: sqlite3.Connection, part: Part, now_s: float) -> _Rows:
        rows = _Rows()
        for holder, amount, wanted, called, answered, until_s in connection.execute(
            statements.SELECT_LEASES, (*part.key, now_s)
        ).fetchall():
            rows.top = max(rows.top, called, answered)
            if holder == self.holder:
                rows.own, rows.wanted, rows.called, rows.answered = amount, wanted, called, answered
                continue
            if wanted:
                rows.last_call = max(rows.last_call, called)
            if amount > 0:
                rows.others += amount
                rows.holders += 1
                if until_s is None:  # one that is gone returns nothing
                    rows.slowest = min(rows.slowest, answered)
        return rows


def retire(database: Database, holder: str, now_s: float) -> None:
    """Ends the leases of a process that is gone. Call it when all that its journal holds is charged, not before.

    Its minutes count for another minute: it may have used them up to its end. Once is enough, and twice does no harm.

    Raises:
        sqlite3.Error: the database does not answer.
    """
    with closing(database.connect()) as connection, transaction(connection):
        connection.execute(statements.RETIRE_HOLDER, (holder,))
        connection.execute(statements.LEAVE_RETURNED, (holder,))
        connection.execute(statements.LEAVE_MINUTES, (now_s + COUNTS_S, holder))


def holders(database: Database) -> list[str]:
    """Who holds leases: processes that run, and dead ones that were not retired.

    Raises:
        sqlite3.Error: the database does not answer.
    """
    with closing(database.connect()) as connection:
        return [row[0] for row in connection.execute(statements.SELECT_HOLDERS)]


def _call(rows: _Rows, short: int) -> bool:
    """Calls the others, or ends a call. Whether all have answered it and something is lacking all the same."""
    was_called = rows.wanted > 0
    rows.wanted = short
    if not short:
        return False
    if not was_called:
        rows.called = rows.top + 1
        return False
    if rows.slowest < rows.called:
        return False
    rows.wanted = 0
    return True


def _standing(connection: sqlite3.Connection, part: Part, limit: int, rows: _Rows) -> Standing:
    spent = 0
    if part.period != "minute":
        assert part.unit in UNITS, "a unit is a column"  # noqa: S101
        last_day = last_day_of(part.period, part.begin_day)
        query = statements.SPENT.format(part.unit)
        spent = int(connection.execute(query, (part.key[0], part.begin_day, last_day)).fetchone()[0])
    return Standing(limit, spent, rows.own, rows.others, rows.holders)


def _expire(connection: sqlite3.Connection, now_s: float) -> None:
    """Removes leases of days and months that were over a day ago, and what is too old to be asked for."""
    yesterday = day_of(now_s - _DAY_S)
    connection.execute(statements.DELETE_OLD_LEASES, (yesterday, begin_of("month", yesterday), now_s))
    before = day_of(max(0.0, now_s - KEPT_DAYS * _DAY_S))
    connection.execute(statements.FOLD_OLD_SPENDING, (OLDEST_DAY, OLDEST_DAY, before))
    connection.execute(statements.DELETE_OLD_SPENDING, (OLDEST_DAY, before))
