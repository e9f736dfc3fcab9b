"""`policies.preferences`: what is wanted for users and agents, its names looked up."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from afterbay.config.load import Document
from afterbay.config.problem import Problem, child, did_you_mean
from afterbay.config.schema import PreferenceConfig
from afterbay.policy.rights import Preference
from afterbay.policy.statement import Preferences


def preferences_of(
    document: Document, providers: Iterable[str], models: Container[str], problems: list[Problem]
) -> Preferences | None:
    """The preferences of the configuration; None: it has none. What cannot be meant is added to `problems`."""
    config, known = document.config.policies.preferences, tuple(providers)

    def resolved(what: str, wanted: Mapping[str, PreferenceConfig]) -> dict[str, Preference]:
        path = f"policies.preferences.{what}"
        return {
            name: _preference(document, child(path, name), one, known, models, problems) for name, one in wanted.items()
        }

    if not (config.users or config.agents):
        return None
    return Preferences(resolved("users", config.users), resolved("agents", config.agents))


def _preference(
    document: Document,
    path: str,
    wanted: PreferenceConfig,
    providers: tuple[str, ...],
    models: Container[str],
    problems: list[Problem],
) -> Preference:
    named = [(f"{path}.allowed_providers[{at}]", one) for at, one in enumerate(wanted.allowed_providers or ())]
    if wanted.preferred_provider is not None:
        named.append((f"{path}.preferred_provider", wanted.preferred_provider))
    for where, name in named:
        if name not in providers:
            hint = did_you_mean(name, providers)
            problems.append(document.problem(where, f"there is no provider `{name}`", "a name under providers", hint))
    bound = wanted.bound_model
    if bound is not None and bound not in models and bound.partition("/")[0] not in providers:
        where, what = f"{path}.bound_model", f"there is no model or route `{bound}`"
        problems.append(document.problem(where, what, "a name under models or routes, or provider/model", ""))
    allowed = frozenset(wanted.allowed_providers) if wanted.allowed_providers is not None else None
    return Preference(wanted.preferred_provider, allowed, bound)
