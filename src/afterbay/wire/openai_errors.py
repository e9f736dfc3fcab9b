"""Errors of OpenAI's protocols: `{"error": {"message", "type", "param", "code"}}`, and what hosts made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from afterbay.core.errors import ErrorKind, GatewayError, ProviderError, kind_of_status
from afterbay.wire.decoding import plain_error_text, retry_after_s

_QUOTA_CODES = frozenset({"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"})
"""429s that waiting does not cure. Source: OpenAI's error codes guide."""

_FILTER_CODES = frozenset({"content_filter", "ResponsibleAIPolicyViolation"})
"""400s of Azure's filter on prompts. Source: learn.microsoft.com, Azure OpenAI content filtering, November 2026."""

_TYPE_KIND: dict[str, ErrorKind] = {
    "invalid_request_error": "invalid_request",
    "authentication_error": "authentication",
    "permission_error": "permission",
    "not_found_error": "not_found",
    "rate_limit_error": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "overloaded_error": "overloaded",
    "server_is_overloaded": "overloaded",
    "server_error": "server",
    "api_error": "server",
    "content_filter": "content_filter",
    "context_length_exceeded": "invalid_request",
    "invalid_prompt": "invalid_request",
    "bio_policy": "content_filter",
    "cyber_policy": "content_filter",
    "image_content_policy_violation": "content_filter",
}

TYPE_OF_KIND: dict[ErrorKind, str] = {
    "invalid_request": "invalid_request_error",
    "authentication": "authentication_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "too_large": "invalid_request_error",
    "timeout": "timeout_error",
    "rate_limit": "rate_limit_error",
    "quota": "insufficient_quota",
    "content_filter": "invalid_request_error",
    "overloaded": "overloaded_error",
    "server": "server_error",
    "connection": "server_error",
    "cut": "server_error",
}


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Reads an error answer of any host."""
    wait = retry_after_s(headers)
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ProviderError(kind_of_status(status), plain_error_text(body), status, retry_after_s=wait)
    return read_error(data, status, wait)


def read_error(data: object, status: int | None, retry_after: float | None = None) -> ProviderError:
    """Reads a decoded error: the object under `error`, a string there, or the fields of the body itself.

    `status` None: the error came inside a stream, and its own code decides.
    """
    inner: Any = data
    if isinstance(data, dict) and data.get("error"):
        inner = data["error"]
    if isinstance(inner, str):
        code = data.get("code") if isinstance(data, dict) and isinstance(data.get("code"), str) else None
        return ProviderError(_kind(status, code, None), inner, status, code, None, retry_after)
    if not isinstance(inner, dict):
        text = msgspec.json.encode(data).decode()[:300]
        return ProviderError(_kind(status, None, None), text, status, retry_after_s=retry_after)
    message = inner.get("message") or inner.get("detail") or inner.get("error")
    if not isinstance(message, str):
        message = msgspec.json.encode(message if message else inner).decode()[:1000]
    if status is None:
        status = _status_inside(inner)
    code = inner.get("code")
    param = inner.get("param")
    kind = inner.get("type")
    return ProviderError(
        _kind(status, str(code) if code is not None else None, kind if isinstance(kind, str) else None),
        message,
        status,
        str(code) if code is not None else None,
        param if isinstance(param, str) else None,
        retry_after,
    )


def _status_inside(inner: dict[str, Any]) -> int | None:
    """The HTTP status that an error inside a stream names (`code` at OpenRouter, `status_code` at Groq)."""
    for key in ("status_code", "code", "status"):
        value = inner.get(key)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return None


def _kind(status: int | None, code: str | None, kind: str | None) -> ErrorKind:
    if code in _QUOTA_CODES or kind in _QUOTA_CODES:
        return "quota"
    if status == 400 and code in _FILTER_CODES:
        return "content_filter"
    if status is not None:
        return kind_of_status(status)
    return _TYPE_KIND.get(kind or "") or _TYPE_KIND.get(code or "") or "server"


def render_error(error: GatewayError, request_id: str) -> bytes:
    """An error body as OpenAI's SDKs read it."""
    return msgspec.json.encode(
        {
            "error": {
                "message": error.text(),
                "type": TYPE_OF_KIND[error.kind],
                "param": error.param,
                "code": error.code,
            },
            "request_id": request_id,
        }
    )
