"""Bedrock behind a real gateway: a stub of AWS that checks every signature, and the official SDKs as clients."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

import anthropic
import openai
import pytest

from afterbay.testing.live import LiveGateway
from afterbay.testing.replay import Answer, Received, ReplayServer
from afterbay.wire.aws_stream import event, exception

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "a secret key of example", "a session token of example"
REGION, MODEL = "eu-west-1", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
ENVIRON = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN, "AWS_REGION": REGION}
HELLO: Any = [{"role": "user", "content": "Hello"}]
SIGNATURE = "Eu0CCkgIBxABGAIqQA=="


def is_signed(request: Received) -> bool:
    """The published steps of signature version 4, over what came in."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/(\d{8})/eu-west-1/bedrock/aws4_request, "
        r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        headers.get("authorization", ""),
    )
    if found is None or headers.get("x-amz-security-token") != TOKEN:
        return False
    day, names, claimed = found.groups()
    lines = [f"{name}:{headers[name].strip()}" for name in names.split(";")]
    payload = hashlib.sha256(request.body).hexdigest()
    canonical = "\n".join(["POST", quote(request.path, safe="/~"), "", *lines, "", names, payload])
    text = "\n".join(
        [
            "AWS4-HMAC-SHA256",
            headers["x-amz-date"],
            f"{day}/{REGION}/bedrock/aws4_request",
            hashlib.sha256(canonical.encode()).hexdigest(),
        ]
    )
    key = f"AWS4{SECRET}".encode()
    for part in (day, REGION, "bedrock", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), claimed)


def delta(index: int, said: dict[str, Any]) -> bytes:
    return event("contentBlockDelta", json.dumps({"contentBlockIndex": index, "delta": said, "p": "abc"}).encode())


STREAM = b"".join(
    [
        event("messageStart", b'{"role":"assistant"}'),
        delta(0, {"reasoningContent": {"text": "hm"}}),
        delta(0, {"reasoningContent": {"signature": SIGNATURE}}),
        event("contentBlockStop", b'{"contentBlockIndex":0}'),
        delta(1, {"text": "Hel"}),
        delta(1, {"text": "lo"}),
        event("contentBlockStop", b'{"contentBlockIndex":1}'),
        event("messageStop", b'{"stopReason":"end_turn"}'),
        event("metadata", b'{"usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5},"metrics":{"latencyMs":1}}'),
    ]
)
WHOLE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
    "metrics": {"latencyMs": 1},
}


def refuse(status: int, kind: str, message: str) -> Answer:
    headers = {"content-type": "application/json", "x-amzn-errortype": f"{kind}:http://internal.amazon.com/"}
    return Answer(status, headers, json.dumps({"message": message}).encode())


def bedrock(request: Received) -> Answer:
    if not is_signed(request):
        return refuse(403, "InvalidSignatureException", "The request signature we calculated does not match")
    _, _, model, method = request.path.split("/")
    model = unquote(model)
    if model == "throttled":
        return refuse(429, "ThrottlingException", "Too many requests")
    if model == "quotes":
        return refuse(400, "ValidationException", f"x-amz-security-token:{TOKEN} {SECRET}")
    if method == "converse":
        return Answer(body=json.dumps(WHOLE).encode())
    body = STREAM
    if model == "breaks":
        body = STREAM[: STREAM.index(b"messageStop") - 30]
        body = delta(0, {"text": "Hel"}) + exception("modelStreamErrorException", b'{"message":"it broke"}')
    if model == "damaged":
        at = STREAM.index(b"lo")
        body = STREAM[:at] + b"LO" + STREAM[at + 2 :]
    return Answer(headers={"content-type": "application/vnd.amazon.eventstream"}, body=body, seed=7)


@pytest.fixture(scope="module")
def aws() -> Iterator[ReplayServer]:
    with ReplayServer(bedrock) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(aws: ReplayServer) -> Iterator[LiveGateway]:
    names = ("throttled", "quotes", "breaks", "damaged")
    models = {name: {"provider": "aws", "name": name} for name in names} | {"m": {"provider": "aws", "name": MODEL}}
    config = {
        "providers": {"aws": {"kind": "bedrock", "base_url": aws.url}},
        "models": models,
        "defaults": {"max_attempts": 1},
    }
    with LiveGateway(config, ENVIRON) as running:
        yield running


def gpt(gateway: LiveGateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0)


def claude(gateway: LiveGateway) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=gateway.url, api_key="any", max_retries=0)


def test_an_openai_client_gets_an_answer_whole_and_streamed(gateway: LiveGateway, aws: ReplayServer) -> None:
    with gpt(gateway) as client:
        said = client.chat.completions.create(model="m", messages=HELLO)
        assert said.choices[0].message.content == "Hello"
        assert said.usage is not None
        assert said.usage.prompt_tokens == 3
        assert aws.received[-1].path == f"/model/{quote(MODEL, safe='')}/converse"
        chunks = list(client.chat.completions.create(model="m", messages=HELLO, stream=True))
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert texts == ["Hel", "lo"]
    assert aws.received[-1].path.endswith("/converse-stream")


def test_an_anthropic_client_gets_claudes_signature_as_it_is(gateway: LiveGateway) -> None:
    with claude(gateway) as client, client.messages.stream(model="m", max_tokens=99, messages=HELLO) as stream:
        message = stream.get_final_message()
    thinking, text = message.content
    assert (thinking.type, text.type) == ("thinking", "text")
    assert thinking.signature == SIGNATURE  # type: ignore[union-attr]  # its type was looked at above
    assert (message.stop_reason, message.usage.input_tokens) == ("end_turn", 3)


def test_a_signature_goes_back_to_bedrock_as_it_was(gateway: LiveGateway, aws: ReplayServer) -> None:
    turn = [{"type": "thinking", "thinking": "hm", "signature": SIGNATURE}, {"type": "text", "text": "Hello"}]
    messages: Any = [*HELLO, {"role": "assistant", "content": turn}, *HELLO]
    with claude(gateway) as client:
        client.messages.create(model="m", max_tokens=99, messages=messages)
    said = json.loads(aws.received[-1].body)["messages"][1]["content"][0]
    assert said == {"reasoningContent": {"reasoningText": {"text": "hm", "signature": SIGNATURE}}}


def test_throttling_is_told_as_a_rate_limit(gateway: LiveGateway) -> None:
    with gpt(gateway) as client, pytest.raises(openai.RateLimitError, match="Too many requests"):
        client.chat.completions.create(model="throttled", messages=HELLO)


@pytest.mark.parametrize("model", ["breaks", "damaged"])
def test_a_stream_that_breaks_ends_in_an_error(gateway: LiveGateway, model: str) -> None:
    with gpt(gateway) as client, pytest.raises(openai.APIError):
        list(client.chat.completions.create(model=model, messages=HELLO, stream=True))
    assert gateway.records(1)[-1].outcome != "ok"


def test_secrets_that_bedrock_quotes_reach_neither_the_client_nor_the_log(gateway: LiveGateway) -> None:
    with gpt(gateway) as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="quotes", messages=HELLO)
    told = str(caught.value) + str([record.error for record in gateway.records(1)])
    assert SECRET not in told
    assert TOKEN not in told


def test_a_wrong_secret_is_the_operators_business(aws: ReplayServer) -> None:
    config = {
        "providers": {"aws": {"kind": "bedrock", "base_url": aws.url}},
        "models": {"m": {"provider": "aws", "name": MODEL}},
    }
    wrong = ENVIRON | {"AWS_SECRET_ACCESS_KEY": "another secret key"}
    refused = pytest.raises(openai.InternalServerError, match="refused this gateway's credentials")
    with LiveGateway(config, wrong) as gateway, gpt(gateway) as client, refused:
        client.chat.completions.create(model="m", messages=HELLO)


def test_without_credentials_the_error_says_what_to_set(aws: ReplayServer) -> None:
    config = {
        "providers": {"aws": {"kind": "bedrock", "region": REGION, "base_url": aws.url}},
        "models": {"m": {"provider": "aws", "name": MODEL}},
    }
    environ = {"AWS_EC2_METADATA_DISABLED": "true"}
    told = pytest.raises(openai.InternalServerError, match="AWS_ACCESS_KEY_ID")
    with LiveGateway(config, environ) as gateway, gpt(gateway) as client, told:
        client.chat.completions.create(model="m", messages=HELLO)


def test_an_api_key_of_bedrock_is_sent_as_a_bearer_token() -> None:
    def with_key(request: Received) -> Answer:
        assert request.headers["authorization"] == "Bearer a key of Bedrock"
        return Answer(body=json.dumps(WHOLE).encode())

    with ReplayServer(with_key) as server:
        config = {
            "providers": {"aws": {"kind": "bedrock", "region": REGION, "base_url": server.url}},
            "models": {"m": {"provider": "aws", "name": MODEL}},
        }
        environ = {"AWS_BEARER_TOKEN_BEDROCK": "a key of Bedrock"}
        with LiveGateway(config, environ) as gateway, gpt(gateway) as client:
            assert client.chat.completions.create(model="m", messages=HELLO).choices[0].message.content == "Hello"
