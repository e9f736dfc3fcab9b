"""Whether a replayed request went as the recorded one did, attempt by attempt, and where it first did not."""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

import msgspec

from afterbay.core.decision import Attempt, Record

LEAST_S: Final = 0.25
SHARE: Final = 0.05
"""A moment is the same within so much, and within this share of it: scheduling, a slow client, the network's way back
are not replayed."""


class Pair(msgspec.Struct, frozen=True):
    """One attempt in both; None: there was none. `differs`: in what, first; empty: they are alike."""

    number: int
    recorded: Attempt | None
    replayed: Attempt | None
    differs: str


class Likeness(msgspec.Struct, frozen=True):
    """All attempts, and how it ended. `first`: where it first differs; None: nowhere."""

    pairs: tuple[Pair, ...]
    ending: str
    first: str | None

    @property
    def is_same(self) -> bool:
        """Whether it went the same way."""
        return self.first is None


def compare(recorded: Record, replayed: Record) -> Likeness:
    """Both records side by side."""
    pairs: list[Pair] = []
    for number, (one, other) in enumerate(zip_longest(recorded.attempts, replayed.attempts)):
        pairs.append(Pair(number, one, other, _difference(one, other)))
    first = next((f"attempt {pair.number}: {pair.differs}" for pair in pairs if pair.differs), None)
    ending = _ending(recorded, replayed)
    if first is None and ending:
        first = f"the end: {ending}"
    return Likeness(tuple(pairs), ending, first)


def _difference(one: Attempt | None, other: Attempt | None) -> str:
    if other is None:
        return "it was not made"
    if one is None:
        return f"{other.target} was not asked then"
    for name in ("target", "why", "outcome", "status"):
        before, now = getattr(one, name), getattr(other, name)
        if before != now:
            return f"{name} {_shown(before)} then, {_shown(now)} now"
    for name, said in _MOMENTS:
        before, now = getattr(one, name), getattr(other, name)
        if (before is None) != (now is None):
            return f"{said}: {'none' if before is None else f'{before:.2f} s'} then, {_at(now)} now"
        if before is not None and now is not None and abs(before - now) > max(LEAST_S, SHARE * before):
            return f"{said} at {before:.2f} s then, at {now:.2f} s now"
    return ""


_MOMENTS: Final = (
    ("started_s", "it began"),
    ("headers_s", "headers came"),
    ("first_token_s", "first output came"),
    ("ended_s", "it ended"),
)


def _ending(recorded: Record, replayed: Record) -> str:
    for name in ("outcome", "status"):
        before, now = getattr(recorded, name), getattr(replayed, name)
        if before != now:
            return f"{name} {_shown(before)} then, {_shown(now)} now"
    return ""


def _shown(value: object) -> str:
    return "none" if value is None else str(value)


def _at(moment_s: float | None) -> str:
    return "none" if moment_s is None else f"{moment_s:.2f} s"
