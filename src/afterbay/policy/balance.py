"""The order of deployments of equal priority: by weight, moved by load, and by where a long prompt is likely cached.

    1  A weighted draw gives the order, so that traffic is shared as the weights say while all do alike.
    2  Two choices: of the first two of that order, the one that costs clearly less goes first. The cost of a target is
       how long it takes (peak EWMA) times how busy it is, raised by the share of its attempts that fail. One draw in
       twenty is left as it is: a target that became slow must be asked now and then to show that it is quick again.
    3  A long prompt goes to the deployment that its beginning is tied to (rendezvous hashing), among those that cost
       little more than the best: what they keep of it (a warm KV cache, a provider's prompt cache) saves more.

Two choices, not the least loaded of all: everybody would run to that one (Mitzenmacher 2001, "The Power of Two Choices
in Randomized Load Balancing"). Draws are keyed by the request, so a logged request has the same order again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b

from afterbay.core.decision import Target
from afterbay.policy.condition import Condition

CLEARLY = 1.25
"""A cost is clearly less if the other is this many times as high: below that it is noise."""
EXPLORED = 0.05
AFFINE = 1.5
"""So many times the best cost a target may have for a prompt to stay with it."""
FAILING = 10.0
"""A target of whose attempts a tenth fails costs twice as much."""

LONG_BYTES = 4096
"""Shorter requests are not tied to a deployment: providers cache prompts from about 1,024 tokens on."""
PREFIX_BYTES = 1024
"""As much of a request's body names its beginning. It is the same in each turn of a conversation."""


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
) -> list[Target]:
    """Deployments of equal priority in the order in which to try them."""
    order = weighted(targets, draw)
    if len(order) < 2 or not conditions:
        return _affine(order, {}, prefix)
    costs = _costs(order, conditions, now)
    first, second = order[0], order[1]
    if costs[first.id] > CLEARLY * costs[second.id] and draw("explore") >= EXPLORED:
        order[0], order[1] = second, first
    return _affine(order, costs, prefix)


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
    digest = blake2b(b"\0".join((target.id.encode(), prefix)), digest_size=8).digest()
    share = (int.from_bytes(digest, "big") + 1) / (2**64 + 2)
    return -target.weight / math.log(share)
