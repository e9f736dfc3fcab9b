"""ChatRequest -> a body for Converse or ConverseStream. What was left out or changed is named in `Built.losses`.

- System and developer messages that lead become `system`.
- A history with tool blocks needs a `toolConfig` ("The toolConfig field must be defined when using toolUse and
  toolResult content blocks"): where the request has no tools, those that the history names are declared.
- There is no tool choice `none`: the tools are left out instead, where the history lets them be.
- A temperature above 1 is sent as 1. Claude's own rules (`afterbay.wire.claude`) hold here too.
- The objects of an answer's schema are closed, as structured output demands ("JSON Schema requirements", Bedrock's
  user guide, November 2026).
- Claude tells which stop sequence ended its answer only when asked by `additionalModelResponseFieldPaths`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from afterbay.core.request import ChatRequest, Sampling, ToolSpec
from afterbay.wire.bedrock.blocks import Blocks, trim_prefill
from afterbay.wire.bedrock.families import Family, family_of, is_claude, top_k_field
from afterbay.wire.bedrock.reasoning import reason
from afterbay.wire.claude import NEWER, closed
from afterbay.wire.dialect import Built

CANNOT: dict[str, str] = {
    "n": "Converse gives one answer",
    "seed": "Converse has no seed",
    "presence_penalty": "Converse has no penalties",
    "frequency_penalty": "Converse has no penalties",
    "logprobs": "Converse gives no log probabilities",
    "top_logprobs": "Converse gives no log probabilities",
    "logit_bias": "Converse has no logit bias",
    "json_object": "Converse has JSON output by schema only (response_format json_schema)",
    "temperature_above_1": "Converse's temperature ends at 1",
    "parallel_tool_calls": "Converse cannot keep a model from calling several tools",
    "image_urls": "Converse takes images inline only",
    "document_urls": "Converse takes documents inline only",
}
"""Features, by the names of `afterbay.wire.features`, that no Converse request can express."""

STOP_PATHS = ("/delta/stop_sequence", "/stop_sequence")
"""Where Claude says its stop sequence: in a stream, and in a whole answer."""

_Json = dict[str, Any]


class _SchemaHead(msgspec.Struct):
    type: Any = msgspec.UNSET


_SCHEMA = msgspec.json.Decoder(_SchemaHead)


def path_of(model: str, *, stream: bool) -> str:
    """The path after the base URL. A model id may be an ARN, with colons and slashes in it."""
    return f"/model/{quote(model, safe='')}/converse{'-stream' if stream else ''}"


def relay_path(path: str, model: str) -> str:
    """The client's own path, with another model."""
    return path_of(model, stream=path.endswith("/converse-stream"))


def build_request(request: ChatRequest, model: str) -> Built:
    """The body for `POST /model/{model}/converse` or `/converse-stream`."""
    losses: dict[str, None] = dict.fromkeys((*request.foreign, *request.hints))
    claude, family = is_claude(model), family_of(model)
    blocks = Blocks(losses, claude=claude)
    body = _conversation(request, blocks, losses, claude=claude)
    _tools(request, blocks, body, losses)
    _sampling(request.sampling, model, family, body, losses)
    _format(request, body, losses)
    if request.reasoning is not None:
        reason(request.reasoning, model, family, body, losses)
    if claude and request.sampling.stop:
        body["additionalModelResponseFieldPaths"] = [STOP_PATHS[0] if request.stream else STOP_PATHS[1]]
    for name in ("inferenceConfig", "additionalModelRequestFields"):
        if not body.get(name, True):
            del body[name]
    path = path_of(model, stream=request.stream)
    headers = {"accept": "application/vnd.amazon.eventstream"} if request.stream else {}
    return Built(path, msgspec.json.encode(body), headers, tuple(losses))


def _conversation(request: ChatRequest, blocks: Blocks, losses: dict[str, None], *, claude: bool) -> _Json:
    lead = 0
    while lead < len(request.messages) and request.messages[lead].role in ("system", "developer"):
        lead += 1
    turns = blocks.turns(request.messages, lead)
    while not turns and lead:  # the API wants one message: the last instruction that says anything is the question
        lead -= 1
        question = blocks.of(request.messages[lead], f"messages[{lead}]")
        if question:
            turns = [("user", question)]
            losses[f"messages[{lead}].role"] = None
    if claude:
        trim_prefill(turns, losses)
    body: _Json = {"messages": [{"role": role, "content": content} for role, content in turns]}
    system = [
        block
        for index, message in enumerate(request.messages[:lead])
        for block in blocks.of(message, f"messages[{index}]")
    ]
    if system:
        body["system"] = system
    return body


def _tools(request: ChatRequest, blocks: Blocks, body: _Json, losses: dict[str, None]) -> None:
    choice, specs = request.tool_choice, [_tool(tool) for tool in request.tools]
    needed = bool(blocks.tools) or blocks.has_results
    mode = choice.mode if choice is not None else None
    if request.parallel_tool_calls is False and specs:
        losses["parallel_tool_calls"] = None
    if mode == "none" and specs:
        losses["tool_choice" if needed else "tools"] = None
        specs = specs if needed else []
    if not specs and needed:
        specs = [_tool(ToolSpec(name)) for name in blocks.tools or ("unnamed_tool",)]
        losses["tools=toolUse.name"] = None
    if not specs:
        if mode in ("required", "tool"):
            losses["tool_choice"] = None
        return
    config = body["toolConfig"] = {"tools": specs}
    if choice is None or mode == "none":
        return
    if mode in ("required", "tool") and not request.tools:
        losses["tool_choice"] = None
    elif mode == "tool" and choice.name not in {tool.name for tool in request.tools}:
        losses["tool_choice"] = None  # it names a tool that was left out: the API would refuse the request
    elif mode == "tool":
        config["toolChoice"] = {"tool": {"name": choice.name}}
    else:
        config["toolChoice"] = {"any" if mode == "required" else "auto": {}}


def _tool(tool: ToolSpec) -> _Json:
    spec: _Json = {"name": tool.name}
    if tool.description:
        spec["description"] = tool.description
    schema: Any = msgspec.Raw(tool.schema)
    if _SCHEMA.decode(tool.schema).type is msgspec.UNSET:  # `type` is required here, in OpenAI's dialect it is not
        schema = {"type": "object", **msgspec.json.decode(tool.schema)}
    spec["inputSchema"] = {"json": schema}
    if tool.strict is not None:
        spec["strict"] = tool.strict
    return {"toolSpec": spec}


def _sampling(sampling: Sampling, model: str, family: Family, body: _Json, losses: dict[str, None]) -> None:
    config: _Json = {}
    body["inferenceConfig"] = config
    if sampling.max_output_tokens:
        config["maxTokens"] = sampling.max_output_tokens
    if NEWER.search(model):
        names = ("temperature", "top_p", "top_k")
        losses.update((name, None) for name in names if getattr(sampling, name) is not None)
    else:
        _draw(sampling, family, body, losses)
    if sampling.stop:
        config["stopSequences"] = list(sampling.stop)
    for name in ("seed", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias"):
        if getattr(sampling, name) is not None:
            losses[name] = None
    if sampling.n is not None and sampling.n > 1:
        losses["n"] = None


def _draw(sampling: Sampling, family: Family, body: _Json, losses: dict[str, None]) -> None:
    config: _Json = body["inferenceConfig"]
    if sampling.temperature is not None:
        config["temperature"] = min(sampling.temperature, 1.0)
        if sampling.temperature > 1:
            losses["temperature_above_1"] = None
    if sampling.top_p is not None and sampling.temperature is not None and family == "claude":
        losses["top_p"] = None  # "`temperature` and `top_p` cannot both be specified for this model"
    elif sampling.top_p is not None:
        config["topP"] = sampling.top_p
    if sampling.top_k is not None:
        field = top_k_field(family, sampling.top_k)
        if field is None:
            losses["top_k"] = None
        else:
            body["additionalModelRequestFields"] = field


def _format(request: ChatRequest, body: _Json, losses: dict[str, None]) -> None:
    form = request.response_format
    if form is not None and form.kind == "json_object":
        losses["json_object"] = None
    if form is None or form.kind != "json_schema" or form.schema is None:
        return
    schema = msgspec.json.encode(closed(form.schema, losses)).decode()
    shape: _Json = {"schema": schema}
    if form.name is not None:
        shape["name"] = form.name
    if form.description is not None:
        shape["description"] = form.description
    if form.strict is False:
        losses["response_format.strict"] = None
    text = {"type": "json_schema", "structure": {"jsonSchema": shape}}
    body["outputConfig"] = {"textFormat": text}
