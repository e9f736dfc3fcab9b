"""Seeds that once showed something, each replayed with what must not happen again. The list is `seeds.jsonl`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from afterbay.sim import setups
from afterbay.sim.scenario import Scenario
from afterbay.sim.world import Simulation


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"fields": "with"}):
    """One line. `scenario` and `with`: a function of `afterbay.sim.setups` and what it is called with."""

    scenario: str
    seed: int
    why: str
    fields: dict[str, Any] = {}
    requests: int | None = None
    until_s: float = float("inf")
    failed_at_most: int | None = None
    attempts_at_most: float | None = None


_LINES = (Path(__file__).parent / "seeds.jsonl").read_bytes().splitlines()
KEPT = [msgspec.json.decode(line, type=Kept) for line in _LINES]


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: f"{kept.scenario}-{kept.seed}")
def test_what_a_seed_once_showed_does_not_happen_again(kept: Kept) -> None:
    make: Callable[..., Scenario] = getattr(setups, kept.scenario)
    report = Simulation(make(**kept.fields), kept.seed).run(kept.requests, kept.until_s)
    if kept.failed_at_most is not None:
        assert report.endings.get("failed", 0) + report.endings.get("refused", 0) <= kept.failed_at_most, kept.why
    if kept.attempts_at_most is not None:
        assert report.attempts_made <= kept.attempts_at_most * report.requests, kept.why
