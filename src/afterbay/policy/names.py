"""What a `model` in a request means.

Looked up in this order: alias; route; `provider/rest`, split at the first slash, the rest verbatim; the upstream name
of a configured deployment, with or without its date; else what `unknown_model` says. An unknown name is answered with
the three nearest ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from afterbay.core.decision import Target
from afterbay.core.errors import ClientMistake
from afterbay.core.words import closest
from afterbay.policy.plan import Alias, Plan, Route

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
    if plan.unknown_model != "error":
        instead = _named(plan, plan.unknown_model)
        if instead is not None:
            warning = f"the model '{model}' is not configured; '{plan.unknown_model}' answers instead"
            return Found(instead.alias, instead.route, None, warning)
    near = closest(model, [*plan.aliases, *plan.routes, *plan.by_upstream_name])
    raise ClientMistake(
        f"There is no model called '{model}'.",
        status=404,
        kind="not_found",
        code="model_not_found",
        param="model",
        remedy=f"The nearest names are: {', '.join(near)}; GET /v1/models lists all."
        if near
        else "No model is set up.",
    )


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
