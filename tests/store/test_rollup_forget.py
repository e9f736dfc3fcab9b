"""Somebody who is forgotten: their name is gone from the roll-ups, and no sum has changed."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from afterbay.core.decision import Record
from afterbay.store import rollup
from afterbay.store.database import Database, open_database
from afterbay.store.rollup import catch_up, forget_key, forget_user
from afterbay.store.rollup_statements import ATTEMPT_SUMS, DIMENSIONS, REQUEST_SUMS
from afterbay.testing.made_log import records, write

T0 = 1_795_000_000.0 - 1_795_000_000.0 % 3600
SUMS = (*REQUEST_SUMS, *ATTEMPT_SUMS)


def database(folder: Path, found: list[Record]) -> Database:
    folder.mkdir(exist_ok=True)
    made = open_database(f"sqlite:///{folder}/state.db")
    write(made, iter(found))
    catch_up(made)
    return made


def rows(database: Database, table: str = "rollups") -> list[dict[str, Any]]:
    with closing(database.connect()) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608


def everything(database: Database) -> tuple[Counter[tuple[Any, ...]], Counter[tuple[Any, ...]], Counter[Any]]:
    """All that the roll-ups hold, without their ids."""
    names = {row["id"]: tuple(row[name] for name in DIMENSIONS) for row in rows(database)}
    sums = Counter((*names[row["id"]], *(row[name] for name in SUMS)) for row in rows(database))
    steps: Counter[tuple[Any, ...]] = Counter()
    for row in rows(database, "rollup_steps"):
        steps[names[row["rollup_id"]], row["measure"], row["step"]] += row["count"]
    failures: Counter[Any] = Counter()
    for row in rows(database, "rollup_failures"):
        failures[names[row["rollup_id"]], row["scope"], row["outcome"], row["status"]] += row["count"]
    return sums, steps, failures


def forgotten(record: Record) -> Record:
    """As the log keeps a request that was made nobody's."""
    record.user, record.key_id, record.key_name = "erased", None, "erased"
    record.agent, record.task, record.tags = None, None, {}
    return record


def made(count: int = 400) -> list[Record]:
    return list(records(count, begin_utc_s=T0, days=0.2))


@pytest.mark.parametrize("some", [7, 500])
def test_a_user_that_is_forgotten_leaves_what_a_log_without_their_name_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, some: int
) -> None:
    monkeypatch.setattr(rollup, "FORGET_ROWS", some)
    named = database(tmp_path / "named", made())
    with closing(named.connect()) as connection:
        assert forget_user(connection, "ana") > 20
        assert forget_user(connection, "ana") == 0
    nameless = database(tmp_path / "nameless", [forgotten(one) if one.user == "ana" else one for one in made()])
    assert everything(named) == everything(nameless)


def test_a_key_that_is_forgotten_leaves_its_team_its_sums(tmp_path: Path) -> None:
    found = database(tmp_path, made())
    before = {name: sum(row[name] for row in rows(found) if row["team"] == "support") for name in SUMS}
    with closing(found.connect()) as connection:
        assert forget_key(connection, "key_support") > 0
        assert forget_key(connection, "") == 0
    assert {name: sum(row[name] for row in rows(found) if row["team"] == "support") for name in SUMS} == before
    assert "key_support" not in {row["key_id"] for row in rows(found)}
    assert {row["user_name"] for row in rows(found) if row["team"] == "support"} == {"erased"}


def test_a_user_of_the_same_name_elsewhere_is_not_forgotten(tmp_path: Path) -> None:
    two = made(60)
    for record in islice(two, 30):
        record.organisation = "other"
    found = database(tmp_path, two)
    with closing(found.connect()) as connection:
        forget_user(connection, "ana", "acme")
    left = Counter(row["organisation"] for row in rows(found) if row["user_name"] == "ana")
    assert left["acme"] == 0 < left["other"]


def test_requests_that_are_summed_later_join_what_is_nobodys_already(tmp_path: Path) -> None:
    found = database(tmp_path, made())
    with closing(found.connect()) as connection:
        forget_user(connection, "ana")
    lines = len(rows(found))
    late = [record for record in made(800) if record.user == "ana"][:40]
    again = [forgotten(record) for record in late]
    for number, record in enumerate(again):
        record.id = f"req_late{number:020}"
    write(found, iter(again))
    catch_up(found)
    assert sum(row["requests"] for row in rows(found)) == 440
    assert len(rows(found)) - lines < 40


def test_whoever_is_stopped_half_way_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = database(tmp_path, made())
    requests = sum(row["requests"] for row in rows(found))
    monkeypatch.setattr(rollup, "FORGET_ROWS", 10)
    original, left = rollup.statements.FORGET, [3]

    class Stopping(tuple[str, ...]):
        def __iter__(self) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return super().__iter__()

    monkeypatch.setattr(rollup.statements, "FORGET", Stopping(original))
    with closing(found.connect()) as connection, pytest.raises(KeyboardInterrupt):
        forget_user(connection, "ana")
    assert sum(row["user_name"] == "ana" for row in rows(found)) > 0
    monkeypatch.setattr(rollup.statements, "FORGET", original)
    with closing(found.connect()) as connection:
        forget_user(connection, "ana")
    assert not sum(row["user_name"] == "ana" for row in rows(found))
    assert sum(row["requests"] for row in rows(found)) == requests
