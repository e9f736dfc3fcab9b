"""The shape of a request: what it is made of, without anything that was said.

Every text becomes a measure, `~120.20.0~`: 120 characters, 20 words, none of them Chinese, Japanese or Korean. Names
(of tools, of fields in schemas and arguments, ids) become numbered ones, the same for the same, so that what belongs
together still does. Numbers in arguments become 0, media an empty image. Kept are roles, the order of parts, the form
of schemas, limits and sampling.

`filled` puts text of the same measure where a measure stands, so that estimates of tokens, windows, and rules that
count words say the same as they did of the request itself.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from afterbay.core.message import Audio, Document, Image, Message, Part, Refusal, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, EmbedRequest, ResponseFormat, ToolChoice, ToolSpec

_CJK: Final = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff\uac00-\ud7af]")
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_MEASURE: Final = re.compile(r"~(\d{1,9})\.(\d{1,9})\.(\d{1,9})~")
_TERM: Final = re.compile(r"[A-Za-z0-9_.+/-]{1,40}")
"""What may be a word of a protocol: a type, a format, an effort."""
_MOST_CHARS: Final = 32 * 1024 * 1024
"""No filler is longer, whatever its measure says."""
_DEPTH: Final = 64
"""What is nested deeper in a schema or in arguments is left out."""

_PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
_URL: Final = "https://example.invalid/media"

_PLAIN: Final = frozenset(
    [
        "type",
        "format",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "nullable",
        "additionalProperties",
    ]
)
_INNER: Final = frozenset(["items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"])
_LISTS: Final = frozenset(["anyOf", "oneOf", "allOf", "prefixItems"])
_NAMED: Final = frozenset(["properties", "$defs", "definitions", "patternProperties"])
_VALUES: Final = frozenset(["enum", "const", "default", "examples"])
"""Keywords of JSON Schema by what stands in them: a plain value, a schema, schemas, schemas by name, values."""


def measure(text: str) -> str:
    """The measure that stands for a text."""
    rest, cjk = _CJK.subn(" ", text)
    return f"~{len(text) - cjk}.{len(_WORD.findall(rest))}.{cjk}~"


def filled(shape: str, beginning: str = "") -> str:
    """The shape with text in place of measures. `beginning`: how the last of the longest ones begins."""
    found = list(_MEASURE.finditer(shape))
    longest = max((int(one[1]) for one in found), default=0)
    last = max((i for i, one in enumerate(found) if int(one[1]) == longest), default=-1)
    parts: list[str] = []
    at, left = 0, _MOST_CHARS
    for i, one in enumerate(found):
        chars, words, cjk = (min(int(number), left) for number in one.groups())
        left = max(left - chars - cjk, 0)
        parts += [shape[at : one.start()], filler(chars, words, cjk, beginning if i == last else "")]
        at = one.end()
    return "".join([*parts, shape[at:]])


def filler(chars: int, words: int, cjk: int = 0, beginning: str = "") -> str:
    """Text of so many characters and words, and so many Chinese characters after it; made of one letter."""
    words = min(words, (chars + 1) // 2)
    if not words:
        return "." * chars + "\u5b57" * cjk
    length, longer = divmod(chars - (words - 1), words)
    text = " ".join("x" * (length + (i < longer)) for i in range(words))
    if beginning and len(beginning) < chars:
        text = beginning + " " + text[len(beginning) + 1 :]
    return text + "\u5b57" * cjk


class _Names:
    """Numbered names in place of real ones."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def of(self, kind: str, name: str) -> str:
        """The name that stands for this one."""
        return self._known.setdefault((kind, name), f"{kind}_{len(self._known) + 1}")


def shaped(request: ChatRequest) -> ChatRequest:
    """The request without what was said in it. `foreign` and `hints` are names of fields, and stay."""
    names = _Names()
    choice, form, thought = request.tool_choice, request.response_format, request.reasoning
    return msgspec.structs.replace(
        request,
        messages=tuple(_message(one, names) for one in request.messages),
        tools=tuple(
            ToolSpec(
                names.of("tool", tool.name),
                measure(tool.description) if tool.description is not None else None,
                _json(tool.schema, names, is_schema=True),
                tool.strict,
            )
            for tool in request.tools
        ),
        tool_choice=ToolChoice(choice.mode, names.of("tool", choice.name) if choice.name else None) if choice else None,
        response_format=_form(form, names) if form is not None else None,
        sampling=msgspec.structs.replace(
            request.sampling,
            stop=tuple(" " if not one.strip() else "x" * min(len(one), 64) for one in request.sampling.stop),
            logit_bias=b"{}" if request.sampling.logit_bias is not None else None,
        ),
        reasoning=msgspec.structs.replace(thought, effort=_word(thought.effort)) if thought is not None else None,
        foreign=tuple(one for one in request.foreign if _TERM.fullmatch(one)),
        hints=tuple(one for one in request.hints if _TERM.fullmatch(one)),
    )


def shaped_inputs(request: EmbedRequest) -> EmbedRequest:
    """A request for vectors without what was said in it."""
    inputs = tuple(measure(one) if isinstance(one, str) else (0,) * len(one) for one in request.inputs)
    return msgspec.structs.replace(request, inputs=inputs)


def _form(form: ResponseFormat, names: _Names) -> ResponseFormat:
    return ResponseFormat(
        form.kind,
        names.of("form", form.name) if form.name else None,
        _json(form.schema, names, is_schema=True) if form.schema is not None else None,
        form.strict,
        measure(form.description) if form.description is not None else None,
    )


def _message(message: Message, names: _Names) -> Message:
    name = names.of("name", message.name) if message.name else None
    return Message(message.role, tuple(_part(part, names) for part in message.parts), name)


def _part(part: Part, names: _Names) -> Part:
    match part:
        case Text():
            return Text(measure(part.text))
        case Refusal():
            return Refusal(measure(part.text))
        case Thinking():  # without its proofs: they are of text that is not there any more
            return Thinking(measure(part.text))
        case ToolUse():
            arguments = _json(part.arguments.encode("utf-8", "replace"), names, is_schema=False).decode()
            return ToolUse(names.of("call", part.id), names.of("tool", part.name), arguments)
        case ToolResult():
            inner = tuple(one for item in part.parts if isinstance(one := _part(item, names), Text | Image | Document))
            name = names.of("tool", part.name) if part.name else None
            return ToolResult(names.of("call", part.id), inner, part.is_error, name)
        case Image():
            if part.url is not None:
                return Image(url=_URL, detail=_word(part.detail))
            return Image(data=_PIXEL, media_type="image/png", detail=_word(part.detail))
        case Document():
            kind = _word(part.media_type)
            if part.text is not None:
                return Document(text=measure(part.text), media_type=kind)
            return Document(url=_URL, media_type=kind) if part.url is not None else Document(data="", media_type=kind)
        case Audio():
            return Audio("", _word(part.format))


def _json(text: bytes, names: _Names, *, is_schema: bool) -> bytes:
    """The shape of a schema, or of a call's arguments; of what is no JSON, nothing."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b"{}"
    return msgspec.json.encode(_schema(value, names) if is_schema else _value(value, names))


def _value(value: Any, names: _Names, depth: int = 0) -> Any:
    if depth > _DEPTH:
        return None
    if isinstance(value, dict):
        return {names.of("field", key): _value(inner, names, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_value(inner, names, depth + 1) for inner in value]
    if isinstance(value, str):
        return measure(value)
    return value if value is None else False if isinstance(value, bool) else 0


def _schema(value: Any, names: _Names, depth: int = 0) -> Any:
    if not isinstance(value, dict) or depth > _DEPTH:
        return value if isinstance(value, bool) else {}
    kept: dict[str, Any] = {}
    for key, inner in value.items():
        if key in _NAMED and isinstance(inner, dict):
            kept[key] = {names.of("field", name): _schema(one, names, depth + 1) for name, one in inner.items()}
        elif key in _LISTS and isinstance(inner, list):
            kept[key] = [_schema(one, names, depth + 1) for one in inner]
        elif key == "required" and isinstance(inner, list):
            kept[key] = [names.of("field", one) for one in inner if isinstance(one, str)]
        elif key == "$ref" and isinstance(inner, str):
            kept[key] = _reference(inner, names)
        elif key in _VALUES:
            kept[key] = _listed(inner, names)
        elif key in _INNER and isinstance(inner, dict):
            kept[key] = _schema(inner, names, depth + 1)
        elif key in _PLAIN and not isinstance(inner, dict):
            kept[key] = [_word(one) for one in inner] if isinstance(inner, list) else _word(inner)
        elif key in ("description", "title") and isinstance(inner, str):
            kept[key] = measure(inner)
    return kept


def _word(value: Any) -> Any:
    """A word of a protocol as it is; other text only as such."""
    return value if not isinstance(value, str) or _TERM.fullmatch(value) else "x"


def _reference(text: str, names: _Names) -> str:
    head, _, name = text.rpartition("/")
    return f"{head}/{names.of('field', name)}" if head in ("#/$defs", "#/definitions", "#/properties") else "#"


def _listed(value: Any, names: _Names) -> Any:
    """Values of an `enum` and the like: as many, and of the same kinds."""
    if isinstance(value, list):
        return [_listed(one, names) for one in value]
    if isinstance(value, str):
        return names.of("value", value)
    if isinstance(value, dict):
        return {}
    return value
