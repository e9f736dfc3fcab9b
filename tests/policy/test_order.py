"""Who goes first, who is left out, and who is refused, by how the targets do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tests.policy.test_condition import RULES, attempt, down, fresh, slow

from afterbay.core.chance import draw
from afterbay.core.decision import Target
from afterbay.policy.balance import LONG_BYTES, balanced, prefix_of
from afterbay.policy.condition import Condition
from afterbay.policy.order import arrange
from afterbay.policy.throttle import attempts_allowed, is_outage, refusal_share
from afterbay.testing.memory_gateway import target

A, B, C = target("a/m"), target("b/m"), target("c/m")
NOW = 105.5
"""`slow` is ejected by then, and so is what is `down(100.0)`."""


def ids(conditions: Mapping[str, Condition], cooling: Mapping[str, float] | None = None) -> str:
    return "".join(one.id[0] for one in arrange((A, B, C), cooling or {}, conditions, NOW).targets)


def test_targets_that_are_well_keep_their_order_and_cooling_ones_are_last() -> None:
    assert ids({}) == "abc"
    assert ids({"a/m": fresh()}, {"a/m": 200.0, "b/m": 150.0}) == "cba"


def test_a_dead_target_is_left_out_and_the_decision_says_why() -> None:
    order = arrange((A, B, C), {}, {"a/m": down(100.0)}, NOW)
    assert [one.id for one in order.targets] == ["b/m", "c/m"]
    assert [(one.target, one.reason) for one in order.left_out] == [
        ("a/m", "health: failures in a row; ejected for another 24 s")
    ]
    assert not order.panics


def test_a_slow_one_is_tried_last() -> None:
    one = slow()
    assert one.state(NOW) == "open"
    assert ids({"a/m": one}) == "bca"
    assert ids({"a/m": one}, {"b/m": 300.0}) == "cba"


def test_a_target_whose_trial_is_due_has_its_place_again_until_somebody_tries() -> None:
    one = down(NOW - 40)
    assert ids({"a/m": one}) == "abc"
    trial = one.began(NOW)
    assert ids({"a/m": one}) == "bc"
    trial.ended(NOW, "ok")
    assert ids({"a/m": one}) == "abc"


def test_when_all_are_ejected_all_are_tried_the_longest_untried_first() -> None:
    conditions = {"a/m": down(104.0), "b/m": down(102.0), "c/m": down(103.0)}
    order = arrange((A, B, C), {}, conditions, NOW)
    assert order.panics
    assert [one.id for one in order.targets] == ["b/m", "c/m", "a/m"]
    conditions["c/m"] = slow()
    assert ids(conditions) == "cba"


CONDITIONS = st.sampled_from(["none", "well", "down", "slow", "trial due", "trial runs"])


def made(kind: str) -> Condition | None:
    if kind in ("none", "well"):
        return fresh() if kind == "well" else None
    if kind == "slow":
        return slow()
    one = down(100.0 if kind == "down" else NOW - 40)
    if kind == "trial runs":
        one.began(NOW)
    return one


@given(st.lists(CONDITIONS, min_size=1, max_size=5), st.lists(st.floats(0, 300), min_size=5, max_size=5))
@settings(max_examples=60, deadline=None)
def test_no_order_is_empty_and_nobody_vanishes(kinds: list[str], cooling: list[float]) -> None:
    targets = [target(f"{at}/m") for at in range(len(kinds))]
    conditions = {t.id: one for t, kind in zip(targets, kinds, strict=True) if (one := made(kind)) is not None}
    until = {t.id: seconds for t, seconds in zip(targets, cooling, strict=False)}
    order = arrange(targets, until, conditions, NOW)
    assert order.targets
    assert sorted([t.id for t in order.targets] + [r.target for r in order.left_out]) == [t.id for t in targets]
    usable = [t for t, kind in zip(targets, kinds, strict=True) if kind in ("none", "well", "trial due")]
    assert order.panics == (not usable)
    if usable:
        assert {t.id for t in order.targets[: len(usable)]} == {t.id for t in usable}


# The throttle


def test_an_outage_is_when_every_target_is_down() -> None:
    conditions = {"a/m": down(100.0), "b/m": down(100.0)}
    assert is_outage((A, B), conditions, NOW)
    assert not is_outage((A, B, C), conditions, NOW)
    assert not is_outage((A, B), conditions | {"b/m": slow()}, NOW)
    assert not is_outage((), conditions, NOW)


def test_as_long_as_half_was_answered_nobody_is_refused() -> None:
    one = fresh()
    for evidence in ("ok", "failed") * 100:
        attempt(one, 0.0, evidence)  # type: ignore[arg-type]
    assert refusal_share([one], 0.0) == 0.0
    attempt(one, 0.0, "failed")
    assert refusal_share([one], 0.0) == pytest.approx(1 / 202)
    assert refusal_share([one], 300.0) == 0.0
    assert refusal_share([down(), down()], 0.0) == pytest.approx(10 / 11)
    assert refusal_share([down()], 0.0) == 0.0, "five requests say little"


@pytest.mark.parametrize("rate", [0.2, 1, 5, 200])
@pytest.mark.parametrize("before", [0, 5000])
def test_in_an_outage_attempts_stay_under_one_and_a_fifth_of_what_is_offered(rate: float, before: int) -> None:
    both = [fresh(), fresh()]
    for number in range(before):
        attempt(both[number % 2], number * 60 / before)
    offered = sent = 0
    conditions = {"a/m": both[0], "b/m": both[1]}
    tried: list[float] = []
    for number in range(int(600 * rate)):
        now = 60 + number / rate
        offered += 1
        order = arrange((A, B), {}, conditions, now)
        allowed = len(order.targets)
        if is_outage(order.targets, conditions, now):
            asked = [conditions[one.id] for one in order.targets]
            allowed = attempts_allowed(asked, now, lambda purpose, n=number: draw(1, purpose, str(n)))
            if not allowed:
                asked[0].refused(now)
        for one in order.targets[:allowed]:
            attempt(conditions[one.id], now, "failed")
            tried.append(now)
            sent += 1
    assert sent <= 1.2 * offered + 10
    gaps = [later - earlier for earlier, later in pairwise(tried)]
    assert max(gaps) <= 1.01 + 1 / rate, "the end of the outage would be noticed late"
    if rate == 200 and not before:
        assert sent < 0.05 * offered


# Balancing


def shares(
    targets: tuple[Target, ...], conditions: Mapping[str, Condition], prefix: bytes = b"", n: int = 2000
) -> dict[str, float]:
    first: Counter[str] = Counter()
    for number in range(n):
        order = balanced(targets, conditions, NOW, lambda purpose, n=number: draw(1, purpose, str(n)), prefix)
        assert sorted(one.id for one in order) == sorted(one.id for one in targets)
        first[order[0].id[0]] += 1
    return {name: count / n for name, count in first.items()}


def quick(seconds: float, busy: int = 0) -> Condition:
    one = fresh()
    for number in range(40):
        trial = one.began(NOW - 30 + 0.5 * number)
        trial.answered(trial.began_s + seconds)
        trial.ended(trial.began_s + seconds, "ok")
    for _ in range(busy):
        one.began(NOW)
    return one


def test_while_all_do_alike_the_weights_decide() -> None:
    heavy = target("b/m", weight=3.0)
    for conditions in ({}, {"a/m": quick(0.3), "b/m": quick(0.33)}):
        assert shares((A, heavy), conditions)["b"] == pytest.approx(0.75, abs=0.03)


def test_a_target_that_became_slow_gets_less_and_is_still_asked_now_and_then() -> None:
    found = shares((A, B), {"a/m": quick(0.3), "b/m": quick(2.0)})
    assert 0.005 < found["b"] < 0.06


def test_a_target_that_fails_more_often_gets_less() -> None:
    poor = quick(0.3)
    for number in range(100):
        attempt(poor, NOW, "failed" if number % 25 == 0 else "ok")
    assert poor.state(NOW) == "closed"
    assert poor.error_share(NOW) < RULES.error_rate
    assert shares((A, B), {"a/m": quick(0.3), "b/m": poor})["b"] < 0.06


def test_a_busy_target_gets_less_in_proportion_to_its_weight() -> None:
    assert shares((A, B), {"a/m": quick(0.3), "b/m": quick(0.3, busy=3)})["b"] < 0.06
    heavy = target("b/m", weight=8.0)
    assert shares((A, heavy), {"a/m": quick(0.3, busy=1), "b/m": quick(0.3, busy=5)})["b"] > 0.8


def test_a_target_that_nobody_knows_is_taken_for_a_good_one() -> None:
    assert shares((A, B), {"a/m": quick(2.0)})["b"] == pytest.approx(0.5, abs=0.05)


def test_of_many_the_quickest_is_not_run_over() -> None:
    conditions = {"a/m": quick(0.1), "b/m": quick(0.3), "c/m": quick(0.3)}
    assert 0.5 < shares((A, B, C), conditions)["a"] < 0.75


def prompt(number: int) -> bytes:
    return prefix_of(b'{"messages":[{"role":"system","content":"%d' % number + b"x" * LONG_BYTES)


def test_a_long_prompt_stays_with_one_target_and_prompts_are_spread_by_weight() -> None:
    heavy = target("b/m", weight=3.0)
    found = [shares((A, heavy), {}, prompt(number), n=20) for number in range(300)]
    assert all(len(one) == 1 for one in found)
    assert sum("b" in one for one in found) / 300 == pytest.approx(0.75, abs=0.08)


def test_a_target_that_joins_takes_prompts_only_for_itself() -> None:
    for number in range(100):
        before, after = (next(iter(shares(those, {}, prompt(number), n=1))) for those in ((A, B), (A, B, C)))
        assert after in (before, "c")


def test_a_long_prompt_leaves_a_target_that_is_slow_or_busy() -> None:
    for number in range(50):
        assert set(shares((A, B), {"a/m": quick(0.3), "b/m": quick(0.3, busy=4)}, prompt(number), n=3)) == {"a"}


def test_only_long_prompts_are_tied_and_the_next_turn_has_the_same_beginning() -> None:
    turn = b'{"messages":[' + b"y" * LONG_BYTES
    assert prefix_of(turn) == prefix_of(turn + b"another turn") != b""
    assert prefix_of(b"y" * (LONG_BYTES - 1)) == b""
