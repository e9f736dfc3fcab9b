"""What each provider's errors mean for what is done next, as one table: texts and codes as their makers write them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from afterbay.core.errors import ErrorKind
from afterbay.wire.registry import DIALECTS

OPENAI, ANTHROPIC, GEMINI = DIALECTS["openai.chat"], DIALECTS["anthropic.messages"], DIALECTS["gemini"]
BEDROCK, COHERE = DIALECTS["bedrock.converse"], DIALECTS["cohere.chat"]
TYPE = "type.googleapis.com/google.rpc."


def openai(status: int, code: str | None, message: str = "no", kind: str | None = None, **more: Any) -> Any:
    body = {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}
    return OPENAI.parse_error(status, {}, msgspec.json.encode(body))


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (
            429,
            "rate_limit_exceeded",
            "Rate limit reached for gpt-5 on tokens per min (TPM). Try again in 2s.",
            "rate_limit",
        ),
        (429, "slow_down", "Your request rate is rising too fast.", "rate_limit"),
        (429, "insufficient_quota", "You exceeded your current quota", "quota"),
        (429, "credit_balance_exhausted", "no", "quota"),
        (429, "enforced_spend_limit_reached", "no", "quota"),
        (400, "billing_hard_limit_reached", "Billing hard limit has been reached", "quota"),
        (429, "billing_not_active", "Your account is not active", "quota"),
        (402, None, "Insufficient Balance", "quota"),
        (403, None, "Your team has either used all available credits or reached its monthly spending limit.", "quota"),
        (403, None, "Key limit exceeded (total limit)", "quota"),
        (412, None, "Account suspended: insufficient funds", "quota"),
        (429, "1113", "Insufficient balance or no resource package. Please recharge.", "quota"),
        (429, None, "You exceeded your current quota. Please retry in 40s.", "rate_limit"),
        (401, "invalid_api_key", "Incorrect API key provided", "authentication"),
        (403, "unsupported_country_region_territory", "Country not supported", "permission"),
        (404, "model_not_found", "The model `gpt-4-0314` has been deprecated", "not_found"),
        (404, "DeploymentNotFound", "no", "not_found"),
        (408, None, "timeout", "timeout"),
        (409, None, "lock timeout", "server"),
        (425, None, "early", "server"),
        (413, None, "large", "too_large"),
        (422, None, "wrong", "invalid_request"),
        (498, None, "flex tier capacity exceeded", "overloaded"),
        (500, None, "x", "server"),
        (502, None, "x", "server"),
        (503, "slow_down", "Slow Down", "overloaded"),
        (504, None, "x", "timeout"),
        (520, None, "x", "server"),
        (524, None, "x", "timeout"),
        (529, None, "x", "overloaded"),
    ],
)
def test_errors_of_openai_s_protocols(status: int, code: str | None, message: str, kind: ErrorKind) -> None:
    assert openai(status, code, message).kind == kind


def test_a_daily_limit_is_a_quota_unless_it_opens_again_soon() -> None:
    text = "Rate limit reached on tokens per day (TPD): Limit 200000, Used 199708. Please try again in {}."
    late, soon = (openai(429, "rate_limit_exceeded", text.format(wait)) for wait in ("6m38.304s", "12s"))
    assert (late.kind, late.retry_after_s) == ("quota", pytest.approx(398.304))
    assert (soon.kind, soon.retry_after_s) == ("rate_limit", 12.0)
    assert openai(429, None, "Limit of requests per day (RPD) reached").kind == "quota"


def test_a_prompt_that_was_flagged_is_no_fault_of_the_key() -> None:
    flagged = openai(403, "403", "Your input was flagged", metadata={"reasons": ["violence"], "flagged_input": "..."})
    assert flagged.kind == "content_filter"
    assert openai(403, "403", "forbidden", metadata={"provider_name": "x"}).kind == "permission"


def test_a_stream_s_rate_limit_tells_its_wait_in_words() -> None:
    data = {"error": {"code": "rate_limit_exceeded", "message": "Rate limit reached. Please try again in 11.054s."}}
    out: list[Any] = []
    DIALECTS["openai.chat"].stream_parser("s").push(None, msgspec.json.encode(data), out)
    error = out[-1].error
    assert (error.kind, error.retry_after_s) == ("rate_limit", 11.054)


def test_openrouter_s_own_limit_is_read_from_the_body() -> None:
    limits = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1792567690000"}
    body = {"error": {"message": "free-models-per-min", "code": 429, "metadata": {"headers": limits}}}
    date = {"date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    encoded = msgspec.json.encode(body)
    assert OPENAI.parse_error(429, date, encoded).retry_after_s == 10.0
    assert OPENAI.parse_error(429, {}, encoded).retry_after_s is None
    assert OPENAI.parse_error(500, date, encoded).retry_after_s is None


@pytest.mark.parametrize("metadata", [None, 5, "x", [], {"headers": 5}, {"headers": {"X-RateLimit-Reset": None}}])
def test_odd_metadata_breaks_nothing(metadata: Any) -> None:
    assert openai(429, None, metadata=metadata).retry_after_s is None
    assert openai(403, None, metadata=metadata).kind == "permission"


@pytest.mark.parametrize(
    ("status", "type_", "message", "code", "kind"),
    [
        (529, "overloaded_error", "Overloaded", None, "overloaded"),
        (503, "api_error", "busy", None, "server"),
        (500, "api_error", "Internal server error", None, "server"),
        (504, "timeout_error", "late", None, "timeout"),
        (429, "rate_limit_error", "This request would exceed your rate limit", None, "rate_limit"),
        (
            429,
            "rate_limit_error",
            "You have reached your API usage limits: ...",
            "enforced_spend_limit_reached",
            "quota",
        ),
        (429, "rate_limit_error", "You have reached your API usage limits: ...", None, "quota"),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", None, "quota"),
        (400, "invalid_request_error", "You have reached your specified API usage limits.", None, "quota"),
        (402, "billing_error", "pay", None, "quota"),
        (400, "invalid_request_error", "This organization has been disabled.", None, "authentication"),
        (403, "permission_error", "OAuth token has been revoked.", None, "authentication"),
        (401, "authentication_error", "invalid x-api-key", None, "authentication"),
        (403, "permission_error", "no", None, "permission"),
        (404, "not_found_error", "model: claude-2", None, "not_found"),
        (409, "conflict_error", "x", None, "server"),
        (413, "request_too_large", "x", None, "too_large"),
        (400, "invalid_request_error", "max_tokens: too large", None, "invalid_request"),
    ],
)
def test_errors_of_messages(status: int, type_: str, message: str, code: str | None, kind: ErrorKind) -> None:
    inner: dict[str, Any] = {"type": type_, "message": message}
    if code is not None:
        inner["details"] = {"error_code": code}
    error = ANTHROPIC.parse_error(status, {}, msgspec.json.encode({"type": "error", "error": inner}))
    assert error.kind == kind


def gemini(code: int, status: str, message: str, *details: dict[str, Any]) -> Any:
    body = {"error": {"code": code, "status": status, "message": message, "details": list(details)}}
    return GEMINI.parse_error(code, {}, msgspec.json.encode(body))


def info(reason: str) -> dict[str, Any]:
    return {"@type": f"{TYPE}ErrorInfo", "reason": reason}


def exceeded(quota: str, delay: str) -> tuple[dict[str, Any], dict[str, Any]]:
    failure = {"@type": f"{TYPE}QuotaFailure", "violations": [{"quotaId": quota}]}
    return failure, {"@type": f"{TYPE}RetryInfo", "retryDelay": delay}


@pytest.mark.parametrize(
    ("error", "kind", "wait"),
    [
        ((429, "RESOURCE_EXHAUSTED", "exhausted"), "rate_limit", None),
        ((429, "RESOURCE_EXHAUSTED", "Quota exceeded. Please retry in 40.5s."), "rate_limit", 40.5),
        (
            (429, "RESOURCE_EXHAUSTED", "x", *exceeded("GenerateRequestsPerMinutePerProjectPerModel", "38.5s")),
            "rate_limit",
            38.5,
        ),
        (
            (429, "RESOURCE_EXHAUSTED", "x", *exceeded("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "39043s")),
            "quota",
            39043.0,
        ),
        ((429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), "quota", None),
        ((403, "PERMISSION_DENIED", "no", info("BILLING_DISABLED")), "quota", None),
        ((403, "PERMISSION_DENIED", "no", info("SERVICE_DISABLED")), "permission", None),
        ((403, "PERMISSION_DENIED", "no", info("CONSUMER_SUSPENDED")), "permission", None),
        (
            (403, "PERMISSION_DENIED", "You do not have permission to access the File abc or it may not exist."),
            "invalid_request",
            None,
        ),
        ((400, "FAILED_PRECONDITION", "User location is not supported for the API use."), "permission", None),
        (
            (400, "FAILED_PRECONDITION", "The free tier is not here. Please enable billing on your project."),
            "quota",
            None,
        ),
        ((400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."), "authentication", None),
        ((400, "INVALID_ARGUMENT", "API key expired.", info("API_KEY_INVALID")), "authentication", None),
        ((400, "INVALID_ARGUMENT", "wrong"), "invalid_request", None),
        ((401, "UNAUTHENTICATED", "no"), "authentication", None),
        ((404, "NOT_FOUND", "models/x"), "not_found", None),
        ((409, "ABORTED", "x"), "server", None),
        ((499, "CANCELLED", "x"), "server", None),
        ((500, "INTERNAL", "x"), "server", None),
        ((503, "UNAVAILABLE", "overloaded"), "overloaded", None),
        ((504, "DEADLINE_EXCEEDED", "x"), "timeout", None),
    ],
)
def test_errors_of_gemini(error: Any, kind: ErrorKind, wait: float | None) -> None:
    found = gemini(*error)
    assert (found.kind, found.retry_after_s) == (kind, wait)


@pytest.mark.parametrize(
    "details", [5, "x", {}, None, [5], [{"@type": 5}], [{"@type": f"{TYPE}RetryInfo", "retryDelay": 5}]]
)
def test_odd_details_break_nothing(details: Any) -> None:
    body = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "x", "details": details}}
    assert GEMINI.parse_error(429, {}, msgspec.json.encode(body)).kind == "rate_limit"


@pytest.mark.parametrize(
    ("name", "status", "message", "kind"),
    [
        ("ThrottlingException", 429, "Too many requests", "rate_limit"),
        ("ThrottlingException", 429, "Too many tokens per day, please wait before trying again.", "quota"),
        ("ServiceQuotaExceededException", 400, "x", "quota"),
        ("ServiceUnavailableException", 503, "x", "overloaded"),
        ("ModelNotReadyException", 429, "x", "overloaded"),
        ("InternalServerException", 500, "x", "server"),
        ("ModelErrorException", 424, "x", "server"),
        ("ModelTimeoutException", 408, "x", "timeout"),
        ("AccessDeniedException", 403, "x", "permission"),
        ("ExpiredTokenException", 403, "x", "authentication"),
        ("UnrecognizedClientException", 403, "x", "authentication"),
        ("ResourceNotFoundException", 404, "x", "not_found"),
        ("ValidationException", 400, "x", "invalid_request"),
        ("Unknown", 529, "x", "overloaded"),
    ],
)
def test_errors_of_bedrock(name: str, status: int, message: str, kind: ErrorKind) -> None:
    body = msgspec.json.encode({"message": message})
    assert BEDROCK.parse_error(status, {"x-amzn-errortype": name}, body).kind == kind


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (429, "trial token rate limit exceeded, 40 API calls / minute", "rate_limit"),
        (429, "you are using a Trial key, which is limited to 1000 API calls / month", "quota"),
        (402, "no funds", "quota"),
        (401, "invalid api token", "authentication"),
        (503, "x", "overloaded"),
    ],
)
def test_errors_of_cohere(status: int, message: str, kind: ErrorKind) -> None:
    assert COHERE.parse_error(status, {}, msgspec.json.encode({"message": message})).kind == kind


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "0"}, 360.0),
    ],
)
def test_every_dialect_reads_the_wait_of_a_rate_limit(dialect: str, headers: dict[str, str], wait: float) -> None:
    for body in (b"", b"<html>busy</html>", b'{"error": {"message": "slow"}, "message": "slow"}'):
        error = DIALECTS[dialect].parse_error(429, headers, body)
        assert (error.kind, error.retry_after_s) == ("rate_limit", wait)


def test_no_two_tables_disagree_on_a_status_alone() -> None:
    for status in (401, 402, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504, 529):
        kinds = {name: dialect.parse_error(status, {}, b"").kind for name, dialect in DIALECTS.items()}
        assert len(set(kinds.values())) == 1, f"{status}: {kinds}"
