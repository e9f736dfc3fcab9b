"""What all grammars share: how a violation is told, accents, and the framing of server-sent events.

The reading of SSE is written anew here and not taken from `afterbay.wire.sse`: what checks a stream should not share
the mistakes of what made it. Source: WHATWG HTML, section 9.2.6 "Interpreting an event stream", November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, TypeGuard

import msgspec

KEPT = 100
"""So many violations are kept; a stream that breaks a rule in each of its events says nothing new after that."""
EVENT_BYTES = 64 * 1024 * 1024
"""A longer line or event is a violation, and is dropped."""

_LINE = re.compile(rb"\r\n|\n|\r(?!\Z)")
_FIELDS = frozenset({b"data", b"event", b"id", b"retry"})


class Accent(msgspec.Struct, frozen=True):
    """A named way in which a provider legally deviates: which rules are not asked of it, and why."""

    forgives: frozenset[str]
    why: str


class Grammar:
    """Checks one stream of one language, fed in any chunking.

    `violations` are sentences, `event 3: ... [rule]`; `broken` has the same rules by name, in the same order. RULES
    says of each rule what it asks and who relies on it.
    """

    RULES: ClassVar[Mapping[str, str]] = {}
    ACCENTS: ClassVar[Mapping[str, Accent]] = {}

    def __init__(self, *accents: str) -> None:
        """Begins a stream.

        Raises:
            ValueError: an accent that this grammar does not know.
        """
        for name in accents:
            if name not in self.ACCENTS:
                raise ValueError(f"no accent {name!r}; there are {', '.join(sorted(self.ACCENTS)) or 'none'}")
        self.violations: list[str] = []
        self.broken: list[str] = []
        self.events = 0
        self._forgiven = frozenset[str]().union(*(self.ACCENTS[name].forgives for name in accents))

    def end(self) -> list[str]:
        """What a stream that ends here lacks, as sentences; nothing of it if it may end here."""
        return [f"at the end: {said} [{rule}]" for rule, said in self.lacks() if rule not in self._forgiven]

    def lacks(self) -> list[tuple[str, str]]:
        """The rule and the sentence of each thing that is missing for a proper end."""
        return []

    def breaks(self, rule: str, said: str) -> None:
        """Notes a violation in the present event."""
        assert rule in self.RULES, f"no rule {rule}"  # noqa: S101
        if rule not in self._forgiven and len(self.violations) < KEPT:
            self.violations.append(f"event {self.events}: {said} [{rule}]")
            self.broken.append(rule)

    def asks(self, holds: bool, rule: str, said: str) -> bool:
        """Notes a violation unless it holds; whether it does."""
        if not holds:
            self.breaks(rule, said)
        return holds


SSE_RULES: Mapping[str, str] = {
    "sse": "Every line is a field of SSE, in UTF-8, and every event has data (WHATWG HTML 9.2.6).",
    "json": "The data of every event is one JSON object (openai/_streaming.py and anthropic/_streaming.py: `sse.json()`"
    " of every event, an exception where it is none).",
    "cut": "The last event is closed by a blank line: SSE readers drop one that is not.",
}


class SseGrammar(Grammar):
    """A grammar of events in SSE. Languages implement `event`."""

    def __init__(self, *accents: str) -> None:
        super().__init__(*accents)
        self._rest = b""
        self._data: list[bytes] = []
        self._name: str | None = None
        self._size = 0
        self._began = False

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._rest += data
        if not self._began and self._rest:
            if len(self._rest) < 3 and b"\xef\xbb\xbf".startswith(self._rest):
                return
            self._began, self._rest = True, self._rest.removeprefix(b"\xef\xbb\xbf")
        *lines, self._rest = _LINE.split(self._rest)
        for line in lines:
            self.line(line)
        if len(self._rest) > EVENT_BYTES:
            self.breaks("sse", f"a line of over {EVENT_BYTES} bytes")
            self._rest = b""

    def line(self, line: bytes) -> None:
        """Takes a whole line."""
        if not line:
            self._dispatch()
            return
        if line.startswith(b":"):
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._size += len(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field not in _FIELDS:
            self.breaks("sse", f"{told(line)} after it is no field of SSE")

    def _dispatch(self) -> None:
        name, data = self._name, self._data
        self._name, self._data, size, self._size = None, [], self._size, 0
        if not data and name is None:
            return
        self.events += 1
        if not self.asks(bool(data), "sse", f"named {name} it has no data"):
            return
        if not self.asks(size <= EVENT_BYTES, "sse", f"over {EVENT_BYTES} bytes"):
            return
        try:
            text = b"\n".join(data).decode()
        except UnicodeDecodeError as error:
            self.breaks("sse", f"the data is not UTF-8: {error.reason} at {error.start}")
            return
        self.event(name, text)

    def event(self, name: str | None, data: str) -> None:
        """Takes a whole event."""
        raise NotImplementedError

    def end(self) -> list[str]:
        """What a stream that ends here lacks."""
        open_event = bool(self._rest.strip(b"\r") or self._data or self._name is not None)
        cut = open_event and "cut" not in self._forgiven
        return (["at the end: the last event is not closed by a blank line [cut]"] if cut else []) + super().end()

    def decoded(self, data: str) -> dict[str, Any] | None:
        """The data as an object; None, and a violation, if it is none."""
        found = parsed(data)
        if isinstance(found, dict):
            return found
        self.breaks("json", f"the data is no JSON object: {told(data)}")
        return None


def parsed(text: str | bytes) -> object:
    """Any JSON value; `...` if it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ...


def told(value: object) -> str:
    """A value, short enough for a sentence."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else f"{text[:60]} ... {text[-15:]}"


def is_count(value: object) -> TypeGuard[int]:
    """Whether it is a whole number, not negative (and not a boolean)."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_one_of(value: object, words: Collection[str]) -> bool:
    """Whether it is one of these texts."""
    return isinstance(value, str) and value in words


def is_name(value: object) -> TypeGuard[str]:
    """Whether it is a text with something in it."""
    return isinstance(value, str) and bool(value)
