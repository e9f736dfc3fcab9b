"""Which signs make a target ill, and which say nothing."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.core.errors import ErrorKind, ProviderError
from afterbay.policy.outlier import LEARNED_AFTER, LIMIT_FACTOR, Evidence, Illness, Outlier, evidence_of
from afterbay.policy.plan import HealthRules
from afterbay.policy.slices import Slices

RULES = HealthRules()


def feed(one: Outlier, what: str, at_s: float = 0.0, step_s: float = 0.1) -> list[Illness]:
    """`.` a good answer, `x` a failure, `u` no connection, `-` something that says nothing; what came of them."""
    names: dict[str, Evidence] = {".": "ok", "x": "failed", "u": "unreached", "-": "nothing"}
    found = []
    for number, sign in enumerate(what):
        now = at_s + number * step_s
        found.append(one.ended(now, names[sign], now))
    return [illness for illness in found if illness is not None]


@pytest.mark.parametrize(
    ("kind", "evidence"),
    [
        ("server", "failed"),
        ("overloaded", "failed"),
        ("timeout", "failed"),
        ("cut", "failed"),
        ("connection", "unreached"),
        ("invalid_request", "nothing"),
        ("not_found", "nothing"),
        ("too_large", "nothing"),
        ("content_filter", "nothing"),
        ("authentication", "nothing"),
        ("permission", "nothing"),
        ("rate_limit", "nothing"),
        ("quota", "nothing"),
    ],
)
def test_only_a_providers_own_failures_count_against_it(kind: ErrorKind, evidence: Evidence) -> None:
    assert evidence_of(ProviderError(kind, "no")) == evidence


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("timeout", "timeout_total"),
        ("overloaded", "starting"),
        ("overloaded", "queue_full"),
        ("connection", "no_credentials"),
        ("connection", "no_sockets"),
        ("cut", "answer_too_large"),
        ("server", "continuation_doubtful"),
    ],
)
def test_what_the_gateway_itself_ended_says_nothing(kind: ErrorKind, code: str) -> None:
    assert evidence_of(ProviderError(kind, "no", code=code)) == "nothing"
    assert evidence_of(None) == "ok"


def test_a_connection_that_broke_was_one() -> None:
    assert evidence_of(ProviderError("connection", "no", code="connection_broken")) == "failed"
    assert evidence_of(ProviderError("connection", "no", code="connect_refused")) == "unreached"


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("xxxx", []),
        ("xxxxx", ["failures in a row"]),
        ("uuuu", []),
        ("uuuuu", ["out of reach"]),
        ("xxxx.xxxx", []),
        ("uuuu.uuuu", []),
        ("xx-x-x-x", ["failures in a row"]),
        ("uuuuxuuuu", []),
        ("xxuuxxu", []),
        ("-" * 500, []),
        (".......xx", []),
        (".........x", []),
        (".......x.x", []),
        (".......x.x.x", ["error rate"]),
        (".......u.u.u", ["unreachable rate"]),
        ("." * 57 + "x.x.x", []),
        ("." * 50 + "x.x.x", ["error rate"]),
    ],
)
def test_five_in_a_row_or_a_rate_make_it_ill(what: str, found: list[Illness]) -> None:
    assert feed(Outlier(RULES, 0.0), what) == found


def test_no_connection_and_bad_answers_are_two_rates() -> None:
    one = Outlier(HealthRules(error_rate=0.3), 0.0)
    assert feed(one, "..........x.x.u.u.") == []
    assert one.error_share(2.0) == pytest.approx(4 / 18)


def test_failures_older_than_the_window_are_forgotten() -> None:
    one = Outlier(RULES, 0.0)
    assert feed(one, "." * 20 + "x.x.") == []
    assert feed(one, "." * 20 + "x.", at_s=90.0) == []
    assert feed(one, "x.x.", at_s=95.0) == ["error rate"]


def test_an_answer_that_began_before_the_failures_does_not_end_their_row() -> None:
    one = Outlier(RULES, 0.0)
    found = []
    for number in range(5):
        now = 100.0 + number
        found.append(one.ended(now, "failed", now))
        one.ended(now + 0.5, "ok", 10.0)
    assert found[-1] == "failures in a row"


def learned(usual_s: float, rules: HealthRules = RULES) -> Outlier:
    one = Outlier(rules, 0.0)
    for number in range(200):
        assert one.answered(number * 0.1, usual_s) is None
    assert one.answered(61.0, usual_s) is None
    return one


@pytest.mark.parametrize("usual_s", [0.01, 0.1, 1.0, 8.0, 100.0])
def test_the_limit_is_three_times_what_is_usual_and_never_under_the_configured_one(usual_s: float) -> None:
    limit_s = learned(usual_s).limit_s
    assert limit_s is not None
    assert max(RULES.latency_p95_s, LIMIT_FACTOR * usual_s) <= limit_s
    assert limit_s <= max(RULES.latency_p95_s, 1.21 * LIMIT_FACTOR * usual_s)


def test_nothing_is_slow_before_enough_is_known() -> None:
    one = Outlier(RULES, 0.0)
    for number in range(LEARNED_AFTER - 1):
        assert one.answered(number, 300.0) is None
    assert one.limit_s is None


def test_more_than_a_twentieth_over_the_limit_is_slow() -> None:
    one = learned(1.0)
    found = [one.answered(62.0 + 0.01 * number, 9.0 if number % 25 == 24 else 1.0) for number in range(200)]
    assert set(found) == {None}
    found = [one.answered(64.0 + 0.01 * number, 9.0 if number % 10 == 9 else 1.0) for number in range(200)]
    assert "slow" in found


def test_a_wait_that_was_given_up_counts_as_slow_and_teaches_nothing() -> None:
    one = learned(1.0)
    limit_s = one.limit_s
    found = [one.waited(62.0 + number, 30.0, limit_s) for number in range(40)]
    assert "slow" in found
    one.renew(200.0, None)
    assert one.limit_s == limit_s


def test_a_target_that_stays_slow_is_believed_after_a_while() -> None:
    one, now, ejections = learned(1.0), 62.0, 0
    while ejections < 30:
        found = [one.answered(now + 0.1 * number, 10.0) for number in range(100)]
        now += 30.0
        if "slow" not in found:
            break
        ejections += 1
        one.renew(now, "slow")
    assert 0 < ejections < 10
    assert one.limit_s is not None
    assert one.limit_s > 10.0


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 1)), max_size=200))
def test_slices_hold_all_of_the_window_and_little_more(steps: list[tuple[float, int]]) -> None:
    window, now, noted = Slices(6, 10.0, 2), 0.0, list[tuple[float, int]]()
    for passed, field in steps:
        now += passed
        window.add(now, field)
        noted.append((now, field))
        for which in (0, 1):
            kept = window.sums(now)[which]
            assert sum(f == which and now - at <= 50.0 for at, f in noted) <= kept
            assert kept <= sum(f == which and now - at <= 60.0 for at, f in noted)
