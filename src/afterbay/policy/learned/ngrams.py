"""A text as a sparse vector: hashed n-grams of its words and characters. Pure, and quick: numpy from end to end.

Why hashing: a vocabulary would be megabytes of text to ship and to look up; a bucket is arithmetic. Word 1- and 2-grams
say what a text is about, character n-grams make do with spelling, inflection and languages without spaces (each Chinese
character is a word of its own). Every n-gram is one 32-bit hash, computed for all places of the text at once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.policy.normal import folded as folded

Ids: TypeAlias = NDArray[np.uint32]
Values: TypeAlias = NDArray[np.float32]

ENDS_CHARS: Final = 2000
"""Of a longer text so many characters of its beginning and as many of its end are looked at."""

_PRIME: Final = np.uint32(0x01000193)
_MIX: Final = np.uint32(0x85EBCA6B)
_WORD_CHARS: Final = 24
"""Characters of a word that count; a longer one is its beginning."""


class Spec(msgspec.Struct, frozen=True):
    """Which n-grams are taken: of words and of characters (runs of all characters, spaces included), and how many
    buckets (2 ** `bits`) they fall into."""

    words: tuple[int, ...] = (1, 2)
    chars: tuple[int, ...] = (3, 4)
    bits: int = 17


class Sparse(msgspec.Struct, frozen=True):
    """Buckets of a text, ascending and each once, with weights 1 + ln(count); shapes (n,), (n,). Not normalised."""

    ids: Ids
    values: Values


def trimmed(text: str, ends_chars: int = ENDS_CHARS) -> str:
    """The text, or its beginning and end where it is long."""
    return text if len(text) <= 2 * ends_chars else f"{text[:ends_chars]}\n{text[-ends_chars:]}"


def sparse(text: str, spec: Spec) -> Sparse:
    """The vector of a text that was `trimmed` and `folded`."""
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
    hashes = [_char_grams(codes, n) for n in spec.chars] + _word_grams(codes, spec.words)
    joined = np.concatenate(hashes) if hashes else np.zeros(0, np.uint32)
    ids, counts = np.unique(_scrambled(joined) >> np.uint32(32 - spec.bits), return_counts=True)
    return Sparse(ids, (1.0 + np.log(counts)).astype(np.float32))


def _scrambled(hashes: Ids) -> Ids:
    """Hashes whose upper bits depend on all of their bits."""
    mixed: Ids = (hashes ^ (hashes >> np.uint32(15))) * _MIX
    return mixed ^ (mixed >> np.uint32(13))


def _char_grams(codes: Ids, n: int) -> Ids:
    """One hash for each run of `n` characters."""
    if len(codes) < n:
        return np.zeros(0, np.uint32)
    found = codes[: len(codes) - n + 1] * _PRIME + np.uint32(n)
    for i in range(1, n):
        found = (found + codes[i : len(codes) - n + 1 + i]) * _PRIME
    return found


def _word_grams(codes: Ids, orders: tuple[int, ...]) -> list[Ids]:
    """One hash for each run of `n` words, for each n."""
    words = _words(codes)
    found: list[Ids] = []
    for n in orders:
        if len(words) < n:
            continue
        joined = words[: len(words) - n + 1] + np.uint32(n << 24)
        for i in range(1, n):
            joined = joined * _MIX + words[i : len(words) - n + 1 + i]
        found.append(joined)
    return found


def _words(codes: Ids) -> Ids:
    """One hash for each word: a run of letters and digits, or one CJK character."""
    if not len(codes):
        return codes
    kinds = _kinds()[np.minimum(codes, np.uint32(0xFFFF))]
    letter, cjk = kinds == 1, kinds == 2
    starts = cjk.copy()
    starts[0] |= letter[0]
    starts[1:] |= letter[1:] & ~letter[:-1]
    heads = np.flatnonzero(starts)
    if not len(heads):
        return np.zeros(0, np.uint32)
    inside = np.zeros(len(codes), np.int64)
    inside[heads] = 1
    place = np.arange(len(codes)) - heads[np.maximum(np.cumsum(inside) - 1, 0)]
    weight = np.where((letter | cjk) & (place >= 0) & (place < _WORD_CHARS), _powers()[np.clip(place, 0, 31)], 0)
    weight[: heads[0]] = 0
    return np.add.reduceat(codes * weight.astype(np.uint32), heads, dtype=np.uint32)


@lru_cache(maxsize=1)
def _powers() -> Ids:
    """Odd factors by the place in a word: sums of products tell words apart as well as a rolling hash."""
    return np.array([pow(0x9E3779B1, i + 1, 1 << 32) | 1 for i in range(32)], np.uint32)


@lru_cache(maxsize=1)
def _kinds() -> NDArray[np.uint8]:
    """What each character of the basic plane is: 0 none of these, 1 a letter or digit, 2 a word by itself (CJK)."""
    table = np.zeros(0x10000, np.uint8)
    for code in range(0x10000):
        if chr(code).isalnum():
            table[code] = 1
    for low, high in ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x3040, 0x30FF), (0xAC00, 0xD7AF)):
        table[low : high + 1] = 2
    return table
