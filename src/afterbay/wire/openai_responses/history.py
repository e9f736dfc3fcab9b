"""What a store of responses needs of a body: which response it continues, and the items of its input.

Pure: the caller has the store. `expand` turns a body that continues a response into one that says everything itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import msgspec

from afterbay.wire.decoding import decode_object

_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "local_shell_call": "lsh",
}
"""What ids of items begin with, by type. Source: recordings, and the examples of the API reference."""

_NAMED = frozenset({"item_reference"})
"""Items whose id is not their own."""

_encode = msgspec.json.Encoder().encode


def previous_response_id(body: bytes) -> str | None:
    """The id of the response that this body continues; None: it continues none.

    Raises:
        ClientMistake: the body is not a JSON object.
    """
    value = decode_object(body).get("previous_response_id")
    return value if isinstance(value, str) and value else None


def expand(body: bytes, items: Iterable[bytes]) -> bytes:
    """The body with `items` (JSON objects, the turns so far in order) before its own input, and continuing nothing.

    Instructions of earlier bodies do not carry over, as at OpenAI. Key order stays, values too, as they were written.

    Raises:
        ClientMistake: the body is not a JSON object.
    """
    decode_object(body)  # the errors that a client understands
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    fields.pop("previous_response_id", None)
    own = fields.get("input", msgspec.Raw(b"[]"))
    fields["input"] = msgspec.Raw(_encode([*(msgspec.Raw(item) for item in items), *_raw_items(own)]))
    return _encode(fields)


def _raw_items(given: msgspec.Raw) -> list[msgspec.Raw]:
    said = bytes(given).lstrip()
    if said[:1] == b"[":
        return msgspec.json.decode(said, type=list[msgspec.Raw])
    if said[:1] == b'"':
        return [msgspec.Raw(_encode({"type": "message", "role": "user", "content": msgspec.Raw(said)}))]
    return []


def input_items(body: bytes) -> list[dict[str, Any]]:
    """The items of a body's input as `GET /responses/{id}/input_items` shows them: in full form, each with an id.

    An item that has no id gets one made of its place and content, always the same one. Instructions are no items.

    Raises:
        ClientMistake: the body is not a JSON object.
    """
    given = decode_object(body).get("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list):
        return []
    return [_shown(item, index) for index, item in enumerate(given) if isinstance(item, dict)]


def _shown(item: dict[str, Any], index: int) -> dict[str, Any]:
    kind = item.get("type")
    if not isinstance(kind, str):
        kind = "message" if "role" in item else "item"
    shown = {**item, "type": kind}
    if kind in _NAMED:
        return shown
    if not isinstance(item.get("id"), str):
        mark = blake2b(b"%d:%b" % (index, _encode(item)), digest_size=16).hexdigest()
        shown["id"] = f"{_PREFIXES.get(kind, kind)}_{mark}"
    if kind in ("message", "function_call", "function_call_output") and item.get("status") is None:
        shown["status"] = "completed"
    if kind == "message" and isinstance(item.get("content"), str):
        said = item["content"]
        own = {"type": "output_text", "text": said, "annotations": []}
        shown["content"] = [own if item.get("role") == "assistant" else {"type": "input_text", "text": said}]
    return shown
