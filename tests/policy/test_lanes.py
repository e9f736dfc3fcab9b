"""Places, and the queue before them: nobody is lost, nobody is let in twice, the lowest priority goes first."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from afterbay.policy.lanes import PRIORITIES, SHORTEST, Lanes, Priority

PLACES = 3


def test_the_higher_priority_goes_first_and_among_equals_who_came_first() -> None:
    lanes: Lanes[str] = Lanes(1)
    assert lanes.take()
    for name, priority in (("n1", "normal"), ("l1", "low"), ("n2", "normal"), ("h1", "high")):
        assert lanes.queue(priority, name) is None  # type: ignore[arg-type]
    assert [lanes.leave() for _ in range(5)] == ["h1", "n1", "n2", "l1", None]
    assert lanes.taken == 0


def test_a_full_queue_sheds_the_last_of_the_lowest_priority() -> None:
    lanes: Lanes[str] = Lanes(1)
    lanes.take()
    for at in range(SHORTEST):
        lanes.queue("low" if at < 2 else "normal", f"{at}")
    assert lanes.is_full("low")
    assert [lanes.queue("high", f"h{at}") for at in range(4)] == ["1", "0", "7", "6"]
    assert not lanes.is_full("high")
    assert lanes.is_full("normal")


def test_nobody_overtakes_the_queue() -> None:
    lanes: Lanes[str] = Lanes(1)
    lanes.take()
    lanes.queue("low", "l")
    assert lanes.leave() == "l"
    assert not lanes.take()


class Rooms(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.lanes: Lanes[tuple[Priority, int]] = Lanes(PLACES)
        self.waiting: list[tuple[Priority, int]] = []
        self.inside = 0
        self.number = 0

    @rule(priority=st.sampled_from(PRIORITIES))
    def come(self, priority: Priority) -> None:
        self.number += 1
        if self.lanes.take():
            assert not self.waiting
            self.inside += 1
        elif self.lanes.is_full(priority):
            assert all(PRIORITIES.index(other) >= PRIORITIES.index(priority) for other, _ in self.waiting)
        else:
            gone = self.lanes.queue(priority, (priority, self.number))
            self.waiting.append((priority, self.number))
            if gone is not None:
                assert gone == min(self.waiting, key=lambda one: (PRIORITIES.index(one[0]), -one[1]))
                self.waiting.remove(gone)

    @precondition(lambda self: self.inside)
    @rule()
    def leave(self) -> None:
        following = self.lanes.leave()
        self.inside -= 1
        if following is not None:
            assert following == max(self.waiting, key=lambda one: (PRIORITIES.index(one[0]), -one[1]))
            self.waiting.remove(following)
            self.inside += 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: Any) -> None:
        one = data.draw(st.sampled_from(self.waiting))
        self.lanes.give_up(one[0], one)
        self.lanes.give_up(one[0], one)
        self.waiting.remove(one)

    @invariant()
    def holds(self) -> None:
        assert self.lanes.taken == self.inside <= PLACES
        assert self.lanes.waiting == len(self.waiting) <= SHORTEST
        assert self.inside == PLACES or not self.waiting


TestRooms = Rooms.TestCase
TestRooms.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
