"""Each transition of the attempt machine, one by one, as its table of states says."""

from __future__ import annotations

from typing import Any

import pytest

from afterbay.core.errors import ErrorKind, ProviderError
from afterbay.policy.attempts import Attempts, Cancel, Deliver, Fail, Finish, SetAlarm, Start
from afterbay.policy.plan import FallbackOn, Limits
from afterbay.policy.retry import RetryBudget
from afterbay.testing.memory_gateway import target

A, B, C = target("a/m"), target("b/m"), target("c/m")
LIMITS = Limits(connect_s=5.0, first_token_s=20.0, between_tokens_s=10.0, total_s=100.0, max_attempts=3)
TWO = Limits(connect_s=5.0, first_token_s=20.0, between_tokens_s=10.0, total_s=100.0, max_attempts=2)
ALL: frozenset[FallbackOn] = frozenset({"error", "timeout", "rate_limit", "invalid", "empty"})


def machine(*targets: object, limits: Limits = LIMITS, on: frozenset[FallbackOn] = ALL, **more: Any) -> Attempts:
    return Attempts(targets or (A, B), limits, on, 0.0, limits.total_s, 20.0, **more)  # type: ignore[arg-type]


def running(*targets: object, **options: object) -> Attempts:
    one = machine(*targets, **options)  # type: ignore[arg-type]
    one.begin(0.0)
    return one


def error(kind: ErrorKind = "server", wait: float | None = None) -> ProviderError:
    return ProviderError(kind, "no", 500, retry_after_s=wait)


def test_a_new_machine_starts_the_first_target_with_its_alarm_set_first() -> None:
    one = machine()
    assert one.begin(0.0) == [SetAlarm(20.0), Start(0, A, 5.0)]
    assert (one.state, one.attempts[0].why) == ("running", "primary")


def test_a_machine_that_begins_too_late_fails_by_its_deadline() -> None:
    assert machine().begin(100.0) == [Fail(None, deadline=True)]


def test_the_first_alarm_is_never_past_the_deadline() -> None:
    assert machine().begin(95.0)[0] == SetAlarm(100.0)


def test_the_first_output_commits() -> None:
    one = running()
    assert one.first_output(3.0) == [SetAlarm(13.0)]
    assert (one.state, one.attempts[0].first_token_s) == ("committed", 3.0)


def test_a_committed_attempt_that_ends_is_finished() -> None:
    one = running()
    one.first_output(1.0)
    assert one.ended(4.0) == [Finish()]
    assert (one.state, one.attempts[0].outcome, one.attempts[0].ended_s) == ("done", "ok", 4.0)


def test_a_committed_attempt_that_breaks_has_no_way_back() -> None:
    one = running()
    one.first_output(1.0)
    assert one.failed(4.0, error("cut")) == [Fail(error("cut"))]
    assert one.attempts[0].outcome == "cut"


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("server", "error"), ("overloaded", "error"), ("authentication", "error"), ("permission", "error"),
        ("not_found", "error"), ("connection", "connection"), ("cut", "cut"), ("timeout", "timeout"),
        ("rate_limit", "rate_limit"), ("quota", "rate_limit"),
    ],
)  # fmt: skip
def test_before_the_commit_a_providers_error_leads_to_the_next_target(kind: ErrorKind, outcome: str) -> None:
    one = running()
    assert one.failed(2.0, error(kind)) == [SetAlarm(22.0), Start(1, B, 5.0)]
    assert [(each.outcome, each.why) for each in one.attempts] == [(outcome, "primary"), (None, "fallback")]


@pytest.mark.parametrize("kind", ["invalid_request", "too_large", "content_filter"])
def test_a_request_that_is_wrong_is_not_tried_elsewhere(kind: ErrorKind) -> None:
    assert running().failed(2.0, error(kind)) == [Fail(error(kind))]


@pytest.mark.parametrize(
    ("kind", "left_out"),
    [("server", "error"), ("timeout", "timeout"), ("rate_limit", "rate_limit"), ("quota", "rate_limit")],
)
def test_fallback_on_decides_which_errors_lead_on(kind: ErrorKind, left_out: FallbackOn) -> None:
    assert running(on=ALL - {left_out}).failed(2.0, error(kind)) == [Fail(error(kind))]


def test_the_last_target_that_fails_ends_it() -> None:
    one = running(limits=TWO)
    one.failed(1.0, error())
    assert one.failed(2.0, error("cut")) == [Fail(error("cut"))]


def test_max_attempts_bounds_the_chain() -> None:
    one = running(A, B, C, target("d/m"))
    one.failed(1.0, error())
    one.failed(2.0, error())
    assert one.failed(3.0, error()) == [Fail(error())]
    assert len(one.attempts) == 3


def test_the_only_target_is_waited_for_when_it_says_how_long() -> None:
    one = running(A)
    assert one.failed(2.0, error("rate_limit", 4.0)) == [SetAlarm(6.0)]
    assert one.state == "waiting"
    assert one.alarm(5.0) == [SetAlarm(6.0)], "an alarm that rings early is set again"
    assert one.alarm(6.0) == [SetAlarm(26.0), Start(1, A, 5.0)]
    assert one.attempts[1].why == "retry"


@pytest.mark.parametrize(
    ("kind", "wait", "why"),
    [
        ("rate_limit", None, "it did not say how long"),
        ("rate_limit", 21.0, "longer than the longest wait"),
        ("rate_limit", float("inf"), "nonsense"),
        ("rate_limit", -1.0, "nonsense"),
        ("quota", 3.0, "no credit comes back by waiting"),
    ],
)
def test_the_only_target_is_not_waited_for(kind: ErrorKind, wait: float | None, why: str) -> None:
    assert isinstance(running(A).failed(2.0, error(kind, wait))[0], Fail), why


def test_nobody_waits_past_the_deadline() -> None:
    one = running(A, limits=Limits(first_token_s=20.0, total_s=10.0))
    assert isinstance(one.failed(2.0, error("overloaded", 8.0))[0], Fail)


def test_a_wait_counts_as_an_attempt() -> None:
    one = running(A, limits=Limits(first_token_s=20.0, total_s=100.0, max_attempts=1))
    assert isinstance(one.failed(2.0, error("overloaded", 1.0))[0], Fail)


def test_the_deadline_ends_a_wait() -> None:
    one = running(A)
    one.failed(90.0, error("rate_limit", 5.0))
    assert one.alarm(100.0) == [Fail(error("rate_limit", 5.0), deadline=True)]


def test_no_first_token_in_time_leads_to_the_next_target() -> None:
    one = running()
    first, *rest = one.alarm(20.0)
    assert [first, *rest] == [Cancel(0), SetAlarm(40.0), Start(1, B, 5.0)]
    assert one.attempts[0].error is not None
    assert "first_token = 20 s" in one.attempts[0].error


def test_without_another_target_a_timeout_ends_it_and_is_not_the_deadline() -> None:
    cancel, fail = running(A).alarm(20.0)
    assert cancel == Cancel(0)
    assert isinstance(fail, Fail)
    assert fail.last is not None
    assert (fail.last.code, fail.deadline) == ("timeout_first_token", False)


def test_an_early_alarm_is_set_again() -> None:
    assert running().alarm(19.0) == [SetAlarm(20.0)]


def test_the_deadline_ends_a_running_attempt_even_with_targets_left() -> None:
    cancel, fail = running().alarm(100.0)
    assert cancel == Cancel(0)
    assert isinstance(fail, Fail)
    assert fail.deadline


def test_between_tokens_counts_from_the_last_output() -> None:
    one = running()
    one.first_output(1.0)
    assert one.alarm(11.0, last_output_s=8.0) == [SetAlarm(18.0)]
    cancel, fail = one.alarm(18.0, last_output_s=8.0)
    assert cancel == Cancel(0)
    assert isinstance(fail, Fail)
    assert fail.last is not None
    assert fail.last.code == "timeout_between_tokens"


def test_the_deadline_ends_a_committed_attempt() -> None:
    one = running()
    one.first_output(1.0)
    cancel, fail = one.alarm(100.0, last_output_s=99.9)
    assert cancel == Cancel(0)
    assert isinstance(fail, Fail)
    assert fail.deadline


def test_a_committed_alarm_is_never_past_the_deadline() -> None:
    one = running()
    one.first_output(1.0)
    assert one.alarm(97.0, last_output_s=96.0) == [SetAlarm(100.0)]


@pytest.mark.parametrize("outcome", ["empty", "invalid"])
def test_a_poor_answer_is_kept_while_another_target_is_tried(outcome: str) -> None:
    one = running(limits=TWO)
    assert one.unusable(2.0, outcome, "why")[1] == Start(1, B, 5.0)  # type: ignore[arg-type]
    assert one.failed(3.0, error()) == [Deliver(0)]
    assert [each.outcome for each in one.attempts] == [outcome, "error"]


def test_a_poor_answer_is_delivered_where_nothing_else_is_left() -> None:
    assert running(A).unusable(2.0, "empty", "why") == [Deliver(0)]


def test_a_poor_answer_is_delivered_where_fallback_on_does_not_name_it() -> None:
    assert running(on=frozenset({"error"})).unusable(2.0, "invalid", "why") == [Deliver(0)]


def test_an_answer_that_misses_its_form_is_better_than_an_empty_one() -> None:
    one = running()
    one.unusable(2.0, "invalid", "why")
    assert one.unusable(3.0, "empty", "why") == [Deliver(0)]


def test_of_two_poor_answers_of_a_kind_the_last_one_is_delivered() -> None:
    one = running()
    one.unusable(2.0, "invalid", "why")
    assert one.unusable(3.0, "invalid", "why") == [Deliver(1)]


def test_a_refusal_is_an_answer_in_the_log() -> None:
    one = running(on=ALL | {"refusal"})
    one.unusable(2.0, "refusal", "refused")
    assert one.attempts[0].outcome == "ok"


def test_a_wrong_request_after_a_poor_answer_gives_the_poor_answer() -> None:
    one = running()
    one.unusable(2.0, "invalid", "why")
    assert one.failed(3.0, error("invalid_request")) == [Deliver(0)]


@pytest.mark.parametrize("committed", [False, True])
def test_a_client_that_leaves_ends_what_runs(committed: bool) -> None:
    one = running()
    if committed:
        one.first_output(1.0)
    assert one.client_left(2.0) == [Cancel(0)]
    assert (one.state, one.attempts[0].outcome) == ("done", "client_closed")
    assert one.client_left(3.0) == []


def test_a_client_that_leaves_during_a_wait_cancels_nothing() -> None:
    one = running(A)
    one.failed(2.0, error("rate_limit", 4.0))
    assert one.client_left(3.0) == []
    assert (one.state, one.attempts[0].outcome) == ("done", "rate_limit")


def test_a_client_that_leaves_before_the_start_leaves_nothing() -> None:
    one = machine()
    assert one.client_left(0.0) == []
    assert one.attempts == []


def test_a_done_machine_does_not_answer_an_alarm() -> None:
    one = running(A)
    one.failed(1.0, error("not_found"))
    assert one.alarm(20.0) == []


def test_an_error_that_passes_by_itself_is_tried_again_where_no_other_target_is_left() -> None:
    one = machine(A, chance=lambda purpose: {"retry/0": 0.5, "retry/1": 1.0}[purpose])
    one.begin(0.0)
    assert one.failed(2.0, error()) == [SetAlarm(2.125)]
    assert one.alarm(2.125)[1] == Start(1, A, 5.0)
    assert one.failed(3.0, error("cut")) == [SetAlarm(3.5)]
    one.alarm(3.5)
    assert one.failed(4.0, error()) == [Fail(error())], "three attempts in all"
    assert [each.why for each in one.attempts] == ["primary", "retry", "retry"]


def test_two_targets_that_fail_leave_one_retry() -> None:
    one = running(limits=Limits(total_s=100.0, max_attempts=5))
    one.failed(1.0, error())
    one.failed(2.0, error())
    assert one.state == "waiting"
    assert one.alarm(2.0)[1] == Start(2, B, 5.0)
    assert one.failed(3.0, error()) == [Fail(error())]


def test_a_spent_budget_ends_it_and_the_log_says_so() -> None:
    budget = RetryBudget(share=0.0, least=0)
    one = machine(A, share=budget.share())
    one.begin(0.0)
    assert one.failed(2.0, error()) == [Fail(error())]
    assert one.attempts[0].error == "server: no; not tried again: the retry budget is used up"
    assert budget.denied == 1


@pytest.mark.parametrize("on", [ALL, frozenset[FallbackOn]()])
def test_another_key_is_tried_at_once_whatever_leads_to_other_targets(on: frozenset[FallbackOn]) -> None:
    one = running(on=on)
    assert one.failed(2.0, error("rate_limit", 60.0), another_key=True) == [SetAlarm(22.0), Start(1, A, 5.0)]
    assert one.attempts[1].why == "key"


def test_keys_leave_an_attempt_for_each_target() -> None:
    one = running(A, B)
    one.failed(1.0, error("rate_limit"), another_key=True)
    assert one.failed(2.0, error("rate_limit"), another_key=True)[1] == Start(2, B, 5.0)
    assert isinstance(one.failed(3.0, error("rate_limit"), another_key=True)[0], Fail)


def test_after_the_commit_no_other_key_is_tried() -> None:
    one = running()
    one.first_output(1.0)
    assert one.failed(2.0, error("rate_limit"), another_key=True) == [Fail(error("rate_limit"))]


def test_the_key_is_noted_with_the_headers() -> None:
    one = running()
    one.headers(1.5, 200, 2)
    assert one.attempts[0].key == 2


def test_headers_are_noted_with_their_time() -> None:
    one = running()
    one.headers(1.5, 200)
    assert (one.attempts[0].headers_s, one.attempts[0].status) == (1.5, 200)


def test_a_repair_is_noted_beside_the_committed_attempt_and_changes_nothing_else() -> None:
    one = running()
    one.first_output(1.0)
    noted = one.repair(2.0)
    assert noted is not None
    assert (noted.number, noted.target, noted.why, noted.started_s) == (1, "a/m", "repair", 2.0)
    assert (one.state, one.current) == ("committed", one.attempts[0])
    assert one.ended(4.0) == [Finish()]
    assert [(a.outcome, a.ended_s) for a in one.attempts] == [("ok", 4.0), (None, None)]


def test_an_error_after_a_repair_is_the_answers_own() -> None:
    one = running()
    one.first_output(1.0)
    one.repair(2.0)
    assert one.client_left(3.0) == [Cancel(0)]
    assert [a.outcome for a in one.attempts] == ["client_closed", None]


def test_no_repair_before_the_first_output_nor_without_attempts_or_time() -> None:
    one = running()
    assert one.repair(1.0) is None
    one.first_output(1.0)
    assert one.repair(100.0) is None
    assert one.repair(2.0) is not None
    assert one.repair(3.0) is not None
    assert one.repair(4.0) is None, "three attempts are all there may be"
