"""`afterbay drill`: the report, the verdict in the exit code, and what it says to names that are wrong."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import Run, command, environment, wait_for

CONFIG = """\
providers:
  openai: {kind: openai, api_key: "${NOT_SET_KEY}", region: us, price: {input: 2, output: 8}}
  claude: {kind: anthropic, api_key: "${EMU_KEY}", region: eu, price: {input: 3, output: 9}}
models:
  gpt:    {provider: openai, name: gpt-4o-2024-11-20, fallback: [claude]}
  claude: {provider: claude, name: claude-opus-4-6}
  alone:  {provider: openai, name: gpt-4o-mini-2024-07-18}
routes:
  auto: {fallback: [gpt, claude], complexity: {low: gpt}}
"""
FEW = ("--requests", "1000")


@pytest.fixture(autouse=True)
def config(tmp_path: Path) -> Path:
    """A configuration in the folder where the program runs, with a key that is not set."""
    path = tmp_path / "afterbay.yaml"
    path.write_text(CONFIG)
    return path


def test_a_drill_that_is_passed_prints_its_figures_and_exits_with_0(run: Run, tmp_path: Path) -> None:
    done = run("drill", "outage", *FEW)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split("\t", 1) for line in done.stdout.splitlines() if line)
    assert lines["served"].startswith("1000 of 1000 (100 %)\t1000 of 1000 (100 %)\t")
    assert lines["served while it lasted"].split("\t")[2].startswith("0 of ")
    assert lines["openai/gpt-4o-2024-11-20"].endswith("after the end")
    assert "not set, and not needed for a drill: NOT_SET_KEY" in done.stderr
    assert "'auto' is served by openai/gpt-4o-2024-11-20, claude/claude-opus-4-6" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("lost: 0 of 1000 (allowed: 0.000%): passed")
    assert [one.name for one in tmp_path.iterdir()] == ["afterbay.yaml"], "a drill writes nothing"
    assert "sk-emulated-key" not in done.stdout + done.stderr


def test_more_failures_than_are_allowed_exit_with_1(run: Run) -> None:
    done = run("drill", "outage", "--model", "alone", *FEW)
    assert done.returncode == 1
    assert "clients were told\trequests" in done.stdout
    assert "openai is its only provider, so nobody can take over" in done.stderr
    assert done.stderr.splitlines()[-1].endswith(": failed")
    assert run("drill", "outage", "--model", "alone", "--allow", "0.9", *FEW).returncode == 0


def test_json_holds_the_same_and_nothing_else_is_on_standard_output(run: Run) -> None:
    done = run("drill", "rate-limit-storm", "--provider", "openai", "--seed", "3", "--json", *FEW)
    told = json.loads(done.stdout)
    assert (told["scenario"], told["hit"], told["seed"], told["mode"]) == (
        "rate-limit-storm",
        ["openai"],
        3,
        "simulated",
    )
    assert told["passed"] is True
    assert told["failing"]["availability"] == 1.0
    assert told["bare"]["availability_during"] < 0.5
    assert told["saved"] == sum(told["saved_by"].values()) > 0
    assert told["extra_cost_usd"] == pytest.approx(told["failing"]["cost_usd"] - told["healthy"]["cost_usd"])


def test_the_same_seed_prints_the_same(run: Run) -> None:
    once, again = (run("drill", "brown-out", "--json", *FEW).stdout for _ in range(2))
    assert once == again


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("outge",), "There is no scenario 'outge'. Did you mean outage?"),
        (("outage", "--provider", "opnai"), "There is no provider 'opnai'. Did you mean openai?"),
        (("outage", "--model", "gtp"), "There is no model called 'gtp'. There are auto, gpt, claude, alone"),
        (("outage", "--model", "alone", "--provider", "claude"), "No request for 'alone' ever goes to 'claude'."),
        (("outage", "--real", "--requests", "10000", "--rate", "1"), "take 10000 s of real time, twice."),
        (("outage", "--requests", "400000"), "--requests 400000 is too many. At most 300000."),
    ],
)
def test_what_cannot_be_drilled_is_wrong_usage_and_says_what_can(run: Run, args: tuple[str, ...], says: str) -> None:
    done = run("drill", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_configuration_it_says_what_is_drilled(run: Run, config: Path) -> None:
    config.unlink()
    done = run("drill", "outage", "--model", "local", *FEW)
    assert done.returncode == 1
    assert "no configuration file: this drills what `afterbay serve` would run without one" in done.stderr


def test_a_configuration_that_is_wrong_is_told_of_as_ever(run: Run, config: Path) -> None:
    config.write_text("providers: {a: {kind: opnai}}\n")
    done = run("drill", "outage")
    assert done.returncode == 2
    assert "afterbay.yaml:1" in done.stderr


def test_over_real_sockets_it_drills_the_same_configuration(run: Run, tmp_path: Path) -> None:
    done = run("drill", "key-revoked", "--real", "--requests", "40", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["mode"], told["failing"]["served"]) == ("real", 40)
    assert told["bare"]["served_during"] < told["bare"]["requests_during"]
    assert "Traceback" not in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["afterbay.yaml"]


def test_an_interrupt_ends_it_at_once_with_everything_that_it_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command("drill", "outage", "--real", "--requests", "10000"),
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=out,
            stderr=out,
        )
    try:
        wait_for(log, "providers on loopback", process)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 130
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()
