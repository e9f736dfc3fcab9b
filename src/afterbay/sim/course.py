"""What one attempt at a provider will be like: decided when it begins, from the numbers that are keyed to it."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Literal

import msgspec

from afterbay.core.checkpoint import Form
from afterbay.core.errors import ProviderError
from afterbay.policy.condition import ProbeResult
from afterbay.policy.resume import DOUBTFUL
from afterbay.sim.draws import normals
from afterbay.sim.faults import ANSWERS, BREAKS, CONNECT_TIMEOUT, REFUSALS, Fault, FaultKind
from afterbay.sim.scenario import Episode, Provider

NEVER = math.inf
_NOT_GONE_ON = ProviderError("server", "its answer was not gone on with", code=DOUBTFUL)
_CUT = BREAKS["cut"]

_REACHED: frozenset[FaultKind] = frozenset({"rate_limit", "quota", "unauthorized", "bad_request"})

QUOTED_TOKENS = 24
"""About as many tokens are repeated before an answer goes on: `afterbay.policy.resume.QUOTE_CHARS` in words."""


class Course(msgspec.Struct, gc=False):
    """How one attempt goes if nobody calls it off. Times are seconds from its beginning; `NEVER`: it does not happen.

    headers_s   when status and headers come; `status` is 200 unless the answer is an error
    first_s     when the first output comes that the client can be shown
    gap_s       from one token to the next
    tokens      shown in all; after the last one it ends, breaks or is silent
    end_s       when it ends, well or badly
    error       why it fails; None: it does not
    is_empty    it ends properly and says nothing
    fault       the kind of fault it met, for the trace
    """

    headers_s: float
    first_s: float
    gap_s: float
    tokens: int
    end_s: float
    status: int = 200
    error: ProviderError | None = None
    is_empty: bool = False
    fault: str = ""

    @property
    def is_billed(self) -> bool:
        """Whether the provider counts the prompt: it got it, and did not refuse it."""
        return self.status == 200 and (self.error is None or self.error.kind != "connection")

    def shown_at(self, passed_s: float) -> int:
        """Tokens that were shown when so much time had passed."""
        if passed_s < self.first_s:
            return 0
        return min(self.tokens, 1 + int((passed_s - self.first_s) / self.gap_s + 1e-9))

    def last_output_s(self, passed_s: float) -> float:
        """When the last token before that came."""
        return self.first_s + (self.shown_at(passed_s) - 1) * self.gap_s

    def late_s(self, limit_s: float) -> float:
        """When it has shown nothing for `limit_s` after its first output; `NEVER`: it ends before."""
        if self.gap_s > limit_s:
            return self.first_s + limit_s if self.end_s > self.first_s + limit_s else NEVER
        late_s = self.first_s + (self.tokens - 1) * self.gap_s + limit_s
        return late_s if self.end_s > late_s else NEVER


class Asked(msgspec.Struct, gc=False):
    """What is asked of a provider. `tokens`: as long the answer would be; `form`: it goes on with another one, of which
    `sent` tokens were shown; `key`: the place of the key, from 1; `chances`: the numbers that are keyed to the attempt.
    """

    now_s: float
    chances: Sequence[float]
    tokens: int
    stream: bool
    connect_s: float
    is_cursed: bool = False
    form: Form | None = None
    sent: int = 0
    key: int = 1


class Place:
    """One provider of a world: its answers, and the episodes that it is in."""

    def __init__(self, number: int, name: str, provider: Provider, episodes: Sequence[Episode]) -> None:
        self.number = number
        self.name = name
        self.provider = provider
        self.episodes = sorted((one for one in episodes if one.hits(name)), key=lambda one: one.from_s)
        self._bounds = list(accumulate(fault.share for fault in provider.mix))
        self._log_first, self._log_gap = math.log(provider.first_s), math.log(provider.gap_s)

    def course(self, asked: Asked) -> Course:
        """How an attempt that begins now will go."""
        one, chances = self.provider, asked.chances
        first, gap = normals(chances[0], chances[1])
        first_s = math.exp(self._log_first + one.first_sigma * first)
        gap_s = math.exp(self._log_gap + one.gap_sigma * gap)
        if chances[7] < one.slow:
            first_s *= one.slow_factor
        fault: Fault | None = None
        for episode in self._running(asked.now_s):
            if episode.key is not None and episode.key != asked.key:
                continue
            first_s, gap_s = first_s * episode.slower_first, gap_s * episode.slower_gap
            if episode.fault is not None and chances[6] < episode.share:
                fault = fault or episode.fault
        if fault is None and (asked.is_cursed or chances[2] < one.failures):
            fault = self._drawn(chances[3])
        course = self._answer(asked, first_s, gap_s) if fault is None else self._failure(fault, asked, first_s, gap_s)
        return self._cut_short(course, asked) if self.episodes else course

    def probed(self, now: float) -> ProbeResult:
        """What a probe finds, as `afterbay.engine.health` would take it."""
        for episode in self._running(now):
            kind = episode.fault.kind if episode.fault is not None and episode.share >= 1 else None
            if kind in ("refused", "black_hole"):
                return "unreached"
            if kind is not None and kind not in _REACHED:
                return "nothing"
        return "reached"

    def _running(self, now: float) -> Iterator[Episode]:
        return (one for one in self.episodes if one.from_s <= now < one.to_s)

    def _drawn(self, chance: float) -> Fault:
        bounds = self._bounds
        return self.provider.mix[min(bisect(bounds, chance * bounds[-1]), len(bounds) - 1)]

    def _answer(self, asked: Asked, first_s: float, gap_s: float) -> Course:
        """One without a fault of its own; a continuation may still not fit."""
        form, tokens = asked.form, asked.tokens
        if form is None:
            end_s = first_s + (tokens - 1) * gap_s
            if asked.stream:
                return Course(first_s / 2, first_s, gap_s, tokens, end_s)
            return Course(first_s / 2, end_s, gap_s, tokens, end_s)
        again = {"again": 0, "replay": asked.sent}.get(form, 0 if form == "prefill" else QUOTED_TOKENS)
        left = tokens if form == "again" else max(1, tokens - asked.sent)
        shown_s = first_s + again * gap_s
        if asked.chances[5] >= self.provider.fits.get(form, 0.0):
            return Course(first_s / 2, NEVER, gap_s, 0, shown_s, error=_NOT_GONE_ON, fault="does not go on")
        return Course(first_s / 2, shown_s, gap_s, left, shown_s + (left - 1) * gap_s)

    def _failure(self, fault: Fault, asked: Asked, first_s: float, gap_s: float) -> Course:
        one, kind = self.provider, fault.kind
        if kind in BREAKS or kind == "stall":
            return self._break(kind, BREAKS.get(kind), asked, first_s, gap_s)
        if kind == "silent":
            return Course(NEVER, NEVER, gap_s, 0, NEVER, fault=kind)
        if kind == "black_hole":
            return Course(NEVER, NEVER, gap_s, 0, asked.connect_s, error=CONNECT_TIMEOUT, fault=kind)
        if kind in REFUSALS:
            return Course(NEVER, NEVER, gap_s, 0, one.rtt_s, error=REFUSALS[kind], fault=kind)
        goes_on = asked.form is not None  # then whatever is no stream of more text does not go on with the old one
        if kind == "empty":
            error = _NOT_GONE_ON if goes_on else None
            return Course(first_s / 2, NEVER, gap_s, 0, first_s, error=error, is_empty=not goes_on, fault=kind)
        error = _NOT_GONE_ON if goes_on and kind == "malformed" else ANSWERS[kind]
        if fault.retry_after_s is not None:
            error = msgspec.structs.replace(error, retry_after_s=fault.retry_after_s)
        return Course(one.error_s, NEVER, gap_s, 0, one.error_s, error.status or 200, error, fault=kind)

    def _break(self, kind: str, error: ProviderError | None, asked: Asked, first_s: float, gap_s: float) -> Course:
        """A stream breaks, or falls silent (without an error), somewhere after its first output."""
        whole = self._answer(asked, first_s, gap_s)
        if whole.error is not None:
            return whole
        tokens = 1 + int(asked.chances[4] * (whole.tokens - 1))
        if not asked.stream:  # half a body: nobody has seen any of it
            end_s = first_s + tokens * gap_s if error is not None else NEVER
            return Course(whole.headers_s, NEVER, gap_s, 0, end_s, error=error, fault=kind)
        end_s = whole.first_s + (tokens - 0.5) * gap_s if error is not None else NEVER
        return Course(whole.headers_s, whole.first_s, gap_s, tokens, end_s, error=error, fault=kind)

    def _cut_short(self, course: Course, asked: Asked) -> Course:
        """The course, broken off by an outage that begins while it runs."""
        for episode in self.episodes:
            at_s = episode.from_s - asked.now_s
            if at_s <= 0 or not episode.cuts or at_s >= course.end_s or asked.chances[6] >= episode.cuts:
                continue
            course.end_s, course.error, course.is_empty, course.fault = at_s, _CUT, False, "outage"
            if at_s < course.headers_s:
                course.error, course.headers_s = REFUSALS["reset"], NEVER
            if at_s < course.first_s:
                course.first_s, course.tokens = NEVER, 0
            else:
                course.tokens = course.shown_at(at_s)
            break
        return course


Ending = Literal["ok", "resumed", "spare", "failed", "broken", "refused", "left"]
"""How a request ends for its client: an answer; one that was gone on with; one that is not good enough but the best
there was; an error in place of an answer; an error within it; an error without an attempt; the client left."""
