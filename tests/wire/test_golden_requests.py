"""Requests between protocols: what a client sends against the literal body that a provider of another must get."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from afterbay.wire.features import features
from afterbay.wire.proofs import admitted
from afterbay.wire.registry import DIALECTS
from wire.golden import from_anthropic, from_gemini, from_openai, from_responses, to_bedrock, to_responses
from wire.golden.case import ANTHROPIC, BEDROCK, GEMINI, MAKERS, OPENAI, RESPONSES, Case, Sent
from wire.golden.sdk_types import complaints

CASES = [
    *from_openai.CASES,
    *from_anthropic.CASES,
    *from_gemini.CASES,
    *from_responses.CASES,
    *to_responses.CASES,
    *to_bedrock.CASES,
]
PAIRS = [
    pytest.param(case, sent, id=f"{case.client} to {sent.dialect}: {case.title}")
    for case in CASES
    for sent in case.sent
]


def read_arguments(node: Any) -> Any:
    """Arguments of calls are JSON text for OpenAI, a schema is one for Bedrock: white space within means nothing."""
    if isinstance(node, dict):
        node = {name: read_arguments(value) for name, value in node.items()}
        if isinstance(node.get("arguments"), str) and "name" in node:
            with suppress(ValueError):
                node["arguments"] = ["JSON", json.loads(node["arguments"])]
        if isinstance(node.get("schema"), str):
            node["schema"] = ["JSON", json.loads(node["schema"])]
        return node
    return [read_arguments(item) for item in node] if isinstance(node, list) else node


def stream_of(case: Case) -> bool | None:
    """Gemini's path says whether a request streams, the other protocols' bodies do."""
    return False if case.client == GEMINI else None


@pytest.mark.parametrize(("case", "sent"), PAIRS)
def test_a_request_arrives_at_a_provider_of_another_protocol_as_written_here(case: Case, sent: Sent) -> None:
    request = DIALECTS[case.client].parse_request(json.dumps(case.body).encode(), "alias", stream_of(case))
    left_out: tuple[str, ...] = ()
    if RESPONSES in (case.client, sent.dialect):  # the others' cases show what a dialect does by itself
        request, left_out = admitted(request, case.client, MAKERS[sent.dialect])
    built = DIALECTS[sent.dialect].build_request(request, sent.model)
    assert read_arguments(json.loads(built.body)) == read_arguments(sent.body)
    assert {name.replace(" ", "_") for name in (*left_out, *built.losses)} == sent.losses
    assert features(request) & DIALECTS[sent.dialect].cannot.keys() == sent.cannot


@pytest.mark.parametrize(("case", "sent"), PAIRS)
def test_an_expected_body_has_the_types_of_the_providers_sdk(case: Case, sent: Sent) -> None:
    assert complaints(sent.dialect, sent.body) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.client}: {case.title}")
def test_what_a_router_goes_by_is_named_when_it_is_lost_all_the_same(case: Case) -> None:
    for sent in case.sent:
        assert sent.cannot <= sent.losses


def test_every_pair_of_protocols_has_its_cases() -> None:
    spoken = (OPENAI, RESPONSES, ANTHROPIC, GEMINI)  # Cohere has tests of its own
    counts = {(a, b): 0 for a in spoken for b in (*spoken, BEDROCK) if a != b}
    for case in CASES:
        for sent in case.sent:
            counts[case.client, sent.dialect] += 1
    assert min(counts.values()) >= 9, counts
    assert sum(counts.values()) >= 60
