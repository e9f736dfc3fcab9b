"""Errors of OpenAI's protocols: `{"error": {"message", "type", "param", "code"}}`, and what hosts made of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from afterbay.core.errors import ErrorKind, GatewayError, ProviderError, kind_of_status
from afterbay.wire.decoding import plain_error_text
from afterbay.wire.reset_headers import limit_reset_s, said_s, wait_s

_QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "billing_hard_limit_reached",
        "billing_not_active",
        "enforced_spend_limit_reached",
        "usage_limit_reached",
        "exceeded_current_quota_error",  # Moonshot
        "insufficient_balance",
        "1113",  # Z.ai: no balance and no package
    }
)
"""429s that waiting does not cure. Sources: OpenAI's error codes guide, platform.moonshot.ai/docs and docs.z.ai
"Error codes" (November 2026)."""

_QUOTA_STATUS = frozenset({400, 402, 403, 412, 429})
_QUOTA_SAID = re.compile(
    r"used all available credits|monthly spending limit|insufficient (?:account )?(?:balance|credits|funds)"
    r"|key limit exceeded|credit balance is too low",
    re.IGNORECASE,
)
"""Money, told in words: xAI (403), OpenRouter (403: the limit of a key), DeepSeek, Fireworks (412), and who relays
Anthropic. Not `exceeded your current quota`: Gemini says that of a minute's limit too."""

_DAILY = re.compile(r"per day|\((?:RPD|TPD)\)", re.IGNORECASE)
_SHORT_S = 60.0
"""A limit of a day (OpenAI, Groq) that opens again within this time is a rate limit like any other: they roll."""

_STATUS_HERE: Mapping[int, ErrorKind] = MappingProxyType({498: "overloaded"})
"""Groq: no capacity in the flex tier. Source: console.groq.com/docs/errors, November 2026."""

_FILTER_CODES = frozenset({"content_filter", "ResponsibleAIPolicyViolation"})
"""400s of Azure's filter on prompts. Source: learn.microsoft.com, Azure OpenAI content filtering, November 2026."""

TOO_LONG = "context_length_exceeded"
_SAYS_TOO_LONG = re.compile(
    r"maximum (?:context|prompt) length|exceeds the available context size|prompt is too long", re.IGNORECASE
)
_TYPES_TOO_LONG = frozenset({"exceed_context_size_error", "too_many_prompt_tokens"})
"""How hosts say it that have no code for it: DeepSeek, OpenRouter, vLLM, Mistral, xAI; by a type of their own llama.cpp
and Perplexity. Sources: recordings; llama.cpp tools/server, November 2026."""

_TYPE_KIND: dict[str, ErrorKind] = {
    "invalid_request_error": "invalid_request",
    "authentication_error": "authentication",
    "permission_error": "permission",
    "not_found_error": "not_found",
    "rate_limit_error": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "overloaded_error": "overloaded",
    "server_is_overloaded": "overloaded",
    "slow_down": "rate_limit",
    "invalid_api_key": "authentication",
    "model_not_found": "not_found",
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
    wait = wait_s(status, headers)
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ProviderError(kind_of_status(status), plain_error_text(body), status, retry_after_s=wait)
    if wait is None and status == 429:
        wait = _wait_inside(data, headers)
    return read_error(data, status, wait)


def _wait_inside(data: object, headers: Mapping[str, str]) -> float | None:
    """OpenRouter puts the headers of its own limits into the body.
    Source: openrouter.ai/docs/api-reference/limits, November 2026."""
    found: Any = data
    for key in ("error", "metadata", "headers"):
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        return None
    told = {str(name).lower(): str(value) for name, value in found.items()}
    return limit_reset_s(told | {"date": headers.get("date", "")})


def read_error(data: object, status: int | None, retry_after: float | None = None) -> ProviderError:
    """Reads a decoded error: the object under `error`, a string there, or the fields of the body itself.

    `status` None: the error came inside a stream, and its own code decides.
    """
    inner: Any = data
    if isinstance(data, dict) and data.get("error"):
        inner = data["error"]
    if isinstance(inner, str):
        code = data.get("code") if isinstance(data, dict) and isinstance(data.get("code"), str) else None
        return _error(inner, status, code, None, None, retry_after)
    if not isinstance(inner, dict):
        return _error(msgspec.json.encode(data).decode()[:300], status, None, None, None, retry_after)
    message = inner.get("message") or inner.get("detail") or inner.get("error")
    if not isinstance(message, str):
        message = msgspec.json.encode(message if message else inner).decode()[:1000]
    if status is None:
        status = _status_inside(inner)
    code = str(inner["code"]) if inner.get("code") is not None else None
    named, param = inner.get("type"), inner.get("param")
    if status == 403 and _is_moderated(inner):
        return ProviderError("content_filter", message, status, code)
    return _error(
        message,
        status,
        code,
        named if isinstance(named, str) else None,
        param if isinstance(param, str) else None,
        retry_after,
    )


def _error(
    message: str, status: int | None, code: str | None, named: str | None, param: str | None, wait: float | None
) -> ProviderError:
    """The canonical error. `named` is OpenAI's `type`. A wait that only the text tells is taken from there."""
    kind = _kind(status, code, named)
    if kind == "invalid_request" and (named in _TYPES_TOO_LONG or _SAYS_TOO_LONG.search(message)):
        code = TOO_LONG
    if (status is None or status in _QUOTA_STATUS) and _QUOTA_SAID.search(message):
        kind = "quota"
    if kind == "rate_limit":
        wait = wait if wait is not None else said_s(message)
        if _DAILY.search(message) and (wait is None or wait > _SHORT_S):
            kind = "quota"
    return ProviderError(kind, message, status, code, param, wait)


def _is_moderated(inner: dict[str, Any]) -> bool:
    """Whether a 403 is about the prompt, not about the key. Source: openrouter.ai/docs "Errors", November 2026."""
    metadata = inner.get("metadata")
    return isinstance(metadata, dict) and ("flagged_input" in metadata or "reasons" in metadata)


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
        return _STATUS_HERE.get(status) or kind_of_status(status)
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
