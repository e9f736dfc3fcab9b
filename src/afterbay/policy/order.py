"""Who of the targets that may serve is tried first, by how they do; and who is left out for now.

    well                     in the order that routing gave, those that asked to be left alone last
    ejected, but answering   (slow, or failing too often) after all of those
    down                     left out, as long as there is anybody else

Nobody left but ejected ones: they are all tried in spite of it ("panic"), since a doubtful target is better than a
certain refusal. Of those that are down the one that was not tried for longest goes first: it will be the first to show
that the outage is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from afterbay.core.decision import Rejected, Target
from afterbay.policy.condition import Condition

PANIC = "health: every target is ejected, so all are tried in spite of it"


class Order(msgspec.Struct, frozen=True):
    """`targets` in order; `left_out` and why; `panics`: all of them are ejected."""

    targets: tuple[Target, ...]
    left_out: tuple[Rejected, ...] = ()
    panics: bool = False


def arrange(
    targets: Iterable[Target], cooling_until: Mapping[str, float], conditions: Mapping[str, Condition], now: float
) -> Order:
    """The order in which to try targets; never empty unless `targets` is."""
    ranked = sorted(targets, key=lambda t: max(cooling_until.get(t.id, 0.0) - now, 0.0))
    ill = {t.id: c for t in ranked if (c := conditions.get(t.id)) is not None and not c.is_usable(now)}
    if not ill:
        return Order(tuple(ranked))
    well = [t for t in ranked if t.id not in ill]
    poor = [t for t in ranked if t.id in ill and not ill[t.id].is_down(now)]
    down = [t for t in ranked if t.id in ill and ill[t.id].is_down(now)]
    if well:
        return Order((*well, *poor), tuple(Rejected(t.id, _told(ill[t.id], now)) for t in down))
    down.sort(key=lambda t: ill[t.id].attempted_s)
    return Order((*poor, *down), (), panics=True)


def _told(condition: Condition, now: float) -> str:
    left_s = condition.ejected_for_s(now)
    until = f"ejected for another {left_s:.0f} s" if left_s else "one request is finding out whether it is well again"
    return f"health: {condition.illness}; {until}"
