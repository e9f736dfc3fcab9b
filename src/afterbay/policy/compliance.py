"""The one filter for what a target must be certified for, and where it must compute.

A policy (`plan.Compliance`) asks for facts; a target has the facts that its provider and its deployment state. Nothing
is taken for granted: a target without facts fails every policy, so does one whose fact has ended, and a policy that a
key names and the configuration does not have is met by nobody. Policies only add up: what a route, a key and a client
ask for holds together, so that none of them can widen what another allows.

Facts end at midnight UTC, while the gateway runs: whoever asks says at which moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from afterbay.core.decision import Fact, Target
from afterbay.policy.plan import Compliance

HEADER: Final = "x-afterbay-residency"
"""The client's own policy: a region."""


def beside(
    sets: Mapping[str, Compliance], names: Iterable[str] = (), residency: str | None = None
) -> tuple[Compliance, ...]:
    """The policies that hold for a request beside its route's: those that its key names, and its client's own.

    `sets`: the named ones of the configuration; `residency`: what the client asks for.
    """
    found = [sets.get(name) or Compliance(name=name, is_unknown=True) for name in sorted(names)]
    if residency is not None:
        found.append(Compliance(residency=residency, name=HEADER))
    return tuple(found)


def gap(target: Target, policies: Iterable[Compliance], at: float) -> str | None:
    """What a target lacks of some policies at a moment (UTC seconds); None: nothing, it may be asked."""
    for policy in policies:
        found = _gap(target, policy, at)
        if found is not None:
            return found
    return None


def meets(target: Target, policies: Iterable[Compliance], at: float) -> bool:
    """Whether a target may be asked under all of these policies."""
    return gap(target, policies, at) is None


def _gap(target: Target, policy: Compliance, at: float) -> str | None:
    name = f" ({policy.name})" if policy.name else ""
    if policy.is_unknown:
        return f"compliance: there is no set '{policy.name[:100]}'"
    missing = policy.require - target.compliance
    if missing:
        return f"compliance: it lacks {', '.join(sorted(missing))}{name}"
    if policy.residency is not None and target.region != policy.residency:
        where = target.region or "an unknown region"
        if policy.name == HEADER:
            return f"residency: {policy.residency[:100]} asked, the target is in {where}"
        return f"residency: {policy.residency} required, the target is in {where}{name}"
    if target.facts or policy.sourced:
        told = _told(target)
        for wanted in sorted(policy.require):
            fact = told.get(wanted)
            if fact is not None and fact.until_s is not None and at >= fact.until_s:
                return f"compliance: its {wanted} ended with {last_day(fact.until_s)}{name}"
            if policy.sourced and (fact is None or not fact.source):
                return f"compliance: nothing vouches for its {wanted}{name}"
    return None


def lasting(target: Target, at: float) -> frozenset[str]:
    """The facts of a target that hold at a moment (UTC seconds)."""
    over = [one.name for one in target.facts if one.until_s is not None and at >= one.until_s]
    return target.compliance.difference(over)


def met_by(target: Target, policies: Iterable[Compliance]) -> str:
    """By which facts a target meets policies: for the record. Say it only of one that does."""
    required = sorted({name for policy in policies for name in policy.require})
    told = _told(target)
    said = [_said(told.get(name) or Fact(name)) for name in required]
    if any(policy.residency is not None for policy in policies):
        said.append(f"region {target.region}")
    return f"{target.id}: {', '.join(said) or 'nothing is required'}"


def holding(policies: Iterable[Compliance]) -> str:
    """Which policies held, for the record."""
    names = (f"{one.name}: {one.residency}" if one.name == HEADER else one.name or "unnamed" for one in policies)
    return f"held: {', '.join(dict.fromkeys(names))}"


def _said(fact: Fact) -> str:
    parts = [fact.source] if fact.source else []
    if fact.until_s is not None:
        parts.append(f"until {last_day(fact.until_s)}")
    return f"{fact.name} ({', '.join(parts)})" if parts else fact.name


def last_day(until_s: float) -> str:
    """The last day on which something holds that ends at this moment."""
    return datetime.fromtimestamp(until_s - 1, UTC).date().isoformat()


def common(targets: Iterable[Target], whole: Target) -> Target:
    """`whole` with what holds of each of these targets, too: for requests whose target nobody looks at.

    Facts that one of them lacks are gone, the earliest end counts, and one elsewhere leaves no region.
    """
    names, region = whole.compliance, whole.region
    facts = _told(whole)
    for one in targets:
        told = _told(one)
        names &= one.compliance
        region = region if one.region == region else None
        facts = {name: _weaker(facts.get(name), told.get(name)) for name in (*facts, *told) if name in names}
    kept = tuple(fact for _, fact in sorted(facts.items()) if fact.source or fact.until_s is not None)
    return msgspec.structs.replace(whole, region=region, compliance=names, facts=kept)


def _told(target: Target) -> dict[str, Fact]:
    return {fact.name: fact for fact in target.facts}


def _weaker(one: Fact | None, other: Fact | None) -> Fact:
    """What holds of both, of which one may say no more than its name."""
    known = one or other
    assert known is not None, "somebody tells of it"  # noqa: S101
    ends = [each.until_s for each in (one, other) if each is not None and each.until_s is not None]
    vouched = one is not None and other is not None and one.source and other.source
    return Fact(known.name, known.source if vouched else "", min(ends, default=None))
