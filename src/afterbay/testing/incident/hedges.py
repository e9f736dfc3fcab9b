"""Hedging as it went: a replay knows of a process's habits and caps only what came of them for one request."""

from __future__ import annotations

from afterbay.core.decision import Record
from afterbay.policy.hedge import Denied, Hedges, Hedging, Ledger, Timing


class ReplayedHedges(Hedges):
    """Hedges are due after as much silence as then, and (`is_same`: under the same configuration) as many are allowed
    as there were. Under another one the caps have their free hedges."""

    def __init__(self, record: Record, *, is_same: bool) -> None:
        super().__init__()
        self._ledger = _Counted(sum(one.why == "hedge" for one in record.attempts)) if is_same else Ledger()
        self._delays: dict[str, float] = {}
        for before, one in zip(record.attempts, record.attempts[1:], strict=False):
            if one.why == "hedge":
                self._delays.setdefault(before.target, max(one.started_s - before.started_s, 0.0))

    def ledger(self, route: str) -> Ledger:
        """The same for all routes: there is one request."""
        return self._ledger

    def timing(self, target: str, stream: bool) -> Timing:
        """A target's, which knows one figure at most."""
        return _Known(self._delays.get(target))


class _Known(Timing):
    """A timing of which every percentile is the same."""

    __slots__ = ("_delay_s",)

    def __init__(self, delay_s: float | None) -> None:
        super().__init__()
        self._delay_s = delay_s

    def quantile(self, share: float) -> float | None:
        """The delay; None: there was no hedge."""
        return self._delay_s


class _Counted(Ledger):
    """So many hedges, and no more."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self._left = left

    def take(self, now: float, rules: Hedging) -> Denied | None:
        """Whether one is left."""
        self._left -= 1
        return None if self._left >= 0 else "share"
