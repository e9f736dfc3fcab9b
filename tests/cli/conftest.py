"""The program as its users meet it: a process with arguments, variables, two outputs and an exit code.

Subprocesses and not typer's runner: what is promised here (exit codes, which stream a word goes to, signals, errors as
sentences) is made by `run()` and by the interpreter around it. Two processes live through the session: an emulator and
a gateway in front of it, both started by the commands under test.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

WAIT_S = 20.0
SOURCES = Path(__file__).parents[2] / "src"

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


def environment(home: Path, more: Mapping[str, str] = {}) -> dict[str, str]:
    """A newcomer's: no keys, no settings, a home of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(SOURCES), "EMU_KEY": "sk-emulated-key", **more}


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "afterbay", *args]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the program in a folder of its own."""

    def go(*args: str, env: Mapping[str, str] = {}, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*args),
            cwd=tmp_path,
            env=environment(tmp_path, env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )

    return go


@contextmanager
def started(
    folder: Path, log: Path, until: str, *args: str, end_by: signal.Signals = signal.SIGINT
) -> Iterator[re.Match[str]]:
    """A program in the background; the match of what it says when it is ready."""
    with log.open("w") as out:
        process = subprocess.Popen(command(*args), cwd=folder, env=environment(folder), stdout=out, stderr=out)
    try:
        yield wait_for(log, until, process)
    finally:
        process.send_signal(end_by)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def wait_for(log: Path, pattern: str, process: subprocess.Popen[bytes]) -> re.Match[str]:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        found = re.search(pattern, log.read_text())
        if found is not None:
            return found
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError(f"no {pattern!r} in: {log.read_text()}")


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `afterbay emulate`."""
    folder = tmp_path_factory.mktemp("emulator")
    wanted = r"OpenAI's base URL: +(http://[0-9.:]+)/openai/v1"
    with started(folder, folder / "log", wanted, "emulate", "--profile", "instant", "--port", "0") as found:
        yield found[1]


def config_text(emulator: str, database: Path) -> str:
    """Two emulated providers; prices in the file, so that no price list is read."""
    return f"""\
providers:
  openai: {{kind: openai, api_key: "${{EMU_KEY}}", base_url: "{emulator}/openai/v1", price: {{input: 2, output: 8}}}}
  claude: {{kind: anthropic, api_key: "${{EMU_KEY}}", base_url: "{emulator}/anthropic", price: {{input: 3, output: 9}}}}
models:
  claude: {{provider: claude, name: claude-opus-4-6, fallback: [gpt]}}
  gpt:    {{provider: openai, name: gpt-4o-2024-11-20, fallback: [claude], tags: [code]}}
  alone:  {{provider: openai, name: gpt-4o-mini-2024-07-18}}
routes:
  auto: {{fallback: [gpt, claude]}}
state: {{database: "sqlite:///{database}"}}
"""


@pytest.fixture
def config(tmp_path: Path, emulator: str) -> Path:
    """A configuration in the folder where the program runs, under the name that it looks for."""
    path = tmp_path / "afterbay.yaml"
    path.write_text(config_text(emulator, tmp_path / "state.db"))
    return path


class Served(str):
    """The address of a running gateway; `config` is its configuration."""

    config: Path


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, emulator: str) -> Iterator[Served]:
    """`afterbay serve` before the emulator."""
    folder = tmp_path_factory.mktemp("gateway")
    path = folder / "gateway.yaml"
    path.write_text(config_text(emulator, folder / "state.db"))
    with started(
        folder, folder / "log", r"listening on (http://\S+)", "serve", "-c", str(path), "--port", "0"
    ) as found:
        served = Served(found[1])
        served.config = path
        yield served
