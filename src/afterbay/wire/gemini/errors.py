"""Gemini's errors: `{"error": {"code", "message", "status", "details": [...]}}`, google.rpc.Status as JSON.

Source: google/rpc/error_details.proto and google/rpc/code.proto; recordings (404, 429, 400 with API_KEY_INVALID, 400
with the input too long).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from afterbay.core.errors import ErrorKind, GatewayError, ProviderError, kind_of_status
from afterbay.wire.decoding import plain_error_text
from afterbay.wire.reset_headers import duration_s, said_s
from afterbay.wire.reset_headers import wait_s as read_wait

_STATUS_KIND: Mapping[str, ErrorKind] = MappingProxyType(
    {
        "INVALID_ARGUMENT": "invalid_request",
        "FAILED_PRECONDITION": "invalid_request",
        "OUT_OF_RANGE": "invalid_request",
        "UNAUTHENTICATED": "authentication",
        "PERMISSION_DENIED": "permission",
        "NOT_FOUND": "not_found",
        "RESOURCE_EXHAUSTED": "rate_limit",
        "DEADLINE_EXCEEDED": "timeout",
        "UNAVAILABLE": "overloaded",
        "ABORTED": "server",
        "CANCELLED": "server",
        "INTERNAL": "server",
        "UNKNOWN": "server",
    }
)
_STATUS_NAME = MappingProxyType(
    {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        402: "RESOURCE_EXHAUSTED",
        404: "NOT_FOUND",
        408: "DEADLINE_EXCEEDED",
        409: "ABORTED",
        413: "INVALID_ARGUMENT",
        429: "RESOURCE_EXHAUSTED",
        499: "CANCELLED",
        500: "INTERNAL",
        501: "UNIMPLEMENTED",
        502: "UNAVAILABLE",
        503: "UNAVAILABLE",
        504: "DEADLINE_EXCEEDED",
        529: "UNAVAILABLE",
    }
)
_REASON_KIND: Mapping[str, ErrorKind] = MappingProxyType(
    {
        "API_KEY_INVALID": "authentication",
        "API_KEY_EXPIRED": "authentication",
        "API_KEY_SERVICE_BLOCKED": "authentication",
        "API_KEY_HTTP_REFERRER_BLOCKED": "authentication",
        "API_KEY_IP_ADDRESS_BLOCKED": "authentication",
        "ACCESS_TOKEN_EXPIRED": "authentication",
        "ACCESS_TOKEN_TYPE_UNSUPPORTED": "authentication",
        "CREDENTIALS_MISSING": "authentication",
        "ACCOUNT_STATE_INVALID": "authentication",
        "CONSUMER_INVALID": "permission",
        "CONSUMER_SUSPENDED": "permission",
        "SERVICE_DISABLED": "permission",
        "BILLING_DISABLED": "quota",
    }
)
"""What Google's services say in an ErrorInfo, whatever its status. Source: google/api/error_reason.proto."""
_ANOTHERS = re.compile(r"permission to access the (?:file|cached ?content|tuned ?model)", re.IGNORECASE)
"""A 403 about what the client named, which other keys do not cure."""
_NO_MONEY = re.compile(r"prepayment credits|please enable billing|billing account", re.IGNORECASE)
_ELSEWHERE = re.compile(r"user location is not supported", re.IGNORECASE)
_TOO_LONG = re.compile(r"input token count .*exceeds the maximum", re.IGNORECASE)
_TYPE = "type.googleapis.com/google.rpc."


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """What an error answer says; `headers` have lower-case names. HTML and empty bodies count by their status."""
    wait_s = read_wait(status, headers)
    try:
        found = msgspec.json.decode(body)
    except ValueError:
        found = None
    if isinstance(found, list) and found:  # a stream without alt=sse answers with an array
        found = found[0]
    error = found.get("error") if isinstance(found, dict) else None
    if isinstance(error, dict):
        return _read(error, status, wait_s)
    text = error if isinstance(error, str) else plain_error_text(body)
    return ProviderError(kind_of_status(status), text, status, retry_after_s=wait_s)


def read_error(raw: bytes | msgspec.Raw, status: int | None) -> ProviderError:
    """The `error` object of a chunk inside a stream, which says its own status."""
    error = msgspec.json.decode(raw)
    return _read(error if isinstance(error, dict) else {"message": str(error)}, status, None)


def _read(error: dict[str, Any], status: int | None, wait_s: float | None) -> ProviderError:
    code, message, name = error.get("code"), error.get("message"), error.get("status")
    if status is None:
        status = code if isinstance(code, int) else None
    text = message if isinstance(message, str) and message else str(name or f"HTTP {status}")
    name = name if isinstance(name, str) else None
    kind: ErrorKind = _STATUS_KIND.get(name or "") or (kind_of_status(status) if status else "server")
    told = error.get("details")
    details = [detail for detail in told if isinstance(detail, dict)] if isinstance(told, list) else []
    reason, param = name, None
    for detail in details:
        match str(detail.get("@type", "")).rpartition(".")[2]:
            case "RetryInfo":
                delay = detail.get("retryDelay")
                wish_s = duration_s(delay) if isinstance(delay, str) else None
                wait_s = wish_s if wish_s is not None else wait_s
            case "ErrorInfo" if detail.get("reason"):
                reason = str(detail["reason"])
            case "QuotaFailure" if _is_daily(detail):
                kind = "quota"
            case "BadRequest":
                param = _field(detail)
    if status == 402:  # whatever its name is: no money is left
        kind = "quota"
    kind = _kind_told(_REASON_KIND.get(reason or "") or kind, text)
    if kind == "rate_limit" and wait_s is None:
        wait_s = said_s(text)
    if _TOO_LONG.search(text):
        reason = "context_length_exceeded"
    return ProviderError(kind, text, status, reason, param, wait_s)


def _kind_told(kind: ErrorKind, text: str) -> ErrorKind:
    """The kind, where only the text says what a status means here. Texts: ai.google.dev/gemini-api/docs/troubleshooting
    (November 2026)."""
    if "api key not valid" in text.lower():
        return "authentication"
    if kind == "permission" and _ANOTHERS.search(text):
        return "invalid_request"
    if kind in ("invalid_request", "permission", "rate_limit") and _NO_MONEY.search(text):
        return "quota"
    return "permission" if kind == "invalid_request" and _ELSEWHERE.search(text) else kind


def _is_daily(detail: dict[str, Any]) -> bool:
    """Whether the quota is one of a day: waiting a minute will not help.
    Source: ai.google.dev/gemini-api/docs/rate-limits; quota ids end in PerDayPerProjectPerModel and the like."""
    return any(
        "PerDay" in str(violation.get("quotaId", "")) or "per_day" in str(violation.get("quotaMetric", ""))
        for violation in detail.get("violations") or []
        if isinstance(violation, dict)
    )


def _field(detail: dict[str, Any]) -> str | None:
    for violation in detail.get("fieldViolations") or []:
        if isinstance(violation, dict) and violation.get("field"):
            return str(violation["field"])
    return None


def status_name(status: int) -> str:
    """Google's word for an HTTP status."""
    return _STATUS_NAME.get(status) or ("INVALID_ARGUMENT" if 400 <= status < 500 else "INTERNAL")


def render_error(error: GatewayError, request_id: str = "") -> bytes:
    """The error body for a Gemini client. `error` comes first: google-genai looks for exactly that in a stream."""
    details: list[dict[str, Any]] = []
    if error.code:
        details.append({"@type": f"{_TYPE}ErrorInfo", "reason": error.code, "domain": "afterbay"})
    if error.param:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{error.retry_after_s:g}s"})
    if request_id:
        details.append({"@type": f"{_TYPE}RequestInfo", "requestId": request_id})
    said: dict[str, Any] = {"code": error.status, "message": error.text(), "status": status_name(error.status)}
    if details:
        said["details"] = details
    return msgspec.json.encode({"error": said})
