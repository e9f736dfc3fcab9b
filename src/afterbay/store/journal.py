"""The journal of one process: what it is about to do and what came of it, on disk before anybody else knows.

    begin    -> I frame (the record as it will be if the process ends now)      before the first attempt
    settle   -> O frame (the record as it is before the last byte goes out)
    finish   -> O frame, if anything that counts has changed since
    committed   the record is in the database: its segment may go

A frame is one `write(2)` into the page cache: that survives every end of the process, `kill -9` included. It does not
wait for a disk, with exceptions that the kernel makes: it may hold a writer back when far too much is dirty, and a file
on a network is as fast as the network. `sync` is for those who want to survive the end of the machine.

Segments are named `<database>.journal-<holder>-<number>`, mode 0600. A segment is pinned by every request whose first
frame it holds, until that request's record is committed, and segments go in their order only: so an intent is never
there without its outcome, if there was one. A request that runs for long would keep everything after it; so when a
segment begins, the last frame of each request that is older than the segment before is written again into the new one.

Where answers wait for the disk, a segment is a file that has its length already, written with zeros ahead of need
(`prepare`): frames that overwrite blocks change nothing that the file system must note, so bringing them to the disk is
one write, not a transaction of the file system. Where there is no such file, a segment grows. Readers drop zeros.

All calls may come from any thread; a lock guards them. None waits for anything but a write, but `sync` and `prepare`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from afterbay.core.decision import Record
from afterbay.store.frames import INTENT, OUTCOME, frame
from afterbay.store.holder import Holder

SEGMENT_BYTES: Final = 4 << 20
"""A segment that is larger is followed by another one."""
_HEADROOM: Final = 16
"""The last sixteenth of the bytes is for outcomes: what was begun can be ended."""

_fdatasync: Final = getattr(os, "fdatasync", os.fsync)
"""Brings a file's bytes to the disk, and its length if that has changed (POSIX); not every system has it."""
_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


class JournalFull(OSError):
    """The journal is as large as it may be."""


class _Segment:
    """A file. `pins`: requests whose first frame it holds and whose record is not committed."""

    __slots__ = ("number", "path", "pins", "size")

    def __init__(self, number: int, path: Path) -> None:
        self.number, self.path = number, path
        self.pins = self.size = 0


class _Running(NamedTuple):
    """A request that has not finished: where its first frame is, its last frame, and what that says (None: intent)."""

    segment: int
    frame: bytes
    facts: object


class Sealed(NamedTuple):
    """What of the journal can be read now: its files up to a size, but for the requests that still run."""

    files: tuple[tuple[Path, int], ...]
    running: frozenset[str]


class Journal:
    """See above. `limit_bytes` is the most that all segments together may have."""

    def __init__(self, holder: Holder, limit_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._holder, self._limit_bytes, self._segment_bytes = holder, limit_bytes, segment_bytes
        self._lock = threading.Lock()
        self._segments: deque[_Segment] = deque()
        self._by_number: dict[int, _Segment] = {}
        self._running: dict[str, _Running] = {}
        self._file = -1
        self._number = 0
        self._unsynced: list[int] = []
        self._has_new_name = False
        self._spare = -1
        """The next segment's file, full of zeros; it has the name of segment 0 until it is used."""
        self.keeps_for_sync = False
        """Whether `sync` is called: then a file is closed only after it."""
        self.size = 0
        """Bytes of all segments' frames."""

    def begin(self, record: Record) -> None:
        """Notes that a request is about to cost something.

        Raises:
            OSError: it cannot be written; JournalFull: there is no room.
        """
        written = frame(INTENT, encoded(record))
        with self._lock:
            segment = self._append(written, self._limit_bytes - self._limit_bytes // _HEADROOM)
            segment.pins += 1
            self._running[record.id] = _Running(segment.number, written, None)

    def settle(self, record: Record) -> None:
        """Notes what has come of a request whose last bytes are about to go out.

        Raises:
            OSError: it cannot be written; JournalFull: there is no room.
        """
        facts = _facts(record)
        before = self._running.get(record.id)
        if before is not None and before.facts == facts:
            return
        written = frame(OUTCOME, encoded(record))
        with self._lock:
            segment = self._append(written, self._limit_bytes)
            home = self._running.get(record.id)
            if home is None:
                segment.pins += 1
            number = home.segment if home is not None else segment.number
            self._running[record.id] = _Running(number, written, facts)

    def finish(self, record: Record) -> int:
        """Notes how a request has ended. Returns the segment that keeps it until it is `committed`.

        Raises:
            OSError: it cannot be written, and nothing of the request is there; JournalFull: there is no room.
        """
        facts = _facts(record)
        with self._lock:
            home = self._running.pop(record.id, None)
            if home is not None and home.facts == facts:
                return home.segment
            try:
                segment = self._append(frame(OUTCOME, encoded(record)), self._limit_bytes)
            except OSError as trouble:
                if home is None:
                    raise
                _log.error("the journal has request %s, but not how it ended: %s", record.id, trouble)
                return home.segment
            if home is not None:
                return home.segment
            segment.pins += 1
            return segment.number

    def committed(self, segments: Iterable[int]) -> list[Path]:
        """Records of these segments are in the database. Returns the files that nobody needs: remove them."""
        with self._lock:
            for number in segments:
                if number:
                    self._by_number[number].pins -= 1
            return self._unneeded()

    def seal(self) -> None:
        """Ends the segment that is written to, if there is anything in it; the next frame begins another one."""
        with self._lock:
            if self._segments and self._segments[-1].size and self._file >= 0:
                self._end_segment()

    def sealed(self) -> Sealed:
        """What can be read back now."""
        with self._lock:
            return Sealed(tuple((one.path, one.size) for one in self._segments), frozenset(self._running))

    def sync(self) -> None:
        """Brings all that was written until now to the disk, but no times. Blocks for as long as the disk takes.

        Raises:
            OSError: the disk does not take it.
        """
        with self._lock:
            files, self._unsynced = self._unsynced, []
            if self._file >= 0:
                files.append(os.dup(self._file))
            has_new_name, self._has_new_name = self._has_new_name, False
        try:
            for file in files:
                _fdatasync(file)
        finally:
            for file in files:
                os.close(file)
        if has_new_name:
            sync_path(self._holder.segment(0).parent)

    def prepare(self) -> None:
        """Makes the next segment's file, if it is not there and has room. Blocks for as long as the disk takes.

        Raises:
            OSError: the disk does not take it; nothing of it is left, and the next segment will grow.
        """
        if self._spare >= 0 or self.size + self._segment_bytes > self._limit_bytes:
            return
        path = self._holder.segment(0)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            if os.write(file, bytes(self._segment_bytes)) < self._segment_bytes:
                raise OSError(errno.ENOSPC, "the disk is full")
            os.lseek(file, 0, os.SEEK_SET)
            os.fsync(file)
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        self._spare = file

    def close(self) -> list[Path] | None:
        """Ends it. Returns the files to be removed; None: something in it is in no database, so all of it stays."""
        with self._lock:
            if self._file >= 0:
                self._end_segment()
            if self._spare >= 0:
                os.close(self._spare)
                self._holder.segment(0).unlink(missing_ok=True)
                self._spare = -1
            if self._running or any(one.pins for one in self._segments):
                return None
            return self._unneeded()

    def _append(self, written: bytes, limit_bytes: int) -> _Segment:
        """Writes a frame, whole or not at all."""
        if self.size + len(written) > limit_bytes:
            raise JournalFull(errno.ENOSPC, f"the journal has {self.size} bytes and may have {self._limit_bytes}")
        if self._file < 0:
            self._begin_segment()
        elif self._segments[-1].size >= self._segment_bytes:
            with contextlib.suppress(OSError):  # then the old one grows
                self._begin_segment()
        segment = self._segments[-1]
        done = os.write(self._file, written)
        if done < len(written):
            _cut(self._file, segment.size)
            raise OSError(errno.ENOSPC, "the disk is full")
        segment.size += done
        self.size += done
        return segment

    def _begin_segment(self) -> None:
        number = self._number + 1
        path = self._holder.segment(number)
        file = self._take_spare(path)
        if file < 0:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        if self._file >= 0:
            self._end_segment()
        self._file, self._number, self._has_new_name = file, number, True
        segment = self._by_number[number] = _Segment(number, path)
        self._segments.append(segment)
        for request_id, running in self._running.items():
            if running.segment < number - 1:
                done = os.write(file, running.frame)
                segment.size += done
                self.size += done
                if done < len(running.frame):  # no room: it stays where it is
                    _cut(file, segment.size - done)
                    segment.size, self.size = segment.size - done, self.size - done
                    break
                self._by_number[running.segment].pins -= 1
                segment.pins += 1
                self._running[request_id] = running._replace(segment=number)

    def _take_spare(self, path: Path) -> int:
        """The file that was prepared, with this name from now on; -1: there is none."""
        file, self._spare = self._spare, -1
        if file >= 0:
            try:
                os.rename(self._holder.segment(0), path)
            except OSError:  # somebody has removed it
                os.close(file)
                return -1
        return file

    def _end_segment(self) -> None:
        if self.keeps_for_sync:
            self._unsynced.append(self._file)
        else:
            os.close(self._file)
        self._file = -1

    def _unneeded(self) -> list[Path]:
        paths: list[Path] = []
        while self._segments and not self._segments[0].pins and (len(self._segments) > 1 or self._file < 0):
            segment = self._segments.popleft()
            del self._by_number[segment.number]
            self.size -= segment.size
            paths.append(segment.path)
        return paths


def _cut(file: int, size: int) -> None:
    """Takes back what was written behind `size`: the next write is there."""
    os.ftruncate(file, size)
    os.lseek(file, size, os.SEEK_SET)


def sync_path(path: Path) -> None:
    """Brings a file or a folder's names to the disk, whoever wrote them.

    Raises:
        OSError: the disk does not take it.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def encoded(record: Record) -> bytes:
    """The record as JSON. What JSON cannot hold (a lone surrogate, a huge integer) is made holdable."""
    try:
        return _encode(record)
    except (UnicodeEncodeError, OverflowError):
        return _encode(_holdable(msgspec.structs.asdict(record)))


def _holdable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-(1 << 63), min((1 << 63) - 1, value))
    if isinstance(value, dict):
        return {_holdable(key): _holdable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_holdable(one) for one in value]
    if isinstance(value, msgspec.Struct):
        return _holdable(msgspec.structs.asdict(value))
    return value


def _facts(record: Record) -> object:
    """What of a record is worth another frame if it changes in the last moment: all but times and counts of bytes."""
    return (
        record.outcome,
        record.status,
        record.error,
        record.usage,
        record.cost_picousd,
        record.charged_picousd,
        record.finish,
        len(record.warnings),
        record.circumstances is None,
        [(attempt.outcome, attempt.cost_picousd) for attempt in record.attempts],
    )
