"""Reading a client's request.

Three answers for a field: it has a canonical form, it changes the answer and has none (`foreign`), or it does not
change the answer (`hints`). Said in silence is only what asks for no more than this gateway does anyway: `store: false`
(a provider is never asked to keep state), `include: [reasoning.encrypted_content]` (proofs are passed on wherever a
provider gives them) and defaults written out.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.message import Message, Text
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.wire.decoding import convert, decode_object
from afterbay.wire.openai_responses.body import Body, Format, ReasoningConfig, Tool
from afterbay.wire.openai_responses.custom import read_custom
from afterbay.wire.openai_responses.reader import read_items
from afterbay.wire.openai_responses.unread import unread

HINTS = frozenset(
    {
        "metadata",
        "user",
        "safety_identifier",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "client_metadata",
        "max_tool_calls",
        "context_management",
    }
)
"""Fields that do not change the answer. `max_tool_calls` bounds built-in tools only, which are foreign already;
`context_management` has the provider shorten what is long."""

LOGPROBS, PROOFS = "message.output_text.logprobs", "reasoning.encrypted_content"
"""Values of `include` with a canonical form. All others enrich the items of built-in tools, or of the input."""

_SELF_CONTAINED = ("previous_response_id", "conversation", "prompt")
"""Fields that bring context from elsewhere, so that `input` may be missing."""

_KNOWN = frozenset(field.encode_name for field in msgspec.structs.fields(Body))


def parse_request(body: bytes, model: str | None = None, stream: bool | None = None) -> ChatRequest:
    """Reads a client's body. `model` and `stream` are in the body here; the arguments win where given."""
    data = decode_object(body)
    read = convert(data, Body)
    if not (model or read.model):
        raise ClientMistake("The field 'model' is missing.", param="model", code="missing_field")
    foreign = [name for name, value in data.items() if name not in _KNOWN and name not in HINTS and value is not None]
    hints = [name for name in data if name in HINTS and data[name] is not None]
    choice, allowed = _tool_choice(read.tool_choice, foreign)
    tools = tuple(tool for tool in _tools(read.tools or [], foreign, hints) if allowed is None or tool.name in allowed)
    _flags(read, foreign, hints)
    messages = _messages(read, data, foreign, hints)
    unread(data, foreign, hints)
    streams = bool(read.stream) if stream is None else stream
    return ChatRequest(
        model=model or read.model,
        messages=messages,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=read.parallel_tool_calls,
        sampling=Sampling(
            max_output_tokens=read.max_output_tokens,
            temperature=read.temperature,
            top_p=read.top_p,
            logprobs=True if LOGPROBS in (read.include or ()) else None,
            top_logprobs=read.top_logprobs,
        ),
        response_format=_format(read.text.format if read.text else None),
        reasoning=_reasoning(read.reasoning, foreign, hints),
        stream=streams,
        include_usage=streams,
        foreign=tuple(dict.fromkeys(foreign)),
        hints=tuple(dict.fromkeys(hints)),
    )


def _messages(read: Body, data: dict[str, Any], foreign: list[str], hints: list[str]) -> tuple[Message, ...]:
    said = read.input
    if said is None or said == []:
        if not any(data.get(name) is not None for name in _SELF_CONTAINED):
            what, code = ("missing", "missing_field") if said is None else ("empty", "empty_array")
            raise ClientMistake(f"The field 'input' is {what}.", param="input", code=code)
        said = []
    first = [Message("system", (Text(read.instructions),))] if read.instructions is not None else []
    if isinstance(said, str):
        return (*first, Message("user", (Text(said),)))
    return (*first, *read_items(said, foreign, hints))


def _flags(read: Body, foreign: list[str], hints: list[str]) -> None:
    """Fields that say something only with some of their values."""
    if read.background:
        foreign.append("background")
    if read.truncation not in (None, "disabled"):
        foreign.append(f"truncation={read.truncation}")
    if read.store:
        hints.append("store")
    if read.text is not None and read.text.verbosity not in (None, "medium"):
        hints.append("text.verbosity")
    if read.stream_options is not None and read.stream_options.include_obfuscation:
        hints.append("stream_options.include_obfuscation")
    hints += [f"include[{value}]" for value in read.include or () if value not in (LOGPROBS, PROOFS)]


def _reasoning(read: ReasoningConfig | None, foreign: list[str], hints: list[str]) -> Reasoning | None:
    if read is None:
        return None
    if read.mode not in (None, "standard"):
        foreign.append(f"reasoning.mode={read.mode}")
    if read.context not in (None, "auto"):
        hints.append("reasoning.context")
    summary = read.summary or read.generate_summary
    if summary not in (None, "auto", "none"):
        hints.append("reasoning.summary")
    if read.effort is None and summary is None:
        return None
    return Reasoning(read.effort, show=None if summary is None else summary != "none")


def _format(read: Format | None) -> ResponseFormat | None:
    if read is None:
        return None
    if read.type != "json_schema":
        return ResponseFormat(read.type)
    if read.schema is None:
        raise ClientMistake(
            "The field 'text.format.schema' is missing.", param="text.format.schema", code="missing_field"
        )
    return ResponseFormat("json_schema", read.name, msgspec.json.encode(read.schema), read.strict, read.description)


def _tools(tools: list[Tool], foreign: list[str], hints: list[str]) -> list[ToolSpec]:
    specs: list[ToolSpec] = []
    for index, tool in enumerate(tools):
        at = f"tools[{index}]"
        if tool.type not in _CALLED:
            foreign.append(f"{at}.type={tool.type}")
            continue
        if tool.name is None:
            raise ClientMistake(f"The field '{at}.name' is missing.", param=f"{at}.name", code="missing_field")
        if tool.defer_loading:
            foreign.append(f"{at}.defer_loading")
        if tool.allowed_callers not in (None, ["direct"]):
            foreign.append(f"{at}.allowed_callers")
        if tool.is_async:
            foreign.append(f"{at}.async")
        if tool.type == "custom":
            specs.append(read_custom(tool, tool.name, at, foreign, hints))
            continue
        if tool.output_schema is not None:
            hints.append("tools.output_schema")
        schema = msgspec.json.encode(tool.parameters) if tool.parameters is not None else ToolSpec("").schema
        specs.append(ToolSpec(tool.name, tool.description, schema, tool.strict))
    return specs


_CALLED = ("function", "custom")
"""Types of tools that the client runs, and that have a name."""

_MODES: dict[str, Literal["auto", "none", "required"]] = {"auto": "auto", "none": "none", "required": "required"}


def _tool_choice(
    choice: str | dict[str, Any] | None, foreign: list[str]
) -> tuple[ToolChoice | None, frozenset[str] | None]:
    """The choice, and the names that `allowed_tools` leaves: the model then has no others, which is the same."""
    if choice is None:
        return None, None
    if isinstance(choice, str) and choice in _MODES:
        return ToolChoice(_MODES[choice]), None
    kind = choice.get("type") if isinstance(choice, dict) else None
    if isinstance(choice, dict) and kind in _CALLED and isinstance(choice.get("name"), str):
        return ToolChoice("tool", choice["name"]), None
    if isinstance(choice, dict) and kind == "allowed_tools":
        names = _allowed(choice.get("tools"))
        if names is not None and choice.get("mode") in ("auto", "required"):
            return ToolChoice(_MODES[choice["mode"]]), names
    if isinstance(kind, str) and kind not in _CALLED:
        foreign.append(f"tool_choice.type={kind}")
        return None, None
    raise ClientMistake(
        "The field 'tool_choice' is not right: expected 'auto', 'none', 'required' or a tool.",
        param="tool_choice",
        code="invalid_value",
    )


def _allowed(tools: object) -> frozenset[str] | None:
    """The names of allowed tools where the client runs all of them."""
    if not isinstance(tools, list):
        return None
    names = [tool.get("name") for tool in tools if isinstance(tool, dict) and tool.get("type") in _CALLED]
    texts = [name for name in names if isinstance(name, str)]
    return frozenset(texts) if texts and len(texts) == len(tools) else None
