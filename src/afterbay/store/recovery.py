"""Journals read back: of holders that are gone, and one's own where the database took nothing for long.

Every frame may be read any number of times: inserting ignores requests that are in the database, and their accounts are
charged with the insert or not at all. Of several frames of one request the last outcome counts. An intent without an
outcome is a request that ran when its process ended: it becomes a record with outcome `unknown`, charged with what was
set aside for it, because nobody knows what its provider did.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from afterbay.core.decision import Record
from afterbay.policy.charge import UNKNOWN
from afterbay.store.database import BUSY_S, Database
from afterbay.store.frames import INTENT, OUTCOME, read_frames
from afterbay.store.holder import Holder, gone, has_lock
from afterbay.store.leases import holders, retire
from afterbay.store.writer import Writer

CHUNK: Final = 500
"""Records read back at once."""

Insert: TypeAlias = Callable[[Sequence[Record]], bool]
"""Writes records to the database; False: it takes nothing now."""

_log = logging.getLogger(__name__)
_decode = msgspec.json.Decoder(Record).decode


class _Named(msgspec.Struct):
    id: str


_decode_id = msgspec.json.Decoder(_Named).decode


class ReadBack:
    """The records of some segments, each once, in chunks. `sizes`: no more of a file is read, where one is given."""

    def __init__(self, files: Sequence[tuple[Path, int | None]], skipped: Collection[str], *, intents: bool) -> None:
        self._files, self._skipped, self._intents = files, skipped, intents
        self.unread: list[bytes] = []
        self.outcomes = self.unfinished = 0

    def __iter__(self) -> Iterator[list[Record]]:
        """Reads the files twice: first what is the last word on each request, then those.

        Raises:
            OSError: a file cannot be read.
        """
        last = self._last_frames()
        chunk: list[Record] = []
        for place, (kind, payload) in enumerate(self._frames([])):
            if place not in last:
                continue
            record = self._record(kind, payload)
            if record is not None:
                chunk.append(record)
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def _last_frames(self) -> set[int]:
        """The places of the frames that count."""
        places: dict[str, int] = {}
        ended: set[str] = set()
        self.unread.clear()
        for place, (kind, payload) in enumerate(self._frames(self.unread)):
            try:
                name = _decode_id(payload).id
            except msgspec.DecodeError:
                self.unread.append(payload)
                continue
            if name in self._skipped:
                continue
            if kind == OUTCOME:
                ended.add(name)
                places[name] = place
            elif kind == INTENT and self._intents and name not in ended:
                places[name] = place
        self.outcomes, self.unfinished = len(ended), len(places) - len(ended)
        return set(places.values())

    def _frames(self, unread: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
        for path, size in self._files:
            yield from read_frames(path.read_bytes()[:size], unread)

    def _record(self, kind: bytes, payload: bytes) -> Record | None:
        try:
            record = _decode(payload)
        except msgspec.DecodeError:
            self.unread.append(payload)
            return None
        if kind == INTENT:
            record.outcome = UNKNOWN
            record.error = "The gateway ended while this request ran: what became of it is not known."
        return record


class Orphans:
    """Takes over what holders that are gone have left. Used by one thread; `step` until it says False."""

    def __init__(self, database: Path, on_retired: Callable[[str], None]) -> None:
        self._database, self._on_retired = database, on_retired
        self._holders: Iterator[Holder] | None = None
        self._holder: Holder | None = None
        self._read_back: ReadBack | None = None
        self._chunks: Iterator[list[Record]] = iter(())
        self._trouble: OSError | None = None
        """With the last holder of this round that could not be read. The others do not wait for it."""
        self.recovered = 0
        """Records read back; some of them may have been in the database already."""
        self.unfinished = 0
        """Those of them whose outcome nobody knows."""

    def step(self, insert: Insert) -> bool:
        """Reads one chunk, or turns to the next holder; whether there is more to do.

        Raises:
            OSError: a journal cannot be read; said when all others were, and tried again in the next round.
        """
        try:
            return self._step(insert)
        except OSError as trouble:
            if self._holder is None:  # it was said at the end of the round, or is not about one of them
                self.abandon()
                raise
            self._holder.let_go()
            self._holder = self._read_back = None
            self._trouble = trouble
            return True
        except BaseException:
            self.abandon()
            raise

    def _step(self, insert: Insert) -> bool:
        if self._holders is None:
            self._holders = gone(self._database)
        if self._read_back is None:
            self._holder = next(self._holders, None)
            if self._holder is None:
                trouble, self._trouble, self._holders = self._trouble, None, None
                if trouble is not None:
                    raise trouble
                return False
            files = [(path, None) for _, path in self._holder.files()]
            self._read_back = ReadBack(files, (), intents=True)
            self._chunks = iter(self._read_back)
        records = next(self._chunks, None)
        if records is None:
            self._retire()
        elif insert(records):
            self.recovered += len(records)
        else:
            self.abandon()
            return False
        return True

    def _retire(self) -> None:
        """All of a holder is in the database: nothing of it stays but what could not be read."""
        holder, read_back = self._holder, self._read_back
        assert holder is not None, "who is read is held"  # noqa: S101
        assert read_back is not None, "a holder's journal was read"  # noqa: S101
        if read_back.unread:
            keep_unread(self._database, holder.prefix, read_back.unread)
        self._on_retired(holder.name)
        for _, path in holder.files():
            path.unlink(missing_ok=True)
        holder.retire()
        self._holder = self._read_back = None
        self.unfinished += read_back.unfinished
        if read_back.outcomes or read_back.unfinished:
            _log.warning(
                "a gateway process ended without its goodbye (%s): %d outcomes were read back from its journal, and %d "
                "requests that ran are logged with outcome '%s'",
                holder.name,
                read_back.outcomes,
                read_back.unfinished,
                UNKNOWN,
            )

    def abandon(self) -> None:
        """Lets go of what is being read: somebody may read it later."""
        if self._holder is not None:
            self._holder.let_go()
        self._holders = self._holder = self._read_back = self._trouble = None


def take_over(database: Database, now_s: float) -> None:
    """Reads back all that holders have left who are gone, at once, and ends their leases.

    Raises:
        OSError, sqlite3.Error: something cannot be read or written now; it stays where it is, for whoever looks next.
    """
    writer = Writer(database, BUSY_S)

    def insert(records: Sequence[Record]) -> bool:
        writer.insert(records, CHUNK, lambda: None)
        return True

    orphans = Orphans(database.path, lambda name: retire(database, name, now_s))
    try:
        while orphans.step(insert):
            pass
    finally:
        writer.close()


def retire_strays(database: Database, now_s: float) -> None:
    """Ends leases of holders that have left nothing else: a copy of a database has some, from wherever it is.

    Raises:
        sqlite3.Error: the database does not answer.
    """
    for name in holders(database):  # whoever has leases has had a lock before
        if not has_lock(database.path, name):
            retire(database, name, now_s)


def keep_unread(database: Path, name: str, unread: Sequence[bytes]) -> None:
    """Keeps apart what is no frame or no record, so that nothing is thrown away unseen."""
    kept = database.with_name(f"{database.name}.unread")
    with open(kept, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as apart:
        apart.writelines(unread)
    _log.error("%d pieces of %s are no records (cut by a crash?); they were kept in %s", len(unread), name, kept)
