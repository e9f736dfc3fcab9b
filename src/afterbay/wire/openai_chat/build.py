"""Building a chat completion request for a provider from the canonical form."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from afterbay.core.message import (
    Audio,
    Document,
    Image,
    Message,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from afterbay.core.request import ChatRequest, ResponseFormat, ToolSpec
from afterbay.wire.dialect import Built
from afterbay.wire.openai_fields import digest, parameters, reasoning_effort, shorten
from afterbay.wire.toolcalls.strict import fits_openai

_encode = msgspec.json.Encoder().encode

ToolIds: TypeAlias = Callable[[str], str]

TOOL_ID_CHARS = 40
"""OpenAI refused longer ids ("string too long. Expected a string with maximum length 40"; vercel/ai#5171)."""

_MISTRAL = re.compile(r"(?:mi|mini|magi|code|dev)stral|(?:pix|vox|mix)tral", re.IGNORECASE)
_NINE = re.compile(r"[a-zA-Z0-9]{9}")
"""Mistral's models: "Tool call id was … but must be a-z, A-Z, 0-9, with a length of 9" (code 3280,
anomalyco/opencode#1680; the recordings have ids of that form, and such as a client library masked)."""

_REASONING_MODELS = ("o1", "o3", "o4", "gpt-5")
"""Models that refuse `max_tokens`. Source: OpenAI API reference, `max_tokens` ("not compatible with o-series")."""


def build_request(request: ChatRequest, model: str) -> Built:
    """A provider's body, path and what was left out. Streams always ask for usage: the gateway accounts for tokens."""
    losses = [*request.foreign, *request.hints]
    body: dict[str, Any] = {"model": model, "messages": _messages(request.messages, losses, tool_ids(model))}
    sampling = request.sampling
    if sampling.max_output_tokens is not None:
        newer = model.rsplit("/", 1)[-1].startswith(_REASONING_MODELS)
        body["max_completion_tokens" if newer else "max_tokens"] = sampling.max_output_tokens
    for name in (
        "temperature",
        "top_p",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "n",
        "logprobs",
        "top_logprobs",
    ):
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    if sampling.top_k is not None:
        losses.append("top_k")
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.logit_bias is not None:
        body["logit_bias"] = msgspec.Raw(sampling.logit_bias)
    _build_tools(request, body, losses)
    if request.response_format is not None:
        body["response_format"] = _format(request.response_format)
    if request.reasoning is not None:
        if request.reasoning.show is not None:
            losses.append("reasoning.show")
        effort = reasoning_effort(request.reasoning, losses)
        if effort is not None:
            body["reasoning_effort"] = effort
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return Built("/chat/completions", _encode(body), losses=tuple(dict.fromkeys(losses)))


def _build_tools(request: ChatRequest, body: dict[str, Any], losses: list[str]) -> None:
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    **({"description": tool.description} if tool.description is not None else {}),
                    "parameters": parameters(tool.schema),
                    **_strict(tool, losses),
                },
            }
            for tool in request.tools
        ]
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    choice = request.tool_choice
    if choice is None:
        return
    names = {tool.name for tool in request.tools}
    if not names or (choice.mode == "tool" and choice.name not in names):
        if choice.mode in ("required", "tool"):  # OpenAI refuses a choice among nothing
            losses.append("tool_choice")
        return
    named = {"type": "function", "function": {"name": choice.name}}
    body["tool_choice"] = named if choice.mode == "tool" else choice.mode


def _strict(tool: ToolSpec, losses: list[str]) -> dict[str, bool]:
    """Strictness, unless OpenAI would refuse it ("'additionalProperties' is required to be supplied")."""
    if tool.strict is None:
        return {}
    if tool.strict and not fits_openai(tool.schema):
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


def tool_ids(model: str) -> ToolIds:
    """How call ids are written for `model`: as they are where they fit, else rewritten, the same one always alike."""
    if _MISTRAL.search(model):
        return lambda wanted: wanted if _NINE.fullmatch(wanted) else digest(wanted)[:9]
    return lambda wanted: shorten(wanted, TOOL_ID_CHARS)


def _messages(messages: tuple[Message, ...], losses: list[str], id_of: ToolIds) -> list[dict[str, Any]]:
    """The tool messages of one turn stay together: images of their results follow behind the last one."""
    built: list[dict[str, Any]] = []
    shown: list[Part] = []
    for message in messages:
        if message.role == "assistant":
            _show(shown, built, losses)
            built.append(_assistant(message, losses, id_of))
            continue
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        rest: tuple[Part, ...] = tuple(part for part in message.parts if not isinstance(part, ToolResult))
        built += [_tool_result(result, shown, losses, id_of) for result in results]
        if not rest and results:
            continue
        if message.role in ("user", "tool"):
            rest, shown = (*shown, *rest), []
        _show(shown, built, losses)
        one: dict[str, Any] = {"role": "user" if message.role == "tool" else message.role}
        if message.role in ("system", "developer"):
            rest = _texts(rest, message.role, losses)
        one["content"] = _content(rest, losses)
        if message.name is not None:
            one["name"] = message.name
        built.append(one)
    _show(shown, built, losses)
    return built


def _show(shown: list[Part], built: list[dict[str, Any]], losses: list[str]) -> None:
    if shown:
        built.append({"role": "user", "content": _content(tuple(shown), losses)})
        shown.clear()


def _texts(parts: tuple[Part, ...], role: str, losses: list[str]) -> tuple[Part, ...]:
    """System and developer messages hold text only."""
    kept = tuple(part for part in parts if isinstance(part, Text))
    if len(kept) < len(parts):
        losses.append(f"messages.{role}_media")
    return kept


def _tool_result(result: ToolResult, shown: list[Part], losses: list[str], id_of: ToolIds) -> dict[str, Any]:
    """A tool message. It holds text only: images of the result go into a user message right after it."""
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    media = [part for part in result.parts if not isinstance(part, Text)]
    if media:
        shown += [Text(f"Returned by the tool call {id_of(result.id)}:"), *media]
        texts = texts or ["See the attachment in the next message."]
    if result.is_error:
        losses.append("tool_result.is_error")
    return {"role": "tool", "tool_call_id": id_of(result.id), "content": "\n".join(texts)}


def _assistant(message: Message, losses: list[str], id_of: ToolIds) -> dict[str, Any]:
    built: dict[str, Any] = {"role": "assistant", "content": None}
    text = "".join(part.text for part in message.parts if isinstance(part, Text))
    if text:
        built["content"] = text
    refusal = "".join(part.text for part in message.parts if isinstance(part, Refusal))
    if refusal:
        built["refusal"] = refusal
    if any(isinstance(part, Thinking) for part in message.parts):
        losses.append("thinking")
    if any(isinstance(part, Image | Document | Audio) for part in message.parts):
        losses.append("messages.assistant_media")
    calls = []
    for part in message.parts:
        if isinstance(part, ToolUse):
            function = {"name": part.name, "arguments": part.arguments or "{}"}
            call: dict[str, Any] = {"id": id_of(part.id), "type": "function", "function": function}
            if part.signature is not None:
                call["extra_content"] = {"google": {"thought_signature": part.signature}}
            calls.append(call)
    if calls:
        built["tool_calls"] = calls
    elif built["content"] is None and not refusal:
        built["content"] = ""
    if message.name is not None:
        built["name"] = message.name
    return built


def _content(parts: tuple[Part, ...], losses: list[str]) -> str | list[dict[str, Any]]:
    if all(isinstance(part, Text) for part in parts) and len(parts) <= 1:
        return parts[0].text if parts and isinstance(parts[0], Text) else ""
    return [built for part in parts if (built := _part(part, losses)) is not None] or ""


def _part(part: Part, losses: list[str]) -> dict[str, Any] | None:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            url = part.url if part.url is not None else f"data:{part.media_type or 'image/png'};base64,{part.data}"
            return {"type": "image_url", "image_url": {"url": url, **({"detail": part.detail} if part.detail else {})}}
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case Document(text=str(text)):
            return {"type": "text", "text": f"{part.name}:\n{text}" if part.name else text}
        case Document(data=None):
            losses.append("document_urls" if part.url is not None else "documents")
            return None
        case Document():
            data = f"data:{part.media_type or 'application/pdf'};base64,{part.data}"
            return {"type": "file", "file": {"filename": part.name or "document", "file_data": data}}
        case Refusal():
            return {"type": "text", "text": part.text}
        case _:
            losses.append(f"content.{type(part).__name__.lower()}")
            return None
