"""`usage: ask`: a relayed stream is made to tell its usage, and a client that did not ask for it does not see it."""

from __future__ import annotations

import msgspec

from afterbay.wire.sse import SseEvent

_ASK = b'"stream_options":{"include_usage":true}'


class _Options(msgspec.Struct):
    include_usage: bool | None = None


class _Peek(msgspec.Struct):
    stream_options: _Options | None = None


class _Chunk(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None


_peek = msgspec.json.Decoder(_Peek).decode
_chunk = msgspec.json.Decoder(_Chunk).decode


def ask_for_usage(body: bytes) -> bytes | None:
    """The body of a stream request with `include_usage` set; None where the client has set it itself.

    Args:
        body: a JSON object that was decoded once without error, not empty.
    """
    options = _peek(body).stream_options
    if options is not None and options.include_usage:
        return None
    if b'"stream_options"' not in body:
        return body.rstrip()[:-1] + b"," + _ASK + b"}"
    data = msgspec.json.decode(body)
    data["stream_options"] = {**(data.get("stream_options") or {}), "include_usage": True}
    return msgspec.json.encode(data)


def without_usage(sse: list[SseEvent]) -> bytes:
    """The bytes of these events without the chunk that holds nothing but usage."""
    return b"".join(b"data: " + data + b"\n\n" for _, data in sse if not _is_usage_alone(data))


def _is_usage_alone(data: bytes) -> bool:
    if b'"usage"' not in data:
        return False
    try:
        return _chunk(data).choices == []
    except msgspec.DecodeError:
        return False
