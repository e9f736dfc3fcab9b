"""Slices of an allowance that a process may use without asking anybody. Pure.

The truth is a table: what was spent, and what is leased to whom. A process leases a slice, sets the worst cases of its
requests aside from that, and asks again only when the slice runs low. How the two stay one account:

    the table      spent + the leases of all <= limit      a lease is granted only out of what is neither
    a process      leased = granted - returned - settled   known at once; `free` is that without what is set aside
    a charge       spent grows, the lease shrinks          one transaction, when the request is written

So what a process believes to hold is never more than the table says: it lowers its own figure when a request ends, the
table's follows when that is written. All of it are sums: the order in which charges, grants and returns come together
does not matter.

How much to lease: what is needed, and ahead of need an equal part, among those who hold some, of half of what is left.
So slices shrink as the allowance empties, and a process seldom asks while it is full. What lies idle beyond that part
goes back (`excess`), and where somebody lacks what others have, it calls and they return what they have free.

A minute has no table of what was spent. There the lease is a share of the limit: a process keeps its own window within
its share, and returns of it only what its window does not hold. All windows together then hold no more than the limit,
in any 60 seconds, also while the table cannot be reached.
"""

from __future__ import annotations

import msgspec

from afterbay.policy.window import Window

PLENTY_TIMES = 16
PLENTY_SHARE = 0.25
"""There is plenty of an allowance where a share of it is left, and so many times what is wanted is at hand."""

REFILL = 4
"""More is leased ahead of need when less than this part of what a slice began with is free."""


class Standing(msgspec.Struct, frozen=True):
    """How an allowance stands in the table, as one holder sees it.

    `own` is leased to it; below 0 it used more than it had leased. `others`: leased to everybody else, none counted
    below 0; `holders`: how many hold some, with this one.
    """

    limit: int
    spent: int
    own: int
    others: int
    holders: int

    @property
    def unleased(self) -> int:
        """What may still be leased; below 0 after a limit was lowered, or more was used than was set aside."""
        return self.limit - self.spent - self.own - self.others


def granted(standing: Standing, have: int, need: int) -> int:
    """By how much a lease grows so that `need` is free and some more ahead.

    Args:
        have: what the holder has free already; below 0: it owes.
        need: what it has to have free.
    """
    most = standing.unleased
    if most <= 0:
        return 0
    wanted = need + max(0, most + have - need) // (2 * standing.holders)
    return min(most, max(0, wanted - have))


def excess(standing: Standing, free: int) -> int:
    """How much of what a holder has free goes back, so that others find it: what is beyond its part."""
    if not standing.others:
        return 0
    return max(0, free - max(0, standing.limit - standing.spent) // (2 * standing.holders))


class Slice:
    """One process's part of one allowance, in one day or month, or (with a window) in the last minute.

    The figures of the table are those of the last time it was asked: `room` could still be leased, `beyond` is what was
    left of the allowance beside this slice, leased to others or to nobody.
    """

    __slots__ = ("beyond", "leased", "limit", "low", "others", "reserved", "room", "window")

    def __init__(self, limit: int, window: Window | None = None) -> None:
        self.limit, self.window = limit, window
        self.leased = self.reserved = self.low = 0
        self.beyond = self.room = self.others = 0

    def free(self, now_s: float) -> int:
        """What may be set aside without asking. Below 0: more was used than was leased."""
        if self.window is None:
            return self.leased - self.reserved
        self.window.move(now_s)
        return self.leased - self.window.total

    def left(self, limit: int, now_s: float) -> int:
        """The most that can be left under a limit: all that others have leased may come back unused."""
        return self.free(now_s) + self.beyond + limit - self.limit

    def has_plenty(self, limit: int, free: int) -> bool:
        """Whether a good share of the limit is left, this much of it free here."""
        return free + self.beyond + limit - self.limit >= limit * PLENTY_SHARE

    def obtainable(self, limit: int, now_s: float) -> int:
        """What can be had for certain, as of the last time the table was asked."""
        return self.free(now_s) + max(0, self.room + limit - self.limit)

    def take(self, amount: int, now_s: float) -> int:
        """Sets so much aside, whatever is free. Returns the cell, for `settle`."""
        if self.window is not None:
            return self.window.take(amount, now_s)
        self.reserved += amount
        return 0

    def settle(self, cell: int, taken: int, used: int, now_s: float) -> None:
        """What was set aside turned out as another amount."""
        if self.window is not None:
            self.window.settle(cell, taken, used, now_s)
        else:
            self.reserved -= taken
            self.leased -= used

    def learn(self, standing: Standing, more: int, now_s: float) -> int:
        """Takes over what the table says, after it was asked and granted `more`.

        Returns by how much the slice was believed larger than the table says: 0, or somebody counted wrong. The table
        is right then: what it has not leased to this holder it may lease to others.
        """
        self.leased += more
        wrong = max(0, self.leased - standing.own)
        self.leased -= wrong
        self.limit, self.others = standing.limit, standing.others
        self.room = max(0, standing.unleased)
        self.beyond = standing.limit - standing.spent - standing.own
        self.low = max(0, self.free(now_s)) // REFILL
        return wrong
