"""Which agent asks, by the headers that coding agents really send."""

from __future__ import annotations

import pytest

from afterbay.wire.agent import agent_of

CLAUDE = {"x-claude-code-session-id": "0fdb18f0-629e-415f-8cd1-2aaf6e2d87fc", "user-agent": "claude-cli/2.1.197"}
CODEX = {"session-id": "01a212e9-16e4", "thread-id": "01a212e9-1730", "originator": "codex_exec"}


@pytest.mark.parametrize(
    ("headers", "agent"),
    [
        ({}, None),
        (CLAUDE, None),
        (CLAUDE | {"x-claude-code-agent-id": "ae8c9dc47721d0f4e"}, "ae8c9dc47721d0f4e"),
        (CLAUDE | {"x-claude-code-agent-id": ""}, None),
        (CODEX, None),
        (CODEX | {"x-openai-subagent": "collab_spawn"}, "collab_spawn:01a212e9-1730"),
        ({"x-openai-subagent": "review"}, "review"),
        ({"x-openai-subagent": ""}, None),
        (CLAUDE | {"x-claude-code-agent-id": "a1", "x-afterbay-agent": "mine"}, "mine"),
        ({"x-afterbay-agent": "mine"}, "mine"),
    ],
)
def test_the_agent_is_who_says_so(headers: dict[str, str], agent: str | None) -> None:
    assert agent_of(headers) == agent
