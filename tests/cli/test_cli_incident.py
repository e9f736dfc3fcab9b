"""`afterbay incident` as its users meet it: a failed request becomes a file, and the file is replayed."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from .conftest import Run, started

READY = r"listening on (http://\S+)"
PROMPT = "[[openai: status 503]] What is a very private river?"


@pytest.fixture
def failed(run: Run, config: Path, tmp_path: Path) -> str:
    """The id of a request that fell back, in the log of a gateway that recorded its traffic and has ended."""
    with started(tmp_path, tmp_path / "log", READY, "serve", "--port", "0", "--record", "tapes") as at:
        done = run("ask", "-m", "gpt", PROMPT, env={"AFTERBAY_URL": at[1]})
    assert done.returncode == 0, done.stderr
    (line,) = run("tail", "--no-follow", "--json").stdout.splitlines()
    found: str = json.loads(line)["id"]
    return found


def test_a_failed_request_becomes_a_file_that_replays_the_same(run: Run, failed: str, tmp_path: Path) -> None:
    written = run("incident", failed)
    assert written.returncode == 0, written.stderr
    name = f"incident-{failed}.json"
    assert written.stdout == f"{name}\n"
    assert f"{failed}: ok, 2 attempt(s); afterbay incident --replay {name}" in written.stderr
    path = tmp_path / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "private river" not in text
    assert "sk-emulated-key" not in text
    again = run("incident", "--replay", name, env={"EMU_KEY": ""})
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.splitlines()[-1] == "the same"
    assert "openai/gpt-4o-2024-11-20 (primary): error 503" in again.stdout


def test_a_file_is_replayed_under_another_configuration_without_any_key(
    run: Run, failed: str, config: Path, tmp_path: Path
) -> None:
    run("incident", failed, "-o", "a.json")
    alone = config.read_text().replace("fallback: [claude], ", "")
    (tmp_path / "new.yaml").write_text(alone)
    done = run("incident", "--replay", "a.json", "-c", "new.yaml", env={"EMU_KEY": ""})
    assert done.returncode == 1
    assert "first difference: attempt 1: target claude/claude-opus-4-6 then" in done.stdout
    assert "assumed: openai/gpt-4o-2024-11-20 was asked once more than it was" in done.stderr
    plain = json.loads(run("incident", "--replay", "a.json", "-c", "new.yaml", "--json").stdout)
    assert (plain["same"], plain["id"]) == (False, failed)


def test_content_comes_from_recordings_when_it_is_asked_for(run: Run, failed: str) -> None:
    done = run("incident", failed[-8:], "--with-content", "--recordings", "tapes", "-o", "-")
    incident = json.loads(done.stdout)
    assert [one["source"] for one in incident["exchanges"]] == ["recorded", "recorded"]
    assert "private river" in incident["request"]["body"]["text"]
    assert "sk-emulated-key" not in done.stdout
    run("incident", failed[:20], "--with-content", "--recordings", "tapes", "-o", "b.json")
    assert run("incident", "--replay", "b.json").stdout.splitlines()[-1] == "the same"


def test_an_unknown_request_is_answered_with_the_nearest(run: Run, failed: str) -> None:
    done = run("incident", failed[:-1] + "!")
    assert done.returncode == 1
    assert f"The nearest: {failed}." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "Give the id of a request, or --replay FILE."),
        (("req_1", "--replay", "a.json"), "Give the id of a request, or --replay FILE."),
        (("--replay", "a.json", "-o", "b.json"), "are for writing a file"),
        (("--replay", "none.json"), "none.json cannot be replayed"),
        (("--replay", "afterbay.yaml"), "it holds no incident"),
        (("req_1", "--recordings", "tapes"), "--recordings holds what was said. Add --with-content"),
    ],
)
def test_a_wrong_command_line_says_what_to_do(run: Run, config: Path, args: tuple[str, ...], told: str) -> None:
    done = run("incident", *args)
    assert done.returncode == 2
    assert told in done.stderr


def test_without_a_database_it_says_where_there_is_none(run: Run, config: Path) -> None:
    done = run("incident", "req_1")
    assert done.returncode == 1
    assert "There is no database" in done.stderr
