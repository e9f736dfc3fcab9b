"""Ready scenarios: those that the promises of `docs/availability.md` are held to."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from afterbay.config.schema import LimitsConfig, StateConfig, TelemetryConfig
from afterbay.config.snapshot import Provider as PlanProvider
from afterbay.config.snapshot import Snapshot
from afterbay.core.decision import Target
from afterbay.core.usage import Price
from afterbay.policy.hedge import Hedging
from afterbay.policy.plan import Alias, HealthRules, Limits, Route
from afterbay.policy.resume import Mode
from afterbay.sim.draws import Draws
from afterbay.sim.faults import FaultKind
from afterbay.sim.scenario import EVERYTHING, Episode, Mechanism, Provider, Scenario, Traffic, outage

MODEL = "m"
PRICE = Price(input=2_500_000, output=10_000_000, cached_input=1_250_000, cache_write=2_500_000)
"""$2.50 a million tokens read, $10 a million written."""

HEDGE = Hedging(percentile=0.95)
"""After the 95th percentile of the time to the first output, within the caps that are the defaults."""

UNAVAILABLE = 0.005
SHARED = 0.005
"""The share of the failures that strike all providers at once."""


def plan_of(
    providers: tuple[str, ...] = ("a", "b"),
    *,
    limits: Limits | None = None,
    resume: Mode = "safe",
    health: HealthRules | None = None,
    in_turn: bool = False,
    hedge: Hedging | None = None,
) -> Snapshot:
    """A configuration of one alias, `m`, with a deployment at each provider.

    They are equals among whom traffic is balanced, or (`in_turn`) the later ones are for when the earlier ones fail.
    """
    targets = tuple(
        Target(
            f"{name}/{MODEL}", MODEL, name, MODEL, "openai.chat", PRICE, priority=at if in_turn else None, maker=name
        )
        for at, name in enumerate(providers)
    )
    return Snapshot(
        hash="simulated",
        providers={name: PlanProvider(name, "openai", "http://simulated", "openai.chat", None) for name in providers},
        aliases={MODEL: Alias(MODEL, targets)},
        routes={},
        defaults=Route("defaults", limits=limits or Limits(), resume=resume, hedge=hedge),
        by_upstream_name={},
        unknown_model="error",
        limits=LimitsConfig(),
        state=StateConfig(),
        telemetry=TelemetryConfig(),
        health=health or HealthRules(),
    )


def availability(
    *,
    mechanisms: frozenset[Mechanism] = EVERYTHING,
    fits: float | None = None,
    traffic: Traffic | None = None,
    episodes: tuple[Episode, ...] = (),
    failures: float = UNAVAILABLE,
    slow: float = 0.01,
) -> Scenario:
    """Two providers, each of which fails one request in 200. `fits`: how often an answer can be gone on with.

    `slow`: the share of answers whose first output comes ten times as late; that is no failure.
    """
    one = Provider(failures=failures, slow=slow)
    if fits is not None:
        one = msgspec.structs.replace(one, fits=dict.fromkeys(one.fits, fits) | {"again": 1.0})
    return Scenario(
        plan_of(hedge=HEDGE),
        MODEL,
        {"a": one, "b": one},
        traffic or Traffic(per_s=50.0),
        episodes,
        shared=UNAVAILABLE * SHARED,
        mechanisms=mechanisms,
        name="availability",
    )


def incidents(
    seed: int, until_s: float, share: float, length_s: float = 120.0, providers: tuple[str, ...] = ("a", "b")
) -> tuple[Episode, ...]:
    """Outages that take `share` of the time of each provider, independent of each other: refused, silent, or errors."""
    draws, found = Draws(seed), list[Episode]()
    count = max(1, round(until_s * share / length_s))
    kinds: tuple[FaultKind, ...] = ("server_error", "refused", "silent", "overloaded")
    for place, name in enumerate(providers):
        for nth in range(count):
            at, kind, *_ = draws.eight(nth, place, purpose=7)
            begins_s = (nth + at) * until_s / count  # one in each part, so that they do not overlap at one provider
            found.append(outage(name, begins_s, begins_s + length_s, kinds[int(kind * len(kinds))]))
    return tuple(sorted(found, key=lambda one: one.from_s))


def one_down(
    kind: FaultKind = "server_error",
    per_s: float = 200.0,
    *,
    cuts: float = 1.0,
    from_s: float = 300.0,
    to_s: float = 900.0,
) -> Scenario:
    """One of two providers is down for ten minutes. `cuts`: the share of its streams that break when it begins."""
    episode = outage("a", from_s, to_s, kind, cuts=cuts)
    return Scenario(plan_of(), MODEL, {}, Traffic(per_s=per_s), (episode,), name=f"one provider down: {kind}")


def all_down(
    kind: FaultKind = "server_error", per_s: float = 200.0, *, from_s: float = 300.0, to_s: float = 900.0
) -> Scenario:
    """Both providers are down for ten minutes, and all streams break when it begins."""
    episode = outage((), from_s, to_s, kind)
    return Scenario(plan_of(), MODEL, {}, Traffic(per_s=per_s), (episode,), name=f"all providers down: {kind}")


CUMULATIVE: Mapping[str, frozenset[Mechanism]] = {
    "nothing": frozenset(),
    "+ retry": frozenset({"retry"}),
    "+ fallback": frozenset({"retry", "fallback"}),
    "+ ejection": frozenset({"retry", "fallback", "ejection"}),
    "+ resume": frozenset({"retry", "fallback", "ejection", "resume"}),
    "+ hedge": EVERYTHING,
}
"""What is switched on, one after the other."""
