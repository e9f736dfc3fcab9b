"""Counts and costs of recorded answers, read by hand, with none of the code under test.

The counts come out in the form of genai-prices, whose own arithmetic is the second calculation: totals that hold the
caches and the reasoning, with those named beside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


@dataclass
class Counts:
    """`read` and `made` are whole totals. `total` is the provider's own sum, `told` the dollars that it says it costs,
    `service` its word for the tier; `parts` are counts of other units of genai-prices."""

    read: int
    made: int
    cached: int = 0
    written: int = 0
    written_1h: int = 0
    total: int | None = None
    told: Decimal | None = None
    service: str = ""
    thought: int = 0
    parts: dict[str, int] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether the provider's own sum is that of its counts, and its parts are no larger than their wholes."""
        is_inside = self.cached + self.written <= self.read and self.thought <= self.made
        return is_inside and (self.total is None or self.total == self.read + self.made)


def objects(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The JSON objects of an answer in order, of whatever framing."""
    response = row["response"]
    if "events" in response:
        return [one["payload"] for one in response["events"]]
    body = response["body"].strip()
    if body[:1] in ("{", "["):
        whole = json.loads(body)
        return whole if isinstance(whole, list) else [whole]
    return list(_events(body))


def _events(body: str) -> Iterator[dict[str, Any]]:
    for block in body.replace("\r\n", "\n").split("\n\n"):
        data = "\n".join(line[5:].strip() for line in block.split("\n") if line.startswith("data:"))
        if data and data != "[DONE]":
            yield json.loads(data)


def read(dialect: str, row: dict[str, Any]) -> Counts | None:
    """What the answer says; None: nothing."""
    found = objects(row)
    match dialect:
        case "openai.chat":
            return _chat(found)
        case "openai.responses":
            return _responses(found)
        case "anthropic.messages":
            return _anthropic(found)
        case "gemini":
            return _gemini(found)
        case "bedrock.converse":
            return _converse(found)
        case "cohere.chat":
            return _cohere(found)
        case _:
            return _vectors(found[0])


def _last(found: list[dict[str, Any]], name: str) -> Any:
    return next((one[name] for one in reversed(found) if one.get(name)), None)


def _told(usage: dict[str, Any], found: list[dict[str, Any]]) -> Decimal | None:
    """Dollars, exactly as the digits of the answer have them."""
    if usage.get("cost_in_usd_ticks"):
        return Decimal(usage["cost_in_usd_ticks"]).scaleb(-10)
    credits_used = _last(found, "copilot_usage")
    if credits_used and credits_used.get("total_nano_aiu"):
        return Decimal(credits_used["total_nano_aiu"]).scaleb(-11)
    cost = usage.get("cost")
    if isinstance(cost, dict):
        cost = cost["total_cost"]
    elif cost is None and isinstance(_last(found, "cost"), dict):
        cost = _last(found, "cost")["usd"]
    told = Decimal(str(cost or 0))
    if usage.get("is_byok"):
        told += Decimal(str((usage.get("cost_details") or {}).get("upstream_inference_cost") or 0))
    return told or None


def _chat(found: list[dict[str, Any]]) -> Counts | None:
    usage = _last(found, "usage") or (_last(found, "x_groq") or {}).get("usage")
    if not usage or usage.get("prompt_tokens") is None:
        return None
    inside, made = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    prompt, completion, total = usage["prompt_tokens"], usage.get("completion_tokens") or 0, usage.get("total_tokens")
    thought = made.get("reasoning_tokens") or usage.get("reasoning_tokens") or 0
    cached = (
        inside.get("cached_tokens")
        or usage.get("prompt_cache_hit_tokens")
        or usage.get("num_cached_tokens")
        or usage.get("cached_tokens")
        or usage.get("cache_read_input_tokens")
        or 0
    )
    written = inside.get("cache_write_tokens") or usage.get("cache_creation_input_tokens") or 0
    gap = 0 if not total else total - prompt - completion
    if gap and gap == thought:  # xAI: reasoning stands beside the completion
        completion += thought
    elif gap and gap == cached + written:  # Claude behind OpenAI's protocol: caches stand beside the prompt
        prompt += gap
    parts = {
        "input_audio_tokens": inside.get("audio_tokens"),
        "input_image_tokens": inside.get("image_tokens"),
        "output_audio_tokens": made.get("audio_tokens"),
        "output_image_tokens": made.get("image_tokens"),
        "web_searches": (usage.get("server_tool_use_details") or {}).get("web_search_requests"),
    }
    service = _last(found, "service_tier") or usage.get("service_tier") or ""
    kept = {name: count for name, count in parts.items() if count}
    return Counts(prompt, completion, cached, written, 0, total, _told(usage, found), str(service), thought, kept)


def _responses(found: list[dict[str, Any]]) -> Counts | None:
    ends = [one for one in found if str(one.get("type", "")).startswith("response.") and one.get("response")]
    response = ends[-1]["response"] if ends else found[-1]
    usage = response.get("usage")
    if not usage:
        return None
    inside = usage.get("input_tokens_details") or {}
    items = response.get("output") or [one["item"] for one in found if one.get("type") == "response.output_item.done"]
    searched = [one for one in items if one["type"] == "web_search_call"]
    searches = sum((one.get("action") or {}).get("type") not in ("open_page", "find_in_page") for one in searched)
    said = ((response.get("tool_usage") or {}).get("web_search") or {}).get("num_requests")
    files = sum(one["type"] == "file_search_call" for one in items)
    parts = {"web_searches": searches if said is None else said, "storage_searches": files}
    return Counts(
        usage["input_tokens"],
        usage["output_tokens"],
        inside.get("cached_tokens") or 0,
        inside.get("cache_write_tokens") or 0,
        0,
        usage.get("total_tokens"),
        _told(usage, [response, *found]),
        str(response.get("service_tier") or ""),
        (usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0,
        {name: count for name, count in parts.items() if count},
    )


def _anthropic(found: list[dict[str, Any]]) -> Counts | None:
    usage: dict[str, Any] = {}
    for one in found:
        for part in ((one.get("message") or {}).get("usage"), one.get("usage")):
            usage |= {name: value for name, value in (part or {}).items() if value is not None}
    if "input_tokens" not in usage:
        return None
    cached, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    whole, made = usage["input_tokens"] + cached + written, usage["output_tokens"]
    hour = (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0
    searches = (usage.get("server_tool_use") or {}).get("web_search_requests") or 0
    others = [one for one in usage.get("iterations") or () if one.get("model")]
    total = None
    if others:  # another model's tokens: the whole is more than is counted here
        total = whole + made + sum(one["input_tokens"] + one["output_tokens"] for one in others)
    service = str(usage.get("service_tier") or "")
    parts = {"web_searches": searches} if searches else {}
    return Counts(whole, made, cached, written, hour, total, _told(usage, found), service, 0, parts)


def _gemini(found: list[dict[str, Any]]) -> Counts | None:
    usage: dict[str, Any] = {}
    queries: list[str] = []
    for one in found:
        usage |= one.get("usageMetadata") or {}
        for candidate in one.get("candidates") or ():
            queries = (candidate.get("groundingMetadata") or {}).get("webSearchQueries") or queries
    if not usage:
        return None
    prompt, cached = usage.get("promptTokenCount") or 0, usage.get("cachedContentTokenCount") or 0
    made = (usage.get("candidatesTokenCount") or 0) + (usage.get("thoughtsTokenCount") or 0)
    whole = prompt + (usage.get("toolUsePromptTokenCount") or 0)
    parts: dict[str, int] = {}
    for details, name in (
        ("promptTokensDetails", "input_{}_tokens"),
        ("cacheTokensDetails", "cache_{}_read_tokens"),
        ("candidatesTokensDetails", "output_{}_tokens"),
    ):
        for one in usage.get(details) or ():
            medium = str(one["modality"]).lower()
            if medium in ("audio", "image", "video"):
                unit = name.format(medium)
                parts[unit] = parts.get(unit, 0) + (one.get("tokenCount") or 0)
    model = str(_last(found, "modelVersion") or "")
    if queries:
        parts["web_searches"] = 1 if model.startswith(("gemini-1", "gemini-2")) else len(queries)
    total = usage.get("totalTokenCount")
    service = str(usage.get("serviceTier") or usage.get("trafficType") or "")
    return Counts(whole, made, cached, 0, 0, total, None, service, 0, parts)


def _converse(found: list[dict[str, Any]]) -> Counts | None:
    usage = _last(found, "usage")
    if not usage:
        return None
    cached, written = usage.get("cacheReadInputTokens") or 0, usage.get("cacheWriteInputTokens") or 0
    hour = sum(one["inputTokens"] for one in usage.get("cacheDetails") or () if one["ttl"] == "1h")
    whole = usage["inputTokens"] + cached + written
    return Counts(whole, usage["outputTokens"], cached, written, hour, usage.get("totalTokens"))


def _cohere(found: list[dict[str, Any]]) -> Counts | None:
    """What Cohere bills is `billed_units`, whatever was read and written."""
    usage = _last(found, "usage") or (_last(found, "delta") or {}).get("usage")
    if not usage:
        return None
    units = usage["billed_units"]
    return Counts(int(units["input_tokens"]), int(units["output_tokens"]))


def _vectors(answer: dict[str, Any]) -> Counts | None:
    usage = answer.get("usage") or (answer.get("meta") or {}).get("billed_units") or answer.get("usageMetadata")
    if not usage:
        return None
    read_ = (
        usage.get("prompt_tokens")
        or usage.get("input_tokens")
        or usage.get("promptTokenCount")
        or usage.get("total_tokens")
    )
    if read_ is None:
        return None
    return Counts(int(read_), 0, total=usage.get("total_tokens"), told=_told(usage, [answer]))
