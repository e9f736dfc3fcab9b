"""What came of a drill: the same requests without the failure, with it, and with it but without the gateway. Pure.

An answer counts as served if it is whole: one that broke off, or was refused, is a failure, however much of it came.
"During the failure" are the requests of which some moment fell into it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from afterbay.core.decision import Attempt
from afterbay.drill.reach import Reach
from afterbay.drill.scenes import Scene

Mode: TypeAlias = Literal["simulated", "real"]

_NO_FAILURE = frozenset({"ok", "cancelled", "client_closed"})
"""Outcomes of a first attempt from which nothing had to be saved; a hedge cancels attempts that are only slower."""


class Seen(msgspec.Struct, frozen=True):
    """One request as its client saw it. Times are seconds; `at_s` counts from the beginning of the run.

    `error` is what it was told in place of an answer, or of the rest of one; empty: it got a whole answer. `attempts`
    are the gateway's; without a gateway there are none.
    """

    at_s: float
    took_s: float
    error: str = ""
    ttft_s: float | None = None
    attempts: tuple[Attempt, ...] = ()

    @property
    def is_saved(self) -> bool:
        """Whether it was served though its first attempt failed."""
        return not self.error and bool(self.attempts) and self.attempts[0].outcome not in _NO_FAILURE


class Ejected(msgspec.Struct, frozen=True):
    """A target was left out, so many seconds after the run began."""

    target: str
    at_s: float
    illness: str


class Run(msgspec.Struct, frozen=True):
    """One run, in the order of its requests. `cost_picousd` None: it was not counted."""

    seen: tuple[Seen, ...]
    cost_picousd: int | None = None
    ejected: tuple[Ejected, ...] = ()


class Figures(msgspec.Struct, frozen=True):
    """One run in figures. None: there was nothing to measure. `failed` counts by what clients were told."""

    requests: int
    served: int
    requests_during: int
    served_during: int
    ttft_p50_s: float | None
    ttft_p99_s: float | None
    ttft_p50_during_s: float | None
    ttft_p99_during_s: float | None
    took_p99_during_s: float | None
    attempts: int
    cost_picousd: int | None
    failed: dict[str, int]

    @property
    def availability(self) -> float:
        """The share of whole answers."""
        return self.served / self.requests if self.requests else 1.0

    @property
    def availability_during(self) -> float:
        """The same of the requests that the failure fell upon."""
        return self.served_during / self.requests_during if self.requests_during else 1.0


class Recovery(msgspec.Struct, frozen=True):
    """How it went with a target that was hit. None: it did not happen.

    `attempts` were sent to it while it lasted. `ejected_after_s` counts from the failure's beginning, `back_after_s`
    from its end until it gave an answer again.
    """

    target: str
    attempts: int
    ejected_after_s: float | None
    illness: str
    back_after_s: float | None


class Report(msgspec.Struct, frozen=True):
    """The comparison. `bare` is what clients would have got who asked the same providers without the gateway.

    `extra_cost_picousd` is how much more the run with the failure cost than the one without, over all its requests.
    `remarks` say what to bear in mind. `allow` is the share of failed requests that is put up with.
    """

    scenario: str
    says: str
    hit: tuple[str, ...]
    model: str
    mode: Mode
    seed: int
    seconds: float
    healthy: Figures
    failing: Figures
    bare: Figures
    saved: int
    saved_by: dict[str, int]
    added_ttft_p50_s: float | None
    added_ttft_p99_s: float | None
    extra_cost_picousd: int | None
    targets: tuple[Recovery, ...]
    allow: float
    remarks: tuple[str, ...] = ()

    @property
    def is_passed(self) -> bool:
        """Whether no more requests failed than are put up with."""
        return self.failing.requests - self.failing.served <= self.allow * self.failing.requests + 1e-9


class Asked(msgspec.Struct, frozen=True):
    """What was asked for: a scene, and how it is run."""

    scene: Scene
    reach: Reach
    seed: int
    requests: int
    rate: float
    allow: float = 0.0

    @property
    def seconds(self) -> float:
        """For so long clients come."""
        return self.requests / self.rate


def compare(asked: Asked, mode: Mode, healthy: Run, failing: Run, bare: Run, remarks: Iterable[str] = ()) -> Report:
    """The report of a drill."""
    scene = asked.scene
    before, after, without = (figures(run, scene) for run in (healthy, failing, bare))
    saved = [seen for seen in failing.seen if seen.is_saved]
    priced, unpriced = _priced(asked.reach, healthy, failing)
    said = [*remarks, *([f"the cost is unknown, for no price is known of {unpriced}"] if unpriced else [])]
    before, after = (one if priced else msgspec.structs.replace(one, cost_picousd=None) for one in (before, after))
    costs = before.cost_picousd, after.cost_picousd
    return Report(
        scenario=scene.name,
        says=scene.says,
        hit=scene.hit,
        model=asked.reach.model,
        mode=mode,
        seed=asked.seed,
        seconds=asked.seconds,
        healthy=before,
        failing=after,
        bare=without,
        saved=len(saved),
        saved_by=dict(sorted(Counter(seen.attempts[-1].why for seen in saved).items())),
        added_ttft_p50_s=_more(before.ttft_p50_during_s, after.ttft_p50_during_s),
        added_ttft_p99_s=_more(before.ttft_p99_during_s, after.ttft_p99_during_s),
        extra_cost_picousd=costs[1] - costs[0] if costs[0] is not None and costs[1] is not None else None,
        targets=tuple(recoveries(asked, failing)),
        allow=asked.allow,
        remarks=tuple(said),
    )


def _priced(reach: Reach, *runs: Run) -> tuple[bool, str]:
    """Whether the price of every target is known that had part in these runs, and those of which it is not."""
    used = {attempt.target for run in runs for one in run.seen for attempt in one.attempts}
    unpriced = [target.id for target in reach.targets if target.id in used and target.price is None]
    return not unpriced, ", ".join(unpriced)


def figures(run: Run, scene: Scene) -> Figures:
    """One run in figures."""
    during = [seen for seen in run.seen if scene.is_hit(seen.at_s, seen.at_s + seen.took_s)]
    first, first_during = _first_outputs(run.seen), _first_outputs(during)
    return Figures(
        requests=len(run.seen),
        served=sum(not seen.error for seen in run.seen),
        requests_during=len(during),
        served_during=sum(not seen.error for seen in during),
        ttft_p50_s=quantile(first, 0.5),
        ttft_p99_s=quantile(first, 0.99),
        ttft_p50_during_s=quantile(first_during, 0.5),
        ttft_p99_during_s=quantile(first_during, 0.99),
        took_p99_during_s=quantile([seen.took_s for seen in during if not seen.error], 0.99),
        attempts=sum(len(seen.attempts) for seen in run.seen),
        cost_picousd=run.cost_picousd,
        failed=dict(Counter(seen.error for seen in run.seen if seen.error).most_common()),
    )


def recoveries(asked: Asked, run: Run) -> list[Recovery]:
    """How it went with each target that was hit, in the order of the episodes."""
    found: list[Recovery] = []
    for episode in asked.scene.episodes:
        for target in (one for one in asked.reach.targets if episode.hits(one.provider)):
            first = next(
                (one for one in run.ejected if one.target == target.id and episode.from_s <= one.at_s < episode.to_s),
                None,
            )
            back_s = min((at_s for at_s in _answers_of(target.id, run.seen) if at_s >= episode.to_s), default=None)
            found.append(
                Recovery(
                    target.id,
                    sum(episode.from_s <= at_s < episode.to_s for at_s in _attempts_at(target.id, run.seen)),
                    first.at_s - episode.from_s if first is not None else None,
                    first.illness if first is not None else "",
                    back_s - episode.to_s if back_s is not None else None,
                )
            )
    return found


def _answers_of(target: str, seen: Iterable[Seen]) -> Iterable[float]:
    """When a target began with an answer that it brought to its end."""
    for one in seen:
        for attempt in one.attempts:
            if attempt.target == target and attempt.outcome == "ok":
                shown_s = attempt.first_token_s if attempt.first_token_s is not None else attempt.started_s
                yield one.at_s + shown_s


def _attempts_at(target: str, seen: Iterable[Seen]) -> Iterable[float]:
    """When attempts at a target began."""
    return (one.at_s + attempt.started_s for one in seen for attempt in one.attempts if attempt.target == target)


def _first_outputs(seen: Iterable[Seen]) -> list[float]:
    return [one.ttft_s for one in seen if one.ttft_s is not None]


def _more(before: float | None, after: float | None) -> float | None:
    return after - before if before is not None and after is not None else None


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that is not exceeded by this share of them (nearest rank); None: there are none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
