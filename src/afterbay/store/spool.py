"""A file beside the database that takes records while the database takes none: one JSON object a line.

Named `<database>.spool-<pid>`, because each process writes its own. Whoever starts later takes over what dead processes
left; so processes that share a database must see each other's process ids (WAL asks for one host anyway). Lines may be
read back twice (a crash between reading and deleting): inserting ignores what is there already.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from afterbay.core.decision import Record

CHUNK: Final = 500
"""Records read back at once."""

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


class SpoolFull(OSError):
    """The spool is as large as it may be."""


class Spool:
    """The spool of one process, and those that dead ones left. Used by one thread at a time."""

    def __init__(self, database: Path, limit_bytes: int) -> None:
        self._database = database
        self._limit_bytes = limit_bytes
        self._own = database.with_name(f"{database.name}.spool-{os.getpid()}")

    def append(self, records: Sequence[Record]) -> None:
        """Adds records, all or none as far as the file system tells.

        Raises:
            OSError: it cannot be written; SpoolFull: it would be larger than the limit.
        """
        lines = b"".join(_encode(record) + b"\n" for record in records)
        with open(self._own, "ab", opener=_private) as file:
            before = file.tell()
            if before + len(lines) > self._limit_bytes:
                raise SpoolFull(f"{self._own} holds {before} bytes and may hold {self._limit_bytes}")
            try:
                file.write(lines)
                file.flush()
            except OSError:
                os.truncate(file.fileno(), before)
                raise

    def waiting(self) -> list[Path]:
        """Files to read back: one's own, and those of processes that are gone."""
        files = self._database.parent.glob(f"{self._database.name}.spool-*")
        return sorted(file for file in files if file == self._own or _is_orphan(file))

    def read(self, file: Path) -> Iterator[list[Record]]:
        """The records in a file, in chunks. What can't be decoded (a line cut by a crash) is kept in a file apart."""
        chunk: list[Record] = []
        unread: list[bytes] = []
        with file.open("rb") as lines:
            for line in lines:
                try:
                    chunk.append(_decode(line))
                except msgspec.DecodeError:
                    unread.append(line)
                if len(chunk) == CHUNK:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk
        if unread:
            self._keep_unread(file, unread)

    def _keep_unread(self, file: Path, unread: list[bytes]) -> None:
        kept = self._database.with_name(f"{self._database.name}.unread")
        with open(kept, "ab", opener=_private) as apart:
            apart.writelines(unread)
        _log.error("%d lines of %s are no records (cut by a crash?); they were kept in %s", len(unread), file, kept)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _is_orphan(file: Path) -> bool:
    """Whether the process that wrote a spool is gone. Where that can't be asked, the file stays."""
    pid = file.name.rpartition("-")[2]
    if not pid.isdigit() or os.name != "posix":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass  # alive and someone else's, or no process id at all
    return False
