"""Recorded streams that break anywhere end whole or in an error event, without a character lost or doubled."""

from __future__ import annotations

from collections import Counter
from functools import cache
from random import Random

import pytest

from cuts.course import APIS, SHARED, Outcome, Recorded, Way, cuts_of, is_declared, play, recorded, share

pytestmark = [pytest.mark.shared, pytest.mark.skipif(not SHARED.is_dir(), reason="no folder with data/wire")]

CLIENTS = tuple(APIS.values())
WAYS: tuple[Way, ...] = ("prefill", "obeys", "understands")
SAMPLE = 400


@cache
def streams() -> tuple[Recorded, ...]:
    return tuple(recorded())


def sampled(seed: int, client: str, *, relayed: bool) -> list[tuple[Recorded, int]]:
    """Cuts of streams for clients of a dialect, the same ones every time."""
    chance = Random(seed)
    fitting = [one for one in streams() if (one.dialect == client) is relayed]
    picked = [chance.choice(fitting) for _ in range(SAMPLE)]
    return [(one, chance.choice(cuts_of(one, 3000))) for one in picked]


def told(stream: Recorded, cut: int, outcome: Outcome) -> str:
    return f"{stream.provider} {stream.id} cut at {cut}: {outcome.why}"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "translated"])
@pytest.mark.parametrize("client", CLIENTS)
def test_nothing_is_lost_or_doubled_and_nearly_all_finish(client: str, relayed: bool, way: Way) -> None:
    counts: Counter[str] = Counter()
    for stream, cut in sampled(7, client, relayed=relayed):
        outcome = play(stream, cut, client, way)
        assert outcome.kind != "wrong", told(stream, cut, outcome)
        if not is_declared(outcome):
            counts[outcome.kind] += 1
    assert share(counts) == 1.0, counts


@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "translated"])
@pytest.mark.parametrize("client", CLIENTS)
def test_off_every_broken_stream_ends_in_an_error_event(client: str, relayed: bool) -> None:
    counts: Counter[str] = Counter()
    for stream, cut in sampled(11, client, relayed=relayed)[:150]:
        outcome = play(stream, cut, client, "obeys", "off")
        assert outcome.kind in ("whole", "before", "error"), told(stream, cut, outcome)
        counts[outcome.kind] += 1
    assert counts["error"] > 20, counts


def test_there_is_enough_to_cut() -> None:
    counts = Counter(one.dialect for one in streams())
    assert all(counts[dialect] >= 45 for dialect in CLIENTS), counts
