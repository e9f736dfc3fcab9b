"""How many tokens a text is, about, without a tokenizer.

Why not a tokenizer: the vocabularies take 60 MB of memory and 60 µs a kilobyte, for a number that a provider nearly
always sends. The two rates below were fitted to o200k counts (see `docs/benchmarks.md`, token estimates); every figure
made from them is marked as an estimate.
"""

from __future__ import annotations

ASCII_CHARS_PER_TOKEN = 3.7
OTHER_CHARS_PER_TOKEN = 1.6


def estimate_tokens(ascii_chars: int, other_chars: int) -> int:
    """Tokens of a text of so many ASCII and other characters, rounded up."""
    return -int(-(ascii_chars / ASCII_CHARS_PER_TOKEN + other_chars / OTHER_CHARS_PER_TOKEN) // 1)


def estimate_text(text: str) -> int:
    """Tokens of a text."""
    narrow = len(text) if text.isascii() else len(text.encode("ascii", "ignore"))
    return estimate_tokens(narrow, len(text) - narrow)
