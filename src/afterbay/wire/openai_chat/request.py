"""Chat completion requests: reading a client's, building a provider's."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.message import (
    Audio,
    Document,
    Image,
    Message,
    Part,
    Refusal,
    Role,
    Text,
    ToolResult,
    ToolUse,
)
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.wire.decoding import convert, decode_object
from afterbay.wire.openai_chat.build import build_request
from afterbay.wire.openai_chat.details import Detail, read_details
from afterbay.wire.openai_chat.unread import unread
from afterbay.wire.openai_fields import split_data_url

__all__ = ["HINTS", "build_request", "parse_request"]

HINTS = frozenset(
    {
        "metadata",
        "user",
        "safety_identifier",
        "store",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "prediction",
        "verbosity",
        "disable_tool_validation",
    }
)
"""Fields that do not change the answer: a translation drops them with a warning."""


class _ImageUrl(msgspec.Struct):
    url: str
    detail: str | None = None


class _TextPart(msgspec.Struct, tag="text"):
    text: str


class _ImagePart(msgspec.Struct, tag="image_url"):
    image_url: _ImageUrl | str


class _AudioData(msgspec.Struct):
    data: str
    format: str


class _AudioPart(msgspec.Struct, tag="input_audio"):
    input_audio: _AudioData


class _FileData(msgspec.Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class _FilePart(msgspec.Struct, tag="file"):
    file: _FileData


class _RefusalPart(msgspec.Struct, tag="refusal"):
    refusal: str


_Part: TypeAlias = _TextPart | _ImagePart | _AudioPart | _FilePart | _RefusalPart
_PART_TYPES = frozenset({"text", "image_url", "input_audio", "file", "refusal"})


class _Called(msgspec.Struct):
    name: str
    arguments: str = "{}"


class _ToolCall(msgspec.Struct):
    id: str
    function: _Called
    type: Literal["function"] = "function"
    extra_content: dict[str, Any] | None = None


class _Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Detail] | None = None
    audio: dict[str, Any] | None = None
    function_call: dict[str, Any] | None = None


class _FunctionSpec(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(msgspec.Struct):
    type: str = "function"
    function: _FunctionSpec | None = None


class _SchemaSpec(msgspec.Struct):
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class _Format(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _SchemaSpec | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Body(msgspec.Struct):
    """The documented fields of a request that have a canonical form."""

    model: str
    messages: list[_Message]
    tools: list[_Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    random_seed: int | None = None
    """Mistral's word for it."""
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    response_format: _Format | None = None
    reasoning_effort: str | None = None
    reasoning_format: str | None = None
    """Groq's: `hidden`, `parsed` (what this gateway gives anyway) or `raw`."""
    include_reasoning: bool | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    modalities: list[str] | None = None


_KNOWN = frozenset(field.encode_name for field in msgspec.structs.fields(Body))
_MESSAGE = frozenset(field.encode_name for field in msgspec.structs.fields(_Message))


def parse_request(body: bytes, model: str | None = None, stream: bool | None = None) -> ChatRequest:
    """Reads a client's body. `model` and `stream` are in the body here; the arguments win where given."""
    data = decode_object(body)
    read = convert(data, Body)
    if not read.messages:
        raise ClientMistake("The field 'messages' is empty.", param="messages", code="empty_array")
    foreign = [name for name, value in data.items() if name not in _KNOWN and name not in HINTS and value is not None]
    tools, foreign_tools = _tools(read.tools or [])
    choice, foreign_choice = _tool_choice(read.tool_choice)
    foreign += foreign_tools + foreign_choice
    if read.modalities is not None and read.modalities != ["text"]:
        foreign.append("modalities")
    messages = tuple(_message(message, index, foreign) for index, message in enumerate(read.messages))
    return ChatRequest(
        model=model or read.model,
        messages=messages,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=read.parallel_tool_calls,
        sampling=_sampling(read),
        response_format=_format(read.response_format),
        reasoning=_reasoning(read, foreign),
        stream=bool(read.stream) if stream is None else stream,
        include_usage=bool(read.stream_options and read.stream_options.include_usage),
        foreign=tuple(dict.fromkeys(foreign)),
        hints=(*(name for name in data if name in HINTS and data[name] is not None), *unread(data, _MESSAGE)),
    )


def _sampling(read: Body) -> Sampling:
    stop = (read.stop,) if isinstance(read.stop, str) else tuple(read.stop or ())
    limit = read.max_completion_tokens if read.max_completion_tokens is not None else read.max_tokens
    return Sampling(
        max_output_tokens=limit,
        temperature=read.temperature,
        top_p=read.top_p,
        stop=stop,
        seed=read.seed if read.seed is not None else read.random_seed,
        presence_penalty=read.presence_penalty,
        frequency_penalty=read.frequency_penalty,
        n=read.n,
        logprobs=read.logprobs or None,
        top_logprobs=read.top_logprobs,
        logit_bias=msgspec.json.encode(read.logit_bias) if read.logit_bias else None,
    )


def _reasoning(read: Body, foreign: list[str]) -> Reasoning | None:
    hides = read.reasoning_format == "hidden" or read.include_reasoning is False
    if read.reasoning_format not in (None, "hidden", "parsed"):
        foreign.append(f"reasoning_format={read.reasoning_format}")
    if read.reasoning_effort is None and not hides:
        return None
    return Reasoning(read.reasoning_effort, show=False if hides else None)


def _format(read: _Format | None) -> ResponseFormat | None:
    if read is None:
        return None
    if read.type != "json_schema":
        return ResponseFormat(read.type)
    if read.json_schema is None or read.json_schema.schema is None:
        raise ClientMistake(
            "The field 'response_format.json_schema.schema' is missing.",
            param="response_format.json_schema.schema",
            code="missing_field",
        )
    spec = read.json_schema
    return ResponseFormat("json_schema", spec.name, msgspec.json.encode(spec.schema), spec.strict, spec.description)


def _tools(tools: list[_Tool]) -> tuple[tuple[ToolSpec, ...], list[str]]:
    specs: list[ToolSpec] = []
    foreign: list[str] = []
    for index, tool in enumerate(tools):
        if tool.type != "function":
            foreign.append(f"tools[{index}].type={tool.type}")
        elif tool.function is None:
            raise ClientMistake(
                f"The field 'tools[{index}].function' is missing.",
                param=f"tools[{index}].function",
                code="missing_field",
            )
        else:
            spec = tool.function
            schema = msgspec.json.encode(spec.parameters) if spec.parameters is not None else ToolSpec("").schema
            specs.append(ToolSpec(spec.name, spec.description, schema, spec.strict))
    return tuple(specs), foreign


_TOOL_MODES: dict[str, Literal["auto", "none", "required"]] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
    "any": "required",  # Mistral's word
}


def _tool_choice(choice: str | dict[str, Any] | None) -> tuple[ToolChoice | None, list[str]]:
    if choice is None:
        return None, []
    if isinstance(choice, str) and choice in _TOOL_MODES:
        return ToolChoice(_TOOL_MODES[choice]), []
    if isinstance(choice, dict) and choice.get("type") == "function":
        name = choice.get("function", {}).get("name") if isinstance(choice.get("function"), dict) else None
        if isinstance(name, str):
            return ToolChoice("tool", name), []
    elif isinstance(choice, dict) and isinstance(choice.get("type"), str):
        return None, [f"tool_choice.type={choice['type']}"]
    raise ClientMistake(
        "The field 'tool_choice' is not right: expected 'auto', 'none', 'required' or a function by name.",
        param="tool_choice",
        code="invalid_value",
    )


def _message(message: _Message, index: int, foreign: list[str]) -> Message:
    at = f"messages[{index}]"
    for name in ("audio", "function_call"):
        if getattr(message, name) is not None:
            foreign.append(f"{at}.{name}")
    role = message.role
    if role == "function":
        foreign.append(f"{at}.role=function")
        return Message("user", _parts(message.content, at, foreign), message.name)
    if role == "tool":
        if message.tool_call_id is None:
            raise ClientMistake(
                f"The field '{at}.tool_call_id' is missing.", param=f"{at}.tool_call_id", code="missing_field"
            )
        parts = _parts(message.content, at, foreign)
        kept = tuple(part for part in parts if isinstance(part, (Text, Image, Document)))
        if len(kept) < len(parts):  # audio
            foreign.append(f"{at}.content")
        return Message("tool", (ToolResult(message.tool_call_id, kept),))
    if message.content is None and role != "assistant":
        raise ClientMistake(f"The field '{at}.content' is missing.", param=f"{at}.content", code="missing_field")
    if role == "assistant":
        return Message("assistant", _assistant_parts(message, at, foreign), message.name)
    plain: Role = role
    return Message(plain, _parts(message.content, at, foreign), message.name)


def _assistant_parts(message: _Message, at: str, foreign: list[str]) -> tuple[Part, ...]:
    parts, behind = read_details(message.reasoning_details or (), message.reasoning_content or message.reasoning or "")
    parts += _parts(message.content, at, foreign) if message.content else ()
    if message.refusal:
        parts.append(Refusal(message.refusal))
    parts += behind
    for call in message.tool_calls or ():
        google = (call.extra_content or {}).get("google")
        signature = google.get("thought_signature") if isinstance(google, dict) else None
        parts.append(ToolUse(call.id, call.function.name, call.function.arguments, signature))
    return tuple(parts)


def _parts(content: str | list[dict[str, Any]] | None, at: str, foreign: list[str]) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    parts: list[Part] = []
    for index, part in enumerate(content):
        where = f"{at}.content[{index}]"
        kind = part.get("type")
        if isinstance(kind, str) and kind not in _PART_TYPES:
            foreign.append(f"{where}.type={kind}")
        else:
            read: _Part = convert(part, _Part, where)  # type: ignore[arg-type]  # a union is no `type`
            parts.append(_part(read, where, foreign))
    return tuple(parts)


def _part(part: _Part, at: str, foreign: list[str]) -> Part:
    match part:
        case _TextPart():
            return Text(part.text)
        case _ImagePart():
            image = _ImageUrl(part.image_url) if isinstance(part.image_url, str) else part.image_url
            media_type, data = split_data_url(image.url)
            if data is not None:
                return Image(data=data, media_type=media_type, detail=image.detail)
            return Image(url=image.url, detail=image.detail)
        case _AudioPart():
            return Audio(part.input_audio.data, part.input_audio.format)
        case _RefusalPart():
            return Refusal(part.refusal)
        case _FilePart():
            if part.file.file_data is None:
                foreign.append(f"{at}.file.file_id")
                return Document(name=part.file.filename)
            media_type, data = split_data_url(part.file.file_data)
            return Document(data=data or part.file.file_data, media_type=media_type, name=part.file.filename)
