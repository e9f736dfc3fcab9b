"""Virtual keys on SQLite, beyond the contract."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.store.database import Database, open_database
from afterbay.store.keyform import is_well_formed, new_secret
from afterbay.store.keys import SqliteKeys
from afterbay.store.writer import Writer
from afterbay.testing.stores import a_record


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(f"sqlite:///{tmp_path}/state.db")


def test_no_secret_is_on_disk(database: Database) -> None:
    keys = SqliteKeys(database)
    secret = keys.create("ci").secret.reveal()
    keys.close()
    for file in database.path.parent.iterdir():
        assert secret[8:].encode() not in file.read_bytes()


def test_keys_made_and_ended_elsewhere_are_seen_at_the_next_refresh(database: Database) -> None:
    gateway, shell = SqliteKeys(database), SqliteKeys(database)
    secret = shell.create("ci").secret.reveal()
    assert not gateway.any_exist()
    assert gateway.refresh_if_changed()
    assert gateway.any_exist()
    assert gateway.find(secret) is not None
    shell.revoke("ci")
    assert gateway.refresh_if_changed()
    assert gateway.find(secret) is None


def test_a_refresh_is_idle_unless_keys_changed(database: Database) -> None:
    keys = SqliteKeys(database)
    assert not keys.refresh_if_changed()
    writer = Writer(database, 1.0)
    writer.insert([a_record()], 32, lambda: None)
    assert not keys.refresh_if_changed()
    keys.create("mine")
    assert not keys.refresh_if_changed()


def test_two_processes_cannot_take_one_name(database: Database) -> None:
    one, two = SqliteKeys(database), SqliteKeys(database)
    one.create("ci")
    with pytest.raises(Exception, match="named 'ci' already"):
        two.create("ci")
    two.revoke("ci")
    assert one.create("ci").info.name == "ci"


def test_keys_stay_known_when_the_database_goes_away(database: Database) -> None:
    keys = SqliteKeys(database)
    secret = keys.create("ci").secret.reveal()
    keys.close()
    with pytest.raises(sqlite3.Error):
        keys.refresh_if_changed()
    assert keys.find(secret) is not None


def test_digests_of_two_gateways_differ(tmp_path: Path) -> None:
    one, two = (SqliteKeys(open_database(f"sqlite:///{tmp_path}/{name}.db")) for name in "ab")
    assert two.find(one.create("ci").secret.reveal()) is None


@given(st.integers(3, 51), st.sampled_from("0Az"))
def test_a_changed_character_breaks_the_checksum(place: int, other: str) -> None:
    secret = new_secret()
    changed = secret[:place] + other + secret[place + 1 :]
    assert is_well_formed(secret)
    assert len(secret) == 52
    assert is_well_formed(changed) == (changed == secret)
