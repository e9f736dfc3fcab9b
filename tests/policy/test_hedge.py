"""When a second attempt is made beside the first, on whom, and within which caps."""

from __future__ import annotations

import random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.core.errors import ErrorKind, ProviderError
from afterbay.policy.attempts import Attempts, Cancel, Deliver, Fail, Finish, SetAlarm, Start
from afterbay.policy.hedge import FREE, LEARNED_AFTER, Hedge, Hedges, Hedging, Ledger
from afterbay.policy.plan import FallbackOn, Limits
from afterbay.policy.quantile import Histogram
from afterbay.testing.memory_gateway import target

A, B, C = target("a/m"), target("b/m"), target("c/m")
LIMITS = Limits(connect_s=5.0, first_token_s=20.0, between_tokens_s=10.0, total_s=100.0, max_attempts=4)
ALL: frozenset[FallbackOn] = frozenset({"error", "timeout", "rate_limit", "invalid", "empty"})
SOON = Hedging(after_s=2.0, max_share=1.0, max_extra_cost=1.0)


def hedge(rules: Hedging = SOON, hedges: Hedges | None = None, ill: Any = (), stream: bool = True) -> Hedge:
    known = hedges if hedges is not None else Hedges()
    return Hedge(rules, known.ledger("r"), known, stream, lambda one: one not in ill)


def racing(rules: Hedging = SOON, *targets: Any, limits: Limits = LIMITS, **more: Any) -> Attempts:
    one = Attempts(targets or (A, B, C), limits, ALL, 0.0, 100.0, 20.0, hedge=hedge(rules, **more))
    one.begin(0.0)
    return one


def bad(kind: ErrorKind = "server") -> ProviderError:
    return ProviderError(kind, "no", 500)


def test_after_the_delay_a_second_target_is_asked_beside_the_first() -> None:
    one = Attempts((A, B), LIMITS, ALL, 0.0, 100.0, 20.0, hedge=hedge())
    assert one.begin(0.0) == [SetAlarm(2.0), Start(0, A, 5.0)]
    assert one.alarm(1.0) == [SetAlarm(2.0)]
    assert one.alarm(2.0)[-1] == Start(1, B, 5.0)
    assert [(each.why, each.outcome) for each in one.attempts] == [("primary", None), ("hedge", None)]


@pytest.mark.parametrize(("winner", "loser"), [(0, 1), (1, 0)])
def test_the_first_output_of_either_calls_the_other_off(winner: int, loser: int) -> None:
    one = racing()
    one.alarm(2.0)
    assert one.first_output(3.0, winner) == [Cancel(loser), SetAlarm(13.0)]
    assert (one.attempts[loser].outcome, one.attempts[loser].ended_s, one.current.number) == ("cancelled", 3.0, winner)
    assert one.ended(4.0) == [Finish()]


def test_a_race_starts_all_at_once() -> None:
    one = Attempts((A, B, C), LIMITS, ALL, 0.0, 100.0, 20.0, hedge=hedge(Hedging(0.0, width=3, max_share=9)))
    started = [action for action in one.begin(0.0) if isinstance(action, Start)]
    assert [(start.number, start.target) for start in started] == [(0, A), (1, B), (2, C)]


def test_a_race_is_never_wider_than_allowed() -> None:
    one = Attempts((A, B, C), LIMITS, ALL, 0.0, 100.0, 20.0, hedge=hedge(Hedging(0.0, width=2, max_share=9)))
    assert sum(isinstance(action, Start) for action in one.begin(0.0)) == 2
    assert one.alarm(19.0) == [SetAlarm(20.0)]


def test_while_another_runs_a_failure_starts_nothing() -> None:
    one = racing()
    one.alarm(2.0)
    assert one.failed(3.0, bad(), number=0) == [SetAlarm(22.0)]
    assert one.failed(4.0, bad(), number=1)[-1] == Start(2, C, 5.0)
    assert [each.why for each in one.attempts] == ["primary", "hedge", "fallback"]


def test_a_wrong_request_ends_the_race() -> None:
    one = racing()
    one.alarm(2.0)
    assert one.failed(3.0, bad("invalid_request"), number=0) == [Cancel(1), Fail(bad("invalid_request"))]


def test_a_refusal_is_not_raced_around() -> None:
    one = racing()
    one.alarm(2.0)
    assert one.unusable(3.0, "refusal", "it refused", 0) == [Cancel(1), Deliver(0)]


def test_an_empty_answer_waits_for_the_other() -> None:
    one = racing()
    one.alarm(2.0)
    assert one.unusable(3.0, "empty", "nothing", 1) == [SetAlarm(20.0)]
    assert one.first_output(4.0, 0) == [SetAlarm(14.0)]


def test_each_attempt_has_its_own_time() -> None:
    one = racing()
    one.alarm(2.0)
    assert one.alarm(20.0) == [Cancel(0), SetAlarm(22.0)]
    assert one.alarm(22.0)[:1] == [Cancel(1)]
    assert [each.outcome for each in one.attempts] == ["timeout", "timeout", None]


def test_the_deadline_ends_all() -> None:
    one = racing()
    one.alarm(2.0)
    actions = one.alarm(100.0)
    assert actions[:2] == [Cancel(0), Cancel(1)]
    assert isinstance(actions[2], Fail)
    assert actions[2].deadline


def test_a_client_that_leaves_ends_all() -> None:
    one = racing()
    one.alarm(2.0)
    assert one.client_left(3.0) == [Cancel(0), Cancel(1)]
    assert {each.outcome for each in one.attempts} == {"client_closed"}


def test_a_cut_of_the_winner_is_gone_on_with_by_who_lost() -> None:
    one = Attempts((A, B), LIMITS, ALL, 0.0, 100.0, 20.0, resumes=lambda _: True, hedge=hedge())
    one.begin(0.0)
    one.alarm(2.0)
    one.first_output(3.0, 1)
    assert one.failed(4.0, bad("cut"), number=1)[-1] == Start(2, A, 5.0)


def test_nobody_is_asked_who_is_not_well() -> None:
    one = racing(SOON, A, B, ill=[B])
    assert one.alarm(2.0) == [SetAlarm(20.0)]
    assert len(one.attempts) == 1


def test_too_dear_targets_are_passed_over() -> None:
    one = Attempts((A, B, C), LIMITS, ALL, 0.0, 100.0, 20.0, affords=lambda each: each is C)
    assert one.begin(0.0)[-1] == Start(0, C, 5.0)
    none = Attempts((A, B), LIMITS, ALL, 0.0, 100.0, 20.0, affords=lambda _: False)
    assert none.begin(0.0) == [Fail(None)]


def test_a_percentile_is_learned_before_it_is_used() -> None:
    hedges = Hedges()
    one = hedge(Hedging(percentile=0.95), hedges)
    for at in range(LEARNED_AFTER - 1):
        one.waited("a/m", 0.1 + at / 1000)
    assert one.delay_s(A) is None
    for at in range(200):
        one.waited("a/m", 0.1 if at % 20 else 1.0)
    found = one.delay_s(A)
    assert found is not None
    assert 0.1 < found <= 1.05
    assert hedge(Hedging(percentile=0.95), hedges, stream=False).delay_s(A) is None


@given(st.lists(st.floats(0.006, 400), min_size=1, max_size=300), st.floats(0.01, 0.99))
def test_a_quantile_is_right_within_a_step(times: list[float], share: float) -> None:
    one = Histogram(1.05)
    for seconds in times:
        one.note(seconds)
    ranked = sorted(times)
    exact = next(value for at, value in enumerate(ranked, 1) if at >= share * len(ranked))
    assert exact / 1.0001 <= one.quantile(share) <= exact * 1.051


def test_what_is_kept_of_old_figures_keeps_their_shape() -> None:
    one = Histogram()
    for at in range(2000):
        one.note(0.1 if at % 10 else 10.0)
    before = one.quantile(0.8), one.quantile(0.95)
    one.shrink(500)
    assert (one.quantile(0.8), one.quantile(0.95)) == before
    assert 490 <= one.total <= 500


def test_hedges_are_at_most_their_share_of_the_requests() -> None:
    ledger, rules, made = Ledger(), Hedging(0.0, max_share=0.05, max_extra_cost=9.0), 0
    for at in range(1000):
        ledger.began(at * 1.0)
        made += ledger.take(at * 1.0, rules) is None
        ledger.settled(at * 1.0, 100, 0)
    assert 45 <= made <= 50


def test_hedges_cost_at_most_their_share_of_the_spend() -> None:
    ledger, rules, rng = Ledger(), Hedging(0.0, max_share=1.0, max_extra_cost=0.1), random.Random(7)
    spent = extra = 0
    for at in range(3000):
        now = at * 1.0
        ledger.began(now)
        cost, more = rng.randrange(50, 150), 0
        if ledger.take(now, rules) is None:
            more = rng.randrange(100, 300)
        ledger.settled(now, cost + more, more)
        if at > 200:
            spent, extra = spent + cost + more, extra + more
    assert 0.08 < extra / spent < 0.11


def test_an_hour_later_all_is_forgotten() -> None:
    ledger, rules = Ledger(), Hedging(0.0)
    assert [ledger.take(0.0, rules) for _ in range(FREE + 1)] == [None] * FREE + ["share"]
    assert ledger.take(3700.0, rules) is None


def test_no_hedge_is_made_that_would_come_too_late() -> None:
    hedges = Hedges()
    one = hedge(SOON, hedges)
    for _ in range(LEARNED_AFTER):
        one.waited("b/m", 30.0)
    assert not one.take(B, 0.0, 20.0)
    assert one.denied == "time"
    assert one.take(B, 0.0, 60.0)
