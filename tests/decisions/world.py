"""Random configurations with all that a route can be told, random keys, clients, states of the world, and decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from random import Random
from typing import Any

import msgspec
from tests.compliance.configurations import ALIASES, EMBEDDER, ROUTES, SETS, configuration
from tests.compliance.world import snapshot_of
from tests.decisions.judge import Judge, Money, Question

from afterbay.app.snapshots import direct_target
from afterbay.config.snapshot import Snapshot
from afterbay.core.decision import Decision, Target
from afterbay.core.errors import GatewayError
from afterbay.policy import budget, spending
from afterbay.policy.balance import Here
from afterbay.policy.compliance import beside
from afterbay.policy.condition import Condition
from afterbay.policy.facts import Facts
from afterbay.policy.filters import Ask
from afterbay.policy.names import look_up
from afterbay.policy.pinning import Pinned
from afterbay.policy.plan import Alias, HealthRules, Route
from afterbay.policy.rights import EVERYTHING, NO_WISH, Preference, Rights
from afterbay.policy.route import World, decide, route_of
from afterbay.policy.statement import NO_PREFERENCES, TASKS, wish_of

NOW = 10_000.0
DAY_S = 86_400.0
BEGIN_S = 1_769_900_000.0
"""The last day of January 2026, in the evening."""
BENCHMARKS = ("humaneval", "mmlu")
USERS, AGENTS = ("u0", "u1"), ("a0", "a1")
KEYS, WORLDS = 24, 8


class Told(msgspec.Struct):
    """What a run showed."""

    decisions: int = 0
    targets: int = 0
    rules: Counter[str] = msgspec.field(default_factory=Counter)
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    steps: Counter[str] = msgspec.field(default_factory=Counter)
    wrong: list[str] = []

    def add(self, other: Told) -> None:
        """Takes in what another run showed."""
        self.decisions += other.decisions
        self.targets += other.targets
        for mine, theirs in ((self.rules, other.rules), (self.refused, other.refused), (self.steps, other.steps)):
            mine.update(theirs)
        self.wrong += other.wrong[:20]


def dressed(random: Random) -> dict[str, Any]:
    """A configuration of `tests.compliance`, with prices, windows, aims, preferences and all else of a route."""
    config = configuration(random)
    for one in config["providers"].values():
        if random.random() < 0.85:
            price = random.choice((0, 0.5, 3))
            one["price"] = {"input": price, "output": random.choice((0, 2, 15)), "cached_input": price / 10}
    for name, model in config["models"].items():
        if name != EMBEDDER and random.random() < 0.6:
            model["context"] = random.choice((500, 4000, 100_000))
        if random.random() < 0.3:
            model["tags"] = [random.choice(("fast", "reasoning", "code"))]
    for one in (*config["routes"].values(), config["defaults"]):
        one |= _aims(random)
    config["policies"]["preferences"] = {
        "users": {name: _preference(random, config) for name in USERS},
        "agents": {name: _preference(random, config) for name in AGENTS},
    }
    if random.random() < 0.5:
        config["region"] = random.choice(("eu", "us"))
    return config


def _aims(random: Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    draws: tuple[tuple[float, str, Any], ...] = (
        (0.4, "optimize", random.choice(("cost", "latency", "quality"))),
        (0.25, "slo", {"ttft_p95": random.choice(("100ms", "600ms", "3s"))}),
        (0.25, "min_score", {random.choice(BENCHMARKS): random.choice((0.3, 0.6))}),
        (0.2, "pin", False),
        (0.2, "escalate", False),
        (0.2, "keep", 0.95),
        (0.2, "cascade", True),
        (0.2, "overflow", random.choice(("trim_oldest", "middle_out", "larger_model"))),
        (0.2, "explore", {"share": 0.05}),
    )
    for share, name, value in draws:
        if random.random() < share:
            found[name] = value
    return found


def _preference(random: Random, config: Mapping[str, Any]) -> dict[str, Any]:
    providers = list(config["providers"])
    found: dict[str, Any] = {}
    if random.random() < 0.3:
        found["preferred_provider"] = random.choice(providers)
    if random.random() < 0.3:
        found["allowed_providers"] = [one for one in providers if random.random() < 0.7]
    if random.random() < 0.15:
        found["bound_model"] = random.choice((*ALIASES, *ROUTES))
    return found


def _conditions(random: Random) -> list[Condition]:
    """Targets in every state of health: new, quick, slow, ejected, down, about to be tried."""
    found = []
    for took_s in (0.05, 0.4, 2.0):
        one = Condition(HealthRules(window_s=1.0), NOW - 500, lambda _: 0.5)
        for at in range(120):
            one.began(NOW - 400 + at * 2).answered(NOW - 400 + at * 2 + took_s)
        found.append(one)
    for evidence, ago_s in (("failed", 5.0), ("unreached", 5.0), ("failed", 200.0)):
        one = Condition(HealthRules(), NOW - 900, lambda _: 0.5)
        for _ in range(6):
            one.began(NOW - ago_s).ended(NOW - ago_s, evidence)  # type: ignore[arg-type]
        found.append(one)
    found.append(Condition(HealthRules(), NOW, lambda _: random.random()))
    return found


class Household:
    """One configuration, with everybody who asks under it."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.config = dressed(random)
        self.plan, self.scores = _scored(snapshot_of(self.config), random)
        self.judge = Judge(self.config, self.scores)
        self.told = Told()
        self._direct = partial(direct_target, self.plan)
        self._keys = [self._key() for _ in range(KEYS)]
        self._ids = [target.id for alias in self.plan.aliases.values() for target in alias.targets]
        self._owner = {target.id: alias for alias in self.plan.aliases for target in self.plan.aliases[alias].targets}
        self._worlds = [self._world() for _ in range(WORLDS)]
        self._moments = [BEGIN_S + at * DAY_S / 2 for at in range(16)]
        names = [*ALIASES, *ROUTES, *ROUTES, *ROUTES, random.choice(self._ids), f"{self._provider()}/other"]
        self._names = names
        self._draws = [random.random() for _ in range(257)]

    def _provider(self) -> str:
        return self.random.choice(list(self.config["providers"]))

    def _some(self, of: list[str], share: float) -> frozenset[str] | None:
        return frozenset(one for one in of if self.random.random() < 0.6) if self.random.random() < share else None

    def _key(self) -> tuple[Rights, Preference]:
        random, providers = self.random, list(self.config["providers"])
        rights = Rights(
            models=self._some([*ALIASES, *ROUTES, *self._ids_of(3)], 0.3),
            routes=self._some(list(ROUTES), 0.2),
            providers=self._some(providers, 0.3),
            compliance=frozenset(
                name for name in (*SETS, "gone") if random.random() < (0.01 if name == "gone" else 0.06)
            ),
        )
        wish = Preference(
            preferred_provider=random.choice(providers) if random.random() < 0.3 else None,
            allowed_providers=self._some(providers, 0.15),
            bound_model=random.choice((*ALIASES, *ROUTES)) if random.random() < 0.1 else None,
        )
        return rights, wish

    def _ids_of(self, count: int) -> list[str]:
        every = [target.id for alias in self.plan.aliases.values() for target in alias.targets]
        return self.random.sample(every, min(count, len(every)))

    def _world(self) -> World:
        random, states = self.random, _conditions(self.random)
        cooling = {name: NOW + random.choice((-5, 20)) for name in self._ids if random.random() < 0.1}
        conditions = {name: random.choice(states) for name in self._ids if random.random() < 0.7}
        here = Here(self.plan.region) if self.plan.region is not None else None
        return World(cooling, conditions, here)

    def run(self, decisions: int) -> Told:
        """Makes and judges so many decisions."""
        for _ in range(decisions):
            self._one()
        self.told.decisions += decisions
        return self.told

    def _one(self) -> None:
        random, plan = self.random, self.plan
        chance = random.random
        rights, own = random.choice(self._keys) if chance() < 0.8 else (EVERYTHING, NO_WISH)
        user, agent = random.choice((None, None, *USERS)), random.choice((None, None, *AGENTS))
        wish = wish_of(own, plan.preferences or NO_PREFERENCES, user, agent)
        name = random.choice(self._names)
        sought = wish.bound_model or name
        found = look_up(plan, sought, self._direct)
        route = route_of(plan, found, plan.defaults)
        at, residency = (
            random.choice(self._moments),
            random.choice((None, None, None, None, None, None, "eu", "us", "us", "mars")),
        )
        policies = beside(plan.compliance, rights.compliance, residency)
        read = random.choice((None, 20, 400, 3000, 50_000))
        kept_by = self._provider() if chance() < 0.02 else ""
        begin = random.randrange(257)
        ask = Ask(
            requested=sought,
            found=found,
            dialect=random.choice(("openai.chat", "anthropic.messages", "openai.responses")),
            input_tokens=read,
            facts=self._facts() if found.route is not None else None,
            task=random.choice(TASKS) if chance() < 0.1 else None,
            rights=rights,
            policies=policies,
            kept_by=kept_by,
            prefix=b"x" * 1024 if chance() < 0.3 else b"",
            wish=wish,
            at=at,
            output_tokens=random.choice((None, 100, 8000)),
            qualities={alias: chance() for alias in ALIASES} if chance() < 0.3 else {},
            pinned=self._pinned() if chance() < 0.5 else None,
        )
        world = random.choice(self._worlds)
        draws = self._draws
        try:
            decision = decide(ask, plan, route, {}, world, NOW, lambda purpose: draws[(begin + len(purpose)) % 257])
        except GatewayError as refused:
            self.told.refused[refused.code or refused.kind] += 1
            return
        question = Question(
            name,
            sought,
            at,
            tuple(sorted(rights.compliance)),
            residency,
            rights.models,
            rights.routes,
            rights.providers,
            self._only(own, user, agent),
            kept_by,
            read,
        )
        self._judge(decision, question, ask, route)

    def _only(self, own: Preference, user: str | None, agent: str | None) -> tuple[frozenset[str], ...]:
        """The lists of providers that hold, as they were written."""
        written = self.config["policies"]["preferences"]
        stated = [written["users"].get(user, {}), written["agents"].get(agent, {})]
        lists = [one["allowed_providers"] for one in stated if "allowed_providers" in one]
        return (*((own.allowed_providers,) if own.allowed_providers is not None else ()), *map(frozenset, lists))

    def _facts(self) -> Facts:
        random = self.random
        mentions = frozenset((random.choice(("extract", "reasoning", "code", "summarize")),))
        return Facts(
            random.choice((5.0, 400.0, 2000.0)),
            mentions if random.random() < 0.4 else frozenset(),
            random.choice(TASKS) if random.random() < 0.3 else None,
            random.random() if random.random() < 0.3 else None,
            random.random() < 0.1,
        )

    def _pinned(self) -> Pinned:
        random = self.random
        target = random.choice(self._ids)
        tokens = random.choice((0, 2000, 60_000))
        return Pinned(target, self._owner[target], random.choice((1.0, 400.0)), tokens, random.random() < 0.2)

    def _judge(self, decision: Decision, question: Question, ask: Ask, route: Route) -> None:
        told = self.told
        told.rules[decision.rule.partition(" ")[0]] += 1
        for target in decision.targets:
            wrong = self.judge.wrong(question, target.provider, target.name)
            if wrong:
                told.wrong.append(f"{question.sought} ({decision.rule}): {wrong}")
        told.targets += len(decision.targets)
        self._spend(decision, ask, route)

    def _spend(self, decision: Decision, ask: Ask, route: Route) -> None:
        """A budget that holds for the request, and what its attempts may cost together."""
        random, told, judge = self.random, self.told, self.judge
        amount = random.choice((10**9, 10**11, 10**13))
        left = int(amount * random.choice((-0.01, 0.0, 0.02, 0.15, 0.6, 1.0)))
        on_exceeded: Any = random.choice(("refuse", "downgrade", "cache", "defer"))
        priority: Any = random.choice(("low", "normal", "high"))
        need = spending.Need(ask.input_tokens or 0, ask.output_tokens)
        costs = [
            budget.Candidate(one.id, spending.least_cost(one.price, need) if one.price is not None else None)
            for one in decision.targets
        ]
        if all(one.cost is None for one in costs):
            told.steps["no price is known"] += 1  # the engine refuses it: nothing can be set aside
            return
        spend = budget.spend(costs, left, amount, priority, on_exceeded)
        told.steps[spend.step] += 1
        money = Money(left, amount, on_exceeded, need.input_tokens, need.least_output)
        by_id = {one.id: one for one in decision.targets}
        kept = [by_id[name] for name in spend.targets]
        wrong = judge.overspent(money, [one.provider for one in kept], [one.provider for one in decision.targets])
        if wrong:
            told.wrong.append(f"budget, {priority}, {spend.step}: {wrong}")
        if kept and left > 0:
            self._attempts(kept, need, left, route.at_once)

    def _attempts(self, targets: list[Target], need: spending.Need, limit: int, at_once: int) -> None:
        """All targets one after the other, some at once: what was written is paid out of what was left before."""
        spent = 0
        for target in targets[: 4 + at_once]:
            price = target.price
            if price is None or spending.least_cost(price, need) > limit - spent:
                continue
            bought = spending.output_for(price, need, limit - spent)
            longest = spending.longest_output(need, target.max_output, target.context_tokens) or 100_000
            written = longest if bought is None else min(longest, bought)
            rates = self.judge.price(target.provider)
            assert rates is not None
            spent += need.input_tokens * rates[0] + written * rates[1]
        if spent > limit:
            self.told.wrong.append(f"attempts cost {spent} together, {limit} was left")


def _scored(plan: Snapshot, random: Random) -> tuple[Snapshot, dict[str, dict[str, float]]]:
    """The plan with benchmark scores of its targets, which no configuration states."""
    scores: dict[str, dict[str, float]] = {}
    aliases: dict[str, Alias] = {}
    for name, alias in plan.aliases.items():
        for one in alias.targets:
            if one.id not in scores:
                known = [bench for bench in BENCHMARKS if random.random() < 0.7]
                scores[one.id] = {bench: random.choice((0.2, 0.5, 0.9)) for bench in known}
        targets = tuple(msgspec.structs.replace(one, scores=scores[one.id]) for one in alias.targets)
        aliases[name] = msgspec.structs.replace(alias, targets=targets)
    return msgspec.structs.replace(plan, aliases=aliases), scores
