"""The file of an incident: everything that a replay needs, and nothing that could not be handed on.

JSON, made to be read by people: indented, the same bytes for the same incident, mode 0600. Times are seconds since the
request arrived, within an exchange since it was sent.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from afterbay.core.decision import Record, Sight
from afterbay.testing.recorded import Content, Recorded

FORMAT: Final = 1
FILE_BYTES: Final = 256 * 1024 * 1024
"""Larger files are not read."""

Source: TypeAlias = Literal["recorded", "stand-in"]
"""`recorded`: as it was; `stand-in`: made so that the same thing happens, with filler for text."""


class Environment(msgspec.Struct, frozen=True):
    """Where the file was written: by which release, on what."""

    afterbay: str
    python: str
    platform: str


class Configuration(msgspec.Struct, frozen=True):
    """The configuration without secrets (`afterbay.config.portable`). `hash` is that of the one which served.

    `is_exact`: it is that one; else it is the one that was there when the file was written.
    """

    hash: str
    is_exact: bool
    snapshot: msgspec.Raw


class Asked(msgspec.Struct, frozen=True):
    """The client's request: its body, and those of its headers that change what is done."""

    source: Source
    headers: dict[str, str]
    body: Content


class Exchange(msgspec.Struct, frozen=True):
    """What the provider of one attempt answered. `key`: the place of the key, where there are several.

    `continues`: it goes on with the text of an answer that broke off, from wherever its request quotes it.
    `is_busy`: nothing was sent, as the provider's queue (`limits.concurrent`) was full.
    """

    attempt: int
    target: str
    source: Source
    answer: Recorded
    key: int | None = None
    continues: bool = False
    is_busy: bool = False


class Incident(msgspec.Struct, frozen=True):
    """One request, ready to be replayed. `seed` and `request_id` are what every draw came from.

    `order` and `sights` are what its decision saw and said; `notes` name what is not, or not quite, as it was.
    """

    format: int
    request_id: str
    seed: int | None
    written_by: Environment
    configuration: Configuration
    record: Record
    order: tuple[str, ...]
    sights: tuple[Sight, ...]
    request: Asked
    exchanges: tuple[Exchange, ...]
    notes: tuple[str, ...] = ()


_DECODER = msgspec.json.Decoder(Incident)


def to_text(incident: Incident) -> bytes:
    """The file's text."""
    return msgspec.json.format(msgspec.json.encode(incident), indent=1) + b"\n"


def of_text(text: bytes) -> Incident:
    """An incident from its text.

    Raises:
        ValueError: it is none, or of another format.
    """
    try:
        incident = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"it holds no incident: {error}") from None
    if incident.format != FORMAT:
        raise ValueError(f"it has format {incident.format}, this release reads {FORMAT}")
    return incident


def save(incident: Incident, path: Path) -> None:
    """Writes the file, whole or not at all; one that is there is replaced.

    Raises:
        OSError: it could not be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(to_text(incident))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def load(path: Path) -> Incident:
    """Reads a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds no incident, one of another format, or too much.
    """
    if path.stat().st_size > FILE_BYTES:
        raise ValueError(f"it is larger than {FILE_BYTES} bytes")
    return of_text(path.read_bytes())
