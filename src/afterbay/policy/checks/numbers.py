"""The numbers of a text: figures, English and Chinese number words, and the number that an answer comes down to."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

import msgspec

MOST_DIGITS = 30
"""A longer run of digits is an identifier and no quantity: arithmetic with it is not checked."""

MOST_NUMBERS = 2000
"""So many numbers of a text are looked at."""

_PLAIN = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+")

_BELOW_21 = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
_TENS = ("thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_OTHERS: Mapping[Fraction, tuple[str, ...]] = MappingProxyType(
    {
        Fraction(1): ("once",),
        Fraction(2): ("twice", "double", "doubles", "doubled", "couple", "pair"),
        Fraction(3): ("thrice", "triple", "triples", "tripled"),
        Fraction(4): ("quadruple",),
        Fraction(12): ("dozen", "dozens"),
        Fraction(100): ("hundred",),
        Fraction(1000): ("thousand",),
        Fraction(1_000_000): ("million",),
        Fraction(1, 2): ("half", "halves"),
        Fraction(1, 3): ("third", "thirds"),
        Fraction(1, 4): ("quarter", "quarters", "fourth", "fourths"),
        Fraction(1, 5): ("fifth", "fifths"),
        Fraction(1, 6): ("sixth",),
        Fraction(1, 10): ("tenth",),
    }
)
_WORDS: Mapping[str, Fraction] = MappingProxyType(
    {word: Fraction(value) for value, word in enumerate(_BELOW_21)}
    | {word: Fraction(10 * (value + 3)) for value, word in enumerate(_TENS)}
    | {word: value for value, words in _OTHERS.items() for word in words}
)
"""What a number word is worth by itself. `twenty-one` counts as 20 and 1: enough to see that a number was used."""

_HAN: Mapping[str, int] = MappingProxyType(
    {
        **{char: value for value, char in enumerate("零一二三四五六七八九十")},
        "两": 2,
        "百": 100,
        "千": 1000,
        "万": 10_000,
    }
)
_WORD = re.compile(r"[A-Za-z]+|[零一二三四五六七八九十两百千万]|半")

ENDING_CHARS = 2000
"""So much of an answer's end is searched for its last word."""

_MARK_CHARS, _SAID_CHARS = 200, 120
"""What is marked or said counts up to so many characters; the patterns below say the same."""

_FINAL = re.compile(r"####\s*(?P<marked>[^\n]{1,200})|\\boxed\{(?P<boxed>(?:[^{}\n]|\{[^{}\n]{0,100}\}){1,200})\}")
_SAID = re.compile(
    r"(?:final answer|answer|result|答案|结果)\s*(?:is|are|=|:|是|为|：|等于)+[\s:]*(?P<said>[^\n]{1,120})",
    re.IGNORECASE,
)
_BARE = re.compile(
    r"(?:\\boxed\{|[\s*_$(\[{`])*"
    r"(?P<what>-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?%?|-?\.\d+%?|[A-Ja-j]|true|false|yes|no|是|否)"
    r"[\s*_$)\]}`]*(?P<after>(?:[.。](?!\s*\d).*)?)",  # in `No. 5` the stop ends nothing
    re.IGNORECASE,
)
_NOTHING_MORE = re.compile(r"[\s*_$)\]}`]*(?:[.。].*)?")
_RAISED = re.compile("[\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209c\u2150-\u215f]")
"""`10²` is not `102`, which is what NFKC makes of it."""
_LATEX = re.compile(r"\\d?frac\{(-?\d+)\}\{(\d+)\}")


class Final(msgspec.Struct, frozen=True):
    """The number that an answer comes down to. `how`: `marked` (`####`, `\\boxed{}`), `said` ("the answer is"), or
    `last`: simply its last number."""

    value: Fraction
    how: str


class Ending(msgspec.Struct, frozen=True):
    """What an answer calls its last word. `is_whole`: nothing that belongs to it, such as a unit, was left out."""

    text: str
    how: str
    is_whole: bool


def value_of(text: str) -> Fraction | None:
    """The value of one figure like `1,200.50`; None: it is none, or longer than any quantity."""
    text = text.replace(",", "").strip().rstrip(".")
    if not text or len(text) > MOST_DIGITS:
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None


def figures(text: str) -> list[Fraction]:
    """The figures of a text in their order, without signs: a minus is read as an operation."""
    found: list[Fraction] = []
    for match in _PLAIN.finditer(text):
        value = value_of(match[0])
        if value is not None:
            found.append(value)
        if len(found) >= MOST_NUMBERS:
            break
    return found


def word_numbers(text: str) -> list[Fraction]:
    """What the number words of a text are worth, English or Chinese."""
    found: list[Fraction] = []
    for match in _WORD.finditer(text.lower()):
        word = match[0]
        if word == "半":
            found.append(Fraction(1, 2))
        elif word in _HAN:
            found.append(Fraction(_HAN[word]))
        elif word in _WORDS:
            found.append(_WORDS[word])
        if len(found) >= MOST_NUMBERS:
            break
    return found


def endings(text: str) -> list[Ending]:
    """What an answer calls its last word, as it stands near its end: what is marked, then what is said, in order."""
    text = text[-ENDING_CHARS:]
    found: list[Ending] = []
    for match in _FINAL.finditer(text):
        if match["boxed"] is None:
            found.append(Ending(match["marked"], "marked", len(match["marked"]) < _MARK_CHARS))
        else:
            rest = text[match.end() :].partition("\n")[0]
            found.append(Ending(match["boxed"], "marked", _NOTHING_MORE.fullmatch(rest) is not None))
    for match in _SAID.finditer(text):
        found.append(Ending(match["said"], "said", len(match["said"]) < _SAID_CHARS))
    return found


def final_answer(text: str) -> str | None:
    """The number, letter or word that an answer comes down to, in one spelling; None: nothing so plain.

    It must be all that is marked (`####`, `\\boxed{}`), else said to be the answer, up to a full stop, else all of the
    text: of `5 km`, a date or a formula the first number is not the answer. Where several are marked, or several are
    said, they must be the same.
    """
    is_all = len(text) <= ENDING_CHARS
    text = widths(text[-ENDING_CHARS:])
    found = endings(text)
    if not found:
        return _alone(text) if is_all else None
    wanted = found[0].how  # what is marked stands first
    values = {_alone(one.text, is_sentence=True) if one.is_whole else None for one in found if one.how == wanted}
    return values.pop() if len(values) == 1 else None


def _alone(said: str, *, is_sentence: bool = False) -> str | None:
    """One spelling of a text that is a number, letter or word and nothing else; of a sentence others may follow."""
    match = _BARE.fullmatch(said.strip())
    if match is None or not (is_sentence or match["after"] in {"", ".", "。"}):
        return None
    what = match["what"].lower()
    if not what.lstrip("-.")[:1].isdigit():
        return what
    above, _, below = what.rstrip("%").partition("/")
    value, parts = value_of(above), value_of(below or "1")
    if value is None or not parts:
        return None
    return f"{value / parts}{'%' if what.endswith('%') else ''}"


def widths(text: str) -> str:
    """A text with one width of each character (NFKC), raised and lowered digits and fractions apart from others."""
    return unicodedata.normalize("NFKC", _RAISED.sub(lambda found: f"^{ord(found[0]):x} ", text))


def final_of(text: str) -> Final | None:
    """The number that an answer gives as its last word, or the first one in it; None: it gives none.

    A guess, for checks that hold it against a derivation. Whether two answers are the same is for `final_answer`.
    """
    found = endings(text)
    for how in ("marked", "said"):
        last = next((one for one in reversed(found) if one.how == how), None)
        value = _first(last.text) if last is not None else None
        if value is not None:
            return Final(value, how)
    tail = text[-400:]
    marks = [match for match in _PLAIN.finditer(tail) if value_of(match[0]) is not None]
    if not marks:
        return None
    value = value_of(marks[-1][0])
    return Final(value, "last") if value is not None else None


def _first(said: str) -> Fraction | None:
    """The first number of a final answer, with its sign, a fraction as one number."""
    latex = _LATEX.search(said)
    if latex is not None and int(latex[2]):
        return Fraction(int(latex[1]), int(latex[2]))
    match = re.search(r"(-)?\s*[$€£¥]?\s*(-)?\s*(\d[\d,]*(?:\.\d+)?|\.\d+)(?:\s*/\s*(\d+)(?![\d.]))?", said)
    if match is None:
        return None
    value = value_of(match[3])
    if value is None:
        return None
    if match[4] and int(match[4][:MOST_DIGITS]):
        value /= int(match[4][:MOST_DIGITS])
    return -value if match[1] or match[2] else value
