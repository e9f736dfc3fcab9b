"""What a decision saw: nothing where all is well, and enough to decide the same again where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.core.chance import draw
from afterbay.core.decision import Decision, Rejected, Sight, Target
from afterbay.policy.condition import Condition
from afterbay.policy.order import arrange
from afterbay.policy.plan import HealthRules
from afterbay.policy.sight import MOST, sights
from afterbay.policy.throttle import attempts_allowed, is_outage
from afterbay.testing.memory_gateway import target

RULES = HealthRules()
NOW = 5000.0
Happened = tuple[float, float, Literal["ok", "failed", "unreached", "left"], bool]


def deployments(count: int, alias: str = "m") -> tuple[Target, ...]:
    return tuple(target(f"p{i}/m", alias=alias) for i in range(count))


def lived(events: list[Happened]) -> Condition:
    """A condition after these attempts: (began before now, took, how it ended, whether it still runs)."""
    condition = Condition(RULES, NOW - 400, lambda _: 0.5)
    for began, took, evidence, is_open in sorted(events, key=lambda one: -one[0]):
        trial = condition.began(NOW - began)
        if is_open:
            continue
        if evidence == "ok":
            trial.answered(min(NOW - began + took / 2, NOW))
        trial.ended(min(NOW - began + took, NOW), evidence)
    return condition


events = st.lists(
    st.tuples(
        st.floats(0.0, 300.0),
        st.floats(0.01, 20.0),
        st.sampled_from(["ok", "failed", "failed", "unreached", "left"]),
        st.booleans(),
    ),
    max_size=30,
)


def test_nothing_is_noted_of_targets_that_are_well() -> None:
    targets = (target("a/m", alias="a"), target("b/m", alias="b"))
    decision = Decision(targets, "a", "alias")
    well = {one.id: lived([(10.0, 1.0, "ok", False)]) for one in targets}
    assert sights(decision, {}, {}, NOW) == ()
    assert sights(decision, {}, well, NOW) == ()
    assert sights(decision, {"a/m": NOW - 1}, well, NOW) == (), "what is over is over"


def test_a_target_that_asked_to_be_left_alone_is_noted_with_how_long() -> None:
    decision = Decision((target("a/m", alias="a"),), "a", "alias")
    assert sights(decision, {"a/m": NOW + 7}, {}, NOW) == (Sight("a/m", 7.0),)


def test_a_target_that_was_left_out_for_its_health_is_noted_too() -> None:
    ill = lived([(1.0, 0.1, "failed", False)] * 5)
    decision = Decision((target("a/m", alias="a"),), "a", "alias", (Rejected("b/m", "health: failures in a row; ..."),))
    (seen,) = sights(decision, {}, {"b/m": ill}, NOW)
    assert (seen.target, seen.state, seen.usable, seen.illness) == ("b/m", "open", False, "failures in a row")
    assert 0 < seen.for_s <= 30


def test_no_more_targets_are_noted_than_a_bound() -> None:
    targets = deployments(3 * MOST)
    ill = {one.id: lived([(1.0, 0.1, "failed", False)] * 5) for one in targets}
    assert len(sights(Decision(targets, "m", "alias"), {}, ill, NOW)) == MOST


@settings(max_examples=200, deadline=None)
@given(st.lists(events, min_size=2, max_size=4), st.integers(0, 50))
def test_a_decision_among_restored_targets_is_the_same_again(histories: list[list[Happened]], seed: int) -> None:
    targets = deployments(len(histories))
    conditions = {one.id: lived(history) for one, history in zip(targets, histories, strict=True)}
    seen = sights(Decision(targets, "m", "alias"), {}, conditions, NOW)
    # as a file keeps them
    seen = msgspec.json.decode(msgspec.json.encode(seen), type=tuple[Sight, ...])
    restored: dict[str, Condition] = {}
    for one in seen:
        restored[one.target] = Condition(RULES, NOW, lambda _: 0.5)
        restored[one.target].restore(NOW, one)
    assert decided(targets, restored, seed) == decided(targets, conditions, seed)


def decided(targets: tuple[Target, ...], conditions: Mapping[str, Condition], seed: int) -> object:
    """All that is asked of conditions."""

    def chance(purpose: str) -> float:
        return draw(seed, purpose, "req_1")

    order = arrange(targets, {}, conditions, NOW)
    down = is_outage(order.targets, conditions, NOW)
    allowed = attempts_allowed([conditions[one.id] for one in order.targets], NOW, chance) if down else None
    return [one.id for one in order.targets], order.left_out, order.panics, down, allowed
