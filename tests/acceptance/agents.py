"""Requests as coding agents send them, written by hand in the shapes of November 2026.

Sources. Claude Code 2.1: its documentation of gateways (code.claude.com/docs/en/llm-gateway), the parameter types of
Anthropic's SDK 2.13 (`types/beta`), and public reimplementations of its head (`anthropic-beta` and its order, `x-app`,
`?beta=true`, `x-claude-code-session-id`). Codex 0.14x: github.com/openai/codex, `codex-rs/codex-api/src/common.rs`
(`ResponsesApiRequest`), `codex-rs/tools/src/tool_spec.rs`, `codex-rs/protocol/src/models.rs`.
"""

from __future__ import annotations

import json
from typing import Any

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
EPHEMERAL = {"type": "ephemeral"}

CLAUDE_HEADERS = {
    "accept": "application/json",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,thinking-token-count-2026-05-13,"
    "context-management-2025-06-27,prompt-caching-scope-2026-01-05,mid-conversation-system-2026-04-07,"
    "effort-2025-11-24,fallback-credit-2026-06-01",
    "anthropic-dangerous-direct-browser-access": "true",
    "anthropic-version": "2023-06-01",
    "authorization": "Bearer any",
    "content-type": "application/json",
    "user-agent": "claude-cli/2.1.257 (external, cli)",
    "x-app": "cli",
    "x-claude-code-session-id": "0d7bb9a2-5a52-4c0e-9f2c-2f1a4f6f7a11",
    "x-stainless-lang": "js",
    "x-stainless-retry-count": "0",
    "x-stainless-timeout": "600",
}

CODEX_HEADERS = {
    "accept": "text/event-stream",
    "authorization": "Bearer any",
    "content-type": "application/json",
    "openai-beta": "responses=experimental",
    "originator": "codex_cli_rs",
    "session_id": "0199f2a4-7d1c-7a31-9a55-30f0a5c6b3d2",
    "user-agent": "codex_cli_rs/0.144.1 (Debian 13.0.0; x86_64) xterm-256color",
    "version": "0.144.1",
    "x-codex-turn-metadata": '{"turn_id":"1"}',
}


def encode(body: dict[str, Any]) -> bytes:
    """As JavaScript and Rust write it: no spaces, no escapes above ASCII."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _parameters(number: int) -> dict[str, Any]:
    """A schema of the kinds that agents' tools have, another one for each number."""
    shapes: list[dict[str, Any]] = [
        {"type": "string", "description": "An absolute path."},
        {"type": "integer", "minimum": 1, "maximum": 600_000},
        {"type": "boolean", "default": False},
        {"type": "string", "enum": ["content", "files_with_matches", "count"]},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"type": "object", "properties": {"key": {"type": "string"}}, "additionalProperties": {"type": "string"}},
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"content": {"type": "string"}, "status": {"enum": ["pending", "done"]}},
                "required": ["content", "status"],
                "additionalProperties": False,
            },
        },
    ]
    names = [f"field_{at}" for at in range(1 + number % len(shapes))]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {name: shapes[(number + at) % len(shapes)] for at, name in enumerate(names)},
        "required": names[:1],
        "additionalProperties": False,
    }


def claude_tools(count: int = 40) -> list[dict[str, Any]]:
    """Tools as Claude Code lists them: `Bash`, `Read`, and others by number, some of them of MCP servers."""
    path = {"type": "object", "properties": {"file_path": {"type": "string"}}, "required": ["file_path"]}
    command = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
    tools: list[dict[str, Any]] = [
        {"name": "Bash", "description": "Runs a command.", "input_schema": command, "eager_input_streaming": True},
        {"name": "Read", "description": "Reads a file.", "input_schema": path},
    ]
    for number in range(count - len(tools)):
        name = f"mcp__tracker__tool_{number}" if number % 3 else f"Tool{number}"
        tools.append({"name": name, "description": f"Does thing {number}.\n" * 4, "input_schema": _parameters(number)})
    return tools


def claude_code(
    last: str, thinking: dict[str, Any] | None = None, *, history: bool = True, **fields: Any
) -> dict[str, Any]:
    """The body of `POST /v1/messages?beta=true` in the middle of a session. `last`: what the user says last."""
    said: list[dict[str, Any]] = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "<system-reminder>\nToday is 2026-11-20.\n</system-reminder>"},
                {"type": "text", "text": "Why does the test fail? Grüße, 你好"},
            ],
        },
    ]
    if history:
        said += _claude_history()
    else:
        said = []
    said.append({"role": "user", "content": [{"type": "text", "text": last, "cache_control": EPHEMERAL}]})
    body: dict[str, Any] = {
        "model": "m",
        "messages": said,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.257.a1b; cc_entrypoint=cli;"},
            {"type": "text", "text": "You are an agent.", "cache_control": EPHEMERAL | {"ttl": "1h"}},
            {"type": "text", "text": "# Rules\n- Be brief.", "cache_control": EPHEMERAL | {"scope": "global"}},
        ],
        "tools": claude_tools(),
        "metadata": {"user_id": '{"device_id":"d41d8c","account_uuid":"","session_id":"0d7bb9a2"}'},
        "max_tokens": 32000,
        "thinking": thinking if thinking is not None else {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "stream": True,
    }
    return body | fields


def _claude_history() -> list[dict[str, Any]]:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    return [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I must look at the file.", "signature": "c2lnbmVk"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_01", "name": "Read", "input": {"file_path": "/a/test.py"}},
                {"type": "tool_use", "id": "toolu_02", "name": "Bash", "input": {"command": "pytest"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"tool_use_id": "toolu_01", "type": "tool_result", "content": "1\tassert 1 == 2"},
                {
                    "tool_use_id": "toolu_02",
                    "type": "tool_result",
                    "content": [{"type": "text", "text": "1 failed"}, image],
                },
            ],
        },
        {"role": "system", "content": "The user opened test.py."},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "b21pdHRlZA=="},
                {"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="},
                {"type": "tool_use", "id": "toolu_03", "name": "Bash", "input": {"command": "rm /a"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "content": "Permission denied", "is_error": True, "tool_use_id": "toolu_03"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "It compares 1 with 2."}]},
    ]


APPLY_PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files. Not JSON: send the patch as it is.",
    "format": {
        "type": "grammar",
        "syntax": "lark",
        "definition": 'start: "*** Begin Patch" LF hunk+ "*** End Patch" LF?\nhunk: /.+/ LF\n%import common.LF\n',
    },
}
WEB_SEARCH = {"type": "web_search", "external_web_access": False}
LOCAL_SHELL = {"type": "local_shell"}


def codex_tools() -> list[dict[str, Any]]:
    """Tools that are functions."""
    command = {"type": "array", "items": {"type": "string"}}
    shell = {
        "type": "object",
        "properties": {"command": command, "workdir": {"type": "string"}, "timeout_ms": {"type": "number"}},
        "required": ["command"],
        "additionalProperties": False,
    }
    tools = [{"type": "function", "name": "shell", "description": "Runs.", "strict": False, "parameters": shell}]
    for number in range(8):
        parameters = {name: part for name, part in _parameters(number).items() if name != "$schema"}
        named = {"type": "function", "name": f"tool_{number}", "description": f"Does {number}.", "strict": False}
        tools.append(named | {"parameters": parameters})
    return tools


def codex(last: str, *more_tools: dict[str, Any], items: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The body of `POST /v1/responses` in the middle of a session; `items` come before what the user says last."""
    return {
        "model": "m",
        "instructions": "You are an agent that edits code.",
        "input": [
            _say("developer", "<permissions instructions>\nSandboxed.\n</permissions instructions>"),
            _say("user", "<environment_context>\n<cwd>/a</cwd>\n</environment_context>"),
            _say("user", "Why does the test fail? Grüße, 你好"),
            *(items if items is not None else CODEX_HISTORY),
            _say("user", last),
        ],
        "tools": [*codex_tools(), *more_tools],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199f2a4-7d1c-7a31-9a55-30f0a5c6b3d2",
        "text": {"verbosity": "low"},
        "client_metadata": {"x-codex-installation-id": "5d2b9b3e-2f0c-4a3f-8c57-0c9b6a1d7e11"},
    }


def _say(role: str, text: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


CODEX_HISTORY: list[dict[str, Any]] = [
    {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "**Looking**\nI must look at the file."}],
        "content": None,
        "encrypted_content": "gAAAAABoc2VjcmV0",
    },
    _say("assistant", "I look."),
    {"type": "function_call", "name": "shell", "arguments": '{"command":["pytest"]}', "call_id": "call_1"},
    {"type": "function_call_output", "call_id": "call_1", "output": "1 failed"},
    {"type": "function_call", "name": "shell", "arguments": '{"command":["shot"]}', "call_id": "call_2"},
    {
        "type": "function_call_output",
        "call_id": "call_2",
        "output": [
            {"type": "input_text", "text": "a picture"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "high"},
        ],
    },
    _say("assistant", "It compares 1 with 2."),
]
PATCHED: list[dict[str, Any]] = [
    {"type": "custom_tool_call", "call_id": "call_3", "name": "apply_patch", "input": "*** Begin Patch\n*** End Patch"},
    {"type": "custom_tool_call_output", "call_id": "call_3", "output": '{"output":"Success."}'},
]
