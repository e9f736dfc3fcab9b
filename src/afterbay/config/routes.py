"""From `RouteConfig` to `plan.Route`: defaults folded in, names looked up, candidates counted out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeAlias

import msgspec

from afterbay.config.load import Document, seconds
from afterbay.config.problem import Problem, child, did_you_mean
from afterbay.config.schema_route import CascadeConfig, ExploreConfig, HedgeConfig, RouteConfig, ShadowConfig, Timeouts
from afterbay.config.schema_route import Rules as RulesConfig
from afterbay.config.trained import NOTHING, Trained
from afterbay.core.usage import picousd
from afterbay.policy.cascade import Cascading
from afterbay.policy.hedge import Hedging
from afterbay.policy.plan import Compliance, Exploring, Limits, Route, Rules, Shadowing

LookUp: TypeAlias = Callable[[str, str, bool], str | None]
"""(name, key path, whether it must be there) -> the alias's name, or None."""

LEVELS = ("low", "medium", "high")
_DEFAULT_SET = "default"


def resolve_route(
    document: Document,
    name: str,
    route: RouteConfig,
    everything: tuple[str, ...],
    look_up: LookUp,
    problems: list[Problem],
    trained: Trained = NOTHING,
    *,
    is_defaults: bool = False,
) -> Route:
    """The route, defaults under it. `everything`: its candidates if it names none; `trained`: what its files hold."""
    path = "defaults" if is_defaults else child("routes", name)
    defaults = document.config.defaults
    merged = _merged(defaults, route)

    def where(key: str) -> str:
        """Where a key that holds here was written: in the route, else in the defaults."""
        return f"{path}.{key}" if _is_set(getattr(route, key)) else f"defaults.{key}"

    _check_order(document, where("tool_order"), merged, problems)
    tasks = _looked_up(merged.tasks, where("tasks"), look_up)
    complexity = _looked_up(merged.complexity, where("complexity"), look_up)
    fallback = _fallback(merged, where("fallback"), look_up)
    listed = dict.fromkeys([*tasks.values(), *(complexity[key] for key in LEVELS if key in complexity)])
    candidates = tuple(dict.fromkeys([*listed, *(fallback or ())])) or everything
    base = Route(name=name)
    return Route(
        name=name,
        limits=_limits(document, path, merged, problems),
        fallback=fallback,
        fallback_on=base.fallback_on if merged.fallback_on is None else frozenset(merged.fallback_on),
        stages=base.stages if merged.stages is None else frozenset(merged.stages),
        tasks=tasks,
        complexity=complexity,
        rules=_rules(merged.rules),
        candidates=() if is_defaults else candidates,
        drop_unsupported=merged.unsupported == "drop",
        ask_usage=merged.usage == "ask",
        compliance=_compliance(document, where("compliance"), merged, problems),
        tool_repair=merged.tool_repair or base.tool_repair,
        tool_reask=merged.tool_reask == 1,
        resume=merged.resume or "safe",
        hedge=_hedge(document, where("hedge"), merged.hedge, problems),
        reconnect_s=_or(merged.reconnect, base.reconnect_s),
        max_cost_picousd=None if merged.max_cost_usd is None else picousd(merged.max_cost_usd),
        tool_order={name: frozenset(needs) for name, needs in merged.tool_order.items()},
        keep=merged.keep,
        confidence=_or(merged.confidence, base.confidence),
        shadow=_shadow(merged.shadow, where("shadow"), look_up),
        explore=_explore(merged.explore),
        optimize=merged.optimize,
        slo_ttft_p95_s=None if merged.slo is None else float(merged.slo.ttft_p95),
        min_score=merged.min_score,
        pins=merged.pin is not False,
        escalates=merged.escalate is not False,
        cascade=_cascade(merged.cascade, trained),
        predictor=trained.digests.get(merged.predictor or "", ""),
        overflow=merged.overflow or base.overflow,
    )


def _cascade(cascade: bool | CascadeConfig | None, trained: Trained) -> Cascading | None:
    if isinstance(cascade, CascadeConfig):
        return Cascading(cascade.samples, trained.digests.get(cascade.acceptor or "", ""), cascade.accept)
    return Cascading() if cascade else None


def _explore(explore: ExploreConfig | None) -> Exploring | None:
    return Exploring(explore.share, picousd(explore.max_cost_usd)) if explore is not None and explore.share else None


def _shadow(shadow: ShadowConfig | None, path: str, look_up: LookUp) -> Shadowing | None:
    """How labels are come by; None: they are not."""
    if shadow is None:
        return None
    judge = look_up(shadow.judge, child(path, "judge"), True) if shadow.judge is not None else None
    return Shadowing(shadow.share, judge or "", picousd(shadow.max_cost_usd))


def _check_order(document: Document, path: str, merged: RouteConfig, problems: list[Problem]) -> None:
    """No tool may wait for itself: neither of two that wait for each other could ever be called beside the other."""
    try:
        TopologicalSorter(merged.tool_order).prepare()
    except CycleError as error:
        told = " needs ".join(f"`{name}`" for name in reversed(error.args[1]))
        problems.append(document.problem(path, f"{told}: they wait for each other", "an order that begins somewhere"))


def _is_set(value: object) -> bool:
    return value is not None and value != {} and value != Timeouts()


def _merged(defaults: RouteConfig, route: RouteConfig) -> RouteConfig:
    """`route` where it says something, else `defaults`; time limits one by one."""
    changes = {
        field: getattr(defaults, field) for field in route.__struct_fields__ if not _is_set(getattr(route, field))
    }
    limits = {
        field: getattr(defaults.timeouts, field)
        for field in route.timeouts.__struct_fields__
        if getattr(route.timeouts, field) is None
    }
    changes["timeouts"] = msgspec.structs.replace(route.timeouts, **limits)
    return msgspec.structs.replace(route, **changes)


def _looked_up(names: Mapping[Any, str], path: str, look_up: LookUp) -> dict[str, str]:
    found = {key: look_up(name, child(path, key), True) for key, name in names.items()}
    return {key: name for key, name in found.items() if name is not None}


def _fallback(route: RouteConfig, path: str, look_up: LookUp) -> tuple[str, ...] | None:
    if route.fallback is None:
        return None
    found = [look_up(name, f"{path}[{i}]", False) for i, name in enumerate(route.fallback)]
    return tuple(dict.fromkeys(name for name in found if name is not None))


def _limits(document: Document, path: str, route: RouteConfig, problems: list[Problem]) -> Limits:
    base, times = Limits(), route.timeouts
    for key in ("connect", "first_token", "between_tokens", "total"):
        value = getattr(times, key)
        at = f"{path}.timeouts.{key}"
        if value is not None and value <= 0 and at in document.origins:
            problems.append(document.problem(at, "no time at all is left", "a duration above 0s"))
    return Limits(
        connect_s=_or(times.connect, base.connect_s),
        first_token_s=_or(times.first_token, base.first_token_s),
        between_tokens_s=_or(times.between_tokens, base.between_tokens_s),
        total_s=_or(times.total, base.total_s),
        hold_s=_or(route.hold, base.hold_s),
        max_attempts=base.max_attempts if route.max_attempts is None else route.max_attempts,
        min_tokens_per_s=times.min_tokens_per_s,
    )


_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)", re.IGNORECASE).fullmatch


def _hedge(document: Document, path: str, hedge: HedgeConfig | None, problems: list[Problem]) -> Hedging | None:
    """When a second attempt is made; None: never."""
    if hedge is None or not hedge.max_share or not hedge.max_extra_cost:
        return None
    found = _PERCENTILE(hedge.after.strip())
    percentile = float(found[1]) / 100 if found is not None else None
    after_s = seconds(hedge.after) if found is None else None
    if percentile == 0 or (percentile is None and after_s is None):
        what = f"`{hedge.after}` is neither a percentile nor a duration"
        problems.append(document.problem(f"{path}.after", what, "such as p95, or 500ms", ""))
        return None
    return Hedging(
        after_s=float(after_s) if after_s is not None else None,
        percentile=percentile,
        width=hedge.width,
        max_extra_cost=hedge.max_extra_cost,
        max_share=hedge.max_share,
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else float(value)


def _rules(rules: RulesConfig | None) -> Rules:
    if rules is None:
        return Rules()
    values = msgspec.structs.asdict(rules)
    return msgspec.convert({key: _folded(one) if isinstance(one, tuple) else one for key, one in values.items()}, Rules)


def _folded(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words in lower case: prompts are compared so."""
    return tuple(word.lower() for word in words)


def _compliance(document: Document, path: str, route: RouteConfig, problems: list[Problem]) -> tuple[Compliance, ...]:
    """The set that holds for all, then the route's own."""
    sets = document.config.policies.compliance
    names = [_DEFAULT_SET] if _DEFAULT_SET in sets else []
    if route.compliance is not None and route.compliance not in sets:
        hint = did_you_mean(route.compliance, sets) or f"Add it under policies.compliance: {route.compliance}: {{...}}."
        what = f"there is no compliance set `{route.compliance}`"
        problems.append(document.problem(path, what, "a name under policies.compliance", hint))
    elif route.compliance is not None and route.compliance != _DEFAULT_SET:
        names.append(route.compliance)
    found = compliance_sets(document)
    return tuple(found[name] for name in names)


def compliance_sets(document: Document) -> dict[str, Compliance]:
    """The named sets of `policies.compliance`."""
    sets = document.config.policies.compliance
    return {name: Compliance(frozenset(one.require), one.residency, name, one.sourced) for name, one in sets.items()}
