"""What the sources of a file share: the limits, the report of progress, the wish to stop, and how a try ended."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import msgspec

from afterbay.local.catalog import LocalModel
from afterbay.local.errors import InstallCancelledError, WrongFileError

BLOCK_BYTES = 1 << 20
REPORT_EVERY_S = 0.1

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with (model id, bytes done, bytes in total), at most every 0.1 s and once at the end."""


class Limits(msgspec.Struct, frozen=True):
    """Deadlines of an installation, in seconds.

    `answer_s`: a source that has not answered by then is passed over. `stall_s`: no byte for so long ends a try.
    `lock_s`: how long to wait for another process that fetches the same model. `tries`: resumed attempts at one source.
    """

    answer_s: float = 3.0
    stall_s: float = 60.0
    lock_s: float = 3600.0
    tries: int = 3


class NoAnswerError(Exception):
    """A source does not have the file, or cannot be reached; the text is what it answered."""


class Job:
    """One running installation: reports progress and notices the wish to stop."""

    def __init__(
        self, model: LocalModel, progress: Progress | None, stop: threading.Event | None, limits: Limits
    ) -> None:
        self.model_id, self.files, self.total_bytes, self.limits = model.id, len(model.files), model.size_bytes, limits
        self._progress, self._stop = progress, stop
        self._base, self._reported_at = 0, 0.0

    def check(self) -> None:
        """Raises InstallCancelledError if the caller asked to stop."""
        if self._stop is not None and self._stop.is_set():
            raise InstallCancelledError(f"The installation of {self.model_id} was stopped.")

    def pause(self, seconds: float) -> None:
        """Waits, but not past the wish to stop."""
        if self._stop is None:
            time.sleep(seconds)
        else:
            self._stop.wait(seconds)
        self.check()

    def report(self, file_bytes: int) -> None:
        """Says how many bytes of the current file are there."""
        now = time.monotonic()
        if self._progress and now - self._reported_at >= REPORT_EVERY_S:
            self._reported_at = now
            self._progress(self.model_id, min(self._base + file_bytes, self.total_bytes), self.total_bytes)

    def finish(self, file_bytes: int) -> None:
        """The current file is complete."""
        self._base += file_bytes
        if self._progress:
            self._progress(self.model_id, self._base, self.total_bytes)


def digest(path: Path, job: Job) -> str:
    """sha256 of a file, with progress."""
    sha, done = hashlib.sha256(), 0
    with path.open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            job.check()
            sha.update(block)
            done += len(block)
            job.report(done)
    return sha.hexdigest()


def refuse_unless(sha256: str, found: str, where: str) -> None:
    """Raises WrongFileError unless the hashes are equal."""
    if found != sha256:
        raise WrongFileError(f"{where} has the sha256 {found}, pinned is {sha256}: refused.")
