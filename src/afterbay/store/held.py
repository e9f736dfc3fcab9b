"""What a process holds of its allowances: slices by account, unit and period, and what requests took of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

import msgspec

from afterbay.policy.allowance import Allowance
from afterbay.policy.lease import Slice
from afterbay.policy.period import span_of
from afterbay.policy.window import Window
from afterbay.store.leases import Ask, Part

ENDED_S: Final = 43_200.0
"""Half of the day that the table leaves between the end of a period and that of its leases."""

Key: TypeAlias = tuple[str, str, str]
"""Account, unit, period."""


class HeldSlice(Slice):
    """A slice of one period, and what goes on with it."""

    __slots__ = (
        "asked_limit",
        "before",
        "begin_s",
        "called_for",
        "end_s",
        "giving",
        "heard",
        "hold",
        "is_asked",
        "is_final",
        "part",
        "refused",
        "refused_until_s",
        "rest_until_s",
        "used_s",
        "waiting",
    )

    def __init__(self, part: Part, limit: int, begin_s: float, end_s: float) -> None:
        super().__init__(limit, Window() if part.period == "minute" else None)
        self.part, self.begin_s, self.end_s = part, begin_s, end_s
        self.before: HeldSlice | None = None
        """The one of an earlier period, while requests of that may come."""
        self.hold: LeasedHold | None = None
        """Who took of it last."""
        self.is_asked = False
        """Whether it is on its way to the table, or waits for that."""
        self.giving = 0
        """What is on its way back to the table."""
        self.asked_limit = limit
        self.heard = 0
        """How often the table answered."""
        self.is_final = False
        """Whether, by the last answer, others have returned what they can, and it was too little."""
        self.refused, self.refused_until_s = 0, -math.inf
        self.rest_until_s = -math.inf
        """The table is not asked again before: others are called upon."""
        self.called_for = 0
        """What others want, who called while it was asked for."""
        self.used_s = 0.0
        self.waiting = 0
        """What requests that wait want of it."""

    def left(self, limit: int, now_s: float) -> int:
        """The most that can be left under a limit; what is on its way back is not gone."""
        return super().left(limit, now_s) + self.giving

    def heard_back(self, kept: int = 0) -> None:
        """What was on its way has arrived, or could not be returned: `kept`."""
        self.leased += kept
        self.giving, self.is_asked = 0, False

    def spare(self, now_s: float) -> int:
        """What is free and wanted by nobody here."""
        return max(0, self.free(now_s) - self.waiting)

    def returned(self, amount: int, *, answers: bool = False) -> Ask:
        """Takes so much out of the slice, and says so to the table."""
        self.leased -= amount
        self.giving = amount
        self.is_asked, self.called_for = True, 0
        return Ask(self.part, self.limit, give=amount, grows=False, answers=answers)

    def asked(self, now_s: float) -> Ask:
        """What to ask for it now: what requests wait for, and more ahead. Under a lower limit all has to be new."""
        free = self.free(now_s)
        give = max(0, free) if self.asked_limit < self.limit else 0
        self.leased -= give
        self.giving = give
        return Ask(self.part, self.asked_limit, give, free - give, self.waiting)

    def is_idle(self, now_s: float, utc_s: float, idle_s: float) -> bool:
        """Whether it can be given back: nothing is open, and nobody used it for a while, or its period is over."""
        if self.is_asked or self.waiting or self.reserved or (self.window is not None and self.window.total):
            return False
        return now_s - self.used_s > idle_s or utc_s > self.end_s + idle_s

    def has_ended(self, utc_s: float) -> bool:
        """Whether its period was over so long ago that the table ends its lease by itself."""
        return utc_s > self.end_s + ENDED_S


class Taken(msgspec.Struct):
    """What a hold has of one slice; `cell`: where, in a window."""

    slice: HeldSlice
    amount: int
    cell: int


class LeasedHold:
    """Implements `ports.Hold`. A part for each want; None: its slice is in the list already."""

    __slots__ = ("is_open", "parts")

    def __init__(self) -> None:
        self.is_open = True
        self.parts: list[Taken | None] = []

    def settle(self, amounts: Iterable[int], now_s: float) -> None:
        """Ends it, once."""
        if not self.is_open:
            return
        self.is_open = False
        for taken, used in zip(self.parts, amounts, strict=True):
            if taken is not None:
                taken.slice.settle(taken.cell, taken.amount, used, now_s)

    def widen(self, slice_: HeldSlice, amount: int, now_s: float) -> None:
        """Another rule for an account that something is taken of already: the larger of both wants counts."""
        taken = next(one for one in self.parts if one is not None and one.slice is slice_)
        more = max(0, amount - taken.amount)
        taken.amount += more
        slice_.take(more, now_s)


class Slices:
    """All slices of one process."""

    def __init__(self) -> None:
        self.now: dict[Key, HeldSlice] = {}
        """Those of the periods that run."""
        self._round: list[Key] = []

    def of(self, allowance: Allowance, at_s: float) -> HeldSlice:
        """The slice of an allowance for a time; a new and empty one where there is none."""
        key = (allowance.account, allowance.unit, allowance.period)
        found = self.now.get(key)
        if found is None:
            found = self.now[key] = _new_slice(allowance, at_s)
        elif at_s >= found.end_s:
            before, found = found, _new_slice(allowance, at_s)
            found.before, before.before = before, None
            self.now[key] = found
        elif at_s < found.begin_s:
            earlier = found.before
            if earlier is None or not earlier.begin_s <= at_s < earlier.end_s:
                earlier = found.before = _new_slice(allowance, at_s)
            return earlier
        return found

    def find(self, part: Part) -> HeldSlice | None:
        """The slice of a part, if there is one."""
        found = self.now.get((part.account, part.unit, part.period))
        if found is not None and found.part != part:
            found = found.before
        return found if found is not None and found.part == part else None

    def all(self) -> Iterator[HeldSlice]:
        """Each, those of earlier periods too."""
        for one in self.now.values():
            yield one
            if one.before is not None:
                yield one.before

    def some(self, count: int) -> Sequence[HeldSlice]:
        """At most so many, in turns: whoever asks often enough sees each."""
        if not self._round:
            self._round = list(self.now)
        keys, self._round = self._round[-count:], self._round[:-count]
        found = []
        for key in keys:
            one = self.now.get(key)
            if one is not None:
                found += [one] if one.before is None else [one, one.before]
        return found

    def forget(self, slice_: HeldSlice) -> None:
        """Forgets one that holds nothing."""
        part = slice_.part
        key = (part.account, part.unit, part.period)
        found = self.now.get(key)
        if found is not None and found.before is slice_:
            found.before = None
        elif found is slice_ and found.before is None:
            del self.now[key]


def _new_slice(allowance: Allowance, at_s: float) -> HeldSlice:
    if allowance.period == "minute":
        return HeldSlice(Part(allowance.account, allowance.unit, "minute", ""), allowance.limit, -math.inf, math.inf)
    span = span_of(allowance.period, at_s)
    part = Part(allowance.account, allowance.unit, allowance.period, span.begin_day)
    return HeldSlice(part, allowance.limit, span.begin_s, span.end_s)
