"""A client's Messages request -> ChatRequest.

How the protocol maps:

- `system` is one leading `system` message with its blocks as parts.
- A user turn is cut at its tool results: neighbouring ones become one `tool` message (one, so that a dialect that must
  move a result's image elsewhere can put it behind all of them), what stands between them stays user.
- `thinking`: enabled = its budget, disabled = budget 0, adaptive or between tools = budget -1; `display` is
  `Reasoning.show`.
- What changes the answer and has no canonical form is named in `foreign`; what does not, in `hints`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import msgspec

from afterbay.core.message import Document, Image, Message, Part, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.wire.anthropic_messages.body import Block, Body, Format, Source, Tool, decode, missing, wrong
from afterbay.wire.tool_input import arguments_of

_HINTS = (
    *("metadata", "service_tier", "cache_control", "speed", "diagnostics"),
    *("context_management", "fallback_credit_token", "fallbacks", "billing_policy"),
)
"""`context_management` has the provider leave out what is old: without it the model reads more, not something else.
`fallbacks` are asked only where the model declines, `billing_policy` says who pays."""


class Notes:
    """Names of what the canonical request cannot hold, collected on the way."""

    def __init__(self, foreign: list[str]) -> None:
        self.foreign = foreign
        self.hints: dict[str, None] = {}

    def cache(self, control: object) -> None:
        """Prompt caching changes price and speed, never the answer."""
        if control is not None:
            self.hints["cache_control"] = None


def parse_request(data: bytes, model: str | None = None, stream: bool | None = None) -> ChatRequest:
    """Reads a body. `model` and `stream`, where given, win over the body's.

    Raises:
        ClientMistake: the body is not a Messages request; `param` names the field.
    """
    body, unknown = decode(data)
    if body.max_tokens is None:
        raise missing("max_tokens")
    return to_request(body, unknown, model, stream)


def to_request(body: Body, unknown: list[str], model: str | None, stream: bool | None) -> ChatRequest:
    """The canonical request of a decoded body; `max_tokens` may be absent (token counting)."""
    _check(body, model)
    notes = Notes(unknown)
    for name in _HINTS:
        if getattr(body, name) is not None:
            notes.hints[name] = None
    messages = _system(body, notes)
    for index, turn in enumerate(body.messages):
        where = f"messages[{index}].content"
        if isinstance(turn.content, str):
            messages.append(Message(turn.role, (Text(turn.content),)))
        else:
            parts = _blocks(turn.content, where, notes)
            messages.extend(_cut(parts) if turn.role == "user" else [Message(turn.role, tuple(parts))])
    streams = stream if stream is not None else bool(body.stream)
    return ChatRequest(
        model=model or body.model or "",
        messages=tuple(messages),
        tools=_tools(body.tools or [], notes),
        tool_choice=_choice(body),
        parallel_tool_calls=_parallel(body),
        sampling=Sampling(
            max_output_tokens=body.max_tokens,
            temperature=body.temperature,
            top_p=body.top_p,
            top_k=body.top_k,
            stop=tuple(body.stop_sequences or ()),
        ),
        response_format=_format(body),
        reasoning=_reasoning(body, notes),
        stream=streams,
        include_usage=streams,  # a Messages stream always ends with its usage
        foreign=tuple(dict.fromkeys(notes.foreign)),
        hints=tuple(notes.hints),
    )


def _check(body: Body, model: str | None) -> None:
    if not (model or body.model):
        raise missing("model")
    if body.max_tokens is not None and body.max_tokens < 1:
        raise wrong("max_tokens", "must be 1 or more")
    if not body.messages:
        raise wrong("messages", "must hold at least one message")
    if body.temperature is not None and not 0 <= body.temperature <= 1:
        raise wrong("temperature", "must be between 0 and 1")


def _system(body: Body, notes: Notes) -> list[Message]:
    if body.system is None:
        return []
    if isinstance(body.system, str):
        return [Message("system", (Text(body.system),))]
    parts = _blocks(body.system, "system", notes)
    return [Message("system", tuple(parts))] if parts else []


def _cut(parts: list[Part]) -> list[Message]:
    """A user turn as messages, cut where tool results begin and end."""
    if not parts:
        return [Message("user", ())]
    runs = groupby(parts, key=lambda part: isinstance(part, ToolResult))
    return [Message("tool" if results else "user", tuple(run)) for results, run in runs]


def _blocks(blocks: list[Block], where: str, notes: Notes) -> list[Part]:
    parts: list[Part] = []
    for index, block in enumerate(blocks):
        read = _READ.get(block.type)
        if read is None:
            notes.foreign.append(f"{where}[{index}].type={block.type}")
            continue
        notes.cache(block.cache_control)
        part = read(block, f"{where}[{index}]", notes)
        if part is not None:
            parts.append(part)
    return parts


def _need(value: str | None, where: str, field: str) -> str:
    if value is None:
        raise missing(f"{where}.{field}")
    return value


def _text(block: Block, where: str, notes: Notes) -> Part:
    if block.citations:
        notes.hints["messages.citations"] = None
    return Text(_need(block.text, where, "text"))


def _source(block: Block, where: str) -> Source:
    if block.source is None:
        raise missing(f"{where}.source")
    return block.source


def _image(block: Block, where: str, notes: Notes) -> Part | None:
    source, here = _source(block, where), f"{where}.source"
    if source.type == "base64":
        return Image(data=_need(source.data, here, "data"), media_type=_need(source.media_type, here, "media_type"))
    if source.type == "url":
        return Image(url=_need(source.url, here, "url"))
    notes.foreign.append(f"{here}.type={source.type}")
    return None


def _document(block: Block, where: str, notes: Notes) -> Part | None:
    source, here = _source(block, where), f"{where}.source"
    if block.context is not None:
        notes.foreign.append(f"{where}.context")
    if isinstance(block.citations, dict) and block.citations.get("enabled"):
        notes.foreign.append("citations")
    if source.type == "base64":
        data, media = _need(source.data, here, "data"), source.media_type or "application/pdf"
        return Document(data=data, media_type=media, name=block.title)
    if source.type == "url":
        return Document(url=_need(source.url, here, "url"), name=block.title)
    if source.type == "text":
        return Document(text=_need(source.data, here, "data"), name=block.title)
    if source.type == "content" and source.content is not None:
        return _chunks(source.content, block.title, here, notes)
    notes.foreign.append(f"{here}.type={source.type}")
    return None


def _chunks(content: str | list[Block], title: str | None, where: str, notes: Notes) -> Document:
    """A document given as blocks: its text, joined. The cut into chunks matters to citations only."""
    if isinstance(content, str):
        return Document(text=content, name=title)
    notes.hints["document.chunks"] = None
    parts = _blocks(content, f"{where}.content", notes)
    notes.foreign.extend(f"{where}.content" for part in parts if not isinstance(part, Text))
    return Document(text="\n".join(part.text for part in parts if isinstance(part, Text)), name=title)


def _thinking(block: Block, where: str, notes: Notes) -> Part:
    return Thinking(_need(block.thinking, where, "thinking"), block.signature or None)


def _redacted(block: Block, where: str, notes: Notes) -> Part:
    return Thinking(redacted=_need(block.data, where, "data"))


def _tool_use(block: Block, where: str, notes: Notes) -> Part:
    if isinstance(block.caller, dict) and block.caller.get("type") != "direct":
        notes.foreign.append(f"{where}.caller")
    return ToolUse(
        _need(block.id, where, "id"), _need(block.name, where, "name"), _arguments(block.input, f"{where}.input")
    )


def _arguments(raw: msgspec.Raw, where: str) -> str:
    """The arguments as JSON text; a string gives back what was not an object when it was answered."""
    text = bytes(raw).decode()
    if text[:1] == "{":
        return arguments_of(text)
    if text[:1] == '"':
        return str(msgspec.json.decode(text))
    raise wrong(where, "must be an object") if text else missing(where)


def _tool_result(block: Block, where: str, notes: Notes) -> Part:
    content = block.content
    if isinstance(content, str):
        parts: list[Part] = [Text(content)]
    else:
        parts = _blocks(content or [], f"{where}.content", notes)
    kept = tuple(part for part in parts if isinstance(part, Text | Image | Document))
    if len(kept) < len(parts):
        raise wrong(f"{where}.content", "may hold text, images and documents")
    return ToolResult(_need(block.tool_use_id, where, "tool_use_id"), kept, bool(block.is_error))


_READ: dict[str, Callable[[Block, str, Notes], Part | None]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
}


def _tools(tools: list[Tool], notes: Notes) -> tuple[ToolSpec, ...]:
    specs = []
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if tool.type is not None and tool.type != "custom":
            notes.foreign.append(f"{where}.type={tool.type}")
            continue
        notes.cache(tool.cache_control)
        if tool.defer_loading:
            notes.foreign.append(f"{where}.defer_loading")
        if tool.allowed_callers is not None and tool.allowed_callers != ["direct"]:
            notes.foreign.append(f"{where}.allowed_callers")
        if tool.eager_input_streaming is not None:
            notes.hints["eager_input_streaming"] = None
        if tool.input_examples:
            notes.hints["input_examples"] = None
        schema = bytes(tool.input_schema)
        if schema[:1] != b"{":
            here = f"{where}.input_schema"
            raise wrong(here, "must be an object") if schema else missing(here)
        specs.append(ToolSpec(_need(tool.name, where, "name"), tool.description, schema, tool.strict))
    return tuple(specs)


def _choice(body: Body) -> ToolChoice | None:
    choice = body.tool_choice
    if choice is None:
        return None
    if choice.type == "tool":
        return ToolChoice("tool", _need(choice.name, "tool_choice", "name"))
    return ToolChoice("required" if choice.type == "any" else choice.type)


def _parallel(body: Body) -> bool | None:
    disabled = body.tool_choice.disable_parallel_tool_use if body.tool_choice is not None else None
    return None if disabled is None else not disabled


def _format(body: Body) -> ResponseFormat | None:
    config = body.output_config
    form: Format | None = (config.format if config is not None else None) or body.output_format
    if form is None:
        return None
    where = "output_format.schema" if form is body.output_format else "output_config.format.schema"
    schema = bytes(form.schema)
    if schema[:1] != b"{":
        raise wrong(where, "must be an object") if schema else missing(where)
    return ResponseFormat("json_schema", schema=schema)


def _reasoning(body: Body, notes: Notes) -> Reasoning | None:
    effort = body.output_config.effort if body.output_config is not None else None
    if body.output_config is not None and body.output_config.task_budget is not None:
        notes.hints["output_config.task_budget"] = None  # told to the model as advice, never enforced
    config = body.thinking
    if config is not None and config.block_binding is not None:
        notes.hints["thinking.block_binding"] = None  # how its own proofs are checked
    if config is None:
        return Reasoning(effort) if effort is not None else None
    show = None if config.display is None else config.display != "omitted"
    if config.type == "enabled":
        if config.budget_tokens is None:
            raise missing("thinking.budget_tokens")
        if config.budget_tokens < 1:
            raise wrong("thinking.budget_tokens", "must be 1024 or more")
        return Reasoning(effort, config.budget_tokens, show)
    if config.type == "between_tools":
        notes.hints["thinking.between_tools"] = None  # when it thinks; whether, and how much, is the model's choice
    if config.type in ("disabled", "adaptive", "between_tools"):
        return Reasoning(effort, 0 if config.type == "disabled" else -1, show)
    notes.foreign.append(f"thinking.type={config.type}")
    return Reasoning(effort, None, show) if effort is not None or show is not None else None
