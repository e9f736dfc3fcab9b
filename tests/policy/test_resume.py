"""Which form of request goes on with a broken answer, what it says, and how the attempt machine uses it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.checkpoint import MOST_CHARS, Checkpoint
from afterbay.core.errors import ErrorKind, ProviderError
from afterbay.core.event import (
    Event,
    Extra,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from afterbay.core.message import Message, Text
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling
from afterbay.policy.attempts import Attempts, Cancel, Fail, SetAlarm, Start
from afterbay.policy.plan import Limits
from afterbay.policy.resume import (
    DOUBTFUL,
    QUOTE_CHARS,
    Form,
    Mode,
    Wish,
    continuation,
    continued,
    quote,
    refusal,
    stem,
    takes_prefill,
    wish_of,
)
from afterbay.testing.memory_gateway import target

FIRST, OTHER = target("a/one"), target("b/two")
PREFILLS = target("b/two", prefill=True)
ASKED = ChatRequest("m", (Message("user", (Text("Tell me."),)),))
SAID = "The harbour was built in 1874 by two brothers."


def after(*events: Event) -> Checkpoint:
    found = Checkpoint()
    found.see(events)
    return found


TEXT = after(TextDelta(SAID))
CALL = after(TextDelta("I look. "), ToolCallStarted(0, "c1", "look"), ToolCallDelta(0, '{"a":'))


def forms(checkpoint: Checkpoint, wish: Wish, to: Any = OTHER, mode: Mode = "safe") -> list[Form]:
    """All forms, one after the other, as each is tried and fails."""
    tried: list[Form] = []
    while (form := continuation(checkpoint, wish, to, FIRST, mode, tried)) is not None:
        tried.append(form)
    return tried


@pytest.mark.parametrize(
    ("checkpoint", "wish", "to", "mode", "wanted"),
    [
        (TEXT, Wish(), OTHER, "safe", ["instruct", "step_back"]),
        (TEXT, Wish(), PREFILLS, "safe", ["prefill", "instruct", "step_back"]),
        (TEXT, Wish(thinks=True), PREFILLS, "safe", ["instruct", "step_back"]),
        (TEXT, Wish(draws_nothing=True), OTHER, "safe", ["instruct", "step_back"]),
        (TEXT, Wish(draws_nothing=True), FIRST, "safe", ["replay", "instruct", "step_back"]),
        (TEXT, Wish(is_readable=False), PREFILLS, "safe", ["replay"]),
        (TEXT, Wish(wants_json=True), OTHER, "safe", ["replay"]),
        (TEXT, Wish(wants_json=True), PREFILLS, "safe", ["prefill", "replay"]),
        (TEXT, Wish(wants_json=True), OTHER, "on", ["replay", "instruct", "step_back"]),
        (after(TextDelta("Word")), Wish(), OTHER, "safe", ["instruct", "replay"]),
        (CALL, Wish(), PREFILLS, "safe", ["replay"]),
        (CALL, Wish(), PREFILLS, "on", ["replay"]),
        (after(TextDelta("\n ")), Wish(), PREFILLS, "safe", ["again"]),
        (after(ReasoningDelta("Hm.")), Wish(thinks=True), OTHER, "safe", ["again"]),
        (TEXT, Wish(), PREFILLS, "off", []),
        (after(TextDelta("no"), Extra("citations")), Wish(), OTHER, "on", []),
    ],
)
def test_the_forms_for_what_was_sent(
    checkpoint: Checkpoint, wish: Wish, to: Any, mode: Mode, wanted: list[Form]
) -> None:
    assert forms(checkpoint, wish, to, mode) == wanted


@pytest.mark.parametrize(
    ("dialect", "vendor", "model", "url", "takes"),
    [
        ("anthropic.messages", "anthropic", "claude-3-5-haiku-20241022", "", True),
        ("anthropic.messages", "anthropic", "claude-opus-4-1-20250805", "", True),
        ("anthropic.messages", "anthropic", "claude-haiku-4-5", "", True),
        ("anthropic.messages", "vertex", "claude-sonnet-4@20250514", "", True),
        ("anthropic.messages", "anthropic", "claude-sonnet-4-6", "", False),
        ("anthropic.messages", "anthropic", "claude-opus-5-5", "", False),
        ("anthropic.messages", "anthropic", "claude-opus-10", "", False),
        ("anthropic.messages", "", "something-else", "", False),
        ("bedrock.converse", "bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "", True),
        ("bedrock.converse", "bedrock", "anthropic.claude-opus-4-6-v1", "", False),
        ("bedrock.converse", "bedrock", "amazon.nova-pro-v1:0", "", False),
        ("openai.chat", "openai", "gpt-4o", "", False),
        ("openai.chat", "mistral", "mistral-large", "", True),
        ("openai.chat", "vllm", "llama", "", True),
        ("openai.chat", "deepseek", "deepseek-chat", "https://api.deepseek.com/beta/", True),
        ("openai.chat", "deepseek", "deepseek-chat", "https://api.deepseek.com", False),
        ("gemini", "gemini", "gemini-3.8-flash", "", False),
        ("openai.responses", "openai", "gpt-4o", "", False),
    ],
)
def test_who_is_known_to_take_a_prefill(dialect: str, vendor: str, model: str, url: str, takes: bool) -> None:
    assert takes_prefill(vendor, dialect, model, url) is takes


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ((TextDelta("one"), TextDelta("two", 1)), "it has several choices"),
        ((TextDelta("one"), RefusalDelta("no")), "it is a refusal"),
        ((TextDelta("one"), Extra("server_tool_use")), "it holds server_tool_use"),
        ((TextDelta("x" * (MOST_CHARS + 1)),), "it is too long to be kept"),
        ((TextDelta("one"), Extra("stop_details")), ""),
    ],
)
def test_answers_that_nobody_goes_on_with(events: tuple[Event, ...], why: str) -> None:
    assert refusal(ASKED, after(*events)) == why


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (ChatRequest("m", (), sampling=Sampling(n=2)), "it has several choices"),
        (ChatRequest("m", (), sampling=Sampling(n=1)), ""),
        (ChatRequest("m", (), sampling=Sampling(logprobs=True)), "it has log probabilities"),
        (ChatRequest("m", (), foreign=("modalities",)), "it may be audio"),
        (None, ""),
    ],
)
def test_requests_whose_answers_nobody_goes_on_with(request_: ChatRequest | None, why: str) -> None:
    assert refusal(request_, TEXT) == why


def test_what_of_a_request_counts() -> None:
    assert wish_of(ASKED) == Wish()
    cold = ChatRequest("m", (), sampling=Sampling(temperature=0), reasoning=Reasoning(effort="low"))
    assert wish_of(cold) == Wish(draws_nothing=True, thinks=True)
    assert wish_of(ChatRequest("m", (), response_format=ResponseFormat("json_object"))) == Wish(wants_json=True)
    assert wish_of(ChatRequest("m", (), foreign=("plugins",))) == Wish(is_readable=False)


def test_a_prefill_ends_without_white_space_and_is_the_last_message() -> None:
    made = continued(ASKED, SAID + " \n", "prefill")
    assert made.messages == (*ASKED.messages, Message("assistant", (Text(SAID),)))


def test_an_instruction_shows_what_was_said_and_asks_for_its_end() -> None:
    made = continued(ASKED, SAID, "instruct")
    assert made.messages[1] == Message("assistant", (Text(SAID),))
    assert made.messages[2].role == "user"
    assert f"<end>{SAID}</end>" in made.messages[2].text()


def test_a_step_back_does_not_show_the_last_word() -> None:
    made = continued(ASKED, SAID, "step_back")
    assert made.messages[1] == Message("assistant", (Text("The harbour was built in 1874 by two"),))
    assert "brothers" not in made.messages[2].text()


@pytest.mark.parametrize("form", ["again", "replay"])
def test_again_and_replay_ask_as_before(form: Form) -> None:
    assert continued(ASKED, SAID, form) is ASKED


def test_the_limit_of_output_is_what_is_left_of_it() -> None:
    def left(limit: int) -> int | None:
        asked = ChatRequest("m", (), sampling=Sampling(max_output_tokens=limit))
        return continued(asked, SAID * 10, "instruct").sampling.max_output_tokens

    assert 850 < (left(1000) or 0) < 900
    assert left(50) == 16
    assert continued(ASKED, SAID, "instruct").sampling.max_output_tokens is None


def test_a_schema_goes_with_the_question_of_a_prefill() -> None:
    wanted = ResponseFormat("json_schema", schema=b'{"type":"object"}')
    made = continued(ChatRequest("m", ASKED.messages, response_format=wanted), '{"a":', "prefill")
    assert made.response_format is None
    assert made.messages[0].role == "system"
    assert '{"type":"object"}' in made.messages[0].text()


@given(st.text())
def test_the_quote_is_an_end_of_the_text_and_the_stem_its_beginning(text: str) -> None:
    assert text.rstrip().endswith(quote(text))
    assert len(quote(text)) <= QUOTE_CHARS or len(text) <= QUOTE_CHARS
    assert text.startswith(stem(text))
    assert len(stem(text)) < len(text) or not text.strip()


def test_a_checkpoint_knows_whole_calls_from_open_ones() -> None:
    assert not CALL.calls[0].is_whole
    whole = after(ToolCallStarted(0, "c1", "look"), ToolCallDelta(0, '{"a":1}'), Finished("tool_calls"))
    assert (whole.calls[0].is_whole, whole.finish) == (True, "tool_calls")


# --- the machine ------------------------------------------------------------------------------------------------------

LIMITS = Limits(first_token_s=20.0, between_tokens_s=10.0, total_s=100.0, max_attempts=5)
A, B, C = target("a/m"), target("b/m"), target("c/m")


def committed(*targets: Any, able: str = "abc", limits: Limits = LIMITS) -> Attempts:
    """A machine whose first attempt has given output; targets named in `able` can go on."""
    all_ = frozenset({"error", "timeout"})
    one = Attempts(targets, limits, all_, 0.0, limits.total_s, 20.0, resumes=lambda t: t.provider in able)  # type: ignore[arg-type]
    one.begin(0.0)
    one.first_output(1.0)
    return one


def broke(kind: ErrorKind = "cut", code: str | None = None, status: int | None = None) -> ProviderError:
    return ProviderError(kind, "no", status, code)


def test_the_next_target_goes_on_and_its_output_commits_again() -> None:
    one = committed(A, B)
    assert one.failed(5.0, broke()) == [SetAlarm(25.0), Start(1, B, 5.0)]
    assert (one.state, one.current.why, one.attempts[0].outcome) == ("resuming", "resume", "cut")
    assert one.first_output(7.0) == [SetAlarm(17.0)]
    assert one.state == "committed"


def test_without_another_target_the_same_one_goes_on() -> None:
    one = committed(A)
    assert one.failed(5.0, broke())[1] == Start(1, A, 5.0)
    assert one.failed(6.0, broke()) == [Fail(broke())]


def test_targets_that_cannot_are_passed_over() -> None:
    assert committed(A, B, C, able="c").failed(5.0, broke())[1] == Start(1, C, 5.0)
    assert committed(A, B, able="").failed(5.0, broke()) == [Fail(broke())]


@pytest.mark.parametrize("kind", ["content_filter", "invalid_request", "too_large"])
def test_an_error_that_every_target_would_give_is_not_resumed(kind: ErrorKind) -> None:
    assert committed(A, B).failed(5.0, broke(kind)) == [Fail(broke(kind))]


def test_a_stall_is_cancelled_and_resumed() -> None:
    one = committed(A, B)
    assert one.alarm(11.0, 1.0) == [Cancel(0), SetAlarm(31.0), Start(1, B, 5.0)]
    assert one.attempts[0].outcome == "timeout"


def test_a_resume_that_stays_silent_gives_way_to_the_next() -> None:
    one = committed(A, B, C)
    one.failed(5.0, broke())
    assert one.alarm(24.0) == [SetAlarm(25.0)]
    assert one.alarm(25.0) == [Cancel(1), SetAlarm(45.0), Start(2, C, 5.0)]


def test_there_are_two_resumes_at_most() -> None:
    one = committed(A, B, C, target("d/m"), able="abcd")
    for now in (5.0, 6.0):
        one.failed(now, broke())
        one.first_output(now + 0.5)
    assert one.failed(8.0, broke()) == [Fail(broke())]


def test_a_form_that_was_refused_is_changed_at_once_and_does_not_count() -> None:
    one = committed(A, B, C)
    one.failed(5.0, broke())
    one.headers(5.5, 400)
    assert one.failed(6.0, broke("invalid_request", status=400))[1] == Start(2, B, 5.0)
    one.first_output(7.0)
    assert one.failed(8.0, broke())[1] == Start(3, C, 5.0)


def test_a_doubtful_answer_is_asked_for_in_another_form_at_once() -> None:
    one = committed(A, B, C)
    one.failed(5.0, broke())
    assert one.failed(6.0, broke("server", DOUBTFUL))[1] == Start(2, B, 5.0)


@pytest.mark.parametrize("limits", [Limits(max_attempts=1), Limits(total_s=5.0)])
def test_attempts_and_time_bound_resumes_too(limits: Limits) -> None:
    one = committed(A, B, limits=limits)
    assert one.failed(5.0, broke()) == [Fail(broke())]


def test_no_resume_begins_past_the_deadline() -> None:
    one = committed(A, B)
    one.failed(5.0, broke())
    found = one.alarm(100.0)
    assert found[0] == Cancel(1)
    assert isinstance(found[1], Fail)
    assert found[1].deadline


def test_a_client_that_leaves_ends_a_resume() -> None:
    one = committed(A, B)
    one.failed(5.0, broke())
    assert one.client_left(6.0) == [Cancel(1)]
    assert one.attempts[1].outcome == "client_closed"
