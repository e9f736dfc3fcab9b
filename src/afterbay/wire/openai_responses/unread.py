"""What stands deeper in a request than its typed form reads, so that no translation drops it unsaid.

Ids and states of items are not named: without a store at the provider they refer to nothing. Neither are empty values:
clients send back whole answers.
"""

from __future__ import annotations

from typing import Any

import msgspec

from afterbay.wire.openai_responses.body import Format, Part, ReasoningConfig, TextConfig, Tool

_ITEM = frozenset({"type", "id", "status"})
_ITEMS = {
    "message": _ITEM | {"role", "content", "phase"},
    "function_call": _ITEM | {"call_id", "name", "arguments", "namespace", "caller"},
    "function_call_output": _ITEM | {"call_id", "output", "name", "caller"},
    "reasoning": _ITEM | {"summary", "content", "encrypted_content"},
}
"""Fields that are read, or say nothing elsewhere (an output's name is its call's). Other items are foreign whole."""

_PART = frozenset(field.encode_name for field in msgspec.structs.fields(Part))
_SETTINGS = {
    "reasoning": frozenset(field.encode_name for field in msgspec.structs.fields(ReasoningConfig)),
    "text": frozenset(field.encode_name for field in msgspec.structs.fields(TextConfig)),
}
_FORMAT = frozenset(field.encode_name for field in msgspec.structs.fields(Format))
_TOOL = frozenset(field.encode_name for field in msgspec.structs.fields(Tool))


def unread(data: dict[str, Any], foreign: list[str], hints: list[str]) -> None:
    """Names fields without a canonical form, within a body that was validated before: settings are `foreign`, what
    comes with an item or a tool is a hint."""
    for name, known in _SETTINGS.items():
        given = data.get(name) or {}
        foreign += [f"{name}.{key}" for key, value in given.items() if value is not None and key not in known]
    form = (data.get("text") or {}).get("format") or {}
    foreign += [f"text.format.{key}" for key, value in form.items() if value is not None and key not in _FORMAT]
    for tool in data.get("tools") or ():
        if tool.get("type") == "function":
            hints += [f"tools.{key}" for key, value in tool.items() if value and key not in _TOOL]
    said = data.get("input")
    for item in said if isinstance(said, list) else ():
        known_here = _ITEMS.get(item.get("type", "message"))
        if known_here is not None:
            hints += [f"input.{key}" for key, value in item.items() if value and key not in known_here]
            for name in ("content", "output"):
                parts = item.get(name)
                for part in parts if isinstance(parts, list) else ():
                    _part(part, hints)


def _part(part: dict[str, Any], hints: list[str]) -> None:
    hints += [f"input.{key}" for key, value in part.items() if value and key not in _PART]
    if part.get("type") == "input_file" and part.get("detail") not in (None, "auto"):
        hints.append("input_file.detail")
