"""Who is turned away while the gateway has no means left, and when that ends."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from afterbay.policy.lanes import PRIORITIES
from afterbay.policy.pressure import LATE_S, MEMORY, Pressure

MEMORIES = st.none() | st.floats(0, 1.2)


def shed(one: Pressure) -> list[str]:
    return [priority for priority in PRIORITIES if one.sheds(priority)]


def test_nobody_is_turned_away_at_rest() -> None:
    one = Pressure()
    one.note(None, 0.0)
    assert shed(one) == []
    one.note(0.5, 0.01)
    assert shed(one) == []


def test_one_long_turn_of_the_loop_is_no_overload() -> None:
    one = Pressure()
    one.note(None, 1.2)
    assert shed(one) == []
    for _ in range(20):
        one.note(None, 1.2)
    assert shed(one) == ["low", "normal", "high"]


def test_who_was_turned_away_comes_back_only_when_it_is_clearly_better() -> None:
    one = Pressure()
    one.note(0.86, 0.0)
    one.note(0.84, 0.0)
    assert shed(one) == ["low"]
    one.note(0.75, 0.0)
    assert shed(one) == []


@given(st.lists(st.tuples(MEMORIES, st.floats(-1, 5))))
def test_no_priority_is_ever_served_worse_than_a_lower_one(signs: list[tuple[float | None, float]]) -> None:
    one = Pressure()
    for memory, late_s in signs:
        one.note(memory, late_s)
        assert shed(one) == list(PRIORITIES[: len(shed(one))])
        if memory is not None and memory > MEMORY["high"]:
            assert len(shed(one)) == 3
        if (memory or 0.0) < 0.9 * MEMORY["low"] and one.late_s < 0.9 * LATE_S["low"]:
            assert shed(one) == []
