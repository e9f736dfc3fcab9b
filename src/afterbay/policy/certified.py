"""What a route's pairs certify now, worked out from all of them: the same pairs give the same standing everywhere.

Pairs come in the order of time and make a stream (`policy.certify`), whose thresholds were fixed before the first. When
enough is certified to be watched, the pairs that follow are held against it (`policy.drift`); where they refute it, it
is withdrawn, and what follows begins a stream of its own. So all of this is a function of the pairs, and no process has
to tell another one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.policy.certify import Costs, HeldOut, Stream, Terms, keeps_of
from afterbay.policy.drift import LEAST_REFERENCE, Watch
from afterbay.policy.kept_quality import Duel, Standing

LOOK_EVERY: Final = 16
"""After so many pairs it is looked whether a stream has begun to certify."""

Numbers = NDArray[np.float64]


class Judged(msgspec.Struct, frozen=True):
    """One pair as far as it counts here. Costs in picodollars; None: not known."""

    at: float
    gain: float
    cheap_quality: float
    strong_quality: float
    cheap_picousd: int | None = None
    strong_picousd: int | None = None


def certified(
    duel: Duel,
    keep: float,
    confidence: float,
    scorer: str,
    thresholds: tuple[float, ...],
    pairs: Sequence[Judged],
    withdrawn_at: float = 0.0,
) -> Standing:
    """What holds now. `withdrawn_at`: when a certificate was withdrawn for another reason than its pairs, which ones
    before that say nothing of what comes."""
    rest, refuted = [one for one in pairs if one.at > withdrawn_at], ""
    while True:
        stream, begun = _streamed(rest, keep, confidence, scorer, thresholds)
        found = stream.certificate(keep, confidence, _costs(rest), rest[-1].at if rest else 0.0)
        end = _refuted(rest, begun, found.threshold, keep) if math.isfinite(found.threshold) else None
        if end is None:
            break
        place, refuted = end
        withdrawn_at, rest = rest[place].at, rest[place + 1 :]
    why, is_empty = found.reason, math.isfinite(found.threshold) and not found.routed
    if is_empty:  # it holds, but of requests that never come
        why = f"{len(rest)} label{'s' * (len(rest) != 1)}: as little as would be certified is not asked for"
    if refuted and (is_empty or not math.isfinite(found.threshold)):
        why = f"withdrawn: {refuted}; since then {why}"
    return Standing(
        duel.cheap,
        duel.strong,
        -math.inf if is_empty else found.threshold,
        len(rest),
        found.needed,
        1.0 if is_empty else found.floor,
        found.saved,
        found.routed,
        keep,
        confidence,
        scorer,
        why,
        found.made_at,
        withdrawn_at,
        digest=duel.digest,
    )


def _streamed(
    pairs: Sequence[Judged], keep: float, confidence: float, scorer: str, thresholds: tuple[float, ...]
) -> tuple[Stream, int | None]:
    """The stream of some pairs, and after how many it began to certify."""
    stream, begun = Stream(Terms(thresholds, keeps_of(keep), scorer, confidence)), None
    while len(stream) < len(pairs):
        step = LOOK_EVERY if begun is None else len(pairs)
        stream.extend(_held(pairs[len(stream) : len(stream) + step]))
        if begun is None and math.isfinite(stream.certificate(keep, confidence, Costs(), 0.0).threshold):
            begun = len(stream)
    return stream, begun


def _refuted(pairs: Sequence[Judged], begun: int | None, threshold: float, keep: float) -> tuple[int, str] | None:
    """The place of the pair with which those after the first certificate refute it, and how; None: they do not."""
    first = max(begun if begun is not None else len(pairs), LEAST_REFERENCE)
    if first >= len(pairs):
        return None
    watch = Watch([one.gain for one in pairs[:first]], threshold, keep)
    for place in range(first, len(pairs)):
        one = pairs[place]
        alarm = watch.labelled(one.gain, one.cheap_quality, one.strong_quality)
        if alarm is not None:
            return place, alarm.reason
    return None


def _held(pairs: Sequence[Judged]) -> HeldOut:
    return HeldOut(
        np.array([one.gain for one in pairs]),
        np.array([one.cheap_quality for one in pairs]),
        np.array([one.strong_quality for one in pairs]),
        np.ones(len(pairs)),
    )


def _costs(pairs: Sequence[Judged]) -> Costs:
    """What an answer of either costs, on average over the pairs whose costs are both known."""
    known = [
        (one.strong_picousd, one.cheap_picousd)
        for one in pairs
        if one.strong_picousd is not None and one.cheap_picousd is not None
    ]
    strong, cheap = (float(sum(each)) for each in zip(*known, strict=True)) if known else (0.0, 0.0)
    return Costs(strong, cheap) if strong > 0 else Costs()
