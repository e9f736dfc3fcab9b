"""Aims of a route that can have no effect, or that nothing can meet: each in a sentence, for `afterbay check`."""

from __future__ import annotations

from afterbay.config.snapshot import Snapshot
from afterbay.core.decision import Target
from afterbay.policy.plan import Route


def idle_aims(snapshot: Snapshot, path: str, route: Route) -> list[str]:
    """What there is to say of `optimize`, `slo` and `min_score` of a route."""
    names = route.candidates or tuple(snapshot.aliases)
    every = {one.id: one for name in names if name in snapshot.aliases for one in snapshot.aliases[name].targets}
    targets = [one for one in every.values() if not one.embeds]
    return [*_scores(path, route, targets), *_slo(path, route, targets), *_optimize(path, route, targets)]


def _scores(path: str, route: Route, targets: list[Target]) -> list[str]:
    found: list[str] = []
    for name, least in route.min_score.items():
        known = [one.scores[name] for one in targets if name in one.scores]
        if not targets or any(score >= least for score in known):
            continue
        best = f"the best is {max(known):g}" if known else "none is known"
        found.append(f"{path}.min_score.{name}: no candidate has {least:g} ({best}), so every request is refused.")
    return found


def _slo(path: str, route: Route, targets: list[Target]) -> list[str]:
    slo = route.slo_ttft_p95_s
    if slo is None:
        return []
    if len(targets) == 1:
        return [f"{path}.slo: there is one deployment ({targets[0].id}), so there is nothing to choose."]
    if slo >= route.limits.first_token_s:
        limit = route.limits.first_token_s
        return [f"{path}.slo.ttft_p95: {slo:g} s is never missed: attempts are given up after {limit:g} s."]
    return []


def _optimize(path: str, route: Route, targets: list[Target]) -> list[str]:
    where = f"{path}.optimize"
    if route.optimize is None:
        return []
    if route.slo_ttft_p95_s is not None:
        return [f"{where}: changes nothing beside `slo`, which takes the cheapest that holds it."]
    if len(targets) == 1:
        return [f"{where}: there is one deployment ({targets[0].id}), so there is nothing to choose."]
    if route.optimize == "cost" and targets and all(one.price is None for one in targets):
        return [f"{where}: no candidate's price is known, so the order stays as it is."]
    if route.keep is not None:
        return []  # what is certified goes before the tables
    if "classify" not in route.stages and "chat" in route.tasks:
        chat = route.tasks["chat"]
        return [f"{where}: chooses among the deployments of an alias alone: tasks.chat sends the rest to `{chat}`."]
    if "high" in route.complexity:
        return [f"{where}: chooses among the deployments of an alias alone: `complexity` decides on every request."]
    return []
