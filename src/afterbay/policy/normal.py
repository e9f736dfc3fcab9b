"""One form for texts that mean the same: for classification and for cache keys. The model gets what the user wrote.

Two strengths: `folded` makes alike what looks alike and keeps every character's place in a line, for n-grams and words.
`normalized` also makes alike what is typed differently by different keyboards and clients (quotes, dashes, full-width
punctuation, invisible characters, spaces), for keys that must not differ by it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_SAME: Final = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2035`\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u300c\u300d\u300e\u300f\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff\u200e\u200f", ""),
        "\u3002": ".",
        "\u3001": ",",
        "\u3008": "<",
        "\u3009": ">",
        "\u3010": "[",
        "\u3011": "]",
    }
)
_SPACE: Final = re.compile(r"\s+")


def folded(text: str) -> str:
    """The text with one form for what looks alike (NFKC: full-width forms, ligatures), without case."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def normalized(text: str) -> str:
    """The text with one form for what is typed alike: folded, plain quotes and dashes, single spaces, no ends.

    The same for its own result.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_SAME)).casefold().translate(_SAME)
        text = unicodedata.normalize("NFKC", text)
    return _SPACE.sub(" ", text.lower().replace("`", "'")).strip()
