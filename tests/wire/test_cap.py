"""The most output that a body asks for, lowered without touching what else it says."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from afterbay.core.message import Message, Text
from afterbay.core.request import ChatRequest, Sampling
from afterbay.wire.cap import capped, limit_of
from afterbay.wire.registry import DIALECTS

CAPPED = (
    ("openai.chat", b'{"max_tokens":900}', b'{"max_tokens":40}'),
    ("openai.chat", b'{"max_completion_tokens":900}', b'{"max_completion_tokens":40}'),
    ("openai.chat", b'{"max_completion_tokens":50,"max_tokens":900}', b'{"max_completion_tokens":40,"max_tokens":40}'),
    ("openai.chat", b'{"max_tokens":null,"n":2}', b'{"max_tokens":40,"n":2}'),
    ("openai.chat", b'{"n":1}', b'{"n":1,"max_completion_tokens":40}'),
    ("openai.responses", b'{"input":"x"}', b'{"input":"x","max_output_tokens":40}'),
    ("anthropic.messages", b'{"max_tokens":41}', b'{"max_tokens":40}'),
    ("gemini", b'{"contents":[]}', b'{"contents":[],"generationConfig":{"maxOutputTokens":40}}'),
    ("gemini", b'{"generationConfig":null}', b'{"generationConfig":{"maxOutputTokens":40}}'),
    (
        "gemini",
        b'{"generation_config":{"temperature":0.10,"max_output_tokens":900}}',
        b'{"generation_config":{"temperature":0.10,"max_output_tokens":40}}',
    ),
    ("bedrock.converse", b'{"inferenceConfig":{"topP":1.0}}', b'{"inferenceConfig":{"topP":1.0,"maxTokens":40}}'),
    ("cohere.chat", b"{}", b'{"max_tokens":40}'),
)


@pytest.mark.parametrize(("dialect", "body", "lowered"), CAPPED)
def test_a_longer_answer_or_none_told_becomes_the_limit(dialect: str, body: bytes, lowered: bytes) -> None:
    assert capped(dialect, body, 40) == lowered
    assert limit_of(dialect, lowered) == 40


@pytest.mark.parametrize("dialect", [*{dialect for dialect, _, _ in CAPPED}])
def test_a_body_that_asks_for_less_keeps_its_bytes(dialect: str) -> None:
    body = b" " + capped(dialect, b"{}", 39).replace(b":", b" : ")
    assert capped(dialect, body, 40) is body


def test_the_number_gets_the_name_that_the_host_knows() -> None:
    assert capped("openai.chat", b"{}", 40, "max_tokens") == b'{"max_tokens":40}'


@pytest.mark.parametrize("odd", [b'"ten"', b"-1", b"1.5", b"[]"])
def test_what_is_no_limit_is_left_for_the_provider_to_refuse(odd: bytes) -> None:
    body = b'{"max_tokens":' + odd + b"}"
    assert limit_of("openai.chat", body) is None
    assert capped("openai.chat", body, 40) == body


@pytest.mark.parametrize("wrong", [b"", b"[]", b"{", b'{"generationConfig":3}'])
def test_what_is_no_body_is_an_error(wrong: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        capped("gemini", wrong, 40)


@pytest.mark.parametrize("dialect", [*{dialect for dialect, _, _ in CAPPED}])
@pytest.mark.parametrize("asked", [41, 7])
def test_what_a_dialect_builds_is_read_and_lowered_as_its_own_parser_reads_it(dialect: str, asked: int) -> None:
    message = Message("user", (Text("hello"),))
    request = ChatRequest("m", (message,), sampling=Sampling(max_output_tokens=100 + asked))
    body = DIALECTS[dialect].build_request(request, "m").body
    assert limit_of(dialect, body) == 100 + asked
    parsed = DIALECTS[dialect].parse_request(capped(dialect, body, 100), "m", False)
    assert parsed == msgspec.structs.replace(
        DIALECTS[dialect].parse_request(body, "m", False), sampling=Sampling(max_output_tokens=100)
    )


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)
NUMBERS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "generationConfig", "generation_config")


@given(
    st.dictionaries(st.text(max_size=8).filter(lambda name: name not in NUMBERS), JSON, max_size=5),
    st.one_of(st.none(), st.integers(1, 200)),
    st.integers(1, 200),
)
def test_nothing_else_is_changed(members: dict[str, Any], told: int | None, most: int) -> None:
    fields = members | ({"max_tokens": told} if told is not None else {})
    got = capped("openai.chat", msgspec.json.encode(fields), most, "max_tokens")
    assert msgspec.json.decode(got) == members | {"max_tokens": min(most, told or most)}
    assert list(msgspec.json.decode(got)) == list(members | {"max_tokens": 0})
