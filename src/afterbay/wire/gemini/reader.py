"""A Gemini client's body -> ChatRequest.

Ids: Gemini matches a result to its call by name, and mostly sends no ids (recordings: 506 calls without, 49 with). So
a call without one gets `call_<position>`, and a result without one takes the oldest open call of its name: the same
body gives the same ids, always.
Source: ai.google.dev/api/generate-content and /api/caching#Content, read in the google-genai 3.6 types; recordings.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.message import Audio, Document, Image, Message, Part, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest
from afterbay.wire.gemini.fields import Fields, fields, items, switch, text
from afterbay.wire.gemini.settings import Notes, read_config, read_safety, read_tool_config, read_tools

_HINTS = ("labels", "serviceTier", "store")
"""Top-level fields that do not change the answer: billing labels, capacity class, storing."""

_GOOGLE_ONLY = ("youtube.com", "youtu.be", "generativelanguage.googleapis.com", "storage.cloud.google.com")
_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "pdf": "application/pdf",
    "txt": "text/plain",
}


def media_type_of_url(url: str) -> str | None:
    """What the ending of a URL says of its content."""
    return _TYPES.get(urlsplit(url).path.rpartition(".")[2].lower())


def parse_request(body: bytes, model: str | None = None, stream: bool | None = None) -> ChatRequest:
    """Reads a generateContent or streamGenerateContent body; model and stream are said by the path.

    Raises:
        ClientMistake: not JSON, or a field of the wrong type, which it names.
    """
    notes = Notes()
    _refuse_other_than_utf8(body)
    left = fields(body)
    left.pop("model", None)
    messages: list[Message] = []
    system = left.pop("systemInstruction", None)
    if system is not None:
        messages += _read_system(system, notes)
    turns = _Turns(notes)
    contents = items(left.pop("contents", None), "contents")
    for index, content in enumerate(contents):
        messages += turns.read(content, f"contents[{index}]")
    if not contents:
        raise ClientMistake("The field 'contents' is missing or empty.", param="contents", code="missing_field")
    tools = read_tools(left.pop("tools", None), notes)
    choice = read_tool_config(left.pop("toolConfig", None), notes)
    settings = read_config(left.pop("generationConfig", None), notes)
    read_safety(left.pop("safetySettings", None), notes)
    for name in _HINTS:
        if left.pop(name, None) is not None:
            notes.hints[name] = None
    notes.rest(left, "")
    return ChatRequest(
        model=(model or "").removeprefix("models/"),
        messages=tuple(messages),
        tools=tools,
        tool_choice=choice,
        sampling=settings.sampling,
        response_format=settings.response_format,
        reasoning=settings.reasoning,
        stream=bool(stream),
        include_usage=bool(stream),  # Gemini reports it unasked
        foreign=tuple(notes.foreign),
        hints=tuple(notes.hints),
    )


def _refuse_other_than_utf8(body: bytes) -> None:
    """Raw values are passed on unread, so what is no UTF-8 must stop here."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise ClientMistake(
            f"The request body is not UTF-8: {error.reason} at byte {error.start}.", code="invalid_json"
        ) from None


def _read_system(raw: msgspec.Raw, notes: Notes) -> list[Message]:
    if bytes(raw).startswith(b'"'):  # the SDKs let people write a bare string, some gateways pass it on
        return [Message("system", (Text(text(raw, "systemInstruction") or ""),))]
    left = fields(raw, "systemInstruction")
    left.pop("role", None)  # any role is accepted and none has a meaning (recordings: user, model)
    turns = _Turns(notes)
    parts: list[Part] = []
    for index, part in enumerate(items(left.pop("parts", None), "systemInstruction.parts")):
        parts += turns.part(part, f"systemInstruction.parts[{index}]")
    notes.rest(left, "systemInstruction")
    return [Message("system", tuple(parts))] if parts else []


class _Turns:
    """Reads contents in order and remembers which calls are open."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._open: list[tuple[str, str]] = []  # (name, id) of calls without a result yet
        self._used: set[str] = set()
        self._calls = 0

    def read(self, raw: msgspec.Raw, where: str) -> list[Message]:
        """One content as messages: function results stand apart from what else the user says in the same turn."""
        left = fields(raw, where)
        role = text(left.pop("role", None), f"{where}.role") or "user"
        parts: list[Part] = []
        for index, part in enumerate(items(left.pop("parts", None), f"{where}.parts")):
            parts += self.part(part, f"{where}.parts[{index}]")
        self._notes.rest(left, "contents")
        if role == "model":
            return [Message("assistant", tuple(parts))] if parts else []
        if role not in ("user", "function"):  # Google will refuse it, in words of its own: only a relay may try
            self._notes.foreign[f"contents.role.{role}"] = None
        return _split(parts)

    def part(self, raw: msgspec.Raw, where: str) -> list[Part]:
        """One part; a signature that belongs to no call and no thought becomes an empty thought behind it."""
        left = fields(raw, where)
        signature = text(left.pop("thoughtSignature", None), f"{where}.thoughtSignature")
        thought = switch(left.pop("thought", None), f"{where}.thought")
        said = text(left.pop("text", None), f"{where}.text")
        found: list[Part] = []
        if "functionCall" in left:
            found.append(self._call(left.pop("functionCall"), f"{where}.functionCall", signature))
            signature = None
        elif "functionResponse" in left:
            found.append(self._result(left.pop("functionResponse"), f"{where}.functionResponse"))
        elif "inlineData" in left:
            found += self._inline(left.pop("inlineData"), f"{where}.inlineData")
        elif "fileData" in left:
            found += self._file(left.pop("fileData"), f"{where}.fileData")
        elif thought and said is not None:
            found.append(Thinking(said, signature))
            signature = None
        elif said or (said is not None and signature is None):
            found.append(Text(said))
        self._notes.rest(left, "contents.parts")
        return [*found, Thinking(signature=signature)] if signature else found

    def _call(self, raw: msgspec.Raw, where: str, signature: str | None) -> ToolUse:
        left = fields(raw, where)
        name = text(left.pop("name", None), f"{where}.name") or ""
        given = text(left.pop("id", None), f"{where}.id")
        arguments = left.pop("args", None)
        self._notes.rest(left, "contents.parts.functionCall")
        call_id = given or self._mint()
        self._used.add(call_id)  # a given one too, so that none is minted twice
        self._open.append((name, call_id))
        return ToolUse(call_id, name, "{}" if arguments is None else bytes(arguments).decode(), signature)

    def _mint(self) -> str:
        while f"call_{self._calls}" in self._used:
            self._calls += 1
        self._used.add(f"call_{self._calls}")
        return f"call_{self._calls}"

    def _result(self, raw: msgspec.Raw, where: str) -> ToolResult:
        left = fields(raw, where)
        name = text(left.pop("name", None), f"{where}.name") or ""
        call_id = self._close(name, text(left.pop("id", None), f"{where}.id"))
        said, is_error = _read_response(left.pop("response", None), f"{where}.response")
        parts: list[Text | Image | Document] = [said]
        for index, part in enumerate(items(left.pop("parts", None), f"{where}.parts")):
            for medium in self.part(part, f"{where}.parts[{index}]"):
                if isinstance(medium, Text | Image | Document):
                    parts.append(medium)
                else:
                    self._notes.foreign["contents.parts.functionResponse.parts"] = None
        self._notes.rest(left, "contents.parts.functionResponse")
        return ToolResult(call_id, tuple(parts), is_error, name or None)

    def _close(self, name: str, given: str | None) -> str:
        for place, (open_name, open_id) in enumerate(self._open):
            if given == open_id or (given is None and name == open_name):
                del self._open[place]
                return open_id
        return given or self._mint()

    def _inline(self, raw: msgspec.Raw, where: str) -> list[Part]:
        left = fields(raw, where)
        data = text(left.pop("data", None), f"{where}.data") or ""
        media_type = text(left.pop("mimeType", None), f"{where}.mimeType") or ""
        name = text(left.pop("displayName", None), f"{where}.displayName")
        kind, _, short = media_type.partition("/")
        self._notes.rest(left, "contents.parts.inlineData")
        self._nameless(name, kind)
        if not media_type:
            raise ClientMistake(f"{where}.mimeType: inline data needs it.", param=f"{where}.mimeType")
        if kind == "image":
            return [Image(data=data, media_type=media_type)]
        if kind == "audio":
            return [Audio(data, "mp3" if short == "mpeg" else short.removeprefix("x-"))]
        if kind == "video":  # no other protocol takes it, so there is no canonical part
            self._notes.foreign["contents.parts.inlineData.video"] = None
            return []
        return [Document(data=data, media_type=media_type, name=name)]

    def _file(self, raw: msgspec.Raw, where: str) -> list[Part]:
        """fileData by URL; what only Google can open (gs://, uploaded files, YouTube, video) is foreign."""
        left = fields(raw, where)
        url = text(left.pop("fileUri", None), f"{where}.fileUri") or ""
        media_type = text(left.pop("mimeType", None), f"{where}.mimeType") or media_type_of_url(url)
        name = text(left.pop("displayName", None), f"{where}.displayName")
        self._notes.rest(left, "contents.parts.fileData")
        split = urlsplit(url)
        host = split.hostname or ""
        kind = (media_type or "").partition("/")[0]
        private = any(host == google or host.endswith("." + google) for google in _GOOGLE_ONLY)
        if split.scheme not in ("http", "https") or private or kind not in ("image", "application", "text"):
            self._notes.foreign["contents.parts.fileData"] = None
            return []
        self._nameless(name, kind)
        if kind == "image":
            return [Image(url=url, media_type=media_type)]
        return [Document(url=url, media_type=media_type, name=name)]

    def _nameless(self, name: str | None, kind: str) -> None:
        """Only documents have a name that other protocols can say."""
        if name is not None and kind in ("image", "audio", "video"):
            self._notes.hints["contents.parts.displayName"] = None


def parse_part_texts(raw: msgspec.Raw, where: str) -> str:
    """All text of a content that may hold nothing else (embeddings)."""
    if bytes(raw).startswith(b'"'):
        return text(raw, where) or ""
    found: list[str] = []
    for index, part in enumerate(items(fields(raw, where).get("parts"), f"{where}.parts")):
        said = text(fields(part, f"{where}.parts[{index}]").get("text"), f"{where}.parts[{index}].text")
        if said is None:
            raise ClientMistake(f"{where}.parts[{index}]: only text can be embedded.", param=f"{where}.parts[{index}]")
        found.append(said)
    return "".join(found)


def _split(parts: list[Part]) -> list[Message]:
    messages: list[Message] = []
    said: list[Part] = []
    for part in parts:
        if not isinstance(part, ToolResult):
            said.append(part)
            continue
        if said:
            messages.append(Message("user", tuple(said)))
            said = []
        messages.append(Message("tool", (part,)))
    if said:
        messages.append(Message("user", tuple(said)))
    return messages


def _read_response(raw: msgspec.Raw | None, where: str) -> tuple[Text, bool]:
    """The result as text. Google's convention: a lone `output` or `error` is the result itself, else the whole is."""
    if raw is None:
        return Text("{}"), False
    found: Fields = fields(raw, where)
    if len(found) == 1:
        name, value = next(iter(found.items()))
        if name in ("output", "error") and bytes(value).startswith(b'"'):
            return Text(text(value, where) or ""), name == "error"
    return Text(bytes(raw).decode()), False
