"""Several keys of one provider: in turn, resting where they are limited or refused, never all given up."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.policy.credentials import PAUSES_S, TRIAL_S, Credentials


def chosen(keys: Credentials, count: int, now: float = 0.0) -> list[int]:
    return [keys.choose(now) for _ in range(count)]


def test_keys_are_used_in_turn() -> None:
    assert chosen(Credentials(3), 7) == [0, 1, 2, 0, 1, 2, 0]
    assert chosen(Credentials(1), 3) == [0, 0, 0]


def test_a_limited_key_rests_until_its_limit_opens_and_comes_last_then() -> None:
    keys = Credentials(3)
    keys.choose(0.0)
    keys.limited(0, 10.0)
    assert chosen(keys, 4, 9.9) == [1, 2, 1, 2]
    assert chosen(keys, 3, 10.0) == [0, 1, 2], "the one that was longest not used"


def test_of_two_limits_of_a_key_the_later_one_holds() -> None:
    keys = Credentials(2)
    keys.limited(0, 10.0)
    keys.limited(0, 5.0)
    assert chosen(keys, 2, 7.0) == [1, 1]


def test_where_all_are_limited_the_one_that_opens_first_is_used() -> None:
    keys = Credentials(3)
    for place, until in enumerate((30.0, 10.0, 20.0)):
        keys.limited(place, until)
    assert keys.choose(1.0) == 1
    assert keys.free_in_s(1.0) == 9.0
    assert keys.free_in_s(11.0) == 0.0


def test_a_limited_key_goes_before_a_refused_one() -> None:
    keys = Credentials(2)
    keys.refused(0, 0.0)
    keys.limited(1, 500.0)
    assert keys.choose(1.0) == 1


def test_a_refused_key_rests_longer_each_time() -> None:
    keys, now = Credentials(2), 0.0
    for pause in (*PAUSES_S, PAUSES_S[-1]):
        assert keys.refused(0, now) == pause
        assert 0 not in chosen(keys, 3, now + pause - 0.1)
        now += pause
        assert 0 in chosen(keys, 2, now)
    assert keys.refusals == [0]


def test_requests_that_were_under_way_do_not_lengthen_the_pause() -> None:
    keys = Credentials(2)
    assert keys.refused(0, 0.0) == 60.0
    assert keys.refused(0, 1.0) is None
    assert keys.choose(60.0) == 1
    assert keys.choose(60.0) == 0


def test_after_its_pause_one_request_tries_a_key_and_others_follow_when_it_was_served() -> None:
    keys = Credentials(2)
    keys.refused(0, 0.0)
    assert chosen(keys, 4, 60.0).count(0) == 1
    assert keys.served(0)
    assert chosen(keys, 4, 61.0).count(0) == 2
    assert keys.refused(0, 62.0) == 60.0, "a key that was mended begins anew"


def test_a_trial_without_an_answer_is_tried_once_more_later() -> None:
    keys = Credentials(2)
    keys.refused(0, 0.0)
    assert chosen(keys, 2, 60.0).count(0) == 1
    assert 0 not in chosen(keys, 3, 60.0 + TRIAL_S - 0.1)
    assert 0 in chosen(keys, 2, 60.0 + TRIAL_S)


def test_a_key_that_was_never_refused_is_not_mended() -> None:
    keys = Credentials(2)
    keys.limited(1, 10.0)
    assert not keys.served(1)
    assert chosen(keys, 2, 5.0) == [0, 0], "a success does not lift a limit: it may be another model's"


STEPS = st.lists(
    st.tuples(st.sampled_from(["choose", "limited", "refused", "served"]), st.integers(0, 3), st.floats(0, 400)),
    max_size=80,
)


@given(st.integers(1, 4), STEPS)
def test_there_is_always_a_key_and_never_a_resting_one_while_another_is_free(
    count: int, steps: list[tuple[str, int, float]]
) -> None:
    keys, now = Credentials(count), 0.0
    for what, at, by in steps:
        place = at % count
        if what == "choose":
            now += by
            was_free = keys.free_in_s(now) == 0
            resting = {one for one in range(count) if keys._keys[one].free_at_s() > now}
            got = keys.choose(now)
            assert 0 <= got < count
            assert not was_free or count == 1 or got not in resting
        elif what == "limited":
            keys.limited(place, now + by)
        elif what == "refused":
            pause = keys.refused(place, now)
            assert pause is None or pause in PAUSES_S
        else:
            keys.served(place)
            assert place not in keys.refusals
        assert keys.free_in_s(now) >= 0


@pytest.mark.parametrize("count", [2, 3, 5])
def test_one_refused_key_costs_at_most_one_request_in_a_pause(count: int) -> None:
    keys = Credentials(count)
    lost = 0
    for second in range(900):
        place = keys.choose(float(second))
        if place == 0:
            lost += 1
            keys.refused(0, float(second))
        else:
            keys.served(place)
    assert lost == 3, "at once, after a minute, after five more"
