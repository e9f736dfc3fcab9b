"""Whether an answer has the form that was asked for: JSON that fits its schema, calls that fit their tools, code that
parses. Nothing is ever executed: tests that a request carries are not run here."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings

import msgspec

from afterbay.core.json_schema import validator_of
from afterbay.core.schema_work import MOST_JUDGED, work

CODE_CHARS = 20_000
"""A longer block of code is not parsed: Python's parser takes about 1 ms for each 1,000 characters."""

MOST_BLOCKS = 20
"""So many blocks of code of one answer are looked at."""

_OPENING = re.compile(r"[ \t]{0,8}(`{3,8}|~{3,8})[ \t]*([\w+#.-]{0,40})")
_SESSION = re.compile(r"^\s*(?:>>>|\.\.\.(?=\s)|[$%!])", re.MULTILINE)
_ELIDED = re.compile(r"<[a-z_ -]+>|^\s*\.\.\.\s*$|\[\.\.\.\]|…", re.IGNORECASE | re.MULTILINE)
_BRACKETED = frozenset(
    (
        *("c", "cpp", "c++", "cs", "csharp", "java", "javascript", "js", "jsx", "typescript", "ts", "tsx", "go"),
        *("golang", "swift", "kotlin", "scala", "php", "dart", "css"),
    )
)
_PAIRS = {")": "(", "]": "[", "}": "{"}


def json_problem(text: str, schema: bytes | None) -> str | None:
    """What is wrong with an answer that is to be JSON; None: nothing, or it cannot be told. Nothing of it is quoted."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return "it is not JSON"
    return None if schema is None or _fits(schema, value) else "it does not fit the schema"


def call_problem(schema: bytes | None, arguments: str) -> str | None:
    """What is wrong with the arguments of a call; `schema` None: there is no tool of its name."""
    if schema is None:
        return "it calls a tool that is not there"
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return "the arguments of a call are not JSON"
    if not isinstance(value, dict):
        return "the arguments of a call are no object"
    return None if _fits(schema, value) else "the arguments of a call do not fit the tool's schema"


def _fits(schema: bytes, value: object) -> bool:
    """Whether a value fits; also where that cannot be told in reasonable time."""
    validator = validator_of(schema)
    return validator is None or work(schema, value) > MOST_JUDGED or validator.is_valid(value)


def blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks of an answer: language (lower case, may be empty) and code. The last one may lack its end."""
    found: list[tuple[str, str]] = []
    if "```" not in text and "~~~" not in text:
        return found
    fence, language, inside = "", "", list[str]()
    for line in text.split("\n"):
        if not fence:
            opening = _OPENING.match(line)
            if opening is not None:
                fence, language, inside = opening[1], opening[2].lower(), []
        elif (bare := line.strip()).startswith(fence) and not bare.strip(fence[0]):
            found.append((language, "\n".join(inside)))
            fence = ""
            if len(found) >= MOST_BLOCKS:
                return found
        else:
            inside.append(line)
    if fence:
        found.append((language, "\n".join(inside)))
    return found


def code_problem(text: str) -> str | None:
    """What is wrong with the blocks of code in an answer; None: nothing, or nothing that a parser can tell.

    Python by its own parser, JSON by a decoder, languages with braces by their brackets. Sessions, templates and
    excerpts with left-out parts are passed over.
    """
    for language, code in blocks(text):
        if len(code) > CODE_CHARS or _ELIDED.search(code):
            continue
        if language in ("python", "py", "python3") and not _SESSION.search(code):
            if not _parses(code):
                return "its Python does not parse"
        elif language == "json":
            if json_problem(code, None) is not None:
                return "its JSON does not parse"
        elif language in _BRACKETED and not balanced(code):
            return f"its {language} has brackets that do not match"
    return None


def _parses(code: str) -> bool:
    """Whether it is Python, of any nesting that the parser takes; what it cannot take is not held against it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in somebody's string is no warning of ours
            ast.parse(textwrap.dedent(code))
    except SyntaxError as error:
        return "too many" in (error.msg or "")
    except (ValueError, RecursionError, MemoryError):
        return True
    return True


def balanced(code: str) -> bool:
    """Whether each bracket of a program is closed by its own kind; strings and comments do not count.

    A quote that is not closed in its line is an apostrophe, or something that this cannot read: what follows counts.
    """
    waiting: list[str] = []
    at = 0
    while at < len(code):
        char = code[at]
        if char in "\"'`":
            at = _end_of_string(code, at)
            continue
        if code.startswith("//", at):
            end = code.find("\n", at)
            at = end if end >= 0 else len(code)
        elif code.startswith("/*", at):
            end = code.find("*/", at + 2)
            at = end + 1 if end >= 0 else len(code)
        elif char in "([{":
            waiting.append(char)
        elif char in _PAIRS and (not waiting or waiting.pop() != _PAIRS[char]):
            return False
        at += 1
    return not waiting


LINE_CHARS = 300
"""A string in quotes is at most so long."""


def _end_of_string(code: str, start: int) -> int:
    """Behind the string that begins at `start`; behind its quote, if it does not end."""
    quote, at = code[start], start + 1
    last = len(code) if quote == "`" else min(len(code), start + LINE_CHARS)
    while at < last and (code[at] != "\n" or quote == "`"):
        if code[at] == quote:
            return at + 1
        at += 2 if code[at] == "\\" else 1
    return len(code) if quote == "`" else start + 1
