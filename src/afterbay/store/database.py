"""One SQLite file: where it is, how it is opened, and that it has the tables this release expects.

WAL, because then readers (reports, `tail`, the CLI) never wait for the writer nor it for them, and a commit is one
append. `synchronous = NORMAL` under WAL: a crash of the process loses no commit; a crash of the machine may lose the
last ones, never the file's integrity (sqlite.org/pragma.html#pragma_synchronous). Foreign keys are on: attempts go with
their request.

The file is created with mode 0600 (SQLite gives `-wal` and `-shm` the same): it holds key digests, the pepper, and who
asked what and when.

A new file gets `schema.sql` in one transaction. An older one is migrated by Alembic, and only then is Alembic imported:
it costs 160 ms and 24 MiB, which a gateway that finds its tables in order should not pay at every start.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from afterbay.store import statements
from afterbay.store.errors import StoreError, UnsupportedDatabase

HEAD: Final = "0012"
"""The newest migration. A test compares it with the scripts in `migrations/versions`."""

BUSY_S: Final = 5.0
"""How long a connection waits for another one's write lock, unless its owner says otherwise."""

PEPPER_BYTES: Final = 32

_WAL_TRIES: Final = 50
_WAL_PAUSE_S: Final = 0.02


class Database:
    """A place for state. Holds no connection: whoever works with it opens its own and closes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Creates the file and its tables, or migrates them. Safe to call from several processes at once.

        Raises:
            StoreError: the file cannot be opened, is no database, or comes from a newer release.
        """
        try:
            self._create_file()
            with closing(self.connect()) as connection:
                _use_wal(connection)
                if self.revision(connection) is None:
                    _create_tables(connection)
                found = self.revision(connection)
        except (OSError, sqlite3.Error) as broken:
            raise StoreError(
                f"The database {self.path} cannot be opened: {broken}.",
                "Check the path, its permissions and the free space, or set state.database to another file.",
            ) from broken
        if found != HEAD:
            self._migrate(found)

    def connect(self, busy_s: float = BUSY_S) -> sqlite3.Connection:
        """A connection that any one thread at a time may use, in autocommit mode: transactions are explicit.

        Raises:
            sqlite3.Error: the file cannot be opened.
        """
        connection = sqlite3.connect(self.path, timeout=busy_s, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA temp_store = MEMORY")
        # After a long read let the log grow, give the space back instead of keeping it for ever.
        connection.execute("PRAGMA journal_size_limit = 67108864")
        return connection

    @staticmethod
    def revision(connection: sqlite3.Connection) -> str | None:
        """The migration that the tables stand at; None: there are none yet."""
        try:
            row = connection.execute(statements.SELECT_REVISION).fetchone()
        except sqlite3.OperationalError as broken:
            if "no such table" in str(broken):
                return None
            raise
        return None if row is None else str(row[0])

    def _create_file(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))

    def _migrate(self, found: str | None) -> None:
        from afterbay.store import migrations

        migrations.upgrade(self, found)


def open_database(url: str) -> Database:
    """The database of `state.database`, prepared.

    Raises:
        StoreError: not an SQLite file's URL, or see `Database.prepare`.
    """
    database = Database(sqlite_path(url))
    database.prepare()
    return database


def sqlite_path(url: str) -> Path:
    """The file in an SQLAlchemy URL: `sqlite:///relative.db`, `sqlite:////absolute.db`.

    Raises:
        UnsupportedDatabase: another kind of database, no file, or parameters.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in ("sqlite", "sqlite+pysqlite"):
        raise UnsupportedDatabase(
            f"state.database: {scheme or url!r} is not supported by this release.",
            'Use an SQLite file, such as "sqlite:///afterbay.db".',
        )
    path = unquote(rest[1:])
    if not rest.startswith("/") or path in ("", ":memory:") or "?" in path:
        raise UnsupportedDatabase(
            "state.database must name a file, without parameters.",
            'Write "sqlite:///afterbay.db" (beside the gateway) or "sqlite:////var/lib/afterbay.db" (absolute).',
        )
    return Path(path)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction that takes its lock at once, so that it cannot fail halfway for want of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def pepper(connection: sqlite3.Connection) -> bytes:
    """The key of the key digests, made once per database.

    It lives in the database, not in a file beside it: a backup is then whole, a fleet that shares the database shares
    it, and nothing else has to be kept safe. Keys have 256 random bits, so digests can't be guessed whoever has the
    pepper; what it adds is that digests of two gateways can't be compared. The file's mode (0600) protects both.
    """
    row = connection.execute(statements.SELECT_SECRET, ("pepper",)).fetchone()
    if row is None:
        connection.execute(statements.INSERT_SECRET, ("pepper", secrets.token_bytes(PEPPER_BYTES)))
        row = connection.execute(statements.SELECT_SECRET, ("pepper",)).fetchone()
    return bytes(row[0])


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switches to WAL, once in a file's life. Two processes that do so at once get `locked` without waiting."""
    for _ in range(_WAL_TRIES):
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as busy:
            if "locked" not in str(busy):
                raise
            time.sleep(_WAL_PAUSE_S)
    raise sqlite3.OperationalError("another process holds it and does not let go")


def _create_tables(connection: sqlite3.Connection) -> None:
    """Writes `schema.sql` and stamps it, unless another process was faster."""
    script = Path(__file__).with_name("schema.sql").read_text("utf-8")
    code = "\n".join(line for line in script.splitlines() if not line.startswith("--"))
    with transaction(connection):
        if Database.revision(connection) is not None:
            return
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise sqlite3.DatabaseError("it holds tables that are not afterbay's")
        for statement in code.split(";\n"):
            connection.execute(statement)
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version (version_num) VALUES (?)", (HEAD,))
