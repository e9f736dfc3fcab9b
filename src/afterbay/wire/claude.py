"""What holds for Claude whatever API it is asked through: Anthropic's own, Amazon's, or Google's."""

from __future__ import annotations

import re
from typing import Any

import msgspec

LEAST_THINKING_TOKENS = 1024
"""The smallest thinking budget (extended thinking page, November 2026)."""

ROOM_TOKENS = 4096
"""Left for the answer where a limit must be raised above the thinking budget."""

NEWER = re.compile(r"claude-[a-z]+-(?:4[-.](?:[7-9]|[1-9]\d)|[5-9]|[1-9]\d)(?!\d)")
"""Models from Opus 4.7 on. They refuse `temperature`, `top_p` and `top_k` ("is deprecated for this model") and a
thinking budget, in place of which they think adaptively. Source: Anthropic's migration guide, BerriAI/litellm#26444,
earendil-works/pi#3297."""

EFFORTS = frozenset({"minimal", "low", "medium", "high", "xhigh", "max"})
"""Words for effort that are understood; `minimal` is sent as `low`."""


def fits_thinking(name: str, value: float) -> bool:
    """Whether a sampling field (by its canonical name) may stand beside thinking.

    Source: extended thinking page, feature compatibility; recordings send a temperature of 1 beside it.
    """
    return value == 1 if name == "temperature" else name == "top_p" and value >= 0.95


def closed(schema: bytes, losses: dict[str, None]) -> Any:
    """The schema with every object closed. The API: "'additionalProperties' must be explicitly set to false"."""
    tree = msgspec.json.decode(schema)
    if not _close(tree):
        return msgspec.Raw(schema)
    losses["response_format.additionalProperties=false"] = None
    return tree


def _close(node: Any) -> bool:
    """Closes the objects of a schema in place; whether anything changed."""
    if not isinstance(node, dict):
        return False
    changed = False
    kind = node.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind):
        changed = node.get("additionalProperties") is not False
        node["additionalProperties"] = False
    inner: list[Any] = [node.get("items")]
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        inner += node[name] if isinstance(node.get(name), list) else ()
    for name in ("properties", "$defs", "definitions"):
        inner += node[name].values() if isinstance(node.get(name), dict) else ()
    for one in inner:
        changed = _close(one) or changed
    return changed
