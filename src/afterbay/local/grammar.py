"""Grammars that hold a model to a form: llguidance's Lark dialect, which the engine's build understands.

Source: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md (`%llguidance {}`, `%json`); that the build
has it shows in `xllamacpp.json_schema_to_grammar`, which answers in this form. Each schema is a `%json` of its own, so
its `$ref`s resolve against its own root.
"""

from __future__ import annotations

import json
from typing import Any

_HEAD = "%llguidance {}\n"
_LENIENT = {"lenient": True, "coerce_one_of": True}
"""A keyword that the grammar cannot express (found: not, uniqueItems, contains, propertyNames, dependentRequired,
unevaluatedProperties, if, formats it does not know, patterns with look-ahead, a oneOf that overlaps) is passed over.
Without this the engine drops the whole grammar, and says nothing."""
_COMPOSED = ("allOf", "anyOf", "oneOf", "$ref", "if", "not", "patternProperties", "unevaluatedProperties")


def closed(schema: Any) -> Any:
    """The schema with every plain object closed to the properties it lists.

    JSON Schema lets objects have more; small models never stop adding them. What the closed schema accepts, the open
    one accepts. Composed schemas are left as they are: closing a branch of an `allOf` would leave nothing to satisfy.
    """
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if any(key in schema for key in ("allOf", "if", "not")):
        return schema
    out = {
        key: {name: closed(item) for name, item in value.items()}
        if key in ("properties", "$defs", "definitions") and isinstance(value, dict)
        else closed(value)
        if key in ("items", "prefixItems", "anyOf", "oneOf", "additionalProperties")
        else value
        for key, value in schema.items()
    }
    open_object = isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema
    if open_object and not any(key in schema for key in _COMPOSED):
        out["additionalProperties"] = False
    return out


def answer(schema: Any) -> str:
    """The whole answer is JSON by this schema."""
    return f"{_HEAD}start: {_json(schema, compact=False)}\n"


def calls(tools: list[tuple[str, Any]], most: int = 1, otherwise: Any = None) -> str:
    """The answer is one to `most` calls of these (name, schema of the arguments), one a line, in the form that
    `toolcalls.Forced` reads. With `otherwise`, a schema, it may be JSON by that schema instead."""
    repeat = f' ("\\n" call){{0,{most - 1}}}' if most > 1 else ""
    lines = [f"start: call{repeat}" + (" | answer" if otherwise is not None else "")]
    lines.append("call: " + " | ".join(f"call_{number}" for number in range(len(tools))))
    for number, (name, schema) in enumerate(tools):
        head = json.dumps('{"name":' + json.dumps(name) + ',"arguments":')
        lines.append(f'call_{number}: {head} arguments_{number} "}}"')
        lines.append(f"arguments_{number}: {_json(schema, compact=True)}")
    if otherwise is not None:
        lines.append(f"answer: {_json(otherwise, compact=False)}")
    return _HEAD + "\n".join(lines) + "\n"


def _json(schema: Any, compact: bool) -> str:
    form = closed(schema)
    if isinstance(form, dict):
        spaces = {} if compact else {"item_separator": ", ", "key_separator": ": "}
        form = {**form, "x-guidance": {**_LENIENT, **spaces, "whitespace_flexible": False}}
        if compact:
            form.setdefault("type", "object")
    return "%json " + json.dumps(form)  # white space is fixed: a small model can fill its whole answer with it
