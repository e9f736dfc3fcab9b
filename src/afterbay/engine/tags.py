"""The tags of a request: what its client wants it to be counted under."""

from __future__ import annotations

from typing import Final

MOST_TAGS: Final = 16
TAG_CHARS: Final = 64
_HEADER_CHARS: Final = 4096
_HEADER: Final = "x-afterbay-tags"


def read_tags(header: str) -> tuple[dict[str, str], list[str]]:
    """`k=v,k=v` as a mapping, and what of it is not as it was meant: a budget of that tag would not hold.

    At most 16 tags, each part at most 64 characters. A header's bytes come as Latin-1; where they are UTF-8, they mean
    that.
    """
    found: dict[str, str] = {}
    warnings: list[str] = []
    for pair in _text(header[:_HEADER_CHARS]).split(","):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not pair.strip():
            continue
        if not (equals and name):
            warnings.append(f"{_HEADER}: '{pair.strip()[:TAG_CHARS]}' is not NAME=VALUE, and was left out")
            continue
        if len(name) > TAG_CHARS or len(value) > TAG_CHARS:
            name, value = name[:TAG_CHARS], value[:TAG_CHARS]
            warnings.append(f"{_HEADER}: '{name}' was cut to {TAG_CHARS} characters")
        if name in found:
            warnings.append(f"{_HEADER}: '{name}' is there twice, the last one counts")
        elif len(found) == MOST_TAGS:
            warnings.append(f"{_HEADER}: only the first {MOST_TAGS} count")
            break
        found[name] = value
    if len(header) > _HEADER_CHARS:
        warnings.append(f"{_HEADER}: only the first {_HEADER_CHARS} bytes are read")
    return found, warnings


def _text(header: str) -> str:
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header
