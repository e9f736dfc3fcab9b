"""The order of candidates by what is expected of them: a route's `optimize`, and its `slo`. Pure.

    slo        first those that are known to hold it, then those that nobody has measured, then those known to miss it.
               Among the first the cheapest leads, of equals the nearest. One that is not measured may hold it, so it
               goes before a sure miss, and after a sure hit. Where all are known to miss it, the fastest leads, and a
               warning says so.
    cost       the cheapest first; a price that nobody knows may be any, so it comes last
    latency    the fastest first. Times within a quarter of each other are one: what lies between is noise, and if the
               last millisecond counted everybody would run to the same one.
    quality    the best first; then those whose quality is not known, the route's strongest before the others; of equals
               the cheapest

Among equals the order that came in stays, so deployments of one alias are balanced as ever. The provider that whoever
asks wants first goes first among those that hold the `slo`, and before all else where there is none.

Where time decides, one request in fifty begins with a target that nobody has measured, as long as it is no dearer than
the one that would be taken: it would stay unknown for ever otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from afterbay.core.decision import Scores, Target
from afterbay.policy.condition import Condition
from afterbay.policy.filters import Ask
from afterbay.policy.plan import Route
from afterbay.policy.region import distance
from afterbay.policy.scores import score_all

MEASURED = 0.02
"""As many requests go first to a target whose times are not known, where time decides."""
_ALIKE = math.log(1.25)
_AWAY = {"here": 0, "near": 1, "far": 2}


class Sorted(msgspec.Struct, frozen=True):
    """Targets, the best first; what was expected of each; how likely this order was, where chance had a say in it."""

    targets: list[Target]
    scores: Mapping[str, Scores]
    warning: str | None = None
    propensity: float = 1.0


def has_aim(route: Route) -> bool:
    """Whether a route orders by what is expected of its candidates."""
    return route.optimize is not None or route.slo_ttft_p95_s is not None


def rule_of(route: Route) -> str:
    """The name of what such a route picks by."""
    return f"optimize:{route.optimize}" if route.slo_ttft_p95_s is None else "slo:ttft_p95"


def ranked(
    ask: Ask,
    route: Route,
    targets: Sequence[Target],
    conditions: Mapping[str, Condition],
    strongest: str | None,
    home: str | None,
    draw: Callable[[str], float],
) -> Sorted:
    """The order that a route with an aim wants.

    Args:
        strongest: the alias that the route holds for its strongest.
        home: the gateway's region; None: nobody said.
        draw: as for `decide`.
    """
    scores = score_all(ask, targets, conditions)
    slo = route.slo_ttft_p95_s

    def key(target: Target) -> tuple[Any, ...]:
        one = scores[target.id]
        if slo is not None:
            away = _AWAY[distance(home, target.region)] if home is not None else 0
            return _by_slo(one, slo, away)
        return _by_aim(one, route, target.alias == strongest)

    found, warning, propensity = sorted(targets, key=key), None, 1.0
    if slo is not None and found and all(_misses(scores[one.id], slo) for one in found):
        best = scores[found[0].id].ttft_p95_s or 0.0
        warning = f"slo: no target holds ttft_p95 {slo * 1000:.0f} ms, the fastest is expected at {best * 1000:.0f} ms"
    if slo is not None or route.optimize == "latency":
        found, propensity = _measured(found, scores, draw)
    return Sorted(found, scores, warning, propensity)


def _by_slo(one: Scores, slo: float, away: int) -> tuple[Any, ...]:
    known = one.ttft_p95_s
    if known is not None and known > slo:
        return 2, not one.preferred, known, away
    cost = one.cost_picousd
    return int(known is None), not one.preferred, cost is None, cost or 0, away


def _misses(one: Scores, slo: float) -> bool:
    return one.ttft_p95_s is not None and one.ttft_p95_s > slo


def _by_aim(one: Scores, route: Route, is_strongest: bool) -> tuple[Any, ...]:
    cost = (one.cost_picousd is None, one.cost_picousd or 0)
    if route.optimize == "cost":
        return not one.preferred, *cost
    if route.optimize == "latency":
        known = one.ttft_p95_s
        return not one.preferred, known is None, math.floor(math.log(max(known or 0.0, 1e-4)) / _ALIKE)
    return not one.preferred, one.quality is None, -round(one.quality or 0.0, 3), not is_strongest, *cost


def _measured(
    found: list[Target], scores: Mapping[str, Scores], draw: Callable[[str], float]
) -> tuple[list[Target], float]:
    """The order, seldom with one first whose times are not known; and how likely it was."""
    if not found or scores[found[0].id].ttft_p95_s is None:
        return found, 1.0
    most = scores[found[0].id].cost_picousd
    unknown = [one for one in found if scores[one.id].ttft_p95_s is None and _is_no_dearer(scores[one.id], most)]
    if not unknown:
        return found, 1.0
    if draw("measure") >= MEASURED:
        return found, 1.0 - MEASURED
    first = unknown[0]
    return [first, *(one for one in found if one is not first)], MEASURED


def _is_no_dearer(one: Scores, most: int | None) -> bool:
    return most is None or (one.cost_picousd is not None and one.cost_picousd <= most)
