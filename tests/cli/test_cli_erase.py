"""`afterbay erase`: who it takes, what it says, and what is left afterwards."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from afterbay.cli.erase import run_erase
from afterbay.core.decision import Record
from afterbay.store.database import open_database
from afterbay.store.writer import Writer

from .conftest import Run


def requests_of(config: Path, key: str) -> None:
    """Two requests of Ada's key, as a gateway would have logged them."""
    writer = Writer(open_database(f"sqlite:///{config.parent / 'state.db'}"), 1.0)
    rows = [
        Record(f"req_{at}", 1000.0, "chat", "openai.chat", key_id=key, key_name="laptop", user="ada", outcome="ok")
        for at in range(2)
    ]
    assert writer.insert(rows, 64, lambda: None) == 0
    writer.close()


def test_a_user_is_erased_once_they_have_ended(run: Run, config: Path) -> None:
    made = run("keys", "create", "laptop", "--user", "ada", "--json")
    requests_of(config, json.loads(made.stdout)["id"])

    told = run("erase", "--user", "ada", "--dry-run")
    assert told.returncode == 0
    assert "requests\t2\twould be made nobody's" in told.stdout
    assert "nothing was changed" in told.stderr

    told = run("erase", "--user", "ada")
    assert told.returncode == 0
    assert "still live" in told.stderr
    assert "keys revoke user:ID" in told.stderr

    assert run("keys", "revoke", "user:ada").returncode == 0
    told = run("erase", "--user", "ada", "--json")
    found = json.loads(told.stdout)
    assert (told.returncode, found["requests"], found["names"], found["is_overwritten"]) == (0, 0, 2, True)
    assert run("keys", "audit", "--verify").returncode == 0
    assert "user.erase" in run("keys", "audit").stdout
    for file in config.parent.glob("state.db*"):
        assert b"laptop" not in file.read_bytes()
        assert b'"ada"' not in file.read_bytes()
    again = run("erase", "--user", "ada")
    assert (again.returncode, "nothing is kept of user 'ada'" in again.stderr) == (0, True)


def test_one_of_user_and_key_is_wanted(run: Run, config: Path) -> None:
    for wrong in ((), ("--user", "a", "--key", "b"), ("--user", ""), ("--key", "k", "--organisation", "o")):
        done = run("erase", *wrong)
        assert done.returncode == 2, wrong
        assert "afterbay: error: " in done.stderr


def test_without_a_database_there_is_nothing_to_erase(run: Run, config: Path) -> None:
    done = run("erase", "--user", "ada")
    assert done.returncode == 1
    assert not (config.parent / "state.db").exists()


def test_a_database_in_use_that_could_not_be_overwritten_is_a_failure(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = json.loads(run("keys", "create", "me", "--json").stdout)["id"]
    requests_of(config, key)
    monkeypatch.setattr("afterbay.store.erase.BUSY_S", 0.05)
    monkeypatch.setenv("EMU_KEY", "sk-emulated-key")
    with closing(sqlite3.connect(config.parent / "state.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM requests").fetchone()
        with pytest.raises(SystemExit):
            run_erase(config, None, key, None, dry_run=False, as_json=False)
    told = capsys.readouterr()
    assert "requests\t2\tmade nobody's" in told.out
    assert "could not be overwritten; erase again" in told.err
    assert run("erase", "--key", key).returncode == 0
