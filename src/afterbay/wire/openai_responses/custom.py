"""Custom tools: tools whose argument is free text, as Codex's `apply_patch` is.

No other protocol has them, so such a tool is translated as a function with one text, `input`. The grammar that OpenAI
would hold the text to is told to the model, in the description, and held to by nobody: the request says so. In the
answer the call of such a function is a `custom_tool_call` again; which tools those are says the client's own body.

Source: the types `CustomTool`, `CustomToolInputFormat` and `ResponseCustomToolCall` of OpenAI's SDK 3.57 (November
2026).
"""

from __future__ import annotations

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.request import ToolSpec
from afterbay.wire.decoding import convert
from afterbay.wire.openai_responses.body import InputFormat, Tool

GRAMMAR_CHARS = 16_000
"""As much of a grammar is told. Codex's has 700 characters; one that is cut is named."""

_SCHEMA = (
    b'{"type":"object","properties":{"input":{"type":"string","description":"The whole text for this tool."}},'
    b'"required":["input"],"additionalProperties":false}'
)
_TOLD = "The text for this tool goes, whole and unchanged, into the one argument `input`."


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    """The arguments of the function that stands for a custom tool."""

    input: str


class _Listed(msgspec.Struct):
    type: str = ""
    name: str = ""


_input = msgspec.json.Decoder(_Input).decode
_listed = msgspec.json.Decoder(list[_Listed]).decode
_encode = msgspec.json.Encoder().encode


def read_custom(tool: Tool, name: str, at: str, foreign: list[str], hints: list[str]) -> ToolSpec:
    """The function that stands for a custom tool; `at` is where the tool stands in the request.

    Raises:
        ClientMistake: the format is none, or a grammar without its definition.
    """
    told = [tool.description, _TOLD] if tool.description else [_TOLD]
    form = convert(tool.format, InputFormat, f"{at}.format") if tool.format is not None else None
    if form is not None and form.type == "grammar":
        if form.definition is None:
            field = f"{at}.format.definition"
            raise ClientMistake(f"The field '{field}' is missing.", param=field, code="missing_field")
        hints.append(f"{at}.format=description")
        syntax = f"{form.syntax} " if form.syntax else ""
        told.append(f"That text must match this {syntax}grammar:\n{form.definition[:GRAMMAR_CHARS]}")
        if len(form.definition) > GRAMMAR_CHARS:
            hints.append(f"{at}.format.definition beyond {GRAMMAR_CHARS} characters")
    elif form is not None and form.type != "text":
        foreign.append(f"{at}.format.type={form.type}")
    return ToolSpec(name, "\n\n".join(told), _SCHEMA)


def arguments_of(text: str) -> str:
    """The arguments of a function for the text of a custom tool's call."""
    return _encode({"input": text}).decode()


def input_of(arguments: str) -> str:
    """The text of a custom tool's call. Arguments of any other form than `arguments_of` are that text themselves."""
    try:
        return _input(arguments).input
    except (msgspec.DecodeError, UnicodeEncodeError):
        return "" if arguments.strip() in ("", "{}") else arguments


def custom_names(tools: bytes) -> frozenset[str]:
    """The names of the custom tools in the JSON text of a request's `tools`."""
    if b'"custom"' not in tools:
        return frozenset()
    try:
        return frozenset(tool.name for tool in _listed(tools) if tool.type == "custom")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return frozenset()
