"""Whether a whole answer is good enough to be given: not empty, finished properly, in the form that was asked for, and
with nothing in it that a guard forbids."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

from afterbay.core.errors import PolicyRefusal
from afterbay.core.event import Event, fold
from afterbay.core.json_schema import validator_of
from afterbay.core.message import Refusal, Text, Thinking, ToolUse
from afterbay.core.request import ResponseFormat
from afterbay.core.schema_work import MOST_EXPLAINED, MOST_JUDGED, work
from afterbay.engine.context import Turn
from afterbay.engine.meter import Meter

Verdict = tuple[Literal["empty", "invalid", "refusal"], str]

_ASKS_FOR_A_FORM: Mapping[str, tuple[bytes, ...]] = MappingProxyType(
    {
        "openai.chat": (b'"response_format"',),
        "anthropic.messages": (b'"output_config"', b'"output_format"'),
        "openai.responses": (b'"format"',),
        "gemini": (b"esponseMimeType", b"esponse_mime_type"),
        "bedrock.converse": (b'"textFormat"',),
    }
)
"""What a body holds, by its dialect, if it asks for a form of the answer: found without parsing it."""


def judge(turn: Turn, events: list[Event], meter: Meter) -> Verdict | None:
    """What is wrong with the answer; None if nothing is. Only looks deeper where the route validates."""
    if "validate" not in turn.route.stages:
        return None
    if meter.finish == "content_filter":
        return ("refusal", "the provider refused") if "refusal" in turn.route.fallback_on else None
    if meter.finish == "error":
        return "invalid", "the model failed to finish its answer"
    if not meter.has_output:
        return "empty", "the answer has no text and no tool call"
    wanted = _wanted_form(turn)
    if wanted is None or meter.finish == "tool_calls":
        return None
    text = fold(events).choices[0].message.text()
    reason = _misfit(text, wanted) if text else None
    return ("invalid", reason) if reason is not None else None


async def guarded(turn: Turn, events: list[Event]) -> Verdict | None:
    """What the guards forbid of a whole answer; None: nothing, and nothing is spent where there is no guard.

    Such an answer is as bad as one of the wrong form: another target may give a better one. It is never delivered
    for want of one (`refuse_blocked`).
    """
    for guard in turn.context.guards:
        said = _said(events)
        verdict = await guard.look("answer", said) if said else None
        if verdict is not None and not verdict.allows:
            return "invalid", f"the guard '{guard.name}' blocked the answer: {verdict.reason}"[:300]
    return None


async def refuse_blocked(turn: Turn, events: list[Event]) -> None:
    """Sees to it that an answer which was kept as a spare is one that the guards allow.

    Raises:
        PolicyRefusal: 400 `guard_blocked`: they do not.
    """
    verdict = await guarded(turn, events)
    if verdict is not None:
        raise PolicyRefusal(
            f"No target gave an answer that may be shown: {verdict[1]}.",
            status=400,
            kind="content_filter",
            code="guard_blocked",
            remedy="Ask for something else; what the guard forbids is the operator's decision.",
        )


def _said(events: list[Event]) -> str:
    """All that a client would read of an answer: reasoning, text, refusals, calls."""
    lines: list[str] = []
    for choice in fold(events).choices:
        for part in choice.message.parts:
            if isinstance(part, Text | Thinking | Refusal):
                lines.append(part.text)
            elif isinstance(part, ToolUse):
                lines += (part.name, part.arguments)
    return "\n".join(line for line in lines if line)


def _wanted_form(turn: Turn) -> ResponseFormat | None:
    """The form asked for, found without parsing requests that surely ask for none."""
    call = turn.call
    for mark in _ASKS_FOR_A_FORM[call.dialect.name]:
        if mark in call.body:
            break
    else:
        return None
    if turn.unreadable() is not None:
        return None
    wanted = turn.request.response_format
    return wanted if wanted is not None and wanted.kind != "text" else None


def _misfit(text: str, wanted: ResponseFormat) -> str | None:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        return f"the answer is not JSON: {error}"
    if wanted.schema is None:
        return None
    return _schema_error(wanted.schema, value)


def _schema_error(schema: bytes, value: object) -> str | None:
    validator = validator_of(schema)
    steps = work(schema, value) if validator is not None else 0
    if validator is None or steps > MOST_JUDGED or validator.is_valid(value):
        return None
    if steps > MOST_EXPLAINED:
        return "the answer does not fit the schema"
    return f"the answer does not fit the schema: {next(validator.iter_errors(value)).message}"[:300]
