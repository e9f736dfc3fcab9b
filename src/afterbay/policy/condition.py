"""One target's health: what happened to it (`outlier`), whether it is left out (`breaker`), how busy it is (`load`).

A driver tells it of every attempt: that it began, that the first output came, how it ended. Good news of an attempt
that began after an ejection ends the ejection, whether it was the one trial or one of those that are made when no other
target is left. News of older attempts says how it was before, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, cast

from afterbay.core.decision import Sight
from afterbay.policy.breaker import Breaker, BreakerState
from afterbay.policy.load import Load
from afterbay.policy.outlier import Baseline, Evidence, Illness, Outlier
from afterbay.policy.plan import HealthRules
from afterbay.policy.slices import Slices

PROBES = 3
"""So many probes in a row must find nobody before an idle target is ejected for it."""

_DEAD: frozenset[Illness] = frozenset({"failures in a row", "out of reach", "probes failed"})

_REQUESTS, _ACCEPTS = range(2)
_THROTTLE_SLICES, _THROTTLE_SLICE_S = 15, 10.0

ProbeResult: TypeAlias = Literal["reached", "unreached", "nothing"]
"""What a probe says: there was an answer, there was no connection, or neither is sure."""

Share: TypeAlias = Callable[[int], float]
"""ejection number -> a number in [0, 1), the same for the same target and number."""


class Trial:
    """One attempt as its target's health sees it. Tell it `ended` once, whatever happens; more is ignored."""

    __slots__ = ("_condition", "_is_over", "began_s", "is_first", "saw_output")

    def __init__(self, condition: Condition, now: float, is_first: bool) -> None:
        self.began_s = now
        self.is_first = is_first
        """Whether it is the one request that a half-open target gets."""
        self.saw_output = False
        self._condition = condition
        self._is_over = False

    def answered(self, now: float, *, whole: bool = False) -> None:
        """The first output came; `whole`: with everything else."""
        if not self.saw_output and not self._is_over:
            self.saw_output = True
            self._condition.answered(now, self, whole=whole)

    def ended(self, now: float, evidence: Evidence) -> None:
        """It is over."""
        if not self._is_over:
            self._is_over = True
            self._condition.ended(now, evidence, self)


class Condition:
    """The health of one target. `illness`: why it was ejected; None while it is well."""

    def __init__(self, rules: HealthRules, now: float, share: Share) -> None:
        self.load = Load()
        self.illness: Illness | None = None
        self.probed_s = now
        """When it was last probed or ejected, or else met first."""
        self.probe_took_s: float | None = None
        self._attempted_s: float | None = None
        self._breaker = Breaker(rules, now)
        self._outlier = Outlier(rules, now)
        self._throttle = Slices(_THROTTLE_SLICES, _THROTTLE_SLICE_S, 2)
        self._probes_failed = 0
        self._share = share
        self._token_s: Baseline | None = None

    def adopt(self, rules: HealthRules) -> None:
        """From now on these rules hold; windows keep their length."""
        self._breaker.rules = self._outlier.rules = rules

    # What a decision asks

    def state(self, now: float) -> BreakerState:
        """Closed, open or half-open."""
        return self._breaker.state(now)

    def is_usable(self, now: float) -> bool:
        """Whether a request may go to it: it is well, or the place of the trial is free."""
        return self._breaker.lets_in(now)

    def is_down(self, now: float) -> bool:
        """Whether it is ejected because nothing came of it at all, not because it is slow or fails too often."""
        return self.illness in _DEAD and not self._breaker.lets_in(now)

    def error_share(self, now: float) -> float:
        """See `Outlier.error_share`."""
        return self._outlier.error_share(now)

    @property
    def limit_s(self) -> float | None:
        """See `Outlier.limit_s`."""
        return self._outlier.limit_s

    @property
    def ttft_p95_s(self) -> float | None:
        """As many seconds 95 % of the first outputs of its streams are expected to stay under; None: not known yet.

        What it did while it was well, or what it usually takes of late where that is more by now.
        """
        usual = self._outlier.usual_s
        return max(usual, self.load.habit()[0] or 0.0) if usual is not None else None

    @property
    def usual_token_s(self) -> float | None:
        """As many seconds a token 95 % of its streams stay under (`policy.speed`); None: not known yet."""
        return self._token_s.p95_s if self._token_s is not None else None

    @property
    def ejections(self) -> int:
        """How often it was ejected since the start."""
        return self._breaker.ejections

    @property
    def attempted_s(self) -> float:
        """When the last attempt began; minus infinity: none did."""
        return self._attempted_s if self._attempted_s is not None else float("-inf")

    def ejected_for_s(self, now: float) -> float:
        """How much longer it is ejected; 0: not at all, or a trial is due."""
        return max(self._breaker.until_s - now, 0.0) if self.state(now) == "open" else 0.0

    def sent_and_accepted(self, now: float) -> tuple[int, int]:
        """(requests that were meant for it, those that it answered) of the last 150 s."""
        requests, accepts = self._throttle.sums(now)
        return requests, accepts

    def sight(self, target: str, cooling_s: float, now: float) -> Sight:
        """How it looks now, to be kept."""
        state, (sent, accepted) = self.state(now), self.sent_and_accepted(now)
        return Sight(
            target,
            cooling_s,
            state,
            self.is_usable(now),
            self.illness if state != "closed" else None,
            self.ejected_for_s(now),
            now - self._attempted_s if self._attempted_s is not None else None,
            sent,
            accepted,
        )

    def restore(self, now: float, sight: Sight) -> None:
        """Makes a new condition look as one was seen, for a replay. What made it so is not known any more."""
        if sight.idle_s is not None:
            self._attempted_s = now - sight.idle_s
        self._throttle.add(now, _REQUESTS, sight.sent)
        self._throttle.add(now, _ACCEPTS, sight.accepted)
        if sight.state != "closed":
            self.illness = cast(Illness, sight.illness) if sight.illness is not None else "failures in a row"
            self._breaker.restore(now, sight.for_s, tried=not sight.usable and sight.state == "half_open")

    # What a driver tells

    def began(self, now: float) -> Trial:
        """An attempt begins. It counts when it is sent, not when it ends: the throttle would learn too late."""
        self.load.in_flight += 1
        self._attempted_s = now
        self.probe_took_s = None
        self._throttle.add(now, _REQUESTS)
        return Trial(self, now, self._breaker.begin(now))

    def refused(self, now: float) -> None:
        """A request that was meant for it was turned away."""
        self._throttle.add(now, _REQUESTS)

    def answered(self, now: float, trial: Trial, *, whole: bool) -> None:
        """The first output of an attempt came."""
        took = now - trial.began_s
        if whole:
            self.load.whole(now, took)
            return
        self.load.first_output(now, took)
        limit = self.limit_s
        illness = self._outlier.answered(now, took)
        if self.state(now) == "closed":
            if illness is not None:
                self._eject(now, illness)
        elif trial.began_s >= self._breaker.opened_s:
            if self.illness != "slow" or limit is None or took <= limit:
                self._recover(now)
            elif trial.is_first:
                self._eject(now, "slow")

    def flowed(self, now: float, seconds: float) -> None:
        """A stream came to its end, at so many seconds a token."""
        if self._token_s is None:
            self._token_s = Baseline(now)
        self._token_s.note(now, seconds, self._outlier.rules.window_s)

    def ended(self, now: float, evidence: Evidence, trial: Trial) -> None:
        """An attempt is over."""
        self.load.in_flight -= 1
        state = self.state(now)
        if evidence == "left" and not trial.saw_output:  # it is as slow as that, at least
            illness = self._outlier.waited(now, now - trial.began_s, self.limit_s)
        else:
            illness = self._outlier.ended(now, evidence, trial.began_s)
            if evidence not in ("failed", "unreached"):
                self._throttle.add(now, _ACCEPTS)
        if state == "closed":
            if illness is not None:
                self._eject(now, illness)
        elif trial.began_s < self._breaker.opened_s:
            return
        elif evidence == "ok" and (self.illness != "slow" or trial.is_first):
            self._recover(now)  # of a whole answer it is not known whether it was slow to begin
        elif trial.is_first:
            self._end_trial(now, evidence)

    def _end_trial(self, now: float, evidence: Evidence) -> None:
        if evidence == "failed":
            self._eject(now, "failures in a row")
        elif evidence == "unreached":
            self._eject(now, "out of reach")
        elif evidence == "slow":
            self._eject(now, "slow")
        else:
            self._breaker.release()

    def probed(self, now: float, result: ProbeResult, took_s: float) -> None:
        """A probe has ended.

        A target that is out of reach is not tried with a client's request. One that can be reached again is tried at
        once, but only a real answer makes it well.
        """
        self.probed_s = now
        self.probe_took_s = took_s if result == "reached" else None
        if result == "reached":
            self._probes_failed = 0
            if self.illness in _DEAD:
                self._breaker.hurry(now)
        elif result == "unreached":
            self._probes_failed += 1
            if self.state(now) != "closed":
                self._breaker.postpone(now)
            elif self._probes_failed >= PROBES:
                self._eject(now, "probes failed")

    def _eject(self, now: float, illness: Illness) -> None:
        self.illness = illness
        self.probed_s = now
        self._breaker.trip(now, self._share(self._breaker.ejections + 1))
        self._outlier.renew(now, illness)

    def _recover(self, now: float) -> None:
        self.illness = None
        self._probes_failed = 0
        self.probe_took_s = None
        self._breaker.close(now)
        self._outlier.renew(now, None)
