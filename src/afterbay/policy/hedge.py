"""Hedging: a second attempt on another deployment, while the first is still silent. Pure: no clock, no chance.

When
    After a fixed time, or after a percentile of the times to first output that the target was seen to need: each target
    has its own, streams and whole answers apart, none before 50 figures. An attempt that was called off counts with the
    time that it had been waited for: else the slow ones would drop out, and the percentile would creep down.

Whether
    Only on a target that is well (closed, not cooling); only while the time that is left is longer than the target's
    median, since a hedge that cannot answer in time is money for nothing; and within two caps over the last hour of the
    route: hedges are at most `max_share` of its requests, and what the attempts that lost have cost is at most
    `max_extra_cost` of what the route has spent. The next hedge is expected to cost what those before it cost, or else
    an average request. Three hedges an hour are free of the caps, so that a quiet route has any.

    A failing provider does not raise the number of hedges: an attempt that fails is followed by a fallback at once, and
    never has a hedge of its own while another attempt runs.

Sources: Dean and Barroso, The Tail at Scale (2013): hedged requests after the 95th percentile add about 5 % of load;
gRPC A6 for the delay, and for errors that end all attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias, get_args

import msgspec

from afterbay.core.decision import Attempt, Target
from afterbay.policy.quantile import Histogram
from afterbay.policy.slices import Slices

LEARNED_AFTER = 50
FREE = 3
"""So many hedges an hour are free of the caps."""
KEPT = 1000
"""So many figures of a target are remembered; older ones count half whenever there are more."""
TARGETS = 4096

_REFRESH = 16
"""After so many figures the percentile is looked up anew."""
_GROWTH = 1.05

Denied: TypeAlias = Literal["share", "cost", "target", "time"]
"""Why there was no hedge: one of the caps, no target that is well, or no time left for it."""


class Hedging(msgspec.Struct, frozen=True):
    """A route's wish. One of `after_s` and `percentile` (in (0, 1)) is set. `width`: attempts at once, at most."""

    after_s: float | None = None
    percentile: float | None = None
    width: int = 2
    max_extra_cost: float = 0.05
    max_share: float = 0.05


class Timing:
    """How long one target took to its first output."""

    __slots__ = ("_histogram", "_known")

    def __init__(self) -> None:
        self._histogram = Histogram(_GROWTH)
        self._known: dict[float, float] = {}

    def note(self, seconds: float) -> None:
        """One more."""
        histogram = self._histogram
        histogram.note(seconds)
        if histogram.total >= KEPT:
            histogram.shrink(KEPT // 2)
        if histogram.total % _REFRESH == 0:
            self._known.clear()

    def quantile(self, share: float) -> float | None:
        """As long as this share of the answers took at most; None: not known yet."""
        if self._histogram.total < LEARNED_AFTER:
            return None
        known = self._known.get(share)
        if known is None:
            known = self._known[share] = self._histogram.quantile(share)
        return known


_REQUESTS, _HEDGES, _SPENT, _EXTRA = range(4)


class Ledger:
    """What a route's requests and hedges of the last hour cost, in picodollars."""

    def __init__(self) -> None:
        self._hour = Slices(60, 60.0, 4)

    def began(self, now: float) -> None:
        """One more request."""
        self._hour.add(now, _REQUESTS)

    def settled(self, now: float, spent: int, extra: int) -> None:
        """A request is over. `spent`: all attempts together; `extra`: those that lost."""
        if spent:
            self._hour.add(now, _SPENT, spent)
        if extra:
            self._hour.add(now, _EXTRA, extra)

    def take(self, now: float, rules: Hedging) -> Denied | None:
        """Counts one more hedge, if the caps allow it; else which does not."""
        requests, hedges, spent, extra = self._hour.sums(now)
        if hedges >= FREE:
            if hedges + 1 > rules.max_share * requests:
                return "share"
            expected = extra // hedges if extra else spent // requests
            if spent and extra + expected > rules.max_extra_cost * spent:
                return "cost"
        self._hour.add(now, _HEDGES)
        return None


class Hedges:
    """What a process knows for hedging: the ledgers of its routes, the timings of its last 4,096 targets."""

    def __init__(self) -> None:
        self.denied: dict[Denied, int] = dict.fromkeys(get_args(Denied), 0)
        """How many hedges that were due did not happen, by reason."""
        self._ledgers: dict[str, Ledger] = {}
        self._by_target: dict[tuple[str, bool], Timing] = {}

    def ledger(self, route: str) -> Ledger:
        """A route's."""
        known = self._ledgers.get(route)
        if known is None:
            known = self._ledgers[route] = Ledger()
        return known

    def timing(self, target: str, stream: bool) -> Timing:
        """A target's, for streams or for whole answers."""
        key = (target, stream)
        known = self._by_target.get(key)
        if known is None:
            if len(self._by_target) >= TARGETS:
                self._by_target.pop(next(iter(self._by_target)))
            known = self._by_target[key] = Timing()
        return known


class Hedge:
    """One request's part in hedging. `is_well(target)`: whether a target may be asked beside another."""

    def __init__(
        self, rules: Hedging, ledger: Ledger, hedges: Hedges, stream: bool, is_well: Callable[[Target], bool]
    ) -> None:
        self.denied: Denied | None = None
        """Why the last hedge that was due did not happen."""
        self._rules, self._ledger, self._hedges, self._stream = rules, ledger, hedges, stream
        self._is_well = is_well

    @property
    def width(self) -> int:
        """So many attempts may run at once."""
        return self._rules.width

    def delay_s(self, target: Target) -> float | None:
        """After how much silence of this target another is asked; None: not at all."""
        share = self._rules.percentile
        return self._rules.after_s if share is None else self._hedges.timing(target.id, self._stream).quantile(share)

    def take(self, target: Target, now: float, left_s: float) -> bool:
        """Whether a hedge may go to this target now; it counts from here on."""
        self.denied = self._verdict(target, now, left_s)
        return self.denied is None

    def _verdict(self, target: Target, now: float, left_s: float) -> Denied | None:
        if not self._is_well(target):
            return "target"
        median = self._hedges.timing(target.id, self._stream).quantile(0.5)
        if median is not None and median > left_s:
            return "time"
        return self._ledger.take(now, self._rules)

    def waited(self, target: str, seconds: float) -> None:
        """An attempt's first output came after so long; or it was called off then."""
        self._hedges.timing(target, self._stream).note(seconds)

    def settled(self, now: float, spent: int, extra: int) -> None:
        """See `Ledger.settled`."""
        self._ledger.settled(now, spent, extra)

    def learn(self, now: float, attempts: Iterable[Attempt]) -> None:
        """The request is over: takes the times of its attempts and their costs."""
        spent = extra = 0
        for attempt in attempts:
            cost = attempt.cost_picousd or 0
            spent += cost
            if attempt.outcome == "cancelled":
                extra += cost
            until_s = attempt.first_token_s
            if until_s is None and attempt.outcome in ("cancelled", "timeout"):
                until_s = attempt.ended_s
            if until_s is not None and attempt.why not in ("resume", "repair", "sample"):
                self.waited(attempt.target, until_s - attempt.started_s)
        self.settled(now, spent, extra)
        if self.denied is not None:
            self._hedges.denied[self.denied] += 1
