"""Changing one value in a JSON body without touching another byte.

A relay must not re-encode: key order, spacing and number forms are the client's, and providers' prompt caches look at
bytes. So the value of the top-level `model` is cut out and replaced in place.
"""

from __future__ import annotations

import re

import msgspec

_MODEL = re.compile(rb'"model"\s*:\s*"((?:[^"\\]|\\.)*)"')
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]')
_ESCAPED_LETTER = b"\\u006"
"""How a letter of `model` begins where it is escaped (m, o, d, e and l are U+006D, 6F, 64, 65 and 6C)."""


def replace_model(body: bytes, new: str) -> bytes:
    """`body` with the value of its top-level `model` replaced by `new`, every other byte as it was.

    Args:
        body: a JSON object with a string `model`, already decoded once without error.
        new: the model's name at the provider.
    """
    span = _model_span(body)
    start, end = span
    return body[:start] + msgspec.json.encode(new) + body[end:]


def rename_model(body: bytes, old: str, new: str) -> bytes:
    """`body` with every `"model": "models/OLD"` named anew: how Gemini's bodies repeat what their path says.

    Within a JSON string the quotes would be escaped, so what is found is a key and its value.
    """
    found = rb'("model"\s*:\s*)' + re.escape(msgspec.json.encode(f"models/{old}"))
    named = msgspec.json.encode(f"models/{new.removeprefix('models/')}")
    return re.sub(found, lambda match: match[1] + named, body)


def _model_span(body: bytes) -> tuple[int, int]:
    """Start and end of the quoted value.

    The quick way: a body that was decoded has a `model` at the top. Where no letter is escaped it is spelled as it is,
    so if `"model": "..."` occurs once in the bytes, this is it.
    """
    first = _MODEL.search(body)
    if first is not None and _ESCAPED_LETTER not in body and _MODEL.search(body, first.end()) is None:
        return first.start(1) - 1, first.end()
    return _scan(body)


def _scan(body: bytes) -> tuple[int, int]:
    """Walks the tokens of the object with its depth; the last `model` at the top wins, as in every JSON decoder."""
    depth, key, found = 0, None, None
    expect_key = False
    for token in _TOKEN.finditer(body):
        text = token.group()
        if text in (b"{", b"["):
            depth += 1
            expect_key = text == b"{"
        elif text in (b"}", b"]"):
            depth -= 1
        elif text == b",":
            expect_key = depth == 1
        elif text == b":":
            expect_key = False
        elif depth == 1 and expect_key:
            key = msgspec.json.decode(text)
        elif depth == 1 and key == "model":
            found = token.span()
    if found is None:
        raise ValueError("the body has no top-level string 'model'")
    return found
