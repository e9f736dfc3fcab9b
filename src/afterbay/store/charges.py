"""Requests are charged to accounts: table `spending`, and the leases that they were set aside from.

It happens in the transaction that writes the request, and only for requests that are not there yet: so a request that
is written again, after trouble or out of a journal, is charged once, and none is charged without being written.

Sums go into few statements, as in `writer.py` and for its reason.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import Final, TypeAlias, TypeVar

from afterbay.core.decision import Record
from afterbay.policy.allowance import KEPT_SCOPES
from afterbay.policy.charge import charge_of
from afterbay.policy.period import ALL_TIME, CALENDARS, begin_of, day_of
from afterbay.store import statements
from afterbay.store.database import Database
from afterbay.store.rows import Row, storable

UNITS: Final = ("picousd", "requests", "tokens")
"""The columns of `spending`, each a unit of `policy.allowance`."""
_KEPT: Final = tuple(f"{scope}:" for scope in KEPT_SCOPES)
"""How accounts begin that may have a limit in total."""
STEP_ROWS: Final = 256
STEP_LEASES: Final = 32
"""SQLite compares each lease with each row of the statement: it is a square, and small ones are cheaper."""

_Sums: TypeAlias = dict[tuple[str, ...], list[int]]
_Alike: TypeAlias = dict[tuple[tuple[str, ...], str, str], list[int]]
"""Sums of requests that are charged alike, by accounts, day and holder: a batch has few of them."""
_Key = TypeVar("_Key")


def charge(connection: sqlite3.Connection, records: Sequence[Record]) -> None:
    """Charges those of the records that are not in the log yet. Call it before they are, in the same transaction.

    Raises:
        ValueError, OverflowError: a time of day is none.
    """
    alike: _Alike = {}
    for record in _not_there(connection, [record for record in records if record.accounts]):
        charged = charge_of(record)
        amounts = (charged.picousd, charged.requests, charged.tokens)
        _plus(alike, (record.accounts, day_of(record.received_at), record.charged_by), amounts)
    spent: _Sums = {}
    used: _Sums = {}
    for (accounts, day, holder), sums in alike.items():
        _add(accounts, day, holder, sums, spent, used)
    for part in _parts([(*key, *sums) for key, sums in spent.items()]):
        groups = ", ".join(["(?, ?, ?, ?, ?)"] * len(part))
        statement = statements.CHARGE + groups + statements.ADD_TO_SPENDING
        connection.execute(statement, tuple(chain.from_iterable(part)))
    for part in _parts([(*key, *sums) for key, sums in used.items()], STEP_LEASES):
        groups = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(part))
        connection.execute(statements.LOWER_LEASES.format(groups), tuple(chain.from_iterable(part)))


def charged_to(database: Database, account: str) -> int:
    """Picodollars that an account was charged, ever.

    Raises:
        sqlite3.Error: the database does not answer.
    """
    days = ALL_TIME.begin_day, ALL_TIME.end_day
    with closing(database.connect()) as connection:
        row = connection.execute(statements.SPENT.format("picousd"), (account_text(account), *days)).fetchone()
    return int(row[0])


def account_text(account: str) -> str:
    """An account as the tables can hold it: what a client sends as a tag may have characters that they can't."""
    return account if account.isascii() else account.encode("utf-8", "replace").decode()


def _add(accounts: Sequence[str], day: str, holder: str, amounts: Sequence[int], spent: _Sums, used: _Sums) -> None:
    """Adds requests of the same accounts to the sums of those, and to those of the leases they were taken from."""
    for account in dict.fromkeys(map(account_text, accounts)):
        _plus(spent, (account, day), amounts)
        if not holder:
            continue
        for unit, amount in zip(UNITS, amounts, strict=True):
            for period in CALENDARS if account.startswith(_KEPT) else CALENDARS[:-1]:
                if amount:
                    _plus(used, (account, unit, period, begin_of(period, day), holder), [amount])


def _plus(sums: dict[_Key, list[int]], key: _Key, amounts: Sequence[int]) -> None:
    found = sums.get(key)
    if found is None:
        sums[key] = list(amounts)
    else:
        for place, amount in enumerate(amounts):
            found[place] += amount


def _not_there(connection: sqlite3.Connection, records: Sequence[Record]) -> Iterable[Record]:
    """Those that are not in the log yet, each once."""
    by_id = {str(storable((record.id,))[0]): record for record in reversed(records)}  # of twins the first is written
    for part in _parts(list(by_id)):
        there = connection.execute(statements.THOSE_THERE.format(", ".join("?" * len(part))), tuple(part))
        for row in there.fetchall():
            del by_id[row[0]]
    return by_id.values()


def _parts(rows: Sequence[Row] | Sequence[str], step_rows: int = STEP_ROWS) -> Iterator[Sequence[Row] | Sequence[str]]:
    """Parts whose lengths are powers of two, so that the same few statements stay prepared."""
    done, left = 0, len(rows)
    while left:
        size = min(step_rows, 1 << (left.bit_length() - 1))
        yield rows[done : done + size]
        done, left = done + size, left - size
