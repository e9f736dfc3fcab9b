"""`afterbay keys`, and what a gateway and its clients see of it."""

from __future__ import annotations

import json
import re
import sqlite3
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
    assert headings.split("\t")[1:6] == ["name", "begins with", "belongs to", "may use", "role"]
    assert row.split("\t")[1:6] == ["app", secret[:7], "-", "models auto, gpt", "-"]


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


def test_an_old_secret_may_live_on(run: Run, config: Path) -> None:
    run("keys", "create", "me")
    done = run("keys", "rotate", "me", "--overlap", "1h")
    assert re.search(r"the old one is good until \d{4}-\d\d-\d\dT", done.stderr)
    assert run("keys", "rotate", "me", "--overlap", "never").returncode == 2
    assert run("keys", "rotate", "me", "--overlap", "91d").returncode == 1


def test_a_key_belongs_to_owners_that_are_made_with_it(run: Run, config: Path) -> None:
    named = ("--organisation", "acme", "--team", "search", "--user", "ann")
    done = run("keys", "create", "ci", *named, "--role", "manager")
    assert [line.split(" (")[0] for line in done.stderr.splitlines() if "is made; " not in line][:3] == [
        "afterbay: organisation acme",
        "afterbay: team acme/search",
        "afterbay: user acme/search/ann",
    ]
    again = run("keys", "create", "ci2", *named)
    assert "is made\n" not in again.stderr.split("key ci2")[0]
    places = [row.split("\t")[1] for row in run("keys", "tenants").stdout.splitlines()[1:]]
    assert places == ["organisation:acme", "team:acme/search", "user:acme/search/ann"]
    assert "user:acme/search/ann" in run("keys", "list").stdout
    ended = run("keys", "revoke", "team:acme/search")
    assert "has ended, and with it 2 keys" in ended.stderr
    assert run("keys", "list").stdout == ""


def test_options_become_rights_and_change_one_by_one(run: Run, config: Path) -> None:
    bounds = ("--models", "gpt,claude", "--routes", "auto", "--providers", "openai", "--ip", "10.0.0.0/8")
    limits = ("--budget", "10/month", "--budget", "2.5/day", "--rpm", "60", "--tpm", "1e5", "--limit", "requests/day=9")
    done = run("keys", "create", "app", *bounds, *limits, "--expires", "2999-01-31", "--prefer-provider", "openai")
    assert done.returncode == 0, done.stderr
    run(
        "keys",
        "change",
        "app",
        "--models",
        "any",
        "--rpm",
        "off",
        "--budget",
        "3/day",
        "--agent",
        "x",
        "--bind-model",
        "gpt",
    )
    shown = json.loads(run("keys", "show", "app", "--json").stdout)
    assert shown["rights"] == {
        "routes": ["auto"],
        "providers": ["openai"],
        "addresses": ["10.0.0.0/8"],
        "limits": {"requests/day": 9, "tokens/minute": 100000, "usd/day": 3, "usd/month": 10},
        "expires_at": "2999-01-31T00:00:00Z",
    }
    assert shown["preference"] == {"preferred_provider": "openai", "agents": {"x": {"bound_model": "gpt"}}}
    assert "$3.00 a day" in run("keys", "show", "app").stdout
    assert run("keys", "change", "app", "--expires", "never").returncode == 0
    assert "expires_at" not in json.loads(run("keys", "show", "app", "--json").stdout)["rights"]


def test_a_role_is_given_and_taken_away(run: Run, config: Path) -> None:
    run("keys", "create", "boss", "--admin")
    for role, is_now in (("viewer", "viewer"), ("none", None)):
        assert run("keys", "change", "boss", "--role", role).returncode == 0
        assert json.loads(run("keys", "show", "boss", "--json").stdout)["role"] == is_now
    assert run("keys", "create", "other", "--role", "none").returncode == 2


def test_what_an_owner_loses_every_key_below_it_loses(run: Run, config: Path) -> None:
    run("keys", "create", "app", "--team", "search", "--models", "gpt,claude")
    run("keys", "change", "team:search", "--models", "gpt", "--budget", "5/month")
    shown = json.loads(run("keys", "show", "app", "--json").stdout)
    assert shown["effective"] == {"models": ["gpt"], "limits": {"usd/month": 5}}
    (limit,) = shown["limits"]
    assert (limit["account"], limit["limit"]) == (shown["accounts"][0], 5 * 10**12)
    assert "$5.00 a month" in run("keys", "show", "team:search").stdout


def test_wrong_options_are_misuse(run: Run, config: Path) -> None:
    for wrong in (
        ("--budget", "10"),
        ("--budget", "x/month"),
        ("--rpm", "-1"),
        ("--rpm", "1.5"),
        ("--limit", "usd/day=1"),
        ("--expires", "tomorrow"),
        ("--expires", "99999999999d"),
        ("--expires", "2020-01-01"),
        ("--role", "king"),
        ("--role", "viewer", "--admin"),
    ):
        done = run("keys", "create", "me", *wrong)
        assert done.returncode == 2, wrong
        assert wrong[1].split("/")[0] in done.stderr
    assert run("keys", "create", "me", "--ip", "10.0.0.1/8").returncode == 1
    assert run("keys", "list").stdout == ""


def test_off_takes_every_budget_away_and_leaves_the_other_limits(run: Run, config: Path) -> None:
    run("keys", "create", "app", "--budget", "10/month", "--budget", "2/day", "--rpm", "60")
    done = run("keys", "change", "app", "--budget", "off")
    assert done.returncode == 0, done.stderr
    assert json.loads(run("keys", "show", "app", "--json").stdout)["rights"] == {"limits": {"requests/minute": 60}}


def test_what_is_made_is_said_in_words(run: Run, config: Path) -> None:
    told = run("keys", "create", "app", "--expires", "2999-01-31").stderr
    assert "for every model; until 2999-01-31 00:00Z is made" in told
    assert "running gateways know it within two seconds" in told


def test_the_audit_log_says_who_did_what_and_tells_when_it_was_touched(run: Run, config: Path) -> None:
    secret = run("keys", "create", "me", "--team", "t").stdout.strip()
    run("keys", "change", "me", "--models", "gpt")
    done = run("keys", "audit")
    assert [row.split("\t")[2:4] for row in done.stdout.splitlines()[1:]] == [
        ["operator", "team.create"],
        ["operator", "key.create"],
        ["operator", "key.update"],
    ]
    assert secret not in done.stdout
    whole = run("keys", "audit", "--verify")
    assert re.fullmatch(r"3:[0-9a-f]{64}\n", whole.stdout)
    with sqlite3.connect(config.parent / "state.db") as connection:
        connection.execute("UPDATE audit SET details = replace(details, 'gpt', 'all') WHERE number = 3")
    broken = run("keys", "audit", "--verify")
    assert broken.returncode == 1
    assert "the audit log is broken at entry 3: its details" in broken.stderr
    with sqlite3.connect(config.parent / "state.db") as connection:
        connection.execute("DELETE FROM audit WHERE number = 3")
    assert run("keys", "audit", "--verify").returncode == 0
    cut = run("keys", "audit", "--verify", "--anchor", whole.stdout.strip())
    assert "broken at entry 3: the log ends before it, and once reached 3" in cut.stderr
    assert run("keys", "audit", "--anchor", "x").returncode == 2
    assert run("keys", "audit", "--anchor", whole.stdout.strip()[:12]).returncode == 2, "a part of one is none"


def test_mistakes_are_sentences(run: Run, config: Path) -> None:
    run("keys", "create", "me")
    taken = run("keys", "create", "me")
    assert taken.returncode == 1
    assert taken.stderr == (
        "afterbay: error: There is a key named 'me' already. Choose another name, or use or end that one.\n"
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


def test_a_key_may_have_a_budget_for_its_life(run: Run, config: Path) -> None:
    run("keys", "create", "app", "--budget", "4/total", "--limit", "requests/total=90")
    assert "$4.00 in total; 90 requests in total" in run("keys", "show", "app").stdout
    assert "5/total" in run("keys", "create", "other", "--budget", "4/year").stderr
