"""What a person looks at to say what a prompt wants: its verbs, its question words, its layout.

Why beside n-grams: an n-gram weighs what it was taught with, and there are many ways to ask for a translation; the
words for it are few and known. Each sign is looked for at the beginning and at the end of the text, where instructions
stand; a passage between them is full of verbs that ask for nothing. English and Chinese words; layout in any language.

Why a table of words and no regular expression of all: a look-up per word costs a tenth of trying each alternative at
each character.
"""

from __future__ import annotations

import math
import re
from typing import Final

from afterbay.policy.learned.vocabulary import SIGNS

ENDS: Final = 160
"""Characters at the beginning and at the end in which words are looked for."""

_NAMES: Final = tuple(SIGNS)


def _tables() -> tuple[dict[str, tuple[int, ...]], frozenset[str], dict[str, tuple[int, ...]]]:
    """Which signs a word, or words joined by +, or a Chinese word gives; and all proper beginnings of joined words."""
    latin: dict[str, list[int]] = {}
    han: dict[str, list[int]] = {}
    for place, (english, chinese) in enumerate(SIGNS.values()):
        for word in english.split():
            latin.setdefault(word, []).append(place)
        for word in chinese.split():
            (latin if word.isascii() else han).setdefault(word, []).append(place)
    starts = {
        "+".join(parts[:n])
        for word in latin
        if "+" in word
        for parts in [word.split("+")]
        for n in range(1, len(parts))
    }
    return {w: tuple(p) for w, p in latin.items()}, frozenset(starts), {w: tuple(p) for w, p in han.items()}


_LATIN, _STARTS, _HAN = _tables()
_LENGTHS: Final = {
    word[0]: tuple(sorted({len(other) for other in _HAN if other[0] == word[0]}, reverse=True)) for word in _HAN
}
"""Which lengths the Chinese words that begin with a character have."""
_QUIET: Final = frozenset(_NAMES.index(name) for name in ("please", "self", "agent", "given"))
"""Signs that say nothing by coming first."""

_TOKENS: Final = re.compile(r"[a-zà-ÿ][a-zà-ÿ0-9+#';.-]*[a-zà-ÿ0-9+#:]|[a-z]|[\u3400-\u9fff]+")
_OPTIONS: Final = re.compile(r"(?:^|\s)\(?[a-d1-4][).:．、]\s*\S")
_CODE: Final = re.compile(r"```|[;{}]\s*\n|\bdef \w+\(|#include|</\w+>|\bimport \w+\n|\w\)[;:]|=> |==|\\n")
_SUMS: Final = re.compile(r"\d ?[-+*/×÷=^<>] ?\d|\d[a-z]\b|\$\d|[=²³√∫πθ∑]|\\frac|\d%")

FEATURES: Final = (
    *(f"first:{name}" for name in _NAMES),
    *(f"head:{name}" for name in _NAMES),
    *(f"tail:{name}" for name in _NAMES),
    "opens_question", "ends_question", "any_question", "ends_colon", "options", "code", "code_much", "sums", "digits",
    "lines", "short", "length", "long", "cjk", "mixed", "quotes", "one_line", "ends_bare", "list_marks",
)  # fmt: skip
"""Names of the features, in their order."""


def evidence(text: str) -> list[float]:
    """The features of a text that was folded and trimmed; each 0 to 1."""
    head, tail = text[:ENDS], text[-ENDS:] if len(text) > ENDS else ""
    signs = len(_NAMES)
    found = [0.0] * (3 * signs)
    first = True
    for place in _places(head):
        if first and place not in _QUIET:
            found[place] = 1.0
            first = False
        found[signs + place] = 1.0
    for place in _places(tail):
        found[2 * signs + place] = 1.0
    return found + _layout(text, head, tail)


def _places(text: str) -> list[int]:
    """The signs in a text, in the order of the words that give them."""
    found: list[int] = []
    pending: list[str] = []
    for token in _TOKENS.findall(text):
        if token[0] > "\u33ff":
            for i, char in enumerate(token):
                for n in _LENGTHS.get(char, ()):
                    if (places := _HAN.get(token[i : i + n])) is not None:
                        found += places
            pending = []
            continue
        if token[-1] == ":" and token not in _LATIN:
            token = token[:-1]
        if (places := _LATIN.get(token)) is not None:
            found += places
        joined = [f"{start}+{token}" for start in pending]
        for word in joined:
            if (places := _LATIN.get(word)) is not None:
                found += places
        pending = [word for word in (*joined, token) if word in _STARTS]
    return found


def _layout(text: str, head: str, tail: str) -> list[float]:
    size = len(text)
    ends = head + tail
    cjk = sum(1 for char in ends if "\u3400" <= char <= "\u9fff") if not ends.isascii() else 0
    letters = max(sum(map(str.isalpha, ends)), 1)
    last = text.rstrip()[-1:]
    lines = text.count("\n")
    return [
        float("?" in head[:120]),
        float(last == "?"),
        float("?" in text),
        float(last == ":"),
        min(len(_OPTIONS.findall(ends)), 4) / 4,
        float(_CODE.search(ends) is not None),
        min(len(_CODE.findall(text)), 10) / 10,
        min(len(_SUMS.findall(ends)), 5) / 5,
        min(sum(map(str.isdigit, ends)), 20) / 20,
        min(lines, 20) / 20,
        float(size < 40),
        min(math.log1p(size) / 9, 1.0),
        float(size > 800),
        cjk / letters,
        float(0.08 < cjk / letters < 0.92),
        min(sum(ends.count(mark) for mark in '"“「'), 4) / 4,
        float(lines == 0),
        float(last.isalnum()),
        min(text.count("\n-") + text.count("\n*") + text.count("\n1"), 6) / 6,
    ]
