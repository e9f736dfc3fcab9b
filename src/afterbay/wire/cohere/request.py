"""A body of Cohere's chat API -> ChatRequest.

`documents` join the last user message: the protocol gives them no place. A document whose data is more than a title and
a text is kept as JSON.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.message import Document, Image, Message, Part, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.wire.decoding import convert, decode_object

HINTS = frozenset({"priority"})
"""Fields that do not change the answer: a translation drops them with a warning."""


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(msgspec.Struct):
    function: _Function | None = None
    type: Literal["function"] = "function"


class _Called(msgspec.Struct, frozen=True):
    name: str = ""
    arguments: str = "{}"


class _Call(msgspec.Struct):
    id: str
    function: _Called = _Called()


class _Document(msgspec.Struct):
    data: dict[str, Any]
    id: str | None = None


class _ImageUrl(msgspec.Struct):
    url: str
    detail: str | None = None


class _Block(msgspec.Struct):
    """A block of content; `type` says which field it fills."""

    type: str
    text: str | None = None
    thinking: str | None = None
    image_url: _ImageUrl | None = None
    document: _Document | None = None


class _Message(msgspec.Struct):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[_Block] | None = None
    tool_calls: list[_Call] | None = None
    tool_plan: str | None = None
    tool_call_id: str | None = None
    citations: list[Any] | None = None


class _Format(msgspec.Struct):
    type: Literal["text", "json_object"]
    json_schema: dict[str, Any] | None = None


class _Thinking(msgspec.Struct):
    type: Literal["enabled", "disabled"] = "enabled"
    token_budget: int | None = None


class Body(msgspec.Struct):
    """The documented fields of a request that have a canonical form."""

    model: str
    messages: list[_Message]
    tools: list[_Tool] | None = None
    tool_choice: Literal["REQUIRED", "NONE"] | None = None
    strict_tools: bool | None = None
    documents: list[str | _Document] | None = None
    response_format: _Format | None = None
    max_tokens: int | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    k: int | None = None
    p: float | None = None
    logprobs: bool | None = None
    thinking: _Thinking | None = None
    stream: bool | None = None


_KNOWN = frozenset(field.encode_name for field in msgspec.structs.fields(Body))


def parse_request(body: bytes, model: str | None = None, stream: bool | None = None) -> ChatRequest:
    """Reads a client's body. `model` and `stream` are in the body here; the arguments win where given."""
    data = decode_object(body)
    read = convert(data, Body)
    if not read.messages:
        raise ClientMistake("The field 'messages' is empty.", param="messages", code="empty_array")
    foreign = [name for name, value in data.items() if name not in _KNOWN and name not in HINTS and value is not None]
    hints = [name for name in data if name in HINTS and data[name] is not None]
    messages = [_message(message, f"messages[{i}]", foreign, hints) for i, message in enumerate(read.messages)]
    if read.documents:
        _join(messages, [_document(one, f"documents[{i}]", hints) for i, one in enumerate(read.documents)])
    streams = bool(read.stream) if stream is None else stream
    return ChatRequest(
        model=model or read.model,
        messages=tuple(messages),
        tools=_tools(read),
        tool_choice=ToolChoice("required" if read.tool_choice == "REQUIRED" else "none") if read.tool_choice else None,
        sampling=Sampling(
            max_output_tokens=read.max_tokens,
            temperature=read.temperature,
            top_p=read.p,
            top_k=read.k,
            stop=tuple(read.stop_sequences or ()),
            seed=read.seed,
            presence_penalty=read.presence_penalty,
            frequency_penalty=read.frequency_penalty,
            logprobs=read.logprobs or None,
        ),
        response_format=_format(read.response_format),
        reasoning=_reasoning(read.thinking),
        stream=streams,
        include_usage=streams,  # a stream always ends with its usage
        foreign=tuple(dict.fromkeys(foreign)),
        hints=tuple(dict.fromkeys(hints)),
    )


def _tools(read: Body) -> tuple[ToolSpec, ...]:
    specs: list[ToolSpec] = []
    for index, tool in enumerate(read.tools or ()):
        if tool.function is None:
            at = f"tools[{index}].function"
            raise ClientMistake(f"The field '{at}' is missing.", param=at, code="missing_field")
        spec = tool.function
        schema = msgspec.json.encode(spec.parameters) if spec.parameters is not None else ToolSpec("").schema
        specs.append(ToolSpec(spec.name, spec.description, schema, read.strict_tools))
    return tuple(specs)


def _format(read: _Format | None) -> ResponseFormat | None:
    if read is None:
        return None
    if read.json_schema is not None:
        return ResponseFormat("json_schema", schema=msgspec.json.encode(read.json_schema))
    return ResponseFormat(read.type)


def _reasoning(read: _Thinking | None) -> Reasoning | None:
    if read is None:
        return None
    if read.type == "disabled":
        return Reasoning(budget_tokens=0)
    return Reasoning(budget_tokens=-1 if read.token_budget is None else read.token_budget)


def _message(message: _Message, at: str, foreign: list[str], hints: list[str]) -> Message:
    if message.citations:
        hints.append(f"{at}.citations")
    parts = _parts(message.content, at, foreign, hints)
    if message.role == "assistant":
        plan = [Thinking(message.tool_plan)] if message.tool_plan else []
        calls = [ToolUse(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
        return Message("assistant", (*plan, *parts, *calls))
    if message.content is None:
        raise ClientMistake(f"The field '{at}.content' is missing.", param=f"{at}.content", code="missing_field")
    if message.role != "tool":
        return Message(message.role, tuple(parts))
    if message.tool_call_id is None:
        where = f"{at}.tool_call_id"
        raise ClientMistake(f"The field '{where}' is missing.", param=where, code="missing_field")
    kept = tuple(part for part in parts if isinstance(part, Text | Image | Document))
    return Message("tool", (ToolResult(message.tool_call_id, kept),))


def _parts(content: str | list[_Block] | None, at: str, foreign: list[str], hints: list[str]) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)]
    parts: list[Part] = []
    for index, block in enumerate(content):
        where = f"{at}.content[{index}]"
        match block:
            case _Block(type="text", text=str(text)):
                parts.append(Text(text))
            case _Block(type="thinking", thinking=str(text)):
                parts.append(Thinking(text))
            case _Block(type="image_url", image_url=_ImageUrl() as image):
                parts.append(_image(image))
            case _Block(type="document", document=_Document() as document):
                parts.append(_document(document, where, hints))
            case _Block(type="text" | "thinking" | "image_url" | "document"):
                field = f"{where}.{block.type}"
                raise ClientMistake(f"The field '{field}' is missing.", param=field, code="missing_field")
            case _:
                foreign.append(f"{where}.type={block.type}")
    return parts


def _image(image: _ImageUrl) -> Image:
    if not image.url.startswith("data:"):
        return Image(url=image.url, detail=image.detail)
    head, _, data = image.url[5:].partition(",")
    return Image(data=data, media_type=head.removesuffix(";base64") or None, detail=image.detail)


def _document(document: str | _Document, at: str, hints: list[str]) -> Document:
    if isinstance(document, str):
        return Document(text=document)
    if document.id is not None:  # what citations call it
        hints.append(f"{at}.id")
    data = document.data
    text, title = data.get("text"), data.get("title")
    if isinstance(text, str) and (title is None or isinstance(title, str)) and not data.keys() - {"text", "title"}:
        return Document(text=text, name=title)
    return Document(text=msgspec.json.encode(data).decode(), media_type="application/json")


def _join(messages: list[Message], documents: list[Document]) -> None:
    """Puts documents before the parts of the last user message, which is made if there is none."""
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].role == "user":
            messages[index] = Message("user", (*documents, *messages[index].parts))
            return
    messages.append(Message("user", tuple(documents)))
