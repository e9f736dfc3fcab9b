"""Facts of a prompt, names, retry classes, quantities: small pure functions and their edges."""

from __future__ import annotations

from typing import get_args

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from afterbay.core.chance import draw
from afterbay.core.decision import Outcome
from afterbay.core.errors import ClientMistake, ErrorKind, kind_of_status
from afterbay.core.message import Image, Message, Text
from afterbay.core.usage import Price, Usage, microusd
from afterbay.core.words import closest, edit_distance
from afterbay.policy.facts import count_words, prompt_text, read_facts
from afterbay.policy.names import is_other_model, look_up
from afterbay.policy.plan import Limits, Route, Rules
from afterbay.policy.quantity import estimate_text, estimate_tokens
from afterbay.policy.retry import clamp_wait, fallback_class, outcome_of
from afterbay.testing.memory_gateway import alias, snapshot, target


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("one", 1),
        ("one two", 2),
        ("don't well-known", 2),
        ("a,b;c", 3),
        ("世界", 1),
        ("世界 one", 2),
        ("かな한글", 2),
        ("  \n ", 0),
        ("... !!", 0),
        ("x_y", 2),
        ("3.5", 2),
        ("é", 1),
        ("世", 0.5),
        ("one世two", 2.5),
    ],
)
def test_words_are_counted_in_any_script(text: str, words: float) -> None:
    assert count_words(text) == words


@given(st.text(max_size=200), st.text(max_size=200))
def test_words_of_two_texts_add_up(a: str, b: str) -> None:
    assert count_words(a + "\n" + b) == count_words(a) + count_words(b)


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("Extract it", {"extract"}),
        ("extracted", set()),
        ("pre-extract", {"extract"}),
        ("CODE!", {"code"}),
        ("codec", set()),
        ("写代码吧", {"code"}),
        ("推理与提取", {"reasoning", "extract"}),
        ("translate summary", {"translate", "summarize"}),
        ("_code_", set()),
        ("c(o)de", set()),
    ],
)
def test_latin_words_match_whole_and_chinese_ones_anywhere(text: str, mentions: set[str]) -> None:
    assert read_facts(text, Rules()).mentions == mentions


def test_words_of_the_config_are_no_patterns() -> None:
    rules = Rules(code=("c++", "a.b"))
    assert read_facts("in c++ please", rules).mentions == {"code"}
    assert read_facts("axb", rules).mentions == set()


def test_only_the_last_turn_of_the_user_is_looked_at() -> None:
    def said(role: str, text: str) -> Message:
        return Message(role, (Text(text),))  # type: ignore[arg-type]

    turns = (said("system", "code"), said("user", "reasoning"), said("assistant", "extract"), said("user", "hello"))
    assert prompt_text(turns) == "hello"
    assert prompt_text((*turns, said("assistant", "x"))) == "hello"
    assert prompt_text((said("user", "look"), Message("user", (Image(url="http://x"),)))) == "look"
    assert prompt_text((said("system", "alone"),)) == "alone"
    assert prompt_text(()) == ""


def test_names_are_looked_up_in_their_order() -> None:
    direct = target("openai/any/thing")
    plan = snapshot(alias("gpt", target("openai/gpt-4o")), alias("a/b", target("a/x")), routes=(Route("auto"),))

    def make(provider: str, rest: str) -> object:
        return direct if (provider, rest) == ("openai", "any/thing") else None

    assert look_up(plan, "gpt", make).alias == plan.aliases["gpt"]  # type: ignore[arg-type]
    assert look_up(plan, "a/b", make).alias == plan.aliases["a/b"]  # type: ignore[arg-type]
    assert look_up(plan, "auto", make).route == plan.routes["auto"]  # type: ignore[arg-type]
    assert look_up(plan, "openai/any/thing", make).target == direct  # type: ignore[arg-type]
    for unknown in ("nobody/x", "openai/", "/x", "", "gtp"):
        with pytest.raises(ClientMistake) as caught:
            look_up(plan, unknown, make)  # type: ignore[arg-type]
        assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")


def test_an_upstream_name_means_its_alias() -> None:
    plan = msgspec.structs.replace(
        snapshot(alias("gpt", target("openai/gpt-4o"))), by_upstream_name={"gpt-4o-2024": "gpt"}
    )
    assert look_up(plan, "gpt-4o-2024", lambda *_: None).alias == plan.aliases["gpt"]


@pytest.mark.parametrize("instead", ["m", "auto"])
def test_an_unknown_name_may_mean_another_with_a_warning(instead: str) -> None:
    plan = snapshot(alias("m", target("a/x")), routes=(Route("auto"),), unknown_model=instead)
    found = look_up(plan, "gpt-9", lambda *_: None)
    assert (found.alias or found.route) == (plan.aliases.get(instead) or plan.routes[instead])
    assert found.warning is not None
    assert "'gpt-9' is not configured" in found.warning


def test_an_unknown_name_that_means_nothing_is_told_with_the_three_nearest() -> None:
    plan = snapshot(*(alias(name, target("a/x")) for name in ("gpt-4o", "gpt-4", "gpt-5", "claude")), unknown_model="x")
    with pytest.raises(ClientMistake, match="no model called") as caught:
        look_up(plan, "gpt4o", lambda *_: None)
    assert "gpt-4o, gpt-4, gpt-5;" in caught.value.remedy
    with pytest.raises(ClientMistake) as caught:
        look_up(snapshot(), "x", lambda *_: None)
    assert caught.value.remedy == "No model is set up."


WORDS = st.text("abc", max_size=7)


@given(WORDS, WORDS)
def test_edit_distance_is_symmetric_and_bounded(a: str, b: str) -> None:
    distance = edit_distance(a, b, 64)
    assert distance == edit_distance(b, a, 64)
    assert abs(len(a) - len(b)) <= distance <= max(len(a), len(b))
    assert (distance == 0) == (a == b)


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [("ab", "ba", 1), ("abc", "ac", 1), ("abc", "axc", 1), ("kitten", "sitting", 3), ("", "x", 1)],
)
def test_edit_distance_of_known_words(a: str, b: str, distance: int) -> None:
    assert edit_distance(a, b, 64) == distance


def test_nearest_names_are_each_named_once() -> None:
    assert closest("b", ["a", "B", "a", "bb", "zzz"]) == ["B", "a", "bb"]


@pytest.mark.parametrize("kind", get_args(ErrorKind))
def test_every_error_has_an_outcome_and_only_the_clients_own_have_no_fallback(kind: ErrorKind) -> None:
    assert outcome_of(kind) in get_args(Outcome)
    assert (fallback_class(kind) is None) == (kind in ("invalid_request", "too_large", "content_filter"))


@given(st.floats(), st.floats(0, 1000))
def test_a_wait_is_within_reason_whatever_a_provider_says(wait: float, longest: float) -> None:
    clamped = clamp_wait(wait, longest)
    assert clamped is not None
    assert 0 <= clamped <= longest
    if 0 <= wait <= longest:
        assert clamped == wait


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_estimates_round_up_and_never_fall_as_the_text_grows(narrow: int, wide: int) -> None:
    tokens = estimate_tokens(narrow, wide)
    assert tokens >= narrow / 3.7 + wide / 4.9 - 1e-6
    assert tokens <= estimate_tokens(narrow + 1, wide) <= estimate_tokens(narrow + 1, wide + 1)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("a" * 37, 10), ("世" * 16, 10), ("a" * 37 + "世" * 16, 20)]
)
def test_estimates_of_known_texts(text: str, tokens: int) -> None:
    assert estimate_text(text) == tokens


@given(st.integers(0, 2**63), st.text(max_size=9), st.text(max_size=9), st.integers(0, 9))
def test_a_draw_is_a_number_below_one_and_always_the_same(seed: int, purpose: str, request: str, attempt: int) -> None:
    drawn = draw(seed, purpose, request, attempt)
    assert 0 <= drawn < 1
    assert drawn == draw(seed, purpose, request, attempt)
    assert drawn != draw(seed, purpose + "x", request, attempt)


def test_draws_are_spread_evenly() -> None:
    tenths = [0] * 10
    for number in range(5000):
        tenths[int(draw(1, "p", str(number)) * 10)] += 1
    assert all(400 < count < 600 for count in tenths)


COUNTS = st.integers(0, 10**9)


@given(st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS))
def test_usage_buckets_are_disjoint_and_cost_is_their_sum(usage: Usage) -> None:
    assert usage.total == usage.total_input + usage.total_output
    price = Price(3, 5, 1, 4)
    assert price.cost_picousd(usage) == (
        3 * usage.input_tokens + usage.cached_input_tokens + 4 * usage.cache_write_tokens + 5 * usage.total_output
    )
    assert microusd(price.cost_picousd(usage)) * 1_000_000 >= price.cost_picousd(usage)


def test_a_long_prompt_is_billed_whole_at_its_tier() -> None:
    price = Price(1, 1, 1, 1, ((100, Price(2, 2, 2, 2)), (1000, Price(7, 7, 7, 7))))
    assert [price.cost_picousd(Usage(tokens)) for tokens in (100, 101, 1000, 1001)] == [100, 202, 2000, 7007]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request"),
        (418, "invalid_request"),
        (429, "rate_limit"),
        (500, "server"),
        (529, "overloaded"),
        (302, "server"),
    ],
)
def test_a_status_alone_has_a_kind(status: int, kind: str) -> None:
    assert kind_of_status(status) == kind


def test_default_limits_are_in_a_sane_order() -> None:
    limits = Limits()
    assert limits.connect_s < limits.hold_s < limits.first_token_s <= limits.between_tokens_s < limits.total_s


@pytest.mark.parametrize(
    ("asked", "answered", "is_other"),
    [
        ("gpt-4o", "gpt-4o", False),
        ("gpt-4o", "gpt-4o-2024-11-20", False),
        ("openai/gpt-4o", "gpt-4o", False),
        ("claude-3-5-haiku@20241022", "claude-3-5-haiku-20241022", False),
        ("models/gemini-2.5-flash", "gemini-2.5-flash-001", False),
        ("gemini-flash-latest", "gemini-2.5-flash", False),
        ("gpt-4o", "", False),
        ("gpt-4o", "gpt-3.5-turbo", True),
        ("llama-3.1-70b", "llama-3.1-8b", True),
    ],
)
def test_another_model_is_told_from_another_name(asked: str, answered: str, is_other: bool) -> None:
    assert is_other_model(asked, answered) is is_other
