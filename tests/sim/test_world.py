"""What a simulation promises of itself: the same seed, the same trace; every request ends once; the figures add up."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from afterbay.core.decision import Attempt
from afterbay.policy.hedge import Hedging
from afterbay.policy.plan import Limits
from afterbay.sim.invariants import InvariantBroken, check
from afterbay.sim.report import Report, Times, detection_s
from afterbay.sim.request import SimulatedRequest
from afterbay.sim.scenario import (
    EVERYTHING,
    Episode,
    Mechanism,
    Provider,
    Scenario,
    Traffic,
    brown_out,
    key_revoked,
    outage,
    rate_limit_storm,
    slow_drip,
)
from afterbay.sim.setups import availability, incidents, one_down, plan_of
from afterbay.sim.trace import Trace
from afterbay.sim.world import Simulation

TIGHT = Limits(connect_s=2.0, first_token_s=5.0, between_tokens_s=4.0, total_s=25.0, max_attempts=4)
MESS = Scenario(
    plan_of(("a", "b", "c"), limits=TIGHT),
    "m",
    dict.fromkeys("abc", Provider(failures=0.3, slow=0.1, keys=2)),
    Traffic(per_s=20.0, streams=0.7, json=0.1, tools=0.1, leaves=0.05),
    (
        outage("a", 10.0, 40.0),
        brown_out("b", 20.0, 50.0),
        rate_limit_storm("c", 30.0, 60.0),
        key_revoked("b", 5.0, 70.0),
    ),
    shared=0.02,
)


def traced(scenario: Scenario, seed: int, requests: int) -> tuple[str, list[str]]:
    lines: list[str] = []
    report = Simulation(scenario, seed, trace=Trace(lines.append)).run(requests)
    return report.trace, lines


def test_one_seed_gives_one_trace_byte_for_byte() -> None:
    digest, lines = traced(MESS, 3, 1500)
    assert traced(MESS, 3, 1500) == (digest, lines)
    assert traced(MESS, 4, 1500)[0] != digest
    assert len(lines) > 4000


def test_a_trace_says_what_happened_in_the_order_of_time() -> None:
    _, lines = traced(MESS, 3, 200)
    assert [float(line.split()[0]) for line in lines] == sorted(float(line.split()[0]) for line in lines)
    assert {line.split()[2] for line in lines} >= {"start", "output", "ok", "resumed", "failed"}


def test_a_simulation_goes_on_where_it_was() -> None:
    lines: list[str] = []
    world = Simulation(MESS, 5, trace=Trace(lines.append))
    for _ in range(5):
        world.run(100)
    assert world.report.requests == sum(world.report.endings.values()) == 500
    assert [float(line.split()[0]) for line in lines] == sorted(float(line.split()[0]) for line in lines)


def test_a_simulation_needs_an_end() -> None:
    with pytest.raises(ValueError, match="needs an end"):
        Simulation(MESS).run()


def test_until_a_time_clients_come_and_then_no_more() -> None:
    scenario = msgspec.structs.replace(MESS, traffic=Traffic(per_s=10.0, arrivals="constant"))
    assert Simulation(scenario).run(until_s=9.95).requests == 100


@given(
    seed=st.integers(0, 2**32),
    on=st.frozensets(st.sampled_from(sorted(EVERYTHING))),
    failures=st.floats(0, 1),
    shared=st.floats(0, 0.5),
    streams=st.floats(0, 1),
    providers=st.integers(1, 4),
    attempts=st.integers(1, 6),
    hedge=st.sampled_from([None, Hedging(after_s=0.0, width=3, max_share=1.0), Hedging(percentile=0.8)]),
    episode=st.sampled_from(
        [
            outage("a", 2.0, 8.0, "silent"),
            outage((), 2.0, 8.0, "black_hole"),
            slow_drip("a", 0.0, 9.0),
            rate_limit_storm((), 1.0, 9.0, 1.0, None),
            Episode(0.0, 9.0, cuts=1.0),
        ]
    ),
)
@settings(max_examples=60, deadline=None)
def test_every_request_ends_once_and_breaks_no_rule(
    seed: int,
    on: frozenset[Mechanism],
    failures: float,
    shared: float,
    streams: float,
    providers: int,
    attempts: int,
    hedge: Hedging | None,
    episode: Episode,
) -> None:
    names = tuple("abcd"[:providers])
    scenario = Scenario(
        plan_of(names, limits=msgspec.structs.replace(TIGHT, max_attempts=attempts), hedge=hedge),
        "m",
        dict.fromkeys(names, Provider(failures=failures)),
        Traffic(per_s=15.0, streams=streams, leaves=0.1, json=0.1, tools=0.1),
        (episode,),
        shared=shared,
        mechanisms=on,
    )
    seen: list[int] = []
    report = Simulation(scenario, seed, observe=lambda request: seen.append(request.number)).run(150)
    assert sorted(seen) == list(range(150))
    assert sum(report.endings.values()) == report.requests == 150
    assert report.ttft.count == report.added.count <= 150
    assert sum(used.attempts for used in report.tokens.values()) == report.attempts_made


def test_what_is_switched_off_is_not_used() -> None:
    whys: dict[Mechanism, set[str]] = {"fallback": {"fallback"}, "resume": {"resume"}}
    for mechanism, absent in whys.items():
        scenario = msgspec.structs.replace(MESS, mechanisms=EVERYTHING - {mechanism})
        report = Simulation(scenario, 1).run(600)
        assert absent.isdisjoint(word.split()[1] for word in report.attempts)
    assert Simulation(msgspec.structs.replace(MESS, mechanisms=EVERYTHING - {"ejection"}), 1).run(600).ejected == 0
    assert Simulation(MESS, 1).run(600).ejected > 0
    bare = Simulation(msgspec.structs.replace(MESS, mechanisms=frozenset()), 1).run(600)
    assert {word.split()[1] for word in bare.attempts} == {"primary"}


def test_switching_a_mechanism_off_leaves_every_first_attempt_its_fate() -> None:
    """Chances are keyed: two runs can be compared request by request."""

    def first(mechanisms: frozenset[Mechanism]) -> dict[int, tuple[float, int, bool]]:
        found: dict[int, tuple[float, int, bool]] = {}

        def see(request: SimulatedRequest) -> None:
            found[request.number] = (request.arrived_s, request.client.tokens, request.client.stream)

        Simulation(msgspec.structs.replace(MESS, mechanisms=mechanisms), 9, observe=see).run(300)
        return found

    assert first(EVERYTHING) == first(frozenset())


def test_the_mix_is_what_it_says() -> None:
    report = Simulation(availability(failures=1.0, mechanisms=frozenset()), 2).run(20_000)
    total = sum(report.faults.values())
    assert (report.faults["cut"] + report.faults["truncated"]) / total == pytest.approx(0.2, abs=0.01)
    assert report.endings["broken"] / total == pytest.approx(0.28, abs=0.012)


def test_an_ejection_is_found_in_the_report() -> None:
    scenario = one_down("refused", 50.0, cuts=0.0)
    report = Simulation(scenario, 1).run(until_s=400.0)
    (took_s,) = detection_s(report, scenario.episodes, {"a/m": "a"})
    assert took_s is not None
    assert 0.0 < took_s < 1.0
    assert detection_s(report, (Episode(0.0, 9.0),), {"a/m": "a"}) == [None]


def test_incidents_take_the_share_of_time_that_is_asked_for() -> None:
    found = incidents(1, 100_000.0, 0.01, 100.0)
    for name in "ab":
        mine = [one for one in found if one.hits(name)]
        assert sum(one.to_s - one.from_s for one in mine) == pytest.approx(1000.0)
        assert all(before.to_s <= after.from_s for before, after in pairwise(mine))


def test_reports_add_up_and_travel_as_json() -> None:
    parts = [Simulation(MESS, seed).run(200) for seed in (1, 2)]
    total = Report()
    for part in parts:
        total.add(msgspec.json.decode(msgspec.json.encode(part), type=Report))
    assert total.requests == 400
    assert total.good == sum(part.good for part in parts)
    assert total.ttft.count == sum(part.ttft.count for part in parts)
    assert total.cost_picousd == sum(part.cost_picousd for part in parts) > 0
    assert 0 < total.availability < 1


@given(st.lists(st.floats(0.0, 1e4), min_size=1, max_size=60), st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_right_to_a_step(seconds: list[float], share: float) -> None:
    times = Times()
    for one in seconds:
        times.note(one)
    rank = max(share * len(seconds), 1)
    exact = next(one for at, one in enumerate(sorted(seconds), 1) if at >= rank)
    assert exact <= times.quantile(share) * 1.0001 + 0.001
    assert times.quantile(share) <= max(exact * 1.021, 0.001)


def test_nothing_has_no_quantile() -> None:
    assert Times().quantile(0.99) == Times().mean_s == 0.0
    assert Report().availability == 1.0


def _attempts(*changes: dict[str, object]) -> list[Attempt]:
    plain: dict[str, object] = {"started_s": 0.0, "first_token_s": 1.0, "ended_s": 2.0, "outcome": "ok"}
    return [
        Attempt(**({"number": at, "target": "a/m", "why": "primary" if not at else "resume"} | plain | change))  # type: ignore[arg-type]
        for at, change in enumerate(changes)
    ]


BROKEN: dict[str, Callable[[], None]] = {
    "max_attempts": lambda: check(_attempts(*[{}] * 5), PLAN, TIGHT, 1.0, 5, 0, True),
    "total is": lambda: check(_attempts({}), PLAN, TIGHT, 26.0, 1, 0, True),
    "still run": lambda: check(_attempts({}), PLAN, TIGHT, 1.0, 1, 1, True),
    "is numbered": lambda: check(_attempts({"number": 3}), PLAN, TIGHT, 1.0, 1, 0, True),
    "does not have": lambda: check(_attempts({"target": "x/m"}), PLAN, TIGHT, 1.0, 1, 0, True),
    "has no end": lambda: check(_attempts({"outcome": None}), PLAN, TIGHT, 1.0, 1, 0, True),
    "runs from": lambda: check(_attempts({"started_s": 3.0}), PLAN, TIGHT, 1.0, 1, 0, True),
    "and is no resume": lambda: check(_attempts({"outcome": "cut"}, {"why": "retry"}), PLAN, TIGHT, 1.0, 2, 0, True),
    "outputs went": lambda: check(_attempts({}), PLAN, TIGHT, 1.0, 2, 0, True),
    "ended well": lambda: check(_attempts({"outcome": "cut"}), PLAN, TIGHT, 1.0, 1, 0, True),
}
PLAN = plan_of().aliases["m"].targets


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_rule_is_named(what: str) -> None:
    with pytest.raises(InvariantBroken, match=what):
        BROKEN[what]()
