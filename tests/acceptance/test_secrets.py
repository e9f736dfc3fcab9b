"""Secrets in every place where some may stand, and every place where text comes out: none is found.

Two kinds of canaries. Those that the gateway knows to be secret (keys and passwords of its configuration, its clients'
keys) have no shape that could be recognised, and must not come out at all. Those that somebody put where no secret
belongs (a model's name, a tag, an upstream's error) have the shape of a key, and may come back to their own client in
the answer, never to a log.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from afterbay.config.snapshot import Provider
from afterbay.config.watch import load_snapshot
from afterbay.core.secret import Secret
from afterbay.testing.replay import Answer, Received, ReplayServer

WAIT_S = 20.0
KNOWN = {
    "key": "cnry0-provider-key",
    "key2": "cnry1/second+key=",
    "header": "cnry2-header-value",
    "basic": "cnry3-base-url-pw",
    "proxy": "cnry4-proxy-passwd",
    "admin": "cnry5-admin-key",
    "otlp": "cnry6-otlp-passwd",
    "env": "cnry7-from-the-env",
}
WRONG = {
    "bearer": "cnry10-bearer",
    "x-api-key": "cnry11-x-api-key",
    "x-goog-api-key": "cnry12-x-goog",
    "query": "cnry13-query",
    "cookie": "cnry14-cookie",
}
SHAPED = {
    name: f"sk-cnry{number}abcdefghijklmnop"
    for number, name in enumerate(("model", "direct", "tag", "trace", "tool", "task", "error", "path", "url"), 20)
}
SHAPED["tag"] = f"AIzaCnry30{'x' * 25}"
CANARIES = [*KNOWN.values(), *WRONG.values(), *SHAPED.values()]
CHATS = ("/v1/chat/completions", "/v1/messages")
STREAM = (
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
    b'data: {"error":{"message":"quotes %s and %s"}}\n\n' % (KNOWN["key"].encode(), SHAPED["error"].encode())
)


def upstream_answer(request: Received) -> Answer:
    """Quotes the gateway's keys, and other people's, in everything."""
    name = request.path if "gemini" in request.path else str(json.loads(request.body).get("model"))
    quoted = json.dumps({"error": {"message": f"{' '.join(request.headers.values())} {SHAPED['error']}", "code": "x"}})
    if "stream" in name:
        return Answer(headers={"content-type": "text/event-stream"}, body=STREAM)
    if "reset" in name:
        return Answer(then="reset", headed=False)
    if "html" in name:
        return Answer(body=f"<html>{KNOWN['key']} {SHAPED['error']}</html>".encode())
    for status in (400, 401, 403, 404, 429, 500):
        if str(status) in name:
            return Answer(status=status, body=quoted.encode())
    message = {"role": "assistant", "content": "Hi"}
    answer = {"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    return Answer(body=json.dumps(answer).encode())


def configuration(url: str, collector: str) -> str:
    userinfo = f"http://me:{KNOWN['basic']}@{url.removeprefix('http://')}/v1"
    names = ["ok", "stream", "reset", "html", "s400", "s401", "s403", "s404", "s429", "s500"]
    return json.dumps(
        {
            "providers": {
                "up": {
                    "kind": "openai",
                    "base_url": f"{url}/v1",
                    "api_keys": [KNOWN["key"], KNOWN["key2"]],
                    "headers": {"X-Auth-Token": KNOWN["header"]},
                },
                "claude": {"kind": "anthropic", "base_url": url, "api_key": "${CLAUDE_KEY}"},
                "gem": {"kind": "gemini", "base_url": f"{url}/gemini", "api_key": KNOWN["key"]},
                "userinfo": {"kind": "openai", "base_url": userinfo},
                "both": {
                    "kind": "openai",
                    "base_url": userinfo,
                    "api_key": KNOWN["key"],
                },
                "proxied": {
                    "kind": "openai",
                    "base_url": "http://nowhere.invalid/v1",
                    "proxy": f"http://me:{KNOWN['proxy']}@127.0.0.1:9",
                },
            },
            "models": {
                **{name: {"provider": "up", "name": name, "fallback": []} for name in names},
                "refused": {"deployments": [{"provider": one, "name": "s401"} for one in ("up", "claude", "gem")]},
            },
            "telemetry": {"otlp": f"http://me:{KNOWN['otlp']}@{collector.removeprefix('http://')}"},
            "defaults": {"timeouts": {"first_token": "5s"}},
        }
    )


class Collector(ThreadingHTTPServer):
    """Takes whatever is sent to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Collect)
        self.got: list[bytes] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Collect(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Nothing."""


class World:
    """A gateway as a process, with everything that it writes."""

    def __init__(self, folder: Path, upstream: ReplayServer, collector: Collector) -> None:
        self.folder, self.collector = folder, collector
        self.config = folder / "afterbay.yaml"
        self.config.write_text(configuration(upstream.url, collector.url))
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
            "CLAUDE_KEY": KNOWN["env"],
            "AFTERBAY_ADMIN_KEY": KNOWN["admin"],
        }
        self.outputs: dict[str, str] = {}
        self.answers: dict[str, str] = {}

    def command(self, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "afterbay", *args],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        self.outputs[" ".join(args)] = done.stdout + done.stderr
        return done.stdout

    def serve(self) -> None:
        """Starts, asks everything, reloads well and badly, stops, reads everything."""
        key = self.command("keys", "create", "main", "--json")
        self.key = json.loads(key)["secret"]
        self.outputs.clear()  # a new key is shown to its maker, once
        log = self.folder / "log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "afterbay", "serve", "--port", "0", "--record", "recordings"],
                cwd=self.folder,
                env=self.environ,
                stdout=out,
                stderr=out,
            )
            try:
                self.url = self._wait(log, "listening on ").split()[0]
                self._ask_everything()
                for broken in (False, True):
                    text = self.config.read_text()
                    self.config.write_text(text + f"\n{KNOWN['key']}: [" if broken else text.replace('"5s"', '"6s"'))
                    process.send_signal(signal.SIGHUP)
                    self._wait(log, "reload refused" if broken else "reload: ")
                    if broken:
                        self.command("check")
                        self.config.write_text(text)
                self.answers["metrics"] = httpx.get(self.url + "/metrics", headers={"x-api-key": KNOWN["admin"]}).text
                time.sleep(0.5)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(WAIT_S)
        self.outputs["log"] = log.read_text()
        for args in (
            ["tail", "-n", "1000", "--no-follow"],
            ["tail", "-n", "1000", "--no-follow", "--json"],
            ["check"],
            ["check", "--json"],
            ["check", "--production"],
            ["models"],
            ["models", "--json"],
            ["keys", "list"],
        ):
            self.command(*args)

    def _wait(self, log: Path, text: str) -> str:
        end_s = time.monotonic() + WAIT_S
        while text not in (found := log.read_text()):
            assert time.monotonic() < end_s, found
            time.sleep(0.02)
        return found.partition(text)[2]

    def _ask_everything(self) -> None:
        mine = {"authorization": f"Bearer {self.key}"}
        with httpx.Client(base_url=self.url, timeout=WAIT_S) as client:

            def ask(path: str, headers: dict[str, str] | None = None, query: str = "", **changes: Any) -> None:
                body = {"model": "ok", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]} | changes
                answer = client.post(path + query, json=body, headers=mine if headers is None else headers)
                self.answers[f"{path} {changes} {headers} {query}"] = f"{dict(answer.headers)} {answer.text}"

            direct = ["userinfo/ok", "userinfo/s400", "both/ok", "proxied/ok", "gem/s400", "claude/s400", "claude/s429"]
            named = ["stream", "reset", "html", "s400", "s401", "s403", "s404", "s429", "s500", "refused"]
            for path in CHATS:
                for model in [*direct, *named, f"up/{SHAPED['direct']}-s500", SHAPED["model"]]:
                    ask(path, model=model)
                    ask(path, model=model, stream=True)
                tool = {"type": "function", "function": {"name": SHAPED["tool"], "parameters": {}}}
                ask(path, tools=[tool if "chat" in path else {"name": SHAPED["tool"], "input_schema": {}}])
                for way, secret in WRONG.items():
                    shown = f"Bearer {secret}" if way == "bearer" else secret
                    ask(path, {} if way == "query" else {"authorization" if way == "bearer" else way: shown},
                        f"?key={secret}" if way == "query" else "")  # fmt: skip
                    ask(path, mine | ({} if way in ("bearer", "query") else {way: secret}),
                        f"?key={secret}" if way == "query" else "")  # fmt: skip
                marks = {
                    "x-afterbay-tags": f"a={SHAPED['tag']},{SHAPED['tag']}=b",
                    "traceparent": f"00-{SHAPED['trace']}",
                    "x-afterbay-task": SHAPED["task"],
                    "x-afterbay-residency": SHAPED["task"],
                }
                ask(path, mine | marks)
                ask(path, mine | {"x-afterbay-tags": marks["x-afterbay-tags"], "traceparent": marks["traceparent"]})
                client.post(path, content=f'{{"model": "{SHAPED["model"]}'.encode(), headers=mine)
            ask("/v1/embeddings", input="hello", model="up/embed-s400")
            ask("/v1/messages/count_tokens", model="claude/s400")
            client.get(f"/v1/models/{SHAPED['path']}", headers=mine)
            client.get(f"/{SHAPED['path']}?x={SHAPED['url']}", headers=mine)
            client.request(SHAPED["path"][:20].upper(), "/")

    def sinks(self) -> Iterator[tuple[str, bytes]]:
        """Everything that is written or sent, but for the answers to clients."""
        for name, text in self.outputs.items():
            yield name, text.encode()
        for number, spans in enumerate(self.collector.got):
            yield f"spans {number}", spans
        yield "metrics", self.answers["metrics"].encode()
        for file in self.folder.rglob("*"):
            if file.is_file() and file not in (self.config, self.folder / "log"):
                yield file.name, file.read_bytes()
        with sqlite3.connect(self.folder / "afterbay.db") as database:
            for table in ("requests", "attempts", "keys"):
                rows = database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608  # one of three words
                assert rows, f"no {table}: nothing was tested"
                yield table, repr(rows).encode()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ReplayServer(upstream_answer) as upstream:
        world = World(tmp_path_factory.mktemp("secrets"), upstream, Collector())
        world.serve()
        yield world
        world.collector.shutdown()


def test_no_secret_is_in_anything_that_is_written_or_sent(world: World) -> None:
    found = {
        (secret, name)
        for name, data in world.sinks()
        for secret in [*CANARIES, world.key]
        if secret.encode() in data or json.dumps(secret)[1:-1].encode() in data
    }
    assert not found


def test_no_secret_of_the_gateway_or_of_another_client_is_in_an_answer(world: World) -> None:
    secrets = [*KNOWN.values(), *WRONG.values(), world.key]
    found = {(secret, name) for name, text in world.answers.items() for secret in secrets if secret in text}
    assert not found


def test_no_answer_is_a_fault_and_no_traceback_was_written(world: World) -> None:
    assert not [name for name, text in world.answers.items() if "internal_error" in text]
    assert "Traceback" not in world.outputs["log"], world.outputs["log"]


def test_everything_was_tried(world: World) -> None:
    assert world.collector.got
    assert list((world.folder / "recordings").rglob("*.json"))
    assert len(world.answers) > 60
    assert "[redacted]" in world.outputs["tail -n 1000 --no-follow --json"]


def test_nothing_that_holds_secrets_shows_them(tmp_path: Path) -> None:
    (tmp_path / "afterbay.yaml").write_text(configuration("http://127.0.0.1:1", "http://127.0.0.1:2"))
    loaded = load_snapshot(tmp_path / "afterbay.yaml", {"CLAUDE_KEY": KNOWN["env"]}, tmp_path)
    provider = Provider("n", "openai", "http://x", None, None, keys=(Secret(KNOWN["key"]),))
    texts = [
        f"{one!r} {one}" for one in (loaded.snapshot, *loaded.snapshot.providers.values(), provider, provider.keys)
    ]
    assert not [secret for secret in KNOWN.values() for text in texts if secret in text]
