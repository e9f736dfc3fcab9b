"""When a target counts as ill, judged by what happened to real requests. Pure: no clock, no chance.

Five signs, all of one target:

    failures in a row   five answers in a row that were failures (5xx, cut, silent, not of its own protocol)
    out of reach        five attempts in a row that found no connection
    error rate          over the last `window`: more than `error_rate` of at least 10 answers failed, at least 3 of them
    unreachable rate    the same of attempts without a connection
    slow                over the last `window`: more than 5 % of at least 20 first outputs came later than the limit,
                        at least 3 of them; which says that the 95th percentile is over it;
                        a stream that trickles counts as one more that was late

Attempts that found no connection are counted apart from answers (Envoy's `split_external_local_origin_errors`): the
fault may be here. What says nothing of a target's health counts as nothing: a 4xx is the client's, a refused key the
operator's, a rate limit the account's, an answer that fails a schema the model's.

The limit of a target's time to first output is learned, since a model that thinks needs longer than one that does not:
three times the 95th percentile of what it did while it was well, and never under `latency_p95`. Every `window` in which
it was not ejected adds its figures to what is known, and old figures count half whenever 1,000 are kept; an ejection
for slowness adds a quarter of them, so a model that became slower for good is believed after a while. Before 50 figures
are known there is no limit. Only streams count: a whole answer's time depends on its length.

Three failures are asked for beside the rate, as one failure among ten requests would be 10 % and says nothing.
Sources: Envoy `outlier_detection.proto` (v1.40) for signs and the count of five.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from afterbay.core.errors import ErrorKind, ProviderError
from afterbay.policy.plan import HealthRules
from afterbay.policy.quantile import Histogram
from afterbay.policy.resume import DOUBTFUL
from afterbay.policy.slices import Slices

Evidence: TypeAlias = Literal["ok", "failed", "unreached", "slow", "nothing", "left"]
"""What an attempt says of its target's health. `left`: it was called off, by its client or for another attempt.
`slow`: its stream trickled (`policy.speed`)."""

Illness: TypeAlias = Literal[
    "failures in a row", "out of reach", "error rate", "unreachable rate", "slow", "probes failed"
]

IN_A_ROW = 5
LEAST_REQUESTS = 10
LEAST_FAILURES = 3
LEAST_TIMED = 20
SLOW_SHARE = 0.05
"""As many may be over the limit: more, and the 95th percentile is."""

LIMIT_FACTOR = 3.0
LEARNED_AFTER = 50
KEPT = 1000

_EVIDENCE: dict[ErrorKind, Evidence] = {
    "server": "failed",
    "overloaded": "failed",
    "timeout": "failed",
    "cut": "failed",
    "connection": "unreached",
}

SAYS_NOTHING = frozenset(
    {
        "timeout_total",
        "starting",
        "queue_full",
        "no_credentials",
        "no_sockets",
        "answer_too_large",
        "not_recorded",
        "policy_no_candidate",
        DOUBTFUL,
    }
)
"""Codes of our own: the client's time was over, a local model loads, the request never left, the answer is too long, or
is a good one but none to a question that asked to go on with another's. When one provider breaks all its streams at
once, the other is asked to go on with all of them, and five that it does not go on with must not eject it, too."""
TOO_SLOW = "timeout_min_tokens_per_s"
_REACHED = "connection_broken"
"""There was a connection, but no answer on it."""


def evidence_of(error: ProviderError | None) -> Evidence:
    """What the end of an attempt says; None: a good answer."""
    if error is None:
        return "ok"
    if error.code in SAYS_NOTHING:
        return "nothing"
    if error.code == TOO_SLOW:
        return "slow"
    return "failed" if error.code == _REACHED else _EVIDENCE.get(error.kind, "nothing")


class Baseline:
    """The times to first output of one target while it was well, as a histogram in steps of 20 %."""

    def __init__(self, now: float) -> None:
        self.p95_s: float | None = None
        self._known = Histogram()
        self._fresh = Histogram()
        self._since_s = now

    def note(self, now: float, ttft_s: float, window_s: float) -> None:
        """One more; what came in the window before is learned."""
        if now - self._since_s >= window_s:
            self.learn(now, 1)
        self._fresh.note(ttft_s)

    def learn(self, now: float, divisor: int) -> None:
        """Adds what came since the last time, divided."""
        known = self._known
        known.add(self._fresh, divisor)
        if known.total >= KEPT:
            known.shrink(KEPT // 2)
        self._fresh, self._since_s = Histogram(), now
        if known.total >= LEARNED_AFTER:
            self.p95_s = known.quantile(0.95)


_OK, _FAILED, _UNREACHED, _TIMED, _SLOW = range(5)


class Outlier:
    """What is known of one target, and whether that makes it ill."""

    def __init__(self, rules: HealthRules, now: float) -> None:
        self.rules = rules
        self._window = Slices(6, rules.window_s / 6, 5)
        self._failed_row = self._unreached_row = 0
        self._row_began_s = now
        self._baseline: Baseline | None = None

    @property
    def limit_s(self) -> float | None:
        """The longest time to first output of which at most 5 % may be over; None: not known yet."""
        learned = self._baseline.p95_s if self._baseline is not None else None
        return max(self.rules.latency_p95_s, LIMIT_FACTOR * learned) if learned is not None else None

    @property
    def usual_s(self) -> float | None:
        """95 % of the times to first output stayed under this while it was well; None: not known yet."""
        return self._baseline.p95_s if self._baseline is not None else None

    def error_share(self, now: float) -> float:
        """The share of the window's attempts that failed, either way; 0 if there were few."""
        ok, failed, unreached, _, _ = self._window.sums(now)
        total = ok + failed + unreached
        return (failed + unreached) / total if total >= LEAST_REQUESTS else 0.0

    def ended(self, now: float, evidence: Evidence, began_s: float) -> Illness | None:
        """An attempt that began at `began_s` has ended. Returns what it brought to light."""
        if evidence in ("nothing", "left"):
            return None
        if evidence == "slow":
            self._window.add(now, _TIMED)
            return self._slowness(now)
        if evidence == "ok":
            self._window.add(now, _OK)
            if began_s >= self._row_began_s:  # an older one says how it was before
                self._failed_row = self._unreached_row = 0
            return None
        if not self._failed_row and not self._unreached_row:
            self._row_began_s = began_s
        if evidence == "failed":
            self._window.add(now, _FAILED)
            self._failed_row, self._unreached_row = self._failed_row + 1, 0
            if self._failed_row >= IN_A_ROW:
                return "failures in a row"
        else:
            self._window.add(now, _UNREACHED)
            self._unreached_row += 1
            if self._unreached_row >= IN_A_ROW:
                return "out of reach"
        return self._rate(now, evidence)

    def _rate(self, now: float, evidence: Evidence) -> Illness | None:
        ok, failed, unreached, _, _ = self._window.sums(now)
        bad, total = (failed, ok + failed) if evidence == "failed" else (unreached, ok + failed + unreached)
        if total < LEAST_REQUESTS or bad < LEAST_FAILURES or bad <= self.rules.error_rate * total:
            return None
        return "error rate" if evidence == "failed" else "unreachable rate"

    def answered(self, now: float, ttft_s: float) -> Illness | None:
        """The first output of a stream came after `ttft_s`."""
        if self._baseline is None:
            self._baseline = Baseline(now)
        limit = self.limit_s
        self._baseline.note(now, ttft_s, self.rules.window_s)
        return self.waited(now, ttft_s, limit)

    def waited(self, now: float, waited_s: float, limit: float | None) -> Illness | None:
        """Somebody waited so long for the first output, whether or not it came. Nothing is learned of it."""
        if limit is None:
            return None
        self._window.add(now, _TIMED)
        return None if waited_s <= limit else self._slowness(now)

    def _slowness(self, now: float) -> Illness | None:
        """One more was slow."""
        self._window.add(now, _SLOW)
        _, _, _, timed, slow = self._window.sums(now)
        few = timed < LEAST_TIMED or slow < LEAST_FAILURES
        return "slow" if not few and slow > SLOW_SHARE * timed else None

    def renew(self, now: float, illness: Illness | None) -> None:
        """Forgets the window and the rows: it was ejected for `illness`, or (None) is well again."""
        if self._baseline is not None and illness is not None:
            self._baseline.learn(now, 4) if illness == "slow" else self._baseline.learn(now, 1)
        self._window.clear()
        self._failed_row = self._unreached_row = 0
        self._row_began_s = now
