"""Building a chat completion request for a provider from the canonical form."""

from __future__ import annotations

from typing import Any

import msgspec

from afterbay.core.message import Message
from afterbay.core.request import ChatRequest, ResponseFormat, Sampling, ToolSpec
from afterbay.wire import schema_prompt
from afterbay.wire.dialect import Built
from afterbay.wire.openai_chat.accent import DEFAULTS, NEUTRAL, Accent
from afterbay.wire.openai_chat.messages import Writing
from afterbay.wire.openai_chat.reasoning import write_reasoning
from afterbay.wire.openai_fields import parameters, possible_choice
from afterbay.wire.toolcalls.strict import fits_openai

_encode = msgspec.json.Encoder().encode

_PLAIN = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "n", "logprobs", "top_logprobs")
"""Fields of `Sampling` that every host calls alike."""


def build_request(request: ChatRequest, model: str, accent: Accent = NEUTRAL) -> Built:
    """A provider's body, path and what was left out. Streams ask for usage where a host wants to be asked: the gateway
    accounts for tokens. `accent`: how the host wants it otherwise."""
    losses = [*request.foreign, *request.hints]
    messages, form = _form(request, model, accent, losses)
    writing = Writing(model, accent, losses)
    body: dict[str, Any] = {"model": model, "messages": writing.messages(messages)}
    is_thinking = write_reasoning(request, model, accent, body, losses)
    _build_sampling(request.sampling, model, accent, accent.draws if is_thinking else frozenset(), body, losses)
    _build_tools(request, accent, body, losses)
    if form is not None:
        body["response_format"] = _format(form)
    if request.stream:
        body["stream"] = True
        if accent.usage_option:
            body["stream_options"] = {"include_usage": True}
    return Built("/chat/completions", _encode(body), losses=tuple(dict.fromkeys(losses)))


def _form(
    request: ChatRequest, model: str, accent: Accent, losses: list[str]
) -> tuple[tuple[Message, ...], ResponseFormat | None]:
    """The messages, and the form to ask for: a host that cannot hold to it is told in the prompt."""
    wanted = request.response_format
    if wanted is None or wanted.kind == "text":
        return request.messages, wanted
    if wanted.kind == "json_schema" and accent.schema and accent.of(model).schema:
        return request.messages, wanted
    if wanted.kind == "json_object" and accent.object:
        return request.messages, wanted
    losses.append(schema_prompt.LOSS)
    messages = schema_prompt.with_instruction(request.messages, wanted)
    return messages, ResponseFormat("json_object") if accent.object else None


def _build_sampling(
    sampling: Sampling,
    model: str,
    accent: Accent,
    refused: frozenset[str],
    body: dict[str, Any],
    losses: list[str],
) -> None:
    refused |= accent.features(model)
    written: dict[str, Any] = {}
    if sampling.max_output_tokens is not None:
        body[accent.limit_field(model)] = sampling.max_output_tokens
    for name in (*_PLAIN, "seed", "top_k", "stop", "logit_bias"):
        value = getattr(sampling, name)
        if value is None or value == ():
            continue
        if name in refused or (name == "top_k" and name not in accent.can):
            if DEFAULTS.get(name) != value and not (name == "n" and value == 1):
                losses.append(name)
            continue
        written[name] = value
    if accent.counts_logprobs and "logprobs" in written:
        written["logprobs"] = written.pop("top_logprobs", 1)
    if "stop" in written:
        written["stop"] = list(sampling.stop[: accent.stops])
        if len(written["stop"]) < len(sampling.stop):
            losses.append("stop")
    if "logit_bias" in written:
        written["logit_bias"] = msgspec.Raw(written["logit_bias"])
    if "seed" in written:
        written[accent.seed] = written.pop("seed")
    body |= written


def _build_tools(request: ChatRequest, accent: Accent, body: dict[str, Any], losses: list[str]) -> None:
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    **({"description": tool.description} if tool.description is not None else {}),
                    "parameters": parameters(tool.schema),
                    **_strict(tool, accent, losses),
                },
            }
            for tool in request.tools
        ]
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    choice = possible_choice(request, losses)
    if choice is None:
        return
    named = {"type": "function", "function": {"name": choice.name}}
    word = accent.required if choice.mode == "required" else choice.mode
    body["tool_choice"] = named if choice.mode == "tool" else word
    if accent.reasoning == "toggle" and choice.mode in ("required", "tool"):
        if body.get("thinking") != {"type": "disabled"}:  # "Thinking mode does not support this tool_choice"
            losses.append("thinking=disabled")
        body["thinking"] = {"type": "disabled"}
        body.pop("reasoning_effort", None)


def _strict(tool: ToolSpec, accent: Accent, losses: list[str]) -> dict[str, bool]:
    """Strictness, unless the host has none, or would refuse it ("'additionalProperties' is required")."""
    if tool.strict is None or (not tool.strict and not accent.strict):
        return {}
    if tool.strict and not (accent.strict and fits_openai(tool.schema)):
        losses.append("tools.strict")
        return {}
    return {"strict": tool.strict}


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    spec: dict[str, Any] = {"name": wanted.name or "answer", "schema": msgspec.Raw(wanted.schema or b"{}")}
    if wanted.strict is not None:
        spec["strict"] = wanted.strict
    if wanted.description is not None:
        spec["description"] = wanted.description
    return {"type": "json_schema", "json_schema": spec}
