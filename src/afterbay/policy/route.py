"""Which targets may serve a request, and in which order.

Hard filters come first (`policy.filters`). Only then the order is made: the pick, then the fallbacks. A fallback passes
the same filters, so no failure leads to a target that policy forbids. The order of `auto` comes from simple rules whose
every threshold is in the config. Equal deployments are balanced (`policy.balance`); last, health has its say
(`policy.order`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import TypeAlias

import msgspec

from afterbay.core.decision import Decision, Target
from afterbay.policy.balance import Here, balanced
from afterbay.policy.condition import Condition
from afterbay.policy.filters import Ask, Cannot, Filter, nothing_left
from afterbay.policy.names import Found
from afterbay.policy.order import PANIC, arrange
from afterbay.policy.plan import Alias, Plan, Route

Draw: TypeAlias = Callable[[str], float]
"""purpose -> a number in [0, 1), the same for the same request and purpose."""


class World(msgspec.Struct, frozen=True):
    """What is known of the targets now: until when (monotonic seconds) one asked to be left alone, and how they do.

    `here`: where the gateway is; None: its configuration does not say.
    """

    cooling_until: Mapping[str, float]
    conditions: Mapping[str, Condition] = {}
    here: Here | None = None

    def is_well(self, target: str, now: float) -> bool:
        """Whether a target may be asked without need: it is not ejected, and did not ask to be left alone."""
        condition = self.conditions.get(target)
        return (condition is None or condition.state(now) == "closed") and self.cooling_until.get(target, 0.0) <= now


def route_of(plan: Plan, found: Found, defaults: Route) -> Route:
    """The route whose rules hold: the named one, or the defaults."""
    return found.route if found.route is not None else defaults


def decide(ask: Ask, plan: Plan, route: Route, cannot: Cannot, world: World, now: float, draw: Draw) -> Decision:
    """The order of targets for one request.

    `cannot`: what each dialect cannot say. `draw(purpose)` gives a number in [0, 1) that depends on nothing but the
    request and the purpose.

    Raises:
        ClientMistake: 400 `unsupported_field`: no target can honour a field of the request.
        NoCandidate: 403 `policy_no_candidate`: a policy removed every target; it names the filter.
    """
    passing = Filter(ask, plan, route, cannot, lambda alias: _deployments(alias, world, now, draw, ask))
    found = ask.found
    chosen: dict[str, Target] = {}
    if found.target is not None:
        name, rule = "direct", "direct"
        if passing.passes(found.target, ask.requested):
            chosen[found.target.id] = found.target
    else:
        pick, rule = (found.alias.name, "alias") if found.alias is not None else pick_for(ask, plan, route, passing)
        name = found.alias.name if found.alias is not None else route.name
        for alias in (pick, *_chain(pick, found, plan, route)):
            for target in passing.targets(alias):
                chosen.setdefault(target.id, target)
    if not chosen:
        raise nothing_left(ask, passing.rejected)
    order = arrange(chosen.values(), world.cooling_until, world.conditions, now)
    warnings = (*((found.warning,) if found.warning else ()), *((PANIC,) if order.panics else ()))
    return Decision(order.targets, name, rule, (*passing.rejected, *order.left_out), warnings)


def _chain(pick: str, found: Found, plan: Plan, route: Route) -> tuple[str, ...]:
    """The fallbacks after the pick: the route's if the request came by a route that has some, else the alias's.

    A fallback's own list is not followed.
    """
    if found.route is not None and route.fallback is not None:
        return route.fallback
    alias = plan.aliases.get(pick)
    return alias.fallback if alias is not None else ()


def pick_for(ask: Ask, plan: Plan, route: Route, passing: Filter) -> tuple[str, str]:
    """The alias that the route's rules pick among those that may serve, and the rule's name. Deterministic.

    Raises:
        ClientMistake, PolicyRefusal: nothing may serve.
    """
    for name, rule in _wishes(ask, plan, route):
        if name is not None and passing.targets(name):
            return name, rule
    for name in route.candidates or _by_priority(plan):
        if passing.targets(name):
            return name, "first candidate"
    raise nothing_left(ask, passing.rejected)


def _wishes(ask: Ask, plan: Plan, route: Route) -> Iterable[tuple[str | None, str]]:
    """What each rule would pick, in the order of the rules; None where the config has no entry for it."""
    facts, rules = ask.facts, route.rules
    if ask.task is not None:
        yield route.tasks.get(ask.task), f"task:{ask.task} (said by the client)"
    if facts is None:
        return
    if "extract" in facts.mentions and facts.words < rules.short_words:
        yield route.tasks.get("extract") or route.complexity.get("low") or _tagged(plan, "fast"), "rule:extract"
    if "reasoning" in facts.mentions or facts.words > rules.long_words:
        strong = route.tasks.get("reasoning") or route.complexity.get("high") or _tagged(plan, "reasoning")
        yield strong, "rule:reasoning" if "reasoning" in facts.mentions else "rule:long"
    if "code" in facts.mentions:
        yield route.tasks.get("code") or _tagged(plan, "code"), "rule:code"
    for task in ("summarize", "translate"):
        if task in facts.mentions:
            yield route.tasks.get(task), f"task:{task}"
    level = "low" if facts.words < rules.short_words else "high" if facts.words > rules.long_words else "medium"
    yield route.tasks.get("chat"), "task:chat"
    for higher in ("low", "medium", "high")[("low", "medium", "high").index(level) :]:
        yield route.complexity.get(higher), f"complexity:{level}"


def _tagged(plan: Plan, tag: str) -> str | None:
    return next((alias.name for alias in plan.aliases.values() if tag in alias.tags), None)


def _by_priority(plan: Plan) -> list[str]:
    """All aliases, those with the lowest priority first, otherwise in the order of the config."""
    return sorted(plan.aliases, key=lambda name: min(map(_rank, plan.aliases[name].targets), default=math.inf))


def _rank(target: Target) -> float:
    return target.priority if target.priority is not None else math.inf


def _deployments(alias: Alias, world: World, now: float, draw: Draw, ask: Ask) -> list[Target]:
    """Deployments of an alias: those at the provider that the key prefers, then by priority, equals balanced."""
    if len(alias.targets) < 2:
        return list(alias.targets)
    found: list[Target] = []
    for _, equals in groupby(sorted(alias.targets, key=_rank), key=_rank):
        found += balanced(equals, world.conditions, now, draw, ask.prefix, world.here)
    first = ask.wish.preferred_provider
    return found if first is None else sorted(found, key=lambda target: target.provider != first)
