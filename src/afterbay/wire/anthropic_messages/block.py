"""A content block on its way to the client: open, waiting behind another one, or closed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

_SIGN = re.compile(r"\\.|[\"{}\[\]]", re.DOTALL)
_SCALAR_CHARS = 16
"""A longer JSON text that ends in a bracket or a letter is an object, an array, or none."""


class _Nesting:
    """How deep in brackets a JSON text is after the pieces seen so far; each piece is looked at once."""

    __slots__ = ("_escape", "depth", "in_string", "pieces")

    def __init__(self) -> None:
        self.depth = self.pieces = 0
        self.in_string = False
        self._escape = ""

    def take(self, pieces: Sequence[str]) -> None:
        """Looks at the pieces after those seen already."""
        text = self._escape + "".join(pieces[self.pieces :])
        self.pieces = len(pieces)
        self._escape = "\\" if (len(text) - len(text.rstrip("\\"))) % 2 else ""
        for found in _SIGN.finditer(text):
            sign = found[0]
            if sign == '"':
                self.in_string = not self.in_string
            elif len(sign) == 1 and not self.in_string:
                self.depth += 1 if sign in "{[" else -1


class Block:
    """One content block. `pieces` holds what is not sent yet and, for a tool call, all of its arguments."""

    __slots__ = ("_nesting", "_spoilt", "broken", "closed", "id", "kind", "name", "pieces", "signature")

    def __init__(self, kind: str, id_: str = "", name: str = "") -> None:
        self.kind, self.id, self.name = kind, id_, name
        self.pieces: list[str] = []
        self.signature = ""
        self.broken = False  # nothing may be added any more
        self.closed = False  # its end was sent
        self._nesting = _Nesting()
        self._spoilt = False

    def opening(self) -> dict[str, Any]:
        """The `content_block` of its start event."""
        match self.kind:
            case "thinking":
                return {"type": "thinking", "thinking": "", "signature": ""}
            case "redacted":
                return {"type": "redacted_thinking", "data": self.signature}
            case "tool":
                return {"type": "tool_use", "id": self.id, "name": self.name, "input": {}}
            case _:
                return {"type": "text", "text": ""}

    def is_whole(self) -> bool:
        """Whether nothing more can belong to it once another block has begun.

        Asked after every event while others wait, so the whole text is only decoded when all its brackets are closed,
        and once.
        """
        if self.kind != "tool":
            return True
        if self._spoilt or not self.pieces or not self.pieces[-1].rstrip().endswith(("}", "]", "l")):
            return False
        self._nesting.take(self.pieces)
        if self._nesting.in_string or self._nesting.depth > 0:
            return False
        text = "".join(self.pieces)
        try:
            msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self._spoilt = len(text) > _SCALAR_CHARS  # closed brackets that are no JSON never become any; `nul` does
            return False
        return True
