"""What came of a simulation, in figures that can be added up over processes and written as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from afterbay.sim.scenario import Episode

_FIRST_S, _GROWTH = 0.001, 1.02
_LOG_GROWTH = math.log(_GROWTH)
MOST_EJECTIONS = 10_000

K = TypeVar("K")

GOOD = ("ok", "resumed")


class Times(msgspec.Struct):
    """Durations in steps of 2 %, from 1 ms on: `zero` counts what was shorter. Exact to a step."""

    count: int = 0
    total_s: float = 0.0
    zero: int = 0
    steps: dict[int, int] = {}

    def note(self, seconds: float) -> None:
        """One more."""
        self.count += 1
        if seconds < _FIRST_S:
            self.zero += 1
            return
        self.total_s += seconds
        step = int(math.log(seconds / _FIRST_S) / _LOG_GROWTH)
        self.steps[step] = self.steps.get(step, 0) + 1

    def add(self, other: Times) -> None:
        """All of another one."""
        self.count += other.count
        self.total_s += other.total_s
        self.zero += other.zero
        _add(self.steps, other.steps)

    def quantile(self, share: float) -> float:
        """What this share of them stays under; 0 where there are none."""
        rank, seen = max(share * self.count, 1), self.zero
        if seen >= rank:
            return 0.0
        for step in sorted(self.steps):
            seen += self.steps[step]
            if seen >= rank:
                break
        else:
            return 0.0
        return _FIRST_S * float(_GROWTH ** (step + 1))

    @property
    def mean_s(self) -> float:
        """The average."""
        return self.total_s / self.count if self.count else 0.0


class Tokens(msgspec.Struct):
    """What was used at one target; `attempts` reached it."""

    attempts: int = 0
    input: int = 0
    output: int = 0

    def add(self, other: Tokens) -> None:
        """All of another one."""
        self.attempts += other.attempts
        self.input += other.input
        self.output += other.output


class Ejection(msgspec.Struct, frozen=True):
    """A target was left out. `illness`: as `afterbay.policy.outlier` names it."""

    target: str
    at_s: float
    illness: str


class Report(msgspec.Struct):
    """The figures of one simulation, or of several added up.

    endings      requests by how they ended (`course.Ending`)
    errors       those that ended badly, by what the client is told or the kind of the last error
    attempts     by `target why outcome`
    faults       attempts by the fault that they met
    saved        good endings that took more than the first attempt, by the `why` of the last one
    ttft         to the first output, of requests that had one
    added        of that, what passed before the attempt began that gave it
    pause        from a break of a stream to the first output of its continuation
    tokens       by target; with the prices of the plan they are the cost
    ejections    the first `MOST_EJECTIONS`; `ejected` counts all
    hedges       attempts made beside one that was silent; `lost_picousd`: what those cost that another was quicker than
    denied       retries for which the budget had no room
    seconds      of simulated time; `trace` the hashes of the parts, joined
    """

    name: str = ""
    requests: int = 0
    endings: dict[str, int] = {}
    errors: dict[str, int] = {}
    attempts: dict[str, int] = {}
    faults: dict[str, int] = {}
    saved: dict[str, int] = {}
    ttft: Times = msgspec.field(default_factory=Times)
    added: Times = msgspec.field(default_factory=Times)
    pause: Times = msgspec.field(default_factory=Times)
    tokens: dict[str, Tokens] = {}
    ejections: list[Ejection] = []
    ejected: int = 0
    denied: int = 0
    seconds: float = 0.0
    cost_picousd: int = 0
    hedges: int = 0
    lost_picousd: int = 0
    trace: str = ""

    @property
    def judged(self) -> int:
        """Requests that count for availability: those whose clients waited for the end."""
        return self.requests - self.endings.get("left", 0)

    @property
    def good(self) -> int:
        """Requests whose clients got the whole answer."""
        return sum(self.endings.get(ending, 0) for ending in GOOD)

    @property
    def availability(self) -> float:
        """The share of whole answers. A cut stream is a failure, and so is an answer that is only a spare."""
        return self.good / self.judged if self.judged else 1.0

    @property
    def attempts_made(self) -> int:
        """Attempts at all targets."""
        return sum(self.attempts.values())

    def add(self, other: Report) -> None:
        """All of another one, of the same scenario with another seed."""
        self.requests += other.requests
        for mine, its in (
            (self.endings, other.endings),
            (self.errors, other.errors),
            (self.attempts, other.attempts),
            (self.faults, other.faults),
            (self.saved, other.saved),
        ):
            _add(mine, its)
        self.ttft.add(other.ttft)
        self.added.add(other.added)
        self.pause.add(other.pause)
        for target, tokens in other.tokens.items():
            self.tokens.setdefault(target, Tokens()).add(tokens)
        self.ejections = [*self.ejections, *other.ejections][:MOST_EJECTIONS]
        self.ejected += other.ejected
        self.denied += other.denied
        self.seconds += other.seconds
        self.cost_picousd += other.cost_picousd
        self.hedges += other.hedges
        self.lost_picousd += other.lost_picousd
        self.trace = f"{self.trace}+{other.trace}" if self.trace else other.trace


def detection_s(report: Report, episodes: Iterable[Episode], provider_of: dict[str, str]) -> list[float | None]:
    """For each target of each episode: how long it took from its beginning to the ejection; None: it was not ejected.

    `report` is of one run: in one that was added up the times of several runs are mixed.
    """
    found: list[float | None] = []
    for episode in episodes:
        for target, provider in provider_of.items():
            if episode.hits(provider):
                times = (
                    one.at_s - episode.from_s
                    for one in report.ejections
                    if one.target == target and episode.from_s <= one.at_s < episode.to_s
                )
                found.append(next(times, None))
    return found


def _add(mine: dict[K, int], its: dict[K, int]) -> None:
    for key, count in its.items():
        mine[key] = mine.get(key, 0) + count
