"""Bedrock's errors: `{"message": ...}` with the type in the header `x-amzn-errortype`, or as an exception frame.

Source: the service model's error shapes; docs.aws.amazon.com "Common error types" and "Troubleshooting Amazon Bedrock
API error codes" (November 2026); recordings. An error type may carry a namespace (`com.amazon.coral...#Name`) and a
suffix (`Name:http://internal...`), its body may say `Message` and `__type` (smithy.io, restJson1, "Operation error
serialization").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from afterbay.core.errors import ErrorKind, GatewayError, ProviderError, kind_of_status
from afterbay.wire.decoding import plain_error_text
from afterbay.wire.reset_headers import wait_s as read_wait

_KIND: Mapping[str, ErrorKind] = MappingProxyType(
    {
        "validationexception": "invalid_request",
        "serializationexception": "invalid_request",
        "conflictexception": "invalid_request",
        "unrecognizedclientexception": "authentication",
        "invalidsignatureexception": "authentication",
        "incompletesignatureexception": "authentication",
        "missingauthenticationtokenexception": "authentication",
        "expiredtokenexception": "authentication",
        "invalidclienttokenid": "authentication",
        "accessdeniedexception": "permission",
        "optinrequired": "permission",
        "resourcenotfoundexception": "not_found",
        "unknownoperationexception": "not_found",
        "requestentitytoolargeexception": "too_large",
        "modeltimeoutexception": "timeout",
        "requesttimeoutexception": "timeout",
        "throttlingexception": "rate_limit",
        "toomanyrequestsexception": "rate_limit",
        "servicequotaexceededexception": "quota",
        "modelnotreadyexception": "overloaded",
        "serviceunavailableexception": "overloaded",
        "internalserverexception": "server",
        "internalservererror": "server",
        "modelerrorexception": "server",
        "modelstreamerrorexception": "server",
    }
)
"""By the type's name in lower case: frames begin with a small letter (`throttlingException`)."""

_TYPE: Mapping[ErrorKind, str] = MappingProxyType(
    {
        "invalid_request": "ValidationException",
        "authentication": "UnrecognizedClientException",
        "permission": "AccessDeniedException",
        "not_found": "ResourceNotFoundException",
        "too_large": "RequestEntityTooLargeException",
        "timeout": "ModelTimeoutException",
        "rate_limit": "ThrottlingException",
        "quota": "ServiceQuotaExceededException",
        "content_filter": "ValidationException",
        "overloaded": "ServiceUnavailableException",
        "server": "InternalServerException",
        "connection": "InternalServerException",
        "cut": "InternalServerException",
    }
)

_TOO_LONG = re.compile(r"(?:input|prompt) is too long|too many input tokens|maximum context length", re.IGNORECASE)
_DAILY = re.compile(r"tokens? per day|per-day|daily", re.IGNORECASE)


class _Body(msgspec.Struct):
    message: str | None = None
    upper: str | None = msgspec.field(name="Message", default=None)
    type: str | None = msgspec.field(name="__type", default=None)
    original: str | None = msgspec.field(name="originalMessage", default=None)


_DECODER = msgspec.json.Decoder(_Body)


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """What an error answer says; `headers` have lower-case names. What is not Bedrock's counts by its status."""
    wait_s = read_wait(status, headers)
    named = headers.get("x-amzn-errortype", "")
    try:
        found = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = _Body(message=f"HTTP {status}: {plain_error_text(body)}")
    return _error(named or found.type or "", found, status, wait_s)


def parse_exception(name: str, payload: bytes) -> ProviderError:
    """The error of an exception frame inside a stream."""
    try:
        found = _DECODER.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = _Body(message=plain_error_text(payload))
    return _error(name, found, None, None)


def _error(named: str, found: _Body, status: int | None, wait_s: float | None) -> ProviderError:
    name = named.partition(":")[0].rpartition("#")[2]
    kind = _KIND.get(name.lower()) or (kind_of_status(status) if status is not None else "server")
    said = found.message or found.upper or found.original or name or f"HTTP {status}"
    code: str | None = name[:1].upper() + name[1:] or None
    if kind == "rate_limit" and _DAILY.search(said):  # "Too many tokens per day": a minute's wait will not help
        kind = "quota"
    elif kind == "invalid_request" and "content filtering policy" in said:
        kind = "content_filter"
    elif kind == "invalid_request" and _TOO_LONG.search(said):
        code = "context_length_exceeded"
    return ProviderError(kind, said, status, code, None, wait_s)


def render_error(error: GatewayError, request_id: str = "") -> bytes:
    """The error's body. Its type goes beside the message, since a dialect writes no headers."""
    return msgspec.json.encode({"__type": _TYPE[error.kind], "message": error.text()})


def exception_of(kind: ErrorKind) -> str:
    """The name of the exception frame for an error of this kind; a stream knows five (`ConverseStreamOutput`)."""
    name = _TYPE[kind]
    if name in ("ValidationException", "ThrottlingException", "ServiceUnavailableException"):
        return name[0].lower() + name[1:]
    return "modelStreamErrorException" if kind in ("timeout", "cut") else "internalServerException"
