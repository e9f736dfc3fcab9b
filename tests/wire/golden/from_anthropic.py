"""Bodies of Anthropic's clients, and what OpenAI and Gemini must get."""

from __future__ import annotations

from wire.golden.case import (
    ANTHROPIC,
    PDF,
    PDF_URL,
    PNG,
    PNG_URL,
    Case,
    ask,
    assistant,
    call,
    gemini,
    gpt,
    said,
    text,
    user,
)
from wire.golden.from_openai import (
    ANSWER,
    CLAUDE_TOOL,
    GEMINI_TOOL,
    HI,
    TOOL,
    function_call,
    function_response,
    result,
    tool,
    use,
)

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
SHOWN = {"type": "image_url", "image_url": {"url": PNG_URL}}
INLINE = {"inlineData": {"mimeType": "image/png", "data": PNG}}

CASES = [
    Case(
        "system blocks with cache marks",
        ANTHROPIC,
        ask(
            user([text("Hi") | {"cache_control": {"type": "ephemeral"}}]),
            system=[text("A"), text("B") | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            metadata={"user_id": "u"},
        ),
        [
            gpt({"role": "system", "content": [text("A"), text("B")]}, HI, losses="metadata cache_control"),
            gemini(
                said("Hi"),
                systemInstruction={"parts": [{"text": "A"}, {"text": "B"}]},
                losses="metadata cache_control",
            ),
        ],
    ),
    Case(
        "an instruction in the middle",
        ANTHROPIC,
        ask(user("One"), assistant("Two"), {"role": "system", "content": "Rhyme."}, user("Three"), system="A"),
        [
            gpt(
                {"role": "system", "content": "A"},
                user("One"),
                assistant("Two"),
                {"role": "system", "content": "Rhyme."},
                user("Three"),
            ),
            gemini(
                said("One"),
                said("Two", role="model"),
                said("Rhyme.", "Three"),
                systemInstruction={"parts": [{"text": "A"}]},
                losses="messages.system_after_start",
            ),
        ],
    ),
    Case(
        "images inline and by https, beside text",
        ANTHROPIC,
        ask(user([IMAGE, {"type": "image", "source": {"type": "url", "url": "https://e.org/a.webp"}}, text("Which?")])),
        [
            gpt(user([SHOWN, {"type": "image_url", "image_url": {"url": "https://e.org/a.webp"}}, text("Which?")])),
            gemini(said(INLINE, {"fileData": {"mimeType": "image/webp", "fileUri": "https://e.org/a.webp"}}, "Which?")),
        ],
    ),
    Case(
        "documents: PDF inline, text, blocks",
        ANTHROPIC,
        ask(
            user(
                [
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                        "title": "a.pdf",
                    },
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "你好"}},
                    {"type": "document", "source": {"type": "content", "content": [text("x"), text("y")]}},
                ]
            )
        ),
        [
            gpt(
                user(
                    [
                        {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URL}},
                        text("你好"),
                        text("x\ny"),
                    ]
                ),
                losses="document.chunks",
            ),
            gemini(
                said(
                    {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
                    {"inlineData": {"mimeType": "text/plain", "data": "5L2g5aW9"}},
                    {"inlineData": {"mimeType": "text/plain", "data": "eAp5"}},
                ),
                losses="document.chunks document.name",
            ),
        ],
    ),
    Case(
        "a document by URL: OpenAI has no place for it",
        ANTHROPIC,
        ask(user([{"type": "document", "source": {"type": "url", "url": "https://e.org/a.pdf"}}, text("Sum up")])),
        [
            gpt(user([text("Sum up")]), losses="document_urls", cannot="document_urls"),
            gemini(said({"fileData": {"mimeType": "application/pdf", "fileUri": "https://e.org/a.pdf"}}, "Sum up")),
        ],
        "openai FileFile: file_data, file_id, filename; no URL.",
    ),
    Case(
        "a tool, a choice of it, one at a time",
        ANTHROPIC,
        ask(
            HI,
            tools=[CLAUDE_TOOL | {"strict": True}],
            tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        ),
        [
            gpt(
                HI,
                tools=[TOOL],
                tool_choice={"type": "function", "function": {"name": "weather"}},
                parallel_tool_calls=False,
                losses="tools.strict",
            ),
            gemini(
                said("Hi"),
                tools=[GEMINI_TOOL],
                toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
                losses="tools.strict parallel_tool_calls",
                cannot="parallel_tool_calls",
            ),
        ],
    ),
    Case(
        "a tool without properties: OpenAI demands them",
        ANTHROPIC,
        ask(HI, tools=[{"name": "now", "input_schema": {"type": "object"}}], tool_choice={"type": "any"}),
        [
            gpt(
                HI,
                tools=[
                    {
                        "type": "function",
                        "function": {"name": "now", "parameters": {"type": "object", "properties": {}}},
                    }
                ],
                tool_choice="required",
            ),
            gemini(
                said("Hi"),
                tools=[{"functionDeclarations": [{"name": "now", "parametersJsonSchema": {"type": "object"}}]}],
                toolConfig={"functionCallingConfig": {"mode": "ANY"}},
            ),
        ],
        'OpenAI: "Invalid schema for function: In context=(), object schema missing properties" '
        "(spring-projects/spring-ai#4776, openai/openai-agents-python#454).",
    ),
    Case(
        "a choice of the provider's own tool goes with the tool",
        ANTHROPIC,
        ask(
            HI,
            tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}],
            tool_choice={"type": "tool", "name": "web_search"},
        ),
        [
            gpt(HI, losses="tools[0].type=web_search_20250305 tool_choice"),
            gemini(said("Hi"), losses="tools[0].type=web_search_20250305 tool_choice"),
        ],
        "maximhq/bifrost#3596.",
    ),
    Case(
        "auto and none",
        ANTHROPIC,
        ask(HI, tools=[CLAUDE_TOOL], tool_choice={"type": "none"}),
        [
            gpt(HI, tools=[TOOL], tool_choice="none"),
            gemini(said("Hi"), tools=[GEMINI_TOOL], toolConfig={"functionCallingConfig": {"mode": "NONE"}}),
        ],
    ),
    Case(
        "two calls, the results in the other order, one an error, then text",
        ANTHROPIC,
        ask(
            HI,
            assistant([text("Look."), use("toolu_1", "f", x=1), use("toolu_2", "g")]),
            user(
                [
                    result("toolu_2", content="boom", is_error=True),
                    result("toolu_1", content=[text("one"), text("two")]),
                    text("Go on"),
                ]
            ),
        ),
        [
            gpt(
                HI,
                assistant("Look.", tool_calls=[call("toolu_1", "f", '{"x": 1}'), call("toolu_2", "g", "{}")]),
                tool("toolu_2", "boom"),
                tool("toolu_1", "one\ntwo"),
                user("Go on"),
                losses="tool_result.is_error",
            ),
            gemini(
                said("Hi"),
                said("Look.", function_call("toolu_1", "f", x=1), function_call("toolu_2", "g"), role="model"),
                said(
                    function_response("toolu_2", "g", error="boom"),
                    function_response("toolu_1", "f", output="onetwo"),
                    "Go on",
                ),
            ),
        ],
        "genai FunctionResponse.response: the key error for errors, output for all else.",
    ),
    Case(
        "an image within a result follows behind the last result at OpenAI",
        ANTHROPIC,
        ask(
            HI,
            assistant([use("t1", "shot"), use("t2", "shot")]),
            user([result("t1", content=[text("here"), IMAGE]), result("t2", content=[IMAGE])]),
        ),
        [
            gpt(
                HI,
                assistant(None, tool_calls=[call("t1", "shot", "{}"), call("t2", "shot", "{}")]),
                tool("t1", "here"),
                tool("t2", "See the attachment in the next message."),
                user(
                    [
                        text("Returned by the tool call t1:"),
                        SHOWN,
                        text("Returned by the tool call t2:"),
                        SHOWN,
                    ]
                ),
            ),
            gemini(
                said("Hi"),
                said(function_call("t1", "shot"), function_call("t2", "shot"), role="model"),
                said(
                    function_response("t1", "shot", output="here"),
                    function_response("t2", "shot", output=""),
                    INLINE,
                    INLINE,
                ),
                losses="tool_result_media",
            ),
            gemini(
                said("Hi"),
                said(
                    function_call("t1", "shot") | {"thoughtSignature": "skip_thought_signature_validator"},
                    function_call("t2", "shot"),
                    role="model",
                ),
                said(
                    {
                        "functionResponse": {
                            "id": "t1",
                            "name": "shot",
                            "response": {"output": "here"},
                            "parts": [INLINE],
                        }
                    },
                    {"functionResponse": {"id": "t2", "name": "shot", "response": {"output": ""}, "parts": [INLINE]}},
                ),
                model="gemini-3-flash-preview",
            ),
        ],
        "openai ChatCompletionToolMessageParam holds text; genai FunctionResponse.parts (Gemini 3).",
    ),
    Case(
        "empty results",
        ANTHROPIC,
        ask(
            HI,
            assistant([use("t1", "f"), use("t2", "f")]),
            user([result("t1"), result("t2", content="")]),
        ),
        [
            gpt(
                HI,
                assistant(None, tool_calls=[call("t1", "f", "{}"), call("t2", "f", "{}")]),
                tool("t1", ""),
                tool("t2", ""),
            ),
            gemini(
                said("Hi"),
                said(function_call("t1", "f"), function_call("t2", "f"), role="model"),
                said(function_response("t1", "f", output=""), function_response("t2", "f", output="")),
            ),
        ],
    ),
    Case(
        "ids of calls in the form that Mistral and OpenAI demand",
        ANTHROPIC,
        ask(
            HI,
            assistant([use("toolu_01A", "f"), use("abcDEF123", "f"), use("toolu_" + "x" * 40, "f")]),
            user(
                [
                    result("abcDEF123", content="b"),
                    result("toolu_01A", content="a"),
                    result("toolu_" + "x" * 40, content="c"),
                ]
            ),
        ),
        [
            gpt(
                HI,
                assistant(
                    None,
                    tool_calls=[
                        call("4b3a25380", "f", "{}"),
                        call("abcDEF123", "f", "{}"),
                        call("5dd911800", "f", "{}"),
                    ],
                ),
                tool("abcDEF123", "b"),
                tool("4b3a25380", "a"),
                tool("5dd911800", "c"),
                model="mistral-large-latest",
            ),
            gpt(
                HI,
                assistant(
                    None,
                    tool_calls=[
                        call("toolu_01A", "f", "{}"),
                        call("abcDEF123", "f", "{}"),
                        call("toolu_" + "x" * 21 + "_5dd911800e9b", "f", "{}"),
                    ],
                ),
                tool("abcDEF123", "b"),
                tool("toolu_01A", "a"),
                tool("toolu_" + "x" * 21 + "_5dd911800e9b", "c"),
            ),
        ],
        'Mistral, code 3280: "Tool call id was … but must be a-z, A-Z, 0-9, with a length of 9" '
        "(anomalyco/opencode#1680). OpenAI: 40 characters (vercel/ai#5171). The digits are blake2b-48 of the id.",
    ),
    Case(
        "broken arguments that went as an object come back as they were",
        ANTHROPIC,
        ask(
            HI,
            assistant([use("t1", "f", _raw_arguments='{"city": "Par')]),
            user([result("t1", content="no")]),
        ),
        [
            gpt(HI, assistant(None, tool_calls=[call("t1", "f", '{"city": "Par')]), tool("t1", "no")),
            gemini(
                said("Hi"),
                said(function_call("t1", "f", arguments='{"city": "Par'), role="model"),
                said(function_response("t1", "f", output="no")),
                losses="messages.tool_arguments",
            ),
        ],
    ),
    Case(
        "signed and redacted thinking",
        ANTHROPIC,
        ask(
            HI,
            assistant(
                [
                    {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "b3BhcXVl"},
                    text("Hello"),
                ]
            ),
            user("Bye"),
        ),
        [
            gpt(HI, assistant("Hello"), user("Bye"), losses="thinking"),
            gemini(
                said("Hi"),
                said({"text": "Hm.", "thought": True, "thoughtSignature": "c2ln"}, "Hello", role="model"),
                said("Bye"),
                losses="messages.redacted_thinking",
            ),
        ],
    ),
    Case(
        "sampling",
        ANTHROPIC,
        ask(HI, temperature=1, top_k=40, stop_sequences=["A", "B"]),
        [
            gpt(HI, temperature=1, stop=["A", "B"], losses="top_k", cannot="top_k"),
            gemini(said("Hi"), config={"temperature": 1, "topK": 40, "stopSequences": ["A", "B"]}),
        ],
    ),
    Case(
        "a thinking budget with effort",
        ANTHROPIC,
        ask(
            HI,
            thinking={"type": "enabled", "budget_tokens": 2048, "display": "omitted"},
            output_config={"effort": "low"},
            top_p=0.95,
        ),
        [
            gpt(HI, reasoning_effort="low", top_p=0.95, losses="reasoning.show reasoning.budget_tokens"),
            gemini(
                said("Hi"),
                config={"topP": 0.95, "thinkingConfig": {"thinkingBudget": 2048, "includeThoughts": False}},
                losses="reasoning.effort",
            ),
        ],
        "Gemini refuses a budget beside a level.",
    ),
    Case(
        "adaptive thinking",
        ANTHROPIC,
        ask(HI, thinking={"type": "adaptive"}),
        [
            gpt(HI, losses="reasoning.budget_tokens"),
            gemini(said("Hi"), config={"thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True}}),
        ],
    ),
    Case(
        "a budget alone, for a model that takes max_completion_tokens",
        ANTHROPIC,
        ask(HI, thinking={"type": "enabled", "budget_tokens": 10000}),
        [
            gpt(HI, model="gpt-5-mini", reasoning_effort="medium", losses="reasoning.budget_tokens")._replace(
                body={
                    "model": "gpt-5-mini",
                    "max_completion_tokens": 64,
                    "messages": [HI],
                    "reasoning_effort": "medium",
                }
            )
        ],
        "OpenAI reference: max_tokens is not compatible with reasoning models.",
    ),
    Case(
        "an answer by schema",
        ANTHROPIC,
        ask(HI, output_config={"format": {"type": "json_schema", "schema": ANSWER}}),
        [
            gpt(
                HI,
                response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": ANSWER}},
            ),
            gemini(said("Hi"), config={"responseMimeType": "application/json", "responseJsonSchema": ANSWER}),
        ],
        "openai JSONSchema.name is required.",
    ),
    Case(
        "a stream: OpenAI is asked for its usage",
        ANTHROPIC,
        ask(HI, stream=True),
        [gpt(HI, stream=True, stream_options={"include_usage": True}), gemini(said("Hi"))],
    ),
    Case(
        "a prefill",
        ANTHROPIC,
        ask(HI, assistant("{")),
        [gpt(HI, assistant("{")), gemini(said("Hi"), said("{", role="model"))],
        "A last turn of the assistant was taken by OpenAI's models: recording 85bb13e232d4d2d9.",
    ),
    Case(
        "Chinese within a call and a result",
        ANTHROPIC,
        ask(
            user("天气？"),
            assistant([use("t1", "天气", 城市="北京")]),
            user([result("t1", content='{"度": 21}')]),
        ),
        [
            gpt(
                user("天气？"),
                assistant(None, tool_calls=[call("t1", "天气", '{"城市": "北京"}')]),
                tool("t1", '{"度": 21}'),
            ),
            gemini(
                said("天气？"),
                said(function_call("t1", "天气", 城市="北京"), role="model"),
                said(function_response("t1", "天气", 度=21)),
            ),
        ],
    ),
]
