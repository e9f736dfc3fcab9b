"""The cascade: the cheapest candidate is asked first, and its answer is given only if the free checks let it pass.

Theory of operation
    The order that the rules made stays; one alias moves before it: the one of the route's candidates that is expected
    to cost least for this request, if it costs less than the pick. Its deployments are "cheap" in the decision. Where
    the pick itself is the cheapest, the strongest candidate is put behind it, so that there is somebody to escalate to.
    An answer of a cheap target is checked (`afterbay.policy.checks`) as long as a target that is not cheap comes after
    it; what fails is kept as a spare, and the next target that is not cheap is asked.

    A price that is not known never counts as cheap, nor as that of somebody stronger, unless the route names the alias
    for its strongest. Targets come here after the hard filters, so the order can only hold those that may serve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from afterbay.core.decision import Decision, Target


class Cascading(msgspec.Struct, frozen=True):
    """How a route's cheap answers are come by. `samples`: answers of the cheap model that must agree; 1: nothing has
    to agree. `acceptor`: the digest of what was learned of them, empty: nothing; `accept`: how likely it must find one
    to be as good as the strongest model's at least."""

    samples: int = 1
    acceptor: str = ""
    accept: float = 0.8


class Led(msgspec.Struct, frozen=True):
    """Targets in the order in which they are to be asked, and the ids of those that are cheap; none may be."""

    targets: tuple[Target, ...]
    cheap: tuple[str, ...] = ()


def led_by_cheapest(
    order: Sequence[Target],
    candidates: Sequence[Target],
    strongest: Sequence[Target],
    cost: Callable[[Target], int | None],
) -> Led:
    """The order with the cheapest alias of the candidates first.

    `order`: what the rules made, the pick's deployments first. `candidates`, `strongest`: what else may serve, by the
    hard filters; `strongest` are those of the alias that the route names for it, so they are stronger than a pick even
    where nobody knows what they cost. `cost(target)`: what one is expected to cost, None where that is not known.
    """
    if not order:
        return Led(())
    pick = order[0].alias
    grouped = _by_alias((*order, *candidates, *strongest))
    costs = {alias: _dearest(group, cost) for alias, group in grouped.items()}
    picked = costs[pick]
    able = [alias for alias in dict.fromkeys((pick, *(one.alias for one in candidates))) if costs[alias] is not None]
    cheapest = min(able, key=lambda alias: (costs[alias], alias != pick), default=pick)
    if cheapest != pick:  # it costs less than the pick, or nobody knows what the pick costs
        return Led(_without_doubles((*grouped[cheapest], *order)), _ids(grouped[cheapest]))
    if picked is None:
        return Led(tuple(order))
    named = {one.alias for one in strongest} - {pick}
    behind = next(
        (one.alias for one in (*strongest, *order) if _is_stronger(costs[one.alias], picked, one.alias in named)), None
    )
    if behind is None:
        return Led(tuple(order))
    first = [one for one in order if one.alias == pick]
    return Led(_without_doubles((*first, *grouped[behind], *order)), _ids(first))


def _by_alias(targets: Iterable[Target]) -> dict[str, list[Target]]:
    found: dict[str, list[Target]] = {}
    for target in _without_doubles(targets):
        found.setdefault(target.alias, []).append(target)
    return found


def _dearest(targets: Sequence[Target], cost: Callable[[Target], int | None]) -> int | None:
    """What an alias costs at the dearest of its deployments: any of them may answer."""
    known = [one for one in map(cost, targets) if one is not None]
    return max(known) if len(known) == len(targets) else None


def _is_stronger(cost: int | None, than: int, is_named: bool) -> bool:
    return is_named if cost is None else cost > than


def _without_doubles(targets: Iterable[Target]) -> tuple[Target, ...]:
    found: dict[str, Target] = {}
    for target in targets:
        found.setdefault(target.id, target)
    return tuple(found.values())


def _ids(targets: Iterable[Target]) -> tuple[str, ...]:
    return tuple(target.id for target in targets)


def is_checked(decision: Decision, target: Target) -> bool:
    """Whether an answer of this target has to pass the checks: it is cheap, and another that is not comes after it."""
    if target.id not in decision.cheap:
        return False
    ids = [one.id for one in decision.targets]
    rest = ids[ids.index(target.id) + 1 :] if target.id in ids else []
    return any(one not in decision.cheap for one in rest)


def accepted(decision: Decision) -> Decision:
    """The decision that says that a cheap answer passed its checks."""
    return msgspec.structs.replace(decision, cascade="cascade: accepted")


def escalated(decision: Decision, failed: Sequence[str]) -> Decision:
    """The decision that says which checks a cheap answer failed."""
    return msgspec.structs.replace(decision, cascade=f"cascade: {', '.join(failed)} failed")
