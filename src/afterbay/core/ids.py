"""Identifiers: time-ordered, so that a log sorts by them, and random enough not to be guessed."""

from __future__ import annotations

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]  # ten bits at a time
_SHIFTS = range(120, -1, -10)


def request_id(now_ms: int, random_bits: int) -> str:
    """A ULID with the prefix `req_`: 48 bits of UTC milliseconds, then 80 random bits.

    Source: the ULID specification, github.com/ulid/spec.
    """
    value = (now_ms & (1 << 48) - 1) << 80 | random_bits & (1 << 80) - 1
    return "req_" + "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])
