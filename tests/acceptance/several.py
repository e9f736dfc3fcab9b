"""A gateway of several processes in the place of `LiveGateway`: the same tests, and nothing works differently.

`AFTERBAY_TEST_WORKERS=2 pytest tests/acceptance` runs them so. Tests that look into the process are left out.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import pytest
import yaml

from afterbay.core.decision import Record
from afterbay.policy.rights import Rights
from afterbay.store.database import open_database
from afterbay.store.keyform import NewKey
from afterbay.store.keys import SqliteKeys
from afterbay.store.reading import SqliteReading
from afterbay.testing.live import START_S, STOP_S, LiveGateway

WORKERS = int(os.environ.get("AFTERBAY_TEST_WORKERS", "1"))
SOURCES = Path(__file__).parents[2] / "src"
KNOWN_S = 1.2
"""So long after a key was made on the command line all processes know it."""
QUIET_S = 0.6
"""When no record came for so long, all have come."""

T = TypeVar("T")


def only_alone(why: str) -> pytest.MarkDecorator:
    """A test that is not for several workers."""
    return pytest.mark.skipif(WORKERS > 1, reason=why)


class SeveralWorkers(LiveGateway):
    """A drop-in for `LiveGateway` whose gateway is `afterbay serve --workers N`."""

    def __enter__(self) -> SeveralWorkers:
        if self._local_models or self._config is None:
            pytest.skip("local models would be installed")
        self._write(yaml.safe_load(self._config.read_text()) if isinstance(self._config, Path) else self._config)
        self._log = self._path / "log"
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        variables = {**kept, "HOME": str(self._path), "PYTHONPATH": str(SOURCES), **self._environ}
        words = ("serve", "-c", str(self._path / "afterbay.yaml"), "--port", "0", "--workers", str(WORKERS))
        with self._log.open("w") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "afterbay", *words], cwd=self._path, env=variables, stdout=out, stderr=out
            )
        try:
            self._wait(r"listening on (http://\S+)", START_S)
            self.url = self._wait(r"listening on (http://\S+)[^\n]*\n(?s:.*)ready\n", START_S)[1]
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def gateway(self) -> NoReturn:
        pytest.skip("it looks into the process")

    def call(self, ask: Callable[..., Awaitable[T]], within_s: float = 10.0) -> NoReturn:
        pytest.skip("it looks into the process")

    def reload(self, config: Mapping[str, Any] | str | None = None) -> str:
        if config is not None:
            self._write(yaml.safe_load(config) if isinstance(config, str) else config)
        before = len(self._log.read_text())
        self._process.send_signal(signal.SIGHUP)
        return self._wait(r"reload: ([^\n]*)", 10, before)[1]

    def create_key(self, name: str, models: tuple[str, ...] = ()) -> NewKey:
        keys = SqliteKeys(open_database(self._database))
        try:
            made = keys.create(name, Rights(models=frozenset(models) or None))
        finally:
            keys.close()
        time.sleep(KNOWN_S)
        return made

    def records(self, at_least: int = 0, within_s: float = 5.0) -> list[Record]:
        reading, end_s = SqliteReading(open_database(self._database)), time.monotonic() + within_s
        found: list[Record] = []
        since_s = time.monotonic()
        while len(found) < at_least or time.monotonic() < since_s + QUIET_S:
            now = [row.record for row in reading.last(100_000)]
            if len(now) != len(found):
                found, since_s = now, time.monotonic()
            if time.monotonic() > end_s:
                raise TimeoutError(f"{len(found)} records after {within_s:g} s, not {at_least}")
            time.sleep(0.02)
        return found

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def close(self, within_s: float = STOP_S) -> None:
        if not self._log.exists():
            return  # it was closed before
        for _ in range(2):
            self.stop()
            try:
                self._process.wait(within_s / 2)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            self._process.kill()
            raise TimeoutError(f"the gateway did not stop within {within_s:g} s")
        assert "critical" not in self._log.read_text(), self._log.read_text()
        assert "made a mistake" not in self._log.read_text(), self._log.read_text()
        self._folder.cleanup()

    def _write(self, document: Mapping[str, Any]) -> None:
        state = {**document.get("state", {}), "database": self._database}
        text = yaml.safe_dump({**document, "state": state}, allow_unicode=True)
        (self._path / "afterbay.yaml").write_text(text, encoding="utf-8")

    def _wait(self, pattern: str, within_s: float, after: int = 0) -> re.Match[str]:
        end_s = time.monotonic() + within_s
        while True:
            found = re.compile(pattern).search(self._log.read_text(), after)
            if found is not None:
                return found
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise AssertionError(f"no {pattern!r} in {self._log.read_text()}")
            time.sleep(0.02)
