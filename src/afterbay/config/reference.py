"""The reference page and the JSON Schema of the configuration, both made from `schema`'s types and descriptions.

`python -m afterbay.config.reference` prints the page; `docs/configuration.md` is its output, and a test compares them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

from afterbay.config.catalog import catalog
from afterbay.config.describe import duration
from afterbay.config.fields import Seconds
from afterbay.config.schema import Config
from afterbay.config.schema_route import NOT_BUILT, RouteConfig

_DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
_VARIABLE = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-.*)?\}"
_SIMPLE: dict[type, dict[str, Any]] = {
    inspect.StrType: {"type": "string"},
    inspect.BoolType: {"type": "boolean"},
    inspect.DateType: {"type": "string", "format": "date"},
    inspect.NoneType: {"type": "null"},
}


def schema_json() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the file, for editors; `${NAME}` is allowed wherever a number may stand."""
    sections: dict[str, Any] = {}
    root = _schema(inspect.type_info(Config), sections)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "afterbay.yaml",
        **root,
        "$defs": dict(sorted(sections.items())),
    }


def _schema(kind: inspect.Type, sections: dict[str, Any]) -> dict[str, Any]:
    if isinstance(kind, inspect.Metadata):
        return _schema(kind.type, sections) | dict(kind.extra_json_schema or {})
    if isinstance(kind, inspect.UnionType):
        return {"anyOf": [_schema(member, sections) for member in kind.types]}
    if isinstance(kind, inspect.StructType):
        name = kind.cls.__name__
        if name not in sections:
            sections[name] = {}  # before its fields: a section that held itself would not end
            sections[name].update(_section(kind, sections))
        return {"$ref": f"#/$defs/{name}"}
    if isinstance(kind, inspect.DictType):
        names = _schema(kind.key_type, sections)
        keys = {} if names == _SIMPLE[inspect.StrType] else {"propertyNames": names}
        return {"type": "object", "additionalProperties": _schema(kind.value_type, sections)} | keys
    if isinstance(kind, inspect.VarTupleType):
        return {"type": "array", "items": _schema(kind.item_type, sections)}
    if isinstance(kind, inspect.LiteralType):
        return {"enum": list(kind.values)}
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return {"anyOf": [_number(kind), {"type": "string", "pattern": _VARIABLE}]}
    if isinstance(kind, inspect.CustomType):
        duration_ = {"type": "string", "pattern": f"{_DURATION}|{_VARIABLE}"}
        return {"anyOf": [{"type": "number", "minimum": 0}, duration_]} if kind.cls is Seconds else {}
    return dict(_SIMPLE[type(kind)])


def _number(kind: inspect.IntType | inspect.FloatType) -> dict[str, Any]:
    bounds = {"exclusiveMinimum": kind.gt, "minimum": kind.ge, "exclusiveMaximum": kind.lt, "maximum": kind.le}
    word = "integer" if isinstance(kind, inspect.IntType) else "number"
    return {"type": word} | {name: bound for name, bound in bounds.items() if bound is not None}


def _section(kind: inspect.StructType, sections: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in kind.fields:
        properties[field.encode_name] = _schema(field.type, sections)
        default = _default(field)
        if default is not None:
            properties[field.encode_name]["default"] = default
    required = [field.encode_name for field in kind.fields if field.required]
    return {
        "type": "object",
        "description": (kind.cls.__doc__ or "").split("\n", 1)[0],
        "properties": properties,
        "additionalProperties": False,
    } | ({"required": required} if required else {})


def _default(field: inspect.Field) -> Any:
    """The default as it would be written, None: none worth writing."""
    value = field.default
    if value is msgspec.NODEFAULT or value is None or isinstance(value, msgspec.Struct):
        return None
    if isinstance(value, Seconds):
        return duration(value)
    return list(value) if isinstance(value, tuple) else value


def page() -> str:
    """The reference page in Markdown."""
    lines = [
        "# Configuration",
        "",
        "<!-- Made by `python -m afterbay.config.reference`. Change the schema, not this page. -->",
        "",
        "One YAML (or JSON) file: the one named by `-c`, else `./afterbay.yaml`, else `afterbay/afterbay.yaml` in the",
        "XDG configuration folder (`~/.config`). Without a file, keys found in the environment bring their models.",
        "",
        "- `${NAME}` is replaced by the environment variable, `${NAME:-text}` has a default, `$${` means `${`. A",
        "  variable that is not set, or empty, is an error.",
        "- Durations: `250ms`, `5s`, `2m`, `1h`, `1h30m`, `30d`, or a plain number of seconds.",
        "- Unknown keys are errors. `afterbay check` shows every value and where it came from.",
        "- `<name>` is a name of your own. Provider names have no slash.",
        "",
    ]
    for path, kind in _sections(inspect.type_info(Config), ""):
        lines += _page_section(path, kind)
    return "\n".join([*lines, *_page_catalog()]) + "\n"


def _sections(kind: inspect.Type, path: str) -> Iterator[tuple[str, inspect.StructType]]:
    """(path, section) of each section once, outer before inner."""
    if isinstance(kind, inspect.StructType):
        yield path, kind
        for field in kind.fields:
            name = f"{path}.{field.encode_name}" if path else field.encode_name
            if path == "routes.<name>" or not (path == "" and field.encode_name == "defaults"):
                yield from _sections(_inner(field.type), f"{name}{_suffix(field.type)}")


def _inner(kind: inspect.Type) -> inspect.Type:
    """The section in a type, if there is one."""
    if isinstance(kind, inspect.Metadata):
        return _inner(kind.type)
    if isinstance(kind, inspect.UnionType):
        return next((found for member in kind.types if isinstance(found := _inner(member), inspect.StructType)), kind)
    if isinstance(kind, inspect.DictType):
        return _inner(kind.value_type)
    return _inner(kind.item_type) if isinstance(kind, inspect.VarTupleType) else kind


def _suffix(kind: inspect.Type) -> str:
    kind = kind.type if isinstance(kind, inspect.Metadata) else kind
    return ".<name>" if isinstance(kind, inspect.DictType) else "[]" if isinstance(kind, inspect.VarTupleType) else ""


def _page_section(path: str, kind: inspect.StructType) -> list[str]:
    title = f"`{path}`" if path else "Top level"
    lines = [f"## {title}", "", " ".join((kind.cls.__doc__ or "").split()), ""]
    lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    for field in kind.fields:
        meaning = ""
        if isinstance(field.type, inspect.Metadata):
            meaning = str((field.type.extra_json_schema or {}).get("description", ""))
        if kind.cls is RouteConfig and field.encode_name in NOT_BUILT:
            meaning += " Not honoured by this release."
        default = _default(field)
        if default is None or default in ([], {}):
            shown = "required" if field.required else ""
        else:
            shown = f"`{', '.join(map(str, default)) if isinstance(default, list) else _plain(default)}`"
        lines.append(f"| `{field.encode_name}` | {_type_text(field.type)} | {shown} | {meaning} |")
    return [*lines, ""]


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _type_text(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return _type_text(kind.type)
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_type_text(member) for member in kind.types if not isinstance(member, inspect.NoneType))
    if isinstance(kind, inspect.LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, inspect.DictType):
        return f"names to {_type_text(kind.value_type)}"
    if isinstance(kind, inspect.VarTupleType):
        return f"list of {_type_text(kind.item_type)}"
    if isinstance(kind, inspect.CustomType):
        return "duration" if kind.cls is Seconds else "anything"
    words: dict[type, str] = {
        inspect.StrType: "text",
        inspect.IntType: "whole number",
        inspect.FloatType: "number",
        inspect.BoolType: "`true`, `false`",
        inspect.DateType: "day",
        inspect.StructType: "section",
    }
    return words[type(kind)]


def _page_catalog() -> list[str]:
    lines = [
        "## Providers known by name",
        "",
        "A model may name one with a key variable without configuring it.",
        "",
        "| kind | protocol | base URL | key without a configuration | models it brings then |",
        "|---|---|---|---|---|",
    ]
    for row in catalog().provider:
        names = ", ".join(f"`{name}`" for name in (row.name, *row.also))
        keys = " or ".join(f"`{name}`" for name in row.key_variables)
        models = ", ".join(f"`{model}`" for model in row.models)
        lines.append(f"| {names} | {row.protocol} | {row.base_url} | {keys} | {models} |")
    lines += ["", "## Models of the engine inside", "", "| name | context | what it is |", "|---|---|---|"]
    for local in catalog().local:
        lines.append(f"| `{local.name}` | {local.context or ''} | {local.source} |")
    return lines


if __name__ == "__main__":
    sys.stdout.write(page())
