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
    """The targets of a decision, those left out for their health included; empty where nothing mattered.

    How busy and quick a target is matters only among deployments of one alias.
    """
    if not conditions and not cooling_until:
        return ()
    targets = decision.targets
    plain = len(targets) == 1 or len({target.alias for target in targets}) == len(targets)
    if plain and not decision.rejected:
        for target in targets:
            condition = conditions.get(target.id)
            if cooling_until.get(target.id, now) > now or (condition is not None and condition.state(now) != "closed"):
                break
        else:
            return ()
    ids = [target.id for target in targets]
    ids += [one.target for one in decision.rejected if one.reason.startswith("health: ")]
    found: list[Sight] = []
    for name in ids[:MOST]:
        cooling_s, condition = max(cooling_until.get(name, now) - now, 0.0), conditions.get(name)
        if condition is not None:
            found.append(condition.sight(name, cooling_s, now))
        elif cooling_s:
            found.append(Sight(name, cooling_s))
    return tuple(found)
