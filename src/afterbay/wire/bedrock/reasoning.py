"""Thinking and effort, which every family of models is told in its own way."""

from __future__ import annotations

from typing import Any

from afterbay.core.request import Reasoning
from afterbay.wire.bedrock.families import Family
from afterbay.wire.claude import EFFORTS, LEAST_THINKING_TOKENS, NEWER, ROOM_TOKENS, fits_thinking

_Json = dict[str, Any]
_NOVA = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_QWEN = {"minimal": "low", "low": "low", "medium": "high", "high": "high", "xhigh": "high", "max": "high"}
_OSS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_SAMPLING = {"temperature": "temperature", "topP": "top_p", "maxTokens": "max_tokens"}


def reason(reasoning: Reasoning, model: str, family: Family, body: _Json, losses: dict[str, None]) -> None:
    """Writes what the request asks for into `body`; takes out, and names, what cannot stand beside it."""
    if family == "claude":
        _claude(reasoning, model, body, losses)
        return
    if reasoning.budget_tokens not in (None, 0) and reasoning.effort is None:
        losses["reasoning.budget_tokens"] = None
    if reasoning.show is not None:
        losses["reasoning.show"] = None
    off = reasoning.effort == "none" or reasoning.budget_tokens == 0
    effort = None if off else reasoning.effort
    if family == "nova2":
        _nova(effort, off, body, losses)
    elif effort is not None and family in ("gpt-oss", "qwen"):
        words, field = (_OSS, "reasoning_effort") if family == "gpt-oss" else (_QWEN, "reasoning_config")
        word = words.get(effort)
        if word != effort:
            losses["reasoning.effort"] = None
        if word is not None:
            _extra(body)[field] = word
    elif effort is not None or off:
        losses["reasoning.effort"] = None


def _extra(body: _Json) -> _Json:
    found: _Json = body.setdefault("additionalModelRequestFields", {})
    return found


def _nova(effort: str | None, off: bool, body: _Json, losses: dict[str, None]) -> None:
    """Nova 2. At high effort it takes neither a limit nor sampling ("Nova 2, extended thinking", November 2026)."""
    if off:
        _extra(body)["reasoningConfig"] = {"type": "disabled"}
        return
    if effort is None:
        return
    word = _NOVA.get(effort)
    if word != effort:
        losses["reasoning.effort"] = None
    if word is None:
        return
    _extra(body)["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": word}
    if word == "high":
        config = body.get("inferenceConfig", {})
        for name in [name for name in _SAMPLING if name in config]:
            del config[name]
            losses[_SAMPLING[name]] = None


def _claude(reasoning: Reasoning, model: str, body: _Json, losses: dict[str, None]) -> None:
    effort, budget = reasoning.effort, reasoning.budget_tokens
    if effort == "none":
        effort, budget = None, 0
    if effort is not None and effort not in EFFORTS:
        losses["reasoning.effort"] = None
    elif effort is not None:
        body.setdefault("outputConfig", {})["effort"] = "low" if effort == "minimal" else effort
        if effort == "minimal":
            losses["reasoning.effort=minimal"] = None
    if budget is None:
        if reasoning.show is not None:
            losses["reasoning.show"] = None
        return
    choice = body.get("toolConfig", {}).get("toolChoice", {})
    if budget != 0 and ("any" in choice or "tool" in choice):
        losses["reasoning"] = None  # "Thinking may not be enabled when tool_choice forces tool use"
        return
    if budget > 0 and NEWER.search(model):
        losses["reasoning.budget_tokens"] = None
        budget = -1
    thinking: _Json = {"type": "disabled" if budget == 0 else "adaptive" if budget < 0 else "enabled"}
    if budget > 0:
        thinking["budget_tokens"] = max(budget, LEAST_THINKING_TOKENS)
        if budget < LEAST_THINKING_TOKENS:
            losses["reasoning.budget_tokens"] = None
        _make_room(body, thinking["budget_tokens"], losses)
    if reasoning.show is not None and budget != 0:
        thinking["display"] = "summarized" if reasoning.show else "omitted"
    _extra(body)["thinking"] = thinking
    if budget != 0:
        _drop_sampling(body, losses)


def _make_room(body: _Json, budget: int, losses: dict[str, None]) -> None:
    """The answer's limit must lie above the budget. Without one the API takes the model's own."""
    config = body.get("inferenceConfig", {})
    if config.get("maxTokens", budget + 1) <= budget:
        config["maxTokens"] = budget + ROOM_TOKENS
        losses[f"max_tokens={config['maxTokens']}"] = None


def _drop_sampling(body: _Json, losses: dict[str, None]) -> None:
    config, extra = body.get("inferenceConfig", {}), _extra(body)
    for holder, field, name in (
        (config, "temperature", "temperature"),
        (config, "topP", "top_p"),
        (extra, "top_k", "top_k"),
    ):
        if field in holder and not fits_thinking(name, holder[field]):
            del holder[field]
            losses[name] = None
