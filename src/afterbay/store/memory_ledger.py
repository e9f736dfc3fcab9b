"""The ledger of one process that has no database: exact, and gone with the process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from afterbay.policy.allowance import Allowance
from afterbay.policy.lease import PLENTY_SHARE, PLENTY_TIMES
from afterbay.policy.period import CALENDARS, Calendar, Span, begin_of, day_of, span_of
from afterbay.policy.window import Window
from afterbay.ports import Clock, Exceeded, Hold, LedgerUnavailable

_Key: TypeAlias = tuple[str, str, str, str]

MOST_SUMS: Final = 200_000
"""Sums that are kept. Those of periods that are over are forgotten; when all are needed, no account is added."""
PRUNE_S: Final = 10.0
"""Shortest time between two looks for sums to forget."""


class Sum(msgspec.Struct):
    """One account in one day or month: what was used, and what is set aside. Or, with a window, in the last minute."""

    used: int = 0
    reserved: int = 0
    window: Window | None = None


class Part(msgspec.Struct):
    """What a request has set aside of one sum. `cell`: where, in a window."""

    sum: Sum
    amount: int
    cell: int


class MemoryHold(msgspec.Struct):
    """Implements `ports.Hold`. A part for each want; None: its sum is in the list already."""

    parts: list[Part | None]
    is_open: bool = True


class MemoryLedger:
    """Implements `ports.Ledger`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sums: dict[_Key, Sum] = {}
        self._prune_s = -math.inf

    def left(self, allowance: Allowance) -> int | None:
        """See `ports.Ledger`."""
        found = self._sums.get(_key(allowance, self._clock.utc()))
        return allowance.limit if found is None else allowance.limit - self._used(found)

    def at_once(self, wants: Sequence[tuple[Allowance, int]], at_s: float) -> Hold | None:
        """See `ports.Ledger`."""
        for allowance, amount in wants:
            found = self._sums.get(_key(allowance, at_s))
            left = allowance.limit - (self._used(found) if found is not None else 0)
            if left < amount * PLENTY_TIMES or left - amount < allowance.limit * PLENTY_SHARE:
                return None
        return self._reserve(wants, at_s)

    async def reserve(self, wants: Sequence[tuple[Allowance, int]], wait_s: float, at_s: float | None = None) -> Hold:
        """See `ports.Ledger`. Never waits."""
        return self._reserve(wants, self._clock.utc() if at_s is None else at_s)

    def _reserve(self, wants: Sequence[tuple[Allowance, int]], at_s: float) -> MemoryHold:
        now_s = self._clock.monotonic()
        if len(self._sums) + len(wants) > MOST_SUMS:
            self._make_room(wants, now_s)
        most: dict[_Key, int] = {}
        for allowance, amount in wants:
            key = _key(allowance, at_s)
            most[key] = max(most.get(key, 0), amount)
            self._check(allowance, amount, self._sum(key), at_s)
        parts: list[Part | None] = []
        for allowance, _ in wants:
            key = _key(allowance, at_s)
            parts.append(self._take(self._sums[key], most.pop(key), now_s) if key in most else None)
        return MemoryHold(parts)

    def settle(self, hold: Hold, amounts: Sequence[int]) -> None:
        """See `ports.Ledger`."""
        assert isinstance(hold, MemoryHold), "a hold goes back to the ledger that gave it"  # noqa: S101
        if not hold.is_open:
            return
        hold.is_open = False
        for part, used in zip(hold.parts, amounts, strict=True):
            if part is None:
                continue
            if part.sum.window is not None:
                part.sum.window.settle(part.cell, part.amount, used, self._clock.monotonic())
            else:
                part.sum.reserved -= part.amount
                part.sum.used += used

    def release(self, hold: Hold) -> None:
        """See `ports.Ledger`."""
        assert isinstance(hold, MemoryHold), "a hold goes back to the ledger that gave it"  # noqa: S101
        self.settle(hold, [0] * len(hold.parts))

    def _check(self, allowance: Allowance, amount: int, found: Sum, at_s: float) -> None:
        """Raises `Exceeded` if so much is not left."""
        left = allowance.limit - self._used(found)
        if left >= amount or not amount:
            return
        if amount > allowance.limit:
            back_s = math.inf
        elif found.window is not None:
            back_s = found.window.wait_s(amount, allowance.limit, self._clock.monotonic())
        else:
            span = _span(allowance, at_s)
            back_s = span.end_s - at_s if span is not None else math.inf
        raise Exceeded(allowance, max(0, left), back_s)

    def _used(self, found: Sum) -> int:
        if found.window is None:
            return found.used + found.reserved
        found.window.move(self._clock.monotonic())
        return found.window.total

    def _take(self, found: Sum, amount: int, now_s: float) -> Part:
        if found.window is not None:
            return Part(found, amount, found.window.take(amount, now_s))
        found.reserved += amount
        return Part(found, amount, 0)

    def _sum(self, key: _Key) -> Sum:
        found = self._sums.get(key)
        if found is None:
            found = self._sums[key] = Sum(window=Window() if key[2] == "minute" else None)
        return found

    def _make_room(self, wants: Sequence[tuple[Allowance, int]], now_s: float) -> None:
        """Forgets what no request can meet any more.

        Raises:
            LedgerUnavailable: everything is still needed. What is spent is never forgotten to make room.
        """
        if now_s >= self._prune_s:
            self._prune_s = now_s + PRUNE_S
            today = day_of(self._clock.utc())
            self._sums = {key: found for key, found in self._sums.items() if self._counts(key, found, today)}
        if len(self._sums) + len(wants) > MOST_SUMS:
            raise LedgerUnavailable(wants[0][0], "too many accounts are in use to remember another", PRUNE_S)

    def _counts(self, key: _Key, found: Sum, today: str) -> bool:
        _, _, period, begin_day = key
        if found.window is not None or found.reserved:
            return self._used(found) != 0
        calendar: Calendar = next((one for one in CALENDARS if one == period), "day")
        return begin_day >= begin_of(calendar, today)


def _span(allowance: Allowance, at_s: float) -> Span | None:
    return None if allowance.period == "minute" else span_of(allowance.period, at_s)


def _key(allowance: Allowance, at_s: float) -> _Key:
    span = _span(allowance, at_s)
    return allowance.account, allowance.unit, allowance.period, span.begin_day if span is not None else ""
