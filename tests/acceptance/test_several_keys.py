"""Several keys of one provider through a real gateway: both protocols, both ways of asking, the log, the metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from acceptance.several import only_alone
from afterbay.testing.answers import whole
from afterbay.testing.live import LiveGateway
from afterbay.testing.replay import Answer, Received, ReplayServer

KEYS = ("canary-key-limited", "canary-key-refused", "canary-key-good")


def answer(request: Received) -> Answer:
    """The first key is limited, the second is refused, and the provider quotes both."""
    shown = request.headers.get("authorization") or request.headers.get("x-api-key") or ""
    if KEYS[0] in shown:
        body = json.dumps({"error": {"message": f"slow down, {KEYS[0]}", "type": "rate_limit_error"}}).encode()
        return Answer(status=429, headers={"content-type": "application/json", "retry-after": "120"}, body=body)
    if KEYS[1] in shown:
        body = json.dumps({"error": {"message": f"bad {KEYS[1]}", "type": "authentication_error"}}).encode()
        return Answer(status=401, headers={"content-type": "application/json"}, body=body)
    dialect = "anthropic.messages" if "messages" in request.path else "openai.chat"
    return Answer(headers={"content-type": "application/json"}, body=whole(dialect, "Hello."))


@pytest.fixture
def provider() -> Iterator[ReplayServer]:
    with ReplayServer(answer) as server:
        yield server


@only_alone("each process finds out by itself that a key is refused")
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_the_key_that_works_is_found_and_kept(provider: ReplayServer, kind: str, path: str) -> None:
    base = provider.url + ("/v1" if kind == "openai" else "")
    config: dict[str, Any] = {
        "providers": {"up": {"kind": kind, "base_url": base, "api_keys": list(KEYS)}},
        "models": {"m": {"provider": "up", "name": "m"}},
    }
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
    with LiveGateway(config) as gateway:
        for _ in range(3):
            got = httpx.post(gateway.url + path, json=body)
            assert (got.status_code, "Hello." in got.text) == (200, True)
        raw = httpx.post(f"{gateway.url}/passthrough/up/v1/{path.removeprefix('/v1/')}", json=body)
        assert raw.status_code == 200, "raw requests have the same keys"
        first, *others, passed = gateway.records(at_least=4)
        metrics = httpx.get(gateway.url + "/metrics").text
    assert [(each.why, each.key, each.status) for each in first.attempts] == [
        ("primary", 1, 429), ("key", 2, 401), ("key", 3, 200),
    ]  # fmt: skip
    assert [[each.key for each in record.attempts] for record in (*others, passed)] == [[3]] * 3
    assert 'afterbay_refused_keys{provider="up"} 1.0' in metrics
    assert not any(key in repr(first) for key in KEYS)
