"""Canonical messages -> Gemini's contents and system instruction."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from afterbay.core.message import (
    Audio,
    Document,
    Image,
    Message,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from afterbay.wire.gemini.reader import media_type_of_url
from afterbay.wire.proofs import SKIP

Said: TypeAlias = dict[str, Any]

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ROLE = {"assistant": "model"}

_SIGNED = re.compile(r"gemini-(?:[3-9]|flash-latest|pro-latest)")
"""Models that refuse a turn whose first call has no signature, and that take media inside a function response."""


class Turns:
    """Writes messages in order. `losses` names what was left out or changed."""

    def __init__(self, model: str, losses: dict[str, None]) -> None:
        self.losses = losses
        self._newer = bool(_SIGNED.search(model))
        self._names: dict[str, str] = {}  # call id -> function name: results need the name
        self._contents: list[Said] = []
        self._beside: list[Said] = []  # media of tool results, written behind the last result of the turn

    def write(self, messages: Sequence[Message]) -> tuple[list[Said], list[Said]]:
        """Contents and the parts of the system instruction.

        Only a system prompt at the start fits the system instruction. A later one keeps its place, which is what makes
        sense of it, and loses its rank: it becomes user text. If there is nothing else, the last is the user's turn.
        """
        lead = 0
        while lead < len(messages) and messages[lead].role in ("system", "developer"):
            lead += 1
        if lead == len(messages) and lead:
            lead -= 1
        system = [part for message in messages[:lead] for part in self._system(message)]
        if any(message.name is not None for message in messages):
            self.losses["messages.name"] = None
        for message in messages[lead:]:
            if message.role in ("system", "developer"):
                self.losses["messages.system_after_start"] = None
            self._message(_ROLE.get(message.role, "user"), message.parts)
        self._flush()
        return self._contents, system

    def _system(self, message: Message) -> list[Said]:
        said = [part for part in message.parts if isinstance(part, Text)]
        if len(said) < len(message.parts):
            self.losses["messages.system_media"] = None
        return [{"text": part.text} for part in said]

    def _turn(self, role: str) -> list[Said]:
        """The parts of the turn in progress; turns of one role in a row are one turn."""
        if not self._contents or self._contents[-1]["role"] != role:
            self._contents.append({"role": role, "parts": []})
        parts: list[Said] = self._contents[-1]["parts"]
        return parts

    def _flush(self) -> None:
        if self._beside:
            beside, self._beside = self._beside, []
            self._turn("user").extend(beside)

    def _message(self, role: str, parts: Sequence[Part]) -> None:
        own: list[Said] = []  # what this message has said so far: a signature never goes to an older part
        for part in parts:
            if isinstance(part, ToolResult):
                self._turn("user").append(self._result(part))
                continue
            self._flush()
            if isinstance(part, Thinking) and not part.text and part.signature and _can_sign(own):
                own[-1]["thoughtSignature"] = part.signature
                continue
            said = self._part(part, own)
            if said is not None:
                own.append(said)
                self._turn(role).append(said)

    def _part(self, part: Part, own: Sequence[Said]) -> Said | None:
        match part:
            case Text():
                return {"text": part.text}
            case Refusal():
                self.losses["messages.refusal"] = None
                return {"text": part.text}
            case Thinking():
                return self._thinking(part)
            case ToolUse():
                return self._call(part, own)
            case Image() | Document():
                return self._medium(part)
            case Audio():
                return {"inlineData": {"mimeType": f"audio/{part.format}", "data": part.data}}
            case ToolResult():  # the caller has taken these
                return None

    def _thinking(self, part: Thinking) -> Said | None:
        if part.redacted is not None:  # only its own maker can read it
            self.losses["messages.redacted_thinking"] = None
            return None
        said: Said = {"text": part.text}
        if part.text:
            said["thought"] = True
        if part.signature:
            said["thoughtSignature"] = part.signature
        return said if part.text or part.signature else None

    def _call(self, use: ToolUse, own: Sequence[Said]) -> Said:
        self._names[use.id] = use.name
        said: Said = {"functionCall": {"id": use.id, "name": use.name, "args": self._arguments(use)}}
        signature = use.signature
        if signature is None and self._newer and not any("functionCall" in part for part in own):
            signature = SKIP
        if signature:
            said["thoughtSignature"] = signature
        return said

    def _arguments(self, use: ToolUse) -> Any:
        if not use.arguments.strip():
            return {}
        try:
            _OBJECT.decode(use.arguments)
        except (msgspec.DecodeError, UnicodeError):  # cut off or no object: Gemini takes objects only
            self.losses["messages.tool_arguments"] = None
            return {"arguments": use.arguments}
        return msgspec.Raw(use.arguments.encode())

    def _result(self, result: ToolResult) -> Said:
        name = self._names.get(result.id) or result.name or result.id
        text = "".join(part.text for part in result.parts if isinstance(part, Text))
        said: Said = {"id": result.id, "name": name, "response": _response(text, result.is_error)}
        media = [
            said_ for part in result.parts if not isinstance(part, Text) and (said_ := self._medium(part)) is not None
        ]
        if media and self._newer:
            said["parts"] = media
        elif media:
            self.losses["tool_result_media"] = None  # older models take media beside the result only
            self._beside += media
        return {"functionResponse": said}

    def _medium(self, part: Image | Document) -> Said | None:
        if part.url is None and part.data is None and not (isinstance(part, Document) and part.text is not None):
            self.losses["messages.empty_document"] = None
            return None
        if isinstance(part, Image) and part.detail is not None:
            self.losses["image.detail"] = None
        if isinstance(part, Document) and part.name is not None:
            self.losses["document.name"] = None
        if part.url is not None:
            kind = part.media_type or media_type_of_url(part.url)
            return {"fileData": {"fileUri": part.url} | ({"mimeType": kind} if kind else {})}
        if isinstance(part, Document) and part.text is not None:
            return {"inlineData": {"mimeType": "text/plain", "data": b64encode(part.text.encode()).decode()}}
        fallback = "image/jpeg" if isinstance(part, Image) else "application/pdf"
        return {"inlineData": {"mimeType": part.media_type or fallback, "data": part.data or ""}}


def _can_sign(own: Sequence[Said]) -> bool:
    """Whether a loose signature belongs to the part before it: a text or medium that has none yet."""
    if not own:
        return False
    last = own[-1]
    return not last.keys() & {"thoughtSignature", "thought", "functionCall"}


def _response(text: str, is_error: bool) -> Any:
    """A JSON object goes as it is; all else under the key that Google's convention names (`output`, `error`).

    An object that would be read back as something else (a lone `output` or `error` with a string) is wrapped too.
    """
    if is_error:
        return {"error": text}
    try:
        found = _OBJECT.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return {"output": text}
    if len(found) == 1:
        name, value = next(iter(found.items()))
        if name in ("output", "error") and bytes(value).startswith(b'"'):
            return {"output": text}
    return msgspec.Raw(text.encode())
