"""What a `model` in a request means.

Looked up in this order: alias; route; `provider/rest`, split at the first slash, the rest verbatim; the upstream name
of a configured deployment, with or without its date; an older name whose successor answers for it, where the plan says
so; else what `unknown_model` says. An unknown name is answered with the three nearest ones, an older one with what
became of it. No other model ever answers without a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from afterbay.core.decision import Target
from afterbay.core.errors import ClientMistake
from afterbay.core.words import closest
from afterbay.policy.plan import Alias, Former, Plan, Route

Direct = Callable[[str, str], Target | None]
"""(provider, upstream model) -> a target made on the spot, or None if there is no such provider."""


class Found(msgspec.Struct, frozen=True):
    """Exactly one of the three is set. `warning` says that another name was meant."""

    alias: Alias | None = None
    route: Route | None = None
    target: Target | None = None
    warning: str | None = None


def look_up(plan: Plan, model: str, direct: Direct) -> Found:
    """Finds what `model` names.

    Raises:
        ClientMistake: 404 `model_not_found`, with the nearest names.
    """
    found = _named(plan, model)
    if found is not None:
        return found
    provider, slash, rest = model.partition("/")
    if slash and rest:
        target = direct(provider, rest)
        if target is not None:
            return Found(target=target)
    alias = plan.by_upstream_name.get(model)
    if alias is not None:
        return Found(alias=plan.aliases[alias])
    former = plan.former.get(model)
    if former is not None and former.alias is not None and former.alias in plan.aliases:
        answers = " and answers" if former.alias == former.instead else f"; '{former.alias}' answers instead"
        if answers == " and answers" and former.told.endswith(" then"):
            answers = ", and answers already"
        return Found(alias=plan.aliases[former.alias], warning=f"the model '{model}' {former.told}{answers}")
    if plan.unknown_model != "error":
        instead = _named(plan, plan.unknown_model)
        if instead is not None:
            why = f"{former.told}; neither is configured" if former is not None else "is not configured"
            warning = f"the model '{model}' {why}; '{plan.unknown_model}' answers instead"
            return Found(instead.alias, instead.route, None, warning)
    raise _unknown(plan, model, former)


def _unknown(plan: Plan, model: str, former: Former | None) -> ClientMistake:
    """What is said of a name that nothing has. Where its successor is here, that is the first of the nearest."""
    near = closest(model, [*plan.aliases, *plan.routes, *plan.by_upstream_name])
    if former is not None and (here := _called(plan, former.instead)) is not None:
        near = list(dict.fromkeys((here, *near)))[:3]
    became = f": it {former.told}" if former is not None else ""
    return ClientMistake(
        f"There is no model called '{model}'{became}.",
        status=404,
        kind="not_found",
        code="model_not_found",
        param="model",
        remedy=f"The nearest names are: {', '.join(near)}; GET /v1/models lists all."
        if near
        else "No model is set up.",
    )


def _called(plan: Plan, upstream: str) -> str | None:
    """What a model is called here; None: it is not here."""
    return upstream if upstream in plan.aliases else plan.by_upstream_name.get(upstream)


def _named(plan: Plan, name: str) -> Found | None:
    alias = plan.aliases.get(name)
    if alias is not None:
        return Found(alias=alias)
    route = plan.routes.get(name)
    return Found(route=route) if route is not None else None


_FLOATS = re.compile(r"latest|auto|router|free", re.IGNORECASE).search
_SEPARATORS = re.compile(r"[^a-z0-9]+")


def is_other_model(asked: str, answered: str) -> bool:
    """Whether a provider that was asked for one model says that another answered.

    Dates, versions and owners are often added or left out (`gpt-4o`, `openai/gpt-4o-2024-11-20`), so one name may be a
    part of the other; a name that moves (`-latest`) means any model.
    """
    if asked == answered or not answered or _FLOATS(asked):
        return False
    one, other = (_SEPARATORS.sub("", name.lower().rpartition("/")[2]) for name in (asked, answered))
    return not (one in other or other in one)
