"""Gemini's counts -> usage in disjoint buckets.

Tool-use prompts are input, thoughts stand beside candidates, cached tokens are inside the prompt; `totalTokenCount` is
prompt + toolUsePrompt + candidates + thoughts (recordings). What media cost differs from text, so the details by
modality count: ai.google.dev/gemini-api/docs/pricing (November 2026).

A search with Google is billed beside the tokens and is in no count: Gemini 2 and older bill a prompt that was grounded
in one, later models every query (same page). What of them is free of charge no answer tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from afterbay.core.usage import Kind, Usage
from afterbay.wire.bill import kinds, service_of

Raw = msgspec.Raw

_MEDIA: Mapping[object, str] = MappingProxyType(
    {"IMAGE": "image", 2: "image", "VIDEO": "video", 3: "video", "AUDIO": "audio", 4: "audio"}
)
"""Modalities that may have prices of their own, by their names and (Vertex) their numbers."""


class Counts(msgspec.Struct, rename="camel", gc=False):
    """`usageMetadata`."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: Raw = Raw()
    cache_tokens_details: Raw = Raw()
    candidates_tokens_details: Raw = Raw()
    service_tier: Any = None
    traffic_type: Any = None


class _Detail(msgspec.Struct, rename="camel", gc=False):
    modality: Any = None
    token_count: Any = None


class _Grounding(msgspec.Struct, rename="camel", gc=False):
    web_search_queries: list[Any] | None = None


_FIELDS = Counts.__struct_fields__
_COUNTED = _FIELDS[:5]
_UNSAID = (None, Raw())
_NONE: Mapping[str, int] = MappingProxyType({})
_details = msgspec.json.Decoder(list[_Detail]).decode
_grounding = msgspec.json.Decoder(_Grounding).decode


def merged(known: Counts, seen: Counts) -> Counts:
    """What all chunks say together: every chunk has counts so far, and some lack some. A total is one of its own chunk
    alone. `seen` is changed."""
    for name in _FIELDS:
        if name != "total_token_count" and getattr(seen, name) in _UNSAID:
            setattr(seen, name, getattr(known, name))
    return seen


def counts_something(seen: Counts) -> bool:
    """Whether it has any count, be it 0: not only words on the tier of service."""
    return any(count is not None for count in (getattr(seen, name) for name in _COUNTED))


def read_usage(counts: Counts, searched: int = 0) -> Usage:
    """The buckets of counts. `searched`: how many searches are billed beside them."""
    prompt, cached = counts.prompt_token_count or 0, counts.cached_content_token_count or 0
    tools, made = counts.tool_use_prompt_token_count or 0, counts.candidates_token_count or 0
    thoughts = counts.thoughts_token_count or 0
    stray = 0
    if counts.total_token_count is not None:
        stray = counts.total_token_count - prompt - tools - made - thoughts
    if cached > prompt:
        stray, cached = stray or prompt - cached, 0
    service = ""
    if counts.service_tier is not None or counts.traffic_type is not None:
        service = service_of(counts.service_tier) or service_of(counts.traffic_type)
    output = made + stray if stray > 0 else made
    return Usage(
        prompt - cached + tools, cached, 0, output, thoughts, False, _parts(counts, searched), service, None, stray
    )


def _parts(counts: Counts, searched: int) -> tuple[tuple[Kind, int], ...]:
    """What of it is of a kind that may have a price of its own."""
    read, kept = _by_modality(counts.prompt_tokens_details), _by_modality(counts.cache_tokens_details)
    written = _by_modality(counts.candidates_tokens_details)
    if not (read or kept or written):
        return (("search", searched),) if searched else ()
    return kinds(
        (
            ("audio_input", read.get("audio", 0) - kept.get("audio", 0)),
            ("image_input", read.get("image", 0) - kept.get("image", 0)),
            ("video_input", read.get("video", 0) - kept.get("video", 0)),
            ("audio_cached", kept.get("audio")),
            ("image_cached", kept.get("image")),
            ("audio_output", written.get("audio")),
            ("image_output", written.get("image")),
            ("search", searched),
        )
    )


def searches_of(grounding: Raw, model: str) -> int:
    """How many searches are billed for an answer that a model grounded in this."""
    try:
        queries = len(_grounding(grounding).web_search_queries or ())
    except msgspec.DecodeError:
        return 0
    return min(queries, 1) if model.startswith(("gemini-1", "gemini-2")) else queries


def _by_modality(raw: Raw) -> Mapping[str, int]:
    """How many tokens are of which medium. Text is most of what comes, and has no price of its own."""
    text = bytes(raw)
    if not text:
        return _NONE
    if text.count(b"odality") == 1 and b"TEXT" in text:
        return _NONE
    try:
        found = _details(text)
    except msgspec.DecodeError:
        return {}
    counts: dict[str, int] = {}
    for one in found:
        name = _MEDIA.get(one.modality) if isinstance(one.modality, str | int) else None
        if name is not None and type(one.token_count) is int:
            counts[name] = counts.get(name, 0) + one.token_count
    return counts
