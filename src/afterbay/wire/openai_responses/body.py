"""The documented fields of a request that have a canonical form, as they stand in the JSON.

Source: OpenAI API reference, "Create a model response", and the types of the SDK 3.57 (November 2026).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Format(msgspec.Struct):
    """`text.format`."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class TextConfig(msgspec.Struct):
    """`text`."""

    format: Format | None = None
    verbosity: str | None = None


class ReasoningConfig(msgspec.Struct):
    """`reasoning`. `generate_summary` is the former name of `summary`."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None
    context: str | None = None
    mode: str | None = None


class StreamOptions(msgspec.Struct):
    """`stream_options`."""

    include_obfuscation: bool | None = None


class InputFormat(msgspec.Struct):
    """What the text of a custom tool must be: anything, or a sentence of a grammar."""

    type: str
    syntax: str | None = None
    definition: str | None = None


class Tool(msgspec.Struct):
    """One of `tools`; all but `type` belong to functions and custom tools, `format` to these alone."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None
    output_schema: dict[str, Any] | None = None
    format: Any = None
    is_async: bool | None = msgspec.field(name="async", default=None)


class Body(msgspec.Struct):
    """A request."""

    model: str = ""
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    include: list[str] | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    background: bool | None = None
    truncation: str | None = None


class Part(msgspec.Struct):
    """A part of a message's content, or of a tool's output."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: dict[str, Any] | None = None
    annotations: list[Any] | None = None
    prompt_cache_breakpoint: Any = None


class MessageItem(msgspec.Struct):
    """A message in its easy or its full form."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[dict[str, Any]]
    phase: str | None = None


class CallItem(msgspec.Struct):
    """A function call of the model."""

    call_id: str
    name: str
    arguments: str = "{}"
    namespace: str | None = None
    caller: dict[str, Any] | None = None


class CustomCallItem(msgspec.Struct):
    """A call of a custom tool: its argument is a text."""

    call_id: str
    name: str
    input: str = ""
    namespace: str | None = None
    caller: dict[str, Any] | None = None


class OutputItem(msgspec.Struct):
    """What a function or a custom tool gave back."""

    call_id: str
    output: str | list[dict[str, Any]]
    caller: dict[str, Any] | None = None


class Shown(msgspec.Struct):
    """A piece of visible reasoning."""

    text: str = ""


class ReasoningItem(msgspec.Struct):
    """Reasoning of an earlier answer."""

    id: str | None = None
    summary: list[Shown] | None = None
    content: list[Shown] | None = None
    encrypted_content: str | None = None

    def text(self) -> str:
        """All that it shows, one paragraph a part."""
        return "\n\n".join(part.text for part in (*(self.content or ()), *(self.summary or ())) if part.text)
