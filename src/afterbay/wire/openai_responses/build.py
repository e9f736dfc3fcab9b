"""Building a provider's request.

`store` is always false: state is kept here, if anywhere, and a provider that keeps none can be changed for another
one. So proofs of reasoning are asked for (`include`) wherever a model may reason.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from afterbay.core.message import Thinking
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, ToolSpec
from afterbay.wire.dialect import Built
from afterbay.wire.openai_fields import parameters, possible_choice, reasoning_effort
from afterbay.wire.openai_responses import proof
from afterbay.wire.openai_responses.request import LOGPROBS, PROOFS
from afterbay.wire.openai_responses.writer import write_input
from afterbay.wire.toolcalls.strict import fits_openai

CANNOT = {
    "n": "the Responses API gives one answer",
    "stop": "the Responses API has no stop sequences",
    "seed": "the Responses API has no seed",
    "presence_penalty": "the Responses API has no penalties",
    "frequency_penalty": "the Responses API has no penalties",
    "logit_bias": "the Responses API has no logit_bias",
    "top_k": "the Responses API has no top_k",
    "audio": "the Responses API takes text, images and files",
}

LEAST_OUTPUT = 16
"""OpenAI refuses a lower limit ("Expected a value >= 16"; API reference of `max_output_tokens`)."""

_REASONING_MODEL = re.compile(r"(?:o\d|gpt-[5-9]|codex)(?!.*-chat)")
"""Models that reason unasked; others answer 400 when asked for encrypted reasoning."""

_DROPPED = ("top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias")

_encode = msgspec.json.Encoder().encode


def build_request(request: ChatRequest, model: str) -> Built:
    """A provider's body, path and what was left out."""
    losses = [*request.foreign, *request.hints]
    body: dict[str, Any] = {"model": model}
    write_input(request.messages, body, losses)
    body["store"] = False
    _sampling(request, body, losses)
    _tools(request, body, losses)
    if request.response_format is not None:
        body["text"] = {"format": _format(request.response_format)}
    if request.reasoning is not None:
        reasoning = _reasoning(request.reasoning, losses)
        if reasoning:
            body["reasoning"] = reasoning
    include = [LOGPROBS] if request.sampling.logprobs else []
    if _reasons(request, model):
        include.append(PROOFS)
    if include:
        body["include"] = include
    if request.stream:
        body["stream"] = True
    return Built("/responses", _encode(body), losses=tuple(dict.fromkeys(losses)))


def _sampling(request: ChatRequest, body: dict[str, Any], losses: list[str]) -> None:
    sampling = request.sampling
    if sampling.max_output_tokens is not None:
        body["max_output_tokens"] = max(sampling.max_output_tokens, LEAST_OUTPUT)
        if sampling.max_output_tokens < LEAST_OUTPUT:
            losses.append("max_output_tokens")
    for name in ("temperature", "top_p", "top_logprobs"):
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    losses += [name for name in _DROPPED if getattr(sampling, name) is not None]
    if sampling.stop:
        losses.append("stop")
    if sampling.n is not None and sampling.n > 1:
        losses.append("n")


def _reasons(request: ChatRequest, model: str) -> bool:
    """Whether reasoning is in use: asked for, there already with its proof, or the model's habit."""
    if request.reasoning is not None and request.reasoning != Reasoning():
        return request.reasoning.effort != "none"
    if _REASONING_MODEL.match(model.rsplit("/", 1)[-1]):
        return True
    parts = (part for message in request.messages for part in message.parts)
    return any(isinstance(part, Thinking) and proof.split(part.signature) for part in parts)


def _reasoning(wanted: Reasoning, losses: list[str]) -> dict[str, Any]:
    effort = reasoning_effort(wanted, losses)
    built: dict[str, Any] = {"effort": effort} if effort is not None else {}
    if wanted.show:
        built["summary"] = "auto"
    elif wanted.show is False:
        losses.append("reasoning.show")  # it is what happens unasked, and there is no word for it
    return built


def _tools(request: ChatRequest, body: dict[str, Any], losses: list[str]) -> None:
    if request.tools:
        body["tools"] = [_tool(tool, losses) for tool in request.tools]
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    choice = possible_choice(request, losses)
    if choice is None:
        return
    body["tool_choice"] = {"type": "function", "name": choice.name} if choice.mode == "tool" else choice.mode


def _tool(tool: ToolSpec, losses: list[str]) -> dict[str, Any]:
    """A function. `strict` is always said: without it OpenAI rewrites the schema as strict, unlike in chat. It is
    false for a schema that strict mode refuses."""
    strict = bool(tool.strict) and fits_openai(tool.schema)
    if tool.strict and not strict:
        losses.append("tools.strict")
    built: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description is not None:
        built["description"] = tool.description
    return built | {"parameters": parameters(tool.schema), "strict": strict}


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    built: dict[str, Any] = {
        "type": "json_schema",
        "name": wanted.name or "answer",
        "schema": msgspec.Raw(wanted.schema or b"{}"),
    }
    if wanted.strict is not None:
        built["strict"] = wanted.strict
    if wanted.description is not None:
        built["description"] = wanted.description
    return built
