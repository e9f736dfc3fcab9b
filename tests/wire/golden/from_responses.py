"""Bodies of clients of the Responses API, and what chat completions, Anthropic and Gemini must get."""

from __future__ import annotations

from typing import Any

from wire.golden.case import (
    PDF,
    PDF_URL,
    PNG_URL,
    RESPONSES,
    Case,
    assistant,
    call,
    called,
    claude,
    gemini,
    gpt,
    item,
    output,
    respond,
    said,
    text,
    user,
    words,
)
from wire.golden.from_anthropic import IMAGE, INLINE, SHOWN
from wire.golden.from_openai import (
    ANSWER,
    CLAUDE_TOOL,
    GEMINI_TOOL,
    HI,
    TOOL,
    WEATHER,
    function_call,
    function_response,
    result,
    tool,
    use,
)

ASKED = {"role": "user", "content": "Hi"}
WEATHER_TOOL = {
    "type": "function",
    "name": "weather",
    "description": "Weather now",
    "parameters": WEATHER,
    "strict": False,
}
STRICT_FALSE = {"type": "function", "function": TOOL["function"] | {"strict": False}}  # type: ignore[dict-item]  # a dict
CLAUDE_FALSE = CLAUDE_TOOL | {"strict": False}
FORM: dict[str, Any] = {"type": "json_schema", "name": "answer", "schema": ANSWER, "strict": True}

CASES = [
    Case(
        "instructions and one question, kept nowhere",
        RESPONSES,
        {"model": "alias", "max_output_tokens": 64, "input": "Hi", "instructions": "Be brief.", "store": False},
        [
            gpt({"role": "system", "content": "Be brief."}, HI),
            claude(HI, system="Be brief."),
            gemini(said("Hi"), systemInstruction={"parts": [{"text": "Be brief."}]}),
        ],
    ),
    Case(
        "a developer's message at the start and a turn of the model in both forms",
        RESPONSES,
        respond(
            item("developer", [words("A")]),
            ASKED,
            {
                "type": "message",
                "id": "msg_1",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Yes?", "annotations": []}],
            },
            item("user", "Go"),
            {"role": "assistant", "content": "Gone."},
            item("user", "On"),
        ),
        [
            gpt(
                {"role": "developer", "content": "A"},
                *(HI, assistant("Yes?"), user("Go"), assistant("Gone."), user("On")),
            ),
            claude(HI, assistant("Yes?"), user("Go"), assistant("Gone."), user("On"), system="A"),
            gemini(
                *(said("Hi"), said("Yes?", role="model"), said("Go"), said("Gone.", role="model"), said("On")),
                systemInstruction={"parts": [{"text": "A"}]},
            ),
        ],
    ),
    Case(
        "an image and a PDF inline, and text",
        RESPONSES,
        respond(
            item(
                "user",
                [
                    {"type": "input_image", "image_url": PNG_URL, "detail": "auto"},
                    {"type": "input_file", "filename": "a.pdf", "file_data": PDF_URL},
                    words("Compare"),
                ],
            )
        ),
        [
            gpt(user([SHOWN, {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URL}}, text("Compare")])),
            claude(
                user(
                    [
                        IMAGE,
                        {
                            "type": "document",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                            "title": "a.pdf",
                        },
                        text("Compare"),
                    ]
                )
            ),
            gemini(
                said(INLINE, {"inlineData": {"mimeType": "application/pdf", "data": PDF}}, "Compare"),
                losses="document.name",
            ),
        ],
    ),
    Case(
        "a file by URL: chat completions have no place for it",
        RESPONSES,
        respond(item("user", [{"type": "input_file", "file_url": "https://e.org/a.pdf"}, words("Sum up")])),
        [
            gpt(user([text("Sum up")]), losses="document_urls", cannot="document_urls"),
            claude(
                user([{"type": "document", "source": {"type": "url", "url": "https://e.org/a.pdf"}}, text("Sum up")])
            ),
            gemini(said({"fileData": {"mimeType": "application/pdf", "fileUri": "https://e.org/a.pdf"}}, "Sum up")),
        ],
    ),
    Case(
        "reasoning with OpenAI's proof goes to nobody else; the calls after it are one turn, their results the next",
        RESPONSES,
        respond(
            ASKED,
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            called("call_1", "f", '{"x": 1}'),
            called("call_2", "g", "{}"),
            output("call_2", "two"),
            output("call_1", '{"t": 21}'),
            include=["reasoning.encrypted_content"],
        ),
        [
            gpt(
                HI,
                assistant(None, tool_calls=[call("call_1", "f", '{"x": 1}'), call("call_2", "g", "{}")]),
                tool("call_2", "two"),
                tool("call_1", '{"t": 21}'),
                losses="thinking",
            ),
            claude(
                HI,
                assistant([use("call_1", "f", x=1), use("call_2", "g")]),
                user([result("call_2", content="two"), result("call_1", content='{"t": 21}')]),
                losses="thinking.signature_of_another_maker",
            ),
            gemini(
                said("Hi"),
                said(function_call("call_1", "f", x=1), function_call("call_2", "g"), role="model"),
                said(function_response("call_2", "g", output="two"), function_response("call_1", "f", t=21)),
                losses="thinking.signature_of_another_maker",
            ),
        ],
        'Anthropic: "Invalid `signature` in `thinking` block"; Gemini takes base64 (genai Part.thought_signature).',
    ),
    Case(
        "a tool is one level flatter, a choice by name too",
        RESPONSES,
        respond(ASKED, tools=[WEATHER_TOOL], tool_choice={"type": "function", "name": "weather"}),
        [
            gpt(HI, tools=[STRICT_FALSE], tool_choice={"type": "function", "function": {"name": "weather"}}),
            claude(HI, tools=[CLAUDE_FALSE], tool_choice={"type": "tool", "name": "weather"}),
            gemini(
                said("Hi"),
                tools=[GEMINI_TOOL],
                toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
            ),
        ],
    ),
    Case(
        "allowed tools are the tools that there are",
        RESPONSES,
        respond(
            ASKED,
            tools=[{"type": "function", "name": "other", "parameters": {}, "strict": None}, WEATHER_TOOL],
            tool_choice={
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "weather"}],
            },
        ),
        [
            gpt(HI, tools=[STRICT_FALSE], tool_choice="required"),
            claude(HI, tools=[CLAUDE_FALSE], tool_choice={"type": "any"}),
            gemini(said("Hi"), tools=[GEMINI_TOOL], toolConfig={"functionCallingConfig": {"mode": "ANY"}}),
        ],
    ),
    Case(
        "an answer of a form",
        RESPONSES,
        respond(ASKED, text={"format": FORM, "verbosity": "low"}),
        [
            gpt(
                HI,
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": ANSWER, "strict": True},
                },
                losses="text.verbosity",
            ),
            claude(
                HI,
                output_config={"format": {"type": "json_schema", "schema": ANSWER}},
                losses="text.verbosity response_format.name",
            ),
            gemini(
                said("Hi"),
                config={"responseMimeType": "application/json", "responseJsonSchema": ANSWER},
                losses="text.verbosity response_format.name",
            ),
        ],
    ),
    Case(
        "settings, and fields that do not change the answer",
        RESPONSES,
        respond(ASKED, temperature=0.5, metadata={"a": "b"}, prompt_cache_key="k", user="u", truncation="disabled"),
        [
            gpt(HI, temperature=0.5, losses="metadata prompt_cache_key user"),
            claude(HI, temperature=0.5, losses="metadata prompt_cache_key user"),
            gemini(said("Hi"), config={"temperature": 0.5}, losses="metadata prompt_cache_key user"),
        ],
    ),
    Case(
        "a built-in tool and its items have no form elsewhere",
        RESPONSES,
        respond(
            ASKED,
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            item("user", "And?"),
            tools=[{"type": "web_search"}],
        ),
        [
            gpt(HI, user("And?"), losses="tools[0].type=web_search input[1].type=web_search_call"),
            claude(user([text("Hi"), text("And?")]), losses="tools[0].type=web_search input[1].type=web_search_call"),
            gemini(said("Hi", "And?"), losses="tools[0].type=web_search input[1].type=web_search_call"),
        ],
    ),
]
