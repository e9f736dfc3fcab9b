"""Who asks the same again soon was not content with the answer: a weak sign, kept as a label.

Only keyed digests of conversations are remembered, for ten minutes and in bounded number; the key is the process's own
and ends with it. So only what one process serves is noticed. Requests that failed are not among them, and of programs
that ask the same all day each answer is doubted once at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from afterbay.core.message import Message

WITHIN_S: Final = 600.0
NOT_BEFORE_S: Final = 2.0
"""Nobody has read an answer sooner: what comes then is a program that asks several times."""
KEPT: Final = 8192
SCORE: Final = 0.25
"""What an answer is worth after which the same was asked again. Not 0: some want to see another one."""

_encode = msgspec.msgpack.Encoder().encode


class Asked(msgspec.Struct, frozen=True):
    """A request that was answered. `ended_s`: when (monotonic seconds)."""

    request_id: str
    alias: str
    ended_s: float


class Repeats:
    """Remembers what was answered of late."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._asked: dict[bytes, Asked] = {}

    def note(self, name: bytes, asked: Asked) -> None:
        """A request was answered."""
        self._asked.pop(name, None)
        if len(self._asked) >= self._kept:
            del self._asked[next(iter(self._asked))]
        self._asked[name] = asked

    def take(self, name: bytes, received_s: float) -> Asked | None:
        """The request that one of this name, which came now, repeats; it is not found a second time."""
        asked = self._asked.get(name)
        if asked is None:
            return None
        since_s = received_s - asked.ended_s
        if since_s < NOT_BEFORE_S:
            return None
        del self._asked[name]
        return asked if since_s <= WITHIN_S else None


def name_of(secret: bytes, key_id: str, route: str, messages: Iterable[Message]) -> bytes:
    """A keyed hash of who asks and of the whole conversation so far."""
    digest = blake2b(key=secret, digest_size=16)
    for part in (key_id.encode("utf-8", "replace"), route.encode(), _encode(tuple(messages))):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
