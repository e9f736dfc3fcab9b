"""What a client of Anthropic's Messages can ask for. Source: the types of the anthropic SDK 2.13, and the betas that
agents send (platform.claude.com, November 2026)."""

from __future__ import annotations

from typing import Any

from .probe import PDF, PNG, SCHEMA, Probe

HI = {"role": "user", "content": "hi"}
BASE: dict[str, Any] = {"model": "m", "max_tokens": 64, "messages": [HI]}
TOOL = {"name": "weather", "input_schema": SCHEMA}
OTHER = {"name": "time", "input_schema": SCHEMA}
TOOLS = BASE | {"tools": [TOOL, OTHER]}
CACHE = {"cache_control": {"type": "ephemeral"}}
TEXT = {"type": "text", "text": "so"}
USE = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}
YES = {"type": "text", "text": "yes?"}


def field(name: str, value: Any, base: dict[str, Any] = BASE, title: str = "") -> Probe:
    shown = title or (f"{name}={str(value).lower() if isinstance(value, bool) else value}")
    return Probe(shown if not isinstance(value, dict | list) or title else name, base | {name: value}, base)


def said(title: str, part: dict[str, Any], before: dict[str, Any] | None = None) -> Probe:
    base = [TEXT] if before is None else [TEXT, before]
    return Probe(
        f"messages[user].content[{title}",
        BASE | {"messages": [{"role": "user", "content": [TEXT, part]}]},
        BASE | {"messages": [{"role": "user", "content": base}]},
    )


def answered(title: str, *parts: dict[str, Any], base: tuple[dict[str, Any], ...] = (YES,)) -> Probe:
    def body(blocks: tuple[dict[str, Any], ...]) -> dict[str, Any]:
        return BASE | {"messages": [HI, {"role": "assistant", "content": list(blocks)}, HI]}

    return Probe(f"messages[assistant].content[{title}", body(parts), body(base))


def called(use: dict[str, Any] = USE, result: dict[str, Any] = RESULT) -> dict[str, Any]:
    turns = [HI, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    return BASE | {"messages": turns, "tools": [TOOL]}


def tool(title: str, more: dict[str, Any]) -> Probe:
    return Probe(f"tools[custom].{title}", BASE | {"tools": [TOOL | more, OTHER]}, TOOLS)


def thinking(title: str, value: dict[str, Any], base: dict[str, Any] | None = None) -> Probe:
    roomy = BASE | {"max_tokens": 8000}
    return Probe(f"thinking{title}", roomy | {"thinking": value}, roomy if base is None else roomy | {"thinking": base})


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
LINK = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
FILE = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
PAGE = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "some text"}}
CITED = {
    "type": "char_location",
    "cited_text": "a",
    "document_index": 0,
    "document_title": "t",
    "start_char_index": 0,
    "end_char_index": 1,
}
THOUGHT = {"type": "thinking", "thinking": "let me see", "signature": "c2ln"}
ENABLED = {"type": "enabled", "budget_tokens": 2048}
SEARCH = {"type": "search_result", "source": "https://example.org", "title": "t", "content": [TEXT]}
SERVER_USE = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
SERVER_TOOLS: list[dict[str, Any]] = [
    {"type": "web_search_20250305", "name": "web_search"},
    {"type": "web_fetch_20250910", "name": "web_fetch"},
    {"type": "code_execution_20250825", "name": "code_execution"},
    {"type": "bash_20250124", "name": "bash"},
    {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
    {"type": "memory_20250818", "name": "memory"},
    {"type": "computer_20250124", "name": "computer", "display_width_px": 1, "display_height_px": 1},
    {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
    {"type": "mcp_toolset", "mcp_server_name": "s"},
]
SERVER_RESULTS: list[dict[str, Any]] = [
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
    {
        "type": "web_fetch_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": {"type": "web_fetch_tool_result_error", "error_code": "unavailable"},
    },
    {
        "type": "code_execution_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": {"type": "code_execution_result", "stdout": "", "stderr": "", "return_code": 0, "content": []},
    },
]
SYSTEM = [{"type": "text", "text": "be brief"}]

PROBES = [
    field("max_tokens", 32),
    field("system", "be brief"),
    field("system", SYSTEM, title="system[text]"),
    field("system", [SYSTEM[0] | CACHE], BASE | {"system": SYSTEM}, "system[text].cache_control"),
    field("system", [SYSTEM[0] | {"citations": [CITED]}], BASE | {"system": SYSTEM}, "system[text].citations"),
    field("temperature", 0.5),
    field("top_p", 0.5),
    field("top_k", 5),
    field("stop_sequences", ["A", "B"]),
    field("stop_sequences", ["A", "B", "C", "D", "E", "F"], title="stop_sequences (six)"),
    field("stream", True),
    field("metadata", {"user_id": "u1"}),
    field("service_tier", "standard_only"),
    field("speed", "fast"),
    field("inference_geo", "us"),
    field("container", "c_1"),
    field("cache_control", {"type": "ephemeral", "ttl": "1h"}),
    field("diagnostics", {"previous_message_id": "msg_1"}),
    field("user_profile_id", "u_1"),
    field("workspace_id", "w_1"),
    field("context_management", {"edits": [{"type": "clear_tool_uses_20250919"}]}),
    field("mcp_servers", [{"type": "url", "name": "s", "url": "https://example.org/mcp"}]),
    field("fallback_credit_token", "t"),
    field("output_format", {"type": "json_schema", "schema": SCHEMA}),
    field("no_such_field", 1),
    # thinking and the form of the answer
    thinking("=disabled", {"type": "disabled"}),
    thinking("=adaptive", {"type": "adaptive"}),
    thinking("=enabled, 2048", ENABLED),
    thinking("=enabled, 512", {"type": "enabled", "budget_tokens": 512}),
    thinking("=enabled, 20000", {"type": "enabled", "budget_tokens": 20000}),
    thinking(".display=omitted", ENABLED | {"display": "omitted"}, ENABLED),
    thinking(".display=summarized", ENABLED | {"display": "summarized"}, ENABLED),
    thinking("=between_tools", {"type": "between_tools"}),
    thinking(" (an unknown type)", {"type": "deep"}),
    thinking(".block_binding", ENABLED | {"block_binding": "drop"}, ENABLED),
    *(
        field("output_config", {"effort": effort}, title=f"output_config.effort={effort}")
        for effort in ("low", "medium", "high", "xhigh", "max")
    ),
    field("output_config", {"format": {"type": "json_schema", "schema": SCHEMA}}, title="output_config.format"),
    field("output_config", {"task_budget": {"type": "tokens", "total": 50000}}, title="output_config.task_budget"),
    field("output_config", {"no_such_field": 1}, title="output_config.no_such_field"),
    # tools
    Probe("tools[custom]", BASE | {"tools": [TOOL]}, BASE),
    tool("type", {"type": "custom"}),
    tool("description", {"description": "d"}),
    tool("strict=true", {"strict": True}),
    tool("strict=false", {"strict": False}),
    tool("cache_control", CACHE),
    tool("defer_loading=true", {"defer_loading": True}),
    tool("defer_loading=false", {"defer_loading": False}),
    tool("allowed_callers=direct", {"allowed_callers": ["direct"]}),
    tool("allowed_callers (code)", {"allowed_callers": ["code_execution_20250825"]}),
    tool("input_examples", {"input_examples": [{"city": "Rome"}]}),
    tool("eager_input_streaming", {"eager_input_streaming": True}),
    *(Probe(f"tools[{one['type']}]", BASE | {"tools": [TOOL, one]}, BASE | {"tools": [TOOL]}) for one in SERVER_TOOLS),
    field("tool_choice", {"type": "auto"}, TOOLS, "tool_choice=auto"),
    field("tool_choice", {"type": "any"}, TOOLS, "tool_choice=any"),
    field("tool_choice", {"type": "none"}, TOOLS, "tool_choice=none"),
    field("tool_choice", {"type": "tool", "name": "weather"}, TOOLS, "tool_choice=tool"),
    *(
        Probe(
            f"tool_choice[{kind}].disable_parallel_tool_use={str(value).lower()}",
            TOOLS | {"tool_choice": {"type": kind, **more, "disable_parallel_tool_use": value}},
            TOOLS | {"tool_choice": {"type": kind, **more}},
        )
        for kind, more in (("auto", {}), ("any", {}), ("tool", {"name": "weather"}))
        for value in (True, False)
    ),
    # what is said
    Probe(
        "messages[system]",
        BASE
        | {"messages": [HI, {"role": "assistant", "content": "yes?"}, {"role": "system", "content": "be brief"}, HI]},
        BASE | {"messages": [HI, {"role": "assistant", "content": "yes?"}, HI]},
    ),
    Probe(
        "messages[assistant]",
        BASE | {"messages": [HI, {"role": "assistant", "content": "yes?"}, HI]},
        BASE | {"messages": [HI, HI]},
    ),
    Probe(
        "messages[assistant] (a prefill)", BASE | {"messages": [HI, {"role": "assistant", "content": "Well "}]}, BASE
    ),
    Probe("messages[].no_such_field", BASE | {"messages": [HI | {"no_such_field": 1}]}, BASE),
    said("text]", {"type": "text", "text": "and bye"}),
    said("text].cache_control", TEXT | CACHE, TEXT),
    said("text].citations", TEXT | {"citations": [CITED]}, TEXT),
    said("text].no_such_field", TEXT | {"no_such_field": 1}, TEXT),
    said("image] (inline)", IMAGE),
    said("image] (by URL)", LINK),
    said("image] (a file)", {"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
    said("image].transformations", IMAGE | {"transformations": {"oversized_image": "downsize"}}, IMAGE),
    said("image].cache_control", IMAGE | CACHE, IMAGE),
    said("document] (PDF, inline)", FILE),
    said("document] (PDF by URL)", {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}}),
    said("document] (text)", PAGE),
    said("document] (blocks)", {"type": "document", "source": {"type": "content", "content": [TEXT, YES]}}),
    said("document] (blocks, a string)", {"type": "document", "source": {"type": "content", "content": "some text"}}),
    said(
        "document] (blocks, with an image)",
        {"type": "document", "source": {"type": "content", "content": [TEXT, IMAGE]}},
    ),
    said("document] (a file)", {"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
    said("document].title", PAGE | {"title": "a.txt"}, PAGE),
    said("document].context", PAGE | {"context": "from the archive"}, PAGE),
    said("document].citations", PAGE | {"citations": {"enabled": True}}, PAGE),
    said("document].citations (off)", PAGE | {"citations": {"enabled": False}}, PAGE),
    said("document].cache_control", PAGE | CACHE, PAGE),
    said("search_result]", SEARCH),
    said("container_upload]", {"type": "container_upload", "file_id": "file_1"}),
    answered("thinking]", THOUGHT, YES),
    answered("thinking] (no signature)", {"type": "thinking", "thinking": "let me see", "signature": ""}, YES),
    answered("redacted_thinking]", {"type": "redacted_thinking", "data": "c2VjcmV0"}, YES),
    answered("server_tool_use]", SERVER_USE, YES),
    *(answered(f"{one['type']}]", SERVER_USE, one, YES, base=(SERVER_USE, YES)) for one in SERVER_RESULTS),
    Probe("messages[].content[tool_use] and [tool_result]", called(), BASE | {"tools": [TOOL]}),
    Probe("messages[].content[tool_use].cache_control", called(USE | CACHE), called()),
    Probe("messages[].content[tool_use].toolset_name", called(USE | {"toolset_name": "t"}), called()),
    Probe("messages[].content[tool_result].toolset_name", called(result=RESULT | {"toolset_name": "t"}), called()),
    Probe("messages[].content[tool_use].caller=direct", called(USE | {"caller": {"type": "direct"}}), called()),
    Probe(
        "messages[].content[tool_use].caller",
        called(USE | {"caller": {"type": "code_execution_20250825", "tool_id": "t"}}),
        called(),
    ),
    Probe("messages[].content[tool_result].is_error", called(result=RESULT | {"is_error": True}), called()),
    Probe("messages[].content[tool_result].cache_control", called(result=RESULT | CACHE), called()),
    Probe(
        "messages[].content[tool_result] (no content)",
        called(result={"type": "tool_result", "tool_use_id": "toolu_1"}),
        called(result=RESULT),
    ),
    Probe("messages[].content[tool_result].content[text]", called(result=RESULT | {"content": [TEXT]}), called()),
    Probe(
        "messages[].content[tool_result].content[text].cache_control",
        called(result=RESULT | {"content": [TEXT | CACHE]}),
        called(result=RESULT | {"content": [TEXT]}),
    ),
    Probe(
        "messages[].content[tool_result].content[image]",
        called(result=RESULT | {"content": [TEXT, IMAGE]}),
        called(result=RESULT | {"content": [TEXT]}),
    ),
    Probe(
        "messages[].content[tool_result].content[document]",
        called(result=RESULT | {"content": [TEXT, FILE]}),
        called(result=RESULT | {"content": [TEXT]}),
    ),
    Probe(
        "messages[].content[tool_result].content[search_result]",
        called(result=RESULT | {"content": [TEXT, SEARCH]}),
        called(result=RESULT | {"content": [TEXT]}),
    ),
    Probe(
        "messages[].content[tool_result].content[tool_reference]",
        called(result=RESULT | {"content": [TEXT, {"type": "tool_reference", "tool_name": "time"}]}),
        called(result=RESULT | {"content": [TEXT]}),
    ),
]
