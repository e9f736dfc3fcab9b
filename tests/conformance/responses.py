"""What a client of the Responses API can ask for. Source: the types of the openai SDK 3.57."""

from __future__ import annotations

from typing import Any

from .probe import PDF, PNG, SCHEMA, Probe

HI = {"role": "user", "content": "hi"}
BASE: dict[str, Any] = {"model": "m", "max_output_tokens": 64, "input": [HI]}
TOOL = {"type": "function", "name": "weather", "parameters": SCHEMA}
OTHER = {"type": "function", "name": "time", "parameters": SCHEMA}
TOOLS = BASE | {"tools": [TOOL, OTHER]}
MARK = {"prompt_cache_breakpoint": {"mode": "explicit"}}
CALL = {"type": "function_call", "call_id": "call00001", "name": "weather", "arguments": '{"city":"Rome"}'}
RESULT = {"type": "function_call_output", "call_id": "call00001", "output": "sunny"}


def field(name: str, value: Any, base: dict[str, Any] = BASE, title: str = "") -> Probe:
    shown = title or (f"{name}={str(value).lower() if isinstance(value, bool) else value}")
    return Probe(shown if not isinstance(value, dict | list) or title else name, base | {name: value}, base)


def said(title: str, part: dict[str, Any], before: dict[str, Any] | None = None) -> Probe:
    text = {"type": "input_text", "text": "hi"}
    base = [text] if before is None else [text, before]
    return Probe(
        f"input[message].content[{title}",
        BASE | {"input": [{"role": "user", "content": [text, part]}]},
        BASE | {"input": [{"role": "user", "content": base}]},
    )


def item(title: str, *items: dict[str, Any], base: list[dict[str, Any]] | None = None, **more: Any) -> Probe:
    body = BASE | more
    return Probe(f"input[{title}", body | {"input": [*items, HI]}, body | {"input": [*(base or ()), HI]})


def tool(title: str, changed: dict[str, Any], base: dict[str, Any] | None = TOOL) -> Probe:
    before = [OTHER] if base is None else [base, OTHER]
    return Probe(f"tools[{title}", BASE | {"tools": [changed, OTHER]}, BASE | {"tools": before})


IMAGE = {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PNG}"}
LINK = {"type": "input_image", "detail": "auto", "image_url": "https://example.org/a.png"}
FILE = {"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}
FORM = {"type": "json_schema", "name": "answer", "schema": SCHEMA}
BUILT_IN: list[dict[str, Any]] = [
    {"type": "web_search"},
    {"type": "web_search_preview"},
    {"type": "file_search", "vector_store_ids": ["vs_1"]},
    {"type": "computer"},
    {"type": "computer_use_preview", "display_height": 1, "display_width": 1, "environment": "browser"},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "image_generation"},
    {"type": "local_shell"},
    {"type": "shell"},
    {"type": "apply_patch"},
    {"type": "mcp", "server_label": "s", "server_url": "https://example.org/mcp"},
    {"type": "custom", "name": "sql"},
    {"type": "custom", "name": "sql", "format": {"type": "grammar", "definition": "start: /a+/", "syntax": "lark"}},
    {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "function", "name": "f"}]},
    {"type": "tool_search"},
    {"type": "programmatic_tool_calling"},
]
ITEMS: list[dict[str, Any]] = [
    {"type": "item_reference", "id": "msg_1"},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
    {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["q"]},
    {"type": "computer_call", "id": "cu_1", "call_id": "c", "status": "completed", "pending_safety_checks": []},
    {
        "type": "code_interpreter_call",
        "id": "ci_1",
        "status": "completed",
        "code": "1",
        "container_id": "c",
        "outputs": [],
    },
    {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": PNG},
    {"type": "mcp_call", "id": "mcp_1", "name": "f", "arguments": "{}", "server_label": "s"},
    {
        "type": "local_shell_call",
        "id": "l_1",
        "call_id": "c",
        "status": "completed",
        "action": {"type": "exec", "command": ["ls"], "env": {}},
    },
    {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "select 1"},
    {"type": "custom_tool_call_output", "call_id": "c", "output": "1"},
    {"type": "compaction", "encrypted_content": "abc"},
]
BARE_ITEMS = (
    *("computer_call_output", "tool_search_call", "tool_search_output", "additional_tools", "configuration_update"),
    *("local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output"),
    *("mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "compaction_trigger"),
    *("program", "program_output"),
)
"""Items that are told apart by their type alone."""
ANSWER = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
SAID = {"type": "output_text", "text": "yes?", "annotations": []}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "let me see"}]}
CITED = {"type": "url_citation", "url": "https://example.org", "title": "t", "start_index": 0, "end_index": 1}
INCLUDES = (
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
    "file_search_call.results",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "message.input_image.image_url",
)
PAIR = [HI, CALL, RESULT]

PROBES = [
    Probe("input (a string)", BASE | {"input": "hello"}, BASE | {"input": "hi"}),
    field("instructions", "be brief"),
    field("max_output_tokens", 32),
    field("temperature", 0.5),
    field("temperature", 1.5),
    field("top_p", 0.5),
    field("top_logprobs", 2),
    *(field("include", [value], title=f"include={value}") for value in INCLUDES),
    *(
        field("reasoning", {"effort": effort}, title=f"reasoning.effort={effort}")
        for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    ),
    *(
        field("reasoning", {"summary": value}, title=f"reasoning.summary={value}")
        for value in ("auto", "concise", "detailed")
    ),
    field("reasoning", {"effort": "low", "summary": "auto"}, title="reasoning.effort and summary"),
    field("reasoning", {"generate_summary": "auto"}, title="reasoning.generate_summary"),
    field("reasoning", {"context": "all_turns"}, title="reasoning.context=all_turns"),
    field("reasoning", {"context": "auto"}, title="reasoning.context=auto"),
    field("reasoning", {"mode": "pro"}, title="reasoning.mode=pro"),
    field("reasoning", {"no_such_field": 1}, title="reasoning.no_such_field"),
    field("text", {"verbosity": "low"}, title="text.verbosity=low"),
    field("text", {"verbosity": "medium"}, title="text.verbosity=medium"),
    field("text", {"format": {"type": "text"}}, title="text.format=text"),
    field("text", {"format": {"type": "json_object"}}, title="text.format=json_object"),
    field("text", {"format": FORM}, title="text.format=json_schema"),
    *(
        Probe(
            f"text.format.{name}={str(value).lower()}",
            BASE | {"text": {"format": FORM | {name: value}}},
            BASE | {"text": {"format": FORM}},
        )
        for name, value in (("strict", True), ("strict", False), ("description", "d"))
    ),
    field("stream", True),
    *(
        Probe(
            f"stream_options.include_obfuscation={str(value).lower()}",
            BASE | {"stream": True, "stream_options": {"include_obfuscation": value}},
            BASE | {"stream": True},
        )
        for value in (True, False)
    ),
    # state and how it is run
    field("previous_response_id", "resp_unknown"),
    field("conversation", "conv_1"),
    field("conversation", {"id": "conv_1"}, title="conversation (an object)"),
    field("prompt", {"id": "pmpt_1", "variables": {"a": "b"}, "version": "1"}),
    field("store", True),
    field("store", False),
    field("background", True),
    field("background", False),
    field("background_options", {"no_such": 1}),
    field("truncation", "auto"),
    field("truncation", "disabled"),
    field("context_management", [{"type": "compaction", "compact_threshold": 1000}]),
    field("access_programs", {"cyber": "default"}),
    field("image", {"context_compression": "auto"}),
    field("moderation", {"model": "omni-moderation-latest"}),
    field("metadata", {"a": "b"}),
    field("user", "u1"),
    field("safety_identifier", "u1"),
    field("service_tier", "flex"),
    field("prompt_cache_key", "k"),
    field("prompt_cache_retention", "24h"),
    field("prompt_cache_options", {"mode": "explicit"}),
    field("max_tool_calls", 3),
    field("no_such_field", 1),
    # tools
    Probe("tools[function]", BASE | {"tools": [TOOL]}, BASE),
    tool("function].description", TOOL | {"description": "d"}),
    tool("function].strict=true", TOOL | {"strict": True}),
    tool("function].strict=false", TOOL | {"strict": False}),
    tool("function].defer_loading", TOOL | {"defer_loading": True}),
    tool("function].allowed_callers", TOOL | {"allowed_callers": ["programmatic"]}),
    tool("function].async", TOOL | {"async": True}),
    tool("function].no_such_field", TOOL | {"no_such_field": 1}),
    tool("function].allowed_callers=direct", TOOL | {"allowed_callers": ["direct"]}),
    tool("function].output_schema", TOOL | {"output_schema": SCHEMA}),
    *(tool(f"{one['type']}]" + (".format=grammar" if "format" in one else ""), one, None) for one in BUILT_IN),
    *(field("tool_choice", word, TOOLS) for word in ("auto", "none", "required")),
    field("tool_choice", {"type": "function", "name": "weather"}, TOOLS, "tool_choice (a function)"),
    field("tool_choice", {"type": "web_search_preview"}, TOOLS, "tool_choice (a built-in tool)"),
    field("tool_choice", {"type": "mcp", "server_label": "s"}, TOOLS, "tool_choice (mcp)"),
    *(
        field("tool_choice", {"type": kind}, TOOLS, f"tool_choice ({kind})")
        for kind in ("apply_patch", "shell", "programmatic_tool_calling")
    ),
    field("tool_choice", {"type": "custom", "name": "sql"}, TOOLS, "tool_choice (a custom tool)"),
    field(
        "tool_choice",
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]},
        TOOLS,
        "tool_choice (allowed_tools, functions)",
    ),
    field(
        "tool_choice",
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]},
        TOOLS,
        "tool_choice (allowed_tools, others)",
    ),
    field("parallel_tool_calls", True, TOOLS),
    field("parallel_tool_calls", False, TOOLS),
    # input
    item("message].role=system", {"role": "system", "content": "be brief"}),
    item("message].role=developer", {"role": "developer", "content": "be brief"}),
    item(
        "message].role=system (later)",
        HI,
        {"role": "assistant", "content": "yes?"},
        {"role": "system", "content": "be brief"},
        base=[HI, {"role": "assistant", "content": "yes?"}],
    ),
    item("message].role=assistant", HI, {"role": "assistant", "content": "yes?"}, base=[HI]),
    item("message].role=assistant (full form)", HI, ANSWER | {"content": [SAID]}, base=[HI]),
    item(
        "message].phase",
        HI,
        {"role": "assistant", "content": "yes?", "phase": "commentary"},
        base=[HI, {"role": "assistant", "content": "yes?"}],
    ),
    item(
        "message].status",
        HI,
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}], "status": "completed"},
        base=[HI, {"role": "user", "content": "a"}],
    ),
    item(
        "message].no_such_field",
        HI,
        {"role": "assistant", "content": "yes?", "no_such_field": 1},
        base=[HI, {"role": "assistant", "content": "yes?"}],
    ),
    item(
        "message].content[output_text].annotations",
        HI,
        ANSWER | {"content": [SAID | {"annotations": [CITED]}]},
        base=[HI, ANSWER | {"content": [SAID]}],
    ),
    item(
        "message].content[output_text].logprobs",
        HI,
        ANSWER
        | {"content": [SAID | {"logprobs": [{"token": "yes", "bytes": [1], "logprob": -0.1, "top_logprobs": []}]}]},
        base=[HI, ANSWER | {"content": [SAID]}],
    ),
    item(
        "message].content[refusal]", HI, ANSWER | {"content": [{"type": "refusal", "refusal": "I will not"}]}, base=[HI]
    ),
    said("input_text]", {"type": "input_text", "text": "and bye"}),
    said(
        "input_text].prompt_cache_breakpoint",
        {"type": "input_text", "text": "bye"} | MARK,
        {"type": "input_text", "text": "bye"},
    ),
    said("input_image] (inline)", IMAGE),
    said("input_image] (by URL)", LINK),
    said("input_image].detail", IMAGE | {"detail": "low"}, IMAGE),
    said("input_image].file_id", {"type": "input_image", "detail": "auto", "file_id": "file-1"}),
    said("input_image].prompt_cache_breakpoint", IMAGE | MARK, IMAGE),
    said("input_file] (inline)", FILE),
    said("input_file].file_url", {"type": "input_file", "file_url": "https://example.org/a.pdf"}),
    said("input_file].file_id", {"type": "input_file", "file_id": "file-1"}),
    said("input_file].detail", FILE | {"detail": "low"}, FILE),
    said("input_file].prompt_cache_breakpoint", FILE | MARK, FILE),
    said("input_audio]", {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}),
    item("reasoning]", HI, THOUGHT, ANSWER | {"content": [SAID]}, base=[HI, ANSWER | {"content": [SAID]}]),
    item(
        "reasoning].content",
        HI,
        THOUGHT | {"summary": [], "content": [{"type": "reasoning_text", "text": "let me see"}]},
        ANSWER | {"content": [SAID]},
        base=[HI, ANSWER | {"content": [SAID]}],
    ),
    item(
        "reasoning].encrypted_content",
        HI,
        THOUGHT | {"encrypted_content": "c2VjcmV0"},
        ANSWER | {"content": [SAID]},
        base=[HI, ANSWER | {"content": [SAID]}],
    ),
    item("reasoning].status", HI, THOUGHT | {"status": "completed"}, base=[HI, THOUGHT]),
    item("function_call]", *PAIR, base=[HI], tools=[TOOL]),
    item(
        "function_call].arguments (no JSON)",
        HI,
        CALL | {"arguments": '{"city":'},
        RESULT,
        base=[HI, RESULT],
        tools=[TOOL],
    ),
    item("function_call].id", HI, CALL | {"id": "fc_1"}, RESULT, base=PAIR, tools=[TOOL]),
    item("function_call].status", HI, CALL | {"status": "completed"}, RESULT, base=PAIR, tools=[TOOL]),
    item("function_call].namespace", HI, CALL | {"namespace": "n"}, RESULT, base=PAIR, tools=[TOOL]),
    item("function_call].async", HI, CALL | {"async": True}, RESULT, base=PAIR, tools=[TOOL]),
    item(
        "function_call].caller",
        HI,
        CALL | {"caller": {"type": "program", "caller_id": "p"}},
        RESULT,
        base=PAIR,
        tools=[TOOL],
    ),
    item("function_call].caller=direct", HI, CALL | {"caller": {"type": "direct"}}, RESULT, base=PAIR, tools=[TOOL]),
    item(
        "function_call_output].output (parts)",
        HI,
        CALL,
        RESULT | {"output": [{"type": "input_text", "text": "rain"}]},
        base=PAIR,
        tools=[TOOL],
    ),
    item(
        "function_call_output].output[input_image]",
        HI,
        CALL,
        RESULT | {"output": [{"type": "input_text", "text": "sunny"}, IMAGE]},
        base=PAIR,
        tools=[TOOL],
    ),
    item(
        "function_call_output].output[input_file]",
        HI,
        CALL,
        RESULT | {"output": [{"type": "input_text", "text": "sunny"}, FILE]},
        base=PAIR,
        tools=[TOOL],
    ),
    item("function_call_output].id", HI, CALL, RESULT | {"id": "fco_1"}, base=PAIR, tools=[TOOL]),
    item("function_call_output].status", HI, CALL, RESULT | {"status": "completed"}, base=PAIR, tools=[TOOL]),
    item("function_call_output].name", HI, CALL, RESULT | {"name": "weather"}, base=PAIR, tools=[TOOL]),
    item("function_call_output].namespace", HI, CALL, RESULT | {"namespace": "n"}, base=PAIR, tools=[TOOL]),
    item(
        "function_call_output].caller",
        HI,
        CALL,
        RESULT | {"caller": {"type": "program", "caller_id": "p"}},
        base=PAIR,
        tools=[TOOL],
    ),
    *(item(f"{one['type']}]", HI, one, base=[HI]) for one in ITEMS),
    *(item(f"{kind}]", HI, {"type": kind}, base=[HI]) for kind in BARE_ITEMS),
]
