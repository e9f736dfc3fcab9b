"""Bodies of OpenAI's clients, and what Anthropic and Gemini must get."""

from __future__ import annotations

from typing import Any

from wire.golden.case import (
    OPENAI,
    PDF,
    PDF_URL,
    PNG,
    PNG_URL,
    Case,
    assistant,
    call,
    chat,
    claude,
    gemini,
    said,
    text,
    user,
)

HI = user("Hi")
WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "place": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
            "required": ["city"],
        },
        "unit": {"type": "string", "enum": ["c", "f"]},
    },
    "required": ["place"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Weather now", "parameters": WEATHER}}
CLAUDE_TOOL = {"name": "weather", "description": "Weather now", "input_schema": WEATHER}
GEMINI_TOOL = {
    "functionDeclarations": [{"name": "weather", "description": "Weather now", "parametersJsonSchema": WEATHER}]
}
ANSWER = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}


def tool(call_id: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def use(call_id: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def result(call_id: str, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id} | more


def function_call(call_id: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"functionCall": {"id": call_id, "name": name, "args": arguments}}


def function_response(call_id: str, name: str, **response: Any) -> dict[str, Any]:
    return {"functionResponse": {"id": call_id, "name": name, "response": response}}


CLOSED: dict[str, object] = {"type": "object", "properties": {}, "additionalProperties": False}

CASES = [
    Case(
        "one system prompt and one question",
        OPENAI,
        chat({"role": "system", "content": "Be brief."}, HI),
        [claude(HI, system="Be brief."), gemini(said("Hi"), systemInstruction={"parts": [{"text": "Be brief."}]})],
    ),
    Case(
        "several leading instructions, system and developer, keep their order",
        OPENAI,
        chat({"role": "system", "content": "A"}, {"role": "developer", "content": [text("B"), text("C")]}, HI),
        [
            claude(HI, system=[text("A"), text("B"), text("C")]),
            gemini(said("Hi"), systemInstruction={"parts": [{"text": "A"}, {"text": "B"}, {"text": "C"}]}),
        ],
    ),
    Case(
        "an instruction in the middle keeps its place and loses its rank, with a word",
        OPENAI,
        chat(user("One"), assistant("Two"), {"role": "system", "content": "Now rhyme."}, user("Three")),
        [
            claude(
                user("One"),
                assistant("Two"),
                user([text("<system>\nNow rhyme.\n</system>"), text("Three")]),
                losses="messages[2].role",
            ),
            gemini(
                said("One"),
                said("Two", role="model"),
                said("Now rhyme.", "Three"),
                losses="messages.system_after_start",
            ),
        ],
        "Only models from Opus 4.8 on take the role system in the middle (platform.claude.com, Messages); Gemini's "
        'roles are user and model (recording 476af0c248ad28ea: "Please use a valid role: user, model.")',
    ),
    Case(
        "instructions alone are asked as a question",
        OPENAI,
        chat({"role": "system", "content": "Say hello."}),
        [
            claude(user("Say hello."), losses="messages[0].role"),
            gemini(said("Say hello."), losses="messages.system_after_start"),
        ],
        "Both providers refuse a request without a turn.",
    ),
    Case(
        "text, an inline image and an image by https, in order",
        OPENAI,
        chat(
            user(
                [
                    text("See"),
                    {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "high"}},
                    {"type": "image_url", "image_url": {"url": "https://example.org/cat.jpg"}},
                ]
            )
        ),
        [
            claude(
                user(
                    [
                        text("See"),
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                        {"type": "image", "source": {"type": "url", "url": "https://example.org/cat.jpg"}},
                    ]
                ),
                losses="image.detail",
            ),
            gemini(
                said(
                    "See",
                    {"inlineData": {"mimeType": "image/png", "data": PNG}},
                    {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.org/cat.jpg"}},
                ),
                losses="image.detail",
            ),
        ],
        "fileData with a public https URL: recording 11b901096f82b186.",
    ),
    Case(
        "a PDF inline",
        OPENAI,
        chat(user([{"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URL}}, text("Sum up")])),
        [
            claude(
                user(
                    [
                        {
                            "type": "document",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                            "title": "a.pdf",
                        },
                        text("Sum up"),
                    ]
                )
            ),
            gemini(
                said({"inlineData": {"mimeType": "application/pdf", "data": PDF}}, "Sum up"),
                losses="document.name",
            ),
        ],
    ),
    Case(
        "a text file inline",
        OPENAI,
        chat(user([{"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,5L2g5aW9"}}])),
        [
            claude(
                user(
                    [
                        {
                            "type": "document",
                            "source": {"type": "text", "media_type": "text/plain", "data": "你好"},
                            "title": "a.txt",
                        }
                    ]
                )
            ),
            gemini(said({"inlineData": {"mimeType": "text/plain", "data": "5L2g5aW9"}}), losses="document.name"),
        ],
        "anthropic.types.Base64PDFSourceParam: base64 takes application/pdf only; PlainTextSourceParam takes text.",
    ),
    Case(
        "a file by id can only be opened by its provider",
        OPENAI,
        chat(user([{"type": "file", "file": {"file_id": "file-1"}}, text("Sum up")])),
        [
            claude(
                user("Sum up"),
                losses="messages[0].content[0].file.file_id messages[0].empty_document",
            ),
            gemini(said("Sum up"), losses="messages[0].content[0].file.file_id messages.empty_document"),
        ],
    ),
    Case(
        "audio",
        OPENAI,
        chat(user([text("Hear"), {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}])),
        [
            claude(user("Hear"), losses="audio", cannot="audio"),
            gemini(said("Hear", {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}})),
        ],
    ),
    Case(
        "a tool with a nested schema",
        OPENAI,
        chat(HI, tools=[TOOL], tool_choice="auto"),
        [
            claude(HI, tools=[CLAUDE_TOOL], tool_choice={"type": "auto"}),
            gemini(said("Hi"), tools=[GEMINI_TOOL], toolConfig={"functionCallingConfig": {"mode": "AUTO"}}),
        ],
        "parametersJsonSchema: recording 08d2432d7dfd5262.",
    ),
    Case(
        "tools without parameters, two strict, one of them with a schema for it",
        OPENAI,
        chat(
            HI,
            tools=[
                {"type": "function", "function": {"name": "a"}},
                {"type": "function", "function": {"name": "b", "strict": True, "parameters": {"properties": {}}}},
                {"type": "function", "function": {"name": "c", "strict": True, "parameters": CLOSED}},
            ],
        ),
        [
            claude(
                HI,
                tools=[
                    {"name": "a", "input_schema": {"type": "object", "properties": {}}},
                    {"name": "b", "input_schema": {"type": "object", "properties": {}}},
                    {"name": "c", "input_schema": CLOSED, "strict": True},
                ],
                losses="tools.strict",
            ),
            gemini(
                said("Hi"),
                tools=[
                    {
                        "functionDeclarations": [
                            {"name": "a", "parametersJsonSchema": {"type": "object", "properties": {}}},
                            {"name": "b", "parametersJsonSchema": {"properties": {}}},
                            {"name": "c", "parametersJsonSchema": CLOSED},
                        ]
                    }
                ],
                losses="tools.strict",
            ),
        ],
    ),
    Case(
        "a forced tool, several at once allowed",
        OPENAI,
        chat(
            HI,
            tools=[TOOL],
            tool_choice={"type": "function", "function": {"name": "weather"}},
            parallel_tool_calls=True,
        ),
        [
            claude(
                HI,
                tools=[CLAUDE_TOOL],
                tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": False},
            ),
            gemini(
                said("Hi"),
                tools=[GEMINI_TOOL],
                toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
            ),
        ],
    ),
    Case(
        "some tool is required, one at a time",
        OPENAI,
        chat(HI, tools=[TOOL], tool_choice="required", parallel_tool_calls=False),
        [
            claude(HI, tools=[CLAUDE_TOOL], tool_choice={"type": "any", "disable_parallel_tool_use": True}),
            gemini(
                said("Hi"),
                tools=[GEMINI_TOOL],
                toolConfig={"functionCallingConfig": {"mode": "ANY"}},
                losses="parallel_tool_calls",
                cannot="parallel_tool_calls",
            ),
        ],
    ),
    Case(
        "no tool may be called",
        OPENAI,
        chat(HI, tools=[TOOL], tool_choice="none"),
        [
            claude(HI, tools=[CLAUDE_TOOL], tool_choice={"type": "none"}),
            gemini(said("Hi"), tools=[GEMINI_TOOL], toolConfig={"functionCallingConfig": {"mode": "NONE"}}),
        ],
    ),
    Case(
        "two calls in one turn, answered in the other order",
        OPENAI,
        chat(
            HI,
            assistant("Let me see.", tool_calls=[call("call_1", "f", '{"x": 1}'), call("call_2", "g", "{}")]),
            tool("call_2", "two"),
            tool("call_1", '{"t": 21}'),
            user("And?"),
        ),
        [
            claude(
                HI,
                assistant([text("Let me see."), use("call_1", "f", x=1), use("call_2", "g")]),
                user([result("call_2", content="two"), result("call_1", content='{"t": 21}'), text("And?")]),
            ),
            gemini(
                said("Hi"),
                said("Let me see.", function_call("call_1", "f", x=1), function_call("call_2", "g"), role="model"),
                said(
                    function_response("call_2", "g", output="two"),
                    function_response("call_1", "f", t=21),
                    "And?",
                ),
            ),
        ],
        "platform.claude.com, tool use: results follow their calls at once and come first in the turn, ids pair them.",
    ),
    Case(
        "a call without arguments, one with broken ones, one with control characters",
        OPENAI,
        chat(
            HI,
            assistant(
                None,
                tool_calls=[
                    call("a", "f", ""),
                    call("b", "f", '{"city": "Par'),
                    call("c", "f", '{"t": "\\u0000\\n"}'),
                ],
            ),
            tool("a", ""),
            tool("b", "x"),
            tool("c", "tab\there \u0007"),
        ),
        [
            claude(
                HI,
                assistant([use("a", "f"), use("b", "f", _raw_arguments='{"city": "Par'), use("c", "f", t="\x00\n")]),
                user([result("a"), result("b", content="x"), result("c", content="tab\there \u0007")]),
            ),
            gemini(
                said("Hi"),
                said(
                    function_call("a", "f"),
                    function_call("b", "f", arguments='{"city": "Par'),
                    function_call("c", "f", t="\x00\n"),
                    role="model",
                ),
                said(
                    function_response("a", "f", output=""),
                    function_response("b", "f", output="x"),
                    function_response("c", "f", output="tab\there \u0007"),
                ),
                losses="messages.tool_arguments",
            ),
        ],
        "Both want an object where OpenAI has text; anthropic.types.ToolUseBlockParam, genai FunctionCall.args.",
    ),
    Case(
        "odd characters in call ids become Anthropic's pattern, the same on both sides",
        OPENAI,
        chat(HI, assistant(None, tool_calls=[call("call:1|x", "f", "{}")]), tool("call:1|x", "ok")),
        [
            claude(
                HI,
                assistant([use("call_1_x_6337494775af", "f")]),
                user([result("call_1_x_6337494775af", content="ok")]),
            ),
            gemini(
                said("Hi"),
                said(function_call("call:1|x", "f"), role="model"),
                said(function_response("call:1|x", "f", output="ok")),
            ),
        ],
        "Messages API: tool_use.id must match ^[a-zA-Z0-9_-]+$. The suffix is blake2b-48 of the id.",
    ),
    Case(
        "calls made elsewhere are marked for Gemini 3, the first of each turn",
        OPENAI,
        chat(
            HI,
            assistant(None, tool_calls=[call("1", "f", "{}"), call("2", "f", "{}")]),
            tool("1", "a"),
            tool("2", "b"),
        ),
        [
            gemini(
                said("Hi"),
                said(
                    function_call("1", "f") | {"thoughtSignature": "skip_thought_signature_validator"},
                    function_call("2", "f"),
                    role="model",
                ),
                said(function_response("1", "f", output="a"), function_response("2", "f", output="b")),
                model="gemini-3-flash-preview",
            )
        ],
        "ai.google.dev/gemini-api/docs/thought-signatures, FAQ.",
    ),
    Case(
        "Gemini's own signature comes back by OpenAI's extra_content",
        OPENAI,
        chat(
            HI,
            assistant(
                None,
                tool_calls=[call("1", "f", "{}") | {"extra_content": {"google": {"thought_signature": "c2ln"}}}],
            ),
            tool("1", "a"),
        ),
        [
            claude(HI, assistant([use("1", "f")]), user([result("1", content="a")]), losses="tool_use.signature"),
            gemini(
                said("Hi"),
                said(function_call("1", "f") | {"thoughtSignature": "c2ln"}, role="model"),
                said(function_response("1", "f", output="a")),
                model="gemini-3-flash-preview",
            ),
        ],
        "ai.google.dev/gemini-api/docs/openai, thought signatures.",
    ),
    Case(
        "reasoning shown earlier has no proof: Claude cannot take it, Gemini can",
        OPENAI,
        chat(HI, assistant("Hello", reasoning_content="They greet."), user("Bye")),
        [
            claude(HI, assistant("Hello"), user("Bye"), losses="thinking"),
            gemini(said("Hi"), said({"text": "They greet.", "thought": True}, "Hello", role="model"), said("Bye")),
        ],
        "anthropic.types.ThinkingBlockParam requires a signature.",
    ),
    Case(
        "an earlier refusal is text",
        OPENAI,
        chat(HI, assistant(None, refusal="I cannot."), user("Why?")),
        [
            claude(HI, assistant("I cannot."), user("Why?")),
            gemini(said("Hi"), said("I cannot.", role="model"), said("Why?"), losses="messages.refusal"),
        ],
    ),
    Case(
        "sampling that all three know",
        OPENAI,
        chat(HI, temperature=0, stop="END"),
        [
            claude(HI, temperature=0, stop_sequences=["END"]),
            gemini(said("Hi"), config={"temperature": 0, "stopSequences": ["END"]}),
        ],
    ),
    Case(
        "temperature and top_p together: newer Claude models refuse both",
        OPENAI,
        chat(HI, temperature=1, top_p=0.9),
        [
            claude(HI, temperature=1, losses="top_p"),
            gemini(said("Hi"), config={"temperature": 1, "topP": 0.9}),
        ],
        'Anthropic: "`temperature` and `top_p` cannot both be specified for this model. Please use only one." '
        "(BerriAI/litellm#15097, cloud-apim/otoroshi-llm-extension#140).",
    ),
    Case(
        "a temperature above Claude's",
        OPENAI,
        chat(HI, temperature=1.7),
        [
            claude(HI, temperature=1, losses="temperature_above_1", cannot="temperature_above_1"),
            gemini(said("Hi"), config={"temperature": 1.7}),
        ],
        "Gemini's range ends at 2 (recording c2c0d7e462547acf).",
    ),
    Case(
        "sampling for models that take none",
        OPENAI,
        chat(HI, temperature=0.2, top_p=0.9),
        [
            claude(HI, model="claude-opus-4-7", losses="temperature top_p"),
            claude(HI, model="claude-sonnet-5", losses="temperature top_p"),
            claude(HI, model="claude-opus-4-20250514", temperature=0.2, losses="top_p"),
            claude(HI, model="claude-haiku-4-5-20251001", temperature=0.2, losses="top_p"),
        ],
        'Anthropic: "`temperature` is deprecated for this model." (BerriAI/litellm#26444); its SDK lacks the field.',
    ),
    Case(
        "stop sequences of white space: Claude takes none",
        OPENAI,
        chat(HI, stop=["\n", "END", " \t"]),
        [
            claude(HI, stop_sequences=["END"], losses="blank_stop", cannot="blank_stop"),
            gemini(said("Hi"), config={"stopSequences": ["\n", "END", " \t"]}),
        ],
        'Anthropic: "stop_sequences: each stop sequence must contain non-whitespace" (BerriAI/litellm#3286).',
    ),
    Case(
        "the draw: seed, penalties, bias, log probabilities, choices",
        OPENAI,
        chat(
            HI,
            seed=7,
            presence_penalty=0.5,
            frequency_penalty=-0.5,
            logit_bias={"50256": -100},
            logprobs=True,
            top_logprobs=2,
            n=2,
        ),
        [
            claude(
                HI,
                losses="seed presence_penalty frequency_penalty logit_bias logprobs top_logprobs n",
                cannot="seed presence_penalty frequency_penalty logit_bias logprobs top_logprobs n",
            ),
            gemini(
                said("Hi"),
                config={"seed": 7, "presencePenalty": 0.5, "frequencyPenalty": -0.5, "candidateCount": 2},
                losses="logit_bias logprobs top_logprobs",
                cannot="logit_bias logprobs top_logprobs",
            ),
        ],
    ),
    Case(
        "max_completion_tokens is the limit",
        OPENAI,
        {"model": "alias", "max_completion_tokens": 9, "messages": [HI]},
        [claude(HI, max_tokens=9), gemini(said("Hi"), config={"maxOutputTokens": 9})],
    ),
    Case(
        "no limit: Claude demands one",
        OPENAI,
        {"model": "alias", "messages": [HI], "temperature": 0.5},
        [claude(HI, max_tokens=4096, temperature=0.5, losses="max_tokens=4096")],
        "anthropic.types.MessageCreateParams: max_tokens is required.",
    ),
    Case(
        "any JSON object",
        OPENAI,
        chat(HI, response_format={"type": "json_object"}),
        [
            claude(HI, losses="json_object", cannot="json_object"),
            gemini(said("Hi"), config={"responseMimeType": "application/json"}),
        ],
    ),
    Case(
        "JSON by a strict schema",
        OPENAI,
        chat(
            HI,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "answer", "description": "A number", "strict": True, "schema": ANSWER},
            },
        ),
        [
            claude(
                HI,
                output_config={"format": {"type": "json_schema", "schema": ANSWER}},
                losses="response_format.name response_format.description",
            ),
            gemini(
                said("Hi"),
                config={"responseMimeType": "application/json", "responseJsonSchema": ANSWER},
                losses="response_format.name response_format.description",
            ),
        ],
    ),
    Case(
        "JSON by an open schema: Claude demands closed objects, nested ones too",
        OPENAI,
        chat(
            HI,
            response_format={
                "type": "json_schema",
                "json_schema": {
                    "name": "x",
                    "schema": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "object"}}}},
                },
            },
        ),
        [
            claude(
                HI,
                output_config={
                    "format": {
                        "type": "json_schema",
                        "schema": {
                            "type": "object",
                            "properties": {
                                "a": {"type": "array", "items": {"type": "object", "additionalProperties": False}}
                            },
                            "additionalProperties": False,
                        },
                    }
                },
                losses="response_format.name response_format.additionalProperties=false",
            )
        ],
        "platform.claude.com, structured outputs; anthropic's own SDK does the same (lib/_parse/_transform.py); "
        "all recorded schemas are closed.",
    ),
    Case(
        "effort",
        OPENAI,
        chat(HI, reasoning_effort="high"),
        [
            claude(HI, output_config={"effort": "high"}),
            gemini(said("Hi"), config={"thinkingConfig": {"thinkingBudget": 24576, "includeThoughts": True}}),
            gemini(
                said("Hi"),
                model="gemini-3.1-pro-preview",
                config={"thinkingConfig": {"thinkingLevel": "high", "includeThoughts": True}},
            ),
        ],
        "ai.google.dev/gemini-api/docs/openai#thinking; lower-case levels: recording 1c496ba597417ec5.",
    ),
    Case(
        "the least effort and none",
        OPENAI,
        chat(HI, reasoning_effort="none"),
        [
            claude(HI, thinking={"type": "disabled"}),
            gemini(said("Hi"), config={"thinkingConfig": {"thinkingBudget": 0}}),
        ],
    ),
    Case(
        "hints go, each with a word",
        OPENAI,
        chat(HI, metadata={"a": "b"}, user="u", store=True, service_tier="auto", prompt_cache_key="k"),
        [
            claude(HI, losses="metadata user store service_tier prompt_cache_key"),
            gemini(said("Hi"), losses="metadata user store service_tier prompt_cache_key"),
        ],
    ),
    Case(
        "a stream with usage",
        OPENAI,
        chat(HI, stream=True, stream_options={"include_usage": True}),
        [claude(HI, stream=True), gemini(said("Hi"))],
        "Both tell their usage unasked; Gemini's path says that it streams.",
    ),
    Case(
        "neighbours of one role, empty content, a name",
        OPENAI,
        chat(user("A"), user(""), {"role": "user", "content": "B", "name": "ann"}, assistant(""), assistant("C")),
        [
            claude(user([text("A"), text("B")]), assistant("C"), losses="messages[2].name"),
            gemini(said("A", "", "B"), said("C", role="model"), losses="messages.name"),
        ],
        'Anthropic: "text content blocks must be non-empty"; Gemini takes one (recording c9956ddfd89b5c41).',
    ),
    Case(
        "a prefill ends without white space",
        OPENAI,
        chat(HI, assistant("The answer is: ")),
        [
            claude(HI, assistant("The answer is:"), losses="prefill.trailing_space"),
            gemini(said("Hi"), said("The answer is: ", role="model")),
        ],
        'Anthropic: "final assistant content cannot end with trailing whitespace" (langchain-ai/langchain#35071).',
    ),
    Case(
        "Chinese, emoji, control characters and a line separator pass unchanged",
        OPENAI,
        chat({"role": "system", "content": "说中文。"}, user("你好 👩‍👩‍👧 \u2028 \u0001 é")),
        [
            claude(user("你好 👩‍👩‍👧 \u2028 \u0001 é"), system="说中文。"),
            gemini(said("你好 👩‍👩‍👧 \u2028 \u0001 é"), systemInstruction={"parts": [{"text": "说中文。"}]}),
        ],
    ),
    Case(
        "a built-in tool and a choice of it stay behind, each named",
        OPENAI,
        chat(
            HI,
            tools=[TOOL, {"type": "custom", "custom": {"name": "grep"}}],
            tool_choice={"type": "function", "function": {"name": "grep"}},
        ),
        [
            claude(HI, tools=[CLAUDE_TOOL], losses="tools[1].type=custom tool_choice"),
            gemini(said("Hi"), tools=[GEMINI_TOOL], losses="tools[1].type=custom tool_choice"),
        ],
        "A choice of a tool that was taken out is refused by every provider (maximhq/bifrost#3596).",
    ),
]
