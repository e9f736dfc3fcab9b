"""The simulator and the engine do the same: every request has the same attempts, at the same targets, for the same
reasons, at the same times, and the same end."""

from __future__ import annotations

import msgspec
import pytest
from tests.sim.engine_side import records_of

from afterbay.core.decision import Attempt, Record
from afterbay.policy.hedge import Hedging
from afterbay.policy.plan import HealthRules, Limits
from afterbay.sim.faults import PUBLISHED, Fault
from afterbay.sim.request import Client, SimulatedRequest
from afterbay.sim.scenario import Episode, Provider, Scenario, Traffic, key_revoked, outage, rate_limit_storm
from afterbay.sim.setups import plan_of
from afterbay.sim.world import Simulation

SEED = 0
LIMITS = Limits(connect_s=2.0, first_token_s=6.0, between_tokens_s=3.0, total_s=20.0, max_attempts=4)
UNPROBED = HealthRules(interval_s=0.0)
TRAFFIC = Traffic(per_s=8.0, streams=0.8, tokens=20.0)


def scenario(
    failures: float,
    *episodes: Episode,
    providers: tuple[str, ...] = ("a", "b"),
    traffic: Traffic = TRAFFIC,
    mix: tuple[Fault, ...] = PUBLISHED,
    keys: int = 1,
    shared: float = 0.0,
    hedge: Hedging | None = None,
) -> Scenario:
    one = Provider(first_s=0.4, failures=failures, mix=mix, keys=keys, slow=0.05)
    plan = plan_of(providers, limits=LIMITS, health=UNPROBED, hedge=hedge)
    return Scenario(plan, "m", dict.fromkeys(providers, one), traffic, episodes, shared=shared)


EVERY_KIND = (
    *(msgspec.structs.replace(fault, share=1.0) for fault in PUBLISHED),
    Fault("quota", 0.3),
    Fault("unauthorized", 0.3),
    Fault("bad_request", 0.3),
)

SCENARIOS = {
    "healthy": scenario(0.0),
    "every kind of fault, often": scenario(0.3, mix=EVERY_KIND),
    "streams that break": scenario(0.5, mix=PUBLISHED[:5], traffic=msgspec.structs.replace(TRAFFIC, streams=1.0)),
    "one provider only": scenario(0.3, providers=("a",)),
    "three providers and causes that they share": scenario(0.2, providers=("a", "b", "c"), shared=0.1),
    "an outage": scenario(0.02, outage("a", 8.0, 30.0, "server_error")),
    "an outage without connections": scenario(0.0, outage("b", 5.0, 30.0)),
    "silence": scenario(0.0, outage("a", 5.0, 30.0, "silent", cuts=0.5)),
    "nobody is there": scenario(0.0, outage((), 8.0, 25.0, "unavailable")),
    "a storm of rate limits": scenario(0.02, rate_limit_storm("a", 5.0, 25.0)),
    "rate limits everywhere": scenario(0.0, rate_limit_storm((), 5.0, 25.0, 0.9)),
    "a key of two is revoked": scenario(0.02, key_revoked("a", 5.0, 30.0), keys=2),
    "hedges after a time": scenario(0.1, hedge=Hedging(after_s=0.7, max_share=1.0, max_extra_cost=9.0)),
    "hedges after what was learned": scenario(0.05, hedge=Hedging(percentile=0.9, max_share=0.2, max_extra_cost=9.0)),
    "a race of three": scenario(
        0.2, providers=("a", "b", "c"), hedge=Hedging(after_s=0.0, width=3, max_share=1.0, max_extra_cost=9.0)
    ),
    "drop by drop": scenario(0.0, Episode(5.0, 25.0, ("a",), slower_gap=400.0)),
}


def simulated(one: Scenario, requests: int, names: list[str] | None = None) -> list[SimulatedRequest]:
    seen: list[SimulatedRequest] = []
    name_of = names.__getitem__ if names is not None else str
    Simulation(one, SEED, observe=seen.append, name_of=name_of).run(requests)
    return sorted(seen, key=lambda request: request.number)


def told(attempt: Attempt) -> tuple[object, ...]:
    return attempt.target, attempt.why, attempt.outcome, attempt.status, attempt.key


def times(attempt: Attempt) -> list[float]:
    return [-1.0 if at is None else at for at in (attempt.started_s, attempt.first_token_s, attempt.ended_s)]


def is_alike(request: SimulatedRequest, record: Record) -> bool:
    ends = {"ok": record.outcome == "ok", "resumed": record.outcome == "ok", "spare": record.outcome == "ok"}
    return ends.get(request.ending or "", record.outcome != "ok")


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_simulator_does_what_the_engine_does(name: str) -> None:
    one = SCENARIOS[name]
    first = simulated(one, 300)
    clients: list[tuple[float, Client]] = [(request.arrived_s, request.client) for request in first]
    records = records_of(one, SEED, clients)
    requests = simulated(one, 300, [record.id for record in records])
    for request, record in zip(requests, records, strict=True):
        attempts = request.attempts
        shown = f"{name}: request {request.number}\nsimulated {attempts}\nreal {record.attempts} {record.warnings}"
        assert [told(attempt) for attempt in attempts] == [told(attempt) for attempt in record.attempts], shown
        assert is_alike(request, record), shown
        for mine, its in zip(attempts, record.attempts, strict=True):
            assert times(mine) == pytest.approx(times(its), abs=1e-6), shown
