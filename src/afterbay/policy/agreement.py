"""Whether two answers to one request say the same, as far as a program can tell. Pure.

Agreement is taken for "both are as good": the same calls, the same fields, the same final answer, the same words.
Of answers that do not agree nothing is known here: who has a judge asks it, who has none counts that against the
cheaper model (`afterbay.engine.shadow`), so that what is certified is rather too little.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final

import msgspec

from afterbay.core.event import Reply
from afterbay.core.message import ToolUse

SHORT_CHARS: Final = 60
"""Of an answer this short, a lone number or letter is the answer."""

_MARKED: Final = re.compile(
    r"(?:####|\\boxed\{|(?:final\s+)?answer\s*(?:is|:|=)|答案(?:是|为|:|：))\s*[*_$(\[{]*\s*"
    r"(?P<what>-?[\d][\d,]*(?:\.\d+)?(?:/\d+)?%?|[A-Ja-j](?![A-Za-z])|true|false|yes|no|是|否)",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?")
_LETTER: Final = re.compile(r"\(?([A-Ja-j])\)?[.:)]?")
_SPACE: Final = re.compile(r"\s+")
_EDGES: Final = " \t\n.!?。！？\"'`*_"


class Said(msgspec.Struct, frozen=True):
    """An answer as far as it is compared: its text, and its calls by name and arguments (JSON text)."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self.calls and not self.text.strip()


def said_of(reply: Reply) -> Said:
    """What the first choice of a whole answer says."""
    message = reply.choices[0].message
    calls = tuple((part.name, part.arguments) for part in message.parts if isinstance(part, ToolUse))
    return Said(message.text(), calls)


def agreement(one: Said, other: Said, *, wants_json: bool = False) -> str | None:
    """How two answers agree (`same calls`, `same fields`, `same answer`, `same words`); None: they may not."""
    if one.calls or other.calls:
        return "same calls" if _calls(one) == _calls(other) is not None else None
    if one.is_empty or other.is_empty:
        return None
    if wants_json:
        first, second = _value(one.text), _value(other.text)
        return "same fields" if first is not None and first == second else None
    if plain(one.text) == plain(other.text):
        return "same words"
    answer = final_answer(one.text)
    return "same answer" if answer is not None and answer == final_answer(other.text) else None


def final_answer(text: str) -> str | None:
    """The number, letter or word that an answer ends in, where it says so or is little else; None: it does neither."""
    text = unicodedata.normalize("NFKC", text)
    marked = [found["what"] for found in _MARKED.finditer(text)]
    if marked:
        return _number(marked[-1])
    bare = text.strip(_EDGES)
    if len(bare) > SHORT_CHARS:
        return None
    letter = _LETTER.fullmatch(bare)
    if letter is not None:
        return letter[1].lower()
    numbers = _NUMBER.findall(bare)
    return _number(numbers[0]) if len(numbers) == 1 else None


def plain(text: str) -> str:
    """A text without what does not change its meaning: case, widths, white space, the last stop."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip(_EDGES)


def _number(what: str) -> str:
    """One spelling of a number: without separators, and without a fraction that is nothing."""
    found = what.replace(",", "").lower()
    if "." in found and not found.endswith("%"):
        found = found.rstrip("0").rstrip(".")
    return found


def _calls(said: Said) -> list[tuple[str, str]] | None:
    """The calls in one spelling and order; None: arguments are no JSON."""
    found = []
    for name, arguments in said.calls:
        value = _value(arguments or "{}")
        if value is None:
            return None
        found.append((name, msgspec.json.encode(value, order="sorted").decode()))
    return sorted(found)


def _value(text: str) -> Any:
    """What JSON text says, a fence of Markdown around it left out; None: it is no object or array."""
    bare = text.strip()
    if bare.startswith("```"):
        bare = bare.strip("`").removeprefix("json").strip()
    try:
        value = msgspec.json.decode(bare)
    except (msgspec.DecodeError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None
