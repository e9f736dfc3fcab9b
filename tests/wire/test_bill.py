"""What answers say of their price, whatever stands there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.event import UsageSeen
from afterbay.core.usage import Usage
from afterbay.wire.bill import Bill, service_of, told
from afterbay.wire.registry import DIALECTS, EMBED_DIALECTS
from wire.bedrock_support import frames, parse_stream

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("bill", "beside", "credits_used", "picousd"),
    [
        (Bill(cost=0.001), None, None, 1_000_000_000),
        (Bill(cost={"total_cost": 0.002, "input_tokens_cost": 0.001}), None, None, 2_000_000_000),
        (Bill(cost_in_usd_ticks=44_168), None, None, 4_416_800),
        (Bill(cost=0, is_byok=True, cost_details={"upstream_inference_cost": 0.003}), None, None, 3_000_000_000),
        (Bill(cost=0.001, is_byok=True, cost_details={"upstream_inference_cost": 0.003}), None, None, 4_000_000_000),
        (Bill(cost=0.001, is_byok=False, cost_details={"upstream_inference_cost": 0.003}), None, None, 1_000_000_000),
        (Bill(), {"usd": 0.004}, None, 4_000_000_000),
        (Bill(), None, {"total_nano_aiu": 1_000}, 10_000),
        (Bill(), None, None, None),
    ],
)
def test_every_providers_word_for_its_cost_is_read(
    bill: Bill, beside: object, credits_used: object, picousd: int | None
) -> None:
    assert told(bill, beside, credits_used) == picousd


@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING, ANYTHING)
def test_whatever_stands_there_no_cost_is_negative_and_nothing_breaks(
    cost: Any, ticks: Any, details: Any, beside: Any, credits_used: Any
) -> None:
    for is_byok in (True, False, None):
        found = told(Bill(cost, details, ticks, is_byok), beside, credits_used)
        assert found is None or found > 0


@pytest.mark.parametrize(
    ("word", "service"),
    [
        ("default", ""),
        ("standard", ""),
        ("ON_DEMAND", ""),
        ("ON_DEMAND_PRIORITY", "priority"),
        ("priority", "priority"),
        (None, ""),
        (3, ""),
        ("a\nb", "unknown"),
        ("x" * 99, "x" * 40),
    ],
)
def test_a_tier_of_service_is_named_as_price_lists_do(word: object, service: str) -> None:
    assert service_of(word) == service


def usage_of(dialect: str, name: str, payload: dict[str, Any]) -> Usage:
    parser, out = DIALECTS[dialect].stream_parser("s"), list[Any]()
    parser.push(name.encode() or None, json.dumps(payload).encode(), out)
    return [event.usage for event in out if isinstance(event, UsageSeen)][-1]


def test_claudes_writes_for_an_hour_its_searches_and_its_fast_mode_are_read() -> None:
    usage = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "server_tool_use": {"web_search_requests": 2},
        "output_tokens": 5,
        "speed": "fast",
    }
    message = {"id": "m", "model": "c", "content": [], "usage": usage}
    found = usage_of("anthropic.messages", "message_start", {"type": "message_start", "message": message})
    assert found == Usage(3, 0, 30, 5, parts=(("cache_write_1h", 20), ("search", 2)), service="fast")


def test_an_advisors_tokens_are_not_the_models_and_make_the_cost_unsure() -> None:
    usage = {"input_tokens": 3, "output_tokens": 5, "iterations": [{"model": "other", "input_tokens": 7}, {"x": 1}, 2]}
    message = {"id": "m", "model": "c", "content": [], "usage": usage}
    assert usage_of("anthropic.messages", "message_start", {"type": "message_start", "message": message}).stray == 7


def test_the_media_of_a_gemini_answer_and_its_searches_are_read() -> None:
    counts = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "candidatesTokenCount": 10,
        "totalTokenCount": 110,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}, {"modality": "AUDIO", "tokenCount": 80}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 10}],
        "trafficType": "ON_DEMAND_FLEX",
    }
    grounding = {"webSearchQueries": ["a", "b"]}
    for model, searches in (("gemini-2.5-pro", 1), ("gemini-3-pro", 2)):
        candidate = {"content": {"parts": [{"text": "x"}]}, "groundingMetadata": grounding, "finishReason": "STOP"}
        found = usage_of("gemini", "", {"modelVersion": model, "candidates": [candidate], "usageMetadata": counts})
        parts = (("audio_input", 50), ("audio_cached", 30), ("image_output", 10), ("search", searches))
        assert found == Usage(60, 40, 0, 10, parts=parts, service="flex")


@pytest.mark.parametrize("details", [5, "x", [5], [{"modality": 7, "tokenCount": "x"}], {}, None])
def test_odd_details_of_media_spoil_no_counts(details: object) -> None:
    counts = {"promptTokenCount": 3, "candidatesTokenCount": 1, "promptTokensDetails": details}
    found = usage_of("gemini", "", {"candidates": [{"content": {"parts": [{"text": "x"}]}}], "usageMetadata": counts})
    assert found == Usage(3, 0, 0, 1)


def test_bedrocks_writes_for_an_hour_and_a_total_that_is_larger_are_read() -> None:
    usage = {
        "inputTokens": 5,
        "outputTokens": 2,
        "cacheWriteInputTokens": 9,
        "totalTokens": 17,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 5}],
    }
    [found] = [one.usage for one in parse_stream(frames(("metadata", {"usage": usage})))[0] if type(one) is UsageSeen]
    assert found == Usage(5, 0, 9, 3, parts=(("cache_write_1h", 4),), stray=1)


def test_a_search_that_only_opened_a_page_is_not_billed() -> None:
    def item(action: str) -> dict[str, Any]:
        return {"type": "web_search_call", "id": action, "status": "completed", "action": {"type": action}}

    response = {
        "id": "r",
        "status": "completed",
        "output": [item("search"), item("open_page"), item("find_in_page")],
        "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
        "service_tier": "priority",
    }
    found = usage_of("openai.responses", "response.completed", {"type": "response.completed", "response": response})
    assert found == Usage(5, 0, 0, 2, parts=(("search", 1),), service="priority")


def test_what_came_before_an_error_in_a_stream_is_counted() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    found = usage_of("openai.chat", "", {"id": "c", "model": "m", "error": {"message": "x"}, "usage": usage})
    assert found == Usage(5, 0, 0, 2)


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        ({"prompt_tokens": 5, "total_tokens": 5}, Usage(5)),
        ({"total_tokens": 5}, Usage(5)),
        ({"prompt_tokens": 5, "total_tokens": 7, "cost": 0.5}, Usage(7, told_picousd=500_000_000_000, stray=2)),
        ({}, None),
    ],
)
def test_the_usage_of_vectors_is_read_in_every_hosts_counting(usage: dict[str, Any], found: Usage | None) -> None:
    body = {"data": [{"embedding": [0.5], "index": 0}], "usage": usage}
    assert EMBED_DIALECTS["openai.embeddings"].parse_answer(json.dumps(body).encode())[1] == found
