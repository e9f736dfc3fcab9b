"""How long an ill target is left out, and how it comes back."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from afterbay.policy.breaker import JITTER, LONGEST_S, TRIAL_S, Breaker
from afterbay.policy.condition import PROBES, Condition, Trial
from afterbay.policy.outlier import Evidence
from afterbay.policy.plan import HealthRules

RULES = HealthRules()


def fresh(share: float = 0.0) -> Condition:
    return Condition(RULES, 0.0, lambda _: share)


def attempt(one: Condition, now: float, evidence: Evidence = "ok", took_s: float = 0.0) -> Trial:
    trial = one.began(now)
    trial.ended(now + took_s, evidence)
    return trial


def down(now: float = 0.0, evidence: Evidence = "failed") -> Condition:
    one = fresh()
    for _ in range(5):
        attempt(one, now, evidence)
    assert one.state(now) == "open"
    return one


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_ejections_grow_up_to_the_longest_and_are_spread_by_the_draw(share: float) -> None:
    breaker, now, lengths = Breaker(RULES, 0.0), 0.0, []
    for _ in range(15):
        breaker.trip(now, share)
        lengths.append(breaker.until_s - now)
        now = breaker.until_s
    factor = 1 - JITTER * share
    assert lengths[:3] == pytest.approx([30 * factor, 60 * factor, 90 * factor])
    assert max(lengths) == pytest.approx(LONGEST_S * factor)


def test_every_window_spent_well_takes_an_ejection_off_the_count() -> None:
    breaker = Breaker(RULES, 0.0)
    for _ in range(4):
        breaker.trip(0.0, 0.0)
    breaker.close(100.0)
    breaker.trip(100.0 + 2.5 * RULES.window_s, 0.0)
    assert breaker.until_s - breaker.opened_s == 90.0
    breaker.close(400.0)
    breaker.trip(10_000.0, 0.0)
    assert breaker.until_s - breaker.opened_s == 30.0


def test_one_request_goes_to_a_half_open_target_and_its_success_closes() -> None:
    one = down()
    assert not one.is_usable(29.9)
    assert one.ejected_for_s(10.0) == 20.0
    assert one.is_usable(30.0)
    trial = one.began(30.0)
    assert trial.is_first
    assert not one.is_usable(31.0)
    assert one.state(31.0) == "half_open"
    trial.answered(32.0)
    assert one.state(32.0) == "closed"
    assert one.illness is None
    assert one.is_usable(32.0)


def test_its_failure_ejects_for_longer() -> None:
    one = down()
    attempt(one, 30.0, "unreached", took_s=1.0)
    assert one.illness == "out of reach"
    assert one.ejected_for_s(31.0) == 60.0
    assert one.ejections == 2


@pytest.mark.parametrize("evidence", ["nothing", "left"])
def test_a_trial_that_shows_nothing_lets_the_next_one_in(evidence: Evidence) -> None:
    one = down()
    attempt(one, 30.0, evidence)
    assert one.state(30.0) == "half_open"
    assert one.is_usable(30.0)


def test_a_trial_without_an_end_does_not_keep_others_away_for_ever() -> None:
    one = down()
    one.began(30.0)
    assert not one.is_usable(30.0 + TRIAL_S - 1)
    assert one.is_usable(30.0 + TRIAL_S)


def test_news_of_before_the_ejection_changes_nothing() -> None:
    one = fresh()
    old, older = one.began(0.0), one.began(0.0)
    for _ in range(5):
        attempt(one, 1.0, "failed")
    old.answered(2.0)
    old.ended(3.0, "ok")
    older.ended(40.0, "failed")
    assert one.state(3.0) == "open"
    assert one.ejections == 1


def test_good_news_in_spite_of_an_ejection_ends_it() -> None:
    one = down()
    attempt(one, 10.0, "failed")
    assert one.ejected_for_s(10.0) == 20.0
    attempt(one, 11.0)
    assert one.state(11.0) == "closed"


@pytest.mark.parametrize("evidence", ["nothing", "left"])
def test_wrong_requests_never_eject(evidence: Evidence) -> None:
    one = fresh()
    for number in range(1000):
        attempt(one, number * 0.01, evidence)
    assert one.state(10.0) == "closed"


def slow() -> Condition:
    one = fresh()
    for number in range(200):
        stream(one, number * 0.5, 1.0)
    assert one.limit_s is not None
    for number in range(40):
        stream(one, 101.0 + 0.1 * number, 20.0)
    assert one.illness == "slow"
    return one


def stream(one: Condition, began_s: float, ttft_s: float) -> None:
    trial = one.began(began_s)
    trial.answered(began_s + ttft_s)
    trial.ended(began_s + ttft_s, "ok")


def test_a_slow_target_is_ejected_but_not_down_and_comes_back_when_it_is_quick() -> None:
    one = slow()
    now = one._breaker.until_s
    assert not one.is_down(now - 1)
    assert not one.is_usable(now - 1)
    stream(one, now, 20.0)
    assert one.state(now + 20.0) == "open"
    now = one._breaker.until_s
    stream(one, now, 1.0)
    assert one.state(now + 1.0) == "closed"


def test_a_quick_answer_ends_slowness_at_once_and_a_slow_one_beside_the_trial_does_not_prolong_it() -> None:
    one = slow()
    opened_s, until_s = one._breaker.opened_s, one._breaker.until_s
    stream(one, opened_s + 1, 20.0)
    assert one._breaker.until_s == until_s
    stream(one, opened_s + 2, 0.5)
    assert one.state(opened_s + 3) == "closed"


def test_clients_that_give_up_waiting_show_that_a_target_is_silent() -> None:
    one = fresh()
    for number in range(200):
        stream(one, number * 0.5, 1.0)
    for number in range(40):
        attempt(one, 101.0 + 0.1 * number, "left", took_s=30.0)
    assert one.illness == "slow"


def test_a_probe_that_finds_nobody_keeps_requests_away_and_one_that_is_answered_lets_one_try() -> None:
    one = down(evidence="unreached")
    one.probed(25.0, "unreached", 0.1)
    assert not one.is_usable(40.0)
    one.probed(50.0, "nothing", 5.0)
    assert not one.is_usable(54.0)
    one.probed(54.0, "reached", 0.1)
    assert one.state(54.0) == "half_open"
    assert one.is_usable(54.0)


def test_an_idle_target_is_ejected_after_three_probes_that_found_nobody() -> None:
    one = fresh()
    for number in range(PROBES):
        assert one.state(60.0 * number) == "closed"
        one.probed(60.0 * number, "unreached", 0.1)
    assert one.illness == "probes failed"
    assert one.is_down(60.0 * PROBES - 60)


def test_an_attempt_ends_once() -> None:
    one = fresh()
    trial = attempt(one, 0.0, "failed")
    for _ in range(10):
        trial.ended(1.0, "failed")
        trial.answered(1.0)
    assert one.load.in_flight == 0
    assert one.state(1.0) == "closed"


class Targets(RuleBasedStateMachine):
    """Any history: the counts are right, an open target always comes to its trial, and never two at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.one = Condition(RULES, 0.0, lambda _: 0.3)
        self.running: list[Trial] = []

    @rule(seconds=st.floats(0, 90))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def begin(self) -> None:
        was = self.one.state(self.now)
        usable = self.one.is_usable(self.now)
        trial = self.one.began(self.now)
        assert trial.is_first == (usable and was == "half_open")
        self.running.append(trial)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def answer(self, data: Any) -> None:
        data.draw(st.sampled_from(self.running)).answered(self.now, whole=data.draw(st.booleans()))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), evidence=st.sampled_from(["ok", "failed", "failed", "unreached", "nothing", "left"]))
    def end(self, data: Any, evidence: Evidence) -> None:
        trial = data.draw(st.sampled_from(self.running))
        self.running.remove(trial)
        trial.ended(self.now, evidence)

    @rule(result=st.sampled_from(["reached", "unreached", "nothing"]))
    def probe(self, result: Any) -> None:
        self.one.probed(self.now, result, 0.1)

    @invariant()
    def holds(self) -> None:
        one, now = self.one, self.now
        assert one.load.in_flight == len(self.running)
        assert (one.state(now) == "closed") == (one.illness is None)
        assert one.ejected_for_s(now) <= LONGEST_S
        assert one.is_usable(now + LONGEST_S + TRIAL_S)
        sent, accepted = one.sent_and_accepted(now)
        assert accepted >= 0
        assert sent >= 0


TestTargets = Targets.TestCase
TestTargets.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 40))
def test_an_ejection_is_never_longer_than_five_minutes(share: float, times: int) -> None:
    breaker = Breaker(RULES, 0.0)
    for _ in range(times):
        breaker.trip(0.0, share)
    assert 24.0 <= breaker.until_s <= LONGEST_S  # the widest share rounds to all of it
