"""Budgets across processes: a short run of what `make budgets` runs whole, and that its judge sees what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from budgets.history import Limits, Line, judge, read
from budgets.run import Run, Size, summary

LIMITS = Limits({"key:1": 100}, {"key:1": 2})


def test_processes_that_are_killed_never_pass_a_limit_and_lose_nothing(tmp_path: Path) -> None:
    size = Size(6.0, processes=3, accounts=12, burst=100, kills=1, outages=1, outage_s=1.0, scale=1500)
    verdict = Run(tmp_path, size).go()
    print(summary(size, verdict))
    assert verdict.faults == []
    assert verdict.most_over <= 0
    assert verdict.settled > 100
    assert verdict.exceeded > 0
    assert verdict.used_up > 0


def admitted(number: int, amount: int, at_s: float, asked_s: float | None = None) -> Line:
    return Line("admitted", at_s, f"req_{number}", ("key:1",), amount, at_s if asked_s is None else asked_s)


def used(number: int, amount: int, at_s: float) -> Line:
    return Line("used", at_s, f"req_{number}", ("key:1",), amount)


def test_a_run_in_which_all_is_well_has_no_fault() -> None:
    lines = [admitted(1, 60, 0.0), used(1, 20, 1.0), admitted(2, 80, 2.0), Line("ended", 9.0)]
    verdict = judge(lines, LIMITS, {"key:1": (100, 2)}, {})
    assert (verdict.faults, verdict.unknown, verdict.used_up) == ([], 1, 1)


@pytest.mark.parametrize(
    ("lines", "spent", "leased", "fault"),
    [
        ([admitted(1, 60, 0.0), admitted(2, 41, 1.0), used(1, 0, 2.0)], (41, 2), {}, "above its limit"),
        ([admitted(1, 60, 0.0), used(1, 50, 2.0)], (60, 1), {}, "the lines say (50, 1)"),
        ([admitted(1, 60, 0.0)], (0, 0), {}, "the lines say (60, 1)"),
        ([admitted(1, 60, 0.0)], (60, 2), {}, "the lines say (60, 1)"),
        ([admitted(1, 60, 0.0), used(1, 101, 1.0)], (101, 1), {}, "101 were spent of 100"),
        ([], (0, 0), {"w1": 5}, "w1 still has a lease of 5"),
        ([Line("ended", 0.0, corrected=3)], (0, 0), {}, "3 too large"),
        ([admitted(n, 1, 29.9 * n) for n in range(3)], (3, 3), {}, "more than 2 requests in a minute"),
    ],
)
def test_what_is_wrong_is_seen(lines: list[Line], spent: tuple[int, int], leased: dict[str, int], fault: str) -> None:
    faults = judge(lines, LIMITS, {"key:1": spent} if spent != (0, 0) else {}, leased).faults
    assert [found for found in faults if fault in found]


def test_only_what_surely_was_in_one_minute_counts() -> None:
    lines = [admitted(1, 1, 10.0, asked_s=9.0), admitted(2, 1, 11.0), admitted(3, 1, 69.5)]
    assert judge(lines, LIMITS, {"key:1": (3, 3)}, {}).faults == []


def test_a_refusal_while_enough_was_left_is_counted() -> None:
    refused = Line("exceeded", 1.0, accounts=("key:1",), amount=40)
    unlimited = Limits({"key:1": 100}, {})
    assert judge([admitted(1, 60, 0.0), refused], unlimited, {"key:1": (60, 1)}, {}).too_early == 1
    assert judge([admitted(1, 61, 0.0), refused], unlimited, {"key:1": (61, 1)}, {}).too_early == 0


def test_a_line_that_a_kill_cut_off_is_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b'{"what":"ended","at_s":2.0}\n{"what":"admi')
    (tmp_path / "b").write_bytes(b'{"what":"started","at_s":1.0}\n')
    assert [line.what for line in read([tmp_path / "a", tmp_path / "b"])] == ["started", "ended"]
