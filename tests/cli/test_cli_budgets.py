"""Budgets of a real process: bursts of parallel requests, an end of every kind, and what the next process knows."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from .conftest import Run, command, config_text, environment, wait_for

AMOUNT_USD = 0.002
RULES = f"policies: {{budgets: {{b: {{usd: {AMOUNT_USD}, per: month, scope: key}}}}}}\n"
PICOUSD = int(AMOUNT_USD * 1e12)
LISTENING = r"listening on (http://\S+)"


@pytest.fixture
def config(tmp_path: Path, emulator: str) -> Path:
    path = tmp_path / "afterbay.yaml"
    path.write_text(config_text(emulator, tmp_path / "state.db") + RULES)
    return path


@contextmanager
def serving(folder: Path, end_by: signal.Signals) -> Iterator[str]:
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command("serve", "--port", "0"), cwd=folder, env=environment(folder), stdout=out, stderr=out
        )
    try:
        yield wait_for(log, LISTENING, process)[1]
    finally:
        process.send_signal(end_by)
        process.wait(10)


def ask(url: str, key: str, tokens: int = 60) -> tuple[int, str]:
    """Status, and the code of the error."""
    talk = [{"role": "user", "content": f"[[tokens {tokens}]] Tell me."}]
    body = json.dumps({"model": "gpt", "max_tokens": tokens, "messages": talk}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/chat/completions", body, headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return int(answer.status), ""
    except urllib.error.HTTPError as refused:
        return refused.code, str(json.load(refused)["error"]["code"])


def burst(url: str, key: str, count: int) -> list[tuple[int, str]]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: ask(url, key), range(count)))


def spent(folder: Path) -> dict[str, int]:
    """What the table says, and what the rows of the log add up to."""
    with closing(sqlite3.connect(folder / "state.db")) as database:
        table = database.execute("SELECT account, SUM(picousd) FROM spending GROUP BY account").fetchall()
        rows = database.execute(
            "SELECT 'key:' || key_id, SUM(cost_picousd) FROM requests WHERE cost_picousd > 0 GROUP BY key_id"
        ).fetchall()
    assert dict(table) == dict(rows)
    return dict(table)


def test_bursts_do_not_pass_a_budget_and_the_next_process_knows_what_is_spent(
    run: Run, config: Path, tmp_path: Path
) -> None:
    key = run("keys", "create", "ci").stdout.strip().splitlines()[-1]
    statuses: list[tuple[int, str]] = []
    for _ in range(2):
        with serving(tmp_path, signal.SIGTERM) as url:
            statuses += burst(url, key, 12)
    assert {status for status, _ in statuses} == {200, 429}
    assert {code for status, code in statuses if status == 429} == {"insufficient_quota"}
    (used,) = spent(tmp_path).values()
    assert PICOUSD * 0.7 < used <= PICOUSD
    with serving(tmp_path, signal.SIGTERM) as url:
        assert ask(url, key, 500)[0] == 429


def test_a_process_that_is_killed_leaves_nothing_leased(run: Run, config: Path, tmp_path: Path) -> None:
    """It had leased half of the budget; the next one can have all that is not spent."""
    key = run("keys", "create", "ci").stdout.strip().splitlines()[-1]
    with serving(tmp_path, signal.SIGKILL) as url:
        assert ask(url, key)[0] == 200
        time.sleep(0.6)  # its row is written by then
    first = spent(tmp_path)
    with serving(tmp_path, signal.SIGTERM) as url:
        answered = sum(ask(url, key)[0] == 200 for _ in range(12))
    (used,) = spent(tmp_path).values()
    assert used > 1.5 * next(iter(first.values()))
    assert used > PICOUSD * 0.6, answered
    with closing(sqlite3.connect(tmp_path / "state.db")) as database:
        assert database.execute("SELECT COUNT(*) FROM leases WHERE amount > 0").fetchone() == (0,)
