"""Coding agents through the gateway: their bytes reach a provider of their protocol, and others can serve them too."""

from __future__ import annotations

import json
from typing import Any

import httpx2 as httpx
import pytest
from tests.engine.cases import events, gateway, serve
from tests.engine.test_tool_calls import streamed as called

from acceptance.agents import (
    APPLY_PATCH,
    CLAUDE_HEADERS,
    CODEX_HEADERS,
    LOCAL_SHELL,
    PATCHED,
    WEB_SEARCH,
    claude_code,
    claude_tools,
    codex,
    encode,
)
from afterbay.policy.plan import Route
from afterbay.testing.answers import streamed
from afterbay.testing.fakes import MemoryReply
from afterbay.testing.grammar import violations
from afterbay.testing.live import LiveGateway
from afterbay.testing.memory_gateway import MemoryGateway
from afterbay.wire.proofs import NATIVE
from afterbay.wire.registry import DIALECTS

ANTHROPIC, RESPONSES = "anthropic.messages", "openai.responses"
SPOKEN = list(DIALECTS)
"""All protocols that a provider may speak."""
THINKING = [{"type": "adaptive"}, {"type": "enabled", "budget_tokens": 31999}, {"type": "disabled"}]


def asked(
    client: str, body: dict[str, Any], spoken: str, route: Route | None = None
) -> tuple[MemoryGateway, MemoryReply]:
    """What a gateway answers whose only provider speaks `spoken`."""
    one = gateway([streamed(spoken, "hi")], spoken=spoken, route=route)
    given: dict[str, Any] = {"headers": CLAUDE_HEADERS, "query": "beta=true"} if client == ANTHROPIC else {}
    return one, serve(one, client, **{"headers": CODEX_HEADERS, "body": encode(body)} | given)


def sent(one: MemoryGateway) -> Any:
    return one.upstreams["a"].sent[0]


@pytest.mark.parametrize("thinking", THINKING)
def test_claude_code_reaches_anthropic_byte_for_byte(thinking: dict[str, Any]) -> None:
    body = claude_code(
        "Go on", thinking, context_management={"edits": [{"type": "of_next_year"}]}, of_next_year={"a": 1}
    )
    one, reply = asked(ANTHROPIC, body, ANTHROPIC)
    assert reply.status == 200
    assert sent(one).body == encode(body | {"model": "up"})
    assert sent(one).path == "/v1/messages?beta=true"
    assert sent(one).headers == {name: CLAUDE_HEADERS[name] for name in ("anthropic-version", "anthropic-beta")}
    assert "x-afterbay-warnings" not in reply.headers


@pytest.mark.parametrize("tool", [APPLY_PATCH, WEB_SEARCH, LOCAL_SHELL, {"type": "of_next_year"}])
def test_codex_reaches_openai_byte_for_byte(tool: dict[str, Any]) -> None:
    body = codex("Go on", tool, items=PATCHED) | {"of_next_year": [1.0]}
    one, reply = asked(RESPONSES, body, RESPONSES)
    assert reply.status == 200
    assert sent(one).body == encode(body | {"model": "up"})
    assert sent(one).path == "/responses"
    assert sent(one).headers == {"openai-beta": CODEX_HEADERS["openai-beta"]}
    assert "x-afterbay-warnings" not in reply.headers


@pytest.mark.parametrize("thinking", THINKING)
@pytest.mark.parametrize("spoken", [name for name in SPOKEN if name != ANTHROPIC])
def test_claude_code_is_served_by_every_other_protocol(spoken: str, thinking: dict[str, Any]) -> None:
    body = claude_code("Go on", thinking, fallback_credit_token="t")
    body["output_config"]["task_budget"] = {"type": "tokens", "total": 100_000}
    one, reply = asked(ANTHROPIC, body, spoken)
    assert (reply.status, events(reply.body)[-1]["type"]) == (200, "message_stop")
    dropped = reply.headers["x-afterbay-warnings"]
    for hint in ("metadata", "cache_control", "context_management", "fallback_credit_token", "task_budget"):
        assert hint in dropped
    text = sent(one).body.decode()
    for kept in ("assert 1 == 2", "1 failed", "Permission denied", "你好", "The user opened test.py.", "Go on"):
        assert kept in text
    for tool in claude_tools():
        assert f'"{tool["name"]}"' in text
    assert "session_id" not in text
    for proof in ("c2lnbmVk", "b21pdHRlZA", "cmVkYWN0ZWQ"):
        if NATIVE.get(spoken) != NATIVE[ANTHROPIC]:
            assert proof not in text, "proofs go back to their maker alone"


@pytest.mark.parametrize("spoken", [name for name in SPOKEN if name != RESPONSES])
def test_codex_is_served_by_every_other_protocol(spoken: str) -> None:
    one, reply = asked(RESPONSES, codex("Go on"), spoken)
    assert (reply.status, events(reply.body)[-1]["type"]) == (200, "response.completed")
    for hint in ("prompt_cache_key", "client_metadata", "text.verbosity"):
        assert hint in reply.headers["x-afterbay-warnings"]
    text = sent(one).body.decode()
    for kept in ("Sandboxed.", "<cwd>/a</cwd>", "1 failed", "a picture", "你好", "You are an agent that edits code."):
        assert kept in text
    for tool in codex("")["tools"]:
        assert f'"{tool["name"]}"' in text
    for secret in ("c2VjcmV0", "0199f2a4", "5d2b9b3e"):
        assert secret not in text


PATCH = '*** Begin Patch\n*** Update File: a.py\n+print("Grüße")\n*** End Patch\n'


@pytest.mark.parametrize("spoken", [name for name in SPOKEN if name != RESPONSES])
def test_codex_patches_files_by_every_other_protocol(spoken: str) -> None:
    said = called(spoken, ("apply_patch", json.dumps({"input": PATCH})), ("shell", '{"command":["ls"]}'))
    one = gateway([said], spoken=spoken)
    body = codex("Go on", APPLY_PATCH, items=PATCHED)
    reply = serve(one, RESPONSES, headers=CODEX_HEADERS, body=encode(body))
    assert reply.status == 200
    assert violations(RESPONSES, reply.body) == []
    text = sent(one).body.decode()
    for kept in ("*** Begin Patch\\n*** End Patch", "Success.", "hunk: /.+/ LF", "Not JSON: send the patch as it is."):
        assert json.dumps(kept)[1:-1].replace("\\\\", "\\") in text.replace("\\\\", "\\"), kept
    assert f"tools[{len(body['tools']) - 1}].format=description" in reply.headers["x-afterbay-warnings"]
    output = events(reply.body)[-1]["response"]["output"]
    assert [(one["type"], one.get("input") or one.get("arguments")) for one in output] == [
        ("custom_tool_call", PATCH),
        ("function_call", '{"command":["ls"]}'),
    ]


REFUSED = [
    (RESPONSES, codex("Go on", WEB_SEARCH), "type=web_search"),
    (RESPONSES, codex("Go on", LOCAL_SHELL), "type=local_shell"),
    (
        ANTHROPIC,
        claude_code("Search", tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}]),
        "type=web_search_20250305",
    ),
    (ANTHROPIC, claude_code("Go on", tools=[claude_tools()[0] | {"defer_loading": True}]), "defer_loading"),
    (ANTHROPIC, claude_code("Go on", mcp_servers=[{"type": "url", "url": "https://a", "name": "a"}]), "mcp_servers"),
]


@pytest.mark.parametrize(("client", "body", "named"), REFUSED, ids=[named for _, _, named in REFUSED])
@pytest.mark.parametrize("spoken", SPOKEN)
def test_what_only_the_agents_own_protocol_has_is_refused_by_name(
    client: str, body: dict[str, Any], named: str, spoken: str
) -> None:
    one, reply = asked(client, body, spoken)
    if spoken == client:
        assert reply.status == 200
        return
    assert reply.status == 400
    told = reply.json["error"]
    assert isinstance(told, dict)
    assert named in told["message"]
    assert "unsupported: drop" in told["message"], "the way out is named"
    assert not one.upstreams["a"].sent


@pytest.mark.parametrize("tool", [WEB_SEARCH, LOCAL_SHELL])
@pytest.mark.parametrize("spoken", [name for name in SPOKEN if name != RESPONSES])
def test_a_route_that_drops_serves_codex_without_openais_own_tools(spoken: str, tool: dict[str, Any]) -> None:
    one, reply = asked(RESPONSES, codex("Go on", tool), spoken, Route("defaults", drop_unsupported=True))
    assert reply.status == 200
    assert f"type={tool['type']}" in reply.headers["x-afterbay-warnings"]
    assert b'"shell"' in sent(one).body


@pytest.mark.parametrize("model", ["auto", "gpt", "claude", "gem"])
def test_a_turn_of_claude_code(gateway: LiveGateway, model: str) -> None:
    """Over real connections: a tool is called, its result is taken, as the agent does it."""
    body = claude_code("Please use Bash", model=model, history=model != "claude")
    with httpx.Client(base_url=gateway.url, headers=CLAUDE_HEADERS, timeout=20) as http:
        first = http.post("/v1/messages?beta=true", content=encode(body))
        assert (first.status_code, first.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
        told = events(first.content)
        (use,) = [e["content_block"] for e in told if e.get("content_block", {}).get("type") == "tool_use"]
        arguments = "".join(e["delta"].get("partial_json", "") for e in told if e["type"] == "content_block_delta")
        assert use["name"] == "Bash"
        call = {"type": "tool_use", "id": use["id"], "name": "Bash", "input": json.loads(arguments)}
        result = {"type": "tool_result", "tool_use_id": use["id"], "content": "2 files"}
        body["messages"] += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        second = http.post("/v1/messages?beta=true", content=encode(body))
    said = [e["delta"].get("text", "") for e in events(second.content) if e["type"] == "content_block_delta"]
    assert "".join(said) == "The tool Bash says: 2 files"
    (stop,) = [e["delta"]["stop_reason"] for e in told if e["type"] == "message_delta"]
    assert stop == "tool_use"


@pytest.mark.parametrize("model", ["gpt", "claude", "gem"])
def test_what_claude_code_asks_beside_messages(gateway: LiveGateway, model: str) -> None:
    body = claude_code("Count", model=model)
    for name in ("stream", "max_tokens", "metadata"):
        del body[name]
    with httpx.Client(base_url=gateway.url, headers=CLAUDE_HEADERS, timeout=20) as http:
        counted = http.post("/v1/messages/count_tokens?beta=true", content=encode(body))
        assert counted.status_code == 200, counted.text
        assert counted.json()["input_tokens"] > 100
        assert http.head("/").status_code == 200
        listed = http.get("/v1/models?limit=1000").json()
    assert {"id", "display_name", "type"} <= set(listed["data"][0])
    assert model in {one["id"] for one in listed["data"]}
