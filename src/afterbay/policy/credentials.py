"""Which of a provider's keys the next request goes out with, and which of them rest.

Keys are used in turn, the one first that was longest not used and not limited. A key that reached a limit rests until
the limit opens; one that was refused rests for 1, then 5, then 15 minutes, since keys are mended: after each pause one
request tries it, and only when that one is served do others follow. A key is never given up: where all rest, the one
that is free the soonest is used, limited ones before refused ones, so that no answer about one model, and no client,
can put a provider out of reach.

Pure: time is passed in, monotonic seconds.
"""

from __future__ import annotations

from typing import Final

import msgspec

from afterbay.core.errors import ErrorKind

PAUSES_S: Final = (60.0, 300.0, 900.0)
"""How long a key rests after the first, the second, and each further refusal."""
TRIAL_S: Final = 30.0
"""So long nobody else uses a key that is on trial after its pause; an answer ends it sooner."""

LIMITS: Final[frozenset[ErrorKind]] = frozenset({"rate_limit", "quota"})
REFUSALS: Final[frozenset[ErrorKind]] = frozenset({"authentication", "permission"})
OF_KEYS: Final = LIMITS | REFUSALS
"""Errors that are about the key a request went out with: another one may be served."""


class _Key(msgspec.Struct):
    """What is known of one key. Times are monotonic; `turn` says when it was last used or limited, as a number."""

    limited_until_s: float = 0.0
    refused_until_s: float = 0.0
    tried_until_s: float = 0.0
    refusals: int = 0
    turn: int = 0

    def free_at_s(self) -> float:
        return max(self.limited_until_s, self.refused_until_s, self.tried_until_s)


class Credentials:
    """The keys of one provider, by their place in the configuration, from 0."""

    def __init__(self, count: int) -> None:
        self._keys = [_Key() for _ in range(count)]
        self._turns = 0

    def __len__(self) -> int:
        return len(self._keys)

    def choose(self, now: float) -> int:
        """The key for the next request."""
        keys = self._keys
        if len(keys) == 1:
            return 0
        free = [place for place, key in enumerate(keys) if key.free_at_s() <= now]
        place = (
            min(free, key=lambda one: keys[one].turn)
            if free
            else min(range(len(keys)), key=lambda one: (keys[one].refusals > 0, keys[one].free_at_s()))
        )
        if keys[place].refusals:
            keys[place].tried_until_s = now + TRIAL_S
        self._use(place)
        return place

    def served(self, place: int) -> bool:
        """The provider took a key, whatever it made of the request. Whether it had refused it before."""
        key = self._keys[place]
        if not key.refusals:
            return False
        key.refusals, key.refused_until_s, key.tried_until_s = 0, 0.0, 0.0
        return True

    def limited(self, place: int, until_s: float) -> None:
        """A key reached a limit that opens again then."""
        key = self._keys[place]
        key.limited_until_s = max(key.limited_until_s, until_s)
        self._use(place)

    def refused(self, place: int, now: float) -> float | None:
        """The provider did not take a key: how long it rests. None: it rests already, by a request sent before."""
        key = self._keys[place]
        if now < key.refused_until_s:
            return None
        pause_s = PAUSES_S[min(key.refusals, len(PAUSES_S) - 1)]
        key.refusals += 1
        key.refused_until_s, key.tried_until_s = now + pause_s, 0.0
        self._use(place)
        return pause_s

    def free_in_s(self, now: float) -> float:
        """Until one of the keys may be used; 0: one may be used now."""
        return max(0.0, min(key.free_at_s() for key in self._keys) - now)

    @property
    def refusals(self) -> list[int]:
        """The places of the keys that were refused and have not been served since."""
        return [place for place, key in enumerate(self._keys) if key.refusals]

    def _use(self, place: int) -> None:
        self._turns += 1
        self._keys[place].turn = self._turns
