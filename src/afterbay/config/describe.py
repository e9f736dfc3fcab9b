"""What `afterbay check` prints: every effective value with where it came from, and policies that can never match."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

import msgspec

from afterbay.config.aims import idle_aims
from afterbay.config.fields import Seconds
from afterbay.config.problem import DEFAULT, Origin, child, masked_url, shown
from afterbay.config.schema import Config
from afterbay.config.schema_route import RouteConfig
from afterbay.config.snapshot import Snapshot
from afterbay.config.watch import Loaded
from afterbay.policy.compliance import last_day, meets
from afterbay.policy.plan import Alias, Compliance, Limits, Route
from afterbay.policy.region import distance

LEVELS = ("low", "medium", "high")
_BOUNDS, _ROUTE = Limits(), Route(name="")
_BUILT_IN: Mapping[str, object] = {
    "timeouts.connect": Seconds(_BOUNDS.connect_s),
    "timeouts.first_token": Seconds(_BOUNDS.first_token_s),
    "timeouts.between_tokens": Seconds(_BOUNDS.between_tokens_s),
    "timeouts.total": Seconds(_BOUNDS.total_s),
    "hold": Seconds(_BOUNDS.hold_s),
    "max_attempts": _BOUNDS.max_attempts,
    "stages": tuple(sorted(_ROUTE.stages)),
    "fallback_on": tuple(sorted(_ROUTE.fallback_on)),
    "unsupported": "reject",
    "usage": "estimate",
}


class Row(msgspec.Struct, frozen=True):
    """One effective value, as it may be printed."""

    path: str
    value: str
    origin: str


def duration(seconds: float) -> str:
    """A duration as one would write it: `250ms`, `5s`, `2m`, `1h`, `30d`."""
    milliseconds = round(seconds * 1000)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def rows(loaded: Loaded) -> list[Row]:
    """Every effective value. Secrets are stars; what is unset and has no default is left out."""
    values = dict(_values(loaded.config, ""))
    origins = dict(loaded.origins)
    inherited = [inner.removeprefix("defaults.") for inner in values if inner.startswith("defaults.")]
    keys = list(dict.fromkeys([*_BUILT_IN, *inherited]))
    for name, route in ({"auto": RouteConfig()} | dict(loaded.config.routes)).items():
        _inherit(child("routes", name), keys, values, origins, dict(_values(route, "")))
    _inherit("defaults", keys, values, origins, {})
    addresses = {
        f"{child('providers', name)}.base_url": masked_url(one.base_url)
        for name, one in loaded.snapshot.providers.items()
        if one.base_url
    }
    found: list[Row] = []
    for path, value in values.items():
        if value is None and path in addresses:
            found.append(Row(path, addresses[path], "catalogue"))
        elif value is not None and value != ():
            found.append(Row(path, _text(path, value, origins), str(origins.get(path, DEFAULT))))
    return found


def _inherit(
    path: str, keys: Iterable[str], values: dict[str, object], origins: dict[str, Origin], own: Mapping[str, object]
) -> None:
    """Fills in what a route does not say itself: from `defaults`, else what is built in."""
    for key in keys:
        here, there = f"{path}.{key}", f"defaults.{key}"
        if values.get(here) not in (None, (), {}) or own.get(key) not in (None, (), {}):
            continue
        inherited = values.get(there)
        if path != "defaults" and inherited not in (None, (), {}) and there in origins:
            values[here] = inherited
            origins[here] = origins[there]
        elif key in _BUILT_IN:
            values[here] = _BUILT_IN[key]


def _values(value: object, path: str) -> Iterator[tuple[str, object]]:
    """(key path, value) of everything in a section; lists of plain values are one value, empty mappings none."""
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from _values(getattr(value, field), child(path, field))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _values(inner, child(path, key))
    elif isinstance(value, tuple) and value and (path.endswith("api_keys") or not _is_plain(value)):
        for i, inner in enumerate(value):
            yield from _values(inner, f"{path}[{i}]")
    else:
        yield path, value


def _is_plain(value: tuple[object, ...]) -> bool:
    return all(isinstance(inner, str | int | float) for inner in value)


def _text(path: str, value: object, origins: Mapping[str, Origin]) -> str:
    if isinstance(value, Seconds):
        return duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(shown(f'{path}[{i}]', inner, origins) for i, inner in enumerate(value))}]"
    return shown(path, value, origins)


def never_matching(loaded: Loaded, at: float = 0.0) -> list[str]:
    """Policies that can never match, or that change nothing: each with its key path and why. `at`: UTC seconds; facts
    that have ended by then do not count."""
    found: list[str] = []
    snapshot, config = loaded.snapshot, loaded.config
    for name, needs in snapshot.compliance.items():
        if not any(meets(target, (needs,), at) for alias in snapshot.aliases.values() for target in alias.targets):
            path = child("policies.compliance", name)
            found.append(f"{path}: no provider meets it ({_needs((needs,))}): whoever asks for it gets no answer.")
    for name, route in snapshot.routes.items():
        found += _route_dead_ends(snapshot, child("routes", name), route, at)
        found += _hardly_meant(child("routes", name), route)
        found += idle_aims(snapshot, child("routes", name), route)
        found += _unfollowed(snapshot, f"{child('routes', name)}.fallback", route)
    found += _hardly_meant("defaults", snapshot.defaults)
    found += _repeats(config)
    targets = [target for alias in snapshot.aliases.values() for target in alias.targets]
    home = snapshot.region
    if home is not None and targets and all(distance(home, target.region) == "far" for target in targets):
        found.append(f"region: no deployment is in `{home}` or its area, so it prefers none.")
    for alias in snapshot.aliases.values():
        path = f"{child('models', alias.name)}.fallback"
        found += _filtered(snapshot, [(path, name) for name in alias.fallback], snapshot.defaults.compliance, at)
    return found


SOON_S = 30 * 86400.0
"""So long before a fact ends somebody should see to its renewal."""


def facts_due(snapshot: Snapshot, at: float) -> list[str]:
    """Facts that have ended at a moment (UTC seconds) or end soon, and providers that state none though sets want
    some: each in a sentence."""
    targets = [target for alias in snapshot.aliases.values() for target in alias.targets]
    stated = {(one.name, fact) for one in snapshot.providers.values() for fact in one.facts}
    stated |= {(one.id, fact) for one in targets for fact in one.facts if (one.provider, fact) not in stated}
    found: list[str] = []
    for where, fact in sorted(stated, key=lambda one: (one[1].until_s or 0.0, one[0], one[1].name)):
        if fact.until_s is not None and fact.until_s <= at + SOON_S:
            verb = "ended" if fact.until_s <= at else "ends"
            told = f"{fact.name} of {where} {verb} with {last_day(fact.until_s)}"
            found.append(
                f"{told}: {'it counts as absent.' if verb == 'ended' else 'from then on it counts as absent.'}"
            )
    if snapshot.compliance:
        having = {one.provider for one in targets if one.compliance or one.region is not None}
        bare = [one.name for one in snapshot.providers.values() if not one.compliance and one.region is None]
        for name in sorted(set(bare) - having):
            found.append(f"{child('providers', name)}: no fact and no region is stated, so it meets no compliance set.")
    return found


def _needs(wanted: tuple[Compliance, ...]) -> str:
    words = sorted({f"{word} with a source" if one.sourced else word for one in wanted for word in one.require})
    return ", ".join(words + [f"residency {one.residency}" for one in wanted if one.residency is not None])


def _hardly_meant(path: str, route: Route) -> list[str]:
    """Values that can have no effect, or none that anybody wants."""
    found: list[str] = []
    hedge, limits = route.hedge, route.limits
    if hedge is not None and hedge.after_s is not None and hedge.after_s >= limits.first_token_s:
        found.append(
            f"{path}.hedge.after: {hedge.after_s:g} s are never waited: an attempt is given up after "
            f"timeouts.first_token = {limits.first_token_s:g} s. (A percentile is written p95.)"
        )
    if hedge is not None and hedge.max_share > hedge.width - 1:
        most = hedge.width - 1
        found.append(
            f"{path}.hedge.max_share: {hedge.max_share:g} is no limit: there are {most} hedges a request at most."
        )
    if route.max_cost_picousd == 0:
        found.append(f"{path}.max_cost_usd: 0 refuses every request to a target that has a price.")
    if limits.min_tokens_per_s is not None and limits.min_tokens_per_s > _FASTEST:
        found.append(
            f"{path}.timeouts.min_tokens_per_s: no model is so fast, so every longer stream counts as stalled."
        )
    return found


_FASTEST = 3000
"""Tokens a second: more than any provider gives a single stream (November 2026)."""


def _unfollowed(snapshot: Snapshot, path: str, route: Route) -> list[str]:
    """Names in a route's fallback list whose own lists somebody might expect to be followed."""
    listed = route.fallback or ()
    return [
        f"{path}: `{name}` has a fallback of its own ({', '.join(missing)}), which is not followed: add it here."
        for name in listed
        if (missing := [one for one in snapshot.aliases[name].fallback if one not in listed])
    ]


def _route_dead_ends(snapshot: Snapshot, path: str, route: Route, at: float) -> list[str]:
    named = [(f"{path}.tasks.{task}", name) for task, name in route.tasks.items()]
    named += [(f"{path}.complexity.{level}", name) for level, name in route.complexity.items()]
    named += [(f"{path}.fallback", name) for name in route.fallback or ()]
    found = _filtered(snapshot, named, route.compliance, at)
    levels = [level for level in LEVELS if level in route.complexity]
    for lower, higher in pairwise(levels):
        if route.complexity[lower] == route.complexity[higher]:
            found.append(
                f"{path}.complexity.{lower}: changes nothing: without it `{higher}` is used, which is the same."
            )
    return found


def _filtered(snapshot: Snapshot, named: list[tuple[str, str]], wanted: tuple[Compliance, ...], at: float) -> list[str]:
    """Names all of whose targets a compliance set removes."""
    found: list[str] = []
    for path, name in named:
        alias: Alias = snapshot.aliases[name]
        if not alias.targets:
            found.append(f"{path}: `{name}` has no provider that can answer.")
        elif wanted and not any(meets(target, wanted, at) for target in alias.targets):
            found.append(f"{path}: `{name}` can never be used here: none of its providers meets {_needs(wanted)}.")
    return found


def _repeats(config: Config) -> list[str]:
    """Entries of fallback lists that are in the chain already."""
    found: list[str] = []
    lists = [(f"{child('models', name)}.fallback", name, model.fallback) for name, model in config.models.items()]
    lists += [(f"{child('routes', name)}.fallback", "", route.fallback or ()) for name, route in config.routes.items()]
    lists.append(("defaults.fallback", "", config.defaults.fallback or ()))
    for path, own, names in lists:
        for i, name in enumerate(names):
            if name == own:
                found.append(f"{path}[{i}]: `{name}` is the model itself.")
            elif name in names[:i]:
                found.append(f"{path}[{i}]: `{name}` is in the list already.")
    return found
