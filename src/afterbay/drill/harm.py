"""An episode done to an emulated provider: what becomes of its profile, and of the way to it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from afterbay.emulate.delay import LIMIT_S, Delay
from afterbay.emulate.profile import Profile
from afterbay.sim.faults import FaultKind
from afterbay.sim.scenario import Episode
from afterbay.testing.toxics import AnyToxic, BlackHole, Down

WELL = Profile(
    "well",
    directives=False,
    ttft=Delay(0.25, 0.5, 0.1, 2.0),
    between_tokens=Delay(0.012),
    output_tokens=24,
)
"""A provider without any fault. Its figures are chosen: answers are short, so that a drill is."""

_STATUSES: Mapping[FaultKind, int] = MappingProxyType(
    {"server_error": 500, "bad_gateway": 502, "unavailable": 503, "overloaded": 529, "rate_limit": 429}
)


class Harm(msgspec.Struct, frozen=True):
    """What is done to a provider. `toxics`: to the way to it; `breaks`: the streams that run break when it begins."""

    profile: Profile
    toxics: tuple[AnyToxic, ...] = ()
    breaks: bool = False


def harm_of(episode: Episode, well: Profile, keys: tuple[str, ...]) -> Harm:
    """The harm of an episode to a provider that is otherwise `well` and is asked with these keys.

    Raises:
        ValueError: such a fault cannot be done to an emulated provider.
    """
    changes: dict[str, Any] = {
        "name": "hit",
        "ttft": _slower(well.ttft, episode.slower_first),
        "between_tokens": _slower(well.between_tokens, episode.slower_gap),
    }
    toxics: tuple[AnyToxic, ...] = ()
    fault = episode.fault
    match fault.kind if fault is not None else None:
        case None:
            pass
        case "refused":
            toxics = (Down(),)
        case "black_hole":
            toxics = (BlackHole(),)
        case "unauthorized":
            changes["revoked"] = keys if episode.key is None else keys[episode.key - 1 : episode.key]
        case kind if kind in _STATUSES:
            changes |= {"error_rate": episode.share, "error_statuses": (_STATUSES[kind],)}
            if fault is not None and fault.retry_after_s is not None:
                changes["retry_after"] = Delay(fault.retry_after_s)
        case kind:
            raise ValueError(f"{kind} cannot be done to an emulated provider")
    return Harm(msgspec.structs.replace(well, **changes), toxics, bool(episode.cuts))


def _slower(delay: Delay, factor: float) -> Delay:
    """The delay, so many times as long."""
    p95_s = delay.p95_s * factor if delay.p95_s is not None else None
    return Delay(delay.median_s * factor, p95_s, delay.min_s * factor, min(delay.max_s * factor, LIMIT_S))
