"""Messages -> `instructions` and items of `input`.

A leading system message of one text is the instructions; all others stay where they are. The model's texts go in the
easy form of a message, which every host takes; refusals have only the full form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from afterbay.core.message import Audio, Document, Image, Message, Part, Refusal, Text, Thinking, ToolResult, ToolUse
from afterbay.wire.openai_fields import shorten
from afterbay.wire.openai_responses import proof

CALL_ID_CHARS = 64
"""OpenAI refuses longer ids ("string too long. Expected a string with maximum length 64")."""


def write_input(messages: Sequence[Message], body: dict[str, Any], losses: list[str]) -> None:
    """Sets `instructions` and `input`."""
    instructions = _instructions(messages)
    if instructions is not None:
        body["instructions"] = instructions
        if messages[0].name is not None:
            losses.append("messages.name")
        messages = messages[1:]
    items: list[dict[str, Any]] = []
    for message in messages:
        if message.name is not None:
            losses.append("messages.name")
        if message.role == "assistant":
            _write_answer(message, items, losses)
        else:
            _write_asked(message, items, losses)
    body["input"] = items


def _instructions(messages: Sequence[Message]) -> str | None:
    """The text of the first message, if it is a system message of one text and others follow."""
    if len(messages) < 2 or messages[0].role != "system" or len(messages[0].parts) != 1:
        return None
    part = messages[0].parts[0]
    return part.text if isinstance(part, Text) else None


def _write_asked(message: Message, items: list[dict[str, Any]], losses: list[str]) -> None:
    """A turn of the user, of tools, or instructions; results stand before what else the turn says."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    for result in results:
        if result.is_error:
            losses.append("tool_result.is_error")
        output = _content(result.parts, losses)
        items.append({"type": "function_call_output", "call_id": call_id(result.id), "output": output})
    rest: list[Part] = [part for part in message.parts if not isinstance(part, ToolResult)]
    if not rest and results:
        return
    role = "user" if message.role == "tool" else message.role
    if role != "user":
        kept: list[Part] = [part for part in rest if isinstance(part, Text)]
        if len(kept) < len(rest):
            losses.append(f"messages.{role}_media")
        rest = kept
    items.append({"type": "message", "role": role, "content": _content(rest, losses)})


def _write_answer(message: Message, items: list[dict[str, Any]], losses: list[str]) -> None:
    for part in message.parts:
        match part:
            case Text():
                items.append({"type": "message", "role": "assistant", "content": part.text})
            case Refusal():
                content = [{"type": "refusal", "refusal": part.text}]
                head = {"type": "message", "id": f"msg_{len(items)}", "role": "assistant", "status": "completed"}
                items.append({**head, "content": content})
            case Thinking():
                _write_thinking(part, items, losses)
            case ToolUse():
                if part.signature is not None:
                    losses.append("tool_call.signature")
                called = {"call_id": call_id(part.id), "name": part.name, "arguments": part.arguments or "{}"}
                items.append({"type": "function_call", **called})
            case _:
                losses.append("messages.assistant_media")


def _write_thinking(part: Thinking, items: list[dict[str, Any]], losses: list[str]) -> None:
    """A reasoning item, where there is a proof of this protocol; OpenAI takes no other."""
    found = proof.split(part.signature or part.redacted)
    if found is None:
        losses.append("thinking")
        return
    item_id, encrypted = found
    item: dict[str, Any] = {"type": "reasoning", **({"id": item_id} if item_id else {})}
    item["summary"] = [{"type": "summary_text", "text": part.text}] if part.text else []
    items.append(item | {"encrypted_content": encrypted})


def call_id(wanted: str) -> str:
    """The id of a call as it may be sent, the same one always alike."""
    return shorten(wanted, CALL_ID_CHARS)


def _content(parts: Sequence[Part], losses: list[str]) -> str | list[dict[str, Any]]:
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [built for part in parts if (built := _part(part, losses)) is not None] or ""


def _part(part: Part, losses: list[str]) -> dict[str, Any] | None:
    match part:
        case Text() | Refusal():
            return {"type": "input_text", "text": part.text}
        case Image():
            url = part.url if part.url is not None else f"data:{part.media_type or 'image/png'};base64,{part.data}"
            return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
        case Document(text=str(text)):
            return {"type": "input_text", "text": f"{part.name}:\n{text}" if part.name else text}
        case Document(data=str(data)):
            inline = f"data:{part.media_type or 'application/pdf'};base64,{data}"
            return {"type": "input_file", "filename": part.name or "document", "file_data": inline}
        case Document(url=str(url)):
            return {"type": "input_file", "file_url": url, **({"filename": part.name} if part.name else {})}
        case Audio():
            losses.append("audio")
            return None
        case _:
            losses.append("documents" if isinstance(part, Document) else f"content.{type(part).__name__.lower()}")
            return None
