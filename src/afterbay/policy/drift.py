"""What withdraws a certificate: traffic that is not the traffic it was made from.

A certificate speaks of requests like its pairs. Two watches look whether that still holds, one at every scored request,
one at every new pair. Both say how often they are wrong.

A watch is a game that cannot favour anybody while nothing has changed (`policy.betting`), entered anew with one more
coin at every observation, so that money lost before a change does not delay its discovery: money = (money + 1) *
(1 + bet * x), the Shiryaev-Roberts procedure as an e-detector (Shin, Ramdas, Rinaldo, "E-detectors: a nonparametric
framework for sequential change detection", New England Journal of Statistics in Data Science 2 (2023)). While nothing
has changed the money after n observations is n on average at most, so it reaches n / error before the n-th with
probability at most `error`, and on average not before the (n / error)-th.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Kind: TypeAlias = Literal["scores", "quality"]

BETS: Final = (0.04, 0.12, 0.3, 0.6)
"""Bets that share the money, as shares of the highest one that cannot lose all: small ones find small changes."""
PLACES: Final = tuple(round(0.1 * step, 1) for step in range(1, 10))
"""At which quantiles of the reference the scores are compared."""
LEAST_REFERENCE: Final = 50
"""Scores that a reference needs at least."""


class Patience(msgspec.Struct, frozen=True):
    """How soon to be alarmed.

    `error`: the probability of a false alarm by the scores within `requests` scored requests, and again of one by the
    quality within `labels` new pairs. `tolerance`: by how much the share of requests below any of nine scores may
    differ from the reference without being a change; it covers the hours of a day, and what a reference of a few
    hundred scores cannot know.
    """

    error: float = 0.05
    requests: int = 100_000
    labels: int = 2_000
    tolerance: float = 0.1


USUAL: Final = Patience()


class Alarm(msgspec.Struct, frozen=True):
    """Why a certificate is withdrawn. `after`: the scored requests, or new pairs for `quality`, that it took."""

    kind: Kind
    reason: str
    after: int


class Watch:
    """A certificate that is being watched. Once alarmed it stays so: what follows is a new certificate from new pairs.

    The state is of fixed size; a request costs some ten numbers, a pair four.
    """

    __slots__ = ("_coins", "_cuts", "_labels", "_quality", "_seen", "_shares", "_terms", "alarm")

    def __init__(self, reference: ArrayLike, threshold: float, keep: float, patience: Patience = USUAL) -> None:
        """`reference`: the scores of the pairs that the certificate was made from, or of all requests of that time.

        ValueError: they are too few, or not numbers, or the rest makes no sense.
        """
        known = np.asarray(reference, np.float64)
        if len(known) < LEAST_REFERENCE or not np.isfinite(known).all():
            raise ValueError(
                f"a reference needs {LEAST_REFERENCE} scores or more, all of them finite, not {len(known)}"
            )
        cuts = np.unique(np.quantile(known, PLACES, method="higher"))
        self._start(_Terms(tuple(cuts.tolist()), tuple(_shares(known, cuts).tolist()), threshold, keep, patience))

    def _start(self, terms: _Terms) -> None:
        patience = terms.patience
        if not 0.0 < terms.keep <= 1.0 or not 0.0 < patience.error < 1.0 or not 0.0 < patience.tolerance < 1.0:
            raise ValueError("`keep`, `error` and `tolerance` must be shares")
        if min(patience.requests, patience.labels) < 1:
            raise ValueError("an alarm needs a number of requests, and of labels, within which it is rarely false")
        self._terms = terms
        self._cuts, self._shares = np.asarray(terms.cuts), np.asarray(terms.shares)
        self._coins = np.zeros((2 * len(terms.cuts), len(BETS)))
        self._quality = np.zeros(len(BETS))
        self._seen, self._labels = 0, 0
        self.alarm: Alarm | None = None

    def scored(self, g: float) -> Alarm | None:
        """One more request was scored. Returns the alarm, once there is one."""
        if self.alarm is not None:
            return self.alarm
        below = (g <= self._cuts) - self._shares
        x = np.concatenate((below, -below)) - self._terms.patience.tolerance
        least = np.concatenate((self._shares, 1.0 - self._shares)) + self._terms.patience.tolerance
        self._coins = (self._coins + 1.0) * (1.0 + np.outer(x / least, BETS))
        self._seen += 1
        patience = self._terms.patience
        if self._coins.mean() >= patience.requests / patience.error:
            self.alarm = Alarm("scores", self._moved(), self._seen)
        return self.alarm

    def labelled(self, g: float, weak: float, strong: float) -> Alarm | None:
        """One more pair, whatever its score. Pairs must be drawn alike. Returns the alarm, once there is one."""
        if self.alarm is not None:
            return self.alarm
        answered = weak if g <= self._terms.threshold else strong
        x = self._terms.keep * strong - answered
        self._quality = (self._quality + 1.0) * (1.0 + x * np.asarray(BETS))
        self._labels += 1
        patience = self._terms.patience
        if self._quality.mean() >= patience.labels / patience.error:
            reason = f"the last pairs refute that {self._terms.keep:g} of the strong model's quality is kept"
            self.alarm = Alarm("quality", reason, self._labels)
        return self.alarm

    def _moved(self) -> str:
        """Where the scores have moved most, in words."""
        place = int(np.argmax(self._coins.mean(axis=1)))
        cut, more = place % len(self._cuts), place < len(self._cuts)
        return (
            f"{'more' if more else 'fewer'} requests than {self._shares[cut]:.0%} "
            f"{'+' if more else '-'} {self._terms.patience.tolerance:.0%} have scores up to {self._cuts[cut]:.4g}"
        )


class _Terms(msgspec.Struct, frozen=True):
    cuts: tuple[float, ...]
    shares: tuple[float, ...]
    threshold: float
    keep: float
    patience: Patience


def _shares(known: Floats, cuts: Floats) -> Floats:
    found: Floats = np.searchsorted(np.sort(known), cuts, side="right") / len(known)
    return found
