"""A Converse body -> ChatRequest.

Every object is read field by field, and what is left over is named: `foreign` where it changes the answer (guardrails,
prompt variables, system tools, other `additionalModelRequestFields`), a hint where it does not (cache points, service
tier, metadata). Model and stream are in the path.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, TypeVar

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.message import Audio, Document, Image, Message, Part, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.wire.bedrock.blocks import redacted_of
from afterbay.wire.bedrock.media import document_type, image_type
from afterbay.wire.bedrock.writer import STOP_PATHS
from afterbay.wire.decoding import decode_object, mistake
from afterbay.wire.tool_input import arguments_of

T = TypeVar("T")
_Raw = msgspec.Raw
_Fields = dict[str, msgspec.Raw]

_HINTS = ("requestMetadata", "performanceConfig", "serviceTier", "projectIdentifier")


class _Reading:
    """One body being read: what was foreign, what was a hint."""

    def __init__(self) -> None:
        self.foreign: dict[str, None] = {}
        self.hints: dict[str, None] = {}

    def rest(self, fields: _Fields, where: str) -> None:
        """Names what nobody took out of an object."""
        for name in fields:
            self.foreign[f"{where}.{name}" if where else name] = None


def parse_request(data: bytes, model: str | None = None, stream: bool | None = None) -> ChatRequest:
    """Reads a body; `model` and `stream` come from the path.

    Raises:
        ClientMistake: the body is not a Converse request; `param` names the field.
    """
    decode_object(data)
    body, reading = _fields(_Raw(data), ""), _Reading()
    if not model:
        raise _missing("modelId")
    messages = _system(body.pop("system", None), reading)
    for index, raw in enumerate(_as(list[_Raw], _need(body, "messages", ""), "messages")):
        messages.extend(_message(raw, f"messages[{index}]", reading))
    tools, choice = _tools(body.pop("toolConfig", None), reading)
    extra = _fields(body.pop("additionalModelRequestFields", None), "additionalModelRequestFields")
    sampling = _sampling(body.pop("inferenceConfig", None), extra, reading)
    form, effort = _output(body.pop("outputConfig", None), reading)
    for name in _HINTS:
        if body.pop(name, None) is not None:
            reading.hints[name] = None
    paths = _as(list[str], body.pop("additionalModelResponseFieldPaths", _Raw(b"[]")), "additionalModelResponse")
    if not set(paths) <= set(STOP_PATHS):
        reading.hints["additionalModelResponseFieldPaths"] = None
    reasoning = _reasoning(extra, effort, reading)
    reading.rest(extra, "additionalModelRequestFields")
    reading.rest(body, "")
    return ChatRequest(
        model=model,
        messages=tuple(messages),
        tools=tools,
        tool_choice=choice,
        sampling=sampling,
        response_format=form,
        reasoning=reasoning,
        stream=bool(stream),
        include_usage=bool(stream),  # a stream always ends with its usage
        foreign=tuple(reading.foreign),
        hints=tuple(reading.hints),
    )


def _fields(raw: _Raw | None, where: str) -> _Fields:
    if raw is None:
        return {}
    found = _as(_Fields, raw, where)
    return {name: value for name, value in found.items() if bytes(value) != b"null"}


def _as(kind: type[T], raw: _Raw, where: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise mistake(error, where) from None


def _need(fields: _Fields, name: str, where: str) -> _Raw:
    found = fields.pop(name, None)
    if found is None:
        raise _missing(f"{where}.{name}" if where else name)
    return found


def _text(fields: _Fields, name: str, where: str) -> str:
    return _as(str, _need(fields, name, where), f"{where}.{name}")


def _optional(kind: type[T], fields: _Fields, name: str, where: str) -> T | None:
    raw = fields.pop(name, None)
    return None if raw is None else _as(kind, raw, f"{where}.{name}")


def _missing(param: str) -> ClientMistake:
    return ClientMistake(
        f"The field '{param}' is missing.", param=param, code="missing_field", remedy="Add it and send again."
    )


def _system(raw: _Raw | None, reading: _Reading) -> list[Message]:
    parts: list[Part] = []
    for index, one in enumerate(_as(list[_Raw], raw, "system") if raw is not None else []):
        parts += _block(one, f"system[{index}]", reading)
    return [Message("system", tuple(parts))] if parts else []


def _message(raw: _Raw, where: str, reading: _Reading) -> list[Message]:
    fields = _fields(raw, where)
    role = _text(fields, "role", where)
    if role not in ("user", "assistant", "system"):
        raise ClientMistake(f"The field '{where}.role' must be user or assistant.", param=f"{where}.role")
    parts: list[Part] = []
    for index, one in enumerate(_as(list[_Raw], _need(fields, "content", where), f"{where}.content")):
        parts += _block(one, f"{where}.content[{index}]", reading)
    reading.rest(fields, where)
    if role != "user" or not parts:
        return [Message(role, tuple(parts))]  # type: ignore[arg-type]  # one of three words, checked above
    runs = groupby(parts, key=lambda part: isinstance(part, ToolResult))
    return [Message("tool" if results else "user", tuple(run)) for results, run in runs]


def _block(raw: _Raw, where: str, reading: _Reading) -> list[Part]:
    """A content block, a union: it has one field."""
    fields = _fields(raw, where)
    if "text" in fields:
        return [Text(_text(fields, "text", where))]
    kind, value = next(iter(fields.items()), ("", _Raw(b"{}")))
    here = f"{where}.{kind}"
    match kind:
        case "image" | "audio":
            return _media(kind, _fields(value, here), here, reading)
        case "document":
            return _document(_fields(value, here), here, reading)
        case "toolUse":
            return _use(_fields(value, here), here, reading)
        case "toolResult":
            return _result(_fields(value, here), here, reading)
        case "reasoningContent":
            return _thinking(_fields(value, here), here, reading)
        case "cachePoint":
            reading.hints["cachePoint"] = None
        case "":
            raise _missing(f"{where}.text")
        case _:
            reading.foreign[here] = None
    return []


def _source(fields: _Fields, where: str, reading: _Reading) -> tuple[str | None, str | None, str | None]:
    """(base64 data, S3 address, text); all None where it is of another kind, which is named."""
    here = f"{where}.source"
    source = _fields(_need(fields, "source", where), here)
    data, text = _optional(str, source, "bytes", here), _optional(str, source, "text", here)
    place = _fields(source.pop("s3Location", None), f"{here}.s3Location")
    url = _text(place, "uri", f"{here}.s3Location") if place else None
    reading.rest(place, f"{here}.s3Location")
    reading.rest(source, here)
    return data, url, text


def _media(kind: str, fields: _Fields, where: str, reading: _Reading) -> list[Part]:
    short = _text(fields, "format", where)
    data, url, _ = _source(fields, where, reading)
    reading.rest(fields, where)
    if kind == "audio":
        return [Audio(data, short)] if data is not None else []
    if data is not None:
        return [Image(data=data, media_type=image_type(short))]
    return [Image(url=url)] if url is not None else []


def _document(fields: _Fields, where: str, reading: _Reading) -> list[Part]:
    short, name = _optional(str, fields, "format", where), _text(fields, "name", where)
    data, url, text = _source(fields, where, reading)
    citations = _fields(fields.pop("citations", None), f"{where}.citations")
    if bytes(citations.get("enabled", _Raw(b""))) == b"true":
        reading.foreign["citations"] = None
    reading.rest(fields, where)
    if data is not None:
        return [Document(data=data, media_type=document_type(short or "pdf"), name=name)]
    if text is not None:
        return [Document(text=text, name=name)]
    return [Document(url=url, name=name)] if url is not None else []


def _use(fields: _Fields, where: str, reading: _Reading) -> list[Part]:
    if _optional(str, fields, "type", where) == "server_tool_use":
        reading.foreign[where] = None
        return []
    id_, name = _text(fields, "toolUseId", where), _text(fields, "name", where)
    arguments = arguments_of(bytes(_need(fields, "input", where)).decode())
    reading.rest(fields, where)
    return [ToolUse(id_, name, arguments)]


def _result(fields: _Fields, where: str, reading: _Reading) -> list[Part]:
    if _optional(str, fields, "type", where) is not None:  # the result of a tool that ran at the provider
        reading.foreign[where] = None
        return []
    id_, status = _text(fields, "toolUseId", where), _optional(str, fields, "status", where)
    parts: list[Part] = []
    for index, raw in enumerate(_as(list[_Raw], _need(fields, "content", where), f"{where}.content")):
        here = f"{where}.content[{index}]"
        tree = _fields(raw, here).get("json")
        if tree is not None:
            reading.hints["toolResult.json"] = None
        parts += [Text(bytes(tree).decode())] if tree is not None else _block(raw, here, reading)
    reading.rest(fields, where)
    kept = tuple(part for part in parts if isinstance(part, Text | Image | Document))
    return [ToolResult(id_, kept, status == "error")]


def _thinking(fields: _Fields, where: str, reading: _Reading) -> list[Part]:
    blob = _optional(str, fields, "redactedContent", where)
    if blob is not None:
        return [Thinking(redacted=redacted_of(blob))]
    here = f"{where}.reasoningText"
    said = _fields(_need(fields, "reasoningText", where), here)
    text, signature = _text(said, "text", here), _optional(str, said, "signature", here)
    reading.rest(said, here)
    return [Thinking(text, signature or None)]


def _tools(raw: _Raw | None, reading: _Reading) -> tuple[tuple[ToolSpec, ...], ToolChoice | None]:
    config = _fields(raw, "toolConfig")
    specs = []
    for index, one in enumerate(_as(list[_Raw], config.pop("tools", _Raw(b"[]")), "toolConfig.tools")):
        where = f"toolConfig.tools[{index}]"
        fields = _fields(one, where)
        if "cachePoint" in fields:
            reading.hints["cachePoint"] = None
        elif "toolSpec" in fields:
            specs.append(_spec(_fields(fields["toolSpec"], f"{where}.toolSpec"), f"{where}.toolSpec", reading))
        else:
            reading.rest(fields, where)
    choice = _fields(config.pop("toolChoice", None), "toolConfig.toolChoice")
    reading.rest(config, "toolConfig")
    if "tool" in choice:
        named = _fields(choice["tool"], "toolConfig.toolChoice.tool")
        return tuple(specs), ToolChoice("tool", _text(named, "name", "toolConfig.toolChoice.tool"))
    if "any" in choice:
        return tuple(specs), ToolChoice("required")
    return tuple(specs), ToolChoice("auto") if "auto" in choice else None


def _spec(fields: _Fields, where: str, reading: _Reading) -> ToolSpec:
    name, described = _text(fields, "name", where), _optional(str, fields, "description", where)
    strict = _optional(bool, fields, "strict", where)
    schema = _need(_fields(_need(fields, "inputSchema", where), f"{where}.inputSchema"), "json", f"{where}.inputSchema")
    reading.rest(fields, where)
    return ToolSpec(name, described, bytes(schema), strict)


def _sampling(raw: _Raw | None, extra: _Fields, reading: _Reading) -> Sampling:
    where = "inferenceConfig"
    config = _fields(raw, where)
    nova = _fields(extra.pop("inferenceConfig", None), "additionalModelRequestFields.inferenceConfig")
    more = "additionalModelRequestFields"
    top_k = _optional(int, nova, "topK", f"{more}.inferenceConfig")
    for name in ("top_k", "k"):
        top_k = top_k if top_k is not None else _optional(int, extra, name, more)
    found = Sampling(
        max_output_tokens=_optional(int, config, "maxTokens", where),
        temperature=_optional(float, config, "temperature", where),
        top_p=_optional(float, config, "topP", where),
        top_k=top_k,
        stop=tuple(_optional(list[str], config, "stopSequences", where) or ()),
    )
    reading.rest(config, where)
    reading.rest(nova, f"{more}.inferenceConfig")
    return found


def _output(raw: _Raw | None, reading: _Reading) -> tuple[ResponseFormat | None, str | None]:
    config = _fields(raw, "outputConfig")
    effort = _optional(str, config, "effort", "outputConfig")
    where = "outputConfig.textFormat"
    text = _fields(config.pop("textFormat", None), where)
    reading.rest(config, "outputConfig")
    if not text:
        return None, effort
    shape = _fields(_need(text, "structure", where), f"{where}.structure")
    here = f"{where}.structure.jsonSchema"
    schema = _fields(_need(shape, "jsonSchema", f"{where}.structure"), here)
    name, described = _optional(str, schema, "name", here), _optional(str, schema, "description", here)
    given = _text(schema, "schema", here).encode()
    return ResponseFormat("json_schema", name, given, None, described), effort


def _reasoning(extra: _Fields, effort: str | None, reading: _Reading) -> Reasoning | None:
    """Claude's `thinking` (some clients say `reasoning_config`), Nova's and the others' effort."""
    more = "additionalModelRequestFields"
    effort = effort or _optional(str, extra, "reasoning_effort", more)
    config: dict[str, Any] = {}
    for name in ("thinking", "reasoning_config", "reasoningConfig"):
        raw = extra.pop(name, None)
        if raw is not None:
            found = msgspec.json.decode(raw)
            config |= found if isinstance(found, dict) else {"maxReasoningEffort": found}
    if not config:
        return Reasoning(effort) if effort is not None else None
    kind, budget = config.pop("type", None), config.pop("budget_tokens", None)
    nova, display = config.pop("maxReasoningEffort", None), config.pop("display", None)
    reading.foreign.update((f"{more}.thinking.{name}", None) for name in config)
    effort = effort or (nova if isinstance(nova, str) else None)
    show = None if display is None else display != "omitted"
    if kind == "disabled":
        return Reasoning(effort, 0, show)
    if kind == "adaptive":
        return Reasoning(effort, -1, show)
    return Reasoning(effort, budget if isinstance(budget, int) else None, show)
