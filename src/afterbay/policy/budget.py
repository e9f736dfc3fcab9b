"""What a request may have while a budget empties. Pure: a share of the budget in, an order of targets out.

Each priority has a ladder of steps down. As less is left of the budget a request goes down its ladder:

    free        the targets in the order in which routing put them; dearer ones stay, as far as one may spend on them
    thrifty     the same targets, the cheapest first
    cheapest    the cheapest targets alone
    cache       no target: what a cache holds, or nothing
    defer       no target now: later, in a batch
    refuse      no

High priority may buy up: its ladder begins late, and one request of it may take all that is left. Low priority goes
down early, to the cache and then to a batch, long before the budget is used up. Where nothing is left the budget's own
word holds for all (`on_exceeded`): `downgrade` goes on with the cheapest targets, as only an operator may say, `cache`
and `defer` end there, `refuse` is an error. A priority whose ladder is further down by then stays there. Targets that
cost nothing are always asked: a budget of money has no say in them.

What holds for any ladders: with less money no step is higher and no target dearer, and no priority is served worse than
a lower one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec

from afterbay.policy.lanes import PRIORITIES, Priority

Step: TypeAlias = Literal["free", "thrifty", "cheapest", "cache", "defer", "refuse"]
STEPS: tuple[Step, ...] = ("free", "thrifty", "cheapest", "cache", "defer", "refuse")
"""From the best to the worst."""

_TOLD: Mapping[Step, str] = MappingProxyType(
    {
        "thrifty": "the cheapest target first",
        "cheapest": "the cheapest target alone",
        "cache": "only a cache may answer",
        "defer": "later",
        "refuse": "nothing",
    }
)

OnExceeded: TypeAlias = Literal["refuse", "downgrade", "cache", "defer"]

_EXCEEDED: Mapping[OnExceeded, Step] = MappingProxyType(
    {"downgrade": "cheapest", "cache": "cache", "defer": "defer", "refuse": "refuse"}
)


class Ladder(msgspec.Struct, frozen=True):
    """When one priority steps down: below these shares of the budget that are left (0: only when nothing is).

    `takes`: the share of what is left that one request may cost; a dearer target is left out.
    """

    thrifty: float = 0.0
    cheapest: float = 0.0
    cache: float = 0.0
    defer: float = 0.0
    takes: float = 1.0

    def __post_init__(self) -> None:
        """A ladder goes down.

        Raises:
            ValueError: a lower step comes before a higher one, or a share is none.
        """
        shares = (1.0, self.thrifty, self.cheapest, self.cache, self.defer, 0.0)
        if any(upper < lower for upper, lower in pairwise(shares)) or not 0 < self.takes <= 1:
            raise ValueError(f"a ladder goes down from 1 to 0: {self}")

    def step(self, share: float) -> Step:
        """Where a request stands while this share of the budget is left."""
        if share < self.defer:
            return "defer"
        if share < self.cache:
            return "cache"
        if share < self.cheapest:
            return "cheapest"
        return "thrifty" if share < self.thrifty else "free"


class Ladders(msgspec.Struct, frozen=True):
    """The ladders of all priorities."""

    low: Ladder = Ladder(thrifty=1.0, cheapest=0.5, cache=0.2, defer=0.1, takes=0.01)
    normal: Ladder = Ladder(thrifty=0.25, cheapest=0.1, takes=0.1)
    high: Ladder = Ladder()

    def __post_init__(self) -> None:
        """No priority steps down before a lower one.

        Raises:
            ValueError: one does.
        """
        for worse, better in pairwise((self.low, self.normal, self.high)):
            shares = zip(msgspec.structs.astuple(worse)[:4], msgspec.structs.astuple(better)[:4], strict=True)
            if any(below < above for below, above in shares) or worse.takes > better.takes:
                raise ValueError("a priority steps down before a lower one does")

    def of(self, priority: Priority) -> Ladder:
        """The ladder of a priority."""
        return (self.low, self.normal, self.high)[PRIORITIES.index(priority)]


LADDERS = Ladders()


class Candidate(msgspec.Struct, frozen=True):
    """A target that may serve, and about what it would cost (picodollars). None: its price is not known; it counts as
    the dearest of the others."""

    target: str
    cost: int | None


class Spend(msgspec.Struct, frozen=True):
    """What a request may have: `targets` in the order in which they are tried; none from `cache` on.

    `why` is for the record; empty: the budget changed nothing.
    """

    step: Step
    targets: tuple[str, ...]
    why: str = ""


def spend(
    candidates: Sequence[Candidate],
    left: int,
    amount: int,
    priority: Priority,
    on_exceeded: OnExceeded,
    ladders: Ladders = LADDERS,
) -> Spend:
    """What one request may have of a budget. Sums of money are picodollars.

    Args:
        candidates: the targets that routing chose, in its order; costs at least 0.
        left: reservations taken off; may be below 0, where a request cost more than was set aside for it.
        amount: the whole budget.
        priority: the request's.
        on_exceeded: the budget's word for when nothing is left, or not enough for any target.
        ladders: when each priority steps down.
    """
    costs = _costs(candidates)
    least = min(costs.values(), default=0)
    ladder = ladders.of(priority)
    share = max(0.0, min(1.0, left / amount)) if amount > 0 else 0.0
    step = ladder.step(share)
    said = f"budget: {share:.0%} is left"
    if left < least and least > 0:
        step = max(step, _EXCEEDED[on_exceeded], key=STEPS.index)
        return Spend(step, _cheapest(costs) if step == "cheapest" else (), f"{said}, not enough ({on_exceeded})")
    if least == 0 and costs and STEPS.index(step) > STEPS.index("cheapest"):
        step = "cheapest"  # a budget of money has no say in what costs none
    may_cost = max(min(left, int(left * ladder.takes)), least)
    kept = {name: cost for name, cost in costs.items() if cost <= may_cost}
    if step == "thrifty":
        kept = dict(sorted(kept.items(), key=lambda one: one[1]))
    elif step != "free":
        kept = {name: costs[name] for name in _cheapest(costs)} if step == "cheapest" else {}
    found = [_TOLD[step]] if step != "free" else []
    if step in ("free", "thrifty") and len(kept) < len(costs):
        found.append(f"one request may cost {ladder.takes:.0%} of it")
    return Spend(step, tuple(kept), f"{said}, {priority} priority: {', '.join(found)}" if found else "")


def leaves_alone(dearest: int, left: int, amount: int, priority: Priority, ladders: Ladders = LADDERS) -> bool:
    """Whether `spend` would change nothing for a request whose dearest target costs so much: the usual case, fast."""
    if left <= 0 or amount <= 0:
        return False
    ladder = ladders.of(priority)
    return dearest <= int(left * ladder.takes) and ladder.step(min(1.0, left / amount)) == "free"


def _costs(candidates: Sequence[Candidate]) -> dict[str, int]:
    """The candidates in order, with a cost for each; one that is not known is not nothing."""
    dearest = max((one.cost for one in candidates if one.cost is not None), default=0)
    return {one.target: one.cost if one.cost is not None else max(1, dearest) for one in candidates}


def _cheapest(costs: Mapping[str, int]) -> tuple[str, ...]:
    least = min(costs.values(), default=0)
    return tuple(name for name, cost in costs.items() if cost == least)
