"""ChatRequest -> a body for Gemini.

What Gemini wants and others do not: the system prompt in a field of its own, turns that alternate, all results of one
turn's calls together in the next turn, and results that name their function. Tool and answer schemas go out as JSON
Schema (`parametersJsonSchema`, `responseJsonSchema`), which the recordings show accepted by Gemini and by Vertex.
Source: ai.google.dev/api/generate-content, read in the google-genai 3.6 types; recordings.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, ToolChoice, ToolSpec
from afterbay.wire.dialect import Built
from afterbay.wire.features import features
from afterbay.wire.gemini.paths import model_path
from afterbay.wire.gemini.turns import Turns

CANNOT = {
    "logit_bias": "Gemini has no such field",
    "logprobs": "Gemini's log probabilities have another form and no canonical one",
    "top_logprobs": "Gemini's log probabilities have another form and no canonical one",
    "parallel_tool_calls": "Gemini cannot be kept from calling several tools at once",
}
"""Image URLs are not here: Gemini fetches public https URLs given as fileData (recordings: 2.5 flash, Vertex 2.0)."""

_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""Thinking budgets that stand for OpenAI's efforts. Source: ai.google.dev/gemini-api/docs/openai#thinking."""

_BUDGET_MODELS = re.compile(r"gemini-(?:1|2|robotics-er-1\.5)")
"""Models that know a thinking budget and refuse a thinking level. Source: ai.google.dev/gemini-api/docs/thinking."""

_LEVELS = frozenset({"minimal", "low", "medium", "high"})
_CHOICE = {"auto": "AUTO", "none": "NONE", "required": "ANY", "tool": "ANY"}


def build_request(request: ChatRequest, model: str) -> Built:
    """The body for `model`; the path says whether it streams."""
    turns = Turns(model, dict.fromkeys(_unsaid(request)))
    contents, system = turns.write(request.messages)
    losses = turns.losses
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool, losses) for tool in request.tools]}]
    choice = request.tool_choice
    if choice is not None:
        names = {tool.name for tool in request.tools}
        if names and (choice.mode != "tool" or choice.name in names):
            body["toolConfig"] = {"functionCallingConfig": _calling(choice)}
        elif choice.mode in ("required", "tool"):  # Gemini refuses a choice among nothing
            losses["tool_choice"] = None
    config = _config(request, model, losses)
    if config:
        body["generationConfig"] = config
    method = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
    return Built(model_path(model, method), msgspec.json.encode(body), losses=tuple(losses))


def _unsaid(request: ChatRequest) -> list[str]:
    """What is dropped as a whole: hints, and, where the caller insists on this target, what Gemini cannot say."""
    return [*request.hints, *request.foreign, *sorted(features(request) & CANNOT.keys())]


def _declaration(tool: ToolSpec, losses: dict[str, None]) -> dict[str, Any]:
    if tool.strict:
        losses["tools.strict"] = None
    said: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        said["description"] = tool.description
    return said | {"parametersJsonSchema": msgspec.Raw(tool.schema)}


def _calling(choice: ToolChoice) -> dict[str, Any]:
    said: dict[str, Any] = {"mode": _CHOICE[choice.mode]}
    if choice.mode == "tool":
        said["allowedFunctionNames"] = [choice.name]
    return said


def _config(request: ChatRequest, model: str, losses: dict[str, None]) -> dict[str, Any]:
    sampling = request.sampling
    said: dict[str, Any] = {
        "maxOutputTokens": sampling.max_output_tokens,
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "stopSequences": sampling.stop or None,
        "seed": sampling.seed,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
        "candidateCount": sampling.n,
    }
    if request.response_format is not None:
        said |= _format(request.response_format, losses)
    if request.reasoning is not None:
        said["thinkingConfig"] = _thinking(request.reasoning, model, losses)
    return {name: value for name, value in said.items() if value is not None}


def _format(wanted: ResponseFormat, losses: dict[str, None]) -> dict[str, Any]:
    """Gemini holds to a schema always, so `strict` needs no word; that it need not, and the schema's name and
    description, have no place."""
    if wanted.kind == "text":
        return {"responseMimeType": "text/plain"}
    if wanted.name is not None:
        losses["response_format.name"] = None
    if wanted.description is not None:
        losses["response_format.description"] = None
    if wanted.strict is False:
        losses["response_format.strict"] = None
    said: dict[str, Any] = {"responseMimeType": "application/json"}
    return said if wanted.schema is None else said | {"responseJsonSchema": msgspec.Raw(wanted.schema)}


def _thinking(reasoning: Reasoning, model: str, losses: dict[str, None]) -> dict[str, Any]:
    """Budget or level, never both: Gemini refuses that.

    Thoughts are asked for unless the client said no: they are paid for either way.
    """
    effort, budget = reasoning.effort, reasoning.budget_tokens
    said: dict[str, Any] = {}
    if effort is not None and budget is not None:
        losses["reasoning.effort"] = None
    elif effort is not None and effort not in _LEVELS and effort not in _BUDGETS:
        losses["reasoning.effort"] = None
        effort = "high" if effort in ("xhigh", "max") else None  # the most there is; Groq's "default" says nothing
    if budget is None and effort is not None and (effort == "none" or _BUDGET_MODELS.search(model)):
        budget = _BUDGETS[effort]
    if budget is not None:
        said["thinkingBudget"] = budget
    elif effort is not None:
        said["thinkingLevel"] = effort
    if reasoning.show is not None or budget != 0:
        said["includeThoughts"] = reasoning.show is not False
    return said
