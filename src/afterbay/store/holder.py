"""Who holds what: one life of a process beside a database, and how others find out that it is over.

A holder is a process and a random word, so that a process id that comes again is another holder. It keeps an exclusive
`flock` on `<database>.journal-<holder>.lock` for as long as it lives: the kernel lets go of it however the process
ends, so nobody has to guess by process ids (which differ between containers that share a volume). Whoever gets the lock
of another holder knows that it is gone, and is the only one that clears up after it. Like SQLite's own locks under WAL,
this is for processes of one host.

Source: flock(2): locks are of the open file description, go with its last descriptor, and Python's descriptors are not
inherited by programs that it starts (PEP 446).
"""

from __future__ import annotations

import glob
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # where there is no flock nobody is ever taken for gone
    fcntl = None

_SUFFIX: Final = ".lock"

_log = logging.getLogger(__name__)


class Holder:
    """One life of a process. `name` is a word for file names and for the ledger's leases."""

    def __init__(self, database: Path, name: str, lock: int) -> None:
        self.name = name
        self.prefix = f"{database.name}.journal-{name}"
        """How the names of its files begin."""
        self._folder = database.parent
        self._lock = lock

    def files(self) -> list[tuple[int, Path]]:
        """Its journal's segments with their numbers, the oldest first."""
        found: list[tuple[int, Path]] = []
        for path in self._folder.glob(f"{glob.escape(self.prefix)}-*"):
            number = path.name.removeprefix(f"{self.prefix}-")
            if number.isascii() and number.isdigit():
                found.append((int(number), path))
        return sorted(found)

    def segment(self, number: int) -> Path:
        """The file of a segment."""
        return self._folder / f"{self.prefix}-{number}"

    def let_go(self) -> None:
        """Ends the holding: whoever comes next may clear up what is left."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def end(self) -> None:
        """Ends the holding. Where nothing is left in its journal nothing is left of it; else somebody reads that."""
        if self.files():
            self.let_go()
        else:
            self.retire()

    def retire(self) -> None:
        """Ends the holding and leaves nothing of it behind. Its segments must be gone."""
        (self._folder / (self.prefix + _SUFFIX)).unlink(missing_ok=True)
        self.let_go()


def hold(database: Path, name: str = "") -> Holder:
    """Begins this process's life beside a database. `name`: a word that nobody else has, or had; empty: one is made.

    Raises:
        OSError: the lock's file cannot be made.
        FileExistsError: the name is taken.
    """
    while True:
        chosen = name or f"{os.getpid()}-{secrets.token_hex(4)}"
        lock = _locked(_lock_path(database, chosen), os.O_RDWR | os.O_CREAT | os.O_EXCL)
        if lock is not None:
            return Holder(database, chosen, lock)
        if name:
            raise FileExistsError(f"{_lock_path(database, name)}: somebody has this name")


def has_lock(database: Path, name: str) -> bool:
    """Whether there is a holder of this name that runs, or one that has left something."""
    return _lock_path(database, name).exists()


def is_running(database: Path, name: str) -> bool:
    """Whether the process that has this name runs. Where that cannot be asked it is taken to."""
    path = _lock_path(database, name)
    try:
        lock = _locked(path, os.O_RDWR)
    except OSError:
        return True
    if lock is None:
        return path.exists()
    os.close(lock)
    return False


def _lock_path(database: Path, name: str) -> Path:
    return database.with_name(f"{database.name}.journal-{name}{_SUFFIX}")


def gone(database: Path) -> Iterator[Holder]:
    """Holders whose process has ended, each held by the caller from now on: `retire` it, or `let_go`."""
    prefix = f"{database.name}.journal-"
    for path in sorted(database.parent.glob(f"{glob.escape(prefix)}*{_SUFFIX}")):
        try:
            lock = _locked(path, os.O_RDWR)
        except OSError as trouble:
            _log.warning("the lock %s cannot be looked at: %s", path, trouble)
            continue
        if lock is not None:
            yield Holder(database, path.name.removeprefix(prefix).removesuffix(_SUFFIX), lock)


def _locked(path: Path, flags: int) -> int | None:
    """The lock's descriptor; None: somebody else has it, or has removed it in this moment.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        lock = os.open(path, flags, 0o600)
    except (FileNotFoundError, FileExistsError):
        return None
    is_ours = False
    try:
        if fcntl is None:
            is_ours = bool(flags & os.O_CREAT)
        else:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = path.stat().st_ino == os.fstat(lock).st_ino
    except (BlockingIOError, FileNotFoundError):
        pass
    finally:
        if not is_ours:
            os.close(lock)
    return lock if is_ours else None
