"""What a request's turns must be like, by the providers' references: a checker of its own for every protocol.

It reads plain JSON and knows nothing of the canonical form. Every rule is one that the provider answers 400 to.
"""

from __future__ import annotations

import json
import re
from typing import Any

from wire.golden.case import ANTHROPIC, BEDROCK, COHERE, GEMINI, OPENAI, RESPONSES

_ID = re.compile(r"[a-zA-Z0-9_-]+")


def faults(dialect: str, body: dict[str, Any]) -> list[str]:
    """The rules that a body breaks; empty when none."""
    judges = {
        OPENAI: _openai,
        RESPONSES: _responses,
        ANTHROPIC: _anthropic,
        GEMINI: _gemini,
        BEDROCK: _bedrock,
        COHERE: _cohere,
    }
    return judges[dialect](body)


def _openai(body: dict[str, Any]) -> list[str]:
    found = [] if body["messages"] else ["no message"]
    open_ids: set[str] = set()
    for index, message in enumerate(body["messages"]):
        at, role, content = f"messages[{index}]", message["role"], message.get("content")
        if role == "tool":
            if message["tool_call_id"] not in open_ids:
                found.append(f"{at}: answers no call of the turn before")
            open_ids.discard(message["tool_call_id"])
            if not isinstance(content, str):
                found.append(f"{at}: a tool message holds text")
            continue
        if open_ids:
            found.append(f"{at}: comes before the results of {sorted(open_ids)}")
        if content == []:
            found.append(f"{at}: empty list of parts")
        if role == "assistant":
            calls = message.get("tool_calls")
            if calls == []:
                found.append(f"{at}: empty list of calls")
            if content is None and not calls and not message.get("refusal"):
                found.append(f"{at}: says nothing")
            open_ids = {call["id"] for call in calls or ()}
            if len(open_ids) < len(calls or ()):
                found.append(f"{at}: one id for two calls")
        else:
            open_ids = set()
            if content is None:
                found.append(f"{at}: no content")
            if role in ("system", "developer") and any(
                part["type"] != "text" for part in content if isinstance(part, dict)
            ):
                found.append(f"{at}: media in an instruction")
    ids = [call["id"] for message in body["messages"] for call in message.get("tool_calls", ())]
    form = r"[a-zA-Z0-9]{9}" if "stral" in body["model"] else r".{0,40}"
    found += [f"id {one!r}" for one in ids if not re.fullmatch(form, one, re.DOTALL)]
    if open_ids:
        found.append(f"no results of {sorted(open_ids)}")
    names = {tool["function"]["name"] for tool in body.get("tools", ())}
    choice = body.get("tool_choice")
    if choice is not None and (not names or (isinstance(choice, dict) and choice["function"]["name"] not in names)):
        found.append("a choice of a tool that is not there")
    for tool in body.get("tools", ()):
        schema = tool["function"]["parameters"]
        if schema.get("type") == "object" and "properties" not in schema:
            found.append("a tool's schema without properties")
    return found


def _responses(body: dict[str, Any]) -> list[str]:
    found = [] if body["input"] else ["no item"]
    open_ids: set[str] = set()
    for index, item in enumerate(body["input"]):
        at = f"input[{index}]"
        match item["type"]:
            case "function_call":
                if item["call_id"] in open_ids:
                    found.append(f"{at}: one id for two calls")
                open_ids.add(item["call_id"])
                if not re.fullmatch(r".{1,64}", item["call_id"], re.DOTALL) or not item["arguments"]:
                    found.append(f"{at}: no call id that fits, or no arguments")
            case "function_call_output":
                if item["call_id"] not in open_ids:
                    found.append(f"{at}: answers no call")
                open_ids.discard(item["call_id"])
                if item["output"] == []:
                    found.append(f"{at}: empty list of parts")
            case "reasoning":
                if not item["encrypted_content"]:
                    found.append(f"{at}: reasoning that is stored nowhere")
            case "message":
                if item["content"] == []:
                    found.append(f"{at}: empty list of parts")
                if item["role"] == "user" and open_ids:
                    found.append(f"{at}: comes before the results of {sorted(open_ids)}")
                media = [part for part in item["content"] if isinstance(part, dict) and part["type"] != "input_text"]
                if item["role"] in ("system", "developer") and media:
                    found.append(f"{at}: media in an instruction")
    if open_ids:
        found.append(f"no results of {sorted(open_ids)}")
    names = {tool["name"] for tool in body.get("tools", ())}
    choice = body.get("tool_choice")
    if choice is not None and (not names or (isinstance(choice, dict) and choice["name"] not in names)):
        found.append("a choice of a tool that is not there")
    for tool in body.get("tools", ()):
        if tool["parameters"].get("type") == "object" and "properties" not in tool["parameters"]:
            found.append("a tool's schema without properties")
    if body.get("max_output_tokens", 16) < 16:
        found.append("a limit below 16")
    return found


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _anthropic(body: dict[str, Any]) -> list[str]:
    found = [] if body["messages"] else ["no message"]
    open_ids: set[str] = set()
    last = None
    for index, message in enumerate(body["messages"]):
        at, role, blocks = f"messages[{index}]", message["role"], _blocks(message["content"])
        if role == last:
            found.append(f"{at}: two turns of {role}")
        if not blocks:
            found.append(f"{at}: empty")
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if set(results) != open_ids or len(set(results)) < len(results):
            found.append(f"{at}: calls {sorted(open_ids)}, results {sorted(results)}")
        if [block["type"] for block in blocks[: len(results)]] != ["tool_result"] * len(results):
            found.append(f"{at}: results are not first")
        uses = [block["id"] for block in blocks if block["type"] == "tool_use"]
        open_ids = set(uses)
        found += [f"{at}: id {one!r}" for one in [*uses, *results] if not _ID.fullmatch(one)]
        if role == "user" and (uses or any("thinking" in block["type"] for block in blocks)):
            found.append(f"{at}: what only a model says")
        if role == "assistant" and any(block["type"] in ("image", "document", "tool_result") for block in blocks):
            found.append(f"{at}: what only a user says")
        for block in blocks:
            inner = _blocks(block.get("content") or []) if block["type"] == "tool_result" else []
            if any(not one["text"].strip() for one in [block, *inner] if one["type"] == "text"):
                found.append(f"{at}: blank text")
        last = role
    if open_ids:
        found.append(f"no results of {sorted(open_ids)}")
    if last == "assistant":
        end = _blocks(body["messages"][-1]["content"])[-1]
        if end["type"] == "text" and end["text"] != end["text"].rstrip():
            found.append("a prefill ends with white space")
    return found + _anthropic_settings(body)


def _anthropic_settings(body: dict[str, Any]) -> list[str]:
    found = []
    if any(block["type"] != "text" or not block["text"].strip() for block in _blocks(body.get("system", "x"))):
        found.append("system holds more than text")
    thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    if thinks and (body.get("temperature", 1) != 1 or "top_k" in body or body.get("top_p", 1) < 0.95):
        found.append("sampling beside thinking")
    if thinks and body.get("tool_choice", {}).get("type") in ("any", "tool"):
        found.append("a forced tool beside thinking")
    if body.get("thinking", {}).get("budget_tokens", 0) >= body["max_tokens"]:
        found.append("no room behind the thinking")
    if "temperature" in body and "top_p" in body:
        found.append("temperature and top_p")
    if not 0 <= body.get("temperature", 0) <= 1:
        found.append("temperature out of range")
    if any(not stop.strip() for stop in body.get("stop_sequences", ())):
        found.append("a blank stop sequence")
    choice = body.get("tool_choice", {})
    names = [tool["name"] for tool in body.get("tools", ())]
    if choice and (not names or choice.get("name", names[0]) not in names):
        found.append("a choice of a tool that is not there")
    form = body.get("output_config", {}).get("format", {}).get("schema")
    return found + ([] if form is None or _is_closed(form) else ["an open schema"])


def _is_closed(node: Any) -> bool:
    if isinstance(node, list):
        return all(_is_closed(item) for item in node)
    if not isinstance(node, dict):
        return True
    if node.get("type") == "object" and node.get("additionalProperties") is not False:
        return False
    return all(_is_closed(value) for value in node.values())


def _gemini(body: dict[str, Any]) -> list[str]:
    found = [] if body["contents"] else ["no content"]
    calls: list[tuple[str, str]] = []
    last = None
    for index, content in enumerate(body["contents"]):
        at, role, parts = f"contents[{index}]", content["role"], content["parts"]
        if role not in ("user", "model"):
            found.append(f"{at}: role {role}")
        if role == last:
            found.append(f"{at}: two turns of {role}")
        if not parts or not all(parts):
            found.append(f"{at}: an empty part or none")
        if any(
            not {"text", "inlineData", "fileData", "functionCall", "functionResponse"} & part.keys() for part in parts
        ):
            found.append(f"{at}: a part without data")
        answers = [part["functionResponse"] for part in parts if "functionResponse" in part]
        if sorted((one["id"], one["name"]) for one in answers) != sorted(calls):
            found.append(f"{at}: calls {calls}, responses {[one['name'] for one in answers]}")
        calls = [(part["functionCall"]["id"], part["functionCall"]["name"]) for part in parts if "functionCall" in part]
        if role == "user" and calls:
            found.append(f"{at}: a call by the user")
        if role == "model" and answers:
            found.append(f"{at}: a response by the model")
        if any(not isinstance(one["response"], dict) for one in answers):
            found.append(f"{at}: a response that is no object")
        last = role
    if calls:
        found.append(f"no responses to {calls}")
    if any(set(part) != {"text"} for part in body.get("systemInstruction", {}).get("parts", ())):
        found.append("media in the system instruction")
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    names = [one["name"] for tool in body.get("tools", ()) for one in tool["functionDeclarations"]]
    if calling and (not names or not set(calling.get("allowedFunctionNames", ())) <= set(names)):
        found.append("a choice of a tool that is not there")
    thinking = body.get("generationConfig", {}).get("thinkingConfig", {})
    if {"thinkingBudget", "thinkingLevel"} <= thinking.keys():
        found.append("a budget beside a level")
    return found


def _bedrock(body: dict[str, Any]) -> list[str]:
    found = [] if body["messages"] else ["no message"]
    open_ids: set[str] = set()
    names: list[str] = []
    has_tools = False
    last = None
    for index, message in enumerate(body["messages"]):
        at, role, blocks = f"messages[{index}]", message["role"], message["content"]
        if role == last:
            found.append(f"{at}: two turns of {role}")
        if not blocks or any(len(block) != 1 for block in blocks):
            found.append(f"{at}: empty, or a block that is not one thing")
        results = [block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block]
        if set(results) != open_ids or len(set(results)) < len(results):
            found.append(f"{at}: calls {sorted(open_ids)}, results {sorted(results)}")
        if not all("toolResult" in block for block in blocks[: len(results)]):
            found.append(f"{at}: results are not first")
        uses = [block["toolUse"] for block in blocks if "toolUse" in block]
        open_ids = {use["toolUseId"] for use in uses}
        has_tools = has_tools or bool(uses or results)
        if any(not isinstance(use["input"], dict) for use in uses):
            found.append(f"{at}: an input that is no object")
        if role == "user" and (uses or any("reasoningContent" in block for block in blocks)):
            found.append(f"{at}: what only a model says")
        if role == "assistant" and any({"image", "document", "toolResult"} & block.keys() for block in blocks):
            found.append(f"{at}: what only a user says")
        inner = [one for block in blocks if "toolResult" in block for one in block["toolResult"]["content"]]
        found += [f"{at}: blank text" for one in [*blocks, *inner] if not one.get("text", "x").strip()]
        if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
            found.append(f"{at}: a document without a text")
        names += [one["document"]["name"] for one in [*blocks, *inner] if "document" in one]
        last = role
    if open_ids:
        found.append(f"no results of {sorted(open_ids)}")
    if len(set(names)) < len(names):
        found.append("two documents of one name")
    if any(not block.get("text", "").strip() for block in body.get("system", ())):
        found.append("system holds more than text")
    config = body.get("toolConfig", {})
    if has_tools and not config:
        found.append("tool blocks without a toolConfig")
    tools = [tool["toolSpec"]["name"] for tool in config.get("tools", ())]
    if config.get("toolChoice", {}).get("tool", {}).get("name", (tools or [""])[0]) not in (tools or [""]):
        found.append("a choice of a tool that is not there")
    return found + _bedrock_settings(body)


def _bedrock_settings(body: dict[str, Any]) -> list[str]:
    found = []
    config, extra = body.get("inferenceConfig", {}), body.get("additionalModelRequestFields", {})
    thinking = extra.get("thinking", {})
    if not 0 <= config.get("temperature", 0) <= 1:
        found.append("temperature out of range")
    if thinking.get("type") in ("enabled", "adaptive"):
        if config.get("temperature", 1) != 1 or "top_k" in extra or config.get("topP", 1) < 0.95:
            found.append("sampling beside thinking")
        if {"any", "tool"} & body.get("toolConfig", {}).get("toolChoice", {}).keys():
            found.append("a forced tool beside thinking")
    if "maxTokens" in config and thinking.get("budget_tokens", 0) >= config["maxTokens"]:
        found.append("no room behind the thinking")
    if extra.get("reasoningConfig", {}).get("maxReasoningEffort") == "high" and config.keys() - {"stopSequences"}:
        found.append("a limit or sampling beside Nova's high effort")
    form = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {}).get("jsonSchema", {}).get("schema")
    return found + ([] if form is None or _is_closed(json.loads(form)) else ["an open schema"])


_COHERE = {
    "model": str,
    "messages": list,
    "tools": list,
    "tool_choice": str,
    "strict_tools": bool,
    "documents": list,
    "response_format": dict,
    "max_tokens": int,
    "stop_sequences": list,
    "temperature": (int, float),
    "seed": int,
    "frequency_penalty": (int, float),
    "presence_penalty": (int, float),
    "k": int,
    "p": (int, float),
    "logprobs": bool,
    "thinking": dict,
    "stream": bool,
}
"""The fields that Cohere's reference has and this project sends, by their types."""

_COHERE_BLOCKS = {
    "system": {"text"},
    "user": {"text", "image_url"},
    "assistant": {"text", "thinking"},
    "tool": {"text", "document"},
}
_COHERE_FIELDS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls", "tool_plan"},
    "tool": {"role", "content", "tool_call_id"},
}


def _cohere(body: dict[str, Any]) -> list[str]:
    """docs.cohere.com/reference/chat and the SDK's types, 7.3.1."""
    found = [f"{name}: unknown" for name in body.keys() - _COHERE.keys()]
    found += [
        f"{name}: wrong type" for name in body.keys() & _COHERE.keys() if not isinstance(body[name], _COHERE[name])
    ]
    found += [] if body["messages"] else ["no message"]
    open_ids: set[str] = set()
    for index, message in enumerate(body["messages"]):
        at, role, content = f"messages[{index}]", message["role"], message.get("content")
        found += [f"{at}.{name}: unknown" for name in message.keys() - _COHERE_FIELDS[role]]
        if content == []:
            found.append(f"{at}: empty list of blocks")
        for block in content if isinstance(content, list) else ():
            if block["type"] not in _COHERE_BLOCKS[role] or block.keys() != {"type", block["type"]}:
                found.append(f"{at}: a block of {block['type']}")
        if role == "tool":
            if message["tool_call_id"] not in open_ids:
                found.append(f"{at}: answers no call of the turn before")
            open_ids.discard(message["tool_call_id"])
            continue
        if open_ids:
            found.append(f"{at}: comes before the results of {sorted(open_ids)}")
        if content is None and not message.get("tool_calls"):
            found.append(f"{at}: says nothing")
        open_ids = {call["id"] for call in message.get("tool_calls", ())}
    if open_ids:
        found.append(f"no results of {sorted(open_ids)}")
    if "response_format" in body and ("tools" in body or "documents" in body):
        found.append("a response format beside tools or documents")
    if "tool_choice" in body and ("tools" not in body or body["tool_choice"] not in ("REQUIRED", "NONE")):
        found.append("a wrong choice of tool")
    for name, low, high in (("p", 0.01, 0.99), ("k", 0, 500), ("presence_penalty", 0, 1), ("frequency_penalty", 0, 1)):
        if not low <= body.get(name, low) <= high:
            found.append(f"{name}: out of range")
    budget = body.get("thinking", {}).get("token_budget", 1)
    if budget < 1 or len(body.get("stop_sequences", ())) > 5:
        found.append("a budget or a number of stop sequences out of range")
    return found
