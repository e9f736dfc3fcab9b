"""Some of the random worlds, and proof that they would show a leak. `make compliance` runs a million requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import tests.compliance.world
from tests.compliance.world import Told, World

import afterbay.engine.clearance
import afterbay.policy.compliance
import afterbay.policy.filters

REQUESTS = 150


def worlds(seeds: range) -> Told:
    told = Told()
    for seed in seeds:
        told.add(World(seed).run(REQUESTS))
    return told


def test_nothing_reaches_a_provider_that_a_policy_excludes() -> None:
    told = worlds(range(12))
    assert told.wrong == []
    assert set(told.whys) >= {"primary", "retry", "fallback", "hedge", "resume", "repair"}
    assert {"raw GET", "tunnel", "/chat/completions", "/v1/messages", "/responses", "/embeddings"} <= set(told.sent)
    assert told.outcomes["policy_no_candidate"] > 100
    assert told.outcomes["with a proof"] > 300


def test_a_seed_shows_the_same_again() -> None:
    assert World(5).run(60) == World(5).run(60)


def _blind(*_: object) -> None:
    """A filter that sees nothing."""


def _timeless(check: Callable[..., Any]) -> Callable[..., Any]:
    return lambda target, policies, at: check(target, policies, 0.0)


def _without_region(check: Callable[..., Any]) -> Callable[..., Any]:
    def blinder(target: Any, policies: Any, at: float) -> Any:
        return check(target, [msgspec.structs.replace(one, residency=None) for one in policies], at)

    return blinder


@pytest.mark.parametrize("hole", [_blind, _timeless, _without_region])
def test_a_hole_in_the_filter_is_found(monkeypatch: pytest.MonkeyPatch, hole: Any) -> None:
    check = afterbay.policy.compliance.gap
    broken = hole if hole is _blind else hole(check)
    for module in (afterbay.engine.clearance, afterbay.policy.filters):
        monkeypatch.setattr(module, "gap", broken)
    assert worlds(range(6)).wrong


def test_a_link_of_the_chain_that_does_not_count_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests.compliance.world, "meet_all", lambda chain: list(chain)[-1])
    assert worlds(range(6)).wrong


@pytest.mark.parametrize("hole", ["key", "header"])
def test_a_forgotten_policy_is_found(monkeypatch: pytest.MonkeyPatch, hole: str) -> None:
    beside = afterbay.policy.compliance.beside
    forgetful = {
        "key": lambda sets, names=(), residency=None: beside(sets, (), residency),
        "header": lambda sets, names=(), residency=None: beside(sets, names, None),
    }[hole]
    monkeypatch.setattr(afterbay.engine.clearance, "beside", forgetful)
    assert worlds(range(6)).wrong
