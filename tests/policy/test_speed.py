"""How fast a stream must come: floors, windows, pauses, and what is learned."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tests.policy.test_condition import RULES, attempt, down, fresh

from afterbay.core.errors import ProviderError
from afterbay.policy.outlier import LEARNED_AFTER, TOO_SLOW, evidence_of
from afterbay.policy.speed import (
    FASTEST_LEARNED,
    LEARNED_WINDOW_S,
    LEAST_TOKENS,
    SET_WINDOW_S,
    SLICE_S,
    Floor,
    Speed,
    floor_of,
)


def test_a_floor_is_set_or_learned_or_none() -> None:
    assert floor_of(3.0, None) == floor_of(3.0, 0.02) == Floor(3.0, SET_WINDOW_S, is_set=True)
    assert floor_of(0.0, 0.02) is None
    assert floor_of(None, None) is None
    assert floor_of(None, 0.25) == Floor(1.0, LEARNED_WINDOW_S, is_set=False), "a quarter of four tokens a second"
    assert floor_of(None, 0.01) == Floor(FASTEST_LEARNED, LEARNED_WINDOW_S, is_set=False)


def looks(outputs: list[tuple[float, int]], window_s: float = LEARNED_WINDOW_S) -> list[tuple[float, float]]:
    """(when, speed) of every verdict over a stream: so many tokens at such times."""
    speed, total, found = Speed(0.0, 0, window_s), 0, []
    for at_s, tokens in outputs:
        total += tokens
        if at_s >= speed.due_s:
            said = speed.look(at_s, total, 0.0)
            if said is not None:
                found.append((at_s, said))
    return found


def steady(gap_s: float, seconds: float, start_s: float = 0.0, tokens: int = 1) -> list[tuple[float, int]]:
    return [(start_s + gap_s * (number + 1), tokens) for number in range(int(seconds / gap_s))]


@given(st.floats(0.05, 30.0), st.integers(1, 50), st.sampled_from([SET_WINDOW_S, LEARNED_WINDOW_S]))
@settings(max_examples=150, deadline=None)
def test_a_steady_stream_is_told_its_speed_at_every_look(gap_s: float, tokens: int, window_s: float) -> None:
    found = looks(steady(gap_s, 300.0, tokens=tokens), window_s)
    assert found
    assert [speed for _, speed in found] == pytest.approx([tokens / gap_s] * len(found), rel=1e-6)
    longest_slice = SLICE_S + gap_s
    assert found[0][0] <= window_s + 3 * longest_slice


def test_a_token_every_fifty_seconds_is_noticed_at_the_second() -> None:
    assert looks(steady(50.0, 200.0))[0] == (100.0, pytest.approx(0.02))


def test_nothing_is_said_before_the_window_is_over() -> None:
    assert looks(steady(1.0, LEARNED_WINDOW_S)) == []
    assert looks(steady(1.0, SET_WINDOW_S + 2 * SLICE_S), SET_WINDOW_S)[0][1] == pytest.approx(1.0)


@pytest.mark.parametrize("pause_s", [15.0, 45.0, 300.0])
def test_a_pause_is_left_out_wherever_it_is(pause_s: float) -> None:
    """A model that thinks in silence: `between_tokens` says how long it may."""
    for before_s in (0.0, 1.0, 30.0):
        outputs = steady(0.05, before_s)
        outputs += [(before_s + pause_s, 1), *steady(0.05, 60.0, before_s + pause_s)]
        assert all(speed > 10 for _, speed in looks(outputs))


def test_a_brown_out_in_the_middle_is_noticed_within_the_window() -> None:
    outputs = [*steady(0.02, 60.0), *steady(2.0, 60.0, 60.0)]
    first = next(at_s for at_s, speed in looks(outputs) if speed < 5)
    assert 60 + 10 < first <= 60 + LEARNED_WINDOW_S + 2 * SLICE_S
    assert looks(outputs)[-1][1] == pytest.approx(0.5)


def test_output_that_is_not_counted_is_not_judged() -> None:
    assert looks(steady(0.1, 60.0, tokens=0)) == []


def test_time_in_which_the_client_did_not_read_is_not_the_targets() -> None:
    speed, verdicts = Speed(0.0, 0, SET_WINDOW_S), []
    for number in range(1, 40):  # ten tokens a second, and after each second nine more until the client took them
        said = speed.look(10.0 * number, 10 * number, 9.0 * number)
        verdicts += [] if said is None else [said]
    assert verdicts
    assert verdicts == pytest.approx([10.0] * len(verdicts))


def test_the_slowest_window_is_learned_and_of_a_short_stream_the_whole() -> None:
    def habit(outputs: list[tuple[float, int]]) -> float | None:
        speed, total = Speed(0.0, 0), 0
        for at_s, tokens in outputs:
            total += tokens
            if at_s >= speed.due_s:
                speed.look(at_s, total, 0.0)
        return speed.habit_s(outputs[-1][0], total, 0.0)

    assert habit(steady(0.1, 5.0)) == pytest.approx(0.1)
    assert habit(steady(0.01, 1.5)) is None
    assert habit(steady(1.0, LEAST_TOKENS - 1)) is None
    assert habit([*steady(0.1, 60.0), *steady(0.5, 60.0, 60.0)]) == pytest.approx(0.5, rel=0.1)


def test_a_target_has_a_habit_after_enough_streams() -> None:
    one = fresh()
    assert one.usual_token_s is None
    for number in range(LEARNED_AFTER):
        one.flowed(1.0 * number, 0.02 if number % 10 else 0.1)
    one.flowed(10 * RULES.window_s, 0.02)
    assert one.usual_token_s == pytest.approx(0.1, rel=0.2)


# Health


def test_a_stream_that_trickled_is_evidence_of_a_slow_target_not_of_a_dead_one() -> None:
    assert evidence_of(ProviderError("timeout", "slow", code=TOO_SLOW)) == "slow"
    one = fresh()
    for number in range(20):
        attempt(one, 1.0 * number)
    for number in range(9):
        attempt(one, 20.0 + number, "slow")
    assert one.state(30.0) == "closed", "twenty figures are asked for, as of times to first output"
    for number in range(12):
        attempt(one, 30.0 + number, "slow")
    assert (one.state(42.0), one.illness) == ("open", "slow")
    assert one.sent_and_accepted(42.0) == (41, 41), "it answered: nobody is held back for it"
    assert not one.is_down(42.0), "it is asked last, not left out"


def test_the_one_trial_of_an_ejected_target_may_not_trickle() -> None:
    one = down(0.0)
    trial = one.began(40.0)
    assert trial.is_first
    trial.ended(60.0, "slow")
    assert (one.state(60.0), one.illness) == ("open", "slow")
