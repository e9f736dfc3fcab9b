"""What Bedrock gets, by the client's protocol. Where one rule has nothing to do with the client, one case is enough."""

from __future__ import annotations

import json
from typing import Any

from wire.golden.case import (
    ANTHROPIC,
    GEMINI,
    OPENAI,
    PDF,
    PDF_URL,
    PNG,
    PNG_URL,
    RESPONSES,
    Case,
    ask,
    assistant,
    call,
    called,
    chat,
    converse,
    generate,
    item,
    output,
    respond,
    said,
    text,
    turn,
    user,
    words,
)
from wire.golden.from_anthropic import IMAGE, INLINE
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
from wire.golden.from_responses import ASKED, FORM, WEATHER_TOOL

HELLO = turn("Hi")
SPEC = {"toolSpec": {"name": "weather", "description": "Weather now", "inputSchema": {"json": WEATHER}}}
LOOSE = {"toolSpec": SPEC["toolSpec"] | {"strict": False}}
SEEN = {"image": {"format": "png", "source": {"bytes": PNG}}}
NOVA, LLAMA = "us.amazon.nova-2-lite-v1:0", "us.meta.llama4-maverick-17b-instruct-v1:0"
OSS, SONNET = "openai.gpt-oss-120b-1:0", "anthropic.claude-sonnet-5-v1:0"


def bare(name: str) -> dict[str, Any]:
    """A tool that only the conversation names."""
    return {"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object", "properties": {}}}}}


def uses(call_id: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": call_id, "name": name, "input": arguments}}


def gave(call_id: str, *blocks: Any, **more: Any) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": call_id, "content": turn(*blocks)["content"], **more}}


def document(name: str, short: str, **source: Any) -> dict[str, Any]:
    return {"document": {"format": short, "name": name, "source": source}}


def shaped(schema: Any, **more: Any) -> dict[str, Any]:
    compact = json.dumps(schema, separators=(",", ":"))
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": compact, **more}}}}


FROM_OPENAI = [
    Case(
        "instructions that lead are the system, one in the middle is the user's",
        OPENAI,
        chat(
            {"role": "system", "content": "A"},
            {"role": "developer", "content": "B"},
            user("One"),
            assistant("Two"),
            {"role": "system", "content": "Rhyme."},
            user("Three"),
        ),
        [
            converse(
                turn("One"),
                turn("Two", role="assistant"),
                turn("<system>\nRhyme.\n</system>", "Three"),
                system=[{"text": "A"}, {"text": "B"}],
                losses="messages[4].role",
            )
        ],
    ),
    Case(
        "instructions alone are asked as a question",
        OPENAI,
        chat({"role": "system", "content": "Say hello."}),
        [converse(turn("Say hello."), losses="messages[0].role")],
    ),
    Case(
        "an image inline goes, one by https cannot",
        OPENAI,
        chat(
            user(
                [
                    text("See"),
                    {"type": "image_url", "image_url": {"url": PNG_URL}},
                    {"type": "image_url", "image_url": {"url": "https://e.org/cat.jpg"}},
                ]
            )
        ),
        [converse(turn("See", SEEN), losses="image_urls", cannot="image_urls")],
        "ImageSource: bytes or s3Location.",
    ),
    Case(
        "a file alone: its name in the allowed characters, and a text beside it",
        OPENAI,
        chat(user([{"type": "file", "file": {"filename": "a.b_c.pdf", "file_data": PDF_URL}}])),
        [
            converse(
                turn(document("a-b-c-pdf", "pdf", bytes=PDF), "a-b-c-pdf"),
                losses="document.name text=document.name",
            )
        ],
    ),
    Case(
        "audio",
        OPENAI,
        chat(user([text("Hear"), {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}])),
        [converse(turn("Hear", {"audio": {"format": "wav", "source": {"bytes": "UklGRg=="}}}))],
        "AudioBlock of the service's description.",
    ),
    Case(
        "a tool, required, one at a time",
        OPENAI,
        chat(HI, tools=[TOOL], tool_choice="required", parallel_tool_calls=False),
        [
            converse(
                HELLO,
                toolConfig={"tools": [SPEC], "toolChoice": {"any": {}}},
                losses="parallel_tool_calls",
                cannot="parallel_tool_calls",
            )
        ],
    ),
    Case(
        "no tool may be called: they are left out",
        OPENAI,
        chat(HI, tools=[TOOL], tool_choice="none"),
        [converse(HELLO, losses="tools")],
        "ToolChoice: auto, any, tool; no none.",
    ),
    Case(
        "no tool may be called, but the history has calls: the tools must stay",
        OPENAI,
        chat(
            HI,
            assistant(None, tool_calls=[call("call_1", "weather", "{}")]),
            tool("call_1", "mild"),
            tools=[TOOL],
            tool_choice="none",
        ),
        [
            converse(
                HELLO,
                turn(uses("call_1", "weather"), role="assistant"),
                turn(gave("call_1", "mild")),
                toolConfig={"tools": [SPEC]},
                losses="tool_choice",
            )
        ],
        '"The toolConfig field must be defined when using toolUse and toolResult content blocks."',
    ),
    Case(
        "two calls of the history and no tools: those that the history names are declared",
        OPENAI,
        chat(
            HI,
            assistant("So.", tool_calls=[call("call_1", "f", '{"x": 1}'), call("a|b", "g", "not JSON")]),
            tool("a|b", ""),
            tool("call_1", "one"),
            user("And?"),
        ),
        [
            converse(
                HELLO,
                turn(
                    "So.",
                    uses("call_1", "f", x=1),
                    uses("a_b_77f70b785d96", "g", _raw_arguments="not JSON"),
                    role="assistant",
                ),
                turn(gave("a_b_77f70b785d96"), gave("call_1", "one"), "And?"),
                toolConfig={"tools": [bare("f"), bare("g")]},
                losses="tools=toolUse.name",
            )
        ],
    ),
    Case(
        "settings that Converse has, and those that it has not",
        OPENAI,
        chat(HI, temperature=1.5, stop=["END", "\n"], seed=1, presence_penalty=0.5, logit_bias={"5": 1}),
        [
            converse(
                HELLO,
                model=LLAMA,
                config={"temperature": 1.0, "stopSequences": ["END", "\n"]},
                losses="temperature_above_1 seed presence_penalty logit_bias",
                cannot="temperature_above_1 seed presence_penalty logit_bias",
            )
        ],
    ),
    Case(
        "effort, as each family of models is told it",
        OPENAI,
        {"model": "alias", "max_completion_tokens": 64, "messages": [HI], "reasoning_effort": "high", "top_p": 0.5},
        [
            converse(HELLO, config={"topP": 0.5}, outputConfig={"effort": "high"}),
            converse(
                HELLO,
                model=OSS,
                config={"topP": 0.5},
                additionalModelRequestFields={"reasoning_effort": "high"},
            ),
            converse(HELLO, model=LLAMA, config={"topP": 0.5}, losses="reasoning.effort"),
            converse(
                HELLO,
                model="qwen.qwen3-32b-v1:0",
                config={"topP": 0.5},
                additionalModelRequestFields={"reasoning_config": "high"},
            ),
        ],
        "pydantic-ai's recordings of Qwen and gpt-oss; OutputConfig.effort of the service's description.",
    ),
    Case(
        "an answer by schema, its objects closed",
        OPENAI,
        chat(
            HI,
            response_format={
                "type": "json_schema",
                "json_schema": {
                    "name": "n",
                    "description": "A number",
                    "schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
                },
            },
        ),
        [
            converse(
                HELLO,
                outputConfig=shaped(
                    {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False},
                    name="n",
                    description="A number",
                ),
                losses="response_format.additionalProperties=false",
            )
        ],
    ),
    Case(
        "any JSON: there is no such mode",
        OPENAI,
        chat(HI, response_format={"type": "json_object"}),
        [converse(HELLO, losses="json_object", cannot="json_object")],
    ),
]

FROM_ANTHROPIC = [
    Case(
        "system blocks with cache marks",
        ANTHROPIC,
        ask(
            user([text("Hi") | {"cache_control": {"type": "ephemeral"}}]),
            system=[text("A"), text("B")],
            metadata={"user_id": "u"},
        ),
        [converse(HELLO, system=[{"text": "A"}, {"text": "B"}], losses="metadata cache_control")],
    ),
    Case(
        "documents: inline, as text, and two of one name",
        ANTHROPIC,
        ask(
            user(
                [
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                        "title": "facts",
                    },
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "你好"},
                        "title": "facts",
                    },
                    text("Sum up"),
                ]
            )
        ),
        [
            converse(
                turn(document("facts", "pdf", bytes=PDF), document("facts 2", "txt", text="你好"), "Sum up"),
                losses="document.name",
            ),
            converse(
                turn(document("facts", "pdf", bytes=PDF), document("facts 2", "txt", bytes="5L2g5aW9"), "Sum up"),
                model=LLAMA,
                losses="document.name",
            ),
        ],
    ),
    Case(
        "a document by URL cannot go",
        ANTHROPIC,
        ask(user([{"type": "document", "source": {"type": "url", "url": "https://e.org/a.pdf"}}, text("Sum up")])),
        [converse(turn("Sum up"), losses="document_urls", cannot="document_urls")],
    ),
    Case(
        "a tool, a choice of it",
        ANTHROPIC,
        ask(HI, tools=[CLAUDE_TOOL | {"strict": True}], tool_choice={"type": "tool", "name": "weather"}),
        [
            converse(
                HELLO,
                toolConfig={
                    "tools": [{"toolSpec": SPEC["toolSpec"] | {"strict": True}}],
                    "toolChoice": {"tool": {"name": "weather"}},
                },
            )
        ],
    ),
    Case(
        "results with an image and an error come first in their turn",
        ANTHROPIC,
        ask(
            HI,
            assistant([use("toolu_1", "weather"), use("toolu_2", "weather")]),
            user(
                [
                    result("toolu_1", content=[text("see"), IMAGE]),
                    result("toolu_2", content="no", is_error=True),
                    text("So?"),
                ]
            ),
            tools=[CLAUDE_TOOL],
        ),
        [
            converse(
                HELLO,
                turn(uses("toolu_1", "weather"), uses("toolu_2", "weather"), role="assistant"),
                turn(gave("toolu_1", "see", SEEN), gave("toolu_2", "no", status="error"), "So?"),
                toolConfig={"tools": [SPEC]},
            )
        ],
    ),
    Case(
        "thinking, its proofs and its redacted blocks go back",
        ANTHROPIC,
        ask(
            HI,
            assistant(
                [
                    {"type": "thinking", "thinking": "hm", "signature": "Eu0="},
                    {"type": "redacted_thinking", "data": "EtMF"},
                    text("So."),
                ]
            ),
            user("And?"),
            max_tokens=9000,
            thinking={"type": "enabled", "budget_tokens": 2000},
        ),
        [
            converse(
                HELLO,
                turn(
                    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "Eu0="}}},
                    {"reasoningContent": {"redactedContent": "RXRNRg=="}},
                    "So.",
                    role="assistant",
                ),
                turn("And?"),
                config={"maxTokens": 9000},
                additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 2000}},
            )
        ],
        "pydantic-ai's recording of redacted thinking: the blob's bytes are the text that Anthropic's API sends.",
    ),
    Case(
        "thinking leaves out sampling and makes room; newer models think adaptively",
        ANTHROPIC,
        ask(HI, max_tokens=1500, temperature=0.5, top_k=5, thinking={"type": "enabled", "budget_tokens": 2000}),
        [
            converse(
                HELLO,
                config={"maxTokens": 6096},
                additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 2000}},
                losses="temperature top_k max_tokens=6096",
            ),
            converse(
                HELLO,
                model=SONNET,
                config={"maxTokens": 1500},
                additionalModelRequestFields={"thinking": {"type": "adaptive"}},
                losses="temperature top_k reasoning.budget_tokens",
            ),
            converse(
                HELLO,
                model=LLAMA,
                config={"maxTokens": 1500, "temperature": 0.5},
                losses="top_k reasoning.budget_tokens",
            ),
        ],
    ),
    Case(
        "top_k, as each family of models is told it; stop sequences that Claude tells",
        ANTHROPIC,
        ask(HI, top_k=5, stop_sequences=["|"]),
        [
            converse(
                HELLO,
                config={"stopSequences": ["|"]},
                additionalModelRequestFields={"top_k": 5},
                additionalModelResponseFieldPaths=["/stop_sequence"],
            ),
            converse(
                HELLO,
                model=NOVA,
                config={"stopSequences": ["|"]},
                additionalModelRequestFields={"inferenceConfig": {"topK": 5}},
            ),
            converse(
                HELLO,
                model="cohere.command-r-v1:0",
                config={"stopSequences": ["|"]},
                additionalModelRequestFields={"k": 5},
            ),
        ],
    ),
    Case(
        "a prefill ends without white space, for Claude",
        ANTHROPIC,
        ask(HI, assistant("Once upon ")),
        [
            converse(HELLO, turn("Once upon", role="assistant"), losses="prefill.trailing_space"),
            converse(HELLO, turn("Once upon ", role="assistant"), model=LLAMA),
        ],
    ),
    Case(
        "an answer by schema and effort",
        ANTHROPIC,
        ask(HI, output_config={"effort": "low", "format": {"type": "json_schema", "schema": ANSWER}}),
        [converse(HELLO, outputConfig=shaped(ANSWER) | {"effort": "low"})],
    ),
]

FROM_GEMINI = [
    Case(
        "system instruction, media, text",
        GEMINI,
        generate(
            said("See", INLINE, {"inlineData": {"mimeType": "application/pdf", "data": PDF, "displayName": "a"}}),
            systemInstruction={"parts": [{"text": "Be brief."}]},
        ),
        [converse(turn("See", SEEN, document("a", "pdf", bytes=PDF)), system=[{"text": "Be brief."}])],
    ),
    Case(
        "media by address cannot go",
        GEMINI,
        generate(said("See", {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://e.org/a.jpg"}})),
        [converse(turn("See"), losses="image_urls", cannot="image_urls")],
    ),
    Case(
        "turns of one role are one turn",
        GEMINI,
        generate(said("One"), said("Two"), said("Three", role="model"), said("Four")),
        [converse(turn("One", "Two"), turn("Three", role="assistant"), turn("Four"))],
    ),
    Case(
        "blank text is refused",
        GEMINI,
        generate(said("Hi", " ")),
        [converse(HELLO, losses="messages[0].blank_text")],
        '"The text field in the ContentBlock object is blank."',
    ),
    Case(
        "a tool, forced",
        GEMINI,
        generate(
            said("Hi"),
            tools=[GEMINI_TOOL],
            toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
        ),
        [converse(HELLO, toolConfig={"tools": [SPEC], "toolChoice": {"tool": {"name": "weather"}}})],
    ),
    Case(
        "calls and their responses",
        GEMINI,
        generate(
            said("Hi"),
            said(function_call("c1", "weather"), role="model"),
            said(function_response("c1", "weather", output="mild")),
            tools=[GEMINI_TOOL],
        ),
        [
            converse(
                HELLO,
                turn(uses("c1", "weather"), role="assistant"),
                turn(gave("c1", "mild")),
                toolConfig={"tools": [SPEC]},
            )
        ],
    ),
    Case(
        "a thinking budget",
        GEMINI,
        generate(said("Hi"), config={"maxOutputTokens": 9000, "thinkingConfig": {"thinkingBudget": 2000}}),
        [
            converse(
                HELLO,
                config={"maxTokens": 9000},
                additionalModelRequestFields={
                    "thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}
                },
            )
        ],
    ),
    Case(
        "a thinking level",
        GEMINI,
        generate(said("Hi"), config={"temperature": 0.5, "thinkingConfig": {"thinkingLevel": "HIGH"}}),
        [
            converse(
                HELLO,
                config={"temperature": 0.5},
                outputConfig={"effort": "high"},
                losses="reasoning.show",
            ),
        ],
    ),
    Case(
        "an answer by schema",
        GEMINI,
        generate(said("Hi"), config={"responseMimeType": "application/json", "responseJsonSchema": ANSWER}),
        [converse(HELLO, outputConfig=shaped(ANSWER))],
    ),
    Case(
        "temperature and top_p: Claude takes one of them",
        GEMINI,
        generate(said("Hi"), config={"temperature": 0.5, "topP": 0.9}),
        [
            converse(HELLO, config={"temperature": 0.5}, losses="top_p"),
            converse(HELLO, model=LLAMA, config={"temperature": 0.5, "topP": 0.9}),
        ],
    ),
]

FROM_RESPONSES = [
    Case("one question", RESPONSES, respond(ASKED), [converse(HELLO)]),
    Case(
        "instructions and a developer's message",
        RESPONSES,
        respond(item("developer", [words("B")]), ASKED, instructions="A"),
        [converse(HELLO, system=[{"text": "A"}, {"text": "B"}])],
    ),
    Case(
        "turns in both forms",
        RESPONSES,
        respond(ASKED, {"role": "assistant", "content": "Yes?"}, item("user", "Go")),
        [converse(HELLO, turn("Yes?", role="assistant"), turn("Go"))],
    ),
    Case(
        "an image inline",
        RESPONSES,
        respond(item("user", [{"type": "input_image", "image_url": PNG_URL, "detail": "auto"}, words("See")])),
        [converse(turn(SEEN, "See"))],
    ),
    Case(
        "a PDF inline",
        RESPONSES,
        respond(item("user", [{"type": "input_file", "filename": "facts", "file_data": PDF_URL}, words("See")])),
        [converse(turn(document("facts", "pdf", bytes=PDF), "See"))],
    ),
    Case(
        "an image by https cannot go",
        RESPONSES,
        respond(
            item("user", [{"type": "input_image", "image_url": "https://e.org/a.png", "detail": "auto"}, words("See")])
        ),
        [converse(turn("See"), losses="image_urls", cannot="image_urls")],
    ),
    Case(
        "a tool, required",
        RESPONSES,
        respond(ASKED, tools=[WEATHER_TOOL], tool_choice="required"),
        [converse(HELLO, toolConfig={"tools": [LOOSE], "toolChoice": {"any": {}}})],
    ),
    Case(
        "a call and its output",
        RESPONSES,
        respond(ASKED, called("call_1", "weather", "{}"), output("call_1", "mild"), tools=[WEATHER_TOOL]),
        [
            converse(
                HELLO,
                turn(uses("call_1", "weather"), role="assistant"),
                turn(gave("call_1", "mild")),
                toolConfig={"tools": [LOOSE]},
            )
        ],
    ),
    Case(
        "an answer by schema",
        RESPONSES,
        respond(ASKED, text={"format": FORM}),
        [converse(HELLO, outputConfig=shaped(ANSWER, name="answer"))],
    ),
    Case(
        "effort",
        RESPONSES,
        respond(ASKED, reasoning={"effort": "low"}),
        [converse(HELLO, outputConfig={"effort": "low"})],
    ),
]

CASES = [*FROM_OPENAI, *FROM_ANTHROPIC, *FROM_GEMINI, *FROM_RESPONSES]
