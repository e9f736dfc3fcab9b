"""The messages of a chat completion request, as a host wants them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from afterbay.core.message import (
    Audio,
    Document,
    Image,
    Message,
    Part,
    Refusal,
    Text,
    ToolResult,
    ToolUse,
)
from afterbay.wire.features import is_file
from afterbay.wire.openai_chat.accent import NEUTRAL, Accent
from afterbay.wire.openai_chat.reasoning import write_history
from afterbay.wire.openai_fields import digest, shorten

ToolIds: TypeAlias = Callable[[str], str]
_Json: TypeAlias = dict[str, Any]

TOOL_ID_CHARS = 40
"""OpenAI refused longer ids ("string too long. Expected a string with maximum length 40"; vercel/ai#5171)."""

_MISTRAL = re.compile(r"(?:mi|mini|magi|code|dev)stral|(?:pix|vox|mix)tral", re.IGNORECASE)
"""Mistral's models, which other hosts serve with their own chat template: it has the same demand."""
_NINE = re.compile(r"[a-zA-Z0-9]{9}")
"""Mistral's models: "Tool call id was … but must be a-z, A-Z, 0-9, with a length of 9" (code 3280,
anomalyco/opencode#1680; the recordings have ids of that form, and such as a client library masked)."""


def tool_ids(model: str, accent: Accent = NEUTRAL) -> ToolIds:
    """How call ids are written for `model`: as they are where they fit, else rewritten, the same one always alike."""
    if accent.short_ids or _MISTRAL.search(model):
        return lambda wanted: wanted if _NINE.fullmatch(wanted) else digest(wanted)[:9]
    return lambda wanted: shorten(wanted, TOOL_ID_CHARS)


class Writing:
    """Messages on their way into a body. `losses` grows with what had no place."""

    def __init__(self, model: str, accent: Accent, losses: list[str]) -> None:
        self._model, self._accent, self._losses = model, accent, losses
        self._id_of = tool_ids(model, accent)

    def messages(self, messages: tuple[Message, ...]) -> list[_Json]:
        """The tool messages of one turn stay together: images of their results follow behind the last one."""
        built: list[_Json] = []
        shown: list[Part] = []
        for message in messages:
            if message.role == "assistant":
                self._show(shown, built)
                built.append(self._assistant(message))
                continue
            results = [part for part in message.parts if isinstance(part, ToolResult)]
            rest: tuple[Part, ...] = tuple(part for part in message.parts if not isinstance(part, ToolResult))
            built += [self._tool_result(result, shown) for result in results]
            if not rest and results:
                continue
            if message.role in ("user", "tool"):
                rest, shown = (*shown, *rest), []
            self._show(shown, built)
            one: _Json = {"role": self._role(message.role)}
            if message.role in ("system", "developer"):
                rest = self._texts(rest, message.role)
            one["content"] = self._content(rest)
            self._name(message, one)
            built.append(one)
        self._show(shown, built)
        return merged(built, self._accent, self._losses) if self._accent.merges else built

    def _role(self, role: str) -> str:
        return "user" if role == "tool" else self._accent.developer if role == "developer" else role

    def _name(self, message: Message, built: _Json) -> None:
        if message.name is None:
            return
        if self._accent.names == "all" or (self._accent.names == "user" and built["role"] == "user"):
            built["name"] = message.name
        else:
            self._losses.append("messages.name")

    def _show(self, shown: list[Part], built: list[_Json]) -> None:
        if shown:
            built.append({"role": "user", "content": self._content(tuple(shown))})
            shown.clear()

    def _texts(self, parts: tuple[Part, ...], role: str) -> tuple[Part, ...]:
        """System and developer messages hold text only."""
        kept = tuple(part for part in parts if isinstance(part, Text))
        if len(kept) < len(parts):
            self._losses.append(f"messages.{role}_media")
        return kept

    def _tool_result(self, result: ToolResult, shown: list[Part]) -> _Json:
        """A tool message. It holds text only: images of the result go into a user message right after it."""
        texts = [part.text for part in result.parts if isinstance(part, Text)]
        media = [part for part in result.parts if not isinstance(part, Text)]
        if media:
            shown += [Text(f"Returned by the tool call {self._id_of(result.id)}:"), *media]
            texts = texts or ["See the attachment in the next message."]
        if result.is_error:
            self._losses.append("tool_result.is_error")
        return {"role": "tool", "tool_call_id": self._id_of(result.id), "content": "\n".join(texts)}

    def _assistant(self, message: Message) -> _Json:
        built: _Json = {"role": "assistant", "content": None}
        text = "".join(part.text for part in message.parts if isinstance(part, Text))
        if text:
            built["content"] = text
        refusal = "".join(part.text for part in message.parts if isinstance(part, Refusal))
        if refusal:
            built["refusal"] = refusal
        if any(isinstance(part, Image | Document | Audio) for part in message.parts):
            self._losses.append("messages.assistant_media")
        calls = [self._call(part) for part in message.parts if isinstance(part, ToolUse)]
        if calls:
            built["tool_calls"] = calls
        elif built["content"] is None and not refusal:
            built["content"] = ""
        write_history(message, self._model, self._accent, built, self._losses)
        self._name(message, built)
        return built

    def _call(self, part: ToolUse) -> _Json:
        function = {"name": part.name, "arguments": part.arguments or "{}"}
        call: _Json = {"id": self._id_of(part.id), "type": "function", "function": function}
        if part.signature is not None:
            call["extra_content"] = {"google": {"thought_signature": part.signature}}
        return call

    def _content(self, parts: tuple[Part, ...]) -> str | list[_Json]:
        if all(isinstance(part, Text) for part in parts) and len(parts) <= 1:
            return parts[0].text if parts and isinstance(parts[0], Text) else ""
        return [built for part in parts if (built := self._part(part)) is not None] or ""

    def _part(self, part: Part) -> _Json | None:
        match part:
            case Text() | Refusal():
                return {"type": "text", "text": part.text}
            case Image():
                url = part.url if part.url is not None else f"data:{part.media_type or 'image/png'};base64,{part.data}"
                detail = {"detail": part.detail} if part.detail else {}
                return {"type": "image_url", "image_url": {"url": url, **detail}}
            case Audio() if "audio" in self._accent.unsaid:
                self._losses.append("audio")
                return None
            case Audio():
                if self._accent.files == "document_url":  # Mistral: the sound alone, whatever its format
                    return {"type": "input_audio", "input_audio": part.data}
                return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
            case Document():
                return self._document(part)
            case _:
                self._losses.append(f"content.{type(part).__name__.lower()}")
                return None

    def _document(self, part: Document) -> _Json | None:
        if part.text is not None:
            return {"type": "text", "text": f"{part.name}:\n{part.text}" if part.name else part.text}
        if part.data is None and (part.url is None or "document_urls" not in self._accent.can):
            self._losses.append("document_urls" if part.url is not None else "documents")
            return None
        if is_file(part) and "document_files" in self._accent.unsaid:
            self._losses.append("document_files")
            return None
        url = part.url if part.data is None else f"data:{part.media_type or 'application/pdf'};base64,{part.data}"
        if self._accent.files == "document_url":
            named = {"document_name": part.name} if part.name else {}
            return {"type": "document_url", "document_url": url, **named}
        return {"type": "file", "file": {"filename": part.name or "document", "file_data": url}}


def merged(built: list[_Json], accent: Accent, losses: list[str]) -> list[_Json]:
    """One instruction before the conversation; where `accent` wants it, none later and turns that alternate.

    An instruction in the middle becomes text of the user, between tags.
    """
    found: list[_Json] = []
    for message in built:
        leads = all(one["role"] == "system" for one in found)
        if message["role"] == "system" and not leads and accent.merges == "all":
            losses.append("messages.role")
            message = {"role": "user", "content": f"<system>\n{_plain(message['content'])}\n</system>"}
        role = message["role"]
        alike = bool(found) and found[-1]["role"] == role and role != "tool"
        if alike and ((role == "system" and leads) or (accent.merges == "all" and "tool_calls" not in message)):
            found[-1] = {**found[-1], "content": _joined(found[-1].get("content"), message.get("content"))}
        else:
            found.append(message)
    return found


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content or ())


def _joined(first: Any, second: Any) -> Any:
    """Two contents as one: strings with an empty line between them, else all parts."""
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}" if first and second else first or second
    parts: list[_Json] = []
    for content in (first, second):
        parts += [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []
    return parts
