"""From the facts that a configuration states to those of providers and targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta

from afterbay.config.load import Document
from afterbay.config.problem import Problem, child, masked_url
from afterbay.config.schema import DeploymentConfig, FactConfig, Facts, ModelConfig
from afterbay.config.snapshot import Provider
from afterbay.core.decision import Fact, Target
from afterbay.policy.plan import Alias


def names_of(stated: Facts) -> frozenset[str]:
    """The names of facts."""
    return frozenset(map(_name, stated))


def facts_of(stated: Facts) -> tuple[Fact, ...]:
    """What is known of facts beside their names, of those of which anything is."""
    found = [_fact(one) for one in stated if isinstance(one, FactConfig)]
    return tuple(sorted((one for one in found if one.source or one.until_s is not None), key=lambda one: one.name))


def _name(stated: str | FactConfig) -> str:
    return stated if isinstance(stated, str) else stated.fact


def _fact(stated: FactConfig) -> Fact:
    end = None
    if stated.until is not None:
        end = datetime.combine(stated.until + timedelta(days=1), time(), UTC).timestamp()
    return Fact(stated.fact, masked_url(stated.source or ""), end)


def check_facts(document: Document, path: str, stated: Facts, problems: list[Problem]) -> None:
    """Complains about a fact without a name, and about one that stands there twice."""
    seen: set[str] = set()
    for i, name in enumerate(map(_name, stated)):
        here = f"{path}.compliance[{i}]"
        if not name.strip() or name != name.strip():
            problems.append(document.problem(here, "a fact has no name, or a space at its end", "such as soc2"))
        if name in seen:
            problems.append(document.problem(here, f"`{name}` stands here twice", "", "Keep one of them."))
        seen.add(name)


def own_facts(model: ModelConfig, deployment: DeploymentConfig) -> DeploymentConfig:
    """The deployment with what its model says of all of them."""
    said = names_of(deployment.compliance)
    more = tuple(one for one in model.compliance if _name(one) not in said)
    return DeploymentConfig(
        deployment.provider,
        deployment.name,
        deployment.weight,
        deployment.priority,
        deployment.region if deployment.region is not None else model.region,
        deployment.compliance + more,
        deployment.lacks + model.lacks,
    )


def standing(provider: Provider, own: DeploymentConfig) -> tuple[frozenset[str], tuple[Fact, ...]]:
    """The facts of a deployment: its provider's, its own in their place, less those that it lacks."""
    said = names_of(own.compliance)
    names = (provider.compliance | said) - frozenset(own.lacks)
    inherited = [one for one in provider.facts if one.name not in said]
    facts = [one for one in (*inherited, *facts_of(own.compliance)) if one.name in names]
    return names, tuple(sorted(facts, key=lambda one: one.name))


def check_agreement(document: Document, aliases: Mapping[str, Alias], problems: list[Problem]) -> None:
    """Two aliases may lead to one model at one provider: then both must say the same of it, or either would be no use
    against the other."""
    first: dict[str, Target] = {}
    for target in (one for alias in aliases.values() for one in alias.targets):
        other = first.setdefault(target.id, target)
        if _said(other) != _said(target):
            what = f"`{target.id}` has other facts, or another region, than under {child('models', other.alias)}"
            remedy = "Say the same in both, or under the provider."
            problems.append(document.problem(child("models", target.alias), what, "one truth about one model", remedy))


def _said(target: Target) -> tuple[object, ...]:
    return target.compliance, target.facts, target.region


def useless(path: str, provider: Provider, own: DeploymentConfig) -> Iterable[str]:
    """Warnings about facts that a deployment is said to lack, and would not have anyway."""
    have = provider.compliance | names_of(own.compliance)
    return [
        f"{path}.lacks: `{name}` changes nothing: {provider.name} does not state it."
        for name in own.lacks
        if name not in have
    ]
