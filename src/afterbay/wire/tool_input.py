"""The arguments of a call where they are a JSON value and no text: `input`, in Anthropic's API and in Amazon's."""

from __future__ import annotations

from typing import Any

import msgspec

RAW_ARGUMENTS = "_raw_arguments"
"""Key under which arguments that are not a JSON object travel in a request, where `input` has to be one."""


class _Object(msgspec.Struct):
    """Decodes any JSON object and nothing else, without building it."""


_OBJECT = msgspec.json.Decoder(_Object)


def asked_input(arguments: str) -> Any:
    """`input` of a call in a request: an object, whatever the arguments are."""
    text = arguments.strip()
    if text in ("", "null"):
        return {}
    try:
        _OBJECT.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return {RAW_ARGUMENTS: arguments}
    return msgspec.Raw(text.encode())


def answered_input(arguments: str) -> Any:
    """`input` of a call in an answer. Cut-off or invalid text goes as a string: what the model wrote, plainly not an
    object."""
    text = arguments.strip()
    if text in ("", "null"):
        return {}
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return arguments
    return msgspec.Raw(text.encode())


def arguments_of(text: str) -> str:
    """The arguments that the JSON text of an `input` stands for: those under `RAW_ARGUMENTS`, else the text itself."""
    if RAW_ARGUMENTS in text:
        tree = msgspec.json.decode(text)
        if list(tree) == [RAW_ARGUMENTS] and isinstance(tree[RAW_ARGUMENTS], str):
            return str(tree[RAW_ARGUMENTS])
    return text
