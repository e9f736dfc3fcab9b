"""How much work it is to hold a value against a schema, counted before it is done.

Both come from strangers, and validation runs in the event loop: unions that refer to themselves double with every level
of the value, and the library collects all complaints of all branches (measured with jsonschema-rs 0.33 and later: 80 us
each, 3,000 items against 1,000 branches take 88 s).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

MOST_JUDGED = 1_000_000
"""Above it arguments are not judged at all. A step of a yes or no is some tens of nanoseconds."""

MOST_EXPLAINED = 10_000
"""Above it only yes or no is asked: no reason, no coercion."""

_VISITS = 20_000
_BESIDE = frozenset({"anyOf", "oneOf", "allOf", "not", "if", "then", "else"})
_SKIPPED = frozenset({"$defs", "definitions", "enum", "const", "default", "examples", "required", "type"})


class _TooMuch(Exception):
    """There is no end to it, or none in sight."""


def work(schema: bytes, value: Any) -> int:
    """An upper bound of the steps that validation takes: schemas met on the way down, times the values there are.

    More than `MOST_JUDGED` where there is no telling.
    """
    try:
        depth, count = _measure(value)
        return _Counter(_tree(schema)).steps(depth) * count
    except (_TooMuch, ValueError, RecursionError):
        return MOST_JUDGED + 1


@lru_cache(maxsize=64)
def _decoded(schema: bytes) -> Any:
    return msgspec.json.decode(schema)


def _tree(schema: bytes) -> Any:
    return _decoded(schema) if len(schema) <= 1 << 16 else msgspec.json.decode(schema)


def _measure(value: Any) -> tuple[int, int]:
    """Levels of nesting, and how many values there are."""
    level, depth, count = [value], 0, 0
    while level:
        count += len(level)
        depth += 1
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        level = inner
    return depth, count


class _Counter:
    """Counts one schema, each of its parts once per level."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._known: dict[tuple[int, int], int | None] = {}

    def steps(self, depth: int) -> int:
        return self._count(self._root, depth)

    def _count(self, node: Any, depth: int) -> int:
        """Steps for `node` and what is in it, where so many levels of the value are left."""
        if depth <= 0 or not isinstance(node, dict | list):
            return 0
        key = (id(node), depth)
        known = self._known.get(key, -1)
        if known is None or len(self._known) > _VISITS:  # it refers to itself on the spot
            raise _TooMuch
        if known >= 0:
            return known
        self._known[key] = None
        total = 1 + sum(self._count(inner, left) for inner, left in self._inner(node, depth))
        if total > MOST_JUDGED:
            raise _TooMuch
        self._known[key] = total
        return total

    def _inner(self, node: dict[str, Any] | list[Any], depth: int) -> Iterator[tuple[Any, int]]:
        if isinstance(node, list):
            yield from ((one, depth) for one in node)
            return
        for name, inner in node.items():
            if name == "$ref":
                yield self._referred(inner), depth
            elif name in _BESIDE:
                yield inner, depth
            elif name in ("properties", "patternProperties"):
                yield from ((one, depth - 1) for one in inner.values()) if isinstance(inner, dict) else ()
            elif name == "dependentSchemas":
                yield from ((one, depth) for one in inner.values()) if isinstance(inner, dict) else ()
            elif name not in _SKIPPED:
                yield inner, depth - 1

    def _referred(self, ref: Any) -> Any:
        """What a local reference names.

        Raises:
            _TooMuch: it is no plain local one.
        """
        if not isinstance(ref, str) or not ref.startswith("#"):
            raise _TooMuch
        node = self._root
        for step in ref[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, dict) or name not in node:
                raise _TooMuch
            node = node[name]
        return node
