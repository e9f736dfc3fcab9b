"""The JSON object that a model meant, where its text is not quite JSON.

Every change is one that loses nothing and guesses nothing: a fence or talk around the object, single quotes, unquoted
keys, Python's constants, a comma too many or (between lines) too few, control characters and odd escapes in strings,
closing brackets that are missing or too many, the same object twice, an object inside a JSON string. What would need a
guess is refused: an open string or a number at the very end (where was it cut?), two different objects, an unquoted
word as a value, a quote inside a string.

Own code, since the libraries guess: json-repair 0.64.6 makes 20 bytes of 300 kB of stray quotes, takes `tr` for the
text "tr" and the second of two different objects for the call, writes NaN, and takes 1.2 s for 20 kB of opening braces
and over 8 s for 300 kB; fast-json-repair 0.2.3 reads `C:\\dir` as `C:dir` and completes what was cut with null. This
goes over the text once and stops at the first thing it cannot tell.
"""

from __future__ import annotations

import re

import msgspec

LONGEST_CHARS = 256 * 1024
"""Longer text is not repaired: work in the event loop is bounded."""

DEEPEST = 64
"""Deeper nesting is not repaired."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SPACE = re.compile(r"(?:[\s\ufeff]+|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)*")
_PLAIN = {'"': re.compile(r'[^"\\\x00-\x1f]*'), "'": re.compile(r"""[^'"\\\x00-\x1f]*""")}
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"[A-Za-z_$][\w$-]*")
_ENDS_VALUE = re.compile(r"\s*+(?:[,:}\]]|//|/\*|```|$)|[ \t]*+\r?\n")
_BEGAN_BEFORE = re.compile(r"""["']\s*:\s*$""")
_GOES_ON = re.compile(r"""[\s}\]]*+[,:"'\[]""")
_ESCAPES = frozenset('"\\/bfnrt')
_LETTERS = frozenset("bfnrt")
_CONSTANTS = {
    "true": "true",
    "True": "true",
    "TRUE": "true",
    "false": "false",
    "False": "false",
    "FALSE": "false",
    "null": "null",
    "None": "null",
    "NULL": "null",
}
_FENCE = "```"


class _Refused(Exception):
    """The text cannot be told."""


def is_object(text: str | bytes) -> bool:
    """Whether `text` is a JSON object as it stands."""
    try:
        _OBJECT.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def repair(text: str) -> str | None:
    """JSON text of the object that `text` means; `text` itself where it is one; None: it cannot be told."""
    if is_object(text):
        return text
    if len(text) > LONGEST_CHARS:
        return None
    return _unwrapped(text) or _repaired(text)


def _unwrapped(text: str) -> str | None:
    """The object inside a JSON string."""
    if not text.lstrip().startswith('"'):
        return None
    try:
        inner = msgspec.json.decode(text, type=str)
    except (ValueError, RecursionError):
        return None
    return inner if is_object(inner) else _repaired(inner)


def _repaired(text: str) -> str | None:
    start = text.find("{")
    if start < 0 or _BEGAN_BEFORE.search(text[max(0, start - 80) : start]):
        return None
    try:
        found, end = _Reader(text, start).read()
        while (again := text.find("{", end)) >= 0:
            twin, end = _Reader(text, again).read()
            if twin != found:
                return None
        if _GOES_ON.match(text, end):  # closed too early: what follows would be lost
            return None
    except _Refused:
        return None
    return found if is_object(found) else None


class _Reader:
    """Reads one object that begins at `at`, and writes it as JSON."""

    def __init__(self, text: str, at: int) -> None:
        self._text, self._at = text, at
        self._out: list[str] = []
        self._open: list[str] = []  # closing brackets that are due
        self._keyed = False  # inside an object: a key and its colon were read, the value is next
        self._wants = "value"  # or "item" after an opening bracket or a comma, "next" after a value

    def read(self) -> tuple[str, int]:
        """The object as JSON text, and the place behind it.

        Raises:
            _Refused: it cannot be told.
        """
        self._open_bracket("{")
        while self._open:
            before = self._at
            self._skip()
            if self._at >= len(self._text) or self._text.startswith(_FENCE, self._at):
                return self._close_all()
            char = self._text[self._at]
            if char in "}]":
                self._close(char)
            elif self._wants == "next":
                self._separate(char, before)
            elif self._open[-1] == "}" and not self._keyed:
                self._key()
            else:
                self._value(char)
        return "".join(self._out), self._at

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        if found is not None:
            self._at = found.end()

    def _open_bracket(self, char: str) -> None:
        if len(self._open) >= DEEPEST:
            raise _Refused
        self._out.append(char)
        self._open.append("}" if char == "{" else "]")
        self._at += 1
        self._keyed, self._wants = False, "item"

    def _close(self, char: str) -> None:
        """A closing bracket; one of an array in between may be missing."""
        if self._keyed:
            raise _Refused
        if self._open[-1] != char:
            if len(self._open) < 2 or self._open[-2] != char or self._wants != "next":
                raise _Refused
            self._close_one()
        self._close_one()
        self._at += 1

    def _close_one(self) -> None:
        if self._out[-1] == ",":
            self._out.pop()
        self._out.append(self._open.pop())
        self._wants = "next"

    def _close_all(self) -> tuple[str, int]:
        """The text ended: only after a whole value may brackets be missing."""
        if self._wants != "next" or self._out[-1][-1:].isdigit():
            raise _Refused
        while self._open:
            self._close_one()
        return "".join(self._out), self._at

    def _separate(self, char: str, before: int) -> None:
        """A comma, or none where a new line or the end of a number or bracket shows that the value is over."""
        last = self._out[-1][-1]
        if char == ",":
            self._at += 1
        elif (last == '"' and "\n" not in self._text[before : self._at]) or (
            last not in '}]"' and self._open[-1] != "}"
        ):
            raise _Refused
        self._out.append(",")
        self._wants = "item"

    def _key(self) -> None:
        char = self._text[self._at]
        if char == "," and self._out[-1] == ",":  # one too many
            self._at += 1
            return
        if char in "\"'":
            self._string(char)
        else:
            word = _WORD.match(self._text, self._at)
            if word is None:
                raise _Refused
            self._out.append(f'"{word[0]}"')
            self._at = word.end()
        self._skip()
        if self._text[self._at : self._at + 1] != ":":
            raise _Refused
        self._at += 1
        self._out.append(":")
        self._keyed = True

    def _value(self, char: str) -> None:
        if char in "{[":
            self._open_bracket(char)
            return
        if char in "\"'":
            self._string(char)
        else:
            self._bare()
        self._keyed, self._wants = False, "next"

    def _bare(self) -> None:
        """A number or a constant."""
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            self._at = number.end()
            if _WORD.match(self._text, self._at) or self._text[self._at : self._at + 1].isdigit():
                raise _Refused
            self._out.append(_number(number[0]))
            return
        word = _WORD.match(self._text, self._at)
        if word is None or word[0] not in _CONSTANTS:
            raise _Refused
        self._at = word.end()
        self._out.append(_CONSTANTS[word[0]])

    def _string(self, quote: str) -> None:
        pieces, text, plain = ['"'], self._text, _PLAIN[quote]
        at, bare, letter = self._at + 1, False, False
        while True:
            found = plain.match(text, at)
            end = found.end() if found is not None else at
            pieces.append(text[at:end])
            if end >= len(text):
                raise _Refused
            char, at = text[end], end + 1
            if char == quote:
                break
            if char == "\\":
                piece, after = self._escape(at)
                pieces.append(piece)
                bare, letter, at = bare or after == at, letter or piece[1:] in _LETTERS, after
                if bare and letter:  # `C:\\dir\\new`: is it a line's end or a folder?
                    raise _Refused
            else:
                pieces.append('\\"' if char == '"' else f"\\u{ord(char):04x}")
        if not _ENDS_VALUE.match(text, at):
            raise _Refused  # a quote inside the string
        pieces.append('"')
        self._out.append("".join(pieces))
        self._at = at

    def _escape(self, at: int) -> tuple[str, int]:
        """What stands for a backslash and what follows it; one that escapes nothing is meant itself."""
        char = self._text[at : at + 1]
        if char in _ESCAPES and char:
            return f"\\{char}", at + 1
        if char == "u":
            code = self._text[at + 1 : at + 5]
            if re.fullmatch(r"[0-9a-fA-F]{4}", code):
                return f"\\u{code}", at + 5
            raise _Refused
        if char == "'":
            return "'", at + 1
        if char in ("x", "U"):  # Python's escapes, or a folder's name?
            raise _Refused
        return "\\\\", at


def _number(text: str) -> str:
    """A number as JSON has it: no plus, digits on both sides of the point."""
    text = text.removeprefix("+")
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    if digits.startswith("."):
        digits = f"0{digits}"
    return sign + re.sub(r"\.(?=[eE]|$)", ".0", digits)
