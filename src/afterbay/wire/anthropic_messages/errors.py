"""Errors of the Messages API, both directions.

Source: platform.claude.com/docs/en/api/errors and /api/rate-limits (November 2026); the error models of the Python
SDK 2.13; the recordings. A 429 without a retry-after whose `details.error_code` names a spend limit will not pass by
waiting: that is `quota`, not `rate_limit`. Credit and content refusals come as 400 and are told by their message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from afterbay.core.errors import ErrorKind, GatewayError, ProviderError, kind_of_status
from afterbay.wire.decoding import plain_error_text
from afterbay.wire.reset_headers import wait_s as read_wait

_KIND: dict[str, ErrorKind] = {
    "invalid_request_error": "invalid_request",
    "authentication_error": "authentication",
    "billing_error": "quota",
    "permission_error": "permission",
    "not_found_error": "not_found",
    "conflict_error": "server",
    "request_too_large": "too_large",
    "rate_limit_error": "rate_limit",
    "timeout_error": "timeout",
    "api_error": "server",
    "overloaded_error": "overloaded",
}

_TYPE: dict[ErrorKind, str] = {
    "invalid_request": "invalid_request_error",
    "authentication": "authentication_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "too_large": "request_too_large",
    "timeout": "timeout_error",
    "rate_limit": "rate_limit_error",
    "quota": "billing_error",
    "content_filter": "invalid_request_error",
    "overloaded": "overloaded_error",
    "server": "api_error",
    "connection": "api_error",
    "cut": "api_error",
}

_SPENT = frozenset(
    {
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "linked_organization_spend_limit_reached",
        "insufficient_quota",
    },
)
_SPENT_MESSAGES = (
    "credit balance is too low",
    "reached your specified api usage limits",
    "reached your api usage limits",
)
_CLOSED_MESSAGES = ("organization has been disabled", "oauth token has expired", "oauth token has been revoked")
"""The account is closed, or its token ended, whatever type and status it is told with."""
_PARAM = re.compile(r"^([a-z_]+(?:\.\w+)*): ")
_NUMBER = re.compile(r"\.(\d+)")


class ErrorBody(msgspec.Struct):
    """The inner object of an error answer or of an error event."""

    type: str = ""
    message: str = ""
    details: Any = None


class _Envelope(msgspec.Struct):
    error: ErrorBody


_DECODER = msgspec.json.Decoder(_Envelope)


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Reads an error answer: this API's envelope, or whatever a proxy in between put in its place."""
    wait_s = read_wait(status, headers)
    try:
        error = _DECODER.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = f"HTTP {status}: {plain_error_text(body)}"
        return ProviderError(kind_of_status(status), message, status, retry_after_s=wait_s)
    return from_body(error, status, wait_s)


def from_body(error: ErrorBody, status: int | None, wait_s: float | None = None) -> ProviderError:
    """The canonical error; `status` is None inside a stream."""
    kind = _KIND.get(error.type) or (kind_of_status(status) if status is not None else "server")
    code = error.details.get("error_code") if isinstance(error.details, dict) else None
    code = code if isinstance(code, str) else None
    said = error.message.lower()
    if code in _SPENT or any(text in said for text in _SPENT_MESSAGES):
        kind = "quota"
    elif kind in ("invalid_request", "permission") and any(text in said for text in _CLOSED_MESSAGES):
        kind = "authentication"
    elif kind == "invalid_request" and "content filtering policy" in said:
        kind = "content_filter"
    elif kind == "invalid_request" and said.startswith("prompt is too long"):
        code = code or "context_length_exceeded"
    param = _PARAM.match(error.message)
    return ProviderError(
        kind,
        error.message or error.type or "an error without a message",
        status,
        code or error.type or None,
        _NUMBER.sub(r"[\1]", param.group(1)) if param else None,
        wait_s,
    )


def render_error(error: GatewayError, request_id: str) -> bytes:
    """The error as this API's clients expect it.

    Its SDK holds a conversation of `thread` on the server (tool runner, 2.13), and goes on without one where the error
    has the code for that. Source: the SDK's `ThreadUnsupportedRequestErrorDetails`, November 2026.
    """
    code = error.code
    if code == "unsupported_field" and "thread" in (error.param or "").split(", "):
        code = "thread_unsupported_request"
    body = error_object(error.kind, error.text(), error.status, code)
    return msgspec.json.encode(body | {"request_id": request_id} if request_id else body)


def error_object(kind: ErrorKind, message: str, status: int | None, code: str | None) -> dict[str, Any]:
    """`{"type": "error", "error": {...}}`. A 429 for money keeps the type of 429 and says why in its details."""
    inner: dict[str, Any] = {"type": _TYPE[kind], "message": message}
    if kind == "quota" and status == 429:
        inner |= {"type": "rate_limit_error", "details": {"error_code": code or "insufficient_quota"}}
    elif code is not None:
        inner["details"] = {"error_code": code}
    return {"type": "error", "error": inner}
