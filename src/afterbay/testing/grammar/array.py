"""Cuts a JSON array that arrives in pieces into its elements. Strict about brackets and commas between them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

ELEMENT_BYTES = 64 * 1024 * 1024
"""A longer element is a mistake, and the rest is not read."""

_MARK = re.compile(rb'["\[\]{}]')
_STRING_MARK = re.compile(rb'["\\]')
_SPACE = b" \t\r\n"


class Mistake(msgspec.Struct, frozen=True):
    """What is wrong with the array itself; nothing after it is read."""

    said: str


_State: TypeAlias = Literal["before", "first", "element", "comma", "next", "after", "wrong"]


class ArrayReader:
    """Reads one array of objects."""

    def __init__(self) -> None:
        self._state: _State = "before"
        self._element = bytearray()
        self._depth = 0
        self._in_string = self._escaped = False

    @property
    def lacks(self) -> str:
        """What a proper end lacks; empty if it ended, or was wrong before."""
        if self._state in ("after", "wrong"):
            return ""
        return "an element is not closed" if self._state == "element" else "the array is not closed"

    def feed(self, data: bytes) -> Iterator[bytes | Mistake]:
        """The elements that are whole by now, and at most one mistake."""
        at = 0
        while at < len(data) and self._state != "wrong":
            if self._state == "element":
                end = self._scan(data, at)
                self._element += data[at:end]
                at = end
                if self._depth == 0:
                    self._state = "comma"
                    yield bytes(self._element)
                    self._element.clear()
                elif len(self._element) > ELEMENT_BYTES:
                    self._state = "wrong"
                    yield Mistake(f"an element of over {ELEMENT_BYTES} bytes")
                continue
            sign = data[at : at + 1]
            if sign in (b"{",) and self._state in ("first", "next"):
                self._state = "element"
                continue
            at += 1
            if sign not in (b" ", b"\t", b"\r", b"\n"):
                said = self._between(sign)
                if said:
                    self._state = "wrong"
                    yield Mistake(said)

    def _between(self, sign: bytes) -> str:
        """Takes a byte between elements; what is wrong with it, or nothing."""
        match self._state, sign:
            case "before", b"[":
                self._state = "first"
            case "comma", b",":
                self._state = "next"
            case (("first" | "comma"), b"]"):
                self._state = "after"
            case _:
                return f"{sign!r} stands where {_WANTED[self._state]} belongs"
        return ""

    def _scan(self, data: bytes, at: int) -> int:
        """Where the element ends in `data`, or the end of `data`."""
        while at < len(data):
            if self._escaped:
                self._escaped, at = False, at + 1
                continue
            found = (_STRING_MARK if self._in_string else _MARK).search(data, at)
            if found is None:
                return len(data)
            at = found.end()
            sign = found[0]
            if sign == b"\\":
                self._escaped = True
            elif sign == b'"':
                self._in_string = not self._in_string
            else:
                self._depth += 1 if sign in b"[{" else -1
                if self._depth == 0:
                    return at
        return at


_WANTED: dict[str, str] = {
    "before": "[",
    "first": "an object or ]",
    "comma": "a comma or ]",
    "next": "an object",
    "after": "nothing",
}
