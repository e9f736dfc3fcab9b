"""An instance of a JSON Schema: small, deterministic, and checked against the schema before it is used.

Every property is given, required or not, as models in strict mode do. What cannot be made (a pattern beyond the known
samples, contradictions) raises: an emulator that sends an invalid instance would teach its users the wrong thing.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.json_schema import compile_schema

_DEPTH = 32
_NODES = 10_000
_FORMATS = {
    "date": "2026-01-31",
    "time": "12:30:00Z",
    "date-time": "2026-01-31T12:30:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "3f0e6a9c-5f4e-4c1b-9d2a-7b8c9d0e1f2a",
}
_SAMPLES = (*_FORMATS.values(), "a", "A", "1", "abc", "ABC", "A1", "a1", "abc-123", "ABC-123", "123", "12345", "+1", "")


def instance(schema: bytes, words: str, field: str) -> Any:
    """A value that is valid for `schema` (JSON text). `words` is used for free strings; `field` names the schema in
    errors.

    Raises:
        ClientMistake: the schema is no schema, or no instance of it could be made.
    """
    try:
        root = msgspec.json.decode(schema)
        validator = compile_schema(root)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise ClientMistake(f"The field '{field}' is no JSON Schema: {error}", param=field) from None
    try:
        value = _Maker(root, words).make(root, 0)
    except _Impossible as error:
        raise _refusal(field, str(error)) from None
    if not validator.is_valid(value):
        raise _refusal(field, "the one it made is not valid")
    return value


def _refusal(field: str, why: str) -> ClientMistake:
    return ClientMistake(
        f"The emulator cannot make an instance of the schema in '{field}': {why}.",
        param=field,
        code="unsupported_schema",
        remedy="Simplify the schema.",
    )


class _Impossible(Exception):
    """No instance can be made this way."""


class _Maker:
    """Makes one instance; `_left` bounds its size."""

    def __init__(self, root: Any, words: str) -> None:
        self._root, self._words = root, words
        self._left = _NODES

    def make(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        if depth > _DEPTH or self._left < 0:
            raise _Impossible("it is nested too deeply")
        if schema is True or schema == {}:
            return self._words
        if not isinstance(schema, dict):
            raise _Impossible("a part of it allows nothing")
        schema = self._merged(schema, depth)
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        if schema.get("enum"):
            return schema["enum"][0]
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                return self._any(schema, key, depth)
        return self._typed(schema, depth)

    def _merged(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """The schema with its reference and its `allOf` put in."""
        parts = [schema]
        if "$ref" in schema:
            parts.append(self._merged(self._target(schema["$ref"]), self._deeper(depth)))
        parts += [self._merged(one, self._deeper(depth)) for one in schema.get("allOf", ()) if isinstance(one, dict)]
        if len(parts) == 1:
            return schema
        merged: dict[str, Any] = {}
        for part in parts:
            properties = merged.get("properties", {}) | part.get("properties", {})
            required = [*merged.get("required", ()), *part.get("required", ())]
            merged |= {key: value for key, value in part.items() if key not in ("$ref", "allOf")}
            merged |= {"properties": properties} if properties else {}
            merged |= {"required": list(dict.fromkeys(required))} if required else {}
        return merged

    @staticmethod
    def _deeper(depth: int) -> int:
        if depth >= _DEPTH:
            raise _Impossible("its references go round in a circle")
        return depth + 1

    def _target(self, reference: str) -> dict[str, Any]:
        if not reference.startswith("#"):
            raise _Impossible(f"the reference {reference} is not inside it")
        found: Any = self._root
        for step in reference[1:].split("/")[1:]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            raise _Impossible(f"the reference {reference} leads nowhere")
        return found

    def _any(self, schema: dict[str, Any], key: str, depth: int) -> Any:
        """The first alternative that works; the fields beside it hold too."""
        rest = {name: value for name, value in schema.items() if name != key}
        problem = _Impossible("no alternative of it can be made")
        for one in schema[key]:
            try:
                return self.make({**rest, "allOf": [one]} if rest else one, depth + 1)
            except _Impossible as error:
                problem = error
        raise problem

    def _typed(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = kind[0] if kind else None
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        match str(kind).lower():
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number" as number:
                return _number(schema, number == "integer")
            case "boolean":
                return True
            case "null":
                return None
            case other:
                raise _Impossible(f"the type {other} is not known")

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        required = schema.get("required", ())
        for name, one in schema.get("properties", {}).items():
            try:
                made[name] = self.make(one, depth + 1)
            except _Impossible:
                if name in required:
                    raise
        other = schema.get("additionalProperties", True)
        for name in required:
            if name not in made:
                made[name] = self.make(other, depth + 1)
        return made

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        made = [self.make(one, depth + 1) for one in schema.get("prefixItems", ())]
        wanted = min(max(schema.get("minItems", 1), len(made)), schema.get("maxItems", _NODES))
        items = schema.get("items", True)
        while len(made) < wanted and items is not False:
            one = self.make(items, depth + 1)
            if schema.get("uniqueItems") and one in made:
                one = _another(one, items, made)
            made.append(one)
        return made[:wanted]

    def _string(self, schema: dict[str, Any]) -> str:
        low: int = min(schema.get("minLength", 0), 100_000)
        high: int = schema.get("maxLength", 100_000)
        wanted: str = _FORMATS.get(schema.get("format", ""), self._words)
        pattern = schema.get("pattern")
        if pattern is None:
            return wanted.ljust(low, ".")[:high]
        for sample in (wanted, *_SAMPLES, *(unit * low for unit in ("a", "A", "1"))):
            try:
                if low <= len(sample) <= high and re.search(pattern, sample):
                    return sample
            except re.error:
                break
        raise _Impossible(f"no sample matches the pattern {pattern}")


def _another(taken: Any, items: Any, made: list[Any]) -> Any:
    """A value beside `taken` for an array of unique items."""
    if isinstance(items, dict) and items.get("enum"):
        for one in items["enum"]:
            if one not in made:
                return one
    if isinstance(taken, str):
        return f"{taken} {len(made) + 1}"
    if isinstance(taken, int | float) and not isinstance(taken, bool):
        return max(one for one in made if isinstance(one, int | float)) + 1
    raise _Impossible("its array wants more unique items than can be made")


def _number(schema: dict[str, Any], is_integer: bool) -> int | float:
    """The number nearest to 1 within the bounds, on the grid of `multipleOf`."""
    step = schema.get("multipleOf", 1 if is_integer else None)
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    low = max((bound for bound in (schema.get("minimum"), above) if bound is not None), default=-math.inf)
    high = min((bound for bound in (schema.get("maximum"), below) if bound is not None), default=math.inf)
    value: float = min(max(1, low), high)
    if step:
        value = math.ceil(value / step) * step
        value -= step if value > high else 0
        value += step if value == above else 0
        value -= step if value == below else 0
    elif value in (above, below):
        value = (low + high) / 2 if math.isfinite(low + high) else value + (1 if value == above else -1)
    return int(value) if is_integer else value
