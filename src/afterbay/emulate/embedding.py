"""Vectors of texts, by feature hashing: texts that share words are near each other. Unit length, deterministic.

Source of the idea: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009.
"""

from __future__ import annotations

import math
from hashlib import blake2b

DIMENSIONS = 256
"""Where the request does not say."""

_PLACES = 8  # a word sets so many places, so that two different words hardly ever look alike


def embed(text: str | tuple[int, ...], dimensions: int) -> list[float]:
    """The vector of a text, or of token ids."""
    words = text.lower().split() if isinstance(text, str) else [str(token) for token in text]
    vector = [0.0] * dimensions
    for word in words or [""]:
        digest = blake2b(word.encode(), digest_size=_PLACES * 4).digest()
        for at in range(0, len(digest), 4):
            number = int.from_bytes(digest[at : at + 4], "big")
            vector[(number >> 1) % dimensions] += 1.0 if number & 1 else -1.0
    length = math.sqrt(sum(value * value for value in vector))
    if length == 0:  # the signs cancelled out
        vector[0] = length = 1.0
    return [value / length for value in vector]
