"""OpenAI's request bodies as the local models take them: every field is honoured, ignored by rule, or refused by name.

Source: OpenAI's API reference for chat completions and embeddings, read for the fields and the shape of errors.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.json_schema import compile_schema
from afterbay.core.message import Message, Part, Text, ToolResult, ToolUse
from afterbay.core.request import ToolSpec

HINTS = ("user", "metadata", "store", "service_tier", "prompt_cache_key", "prompt_cache_retention", "safety_identifier")
"""Fields that don't change the answer: ignored."""

MOST_STOPS = 16
MOST_INPUTS = 2048
MOST_TOOLS = 128

_T = TypeVar("_T")
_Fraction: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Penalty: TypeAlias = Annotated[float, msgspec.Meta(ge=-2, le=2)]
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
_Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9_.:-]{1,128}$")]


class PartBody(msgspec.Struct):
    """A part of a message's content; only text can be read here."""

    type: str
    text: str | None = None


class CalledBody(msgspec.Struct):
    """The function of a call in the history."""

    name: str
    arguments: str = ""


class CallBody(msgspec.Struct):
    """A call in the history."""

    id: str
    function: CalledBody
    type: str = "function"


class MessageBody(msgspec.Struct):
    """One message; `refusal`, `audio` and other fields of answers sent back are not read."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[PartBody] | None = None
    tool_calls: list[CallBody] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class FunctionBody(msgspec.Struct):
    """A tool's function."""

    name: _Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolBody(msgspec.Struct):
    """A tool."""

    type: Literal["function"]
    function: FunctionBody


class ChosenName(msgspec.Struct):
    """The name of the chosen tool."""

    name: str


class ChosenBody(msgspec.Struct):
    """A tool chosen by name."""

    type: Literal["function"]
    function: ChosenName


class SchemaBody(msgspec.Struct):
    """A named JSON schema."""

    schema: dict[str, Any]
    name: str = ""
    strict: bool | None = None
    description: str | None = None


class FormatBody(msgspec.Struct):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaBody | None = None


class StreamBody(msgspec.Struct):
    """Options of a stream."""

    include_usage: bool = False
    include_obfuscation: bool = False


class ChatBody(msgspec.Struct, forbid_unknown_fields=True):
    """A chat request. `top_k`, `min_p` and `repeat_penalty` are the engine's, beyond OpenAI's."""

    messages: Annotated[list[MessageBody], msgspec.Meta(min_length=1)]
    model: str = ""
    stream: bool = False
    stream_options: StreamBody | None = None
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: _Fraction | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    min_p: _Fraction | None = None
    repeat_penalty: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], msgspec.Meta(max_length=MOST_STOPS)] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    response_format: FormatBody | None = None
    tools: Annotated[list[ToolBody], msgspec.Meta(max_length=MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChosenBody | None = None
    parallel_tool_calls: bool | None = None

    def most_tokens(self) -> int | None:
        """The token limit, by its new or its old name."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens


class EmbedBody(msgspec.Struct, forbid_unknown_fields=True):
    """An embedding request. `truncate` is ours: false refuses a text longer than the window."""

    input: (
        Annotated[str, msgspec.Meta(min_length=1)]
        | Annotated[list[Any], msgspec.Meta(min_length=1, max_length=MOST_INPUTS)]
    )
    model: str = ""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    truncate: bool = True


def refuse(message: str, param: str | None = None, code: str | None = None) -> ClientMistake:
    """The error for a request that cannot be served as it is."""
    return ClientMistake(message, param=param, code=code)


def read_chat(raw: bytes) -> ChatBody:
    """Decodes and checks a chat request; ClientMistake names the field."""
    body = _decode(raw, ChatBody)
    if body.n not in (None, 1):
        raise refuse("A local model gives one answer a request: n must be 1.", "n", "unsupported_value")
    if body.tool_choice not in (None, "none", "auto") and not body.tools:
        raise refuse("tool_choice needs tools.", "tool_choice")
    if isinstance(body.tool_choice, ChosenBody):
        name = body.tool_choice.function.name
        if name not in {tool.function.name for tool in body.tools or ()}:
            raise refuse(f"tool_choice names {name!r}, which is not among the tools.", "tool_choice")
    if body.response_format and body.response_format.type == "json_schema" and not body.response_format.json_schema:
        raise refuse("response_format json_schema needs its schema.", "response_format.json_schema")
    if body.logprobs and body.tools:
        raise refuse("A local model gives no logprobs together with tools.", "logprobs", "unsupported_value")
    _check_schemas(body)
    if body.top_logprobs is not None and not body.logprobs:
        raise refuse("top_logprobs needs logprobs.", "top_logprobs")
    return body


def _check_schemas(body: ChatBody) -> None:
    """The engine answers an invalid schema with free text, so it is found out here."""
    schemas = [
        (f"tools[{number}].function.parameters", tool.function.parameters)
        for number, tool in enumerate(body.tools or ())
        if tool.function.parameters
    ]
    if body.response_format and body.response_format.json_schema:
        schemas.append(("response_format.json_schema.schema", body.response_format.json_schema.schema))
    for where, schema in schemas:
        try:
            compile_schema(schema)
        except ValueError as error:
            raise refuse(f"Not a valid JSON schema: {str(error).splitlines()[0]}.", where, "invalid_schema") from None


def read_embed(raw: bytes, dimensions: int) -> tuple[EmbedBody, list[str]]:
    """Decodes and checks an embedding request; returns it with its texts."""
    body = _decode(raw, EmbedBody)
    texts = [body.input] if isinstance(body.input, str) else body.input
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise refuse("Send text: token ids of another tokenizer mean nothing here.", f"input[{number}]")
        if not text:
            raise refuse("An empty text has no embedding.", f"input[{number}]")
    if body.dimensions not in (None, dimensions):
        raise refuse(f"This model has {dimensions} dimensions, no others.", "dimensions", "unsupported_value")
    return body, texts


def _decode(raw: bytes, kind: type[_T]) -> _T:
    try:
        fields = msgspec.json.decode(raw)
        if isinstance(fields, dict):
            fields = {key: value for key, value in fields.items() if key not in HINTS}
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        unknown = re.search(r"unknown field `([^`]+)`", text)
        place = re.search(r" - at `\$\.?([^`]*)`", text)
        if unknown:
            raise refuse(
                f"A local model does not support {unknown[1]!r}.", unknown[1], "unsupported_parameter"
            ) from None
        raise refuse(f"Invalid request: {text}.", place[1] if place else None) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse(f"The body is not JSON: {error}.") from None


def messages(body: ChatBody) -> tuple[Message, ...]:
    """The conversation in canonical form; ClientMistake names a part that is not text."""
    return tuple(_message(message, f"messages[{number}]") for number, message in enumerate(body.messages))


def _message(message: MessageBody, where: str) -> Message:
    texts = _texts(message.content, where)
    if message.role == "tool":
        return Message("tool", (ToolResult(message.tool_call_id or "", texts, name=message.name),))
    calls = [ToolUse(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    parts: list[Part] = [*texts, *calls]
    return Message(message.role, tuple(parts))


def _texts(content: str | list[PartBody] | None, where: str) -> tuple[Text, ...]:
    if content is None or isinstance(content, str):
        return (Text(content),) if content else ()
    for number, part in enumerate(content):
        if part.type not in ("text", "refusal") or (part.type == "text" and part.text is None):
            raise refuse(f"A local model reads text only, not {part.type!r}.", f"{where}.content[{number}]")
    return tuple(Text(part.text) for part in content if part.text)


def tool_specs(body: ChatBody) -> tuple[ToolSpec, ...]:
    """The tools in canonical form."""
    return tuple(
        ToolSpec(
            tool.function.name,
            tool.function.description,
            msgspec.json.encode(tool.function.parameters or {"type": "object", "properties": {}}),
            tool.function.strict,
        )
        for tool in body.tools or ()
    )
