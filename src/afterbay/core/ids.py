"""Identifiers: time-ordered, so that a log sorts by them, and random enough not to be guessed."""

from __future__ import annotations

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case


def request_id(now_ms: int, random_bits: int) -> str:
    """A ULID with the prefix `req_`: 48 bits of UTC milliseconds, then 80 random bits.

    Source: the ULID specification, github.com/ulid/spec.
    """
    value = (now_ms & (1 << 48) - 1) << 80 | random_bits & (1 << 80) - 1
    return "req_" + "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
