"""The order of deployments of equal priority: by weight, moved by load, and by where a long prompt is likely cached.

    1  A weighted draw gives the order, so that traffic is shared as the weights say while all do alike.
    2  Two choices: of the first two of that order, the one that costs clearly less goes first. The cost of a target is
       how long it takes (peak EWMA) times how busy it is, raised by the share of its attempts that fail. One draw in
       twenty is left as it is: a target that became slow must be asked now and then to show that it is quick again.
    3  A long prompt goes to the deployment that its beginning is tied to (rendezvous hashing), among those that cost
       little more than the best: what they keep of it (a warm KV cache, a provider's prompt cache) saves more.

A gateway that knows its own region does all three among the targets that are nearest to it, and the others follow. Far
ones are not forbidden, they are dearer: see `_nearest_first`.

Two choices, not the least loaded of all: everybody would run to that one (Mitzenmacher 2001, "The Power of Two Choices
in Randomized Load Balancing"). Draws are keyed by the request, so a logged request has the same order again.
That the nearest go first only while they do well is Envoy's and Linkerd's way ("Zone aware routing" and "High
Availability Zonal Load Balancing" in their documentation, November 2026).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from types import MappingProxyType

import msgspec

from afterbay.core.decision import Target
from afterbay.policy.condition import Condition
from afterbay.policy.region import Distance, distance

CLEARLY = 1.25
"""A cost is clearly less if the other is this many times as high: below that it is noise."""
EXPLORED = 0.05
AFFINE = 1.5
"""So many times the best cost a target may have for a prompt to stay with it."""
FAILING = 10.0
"""A target of whose attempts a tenth fails costs twice as much."""

DEARER: Mapping[Distance, float] = MappingProxyType({"here": 1.0, "near": 1.5, "far": 2.5})
"""So many times as long as it takes a target counts for as much as it costs to go there. The way there and back is in
its times already; what this stands for is money for traffic between regions, caches that are kept in one place, and
that people who name a region mean it."""
UNSEEN_S = 60.0
"""A target farther off that nobody asked for so long is asked now and then, to know how quick it is."""

LONG_BYTES = 4096
"""Shorter requests are not tied to a deployment: providers cache prompts from about 1,024 tokens on."""
PREFIX_BYTES = 1024
"""As much of a request's body names its beginning. It is the same in each turn of a conversation."""


class Here(msgspec.Struct, frozen=True):
    """Where the gateway is, and which providers have no place free (`limits.concurrent`) for another request."""

    region: str
    full: frozenset[str] = frozenset()


def prefix_of(body: bytes) -> bytes:
    """What ties a request to a deployment; empty: nothing.

    The body as the client sent it, not the canonical request: a relayed request is never parsed, and a client writes
    the turns of one conversation in one way.
    """
    return body[:PREFIX_BYTES] if len(body) >= LONG_BYTES else b""


def weighted(targets: Iterable[Target], draw: Callable[[str], float]) -> list[Target]:
    """Weighted sampling without replacement by keys u^(1/w): Efraimidis and Spirakis, 2006."""
    return sorted(targets, key=lambda t: -(max(draw(f"order/{t.id}"), 1e-12) ** (1 / t.weight)))


def balanced(
    targets: Iterable[Target],
    conditions: Mapping[str, Condition],
    now: float,
    draw: Callable[[str], float],
    prefix: bytes = b"",
    here: Here | None = None,
) -> list[Target]:
    """Deployments of equal priority in the order in which to try them. `here` None: the gateway names no region."""
    order = weighted(targets, draw)
    costs = _costs(order, conditions, now) if len(order) > 1 and conditions else {}
    if here is not None and len(order) > 1:
        by_distance: dict[Distance, list[Target]] = {name: [] for name in DEARER}
        for target in order:
            by_distance[distance(here.region, target.region)].append(target)
        groups = {name: group for name, group in by_distance.items() if group}
        if len(groups) > 1:
            return _nearest_first(groups, costs, conditions, now, draw, prefix, here.full)
    return _affine(_two_choices(order, costs, draw), costs, prefix)


def _two_choices(order: list[Target], costs: Mapping[str, float], draw: Callable[[str], float]) -> list[Target]:
    """The order, the second one first where the first one costs clearly more."""
    if len(order) > 1 and costs and costs[order[0].id] > CLEARLY * costs[order[1].id] and draw("explore") >= EXPLORED:
        return [order[1], order[0], *order[2:]]
    return order


def _nearest_first(
    groups: Mapping[Distance, list[Target]],
    costs: Mapping[str, float],
    conditions: Mapping[str, Condition],
    now: float,
    draw: Callable[[str], float],
    prefix: bytes,
    full: frozenset[str],
) -> list[Target]:
    """The nearest group first, each balanced in itself, unless a farther one is better in spite of the way.

    A group stands for its first target that is well and has a place free; one without any is not asked first. What is
    compared between groups is habit (the slow average, `Load.habit`), not peaks or attempts in flight: these say who of
    several like targets is free just now, while of two regions the one that gets all the traffic would always look the
    busier one. Where the nearer takes longer than the farther one and the way, traffic moves over by degrees: its share
    is the square of what it should take over what it takes. A step from all to nothing would send everybody there and
    back again. A region that is out is another matter: its targets are ejected, and all goes elsewhere at once.
    """
    ready: dict[Distance, list[Target]] = {}
    found: list[Target] = []
    for name, group in groups.items():
        fit: list[Target] = []
        rest: list[Target] = []
        for one in group:
            (fit if one.provider not in full and _is_usable(one, conditions, now) else rest).append(one)
        fit = _affine(_two_choices(fit, costs, draw), {one.id: costs[one.id] for one in fit} if costs else {}, prefix)
        if fit:
            ready[name] = fit
        found += [*fit, *rest]
    if len(ready) < 2:
        first = next(iter(ready.values()), found)[0]
    else:
        first = _chosen([(DEARER[name], group[0]) for name, group in ready.items()], conditions, now, draw, prefix)
    return [first, *(one for one in found if one is not first)]


def _chosen(
    leaders: list[tuple[float, Target]],
    conditions: Mapping[str, Condition],
    now: float,
    draw: Callable[[str], float],
    prefix: bytes,
) -> Target:
    """Which of the groups' first ones is asked. The turns of a conversation stay together: its prefix is the draw."""
    known = [conditions.get(target.id) for _, target in leaders]
    habits = [one.load.habit() if one is not None else (None, None) for one in known]
    took = _comparable([first for first, _ in habits]) or _comparable([whole for _, whole in habits])
    scores = []
    for at, ((dearer, target), one) in enumerate(zip(leaders, known, strict=True)):
        failing = FAILING * one.error_share(now) if one is not None else 0.0
        scores.append(((took[at] if took else 1.0) * dearer * (1 + failing), target))
    (nearest_score, nearest), *others = scores
    score, other = min(others, key=lambda pair: pair[0])
    share = max((score / nearest_score) ** 2, EXPLORED)
    unseen = [one for _, one in others if _unseen(one, conditions, now)]
    if unseen and draw("explore") < EXPLORED:
        return unseen[0]
    if share >= 1:
        return nearest
    return nearest if (_tie_share(prefix) if prefix else draw("region")) < share else other


def _unseen(target: Target, conditions: Mapping[str, Condition], now: float) -> bool:
    one = conditions.get(target.id)
    return one is None or now - one.attempted_s >= UNSEEN_S


def _is_usable(target: Target, conditions: Mapping[str, Condition], now: float) -> bool:
    one = conditions.get(target.id)
    return one is None or one.is_usable(now)


def _costs(targets: list[Target], conditions: Mapping[str, Condition], now: float) -> dict[str, float]:
    """What each target costs now, in seconds or, where too little is known, without a unit."""
    known = [conditions.get(target.id) for target in targets]
    seconds = [one.load.seconds(now) if one is not None else (None, None) for one in known]
    took = _comparable([first for first, _ in seconds]) or _comparable([whole for _, whole in seconds])
    mean_weight = sum(target.weight for target in targets) / len(targets)
    costs: dict[str, float] = {}
    for at, (target, one) in enumerate(zip(targets, known, strict=True)):
        busy = one.load.in_flight * mean_weight / target.weight if one is not None else 0.0
        failing = FAILING * one.error_share(now) if one is not None else 0.0
        costs[target.id] = (took[at] if took else 1.0) * (1 + busy) * (1 + failing)
    return costs


def _comparable(seconds: list[float | None]) -> list[float] | None:
    """The figures, the unknown ones taken for the best that is known; None: none is."""
    known = [one for one in seconds if one is not None]
    if not known:
        return None
    return [max(one if one is not None else min(known), 1e-4) for one in seconds]


def _affine(order: list[Target], costs: Mapping[str, float], prefix: bytes) -> list[Target]:
    """The order, with the target first that the prefix is tied to."""
    if not prefix or len(order) < 2:
        return order
    limit = AFFINE * min(costs.values()) if costs else math.inf
    near = [target for target in order if costs.get(target.id, 0.0) <= limit]
    chosen = max(near, key=lambda target: _tie(prefix, target))
    return [chosen, *(target for target in order if target is not chosen)]


def _tie(prefix: bytes, target: Target) -> float:
    """How strongly a prefix is tied to a target: weighted rendezvous hashing (Schindelhauer and Schomaker, 2005)."""
    return -target.weight / math.log(_hashed(target.id.encode(), prefix))


def _tie_share(prefix: bytes) -> float:
    """A number in (0, 1) that is the same for all that begin with the prefix."""
    return _hashed(b"region", prefix)


def _hashed(purpose: bytes, prefix: bytes) -> float:
    digest = blake2b(b"\0".join((purpose, prefix)), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 1) / (2**64 + 2)
