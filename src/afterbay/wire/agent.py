"""Which of a program's agents asks, as coding agents tell it in headers of their own. Pure.

- `x-afterbay-agent` is ours and goes first.
- Claude Code sends `x-claude-code-agent-id` with the requests of a sub-agent, another one for each, and nothing of the
  kind with its own (code.claude.com/docs/en/llm-gateway-protocol; seen in 2.1.197, November 2026).
- Codex sends `x-openai-subagent` with the requests of a sub-agent, which says its kind (`collab_spawn`, `review`,
  `compact`, ...), and `thread-id`, which tells one from another (github.com/openai/codex,
  `codex-rs/core/src/responses_metadata.rs`; seen in 0.169, November 2026).

Gemini CLI 0.61 tells nothing.
"""

from __future__ import annotations

from collections.abc import Mapping


def agent_of(headers: Mapping[str, str]) -> str | None:
    """The agent that a request comes from; None: nobody in particular, or a program's main agent."""
    named = headers.get("x-afterbay-agent") or headers.get("x-claude-code-agent-id")
    if named:
        return named
    kind = headers.get("x-openai-subagent")
    if not kind:
        return None
    thread = headers.get("thread-id")
    return f"{kind}:{thread}" if thread else kind
