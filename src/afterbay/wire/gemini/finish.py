"""Why Gemini stopped, in its words and in ours.

Source: ai.google.dev/api/generate-content#FinishReason, read in the google-genai 3.6 types; numbers from
google/cloud/aiplatform/v1beta1/content.proto, since Vertex sends them where `$alt=json;enum-encoding=int` is asked
(recordings: `finishReason: 1`).
"""

from __future__ import annotations

from types import MappingProxyType

from afterbay.core.event import FinishReason

_WORDS: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
_NUMBERS = (
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
)

REASONS = MappingProxyType(_WORDS)
"""What is not here (OTHER, MALFORMED_FUNCTION_CALL, UNEXPECTED_TOOL_CALL, and whatever Google adds) is an `error`:
an answer that ended for a reason nobody knows must not pass as a good one."""

SAID = MappingProxyType(
    {
        "stop": "STOP",
        "stop_sequence": "STOP",
        "length": "MAX_TOKENS",
        "tool_calls": "STOP",
        "content_filter": "SAFETY",
        "pause": "STOP",
        "error": "OTHER",
    }
)
"""Gemini says STOP for tool calls and stop sequences too; `pause` and `stop_sequence` are declared losses."""


def name_of(reason: str | int | None) -> str | None:
    """The reason's name, None while the model goes on. An unknown number is its digits."""
    if isinstance(reason, int):
        reason = _NUMBERS[reason] if 0 <= reason < len(_NUMBERS) else str(reason)
    return None if not reason or reason == "FINISH_REASON_UNSPECIFIED" else reason


def class_of(name: str) -> FinishReason:
    """Our class of a reason's name."""
    return REASONS.get(name, "error")
