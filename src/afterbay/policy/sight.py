"""What a decision saw of its targets, as far as anything could have changed it: kept until it is known how the request
ends, so it must cost next to nothing where all is well.
"""

from __future__ import annotations

from collections.abc import Mapping

from afterbay.core.decision import Decision, Sight
from afterbay.policy.condition import Condition

MOST = 16
"""So many targets are looked at."""


def sights(
    decision: Decision, cooling_until: Mapping[str, float], conditions: Mapping[str, Condition], now: float
) -> tuple[Sight, ...]:
    """The targets of a decision that were not well or asked to be left alone, those left out for it included.

    How busy and quick the others were is not kept: what came of that is the order of the decision.
    """
    if not conditions and not cooling_until:
        return ()
    names = [target.id for target in decision.targets]
    if decision.rejected:
        names += [one.target for one in decision.rejected if one.reason.startswith("health: ")]
    found: list[Sight] = []
    for name in names[:MOST]:
        cooling_s, condition = cooling_until.get(name, now) - now, conditions.get(name)
        if condition is not None and (cooling_s > 0 or condition.state(now) != "closed"):
            found.append(condition.sight(name, max(cooling_s, 0.0), now))
        elif cooling_s > 0:
            found.append(Sight(name, cooling_s))
    return tuple(found)
