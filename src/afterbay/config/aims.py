"""Keys of a route that can have no effect, or that nothing can meet: each in a sentence."""

from __future__ import annotations

from afterbay.config.problem import child
from afterbay.config.snapshot import Snapshot
from afterbay.core.decision import Target
from afterbay.policy.kept_quality import duel_of
from afterbay.policy.plan import Route
from afterbay.policy.route import strongest


def idle_aims(snapshot: Snapshot, path: str, route: Route) -> list[str]:
    """What there is to say of `optimize`, `slo` and `min_score` of a route."""
    names = route.candidates or tuple(snapshot.aliases)
    every = {one.id: one for name in names if name in snapshot.aliases for one in snapshot.aliases[name].targets}
    targets = [one for one in every.values() if not one.embeds]
    return [*_scores(path, route, targets), *_slo(path, route, targets), *_optimize(path, route, targets)]


def idle_learning(snapshot: Snapshot, *, has_routes: bool) -> list[str]:
    """What there is to say, at loading, of keys by which a route learns. `has_routes`: some are written."""
    found: list[str] = []
    for name, route in snapshot.routes.items():
        found += [*_learning(child("routes", name), route), *_judge(snapshot, child("routes", name), route)]
    if not has_routes:
        told = "a client that names a model gets that model: it holds for routes, and the only one here is `auto`."
        keys = {"keep": snapshot.defaults.keep, "cascade": snapshot.defaults.cascade}
        found += [f"defaults.{key}: {told}" for key, value in keys.items() if value is not None]
    return found


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


def _learning(path: str, route: Route) -> list[str]:
    """Of what is learned from some requests: what nothing reads, or what nothing is learned for."""
    shadows = route.shadow is not None and route.shadow.share > 0
    found: list[str] = []
    if route.explore is not None and route.keep is not None:
        found.append(f"{path}.explore: nothing is explored beside `keep`, whose promise it would break.")
    if shadows and route.keep is None:
        found.append(f"{path}.shadow: no request is asked twice without `keep`, which is what that is for.")
    if route.keep is not None and not shadows:
        found.append(
            f"{path}.keep: without `shadow` there are no labels, so nothing new is certified; until something is, the "
            "strongest candidate serves all."
        )
    return found


def _judge(snapshot: Snapshot, path: str, route: Route) -> list[str]:
    """A judge that is one of the two it compares."""
    judge = route.shadow.judge if route.shadow is not None else ""
    duel = duel_of(snapshot, route, next(iter(strongest(snapshot, route)), None))
    if route.keep is None or duel is None or judge not in snapshot.aliases:
        return []
    own = {one.id for one in snapshot.aliases[judge].targets}
    for name in (duel.strong, duel.cheap):
        if own & {one.id for one in snapshot.aliases[name].targets}:
            told = f"`{judge}` would compare answers of `{name}` with others, and a model prefers its own"
            return [f"{path}.shadow.judge: {told}. Name a third one, of another family."]
    return []
