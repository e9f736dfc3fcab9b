"""ChatRequest -> a body for Cohere.

Where the protocol is narrower than the canonical request (`Built.losses` names what was left out or changed):

- Reasoning before tool calls without text is their `tool_plan`; elsewhere it is a block of the content. Signatures of
  other vendors mean nothing here.
- A tool message holds text and documents: images of a result follow in a user message.
- A named tool is forced by sending that tool alone with `REQUIRED`.
- Text documents are `documents`, which the model may cite. A response format excludes documents and tools: documents
  then stand in the message as text, and the format goes into the prompt if there are tools.
- A reasoning effort becomes a budget; the steps are ours.

Sources: docs.cohere.com/reference/chat, /docs/reasoning (November 2026), the `cohere` SDK 7.3.1; recordings.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any, TypeAlias

import msgspec

from afterbay.core.message import (
    Audio,
    Document,
    Image,
    Message,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolSpec
from afterbay.wire import schema_prompt
from afterbay.wire.dialect import Built

PATH = "/v2/chat"

CANNOT = {
    "n": "Cohere gives one answer to a request",
    "logit_bias": "Cohere has no logit_bias",
    "top_logprobs": "Cohere has log probabilities of the chosen tokens only",
    "audio": "Cohere reads no audio",
    "document_urls": "Cohere takes documents as text, not by URL",
    "document_files": "Cohere takes documents as text, not as files",
}

BUDGET = {"minimal": 1024, "low": 4096, "medium": 16384}
"""Thinking tokens that stand for an effort. Above, thinking is not limited, which the provider recommends."""

_RANGES: dict[str, tuple[str, float, float]] = {
    "top_p": ("p", 0.01, 0.99),
    "top_k": ("k", 0, 500),
    "frequency_penalty": ("frequency_penalty", 0.0, 1.0),
    "presence_penalty": ("presence_penalty", 0.0, 1.0),
}
"""The provider's name of a field, and what it takes: other protocols allow more (a `top_p` of 1, penalties of 2)."""

STOPS = 5
"""Stop sequences in one request."""

_Json: TypeAlias = dict[str, Any]


def build_request(request: ChatRequest, model: str) -> Built:
    """The request as the provider wants it, and the names of what did not fit."""
    losses: dict[str, None] = dict.fromkeys((*request.foreign, *request.hints))
    messages, form = request.messages, _form(request.response_format)
    if form is not None and request.tools:
        messages, form = schema_prompt.with_instruction(messages, form), None
        losses[schema_prompt.LOSS] = None
    writing = _Writing(losses, inline=form is not None)
    body: _Json = {"model": model, "messages": writing.messages(messages)}
    if writing.documents:
        body["documents"] = writing.documents
    _tools(request, body, losses)
    _sampling(request.sampling, body, losses)
    if form is not None:
        body["response_format"] = _response_format(form, losses)
    if request.reasoning is not None:
        thinking = _thinking(request.reasoning, losses)
        if thinking is not None:
            body["thinking"] = thinking
    if request.stream:
        body["stream"] = True
    return Built(PATH, msgspec.json.encode(body), losses=tuple(losses))


def _form(wanted: ResponseFormat | None) -> ResponseFormat | None:
    """The form to ask for; text is what comes unasked."""
    return wanted if wanted is not None and wanted.kind != "text" else None


def _response_format(wanted: ResponseFormat, losses: dict[str, None]) -> _Json:
    form: _Json = {"type": "json_object"}
    if wanted.kind == "json_schema" and wanted.schema is not None:
        form["json_schema"] = msgspec.Raw(wanted.schema)
        for name in ("name", "description"):
            if getattr(wanted, name) is not None:
                losses[f"response_format.{name}"] = None
        if wanted.strict is False:  # a schema is always held to
            losses["response_format.strict"] = None
    return form


def _tools(request: ChatRequest, body: _Json, losses: dict[str, None]) -> None:
    choice, tools = request.tool_choice, request.tools
    if not tools:
        if choice is not None and choice.mode in ("required", "tool"):
            losses["tool_choice"] = None
        return
    if request.parallel_tool_calls is False:
        losses["parallel_tool_calls"] = None
    if choice is not None and choice.mode == "tool":
        named = tuple(tool for tool in tools if tool.name == choice.name)
        if not named:
            losses["tool_choice"] = None
            choice = None
        elif len(named) < len(tools):
            losses["tool_choice=REQUIRED"] = None
            tools = named
    body["tools"] = [_tool(tool) for tool in tools]
    if choice is not None and choice.mode != "auto":
        body["tool_choice"] = "NONE" if choice.mode == "none" else "REQUIRED"
    strict = {tool.strict for tool in tools}
    if len(strict) == 1 and None not in strict:
        body["strict_tools"] = strict.pop()
    elif True in strict:  # one switch for all of them
        losses["tools.strict"] = None


def _tool(tool: ToolSpec) -> _Json:
    function: _Json = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = msgspec.Raw(tool.schema)
    return {"type": "function", "function": function}


def _sampling(sampling: Sampling, body: _Json, losses: dict[str, None]) -> None:
    for name, field in (("max_output_tokens", "max_tokens"), ("temperature", "temperature"), ("seed", "seed")):
        value = getattr(sampling, name)
        if value is not None:
            body[field] = value
    for name, (field, low, high) in _RANGES.items():
        value = getattr(sampling, name)
        if value is None:
            continue
        body[field] = min(max(value, low), high)
        if body[field] != value:
            losses[f"{name}={body[field]}"] = None
    if sampling.stop:
        body["stop_sequences"] = list(sampling.stop[:STOPS])
        if len(sampling.stop) > STOPS:
            losses["stop"] = None
    if sampling.logprobs is not None:
        body["logprobs"] = sampling.logprobs
    for name in ("top_logprobs", "logit_bias"):
        if getattr(sampling, name) is not None:
            losses[name] = None
    if sampling.n is not None and sampling.n > 1:
        losses["n"] = None


def _thinking(reasoning: Reasoning, losses: dict[str, None]) -> _Json | None:
    effort, budget = reasoning.effort, reasoning.budget_tokens
    if reasoning.show is not None:
        losses["reasoning.show"] = None
    if budget is None and effort is not None:
        if effort == "none":
            budget = 0
        else:
            budget = BUDGET.get(effort, -1)
            losses["reasoning.effort"] = None
    elif effort is not None:
        losses["reasoning.effort"] = None
    if budget is None:
        return None
    if budget == 0:
        return {"type": "disabled"}
    return {"type": "enabled", **({"token_budget": budget} if budget > 0 else {})}


class _Writing:
    """Messages on their way into a body. `documents` grows with those that stand beside the messages."""

    def __init__(self, losses: dict[str, None], *, inline: bool) -> None:
        self.documents: list[_Json] = []
        self._losses, self._inline = losses, inline
        self._shown: list[Part] = []

    def messages(self, messages: tuple[Message, ...]) -> list[_Json]:
        """All of them. Images of tool results follow behind the results of one turn."""
        built: list[_Json] = []
        for index, message in enumerate(messages):
            if message.name is not None:
                self._losses[f"messages[{index}].name"] = None
            if message.role == "assistant":
                self._show(built)
                built.append(self._assistant(message))
                continue
            rest: list[Part] = []
            for part in message.parts:
                if isinstance(part, ToolResult):
                    built.append(self._result(part))
                else:
                    rest.append(part)
            if message.role in ("system", "developer"):
                self._show(built)
                built.append({"role": "system", "content": self._content(self._texts(rest, "system"))})
            elif rest or message.role == "user":
                if not rest and len(message.parts) > 0:
                    continue
                rest, self._shown = [*self._shown, *rest], []
                built.append({"role": "user", "content": self._content(rest)})
        self._show(built)
        return built

    def _show(self, built: list[_Json]) -> None:
        if self._shown:
            built.append({"role": "user", "content": self._content(self._shown)})
            self._shown = []

    def _texts(self, parts: list[Part], role: str) -> list[Part]:
        """System and assistant messages hold no media."""
        kept: list[Part] = [part for part in parts if not isinstance(part, Image | Document | Audio)]
        if len(kept) < len(parts):
            self._losses[f"messages.{role}_media"] = None
        return kept

    def _assistant(self, message: Message) -> _Json:
        built: _Json = {"role": "assistant"}
        said, calls, plan = list[_Json](), list[_Json](), list[str]()
        for part in self._texts(list(message.parts), "assistant"):
            match part:
                case Text() | Refusal() if part.text:
                    said.append({"type": "text", "text": part.text})
                case Thinking():
                    if part.signature is not None or part.redacted is not None:
                        self._losses["thinking.signature"] = None
                    if part.text:
                        plan.append(part.text)
                        said.append({"type": "thinking", "thinking": part.text})
                case ToolUse():
                    if part.signature is not None:
                        self._losses["tool_use.signature"] = None
                    function = {"name": part.name, "arguments": part.arguments or "{}"}
                    calls.append({"id": part.id, "type": "function", "function": function})
                case _:
                    pass
        if calls and plan and len(plan) == len(said):
            built["tool_plan"], said = "".join(plan), []
        if len(said) == 1 and said[0]["type"] == "text":
            built["content"] = said[0]["text"]
        elif said or not calls:
            built["content"] = said or ""
        if calls:
            built["tool_calls"] = calls
        return built

    def _result(self, result: ToolResult) -> _Json:
        if result.is_error:
            self._losses["tool_result.is_error"] = None
        blocks: list[_Json] = []
        images: list[Part] = []
        for part in result.parts:
            if isinstance(part, Text):
                blocks.append({"type": "text", "text": part.text})
            elif isinstance(part, Image):
                images.append(part)
            elif (document := self._document(part)) is not None:
                blocks.append({"type": "document", "document": document})
        if images:
            self._shown += [Text(f"Returned by the tool call {result.id}:"), *images]
            blocks = blocks or [{"type": "text", "text": "See the attachment in the next message."}]
        lone = blocks[0]["text"] if len(blocks) == 1 and blocks[0]["type"] == "text" else blocks or ""
        return {"role": "tool", "tool_call_id": result.id, "content": lone}

    def _content(self, parts: list[Part]) -> str | list[_Json]:
        """A lone text is sent as a string, which means the same."""
        blocks: list[_Json] = []
        for part in parts:
            match part:
                case Text() | Refusal():
                    blocks.append({"type": "text", "text": part.text})
                case Image():
                    blocks.append({"type": "image_url", "image_url": _image(part)})
                case Document():
                    document = self._document(part)
                    if document is not None and self._inline:
                        data = document["data"]
                        text = data.get("text") or msgspec.json.encode(data).decode()
                        blocks.append({"type": "text", "text": f"{part.name}:\n{text}" if part.name else text})
                    elif document is not None:
                        self.documents.append(document)
                case Audio():
                    self._losses["audio"] = None
                case _:
                    self._losses[f"content.{type(part).__name__.lower()}"] = None
        return blocks[0]["text"] if len(blocks) == 1 and blocks[0]["type"] == "text" else blocks or ""

    def _document(self, part: Document) -> _Json | None:
        """A document of the provider: fields of text, of which the model may cite."""
        text = part.text
        if text is None and part.data is not None and (part.media_type or "").startswith("text/"):
            text = _file_text(part.data)
        if text is None:
            missing = "document_urls" if part.url is not None else "document_files" if part.data else "empty_document"
            self._losses[missing] = None
            return None
        if part.media_type == "application/json":
            fields = _object(text)
            if fields is not None:
                return {"data": fields}
        return {"data": {**({"title": part.name} if part.name is not None else {}), "text": text}}


def _image(part: Image) -> _Json:
    url = part.url if part.url is not None else f"data:{part.media_type or 'image/png'};base64,{part.data}"
    return {"url": url, **({"detail": part.detail} if part.detail else {})}


def _file_text(data: str) -> str | None:
    """The text of a base64 file; None when it is no UTF-8 text."""
    try:
        return b64decode(data, validate=True).decode()
    except ValueError:
        return None


def _object(text: str) -> _Json | None:
    """The JSON object that `text` is, or None."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
