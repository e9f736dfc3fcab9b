"""Secrets of a configuration, cut out of whatever is written: known ones wherever they stand, others by their shape.

The last of three nets. The first: a portable configuration has none. The second: no header and no text of anybody's is
written unless it is on a list. This one is for what a provider quotes in an error, or a client puts in a prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from afterbay.config.snapshot import Snapshot
from afterbay.testing.recorded import Content, Recorded, content, scrub

LEAST_CHARS: Final = 8
"""What is shorter stands in too many other words, and keeps nothing secret (`none`, `test`, `EMPTY`)."""
_TELLING: Final = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH", re.IGNORECASE)
_PLAIN_HEADERS: Final = frozenset(
    {"accept", "content-type", "user-agent", "anthropic-version", "anthropic-beta", "openai-beta"}
)
"""Headers whose values are words of a protocol."""


def secrets_of(snapshot: Snapshot, environ: Mapping[str, str]) -> set[str]:
    """Everything secret that a configuration holds, or the environment by a telling name."""
    found: set[str] = {value for name, value in environ.items() if _TELLING.search(name)}
    urls = [snapshot.state.database, snapshot.state.shared, snapshot.telemetry.otlp or ""]
    for provider in snapshot.providers.values():
        found.update(key.reveal() for key in provider.keys)
        found.update(value for name, value in provider.headers.items() if name.lower() not in _PLAIN_HEADERS)
        urls += [provider.base_url, provider.proxy or ""]
    for url in urls:
        found.update(_of_url(url))
    return {one for one in found if len(one) >= LEAST_CHARS}


def _of_url(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    token = parts.username if parts.password is None else None
    for one in (token, parts.password, *(value for _, value in parse_qsl(parts.query))):
        if one:
            yield from (one, unquote(one))


class Secrets:
    """Cuts known secrets, and what has the shape of one, out of text: as many characters as before."""

    def __init__(self, known: Iterable[str]) -> None:
        spelled = {form for one in known for form in _spellings(one)}
        ordered = sorted(spelled, key=lambda one: (-len(one), one))
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def cut(self, text: str) -> str:
        """The text without them."""
        if self._known is not None:
            text = self._known.sub(lambda found: "x" * len(found[0]), text)
        return scrub(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def cut_bytes(self, data: bytes) -> bytes:
        """The bytes without them."""
        try:
            return self.cut(data.decode()).encode()
        except UnicodeDecodeError:
            return self.cut(data.decode("latin-1")).encode("latin-1", "replace")

    def cut_all(self, value: Any) -> Any:
        """Plain values (as `msgspec.to_builtins` makes them) without them, names in mappings included."""
        if isinstance(value, str):
            return self.cut(value)
        if isinstance(value, dict):
            return {self.cut(name): self.cut_all(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.cut_all(inner) for inner in value]
        return value

    def cut_recorded(self, recorded: Recorded) -> tuple[Content, ...]:
        """The chunks of an answer, cut as one, since a secret may lie across two of them."""
        raw = [one.raw() for one in recorded.chunks]
        whole = self.cut_bytes(b"".join(raw))
        cut: list[Content] = []
        at = 0
        for one, data in zip(recorded.chunks, raw, strict=True):
            cut.append(content(whole[at : at + len(data)], one.at_s))
            at += len(data)
        return tuple(cut)


def _spellings(secret: str) -> set[str]:
    """A secret as it stands in JSON, in a URL, and in JSON within JSON."""
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return {secret, quote(secret), quote(secret, safe=""), *escaped, *(json.dumps(one)[1:-1] for one in escaped)}
