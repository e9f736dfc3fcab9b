"""What the tests of the grammars share: events as bytes, and which rules a stream breaks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from afterbay.testing.grammar import SseGrammar, grammar_of, violations


def sse(*events: Any, names: bool = False) -> bytes:
    """Events in SSE: objects as JSON (with `event:` by their type if `names`), text and bytes as they are."""
    out: list[bytes] = []
    for event in events:
        if isinstance(event, dict):
            name = f"event: {event.get('type')}\n" if names else ""
            out.append(f"{name}data: {json.dumps(event)}\n\n".encode())
        else:
            out.append(event if isinstance(event, bytes) else event.encode())
    return b"".join(out)


def rules(sentences: Iterable[str]) -> set[str]:
    """The rules that sentences name."""
    found = [re.search(r"\[([a-z-]+)\]$", sentence) for sentence in sentences]
    assert all(found), "every sentence names its rule"
    return {match[1] for match in found if match is not None}


def broken(dialect: str, stream: bytes, *accents: str) -> set[str]:
    """The rules that a stream breaks, by itself or by ending."""
    return rules(violations(dialect, stream, *accents))


def fed_in_pieces(grammar: SseGrammar, stream: bytes, size: int) -> list[str]:
    for start in range(0, len(stream), size):
        grammar.feed(stream[start : start + size])
    return grammar.violations + grammar.end()


def check_any_cut(dialect: str, stream: bytes) -> None:
    """Fails if a cut of the bytes changes what a grammar says of them."""
    whole = violations(dialect, stream)
    for size in (1, 2, 3, 7):
        assert fed_in_pieces(grammar_of(dialect), stream, size) == whole


def check_prefixes(dialect: str, events: list[bytes], may_end: Callable[[int], bool] = lambda _: False) -> None:
    """Fails if a stream that is cut after any of its events but the last is taken for a whole one."""
    for count in range(len(events)):
        prefix = b"".join(events[:count])
        grammar = grammar_of(dialect)
        grammar.feed(prefix)
        assert grammar.violations == [], "a cut stream breaks nothing before its end"
        assert bool(grammar.end()) is not may_end(count), f"after {count} events: {grammar.end()}"


def apart(stream: bytes) -> list[bytes]:
    """A stream as its events."""
    return [event + b"\n\n" for event in stream.split(b"\n\n") if event]
