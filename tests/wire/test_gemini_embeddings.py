"""Gemini embeddings, both ways."""

from __future__ import annotations

import json

import pytest

from afterbay.core.errors import ClientMistake
from afterbay.core.request import EmbedRequest
from afterbay.core.usage import Usage
from afterbay.wire.gemini.embeddings import build_request, parse_answer, parse_request, render_answer


@pytest.mark.parametrize("dimensions", [None, 256])
def test_a_request_for_embeddings_comes_back_as_it_went(dimensions: int | None) -> None:
    request = EmbedRequest("gemini-embedding-001", ("one", "two"), dimensions)
    built = build_request(request, "models/gemini-embedding-001")
    assert built.path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    assert parse_request(built.body, "gemini-embedding-001") == request
    assert json.loads(built.body)["requests"][0]["model"] == "models/gemini-embedding-001"


def test_token_ids_are_refused_and_hints_are_losses() -> None:
    with pytest.raises(ClientMistake, match="token ids"):
        build_request(EmbedRequest("m", ((1, 2),)), "m")
    assert build_request(EmbedRequest("m", ("a",), hints=("user",)), "m").losses == ("user",)


def test_a_single_request_may_be_in_snake_case_and_names_its_task() -> None:
    body = b'{"content": {"parts": {"text": "a"}}, "task_type": "RETRIEVAL_QUERY", "output_dimensionality": 8}'
    assert parse_request(body, "models/m") == EmbedRequest("m", ("a",), 8, foreign=("taskType",), is_batch=False)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"requests": [{}]}', "requests[0].content"),
        (b"{}", "content"),
        (b'{"content": {"parts": [{"inlineData": {}}]}}', "content.parts[0]"),
        (
            b'{"requests": [{"content": "a", "outputDimensionality": 1}, {"content": "b", "outputDimensionality": 2}]}',
            "requests",
        ),
    ],
)
def test_what_cannot_be_embedded_is_named(body: bytes, param: str) -> None:
    with pytest.raises(ClientMistake) as caught:
        parse_request(body)
    assert caught.value.param == param


def test_vectors_come_back_as_they_went() -> None:
    vectors = [[0.25, -1.0], [0.5, 2.0]]
    assert parse_answer(render_answer(vectors, Usage(7), "m", EmbedRequest("m", ("a", "b")))) == (vectors, Usage(7))
    single = render_answer(vectors[:1], None, "m", EmbedRequest("m", ("a",), is_batch=False))
    assert json.loads(single) == {"embedding": {"values": [0.25, -1.0]}}
    assert parse_answer(single) == (vectors[:1], None)


def test_an_answer_without_vectors_raises_a_value_error() -> None:
    with pytest.raises(ValueError, match="embedding"):
        parse_answer(b"{}")
