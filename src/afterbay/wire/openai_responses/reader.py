"""Items of `input` -> messages.

An item is a message, a call, a result or reasoning of its own; a canonical message is a turn. So reasoning, messages
and calls of the model that follow each other are one assistant message, and results that follow each other one tool
message. Ids and states of items are not kept: without a store at the provider they refer to nothing (the id of a
reasoning item belongs to its proof, see `proof`).
"""

from __future__ import annotations

from typing import Any, TypeVar

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
    Thinking,
    ToolResult,
    ToolUse,
)
from afterbay.wire.decoding import convert
from afterbay.wire.openai_fields import split_data_url
from afterbay.wire.openai_responses import proof
from afterbay.wire.openai_responses.body import CallItem, CustomCallItem, MessageItem, OutputItem, ReasoningItem
from afterbay.wire.openai_responses.body import Part as _Part
from afterbay.wire.openai_responses.custom import arguments_of

T = TypeVar("T")


class _Turns:
    """Messages while items are read."""

    def __init__(self) -> None:
        self.done: list[Message] = []
        self._role: Role | None = None
        self._parts: list[Part] = []

    def add(self, role: Role, parts: tuple[Part, ...]) -> None:
        """Continues the turn of the model or of its tools, else begins one."""
        if role != self._role or role not in ("assistant", "tool"):
            self.close()
            self._role = role
        self._parts += parts

    def close(self) -> None:
        """Ends the turn."""
        if self._role is not None:
            self.done.append(Message(self._role, tuple(self._parts)))
        self._role, self._parts = None, []


def read_items(items: list[dict[str, Any]], foreign: list[str], hints: list[str]) -> tuple[Message, ...]:
    """The turns that `input` holds. Items without a canonical form go into `foreign` by type."""
    turns = _Turns()
    for index, item in enumerate(items):
        at = f"input[{index}]"
        kind = item.get("type", "message" if "role" in item else None)
        if not isinstance(kind, str):
            raise ClientMistake(f"The field '{at}.type' is missing.", param=f"{at}.type", code="missing_field")
        match kind:
            case "message":
                message = _convert(item, MessageItem, at)
                if message.phase is not None:
                    hints.append("input.phase")
                turns.add(message.role, read_parts(message.content, f"{at}.content", foreign, hints))
            case "function_call":
                turns.add("assistant", (_call(_convert(item, CallItem, at), at, foreign),))
            case "custom_tool_call":
                turns.add("assistant", (_call(_convert(item, CustomCallItem, at), at, foreign),))
            case "function_call_output" | "custom_tool_call_output":
                output = _convert(item, OutputItem, at)
                _check_caller(output.caller, at, foreign)
                parts = read_parts(output.output, f"{at}.output", foreign, hints) if output.output else ()
                kept = tuple(part for part in parts if isinstance(part, Text | Image | Document))
                turns.add("tool", (ToolResult(output.call_id, kept),))
            case "reasoning":
                read = _convert(item, ReasoningItem, at)
                encrypted = read.encrypted_content
                signature = proof.join(read.id, encrypted) if encrypted else None
                turns.add("assistant", (Thinking(read.text(), signature),))
            case _:
                foreign.append(f"{at}.type={kind}")
    turns.close()
    return tuple(turns.done)


def _convert(item: dict[str, Any], into: type[T], at: str) -> T:
    return convert(item, into, at)


def _call(read: CallItem | CustomCallItem, at: str, foreign: list[str]) -> ToolUse:
    _check_caller(read.caller, at, foreign)
    if read.namespace is not None:
        foreign.append(f"{at}.namespace")
    arguments = read.arguments if isinstance(read, CallItem) else arguments_of(read.input)
    return ToolUse(read.call_id, read.name, arguments)


def _check_caller(caller: dict[str, Any] | None, at: str, foreign: list[str]) -> None:
    """A program of the provider's, not the model itself, made the call."""
    if caller is not None and caller.get("type") != "direct":
        foreign.append(f"{at}.caller")


def read_parts(content: str | list[dict[str, Any]], at: str, foreign: list[str], hints: list[str]) -> tuple[Part, ...]:
    """The parts of a message or of a tool's output."""
    if isinstance(content, str):
        return (Text(content),)
    parts: list[Part] = []
    for index, raw in enumerate(content):
        where = f"{at}[{index}]"
        part = convert(raw, _Part, where)
        if part.annotations:
            hints.append("input.annotations")
        if part.prompt_cache_breakpoint is not None:
            hints.append("prompt_cache_breakpoint")
        read = _part(part, where)
        if read is None:
            lacks = part.type in ("input_image", "input_file") and part.file_id is not None
            foreign.append(f"{where}.file_id" if lacks else f"{where}.type={part.type}")
        else:
            parts.append(read)
    return tuple(parts)


def _part(part: _Part, at: str) -> Part | None:
    """The canonical part; None where there is none."""
    match part.type:
        case "input_text" | "output_text" | "text":
            return Text(_needed(part.text, f"{at}.text"))
        case "refusal":
            return Refusal(_needed(part.refusal, f"{at}.refusal"))
        case "input_image" if part.file_id is None or part.image_url is not None:
            url = _needed(part.image_url, f"{at}.image_url")
            detail = part.detail if part.detail != "auto" else None
            media_type, data = split_data_url(url)
            if data is not None:
                return Image(data=data, media_type=media_type, detail=detail)
            return Image(url=url, detail=detail)
        case "input_file" if part.file_data is not None:
            media_type, data = split_data_url(part.file_data)
            return Document(data=data or part.file_data, media_type=media_type, name=part.filename)
        case "input_file" if part.file_url is not None:
            return Document(url=part.file_url, name=part.filename)
        case "input_file" if part.file_id is None:
            raise ClientMistake(
                f"The field '{at}' has no file: 'file_data', 'file_url' or 'file_id' is needed.",
                param=at,
                code="missing_field",
            )
        case "input_audio":
            given = part.input_audio or {}
            data, form = given.get("data"), given.get("format")
            return Audio(
                _needed(data if isinstance(data, str) else None, f"{at}.input_audio.data"),
                _needed(form if isinstance(form, str) else None, f"{at}.input_audio.format"),
            )
        case _:
            return None


def _needed(value: str | None, at: str) -> str:
    if value is None:
        raise ClientMistake(f"The field '{at}' is missing.", param=at, code="missing_field")
    return value
