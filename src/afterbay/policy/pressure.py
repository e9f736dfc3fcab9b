"""How near the gateway is to the end of its means, and who is turned away for it. Pure.

Two signs: the share of its memory that is in use, and how late its event loop is. Above the first mark of either, new
requests of low priority are refused, above the second those of normal priority too, above the third all. What runs goes
on. A class that is refused stays so until the sign has fallen to nine tenths of its mark, so that nobody flaps.

Lateness is smoothed over some seconds: one long turn of the loop is no overload.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from afterbay.policy.lanes import PRIORITIES, Priority

MEMORY: Mapping[Priority, float] = MappingProxyType({"low": 0.85, "normal": 0.92, "high": 0.97})
LATE_S: Mapping[Priority, float] = MappingProxyType({"low": 0.25, "normal": 0.5, "high": 1.0})
BACK = 0.9
"""At this part of a mark its class is let in again."""
COME_BACK_S = 2.0

_WEIGHT = 0.2


class Pressure:
    """`memory` and `late_s` are the signs as they were noted last; `memory` None: there is no limit of it."""

    def __init__(self) -> None:
        self.memory: float | None = None
        self.late_s = 0.0
        self.refused = 0
        self._shed: frozenset[Priority] = frozenset()

    def note(self, memory: float | None, late_s: float) -> None:
        """The signs now."""
        self.memory = memory
        self.late_s += _WEIGHT * (max(late_s, 0.0) - self.late_s)
        self._shed = frozenset(one for one in PRIORITIES if self._is_over(one))

    def _is_over(self, priority: Priority) -> bool:
        factor = BACK if priority in self._shed else 1.0
        over_memory = self.memory is not None and self.memory > factor * MEMORY[priority]
        return over_memory or self.late_s > factor * LATE_S[priority]

    def sheds(self, priority: Priority) -> bool:
        """Whether a new request of this priority is turned away."""
        return priority in self._shed

    @property
    def why(self) -> str:
        """The signs in words."""
        memory = f"{self.memory:.0%} of its memory is in use, and " if self.memory is not None else ""
        return f"{memory}it answers {self.late_s:.2f} s late"
