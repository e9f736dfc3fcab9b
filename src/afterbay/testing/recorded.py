"""One recorded exchange with a provider: its file, its fingerprint, and what is taken out of it.

A file is JSON, made to be read and edited by people: text where the bytes are UTF-8, base64 where not, times in
seconds since the request was sent. Credentials are not in it: of the headers only those on a list are kept, `key=` goes
from the path, and in the bodies whatever has the shape of a key is masked, letter by letter, so that lengths, chunks
and the JSON around it stay as they were. A secret that a stream spells out in several events is not found.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from afterbay.core.redaction import SHAPES

FORMAT = 1
FILE_BYTES = 256 * 1024 * 1024
"""Larger files are not read."""

End: TypeAlias = Literal["complete", "closed", "broken", "silent", "too_large"]
"""`closed`: the reader wanted no more; `broken`: the connection failed; `silent`: the reader gave up waiting;
`too_large`: the rest was not recorded."""

_REQUEST_HEADERS = frozenset({"content-type", "accept", "anthropic-version", "anthropic-beta"})
_RESPONSE_HEADERS = frozenset(
    {"content-type", "retry-after", "retry-after-ms", "x-should-retry", "x-request-id", "request-id"}
)
_RESPONSE_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-")
_KEY_PARAMETER = re.compile(r"(?<=[?&])key=[^&]*&?")
_MASKED = re.compile(r"(\\u[0-9a-fA-F]{4}|\\.)|([0-9])|([A-Za-z])", re.DOTALL)
_SHOWN = 3
_NUMBERS = 10_000


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bytes: as `text`, or in `base64`. `at_s`: when they came."""

    at_s: float = 0.0
    text: str | None = None
    base64: str | None = None

    def raw(self) -> bytes:
        """The bytes.

        Raises:
            ValueError: the base64 is none.
        """
        if self.base64 is not None:
            return base64.b64decode(self.base64, validate=True)
        return (self.text or "").encode()


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An exchange. `status` None: there were no headers. Times are seconds since the request was sent.

    `code` is the word for a failed connection, `starting_s` its wish to wait (`ports.TransportError`). `request_id` is
    the gateway's request that it was for, `sent_at` when it was sent, in UTC seconds; 0: not known.
    """

    format: int = FORMAT
    provider: str
    path: str
    request_headers: dict[str, str]
    request: Content
    status: int | None = None
    headers_at_s: float = 0.0
    response_headers: dict[str, str] = {}
    chunks: tuple[Content, ...] = ()
    end: End
    end_at_s: float = 0.0
    message: str | None = None
    connected: bool = True
    code: str | None = None
    starting_s: float | None = None
    request_id: str = ""
    sent_at: float = 0.0


_DECODER = msgspec.json.Decoder(Recorded)


def content(data: bytes, at_s: float = 0.0) -> Content:
    """Bytes as a file holds them."""
    try:
        return Content(round(at_s, 6), text=data.decode())
    except UnicodeDecodeError:
        return Content(round(at_s, 6), base64=base64.b64encode(data).decode())


def without_key(path: str) -> str:
    """The path without Google's key in its query, and with everything else of a key's shape masked."""
    return scrub_text(_KEY_PARAMETER.sub("", path).rstrip("?&"))


def scrub(data: bytes) -> bytes:
    """The bytes with everything of a key's shape masked: as many bytes, JSON stays JSON."""
    return scrub_text(data.decode("latin-1")).encode("latin-1")  # one character a byte, so nothing moves


def scrub_text(text: str) -> str:
    """The text with everything of a key's shape masked: as many characters."""
    return SHAPES.sub(lambda found: _mask(found[0]), text)


def _mask(found: str) -> str:
    return found[:_SHOWN] + _MASKED.sub(lambda one: one[1] or ("1" if one[2] else "x"), found[_SHOWN:])


def scrub_chunks(chunks: Sequence[tuple[float, bytes]]) -> tuple[Content, ...]:
    """The chunks of a body, masked as one, since a key may lie across two of them."""
    whole = scrub(b"".join(data for _, data in chunks))
    cut: list[Content] = []
    at = 0
    for at_s, data in chunks:
        cut.append(content(whole[at : at + len(data)], at_s))
        at += len(data)
    return tuple(cut)


def kept_request_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request that may be stored."""
    return {name.lower(): scrub_text(value) for name, value in headers.items() if name.lower() in _REQUEST_HEADERS}


def kept_response_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a response that may be stored, and that a gateway reads."""
    lower = {name.lower(): value for name, value in headers.items()}
    kept = (name for name in lower if name in _RESPONSE_HEADERS or name.startswith(_RESPONSE_PREFIXES))
    return {name: scrub_text(lower[name]) for name in kept}


def fingerprint(provider: str, path: str, body: bytes) -> str:
    """What a request is found by: the same for the same JSON, whatever its key order and white space."""
    clean = scrub(body)
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # what is not JSON counts by its bytes
        clean = msgspec.json.encode(msgspec.json.decode(clean), order="sorted")
    key = b"\0".join((provider.encode(), without_key(path).encode(), clean))
    return blake2b(key, digest_size=12).hexdigest()


def stem(provider: str) -> str:
    """The provider's name as file names begin with it."""
    return re.sub(r"[^\w.-]", "_", provider)


def save(recorded: Recorded, folder: Path, mark: str, first: int = 0) -> int:
    """Writes a file under the first free number from `first` on, whole or not at all; that number.

    Raises:
        OSError: it could not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{stem(recorded.provider)}-{mark}.{os.getpid()}.tmp"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(recorded), indent=1) + b"\n")
        for number in range(first, first + _NUMBERS):
            with contextlib.suppress(FileExistsError):  # a link fails where a rename would overwrite
                os.link(temporary, folder / f"{stem(recorded.provider)}-{mark}-{number:04d}.json")
                return number
        raise OSError(f"{folder} holds {_NUMBERS} recordings of {recorded.provider}-{mark} already")
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> Recorded:
    """Reads a file.

    Raises:
        ValueError: it is no recording, one of another format, or too large; the message names it.
    """
    try:
        if path.stat().st_size > FILE_BYTES:
            raise ValueError(f"it is larger than {FILE_BYTES} bytes")
        recorded = _DECODER.decode(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no recording: {error}") from None
    if recorded.format != FORMAT:
        raise ValueError(f"{path} has format {recorded.format}, this release reads {FORMAT}")
    return recorded


def differences(one: bytes, other: bytes) -> list[str] | None:
    """Names of the top-level fields in which two JSON bodies differ; None where they are no JSON objects."""
    try:
        first, second = (msgspec.json.decode(body, type=dict[str, object]) for body in (one, other))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    names: Iterable[str] = dict.fromkeys((*first, *second))
    return [name for name in names if first.get(name, msgspec.UNSET) != second.get(name, msgspec.UNSET)]
