"""Whether two answers to one request say the same, as far as a program can tell. Pure.

Agreement is taken for "both are as good": the same calls, the same fields, the same final answer, the same words.
Of answers that do not agree nothing is known here: who has a judge asks it, who has none counts that against the
cheaper model (`afterbay.engine.shadow`), so that what is certified is rather too little.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from afterbay.core.event import Reply
from afterbay.core.message import ToolUse
from afterbay.policy.checks.numbers import final_answer, widths

_SPACE: Final = re.compile(r"\s+")
_FIRST_EDGES: Final = " *_`"
_EDGES: Final = " *_`.。"
_STOPS: Final = " *_`.。!?"
_QUOTES: Final = ('"', "'")


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


def plain(text: str) -> str:
    """A text without what does not change its meaning: case, widths, white space, the last stop."""
    whole = _SPACE.sub(" ", widths(text).casefold()).rstrip(_EDGES).lstrip(_FIRST_EDGES)
    if whole[:1] in _QUOTES and whole[:1] == whole[-1:]:
        whole = whole[1:-1]
    bare = whole.rstrip(_STOPS)
    return whole if "!" in whole[len(bare) :] and bare[-1:].isdigit() else bare  # 5! is not 5


def is_json(text: str) -> bool:
    """Whether a text is a JSON object or array."""
    return _value(text) is not None


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
