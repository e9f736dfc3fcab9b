"""`afterbay keys`, and what a gateway and its clients see of it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from .conftest import Run, config_text, started

Answered: TypeAlias = subprocess.CompletedProcess[str]
SECRET = r"ab-[0-9A-Za-z]{49}"


def test_the_secret_is_alone_on_stdout(run: Run, config: Path) -> None:
    done = run("keys", "create", "me")
    assert re.fullmatch(SECRET + "\n", done.stdout)
    assert "its secret is shown this once" in done.stderr
    assert str(config.parent / "state.db") in done.stderr
    assert "it is the first key" in done.stderr
    assert "first key" not in run("keys", "create", "you").stderr


def test_a_list_shows_the_beginning_and_never_the_secret(run: Run, config: Path) -> None:
    secret = run("keys", "create", "app", "-m", "gpt", "-m", "auto").stdout.strip()
    done = run("keys", "list")
    assert secret not in done.stdout
    headings, row = done.stdout.splitlines()
    assert headings.split("\t")[:4] == ["id", "name", "begins with", "models"]
    assert row.split("\t")[1:5] == ["app", secret[:7], "auto, gpt", "no"]


def test_no_keys_are_no_error(run: Run, config: Path) -> None:
    done = run("keys", "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "`afterbay keys create NAME` makes one" in done.stderr
    assert run("keys", "list", "--json").stdout == "[]\n"
    assert not (config.parent / "state.db").exists()


def test_an_unknown_model_is_warned_of_with_the_nearest_names(run: Run, config: Path) -> None:
    done = run("keys", "create", "me", "-m", "clade", "-m", "openai/gpt-5")
    assert done.returncode == 0
    assert "warning: no model or route is called 'clade', so the key cannot use it now." in done.stderr
    assert "The nearest names are: claude, " in done.stderr
    assert "openai/gpt-5'" not in done.stderr


def test_a_new_secret_ends_the_old_one_and_keeps_the_name(run: Run, config: Path) -> None:
    old = json.loads(run("keys", "create", "me", "--json").stdout)
    new = json.loads(run("keys", "rotate", "me", "--json").stdout)
    assert new["secret"] != old["secret"]
    assert new["id"] == old["id"]
    (listed,) = json.loads(run("keys", "list", "--json").stdout)
    assert listed["hint"] == new["secret"][:7]


def test_mistakes_are_sentences(run: Run, config: Path) -> None:
    run("keys", "create", "me")
    taken = run("keys", "create", "me")
    assert taken.returncode == 1
    assert taken.stderr == (
        "afterbay: error: There is a key named 'me' already. Choose another name, or revoke or rotate that key.\n"
    )
    unknown = run("keys", "revoke", "you")
    assert unknown.returncode == 1
    assert "No live key has the id or name 'you'. `afterbay keys list` shows those there are." in unknown.stderr
    assert run("keys", "create", "a b").returncode == 1


def test_a_revoked_key_is_shown_only_when_asked(run: Run, config: Path) -> None:
    run("keys", "create", "me")
    assert "me (key_" in run("keys", "revoke", "me").stderr
    assert run("keys", "list").stdout == ""
    assert "\tme\t" in run("keys", "list", "--revoked").stdout


def test_a_running_gateway_asks_for_the_key_takes_it_and_refuses_it_once_revoked(
    run: Run, tmp_path: Path, emulator: str
) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(config_text(emulator, tmp_path / "g.db"))
    with started(
        tmp_path, tmp_path / "log", r"listening on (http://\S+)", "serve", "-c", "g.yaml", "--port", "0"
    ) as at:
        url = {"AFTERBAY_URL": at[1]}
        secret = run("keys", "create", "me", "-c", "g.yaml").stdout.strip()
        none = within(2.5, lambda: run("ask", "-m", "gpt", "[[say in]]", env=url), exit_code=1)
        good = run("ask", "-m", "gpt", "[[say in]]", env={**url, "AFTERBAY_KEY": secret})
        run("keys", "revoke", "me", "-c", "g.yaml")
        keyed = {**url, "AFTERBAY_KEY": secret}
        gone = within(2.5, lambda: run("ask", "-m", "gpt", "[[say in]]", env=keyed), exit_code=1)
    assert none.returncode == 1
    assert "error: This gateway needs a key." in none.stderr
    assert "Here: set AFTERBAY_KEY to a key of that gateway." in none.stderr
    assert good.stdout == "in\n"
    assert gone.returncode == 1
    assert "The key is not known to this gateway, or was revoked." in gone.stderr
    assert secret not in gone.stderr


def within(limit_s: float, ask: Callable[[], Answered], exit_code: int) -> Answered:
    """Asks until it ends so: gateways look for changed keys every second, and two are promised."""
    end = time.monotonic() + limit_s
    done = ask()
    while done.returncode != exit_code and time.monotonic() < end:
        done = ask()
    return done
