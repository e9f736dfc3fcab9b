"""A conversation as the two small chat models understand it: roles system, user, assistant and plain text.

Tools are told by the system text of Qwen's own template, for both models: SmolLM2's template has none. Results come
back as a user turn in plain words, because that is what worked: given Qwen's `<tool_response>` block, Qwen2.5-Coder
0.5B repeated the call and SmolLM2 repeated the block; told "the function returned", both used it (temperature 0).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from afterbay.core.message import Message, Text, ToolResult, ToolUse
from afterbay.core.request import ToolSpec

CHATML = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content -}}"
    "{%- if not (loop.last and message.role == 'assistant') -%}{{- '<|im_end|>\\n' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if messages[-1].role != 'assistant' -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
"""The chat template given to the engine: ChatML, which both models were trained on, without what their own templates
add. An assistant message at the end is left open, so the model goes on with it (the engine's own way of doing that
began a new turn instead, with both models)."""

_TOOLS = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{signatures}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>

Call a function only if the question needs it. Otherwise answer in plain words."""

_USE_RESULT = "Answer my question in plain words with it."
_CONTROL = re.compile(r"<\|(im_start|im_end|endoftext|fim_\w+|repo_name|file_sep)\|>")


def render(
    messages: Sequence[Message], tools: Sequence[ToolSpec] = (), system: str = "You are a helpful assistant."
) -> list[dict[str, str]]:
    """The messages for the chat template; `system` is for a conversation that has no system message.

    Control tokens written in a text are taken apart (`<|im_end|>` becomes `<| im_end |>`): the engine reads its whole
    prompt with control tokens on, so a text could otherwise end its own turn and begin another's.
    """
    out: list[dict[str, str]] = []
    names = {part.id: part.name for message in messages for part in message.parts if isinstance(part, ToolUse)}
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        if results:
            _add_results(out, results, names)
            continue
        role = "system" if message.role in ("system", "developer") else message.role
        calls = [_call_text(part) for part in message.parts if isinstance(part, ToolUse)]
        out.append({"role": role, "content": "\n".join(filter(None, [_plain(message.text()), *calls]))})
    if out and out[-1].get("results"):
        out[-1]["content"] += f"\n{_USE_RESULT}"
    if not out or out[0]["role"] != "system":
        out.insert(0, {"role": "system", "content": system})
    if tools:
        _add_tools(out, tools)
    return [{"role": turn["role"], "content": turn["content"]} for turn in out]


def _add_tools(out: list[dict[str, str]], tools: Sequence[ToolSpec]) -> None:
    """Into the system message."""
    signatures = "\n".join(_plain(json.dumps(_signature(tool), ensure_ascii=False)) for tool in tools)
    out[0]["content"] = f"{out[0]['content']}\n\n{_TOOLS.format(signatures=signatures)}"


def _signature(tool: ToolSpec) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = msgspec.json.decode(tool.schema)
    return {"type": "function", "function": function}


def _add_results(out: list[dict[str, str]], results: list[ToolResult], names: dict[str, str]) -> None:
    """Results of one turn stand in one user message, however many messages they came in."""
    lines = []
    for result in results:
        name = result.name or names.get(result.id)
        text = "".join(part.text for part in result.parts if isinstance(part, Text))
        verb = "failed" if result.is_error else "returned"
        lines.append(_plain(f"The function {name} {verb}: {text}" if name else f"The function {verb}: {text}"))
    if out and out[-1].get("results"):
        out[-1]["content"] += "\n" + "\n".join(lines)
    else:
        out.append({"role": "user", "content": "\n".join(lines), "results": "yes"})


def _call_text(use: ToolUse) -> str:
    """A call of an earlier turn in the form that the model was asked for."""
    try:
        arguments = json.dumps(json.loads(use.arguments or "{}"), ensure_ascii=False)
    except ValueError:  # cut off or invalid: shown as it is
        arguments = use.arguments
    return _plain(f'<tool_call>\n{{"name": {json.dumps(use.name)}, "arguments": {arguments}}}\n</tool_call>')


def _plain(text: str) -> str:
    return _CONTROL.sub(r"<| \1 |>", text)
