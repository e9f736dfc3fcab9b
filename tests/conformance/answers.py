"""What a provider may answer, feature by feature, in each protocol. Sources: the SDKs' types of answers, and for
Bedrock and Cohere their API references (November 2026)."""

from __future__ import annotations

from typing import Any

from .probe import BEDROCK, CHAT, COHERE, GEMINI, MESSAGES, PNG, RESPONSES, Probe

ARGUMENTS = '{"city":"Rome"}'
BROKEN = '{"city":'
CITATION = {
    "type": "url_citation",
    "url_citation": {"url": "https://example.org", "title": "t", "start_index": 0, "end_index": 1},
}
LOGPROBS = {"content": [{"token": "ok", "bytes": [111, 107], "logprob": -0.1, "top_logprobs": []}], "refusal": None}


def made(base: dict[str, Any], features: dict[str, dict[str, Any]]) -> list[Probe]:
    return [Probe(name, body, base) for name, body in features.items()]


# --- openai.chat


def chat(
    message: dict[str, Any] | None = None, finish: str = "stop", usage: dict[str, Any] | None = None, **choice: Any
) -> dict[str, Any]:
    said = {"role": "assistant", "content": "ok", "refusal": None} | (message or {})
    counts = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18} | (usage or {})
    one = {"index": 0, "message": said, "finish_reason": finish, "logprobs": None} | choice
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "x",
        "choices": [one],
        "usage": counts,
    }


def call(number: int = 1, arguments: str = ARGUMENTS, **more: Any) -> dict[str, Any]:
    return {"id": f"call_{number}", "type": "function", "function": {"name": "weather", "arguments": arguments}, **more}


def calls(*made: dict[str, Any]) -> dict[str, Any]:
    return chat({"content": None, "tool_calls": list(made)}, "tool_calls")


def two_choices() -> dict[str, Any]:
    answer = chat()
    other = {"index": 1, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop", "logprobs": None}
    return answer | {"choices": [*answer["choices"], other]}


SIGNED = {"type": "reasoning.text", "text": "let me see", "signature": "c2ln"}
CHAT_FEATURES = {
    "text": chat({"content": "well"}),
    "no text": chat({"content": ""}),
    "refusal": chat({"content": None, "refusal": "I will not"}),
    "reasoning (`reasoning_content`)": chat({"reasoning_content": "let me see"}),
    "reasoning (`reasoning`)": chat({"reasoning": "let me see"}),
    "reasoning, signed (OpenRouter)": chat({"reasoning": "let me see", "reasoning_details": [SIGNED]}),
    "reasoning (Mistral's parts)": chat(
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "let me see"}]},
                {"type": "text", "text": "ok"},
            ]
        }
    ),
    "tool call": calls(call()),
    "tool calls, parallel": calls(call(), call(2)),
    "tool call, arguments no JSON": calls(call(arguments=BROKEN)),
    "tool call with a thought signature": calls(call(extra_content={"google": {"thought_signature": "c2ln"}})),
    "text beside a tool call": chat({"tool_calls": [call()]}, "tool_calls"),
    "function_call (old)": chat(
        {"content": None, "function_call": {"name": "weather", "arguments": ARGUMENTS}}, "function_call"
    ),
    "finish: length": chat(finish="length"),
    "finish: content_filter": chat(finish="content_filter"),
    "finish: unknown": chat(finish="because"),
    "n = 2": two_choices(),
    "logprobs": chat(logprobs=LOGPROBS),
    "annotations": chat({"annotations": [CITATION]}),
    "audio": chat({"audio": {"id": "a", "data": "AAAA", "expires_at": 1, "transcript": "ok"}}),
    "images": chat({"images": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}),
    "usage: cached": chat(usage={"prompt_tokens_details": {"cached_tokens": 3}}),
    "usage: cache written": chat(usage={"prompt_tokens_details": {"cache_write_tokens": 3}}),
    "usage: reasoning": chat(usage={"completion_tokens_details": {"reasoning_tokens": 3}}),
    "usage: audio": chat(usage={"prompt_tokens_details": {"audio_tokens": 3}}),
    "service_tier": chat() | {"service_tier": "flex"},
    "system_fingerprint": chat() | {"system_fingerprint": "fp"},
    "search_results (Perplexity)": chat() | {"search_results": [{"title": "t", "url": "https://example.org"}]},
    "citations (Perplexity)": chat() | {"citations": ["https://example.org"]},
}

# --- openai.responses


def message(*content: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": list(content),
    } | more


def words(text: str = "ok", **more: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []} | more


def response(*output: dict[str, Any], usage: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    counts = {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 18,
    } | (usage or {})
    head = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "x", "error": None}
    rest = {
        "incomplete_details": None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": counts,
    }
    return head | {"output": list(output or (message(words()),))} | rest | more


def function(number: int = 1, arguments: str = ARGUMENTS) -> dict[str, Any]:
    named = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": "weather"}
    return named | {"arguments": arguments, "status": "completed"}


THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "let me see"}]}
SEARCHED = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}
URL = {"type": "url_citation", "url": "https://example.org", "title": "t", "start_index": 0, "end_index": 1}
RESPONSES_FEATURES = {
    "text": response(message(words("well"))),
    "text, two blocks": response(message(words(), words("fine"))),
    "text, two messages": response(message(words()), message(words("fine"), id="msg_2")),
    "message phase: final_answer": response(message(words(), phase="final_answer")),
    "message phase: commentary": response(message(words(), phase="commentary")),
    "refusal": response(message({"type": "refusal", "refusal": "I will not"})),
    "reasoning (summary)": response(THOUGHT, message(words())),
    "reasoning (text)": response(
        THOUGHT | {"summary": [], "content": [{"type": "reasoning_text", "text": "let me see"}]}, message(words())
    ),
    "reasoning, encrypted": response(THOUGHT | {"encrypted_content": "c2VjcmV0"}, message(words())),
    "reasoning, encrypted alone": response(
        THOUGHT | {"summary": [], "encrypted_content": "c2VjcmV0"}, message(words())
    ),
    "tool call": response(function()),
    "tool calls, parallel": response(function(), function(2)),
    "tool call, arguments no JSON": response(function(arguments=BROKEN)),
    "text beside a tool call": response(message(words()), function()),
    "custom tool call": response(
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "sql", "input": "select 1"}
    ),
    "built-in tool (web search)": response(SEARCHED, message(words())),
    "built-in tool (code)": response(
        {
            "type": "code_interpreter_call",
            "id": "ci_1",
            "status": "completed",
            "code": "1",
            "container_id": "c",
            "outputs": [],
        },
        message(words()),
    ),
    "built-in tool (image)": response(
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": PNG}, message(words())
    ),
    "built-in tool (MCP)": response(
        {"type": "mcp_call", "id": "mcp_1", "name": "f", "arguments": "{}", "server_label": "s"}, message(words())
    ),
    "annotations": response(message(words(annotations=[URL]))),
    "logprobs": response(message(words(logprobs=LOGPROBS["content"]))),
    "finish: max_output_tokens": response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
    "finish: content_filter": response(status="incomplete", incomplete_details={"reason": "content_filter"}),
    "finish: unknown": response(status="incomplete", incomplete_details={"reason": "because"}),
    "usage: cached": response(usage={"input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0}}),
    "usage: cache written": response(usage={"input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 3}}),
    "usage: reasoning": response(usage={"output_tokens_details": {"reasoning_tokens": 3}}),
    "service_tier": response(service_tier="flex"),
}

# --- anthropic.messages


def claude(
    *content: dict[str, Any], stop: str = "end_turn", usage: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    counts = {"input_tokens": 11, "output_tokens": 7} | (usage or {})
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "x"}
    blocks = list(content or (say(),))
    return head | {"content": blocks, "stop_reason": stop, "stop_sequence": None, "usage": counts} | more


def say(text: str = "ok", **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, "citations": None} | more


def use(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": "weather", "input": {"city": "Rome"}} | more


CITED = {
    "type": "char_location",
    "cited_text": "a",
    "document_index": 0,
    "document_title": "t",
    "start_char_index": 0,
    "end_char_index": 1,
}
SIGNED_THOUGHT = {"type": "thinking", "thinking": "let me see", "signature": "c2ln"}
SERVED = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
MESSAGES_FEATURES = {
    "text": claude(say("well")),
    "text, two blocks": claude(say(), say("fine")),
    "no text": claude(say("")),
    "reasoning, signed": claude(SIGNED_THOUGHT, say()),
    "reasoning, no signature": claude(SIGNED_THOUGHT | {"signature": ""}, say()),
    "reasoning, redacted": claude({"type": "redacted_thinking", "data": "c2VjcmV0"}, say()),
    "tool call": claude(use(), stop="tool_use"),
    "tool calls, parallel": claude(use(), use(2), stop="tool_use"),
    "tool call, arguments do not fit": claude(use(input={"town": "Rome"}), stop="tool_use"),
    "tool call by code": claude(use(caller={"type": "code_execution_20250825", "tool_id": "t"}), stop="tool_use"),
    "text beside a tool call": claude(say(), use(), stop="tool_use"),
    "built-in tool (web search)": claude(
        SERVED, {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}, say()
    ),
    "citations": claude(say(citations=[CITED])),
    "finish: max_tokens": claude(stop="max_tokens"),
    "finish: stop_sequence": claude(stop="stop_sequence", stop_sequence="END"),
    "finish: refusal": claude(stop="refusal"),
    "finish: pause_turn": claude(stop="pause_turn"),
    "finish: model_context_window_exceeded": claude(stop="model_context_window_exceeded"),
    "finish: unknown": claude(stop="because"),
    "stop_details": claude(stop="refusal", stop_details={"type": "refusal", "category": "cyber"}),
    "usage: cached": claude(usage={"cache_read_input_tokens": 3}),
    "usage: cache written": claude(usage={"cache_creation_input_tokens": 3}),
    "usage: reasoning": claude(usage={"output_tokens_details": {"thinking_tokens": 3}}),
    "usage: server tools": claude(usage={"server_tool_use": {"web_search_requests": 1}}),
    "container": claude(container={"id": "c", "expires_at": "2026-11-01T00:00:00Z"}),
    "context_management": claude(context_management={"applied_edits": []}),
}

# --- gemini


def gemini(
    *parts: dict[str, Any], finish: str = "STOP", usage: dict[str, Any] | None = None, **candidate: Any
) -> dict[str, Any]:
    counts = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18} | (usage or {})
    content = {"role": "model", "parts": list(parts or ({"text": "ok"},))}
    one = {"content": content, "finishReason": finish, "index": 0} | candidate
    return {"candidates": [one], "usageMetadata": counts, "modelVersion": "x", "responseId": "r1"}


CALLED = {"functionCall": {"name": "weather", "args": {"city": "Rome"}}}
OK = {"text": "ok"}
GEMINI_FEATURES = {
    "text": gemini({"text": "well"}),
    "no text": gemini({"text": ""}),
    "reasoning": gemini({"text": "let me see", "thought": True}, OK),
    "reasoning, signed": gemini({"text": "let me see", "thought": True, "thoughtSignature": "c2ln"}, OK),
    "text with a signature": gemini({"text": "ok", "thoughtSignature": "c2ln"}),
    "tool call": gemini(CALLED),
    "tool call with an id": gemini({"functionCall": CALLED["functionCall"] | {"id": "c1"}}),
    "tool call with a signature": gemini(CALLED | {"thoughtSignature": "c2ln"}),
    "tool calls, parallel": gemini(CALLED, CALLED),
    "text beside a tool call": gemini(OK, CALLED),
    "built-in tool (code)": gemini(
        {"executableCode": {"code": "1", "language": "PYTHON"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        OK,
    ),
    "an image": gemini({"inlineData": {"mimeType": "image/png", "data": PNG}}, OK),
    "a part of an unknown kind": gemini({"toolCall": {"id": "1"}}, OK),
    "grounding": gemini(groundingMetadata={"webSearchQueries": ["q"]}),
    "citations": gemini(citationMetadata={"citations": [{"uri": "https://example.org"}]}),
    "URL contexts": gemini(urlContextMetadata={"urlMetadata": [{"retrievedUrl": "https://example.org"}]}),
    "logprobs": gemini(logprobsResult={"chosenCandidates": [{"token": "ok", "logProbability": -0.1}]}),
    "safety ratings": gemini(safetyRatings=[{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}]),
    "n = 2": gemini()
    | {
        "candidates": [
            *gemini()["candidates"],
            {"content": {"role": "model", "parts": [{"text": "fine"}]}, "finishReason": "STOP", "index": 1},
        ]
    },
    "finish: MAX_TOKENS": gemini(finish="MAX_TOKENS"),
    "finish: SAFETY": gemini(finish="SAFETY"),
    "finish: RECITATION": gemini(finish="RECITATION"),
    "finish: OTHER": gemini(finish="OTHER"),
    "finish: MALFORMED_FUNCTION_CALL": gemini(finish="MALFORMED_FUNCTION_CALL", finishMessage="no such function"),
    "prompt blocked": {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 11},
        "modelVersion": "x",
        "responseId": "r1",
    },
    "usage: cached": gemini(usage={"cachedContentTokenCount": 3}),
    "usage: reasoning": gemini(usage={"thoughtsTokenCount": 3}),
    "usage: tool prompts": gemini(usage={"toolUsePromptTokenCount": 3}),
}

# --- bedrock.converse


def converse(
    *content: dict[str, Any], stop: str = "end_turn", usage: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    counts = {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18} | (usage or {})
    message = {"role": "assistant", "content": list(content or ({"text": "ok"},))}
    return {"output": {"message": message}, "stopReason": stop, "usage": counts, "metrics": {"latencyMs": 1}} | more


def tool_use(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": f"tooluse_{number}", "name": "weather", "input": {"city": "Rome"}} | more}


BEDROCK_FEATURES = {
    "text": converse({"text": "well"}),
    "text, two blocks": converse(OK, {"text": "fine"}),
    "reasoning, signed": converse(
        {"reasoningContent": {"reasoningText": {"text": "let me see", "signature": "c2ln"}}}, OK
    ),
    "reasoning, no signature": converse({"reasoningContent": {"reasoningText": {"text": "let me see"}}}, OK),
    "reasoning, redacted": converse({"reasoningContent": {"redactedContent": "c2VjcmV0"}}, OK),
    "tool call": converse(tool_use(), stop="tool_use"),
    "tool calls, parallel": converse(tool_use(), tool_use(2), stop="tool_use"),
    "text beside a tool call": converse(OK, tool_use(), stop="tool_use"),
    "built-in tool": converse(
        tool_use(type="server_tool_use"),
        {"toolResult": {"toolUseId": "tooluse_1", "content": [], "type": "nova_grounding_result"}},
        OK,
    ),
    "citations": converse({"citationsContent": {"content": [OK], "citations": [{"title": "t"}]}}),
    "an image": converse({"image": {"format": "png", "source": {"bytes": PNG}}}, OK),
    "finish: max_tokens": converse(stop="max_tokens"),
    "finish: stop_sequence": converse(stop="stop_sequence", additionalModelResponseFields={"stop_sequence": "END"}),
    "finish: guardrail_intervened": converse(stop="guardrail_intervened"),
    "finish: content_filtered": converse(stop="content_filtered"),
    "finish: malformed_tool_use": converse(stop="malformed_tool_use"),
    "finish: unknown": converse(stop="because"),
    "trace": converse(trace={"guardrail": {"actionReason": "x"}}),
    "usage: cached": converse(usage={"cacheReadInputTokens": 3}),
    "usage: cache written": converse(usage={"cacheWriteInputTokens": 3}),
    "performanceConfig": converse(performanceConfig={"latency": "optimized"}),
}

# --- cohere.chat


def cohere(
    *content: dict[str, Any], finish: str = "COMPLETE", said: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    message = {"role": "assistant", "content": list(content or ({"type": "text", "text": "ok"},))} | (said or {})
    usage = {
        "billed_units": {"input_tokens": 11, "output_tokens": 7},
        "tokens": {"input_tokens": 11, "output_tokens": 7},
    }
    return {"id": "c1", "finish_reason": finish, "message": message, "usage": usage} | more


COHERE_FEATURES = {
    "text": cohere({"type": "text", "text": "well"}),
    "text, two blocks": cohere({"type": "text", "text": "ok"}, {"type": "text", "text": "fine"}),
    "reasoning": cohere({"type": "thinking", "thinking": "let me see"}, {"type": "text", "text": "ok"}),
    "tool call": cohere(said={"content": [], "tool_calls": [call()]}, finish="TOOL_CALL"),
    "tool calls, parallel": cohere(said={"content": [], "tool_calls": [call(), call(2)]}, finish="TOOL_CALL"),
    "tool plan": cohere(said={"content": [], "tool_plan": "let me see", "tool_calls": [call()]}, finish="TOOL_CALL"),
    "citations": cohere(said={"citations": [{"start": 0, "end": 1, "text": "o", "sources": []}]}),
    "logprobs": cohere(logprobs=[{"token_ids": [1], "text": "ok", "logprobs": [-0.1]}]),
    "finish: MAX_TOKENS": cohere(finish="MAX_TOKENS"),
    "finish: STOP_SEQUENCE": cohere(finish="STOP_SEQUENCE"),
    "finish: ERROR": cohere(finish="ERROR"),
    "finish: TIMEOUT": cohere(finish="TIMEOUT"),
    "finish: unknown": cohere(finish="because"),
    "usage: cached": cohere(usage={"tokens": {"input_tokens": 11, "output_tokens": 7}, "cached_tokens": 3}),
    "usage: reasoning": cohere(usage={"tokens": {"input_tokens": 11, "output_tokens": 7, "reasoning_tokens": 3}}),
}

FEATURES: dict[str, list[Probe]] = {
    CHAT: made(chat(), CHAT_FEATURES),
    RESPONSES: made(response(), RESPONSES_FEATURES),
    MESSAGES: made(claude(), MESSAGES_FEATURES),
    GEMINI: made(gemini(), GEMINI_FEATURES),
    BEDROCK: made(converse(), BEDROCK_FEATURES),
    COHERE: made(cohere(), COHERE_FEATURES),
}


def openai_error(kind: str, code: str | None, text: str = "no") -> dict[str, Any]:
    return {"error": {"message": text, "type": kind, "param": None, "code": code}}


def anthropic_error(kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": "no"}}


def google_error(status: int, word: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": "no", "status": word}}


OPENAI_ERRORS = [
    (400, openai_error("invalid_request_error", None)),
    (400, openai_error("invalid_request_error", "context_length_exceeded")),
    (401, openai_error("invalid_request_error", "invalid_api_key")),
    (403, openai_error("invalid_request_error", "unsupported_country_region_territory")),
    (404, openai_error("invalid_request_error", "model_not_found")),
    (429, openai_error("requests", "rate_limit_exceeded")),
    (429, openai_error("insufficient_quota", "insufficient_quota")),
    (500, openai_error("server_error", None)),
    (503, openai_error("server_error", None)),
]
ERRORS: dict[str, list[tuple[int, dict[str, Any]]]] = {
    CHAT: OPENAI_ERRORS,
    RESPONSES: OPENAI_ERRORS,
    MESSAGES: [
        (status, anthropic_error(kind))
        for status, kind in (
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (402, "billing_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (413, "request_too_large"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (504, "timeout_error"),
            (529, "overloaded_error"),
        )
    ],
    GEMINI: [
        (status, google_error(status, word))
        for status, word in (
            (400, "INVALID_ARGUMENT"),
            (401, "UNAUTHENTICATED"),
            (403, "PERMISSION_DENIED"),
            (404, "NOT_FOUND"),
            (429, "RESOURCE_EXHAUSTED"),
            (500, "INTERNAL"),
            (503, "UNAVAILABLE"),
            (504, "DEADLINE_EXCEEDED"),
        )
    ],
    BEDROCK: [(status, {"message": "no"}) for status in (400, 403, 404, 408, 424, 429, 500, 503)],
    COHERE: [(status, {"message": "no"}) for status in (400, 401, 402, 403, 404, 422, 429, 500, 503)],
}
