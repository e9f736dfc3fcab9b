"""What a prompt looks like, as numbers: length, shape of its words and sentences, numbers and marks, the form of the
question, the options of a choice, and counted cue words in English and Chinese. Pure.

These say how hard a prompt is where n-grams say what it is about: with 1,500 labels the two together are worth more
than either (docs/router.md). Counts are taken as ln(1 + count), shares as they are, so that no feature runs away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from afterbay.policy.learned.cues import CUES, KINDS, OPENERS, OPENINGS
from afterbay.policy.learned.ngrams import Values

_MARKS: Final = (
    "?",
    ".!",
    ",",
    ";:",
    "()",
    "\"'“”‘’",
    "=",
    "+-*/×÷−",
    "^",
    "<>≤≥",
    "%",
    "$€£¥",
    "\\",
    "_",
    "{}[]",
    "`#|",
)
"""Marks that are counted together. Full-width forms count as their plain ones."""
_WIDE: Final = {
    "？": "?",
    "。": ".",
    "！": "!",
    "，": ",",
    "、": ",",
    "；": ";",
    "：": ":",
    "（": "(",
    "）": ")",
    "％": "%",
}
_OTHER, _LOWER, _UPPER, _DIGIT, _SPACE, _LINE, _CJK, _FOREIGN, _FIRST_MARK = range(9)
_CLASSES: Final = _FIRST_MARK + len(_MARKS)

_WORD: Final = re.compile(r"[^\W\d_]+")
_LETTERS: Final = bytes(code if chr(code).isalpha() else 32 for code in range(128)) + bytes(128)
_CHINESE_CUE: Final = re.compile("|".join(sorted((cue for cue in CUES if not cue.isascii()), key=len, reverse=True)))
_TOKEN: Final = re.compile(r"\w+")
_NUMBER: Final = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
_OPTION: Final = re.compile(r"[ \t]*\(?(?:[A-Ha-h]|[1-9])[.):、．]\)?[ \t]+(\S.*)$")
_ENDINGS: Final = tuple(mark + after for mark in ".!?" for after in " \n")
_MOST_OPTIONS: Final = 12

_LENGTHS = ("characters", "root of characters", "words", "lines", "sentences", "words a sentence", "blank lines")
_WORDS = ("word length", "long words", "longest words", "capitals", "distinct words", "letters outside ASCII", "CJK")
_NUMBERS = ("digits", "share of digits", "numbers", "distinct numbers", "largest number", "decimals")
_OPTIONS = (
    "options", "option length", "option spread", "option deviation", "numeric options", "options with digits",
    "options in the stem", "options alike", "single words", "stem characters", "stem share",
)  # fmt: skip
_FORMS = ("asks", "introduces", "breaks off", "has a blank", "indented")
FEATURES: Final = (
    *_LENGTHS,
    *_WORDS,
    *_NUMBERS,
    *_OPTIONS,
    *_FORMS,
    *(f"mark {marks[0]}" for marks in _MARKS),
    *(f"opens with {opening}" for opening in OPENINGS),
    *(f"cue {kind}" for kind in KINDS),
)
"""Names of the features, in order."""


def surface(text: str) -> Values:
    """The features of a `trimmed` text, in the order of `FEATURES`; not folded: capitals count."""
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
    kinds = _kinds()[np.minimum(codes, np.uint32(0xFFFF))]
    counts = np.bincount(kinds, minlength=_CLASSES)
    words = _split(text, bool(counts[_FOREIGN] or counts[_CJK]))
    stem, options = _parts(text, int(counts[_LINE]))
    found = [
        *_lengths(text, stem, counts, len(words)),
        *_words(words, kinds, counts),
        *_numbers(text, counts),
        *_options(stem, options, len(text)),
        *_forms(text, stem),
    ]
    marks = np.log1p(counts[_FIRST_MARK:])
    return np.concatenate([found, marks, _opening(words, stem), _cues(words, text, counts)]).astype(np.float32)


def _split(text: str, is_foreign: bool) -> list[str]:
    """The words in lower case, apostrophes left out."""
    lower = text.lower().replace("'", "").replace("’", "")
    if is_foreign:
        return _WORD.findall(lower)
    return lower.encode("ascii", "replace").translate(_LETTERS).decode("ascii").split()


def _parts(text: str, breaks: int) -> tuple[str, list[str]]:
    """What is asked, and the options to choose from: lines that begin with a letter or number as of a list, two or
    more."""
    if not breaks:
        return text.rstrip(), []
    start, at = 0, 0
    options: list[str] = []
    for line in text.split("\n"):
        found = _OPTION.match(line)
        if found is not None:
            start = start if options else at
            options.append(found[1].rstrip())
            if len(options) == _MOST_OPTIONS:
                break
        at += len(line) + 1
    return (text[:start].rstrip(), options) if len(options) > 1 else (text.rstrip(), [])


def _sentences(stem: str, counts: NDArray[np.intp]) -> int:
    """Ends of sentences, at least one."""
    ends = sum(map(stem.count, _ENDINGS)) + stem.endswith((".", "!", "?"))
    return max(ends + (sum(map(stem.count, "。！？")) if counts[_CJK] else 0), 1)


def _lengths(text: str, stem: str, counts: NDArray[np.intp], words: int) -> list[float]:
    said = words + int(counts[_CJK])
    sentences = _sentences(stem, counts)
    lines = int(counts[_LINE])
    numbers = np.log1p([len(text), said, lines, sentences, said / sentences, text.count("\n\n")]).tolist()
    return [numbers[0], len(text) ** 0.5 / 10, *numbers[1:]]


def _words(words: Sequence[str], kinds: NDArray[np.uint8], counts: NDArray[np.intp]) -> list[float]:
    letters = max(int(counts[_LOWER] + counts[_UPPER] + counts[_CJK] + counts[_FOREIGN]), 1)
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    many = max(len(words), 1)
    capital = (kinds[1:] == _UPPER) & (kinds[:-1] == _SPACE)
    return [
        float(lengths.sum()) / many,
        float((lengths >= 7).sum()) / many,
        float((lengths >= 10).sum()) / many,
        float(capital.sum()) / many,
        len(set(words)) / many,
        float(counts[_FOREIGN]) / letters,
        float(counts[_CJK]) / letters,
    ]


def _numbers(text: str, counts: NDArray[np.intp]) -> list[float]:
    found = _NUMBER.findall(text) if counts[_DIGIT] else []
    largest = max((len(number.split(".")[0].replace(",", "")) for number in found), default=0)
    decimals = sum("." in number for number in found)
    logs = np.log1p([counts[_DIGIT], len(found), len(set(found)), decimals]).tolist()
    return [logs[0], float(counts[_DIGIT]) / max(len(text), 1), *logs[1:3], min(largest, 9), logs[3]]


def _options(stem: str, options: Sequence[str], characters: int) -> list[float]:
    """How the options of a choice compare; all 0 where there is none."""
    around = [float(np.log1p(len(stem))), len(stem) / max(characters, 1)]
    if not options:
        return [0.0] * (len(_OPTIONS) - 2) + around
    lengths = np.log1p([len(option) for option in options])
    parts = [frozenset(_TOKEN.findall(option.lower())) for option in options]
    asked = frozenset(_TOKEN.findall(stem.lower()))
    said = sum(map(len, parts))
    many = len(options)
    return [
        float(many),
        float(lengths.mean()),
        float(lengths.max() - lengths.min()),
        float(lengths.std()),
        sum(option.lstrip(" $£€+-−–")[:1].isdigit() for option in options) / many,
        sum(any(map(str.isdigit, option)) for option in options) / many,
        sum(len(part & asked) / max(len(part), 1) for part in parts) / many,
        said / max(len(frozenset().union(*parts)), 1),
        sum(" " not in option for option in options) / many,
        *around,
    ]


def _forms(text: str, stem: str) -> list[float]:
    last = stem[-1:]
    return [
        float(last in "?？"),
        float(last in ":："),
        float(last.isalnum() or last in ",，-"),
        float("__" in stem or "_ " in stem or "..." in stem or "…" in stem),
        float("\n  " in text or "\n\t" in text),
    ]


def _opening(words: Sequence[str], stem: str) -> Values:
    """What kind of word the prompt begins with."""
    found = np.zeros(len(OPENINGS), np.float32)
    kind = OPENERS.get(words[0]) if words and words[0].isascii() else OPENERS.get(stem[:1])
    if kind is not None:
        found[kind] = 1
    return found


def _cues(words: Sequence[str], text: str, counts: NDArray[np.intp]) -> Values:
    """How often each kind of cue occurs."""
    found = [0] * len(KINDS)
    said = [*words, *_CHINESE_CUE.findall(text)] if counts[_CJK] else words
    for kind in map(CUES.get, said):
        if kind is not None:
            found[kind] += 1
    return np.log1p(found).astype(np.float32)


@lru_cache(maxsize=1)
def _kinds() -> NDArray[np.uint8]:
    """The class of each character of the basic plane."""
    table = np.zeros(0x10000, np.uint8)
    for code in range(0x10000):
        letter = chr(code)
        if letter.isalpha():
            table[code] = (_UPPER if letter.isupper() else _LOWER) if code < 0x80 else _FOREIGN
        elif letter.isdigit():
            table[code] = _DIGIT
        elif letter.isspace():
            table[code] = _LINE if letter == "\n" else _SPACE
    for low, high in ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x3040, 0x30FF), (0xAC00, 0xD7AF)):
        table[low : high + 1] = _CJK
    for number, marks in enumerate(_MARKS):
        for mark in marks:
            table[ord(mark)] = _FIRST_MARK + number
    for wide, plain in _WIDE.items():
        table[ord(wide)] = table[ord(plain)]
    return table
