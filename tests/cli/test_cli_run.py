"""`afterbay run`: what a program is given, what it may spend, what is left of it, and what is told at the end."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from afterbay.cli import run as module
from afterbay.config.watch import load_snapshot
from afterbay.store.database import open_database
from afterbay.store.keys import SqliteKeys

from .conftest import WAIT_S, Run, Served, command, environment
from .fake_agents import CLAUDE, CODEX, GEMINI, put

ONCE = 'print(ask(os.environ["ANTHROPIC_MODEL"], "[[say hello]]")[0], flush=True)'


def keys_of(folder: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(folder / "state.db")) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM keys ORDER BY created_at")]


def receipt_in(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def by_name(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in lines}


def status_with(url: str, secret: str) -> int:
    return httpx.get(f"{url}/v1/models", headers={"authorization": f"Bearer {secret}"}).status_code


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def is_gone(url: str) -> bool:
    try:
        status_with(url, "any")
    except httpx.TransportError:
        return True
    return False


# What it does for each agent


def test_claude_code_and_its_sub_agents_have_a_line_each(run: Run, config: Path, tmp_path: Path) -> None:
    body = """
model, small = os.environ["ANTHROPIC_MODEL"], os.environ["ANTHROPIC_DEFAULT_HAIKU_MODEL"]
assert "ANTHROPIC_API_KEY" not in os.environ
assert ask(model, "plan")[0] == 200
together(*[lambda one=one: [ask(small, "look", one) for _ in range(3)] for one in ("a1f", "b2f")])
print("the answer")
"""
    env = put(tmp_path, "claude", CLAUDE, body)
    options = ("--cap", "2", "-m", "claude", "--small-model", "gpt")
    done = run("run", *options, "--json", "claude", "-p", "hi", env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "the answer"
    told = receipt_in(done)
    agents, models = by_name(told["agents"]), by_name(told["models"])
    assert {name: line["requests"] for name, line in agents.items()} == {"main": 1, "a1f": 3, "b2f": 3}
    assert {name: line["requests"] for name, line in models.items()} == {
        "claude/claude-opus-4-6": 1,
        "openai/gpt-4o-2024-11-20": 6,
    }
    for field in ("requests", "input", "output", "cost_picousd"):
        assert sum(line[field] for line in told["agents"]) == told["total"][field] > 0
        assert sum(line[field] for line in told["models"]) == told["total"][field]
    assert told["charged_usd"] == told["total"]["cost_usd"] <= told["cap_usd"] == 2
    assert (told["exit_code"], told["stopped_by_cap"], told["outcomes"]) == (0, False, {})
    assert {line["confidence"] for line in told["agents"]} == {"exact"}


def test_the_receipt_for_people_goes_to_standard_error(run: Run, config: Path, tmp_path: Path) -> None:
    env = put(tmp_path, "claude", CLAUDE, ONCE)
    done = run("run", "-m", "claude", "claude", env=env)
    assert done.stdout == "200\n"
    rows = [line.split("\t") for line in done.stderr.splitlines() if "\t" in line]
    assert [row[:3] for row in rows] == [
        ["by", "name", "requests"],
        ["agent", "main", "1"],
        ["model", "claude/claude-opus-4-6", "1"],
        ["total", "-", "1"],
    ]
    assert re.search(r"\$0\.\d+ of the cap of \$5\.00 is used; the key key_\w+ is revoked", done.stderr)


def test_codex_is_given_a_provider_before_its_own_arguments(run: Run, config: Path, tmp_path: Path) -> None:
    body = """
found, rest = settings(sys.argv[1:])
assert rest == ["exec", "-c", "model=\\"other\\"", "do it"], rest
assert found["web_search"] == "disabled"
assert ask(found, "plan")[0] == 200
assert ask(found, "look", parent="01a212e9-16e4-7f93-8e6c-e45b225c33f9")[0] == 200
"""
    env = put(tmp_path, "codex", CODEX, body)
    done = run("run", "-m", "gpt", "--json", "codex", "exec", "-c", 'model="other"', "do it", env=env)
    assert done.returncode == 0, done.stderr
    agents = by_name(receipt_in(done)["agents"])
    assert sorted(agents) == ["collab_spawn:01a212e9-1730-7341-b3b2-b497f54502f6", "main"]


def test_gemini_cli_is_given_settings_that_let_it_in(run: Run, config: Path, tmp_path: Path) -> None:
    body = """
path = os.environ["GEMINI_CLI_SYSTEM_SETTINGS_PATH"]
print(ask("hello")[0], oct(os.stat(os.path.dirname(path)).st_mode & 0o777), path)
"""
    env = put(tmp_path, "gemini", GEMINI, body)
    done = run("run", "-m", "gpt", "gemini", env=env)
    status, mode, path = done.stdout.split()
    assert (status, mode) == ("200", "0o700")
    assert not Path(path).parent.exists()


def test_any_program_finds_the_gateway_by_its_sdks_variables(run: Run, config: Path, tmp_path: Path) -> None:
    body = """
from anthropic import Anthropic
from openai import OpenAI
said = [{"role": "user", "content": "[[say hi]]"}]
model = os.environ["OPENAI_MODEL"]
print(OpenAI().chat.completions.create(model=model, messages=said).choices[0].message.content)
print(OpenAI().responses.create(model=model, input="[[say hi]]").output_text)
named = {"x-afterbay-agent": "reviewer"}
print(Anthropic().messages.create(model=model, max_tokens=9, messages=said, extra_headers=named).content[0].text)
"""
    env = put(tmp_path, "mine", body)
    done = run("run", "--json", "--", "mine", env=env)
    assert done.stdout.splitlines()[:3] == ["hi", "hi", "hi"], done.stderr
    assert {name: line["requests"] for name, line in by_name(receipt_in(done)["agents"]).items()} == {
        "main": 2,
        "reviewer": 1,
    }


def test_keys_of_providers_and_of_the_operator_stay_here(run: Run, config: Path, tmp_path: Path) -> None:
    body = "print(json.dumps({name: text for name, text in os.environ.items()}))"
    secrets = {"AFTERBAY_ADMIN_KEY": "s-1", "OPENAI_API_KEY": "s-2", "GROQ_API_KEY": "s-3", "GOOGLE_API_KEY": "s-4"}
    env = put(tmp_path, "mine", body) | secrets | {"MINE": "kept", "NO_PROXY": "example.com"}
    done = run("run", "mine", env=env)
    found = json.loads(done.stdout)
    assert found["MINE"] == "kept"
    assert found["NO_PROXY"] == "example.com,127.0.0.1,localhost"
    assert not [name for name, text in found.items() if text.startswith("s-") or text == "sk-emulated-key"]
    secret = found["OPENAI_API_KEY"]
    assert secret == found["AFTERBAY_KEY"] == found["ANTHROPIC_API_KEY"] == found["GEMINI_API_KEY"]
    assert secret not in done.stderr
    assert "it asked the gateway for nothing" in done.stderr


# The cap


def test_nothing_is_spent_beyond_the_cap(run: Run, config: Path, tmp_path: Path) -> None:
    body = """
statuses = []
def work(one):
    for _ in range(4): statuses.append(ask("claude", "[[tokens 400]] go", one, most=1000)[0])
together(*[lambda one=one: work(f"agent-{one}") for one in range(5)])
print(sorted(set(statuses)), flush=True)
status, told = ask("claude", "go", most=100_000)
print(status, told, flush=True)
sys.exit(3)
"""
    env = put(tmp_path, "claude", CLAUDE, body)
    done = run("run", "--cap", "0.02", "-m", "claude", "--json", "claude", env=env)
    first, refusal, *_ = done.stdout.splitlines()
    assert first == "[200, 429]", done.stderr
    assert refusal.startswith("429 ")
    assert "of $0.02 in total" in refusal
    told = receipt_in(done)
    assert done.returncode == told["exit_code"] == 3
    assert 0 < told["total"]["cost_usd"] <= told["charged_usd"] <= 0.02
    assert told["stopped_by_cap"]
    assert told["total"]["refused"] == told["outcomes"]["insufficient_quota"] > 0
    assert told["total"]["failed"] == 0


def test_a_cap_that_stopped_it_says_how_to_go_on(run: Run, config: Path, tmp_path: Path) -> None:
    env = put(tmp_path, "claude", CLAUDE, ONCE)
    done = run("run", "--cap", "0.000001", "-m", "claude", "claude", env=env)
    assert done.stdout == "429\n"
    assert "the cap stopped it: requests refused: 1" in done.stderr
    assert "start `claude --continue` with `afterbay run` and the --cap that you want" in done.stderr


def test_rights_of_the_run_are_narrower_than_everything(run: Run, config: Path, tmp_path: Path) -> None:
    body = 'print(ask("alone", "hi")[0], ask("gpt", "hi")[0])'
    env = put(tmp_path, "claude", CLAUDE, body)
    done = run("run", "--models", "gpt", "-m", "gpt", "claude", env=env)
    assert done.stdout == "403 200\n"


# Who makes the key


def test_a_run_leaves_an_open_gateway_open_and_its_key_ends(run: Run, gateway: Served, tmp_path: Path) -> None:
    body = ONCE + '\nprint(os.environ["AFTERBAY_KEY"])'
    env = put(tmp_path, "claude", CLAUDE, body) | {"AFTERBAY_URL": gateway}
    done = run("run", "-c", str(gateway.config), "-m", "claude", "--json", "claude", env=env)
    status, secret, _ = done.stdout.splitlines()
    assert status == "200", done.stderr
    assert f"asking the gateway at {gateway}" in done.stderr
    assert receipt_in(done)["total"]["requests"] == 1
    until(lambda: status_with(gateway, secret) == 401)
    assert status_with(gateway, "any") == 200
    (key,) = [key for key in keys_of(gateway.config.parent) if key["id"] == receipt_in(done)["key"]]
    assert key["revoked_at"] is not None
    assert key["throwaway"] == 1


def test_a_program_cannot_start_a_run_of_its_own_with_another_cap(run: Run, config: Path, tmp_path: Path) -> None:
    body = """
import subprocess
command = [sys.executable, "-m", "afterbay", "run", "--cap", "99", "true"]
env = {**os.environ, "EMU_KEY": "not told"}
inner = subprocess.run(command, capture_output=True, text=True, env=env)
print(inner.returncode, inner.stderr)
"""
    done = run("run", "mine", env=put(tmp_path, "mine", body))
    assert done.stdout.startswith("1 "), done.stdout
    assert "role" in done.stdout
    assert len(keys_of(tmp_path)) == 1


def test_the_key_of_a_manager_makes_one_that_is_charged_to_both(run: Run, config: Path, tmp_path: Path) -> None:
    env = put(tmp_path, "claude", CLAUDE, ONCE)
    options = ("--role", "manager", "--models", "gpt", "--budget", "0.01/day", "--expires", "10m", "--team", "search")
    maker = json.loads(run("keys", "create", "lead", *options, "--json").stdout)
    plain = run("keys", "create", "app").stdout.strip()
    done = run("run", "-m", "gpt", "--json", "claude", env=env | {"AFTERBAY_KEY": maker["secret"]})
    assert done.stdout.splitlines()[0] == "200", done.stderr
    made = keys_of(tmp_path)[-1]
    assert json.loads(made["charged"]) == [maker["id"]]
    rights = json.loads(made["rights"])
    assert rights["models"] == ["gpt"]
    assert rights["expires_at"] <= time.time() + 600
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        spent = dict(connection.execute("SELECT account, picousd FROM spending"))
    assert spent[f"key:{maker['id']}"] == spent[f"key:{made['id']}"] > 0
    beyond = run("run", "--models", "claude", "-m", "claude", "claude", env=env | {"AFTERBAY_KEY": maker["secret"]})
    assert (beyond.returncode, beyond.stdout) == (1, "")
    refused = run("run", "claude", env=env | {"AFTERBAY_KEY": plain})
    assert refused.returncode == 1
    assert "role" in refused.stderr
    unknown = run("run", "claude", env=env | {"AFTERBAY_KEY": "ab-other"})
    assert unknown.returncode == 2
    assert "AFTERBAY_KEY is no key of the database" in unknown.stderr
    assert len(keys_of(tmp_path)) == 3


# What goes wrong


@pytest.mark.parametrize(("name", "says"), [("claude", "npm install -g @anthropic-ai"), ("nobody", "Check its name")])
def test_a_program_that_is_not_there_is_told_and_makes_no_key(
    run: Run, config: Path, tmp_path: Path, name: str, says: str
) -> None:
    done = run("run", name, "--verbose", env={"PATH": str(tmp_path)})
    assert done.returncode == 127
    assert f"There is no program '{name}' in PATH" in done.stderr
    assert says in done.stderr
    assert not (tmp_path / "state.db").exists()


def test_a_model_that_is_not_there_is_told_before_anything_runs(run: Run, config: Path, tmp_path: Path) -> None:
    env = put(tmp_path, "claude", "print('ran')")
    done = run("run", "-m", "clade", "claude", env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "The nearest names are: claude" in done.stderr


def test_a_right_that_allows_nothing_here_is_told_before_anything_runs(run: Run, config: Path, tmp_path: Path) -> None:
    env = put(tmp_path, "claude", "print('ran')")
    done = run("run", "--models", "clade", "claude", env=env)
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "warning: no model or route is called 'clade', so the key cannot use it now" in done.stderr


def test_a_named_gateway_that_cannot_be_used_is_an_error(
    run: Run, config: Path, gateway: Served, tmp_path: Path
) -> None:
    env = put(tmp_path, "claude", "print('ran')")
    nobody = run("run", "claude", env=env | {"AFTERBAY_URL": "http://127.0.0.1:9"})
    stranger = run("run", "claude", env=env | {"AFTERBAY_URL": gateway})
    assert [one.returncode for one in (nobody, stranger)] == [1, 1]
    assert "nobody answers there" in nobody.stderr
    assert "it does not know the keys of this database" in stranger.stderr
    assert "unset AFTERBAY_URL" in stranger.stderr
    assert all(key["revoked_at"] for key in keys_of(tmp_path))


def test_a_gateway_that_cannot_start_says_why_and_leaves_no_key(run: Run, config: Path, tmp_path: Path) -> None:
    env = put(tmp_path, "claude", "print('ran')")
    (tmp_path / "uvicorn.py").write_text("raise ImportError('it is broken')")
    done = run("run", "claude", env=env | {"PYTHONPATH": f"{tmp_path}:{environment(tmp_path)['PYTHONPATH']}"})
    assert (done.returncode, done.stdout) == (1, "")
    assert "No gateway could be started" in done.stderr
    assert "it is broken" in done.stderr
    assert [bool(key["revoked_at"]) for key in keys_of(tmp_path)] == [True]


@pytest.mark.parametrize(("ends", "code"), [("sys.exit(7)", 7), ("os.kill(os.getpid(), signal.SIGKILL)", 137)])
def test_the_exit_code_is_the_programs(run: Run, config: Path, tmp_path: Path, ends: str, code: int) -> None:
    env = put(tmp_path, "claude", CLAUDE, ONCE, ends)
    done = run("run", "-m", "claude", "claude", env=env)
    assert (done.returncode, done.stdout) == (code, "200\n")
    assert all(key["revoked_at"] for key in keys_of(tmp_path))


WAITS = """
got = []
for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, lambda number, frame: got.append(number))
print(os.environ["ANTHROPIC_BASE_URL"], os.environ["AFTERBAY_KEY"], os.getpid(), flush=True)
end = time.monotonic() + 30
while not got and time.monotonic() < end: time.sleep(0.01)
time.sleep(0.2)
print("got", *got, flush=True)
"""


def begun(folder: Path, env: Mapping[str, str]) -> tuple[subprocess.Popen[str], str, str, int]:
    """A run in the background: the process, the gateway's address, the key, and the program's process id."""
    process = subprocess.Popen(
        command("run", "-m", "claude", "claude"),
        cwd=folder,
        env=environment(folder, env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    url, secret, pid = process.stdout.readline().split()
    return process, url, secret, int(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_the_programs_and_the_key_ends_with_it(
    config: Path, tmp_path: Path, number: signal.Signals
) -> None:
    env = put(tmp_path, "claude", CLAUDE, ONCE.replace("print(", "(").replace(", flush=True", ""), WAITS)
    process, url, secret, _ = begun(tmp_path, env)
    assert status_with(url, secret) == 200
    process.send_signal(number)
    out, err = process.communicate(timeout=WAIT_S)
    assert out.splitlines() == [f"got {number.value}"], err
    assert process.returncode == 0
    assert "is revoked" in err
    assert is_gone(url)
    assert all(key["revoked_at"] for key in keys_of(tmp_path))


def test_a_killed_run_leaves_no_gateway_and_a_key_that_expires(run: Run, config: Path, tmp_path: Path) -> None:
    env = put(tmp_path, "claude", CLAUDE, WAITS)
    process, url, secret, pid = begun(tmp_path, env)
    assert status_with(url, secret) == 200
    process.kill()
    process.wait()
    os.kill(pid, signal.SIGTERM)
    process.communicate()  # the program had its pipes, too
    until(lambda: is_gone(url))
    (key,) = keys_of(tmp_path)
    assert key["revoked_at"] is None
    assert json.loads(key["rights"])["expires_at"] <= time.time() + 3600
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection, connection:  # as if an hour had passed
        connection.execute("UPDATE keys SET rights = json_set(rights, '$.expires_at', 1.0)")
        connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'keys'")
    run("run", "-m", "claude", "claude", env=put(tmp_path, "claude", CLAUDE, ONCE))
    assert all(key["revoked_at"] for key in keys_of(tmp_path))


TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_ctrl_c_reaches_a_program_at_a_terminal_once(config: Path, tmp_path: Path) -> None:
    env = put(tmp_path, "claude", WAITS)
    ours, theirs = pty.openpty()
    with open(ours, "rb+", buffering=0) as terminal:
        process = subprocess.Popen(
            [sys.executable, "-c", TERMINAL, *command("run", "-m", "claude", "claude")],
            cwd=tmp_path,
            env=environment(tmp_path, env),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        seen = b""
        while b" ab-" not in seen:
            seen += terminal.read(1000)
        terminal.write(b"\x03")
        try:
            while b"is revoked" not in seen:
                seen += terminal.read(1000)
        except OSError:  # the other end is closed
            pass
        process.wait(WAIT_S)
    assert b"got 2\r\n" in seen, seen
    assert process.returncode == 0


def test_a_key_is_renewed_before_it_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "afterbay.yaml").write_text(f"state: {{database: 'sqlite:///{tmp_path}/state.db'}}\n")
    loaded = load_snapshot(tmp_path / "afterbay.yaml", {}, look_up=lambda queries: {})
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(module, "RENEW_S", 0.0)
    with closing(SqliteKeys(open_database(f"sqlite:///{tmp_path}/state.db"))) as keys:
        with module._lent(keys, "claude", module.Options(), {}, loaded) as key:
            first = keys.key(key.id).rights.expires_at
            assert first is not None
            assert first <= time.time() + module.LIFE_S
            until(lambda: (keys.key(key.id).rights.expires_at or 0) > first)
            assert keys.find(key.secret.reveal()) is not None
        assert keys.find(key.secret.reveal()) is None
