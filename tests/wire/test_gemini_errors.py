"""Errors of the Gemini dialect, both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest

from afterbay.core.errors import Capacity, ClientMistake, PolicyRefusal, Upstream
from afterbay.wire.gemini import DIALECT


def error(code: int, status: str, message: str = "No.", *details: Any) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "status": status, "details": details}}).encode()


def detail(kind: str, **more: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **more}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error(400, "INVALID_ARGUMENT"), "invalid_request"),
        (400, error(400, "FAILED_PRECONDITION"), "invalid_request"),
        (400, error(400, "INVALID_ARGUMENT", "x", detail("ErrorInfo", reason="API_KEY_INVALID")), "authentication"),
        (400, error(400, "INVALID_ARGUMENT", "API key not valid. Please pass one."), "authentication"),
        (401, error(401, "UNAUTHENTICATED"), "authentication"),
        (403, error(403, "PERMISSION_DENIED"), "permission"),
        (404, error(404, "NOT_FOUND"), "not_found"),
        (402, error(402, "FAILED_PRECONDITION"), "quota"),
        (429, error(429, "RESOURCE_EXHAUSTED"), "rate_limit"),
        (500, error(500, "INTERNAL"), "server"),
        (503, error(503, "UNAVAILABLE"), "overloaded"),
        (504, error(504, "DEADLINE_EXCEEDED"), "timeout"),
        (503, b"[" + error(503, "UNAVAILABLE") + b"]", "overloaded"),
        (502, b"<html><head><title>502</title></head></html>", "server"),
        (429, b"", "rate_limit"),
        (400, b'{"error": "bad"}', "invalid_request"),
        (404, b'{"error": {"message": null, "details": null}}', "not_found"),
    ],
)
def test_the_kind_follows_the_word_then_the_status(status: int, body: bytes, kind: str) -> None:
    found = DIALECT.parse_error(status, {}, body)
    assert (found.kind, found.status) == (kind, status)
    assert found.message


def test_a_page_of_html_gives_its_text_alone() -> None:
    page = b"<html><head><title>502</title></head><body>Bad\n <b>Gateway</b></body></html>"
    assert DIALECT.parse_error(502, {}, page).message == "502 Bad Gateway"


def test_details_say_when_to_try_again_and_which_quota_is_used_up() -> None:
    retry = detail("RetryInfo", retryDelay="38.5s")
    minute = detail("QuotaFailure", violations=[{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}])
    day = detail("QuotaFailure", violations=[{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}])
    found = DIALECT.parse_error(429, {"retry-after": "7"}, error(429, "RESOURCE_EXHAUSTED", "x", minute, retry))
    assert (found.kind, found.retry_after_s) == ("rate_limit", 38.5)
    assert DIALECT.parse_error(429, {}, error(429, "RESOURCE_EXHAUSTED", "x", day)).kind == "quota"
    assert DIALECT.parse_error(429, {"retry-after": "7"}, b"").retry_after_s == 7
    assert DIALECT.parse_error(429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"").retry_after_s is None


def test_an_input_that_is_too_long_has_a_code_of_its_own() -> None:
    said = "The input token count (1250074) exceeds the maximum number of tokens allowed (1048576)."
    found = DIALECT.parse_error(400, {}, error(400, "INVALID_ARGUMENT", said))
    assert (found.kind, found.code) == ("invalid_request", "context_length_exceeded")


@pytest.mark.parametrize(
    ("problem", "status", "kind"),
    [
        (ClientMistake("Wrong.", param="contents[0].role", code="bad_role"), "INVALID_ARGUMENT", "invalid_request"),
        (ClientMistake("Who?", status=401, kind="authentication"), "UNAUTHENTICATED", "authentication"),
        (ClientMistake("Where?", status=404), "NOT_FOUND", "not_found"),
        (PolicyRefusal("No."), "PERMISSION_DENIED", "permission"),
        (Capacity("Full.", status=429, retry_after_s=1.5), "RESOURCE_EXHAUSTED", "rate_limit"),
        (Upstream("All failed."), "UNAVAILABLE", "overloaded"),
        (Upstream("All failed.", status=599), "INTERNAL", "server"),
    ],
)
def test_our_errors_are_read_back_as_what_they_are(problem: Any, status: str, kind: str) -> None:
    body = DIALECT.render_error(problem, "req_1")
    said = json.loads(body)["error"]
    assert (said["code"], said["status"], said["message"]) == (problem.status, status, problem.text())
    assert {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "req_1"} in said["details"]
    found = DIALECT.parse_error(problem.status, {}, body)
    assert (found.kind, found.param, found.retry_after_s) == (kind, problem.param, problem.retry_after_s)
    assert found.code == (problem.code or status)
