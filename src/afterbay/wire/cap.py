"""The most output that a body asks for: read, or lowered in place.

Only the object that holds the number is written anew, with its members as they were: a cache of prompts at the provider
looks at what they say.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

_Raws = dict[str, msgspec.Raw]


class _Place(msgspec.Struct, frozen=True):
    """Where a dialect says it: names of the object in the body (none: the body itself), and of the number in it."""

    names: tuple[str, ...]
    within: tuple[str, ...] = ()


_PLACES: Mapping[str, _Place] = MappingProxyType(
    {
        "openai.chat": _Place(("max_completion_tokens", "max_tokens")),
        "openai.responses": _Place(("max_output_tokens",)),
        "anthropic.messages": _Place(("max_tokens",)),
        "gemini": _Place(("maxOutputTokens", "max_output_tokens"), ("generationConfig", "generation_config")),
        "bedrock.converse": _Place(("maxTokens",), ("inferenceConfig",)),
        "cohere.chat": _Place(("max_tokens",)),
    }
)

_decode = msgspec.json.Decoder(_Raws).decode


def limit_of(dialect: str, body: bytes) -> int | None:
    """The most output tokens that a body asks for; None: it says nothing.

    Raises:
        msgspec.DecodeError: it is no JSON object.
    """
    place = _PLACES[dialect]
    return _told(_holder(_decode(body), place)[1], place)


def capped(dialect: str, body: bytes, tokens: int, name: str | None = None) -> bytes:
    """A body that asks for at most so many tokens; the same bytes, if it does so already.

    Args:
        dialect: the body's.
        body: a JSON object.
        tokens: the most, above 0.
        name: what the number is called where the body has none; by default what the dialect calls it.

    Raises:
        msgspec.DecodeError: it is no JSON object.
    """
    place = _PLACES[dialect]
    fields = _decode(body)
    within, holder = _holder(fields, place)
    told = _told(holder, place)
    if told is not None and told <= tokens:
        return body
    number = msgspec.Raw(b"%d" % tokens)
    named = [one for one in place.names if one in holder]
    for one in named:
        if bytes(holder[one]).strip() == b"null" or _number(holder[one]) is not None:
            holder[one] = number
    if not named:
        holder[name or place.names[0]] = number
    if within is not None:
        fields[within] = msgspec.Raw(msgspec.json.encode(holder))
    return msgspec.json.encode(fields)


def _holder(fields: _Raws, place: _Place) -> tuple[str | None, _Raws]:
    """The name of the object that holds the number, and the object; a new one, where there is none."""
    if not place.within:
        return None, fields
    name = next((one for one in place.within if one in fields), place.within[0])
    raw = fields.get(name)
    return name, _decode(raw) if raw is not None and bytes(raw).strip() != b"null" else {}


def _told(holder: _Raws, place: _Place) -> int | None:
    found = [number for one in place.names if one in holder and (number := _number(holder[one])) is not None]
    return min(found, default=None)


def _number(raw: msgspec.Raw) -> int | None:
    """A whole number above 0; anything else is no limit, or the provider's to refuse."""
    try:
        value = msgspec.json.decode(raw, type=int, strict=True)
    except msgspec.DecodeError:
        return None
    return value if value > 0 else None
