"""Which targets may serve a request, and in which order: filter, score, pick.

Hard filters come first (`policy.filters`). Only then the order is made: the pick, then the fallbacks. A fallback passes
the same filters, so no failure leads to a target that policy forbids.

A route picks by the first of these that has anything to say: an agent that is stuck gets the strongest candidate; the
task that the client states; the classifier where it runs, else simple rules whose every threshold is in the config; the
route's aim (`policy.pick`, by the scores of `policy.scores`); the first candidate. Last, a conversation may stay where
it was (`policy.pinning`), or another candidate is explored. A route that keeps quality has no other choice than its
certificate's (`policy.kept_quality`): only an agent that is stuck goes before that, and where its strongest candidate
may not serve nothing is kept. Equal deployments are balanced (`policy.balance`), and health has its say
(`policy.order`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any, TypeAlias

import msgspec

from afterbay.core.decision import Decision, Target
from afterbay.policy.balance import Here, balanced
from afterbay.policy.cascade import Led, led_by_cheapest
from afterbay.policy.comparable import is_comparable
from afterbay.policy.condition import Condition
from afterbay.policy.facts import Facts
from afterbay.policy.filters import Ask, Cannot, Filter, nothing_left
from afterbay.policy.kept_quality import (
    NO_STRONGEST,
    NOT_COMPARABLE,
    UNREAD,
    Duel,
    Standing,
    as_led,
    duel_of,
    explored,
    kept,
)
from afterbay.policy.kept_quality import RULE as KEPT
from afterbay.policy.names import Found
from afterbay.policy.order import PANIC, arrange
from afterbay.policy.pick import Sorted, has_aim, ranked, rule_of
from afterbay.policy.pinning import is_worth_staying, value_picousd, warm_tokens
from afterbay.policy.plan import Alias, Plan, Route
from afterbay.policy.scores import expected_cost, price_now, qualities, task_of

Draw: TypeAlias = Callable[[str], float]
"""purpose -> a number in [0, 1), the same for the same request and purpose."""


LEVELS = ("low", "medium", "high")
LOW, HIGH = 1 / 3, 2 / 3
"""Complexity below the first is `low`, above the second `high`, where the classifier runs."""

PINNED = "pin"
"""The rule of a conversation that stays where it was."""
EXPLORED = "explore:"
"""How the rule begins of a request that another candidate answers, so that something is learned of it."""
STALLED, RAISED = "escalate:stalled", "escalate:held"
"""The rules of an agent that goes round in circles, and of its later turns: they get the strongest candidate."""


class World(msgspec.Struct, frozen=True):
    """What is known of the targets now: until when (monotonic seconds) one asked to be left alone, and how they do.

    `here`: where the gateway is; None: its configuration does not say. `standings`: what is certified of routes that
    keep quality; `explorable`: what exploring may still cost today (1e-12 USD), of routes that explore.
    """

    cooling_until: Mapping[str, float]
    conditions: Mapping[str, Condition] = {}
    here: Here | None = None
    standings: Mapping[str, Standing] = {}
    explorable: Mapping[str, int] = {}

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
    passing = Filter(ask, plan, route, cannot, lambda alias: deployments(alias, world, now, draw, ask))
    found = ask.found
    if found.target is not None:
        choice = Choice("direct", [found.target] if passing.passes(found.target, ask.requested) else [])
        name = "direct"
    elif found.alias is not None:
        name = found.alias.name
        choice = _led(name, "alias", ask, plan, route, passing, world, draw)
    else:
        name = route.name
        choice = _stayed(_routed(ask, plan, route, passing, world, draw), ask, plan, route, passing, world, now)
        choice = _explored(choice, ask, plan, route, passing, world, draw)
    if route.overflow == "larger_model":
        _enlarge(choice, ask, plan, route, passing)
    if not choice.targets:
        raise nothing_left(ask, passing.rejected)
    led = _cascade(choice, ask, route, passing)
    order = arrange(led.targets, world.cooling_until, world.conditions, now)
    warnings = [one for one in (found.warning, choice.warning, PANIC if order.panics else None) if one]
    rejected = (*passing.rejected, *order.left_out)
    return as_led(
        Decision(
            order.targets, name, choice.rule, rejected, tuple(warnings), choice.propensity, choice.because, led.cheap
        )
    )


class Choice(msgspec.Struct):
    """Targets in order, before health has its say, and the rule that they were picked by. `duel`: the two candidates
    whose certificate decided; None: none did."""

    rule: str
    targets: list[Target]
    warning: str | None = None
    propensity: float = 1.0
    because: Mapping[str, Any] = {}
    duel: Duel | None = None


def _led(pick: str, rule: str, ask: Ask, plan: Plan, route: Route, passing: Filter, world: World, draw: Draw) -> Choice:
    """An alias and its fallbacks; the deployments of the alias by the route's aim."""
    chosen = {target.id: target for target in passing.targets(pick)}
    aimed = None
    if has_aim(route) and chosen:
        aimed = _ranked(list(chosen.values()), ask, plan, route, world, draw)
        chosen = {target.id: target for target in aimed.targets}
    for alias in _chain(pick, ask.found, plan, route):
        for target in passing.targets(alias):
            chosen.setdefault(target.id, target)
    choice = Choice(rule, list(chosen.values()))
    if aimed is not None:
        choice.warning, choice.propensity = aimed.warning, aimed.propensity
    return choice


def _routed(ask: Ask, plan: Plan, route: Route, passing: Filter, world: World, draw: Draw) -> Choice:
    """What a route picks, and what follows.

    Raises:
        ClientMistake, PolicyRefusal: nothing may serve.
    """
    strong = next(iter(strongest(plan, route)), None) if route.keep is not None else None
    duel = duel_of(plan, route, strong)
    if duel is None:
        return _ruled(ask, plan, route, passing, world, draw)
    may_strongest = bool(passing.targets(duel.strong))
    if may_strongest and _stuck(ask, route) is None:
        choice = _certified(duel, ask, plan, route, passing, world, draw)
        choice.duel = duel
        return choice
    choice = _ruled(ask, plan, route, passing, world, draw)
    if not may_strongest and choice.rule not in (STALLED, RAISED):
        choice.rule = f"{NO_STRONGEST}, {choice.rule}"
    return choice


def _ruled(ask: Ask, plan: Plan, route: Route, passing: Filter, world: World, draw: Draw) -> Choice:
    """What the rules of a route pick without a certificate, and what follows.

    Raises:
        ClientMistake, PolicyRefusal: nothing may serve.
    """
    for wish, rule in _wishes(ask, plan, route):
        if wish is not None and passing.targets(wish):
            return _led(wish, rule, ask, plan, route, passing, world, draw)
    names = route.candidates or tuple(_by_priority(plan))
    if has_aim(route):
        every = {target.id: target for name in names for target in passing.targets(name)}
        if every:
            return _by_aim(list(every.values()), ask, plan, route, passing, world, draw)
    for name in names:
        if passing.targets(name):
            return _led(name, "first candidate", ask, plan, route, passing, world, draw)
    if route.overflow == "larger_model":
        for name in _further(plan, names):
            if passing.targets(name):
                return _led(name, "larger window", ask, plan, route, passing, world, draw)
    raise nothing_left(ask, passing.rejected)


def _certified(duel: Duel, ask: Ask, plan: Plan, route: Route, passing: Filter, world: World, draw: Draw) -> Choice:
    """What a certificate of the two allows, the strongest of which may serve."""
    if ask.gain is None:
        return _led(duel.strong, UNREAD, ask, plan, route, passing, world, draw)
    if not is_comparable(ask, duel, plan):
        return _led(duel.strong, NOT_COMPARABLE, ask, plan, route, passing, world, draw)
    found = kept(duel, world.standings.get(route.name), ask.gain, ask.scorer)
    taken, rule = found.alias, found.rule
    if found.is_cheap and not passing.targets(duel.cheap):
        taken, rule = duel.strong, f"{KEPT}: the cheapest may not serve this one"
    choice = _led(taken, rule, ask, plan, route, passing, world, draw)
    if taken == duel.cheap:  # what fails there is for the strongest, whatever the route falls back to
        ids = {one.id for one in passing.targets(duel.cheap)}
        after = {one.id: one for one in (*passing.targets(duel.strong), *choice.targets) if one.id not in ids}
        choice.targets = [*(one for one in choice.targets if one.id in ids), *after.values()]
    threshold = found.threshold if math.isfinite(found.threshold) else None
    choice.because = {
        "keep": {"gain": round(found.gain, 4), "scorer": ask.scorer, "threshold": threshold, "cheap": duel.cheap}
    }
    return choice


def _explored(choice: Choice, ask: Ask, plan: Plan, route: Route, passing: Filter, world: World, draw: Draw) -> Choice:
    """The choice, or once in a while another candidate, where the route explores and keeps no quality: a certificate
    says nothing of who is taken in spite of it, and shadows learn as much."""
    if (
        route.explore is None
        or route.keep is not None
        or not choice.targets
        or choice.rule in (PINNED, STALLED, RAISED)
    ):
        return choice
    pick = choice.targets[0].alias
    able = {name: passing.targets(name) for name in route.candidates or tuple(_by_priority(plan))}
    names = [name for name, targets in able.items() if targets and name != pick]
    task = task_of(ask)
    costs = {name: expected_cost(ask, able[name][0], 0, task) for name in names}
    costs[pick] = expected_cost(ask, choice.targets[0], 0, task)
    found = explored(route.explore, pick, names, draw, costs, world.explorable.get(route.name, 0))
    choice.propensity *= found.propensity
    if found.alias == pick:
        return choice
    first = able[found.alias]
    rest = [one for one in choice.targets if one.id not in {each.id for each in first}]
    because = {"explored": {"instead_of": pick}, "extra_picousd": found.extra_picousd}
    return Choice(f"{EXPLORED}{found.alias}", [*first, *rest], choice.warning, choice.propensity, because)


def _by_aim(
    every: list[Target], ask: Ask, plan: Plan, route: Route, passing: Filter, world: World, draw: Draw
) -> Choice:
    """All candidates by the route's aim. Where the route says what to fall back to, that follows the best one."""
    best = _ranked(every, ask, plan, route, world, draw)
    lead = best.targets[0].alias
    chosen = {one.id: one for one in best.targets if route.fallback is None or one.alias == lead}
    for alias in route.fallback or ():
        for target in passing.targets(alias):
            chosen.setdefault(target.id, target)
    return Choice(rule_of(route), list(chosen.values()), best.warning, best.propensity)


def _ranked(targets: list[Target], ask: Ask, plan: Plan, route: Route, world: World, draw: Draw) -> Sorted:
    home = world.here.region if world.here is not None else None
    strong = next(iter(strongest(plan, route)), None) if route.optimize == "quality" else None
    return ranked(ask, route, targets, world.conditions, strong, home, draw)


def _stayed(choice: Choice, ask: Ask, plan: Plan, route: Route, passing: Filter, world: World, now: float) -> Choice:
    """The choice, or the target that the conversation was at, if that is worth it; the choice follows then."""
    pinned = ask.pinned
    if not (route.pins and pinned is not None and pinned.tokens and choice.targets):
        return choice
    pick = choice.targets[0]
    if pick.id == pinned.target or choice.rule in (STALLED, RAISED):
        return choice
    if choice.duel is not None and pinned.alias != choice.duel.strong:
        return choice  # to stay with any other one is not certified
    if route.candidates and pinned.alias not in route.candidates:
        return choice
    here = next((one for one in passing.targets(pinned.alias) if one.id == pinned.target), None)
    if here is None or not world.is_well(here.id, now) or not _is_worth(here, pick, ask):
        return choice
    if route.slo_ttft_p95_s is not None and _misses(here, route.slo_ttft_p95_s, world):
        return choice
    targets = [here, *(one for one in choice.targets if one.id != here.id)]
    return Choice(PINNED, targets, choice.warning, choice.propensity, choice.because)


def _cascade(choice: Choice, ask: Ask, route: Route, passing: Filter) -> Led:
    """The targets with the cheapest candidate first, where the route is a cascade; usually as they are.

    A client that names a model gets that model. A conversation that is pinned stays, a stuck agent keeps the strongest,
    and who is explored answers. Where a certificate decided, its order stays: it speaks of two models, and of no third
    that may cost less for this request. What it gives to the cheap one is checked.
    """
    targets = tuple(choice.targets)
    if route.cascade is None or ask.facts is None or ask.found.route is None:
        return Led(targets)
    if choice.rule in (PINNED, STALLED, RAISED) or choice.rule.startswith(EXPLORED):
        return Led(targets)
    if choice.duel is not None:
        cheap = choice.duel.cheap
        return Led(targets, tuple(one.id for one in targets if one.alias == targets[0].alias == cheap))
    every = [target for name in route.candidates for target in passing.targets(name)]
    named = route.complexity.get("high") or next(iter(route.fallback or ()), None)
    strong = passing.targets(named) if named is not None else []
    task = task_of(ask)
    return led_by_cheapest(targets, every, strong, lambda one: expected_cost(ask, one, 0, task))


def _misses(target: Target, slo_s: float, world: World) -> bool:
    condition = world.conditions.get(target.id)
    known = condition.ttft_p95_s if condition is not None else None
    return known is not None and known > slo_s


def _is_worth(here: Target, pick: Target, ask: Ask) -> bool:
    """Whether the conversation stays at `here` instead of going to `pick`. See `policy.pinning`."""
    price, read, pinned = price_now(ask, here), ask.input_tokens, ask.pinned
    if price is None or read is None or pinned is None:
        return False
    task, known = task_of(ask), qualities(ask, (here, pick))
    own, other = expected_cost(ask, here, 0, task), expected_cost(ask, pick, 0, task)
    gain = own - other if own is not None and other is not None else None
    better = known[pick.id] - known[here.id] if pick.id in known and here.id in known else None
    return is_worth_staying(value_picousd(price, warm_tokens(pinned, read), read), gain, better)


def _chain(pick: str, found: Found, plan: Plan, route: Route) -> tuple[str, ...]:
    """The fallbacks after the pick: the route's if the request came by a route that has some, else the alias's.

    A fallback's own list is not followed.
    """
    if found.route is not None and route.fallback is not None:
        return route.fallback
    alias = plan.aliases.get(pick)
    return alias.fallback if alias is not None else ()


def _enlarge(choice: Choice, ask: Ask, plan: Plan, route: Route, passing: Filter) -> None:
    """Where something was too small: the other candidates that are not, and their fallbacks; the cheapest first.

    They come after those that were to be asked in any case, and are there for a provider that counts more tokens.
    """
    if not passing.too_small:
        return
    names = route.candidates if ask.found.route is not None else ()
    every = {one.id: one for name in (*names, *_further(plan, names)) for one in passing.targets(name)}
    known = {one.id for one in choice.targets}
    choice.targets += sorted((one for one in every.values() if one.id not in known), key=_dearness)
    told = f"too long for {', '.join(passing.too_small[:3])}: a model with a larger window is asked"
    choice.warning = f"{choice.warning}; {told}" if choice.warning else told


def _further(plan: Plan, names: Iterable[str]) -> list[str]:
    """The fallbacks of candidates, which the route itself does not name."""
    return [further for name in names if name in plan.aliases for further in plan.aliases[name].fallback]


def _dearness(target: Target) -> float:
    """The price of reading: of what is too long for others, that is what costs."""
    return target.price.input if target.price is not None else math.inf


def strongest(plan: Plan, route: Route) -> Iterable[str]:
    """The aliases that a route holds for its strongest, the first one first.

    The one for high complexity, then its fallbacks; of a route that names neither, the candidates by what a token of
    their answers costs, the dearest first: nothing else is known of them.
    """
    high = route.complexity.get("high")
    named = (*((high,) if high is not None else ()), *(route.fallback or ()))
    if named:
        return dict.fromkeys(named)
    names = [name for name in route.candidates or _by_priority(plan) if name in plan.aliases]
    return sorted(names, key=lambda name: -max(map(_output_price, plan.aliases[name].targets), default=0))


def _output_price(target: Target) -> int:
    return target.price.output if target.price is not None else 0


def _wishes(ask: Ask, plan: Plan, route: Route) -> Iterable[tuple[str | None, str]]:
    """What each rule would pick, in the order of the rules; None where the config has no entry for it."""
    facts, stuck = ask.facts, _stuck(ask, route)
    if stuck is not None:
        for name in strongest(plan, route):
            yield name, stuck
    if ask.task is not None:
        yield route.tasks.get(ask.task), f"task:{ask.task} (said by the client)"
    if facts is None:
        return
    if facts.complexity is not None:
        yield from _classified(facts, facts.complexity, route)
        return
    yield from _by_rules(facts, plan, route)


def _stuck(ask: Ask, route: Route) -> str | None:
    """The rule of an agent that goes round in circles, or did; None: it does not, or the route lets it."""
    if not route.escalates:
        return None
    if ask.facts is not None and ask.facts.stalled:
        return STALLED
    return RAISED if ask.pinned is not None and ask.pinned.escalated else None


def _classified(facts: Facts, complexity: float, route: Route) -> Iterable[tuple[str | None, str]]:
    """What the classifier's word means: the task where it decides, else the complexity."""
    if facts.task is not None:
        yield route.tasks.get(facts.task), f"task:{facts.task}"
    level = "low" if complexity < LOW else "high" if complexity > HIGH else "medium"
    yield from _levels(level, route)


def _by_rules(facts: Facts, plan: Plan, route: Route) -> Iterable[tuple[str | None, str]]:
    rules = route.rules
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
    yield route.tasks.get("chat"), "task:chat"
    level = "low" if facts.words < rules.short_words else "high" if facts.words > rules.long_words else "medium"
    yield from _levels(level, route)


def _levels(level: str, route: Route) -> Iterable[tuple[str | None, str]]:
    """The entry of a level of complexity; of a missing one that of the next higher."""
    for higher in LEVELS[LEVELS.index(level) :]:
        yield route.complexity.get(higher), f"complexity:{level}"


def _tagged(plan: Plan, tag: str) -> str | None:
    return next((alias.name for alias in plan.aliases.values() if tag in alias.tags), None)


def _by_priority(plan: Plan) -> list[str]:
    """All aliases, those with the lowest priority first, otherwise in the order of the config."""
    return sorted(plan.aliases, key=lambda name: min(map(_rank, plan.aliases[name].targets), default=math.inf))


def _rank(target: Target) -> float:
    return target.priority if target.priority is not None else math.inf


def deployments(alias: Alias, world: World, now: float, draw: Draw, ask: Ask) -> list[Target]:
    """Deployments of an alias: those at the provider that the key prefers, then by priority, equals balanced."""
    if len(alias.targets) < 2:
        return list(alias.targets)
    found: list[Target] = []
    for _, equals in groupby(sorted(alias.targets, key=_rank), key=_rank):
        found += balanced(equals, world.conditions, now, draw, ask.prefix, world.here)
    first = ask.wish.preferred_provider
    return found if first is None else sorted(found, key=lambda target: target.provider != first)
