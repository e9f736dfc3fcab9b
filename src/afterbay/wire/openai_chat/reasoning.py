"""How much to think, and what was thought, in the words of a host."""

from __future__ import annotations

from typing import Any

import msgspec

from afterbay.core.message import Message, Thinking, ToolUse
from afterbay.core.request import ChatRequest, Reasoning
from afterbay.wire.openai_chat.accent import Accent, nearest, thinks
from afterbay.wire.openai_fields import reasoning_effort

_SILENT = " "
"""What DeepSeek gets for reasoning that nobody has: it refuses a call without, and an empty one was refused too."""


def effort_of(reasoning: Reasoning, losses: list[str]) -> str | None:
    """The effort that stands for a budget in tokens, which most hosts have no field for; of nothing, it is `none`."""
    if reasoning.show is not None:
        losses.append("reasoning.show")
    if reasoning.effort is None and reasoning.budget_tokens == 0:
        losses.append("reasoning.budget_tokens")
        return "none"
    return reasoning_effort(reasoning, losses)


def write_reasoning(request: ChatRequest, model: str, accent: Accent, body: dict[str, Any], losses: list[str]) -> bool:
    """Puts into `body` how much to think; whether the model thinks then, as far as the accent knows."""
    row = accent.of(model)
    wanted = request.reasoning
    effort: str | None = None
    if wanted is not None and accent.reasoning == "object":
        effort = _write_object(wanted, accent, body, losses)
    elif wanted is not None:
        effort = _accepted(wanted, accent, accent.efforts if row.efforts is None else row.efforts, losses)
        _write_effort(effort, accent, body)
    return thinks(row, effort)


def _accepted(wanted: Reasoning, accent: Accent, efforts: tuple[str, ...] | None, losses: list[str]) -> str | None:
    """The word for what is wanted among those that are taken."""
    effort = effort_of(wanted, losses)
    if effort is None:
        return None
    if effort == "none" and wanted.effort is None and efforts is None and accent.reasoning == "effort":
        return "minimal"  # a budget of nothing at a host of unknown words
    word = nearest(effort, efforts)
    if word is None:
        losses.append("reasoning.effort")
    elif word != effort:
        losses.append(f"reasoning.effort={word}")
    return word


def _write_effort(effort: str | None, accent: Accent, body: dict[str, Any]) -> None:
    if effort is None:
        return
    match accent.reasoning:
        case "toggle":
            body["thinking"] = {"type": "disabled" if effort == "none" else "enabled"}
            if effort != "none":
                body["reasoning_effort"] = effort
        case "enabled" if effort == "none":
            body["reasoning"] = {"enabled": False}
        case "template" if effort != "none":
            body["chat_template_kwargs"] = {"enable_thinking": True, "reasoning_effort": effort}
        case "template" | "switch" if effort == "none":
            body["chat_template_kwargs"] = {"enable_thinking": False}
        case _:
            body["reasoning_effort"] = effort


def _write_object(wanted: Reasoning, accent: Accent, body: dict[str, Any], losses: list[str]) -> str | None:
    """OpenRouter's `reasoning`, which takes an effort or a budget, not both."""
    made: dict[str, Any] = {}
    effort = wanted.effort
    if effort is None and wanted.budget_tokens == 0:
        effort = "none"
    if effort is not None:
        word = nearest(effort, accent.efforts)
        if word is not None:
            made["effort"] = word
        if word != effort:
            losses.append("reasoning.effort" if word is None else f"reasoning.effort={word}")
        if wanted.effort is not None and wanted.budget_tokens not in (None, -1):
            losses.append("reasoning.budget_tokens")
    elif wanted.budget_tokens is not None:
        made |= {"max_tokens": wanted.budget_tokens} if wanted.budget_tokens > 0 else {"enabled": True}
    if wanted.show is not None:
        made["exclude"] = not wanted.show
    if made:
        body["reasoning"] = made
    return effort


def write_history(message: Message, model: str, accent: Accent, built: dict[str, Any], losses: list[str]) -> None:
    """Puts what the model thought back into its own turn, where the host takes it."""
    thoughts = [part for part in message.parts if isinstance(part, Thinking)]
    text = "".join(part.text for part in thoughts)
    if accent.history == "details" and thoughts:
        _write_details(thoughts, model, built, losses)
        return
    if not accent.history:
        if thoughts:
            losses.append("thinking")
        return
    if any(part.signature is not None or part.redacted is not None for part in thoughts):
        losses.append("thinking.signature")
    if accent.history == "reasoning_content":
        if text or any(isinstance(part, ToolUse) for part in message.parts):
            built["reasoning_content"] = text or _SILENT
    elif text and accent.history == "reasoning":
        built["reasoning"] = text
    elif text:
        said = built.get("content")
        built["content"] = [
            {"type": "thinking", "thinking": [{"type": "text", "text": text}]},
            *([{"type": "text", "text": said}] if said else []),
        ]


def _write_details(thoughts: list[Thinking], model: str, built: dict[str, Any], losses: list[str]) -> None:
    """OpenRouter's details. A signature means something to the vendor that gave it: Anthropic's models read theirs."""
    text = "".join(part.text for part in thoughts)
    if text:
        built["reasoning"] = text
    details: list[dict[str, Any]] = []
    for part in thoughts:
        if part.redacted is not None:
            detail = read_detail(part.redacted)
            if detail is not None:
                details.append(detail)
            else:
                losses.append("thinking.signature")
        elif part.signature is not None and model.startswith("anthropic/"):
            details.append({"type": "reasoning.text", "text": part.text, "signature": part.signature})
        elif part.signature is not None:
            losses.append("thinking.signature")
    if details:
        built["reasoning_details"] = details


def read_detail(opaque: str) -> dict[str, Any] | None:
    """A detail of OpenRouter's that went to the client as one opaque text; None: it is another vendor's."""
    if not opaque.startswith("{"):
        return None
    try:
        detail = msgspec.json.decode(opaque, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return None
    return detail if detail.get("type") == "reasoning.encrypted" else None
