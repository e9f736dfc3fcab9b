"""What the requests of OpenAI's protocols have in common: data URLs, efforts, schemas of arguments, choices of a
tool, lengths of ids."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from afterbay.core.request import ChatRequest, Reasoning, ToolChoice

_COMBINED = frozenset({"$ref", "anyOf", "oneOf", "allOf"})
"""A schema with one of these may say its properties there."""


class _SchemaHead(msgspec.Struct):
    type: Any = msgspec.UNSET
    properties: Any = msgspec.UNSET


_SCHEMA = msgspec.json.Decoder(_SchemaHead)


def split_data_url(url: str) -> tuple[str | None, str | None]:
    """(media type, base64 data) of a `data:` URL; (None, None) for every other one."""
    if not url.startswith("data:"):
        return None, None
    head, _, data = url[5:].partition(",")
    return head.removesuffix(";base64") or None, data


def reasoning_effort(reasoning: Reasoning, losses: list[str]) -> str | None:
    """The effort that stands for a budget in tokens: OpenAI's protocols have no budget. The steps are ours."""
    if reasoning.effort is not None:
        if reasoning.budget_tokens not in (None, -1):
            losses.append("reasoning.budget_tokens")
        return reasoning.effort
    if reasoning.budget_tokens is None:
        return None
    losses.append("reasoning.budget_tokens")
    if reasoning.budget_tokens == 0:
        return "minimal"
    if reasoning.budget_tokens < 0:
        return None
    return "low" if reasoning.budget_tokens <= 4096 else "medium" if reasoning.budget_tokens <= 16384 else "high"


def parameters(schema: bytes) -> Any:
    """The schema of a tool's arguments. OpenAI refuses an object without `properties` ("object schema missing
    properties"), which Anthropic's and MCP's clients send for tools without arguments."""
    head = _SCHEMA.decode(schema)
    if head.properties is not msgspec.UNSET or head.type not in ("object", msgspec.UNSET):
        return msgspec.Raw(schema)
    tree = msgspec.json.decode(schema)
    return tree if tree.keys() & _COMBINED else {"type": "object", **tree, "properties": {}}


def possible_choice(request: ChatRequest, losses: list[str]) -> ToolChoice | None:
    """What the request says of its tools, where they are there: OpenAI refuses a choice among nothing."""
    choice = request.tool_choice
    if choice is None:
        return None
    names = {tool.name for tool in request.tools}
    if names and (choice.mode != "tool" or choice.name in names):
        return choice
    if choice.mode in ("required", "tool"):
        losses.append("tool_choice")
    return None


def digest(wanted: str) -> str:
    """Twelve hex digits, always the same ones for the same text."""
    return blake2b(wanted.encode(), digest_size=6).hexdigest()


def shorten(wanted: str, longest: int) -> str:
    """An id as it is where it fits into `longest` characters, else its start and a digest of it."""
    return wanted if len(wanted) <= longest else f"{wanted[: longest - 13]}_{digest(wanted)}"
