"""`afterbay serve` and `afterbay emulate` as processes: recordings, profiles, how they begin and end."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import urllib.request
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .conftest import Run, command, environment, started, wait_for

READY = r"listening on (http://\S+)"


def test_a_recorded_answer_comes_again_without_any_provider(run: Run, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    with started(tmp_path, tmp_path / "log", READY, "serve", "--port", "0", "--record", str(folder)) as at:
        first = run("ask", "-m", "gpt", "rivers", env={"AFTERBAY_URL": at[1]})
    assert list(folder.rglob("*.json"))
    assert "recording all upstream traffic" in (tmp_path / "log").read_text()
    assert "sk-emulated-key" not in "".join(path.read_text() for path in folder.rglob("*.json"))
    config.write_text(config.read_text().replace("/openai/v1", "/nowhere"))
    with started(tmp_path, tmp_path / "log", READY, "serve", "--port", "0", "--replay", str(folder)) as at:
        again = run("ask", "-m", "gpt", "rivers", env={"AFTERBAY_URL": at[1]})
        other = run("ask", "-m", "alone", "lakes", env={"AFTERBAY_URL": at[1]})
    assert first.stdout == again.stdout != ""
    assert other.returncode == 1
    assert "No recording of provider 'openai'" in other.stderr


def test_recording_and_replaying_exclude_each_other(run: Run, config: Path, tmp_path: Path) -> None:
    done = run("serve", "--record", "a", "--replay", "b")
    assert done.returncode == 2
    assert "--record and --replay exclude each other. Give one of them." in done.stderr
    missing = run("serve", "--replay", "b")
    assert missing.returncode == 2
    assert "There is no folder b to replay. Record one: afterbay serve --record b" in missing.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_gateway_says_what_it_does_and_stops_properly_when_asked(
    config: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with started(tmp_path, tmp_path / "log", "afterbay: ready", "serve", "--port", "0", end_by=number):
        pass
    told = (tmp_path / "log").read_text()
    assert "configuration: afterbay.yaml" in told
    assert "no virtual key exists: any client on this machine may use the gateway" in told
    assert told.endswith("afterbay: stopped\n")
    assert "Traceback" not in told


def test_a_second_ctrl_c_ends_what_is_in_flight_and_its_record_is_kept(config: Path, tmp_path: Path, run: Run) -> None:
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command("serve", "--port", "0"), cwd=tmp_path, env=environment(tmp_path), stdout=out, stderr=out
        )
    try:
        url = urlsplit(wait_for(log, READY, process)[1])
        with closing(HTTPConnection(url.netloc, timeout=30)) as client:
            asked = {"model": "gpt", "stream": True, "messages": [{"role": "user", "content": "[[stall 3]] Hi"}]}
            client.request("POST", "/v1/chat/completions", json.dumps(asked))
            assert client.getresponse().status == 200
            process.send_signal(signal.SIGINT)
            wait_for(log, "requests in flight: 1; they have 600 s; Ctrl-C again ends them now", process)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    told = log.read_text()
    assert told.endswith("afterbay: stopped\n")
    assert "Traceback" not in told
    assert "lost" not in told
    (record,) = run("tail", "--no-follow", "--json").stdout.splitlines()
    assert json.loads(record)["outcome"] == "shutting_down"


def test_the_emulator_says_where_it_is_and_how_to_break_it(tmp_path: Path) -> None:
    profile = tmp_path / "slow.yaml"
    profile.write_text("{default: instant, providers: {openai: {preset: flaky, error_rate: 1.0}}}")
    with started(
        tmp_path, tmp_path / "log", r"what it saw: +curl (\S+)", "emulate", "--profile", str(profile), "--port", "0"
    ) as found:
        with urllib.request.urlopen(found[1], timeout=5) as answer:  # noqa: S310
            assert json.load(answer) == {}
        told = (tmp_path / "log").read_text()
        order = told.split("break one:")[1].splitlines()[0].strip()
        program, url, flag, body = shlex.split(order)  # read as the shell would: not every machine has curl
        assert (program, flag) == ("curl", "-d")
        with urllib.request.urlopen(url, body.encode(), timeout=5) as answer:  # noqa: S310
            assert json.load(answer) == {"changed": ["openai"]}
    for provider in ("openai/v1", "anthropic", "gemini"):
        assert f"/{provider}\n" in told


def test_a_profile_that_is_none_names_the_presets(run: Run, tmp_path: Path) -> None:
    done = run("emulate", "--profile", "flky")
    assert done.returncode == 2
    assert (
        "--profile: 'flky' is neither a file nor a preset; the presets are instant, healthy, slow, flaky" in done.stderr
    )
    (tmp_path / "p.yaml").write_text("{eror_rate: 1}")
    done = run("emulate", "--profile", "p.yaml")
    assert done.returncode == 2
    assert "eror_rate" in done.stderr
