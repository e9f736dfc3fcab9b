"""Requests that are wrong: each is refused in the client's own protocol, as its SDK's right exception, and nothing of
it reaches a provider."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import anthropic
import httpx2 as httpx
import openai
import pytest

from afterbay.testing.live import LiveGateway
from afterbay.testing.replay import Answer, ReplayServer

OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"
PROTOCOLS = [OPENAI, ANTHROPIC]
HELLO = [{"role": "user", "content": "Hello"}]
BODY_BYTES = 20_000
BODY_S = 0.5
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ReplayServer]:
    with ReplayServer(lambda request: Answer(body=json.dumps(ANSWER).encode())) as server:
        yield server


def configuration(upstream: ReplayServer) -> dict[str, Any]:
    names = ("large", "larger", "medium", "small")
    return {
        "providers": {
            "up": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "sk-up"},
            "other": {"kind": "anthropic", "base_url": upstream.url, "api_key": "sk-up"},
        },
        "models": {
            **{name: {"provider": "up", "name": f"m-{name}"} for name in names},
            "foreign": {"provider": "other", "name": "m-foreign"},
        },
        "routes": {"auto": {"fallback": list(names)}},
        "limits": {"body_bytes": BODY_BYTES, "body_timeout": f"{BODY_S}s"},
    }


@pytest.fixture(scope="module")
def gateway(upstream: ReplayServer) -> Iterator[LiveGateway]:
    with LiveGateway(configuration(upstream)) as running:
        yield running


@pytest.fixture
def untouched(upstream: ReplayServer) -> Iterator[None]:
    """Fails the test if a provider saw anything of it."""
    before = len(upstream.received)
    yield
    assert len(upstream.received) == before, "a wrong request reached the provider"


@pytest.fixture(scope="module")
def http(gateway: LiveGateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, timeout=10) as client:
        yield client


def ask(gateway: LiveGateway, path: str, key: str = "any", **changes: Any) -> Any:
    """Asks with the SDK whose path it is; `changes` go into the body, None takes a field out of it."""
    if path == OPENAI:
        with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0) as gpt:
            return gpt.chat.completions.create(model="large", messages=HELLO, extra_body=changes)  # type: ignore[arg-type]
    with anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0) as claude:
        return claude.messages.create(model="large", max_tokens=9, messages=HELLO, extra_body=changes)  # type: ignore[arg-type]


def refused(gateway: LiveGateway, path: str, name: str, **options: Any) -> Any:
    """The exception called `name` of the path's SDK, which the request must raise."""
    kind = getattr(openai if path == OPENAI else anthropic, name)
    with pytest.raises(kind) as caught:
        ask(gateway, path, **options)
    assert caught.value.response.headers["x-request-id"]
    assert caught.value.response.headers["x-should-retry"] == "false"
    return caught.value


def envelope(path: str, answer: httpx.Response) -> dict[str, Any]:
    """The error object of an answer in the protocol of `path`."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    error: dict[str, Any] = body["error"]
    assert isinstance(error["message"], str)
    assert error["type"]
    if path.startswith(ANTHROPIC):
        assert body["type"] == "error"
        assert body["request_id"] == answer.headers["x-request-id"]
    else:
        assert {"param", "code"} <= error.keys()
    return error


@pytest.mark.parametrize("path", PROTOCOLS)
@pytest.mark.usefixtures("untouched")
def test_an_unknown_model_is_404_with_the_three_nearest_names(gateway: LiveGateway, path: str) -> None:
    before = len(gateway.records())
    error = refused(gateway, path, "NotFoundError", model="lagre")
    assert "lagre" in str(error)
    told = str(error).partition("nearest names are: ")[2].partition(";")[0]
    assert told.split(", ")[0] == "large"
    assert len(told.split(", ")) == 3
    record = gateway.records(at_least=before + 1)[-1]
    assert (record.status, record.outcome, record.requested_model) == (404, "model_not_found", "lagre")
    assert record.attempts == []


@pytest.mark.parametrize("path", PROTOCOLS)
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b'{"model": "large",}', b"null"])
@pytest.mark.usefixtures("untouched")
def test_malformed_json(http: httpx.Client, gateway: LiveGateway, path: str, body: bytes) -> None:
    before = len(gateway.records())
    answer = http.post(path, content=body)
    assert answer.status_code == 400
    assert envelope(path, answer)["type"] == "invalid_request_error"
    assert gateway.records(at_least=before + 1)[-1].status == 400


WRONG_TYPES: list[tuple[str, dict[str, Any]]] = [
    ("model", {"model": 5}),
    ("stream", {"stream": "yes"}),
    ("messages", {"messages": "Hello"}),
    ("temperature", {"temperature": "hot"}),
    ("messages[0].content", {"messages": [{"role": "user", "content": 5}]}),
    ("messages[0].role", {"messages": [{"role": "captain", "content": "Hello"}]}),
    ("tools", {"tools": {"name": "f"}}),
]


@pytest.mark.parametrize("path", PROTOCOLS)
@pytest.mark.parametrize(("field", "change"), WRONG_TYPES)
@pytest.mark.usefixtures("untouched")
def test_a_wrong_type_is_named(gateway: LiveGateway, path: str, field: str, change: dict[str, Any]) -> None:
    """Where the request must be translated: it is read, so the gateway itself says what is wrong."""
    model = "foreign" if path == OPENAI else "large"
    error = refused(gateway, path, "BadRequestError", **{"model": model, **change})
    assert field in str(error)


def test_a_relay_leaves_the_judgement_to_the_provider(http: httpx.Client, upstream: ReplayServer) -> None:
    """A field may have a meaning that this release does not know yet: what can be passed on as it is, is."""
    sent = b'{"model": "large",  "messages": [{"role": "captain", "content": 5}], "temperature": "hot"}'
    assert http.post(OPENAI, content=sent).status_code == 200
    assert upstream.received[-1].body == sent.replace(b'"large"', b'"m-large"')


@pytest.mark.parametrize("path", PROTOCOLS)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.usefixtures("untouched")
def test_a_body_over_the_limit_is_413(http: httpx.Client, path: str, chunked: bool) -> None:
    text = json.dumps({"model": "large", "max_tokens": 9, "messages": [{"role": "user", "content": "x" * BODY_BYTES}]})
    parts = [text[at : at + 5000].encode() for at in range(0, len(text), 5000)]
    answer = http.post(path, content=iter(parts) if chunked else text.encode())
    assert answer.status_code == 413
    assert str(BODY_BYTES) in envelope(path, answer)["message"]


@pytest.mark.parametrize("path", PROTOCOLS)
def test_a_body_of_just_the_limit_passes(http: httpx.Client, path: str) -> None:
    body = {"model": "large", "max_tokens": 9, "messages": [{"role": "user", "content": ""}]}
    body["messages"] = [{"role": "user", "content": "x" * (BODY_BYTES - len(json.dumps(body)))}]
    sent = json.dumps(body).encode()
    assert len(sent) == BODY_BYTES
    assert http.post(path, content=sent).status_code == 200


def test_the_sdks_read_413(gateway: LiveGateway) -> None:
    messages = [{"role": "user", "content": "x" * BODY_BYTES}]
    assert refused(gateway, OPENAI, "APIStatusError", messages=messages).status_code == 413
    assert refused(gateway, ANTHROPIC, "RequestTooLargeError", messages=messages).status_code == 413


@pytest.mark.usefixtures("untouched")
def test_an_unsupported_field_is_named(gateway: LiveGateway) -> None:
    error = refused(gateway, ANTHROPIC, "BadRequestError", top_k=5)
    assert "top_k" in str(error)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", OPENAI, 405),
        ("GET", ANTHROPIC, 405),
        ("POST", "/v1/models", 405),
        ("DELETE", "/v1/embeddings", 405),
        ("POST", "/v1/nothing", 404),
        ("GET", "/v2/models", 404),
        ("POST", "/chat/completions", 404),
        ("GET", "/v1/responses", 405),
        ("PUT", "/v1/responses/resp_1", 405),
        ("GET", "/v1/responses/resp_1/cancel", 405),
        ("POST", "/v1/files", 501),
        ("GET", "/v1/files", 501),
        ("POST", "/v1/batches", 501),
        ("GET", "/v1/feedback", 405),
        ("POST", "/v1/messages/batches", 501),
        ("GET", "/ui", 501),
        ("GET", "/openapi.json", 501),
        ("POST", "/passthrough", 404),
    ],
)
@pytest.mark.usefixtures("untouched")
def test_wrong_methods_unknown_paths_and_what_is_not_built(
    http: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = http.request(method, path, json={} if method == "POST" else None)
    assert answer.status_code == status
    assert path in envelope(path, answer)["message"]


@pytest.mark.parametrize("verb", ["predict", "generateAnswer", "asyncBatchEmbedContent"])
@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.usefixtures("untouched")
def test_what_is_not_built_of_gemini_says_so_in_its_envelope(http: httpx.Client, version: str, verb: str) -> None:
    answer = http.post(f"/{version}/models/large:{verb}", json={"contents": []})
    assert answer.status_code == 501
    error = answer.json()["error"]
    assert (error["code"], error["status"]) == (501, "UNIMPLEMENTED")
    assert verb in error["message"]


@pytest.mark.usefixtures("untouched")
def test_an_unknown_path_of_anthropics_sdk_is_in_its_envelope(http: httpx.Client) -> None:
    answer = http.post("/v1/nothing", json={}, headers={"anthropic-version": "2023-06-01"})
    assert envelope(ANTHROPIC, answer)["type"] == "not_found_error"


@pytest.mark.parametrize("path", PROTOCOLS)
@pytest.mark.usefixtures("untouched")
def test_a_compressed_body_is_415(http: httpx.Client, path: str) -> None:
    body = gzip.compress(json.dumps({"model": "large", "messages": HELLO}).encode())
    answer = http.post(path, content=body, headers={"content-encoding": "gzip"})
    assert answer.status_code == 415
    assert "gzip" in envelope(path, answer)["message"]


@pytest.mark.parametrize("path", PROTOCOLS)
@pytest.mark.parametrize("sent", [b"", b'{"model": '])
@pytest.mark.usefixtures("untouched")
def test_a_body_that_does_not_arrive_is_408(gateway: LiveGateway, path: str, sent: bytes) -> None:
    address = urlsplit(gateway.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as raw:
        raw.sendall(f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n".encode() + sent)
        answer = b""
        while data := raw.recv(65536):  # the gateway ends the connection: the rest of the body is not read
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 408 " in head.partition(b"\r\n")[0]
    assert json.loads(body)["error"]["message"]
    assert ("type" in json.loads(body)) == (path == ANTHROPIC)


@pytest.mark.parametrize("value", ["soon", "0", "-5", "1.5"])
@pytest.mark.usefixtures("untouched")
def test_a_wrong_header_is_named(http: httpx.Client, value: str) -> None:
    body = {"model": "large", "messages": HELLO}
    answer = http.post(OPENAI, json=body, headers={"x-afterbay-timeout-ms": value})
    assert answer.status_code == 400
    assert envelope(OPENAI, answer)["param"] == "x-afterbay-timeout-ms"


@pytest.fixture(scope="module")
def locked(upstream: ReplayServer) -> Iterator[LiveGateway]:
    with LiveGateway(configuration(upstream)) as running:
        running.create_key("first")
        yield running


class TestKeys:
    """A gateway with keys."""

    @pytest.mark.parametrize("path", PROTOCOLS)
    @pytest.mark.usefixtures("untouched")
    def test_missing_wrong_and_revoked_keys(self, locked: LiveGateway, path: str) -> None:
        revoked = locked.create_key(f"gone.{path[4:8]}")
        assert ask_ok(locked, revoked.secret.reveal()) == 200
        locked.gateway.keys.revoke(revoked.info.id)
        for key in ("wrong", revoked.secret.reveal()):
            error = refused(locked, path, "AuthenticationError", key=key)
            assert key not in str(error)
        none = httpx.post(locked.url + path, json={"model": "large", "messages": HELLO})
        assert none.status_code == 401
        assert "needs a key" in envelope(path, none)["message"]

    @pytest.mark.parametrize("way", ["authorization", "x-api-key", "x-goog-api-key", "query"])
    def test_every_way_to_show_a_key(self, locked: LiveGateway, upstream: ReplayServer, way: str) -> None:
        secret = locked.create_key(f"by-{way}").secret.reveal()
        for key, status in ((secret, 200), ("wrong", 401)):
            headers = {} if way == "query" else {way: f"Bearer {key}" if way == "authorization" else key}
            query = f"?key={key}" if way == "query" else ""
            answer = httpx.post(
                f"{locked.url}{OPENAI}{query}", json={"model": "large", "messages": HELLO}, headers=headers
            )
            assert answer.status_code == status
        seen = upstream.received[-1]
        assert secret not in f"{seen.path} {seen.headers} {seen.body!r}"
        assert seen.headers["authorization"] == "Bearer sk-up"
        assert locked.records(at_least=1)[-1].key_name == f"by-{way}"

    @pytest.mark.parametrize("path", PROTOCOLS)
    def test_a_key_for_some_models(self, locked: LiveGateway, upstream: ReplayServer, path: str) -> None:
        key = locked.create_key(f"small-only.{path[4:8]}", ("small",)).secret.reveal()
        assert ask(locked, path, key=key, model="small")
        before = len(upstream.received)
        error = refused(locked, path, "PermissionDeniedError", key=key, model="large")
        assert "key" in str(error)
        assert len(upstream.received) == before
        listed = httpx.get(f"{locked.url}/v1/models", headers={"x-api-key": key}).json()
        assert [model["id"] for model in listed["data"]] == ["small"]

    def test_a_stranger_does_not_see_a_record(self, locked: LiveGateway) -> None:
        mine, other = (locked.create_key(name).secret.reveal() for name in ("mine", "other"))
        answer = httpx.post(
            locked.url + OPENAI, json={"model": "large", "messages": HELLO}, headers={"x-api-key": mine}
        )
        locked.records(at_least=1)
        record = f"{locked.url}/v1/requests/{answer.headers['x-request-id']}"
        assert httpx.get(record, headers={"x-api-key": mine}).status_code == 200
        assert httpx.get(record, headers={"x-api-key": other}).status_code == 404
        assert httpx.get(record).status_code == 401

    @pytest.mark.parametrize(
        ("query", "passed"),
        [
            ("beta=true&key={}", "?beta=true"),
            ("k%65y={}", ""),
            ("a=%20b&key={}&key={}&c", "?a=%20b&c"),
            ("beta=true", "?beta=true"),
        ],
    )
    def test_a_key_in_the_query_stays_here(
        self, locked: LiveGateway, upstream: ReplayServer, query: str, passed: str
    ) -> None:
        secret = locked.create_key(f"query-{len(query)}").secret.reveal()
        headers = {"authorization": f"Bearer {secret}"}
        body = {"model": "large", "messages": HELLO}
        url = f"{locked.url}{OPENAI}?{query.replace('{}', secret)}"
        assert httpx.post(url, json=body, headers=headers).status_code == 200
        assert upstream.received[-1].path == OPENAI + passed

    def test_health_needs_no_key(self, locked: LiveGateway) -> None:
        assert httpx.get(f"{locked.url}/health/ready").status_code == 200
        assert httpx.get(f"{locked.url}/v1/models").status_code == 401


def ask_ok(gateway: LiveGateway, key: str) -> int:
    """The status of a question that needs no provider."""
    return httpx.get(f"{gateway.url}/v1/models", headers={"x-api-key": key}).status_code
