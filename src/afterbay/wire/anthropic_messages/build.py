"""ChatRequest -> a body for a Messages provider.

Where the protocol is narrower than the canonical request (`Built.losses` names what was left out or changed):

- System and developer messages that lead become `system`. A later one becomes user text between `<system>` tags, as
  only models from Claude Opus 4.8 on take the role `system` in the middle.
- Turns alternate: neighbours of one role are merged, and a user turn begins with its tool results, as the API wants.
- `max_tokens` is required. Without one, DEFAULT_MAX_TOKENS is sent: the most that every Claude model takes.
- A temperature above 1 is sent as 1, a thinking budget is lifted to the least that is allowed.
- Thinking excludes a temperature, `top_k`, a `top_p` under 0.95 and a forced tool: the first three are left out beside
  it, and it is left out beside the last. Of `temperature` and `top_p` the first is sent: newer models refuse both.
- Newer models take no sampling fields at all and no thinking budget: they think adaptively.
- A prefill (the last turn is the assistant's) ends without white space. Stop sequences are not blank.
- A tool is `strict` only if its schema is in the part that the API takes for that.
- The objects of an answer's schema are closed (`additionalProperties: false`), which the API demands.
- Tool ids are rewritten to the pattern that is allowed, the same id always to the same.
- Arguments that are no JSON object go as `{"_raw_arguments": text}`; `parse_request` takes them out again.
- Thinking without a proof, audio, empty text and media outside user turns cannot be sent; a refusal of an earlier turn
  is sent as text. A text file given as base64 is sent as text: base64 is for PDF here.
"""

from __future__ import annotations

import re
from base64 import b64decode
from hashlib import blake2b
from typing import Any

import msgspec

from afterbay.core.message import Audio, Document, Image, Message, Part, Refusal, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, Reasoning, Sampling, ToolSpec
from afterbay.wire.claude import EFFORTS, LEAST_THINKING_TOKENS, NEWER, closed, fits_thinking
from afterbay.wire.dialect import Built
from afterbay.wire.tool_input import asked_input
from afterbay.wire.toolcalls.strict import fits_anthropic

DEFAULT_MAX_TOKENS = 4096
"""Sent when the client set no limit: Claude 3's maximum, the lowest of any model (model overview, November 2026)."""

PATH = "/v1/messages"
HEADERS = {"anthropic-version": "2023-06-01"}

CANNOT: dict[str, str] = {
    "n": "the Messages API gives one answer",
    "seed": "the Messages API has no seed",
    "presence_penalty": "the Messages API has no penalties",
    "frequency_penalty": "the Messages API has no penalties",
    "logprobs": "the Messages API gives no log probabilities",
    "top_logprobs": "the Messages API gives no log probabilities",
    "logit_bias": "the Messages API has no logit bias",
    "audio": "the Messages API takes no audio",
    "json_object": "the Messages API has JSON output by schema only (response_format json_schema)",
    "temperature_above_1": "the Messages API's temperature ends at 1",
    "blank_stop": "the Messages API takes no stop sequence of white space alone",
}
"""Features, by the names of `afterbay.wire.features`, that no Messages request can express."""

_EFFORT = {"minimal": "low"}
_BAD_ID = re.compile(r"[^a-zA-Z0-9_-]")
_IMAGE_STARTS = {"iVBOR": "image/png", "R0lGOD": "image/gif", "UklGR": "image/webp"}

_Json = dict[str, Any]


class _SchemaHead(msgspec.Struct):
    type: Any = msgspec.UNSET


_SCHEMA = msgspec.json.Decoder(_SchemaHead)


def build_request(request: ChatRequest, model: str) -> Built:
    """The body for `POST /v1/messages`."""
    losses: dict[str, None] = dict.fromkeys((*request.foreign, *request.hints))
    body = conversation(request, model, losses)
    _sampling(request, body, losses)
    shape_output(request, body, losses)
    if request.stream:
        body["stream"] = True
    return Built(PATH, msgspec.json.encode(body), HEADERS, tuple(losses))


def conversation(request: ChatRequest, model: str, losses: dict[str, None]) -> _Json:
    """What token counting wants as well: model, messages, system, tools, tool choice."""
    body: _Json = {"model": model, "messages": []}
    lead = 0
    while lead < len(request.messages) and request.messages[lead].role in ("system", "developer"):
        lead += 1
    turns = _turns(request.messages, lead, losses)
    if not turns and lead:  # the API wants one message: the last instruction is the question
        lead -= 1
        turns = [("user", _blocks(request.messages[lead], f"messages[{lead}]", losses))]
        losses[f"messages[{lead}].role"] = None
    if turns and turns[-1][0] == "assistant":
        _trim_prefill(turns, losses)
    body["messages"] = [{"role": role, "content": _content(blocks)} for role, blocks in turns]
    system = [
        block
        for index, message in enumerate(request.messages[:lead])
        for block in _blocks(message, f"messages[{index}]", losses)
    ]
    if system:
        body["system"] = _content(system)
    if request.tools:
        body["tools"] = [_tool(tool, losses) for tool in request.tools]
    _choice(request, body, losses)
    return body


def _content(blocks: list[_Json]) -> str | list[_Json]:
    """A lone text is sent as a string, which means the same."""
    return blocks[0]["text"] if len(blocks) == 1 and blocks[0]["type"] == "text" else blocks


def _turns(messages: tuple[Message, ...], lead: int, losses: dict[str, None]) -> list[tuple[str, list[_Json]]]:
    turns: list[tuple[str, list[_Json]]] = []
    for index in range(lead, len(messages)):
        message, where = messages[index], f"messages[{index}]"
        blocks = _blocks(message, where, losses)
        if message.role in ("system", "developer") and blocks:
            losses[f"{where}.role"] = None
            text = "\n".join(block["text"] for block in blocks if block["type"] == "text")
            blocks = [{"type": "text", "text": f"<system>\n{text}\n</system>"}]
        role = "assistant" if message.role == "assistant" else "user"
        if not blocks:
            continue
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        else:
            turns.append((role, blocks))
    for role, blocks in turns:
        if role == "user":
            blocks.sort(key=lambda block: block["type"] != "tool_result")  # stable
    return turns


def _blocks(message: Message, where: str, losses: dict[str, None]) -> list[_Json]:
    if message.name is not None:
        losses[f"{where}.name"] = None
    blocks = []
    for part in message.parts:
        if isinstance(part, Image | Document) and message.role not in ("user", "tool"):
            losses[f"{where}.{type(part).__name__.lower()}"] = None
            continue
        block = _block(part, where, losses)
        if block is not None:
            blocks.append(block)
    return blocks


def _trim_prefill(turns: list[tuple[str, list[_Json]]], losses: dict[str, None]) -> None:
    """The API refuses white space at the very end: "final assistant content cannot end with trailing whitespace"."""
    last = turns[-1][1][-1]
    if last["type"] == "text" and last["text"] != last["text"].rstrip():
        last["text"] = last["text"].rstrip()
        losses["prefill.trailing_space"] = None


def _block(part: Part, where: str, losses: dict[str, None]) -> _Json | None:
    match part:
        case Text() | Refusal():
            return _text(part.text, where, losses)
        case ToolUse():
            if part.signature is not None:
                losses["tool_use.signature"] = None
            return {"type": "tool_use", "id": tool_id(part.id), "name": part.name, "input": asked_input(part.arguments)}
        case ToolResult():
            return _result(part, where, losses)
        case Thinking():
            return _thinking(part, losses)
        case Image():
            return _image(part, losses)
        case Document():
            return _document(part, where, losses)
        case Audio():
            losses["audio"] = None
    return None


def _text(text: str, where: str, losses: dict[str, None]) -> _Json | None:
    """The API refuses text that is empty or white space alone; the first says nothing, the second is named."""
    if text.strip():
        return {"type": "text", "text": text}
    if text:
        losses[f"{where}.blank_text"] = None
    return None


def _thinking(part: Thinking, losses: dict[str, None]) -> _Json | None:
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": part.redacted}
    if part.signature:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    losses["thinking"] = None
    return None


def _result(part: ToolResult, where: str, losses: dict[str, None]) -> _Json:
    result: _Json = {"type": "tool_result", "tool_use_id": tool_id(part.id)}
    blocks = [block for item in part.parts if (block := _block(item, where, losses)) is not None]
    if blocks:
        result["content"] = _content(blocks)
    if part.is_error:
        result["is_error"] = True
    return result


def _image(part: Image, losses: dict[str, None]) -> _Json:
    if part.detail not in (None, "auto"):
        losses["image.detail"] = None
    if part.data is None:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    media = part.media_type or next(
        (media for start, media in _IMAGE_STARTS.items() if part.data.startswith(start)), "image/jpeg"
    )
    return {"type": "image", "source": {"type": "base64", "media_type": media, "data": part.data}}


def _document(part: Document, where: str, losses: dict[str, None]) -> _Json | None:
    if part.data is not None:
        source = {"type": "base64", "media_type": part.media_type or "application/pdf", "data": part.data}
        text = _file_text(part.data) if (part.media_type or "").startswith("text/") else None
        if text is not None:
            source = {"type": "text", "media_type": "text/plain", "data": text}
    elif part.text is not None:
        source = {"type": "text", "media_type": "text/plain", "data": part.text}
    elif part.url is not None:
        source = {"type": "url", "url": part.url}
    else:
        losses[f"{where}.empty_document"] = None
        return None
    document: _Json = {"type": "document", "source": source}
    if part.name is not None:
        document["title"] = part.name
    return document


def _file_text(data: str) -> str | None:
    """The text of a base64 file, None when it is no UTF-8 text: the provider will say what is wrong with it."""
    try:
        return b64decode(data, validate=True).decode()
    except ValueError:
        return None


def tool_id(wanted: str) -> str:
    """`wanted` in the pattern ^[a-zA-Z0-9_-]+$; a changed id carries a hash, so that two never become one."""
    if wanted and not _BAD_ID.search(wanted):
        return wanted
    return f"{_BAD_ID.sub('_', wanted) or 'toolu'}_{blake2b(wanted.encode(), digest_size=6).hexdigest()}"


def _tool(tool: ToolSpec, losses: dict[str, None]) -> _Json:
    spec: _Json = {"name": tool.name}
    if tool.description is not None:
        spec["description"] = tool.description
    schema: Any = msgspec.Raw(tool.schema)
    if _SCHEMA.decode(tool.schema).type is msgspec.UNSET:  # `type` is required here, in OpenAI's dialect it is not
        schema = {"type": "object", **msgspec.json.decode(tool.schema)}
    spec["input_schema"] = schema
    if tool.strict and not fits_anthropic(tool.schema):
        losses["tools.strict"] = None  # "For 'object' type, 'additionalProperties' must be explicitly set to false"
    elif tool.strict is not None:
        spec["strict"] = tool.strict
    return spec


def _choice(request: ChatRequest, body: _Json, losses: dict[str, None]) -> None:
    choice, parallel = request.tool_choice, request.parallel_tool_calls
    if not request.tools:
        if choice is not None and choice.mode in ("required", "tool"):
            losses["tool_choice"] = None
        return
    if choice is not None and choice.mode == "tool" and choice.name not in {tool.name for tool in request.tools}:
        losses["tool_choice"] = None  # it names a tool that was left out: the API would refuse the request
        choice = None
    if choice is None and parallel is not False:
        return
    mode = choice.mode if choice is not None else "auto"
    wire: _Json = {"type": "any" if mode == "required" else mode}
    if choice is not None and mode == "tool":
        wire["name"] = choice.name
    if parallel is not None and mode != "none":
        wire["disable_parallel_tool_use"] = not parallel
    body["tool_choice"] = wire


def _sampling(request: ChatRequest, body: _Json, losses: dict[str, None]) -> None:
    sampling = request.sampling
    body["max_tokens"] = sampling.max_output_tokens or DEFAULT_MAX_TOKENS
    if not sampling.max_output_tokens:
        losses[f"max_tokens={DEFAULT_MAX_TOKENS}"] = None
    if NEWER.search(body["model"]):
        names = ("temperature", "top_p", "top_k")
        losses.update((name, None) for name in names if getattr(sampling, name) is not None)
    else:
        _draw(sampling, body, losses)
    stop = [one for one in sampling.stop if one.strip()]
    if stop:
        body["stop_sequences"] = stop
    if len(stop) < len(sampling.stop):
        losses["blank_stop"] = None
    for name in ("seed", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias"):
        if getattr(sampling, name) is not None:
            losses[name] = None
    if sampling.n is not None and sampling.n > 1:
        losses["n"] = None


def _draw(sampling: Sampling, body: _Json, losses: dict[str, None]) -> None:
    if sampling.temperature is not None:
        body["temperature"] = min(sampling.temperature, 1.0)
        if sampling.temperature > 1:
            losses["temperature_above_1"] = None
    if sampling.top_p is not None and sampling.temperature is not None:
        losses["top_p"] = (
            None  # "`temperature` and `top_p` cannot both be specified for this model" (Opus 4.1 and later)
        )
    elif sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.top_k is not None:
        body["top_k"] = sampling.top_k


def shape_output(request: ChatRequest, body: _Json, losses: dict[str, None]) -> None:
    """`output_config` and `thinking`; may raise `max_tokens` above the thinking budget."""
    config: _Json = {}
    form = request.response_format
    if form is not None and form.kind == "json_schema" and form.schema is not None:
        config["format"] = {"type": "json_schema", "schema": closed(form.schema, losses)}
        losses.update(
            (f"response_format.{name}", None) for name in ("name", "description") if getattr(form, name) is not None
        )
        if form.strict is False:
            losses["response_format.strict"] = None
    elif form is not None and form.kind == "json_object":
        losses["json_object"] = None
    if request.reasoning is not None:
        _reasoning(request.reasoning, body, config, losses)
    if config:
        body["output_config"] = config


def _reasoning(reasoning: Reasoning, body: _Json, config: _Json, losses: dict[str, None]) -> None:
    effort, budget = reasoning.effort, reasoning.budget_tokens
    if effort == "none":
        effort, budget = None, 0
    if effort is not None and effort not in EFFORTS:  # another host's word (Groq: "default")
        losses["reasoning.effort"] = None
    elif effort is not None:
        config["effort"] = _EFFORT.get(effort, effort)
        if effort in _EFFORT:
            losses[f"reasoning.effort={effort}"] = None
    if budget is None:
        if reasoning.show is not None:
            losses["reasoning.show"] = None
        return
    if budget != 0 and body.get("tool_choice", {}).get("type") in ("any", "tool"):
        losses["reasoning"] = None  # "Thinking may not be enabled when tool_choice forces tool use"
        return
    if budget > 0 and NEWER.search(body["model"]):
        losses["reasoning.budget_tokens"] = None
        budget = -1
    thinking: _Json = {"type": "disabled" if budget == 0 else "adaptive" if budget < 0 else "enabled"}
    if budget > 0:
        thinking["budget_tokens"] = max(budget, LEAST_THINKING_TOKENS)
        if budget < LEAST_THINKING_TOKENS:
            losses["reasoning.budget_tokens"] = None
        if (
            body.get("max_tokens", thinking["budget_tokens"] + 1) <= thinking["budget_tokens"]
        ):  # the API demands room for an answer after it
            body["max_tokens"] = thinking["budget_tokens"] + DEFAULT_MAX_TOKENS
            losses[f"max_tokens={body['max_tokens']}"] = None
    if reasoning.show is not None and budget != 0:
        thinking["display"] = "summarized" if reasoning.show else "omitted"
    body["thinking"] = thinking
    if budget != 0:
        for name in ("temperature", "top_k", "top_p"):
            if name in body and not fits_thinking(name, body[name]):
                del body[name]
                losses[name] = None
