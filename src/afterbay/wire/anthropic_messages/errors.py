"""Errors of the Messages API, both directions.

Source: platform.claude.com/docs/en/api/errors and /api/rate-limits (November 2026); the error models of the Python
SDK 2.13; the recordings. A 429 without a retry-after whose `details.error_code` names a spend limit will not pass by
waiting: that is `quota`, not `rate_limit`. Credit and content refusals come as 400 and are told by their message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from afterbay.core.errors import ErrorKind, GatewayError, ProviderError, kind_of_status

_KIND: dict[str, ErrorKind] = {
    "invalid_request_error": "invalid_request",
    "authentication_error": "authentication",
    "billing_error": "quota",
    "permission_error": "permission",
    "not_found_error": "not_found",
    "conflict_error": "invalid_request",
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
_SPENT_MESSAGES = ("credit balance is too low", "reached your specified api usage limits")
_PARAM = re.compile(r"^([a-z_]+(?:\.\w+)*): ")
_NUMBER = re.compile(r"\.(\d+)")
_TAG = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HTTP_DATE = re.compile(r"^\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$")
_SHOWN_CHARS = 300


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
    wait_s = retry_after_s(headers)
    try:
        error = _DECODER.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = " ".join(_TAG.sub(" ", body.decode("utf-8", "replace")).split())[:_SHOWN_CHARS]
        message = f"HTTP {status}: {text}" if text else f"HTTP {status} without a message"
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


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The wish to wait: `retry-after-ms`, or `retry-after` in seconds or as an HTTP date (RFC 9110, section 10.2.3).

    A date counts from the answer's own `date` header, so that no clock is needed and none can be wrong.
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        try:
            wait = float(value) * scale
        except ValueError:
            continue
        if 0 <= wait < float("inf"):
            return wait
    until, now = _http_date(headers.get("retry-after", "")), _http_date(headers.get("date", ""))
    return max((until - now).total_seconds(), 0.0) if until is not None and now is not None else None


def _http_date(text: str) -> datetime | None:
    found = _HTTP_DATE.match(text.strip())
    if found is None or found.group(2) not in _MONTHS:
        return None
    day, month, *rest = found.groups()
    year, hour, minute, second = map(int, rest)
    try:
        return datetime(year, _MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def render_error(error: GatewayError, request_id: str) -> bytes:
    """The error as this API's clients expect it."""
    body = error_object(error.kind, error.text(), error.status, error.code)
    return msgspec.json.encode(body | {"request_id": request_id} if request_id else body)


def error_object(kind: ErrorKind, message: str, status: int | None, code: str | None) -> dict[str, Any]:
    """`{"type": "error", "error": {...}}`. A 429 for money keeps the type of 429 and says why in its details."""
    inner: dict[str, Any] = {"type": _TYPE[kind], "message": message}
    if kind == "quota" and status == 429:
        inner |= {"type": "rate_limit_error", "details": {"error_code": code or "insufficient_quota"}}
    elif code is not None:
        inner["details"] = {"error_code": code}
    return {"type": "error", "error": inner}
