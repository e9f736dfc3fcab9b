"""Opening: URLs, modes, pragmas, many processes at once."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from afterbay.store.database import open_database, pepper, sqlite_path, transaction
from afterbay.store.errors import StoreError


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///afterbay.db", "afterbay.db"),
        ("sqlite:////var/lib/a.db", "/var/lib/a.db"),
        ("sqlite+pysqlite:///my%20state.db", "my state.db"),
    ],
)
def test_urls_name_files_as_in_sqlalchemy(url: str, path: str) -> None:
    assert sqlite_path(url) == Path(path)


@pytest.mark.parametrize(
    "url", ["postgresql://h/db", "", "afterbay.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a?b=c"]
)
def test_other_urls_are_refused_with_a_remedy(url: str) -> None:
    with pytest.raises(StoreError, match=r"sqlite:///afterbay\.db"):
        sqlite_path(url)


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/deep/state.db")
    with closing(database.connect()) as connection:
        pepper(connection)
        files = list((tmp_path / "deep").iterdir())
        assert {file.name for file in files} == {"state.db", "state.db-wal", "state.db-shm"}
        assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_a_file_that_is_no_database_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"certainly not a database, but long enough to be read as one" * 50)
    with pytest.raises(StoreError, match=r"cannot be opened.*state\.database"):
        open_database(f"sqlite:///{tmp_path}/a.db")


def test_connections_have_the_pragmas_that_the_design_counts_on(tmp_path: Path) -> None:
    with closing(open_database(f"sqlite:///{tmp_path}/a.db").connect()) as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        values = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    assert values == ["wal", 1, 1, 5000]


def test_the_pepper_is_made_once(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    with closing(database.connect()) as one, closing(database.connect()) as two:
        assert pepper(one) == pepper(two)
        assert len(pepper(one)) == 32


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    with closing(open_database(f"sqlite:///{tmp_path}/a.db").connect()) as connection:
        with pytest.raises(sqlite3.IntegrityError), transaction(connection):
            connection.executemany("INSERT INTO counters (name, value) VALUES (?, 1)", [("x",), ("x",)])
        assert connection.execute("SELECT count(*) FROM counters").fetchone()[0] == 0


def test_many_processes_may_create_one_database_at_once(tmp_path: Path) -> None:
    code = f"""
from afterbay.store.database import open_database, pepper
print(pepper(open_database("sqlite:///{tmp_path}/a.db").connect()).hex())
"""
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(6)]
    peppers = {process.communicate(timeout=20)[0].strip() for process in started}
    assert len(peppers) == 1
    assert all(process.returncode == 0 for process in started)
