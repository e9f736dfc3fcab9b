"""Messages and their parts, in the one form that every wire dialect is translated to and from.

Parts are tagged structs, so a message prints, compares and serialises without further code. Binary content stays
base64 text as it came in: the gateway never decodes media.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]


class Text(msgspec.Struct, frozen=True, tag="text"):
    """Plain text."""

    text: str


class Image(msgspec.Struct, frozen=True, tag="image"):
    """An image by `url`, or inline as base64 `data` with its `media_type` (exactly one of the two)."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None


class Document(msgspec.Struct, frozen=True, tag="document"):
    """A file for the model to read: by `url`, inline base64 `data`, or plain `text`."""

    url: str | None = None
    data: str | None = None
    text: str | None = None
    media_type: str | None = None
    name: str | None = None


class Audio(msgspec.Struct, frozen=True, tag="audio"):
    """Inline base64 audio; `format` is the provider's short name (`wav`, `mp3`)."""

    data: str
    format: str


class Thinking(msgspec.Struct, frozen=True, tag="thinking"):
    """Reasoning that the model showed. `signature` and `redacted` are opaque proofs that must come back unchanged."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """A refusal that the provider gave apart from the content."""

    text: str


class ToolUse(msgspec.Struct, frozen=True, tag="tool_use"):
    """The model calls a tool. `arguments` is JSON text, kept as the model wrote it (it may be cut off or invalid)."""

    id: str
    name: str
    arguments: str
    signature: str | None = None


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """What a tool gave back for the call `id`; `name` where the dialect says it (Gemini matches by name)."""

    id: str
    parts: tuple[Text | Image | Document, ...]
    is_error: bool = False
    name: str | None = None


Part: TypeAlias = Text | Image | Document | Audio | Thinking | Refusal | ToolUse | ToolResult


class Message(msgspec.Struct, frozen=True):
    """One turn. `name` is the optional participant name of OpenAI's dialect."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None

    def text(self) -> str:
        """All plain text of the message, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))
