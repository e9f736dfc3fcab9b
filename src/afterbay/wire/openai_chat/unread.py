"""What stands deeper in a request than its typed form reads: named as hints, so that no translation drops it unsaid.

Empty values (`annotations: []`, null) say nothing and are not named: clients send back whole answers.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_PARTS = {
    "text": {"type", "text"},
    "image_url": {"type", "image_url"},
    "input_audio": {"type", "input_audio"},
    "file": {"type", "file"},
    "refusal": {"type", "refusal"},
}
_FUNCTION = frozenset({"name", "description", "parameters", "strict"})
_MARK = "prompt_cache_breakpoint"


def unread(data: dict[str, Any], message_fields: Collection[str]) -> list[str]:
    """Names of fields that have no canonical form, within a body that was validated before."""
    found: dict[str, None] = {}
    for message in data["messages"]:
        for name, value in message.items():
            if value and name not in message_fields:
                found[f"messages.{name}"] = None
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            known = _PARTS.get(part.get("type"))
            if known is not None and len(part) > len(known):
                _name(part, known, "messages.content", found)
        for call in message.get("tool_calls") or ():
            extra = call.get("extra_content")
            if extra and extra.keys() - {"google"}:
                found["messages.tool_calls.extra_content"] = None
    for tool in data.get("tools") or ():
        function = tool.get("function")
        if function and len(function) > 1:
            _name(function, _FUNCTION, "tools.function", found)
    options = data.get("stream_options")
    if options:
        _name(options, ("include_usage",), "stream_options", found)
    return list(found)


def _name(node: dict[str, Any], known: Collection[str], where: str, found: dict[str, None]) -> None:
    for name, value in node.items():
        if value and name not in known:
            found[name if name == _MARK else f"{where}.{name}"] = None
