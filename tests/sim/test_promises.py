"""A small sample of docs/availability.md, which `make availability` makes whole."""

from __future__ import annotations

import time

import pytest

from afterbay.policy.hedge import Hedging
from afterbay.sim.faults import FaultKind
from afterbay.sim.report import detection_s
from afterbay.sim.request import SimulatedRequest
from afterbay.sim.scenario import EVERYTHING, Traffic
from afterbay.sim.setups import all_down, availability, incidents, one_down
from afterbay.sim.world import Simulation

OUTAGES: tuple[FaultKind, ...] = ("refused", "server_error", "overloaded", "silent", "black_hole")


def test_two_providers_at_99_5_make_99_99_in_a_sample() -> None:
    report = Simulation(availability(), 1).run(30_000)
    assert report.availability >= 0.9999
    alone = Simulation(availability(mechanisms=frozenset()), 1).run(20_000)
    assert alone.availability == pytest.approx(0.995, abs=0.0015)


def test_it_holds_where_half_of_the_failures_are_outages() -> None:
    found = incidents(1, 3000.0, 0.0025, 7.5)
    report = Simulation(availability(failures=0.0025, episodes=found, traffic=Traffic(per_s=10.0)), 1).run(30_000)
    assert report.availability >= 0.9998


def test_fallback_and_resume_are_what_it_hangs_on() -> None:
    for without in ("fallback", "resume"):
        report = Simulation(availability(mechanisms=EVERYTHING - {without}), 1).run(20_000)  # type: ignore[operator]
        assert report.availability < 0.9999


def test_a_hundred_thousand_requests_a_minute_on_one_core() -> None:
    began = time.process_time()
    Simulation(availability(), 1).run(5_000)
    assert time.process_time() - began < 3.0  # usually a tenth of it


@pytest.mark.parametrize("kind", OUTAGES)
def test_an_outage_of_one_provider_fails_nobody_and_costs_what_it_takes_to_see_it(kind: FaultKind) -> None:
    seen: list[SimulatedRequest] = []
    scenario = one_down(kind, 40.0, cuts=0.0, from_s=20.0, to_s=220.0)
    report = Simulation(scenario, 3, observe=seen.append).run(until_s=230.0)
    assert report.good == report.requests
    (took_s,) = detection_s(report, scenario.episodes, {"a/m": "a"})
    limit_s = {"silent": 60.0, "black_hole": 5.0}.get(kind, 0.5)
    assert took_s is not None
    assert took_s < limit_s + 2.0
    added = sorted(
        next(one.started_s for one in request.attempts if one.first_token_s is not None)
        for request in seen
        if 20.0 + took_s < request.arrived_s < 220.0
    )
    assert added[int(0.99 * len(added))] < 0.020
    assert report.added.quantile(0.99) <= limit_s * 1.03


@pytest.mark.parametrize("kind", OUTAGES)
def test_a_total_outage_is_not_made_worse(kind: FaultKind) -> None:
    during: list[SimulatedRequest] = []
    scenario = all_down(kind, 40.0, from_s=10.0, to_s=310.0)
    Simulation(scenario, 3, observe=lambda one: during.append(one) if 10.0 <= one.arrived_s < 310.0 else None).run(
        until_s=320.0
    )
    attempts = sum(len(one.attempts) for one in during)
    assert attempts <= 1.2 * len(during)


def test_a_hedge_shortens_the_tail_within_its_caps() -> None:
    without = Simulation(availability(mechanisms=EVERYTHING - {"hedge"}), 2).run(20_000)
    hedged = Simulation(availability(), 2).run(20_000)
    assert hedged.ttft.quantile(0.99) < 0.75 * without.ttft.quantile(0.99)
    assert hedged.hedges <= 0.051 * hedged.requests + 3
    assert hedged.lost_picousd <= 0.051 * hedged.cost_picousd
    assert Hedging(percentile=0.95).max_share == 0.05
