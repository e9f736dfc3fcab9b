"""The `response` object of an answer and the items of its output, as OpenAI's SDKs read them.

Source: OpenAI API reference, "The response object", the types of the SDK 3.57 (November 2026) and the recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from afterbay.core.errors import ErrorKind
from afterbay.core.event import FinishReason
from afterbay.core.usage import Usage
from afterbay.wire.dialect import Head
from afterbay.wire.openai_responses.custom import custom_names

_ECHOED: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""What an answer repeats of its request, and what stands there when the request said nothing."""

_NO_TIER = (b'"auto"',)
"""A wish for any tier is answered with the tier that it was."""

INCOMPLETE: dict[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Reasons for which an answer is incomplete; with every other one it is complete."""

LOSSES: dict[FinishReason, str] = {
    "stop_sequence": "finish.stop_sequence",
    "pause": "finish.pause",
    "error": "finish.error",
}
"""Reasons that the protocol has no word for: a client sees a completed answer."""

_CODES: dict[ErrorKind, str] = {
    "rate_limit": "rate_limit_exceeded",
    "quota": "insufficient_quota",
    "overloaded": "server_is_overloaded",
    "invalid_request": "invalid_prompt",
    "content_filter": "invalid_prompt",
    "too_large": "invalid_prompt",
}

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def error_code(kind: ErrorKind, code: str | None) -> str:
    """The `code` of a failed response. Codex decides by it whether to try again."""
    if code in ("context_length_exceeded", "insufficient_quota", "rate_limit_exceeded"):
        return code
    return _CODES.get(kind, "server_error")


def usage_object(usage: Usage | None) -> dict[str, Any] | None:
    """Usage in OpenAI's counting: input includes the cache, output includes reasoning."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.total_input,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.total_output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total,
    }


def echoed(body: bytes) -> dict[str, Any]:
    """What an answer repeats of the request `body`; defaults where it says nothing, or is none."""
    try:
        given = _fields(body)
        if b"\n" in body or b"\r" in body:  # a line of a stream must not end inside a value
            given = _fields(msgspec.json.format(body, indent=-1))
    except (msgspec.DecodeError, UnicodeDecodeError):
        given = {}
    found = {
        name: given[name]
        for name in _ECHOED
        if name in given and bytes(given[name]).strip() not in (b"null", *_NO_TIER)
    }
    return _ECHOED | found


class Frame:
    """The response object of one answer, at any time of its making."""

    def __init__(self, head: Head) -> None:
        self._first: dict[str, Any] = {
            "id": f"resp_{head.seed}",
            "object": "response",
            "created_at": head.created_s,
            "model": head.model,
        }
        self._echo = echoed(head.echo)
        tools = self._echo["tools"]
        self.custom = custom_names(bytes(tools)) if isinstance(tools, msgspec.Raw) else frozenset[str]()
        """The client's tools whose calls are texts."""

    def take_over(self, response: Mapping[str, Any], echo: Mapping[str, Any]) -> None:
        """The identity of a response that somebody else created, and what it repeats of its request."""
        self._first |= {name: response[name] for name in self._first if name in response}
        self._echo = dict(echo)

    def show(
        self,
        status: str,
        output: list[dict[str, Any]],
        usage: Usage | None = None,
        finish: FinishReason | None = None,
        error: Mapping[str, Any] | None = None,
        note: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """The object with this status; `finish` says why it is incomplete, `note` goes beside the usage."""
        reason = INCOMPLETE.get(finish) if finish is not None and status == "incomplete" else None
        return {
            **self._first,
            "status": status,
            "error": error,
            "incomplete_details": {"reason": reason} if reason is not None else None,
            "output": output,
            **self._echo,
            "usage": usage_object(usage),
            **({"afterbay": note} if note else {}),
        }


def text_part(text: str) -> dict[str, Any]:
    """A part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def refusal_part(text: str) -> dict[str, Any]:
    """A part of a message that refuses."""
    return {"type": "refusal", "refusal": text}


def message_item(item_id: str, content: list[dict[str, Any]], status: str) -> dict[str, Any]:
    """What the model said."""
    return {"type": "message", "id": item_id, "status": status, "role": "assistant", "content": content}


def reasoning_item(item_id: str, text: str, encrypted: str | None) -> dict[str, Any]:
    """What the model thought, and the proof of it."""
    summary = [{"type": "summary_text", "text": text}] if text else []
    item: dict[str, Any] = {"type": "reasoning", "id": item_id, "summary": summary}
    return item if encrypted is None else item | {"encrypted_content": encrypted}


def call_item(item_id: str, call_id: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    """A function that the model calls."""
    call = {"call_id": call_id, "name": name, "arguments": arguments}
    return {"type": "function_call", "id": item_id, **call, "status": status}


def custom_call_item(item_id: str, call_id: str, name: str, text: str, status: str) -> dict[str, Any]:
    """A custom tool that the model calls. Its status is not in the SDK's types, and in OpenAI's answers it is."""
    call = {"call_id": call_id, "name": name, "input": text}
    return {"type": "custom_tool_call", "id": item_id, **call, "status": status}
