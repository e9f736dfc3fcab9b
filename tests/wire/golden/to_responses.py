"""Bodies of other protocols' clients, and what the Responses API must get."""

from __future__ import annotations

from typing import Any

from afterbay.wire.proofs import Proof, wrap
from wire.golden.case import (
    ANTHROPIC,
    GEMINI,
    OPENAI,
    PDF,
    PDF_URL,
    PNG_URL,
    Case,
    ask,
    assistant,
    call,
    called,
    chat,
    generate,
    item,
    output,
    response,
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
    function_call,
    function_response,
    result,
    tool,
    use,
)
from wire.golden.from_responses import WEATHER_TOOL

ASKED = item("user", "Hi")
PICTURE = {"type": "input_image", "image_url": PNG_URL, "detail": "auto"}
FILE = {"type": "input_file", "filename": "a.pdf", "file_data": PDF_URL}
WRAPPED = wrap(Proof("openai", "", "", "rs_1|gAAA"))
LOST = "thinking.signature_of_another_maker"
PROOFS = ["reasoning.encrypted_content"]
FORM: dict[str, Any] = {"format": {"type": "json_schema", "name": "answer", "schema": ANSWER}}
DOCUMENT = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}

CASES = [
    Case(
        "a leading system prompt is the instructions",
        OPENAI,
        chat({"role": "system", "content": "Be brief."}, HI),
        [response(ASKED, instructions="Be brief.")],
    ),
    Case(
        "instructions further on keep rank and place",
        OPENAI,
        chat({"role": "developer", "content": [text("A"), text("B")]}, HI, {"role": "system", "content": "Rhyme."}),
        [response(item("developer", [words("A"), words("B")]), ASKED, item("system", "Rhyme."))],
    ),
    Case(
        "media",
        OPENAI,
        chat(user([SHOWN, {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URL}}, text("Compare")])),
        [response(item("user", [PICTURE, FILE, words("Compare")]))],
    ),
    Case(
        "audio has no place",
        OPENAI,
        chat(user([text("Hear"), {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}])),
        [response(item("user", [words("Hear")]), losses="audio", cannot="audio")],
        "openai ResponseInputMessageContentList: text, image, file.",
    ),
    Case(
        "two calls and their results",
        OPENAI,
        chat(
            HI,
            assistant("Let me see.", tool_calls=[call("call_1", "f", '{"x": 1}'), call("call_2", "g", "{}")]),
            tool("call_2", "two"),
            tool("call_1", '{"t": 21}'),
            user("And?"),
        ),
        [
            response(
                ASKED,
                item("assistant", "Let me see."),
                called("call_1", "f", '{"x": 1}'),
                called("call_2", "g", "{}"),
                output("call_2", "two"),
                output("call_1", '{"t": 21}'),
                item("user", "And?"),
            )
        ],
    ),
    Case(
        "a tool that is not strict has to say so, or its schema is rewritten",
        OPENAI,
        chat(HI, tools=[TOOL], tool_choice={"type": "function", "function": {"name": "weather"}}),
        [response(ASKED, tools=[WEATHER_TOOL], tool_choice={"type": "function", "name": "weather"})],
        "developers.openai.com, migration to Responses: functions are strict by default there, in chat they are not.",
    ),
    Case(
        "an answer of a form",
        OPENAI,
        chat(HI, response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": ANSWER}}),
        [response(ASKED, text=FORM)],
    ),
    Case(
        "settings that the Responses API lacks",
        OPENAI,
        chat(HI, temperature=0.5, seed=1, stop=["x"], presence_penalty=0.1, logprobs=True, top_logprobs=2),
        [
            response(
                ASKED,
                temperature=0.5,
                top_logprobs=2,
                include=["message.output_text.logprobs"],
                losses="seed stop presence_penalty",
                cannot="seed stop presence_penalty",
            )
        ],
    ),
    Case(
        "effort, and a limit below the least one",
        OPENAI,
        chat(HI, reasoning_effort="high") | {"max_tokens": 5},
        [
            response(
                ASKED,
                model="gpt-5",
                max_output_tokens=16,
                reasoning={"effort": "high"},
                include=PROOFS,
                losses="max_output_tokens",
            )
        ],
    ),
    Case(
        "system blocks stay apart",
        ANTHROPIC,
        ask(HI, system=[text("A"), text("B")]),
        [response(item("system", [words("A"), words("B")]), ASKED)],
    ),
    Case(
        "a system text is the instructions",
        ANTHROPIC,
        ask(HI, system="A"),
        [response(ASKED, instructions="A")],
    ),
    Case(
        "images and documents, one by URL",
        ANTHROPIC,
        ask(
            user(
                [
                    IMAGE,
                    DOCUMENT | {"title": "a.pdf"},
                    {"type": "document", "source": {"type": "url", "url": "https://e.org/a.pdf"}},
                    text("Which?"),
                ]
            )
        ),
        [
            response(
                item(
                    "user",
                    [PICTURE, FILE, {"type": "input_file", "file_url": "https://e.org/a.pdf"}, words("Which?")],
                )
            )
        ],
    ),
    Case(
        "Anthropic's thinking means nothing to OpenAI",
        ANTHROPIC,
        ask(
            HI,
            assistant(
                [
                    {"type": "thinking", "thinking": "Hm", "signature": "EqQBCg=="},
                    {"type": "redacted_thinking", "data": "EmwKAhgB"},
                    text("Yes?"),
                ]
            ),
            user("Go"),
        ),
        [response(ASKED, item("assistant", "Yes?"), item("user", "Go"), losses=LOST + " thinking")],
    ),
    Case(
        "OpenAI's own thinking comes back through Anthropic's protocol",
        ANTHROPIC,
        ask(
            HI,
            assistant([{"type": "thinking", "thinking": "Hm", "signature": WRAPPED}, text("Yes?")]),
            user("Go"),
        ),
        [
            response(
                ASKED,
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": "Hm"}],
                    "encrypted_content": "gAAA",
                },
                item("assistant", "Yes?"),
                item("user", "Go"),
                include=PROOFS,
            )
        ],
    ),
    Case(
        "results with media, one an error, then text",
        ANTHROPIC,
        ask(
            HI,
            assistant([use("t1", "shot"), use("t2", "shot")]),
            user(
                [
                    result("t1", content=[text("here"), IMAGE]),
                    result("t2", content="boom", is_error=True),
                    text("Go on"),
                ]
            ),
        ),
        [
            response(
                ASKED,
                called("t1", "shot", "{}"),
                called("t2", "shot", "{}"),
                output("t1", [words("here"), PICTURE]),
                output("t2", "boom"),
                item("user", "Go on"),
                losses="tool_result.is_error",
            )
        ],
    ),
    Case(
        "a tool, some call, one at a time",
        ANTHROPIC,
        ask(HI, tools=[CLAUDE_TOOL], tool_choice={"type": "any", "disable_parallel_tool_use": True}),
        [response(ASKED, tools=[WEATHER_TOOL], tool_choice="required", parallel_tool_calls=False)],
    ),
    Case(
        "top_k and stop sequences",
        ANTHROPIC,
        ask(HI, top_k=5, stop_sequences=["x"]),
        [response(ASKED, losses="top_k stop", cannot="top_k stop")],
    ),
    Case(
        "a thinking budget becomes an effort",
        ANTHROPIC,
        ask(HI, thinking={"type": "enabled", "budget_tokens": 2000}) | {"max_tokens": 4000},
        [
            response(
                ASKED,
                model="gpt-5",
                max_output_tokens=4000,
                reasoning={"effort": "low"},
                include=PROOFS,
                losses="reasoning.budget_tokens",
            )
        ],
    ),
    Case(
        "a system instruction and media",
        GEMINI,
        generate(
            said("See", INLINE, {"inlineData": {"mimeType": "application/pdf", "data": PDF, "displayName": "a.pdf"}}),
            systemInstruction={"parts": [{"text": "Be brief."}]},
        ),
        [response(item("user", [words("See"), PICTURE, FILE]), instructions="Be brief.")],
    ),
    Case(
        "media of the model have no place",
        GEMINI,
        generate(said("Draw"), said("Here", INLINE, role="model"), said("Again")),
        [
            response(
                item("user", "Draw"),
                item("assistant", "Here"),
                item("user", "Again"),
                losses="messages.assistant_media",
            )
        ],
    ),
    Case(
        "calls and their results, an image among them",
        GEMINI,
        generate(
            said("Hi"),
            said(
                function_call("c1", "f", x=1) | {"thoughtSignature": "c2ln"},
                function_call("c2", "g"),
                role="model",
            ),
            said(
                {"functionResponse": {"id": "c1", "name": "f", "response": {"output": "one"}, "parts": [INLINE]}},
                function_response("c2", "g", output="two"),
            ),
        ),
        [
            response(
                ASKED,
                called("c1", "f", '{"x": 1}'),
                called("c2", "g", "{}"),
                output("c1", [words("one"), PICTURE]),
                output("c2", "two"),
                losses="tool_use.signature_of_another_maker",
            )
        ],
    ),
    Case(
        "a tool that may be called",
        GEMINI,
        generate(said("Hi"), tools=[GEMINI_TOOL], toolConfig={"functionCallingConfig": {"mode": "AUTO"}}),
        [response(ASKED, tools=[WEATHER_TOOL], tool_choice="auto")],
    ),
    Case(
        "a tool that must be called",
        GEMINI,
        generate(
            said("Hi"),
            tools=[GEMINI_TOOL],
            toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
        ),
        [response(ASKED, tools=[WEATHER_TOOL], tool_choice={"type": "function", "name": "weather"})],
    ),
    Case(
        "an answer of a form",
        GEMINI,
        generate(said("Hi"), config={"responseMimeType": "application/json", "responseJsonSchema": ANSWER}),
        [response(ASKED, text=FORM)],
    ),
    Case(
        "any JSON",
        GEMINI,
        generate(said("Hi"), config={"responseMimeType": "application/json"}),
        [response(ASKED, text={"format": {"type": "json_object"}})],
    ),
    Case(
        "settings that the Responses API lacks",
        GEMINI,
        generate(said("Hi"), config={"topK": 4, "seed": 1, "stopSequences": ["x"], "topP": 0.5, "candidateCount": 2}),
        [response(ASKED, top_p=0.5, losses="top_k seed stop n", cannot="top_k seed stop n")],
    ),
    Case(
        "a thinking budget, and thoughts to be shown",
        GEMINI,
        generate(said("Hi"), config={"thinkingConfig": {"thinkingBudget": 9000, "includeThoughts": True}}),
        [
            response(
                ASKED,
                model="gpt-5",
                reasoning={"effort": "medium", "summary": "auto"},
                include=PROOFS,
                losses="reasoning.budget_tokens",
            )
        ],
    ),
]
