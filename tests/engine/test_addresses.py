"""Requests to clouds leave for the cloud's own paths, whatever the client speaks."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, GEMINI, OPENAI, serve, text

from afterbay.testing.answers import ask, streamed, whole
from afterbay.testing.fakes import Script, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run


def cloud(script: Script, spoken: str, name: str, **fields: Any) -> MemoryGateway:
    """A gateway of one target at a provider with these fields."""
    plan = snapshot(alias("m", target(f"a/{name}", spoken)))
    provider = msgspec.structs.replace(plan.providers["a"], **fields)
    return MemoryGateway(msgspec.structs.replace(plan, providers={"a": provider}), a=ScriptedUpstream(script))


@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC])
def test_an_azure_deployment_is_asked_by_its_path(client: str) -> None:
    one = cloud(streamed(OPENAI, "hi"), OPENAI, "dep", kind="azure", api_version="2024-10-21")
    reply = serve(one, client)
    (sent,) = one.upstreams["a"].sent
    assert text(reply.body, client) == "hi"
    assert sent.path == "/openai/deployments/dep/chat/completions?api-version=2024-10-21"
    assert json.loads(sent.body)["model"] == "dep"


def test_gemini_on_vertex_is_asked_by_its_project() -> None:
    one = cloud(streamed(GEMINI, "hi"), GEMINI, "gemini-x", kind="vertex", project="p", location="l")
    serve(one, OPENAI)
    (sent,) = one.upstreams["a"].sent
    resource = "projects/p/locations/l/publishers/google/models/gemini-x"
    assert sent.path == f"/v1beta1/{resource}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize(("stream", "method"), [(True, "streamRawPredict"), (False, "rawPredict")])
def test_claude_on_vertex_is_asked_raw_and_without_its_model(client: str, stream: bool, method: str) -> None:
    script = streamed(ANTHROPIC, "hi") if stream else Script(steps=(whole(ANTHROPIC, "hi"),), headers={})
    one = cloud(script, ANTHROPIC, "claude-x", kind="vertex", project="p", location="l")
    reply = serve(one, client, body=ask("m", stream=stream, max_tokens=5))
    (sent,) = one.upstreams["a"].sent
    assert reply.status == 200
    assert sent.path == f"/v1beta1/projects/p/locations/l/publishers/anthropic/models/claude-x:{method}"
    body = json.loads(sent.body)
    assert "model" not in body
    assert body["anthropic_version"] == "vertex-2023-10-16"
    assert body.get("stream", False) is stream


def test_claude_on_vertex_counts_under_a_model_of_its_own() -> None:
    answer = Script(steps=(b'{"input_tokens": 42}',), headers={"content-type": "application/json"})
    one = cloud(answer, ANTHROPIC, "claude-x", kind="vertex", project="p", location="l")
    reply = run(one.chat(ask("m"), ANTHROPIC, operation="count_tokens"))
    (sent,) = one.upstreams["a"].sent
    assert json.loads(reply.body) == {"input_tokens": 42}
    assert sent.path == "/v1beta1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict"
    assert json.loads(sent.body)["model"] == "claude-x"


def test_a_name_that_leads_elsewhere_is_the_client_s_mistake() -> None:
    one = cloud(streamed(OPENAI, "hi"), OPENAI, "..", kind="azure", api_version="2024-10-21")
    reply = serve(one, OPENAI)
    assert reply.status == 400
    assert json.loads(reply.body)["error"]["param"] == "model"
    assert one.upstreams["a"].sent == []
