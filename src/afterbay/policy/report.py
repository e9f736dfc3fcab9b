"""What a decision was made of: every candidate, what removed it, what was expected of it, what the strongest costs.

It is made on demand. Only what the log keeps of a request that a route picked for is made of each (`reasons_of`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from afterbay.core.decision import Candidate, Decision, Scores, Target
from afterbay.policy.facts import told as told_facts
from afterbay.policy.filters import Ask, Cannot, why_not
from afterbay.policy.plan import Plan, Route
from afterbay.policy.route import World, strongest
from afterbay.policy.scores import score_all

MOST: Final = 16
"""So many candidates are in the log; a client cannot make more of them, an operator can."""


def in_reach(ask: Ask, plan: Plan, route: Route) -> list[Target]:
    """Every target that a request could lead to by the configuration, once, in its order, whatever the filters say."""
    found = ask.found
    if found.target is not None:
        return [found.target]
    if found.alias is not None:
        names: Iterable[str] = (found.alias.name, *found.alias.fallback)
    else:
        names = (*(route.candidates or plan.aliases), *(route.fallback or ()))
    every = [target for name in dict.fromkeys(names) if name in plan.aliases for target in plan.aliases[name].targets]
    return list({target.id: target for target in every}.values())


def consider(
    ask: Ask, route: Route, targets: Sequence[Target], cannot: Cannot, world: World, decision: Decision | None
) -> list[Candidate]:
    """What there is to say of each target: those of the decision in its order, then the others as they come.

    `decision` None: there was none, since the filters removed all.
    """
    chosen = decision.targets if decision is not None else ()
    said = {one.target: one.reason for one in decision.rejected} if decision is not None else {}
    place = {target.id: at for at, target in enumerate(chosen, 1)}
    every = [*chosen, *(one for one in targets if one.id not in place)]
    scores = score_all(ask, every, world.conditions)
    return [
        Candidate(
            one.id,
            one.alias,
            None if one.id in place else said.get(one.id) or why_not(ask, route, one, one.alias, cannot),
            scores[one.id],
            place.get(one.id),
            one.context_tokens,
            one.max_output,
        )
        for one in every
    ]


def counterfactual(ask: Ask, plan: Plan, route: Route, candidates: Iterable[Candidate]) -> Candidate | None:
    """The candidate that a gateway which always takes the strongest would have asked; None: none may serve."""
    able = [one for one in candidates if one.removed is None]
    names = (ask.found.alias.name,) if ask.found.alias is not None else strongest(plan, route)
    for name in names:
        found = next((one for one in able if one.alias == name), None)
        if found is not None:
            return found
    return None


def reasons_of(ask: Ask, decision: Decision, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """What the log keeps of a pick. Small, and no word of anybody's in it."""
    able = [one for one in candidates if one.removed is None]
    found: dict[str, Any] = {
        "rule": decision.rule,
        "facts": told(ask),
        "candidates": [{"target": one.target, "rank": one.rank, **_scores(one.scores)} for one in able[:MOST]],
        "pick": decision.targets[0].id if decision.targets else None,
        "propensity": decision.propensity,
    }
    if len(able) > MOST:
        found["more_candidates"] = len(able) - MOST
    found.update(decision.because)
    return found


def told(ask: Ask) -> dict[str, Any]:
    """The facts of a request that decisions use: numbers and words of the house, nothing that anybody said."""
    found: dict[str, Any] = {"input_tokens": ask.input_tokens}
    if ask.output_tokens is not None:
        found["output_tokens"] = ask.output_tokens
    if ask.task is not None:
        found["task_said"] = ask.task
    facts = ask.facts
    if facts is not None:
        found |= told_facts(facts)
    if ask.pinned is not None:
        found["pinned"] = {"target": ask.pinned.target, "tokens": ask.pinned.tokens, "age_s": round(ask.pinned.age_s)}
    return found


def _scores(scores: Scores) -> dict[str, Any]:
    found: dict[str, Any] = {"cost_picousd": scores.cost_picousd}
    if scores.quality is not None:
        found["quality"] = round(scores.quality, 4)
    if scores.ttft_p95_s is not None:
        found["ttft_p95_s"] = round(scores.ttft_p95_s, 4)
    if scores.warm_tokens:
        found["warm_tokens"] = scores.warm_tokens
    return found
