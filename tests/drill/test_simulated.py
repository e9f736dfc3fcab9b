"""Drills in simulated time: what each scene does to a configuration that can stand it, and to one that cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from afterbay.drill.report import Report
from afterbay.drill.scenes import SCENES
from afterbay.drill.simulated import run_simulated, simulate

from .support import CONFIG, asked, reach


def drill(folder: Path, name: str, model: str = "auto", text: str = CONFIG, **options: object) -> Report:
    return run_simulated(asked(reach(folder, model, text), name, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(SCENES.keys() - {"slow-drip"}))
def test_three_providers_stand_whatever_happens_to_one_and_without_the_gateway_clients_do_not(
    name: str, tmp_path: Path
) -> None:
    told = drill(tmp_path, name)
    assert told.healthy.availability == 1.0
    assert told.failing.availability_during == 1.0
    assert told.bare.availability_during < 0.9
    assert told.saved > 0
    assert told.is_passed


@pytest.mark.parametrize("name", ["outage", "region-loss", "rate-limit-storm", "brown-out"])
def test_a_model_with_one_provider_is_lost_with_it(name: str, tmp_path: Path) -> None:
    told = drill(tmp_path, name, "alone")
    assert told.failing.availability_during < 1.0
    assert sum(told.failing.failed.values()) == told.failing.requests - told.failing.served
    assert not told.is_passed


def test_clients_without_a_gateway_get_nothing_from_a_provider_that_is_out(tmp_path: Path) -> None:
    assert drill(tmp_path, "outage").bare.served_during == 0


def test_of_two_keys_one_is_revoked_and_half_of_the_clients_had_it(tmp_path: Path) -> None:
    told = drill(tmp_path, "key-revoked")
    assert 0.4 < told.bare.availability_during < 0.6
    assert told.saved_by.keys() == {"key"}


def test_a_provider_that_is_out_is_left_out_and_comes_back(tmp_path: Path) -> None:
    (recovery,) = drill(tmp_path, "outage").targets
    assert recovery.ejected_after_s is not None
    assert recovery.ejected_after_s < 5
    assert recovery.back_after_s is not None
    assert recovery.back_after_s < 300


def test_slow_drip_is_seen_in_the_time_of_whole_answers(tmp_path: Path) -> None:
    told = drill(tmp_path, "slow-drip", requests=1000)
    assert told.bare.took_p99_during_s is not None
    assert told.healthy.took_p99_during_s is not None
    assert told.bare.took_p99_during_s > 10 * told.healthy.took_p99_during_s


def test_the_fallback_s_price_is_the_extra_cost(tmp_path: Path) -> None:
    dear = CONFIG.replace("price: {input: 3, output: 9}", "price: {input: 30, output: 90}")
    told = drill(tmp_path, "outage", text=dear)
    assert told.extra_cost_picousd is not None
    assert told.extra_cost_picousd > 0


def test_the_same_seed_gives_the_same_report_and_another_one_another(tmp_path: Path) -> None:
    assert drill(tmp_path, "brown-out", requests=500) == drill(tmp_path, "brown-out", requests=500)
    assert drill(tmp_path, "brown-out", requests=500) != drill(tmp_path, "brown-out", requests=500, seed=2)


def test_without_fallbacks_a_route_is_drilled_as_it_is(tmp_path: Path) -> None:
    text = CONFIG.replace("fallback: [a, b, c], ", "fallback: [], ").replace(", fallback: [b, c]", "")
    told = drill(tmp_path, "outage", text=text)
    assert told.failing.availability_during < 0.1


def test_a_target_that_is_named_directly_is_simulated_too(tmp_path: Path) -> None:
    run = simulate(asked(reach(tmp_path, "aside/some-model"), "outage", requests=50), failing=False)
    assert {attempt.target for one in run.seen for attempt in one.attempts} == {"aside/some-model"}


def test_requests_are_told_of_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    run = simulate(asked(reach(tmp_path), "outage", requests=300))
    assert [one.at_s for one in run.seen] == sorted(one.at_s for one in run.seen)
    assert len(run.seen) == 300


def test_hedges_of_the_route_are_drilled_with_it_and_cost_what_they_cost(tmp_path: Path) -> None:
    hedged = CONFIG.replace("complexity: {low: a}", "hedge: {after: 1s, max_share: 1, max_extra_cost: 1}")
    plain = CONFIG.replace("complexity: {low: a}", "")
    without = drill(tmp_path, "brown-out", text=plain, requests=1000)
    told = drill(tmp_path, "brown-out", text=hedged, requests=1000)
    assert told.healthy.attempts > without.healthy.attempts
    assert told.failing.ttft_p99_during_s is not None
    assert without.failing.ttft_p99_during_s is not None
    assert told.failing.ttft_p99_during_s < without.failing.ttft_p99_during_s
