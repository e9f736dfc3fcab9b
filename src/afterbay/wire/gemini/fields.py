"""Reading Gemini's JSON as Google reads it: either spelling of a name, one item for a list, null for nothing.

Google's servers take protocol buffers as JSON: `systemInstruction` and `system_instruction` are one field, a repeated
field may hold a lone object, a number may come as a string, and null means absent. Clients use all of it, mixed within
one body (recordings: `functionDeclarations` beside `parameters_json_schema`, `tools` and `parts` as lone objects).
Sub-values stay raw until somebody wants them, so that arguments and schemas pass as they were written.
Source: protobuf.dev/programming-guides/json (ProtoJSON), and recordings.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import msgspec

from afterbay.wire.decoding import mistake, not_json

T = TypeVar("T")
Buffer: TypeAlias = bytes | msgspec.Raw
Fields: TypeAlias = dict[str, msgspec.Raw]

_OBJECT = msgspec.json.Decoder(Fields)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_STRING = msgspec.json.Decoder(str)
_NUMBER = msgspec.json.Decoder(float, strict=False)
_INTEGER = msgspec.json.Decoder(int, strict=False)
_SWITCH = msgspec.json.Decoder(bool, strict=False)
_STRINGS = msgspec.json.Decoder(list[str])
_NULL = b"null"


def camel(name: str) -> str:
    """`max_output_tokens` -> `maxOutputTokens`; a name in camel case stays what it is."""
    if "_" not in name:
        return name
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


def join(where: str, name: str) -> str:
    """The path of the field `name` of the object at `where`."""
    return f"{where}.{name}" if where else name


def fields(raw: Buffer, where: str = "") -> Fields:
    """The fields of an object by their camel case names, without those that are null."""
    found = _decode(_OBJECT, raw, where)
    return {camel(name): value for name, value in found.items() if bytes(value) != _NULL}


def items(raw: Buffer | None, where: str) -> list[msgspec.Raw]:
    """The items of a repeated field; a lone object counts as a list of one."""
    if raw is None:
        return []
    if bytes(raw).lstrip().startswith(b"["):
        return _decode(_LIST, raw, where)
    return [raw if isinstance(raw, msgspec.Raw) else msgspec.Raw(raw)]


def text(raw: Buffer | None, where: str) -> str | None:
    """A string field, None when it is absent."""
    return None if raw is None else _decode(_STRING, raw, where)


def number(raw: Buffer | None, where: str) -> float | None:
    """A number field, None when it is absent."""
    return None if raw is None else _decode(_NUMBER, raw, where)


def integer(raw: Buffer | None, where: str) -> int | None:
    """An integer field (`40.0` and `"40"` count), None when it is absent."""
    return None if raw is None else _decode(_INTEGER, raw, where)


def switch(raw: Buffer | None, where: str) -> bool | None:
    """A boolean field, None when it is absent."""
    return None if raw is None else _decode(_SWITCH, raw, where)


def texts(raw: Buffer | None, where: str) -> tuple[str, ...]:
    """A list of strings, empty when it is absent; a lone string counts as a list of one."""
    if raw is None:
        return ()
    if bytes(raw).startswith(b'"'):
        return (_decode(_STRING, raw, where),)
    found: list[str] = _decode(_STRINGS, raw, where)
    return tuple(found)


def _decode(decoder: msgspec.json.Decoder[T], raw: Buffer, where: str) -> T:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise mistake(error, where) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_json(error, bytes(raw)) from None
