"""What a client of chat completions can ask for. Source: the types of the openai SDK 3.57."""

from __future__ import annotations

from typing import Any

from .probe import PDF, PNG, SCHEMA, WAV, Probe

HI = {"role": "user", "content": "hi"}
BASE: dict[str, Any] = {"model": "m", "max_tokens": 64, "messages": [HI]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
OTHER = {"type": "function", "function": {"name": "time", "parameters": SCHEMA}}
TOOLS = BASE | {"tools": [TOOL, OTHER]}
CALL = {"id": "call00001", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}


def field(name: str, value: Any, base: dict[str, Any] = BASE, title: str = "") -> Probe:
    shown = title or (f"{name}={str(value).lower() if isinstance(value, bool) else value}")
    return Probe(shown if not isinstance(value, dict | list) or title else name, base | {name: value}, base)


def said(title: str, part: dict[str, Any], base: dict[str, Any] | None = None) -> Probe:
    """One part more in what the user says."""
    text = {"type": "text", "text": "hi"}
    before = [text] if base is None else [text, base]
    return Probe(
        f"messages[user].content[{title}",
        BASE | {"messages": [{"role": "user", "content": [text, part]}]},
        BASE | {"messages": [{"role": "user", "content": before if base else "hi"}]},
    )


def turn(title: str, *messages: dict[str, Any], base: list[dict[str, Any]] | None = None, **more: Any) -> Probe:
    """Other messages, before the last one of the user's."""
    before = BASE | {"messages": [*(base or ()), HI]} | more
    return Probe(f"messages[{title}", BASE | {"messages": [*messages, HI]} | more, before)


def tool(title: str, changed: dict[str, Any], base: dict[str, Any] = TOOL) -> Probe:
    return Probe(f"tools[{title}", BASE | {"tools": [changed, OTHER]}, BASE | {"tools": [base, OTHER]})


def form(title: str, value: dict[str, Any], base: dict[str, Any] | None = None) -> Probe:
    before = BASE if base is None else BASE | {"response_format": base}
    return Probe(f"response_format{title}", BASE | {"response_format": value}, before)


def called(**more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [CALL]} | more


def result(content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "call00001", "content": content}


FUNCTION: dict[str, Any] = TOOL["function"]  # type: ignore[assignment]
PLAIN_SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
AUDIO = {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
LINK = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
FILE = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}}
CUSTOM = {"type": "custom", "custom": {"name": "sql", "description": "Runs it.", "format": {"type": "text"}}}
GRAMMAR = {
    "type": "custom",
    "custom": {
        "name": "sql",
        "format": {"type": "grammar", "grammar": {"definition": "start: /a+/", "syntax": "lark"}},
    },
}
MARK = {"prompt_cache_breakpoint": {"mode": "explicit"}}
ALLOWED = {"mode": "required", "tools": [{"type": "function", "function": {"name": "weather"}}]}
LOCATION = {"type": "approximate", "approximate": {"city": "Rome", "country": "IT", "region": "RM", "timezone": "UTC"}}

PROBES = [
    field("max_tokens", 32),
    Probe(
        "max_completion_tokens=32",
        {"model": "m", "messages": [HI], "max_completion_tokens": 32},
        {"model": "m", "messages": [HI]},
    ),
    Probe("(no limit)", {"model": "m", "messages": [HI]}, BASE),
    field("temperature", 0.5),
    field("temperature", 1.5),
    field("top_p", 0.5),
    field("stop", "END"),
    field("stop", ["A", "B"], title="stop (list)"),
    field("stop", ["A", "B", "C", "D", "E", "F"], title="stop (six)"),
    field("stop", ["\n"], title="stop (white space)"),
    field("seed", 7),
    field("presence_penalty", 0.5),
    field("frequency_penalty", 0.5),
    field("n", 2),
    field("logprobs", True),
    field("top_logprobs", 2, BASE | {"logprobs": True}),
    field("logit_bias", {"5": -100}),
    field("stream", True),
    Probe(
        "stream_options.include_usage",
        BASE | {"stream": True, "stream_options": {"include_usage": True}},
        BASE | {"stream": True},
    ),
    Probe(
        "stream_options.include_obfuscation=true",
        BASE | {"stream": True, "stream_options": {"include_obfuscation": True}},
        BASE | {"stream": True},
    ),
    Probe(
        "stream_options.include_obfuscation=false",
        BASE | {"stream": True, "stream_options": {"include_obfuscation": False}},
        BASE | {"stream": True},
    ),
    *(field("reasoning_effort", effort) for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    field("verbosity", "low"),
    field("modalities", ["text"], title="modalities [text]"),
    field("modalities", ["text", "audio"], title="modalities [text, audio]"),
    field("audio", {"voice": "alloy", "format": "mp3"}),
    field("web_search_options", {}),
    field(
        "web_search_options", {"search_context_size": "low", "user_location": LOCATION}, title="web_search_options.*"
    ),
    field("prediction", {"type": "content", "content": "abc"}),
    field("prediction", {"type": "content", "content": [{"type": "text", "text": "abc"}]}, title="prediction (parts)"),
    field("metadata", {"a": "b"}),
    field("user", "u1"),
    field("safety_identifier", "u1"),
    field("store", True),
    field("store", False),
    field("service_tier", "flex"),
    field("prompt_cache_key", "k"),
    field("prompt_cache_retention", "24h"),
    field("prompt_cache_options", {"mode": "explicit", "ttl": "30m"}),
    field("moderation", {"model": "omni-moderation-latest"}),
    field("functions", [{"name": "f", "description": "d", "parameters": SCHEMA}]),
    Probe(
        "function_call=auto",
        BASE | {"functions": [{"name": "f"}], "function_call": "auto"},
        BASE | {"functions": [{"name": "f"}]},
    ),
    Probe(
        "function_call (by name)",
        BASE | {"functions": [{"name": "f"}], "function_call": {"name": "f"}},
        BASE | {"functions": [{"name": "f"}]},
    ),
    field("no_such_field", 1),
    Probe("messages[].no_such_field", BASE | {"messages": [HI | {"no_such_field": 1}]}, BASE),
    tool("function].no_such_field", {"type": "function", "function": {**FUNCTION, "no_such_field": 1}}),
    # the form of the answer
    form("=text", {"type": "text"}),
    form("=json_object", {"type": "json_object"}),
    form("=json_schema", PLAIN_SCHEMA),
    form(
        ".json_schema.strict=true",
        {**PLAIN_SCHEMA, "json_schema": {**PLAIN_SCHEMA["json_schema"], "strict": True}},
        PLAIN_SCHEMA,
    ),  # type: ignore[dict-item]
    form(
        ".json_schema.strict=false",
        {**PLAIN_SCHEMA, "json_schema": {**PLAIN_SCHEMA["json_schema"], "strict": False}},
        PLAIN_SCHEMA,
    ),  # type: ignore[dict-item]
    form(
        ".json_schema.description",
        {**PLAIN_SCHEMA, "json_schema": {**PLAIN_SCHEMA["json_schema"], "description": "d"}},
        PLAIN_SCHEMA,
    ),  # type: ignore[dict-item]
    # tools
    Probe("tools[function]", BASE | {"tools": [TOOL]}, BASE),
    Probe("tools[function] (no parameters)", BASE | {"tools": [{"type": "function", "function": {"name": "f"}}]}, BASE),
    tool("function].description", {"type": "function", "function": {**FUNCTION, "description": "d"}}),
    tool("function].strict=true", {"type": "function", "function": {**FUNCTION, "strict": True}}),
    tool("function].strict=false", {"type": "function", "function": {**FUNCTION, "strict": False}}),
    Probe("tools[custom]", BASE | {"tools": [TOOL, CUSTOM]}, BASE | {"tools": [TOOL]}),
    Probe("tools[custom].format=grammar", BASE | {"tools": [TOOL, GRAMMAR]}, BASE | {"tools": [TOOL]}),
    *(field("tool_choice", word, TOOLS) for word in ("auto", "none", "required")),
    field("tool_choice", {"type": "function", "function": {"name": "weather"}}, TOOLS, "tool_choice (a function)"),
    field(
        "tool_choice",
        {"type": "custom", "custom": {"name": "sql"}},
        BASE | {"tools": [TOOL, CUSTOM]},
        "tool_choice (a custom tool)",
    ),
    field("tool_choice", {"type": "allowed_tools", "allowed_tools": ALLOWED}, TOOLS, "tool_choice (allowed_tools)"),
    field("parallel_tool_calls", True, TOOLS),
    field("parallel_tool_calls", False, TOOLS),
    # what was said before
    turn("system]", {"role": "system", "content": "be brief"}),
    turn("system].content[text]", {"role": "system", "content": [{"type": "text", "text": "be brief"}]}),
    turn(
        "system].name",
        {"role": "system", "content": "be brief", "name": "Ann"},
        base=[{"role": "system", "content": "be brief"}],
    ),
    turn("developer]", {"role": "developer", "content": "be brief"}),
    turn("developer].content[text]", {"role": "developer", "content": [{"type": "text", "text": "be brief"}]}),
    turn(
        "developer].name",
        {"role": "developer", "content": "be brief", "name": "Ann"},
        base=[{"role": "developer", "content": "be brief"}],
    ),
    turn(
        "system] (later)",
        HI,
        {"role": "assistant", "content": "yes?"},
        {"role": "system", "content": "be brief"},
        base=[HI, {"role": "assistant", "content": "yes?"}],
    ),
    turn("user].name", {"role": "user", "content": "so", "name": "Ann"}, base=[{"role": "user", "content": "so"}]),
    said("text]", {"type": "text", "text": "and bye"}),
    said(
        "text].prompt_cache_breakpoint",
        {"type": "text", "text": "and bye", **MARK},
        {"type": "text", "text": "and bye"},
    ),
    said("image_url] (inline)", IMAGE),
    said("image_url] (by URL)", LINK),
    said("image_url].detail", {"type": "image_url", "image_url": {**LINK["image_url"], "detail": "low"}}, LINK),  # type: ignore[dict-item]
    said("image_url].prompt_cache_breakpoint", {**LINK, **MARK}, LINK),
    said("input_audio]", AUDIO),
    said("input_audio].prompt_cache_breakpoint", {**AUDIO, **MARK}, AUDIO),
    said("file] (inline)", FILE),
    said("file].filename", {"type": "file", "file": {**FILE["file"], "filename": "a.pdf"}}, FILE),  # type: ignore[dict-item]
    said("file].file_id", {"type": "file", "file": {"file_id": "file-1"}}),
    said("file].prompt_cache_breakpoint", {**FILE, **MARK}, FILE),
    said("an unknown type]", {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}}),
    turn("assistant]", HI, {"role": "assistant", "content": "yes?"}, base=[HI]),
    turn(
        "assistant].content[text]", HI, {"role": "assistant", "content": [{"type": "text", "text": "yes?"}]}, base=[HI]
    ),
    turn(
        "assistant].content[refusal]",
        HI,
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "I will not"}]},
        base=[HI],
    ),
    turn("assistant].refusal", HI, {"role": "assistant", "content": None, "refusal": "I will not"}, base=[HI]),
    turn(
        "assistant].name",
        HI,
        {"role": "assistant", "content": "yes?", "name": "Bob"},
        base=[HI, {"role": "assistant", "content": "yes?"}],
    ),
    turn(
        "assistant].reasoning_content",
        HI,
        {"role": "assistant", "content": "yes?", "reasoning_content": "let me see"},
        base=[HI, {"role": "assistant", "content": "yes?"}],
    ),
    turn(
        "assistant].reasoning",
        HI,
        {"role": "assistant", "content": "yes?", "reasoning": "let me see"},
        base=[HI, {"role": "assistant", "content": "yes?"}],
    ),
    turn(
        "assistant].audio",
        HI,
        {"role": "assistant", "content": "yes?", "audio": {"id": "a1"}},
        base=[HI, {"role": "assistant", "content": "yes?"}],
    ),
    turn(
        "assistant].function_call",
        HI,
        {"role": "assistant", "content": "yes?", "function_call": {"name": "f", "arguments": "{}"}},
        base=[HI, {"role": "assistant", "content": "yes?"}],
    ),
    turn("assistant].tool_calls[function]", HI, called(), result("sunny"), base=[HI], tools=[TOOL]),
    turn(
        "assistant].tool_calls[function] (arguments no JSON)",
        HI,
        called(tool_calls=[CALL | {"function": {"name": "weather", "arguments": '{"city":'}}]),
        result("sunny"),
        base=[HI],
        tools=[TOOL],
    ),
    turn(
        "assistant].tool_calls[].extra_content (thought signature)",
        HI,
        called(tool_calls=[CALL | {"extra_content": {"google": {"thought_signature": "c2ln"}}}]),
        result("sunny"),
        base=[HI, called(), result("sunny")],
        tools=[TOOL],
    ),
    turn(
        "assistant].tool_calls[].extra_content (another)",
        HI,
        called(tool_calls=[CALL | {"extra_content": {"acme": {"x": 1}}}]),
        result("sunny"),
        base=[HI, called(), result("sunny")],
        tools=[TOOL],
    ),
    turn(
        "assistant].tool_calls[custom]",
        HI,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call00001", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}],
        },
        result("1"),
        base=[HI],
        tools=[TOOL, CUSTOM],
    ),
    turn(
        "tool].content[text]",
        HI,
        called(),
        result([{"type": "text", "text": "sunny"}]),
        base=[HI, called(), result("rain")],
        tools=[TOOL],
    ),
    turn(
        "tool].content[text].prompt_cache_breakpoint",
        HI,
        called(),
        result([{"type": "text", "text": "sunny", **MARK}]),
        base=[HI, called(), result("sunny")],
        tools=[TOOL],
    ),
    turn(
        "tool].content[image_url]",
        HI,
        called(),
        result([{"type": "text", "text": "sunny"}, IMAGE]),
        base=[HI, called(), result("sunny")],
        tools=[TOOL],
    ),
    turn(
        "tool].content[input_audio]",
        HI,
        called(),
        result([{"type": "text", "text": "sunny"}, AUDIO]),
        base=[HI, called(), result("sunny")],
        tools=[TOOL],
    ),
    turn(
        "tool].name",
        HI,
        called(),
        result("sunny") | {"name": "weather"},
        base=[HI, called(), result("sunny")],
        tools=[TOOL],
    ),
    turn("function]", HI, {"role": "function", "name": "f", "content": "sunny"}, base=[HI]),
]
