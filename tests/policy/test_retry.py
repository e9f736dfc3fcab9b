"""When the same target is tried again, how long others are left alone, and how many retries a process may have."""

from __future__ import annotations

import math
from typing import get_args

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.core.errors import ErrorKind, ProviderError
from afterbay.policy.retry import (
    BASE_S,
    LONGEST_S,
    TRIES,
    RetryBudget,
    Share,
    backoff_s,
    cooling_s,
    is_passing,
    wait_before,
)

KINDS = get_args(ErrorKind)


def error(
    kind: ErrorKind, status: int | None = None, wait: float | None = None, code: str | None = None
) -> ProviderError:
    return ProviderError(kind, "no", status, code, retry_after_s=wait)


def wait_for(
    one: ProviderError, *, attempts: int = 1, retries: int = 0, left: float = 100.0, chance: float = 0.5
) -> float | None:
    return wait_before(one, attempts=attempts, retries=retries, left_s=left, longest_s=20.0, chance=chance)


@pytest.mark.parametrize(
    ("one", "passes"),
    [
        (error("server", 500), True),
        (error("server", 502), True),
        (error("overloaded", 503), True),
        (error("overloaded", 529), True),
        (error("server", 409), True),
        (error("server", 520), True),
        (error("server", None), True),
        (error("cut"), True),
        (error("connection"), True),
        (error("connection", code="connect_refused"), True),
        (error("connection", code="broken"), True),
        (error("connection", code="connect_timeout"), False),
        (error("connection", code="dns_not_found"), False),
        (error("connection", code="tls_failed"), False),
        (error("connection", code="proxy_failed"), False),
        (error("connection", code="no_credentials"), False),
        (error("server", 501), False),
        (error("server", 505), False),
        (error("server", 502, code="bad_answer"), False),
        (error("timeout", 504), False),
        (error("timeout"), False),
        (error("rate_limit", 429), False),
        (error("quota", 429), False),
        (error("authentication", 401), False),
        (error("permission", 403), False),
        (error("not_found", 404), False),
        (error("invalid_request", 400), False),
        (error("too_large", 413), False),
        (error("content_filter", 400), False),
    ],
)
def test_only_what_passes_by_itself_is_tried_again_unasked(one: ProviderError, passes: bool) -> None:
    assert is_passing(one) == passes
    assert (wait_for(one) is not None) == passes


@given(st.integers(0, 100), st.floats(0, 1, exclude_max=True))
def test_a_backoff_is_anything_up_to_a_bound_that_doubles(retries: int, chance: float) -> None:
    wait = backoff_s(retries, chance)
    assert 0 <= wait <= min(LONGEST_S, BASE_S * 2**retries)
    assert backoff_s(retries, 0.0) == 0.0
    assert backoff_s(0, 0.5) == BASE_S / 2
    assert backoff_s(10, 0.5) == LONGEST_S / 2


def test_there_are_three_attempts_in_all_whoever_they_were_made_at() -> None:
    assert wait_for(error("server", 500), attempts=TRIES - 1) is not None
    assert wait_for(error("server", 500), attempts=TRIES) is None


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded", "server", "connection", "cut", "timeout"])
def test_a_wish_of_the_provider_is_the_least_wait_and_spread_a_little(kind: ErrorKind) -> None:
    assert wait_for(error(kind, wait=4.0), chance=0.0) == 4.0
    assert wait_for(error(kind, wait=4.0), chance=0.5) == 4.125
    assert wait_for(error(kind, wait=0.5), chance=0.5) == 0.525
    assert wait_for(error(kind, wait=0.0), chance=0.9) == 0.0
    assert wait_for(error(kind, wait=4.0), attempts=9, chance=0.0) == 4.0, (
        "it is asked for, after however many attempts"
    )


@pytest.mark.parametrize("wait", [20.1, 1e9, math.inf, -1.0, math.nan])
def test_a_wish_beyond_reason_is_not_followed(wait: float) -> None:
    assert wait_for(error("rate_limit", 429, wait)) is None
    assert wait_for(error("server", 500, wait)) is None, "nor is it replaced by a shorter one"


def test_a_wish_is_followed_once() -> None:
    assert wait_for(error("rate_limit", 429, 1.0), attempts=2, retries=1) is None


@pytest.mark.parametrize(
    "kind", ["quota", "authentication", "permission", "not_found", "invalid_request", "too_large", "content_filter"]
)
@pytest.mark.parametrize("wait", [None, 1.0])
def test_what_waiting_does_not_cure_is_not_waited_for(kind: ErrorKind, wait: float | None) -> None:
    assert wait_for(error(kind, wait=wait)) is None


@given(
    st.sampled_from(KINDS),
    st.sampled_from([None, 400, 429, 500, 503]),
    st.none() | st.floats(),
    st.integers(1, 9),
    st.integers(0, 9),
    st.floats(0, 100),
    st.floats(0, 1, exclude_max=True),
)
def test_every_wait_is_within_the_deadline(
    kind: ErrorKind, status: int | None, asked: float | None, attempts: int, retries: int, left: float, chance: float
) -> None:
    wait = wait_for(error(kind, status, asked), attempts=attempts, retries=retries, left=left, chance=chance)
    if wait is not None:
        assert 0 <= wait < left
        assert wait <= 20.25
        assert asked is None or wait >= asked


@pytest.mark.parametrize(
    ("one", "pause"),
    [
        (error("rate_limit"), 5.0),
        (error("rate_limit", 429, code="slow_down"), 15.0),
        (error("rate_limit", 429, 3.0, "slow_down"), 3.0),
        (error("overloaded"), 2.0),
        (error("overloaded", 529, 9.0), 9.0),
        (error("rate_limit", wait=1e9), 120.0),
        (error("rate_limit", wait=math.inf), 120.0),
        (error("rate_limit", wait=-3.0), 0.0),
        (error("rate_limit", wait=math.nan), 0.0),
        (error("quota"), 300.0),
        (error("quota", wait=59.0), 300.0),
        (error("quota", wait=900.0), 900.0),
        (error("quota", wait=39043.0), 3600.0),
        (error("quota", wait=math.nan), 300.0),
        (error("quota", wait=math.inf), 3600.0),
    ],
)
def test_a_busy_target_cools_as_long_as_it_says_and_one_without_credit_longer(one: ProviderError, pause: float) -> None:
    assert cooling_s(one, 120.0) == pause


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"rate_limit", "quota", "overloaded"}))
@pytest.mark.parametrize("wait", [None, 9.0])
def test_no_other_error_cools(kind: ErrorKind, wait: float | None) -> None:
    assert cooling_s(error(kind, wait=wait), 300.0) is None


def test_the_budget_is_a_few_or_a_fifth_of_what_is_active() -> None:
    budget = RetryBudget()
    shares = [budget.share() for _ in range(40)]
    for share in shares[:15]:
        share.__enter__()
    assert [share.take() for share in shares[:5]] == [True, True, True, False, False]
    assert shares[0].take(), "who may retry may again"
    assert (budget.retrying, budget.denied) == (3, 2)
    for share in shares[15:]:
        share.__enter__()
    assert [share.take() for share in shares[3:10]] == [True] * 5 + [False] * 2
    for share in shares:
        share.__exit__(None, None, None)
    assert (budget.active, budget.retrying) == (0, 0)


def test_a_request_outside_of_any_budget_may_retry() -> None:
    with Share() as share:
        assert share.take()


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["in", "take", "out"])), max_size=300))
def test_the_budget_is_never_exceeded_when_a_retry_begins_and_empties_at_the_end(steps: list[tuple[int, str]]) -> None:
    budget, shares = RetryBudget(), [Share() for _ in range(31)]
    inside: set[int] = set()
    for at, what in steps:
        if what == "in" and at not in inside:
            shares[at] = budget.share()
            shares[at].__enter__()
            inside.add(at)
        elif what == "out" and at in inside:
            shares[at].__exit__()
            inside.discard(at)
        elif what == "take" and at in inside:
            before = budget.retrying
            if shares[at].take() and budget.retrying > before:
                assert budget.retrying <= math.ceil(max(3, 0.2 * budget.active))
        assert budget.active == len(inside)
        assert 0 <= budget.retrying <= budget.active
    for at in inside:
        shares[at].__exit__()
    assert (budget.active, budget.retrying) == (0, 0)
