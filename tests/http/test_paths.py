"""What a wrong path is told, and in whose protocol."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest

from afterbay.http.paths import error_dialect, find, hint
from afterbay.testing.live import LiveGateway

CLAUDE = {"anthropic-version": "2023-06-01"}
GOOGLE = {"x-goog-api-key": "any"}


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/responses", "/v1/responses"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/messages", "/v1/messages"),
        ("/v1/responses/", "/v1/responses"),
        ("/gemini/v1/models/m:generateContent", "/v1/models/m:generateContent"),
        ("/v1/v1/models/a/b:streamGenerateContent", "/v1/models/a/b:streamGenerateContent"),
        ("/v1beta/v1beta/models/m", "/v1beta/models/m"),
        ("/v1beta/openai/chat/completions", "/v1/chat/completions"),
    ],
)
def test_a_base_url_that_is_not_the_sdk_s_own_is_told_the_path_that_was_meant(path: str, meant: str) -> None:
    assert find(path) is None
    assert hint(path).startswith(f"Did you mean {meant}?")


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/v1beta/cachedContents", "/openai/v1/images/generations"])
def test_another_endpoint_of_a_provider_is_where_raw_requests_go(path: str) -> None:
    assert hint(path).endswith(f"/passthrough/{{provider}}{path.removeprefix('/openai')}.")


@pytest.mark.parametrize("path", ["/passthrough", "/x", "/", "//", "/v1", "/s", "/v1/threads/t/messages"])
def test_what_is_meant_is_not_guessed_at_random(path: str) -> None:
    assert "Did you mean" not in hint(path)


def test_a_long_path_is_read_at_once() -> None:
    assert len(hint("/v1/models/" * 6000)) < 600


@pytest.mark.parametrize(
    ("path", "headers", "query", "name"),
    [
        ("/v1/models/nosuch", CLAUDE, "", "anthropic.messages"),
        ("/v1/models/nosuch", GOOGLE, "", "gemini"),
        ("/v1/models/nosuch", {}, "alt=sse&key=any", "gemini"),
        ("/v1/models/nosuch", {}, "monkey=1", "openai.chat"),
        ("/v1/files", GOOGLE, "", "gemini"),
        ("/v1/cachedContents", GOOGLE, "", "gemini"),
        ("/v1beta/cachedContents", {}, "", "gemini"),
        ("/v1beta/openai/x", {"authorization": "Bearer any"}, "", "openai.chat"),
        ("/v1/chat/completions", CLAUDE, "", "openai.chat"),
        ("/v1/messages", {}, "", "anthropic.messages"),
        ("/v1/requests/req_1/stream", CLAUDE, "", "anthropic.messages"),
        ("/v1/requests/req_1/stream", GOOGLE, "", "gemini"),
        ("/v1/requests/req_1/stream", {}, "", "openai.chat"),
    ],
)
def test_an_error_on_a_path_of_several_protocols_is_in_the_client_s(
    path: str, headers: dict[str, str], query: str, name: str
) -> None:
    assert error_dialect(find(path), path, headers, query) == name


def test_the_stream_of_a_request_is_no_record() -> None:
    stream, record = find("/v1/requests/req_1/stream"), find("/v1/requests/req_1")
    assert stream is not None
    assert record is not None
    assert (stream.operation, stream.method) == ("reconnect", "GET DELETE")
    assert (record.operation, record.argument) == ("request", "req_1")


def told(answer: httpx.Response) -> Any:
    return answer.json()["error"]


def test_the_gateway_says_it_in_the_client_s_shape() -> None:
    config: dict[str, Any] = {
        "providers": {"a": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "k"}},
        "models": {"m": {"provider": "a"}},
    }
    with LiveGateway(config) as gateway, httpx.Client(base_url=gateway.url) as http:
        assert told(http.get("/v1/models/nosuch", headers=GOOGLE))["status"] == "NOT_FOUND"
        assert told(http.get("/v1/requests/r/stream", headers=GOOGLE))["status"] == "NOT_FOUND"
        assert told(http.get("/v1/requests/r/stream", headers=CLAUDE))["type"] == "not_found_error"
        assert told(http.get("/v1/requests/r/stream"))["code"] == "unknown_stream"
        assert http.get("/v1/models/nosuch", headers=CLAUDE).json()["type"] == "error"
        assert told(http.post("/v1/v1/models/m:generateContent", headers=GOOGLE, json={}))["code"] == 404
        for path, allow in (("/v1/responses", "POST"), ("/v1/models", "GET, HEAD"), ("/v1/responses/r", "GET, DELETE")):
            answer = http.request("OPTIONS", path)
            assert (answer.status_code, answer.headers["allow"]) == (405, allow)
        forgotten = told(http.post("/v1beta/models/qwen:seven", json={}))
        assert "method 'seven'" in forgotten["message"]
        assert "generateContent" in forgotten["message"]
        assert "wants a provider's name" in told(http.get("/passthrough/"))["message"]
