"""Whether a conversation stays where it was, though a route would pick another target now. Pure: no clock, no chance.

A provider bills what its cache still has of a prompt at a tenth of the price, or thereabouts. Going elsewhere throws
that away:

    value of staying    tokens in the cache x (price of reading - price of reading from the cache) x P(still there)
    gain of going       what the same request costs less elsewhere, both read anew

It stays while the value is at least the gain. Nothing holds it back from a better answer: where the other one costs
more it was picked for its quality, and where it is known to be clearly better it is taken whatever the cache is worth.

What is kept of a conversation is a keyed hash of how it began, the target, and numbers. Of two that begin alike, each
may find the other's entry: they share their beginning, and so the cache.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from afterbay.core.usage import Price

KEPT = 10_000
"""So many conversations are remembered by a process; of more, those unheard of for longest are forgotten."""
SURE_S = 270.0
"""So long a prompt is in the cache for sure: Anthropic keeps it 5 minutes from its last use, OpenAI 5 to 10 (prompt
caching pages of both, November 2026); half a minute is taken off for the answer."""
HALF_S = 300.0
"""From then on half of what is left is gone in so much time."""
LONGEST_S = 3600.0
"""After so long nothing is left, and an escalation is over."""
LEAST_TOKENS = 1024
"""Shorter prompts are not cached (OpenAI, Anthropic, November 2026; Gemini and others: from more on)."""
CLEARLY_BETTER = 0.01
"""A share of quality below this is noise."""


class Pinned(msgspec.Struct, frozen=True):
    """Where a conversation was: target and alias, how long ago (seconds), and how much of it may be cached there.

    `escalated`: its agent went round in circles, and it was given the strongest candidate for that.
    """

    target: str
    alias: str
    age_s: float
    tokens: int = 0
    escalated: bool = False


def warm_share(age_s: float) -> float:
    """The probability that what was cached so long ago still is."""
    if age_s >= LONGEST_S:
        return 0.0
    return 1.0 if age_s <= SURE_S else 0.5 ** ((age_s - SURE_S) / HALF_S)


def warm_tokens(pinned: Pinned, input_tokens: int) -> int:
    """Tokens of a prompt that are expected to be in the cache of the target that the conversation was at."""
    if pinned.tokens < LEAST_TOKENS:
        return 0
    return int(min(pinned.tokens, input_tokens) * warm_share(pinned.age_s))


def value_picousd(price: Price, warm: int, input_tokens: int) -> int:
    """What so many cached tokens of such a prompt are worth."""
    tier = price.tier(input_tokens)
    return warm * max(tier.input - tier.cached_input, 0)


def is_worth_staying(value: int, gain: int | None, better: float | None) -> bool:
    """Whether a conversation stays.

    Args:
        value: what the warm cache is worth (picodollars).
        gain: what the request costs less elsewhere, read anew at both; None: not known.
        better: by how much the other one's quality is above its own; None: not known.
    """
    if value <= 0 or gain is None:
        return False
    if better is not None and better > CLEARLY_BETTER:
        return False
    if gain < 0 and better is None:  # dearer, and nobody knows better: it was picked because it is stronger
        return False
    return value >= gain


class _Entry(msgspec.Struct):
    target: str
    alias: str
    at_s: float
    tokens: int
    escalated: bool


class Conversations:
    """Where the conversations of a process were, by the hash of how they began. Bounded."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: bytes, now: float) -> Pinned | None:
        """Where a conversation was; None: it is new, or too long ago."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        age_s = max(now - entry.at_s, 0.0)
        if age_s >= LONGEST_S:
            del self._entries[name]
            return None
        return Pinned(entry.target, entry.alias, age_s, entry.tokens, entry.escalated)

    def note(self, name: bytes, target: str, alias: str, now: float, tokens: int, *, escalated: bool) -> None:
        """A target has answered in a conversation; `tokens`: of it, that its provider may have in its cache."""
        self._entries[name] = _Entry(target, alias, now, tokens, escalated)
        self._entries.move_to_end(name)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)
