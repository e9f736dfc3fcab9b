"""From bytes to typed structs, with errors that name the field."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from afterbay.core.errors import ClientMistake

T = TypeVar("T")

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_decode = msgspec.json.Decoder().decode
_WHOLE = re.compile(rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
"""What is left of an escaped surrogate pair where `_WHOLE` finds no pair (nor a backslash that is itself escaped)."""


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a request body holds.

    Raises:
        ClientMistake: the body is not JSON, or not an object.
    """
    try:
        data = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_json(error, body) from None
    except RecursionError:
        raise too_deep() from None
    if not isinstance(data, dict):
        raise ClientMistake(
            f"The request body must be a JSON object, not {_json_name(data)}.",
            code="invalid_json",
            remedy="Send one JSON object.",
        )
    return data


def not_json(error: Exception, body: bytes = b"") -> ClientMistake:
    """The error for a body that is no JSON, perhaps only deep inside of what is looked at last.

    `body`: what was read. Of half a surrogate pair at a string's end the decoder says that the input ends there.
    """
    if _HALF.search(_WHOLE.sub(b"  ", body)):
        return ClientMistake(
            "The request body is not valid JSON: a string has half a surrogate pair, such as \\ud83d alone.",
            code="invalid_json",
            remedy="Cut text between characters, not between the two halves of one, and send again.",
        )
    return ClientMistake(
        f"The request body is not valid JSON: {error}."[:300],
        code="invalid_json",
        remedy="Send one JSON object, UTF-8, with content-type application/json.",
    )


def too_deep() -> ClientMistake:
    """The error for a body whose arrays and objects lie deeper in each other than a decoder follows."""
    return ClientMistake(
        "The request body is nested too deeply.",
        code="invalid_json",
        remedy="Send JSON of a few hundred levels at most.",
    )


def convert(data: object, into: type[T], at: str = "") -> T:
    """Decoded JSON as `into` (a type, or a union of structs). `at` is the path of `data` in the body.

    Raises:
        ClientMistake: a field has the wrong type or is missing; `param` names it (`messages[0].role`).
    """
    try:
        return msgspec.convert(data, into)
    except msgspec.ValidationError as error:
        raise mistake(error, at) from None


def mistake(error: msgspec.ValidationError, at: str = "") -> ClientMistake:
    """A validation error as one for the client, naming the field; `at` is the path of what was validated."""
    match = _AT.match(str(error))
    what, path = (match["what"], match["path"]) if match else (str(error), None)
    field = (at + (path or "").removeprefix("$")).lstrip(".").replace("[...]", "[*]")
    missing = re.match(r"Object missing required field `(.+)`", what)
    if missing:
        field = f"{field}.{missing[1]}" if field else missing[1]
        return ClientMistake(
            f"The field '{field}' is missing.", param=field, code="missing_field", remedy="Add it and send again."
        )
    where = f"The field '{field}'" if field else "The request body"
    return ClientMistake(
        f"{where} is not right: {what[:1].lower()}{what[1:]}.",
        param=field or None,
        code="invalid_type",
        remedy="Correct the field and send again.",
    )


def _json_name(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    return "a string" if isinstance(value, str) else "an array"


def plain_error_text(body: bytes) -> str:
    """A short, one-line text of an error body that no dialect understands (a proxy's HTML page, plain text)."""
    text = re.sub(r"<[^>]*>", " ", body[:4000].decode("utf-8", "replace"))
    return " ".join(text.split())[:300] or "an empty body"
