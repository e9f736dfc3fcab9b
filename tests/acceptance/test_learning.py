"""A whole gateway learns: shadows after real answers, feedback over HTTP, a certificate, and what it says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from afterbay.label_ports import Pair
from afterbay.testing.live import LiveGateway
from afterbay.testing.replay import Answer, ReplayServer

HTTP = httpx.Client(verify=False)
USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}


def answered(model: str) -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Paris"}, "finish_reason": "stop"}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": USAGE}
    return Answer(body=json.dumps(body).encode())


@pytest.fixture(scope="module")
def gateway() -> Iterator[LiveGateway]:
    with ReplayServer(lambda request: answered(json.loads(request.body)["model"])) as up:
        provider = {"kind": "openai", "base_url": f"{up.url}/v1", "api_key": "sk-up"}
        config = {
            "providers": {
                "cheap": {**provider, "price": {"input": 0.1, "output": 0.2}},
                "dear": {**provider, "price": {"input": 5, "output": 20}},
            },
            "models": {"small": {"provider": "cheap", "name": "small"}, "large": {"provider": "dear", "name": "large"}},
            "routes": {
                "auto": {
                    "complexity": {"low": "small", "high": "large"},
                    "fallback": ["large", "small"],
                    "keep": 0.5,
                    "shadow": {"share": 0.999999},
                }
            },
        }
        with LiveGateway(config) as running:
            yield running


def ask(gateway: LiveGateway, text: str) -> httpx.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    answer = HTTP.post(f"{gateway.url}/v1/chat/completions", json=body)
    assert answer.status_code == 200
    return answer


def pairs(gateway: LiveGateway) -> list[Pair]:
    async def settled(one: Any) -> list[Pair]:
        await one.context.afterwards.settle()
        return list(await one.context.learned.labels.pairs("auto"))

    return gateway.call(settled)


def test_what_happens_to_one_request_and_to_many(gateway: LiveGateway) -> None:
    first = ask(gateway, "What is the capital of France?")
    assert first.headers["x-afterbay-route"] == "auto; keep: 0 labels, strongest until certified"
    assert first.headers["x-afterbay-model"] == "large"
    request_id = first.headers["x-request-id"]
    records = gateway.records(at_least=1)
    (pair,) = pairs(gateway)
    assert (pair.request_id, pair.cheap_quality, pair.judged) == (request_id, 1.0, "same words")
    shadow = next(one for one in gateway.records(at_least=2) if one.operation == "shadow")
    assert (shadow.key_id, shadow.model, shadow.reasons) == (None, "small", {"shadow_of": request_id})
    original = next(one for one in records if one.id == request_id)
    assert original.reasons is not None
    assert original.reasons["keep"]["threshold"] is None
    said = {"request_id": request_id, "label": "up", "comment": "right away"}
    told = HTTP.post(f"{gateway.url}/v1/feedback", json=said)
    assert told.json() == {"object": "feedback", "request_id": request_id, "score": 1.0, "label": "up"}
    assert HTTP.post(f"{gateway.url}/v1/feedback", json={"request_id": "req_x", "score": 1}).status_code == 404

    for number in range(19):
        ask(gateway, f"Question {number}: what is the capital of France?")

    async def certify(one: Any) -> Any:
        await one.context.afterwards.settle()
        one.context.learned._clock = Later(one.context.clock)
        await one.context.learned.refresh(one.snapshot)
        return one.context.learned.standings["auto"]

    standing = gateway.call(certify)
    assert standing.is_certified, standing.why
    cheap = ask(gateway, "And the capital of France?")
    assert cheap.headers["x-afterbay-model"] == "small"
    assert cheap.headers["x-afterbay-route"] == "auto; keep:0.5@0.9 certified"
    page = HTTP.get(f"{gateway.url}/metrics").text
    assert 'afterbay_certified{route="auto"} 1.0' in page
    assert 'afterbay_shadows_total{result="paired by agreement"}' in page


class Later:
    """A clock by which the last pairs have settled."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    def monotonic(self) -> float:
        return float(self._clock.monotonic())

    def utc(self) -> float:
        return float(self._clock.utc()) + 60.0
