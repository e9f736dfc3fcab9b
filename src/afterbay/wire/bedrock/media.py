"""Images, documents and audio in Converse's form: a format's short name, and base64 in JSON.

Source: the shapes ImageFormat, DocumentFormat, AudioFormat and DocumentBlock (allowed characters of a name) of the
service model. Two documents of a request may not have one name ("Messages contain duplicate document names").
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

from afterbay.core.message import Audio, Document, Image

_DOCUMENT_FORMATS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_DOCUMENT_TYPES = {short: media for media, short in _DOCUMENT_FORMATS.items()}
_ALIASES = {"text/x-markdown": "md", "application/csv": "csv", "application/json": "txt", "application/xml": "txt"}
_IMAGE_STARTS = {"iVBOR": "png", "R0lGOD": "gif", "UklGR": "webp"}
_BAD_NAME = re.compile(r"[^A-Za-z0-9\s\-()\[\]]+")
_SPACES = re.compile(r"\s+")
NAME_CHARS = 200

_Json = dict[str, Any]


def image_block(part: Image, losses: dict[str, None]) -> _Json | None:
    """An image; one by URL only if it lies in S3."""
    if part.detail not in (None, "auto"):
        losses["image.detail"] = None
    if part.data is not None:
        short = _image_format(part.media_type, part.data)
        return {"image": {"format": short, "source": {"bytes": part.data}}}
    if part.url is not None and part.url.startswith("s3://"):
        tail = part.url.rpartition(".")[2].lower()
        short = "jpeg" if tail == "jpg" else tail if tail in ("png", "jpeg", "gif", "webp") else "png"
        return {"image": {"format": short, "source": {"s3Location": {"uri": part.url}}}}
    losses["image_urls"] = None
    return None


def _image_format(media_type: str | None, data: str) -> str:
    if media_type is None:
        return next((short for start, short in _IMAGE_STARTS.items() if data.startswith(start)), "jpeg")
    short = media_type.rpartition("/")[2].lower()
    return "jpeg" if short == "jpg" else short  # what the API does not know it refuses by name


def image_type(short: str) -> str:
    """The media type of a format."""
    return f"image/{short}"


class Names:
    """Names of the documents of one request: in the allowed characters, and no two alike."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def take(self, wanted: str | None, losses: dict[str, None]) -> str:
        """A name for the next document."""
        clean = _SPACES.sub(" ", _BAD_NAME.sub("-", wanted or "")).strip(" -")[:NAME_CHARS].strip() or "document"
        name, number = clean, 1
        while name in self._given:
            number += 1
            tail = f" {number}"
            name = clean[: NAME_CHARS - len(tail)] + tail
        self._given.add(name)
        if wanted is not None and name != wanted:
            losses["document.name"] = None
        return name


def document_block(part: Document, names: Names, losses: dict[str, None], *, as_text: bool) -> _Json | None:
    """A document. `as_text`: plain text goes as text, which Claude takes; elsewhere as the bytes of a file."""
    if part.data:
        short, source = _document_format(part), {"bytes": part.data}
    elif part.text:
        short, source = "txt", {"text": part.text} if as_text else {"bytes": b64encode(part.text.encode()).decode()}
    elif part.url is not None and part.url.startswith("s3://"):
        return _in_s3(part, part.url, names, losses)
    else:
        losses["document_urls" if part.url is not None else "empty_document"] = None
        return None
    return {"document": {"format": short, "name": names.take(part.name, losses), "source": source}}


def _in_s3(part: Document, url: str, names: Names, losses: dict[str, None]) -> _Json:
    tail = url.rpartition(".")[2].lower()
    short = _DOCUMENT_FORMATS.get(part.media_type or "") or (tail if tail in _DOCUMENT_TYPES else "pdf")
    name = names.take(part.name, losses)
    return {"document": {"format": short, "name": name, "source": {"s3Location": {"uri": url}}}}


def _document_format(part: Document) -> str:
    media = (part.media_type or "").partition(";")[0].strip().lower()
    short = _DOCUMENT_FORMATS.get(media) or _ALIASES.get(media)
    if short is not None:
        return short
    tail = (part.name or "").rpartition(".")[2].lower()
    if tail in _DOCUMENT_TYPES:
        return tail
    if media.startswith("text/"):
        return "txt"
    return media.rpartition("/")[2] or "pdf"  # what the API does not know it refuses by name


def document_type(short: str) -> str:
    """The media type of a format."""
    return _DOCUMENT_TYPES.get(short, f"application/{short}")


def audio_block(part: Audio) -> _Json:
    """Audio; few models take it."""
    return {"audio": {"format": part.format, "source": {"bytes": part.data}}}
