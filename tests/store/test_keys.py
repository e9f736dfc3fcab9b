"""Virtual keys on SQLite, beyond the contract."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.errors import ClientMistake, PolicyRefusal
from afterbay.policy.rights import EVERYTHING, Rights
from afterbay.store import migrations
from afterbay.store.audit import Anchor, Broken
from afterbay.store.database import Database, open_database
from afterbay.store.errors import InvalidKey, StoreUnavailable
from afterbay.store.keyform import is_well_formed, new_secret
from afterbay.store.keys import SqliteKeys
from afterbay.store.reading import engine
from afterbay.store.register import Wish
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


def test_keys_of_an_older_release_keep_what_they_may(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    config = migrations.configuration()
    with engine(Database(path)).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        connection.execute(
            sa.text(
                "INSERT INTO keys (id, name, digest, hint, models, admin, created_at) VALUES"
                " ('key_1', 'some', x'01', 'ab-1', '[\"gpt\",\"auto\"]', 0, '2026-01-01T00:00:00.000000Z'),"
                " ('key_2', 'boss', x'02', 'ab-2', NULL, 1, '2026-01-02T00:00:00.000000Z')"
            )
        )
    keys = SqliteKeys(open_database(f"sqlite:///{path}"))
    some, boss = keys.list()
    assert (some.rights, some.role) == (Rights(models=frozenset({"gpt", "auto"})), None)
    assert (boss.rights, boss.role) == (EVERYTHING, "admin")
    effective = keys.effective(boss)
    assert effective is not None
    assert effective.admin


def test_a_change_that_fails_leaves_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = SqliteKeys(database)
    keys.create("one")
    monkeypatch.setattr("afterbay.store.keys.statements.INSERT_AUDIT", "INSERT INTO nowhere VALUES (1)")
    with pytest.raises(StoreUnavailable, match="nothing was changed"):
        keys.revoke("one")
    monkeypatch.undo()
    assert [info.name for info in keys.list()] == ["one"], "no change without its entry"
    assert [info.name for info in SqliteKeys(database).list()] == ["one"]


def test_a_change_is_worked_out_on_what_others_did_before(database: Database) -> None:
    one, two = SqliteKeys(database), SqliteKeys(database)
    team = one.create_tenant("team", "t", wish=Wish(Rights(models=frozenset("a"))))
    boss = one.create("boss", owner=team.id, role="manager").info.id
    assert two.create("made", by=boss).info.owner == team.id
    one.revoke(boss)
    with pytest.raises(PolicyRefusal, match="has ended"):
        two.create("more", by=boss)
    assert [entry.number for entry in one.audit()] == [4, 3, 2, 1]
    assert one.verify_audit() == two.verify_audit()


def test_entries_that_were_changed_removed_or_put_in_are_found(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afterbay.store.keys._AUDIT_ROWS", 2)
    keys = SqliteKeys(database)
    rest = "at, actor, action, subject, path, details, hash, salt, digest"
    for number in range(5):
        keys.create(f"k{number}")
    for change, number in (
        ("UPDATE audit SET actor = 'key_x' WHERE number = 3", 3),
        ("UPDATE audit SET number = 9 WHERE number = 5", 5),
        ("DELETE FROM audit WHERE number = 2", 2),
        (f"INSERT INTO audit SELECT 6, {rest} FROM audit WHERE number = 5", 6),  # noqa: S608
    ):
        copy = Database(database.path.with_name(f"{number}.db"))
        with closing(database.connect()) as source, closing(sqlite3.connect(copy.path)) as place:
            source.backup(place)
            place.execute(change)
            place.commit()
        found = SqliteKeys(copy).verify_audit()
        assert isinstance(found, Broken)
        assert found.number == number


def test_what_looks_like_a_secret_is_not_in_the_log(database: Database) -> None:
    keys = SqliteKeys(database)
    for name, models in ((new_secret(), "gpt"), ("one", new_secret())):
        with pytest.raises((InvalidKey, ClientMistake), match=r"(?s)looks like a key|`models` cannot be used"):
            keys.create(name, Rights(models=frozenset({models})))
    secret = "sk-nearly-a-key-and-not-drawn"  # may be a name, and is not written all the same
    keys.create("one", Rights(models=frozenset({secret, "gpt"})))
    (entry,) = keys.audit()
    assert secret not in entry.details
    assert '"gpt"' in entry.details
    assert keys.verify_audit() == Anchor(1, entry.hash)


@given(st.integers(3, 51), st.sampled_from("0Az"))
def test_a_changed_character_breaks_the_checksum(place: int, other: str) -> None:
    secret = new_secret()
    changed = secret[:place] + other + secret[place + 1 :]
    assert is_well_formed(secret)
    assert len(secret) == 52
    assert is_well_formed(changed) == (changed == secret)
