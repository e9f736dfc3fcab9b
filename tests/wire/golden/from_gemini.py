"""Bodies of Gemini's clients, and what OpenAI and Anthropic must get."""

from __future__ import annotations

from wire.golden.case import (
    GEMINI,
    PDF,
    PDF_URL,
    PNG,
    PNG_URL,
    Case,
    assistant,
    call,
    claude,
    generate,
    gpt,
    said,
    text,
    user,
)
from wire.golden.from_anthropic import IMAGE, INLINE, SHOWN
from wire.golden.from_openai import HI, result, tool, use

CASES = [
    Case(
        "system instruction, media, text",
        GEMINI,
        generate(
            said("See", INLINE, {"inlineData": {"mimeType": "application/pdf", "data": PDF, "displayName": "a.pdf"}}),
            systemInstruction={"parts": [{"text": "Be brief."}]},
        ),
        [
            gpt(
                {"role": "system", "content": "Be brief."},
                user([text("See"), SHOWN, {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URL}}]),
            ),
            claude(
                user(
                    [
                        text("See"),
                        IMAGE,
                        {
                            "type": "document",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                            "title": "a.pdf",
                        },
                    ]
                ),
                system="Be brief.",
            ),
        ],
    ),
    Case(
        "an image in the system instruction and one of the model have no place elsewhere",
        GEMINI,
        generate(
            said("Draw"),
            said("Here", INLINE, role="model"),
            said("Again"),
            systemInstruction={"parts": [{"text": "Style:"}, INLINE]},
        ),
        [
            gpt(
                {"role": "system", "content": "Style:"},
                user("Draw"),
                assistant("Here"),
                user("Again"),
                losses="messages.system_media messages.assistant_media",
            ),
            claude(
                user("Draw"),
                assistant("Here"),
                user("Again"),
                system="Style:",
                losses="messages[0].image messages[2].image",
            ),
        ],
        "anthropic system takes TextBlockParam; openai system and assistant content take text parts.",
    ),
    Case(
        "calls without ids, results by name, each with an image: OpenAI's tool messages stay together",
        GEMINI,
        generate(
            said("Hi"),
            said(
                {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "g", "args": {}}},
                role="model",
            ),
            said(
                {"functionResponse": {"name": "f", "response": {"output": "one"}, "parts": [INLINE]}},
                {"functionResponse": {"name": "g", "response": {"error": "bad"}}},
            ),
        ),
        [
            gpt(
                HI,
                assistant(
                    None,
                    tool_calls=[
                        call("call_0", "f", '{"x": 1}') | {"extra_content": {"google": {"thought_signature": "c2ln"}}},
                        call("call_1", "g", "{}"),
                    ],
                ),
                tool("call_0", "one"),
                tool("call_1", "bad"),
                user([text("Returned by the tool call call_0:"), SHOWN]),
                losses="tool_result.is_error",
            ),
            claude(
                HI,
                assistant([use("call_0", "f", x=1), use("call_1", "g")]),
                user(
                    [
                        result("call_0", content=[text("one"), IMAGE]),
                        result("call_1", content="bad", is_error=True),
                    ]
                ),
                losses="tool_use.signature",
            ),
        ],
        'OpenAI: "An assistant message with tool_calls must be followed by tool messages responding to each '
        'tool_call_id". Recordings: 506 calls of Gemini without an id, 49 with.',
    ),
    Case(
        "a schema in Gemini's own words",
        GEMINI,
        generate(
            said("Hi"),
            tools=[
                {
                    "functionDeclarations": [
                        {
                            "name": "f",
                            "parameters": {
                                "type": "OBJECT",
                                "properties": {"d": {"type": "STRING", "nullable": True}},
                                "required": ["d"],
                            },
                        }
                    ]
                }
            ],
            toolConfig={"functionCallingConfig": {"mode": "ANY"}},
        ),
        [
            gpt(
                HI,
                tools=[
                    {
                        "type": "function",
                        "function": {
                            "name": "f",
                            "parameters": {
                                "type": "object",
                                "properties": {"d": {"type": ["string", "null"]}},
                                "required": ["d"],
                            },
                        },
                    }
                ],
                tool_choice="required",
            ),
            claude(
                HI,
                tools=[
                    {
                        "name": "f",
                        "input_schema": {
                            "type": "object",
                            "properties": {"d": {"type": ["string", "null"]}},
                            "required": ["d"],
                        },
                    }
                ],
                tool_choice={"type": "any"},
            ),
        ],
    ),
    Case(
        "a thinking budget beside a temperature and top_k, which Claude excludes",
        GEMINI,
        generate(
            said("Hi"),
            config={
                "temperature": 0.2,
                "topK": 40,
                "thinkingConfig": {"thinkingBudget": 2000},
                "maxOutputTokens": 9000,
            },
        ),
        [
            gpt(
                HI,
                max_tokens=9000,
                temperature=0.2,
                reasoning_effort="low",
                losses="top_k reasoning.budget_tokens reasoning.show",
                cannot="top_k",
            ),
            claude(
                HI,
                max_tokens=9000,
                thinking={"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
                losses="temperature top_k",
            ),
            claude(
                HI,
                model="claude-opus-4-7",
                max_tokens=9000,
                thinking={"type": "adaptive", "display": "omitted"},
                losses="temperature top_k reasoning.budget_tokens",
            ),
        ],
        "platform.claude.com, extended thinking: not compatible with temperature or top_k. Recordings of thinking have "
        "a temperature of 1 or none (397bcacd5a1b257a).",
    ),
    Case(
        "thinking beside a forced call, which Claude excludes",
        GEMINI,
        generate(
            said("Hi"),
            tools=[{"functionDeclarations": [{"name": "f"}]}],
            toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
            generationConfig={"maxOutputTokens": 64, "thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True}},
        ),
        [
            claude(
                HI,
                tools=[{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
                tool_choice={"type": "tool", "name": "f"},
                losses="reasoning",
            )
        ],
        'Anthropic: "Thinking may not be enabled when tool_choice forces tool use" (run-llama/llama_index#19641).',
    ),
    Case(
        "JSON by a schema in Gemini's own words",
        GEMINI,
        generate(
            said("Hi"),
            config={
                "responseMimeType": "application/json",
                "responseSchema": {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}},
                "candidateCount": 1,
                "stopSequences": ["X"],
                "seed": 3,
            },
        ),
        [
            gpt(
                HI,
                response_format={
                    "type": "json_schema",
                    "json_schema": {
                        "name": "answer",
                        "schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
                    },
                },
                n=1,
                stop=["X"],
                seed=3,
            ),
            claude(
                HI,
                output_config={
                    "format": {
                        "type": "json_schema",
                        "schema": {
                            "type": "object",
                            "properties": {"n": {"type": "integer"}},
                            "additionalProperties": False,
                        },
                    }
                },
                stop_sequences=["X"],
                losses="response_format.additionalProperties=false seed",
                cannot="seed",
            ),
        ],
    ),
    Case(
        "thoughts and a loose signature",
        GEMINI,
        generate(
            said("Hi"),
            said({"text": "Hm.", "thought": True}, {"text": "Hello", "thoughtSignature": "c2ln"}, role="model"),
            said("Bye"),
        ),
        [
            gpt(HI, assistant("Hello"), user("Bye"), losses="thinking"),
        ],
    ),
    Case(
        "audio and safety settings",
        GEMINI,
        generate(
            said({"inlineData": {"mimeType": "audio/mpeg", "data": "SUQz"}}, "What is said?"),
            safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        ),
        [
            gpt(
                user(
                    [
                        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
                        text("What is said?"),
                    ]
                ),
                losses="safetySettings",
            ),
            claude(user("What is said?"), losses="audio safetySettings", cannot="audio"),
        ],
    ),
    Case(
        "an image by URL with its type",
        GEMINI,
        generate(said({"fileData": {"fileUri": "https://e.org/x", "mimeType": "image/png"}}, PNG_URL)),
        [
            gpt(user([{"type": "image_url", "image_url": {"url": "https://e.org/x"}}, text(PNG_URL)])),
            claude(user([{"type": "image", "source": {"type": "url", "url": "https://e.org/x"}}, text(PNG_URL)])),
        ],
    ),
    Case(
        "base64 that is told apart by nobody: a text file for Claude is text",
        GEMINI,
        generate(said({"inlineData": {"mimeType": "text/csv", "data": "YSxiCg=="}}, PNG)),
        [
            gpt(
                user(
                    [
                        {
                            "type": "file",
                            "file": {"filename": "document", "file_data": "data:text/csv;base64,YSxiCg=="},
                        },
                        text(PNG),
                    ]
                )
            ),
            claude(
                user(
                    [
                        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b\n"}},
                        text(PNG),
                    ]
                )
            ),
        ],
    ),
]
