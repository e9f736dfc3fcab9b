"""Finds canaries in bytes, however they are spelled: as they are, escaped, in base64, in hex, in UTF-16, compressed."""

from __future__ import annotations

import base64
import re
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

CORE = "kAnArIaV"
"""Stands in every canary, and in nothing else. Letters alone: escaping for URLs or JSON leaves them as they are."""

NAME = re.compile(rb"kAnArIaV([a-z]{3,}[0-9]{2})z")
"""The core and a canary's own name."""


def _needles() -> dict[bytes, str]:
    core = CORE.encode()
    found = {
        core: "as it is",
        core.hex().encode(): "in hex",
        core.hex().upper().encode(): "in hex",
        CORE.encode("utf-16-le"): "in UTF-16",
        CORE.encode("utf-16-be"): "in UTF-16",
    }
    for before in range(3):  # where the core begins within a group of three bytes
        padded = base64.b64encode(b"\0" * before + core)
        first = -(-before * 8 // 6)
        last = (before + len(core)) * 8 // 6
        found[padded[first:last]] = "in base64"
        found[base64.urlsafe_b64encode(b"\0" * before + core)[first:last]] = "in base64"
    return found


NEEDLES = _needles()


def canaries_in(data: bytes) -> set[str]:
    """What is found: names of canaries, or how one that cannot be named is spelled."""
    found: set[str] = set()
    for needle, spelling in NEEDLES.items():
        if needle not in data:
            continue
        named = {match[1].decode() for match in NAME.finditer(data)} if spelling == "as it is" else set()
        found |= named or {_around(data, needle, spelling)}
    return found


def _around(data: bytes, needle: bytes, spelling: str) -> str:
    at = data.index(needle)
    return f"{spelling}: {data[max(0, at - 40) : at + 80]!r}"


def unpacked(database: Path) -> Iterator[tuple[str, bytes]]:
    """Every value of every table of an SQLite file, with those unpacked that are compressed."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            texts: list[bytes] = []
            for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608  # a name out of the file
                for value in row:
                    if isinstance(value, str):
                        texts.append(value.encode())
                    elif isinstance(value, bytes):
                        texts.append(value)
                        with suppress(zlib.error):  # digests are bytes, too
                            texts.append(zlib.decompress(value))
            yield table, b"\n".join(texts)
