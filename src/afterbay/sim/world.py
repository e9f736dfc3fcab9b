"""The simulation: a queue of what happens next, and everything that requests share.

Events of one instant happen in the order in which they were put in. Nothing depends on the order of a hash table or on
the time of day, so the same scenario and seed give the same trace, to the byte.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Any, Final

import msgspec

from afterbay.core.chance import draw
from afterbay.core.decision import Decision, Target
from afterbay.core.usage import Usage
from afterbay.engine.health import LOOK_S, Health
from afterbay.policy.balance import Here
from afterbay.policy.condition import Condition
from afterbay.policy.filters import Ask
from afterbay.policy.hedge import Hedges
from afterbay.policy.names import look_up
from afterbay.policy.outlier import Illness
from afterbay.policy.plan import Route
from afterbay.policy.resume import Mode
from afterbay.policy.retry import RetryBudget
from afterbay.policy.route import World, route_of
from afterbay.sim.course import Place
from afterbay.sim.draws import CLIENT, Draws, normals
from afterbay.sim.keys import Keys
from afterbay.sim.report import MOST_EJECTIONS, Ejection, Report, Tokens
from afterbay.sim.request import Client, Observe, SimulatedRequest
from afterbay.sim.scenario import Provider, Scenario
from afterbay.sim.trace import Trace
from afterbay.wire.registry import DIALECTS

_CANNOT = {name: dialect.cannot for name, dialect in DIALECTS.items()}
_NEW_PROVIDER: Final = Provider()

Happen = Callable[[float, Any], None]


class Simulation:
    """One world. `run` may be called again to go on with it.

    `trace` gets a line for every event; `observe` every request that ended; `name_of` gives requests their ids, which
    is what the policies' draws are keyed with.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int = 1,
        *,
        trace: Trace | None = None,
        observe: Observe | None = None,
        name_of: Callable[[int], str] = str,
    ) -> None:
        plan, on = scenario.plan, scenario.mechanisms
        self.scenario, self.plan, self.seed, self.trace = scenario, plan, seed, trace
        self.draws = Draws(seed)
        self.retries = RetryBudget()
        self.hedges = Hedges()
        self.report = Report(scenario.name)
        self.health = Health(plan.health, seed) if "ejection" in on else Unejecting(plan.health, seed)
        self.falls_back = "fallback" in on
        found = look_up(plan, scenario.model, lambda provider, model: None)
        self.route = _switched(route_of(plan, found, plan.defaults), scenario)
        self.resume: Mode = self.route.resume
        self.ask = Ask(requested=scenario.model, found=found, dialect=scenario.traffic.dialect)
        self.cannot = _CANNOT
        self.longest_wait_s = float(plan.limits.retry_after)
        self._cooling_until: dict[str, float] = {}
        here = Here(plan.region) if plan.region is not None else None
        self.known = World(self._cooling_until, self.health.conditions, here)
        self.now_s = 0.0
        self.places = [
            Place(number, name, scenario.providers.get(name, _NEW_PROVIDER), scenario.episodes)
            for number, name in enumerate(plan.providers)
        ]
        self.keys = [Keys(place.provider.keys, lambda: self.now_s) for place in self.places]
        self._places = {place.name: place for place in self.places}
        self._observe, self._name_of = observe, name_of
        self._queue: list[tuple[float, int, Happen, Any]] = []
        self._put = 0
        self._arrived = self._wanted = 0
        self._until_s = math.inf
        self._open = 0
        self._ejections: dict[str, int] = {}
        self._targets: dict[str, Target] = {}
        self._log_tokens = math.log(max(scenario.traffic.tokens, 1.0))
        self._next_s = 0.0
        self.at(LOOK_S, self._probe, None)

    def run(self, requests: int | None = None, until_s: float = math.inf) -> Report:
        """Lets so many more clients come, or (None) all that come before `until_s`, and waits until all have ended."""
        if requests is None and until_s == math.inf:
            raise ValueError("a simulation needs an end: a number of requests, or a time")
        self._wanted = self._arrived + requests if requests is not None else 1 << 62
        self._until_s = until_s
        self._expect(max(self._next_s, self.now_s))
        queue, pop = self._queue, heapq.heappop
        while queue and (self._open or self._is_coming):
            now, _, happen, what = pop(queue)
            self.now_s = now
            happen(now, what)
        report = self.report
        report.seconds, report.denied = self.now_s, self.retries.denied
        report.cost_picousd = sum(self._cost(target, used) for target, used in report.tokens.items())
        report.trace = self.trace.digest() if self.trace is not None else ""
        return report

    def at(self, when_s: float, happen: Happen, what: Any) -> None:
        """`happen(now, what)` at a time."""
        self._put += 1
        heapq.heappush(self._queue, (when_s, self._put, happen, what))

    # Clients

    def _expect(self, when_s: float) -> None:
        """The next client comes then, if one does."""
        self._next_s = when_s
        self._is_coming = self._arrived < self._wanted and when_s < self._until_s
        if self._is_coming:
            self.at(when_s, self._arrive, None)

    def _arrive(self, now: float, _: None) -> None:
        traffic = self.scenario.traffic
        number = self._arrived
        self._arrived += 1
        self._open += 1
        self.report.requests += 1
        chances = self.draws.eight(number, purpose=CLIENT)
        length, _unused = normals(chances[2], chances[3])
        tokens = min(traffic.tokens_most, max(1, int(math.exp(self._log_tokens + traffic.tokens_sigma * length))))
        request = SimulatedRequest(
            self, number, self._name_of(number), now, Client(traffic, tokens, chances, self.scenario.shared)
        )
        wait = -math.log(1.0 - chances[0]) if traffic.arrivals == "poisson" else 1.0
        self._expect(now + wait / traffic.per_s)
        request.begin(now)

    def ended(self, now: float, request: SimulatedRequest) -> None:
        """A request has ended."""
        self._open -= 1
        ending, report = request.ending or "failed", self.report
        report.endings[ending] = report.endings.get(ending, 0) + 1
        attempts = request.attempts
        if request.error:
            report.errors[request.error] = report.errors.get(request.error, 0) + 1
        for attempt in attempts:
            word = f"{attempt.target} {attempt.why} {attempt.outcome}"
            report.attempts[word] = report.attempts.get(word, 0) + 1
            if attempt.why == "hedge":
                report.hedges += 1
            if attempt.outcome == "cancelled":
                report.lost_picousd += attempt.cost_picousd or 0
        self._note_times(request)
        if self.trace is not None:
            self.trace.add(f"{now:.6f} {request.number} {ending} {len(attempts)} {request.error or '-'}")
        if self._observe is not None:
            self._observe(request)

    def _note_times(self, request: SimulatedRequest) -> None:
        report, attempts = self.report, request.attempts
        broke_s: float | None = None
        for attempt in attempts:
            if attempt.first_token_s is None:
                continue
            if broke_s is None:
                report.ttft.note(attempt.first_token_s)
                report.added.note(attempt.started_s)
            else:
                report.pause.note(attempt.first_token_s - broke_s)
            broke_s = attempt.ended_s
        if len(attempts) > 1 and request.ending in ("ok", "resumed"):
            why = next((one.why for one in reversed(attempts) if one.outcome == "ok"), "primary")
            report.saved[why] = report.saved.get(why, 0) + 1

    # What all requests share

    def place_of(self, target: Target) -> Place:
        """Where a target is."""
        return self._places[target.provider]

    def only_first(self, decision: Decision) -> Decision:
        """The decision without its fallbacks."""
        return msgspec.structs.replace(decision, targets=decision.targets[:1])

    def cool(self, target: str, until_s: float) -> None:
        """A target wants to be left alone."""
        self._cooling_until[target] = until_s

    def used(self, target: Target, output: int | None) -> int:
        """An attempt used so many tokens, and its prompt; None: it came to no answer. What that cost, in picodollars
        where routes hedge."""
        used = self.report.tokens.get(target.id)
        if used is None:
            used = self.report.tokens[target.id] = Tokens()
            self._targets[target.id] = target
        used.attempts += 1
        if output is None:
            return 0
        prompt = self.scenario.traffic.input_tokens
        used.input += prompt
        used.output += output
        if self.route.hedge is None:
            return 0
        return target.cost_picousd(Usage(input_tokens=prompt, output_tokens=output)) or 0

    def look(self, target: str, now: float) -> None:
        """Notes an ejection, if the target was just ejected."""
        condition = self.health.conditions[target]
        if condition.ejections == self._ejections.get(target, 0):
            return
        self._ejections[target] = condition.ejections
        self.report.ejected += 1
        if len(self.report.ejections) < MOST_EJECTIONS:
            self.report.ejections.append(Ejection(target, now, condition.illness or ""))
        if self.trace is not None:
            self.trace.add(f"{now:.6f} - ejected {target} {condition.illness}")

    def _cost(self, name: str, used: Tokens) -> int:
        target = self._targets[name]
        return target.cost_picousd(Usage(input_tokens=used.input, output_tokens=used.output)) or 0

    def _probe(self, now: float, _: None) -> None:
        """As `engine.health.watch`: looks every second for targets that want a probe. The answer comes at once."""
        for provider, targets in self.health.due(self.plan, now).items():
            place = self._places[provider]
            self.health.probed(targets, now, place.probed(now), place.provider.rtt_s)
            for target in targets:
                self.look(target, now)
        self.at(now + LOOK_S, self._probe, None)


def _switched(route: Route, scenario: Scenario) -> Route:
    """The route without what is switched off."""
    on, limits = scenario.mechanisms, route.limits
    if "retry" not in on and "fallback" not in on and "resume" not in on:
        limits = msgspec.structs.replace(limits, max_attempts=1)
    resume: Mode = route.resume if "resume" in on else "off"
    return msgspec.structs.replace(route, limits=limits, resume=resume, hedge=route.hedge if "hedge" in on else None)


class Unejecting(Health):
    """A health that knows everything and leaves nobody out: to see what ejection is good for."""

    def _new(self, target: str, now: float) -> Condition:
        made = _Unejected(self.rules, now, lambda time: draw(self._seed, f"eject/{time}", target))
        self.conditions[target] = made
        return made


class _Unejected(Condition):
    def _eject(self, now: float, illness: Illness) -> None:
        """It stays in."""
