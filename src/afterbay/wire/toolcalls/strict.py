"""Whether a tool's schema is in the part of JSON Schema that a provider's strict mode takes.

A schema outside of it is refused with a 400. Which part that is differs, so a client that wrote for one provider asks
for strictness that another cannot give: the call then goes out without it, and a loss says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import msgspec

_Node: TypeAlias = dict[str, Any]

_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")

_NOT_OPENAI = frozenset(
    {"allOf", "oneOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "patternProperties"}
)
_NOT_ANTHROPIC = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
        *("maxItems", "uniqueItems", "not", "if", "then", "else", "patternProperties"),
    }
)
_OPENAI_LEVELS, _OPENAI_PROPERTIES = 10, 5000


def fits_openai(schema: bytes) -> bool:
    """OpenAI: every object closed and all its properties required, no composition but `anyOf`, that not at the root,
    at most 5,000 properties and 10 levels. Source: structured outputs guide, "Supported schemas", November 2026."""
    root = _decoded(schema)
    if root is None or root.get("type") != "object" or "anyOf" in root:
        return False
    nodes = list(_nodes(root, 0))
    properties = sum(len(node["properties"]) for node, _ in nodes if isinstance(node.get("properties"), dict))
    deepest = max(level for _, level in nodes)
    return deepest <= _OPENAI_LEVELS and properties <= _OPENAI_PROPERTIES and _all(nodes, _is_openai)


def fits_anthropic(schema: bytes) -> bool:
    """Anthropic: every object closed, no bounds of numbers, texts and lists (but `minItems` 0 or 1), no recursion from
    the root. Source: structured outputs page, "JSON Schema limitations", which strict tools refer to, November 2026."""
    root = _decoded(schema)
    return root is not None and _all(list(_nodes(root, 0)), _is_anthropic)


def _decoded(schema: bytes) -> _Node | None:
    try:
        return msgspec.json.decode(schema, type=_Node)
    except (ValueError, RecursionError):
        return None


def _all(nodes: list[tuple[_Node, int]], fits: Callable[[_Node], bool]) -> bool:
    return all(fits(node) for node, _ in nodes)


def _nodes(node: Any, level: int) -> Iterator[tuple[_Node, int]]:
    """Every schema in a schema, with how many objects are around it."""
    if not isinstance(node, dict):
        return
    yield node, level
    inner: list[Any] = [node.get("items"), node.get("additionalProperties")]
    for name in _LISTS:
        inner += node[name] if isinstance(node.get(name), list) else ()
    for name in _MAPS:
        inner += node[name].values() if isinstance(node.get(name), dict) else ()
    for one in inner:
        yield from _nodes(one, level + _is_object(node))


def _is_object(node: _Node) -> bool:
    kind = node.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in node


def _is_openai(node: _Node) -> bool:
    if node.keys() & _NOT_OPENAI:
        return False
    if not _is_object(node):
        return True
    properties, required = node.get("properties", {}), node.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return False
    return node.get("additionalProperties") is False and all(name in required for name in properties)


def _is_anthropic(node: _Node) -> bool:
    if node.keys() & _NOT_ANTHROPIC or node.get("$ref") == "#" or node.get("minItems", 0) not in (0, 1):
        return False
    return not _is_object(node) or node.get("additionalProperties") is False
