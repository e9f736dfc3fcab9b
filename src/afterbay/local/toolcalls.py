"""Tool calls out of a model's text. Pure: text goes in piece by piece, pieces of text and of calls come out.

Two parsers, because there are two ways a call comes about. `Forced`: a grammar holds the model to the one form of
`afterbay.local.grammar`, so a call is reported while it is written. `Loose`: the model decides, and small models write
calls in many ways (a `<tool_call>` block as their template asks, a bare JSON object, one in a code fence, a list); a
call is reported when its object is complete and names a known tool. Until then text that could still become a call is
held back, and only that.

Cutting the text into other pieces never changes what comes out in the end (there is a property test).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from typing import Any, TypeAlias

import msgspec

HELD_CHARS = 65_536
"""The most text held back. A longer object is taken for text."""

OPEN = "<tool_call>"
_OPENERS = (OPEN, "<tools>", "```json", "```xml", "```", "[")
_CLOSERS = ("</tool_call>", "</tools>", "```", "]", ",")
_FIRST_KEYS = ("name", "arguments", "parameters", "type")
_HEAD = re.compile(r'\{"name":("(?:[^"\\]|\\.)*"),"arguments":')


class TextPiece(msgspec.Struct, frozen=True):
    """Text of the answer."""

    text: str


class CallOpened(msgspec.Struct, frozen=True):
    """Call number `index` begins."""

    index: int
    id: str
    name: str


class CallPiece(msgspec.Struct, frozen=True):
    """A piece of the JSON text of the arguments of call number `index`."""

    index: int
    arguments: str


Piece: TypeAlias = TextPiece | CallOpened | CallPiece


class Plain:
    """Text is text: no tools were offered."""

    done = False
    calls = 0

    def feed(self, text: str) -> list[Piece]:
        """Takes a piece of the answer."""
        return [TextPiece(text)] if text else []

    def close(self) -> list[Piece]:
        """The answer ended."""
        return []


class _Scan:
    """Finds the end of a JSON value that begins with a brace, going on where it stopped."""

    def __init__(self) -> None:
        self.at, self.depth, self.in_string, self.escaped = 0, 0, False, False

    def end(self, text: str) -> int | None:
        """The place behind the closing brace, or None while it is open. `text` may only have grown since last time."""
        for place in range(self.at, len(text)):
            char = text[place]
            if self.in_string:
                self.in_string = self.escaped or char != '"'
                self.escaped = char == "\\" and not self.escaped
            elif char == '"':
                self.in_string = True
            elif char in "{[":
                self.depth += 1
            elif char in "}]":
                self.depth -= 1
                if self.depth == 0:
                    self.at = place + 1
                    return self.at
        self.at = len(text)
        return None


class Forced:
    """Reads what the grammar of forced calls lets through: `{"name":"x","arguments":{...}}`, one a line."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self.calls, self.done = 0, False
        self._new_id, self._text, self._scan = new_id, "", _Scan()
        self._inside = False

    def feed(self, text: str) -> list[Piece]:
        """Takes a piece of the answer."""
        self._text += text
        out: list[Piece] = []
        while True:
            if not self._inside:
                head = _HEAD.match(self._text.lstrip("}\n "))
                if not head:
                    return out
                self._text = self._text.lstrip("}\n ")[head.end() :]
                out.append(CallOpened(self.calls, self._new_id(), json.loads(head[1])))
                self.calls, self._inside, self._scan = self.calls + 1, True, _Scan()
            end = self._scan.end(self._text)
            piece = self._text[:end]
            if piece:
                out.append(CallPiece(self.calls - 1, piece))
            self._text = self._text[len(piece) :]
            self._scan.at = 0  # what was scanned is gone
            if end is None:
                return out
            self._inside = False

    def close(self) -> list[Piece]:
        """The answer ended; a call may be cut off where the token limit was."""
        return []


class Loose:
    """Finds calls of the tools called `known` where the model is free to write text instead.

    Text before the first call is text. What follows a call and is no further call is dropped and `done` is set: small
    models go on by guessing the tool's result. `most` calls are taken, then it is done too.
    """

    def __init__(self, known: Collection[str], new_id: Callable[[], str], most: int = 16) -> None:
        self.calls, self.done = 0, False
        self._known, self._new_id, self._most = frozenset(known), new_id, most
        self._held, self._fresh = "", True
        self._scan: _Scan | None = None

    def feed(self, text: str) -> list[Piece]:
        """Takes a piece of the answer."""
        self._held += text
        return self._drain(final=False)

    def close(self) -> list[Piece]:
        """The answer ended: what is still held back is text, unless it is a whole call."""
        return self._drain(final=True)

    def _drain(self, final: bool) -> list[Piece]:
        out: list[Piece] = []
        while self._held and not self.done and self._step(out, final):
            pass
        if self.done:
            self._held = ""
        return out

    def _step(self, out: list[Piece], final: bool) -> bool:
        """One decision about the head of what is held. False: more text is needed for it."""
        if not self._fresh:
            return self._text_step(out, final)
        start = self._skip()
        if start is None:
            return self._give_up(out, len(self._held)) if final else False
        found = self._object(start, final)
        if found is None:
            return False
        call, end = found
        if call is None:
            return self._give_up(out, start + 1)
        name, arguments = call
        out += [CallOpened(self.calls, self._new_id(), name), CallPiece(self.calls, arguments)]
        self.calls += 1
        self._held, self._scan = self._held[end:], None
        self.done = self.calls >= self._most
        return True

    def _give_up(self, out: list[Piece], length: int) -> bool:
        """The first `length` characters are no call: they are text, or dropped after a call."""
        self._scan, self._fresh = None, False
        if self.calls:
            self.done = True
        else:
            out.append(TextPiece(self._held[:length]))
            self._held = self._held[length:]
        return True

    def _text_step(self, out: list[Piece], final: bool) -> bool:
        """Running text: only a `<tool_call>` makes a call of it."""
        place = self._held.find(OPEN)
        if place < 0:
            keep = 0 if final else _overlap(self._held, OPEN)
            place = len(self._held) - keep
        else:
            self._fresh = True
        if place:
            out.append(TextPiece(self._held[:place]))
            self._held = self._held[place:]
        return self._fresh

    def _skip(self) -> int | None:
        """The place behind white space and marks that may stand before a call; None while a mark may be incomplete."""
        marks = _CLOSERS + _OPENERS if self.calls else _OPENERS
        place = 0
        while True:
            while place < len(self._held) and self._held[place].isspace():
                place += 1
            rest = self._held[place : place + 16]
            if not rest or any(mark != rest and mark.startswith(rest) for mark in marks):
                return None
            length = max((len(mark) for mark in marks if rest.startswith(mark)), default=0)
            if not length:
                return place
            place += length

    def _object(self, start: int, final: bool) -> tuple[tuple[str, str] | None, int] | None:
        """The call that begins at `start` and the place behind it; no call: None; not known yet: None for all."""
        no_call = (None, start)
        if self._held[start] != "{" or not self._hopeful(self._held[start : start + 256]):
            return no_call
        if self._scan is None:
            self._scan = _Scan()
            self._scan.at = start
        end = self._scan.end(self._held)
        if (end or len(self._held)) - start > HELD_CHARS or (end is None and final):
            return no_call
        return None if end is None else (read_call(self._held[start:end], self._known), end)

    def _hopeful(self, head: str) -> bool:
        """Whether an object that begins so can still be a call of a known tool."""
        first = re.match(r'\{\s*(?:"([^"]*)("?)\s*(:?)\s*(?:"([^"]*)("?))?)?', head)
        key, closed, colon, value, ended = first.groups() if first else ("", "", "", "", "")
        if key is None or first is None:
            return re.fullmatch(r"\{\s*", head) is not None
        if not closed:
            return any(known.startswith(key) for known in _FIRST_KEYS)
        if key not in _FIRST_KEYS:
            return False
        if not colon or key != "name" or value is None:
            return True
        return value in self._known if ended else any(name.startswith(value) for name in self._known)


def _overlap(text: str, mark: str) -> int:
    """How many characters at the end of `text` are a beginning of `mark`."""
    return next((size for size in range(len(mark) - 1, 0, -1) if text.endswith(mark[:size])), 0)


def read_call(text: str, known: Collection[str]) -> tuple[str, str] | None:
    """(name, arguments as JSON text) if `text` is a JSON object that calls a known tool, else None.

    `parameters` is taken for `arguments`, as is a JSON object in a string; OpenAI's own nesting in `function` too.
    """
    try:
        value: Any = json.loads(text)
    except ValueError:
        return None
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or value["name"] not in known:
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except ValueError:
            return None
    if not isinstance(arguments, dict):
        return None
    return value["name"], json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
