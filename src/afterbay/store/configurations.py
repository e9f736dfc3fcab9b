"""Configurations that were in force while requests were served, without their secrets, for replays.

Written once a start and once a reload. The newest are kept: a request of an older one is replayed under another.
"""

from __future__ import annotations

import zlib
from contextlib import closing
from typing import Final

from afterbay.store import statements
from afterbay.store.database import Database, transaction
from afterbay.store.rows import rfc3339

MOST: Final = 64
"""So many are kept."""


def keep_configuration(database: Database, name: str, snapshot: bytes, at: float) -> None:
    """Keeps a configuration by its hash; `snapshot` as `afterbay.config.portable` writes it, `at` UTC seconds.

    Raises:
        sqlite3.Error: the database takes nothing now.
    """
    with closing(database.connect()) as connection, transaction(connection):
        connection.execute(statements.KEEP_CONFIGURATION, (name, rfc3339(at), zlib.compress(snapshot)))
        connection.execute(statements.DELETE_OLD_CONFIGURATIONS, (MOST,))


def kept_configuration(database: Database, name: str) -> bytes | None:
    """The configuration of this hash; None: it was not kept, or is not any more.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    with closing(database.connect()) as connection:
        row = connection.execute(statements.SELECT_CONFIGURATION, (name,)).fetchone()
    return zlib.decompress(row[0]) if row is not None else None
