"""The shape of a request body, decoded in one typed pass, with nothing unknown passing unseen.

Every struct forbids unknown fields, so an ordinary body costs one decode. When that fails, the body is read again as
a tree, fields and blocks without a canonical form are taken out and named, and the rest is decoded once more: what
fails then is the client's mistake, and its message names the field.

Source: platform.claude.com/docs/en/api/messages (November 2026), its Python SDK's parameter types, the recordings.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.wire.decoding import decode_object, mistake

_NOTHING = msgspec.Raw(b"")

KNOWN_BLOCKS = frozenset(
    {"text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result"},
)
"""Content blocks with a canonical form; any other (`server_tool_use`, `search_result`, ...) is foreign."""


class Source(msgspec.Struct, forbid_unknown_fields=True):
    """Where an image or a document comes from: `base64`, `url`, `text`, `content` or `file`."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: str | list[Block] | None = None


class Block(msgspec.Struct, forbid_unknown_fields=True):
    """A content block of any type; which fields it must have depends on `type` and is checked by the parser."""

    type: str
    text: str | None = None
    source: Source | None = None
    title: str | None = None
    context: str | None = None
    citations: Any = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = _NOTHING
    tool_use_id: str | None = None
    content: str | list[Block] | None = None
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    cache_control: Any = None
    caller: Any = None


class Turn(msgspec.Struct, forbid_unknown_fields=True):
    """One message. The role `system` is allowed in the middle of a conversation since Claude Opus 4.8."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class Tool(msgspec.Struct, forbid_unknown_fields=True):
    """A tool of the client (`type` absent or `custom`), or one that runs on the provider's side (any other type)."""

    type: str | None = None
    name: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = _NOTHING
    strict: bool | None = None
    cache_control: Any = None
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None
    eager_input_streaming: bool | None = None
    input_examples: Any = None


class Choice(msgspec.Struct, forbid_unknown_fields=True):
    """`tool_choice`."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingConfig(msgspec.Struct, forbid_unknown_fields=True):
    """`thinking`: `enabled` with a budget, `disabled`, `adaptive`, or `between_tools`."""

    type: str
    budget_tokens: int | None = None
    display: str | None = None
    block_binding: Any = None


class Format(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON Schema that the answer must match."""

    type: Literal["json_schema"]
    schema: msgspec.Raw = _NOTHING


class OutputConfig(msgspec.Struct, forbid_unknown_fields=True):
    """`output_config`: effort and form of the answer."""

    effort: str | None = None
    format: Format | None = None
    task_budget: Any = None


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The whole body. `output_format` is the beta name (structured-outputs-2025-11-13) of `output_config.format`."""

    messages: list[Turn]
    model: str | None = None
    max_tokens: int | None = None
    system: str | list[Block] | None = None
    tools: list[Tool] | None = None
    tool_choice: Choice | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None
    metadata: Any = None
    service_tier: Any = None
    cache_control: Any = None
    speed: Any = None
    diagnostics: Any = None
    context_management: Any = None
    fallback_credit_token: Any = None
    fallbacks: Any = None
    billing_policy: Any = None


_DECODER = msgspec.json.Decoder(Body)


def missing(param: str) -> ClientMistake:
    """A field that its block's type demands is not there."""
    return ClientMistake(
        f"The field '{param}' is missing.", param=param, code="missing_field", remedy="Add it and send again."
    )


def wrong(param: str, what: str) -> ClientMistake:
    """A field with a value that cannot be."""
    return ClientMistake(f"The field '{param}' {what}.", param=param, code="invalid_value")


def decode(data: bytes) -> tuple[Body, list[str]]:
    """Decodes a body. The names are its fields without a canonical form, by path (`tools[0].of_next_year`).

    Raises:
        ClientMistake: not JSON, or a field of the wrong type or missing; `param` names it.
    """
    try:
        return _DECODER.decode(data), []
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # told apart below
    tree, unknown = decode_object(data), list[str]()
    _strip_body(tree, unknown)
    try:
        return _DECODER.decode(msgspec.json.encode(tree)), unknown
    except msgspec.ValidationError as error:
        raise mistake(error) from None


def _strip(node: Any, shape: type[msgspec.Struct], where: str, unknown: list[str]) -> None:
    """Takes out of `node` what `shape` does not know. A null says nothing and is not named."""
    if not isinstance(node, dict):
        return
    known = shape.__struct_fields__
    for key in [key for key in node if key not in known]:
        if node.pop(key) is not None:
            unknown.append(f"{where}.{key}" if where else key)


def _strip_body(tree: dict[str, Any], unknown: list[str]) -> None:
    _strip(tree, Body, "", unknown)
    for key, shape in (
        ("tool_choice", Choice),
        ("thinking", ThinkingConfig),
        ("output_config", OutputConfig),
        ("output_format", Format),
    ):
        _strip(tree.get(key), shape, key, unknown)
    config = tree.get("output_config")
    if isinstance(config, dict):
        _strip(config.get("format"), Format, "output_config.format", unknown)
    _strip_blocks(tree.get("system"), "system", unknown)
    for index, turn in enumerate(_items(tree.get("messages"))):
        where = f"messages[{index}]"
        _strip(turn, Turn, where, unknown)
        if isinstance(turn, dict):
            _strip_blocks(turn.get("content"), f"{where}.content", unknown)
    for index, tool in enumerate(_items(tree.get("tools"))):
        if isinstance(tool, dict) and isinstance(kind := tool.get("type"), str) and kind != "custom":
            tree["tools"][index] = {"type": kind}  # the whole tool is foreign, its settings with it
        else:
            _strip(tool, Tool, f"tools[{index}]", unknown)


def _strip_blocks(blocks: Any, where: str, unknown: list[str]) -> None:
    for index, block in enumerate(_items(blocks)):
        if not isinstance(block, dict):
            continue
        kind = block.get("type")
        if isinstance(kind, str) and kind not in KNOWN_BLOCKS:
            blocks[index] = {"type": kind}  # the parser names the whole block
            continue
        here = f"{where}[{index}]"
        _strip(block, Block, here, unknown)
        _strip_blocks(block.get("content"), f"{here}.content", unknown)
        source = block.get("source")
        _strip(source, Source, f"{here}.source", unknown)
        if isinstance(source, dict):
            _strip_blocks(source.get("content"), f"{here}.source.content", unknown)


def _items(node: Any) -> list[Any]:
    return node if isinstance(node, list) else []
