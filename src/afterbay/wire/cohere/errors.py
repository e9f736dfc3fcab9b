"""Errors of Cohere's API: `{"id", "message"}`, with `error_type` where the provider has a word for it.

Sources: docs.cohere.com/reference/errors (November 2026); recordings (401, 404, and 400 with TOO_MANY_TOKENS).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from afterbay.core.errors import ErrorKind, GatewayError, ProviderError, kind_of_status
from afterbay.wire.decoding import plain_error_text
from afterbay.wire.reset_headers import wait_s as read_wait

_CODE = {"TOO_MANY_TOKENS": "context_length_exceeded"}
"""Words of the provider that others say otherwise."""


class _Body(msgspec.Struct):
    message: str
    error_type: str | None = None


_decode = msgspec.json.Decoder(_Body).decode


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Reads an error answer, or whatever a proxy in between put in its place."""
    wait_s = read_wait(status, headers)
    try:
        read = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = f"HTTP {status}: {plain_error_text(body)}"
        return ProviderError(kind_of_status(status), message, status, retry_after_s=wait_s)
    message = read.message or f"HTTP {status} without a message"
    code = _CODE.get(read.error_type or "", read.error_type)
    return ProviderError(_kind(status, message), message, status, code, retry_after_s=wait_s)


def _kind(status: int, message: str) -> ErrorKind:
    """A trial key's calls a month are not back in a minute: waiting does not cure such a 429."""
    said = message.lower()
    if status == 429 and ("/ month" in said or "per month" in said):
        return "quota"
    return kind_of_status(status)


def render_error(error: GatewayError, request_id: str) -> bytes:
    """The error as Cohere's clients read it."""
    body = {"id": request_id, "message": error.text()}
    return msgspec.json.encode(body | ({"error_type": error.code} if error.code is not None else {}))
