"""What happened in a simulation, a line an event, and the hash of all lines: same seed, same hash.

Lines:  time  request  what  details. Times have six places; the last bits of a float depend on the machine's libm, so a
hash is compared on one machine, or between machines of one kind.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

_AT_ONCE = 512


class Trace:
    """Takes lines. `write`: who else gets each of them."""

    def __init__(self, write: Callable[[str], object] | None = None) -> None:
        self.lines = 0
        self._hash = sha256()
        self._waiting: list[str] = []
        self._write = write

    def add(self, line: str) -> None:
        """One more line, without its end."""
        self._waiting.append(line)
        if len(self._waiting) >= _AT_ONCE:
            self._flush()

    def digest(self) -> str:
        """The hash of all lines so far, in hexadecimal."""
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self.lines += len(waiting)
            self._hash.update(("\n".join(waiting) + "\n").encode())
        if self._write is not None:
            for line in waiting:
                self._write(line)
