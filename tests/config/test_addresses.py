"""Azure and Vertex AI: where a request goes. The vendors' own clients are asked for the same and must agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.config.addresses import azure_path, is_claude, vertex_base_url, vertex_path
from afterbay.config.snapshot import Provider
from afterbay.core.errors import ClientMistake
from afterbay.core.message import Message, Text
from afterbay.core.request import ChatRequest
from afterbay.wire.registry import DIALECTS

CHAT = "/chat/completions"
HOST = "https://name.openai.azure.com"
ASK = "/v1beta/models/m:generateContent"


@pytest.mark.parametrize(
    ("base", "path", "version", "found"),
    [
        (HOST, CHAT, "2024-10-21", "/openai/deployments/d/chat/completions?api-version=2024-10-21"),
        (HOST, "/embeddings", "2024-10-21", "/openai/deployments/d/embeddings?api-version=2024-10-21"),
        (HOST, "/responses", "2025-03-01-preview", "/openai/responses?api-version=2025-03-01-preview"),
        (HOST + "/openai", CHAT, "2024-10-21", "/deployments/d/chat/completions?api-version=2024-10-21"),
        (HOST + "/openai/deployments/e", CHAT, "2024-10-21", "/chat/completions?api-version=2024-10-21"),
        (HOST, CHAT, None, "/openai/v1/chat/completions"),
        (HOST, "/responses", None, "/openai/v1/responses"),
        (HOST, CHAT, "preview", "/openai/v1/chat/completions?api-version=preview"),
        (HOST + "/openai/v1", CHAT, None, "/chat/completions"),
        (HOST + "/openai/v1/", "/responses", "preview", "/responses?api-version=preview"),
        (
            "https://n.services.ai.azure.com/models",
            CHAT,
            "2024-05-01-preview",
            CHAT + "?api-version=2024-05-01-preview",
        ),
        (HOST, CHAT + "?a=1&API-version=1999-01-01", "2024-10-21", None),
    ],
)
def test_an_azure_path_goes_on_where_its_base_url_ends(base: str, path: str, version: str, found: str | None) -> None:
    told = azure_path(base, path, "d", version)
    assert told == (found or "/openai/deployments/d/chat/completions?a=1&api-version=2024-10-21")


def sent_by_openai(path: str, **options: Any) -> str:
    import httpx2
    from openai import AzureOpenAI

    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(str(request.url))
        assert request.headers["api-key"] == "k"
        return httpx2.Response(400, json={"error": {}})

    client = AzureOpenAI(
        api_key="k", max_retries=0, http_client=httpx2.Client(transport=httpx2.MockTransport(answer)), **options
    )
    ask: dict[str, Callable[[], object]] = {
        CHAT: lambda: client.chat.completions.create(model="d e", messages=[]),
        "/embeddings": lambda: client.embeddings.create(model="d e", input="x"),
        "/responses": lambda: client.responses.create(model="d e", input="x"),
    }
    with pytest.raises(Exception, match="400"):
        ask[path]()
    return seen[0]


@pytest.mark.parametrize("path", [CHAT, "/embeddings", "/responses"])
def test_azure_s_own_client_asks_for_the_same(path: str) -> None:
    version = "2025-03-01-preview"
    own = sent_by_openai(path, azure_endpoint=HOST, api_version=version)
    assert own == HOST + azure_path(HOST, path, "d e", version)


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "https://aiplatform.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
        ("us-central1", "https://us-central1-aiplatform.googleapis.com"),
    ],
)
def test_every_location_has_its_host(location: str, host: str) -> None:
    assert vertex_base_url(location) == host


@pytest.mark.parametrize(
    ("model", "resource"),
    [
        ("gemini-x", "projects/p/locations/l/publishers/google/models/gemini-x"),
        ("meta/llama-4", "projects/p/locations/l/publishers/meta/models/llama-4"),
        ("publishers/meta/models/llama-4", "projects/p/locations/l/publishers/meta/models/llama-4"),
        ("endpoints/12", "projects/p/locations/l/endpoints/12"),
        ("projects/p/locations/eu/endpoints/12", "projects/p/locations/eu/endpoints/12"),
        ("a b?c", "projects/p/locations/l/publishers/google/models/a%20b%3Fc"),
    ],
)
def test_a_model_on_vertex_is_a_resource_of_the_project(model: str, resource: str) -> None:
    assert vertex_path(ASK, model, "p", "l", None) == f"/v1beta1/{resource}:generateContent"


def test_method_and_query_stay_and_the_version_may_be_chosen() -> None:
    path = "/v1/models/m:streamGenerateContent?alt=sse&x=a:b"
    found = vertex_path(path, "g", None, "global", "v1")
    assert found == "/v1/publishers/google/models/g:streamGenerateContent?alt=sse&x=a:b"
    assert vertex_path("/somewhere/else", "g", None, "global", None) == "/somewhere/else"


@pytest.mark.parametrize("options", [{"project": "p", "location": "us-central1"}, {"api_key": "k"}])
def test_google_s_own_client_asks_for_the_same(options: dict[str, str]) -> None:
    from google.auth.credentials import AnonymousCredentials
    from google.genai import Client

    client = Client(vertexai=True, credentials=AnonymousCredentials() if "project" in options else None, **options)  # type: ignore[no-untyped-call, arg-type]
    asked = client._api_client._build_request("post", "publishers/google/models/g:generateContent", {}, None)
    ours = vertex_path(ASK, "g", options.get("project"), options.get("location", "global"), None)
    assert asked.url == vertex_base_url(options.get("location", "global")) + ours


@pytest.mark.parametrize(
    ("path", "stream", "found"),
    [
        ("/v1/messages", False, "claude-x@20250929:rawPredict"),
        ("/v1/messages", True, "claude-x@20250929:streamRawPredict"),
        ("/v1/messages?beta=true", True, "claude-x@20250929:streamRawPredict"),
        ("/v1/messages/count_tokens", True, "count-tokens:rawPredict"),
    ],
)
def test_claude_on_vertex_is_asked_raw(path: str, stream: bool, found: str) -> None:
    told = vertex_path(path, "claude-x@20250929", "p", "l", None, stream=stream)
    assert told == f"/v1beta1/projects/p/locations/l/publishers/anthropic/models/{found}"


def test_claude_is_known_by_its_name_and_publisher() -> None:
    assert is_claude("claude-opus-5")
    assert is_claude("anthropic/claude-opus-5")
    assert is_claude("publishers/anthropic/models/claude-opus-5")
    assert not is_claude("gemini-x")
    assert not is_claude("meta/claude-like")


@pytest.mark.parametrize(
    "model", ["..", "a/../b", "a//b", "projects/other/locations/l/endpoints/1", "publishers/../x", ""]
)
def test_a_name_that_leads_elsewhere_is_refused(model: str) -> None:
    with pytest.raises(ClientMistake) as refused:
        vertex_path(ASK, model, "p", "l", None)
    assert refused.value.param == "model"


@given(st.text(min_size=1, max_size=12))
def test_no_name_leaves_its_place_in_the_path(name: str) -> None:
    try:
        azure = azure_path(HOST, CHAT, name, "2024-10-21")
        vertex = vertex_path(ASK, name, "p", "l", None)
    except ClientMistake:
        return
    assert azure.startswith("/openai/deployments/")
    assert azure.endswith("/chat/completions?api-version=2024-10-21")
    assert azure.count("/") == 5
    assert vertex.startswith("/v1beta1/projects/p/locations/l/")
    assert not {"..", "."} & set(vertex.split("/"))
    assert "?" not in vertex


def test_other_kinds_are_asked_where_the_dialect_says() -> None:
    plain = Provider("p", "openai", "https://h/v1", "openai.chat", None)
    assert plain.path_of(CHAT + "?a=1", "m") == CHAT + "?a=1"
    assert plain.dialect_of("claude-x", embeds=False) == "openai.chat"
    vertex = Provider("p", "vertex", "https://h", "gemini", None)
    assert vertex.dialect_of("claude-x", embeds=False) == "anthropic.messages"
    assert vertex.dialect_of("gemini-x", embeds=True) == "gemini"


def test_a_messages_body_for_vertex_loses_its_model_and_nothing_else() -> None:
    from afterbay.wire.anthropic_messages.vertex import for_vertex

    body = b'{"max_tokens": 1.50, "model": "claude-x", "messages": [ {"role":"user"} ], "stream":true}'
    sent = for_vertex(body)
    assert b"1.50" in sent
    assert b'[ {"role":"user"} ]' in sent
    assert json.loads(sent) == {
        "max_tokens": 1.5,
        "messages": [{"role": "user"}],
        "stream": True,
        "anthropic_version": "vertex-2023-10-16",
    }
    assert json.loads(for_vertex(body, counts=True))["model"] == "claude-x"
    assert json.loads(for_vertex(b'{"anthropic_version": "own"}')) == {"anthropic_version": "own"}


@pytest.mark.parametrize(
    "name",
    [
        "../../v1beta/files",
        "..",
        ".",
        "a/../../../x",
        "a\\..\\b",
        "..;/x",
        "..%2f..%2fx",
        "%252e%252e/x",
        "models/../files",
    ],
)
@pytest.mark.parametrize("dialect", ["gemini", "bedrock.converse", "azure"])
def test_a_model_s_name_leads_out_of_no_address(name: str, dialect: str) -> None:
    request = ChatRequest(name, (Message("user", (Text("hi"),)),))
    kind = "azure" if dialect == "azure" else "openai"
    provider = Provider("p", kind, "https://host/base", "openai.chat", None, api_version="2024-10-21")
    path = DIALECTS["openai.chat" if dialect == "azure" else dialect].build_request(request, name).path
    with pytest.raises(ClientMistake):
        provider.path_of(path, name)


@pytest.mark.parametrize(
    "name", ["gemini-2.5-pro", "a.b/c..d", "anthropic.claude-v2:0", "..a/b", "arn:aws:bedrock:x/y.z"]
)
def test_dots_within_a_model_s_name_are_fine(name: str) -> None:
    provider = Provider("p", "openai", "https://host/base", "openai.chat", None)
    request = ChatRequest(name, (Message("user", (Text("hi"),)),))
    for dialect in ("gemini", "bedrock.converse"):
        path = DIALECTS[dialect].build_request(request, name).path
        assert provider.path_of(path, name) == path


def test_a_model_of_a_path_may_be_asked_for_where_it_is_in_the_body() -> None:
    provider = Provider("p", "openai", "https://host/base", "openai.chat", None)
    assert provider.path_of(CHAT, "../models/a.gguf") == CHAT


def test_a_client_s_own_api_version_is_left_out_however_it_is_spelled() -> None:
    assert azure_path(HOST, CHAT + "?api%2Dversion=1&a=2", "d", "2024-10-21").endswith("?a=2&api-version=2024-10-21")
