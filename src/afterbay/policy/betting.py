"""Money against a hypothesis: how sure it is, after any number of observations, that a mean is above zero.

Somebody who bets in a game that cannot favour them multiplies their money by m with probability at most 1/m, however
long they play and whenever they stop (Ville's inequality). The game here: for an observation x the money is multiplied
by 1 + bet * x, the bet chosen before x is seen. If the mean of x is at most zero the game cannot favour anybody; if the
money ever reaches 10, the mean is above zero with confidence 0.9. Nothing is assumed of x but a lower bound.

Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", Journal of the Royal Statistical
Society B 86 (2024). The size of a bet that wins most by observation n is sqrt(2 ln(1/error) / (n variance)) (their
predictable plug-in). n is not known where labels come in one by one: the money is split over several n and each part
bets for its own; the sum is a game of the same kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

STAKE: Final = 0.65
"""The most that a single observation may take of the money. Below 1: a rare catastrophe must not end the game. Higher
wins earlier with 100 labels, lower wins more with 300."""
BLOCK: Final = 256
"""Observations that are best handed over at once: bounds the memory, changes nothing else."""
_FIRST_VARIANCE: Final = 0.25
_FIRST_WEIGHT: Final = 5.0
"""The variance before there are observations, and how many of them it counts for."""


class Bets:
    """Many games at once, one for each hypothesis "the mean of x is at most 0"; arrays of that length.

    `least`: x is never below minus this. `horizons`: after how many observations the parts of the money want to have
    won. `error`: for which money, 1/error, the bets are made; they are fair for any.
    """

    __slots__ = ("_caps", "_logs", "_sizes", "_squares", "_total", "best", "count")

    def __init__(self, least: Floats, horizons: Sequence[float], error: float) -> None:
        self._caps = STAKE / least[:, None]
        self._sizes = 2.0 * np.log(1.0 / error) / np.asarray(horizons, np.float64)
        self._logs = np.full((len(least), len(horizons)), -np.log(len(horizons)))
        self._total = np.zeros(len(least))
        self._squares = np.full(len(least), _FIRST_WEIGHT * _FIRST_VARIANCE)
        self.best = np.zeros(len(least))
        """The logarithm of the most money that there has been."""
        self.count = 0

    @property
    def means(self) -> Floats:
        """The mean of the observations so far; 0 before the first."""
        return self._total / max(self.count, 1)

    @property
    def variances(self) -> Floats:
        """Their variance, as the bets see it."""
        return self._squares / (self.count + _FIRST_WEIGHT)

    def play(self, x: Floats) -> None:
        """Observations in their order: one row each, at least one, and one column for each hypothesis."""
        weights = self.count + _FIRST_WEIGHT + np.arange(len(x), dtype=np.float64)[:, None]
        totals = self._total + np.cumsum(x, axis=0)
        squares = self._squares + np.cumsum((x - totals / (weights + 1.0)) ** 2, axis=0)
        before = np.concatenate((self._squares[None], squares[:-1])) / weights
        bets = np.minimum(np.sqrt(self._sizes / np.maximum(before, 1e-12)[:, :, None]), self._caps)
        logs = self._logs + np.cumsum(np.log1p(bets * x[:, :, None]), axis=0)
        self.best = np.maximum(self.best, np.logaddexp.reduce(logs, axis=2).max(axis=0))
        self.count += len(x)
        self._total, self._squares, self._logs = totals[-1], squares[-1], logs[-1]
