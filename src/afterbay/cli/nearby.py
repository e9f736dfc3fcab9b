"""The gateway of a run: one that runs already on the same database, or one that is started for it."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from afterbay.cli.over_http import address
from afterbay.core.errors import GatewayError
from afterbay.core.secret import Secret

USUAL: Final = "http://127.0.0.1:8400"
ASK_S: Final = 2.0
KNOWN_S: Final = 4.0
"""So long a gateway may take to see a new key: it looks every second, and has two by its promise."""
PAUSE_S: Final = 0.1
BEGIN_S: Final = 900.0
"""So long a gateway may take to begin: without a configuration it fetches a model first."""
END_S: Final = 30.0
LINES: Final = 20

Found: TypeAlias = Literal["nobody", "stranger", "ours"]
_LISTENING: Final = re.compile(r"listening on (http://\S+)")


@contextmanager
def gateway_for(
    config: Path | None, secret: Secret, environ: Mapping[str, str], said: Callable[[str], None]
) -> Iterator[tuple[str, bool]]:
    """The address of a gateway that takes this key, and whether it was started here; then it ends with the block.

    Raises:
        GatewayError: the one that AFTERBAY_URL names is none of ours, or none could be started.
    """
    named = environ.get("AFTERBAY_URL")
    url = address(named) if named else USUAL
    found = _look(url, secret)
    if found == "ours":
        said(f"asking the gateway at {url}")
        yield url, False
        return
    if named:
        why = "nobody answers there" if found == "nobody" else "it does not know the keys of this database"
        raise GatewayError(
            f"The gateway at {url} (AFTERBAY_URL) cannot be used: {why}.",
            remedy="Name its configuration with -c, or unset AFTERBAY_URL to have one started.",
        )
    child = _Child(config, said)
    try:
        yield child.wait(), True
    finally:
        child.close()


def _look(url: str, secret: Secret) -> Found:
    """Who is at an address: nobody, a gateway that takes the key, or somebody else."""
    index = _get(url, "/", None)
    if index is None:
        return "nobody"
    if b'"afterbay"' not in index[1]:
        return "stranger"
    due_s = time.monotonic() + KNOWN_S
    while time.monotonic() < due_s:
        answer = _get(url, "/v1/models", secret)
        if answer is None:
            return "nobody"
        if answer[0] == 200:
            return "ours"
        time.sleep(PAUSE_S)
    return "stranger"


def _get(url: str, path: str, secret: Secret | None) -> tuple[int, bytes] | None:
    """Status and body; None: nobody answers. No proxy is asked."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {"authorization": f"Bearer {secret.reveal()}"} if secret is not None else {}
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=ASK_S)
        try:
            connection.request("GET", f"{parts.path}{path}", headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(1 << 20)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError):
        return None


class _Child:
    """A gateway on a free port of loopback, in a process of its own, that ends with this one."""

    def __init__(self, config: Path | None, said: Callable[[str], None]) -> None:
        self._said = said
        self._lines: deque[str] = deque(maxlen=LINES)
        self._url = ""
        self._is_ready = threading.Event()
        arguments = ["--port", "0", *(["-c", str(config)] if config is not None else [])]
        self._process = subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-m", "afterbay.cli.ward", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the program that runs, not for its gateway
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, name="read the gateway's log", daemon=True)
        self._reader.start()

    def wait(self) -> str:
        """Its address, once it can serve.

        Raises:
            GatewayError: it ended, or takes too long.
        """
        due_s = time.monotonic() + BEGIN_S
        while not self._is_ready.wait(PAUSE_S):
            if self._process.poll() is not None or time.monotonic() > due_s:
                self._reader.join(1.0)
                told = "\n".join(line for line in self._lines if line) or "it said nothing"
                raise GatewayError(
                    f"No gateway could be started. It said:\n{told}",
                    remedy="Try `afterbay check` and `afterbay serve` with the same configuration.",
                )
        self._said(f"started a gateway at {self._url} for this run")
        return self._url

    def close(self) -> None:
        """Ends it, with its last records written."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(1.0)

    def _read(self) -> None:
        assert self._process.stderr is not None, "it is a pipe"  # noqa: S101
        for line in self._process.stderr:
            text = line.rstrip()
            self._lines.append(text)
            if (listening := _LISTENING.search(text)) is not None:
                self._url = listening[1]
            elif text == "afterbay: ready":
                self._is_ready.set()
            elif text.startswith(("afterbay: fetching", "afterbay: warning")):
                self._said(text.removeprefix("afterbay: "))


class Quiet(msgspec.Struct):
    """Tells when a number that grows has stopped to."""

    pause_s: float = 0.6
    longest_s: float = 5.0

    def wait(self, count: Callable[[], int]) -> None:
        """Waits until `count` stays the same for a while, or it took too long."""
        due_s, last, since_s = time.monotonic() + self.longest_s, count(), time.monotonic()
        while time.monotonic() < min(due_s, since_s + self.pause_s):
            time.sleep(PAUSE_S)
            if (now := count()) != last:
                last, since_s = now, time.monotonic()
