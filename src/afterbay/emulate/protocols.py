"""What the three providers do around their dialects: keys, error words, rate-limit headers, lists of models.

Sources: the APIs' references (OpenAI: platform.openai.com/docs/api-reference/debugging-requests; Anthropic:
platform.claude.com/docs/en/api/rate-limits; Google: ai.google.dev/api/models) and recorded traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec

from afterbay.core.errors import ErrorKind, GatewayError, kind_of_status
from afterbay.wire.dialect import Dialect
from afterbay.wire.registry import DIALECTS

BAD_KEY = "bad-key"
"""The one key that is refused. Any other is right, and none is missing."""

_KIND: Mapping[int, ErrorKind] = MappingProxyType({502: "server"})
_TOO_LONG: Mapping[str, str] = MappingProxyType(
    {
        "openai": "This model's maximum context length is 8192 tokens. Your messages have more.",
        "anthropic": "prompt is too long: 300000 tokens > 200000 maximum",
        "gemini": "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
    }
)
_WORDS: Mapping[int, str] = MappingProxyType(
    {
        400: "The request was refused, as ordered.",
        401: "The key was refused.",
        403: "This key may not do that.",
        404: "There is no such model.",
        408: "The request took too long to arrive.",
        413: "The request is too large.",
        429: "Rate limit reached for requests.",
        500: "The server had an error while processing the request.",
        502: "Bad gateway.",
        503: "The service is overloaded. Try again later.",
        504: "The request timed out.",
        529: "Overloaded",
    }
)


class Allowance(msgspec.Struct, frozen=True):
    """What is left of a limit: of `limit` requests `remaining`, all back after `reset_s` seconds."""

    limit: int
    remaining: int
    reset_s: float


class Protocol(msgspec.Struct, frozen=True):
    """One provider's ways around its dialect.

    name             provider, as in the path
    dialect          of its chat endpoint
    request_header   response header that names the request
    call_prefix      how ids of tool calls begin
    find_key         (headers, query) -> key or None
    key_error        (whether a key was given) -> the error for a missing or wrong one
    limit_headers    (allowance, UTC seconds) -> headers
    list_models      (names, UTC seconds) -> body
    describe_model   (name, UTC seconds) -> body
    """

    name: str
    dialect: Dialect
    request_header: str
    call_prefix: str
    find_key: Callable[[Mapping[str, str], Mapping[str, str]], str | None]
    key_error: Callable[[bool], GatewayError]
    limit_headers: Callable[[Allowance, float], dict[str, str]]
    list_models: Callable[[tuple[str, ...], float], bytes]
    describe_model: Callable[[str, float], bytes]


def ordered_error(status: int, retry_after_s: float | None = None) -> GatewayError:
    """The error that a profile or a directive orders."""
    kind = _KIND.get(status) or kind_of_status(status)
    code = "rate_limit_exceeded" if status == 429 else None
    message = _WORDS.get(status, f"An error with status {status}, as ordered.")
    return refusal(status, message, kind=kind, code=code, retry_after_s=retry_after_s)


def reasoned_error(
    status: int, reason: str, provider: str, key: str | None, retry_after_s: float | None = None
) -> GatewayError:
    """An error for a reason that the provider tells in its own words; without one: `ordered_error`."""
    match reason:
        case "quota":
            return refusal(status, "You exceeded your current quota.", kind="quota", code="insufficient_quota")
        case "slow-down":
            message = "Your traffic grows too fast. Slow down."
            return refusal(status, message, code="slow_down", retry_after_s=retry_after_s)
        case "too-long":
            return refusal(status, _TOO_LONG[provider], code="context_length_exceeded")
        case "key":
            return refusal(status, f"Incorrect API key provided: {key}", code="invalid_api_key")
        case _:
            return ordered_error(status, retry_after_s)


def refusal(
    status: int,
    message: str,
    *,
    kind: ErrorKind | None = None,
    code: str | None = None,
    param: str | None = None,
    retry_after_s: float | None = None,
) -> GatewayError:
    """An error in a provider's manner, which adds no advice."""
    return GatewayError(
        message,
        status=status,
        kind=kind or kind_of_status(status),
        code=code,
        param=param,
        remedy="",
        retry_after_s=retry_after_s,
    )


def _bearer(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def _anthropic_key(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    return headers.get("x-api-key") or _bearer(headers, query)


def _google_key(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    return headers.get("x-goog-api-key") or query.get("key") or _bearer(headers, query)


def _openai_key_error(was_given: bool) -> GatewayError:
    message = "Incorrect API key provided." if was_given else "You didn't provide an API key."
    return refusal(401, message, code="invalid_api_key")


def _anthropic_key_error(was_given: bool) -> GatewayError:
    return refusal(401, "invalid x-api-key" if was_given else "x-api-key header is required")


def _google_key_error(was_given: bool) -> GatewayError:
    """Google says 400 to a wrong key (recorded) and 403 to none."""
    if was_given:
        message = "API key not valid. Please pass a valid API key."
        return refusal(400, message, kind="authentication", code="API_KEY_INVALID")
    return refusal(403, "Method doesn't allow unregistered callers. Please use API Key.", kind="permission")


def _openai_limits(allowance: Allowance, now_s: float) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(allowance.limit),
        "x-ratelimit-remaining-requests": str(allowance.remaining),
        "x-ratelimit-reset-requests": f"{allowance.reset_s:.3f}s",
    }


def _anthropic_limits(allowance: Allowance, now_s: float) -> dict[str, str]:
    reset = datetime.fromtimestamp(now_s + allowance.reset_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "anthropic-ratelimit-requests-limit": str(allowance.limit),
        "anthropic-ratelimit-requests-remaining": str(allowance.remaining),
        "anthropic-ratelimit-requests-reset": reset,
    }


def _no_limits(allowance: Allowance, now_s: float) -> dict[str, str]:
    """Google tells its limits only in the body of a 429."""
    return {}


def _openai_model(name: str, now_s: float) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(now_s), "owned_by": "emulator"}


def _anthropic_model(name: str, now_s: float) -> dict[str, Any]:
    created = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": name, "display_name": name, "created_at": created}


def _google_model(name: str, now_s: float) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "displayName": name,
        "version": "1",
        "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
    }


def _openai_list(names: tuple[str, ...], now_s: float) -> bytes:
    return msgspec.json.encode({"object": "list", "data": [_openai_model(name, now_s) for name in names]})


def _anthropic_list(names: tuple[str, ...], now_s: float) -> bytes:
    data = [_anthropic_model(name, now_s) for name in names]
    ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
    return msgspec.json.encode({"data": data, "has_more": False, **ends})


def _google_list(names: tuple[str, ...], now_s: float) -> bytes:
    return msgspec.json.encode({"models": [_google_model(name, now_s) for name in names]})


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "openai": Protocol(
            "openai",
            DIALECTS["openai.chat"],
            "x-request-id",
            "call_",
            _bearer,
            _openai_key_error,
            _openai_limits,
            _openai_list,
            lambda name, now_s: msgspec.json.encode(_openai_model(name, now_s)),
        ),
        "anthropic": Protocol(
            "anthropic",
            DIALECTS["anthropic.messages"],
            "request-id",
            "toolu_",
            _anthropic_key,
            _anthropic_key_error,
            _anthropic_limits,
            _anthropic_list,
            lambda name, now_s: msgspec.json.encode(_anthropic_model(name, now_s)),
        ),
        "gemini": Protocol(
            "gemini",
            DIALECTS["gemini"],
            "x-request-id",
            "",
            _google_key,
            _google_key_error,
            _no_limits,
            _google_list,
            lambda name, now_s: msgspec.json.encode(_google_model(name, now_s)),
        ),
    }
)

RESPONSES = msgspec.structs.replace(PROTOCOLS["openai"], dialect=DIALECTS["openai.responses"])
"""OpenAI's other protocol: the same provider in all else."""
