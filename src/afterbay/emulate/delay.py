"""How long something takes: a constant, or a log-normal distribution told by its median and 95th percentile.

Times of servers are skewed to the right, and people know their medians and tails, not a sigma. A draw is a pure
function of a number in [0, 1), so that the same request waits as long in every run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from statistics import NormalDist

LIMIT_S = 3600.0
"""No delay is longer, whatever a profile or a draw says: a forgotten emulator must not hold connections for days."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_Z95 = 1.6448536269514722  # the standard normal's 95th percentile
_KEYS = ("min", "median", "p95", "max")


def seconds(value: object) -> float:
    """`250ms`, `1.5s`, `2m`, `1h` or a plain number of seconds.

    Raises:
        ValueError: it is none of these, negative, or above an hour.
    """
    found: float | None = None
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        found = float(match[1]) * _UNIT_S[match[2]] if match else None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    if found is None or not 0 <= found <= LIMIT_S:  # NaN fails the comparison
        raise ValueError(f"{value!r} is no duration: write 250ms, 1.5s, 2m or a number of seconds, 0 to {LIMIT_S:g}")
    return found


class Delay:
    """A time in seconds, drawn anew at each use. Without `p95_s` it is a constant."""

    __slots__ = ("max_s", "median_s", "min_s", "p95_s")

    def __init__(
        self, median_s: float = 0.0, p95_s: float | None = None, min_s: float = 0.0, max_s: float = LIMIT_S
    ) -> None:
        self.median_s, self.p95_s, self.min_s, self.max_s = median_s, p95_s, min_s, max_s

    def draw_s(self, chance: float) -> float:
        """The delay that `chance`, a number in [0, 1), stands for; rises with it."""
        if self.p95_s is None or self.median_s <= 0:
            return self.median_s
        sigma = math.log(self.p95_s / self.median_s) / _Z95
        if sigma == 0:
            return self.median_s
        normal = NormalDist().inv_cdf(min(max(chance, 1e-9), 1 - 1e-9))
        return min(max(self.median_s * math.exp(sigma * normal), self.min_s), self.max_s)

    def plain(self) -> object:
        """As `read` takes it."""
        if self.p95_s is None:
            return self.median_s
        return {"min": self.min_s, "median": self.median_s, "p95": self.p95_s, "max": self.max_s}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Delay) and other.plain() == self.plain()

    def __hash__(self) -> int:
        return hash((self.median_s, self.p95_s, self.min_s, self.max_s))

    def __repr__(self) -> str:
        return f"Delay({self.plain()!r})"


def read(value: object) -> Delay:
    """A duration, or a mapping of `median` and `p95` with optional `min` and `max`.

    Raises:
        ValueError: a wrong form, or numbers out of order.
    """
    if not isinstance(value, Mapping):
        return Delay(seconds(value))
    unknown = [str(key) for key in value if key not in _KEYS]
    if unknown or "median" not in value:
        raise ValueError(
            f"a distribution has median and p95, and may have min and max; got {', '.join(map(str, value))}"
        )
    times = {key: seconds(value[key]) for key in _KEYS if key in value}
    median_s, p95_s = times["median"], times.get("p95")
    low_s, high_s = times.get("min", 0.0), times.get("max", LIMIT_S)
    if not low_s <= median_s <= (median_s if p95_s is None else p95_s) <= high_s:
        raise ValueError("a distribution needs min <= median <= p95 <= max")
    return Delay(median_s, p95_s, low_s, high_s)
