"""Runs a program in front of this one: it has the terminal, this one waits and passes signals on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import FrameType

_PASSED_ON = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if (number := getattr(signal, name, None)) is not None
)


class Foreground:
    """One program. While it runs, signals that would end this process are the program's to answer."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def run(self, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
        """Runs it to its end. Its exit code; 128 and the signal's number where one ended it, as shells say it.

        Raises:
            OSError: it cannot be started.
        """
        before = {number: signal.signal(number, self._pass_on) for number in _PASSED_ON}
        try:
            self._process = subprocess.Popen(list(arguments), env=dict(environ))  # noqa: S603  # it is what was asked for
            for number in self._early:
                self._process.send_signal(number)
            code = self._process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return code if code >= 0 else 128 - code

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if self._process is None:
            self._early.append(number)
        elif not (number in (signal.SIGINT, getattr(signal, "SIGQUIT", None)) and _is_in_front()):
            self._process.send_signal(number)


def _is_in_front() -> bool:
    """Whether a terminal sends its signals to this process: then it has sent them to the program as well."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return False
