"""Who may serve a model by a configuration, and who is asked first. What a drill hits is chosen among them."""

from __future__ import annotations

from collections import Counter
from functools import partial

import msgspec

from afterbay.app.snapshots import direct_target
from afterbay.config.snapshot import Snapshot
from afterbay.config.weights import task_classifier
from afterbay.core.chance import draw
from afterbay.core.decision import Target
from afterbay.policy.facts import read_facts
from afterbay.policy.filters import Ask
from afterbay.policy.names import Found, look_up
from afterbay.policy.plan import Alias
from afterbay.policy.route import World, decide, route_of
from afterbay.wire.registry import DIALECTS

PROMPT = "Tell me what a weir does to a river."
"""What every client of a drill asks. The rules of routes see it: a short question of no special task."""

DIALECT = "openai.chat"
"""The protocol of a drill's clients."""

DRAWS = 256
_CANNOT = {name: dialect.cannot for name, dialect in DIALECTS.items()}


class Reach(msgspec.Struct, frozen=True):
    """What a request for `model` can come to, while all are well.

    `plan` is the configuration; a target that was named directly is an alias in it. `targets` are all that may serve,
    the first choice of most requests first. `ask` is what policy is asked.
    """

    model: str
    plan: Snapshot
    ask: Ask
    targets: tuple[Target, ...]

    @property
    def providers(self) -> tuple[str, ...]:
        """Of these targets, in their order."""
        return tuple(dict.fromkeys(target.provider for target in self.targets))

    def first_for(self, seed: int, request: str) -> Target:
        """Whom a request would be sent to, were all well."""
        return _order(self.plan, self.ask, seed, request)[0]


def reach_of(plan: Snapshot, model: str) -> Reach:
    """What a request for `model` (alias, route or provider/model) can come to.

    A name that is not there is an error here, whatever `unknown_model` says: a drill of something else helps nobody.

    Raises:
        ClientMistake, PolicyRefusal: there is no such model, or nothing may serve it.
    """
    strict = msgspec.structs.replace(plan, unknown_model="error")
    found = look_up(strict, model, partial(direct_target, plan))
    if found.target is not None:
        alias = Alias(model, (msgspec.structs.replace(found.target, alias=model),))
        plan = msgspec.structs.replace(plan, aliases={**plan.aliases, model: alias})
        found = Found(alias=alias)
    route = route_of(plan, found, plan.defaults)
    scorer = task_classifier() if "classify" in route.stages else None
    facts = read_facts(PROMPT, route.rules, scorer) if found.route is not None else None
    ask = Ask(model, found, DIALECT, facts=facts)
    firsts: Counter[str] = Counter()
    seen: dict[str, Target] = {}
    for number in range(DRAWS):
        targets = _order(plan, ask, 0, f"reach-{number}")
        firsts[targets[0].id] += 1
        seen |= {target.id: target for target in targets if target.id not in seen}
    ordered = sorted(seen.values(), key=lambda target: -firsts[target.id])
    return Reach(model, plan, ask, tuple(ordered))


def _order(plan: Snapshot, ask: Ask, seed: int, request: str) -> tuple[Target, ...]:
    route = route_of(plan, ask.found, plan.defaults)
    decision = decide(ask, plan, route, _CANNOT, World({}), 0.0, lambda purpose: draw(seed, purpose, request))
    return decision.targets
