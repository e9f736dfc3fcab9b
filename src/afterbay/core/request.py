"""What a client asks for, independent of the protocol it asked in."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterbay.core.message import Message


class ToolSpec(msgspec.Struct, frozen=True):
    """A function the model may call. `schema` is the JSON Schema of its arguments as JSON text."""

    name: str
    description: str | None = None
    schema: bytes = b'{"type":"object","properties":{}}'
    strict: bool | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """`auto`: the model decides; `none`: no call; `required`: some call; `tool`: the one called `name`."""

    mode: Literal["auto", "none", "required", "tool"]
    name: str | None = None


class ResponseFormat(msgspec.Struct, frozen=True):
    """The form the answer must have. `schema` (JSON text) with kind `json_schema` only."""

    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: bytes | None = None
    strict: bool | None = None
    description: str | None = None


class Reasoning(msgspec.Struct, frozen=True):
    """How much to think: `effort` in the provider's words, or a budget in tokens (0: none, -1: the model's choice)."""

    effort: str | None = None
    budget_tokens: int | None = None
    show: bool | None = None


class Sampling(msgspec.Struct, frozen=True, omit_defaults=True):
    """Fields that shape the draw of tokens; None means the provider's default."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: bytes | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """A chat request, whatever protocol it came in.

    `foreign` names fields of the client's dialect that change the answer and have no canonical form (built-in tools,
    audio output, ...): only a target of the same dialect can honour them. `hints` names fields that do not change the
    answer; a translation drops them with a warning.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    sampling: Sampling = Sampling()
    response_format: ResponseFormat | None = None
    reasoning: Reasoning | None = None
    stream: bool = False
    include_usage: bool = False
    foreign: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


class EmbedRequest(msgspec.Struct, frozen=True):
    """Texts, or token ids, to embed, in order. `is_batch`: the client asked for a list, if only of one. `foreign` and
    `hints` as in a chat request."""

    model: str
    inputs: tuple[str | tuple[int, ...], ...]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"
    hints: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    is_batch: bool = True


SAMPLING_FEATURES = (
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
)
"""Features that are fields of `Sampling` by the same name."""

FEATURES = frozenset(
    (
        *SAMPLING_FEATURES,
        *("n", "stop", "blank_stop", "temperature_above_1"),
        *("tools", "tool_choice", "parallel_tool_calls"),
        *("response_format", "json_object", "reasoning"),
        *("images", "image_urls", "documents", "document_urls", "document_files", "audio"),
    )
)
"""What a request may need of a target and has a canonical form. Other names belong to one dialect (`foreign`)."""
