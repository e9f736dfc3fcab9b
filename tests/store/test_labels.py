"""What is too old goes from the tables of labels, whether or not anything new comes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from afterbay.store.database import Database, open_database
from afterbay.store.labels import SqliteLabels
from afterbay.testing.labels import label, pair
from afterbay.testing.stores import T0

DAY_S = 86400.0


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(f"sqlite:///{tmp_path}/a.db")


def rows(database: Database) -> dict[str, int]:
    connection = database.connect()
    try:
        names = ("labels", "pairs", "imprints")
        return {one: connection.execute(f"SELECT COUNT(*) FROM {one}").fetchone()[0] for one in names}  # noqa: S608
    finally:
        connection.close()


def swept(database: Database, at: float, most_imprints: int = 10) -> list[bool]:
    """What each sweep says until there is nothing more."""

    async def sweep() -> list[bool]:
        labels = SqliteLabels(database, retention_s=DAY_S, most_imprints=most_imprints, now=lambda: at)
        said = [await labels.sweep()]
        while said[-1]:
            said.append(await labels.sweep())
        labels.close()
        return said

    return asyncio.run(sweep())


def fill(database: Database, many: int) -> None:
    async def put() -> None:
        labels = SqliteLabels(database, retention_s=1e12, most_imprints=10**6, now=lambda: T0)
        for number in range(many):
            name, at = f"req_{number:06d}", T0 + number
            await labels.put(label(name, at))
            await labels.put_pair(pair(name, at))
            await labels.put_imprint(name, "auto", at, b"x")
        labels.close()

    asyncio.run(put())


def test_what_is_too_old_goes_without_anything_new(database: Database) -> None:
    fill(database, 6)
    assert swept(database, T0 + DAY_S + 2.5) == [False]
    assert rows(database) == {"labels": 3, "pairs": 3, "imprints": 3}
    swept(database, T0 + 3 * DAY_S)
    assert rows(database) == {"labels": 0, "pairs": 0, "imprints": 0}


def test_of_many_imprints_the_oldest_go_a_few_at_a_time_and_it_says_that_there_are_more(database: Database) -> None:
    fill(database, 1100)
    assert swept(database, T0 + 1100) == [True, True, False]
    assert rows(database) == {"labels": 1100, "pairs": 1100, "imprints": 10}
