"""What has to go where more is kept than there is room for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from afterbay.store.rows import Row


def to_forget(
    connection: sqlite3.Connection, looks: Iterable[tuple[str, Row]], surplus_bytes: int
) -> Iterator[tuple[str, int]]:
    """Rows to forget until so many bytes are free, each with its size, from one look after another.

    A look is a statement with its values that gives ids and sizes, the oldest first.
    """
    for statement, values in looks:
        for name, size in connection.execute(statement, values).fetchall():
            if surplus_bytes <= 0:
                return
            yield name, size
            surplus_bytes -= size
