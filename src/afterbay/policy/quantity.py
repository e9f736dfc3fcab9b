"""How many tokens a text is, about, without a tokenizer.

Why not a tokenizer: the vocabularies take 60 MB of memory and 60 µs a kilobyte, for a number that a provider nearly
always sends. The two rates below were fitted to o200k counts (see `docs/benchmarks.md`, token estimates); every figure
made from them is marked as an estimate.
"""

from __future__ import annotations

ASCII_CHARS_PER_TOKEN = 3.7
OTHER_BYTES_PER_TOKEN = 4.9
"""Of UTF-8: three bytes of a Chinese character are worth about as much as two Russian letters."""


def measure(text: str) -> tuple[int, int]:
    """(ASCII characters, UTF-8 bytes of all other characters) of a text."""
    if text.isascii():
        return len(text), 0
    narrow = len(text.encode("ascii", "ignore"))
    return narrow, len(text.encode("utf-8", "replace")) - narrow


def estimate_tokens(ascii_chars: int, other_bytes: int) -> int:
    """Tokens of a text of so many ASCII characters and other bytes, rounded up."""
    return -int(-(ascii_chars / ASCII_CHARS_PER_TOKEN + other_bytes / OTHER_BYTES_PER_TOKEN) // 1)


def estimate_text(text: str) -> int:
    """Tokens of a text."""
    return estimate_tokens(*measure(text))
