"""A drill in simulated time: hours of traffic in seconds, by `afterbay.sim`, with the policies of the configuration."""

from __future__ import annotations

from typing import Any

from afterbay.core.errors import ProviderError
from afterbay.drill.report import Asked, Ejected, Report, Run, Seen, compare
from afterbay.sim.keys import Keys
from afterbay.sim.report import GOOD
from afterbay.sim.request import SimulatedRequest
from afterbay.sim.scenario import EVERYTHING, Mechanism, Provider, Scenario, Traffic
from afterbay.sim.world import Simulation

NO_FLOOR = "the floor of speed (timeouts.min_tokens_per_s, or a learned one) is not simulated: --real shows it"
ALIKE = "all providers are taken to be alike: a median of 0.6 s to the first output, 12 ms from word to word, no faults"
_NOTHING: frozenset[Mechanism] = frozenset()


def run_simulated(asked: Asked) -> Report:
    """Runs it three times: without the failure, with it, and with it while everything that helps is switched off."""
    healthy, failing = simulate(asked, failing=False), simulate(asked)
    bare = simulate(asked, mechanisms=_NOTHING, world=_Alone)
    remarks = [ALIKE, NO_FLOOR] if asked.scene.name == "slow-drip" else [ALIKE]
    return compare(asked, "simulated", healthy, failing, bare, remarks)


def simulate(
    asked: Asked,
    *,
    failing: bool = True,
    mechanisms: frozenset[Mechanism] = EVERYTHING,
    world: type[Simulation] = Simulation,
) -> Run:
    """One run."""
    seen: list[tuple[int, Seen]] = []
    simulation = world(
        scenario_of(asked, failing=failing, mechanisms=mechanisms),
        asked.seed,
        observe=lambda request: seen.append((request.number, _seen(request))),
        name_of=lambda number: f"drill-{number}",
    )
    simulation.ask = asked.reach.ask  # with the prompt, which the rules of a route read
    report = simulation.run(asked.requests)
    ejected = tuple(Ejected(one.target, one.at_s, one.illness) for one in report.ejections)
    seen.sort(key=lambda pair: pair[0])
    return Run(tuple(one for _, one in seen), report.cost_picousd, ejected)


class _Alone(Simulation):
    """Clients without a gateway: each has one target and one key, and nobody learns from the others' failures."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.keys = [_Dealt(place.provider.keys, lambda: self.now_s) for place in self.places]

    def cool(self, target: str, until_s: float) -> None:
        """Nobody remembers what a target asked for."""


class _Dealt(Keys):
    """Keys in turn, whatever becomes of them."""

    def failed(self, place: int, error: ProviderError, rest_s: float | None) -> float:
        """It stays in."""
        return 0.0


def scenario_of(asked: Asked, *, failing: bool, mechanisms: frozenset[Mechanism]) -> Scenario:
    """What is simulated."""
    plan = asked.reach.plan
    keys = {name: len(provider.keys) or 1 for name, provider in plan.providers.items()}
    return Scenario(
        plan,
        asked.reach.model,
        {name: Provider(keys=count) for name, count in keys.items()},
        Traffic(per_s=asked.rate),
        asked.scene.episodes if failing else (),
        mechanisms=mechanisms,
        name=asked.scene.name,
    )


def _seen(request: SimulatedRequest) -> Seen:
    attempts = tuple(request.attempts)
    ending = request.ending or "failed"
    error = "" if ending in GOOD else f"{ending}: {request.error}" if request.error else ending
    ttft_s = next((one.first_token_s for one in attempts if one.first_token_s is not None), None)
    return Seen(request.arrived_s, request.took_s, error, ttft_s, attempts)
