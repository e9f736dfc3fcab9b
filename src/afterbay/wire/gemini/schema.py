"""Gemini's Schema (a part of OpenAPI 3.0 with upper-case types) as JSON Schema.

`parameters` and `responseSchema` carry it; `parametersJsonSchema` and `responseJsonSchema` carry JSON Schema and need
no change. Many clients put plain JSON Schema under the old names (recordings), which this leaves as it is. There is no
way back: what we send uses the JSON Schema fields, which the recordings show accepted by Gemini and Vertex.
Source: ai.google.dev/api/caching#Schema, read in the google-genai 3.6 types.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

Node: TypeAlias = dict[str, Any]

_TYPES = frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})
_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_ONE = ("items", "additionalProperties", "not")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions", "defs")
_SNAKE = {
    "any_of": "anyOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
    "property_ordering": "propertyOrdering",
    "additional_properties": "additionalProperties",
}


def json_schema(raw: bytes) -> bytes:
    """JSON Schema text for a schema in either form.

    Text that has nothing of Gemini's own comes back byte for byte.

    Raises:
        ValueError: not a JSON object.
    """
    node = msgspec.json.decode(raw, type=Node)
    converted = _convert(node)
    return raw if converted == node and "propertyOrdering" not in str(node) else msgspec.json.encode(converted)


def _convert(node: Node) -> Node:
    node = {_SNAKE.get(name, name): value for name, value in node.items()}
    order = node.pop("propertyOrdering", None)
    nullable = node.pop("nullable", False)
    out = {name: _value(name, value) for name, value in node.items()}
    if out.get("format") == "enum":  # says only that `enum` is there
        del out["format"]
    if "example" in out:
        out["examples"] = [out.pop("example")]
    if isinstance(order, list) and isinstance(out.get("properties"), dict):
        out["properties"] = _ordered(out["properties"], order)
    return _nullable(out) if nullable is True else out


def _value(name: str, value: Any) -> Any:
    if name == "type" and isinstance(value, str) and value in _TYPES:
        return value.lower()
    if name in _COUNTS and isinstance(value, str) and value.isdigit():  # int64 is a string in ProtoJSON
        return int(value)
    if name in _ONE and isinstance(value, dict):
        return _convert(value)
    if name in _LISTS and isinstance(value, list):
        return [_convert(item) if isinstance(item, dict) else item for item in value]
    if name in _MAPS and isinstance(value, dict):
        return {key: _convert(item) if isinstance(item, dict) else item for key, item in value.items()}
    return value


def _ordered(properties: Node, order: list[Any]) -> Node:
    """Property order is a field of its own in Gemini; in JSON Schema it is the order of the text."""
    first = {name: properties[name] for name in order if isinstance(name, str) and name in properties}
    return first | properties


def _nullable(node: Node) -> Node:
    kind = node.get("type")
    if isinstance(kind, str):
        node = node | {"type": [kind, "null"]}
        if isinstance(node.get("enum"), list) and None not in node["enum"]:
            node["enum"] = [*node["enum"], None]
        return node
    if isinstance(node.get("anyOf"), list):
        return node | {"anyOf": [*node["anyOf"], {"type": "null"}]}
    return node
