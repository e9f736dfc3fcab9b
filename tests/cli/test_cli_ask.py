"""`afterbay ask`, in process and over HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run, Served, command, environment


@pytest.fixture(params=["in process", "over http"])
def ask(request: pytest.FixtureRequest, run: Run) -> Any:
    """`afterbay ask` with more arguments, either way."""
    if request.param == "in process":
        request.getfixturevalue("config")
        return lambda *args, **more: run("ask", *args, **more)
    url = request.getfixturevalue("gateway")
    return lambda *args, **more: run("ask", *args, env={"AFTERBAY_URL": url}, **more)


def test_the_answer_and_nothing_else_is_on_stdout(ask: Any) -> None:
    done = ask("-m", "gpt", "[[say forty-two]] what?")
    assert (done.returncode, done.stdout) == (0, "forty-two\n")


def test_a_whole_answer_is_the_same_as_a_streamed_one(ask: Any) -> None:
    prompt = ("-m", "gpt", "tell me about rivers")
    assert ask(*prompt, "--no-stream").stdout == ask(*prompt).stdout != ""


def test_the_question_may_come_by_a_pipe(ask: Any) -> None:
    assert ask("-m", "gpt", "-", stdin="[[say from the pipe]] x").stdout == "from the pipe\n"


def test_an_empty_question_is_wrong_usage(ask: Any) -> None:
    done = ask("  ")
    assert done.returncode == 2
    assert "The question is empty." in done.stderr


def test_an_explanation_says_route_attempts_tokens_cost_and_times_on_stderr(ask: Any) -> None:
    done = ask("-m", "gpt", "--explain", "[[openai: status 503]] [[say fine]]")
    assert (done.returncode, done.stdout) == (0, "fine\n")
    told = done.stderr
    assert "route      gpt, by alias -> claude (claude/claude-opus-4-6)" in told
    assert "1. openai/gpt-4o-2024-11-20 (primary): error, status 503" in told
    assert "2. claude/claude-opus-4-6 (fallback): ok, status 200" in told
    assert "tokens     input " in told
    assert "cost       $0.0" in told
    assert "time       first token " in told
    assert "stages     route " in told


def test_an_explanation_of_a_failure_comes_before_its_error(ask: Any) -> None:
    done = ask("-m", "alone", "--explain", "[[status 500]] x")
    assert (done.returncode, done.stdout) == (1, "")
    assert "alone (primary)" not in done.stderr
    assert "1. openai/gpt-4o-mini-2024-07-18 (primary): error, status 500" in done.stderr
    assert done.stderr.rstrip().splitlines()[-1].startswith("afterbay: error: ")


def test_an_answer_that_breaks_off_keeps_what_came_and_fails(ask: Any) -> None:
    done = ask("-m", "gpt", "[[cut 3 reset]] x")
    assert done.returncode == 1
    assert done.stdout.startswith("You asked:")
    assert done.stdout.endswith("\n")
    assert "afterbay: error: " in done.stderr


def test_json_holds_the_answer_and_the_record(ask: Any) -> None:
    done = ask("-m", "gpt", "--json", "[[say yes]]")
    told = json.loads(done.stdout)
    assert told["answer"] == "yes"
    assert told["error"] is None
    assert told["record"]["id"] == told["request_id"]
    assert told["record"]["attempts"][0]["outcome"] == "ok"


def test_json_says_the_error_too(ask: Any) -> None:
    done = ask("-m", "nowhere", "--json", "x")
    assert done.returncode == 1
    assert "There is no model called 'nowhere'" in json.loads(done.stdout)["error"]


def test_a_closed_pipe_ends_quietly(config: Path, tmp_path: Path) -> None:
    words = "'[[tokens 20000]] x'"
    line = " ".join(command("ask", "-m", "gpt", words)) + " | head -c 5"
    done = subprocess.run(
        ["bash", "-c", line],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.stdout == "You a"[: len(done.stdout)]
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_an_interrupt_ends_quietly_with_130_and_closes_the_upstream(
    config: Path, tmp_path: Path, emulator: str, run: Run
) -> None:
    before = aborted(emulator)
    process = subprocess.Popen(
        command("ask", "-m", "gpt", "[[slow 200ms]] count to ten"),
        env=environment(tmp_path),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.read(3)
    process.send_signal(signal.SIGINT)
    rest, told = process.communicate(timeout=10)
    assert process.returncode == 130
    assert (first, told) == ("You", "")
    assert rest.endswith("\n")
    end = time.monotonic() + 5
    while aborted(emulator) == before and time.monotonic() < end:
        time.sleep(0.02)
    assert aborted(emulator) == before + 1
    assert json.loads(run("tail", "--no-follow", "--json").stdout)["outcome"] == "client_closed"


def aborted(emulator: str) -> int:
    with urllib.request.urlopen(f"{emulator}/emulate/stats", timeout=5) as answer:  # noqa: S310
        return int(json.load(answer).get("openai", {}).get("aborted", 0))


def test_a_gateway_that_is_not_there_is_told_with_three_ways_out(run: Run) -> None:
    done = run("ask", "hi", env={"AFTERBAY_URL": "http://127.0.0.1:1"})
    assert done.returncode == 1
    assert done.stderr == (
        "afterbay: error: No gateway answers at http://127.0.0.1:1 (Connection refused). Start one with "
        "`afterbay serve`, correct AFTERBAY_URL, or unset it to ask in process.\n"
    )


@pytest.mark.parametrize("url", ["localhost:8400", "ftp://x", "http://user:secret@host"])
def test_an_address_that_is_none_is_wrong_usage_and_not_repeated(run: Run, url: str) -> None:
    done = run("ask", "hi", env={"AFTERBAY_URL": url})
    assert done.returncode == 2
    assert "AFTERBAY_URL is not the address of a gateway. Write it like http://127.0.0.1:8400" in done.stderr
    assert "secret" not in done.stderr


def test_another_program_at_the_address_is_told_apart_from_a_gateway(run: Run) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name is the library's
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = run("ask", "hi", env={"AFTERBAY_URL": f"http://127.0.0.1:{server.server_port}/"})
        server.shutdown()
    assert done.returncode == 1
    assert "is no afterbay. Set AFTERBAY_URL to the gateway's address" in done.stderr


def test_a_configuration_on_the_command_line_beats_the_address_in_the_environment(run: Run, config: Path) -> None:
    done = run("ask", "-c", config.name, "-m", "gpt", "[[say here]]", env={"AFTERBAY_URL": "http://127.0.0.1:1"})
    assert (done.returncode, done.stdout) == (0, "here\n")


def test_the_address_may_end_in_the_version(run: Run, gateway: Served) -> None:
    assert run("ask", "-m", "gpt", "[[say ok]]", env={"AFTERBAY_URL": f"{gateway}/v1/"}).stdout == "ok\n"
