"""Gateways as processes, with everything that they write: asked everything, reloaded, killed, started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.canaries.provider import answer
from tests.canaries.search import unpacked
from tests.canaries.seeds import CONFIG, CONTENT, MISPLACED

from afterbay.testing.replay import ReplayServer

WAIT_S = 60.0
SOURCES = Path(__file__).parents[2] / "src"
DEBUG = """
import logging
from afterbay.telemetry.log import LogOutput
opened = LogOutput.open
LogOutput.open = lambda **options: opened(**options | {"level": logging.DEBUG})
from afterbay.cli.main import run
run()
"""
"""The program with every library's debug messages in its log."""

STREAMS = ("stream", *(f"stream-{how}" for how in ("cut", "stall", "event", "tool", "odd")))
STATUSES = tuple(f"s{status}" for status in (400, 401, 403, 404, 429, 500, 529))
MODELS = ("ok", "tool", "kept", "keyed", "reset", "silent", "html", "redirect", *STREAMS, *STATUSES)


class Collector(ThreadingHTTPServer):
    """Takes whatever traces are sent to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Collect)
        self.got: list[bytes] = []
        self.address = f"127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Collect(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.got.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Nothing."""


def configuration(provider: str, collector: str) -> dict[str, Any]:
    """A configuration with a secret in every place that may hold one."""
    at = provider.removeprefix("http://")
    return {
        "providers": {
            "up": {
                "kind": "openai",
                "base_url": f"{provider}/v1",
                "api_keys": [CONFIG["key"], CONFIG["key_odd"]],
                "headers": {"X-Auth-Token": CONFIG["header"]},
            },
            "claude": {"kind": "anthropic", "base_url": provider, "api_key": "${CLAUDE_KEY}"},
            "gem": {"kind": "gemini", "base_url": f"{provider}/gemini", "api_key": CONFIG["gem_key"]},
            "azure": {"kind": "azure", "base_url": provider, "api_key": CONFIG["azure"]},
            "local": {"kind": "vllm", "base_url": f"{provider}/v1", "api_key": CONFIG["local_key"]},
            "userinfo": {"kind": "openai", "base_url": f"http://me:{CONFIG['basic']}@{at}/v1"},
            "both": {"kind": "openai", "base_url": f"http://me:{CONFIG['basic']}@{at}/v1", "api_key": CONFIG["key"]},
            "tokened": {"kind": "openai", "base_url": f"http://{CONFIG['user_token']}@{at}/v1"},
            "queried": {"kind": "openai", "base_url": f"{provider}/v1?api-key={CONFIG['in_query']}", "api_key": "x"},
            "proxied": {
                "kind": "openai",
                "base_url": "http://nowhere.invalid/v1",
                "proxy": f"http://me:{CONFIG['proxy']}@127.0.0.1:9",
                "api_key": CONFIG["key"],
            },
        },
        "models": {
            **{name: {"provider": "up", "name": name, "fallback": []} for name in MODELS},
            "refused": {"deployments": [{"provider": one, "name": "s401"} for one in ("up", "claude", "gem", "azure")]},
        },
        "state": {"retention": "1d", "shared": f"redis://:{CONFIG['redis']}@127.0.0.1:9"},
        "telemetry": {"otlp": f"http://me:{CONFIG['otlp']}@{collector}"},
        "defaults": {"timeouts": {"first_token": "1s", "between_tokens": "1s", "connect": "1s"}, "reconnect": "5s"},
    }


class World:
    """A folder with a gateway's configuration, and everything that comes of it.

    said      what programs wrote to their outputs, by what was run
    answers   what clients got, by what they asked
    shown     secrets that were made for somebody and shown once
    """

    def __init__(self, folder: Path, provider: ReplayServer, collector: Collector) -> None:
        folder.mkdir()
        self.folder, self.provider, self.collector = folder, provider, collector
        self.config = folder / "afterbay.yaml"
        self.config.write_text(json.dumps(configuration(provider.url, collector.address), indent=1))
        self.said: dict[str, bytes] = {}
        self.answers: dict[str, bytes] = {}
        self.shown: list[str] = []
        self.copies: list[Path] = []
        self.url = ""

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(SOURCES),
            "CLAUDE_KEY": CONFIG["key_env"],
            "AFTERBAY_ADMIN_KEY": CONFIG["admin"],
            "GROQ_API_KEY": CONFIG["unused_env"],
            "AWS_SECRET_ACCESS_KEY": CONFIG["aws_env"],
        }

    def command(self, *args: str, name: str = "", config: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        """Runs the program, and keeps what it says."""
        more = ["-c", str(config)] if config is not None else []
        done = subprocess.run(
            [sys.executable, "-c", DEBUG, *args, *more],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            timeout=WAIT_S,
            check=False,
        )
        self.said[name or " ".join(args)] = done.stdout + done.stderr
        return done

    def make_key(self, name: str, *options: str) -> str:
        """A virtual key. It is shown to its maker, once."""
        secret = self.command("keys", "create", name, *options, name="keys create").stdout.decode().split()[-1]
        del self.said["keys create"]
        self.shown.append(secret)
        return secret

    @contextmanager
    def served(self, name: str, *args: str) -> Iterator[subprocess.Popen[bytes]]:
        """A gateway in the background. Its log is kept under this name."""
        log = self.folder.parent / f"{self.folder.name}-{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", DEBUG, "serve", "--port", "0", *args],
                cwd=self.folder,
                env=self.environ,
                stdout=out,
                stderr=out,
            )
        try:
            self.url = self.wait(log, b"listening on ").split()[0].decode()
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(WAIT_S)
            self.said[f"log of {name}"] = log.read_bytes()

    def wait(self, log: Path, text: bytes) -> bytes:
        """What follows a text, once it is there."""
        end_s = time.monotonic() + WAIT_S
        while text not in (found := log.read_bytes()):
            assert time.monotonic() < end_s, found
            time.sleep(0.02)
        return found.partition(text)[2]

    def log_of(self, name: str) -> Path:
        return self.folder.parent / f"{self.folder.name}-{name}.log"

    def raw(self, data: bytes) -> None:
        """Sends bytes that are no HTTP."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        with closing(socket.create_connection((host, int(port)), WAIT_S)) as sock:
            sock.sendall(data)
            self.answers[f"raw {data[:30]!r}"] = sock.recv(65536)

    def copy(self) -> Path:
        """What lies in the folder now, file by file: as a thief, or a backup, would find it."""
        at = self.folder.parent / f"{self.folder.name}-copy-{len(self.copies)}"
        shutil.copytree(self.folder, at)
        self.copies.append(at)
        return at

    def back_up(self) -> None:
        """The database as SQLite itself backs it up, and as it is dumped."""
        at = self.folder / "backup.db"
        with closing(sqlite3.connect(self.folder / "afterbay.db")) as database:
            database.execute("VACUUM INTO ?", (str(at),))
            self.said["dump"] = "\n".join(database.iterdump()).encode()

    def sinks(self) -> Iterator[tuple[str, bytes]]:
        """Everything that was written or sent, but for configurations and for answers to clients."""
        yield from self.said.items()
        for number, spans in enumerate(self.collector.got):
            yield f"spans {number}", spans
        for folder in (self.folder, *self.copies):
            for file in sorted(folder.rglob("*")):
                if file.is_file() and not file.name.startswith("afterbay.yaml"):
                    yield f"{folder.name}/{file.relative_to(folder)}", file.read_bytes()
        for table, data in unpacked(self.folder / "afterbay.db"):
            yield f"table {table}", data


def body(model: str, **changes: Any) -> dict[str, Any]:
    """A chat request with canaries in what is said."""
    said = f"{CONTENT['said']} {MISPLACED['prompt']}"
    return {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": said}]} | changes


@contextmanager
def world_in(folder: Path) -> Iterator[World]:
    """A world with its provider and its collector."""
    collector = Collector()
    with ReplayServer(answer) as provider:
        yield World(folder, provider, collector)
    collector.shutdown()
