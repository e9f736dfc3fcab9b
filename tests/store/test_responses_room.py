"""Kept responses never take more room than they may, and who fills it loses its own first."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from afterbay.ports import KeptResponse
from afterbay.store.database import open_database
from afterbay.store.responses import SqliteResponses

NOON_S = 1_770_000_000.0
SIZE = 10_000


@pytest.fixture
def responses(tmp_path: Path) -> Iterator[SqliteResponses]:
    database = open_database(f"sqlite:///{tmp_path}/state.db")
    one = SqliteResponses(database, retention_s=1e9, most_bytes=10 * SIZE, now=lambda: NOON_S)
    yield one
    one.close()


def keep(responses: SqliteResponses, name: str, key: str, at_s: float) -> None:
    kept = KeptResponse(name, key, NOON_S + at_s, "", "m", None, os.urandom(SIZE - 100), b"{}")
    asyncio.run(responses.put(kept))


def is_kept(responses: SqliteResponses, name: str) -> bool:
    return asyncio.run(responses.get(name)) is not None


def test_who_keeps_too_much_loses_the_oldest_of_its_own(responses: SqliteResponses) -> None:
    keep(responses, "resp_other", "key_2", -100.0)
    for number in range(30):
        keep(responses, f"resp_{number}", "key_1", float(number))
    assert is_kept(responses, "resp_other"), "the oldest of all, but another key's"
    assert [number for number in range(30) if is_kept(responses, f"resp_{number}")] == list(range(21, 30))


def test_the_newest_is_kept_though_others_fill_the_room(responses: SqliteResponses) -> None:
    for number in range(10):
        keep(responses, f"resp_{number}", f"key_{number}", float(number))
    keep(responses, "resp_new", "key_new", 100.0)
    assert is_kept(responses, "resp_new")
    assert not is_kept(responses, "resp_0")


def test_what_was_kept_before_a_start_counts(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    for number in range(12):
        one = SqliteResponses(open_database(url), retention_s=1e9, most_bytes=5 * SIZE, now=lambda: NOON_S)
        keep(one, f"resp_{number}", "key_1", float(number))
        one.close()
    last = SqliteResponses(open_database(url), retention_s=1e9, now=lambda: NOON_S)
    assert [number for number in range(12) if is_kept(last, f"resp_{number}")] == list(range(7, 12))
    last.close()
