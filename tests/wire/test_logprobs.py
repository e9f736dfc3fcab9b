"""The mean log-probability is read from what the provider told, in its own words."""

from __future__ import annotations

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from afterbay.wire.logprobs import mean_logprob


def chat(*logprobs: float) -> bytes:
    content = [{"token": "a", "logprob": one, "top_logprobs": []} for one in logprobs]
    return msgspec.json.encode({"choices": [{"logprobs": {"content": content}}]})


def test_the_tokens_of_all_events_count_alike() -> None:
    assert mean_logprob([chat(-1.0)]) == -1.0
    assert mean_logprob([chat(-1.0, -2.0), chat(-6.0), b"[DONE]"]) == -3.0


def test_gemini_tells_the_mean_itself() -> None:
    assert mean_logprob([b'{"candidates": [{}]}', b'{"candidates": [{"avgLogprobs": -0.25}]}']) == -0.25


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"logprobs": null}]}',
        b'{"choices": [{"logprobs": 5}]}',
        b"\xff",
    ],
)
def test_nothing_told_is_nothing_known(document: bytes) -> None:
    assert mean_logprob([document]) is None


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_no_bytes_make_it_fail(documents: list[bytes]) -> None:
    assert mean_logprob(documents) is None
