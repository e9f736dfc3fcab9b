"""Some of the random decisions, and proof that they would show a leak. `make decisions` makes ten million."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import tests.decisions.world
from tests.decisions.world import Household, Told

import afterbay.policy.budget
import afterbay.policy.filters
import afterbay.policy.route
import afterbay.policy.spending
from afterbay.core.decision import Target
from afterbay.policy.budget import Spend
from afterbay.policy.filters import Ask, provider_gap
from afterbay.policy.rights import NO_WISH


def households(seeds: range, decisions: int) -> Told:
    told = Told()
    for seed in seeds:
        told.add(Household(seed).run(decisions))
    return told


def test_no_decision_has_a_target_that_policy_a_key_or_a_budget_forbids() -> None:
    told = households(range(20), 600)
    assert told.wrong == []
    assert told.targets > 7_000
    picked = {"alias", "direct", "task:chat", "slo:ttft_p95", "optimize:cost", "optimize:latency", "optimize:quality"}
    assert set(told.rules) >= {*picked, "first", "pin", "escalate:stalled", "escalate:held", "complexity:low"}
    assert set(told.steps) >= {"free", "thrifty", "cheapest", "cache", "defer", "refuse"}
    assert told.refused["policy_no_candidate"] > 300


def test_a_seed_shows_the_same_again() -> None:
    assert Household(3).run(200) == Household(3).run(200)


def _nothing(*_: object) -> None:
    """A filter that sees nothing."""


def _any_model(ask: Ask, target: Target, alias: str) -> str | None:
    return provider_gap(ask.rights, ask.wish, target.provider)


def _all(candidates: Any, *_: object) -> Spend:
    return Spend("free", tuple(one.target for one in candidates))


def _unfiltered(choice: Any, ask: Ask, plan: Any, *_: object) -> Any:
    """A conversation that stays where it was whatever speaks against that."""
    pinned = ask.pinned
    targets = [one for alias in plan.aliases.values() for one in alias.targets if pinned and one.id == pinned.target]
    return msgspec.structs.replace(choice, targets=[*targets[:1], *choice.targets])


HOLES: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "compliance": (afterbay.policy.filters, "gap", _nothing),
    "the key's models": (afterbay.policy.filters, "_forbidden", _any_model),
    "providers": (afterbay.policy.filters, "provider_gap", _nothing),
    "benchmarks": (afterbay.policy.filters, "_low", _nothing),
    "windows": (afterbay.policy.filters, "_too_long", _nothing),
    "a conversation that stays": (afterbay.policy.route, "_stayed", _unfiltered),
    "what is left of a budget": (afterbay.policy.budget, "spend", _all),
    "how long an answer may be": (afterbay.policy.spending, "output_for", _nothing),
    "the user's and the agent's preference": (tests.decisions.world, "wish_of", lambda own, *_: own),
    "the key's preference": (tests.decisions.world, "wish_of", lambda *_: NO_WISH),
}


@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_is_found(monkeypatch: pytest.MonkeyPatch, hole: str) -> None:
    module, name, broken = HOLES[hole]
    monkeypatch.setattr(module, name, broken)
    for seed in range(20):
        if Household(seed).run(150).wrong:
            return
    pytest.fail(f"nobody saw a hole in {hole}")
