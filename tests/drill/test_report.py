"""What a report says of three runs: figures by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.decision import Attempt, Outcome, Why
from afterbay.drill.report import Asked, Ejected, Report, Run, Seen, compare, quantile
from afterbay.drill.scenes import scene

from .support import CONFIG, reach

ONE, TWO = "one/m-1", "two/m-2"


def attempt(target: str, outcome: Outcome, why: Why = "primary", first_s: float | None = None) -> Attempt:
    return Attempt(0, target, why, 0.0, first_token_s=first_s, ended_s=1.0, outcome=outcome)


def seen(at_s: float, *attempts: Attempt, error: str = "", ttft_s: float | None = 0.5, took_s: float = 1.0) -> Seen:
    return Seen(at_s, took_s, error, ttft_s, attempts)


FINE = attempt(ONE, "ok", first_s=0.5)


@pytest.fixture
def drilled(tmp_path: Path) -> Asked:
    """An outage of the first provider from 25 s to 50 s of 100."""
    found = reach(tmp_path)
    return Asked(scene("outage", found, None, 100.0), found, 1, 4, 0.04)


def report(drilled: Asked, *failing: Seen, ejected: tuple[Ejected, ...] = ()) -> Report:
    healthy = Run(tuple(seen(10.0 * at, FINE) for at in range(4)), 400)
    return compare(drilled, "simulated", healthy, Run(failing, 700, ejected), Run((seen(30.0, error="503"),)))


def test_saved_are_those_that_were_served_though_their_first_attempt_failed(drilled: Asked) -> None:
    told = report(
        drilled,
        seen(10.0, FINE),
        seen(30.0, attempt(ONE, "error"), attempt(TWO, "ok", "fallback")),
        seen(31.0, attempt(ONE, "cut"), attempt(TWO, "ok", "resume")),
        seen(32.0, attempt(ONE, "error"), attempt(TWO, "error", "fallback"), error="502"),
    )
    assert (told.saved, told.saved_by) == (2, {"fallback": 1, "resume": 1})


def test_an_attempt_that_a_hedge_was_quicker_than_had_not_failed(drilled: Asked) -> None:
    assert report(drilled, seen(30.0, attempt(ONE, "cancelled"), attempt(TWO, "ok", "hedge"))).saved == 0


def test_a_request_that_came_to_no_attempt_is_lost(drilled: Asked) -> None:
    told = report(drilled, seen(30.0, error="503 all_targets_down", ttft_s=None))
    assert (told.failing.served, told.failing.failed) == (0, {"503 all_targets_down": 1})


def test_what_was_under_way_when_it_began_counts_for_the_time_of_the_failure(drilled: Asked) -> None:
    told = report(drilled, seen(10.0, FINE), seen(24.5, error="cut"), seen(60.0, FINE))
    assert (told.failing.requests_during, told.failing.served_during) == (1, 0)
    assert (told.failing.availability_during, told.failing.availability) == (0.0, pytest.approx(2 / 3))


def test_added_time_and_cost_are_those_with_it_less_those_without(drilled: Asked) -> None:
    told = report(drilled, seen(30.0, FINE, ttft_s=0.75))
    assert (told.added_ttft_p50_s, told.added_ttft_p99_s) == (0.25, 0.25)
    assert told.extra_cost_picousd == 300


def test_where_nothing_was_served_nothing_is_measured(drilled: Asked) -> None:
    told = report(drilled, seen(30.0, error="x", ttft_s=None))
    assert (told.added_ttft_p50_s, told.failing.took_p99_during_s) == (None, None)


def test_without_a_price_of_a_target_that_was_used_the_cost_is_unknown_and_not_too_low(tmp_path: Path) -> None:
    found = reach(
        tmp_path, text=CONFIG.replace(", price: {input: 3, output: 9}, headers", ", base_url: 'http://h', headers")
    )
    drilled = Asked(scene("outage", found, None, 100.0), found, 1, 4, 0.04)
    told = report(drilled, seen(30.0, attempt(TWO, "ok")))
    assert (told.failing.cost_picousd, told.extra_cost_picousd) == (None, None)
    assert told.remarks == (f"the cost is unknown, for no price is known of {TWO}",)


def test_a_target_is_left_out_after_the_beginning_and_back_after_the_end(drilled: Asked) -> None:
    told = report(
        drilled,
        seen(26.0, attempt(ONE, "error"), attempt(TWO, "ok", "fallback")),
        seen(49.0, attempt(TWO, "ok")),
        seen(55.0, attempt(ONE, "ok", first_s=0.5)),
        ejected=(
            Ejected(ONE, 20.0, "slow"),
            Ejected(ONE, 27.0, "failures in a row"),
            Ejected(ONE, 40.0, "out of reach"),
        ),
    )
    (recovery,) = told.targets
    assert (recovery.target, recovery.attempts, recovery.illness) == (ONE, 1, "failures in a row")
    assert (recovery.ejected_after_s, recovery.back_after_s) == (2.0, 5.5)


def test_a_target_that_nobody_asked_again_is_not_back(drilled: Asked) -> None:
    (recovery,) = report(drilled, seen(30.0, attempt(TWO, "ok"))).targets
    assert (recovery.ejected_after_s, recovery.illness, recovery.back_after_s) == (None, "", None)


@pytest.mark.parametrize(("allow", "passes"), [(0.0, False), (0.24, False), (0.25, True), (1.0, True)])
def test_it_is_passed_with_as_many_failures_as_are_allowed(drilled: Asked, allow: float, passes: bool) -> None:
    drilled = Asked(drilled.scene, drilled.reach, 1, 4, 0.04, allow)
    assert report(drilled, seen(1.0), seen(2.0), seen(3.0), seen(30.0, error="x")).is_passed is passes


@given(st.lists(st.floats(0, 1000), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_one_of_the_values_and_as_many_are_at_or_under_it(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values) + 1e-6


def test_of_nothing_there_is_no_quantile() -> None:
    assert quantile([], 0.5) is None
