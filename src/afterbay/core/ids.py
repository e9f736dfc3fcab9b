"""Identifiers: time-ordered, so that a log sorts by them, and random enough not to be guessed."""

from __future__ import annotations

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]  # ten bits at a time
_SHIFTS = range(120, -1, -10)


_WORKER_AT = len("req_") + 10
_WORKER_BITS = 10

WORKERS = 1 << _WORKER_BITS
"""So many processes can be told apart by the ids that they give."""


def request_id(now_ms: int, random_bits: int, worker: int | None = None) -> str:
    """A ULID with the prefix `req_`: 48 bits of UTC milliseconds, then 80 random bits.

    `worker`: the number of the process, where several share an address. It takes the place of the first ten random
    bits: two characters of every id say who has the request.

    Source: the ULID specification, github.com/ulid/spec.
    """
    if worker is not None:
        random_bits = random_bits & (1 << 80 - _WORKER_BITS) - 1 | worker % WORKERS << 80 - _WORKER_BITS
    value = (now_ms & (1 << 48) - 1) << 80 | random_bits & (1 << 80) - 1
    return "req_" + "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])


def worker_of(request: str) -> int | None:
    """The number of the process that gave an id, where it says one; None: it is no id. Ids of a process alone say any
    number."""
    digits = request[_WORKER_AT : _WORKER_AT + 2]
    if (
        not request.startswith("req_")
        or len(request) != len("req_") + 26
        or any(one not in _ALPHABET for one in digits)
    ):
        return None
    return _ALPHABET.index(digits[0]) * len(_ALPHABET) + _ALPHABET.index(digits[1])
