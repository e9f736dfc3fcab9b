"""What a window leaves for a history, and what a provider's refusal tells of it."""

from __future__ import annotations

from typing import Any

import pytest

from afterbay.core.message import Message, Text
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolSpec
from afterbay.policy.room import MARGIN, Fitting, told_counts
from afterbay.testing.memory_gateway import target


@pytest.mark.parametrize(
    ("message", "counted", "takes"),
    [
        ("prompt is too long: 3333404 tokens > 200000 maximum", 3333404, 200000),
        ("The input token count (1250074) exceeds the maximum number of tokens allowed (1048576).", 1250074, 1048576),
        ("maximum context length is 1048565 tokens. However, you requested 1250025 tokens", 1250025, 1048565),
        ("maximum context length is 200000 tokens. However, you requested about 2500021 tokens", 2500021, 200000),
        ("request (9,412 tokens) exceeds the available context size (8,192 tokens), try increasing it", 9412, 8192),
        ("too many tokens: size limit exceeded by 25836 tokens. The limit for this model is 288000 tokens.",
         313836, 288000),
        ("The total length of all messages is too long.", None, None),
        ("maximum context length is 8192 tokens", None, None),
        ("request 1234567890 is longer than 128000", None, None),
    ],
)  # fmt: skip
def test_the_words_of_providers_are_read_for_both_counts(message: str, counted: int | None, takes: int | None) -> None:
    """As they were recorded, and llama.cpp's."""
    assert told_counts(message) == (counted, takes)


def asked(words: int = 100, turns: int = 20, **fields: Any) -> ChatRequest:
    text = Text("word " * words)
    said = tuple(Message(role, (text,)) for _ in range(turns) for role in ("user", "assistant"))  # type: ignore[arg-type]
    return ChatRequest("m", (*said, Message("user", (Text("and now?"),))), **fields)


def test_tools_and_the_form_of_the_answer_take_room_too() -> None:
    plain = Fitting(asked(), "trim_oldest")
    schema = b'{"type":"object","description":"' + b"word " * 500 + b'"}'
    for fields in (
        {"tools": (ToolSpec("f", "what it does", schema),)},
        {"response_format": ResponseFormat("json_schema", "n", schema)},
    ):
        assert Fitting(asked(**fields), "trim_oldest").tokens > plain.tokens + 600
    assert Fitting(asked(turns=1, tools=(ToolSpec("f", None, schema * 9),)), "trim_oldest").gap(
        target("a/up", context_tokens=4000)
    )


def test_an_unknown_window_is_never_too_small() -> None:
    fitting, unknown = Fitting(asked(), "trim_oldest"), target("a/up")
    assert fitting.gap(unknown) is None
    assert fitting.of(unknown) is None
    assert not fitting.learn(unknown, "it is too long")
    assert fitting.learn(unknown, "9000 tokens are more than 3000")
    assert fitting.of(unknown) is not None


def test_an_answer_is_given_what_it_asks_for_up_to_half_of_the_window() -> None:
    window = target("a/up", context_tokens=8000)
    modest = Fitting(asked(sampling=Sampling(max_output_tokens=100)), "trim_oldest")
    assert modest.of(window) is None
    greedy = Fitting(asked(sampling=Sampling(max_output_tokens=9000)), "trim_oldest").of(window)
    assert greedy is not None
    limit = greedy.request.sampling.max_output_tokens or 0
    assert limit >= 4000
    assert limit + greedy.tokens * MARGIN <= 8000
    short = Fitting(asked(sampling=Sampling(max_output_tokens=9000)), "trim_oldest")
    assert short.of(target("b/up", context_tokens=8000, max_output=1000)) is None, "it cannot write as much anyway"


def test_a_budget_for_thinking_stays_below_the_answer_that_has_room() -> None:
    fields = {"sampling": Sampling(max_output_tokens=9000), "reasoning": Reasoning(budget_tokens=8000)}
    shrunk = Fitting(asked(**fields), "trim_oldest").of(target("a/up", context_tokens=8000))
    assert shrunk is not None
    assert shrunk.request.reasoning is not None
    assert (shrunk.request.reasoning.budget_tokens or 0) < (shrunk.request.sampling.max_output_tokens or 0)


def test_a_refusal_that_says_nothing_makes_the_history_a_step_shorter_and_twice_is_enough() -> None:
    fitting, one = Fitting(asked(), "trim_oldest"), target("a/up", context_tokens=4000)
    sizes = [(fitting.of(one) or pytest.fail("it was to be trimmed")).tokens]
    for _ in range(2):
        assert fitting.learn(one, "too long")
        sizes.append((fitting.of(one) or pytest.fail("it was to be trimmed")).tokens)
    assert sizes[0] > sizes[1] > sizes[2]
    assert not fitting.learn(one, "too long")


def test_who_was_not_to_be_trimmed_is_not_by_a_refusal_either() -> None:
    one = target("a/up", context_tokens=100_000)
    said = "9000 tokens are more than 3000"
    assert not Fitting(asked(), "larger_model").learn(one, said)
    assert not Fitting(asked(), "trim_oldest", ("conversation",)).learn(one, said)
    assert Fitting(asked(), "trim_oldest").learn(one, said)
